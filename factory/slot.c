#include "slot.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "child.h"
#include "station.h"

enum { TURN_MS = 20, TEARDOWN_MS = 15000, READY_MS = 10000, PROGRAM_EXIT_MS = 2000, SETTLE_MS = 600 };

uint64_t slot_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- errors and waiting ---- */

enum outcome slot_error(struct slot *s, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(s->error, sizeof(s->error), format, ap);
    va_end(ap);
    s->error_kind = "step";
    return ERROR;
}

enum outcome slot_ok(struct slot *s, int r, const char *doing)
{
    if (r == MN_OK)
        return DONE;
    slot_error(s, "cannot %s: %s", doing, mn_message(s->client)[0] != '\0' ? mn_message(s->client) : mn_strerror(r));
    if (r == MN_ERR_PEN_GONE || r == MN_ERR_NO_PEN || r == MN_ERR_TIMEOUT || r == MN_ERR_NOT_READY)
        s->error_kind = "pen";
    return ERROR;
}

/* One wait, and what it brings. */
static enum outcome turn(struct slot *s, unsigned ms)
{
    struct pollfd fd = {.fd = mn_fd(s->client), .events = mn_events(s->client)};
    int due = mn_timeout_ms(s->client);
    unsigned wait = due >= 0 && (unsigned)due < ms ? (unsigned)due : ms;
    int r;

    if (atomic_load(&s->station->aborting) && !s->in_teardown)
        return ABORTED;
    if (slot_now_ms() >= s->deadline_ms)
        return slot_error(s, "the time limit of %u s is over", s->step != NULL ? s->step->time_limit_s : TEARDOWN_MS / 1000);
    poll(&fd, 1, (int)(wait < TURN_MS ? wait : TURN_MS));
    r = mn_process(s->client);
    return r == MN_OK ? DONE : slot_ok(s, r, "go on");
}

enum outcome slot_wait_for(struct slot *s, slot_condition *condition, uint64_t arg, unsigned limit_ms, bool *held)
{
    uint64_t end_ms = slot_now_ms() + limit_ms, now;

    while (!(*held = condition(s, arg)) && (now = slot_now_ms()) < end_ms)
        TRY(turn(s, (unsigned)(end_ms - now)));
    return DONE;
}

static bool never(const struct slot *s, uint64_t arg)
{
    (void)s;
    (void)arg;
    return false;
}

enum outcome slot_wait(struct slot *s, unsigned ms)
{
    bool held;

    return slot_wait_for(s, never, 0, ms, &held);
}

enum outcome slot_await(struct slot *s, slot_condition *condition, uint64_t arg, unsigned limit_ms, const char *what)
{
    bool held;

    TRY(slot_wait_for(s, condition, arg, limit_ms, &held));
    if (held)
        return DONE;
    slot_error(s, "%s did not come within %.1f s: pen %s, state %s%s%s", what, limit_ms / 1000.0, mn_link_name(s->pen.link), mn_state_name(s->pen.state),
               s->pen.last_error[0] != '\0' ? ", " : "", s->pen.last_error);
    s->error_kind = "pen";
    return ERROR;
}

/* ---- the record's attempt ---- */

double slot_parameter(const struct slot *s, const char *name)
{
    return plan_parameter(s->step, name);
}

void slot_measure(struct slot *s, const char *name, const char *unit, double value)
{
    record_number(s->attempt, s->step, name, unit, value);
}

void slot_measure_text(struct slot *s, const char *name, const char *value)
{
    record_text(s->attempt, s->step, name, value);
}

void slot_point(struct slot *s, const char *curve, double x, double y)
{
    record_point(s->attempt, curve, x, y);
}

void slot_progress(struct slot *s, double fraction)
{
    STATION_ROW(s->station, s->index, row->fraction = fraction);
}

/* ---- the fixture ---- */

enum outcome slot_ask(struct slot *s, const char *operation, json_t *args, json_t **answer)
{
    char why[300];

    if (fixture_ask(s->fixture, operation, args, answer, why, sizeof(why)) == 0)
        return DONE;
    slot_error(s, "%s", why);
    s->error_kind = "fixture";
    return ERROR;
}

enum outcome slot_read(struct slot *s, json_t **readings)
{
    return slot_ask(s, "read", NULL, readings);
}

