/* Motion of the needles, measured by the fixture's gauge, tachometer and brake, not by the pen's own sensors. */
#include <math.h>
#include <stdio.h>

#include "slot.h"
#include "step_list.h"

/* Averages of the fixture's readings over some time. */
struct reading {
    double peak_um, peak_max_um, rate_hz;
};

static enum outcome read_over(struct slot *s, unsigned ms, struct reading *out)
{
    json_t *readings;
    enum outcome r;

    TRY(slot_ask(s, "mark", NULL, NULL));
    TRY(slot_wait(s, ms));
    TRY(slot_read(s, &readings));
    r = slot_number(s, readings, "peak_um", &out->peak_um);
    if (r == DONE)
        r = slot_number(s, readings, "peak_max_um", &out->peak_max_um);
    if (r == DONE)
        r = slot_number(s, readings, "rate_hz", &out->rate_hz);
    json_decref(readings);
    return r;
}

/* Runs the needles at this depth and rate, reads the fixture, and stops them again. */
static enum outcome run_and_read(struct slot *s, uint32_t depth_um, uint32_t rate_dhz, struct reading *out)
{
    TRY(slot_start_needles(s, depth_um, rate_dhz, true));
    TRY(read_over(s, 400, out));
    return slot_stop_needles(s);
}

static enum outcome read_number(struct slot *s, const char *name, double *out)
{
    json_t *readings;
    enum outcome r;

    TRY(slot_read(s, &readings));
    r = slot_number(s, readings, name, out);
    json_decref(readings);
    return r;
}

enum outcome step_homing(struct slot *s)
{
    unsigned count = (unsigned)slot_parameter(s, "count");
    double least = INFINITY, greatest = -INFINITY, um;
    struct mn_status status;

    TRY(slot_enter(s));
    for (unsigned i = 0; i < count; i++) {
        TRY(slot_ok(s, mn_self_test(s->client, s->address, &status, SLOT_CALL_MS), "home the needles"));
        TRY(slot_await(s, slot_is_in, MN_STATE_FACTORY, 1000, "FACTORY"));
        TRY(read_number(s, "home_um", &um));
        least = fmin(least, um);
        greatest = fmax(greatest, um);
        slot_progress(s, (i + 1.0) / count);
    }
    slot_measure(s, "home_spread_um", "um", greatest - least);
    return DONE;
}

/* ---- calibration: true = raw * gain + offset, through two points each ---- */

struct line {
    double gain, offset;
};

static struct line through(double raw_a, double true_a, double raw_b, double true_b)
{
    double gain = (true_b - true_a) / (raw_b - raw_a);

    return (struct line){gain, true_a - gain * raw_a};
}

static enum outcome measure_current_offset(struct slot *s, double *offset_ma)
{
    bool held;

    TRY(slot_listen(s, true));
    TRY(slot_wait_for(s, slot_has_trigger, true, 300, &held)); /* at rest: nothing flows */
    if (s->telemetry.samples == 0)
        return slot_error(s, "no telemetry came");
    *offset_ma = -s->telemetry.current_sum_ma / (double)s->telemetry.samples;
    return slot_listen(s, false);
}

enum outcome step_calibrate(struct slot *s)
{
    enum { SHALLOW_UM = 500, DEEP_UM = 2000, SLOW_DHZ = 600, FAST_DHZ = 1100, PPM = 1000000 };
    const struct mn_calibration none = {.depth_gain_ppm = PPM, .rate_gain_ppm = PPM};
    struct reading shallow, deep, slow, fast;
    struct line depth, rate;
    double current_ma = 0;

    s->calibrated = false;
    TRY(slot_enter(s));
    TRY(slot_ok(s, mn_factory_try(s->client, s->address, &none, SLOT_CALL_MS), "take the pen's raw figures"));
    TRY(measure_current_offset(s, &current_ma));
    TRY(run_and_read(s, SHALLOW_UM, 1000, &shallow));
    TRY(run_and_read(s, DEEP_UM, 1000, &deep));
    slot_progress(s, 0.5);
    TRY(run_and_read(s, SHALLOW_UM, SLOW_DHZ, &slow));
    TRY(run_and_read(s, SHALLOW_UM, FAST_DHZ, &fast));
    depth = through(SHALLOW_UM, shallow.peak_um, DEEP_UM, deep.peak_um);
    rate = through(SLOW_DHZ, slow.rate_hz * 10, FAST_DHZ, fast.rate_hz * 10);
    s->calibration = (struct mn_calibration){.depth_gain_ppm = (uint32_t)lround(depth.gain * PPM),
                                             .depth_offset_um = (int32_t)lround(depth.offset),
                                             .rate_gain_ppm = (uint32_t)lround(rate.gain * PPM),
                                             .rate_offset_dhz = (int32_t)lround(rate.offset),
                                             .current_offset_ma = (int32_t)lround(current_ma)};
    slot_measure(s, "depth_gain_pct", "%", (depth.gain - 1) * 100);
    slot_measure(s, "depth_offset_um", "um", depth.offset);
    slot_measure(s, "rate_gain_pct", "%", (rate.gain - 1) * 100);
    slot_measure(s, "rate_offset_dhz", "dhz", rate.offset);
    slot_measure(s, "current_offset_ma", "mA", current_ma);
    TRY(slot_ok(s, mn_factory_try(s->client, s->address, &s->calibration, SLOT_CALL_MS), "set the calibration on trial"));
    s->calibrated = true;
    return DONE;
}

enum outcome step_depth(struct slot *s)
{
    static const uint32_t depths_um[] = {0, 250, 500, 1000, 1500, 2000, 2500};
    const size_t n = sizeof(depths_um) / sizeof(depths_um[0]);
    double greatest = 0;
    struct reading r;
    char name[32];

