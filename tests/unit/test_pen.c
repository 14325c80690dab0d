/*
 * The pen's state machine at its edges: to the millisecond where time decides, at once where something must be so at once, and what each
 * refusal leaves as it was. (Its rules are in test_core.c, what fails while it runs in test_running.c.)
 */
#include "rig.h"

#include <pb_decode.h>
#include <stdio.h>

#include "factory.h"
#include "nvm.h"
#include "records.h"

static struct rig rig;

static int begin(void **state)
{
    (void)state;
    rig_start(&rig);
    return 0;
}

static int end(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

static struct pen *pen(void)
{
    return &rig.v.pen;
}

static void run(void)
{
    rig_arm(&rig);
    rig_say(&rig, "trigger press");
    rig_until_state(&rig, mnp_State_STATE_RUNNING, 20);
}

static void stop(void)
{
    rig_say(&rig, "trigger release");
    rig_until_state(&rig, mnp_State_STATE_SAFE, 500);
}

static mnp_Status status(void)
{
    mnp_Status s = mnp_Status_init_zero;

    rig_decode(rig_call(&rig, mnp_FrameType_TYPE_STATUS, NULL, NULL), mnp_Status_fields, &s);
    return s;
}

/* The how manyth last record, as it is in the memory. */
static mnp_Record last_record(uint32_t back)
{
    mnp_RecordsGet get = {.has_from = true, .from = pen()->records.newest - back};
    const struct mn_frame *f = rig_call(&rig, mnp_FrameType_TYPE_RECORDS_GET, mnp_RecordsGet_fields, &get);
    pb_istream_t stream = pb_istream_from_buffer(f->payload, f->length), inner;
    mnp_Record r = mnp_Record_init_zero;
    pb_wire_type_t type;
    uint32_t tag;
    bool eof;

    while (pb_decode_tag(&stream, &type, &tag, &eof)) {
        if (type != PB_WT_STRING) {
            assert_true(pb_skip_field(&stream, type));
            continue;
        }
        assert_true(pb_make_string_substream(&stream, &inner) && pb_decode(&inner, mnp_Record_fields, &r));
        assert_int_equal(r.number, get.from);
        return r;
    }
    fail_msg("there is no record %u", get.from);
    return r;
}

/* One tick in which lie() has the last word about what the sensors read. */
static void step(void (*lie)(struct pen_sensors *s))
{
    model_step(&rig.v.model, &rig.v.actuators, &rig.v.sensors);
    lie(&rig.v.sensors);
    if (pen()->now_ms % MN_HEARTBEAT_PERIOD_MS == 0)
        rig_send(&rig, mnp_FrameType_TYPE_HEARTBEAT, 0, NULL, 0);
    pen_tick(pen(), &rig.v.sensors, &rig.v.actuators);
}

/* ---- time ---- */

static uint64_t boots_in(bool home)
{
    uint64_t began_ms = pen()->now_ms;

    pen()->homed = false;
    assert_true(pen_self_test(pen(), NULL));
    while (pen()->state == mnp_State_STATE_SELFTEST) {
        rig.v.sensors.home_seen = home;
        rig.v.sensors.hardware_ok = rig.v.sensors.image_ok = true;
        pen_tick(pen(), &rig.v.sensors, &rig.v.actuators);
        assert_false(rig.v.actuators.enable);
    }
    return pen()->now_ms - began_ms;
}

static void the_self_test_takes_its_time_and_no_longer(void **state)
{
    (void)state;
    assert_int_equal(boots_in(true), 300);
    assert_false(rig_has_fault(&rig, 1203));
    assert_int_equal(boots_in(false), 500);
    rig_until_fault(&rig, 1203, 2);
}

static void a_self_test_says_how_far_it_is_every_100_ms(void **state)
{
    size_t progress = 0;

    (void)state;
    rig.heartbeat = false;
    rig_call(&rig, mnp_FrameType_TYPE_SELF_TEST, NULL, NULL);
    for (size_t i = 0; i < rig.count; i++)
        progress += rig.frames[i].type == mnp_FrameType_TYPE_PROGRESS;
    assert_in_range(progress, 3, 5);
}

static void an_armed_pen_waits_for_as_long_as_it_is_set_to(void **state)
{
    uint64_t began_ms;

    (void)state;
    rig_set(&rig, SETTING_auto_off_s, 5);
    rig_arm(&rig);
    began_ms = pen()->state_since_ms;
    rig_until_state(&rig, mnp_State_STATE_SAFE, 6000);
    assert_int_equal(pen()->now_ms - began_ms, 5000);
}

static void the_pen_rests_when_no_edge_has_come_for_20_ms(void **state)
{
    (void)state;
    run();
    rig_run(&rig, 1000);
    stop();
    assert_int_equal(pen()->detect.still_ms, 20);
}

static void lie_slow(struct pen_sensors *s)
{
    s->rate_dhz = 600;
}

static void a_low_rate_stops_a_second_after_it_was_flagged(void **state)
{
    uint64_t flagged_ms;

    (void)state;
    run();
    rig_run(&rig, 1500);
    while (!rig_has_fault(&rig, 1103))
        step(lie_slow);
    flagged_ms = pen()->now_ms;
    while (pen()->state == mnp_State_STATE_RUNNING)
        step(lie_slow);
    assert_int_equal(pen()->now_ms - flagged_ms, 1000);
}

static void lie_hot(struct pen_sensors *s)
{
    s->motor_temp_dc = 800;
}

static void lie_too_hot(struct pen_sensors *s)
{
    s->motor_temp_dc = 801;
}

static void a_motor_stops_above_80_degrees(void **state)
{
    (void)state;
    run();
    for (int i = 0; i < 100; i++)
        step(lie_hot);
    assert_int_equal(pen()->state, mnp_State_STATE_RUNNING);
    step(lie_too_hot);
    assert_int_equal(pen()->state, mnp_State_STATE_STOPPING);
}

static void lie_shallow(struct pen_sensors *s)
{
    s->stroke_peak_um = s->stroke_done ? 100 : 0;
}

/* Depth is judged when the rate has settled: 200 ms of ramp, 300 ms more, and then for a second. */
static void depth_is_judged_when_the_rate_has_settled(void **state)
{
    uint64_t began_ms;

    (void)state;
    rig_set(&rig, SETTING_depth_um, 1000);
    run();
    began_ms = pen()->state_since_ms;
    while (!rig_has_fault(&rig, 1202) && pen()->now_ms - began_ms < 3000)
        step(lie_shallow);
    assert_in_range(pen()->now_ms - began_ms, 1500, 1520);
}

static void each_run_has_its_ramp(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        run();
        rig_run(&rig, 50);
        assert_in_range(pen()->motor.set_dhz, 1, 400);
        rig_run(&rig, 450);
        assert_int_equal(pen()->motor.set_dhz, 1000);
        stop();
    }
}

