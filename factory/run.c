/* A run: carries out the plan with the pen in a slot, from the first step to the teardown, and keeps its record. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "slot.h"
#include "verdict.h"

enum { TURN_MS = 20, BUSY_RETRIES = 2 };

/* ---- one attempt, one step ---- */

static bool idle(void *ctx)
{
    struct slot *s = ctx;

    return slot_wait(s, 1) == DONE;
}

static void take_measurement(struct slot *s, const json_t *m)
{
    const char *name = json_string_value(json_object_get(m, "name")), *unit = json_string_value(json_object_get(m, "unit"));
    const json_t *value = json_object_get(m, "value");

    if (name != NULL && json_is_number(value))
        slot_measure(s, name, unit != NULL ? unit : "", json_number_value(value));
    else if (name != NULL && json_is_string(value))
        slot_measure_text(s, name, json_string_value(value));
}

/* Runs a step that is a program: it gets a description of the pen, and replies with measurements or an error. A non-zero exit code is an error, too. */
static enum outcome run_program(struct slot *s)
{
    struct child c;
    char why[300] = "";
    json_t *question, *answer, *error, *m;
    int r = child_start(&c, s->step->program, s->address), code;
    size_t i;

    if (r < 0)
        return slot_error(s, "%s does not start: %s", s->step->program, strerror(-r));
    question = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "step", s->step->name, "slot", s->port, "address", s->address, "serial", s->serial, "udi", s->udi,
                         "parameters", s->step->parameters);
    answer = child_ask(&c, question, (s->step->time_limit_s + 1) * 1000, idle, s, why, sizeof(why)); /* idle() enforces the step's time limit, which is shorter */
    json_decref(question);
    code = child_end(&c);
    if (atomic_load(&s->station->aborting) && !s->in_teardown) {
        json_decref(answer);
        return ABORTED;
    }
    if (answer == NULL && s->error[0] != '\0')
        return ERROR;
    if (answer == NULL)
        return slot_error(s, "%s: %s", s->step->program, why);
    json_array_foreach(json_object_get(answer, "measurements"), i, m)
        take_measurement(s, m);
    error = json_object_get(answer, "error");
    if (error != NULL)
        slot_error(s, "%s: %s", s->step->program, json_is_string(error) ? json_string_value(error) : "an error without words");
    else if (code != 0)
        slot_error(s, "%s ended with code %d", s->step->program, code);
    r = error != NULL || code != 0;
    json_decref(answer);
    return r != 0 ? ERROR : DONE;
}

/* If the pen has gone and the step did not cause it, that is the error, whatever the step returned. If all pens of a hub have gone at once, it is the hub's error. */
static enum outcome judge_loss(struct slot *s, enum outcome r)
{
    char hub[40];

    if (s->gone_ms == 0 || r == ABORTED)
        return r;
    if (station_lost_hub(s->station, s->index, s->gone_ms, hub) != NULL) {
        slot_error(s, "the hub %s has gone, with several pens at once", hub);
        s->error_kind = "fixture";
    } else {
        slot_error(s, "the pen at %s has gone: its cable, or its USB", s->port);
        s->error_kind = "pen";
    }
    return ERROR;
}

/* A station that is too busy for its pens' heartbeats is no fault of a pen: whatever the step has made of it. */
static enum outcome judge_host(struct slot *s, enum outcome r)
{
    if (!s->host_lost || r == ABORTED || (r == DONE && strcmp(verdict_of_attempt(s->attempt), "FAIL") != 0))
        return r;
    slot_error(s, "this station is too busy: the pen had no heartbeat for 250 ms (1601 HOST_LINK_LOST)");
    s->error_kind = "step";
    return ERROR;
}

static const char *close_attempt(struct slot *s, enum outcome r)
{
    const char *verdict = r == ABORTED ? "ABORTED" : r == ERROR ? "ERROR" : verdict_of_attempt(s->attempt);

    json_object_set_new(s->attempt, "verdict", json_string(verdict));
    if (r == ERROR)
        json_object_set_new(s->attempt, "error", json_pack("{s:s, s:s}", "kind", s->error_kind, "text", s->error));
    return verdict;
}