enum outcome slot_number(struct slot *s, const json_t *readings, const char *name, double *out)
{
    const json_t *value = json_object_get(readings, name);

    if (!json_is_number(value)) {
        slot_error(s, "the fixture's reading has no number %s", name);
        s->error_kind = "fixture";
        return ERROR;
    }
    *out = json_number_value(value);
    return DONE;
}

/* ---- conditions ---- */

bool slot_is_ready(const struct slot *s, uint64_t unused)
{
    (void)unused;
    return s->present && s->pen.link == MN_LINK_READY && s->pen.state >= MN_STATE_SAFE;
}

bool slot_is_gone(const struct slot *s, uint64_t unused)
{
    (void)unused;
    return !s->present;
}

bool slot_is_in(const struct slot *s, uint64_t state)
{
    return s->present && s->pen.link == MN_LINK_READY && s->pen.state == (enum mn_state)state;
}

bool slot_is_another(const struct slot *s, uint64_t boot_id)
{
    return slot_is_ready(s, 0) && s->pen.boot_id != (uint32_t)boot_id;
}

bool slot_has_cartridge(const struct slot *s, uint64_t state)
{
    return s->pen.cartridge == (enum mn_cartridge)state;
}

bool slot_has_fault(const struct slot *s, uint64_t bit)
{
    return (s->pen.fault_word >> bit & 1) != 0;
}

bool slot_lacks_fault(const struct slot *s, uint64_t bit)
{
    return !slot_has_fault(s, bit);
}

bool slot_has_trigger(const struct slot *s, uint64_t pressed)
{
    return s->pen.trigger == (pressed != 0);
}

/* ---- the pen ---- */

/* Every fault that can be: of what is just over, the cause may be there for another moment. */
static enum outcome clear_faults(struct slot *s)
{
    uint32_t calibration = UINT32_C(1) << mn_fault_by_code(1701)->bit; /* this one stays until there is one */

    for (int i = 0; i < 20; i++) {
        TRY(slot_ok(s, mn_faults_clear(s->client, s->address, 0, true, &s->cleared, SLOT_CALL_MS), "clear faults"));
        if ((s->cleared.fault_word & ~calibration) == 0)
            break;
        TRY(slot_wait(s, 100));
    }
    return DONE;
}

enum outcome slot_enter(struct slot *s)
{
    uint8_t challenge[16], response[32];

    TRY(slot_await(s, slot_is_ready, 0, READY_MS, "a pen that is ready"));
    TRY(slot_ok(s, mn_lease_take(s->client, s->address, SLOT_CALL_MS), "take control of the pen"));
    TRY(clear_faults(s));
    if (s->pen.state == MN_STATE_FACTORY)
        return DONE;
    TRY(slot_ok(s, mn_factory_challenge(s->client, s->address, challenge, SLOT_CALL_MS), "get the pen's challenge"));
    station_prove(s->station, challenge, response);
    TRY(slot_ok(s, mn_factory_enter(s->client, s->address, response, SLOT_CALL_MS), "enter the factory"));
    if (s->calibrated)
        TRY(slot_ok(s, mn_factory_try(s->client, s->address, &s->calibration, SLOT_CALL_MS), "set the calibration on trial"));
    return slot_await(s, slot_is_in, MN_STATE_FACTORY, 2000, "FACTORY");
}

enum outcome slot_restart(struct slot *s, const char *operation)
{
    uint32_t boot_id = s->pen.boot_id;

    s->expected_gone = true;
    TRY(slot_ask(s, operation, NULL, NULL));
    TRY(slot_await(s, slot_is_another, boot_id, READY_MS, "the pen's restart"));
    s->expected_gone = false;
    return DONE;
}

static enum outcome insert_gauge(struct slot *s)
{
    struct mn_info info;

    TRY(slot_ok(s, mn_pen_info(s->client, s->address, &info, SLOT_CALL_MS), "ask for the cartridge"));
    if ((info.cartridge == MN_CARTRIDGE_NEW || info.cartridge == MN_CARTRIDGE_IN_USE) && info.cartridge_max_depth_um >= 2500)
        return DONE;
    TRY(slot_ask(s, "cartridge", json_pack("{s:s}", "kind", "gauge"), NULL));
    TRY(slot_await(s, slot_has_cartridge, MN_CARTRIDGE_ABSENT, 500, "the cartridge's removal"));
    TRY(slot_await(s, slot_has_cartridge, MN_CARTRIDGE_NEW, 2000, "the gauge cartridge"));
    return slot_ok(s, mn_faults_clear(s->client, s->address, 0, true, &s->cleared, SLOT_CALL_MS), "clear faults");
}