/* ---- what is counted ---- */

static void motor_time_and_strokes_outlive_power(void **state)
{
    uint32_t boots = pen()->counters.boot_count, strokes;

    (void)state;
    for (int i = 0; i < 2; i++) {
        run();
        rig_run(&rig, 1500);
        stop();
    }
    strokes = pen()->counters.strokes_total;
    assert_in_range(strokes, 200, 400);
    vpen_power_cycle(&rig.v, mnp_ResetCause_RESET_POWER_ON);
    rig.session = 0;
    rig_run(&rig, 600);
    rig_hello(&rig);
    assert_int_equal(status().strokes_total, strokes);
    assert_int_equal(status().motor_on_s, 3);
    assert_int_equal(pen()->counters.boot_count, boots + 1);
    vpen_power_cycle(&rig.v, mnp_ResetCause_RESET_POWER_ON);
    assert_int_equal(pen()->counters.boot_count, boots + 2);
}

static void the_age_of_the_heartbeat_is_told(void **state)
{
    (void)state;
    rig.heartbeat = false;
    rig_send(&rig, mnp_FrameType_TYPE_HEARTBEAT, 0, NULL, 0);
    rig_run(&rig, 123);
    assert_in_range(status().heartbeat_age_ms, 122, 124);
}

static void an_acknowledgement_that_came_before_writes_nothing(void **state)
{
    (void)state;
    assert_true(pen_ack_records(pen(), 1));
    rig.v.nvm_broken = true;
    assert_true(pen_ack_records(pen(), 1));
    assert_true(pen_ack_records(pen(), 0));
    rig.v.nvm_broken = false;
    rig_say(&rig, "inject 1401");
    rig_run(&rig, 10);
    rig.v.nvm_broken = true;
    assert_false(pen_ack_records(pen(), 2));
    assert_int_equal(pen()->records.acked, 1);
    assert_int_equal(pen()->counters.records_acked, 1);
}