static const char *attempt(struct slot *s)
{
    uint64_t began_ms = station_now_ms();
    enum outcome r;

    s->error[0] = '\0';
    s->error_kind = "step";
    s->gone_ms = 0;
    s->expected_gone = s->expected_host_loss = s->host_lost = false;
    s->deadline_ms = began_ms + (uint64_t)s->step->time_limit_s * 1000;
    r = judge_host(s, judge_loss(s, s->step->builtin != NULL ? s->step->builtin->run(s) : run_program(s)));
    if (s->telemetry.on)
        slot_listen(s, false);
    json_object_set_new(s->attempt, "seconds", json_real((double)(station_now_ms() - began_ms) / 1000));
    return close_attempt(s, r);
}

struct writing {
    const struct record *record;
    int r;
};

static void write_record(void *arg)
{
    struct writing *w = arg;

    w->r = record_write(w->record);
}

/* Writes the record to disk without blocking the connection. Returns 0 or a negative errno. */
static int write_aside(struct slot *s)
{
    struct writing w = {.record = &s->record};

    slot_aside(s, write_record, &w);
    return w.r;
}

static void save(struct slot *s)
{
    int r = write_aside(s);

    if (r < 0) /* results cannot be stored: abort the whole run */
        STATION_ROW(s->station, s->index, snprintf(row->text, sizeof(row->text), "cannot write %.200s: %s", s->record.path, strerror(-r)));
    if (r < 0)
        atomic_store(&s->station->aborting, true);
}

/* Stops the needles and makes the fixture safe after a step that did not pass. False if that failed. The step's own error is kept. */
static bool make_safe(struct slot *s)
{
    bool was = s->in_teardown, good;
    char kept[sizeof(s->error)];
    const char *kind = s->error_kind;

    memcpy(kept, s->error, sizeof(kept));
    s->in_teardown = true;
    s->deadline_ms = station_now_ms() + SLOT_TEARDOWN_MS;
    s->expected_gone = true;
    if (s->present)
        mn_stop(s->client, s->address, SLOT_CALL_MS); /* if this fails, slot_rest() fails as well */
    good = slot_rest(s) == DONE;
    memcpy(s->error, kept, sizeof(kept));
    s->error_kind = kind;
    s->in_teardown = was;
    return good;
}

/* Waits until the step has a place free (at_once). This time is not counted as the pen's. */
static enum outcome await_turn(struct slot *s, size_t index)
{
    uint64_t began_ms = station_now_ms(), waited_ms;
    enum outcome r = DONE;

    s->deadline_ms = began_ms + (uint64_t)s->step->time_limit_s * 1000 * STATION_SLOTS_MAX;
    while (r == DONE && !station_enter_step(s->station, index)) {
        STATION_ROW(s->station, s->index, row->waits = true);
        r = slot_wait(s, TURN_MS);
    }
    waited_ms = station_now_ms() - began_ms;
    s->waited_ms += waited_ms > TURN_MS ? waited_ms : 0;
    STATION_ROW(s->station, s->index, {
        row->waits = false;
        row->waited_ms = s->waited_ms;
    });
    return r;
}