enum outcome slot_start_needles(struct slot *s, uint32_t depth_um, uint32_t rate_dhz, bool settle)
{
    struct mn_config change = {.present = MN_SET_DEPTH_UM | MN_SET_STROKE_RATE_DHZ | MN_SET_FAST_RATE_HZ | MN_SET_SLOW_RATE_HZ | MN_SET_SOFT_START_MS, .soft_start_ms = 100, .depth_um = depth_um,
                               .stroke_rate_dhz = rate_dhz, .fast_rate_hz = 1000, .slow_rate_hz = 10}, now;

    TRY(slot_enter(s));
    TRY(insert_gauge(s));
    TRY(slot_ok(s, mn_config_set(s->client, s->address, &change, NULL, &now, SLOT_CALL_MS), "configure the pen"));
    TRY(slot_ok(s, mn_factory_arm(s->client, s->address, now.generation, SLOT_CALL_MS), "arm the pen"));
    TRY(slot_await(s, slot_is_in, MN_STATE_ARMED, 1000, "ARMED"));
    TRY(slot_ask(s, "trigger", json_pack("{s:b}", "on", 1), NULL));
    TRY(slot_await(s, slot_is_in, MN_STATE_RUNNING, 1000, "RUNNING"));
    if (settle)
        TRY(slot_wait(s, SETTLE_MS));
    if (settle && !slot_is_in(s, MN_STATE_RUNNING))
        return slot_error(s, "the needles did not go on: state %s, fault word 0x%08x", mn_state_name(s->pen.state), s->pen.fault_word);
    return DONE;
}

enum outcome slot_stop_needles(struct slot *s)
{
    TRY(slot_ask(s, "trigger", json_pack("{s:b}", "on", 0), NULL));
    TRY(slot_await(s, slot_has_trigger, false, 2000, "the trigger's release"));
    return slot_await(s, slot_is_in, MN_STATE_FACTORY, 2000, "standstill");
}

static bool is_at_rest(const struct slot *s, uint64_t unused)
{
    (void)unused;
    return !s->present || (!s->pen.trigger && s->pen.state != MN_STATE_ARMED && s->pen.state != MN_STATE_RUNNING && s->pen.state != MN_STATE_STOPPING);
}

enum outcome slot_rest(struct slot *s)
{
    TRY(slot_ask(s, "safe", NULL, NULL));
    return slot_await(s, is_at_rest, 0, 2000, "the needles' rest");
}

/* ---- telemetry ---- */

void slot_listen_anew(struct slot *s)
{
    bool on = s->telemetry.on;

    s->telemetry = (struct telemetry){.on = on, .rate_min_dhz = INT32_MAX, .rate_max_dhz = INT32_MIN, .battery_mv_min = INT32_MAX, .motor_dc_max = INT32_MIN,
                                      .grip_dc_max = INT32_MIN, .high_dhz = INT32_MAX};
}

enum outcome slot_listen(struct slot *s, bool on)
{
    int r = mn_subscribe(s->client, s->address, on, SLOT_CALL_MS);

    s->telemetry.on = on && r == MN_OK;
    if (on)
        slot_listen_anew(s);
    return slot_ok(s, r, "listen to the pen's telemetry");
}