/* ---- what is recorded ---- */

static void a_change_is_recorded_with_what_it_came_to(void **state)
{
    mnp_Record r;

    (void)state;
    rig_set(&rig, SETTING_depth_um, 900);
    r = last_record(0);
    assert_int_equal(r.kind, mnp_RecordKind_RECORD_CONFIG);
    assert_true(r.body.config.config.has_depth_um && r.body.config.config.has_auto_off_s);
    assert_int_equal(r.body.config.config.depth_um, 900);
    assert_int_equal(r.body.config.generation, pen()->settings.generation);
}

static void a_fault_that_goes_is_recorded_whoever_clears_it(void **state)
{
    mnp_Record r;

    (void)state;
    rig_say(&rig, "inject 1401"); /* it goes by itself */
    rig_until_fault(&rig, 1401, 10);
    rig_say(&rig, "clear 1401");
    rig_run(&rig, 10);
    r = last_record(0);
    assert_int_equal(r.kind, mnp_RecordKind_RECORD_FAULT);
    assert_int_equal(r.body.fault.code, 1401);
    assert_false(r.body.fault.raised);
    rig_say(&rig, "inject 1402"); /* it waits to be cleared */
    rig_until_fault(&rig, 1402, 200);
    rig_say(&rig, "clear 1402");
    rig_run(&rig, 10);
    assert_int_equal(pen_clear_faults(pen(), UINT32_MAX, false), fault_mask_of_code(1402));
    r = last_record(0);
    assert_int_equal(r.body.fault.code, 1402);
    assert_false(r.body.fault.raised);
}

static void a_host_that_goes_ends_the_run_and_is_its_reason(void **state)
{
    mnp_Record r = mnp_Record_init_zero;

    (void)state;
    run();
    rig_run(&rig, 500);
    pen_control(pen(), MN_CONTROL_SESSION_RESET);
    assert_int_equal(pen()->state, mnp_State_STATE_STOPPING); /* at once */
    rig.session = 0;
    rig_run(&rig, 300);
    assert_true(records_newest_run(&rig.v.port, &pen()->records, &r));
    assert_int_equal(r.kind, mnp_RecordKind_RECORD_RUN);
    assert_int_equal(r.body.run.end, mnp_EndReason_END_LINK);
}

/* Its safe values come when the needles stand, and not before. */
static void a_configuration_that_is_damaged_in_a_run_is_replaced_behind_it(void **state)
{
    (void)state;
    rig_set(&rig, SETTING_depth_um, 1000);
    run();
    rig_run(&rig, 500);
    rig_say(&rig, "inject 1702");
    while (pen()->state == mnp_State_STATE_RUNNING || pen()->state == mnp_State_STATE_STOPPING) {
        assert_int_equal(pen()->settings.value[SETTING_depth_um], 1000);
        rig_run(&rig, 1);
    }
    assert_int_equal(pen()->settings.value[SETTING_depth_um], setting_ranges[SETTING_depth_um].default_value); /* in the same millisecond */
    assert_int_equal(last_record(0).kind, mnp_RecordKind_RECORD_CONFIG);
    assert_int_equal(last_record(1).kind, mnp_RecordKind_RECORD_RUN);
}

/* ---- what is refused, and what is not ---- */

static void a_pen_is_armed_anew_but_not_while_it_stops(void **state)
{
    mnp_Arm arm = rig_arming(&rig, 9, 1);
    uint16_t code;

    (void)state;
    rig_arm(&rig);
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &arm)), mnp_ErrorCode_ERROR_UNSPECIFIED);
    assert_int_equal(pen()->armed.zone, 9);
    rig_say(&rig, "trigger press");
    rig_until_state(&rig, mnp_State_STATE_RUNNING, 20);
    rig_run(&rig, 1000);
    rig_say(&rig, "trigger release");
    rig_run(&rig, 12);
    assert_int_equal(pen()->state, mnp_State_STATE_STOPPING);
    assert_int_equal(pen_arm(pen(), &pen()->armed, &code), PEN_ARM_STATE);
    assert_int_equal(pen()->state, mnp_State_STATE_STOPPING);
}