    for (size_t i = 0; i < n; i++) {
        TRY(run_and_read(s, depths_um[i], 1000, &r));
        snprintf(name, sizeof(name), "depth_error_%u_um", depths_um[i]);
        slot_measure(s, name, "um", r.peak_um - depths_um[i]);
        slot_point(s, "depth_um", depths_um[i], r.peak_um);
        greatest = fmax(greatest, r.peak_max_um);
        slot_progress(s, (double)(i + 1) / (double)n);
    }
    slot_measure(s, "depth_max_um", "um", greatest);
    return DONE;
}

enum outcome step_rate(struct slot *s)
{
    static const uint32_t rates_hz[] = {60, 100, 150};
    struct reading r;
    char name[32];

    for (size_t i = 0; i < 3; i++) {
        TRY(run_and_read(s, 500, rates_hz[i] * 10, &r));
        snprintf(name, sizeof(name), "rate_error_%u_pct", rates_hz[i]);
        slot_measure(s, name, "%", (r.rate_hz / rates_hz[i] - 1) * 100);
        slot_point(s, "rate_hz", rates_hz[i], r.rate_hz);
        slot_progress(s, (double)(i + 1) / 3);
    }
    return DONE;
}

/* From a change of the load until the rate is within 5 % of its set-point for good. */
static enum outcome recover(struct slot *s, int permille, double *ms)
{
    slot_listen_anew(s);
    s->telemetry.low_dhz = 950;
    s->telemetry.high_dhz = 1050;
    TRY(slot_ask(s, "brake", json_pack("{s:i}", "permille", permille), NULL));
    TRY(slot_wait(s, 450));
    if (s->telemetry.samples == 0)
        return slot_error(s, "no telemetry came");
    if (s->telemetry.low_us > s->telemetry.first_us)
        *ms = fmax(*ms, (double)(s->telemetry.low_us - s->telemetry.first_us) / 1000);
    return DONE;
}

enum outcome step_brake(struct slot *s)
{
    struct reading free_run, braked;
    double recovery_ms = 0;

    TRY(slot_start_needles(s, 500, 1000, true));
    TRY(slot_listen(s, true));
    TRY(read_over(s, 300, &free_run));
    TRY(recover(s, (int)slot_parameter(s, "permille"), &recovery_ms));
    TRY(read_over(s, 250, &braked));
    TRY(recover(s, 0, &recovery_ms));
    TRY(slot_stop_needles(s));
    slot_measure(s, "drop_pct", "%", fmax(0, (1 - braked.rate_hz / free_run.rate_hz) * 100));
    slot_measure(s, "recovery_ms", "ms", recovery_ms);
    return DONE;
}

/* ---- what must stop them ---- */

/* Of the faults that stop the needles, the one that is there. */
static void measure_fault(struct slot *s)
{
    static const unsigned stopping[] = {1101, 1102, 1103, 1104, 1106, 1107, 1201, 1402, 1403, 1501, 1601, 1801};
    char text[16] = "none";

    for (size_t i = sizeof(stopping) / sizeof(stopping[0]); i-- > 0;) {
        if (slot_has_fault(s, mn_fault_by_code(stopping[i])->bit))
            snprintf(text, sizeof(text), "%u", stopping[i]);
    }
    slot_measure_text(s, "fault", text);
}

enum outcome step_stall(struct slot *s)
{
    double ms;
    bool held;

    TRY(slot_start_needles(s, 500, 1000, true));
    TRY(slot_ask(s, "brake", json_pack("{s:i}", "permille", 2000), NULL));
    TRY(slot_wait_for(s, slot_is_in, MN_STATE_FAULT, 2500, &held));
    measure_fault(s);
    TRY(read_number(s, "brake_to_cut_ms", &ms));
    slot_measure(s, "cut_ms", "ms", ms);
    return slot_rest(s);
}

enum outcome step_heartbeat(struct slot *s)
{
    double ms;
    bool held;

    TRY(slot_start_needles(s, 500, 1000, true));
    s->expected_host_loss = true;
    TRY(slot_ok(s, mn_factory_provoke(s->client, s->address, 900, NULL, 0, SLOT_CALL_MS), "keep heartbeats back"));
    TRY(slot_wait_for(s, slot_is_in, MN_STATE_FAULT, 800, &held));
    TRY(slot_wait(s, 100));
    measure_fault(s);
    TRY(read_number(s, "heartbeat_to_rest_ms", &ms));
    slot_measure(s, "rest_ms", "ms", ms);
    TRY(slot_ok(s, mn_factory_provoke(s->client, s->address, 0, NULL, 0, SLOT_CALL_MS), "let heartbeats go on"));
    return slot_rest(s);
}

enum outcome step_cable(struct slot *s)
{
    double ms;

    TRY(slot_start_needles(s, 500, 1000, true));
    s->expected_gone = true;
    TRY(slot_ask(s, "cable", json_pack("{s:b}", "on", 0), NULL));
    TRY(slot_await(s, slot_is_gone, 0, 3000, "the pen's removal"));
    TRY(slot_wait(s, 700));
    TRY(read_number(s, "cable_to_rest_ms", &ms));
    slot_measure(s, "rest_ms", "ms", ms);
    TRY(slot_ask(s, "safe", NULL, NULL));
    TRY(slot_await(s, slot_is_ready, 0, 10000, "the pen"));
    TRY(slot_rest(s));
    s->expected_gone = false;
    return slot_wait(s, 300); /* if its needles move then, boot has said so */
}