static void take_telemetry(struct telemetry *t, const struct mn_telemetry *m)
{
    const struct mn_fast *f = &m->fast;
    const struct mn_slow *slow = &m->slow;

    t->missed += t->samples > 0 ? f->missed : 0;
    for (size_t i = 0; i < f->count; i++) {
        uint64_t at_us = f->t0_us + i * f->period_us;
        int32_t rate = f->stroke_rate_dhz[i];

        t->first_us = t->samples == 0 ? at_us : t->first_us;
        t->last_us = at_us;
        t->samples++;
        t->rate_sum_dhz += rate;
        t->current_sum_ma += f->motor_current_ma[i];
        t->rate_min_dhz = rate < t->rate_min_dhz ? rate : t->rate_min_dhz;
        t->rate_max_dhz = rate > t->rate_max_dhz ? rate : t->rate_max_dhz;
        if (rate < t->low_dhz || rate > t->high_dhz)
            t->low_us = at_us;
    }
    for (size_t i = 0; i < slow->count; i++) {
        t->has_slow = true;
        t->motor_dc_max = slow->motor_temp_dc[i] > t->motor_dc_max ? slow->motor_temp_dc[i] : t->motor_dc_max;
        t->grip_dc_max = slow->grip_temp_dc[i] > t->grip_dc_max ? slow->grip_temp_dc[i] : t->grip_dc_max;
        t->battery_mv = slow->battery_mv[i];
        t->battery_mv_min = slow->battery_mv[i] < t->battery_mv_min ? slow->battery_mv[i] : t->battery_mv_min;
        t->vbus_mv = slow->vbus_mv[i];
        t->motor_rail_mv = slow->motor_rail_mv[i];
        t->logic_rail_mv = slow->logic_rail_mv[i];
    }
}

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    struct slot *s = user;

    (void)c;
    if (e->kind == MN_EVENT_TELEMETRY) {
        take_telemetry(&s->telemetry, e->telemetry);
    } else if (e->kind == MN_EVENT_PEN && strcmp(e->pen->port, s->port) == 0) {
        bool was = s->present;

        s->present = e->pen->link != MN_LINK_GONE;
        s->pen = *e->pen;
        if (was && !s->present && !s->expected_gone) {
            s->gone_ms = slot_now_ms();
            pthread_mutex_lock(&s->station->lock);
            s->station->lost_ms[s->index] = s->gone_ms;
            pthread_mutex_unlock(&s->station->lock);
        }
    }
}

/* ---- one attempt, one step ---- */

static bool idle(void *ctx)
{
    struct slot *s = ctx;

    return turn(s, 1) == DONE;
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

/* A program as a step: it is told of the pen, and answers with measurements, or an error. Its exit code counts, too. */
static enum outcome run_program(struct slot *s)
{
    struct child c;
    char why[300] = "";
    json_t *question, *answer, *m;
    int r = child_start(&c, s->step->program, s->address), code;
    size_t i;

    if (r < 0)
        return slot_error(s, "%s does not start: %s", s->step->program, strerror(-r));
    question = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "step", s->step->name, "slot", s->port, "address", s->address, "serial", s->serial, "udi", s->udi,
                         "parameters", s->step->parameters);
    answer = child_ask(&c, question, s->step->time_limit_s * 1000, idle, s, why, sizeof(why));
    json_decref(question);
    code = child_end(&c);
    if (atomic_load(&s->station->aborting) && !s->in_teardown) {
        json_decref(answer);
        return ABORTED;
    }
    if (answer == NULL)
        return slot_error(s, "%s: %s", s->step->program, why);
    json_array_foreach(json_object_get(answer, "measurements"), i, m)
        take_measurement(s, m);
    if (json_is_string(json_object_get(answer, "error")))
        slot_error(s, "%s: %s", s->step->program, json_string_value(json_object_get(answer, "error")));
    else if (code != 0)
        slot_error(s, "%s ended with code %d", s->step->program, code);
    r = json_object_get(answer, "error") != NULL || code != 0;
    json_decref(answer);
    return r != 0 ? ERROR : DONE;
}

/* Its pen has gone without the step's doing: then that is the error, whatever the step made of it; and of several at once the hub's. */
static enum outcome judge_loss(struct slot *s, enum outcome r)
{
    char hub[40];

    if (s->gone_ms == 0 || r == ABORTED)
        return r;
    if (station_lost_hub(s->station, s, hub) != NULL) {
        slot_error(s, "the hub %s has gone, with several pens at once", hub);
        s->error_kind = "fixture";
    } else {
        slot_error(s, "the pen at %s has gone: its cable, or its USB", s->port);
        s->error_kind = "pen";
    }
    return ERROR;
}

