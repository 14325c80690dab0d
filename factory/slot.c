#include "slot.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TURN_MS = 20, SETTLE_MS = 600 };

/* ---- errors and waiting ---- */

enum outcome slot_error(struct slot *s, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(s->error, sizeof(s->error), format, ap);
    va_end(ap);
    for (char *c = s->error; *c != '\0'; c++) /* records are ASCII here: vsnprintf() may have cut a UTF-8 character */
        *c = *c < ' ' || *c > '~' ? '?' : *c;
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

/* Waits for the daemon for at most ms, or until also_fd (-1: none) is readable, and handles what arrives. Returns libmn's error. */
static int exchange(struct slot *s, unsigned ms, int also_fd)
{
    struct pollfd fds[2] = {{.fd = mn_fd(s->client), .events = mn_events(s->client)}, {.fd = also_fd, .events = POLLIN}};
    int due = mn_timeout_ms(s->client);
    unsigned wait = due >= 0 && (unsigned)due < ms ? (unsigned)due : ms;

    poll(fds, 2, (int)(wait < TURN_MS ? wait : TURN_MS));
    return mn_process(s->client);
}

/* Waits once and handles what arrives. Ends at the step's time limit and when the run is aborted. */
static enum outcome turn(struct slot *s, unsigned ms)
{
    if (atomic_load(&s->station->aborting) && !s->in_teardown)
        return ABORTED;
    if (station_now_ms() >= s->deadline_ms)
        return slot_error(s, "the time limit of %u s is over", s->step != NULL ? s->step->time_limit_s : SLOT_TEARDOWN_MS / 1000);
    return slot_ok(s, exchange(s, ms, -1), "go on");
}

static bool serve(void *ctx, int done_fd)
{
    struct slot *s = ctx;

    return s->client != NULL && exchange(s, TURN_MS, done_fd) == MN_OK;
}

void slot_aside(struct slot *s, aside_work *work, void *arg)
{
    aside_run(work, arg, serve, s);
}

enum outcome slot_wait_for(struct slot *s, slot_condition *condition, uint64_t arg, unsigned limit_ms, bool *held)
{
    uint64_t end_ms = station_now_ms() + limit_ms, now;

    while (!(*held = condition(s, arg)) && (now = station_now_ms()) < end_ms)
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

bool slot_was_emptied(const struct slot *s, uint64_t removals)
{
    return s->pen.cartridge == MN_CARTRIDGE_ABSENT || s->removals != removals;
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

/* Clears all faults. Repeated, because the cause of a fault may persist for a moment. */
static enum outcome clear_faults(struct slot *s)
{
    uint32_t calibration = UINT32_C(1) << mn_fault_by_code(1701)->bit; /* stays until the pen is calibrated */

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

    TRY(slot_await(s, slot_is_ready, 0, SLOT_READY_MS, "a pen that is ready"));
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
    TRY(slot_await(s, slot_is_another, boot_id, SLOT_READY_MS, "the pen's restart"));
    s->expected_gone = false;
    return DONE;
}

static enum outcome insert_gauge(struct slot *s)
{
    struct mn_info info;
    unsigned removals;

    TRY(slot_ok(s, mn_pen_info(s->client, s->address, &info, SLOT_CALL_MS), "ask for the cartridge"));
    if ((info.cartridge == MN_CARTRIDGE_NEW || info.cartridge == MN_CARTRIDGE_IN_USE) && info.cartridge_max_depth_um >= 2500)
        return DONE;
    removals = s->removals;
    TRY(slot_ask(s, "cartridge", json_pack("{s:s}", "kind", "gauge"), NULL));
    TRY(slot_await(s, slot_was_emptied, removals, 2000, "the cartridge's removal"));
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

/* The pen, which was the factory's, has just noticed that its host is silent. */
static bool has_lost_host(const struct mn_pen *before, const struct mn_pen *now)
{
    uint32_t lost = UINT32_C(1) << mn_fault_by_code(1601)->bit;

    return (now->fault_word & ~before->fault_word & lost) != 0 && now->boot_id == before->boot_id &&
           (before->state == MN_STATE_FACTORY || before->state == MN_STATE_ARMED || before->state == MN_STATE_RUNNING || before->state == MN_STATE_STOPPING);
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
        s->host_lost |= !s->expected_gone && !s->expected_host_loss && has_lost_host(&s->pen, e->pen);
        s->removals += e->pen->cartridge == MN_CARTRIDGE_ABSENT && s->pen.cartridge != MN_CARTRIDGE_ABSENT;
        s->pen = *e->pen;
        if (was && !s->present && !s->expected_gone) {
            s->gone_ms = station_now_ms();
            pthread_mutex_lock(&s->station->lock);
            s->station->lost_ms[s->index] = s->gone_ms;
            pthread_mutex_unlock(&s->station->lock);
        }
    }
}

int slot_connect(struct slot *s)
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