/* Runs a step with its retries. Returns the last attempt's verdict. */
static const char *run_step(struct slot *s, size_t index, json_t *entry)
{
    const char *verdict = "ABORTED";
    json_t *attempts = json_object_get(entry, "attempts");
    enum outcome turn;

    s->step = &s->station->plan->steps[index];
    STATION_ROW(s->station, s->index, {
        snprintf(row->step, sizeof(row->step), "%s", s->step->name);
        row->fraction = 0;
    });
    turn = await_turn(s, index);
    if (turn != DONE) {
        s->attempt = record_attempt(s->step);
        json_array_append_new(attempts, s->attempt);
        verdict = close_attempt(s, turn);
        json_object_set_new(entry, "verdict", json_string(verdict));
        return verdict;
    }
    for (unsigned i = 0, most = s->step->retries; i <= most; i++) {
        s->attempt = record_attempt(s->step);
        json_array_append_new(attempts, s->attempt);
        save(s);
        verdict = attempt(s);
        json_object_set_new(entry, "verdict", json_string(verdict));
        if (strcmp(verdict, "PASS") == 0 || strcmp(verdict, "MARGINAL") == 0)
            break;
        make_safe(s);
        if (strcmp(verdict, "ABORTED") == 0)
            break;
        if (s->host_lost && most < s->step->retries + BUSY_RETRIES)
            most++;
    }
    station_leave_step(s->station, index);
    save(s);
    return verdict;
}

/* ---- the run ---- */

static const char *why_skipped(const struct slot *s, const struct plan_step *step, bool stopped, bool failed)
{
    const struct station *st = s->station;
    bool for_good = plan_step_is_for_good(step);

    if (step->teardown)
        return NULL;
    if (stopped)
        return "an earlier step did not pass";
    if (for_good && failed)
        return "nothing is written for good into a pen that has not passed";
    if (for_good && !st->options.commit)
        return "without --commit nothing is written for good";
    return NULL;
}

static void run_steps(struct slot *s)
{
    const struct plan *plan = s->station->plan;
    json_t *list = json_object_get(s->record.json, "steps");
    bool failed = json_object_get(s->record.json, "error") != NULL, stopped = failed || atomic_load(&s->station->aborting);

    s->aborted = stopped && !failed;
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct plan_step *step = &plan->steps[i];
        const char *skipped = why_skipped(s, step, stopped, failed), *verdict;
        json_t *entry = json_pack("{s:s, s:s, s:s, s:s, s:[]}", "name", step->name, "phase", step->phase, "kind",
                                  step->builtin != NULL ? "builtin" : "program", "verdict", "SKIPPED", "attempts");

        json_array_append_new(list, entry);
        STATION_ROW(s->station, s->index, row->done = (unsigned)i);
        if (skipped != NULL) {
            json_object_set_new(entry, "reason", json_string(skipped));
            if (!stopped && !failed)
                json_object_set_new(entry, "by_choice", json_true());
            continue;
        }
        s->in_teardown = step->teardown;
        verdict = run_step(s, i, entry);
        if (strcmp(verdict, "PASS") == 0 || strcmp(verdict, "MARGINAL") == 0)
            continue;
        failed = true;
        s->aborted |= strcmp(verdict, "ABORTED") == 0;
        stopped |= !s->station->options.keep_going || strcmp(verdict, "ABORTED") == 0 || (s->error_kind != NULL && strcmp(s->error_kind, "fixture") == 0);
    }
}

static void run_error(struct slot *s, const char *kind)
{
    json_object_set_new(s->record.json, "error", json_pack("{s:s, s:s}", "kind", kind, "text", s->error));
}

static bool begin_record(struct slot *s)
{
    struct station *st = s->station;
    char now[32], id[64];

    record_now(now);
    snprintf(id, sizeof(id), "%.4s%.2s%.2sT%.2s%.2s%.2s-%s-%d-%u", now, now + 5, now + 8, now + 11, now + 14, now + 17, s->address + 1, (int)getpid(), atomic_fetch_add(&st->numbered, 1) + 1);
    snprintf(s->record.path, sizeof(s->record.path), "%s/%s.json", st->options.out, id);
    s->record.json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s}, s:{s:s, s:s}, s:[]}", "format",
                               "mn-factory record 1", "run", id, "verdict", "INTERRUPTED", "station", st->name, "slot", s->port, "serial", "", "udi", "",
                               "began", now, "commit", st->options.commit, "plan", "name", st->plan->name, "path", st->plan->path, "sha256", st->plan->sha256,
                               "limits", "name", st->plan->limits_name, "path", st->plan->limits_path, "sha256", st->plan->limits_sha256, "versions",
                               "mn_factory", mn_version(), "mnd", st->daemon_version, "steps");
    return s->record.json != NULL && write_aside(s) == 0;
}