static void a_trigger_counts_as_held_until_it_was_let_go_for_10_ms(void **state)
{
    uint16_t code;
    struct pen_arming arm = {.generation = pen()->settings.generation, .zone = 8, .treatment = 1, .cartridge_uid = pen()->cartridge.tag.uid};

    (void)state;
    rig_run(&rig, 20);
    assert_false(pen()->trigger_held);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 1);
    assert_true(pen()->trigger_held);
    rig_say(&rig, "trigger release");
    for (int ms = 1; ms <= 10; ms++) {
        rig_run(&rig, 1);
        assert_int_equal(pen()->trigger_held, ms < 10);
        assert_int_equal(pen_arm(pen(), &arm, &code), ms < 10 ? PEN_ARM_STATE : PEN_ARM_OK);
    }
}

static void clearing_faults_stops_and_starts_nothing(void **state)
{
    (void)state;
    rig_say(&rig, "inject 1402");
    rig_until_state(&rig, mnp_State_STATE_FAULT, 200);
    rig_say(&rig, "clear 1402");
    rig_run(&rig, 20);
    pen_clear_faults(pen(), UINT32_MAX, false);
    assert_int_equal(pen()->state, mnp_State_STATE_SAFE); /* at once: the reply says so */
    run();
    rig_run(&rig, 300);
    pen_clear_faults(pen(), UINT32_MAX, true);
    assert_int_equal(pen()->state, mnp_State_STATE_RUNNING);
    rig_run(&rig, 10);
    assert_int_equal(pen()->state, mnp_State_STATE_RUNNING);
    stop();
    rig_arm(&rig);
    pen_clear_faults(pen(), UINT32_MAX, true);
    assert_int_equal(pen()->state, mnp_State_STATE_ARMED);
}

static void a_self_test_needs_a_pen_at_rest(void **state)
{
    (void)state;
    rig_arm(&rig);
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_SELF_TEST, NULL, NULL)), mnp_ErrorCode_ERROR_STATE);
    assert_int_equal(pen()->state, mnp_State_STATE_ARMED);
}

static void a_trigger_that_was_let_go_in_the_self_test_is_not_stuck(void **state)
{
    (void)state;
    vpen_power_cycle(&rig.v, mnp_ResetCause_RESET_POWER_ON);
    rig.session = 0;
    rig_say(&rig, "trigger press");
    rig_run(&rig, 100);
    assert_true(rig_has_fault(&rig, 1801));
    rig_say(&rig, "trigger release");
    rig_run(&rig, 900);
    pen_clear_faults(pen(), UINT32_MAX, true);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 100);
    assert_false(rig_has_fault(&rig, 1801));
    rig_say(&rig, "trigger release");
    vpen_power_cycle(&rig.v, mnp_ResetCause_RESET_POWER_ON);
    rig_say(&rig, "trigger press"); /* held until it is SAFE, let go, and pressed once more */
    rig_run(&rig, 900);
    rig_say(&rig, "trigger release");
    rig_run(&rig, 50);
    pen_clear_faults(pen(), UINT32_MAX, true);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 100);
    assert_false(rig_has_fault(&rig, 1801));
}

/* Three bad frames end the session, what was armed, and the factory's mode. */
static void bad_frames_end_what_was_armed(void **state)
{
    uint8_t rubbish[64] = "this is no frame";

    (void)state;
    rig_arm(&rig);
    for (int i = 0; i < 3; i++) {
        pen_receive(pen(), rubbish, sizeof(rubbish));
        rig_run(&rig, 1);
    }
    rig_run(&rig, 2);
    assert_int_equal(pen()->state, mnp_State_STATE_SAFE);
    assert_int_equal(pen()->link.session, 0);
    rig.session = 0;
    rig_run(&rig, 1100);
    rig_hello(&rig);
    assert_true(pen_enter_factory(pen()));
    for (int i = 0; i < 3; i++)
        pen_receive(pen(), rubbish, sizeof(rubbish));
    rig_run(&rig, 2);
    assert_false(pen()->in_factory);
}