static const char *attempt(struct slot *s)
{
    uint64_t began_ms = slot_now_ms();
    const char *verdict;
    enum outcome r;

    s->error[0] = '\0';
    s->gone_ms = 0;
    s->expected_gone = false;
    s->deadline_ms = began_ms + (uint64_t)s->step->time_limit_s * 1000;
    r = judge_loss(s, s->step->builtin != NULL ? s->step->builtin->run(s) : run_program(s));
    if (s->telemetry.on)
        slot_listen(s, false);
    verdict = r == ABORTED ? "ABORTED" : r == ERROR ? "ERROR" : record_judge(s->attempt);
    json_object_set_new(s->attempt, "verdict", json_string(verdict));
    json_object_set_new(s->attempt, "seconds", json_real((double)(slot_now_ms() - began_ms) / 1000));
    if (r == ERROR)
        json_object_set_new(s->attempt, "error", json_pack("{s:s, s:s}", "kind", s->error_kind, "text", s->error));
    return verdict;
}

static void save(struct slot *s)
{
    int r = record_write(&s->record);

    if (r < 0) /* the station cannot keep what it finds: it must not go on */
        STATION_ROW(s->station, s->index, snprintf(row->text, sizeof(row->text), "cannot write %.200s: %s", s->record.path, strerror(-r)));
    if (r < 0)
        atomic_store(&s->station->aborting, true);
}

/* Whatever a step leaves behind: needles at rest, fixture safe. */
static bool make_safe(struct slot *s)
{
    bool was = s->in_teardown, good;
    char kept[sizeof(s->error)];
    const char *kind = s->error_kind;

    memcpy(kept, s->error, sizeof(kept));
    s->in_teardown = true;
    s->deadline_ms = slot_now_ms() + TEARDOWN_MS;
    s->expected_gone = true;
    good = slot_ask(s, "safe", NULL, NULL) == DONE; /* it takes the trigger away first */
    if (s->present)
        mn_stop(s->client, s->address, SLOT_CALL_MS);
    if (good)
        slot_rest(s);
    memcpy(s->error, kept, sizeof(kept));
    s->error_kind = kind;
    s->in_teardown = was;
    return good;
}

static enum outcome await_turn(struct slot *s, size_t index)
{
    s->deadline_ms = slot_now_ms() + (uint64_t)s->step->time_limit_s * 1000 * STATION_SLOTS_MAX;
    while (!station_enter_step(s->station, index))
        TRY(slot_wait(s, TURN_MS));
    return DONE;
}

/* The last attempt's verdict. */
static const char *run_step(struct slot *s, size_t index, json_t *entry)
{
    const char *verdict = "ABORTED";
    json_t *attempts = json_object_get(entry, "attempts");

    s->step = &s->station->plan->steps[index];
    STATION_ROW(s->station, s->index, {
        snprintf(row->step, sizeof(row->step), "%s", s->step->name);
        row->fraction = 0;
    });
    if (await_turn(s, index) != DONE)
        return verdict;
    for (unsigned i = 0; i <= s->step->retries; i++) {
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
    }
    station_leave_step(s->station, index);
    save(s);
    return verdict;
}

/* ---- the run ---- */

static const char *why_skipped(const struct slot *s, const struct plan_step *step, bool stopped, bool failed)
{
    const struct station *st = s->station;
    bool for_good = step->builtin != NULL && (strcmp(step->builtin->name, "identity") == 0 || strcmp(step->builtin->name, "leave") == 0);

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
    snprintf(id, sizeof(id), "%.4s%.2s%.2sT%.2s%.2s%.2s-%s-%u", now, now + 5, now + 8, now + 11, now + 14, now + 17, s->address + 1, atomic_fetch_add(&st->numbered, 1) + 1);
    snprintf(s->record.path, sizeof(s->record.path), "%s/%s.json", st->options.out, id);
    s->record.json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s}, s:{s:s, s:s}, s:[]}", "format",
                               "mn-factory record 1", "run", id, "verdict", "INTERRUPTED", "station", st->name, "slot", s->port, "serial", "", "udi", "",
                               "began", now, "commit", st->options.commit, "plan", "name", st->plan->name, "path", st->plan->path, "sha256", st->plan->sha256,
                               "limits", "name", st->plan->limits_name, "path", st->plan->limits_path, "sha256", st->plan->limits_sha256, "versions",
                               "mn_factory", mn_version(), "mnd", st->daemon_version, "steps");
    return s->record.json != NULL && record_write(&s->record) == 0;
}