/* Whether the daemon's journal has records of a pen with this serial number. */
static bool journal_knows(struct slot *s, const char *serial)
{
    struct mn_filter filter = {.serial = serial};
    struct mn_cursor place = {0};
    struct mn_records page = {0};
    bool found = false, end = false;

    while (!found && !end && mn_records_read(s->client, &place, &filter, &page, SLOT_CALL_MS) == MN_OK) {
        for (size_t i = 0; i < page.count; i++)
            found = found || strcmp(page.record[i].serial, serial) == 0;
        place = page.next;
        end = page.end;
        mn_records_free(&page);
    }
    return found;
}

struct claim {
    const struct slot *slot;
    const char *serial;
    char *why;
    size_t cap;
    bool granted;
};

static void claim_label(void *arg)
{
    struct claim *c = arg;

    c->granted = station_claim(c->slot->station, c->slot->index, c->serial, c->why, c->cap);
}

static enum outcome label_error(struct slot *s, const char *sentence)
{
    slot_error(s, "%s", sentence);
    s->error_kind = "label";
    return ERROR;
}

/* Before anything irreversible: sets s->found_done if this pen has left the factory, and fails if its label belongs to another pen. */
static enum outcome look_at_label(struct slot *s, const char *serial)
{
    const struct station *st = s->station;
    bool is_its_own = strcmp(s->pen.serial, serial) == 0;
    struct mn_factory f;
    char why[300];
    struct claim claim = {.slot = s, .serial = serial, .why = why, .cap = sizeof(why)};

    if (!plan_is_for_good(st->plan))
        return DONE;
    TRY(slot_ok(s, mn_factory_get(s->client, s->address, &f, SLOT_CALL_MS), "ask whether it has left the factory"));
    if (f.left && is_its_own) {
        s->found_done = true;
        return DONE;
    }
    if (f.serial[0] != '\0' && strcmp(f.serial, serial) != 0) {
        snprintf(why, sizeof(why), "the pen is %s, and its label says %s: give it its own label", f.serial, serial);
        return label_error(s, why);
    }
    if (!st->options.commit || is_its_own || serial[0] == '\0')
        return DONE;
    slot_aside(s, claim_label, &claim);
    if (!claim.granted)
        return label_error(s, why);
    if (st->options.relabel || !journal_knows(s, serial))
        return DONE;
    snprintf(why, sizeof(why), "mnd's journal knows another pen called %s: print another label, or run with --relabel", serial);
    return label_error(s, why);
}

/* Prepares the fixture, waits for the pen and reads its label. An error here is one of the run. */
static enum outcome prepare(struct slot *s)
{
    json_t *label = NULL;
    const char *serial, *udi;
    enum outcome looked;
    char why[300];