static void an_armed_pen_gives_up_for_a_warm_motor(void **state)
{
    (void)state;
    rig_arm(&rig);
    step(lie_hot); /* which only derates a motor that runs */
    assert_int_equal(pen()->state, mnp_State_STATE_SAFE);
    assert_true(rig_has_fault(&rig, 1501));
}

/* ---- the factory ---- */

static void the_factory_is_entered_at_rest_only(void **state)
{
    (void)state;
    rig_arm(&rig);
    assert_false(pen_enter_factory(pen()));
    assert_false(pen()->in_factory);
    rig_say(&rig, "inject 1402");
    rig_until_state(&rig, mnp_State_STATE_FAULT, 200);
    assert_true(pen_enter_factory(pen()));
    assert_int_equal(pen()->state, mnp_State_STATE_FAULT);
    assert_int_equal(pen_leave_factory(pen(), false), FACTORY_OK);
    assert_int_equal(pen()->state, mnp_State_STATE_FAULT);
    rig_say(&rig, "clear 1402");
    rig_run(&rig, 20);
    pen_clear_faults(pen(), UINT32_MAX, true);
    assert_true(pen_enter_factory(pen()));
    assert_int_equal(pen()->state, mnp_State_STATE_FACTORY); /* at once: the reply says so */
    assert_int_equal(pen_leave_factory(pen(), false), FACTORY_OK);
    assert_int_equal(pen()->state, mnp_State_STATE_SAFE);
}

static void a_trial_ends_with_the_factory(void **state)
{
    (void)state;
    assert_true(pen_enter_factory(pen()));
    pen()->factory.trial = true;
    pen()->factory.calibration.depth_offset_um = 99;
    assert_int_equal(pen_leave_factory(pen(), false), FACTORY_OK);
    assert_int_not_equal(pen()->factory.calibration.depth_offset_um, 99);
}

static void a_factory_run_whose_host_goes_stops_as_any_other(void **state)
{
    struct pen_arming arm = {.factory = true};
    uint16_t code;

    (void)state;
    assert_true(pen_enter_factory(pen()));
    arm.generation = pen()->settings.generation;
    assert_int_equal(pen_arm(pen(), &arm, &code), PEN_ARM_OK);
    rig_say(&rig, "trigger press");
    rig_until_state(&rig, mnp_State_STATE_RUNNING, 20);
    rig_run(&rig, 300);
    pen_host_gone(pen());
    assert_false(pen()->in_factory);
    assert_int_equal(pen()->state, mnp_State_STATE_STOPPING);
    rig_run(&rig, 300);
    assert_int_not_equal(pen()->state, mnp_State_STATE_STOPPING);
}

/* ---- what it tells ---- */

static int32_t lied_ma;

static void lie_load(struct pen_sensors *s)
{
    s->rate_dhz = 1000;
    s->motor_current_ma = lied_ma;
}

static void telemetry_has_the_load_of_a_run_and_the_rates_that_were_set(void **state)
{
    enum { LOAD = 4, CONTACT = 5, DEPTH_SET = 0 };
    int32_t loads = 0;

    (void)state;
    rig_set(&rig, SETTING_fast_rate_hz, 500);
    assert_int_equal(pen()->telemetry.fast.period_ms, 2);
    rig_set(&rig, SETTING_fast_rate_hz, 1000);
    run();
    rig_run(&rig, 1000);
    for (int load = 0; load <= 400; load++) {
        char line[32];

        snprintf(line, sizeof(line), "load %d", load);
        rig_say(&rig, line);
        rig_run(&rig, 2);
        assert_int_equal(pen()->state, mnp_State_STATE_RUNNING);
        if (pen()->telemetry.fast.count == 0)
            continue;
        loads += pen()->telemetry.fast_columns[LOAD].last > 100;
        assert_int_equal(pen()->telemetry.fast_columns[CONTACT].last, pen()->telemetry.fast_columns[LOAD].last > 50);
    }
    assert_true(loads > 10);
    for (lied_ma = 150 + 60; lied_ma < 150 + 75; lied_ma++) { /* from 5 % on it is the skin: 150 mA are friction, 1300 mA all of it */
        step(lie_load);
        if (pen()->telemetry.fast.count > 0)
            assert_int_equal(pen()->telemetry.fast_columns[CONTACT].last, (lied_ma - 150) * 10 / 13 > 50);
    }
    rig_say(&rig, "load 0");
    stop();
    rig_run(&rig, 101);
    assert_int_equal(pen()->telemetry.fast_columns[LOAD].last, 0);
}