/* The connection, the pen, its fixture and its label; an error of it is the run's. */
static enum outcome prepare(struct slot *s)
{
    json_t *label = NULL;
    const char *serial, *udi;
    char why[300];

    s->deadline_ms = slot_now_ms() + 60000;
    if (s->fixture == NULL)
        s->fixture = s->station->plan->simulated ? fixture_simulated(s->client, s->address, why, sizeof(why))
                                                 : fixture_program(s->station->plan->fixture, s->address, idle, s, why, sizeof(why));
    if (s->fixture == NULL) {
        slot_error(s, "%s", why);
        s->error_kind = "fixture";
        return ERROR;
    }
    TRY(slot_await(s, slot_is_ready, 0, READY_MS, "a pen"));
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
    json_object_set_new(s->record.json, "serial", json_string(s->serial));
    json_object_set_new(s->record.json, "udi", json_string(s->udi));
    json_object_set_new(s->record.json, "firmware", json_string(s->pen.firmware_version));
    json_object_set_new(s->record.json, "simulated", json_boolean(s->pen.simulated));
    STATION_ROW(s->station, s->index, snprintf(row->serial, sizeof(row->serial), "%s", s->serial));
    return DONE;
}

static int connect_slot(struct slot *s)
{
    struct mn_options o = {.socket = s->station->options.socket, .name = "mn-factory", .on_event = on_event, .user = s};
    struct mn_pens pens;
    char message[300];
    int r;

    if (s->client != NULL)
        return MN_OK;
    r = mn_connect(&s->client, &o, message, sizeof(message));
    if (r == MN_OK)
        r = mn_watch(s->client, true, &pens, SLOT_CALL_MS);
    if (r != MN_OK) {
        slot_error(s, "%s", s->client == NULL ? message : mn_message(s->client));
        mn_close(s->client);
        s->client = NULL;
        return r;
    }
    for (size_t i = 0; i < pens.count; i++)
        on_event(s->client, &(struct mn_event){.kind = MN_EVENT_PEN, .pen = &pens.pen[i]}, s);
    mn_pens_free(&pens);
    return MN_OK;
}

static void finish(struct slot *s, uint64_t began_ms)
{
    const char *verdict;
    char now[32];

    if (s->client != NULL && s->fixture != NULL && !make_safe(s) && json_object_get(s->record.json, "error") == NULL) {
        slot_error(s, "the fixture could not be made safe: look at it before the next pen");
        run_error(s, "fixture");
    }
    if (s->client != NULL && s->present && s->pen.state == MN_STATE_FACTORY)
        mn_factory_leave(s->client, s->address, false, &(struct mn_status){0}, SLOT_CALL_MS);
    if (s->client != NULL && s->present)
        mn_lease_release(s->client, s->address, SLOT_CALL_MS);
    verdict = s->aborted ? "ABORTED" : record_verdict(s->record.json);
    record_now(now);
    json_object_set_new(s->record.json, "verdict", json_string(verdict));
    json_object_set_new(s->record.json, "ended", json_string(now));
    json_object_set_new(s->record.json, "seconds", json_real((double)(slot_now_ms() - began_ms) / 1000));
    save(s);
    station_done(s->station, s);
}

bool slot_run(struct slot *s)
{
    uint64_t began_ms = slot_now_ms();

    s->calibrated = s->in_teardown = s->aborted = false;
    s->step = NULL;
    s->gone_ms = 0;
    s->error[0] = '\0';
    if (!begin_record(s))
        return false;
    STATION_ROW(s->station, s->index, {
        *row = (struct row){.began_ms = began_ms, .total = (unsigned)s->station->plan->step_count, .runs = row->runs + 1};
        snprintf(row->step, sizeof(row->step), "waiting for the pen");
    });
    s->error_kind = "step";
    if (connect_slot(s) != MN_OK)
        run_error(s, "step");
    else if (prepare(s) == ERROR)
        run_error(s, s->error_kind);
    if (s->client != NULL)
        run_steps(s); /* after an error the teardown's only */
    finish(s, began_ms);
    json_decref(s->record.json);
    s->record.json = NULL;
    return true;
}