    s->deadline_ms = station_now_ms() + 60000;
    if (s->fixture == NULL)
        s->fixture = s->station->plan->simulated ? fixture_simulated(s->client, s->address, why, sizeof(why))
                                                 : fixture_program(s->station->plan->fixture, s->address, idle, s, why, sizeof(why));
    if (s->fixture == NULL) {
        slot_error(s, "%s", why);
        s->error_kind = "fixture";
        return ERROR;
    }
    if (!s->present)
        slot_ask(s, "safe", NULL, NULL); /* a station that was killed may have left the cable unplugged; other errors are reported below */
    TRY(slot_await(s, slot_is_ready, 0, SLOT_READY_MS, "a pen"));
    TRY(slot_rest(s));
    TRY(slot_ask(s, "hold", NULL, NULL));
    TRY(slot_ask(s, "scan", NULL, &label));
    serial = json_string_value(json_object_get(label, "serial"));
    udi = json_string_value(json_object_get(label, "udi"));
    if (serial == NULL || udi == NULL || strlen(serial) > MN_SERIAL_MAX || strlen(udi) > MN_UDI_MAX) {
        json_decref(label);
        slot_error(s, "the scanner has read no serial and udi");
        s->error_kind = "fixture";
        return ERROR;
    }
    strcpy(s->serial, serial);
    strcpy(s->udi, udi);
    json_decref(label);
    looked = look_at_label(s, s->serial);
    if (looked != DONE) { /* the label may be another pen's: do not count this run as one of that pen */
        json_object_set_new(s->record.json, "label", json_string(s->serial));
        return looked;
    }
    json_object_set_new(s->record.json, "serial", json_string(s->serial));
    json_object_set_new(s->record.json, "udi", json_string(s->udi));
    json_object_set_new(s->record.json, "firmware", json_string(s->pen.firmware_version));
    json_object_set_new(s->record.json, "simulated", json_boolean(s->pen.simulated));
    STATION_ROW(s->station, s->index, snprintf(row->serial, sizeof(row->serial), "%s", s->serial));
    return DONE;
}

static void note_end(void *arg)
{
    struct slot *s = arg;

    station_done(s->station, s->index, s->record.json);
}

static void finish(struct slot *s, uint64_t began_ms)
{
    const char *verdict;
    char now[32];

    if (s->client != NULL && s->fixture != NULL && !make_safe(s) && json_object_get(s->record.json, "error") == NULL) {
        slot_error(s, "pen and fixture could not be made safe: look at them before the next run");
        run_error(s, "fixture");
    }
    if (s->client != NULL && s->present && s->pen.state == MN_STATE_FACTORY)
        mn_factory_leave(s->client, s->address, false, &(struct mn_status){0}, SLOT_CALL_MS);
    if (s->client != NULL && s->present)
        mn_lease_release(s->client, s->address, SLOT_CALL_MS);
    verdict = s->aborted ? "ABORTED" : verdict_of_run(s->record.json);
    record_now(now);
    json_object_set_new(s->record.json, "verdict", json_string(verdict));
    json_object_set_new(s->record.json, "ended", json_string(now));
    json_object_set_new(s->record.json, "seconds", json_real((double)(station_now_ms() - began_ms - s->waited_ms) / 1000));
    if (s->waited_ms > 0)
        json_object_set_new(s->record.json, "waited_seconds", json_real((double)s->waited_ms / 1000));
    if (s->station->options.relabel)
        json_object_set_new(s->record.json, "relabel", json_true());
    save(s);
    slot_aside(s, note_end, s);
    station_release(s->station, s->index); /* only after the history has the run, or another slot could claim the label in between */
}

bool slot_run(struct slot *s)
{
    uint64_t began_ms = station_now_ms();

    s->calibrated = s->in_teardown = s->aborted = s->found_done = false;
    s->waited_ms = 0;
    s->step = NULL;
    s->gone_ms = 0;
    s->error[0] = '\0';
    if (!begin_record(s))
        return false;
    STATION_ROW(s->station, s->index, {
        struct row before = *row;

        *row = (struct row){.began_ms = began_ms, .total = (unsigned)s->station->plan->step_count, .runs = before.runs + 1};
        memcpy(row->ended, before.ended, sizeof(row->ended));
        snprintf(row->step, sizeof(row->step), "waiting for the pen");
    });
    s->error_kind = "step";
    if (slot_connect(s) != MN_OK)
        run_error(s, "step");
    else if (prepare(s) == ERROR)
        run_error(s, s->error_kind);
    if (s->found_done) {
        record_drop(&s->record);
        station_found_done(s->station, s->index, s->serial);
        json_decref(s->record.json);
        s->record.json = NULL;
        return true;
    }
    if (s->client != NULL)
        run_steps(s); /* after an error, only the steps of the teardown */
    finish(s, began_ms);
    json_decref(s->record.json);
    s->record.json = NULL;
    return true;
}