/* Runs so long; how many statuses came. */
static size_t statuses_in(uint32_t ms)
{
    size_t before = rig.statuses;

    rig_run(&rig, ms);
    return rig.statuses - before;
}

static void a_status_comes_at_each_change_and_once_a_second(void **state)
{
    (void)state;
    rig_run(&rig, 1000);
    while (statuses_in(1) == 0) /* on the second */
        continue;
    assert_int_equal(statuses_in(10000), 10);
    pen()->records.newest++;
    assert_int_equal(statuses_in(1), 1);
    pen()->settings.generation++; /* the memory is looked at once a second */
    assert_int_equal(statuses_in(1), 1);
    pen()->settings.generation--;
    assert_int_equal(statuses_in(1), 1);
    pen()->faults.word |= FAULT_MASK(BATTERY_LOW) | FAULT_MASK(DEPTH_UNDERSHOOT);
    pen()->faults.escalated |= FAULT_MASK(BATTERY_LOW) | FAULT_MASK(DEPTH_UNDERSHOOT); /* they stay without a cause */
    assert_int_equal(statuses_in(1), 1);
    assert_int_equal(rig.status.fault_word, FAULT_MASK(BATTERY_LOW) | FAULT_MASK(DEPTH_UNDERSHOOT));
    rig_say(&rig, "trigger press");
    assert_int_equal(statuses_in(1), 1);
    rig_say(&rig, "trigger release");
    assert_int_equal(statuses_in(11), 1);
    assert_true(pen_enter_factory(pen()));
    assert_int_equal(statuses_in(1), 1);
    assert_int_equal(statuses_in(100), 0);
    pen()->cartridge.state = mnp_CartridgeState_CARTRIDGE_IN_USE;
    assert_int_equal(statuses_in(1), 1);
}

static void a_status_that_nobody_takes_is_tried_again(void **state)
{
    (void)state;
    rig_run(&rig, 100);
    rig.deaf = true;
    rig_say(&rig, "trigger press");
    assert_int_equal(statuses_in(50), 0);
    rig.deaf = false;
    assert_int_equal(statuses_in(1), 1);
    assert_true(rig.status.trigger);
    assert_int_equal(statuses_in(50), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(the_self_test_takes_its_time_and_no_longer),
        T(a_self_test_says_how_far_it_is_every_100_ms),
        T(an_armed_pen_waits_for_as_long_as_it_is_set_to),
        T(the_pen_rests_when_no_edge_has_come_for_20_ms),
        T(a_low_rate_stops_a_second_after_it_was_flagged),
        T(a_motor_stops_above_80_degrees),
        T(depth_is_judged_when_the_rate_has_settled),
        T(each_run_has_its_ramp),
        T(motor_time_and_strokes_outlive_power),
        T(the_age_of_the_heartbeat_is_told),
        T(an_acknowledgement_that_came_before_writes_nothing),
        T(a_change_is_recorded_with_what_it_came_to),
        T(a_fault_that_goes_is_recorded_whoever_clears_it),
        T(a_host_that_goes_ends_the_run_and_is_its_reason),
        T(a_configuration_that_is_damaged_in_a_run_is_replaced_behind_it),
        T(a_pen_is_armed_anew_but_not_while_it_stops),
        T(a_trigger_counts_as_held_until_it_was_let_go_for_10_ms),
        T(clearing_faults_stops_and_starts_nothing),
        T(a_self_test_needs_a_pen_at_rest),
        T(a_trigger_that_was_let_go_in_the_self_test_is_not_stuck),
        T(bad_frames_end_what_was_armed),
        T(an_armed_pen_gives_up_for_a_warm_motor),
        T(the_factory_is_entered_at_rest_only),
        T(a_trial_ends_with_the_factory),
        T(a_factory_run_whose_host_goes_stops_as_any_other),
        T(telemetry_has_the_load_of_a_run_and_the_rates_that_were_set),
        T(a_status_comes_at_each_change_and_once_a_second),
        T(a_status_that_nobody_takes_is_tried_again),
    };

    return cmocka_run_group_tests_name("pen", tests, NULL, NULL);
}
