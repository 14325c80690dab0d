/* The rest of the pen's hardware: supplies, motor current, trigger, cartridge reader, battery, heat. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "slot.h"
#include "step_list.h"

static bool has_slow(const struct slot *s, uint64_t unused)
{
    (void)unused;
    return s->telemetry.has_slow;
}

enum outcome step_rails(struct slot *s)
{
    enum { VBUS_MV = 5000, MOTOR_MV = 3700, LOGIC_MV = 3300 };

    TRY(slot_start_needles(s, 500, 1000, true));
    TRY(slot_listen(s, true));
    TRY(slot_await(s, has_slow, 0, 2000, "telemetry"));
    slot_measure(s, "vbus_error_pct", "%", (s->telemetry.vbus_mv / (double)VBUS_MV - 1) * 100);
    slot_measure(s, "motor_rail_error_pct", "%", (s->telemetry.motor_rail_mv / (double)MOTOR_MV - 1) * 100);
    slot_measure(s, "logic_rail_error_pct", "%", (s->telemetry.logic_rail_mv / (double)LOGIC_MV - 1) * 100);
    return slot_stop_needles(s);
}

enum outcome step_current(struct slot *s)
{
    TRY(slot_start_needles(s, 500, 1000, true));
    TRY(slot_listen(s, true));
    TRY(slot_wait(s, 400));
    if (s->telemetry.samples == 0)
        return slot_error(s, "no telemetry came");
    slot_measure(s, "current_ma", "mA", s->telemetry.current_sum_ma / (double)s->telemetry.samples);
    return slot_stop_needles(s);
}

enum outcome step_trigger(struct slot *s)
{
    enum { SEEN_MS = 300 };
    json_t *readings;
    double ms;
    bool seen;
    enum outcome r;

    TRY(slot_enter(s));
    TRY(slot_ask(s, "trigger", json_pack("{s:b}", "on", 1), NULL));
    TRY(slot_wait_for(s, slot_has_trigger, true, SEEN_MS, &seen));
    slot_measure(s, "press", "", seen);
    TRY(slot_ask(s, "trigger", json_pack("{s:b}", "on", 0), NULL));
    TRY(slot_wait_for(s, slot_has_trigger, false, SEEN_MS, &seen));
    slot_measure(s, "release", "", seen);
    TRY(slot_read(s, &readings));
    r = slot_number(s, readings, "bounce_ms", &ms);
    json_decref(readings);
    if (r == DONE)
        slot_measure(s, "bounce_ms", "ms", ms);
    TRY(slot_wait_for(s, slot_has_trigger, false, 2000, &seen));
    return r;
}

enum outcome step_cartridge(struct slot *s)
{
    static const struct {
        const char *kind;
        enum mn_cartridge wanted;
    } tags[] = {{"good", MN_CARTRIDGE_NEW}, {"blank", MN_CARTRIDGE_UNREADABLE}, {"used", MN_CARTRIDGE_USED}, {"expired", MN_CARTRIDGE_EXPIRED},
                {"foreign", MN_CARTRIDGE_REJECTED}};
    char name[32];
    bool held;

    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        uint64_t began_ms = station_now_ms();
        unsigned removals = s->removals;

        TRY(slot_ask(s, "cartridge", json_pack("{s:s}", "kind", tags[i].kind), NULL));
        TRY(slot_await(s, slot_was_emptied, removals, 2000, "the last cartridge's removal"));
        TRY(slot_wait_for(s, slot_has_cartridge, tags[i].wanted, 1500, &held));
        slot_measure_text(s, tags[i].kind, mn_cartridge_name(s->pen.cartridge));
        snprintf(name, sizeof(name), "%s_ms", tags[i].kind);
        if (held)
            slot_measure(s, name, "ms", (double)(station_now_ms() - began_ms));
    }
    return DONE;
}

enum outcome step_battery(struct slot *s)
{
    int32_t open_mv;

    TRY(slot_wait(s, (unsigned)(slot_parameter(s, "rest_s") * 1000))); /* a cell that has just worked is still low */
    TRY(slot_listen(s, true));
    TRY(slot_await(s, has_slow, 0, 2000, "telemetry"));
    open_mv = s->telemetry.battery_mv;
    slot_measure(s, "open_circuit_mv", "mV", open_mv);
    TRY(slot_start_needles(s, 500, 1000, true));
    slot_listen_anew(s);
    TRY(slot_wait(s, 2500));
    TRY(slot_await(s, has_slow, 0, 2000, "telemetry"));
    slot_measure(s, "sag_mv", "mV", open_mv - s->telemetry.battery_mv_min);
    return slot_stop_needles(s);
}

/* In runs of 100 s at the most: the pen itself ends a run after 120 s. */
enum outcome step_soak(struct slot *s)
{
    enum { RUN_MS = 100000, TURN_MS = 250 };
    uint64_t whole_ms = (uint64_t)(slot_parameter(s, "seconds") * 1000), done_ms = 0;
    double strokes = 0;
    json_t *readings;
    enum outcome r;

    TRY(slot_listen(s, true));
    TRY(slot_ask(s, "mark", NULL, NULL));
    while (done_ms < whole_ms) {
        uint64_t began_ms, run_ms = whole_ms - done_ms < RUN_MS ? whole_ms - done_ms : RUN_MS;

        TRY(slot_start_needles(s, 1000, 1200, false));
        began_ms = station_now_ms();
        while (station_now_ms() - began_ms < run_ms && slot_is_in(s, MN_STATE_RUNNING)) {
            TRY(slot_wait(s, TURN_MS));
            slot_progress(s, (double)(done_ms + station_now_ms() - began_ms) / (double)whole_ms);
        }
        done_ms += run_ms;
        if (!slot_is_in(s, MN_STATE_RUNNING)) /* it stopped by itself: the strokes show it, and the heat why */
            break;
        TRY(slot_stop_needles(s));
    }
    TRY(slot_read(s, &readings));
    r = slot_number(s, readings, "strokes", &strokes);
    json_decref(readings);
    slot_measure(s, "motor_max_c", "C", s->telemetry.motor_dc_max / 10.0);
    slot_measure(s, "grip_max_c", "C", s->telemetry.grip_dc_max / 10.0);
    slot_measure(s, "strokes", "", strokes);
    return r;
}
