/* What the pen counts, records and tells: over its loss of power, at each change and at no other time, with what it was. */
#include "rig.h"

#include <pb_decode.h>
#include <stdio.h>

#include "records.h"

static struct pen *pen(void)
{
    return &the_rig.v.pen;
}

static mnp_Status status(void)
{
    mnp_Status s = mnp_Status_init_zero;

    rig_decode(rig_call(&the_rig, mnp_FrameType_TYPE_STATUS, NULL, NULL), mnp_Status_fields, &s);
    return s;
}

/* The how manyth last record, as it is in the memory. */
static mnp_Record last_record(uint32_t back)
{
    mnp_RecordsGet get = {.has_from = true, .from = pen()->records.newest - back};
    const struct mn_frame *f = rig_call(&the_rig, mnp_FrameType_TYPE_RECORDS_GET, mnp_RecordsGet_fields, &get);
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

/* ---- what is counted ---- */

static void motor_time_and_strokes_outlive_power(void **state)
{
    uint32_t boots = pen()->counters.boot_count, strokes;

    (void)state;
    for (int i = 0; i < 2; i++) {
        rig_start_needles(&the_rig);
        rig_run(&the_rig, 1500);
        rig_stop_needles(&the_rig);
    }
    strokes = pen()->counters.strokes_total;
    assert_in_range(strokes, 200, 400);
    vpen_power_cycle(&the_rig.v, mnp_ResetCause_RESET_POWER_ON);
    the_rig.session = 0;
    rig_run(&the_rig, 600);
    rig_hello(&the_rig);
    assert_int_equal(status().strokes_total, strokes);
    assert_int_equal(status().motor_on_s, 3);
    assert_int_equal(pen()->counters.boot_count, boots + 1);
    vpen_power_cycle(&the_rig.v, mnp_ResetCause_RESET_POWER_ON);
    assert_int_equal(pen()->counters.boot_count, boots + 2);
}

static void the_age_of_the_heartbeat_is_told(void **state)
{
    (void)state;
    the_rig.heartbeat = false;
    rig_send(&the_rig, mnp_FrameType_TYPE_HEARTBEAT, 0, NULL, 0);
    rig_run(&the_rig, 123);
    assert_in_range(status().heartbeat_age_ms, 122, 124);
}

static void an_acknowledgement_that_came_before_writes_nothing(void **state)
{
    (void)state;
    assert_true(pen_ack_records(pen(), 1));
    the_rig.v.nvm_broken = true;
    assert_true(pen_ack_records(pen(), 1));
    assert_true(pen_ack_records(pen(), 0));
    the_rig.v.nvm_broken = false;
    rig_say(&the_rig, "inject 1401");
    rig_run(&the_rig, 10);
    the_rig.v.nvm_broken = true;
    assert_false(pen_ack_records(pen(), 2));
    assert_int_equal(pen()->records.acked, 1);
    assert_int_equal(pen()->counters.records_acked, 1);
}

/* ---- what is recorded ---- */

static void a_change_is_recorded_with_what_it_came_to(void **state)
{
    mnp_Record r;

    (void)state;
    rig_set(&the_rig, SETTING_depth_um, 900);
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
    rig_say(&the_rig, "inject 1401"); /* it goes by itself */
    rig_until_fault(&the_rig, 1401, 10);
    rig_say(&the_rig, "clear 1401");
    rig_run(&the_rig, 10);
    r = last_record(0);
    assert_int_equal(r.kind, mnp_RecordKind_RECORD_FAULT);
    assert_int_equal(r.body.fault.code, 1401);
    assert_false(r.body.fault.raised);
    rig_say(&the_rig, "inject 1402"); /* it waits to be cleared */
    rig_until_fault(&the_rig, 1402, 200);
    rig_say(&the_rig, "clear 1402");
    rig_run(&the_rig, 10);
    assert_int_equal(pen_clear_faults(pen(), UINT32_MAX, false), fault_mask_of_code(1402));
    r = last_record(0);
    assert_int_equal(r.body.fault.code, 1402);
    assert_false(r.body.fault.raised);
}

static void a_host_that_goes_ends_the_run_and_is_its_reason(void **state)
{
    mnp_Record r = mnp_Record_init_zero;

    (void)state;
    rig_start_needles(&the_rig);
    rig_run(&the_rig, 500);
    pen_control(pen(), MN_CONTROL_SESSION_RESET);
    assert_int_equal(pen()->state, mnp_State_STATE_STOPPING); /* at once */
    the_rig.session = 0;
    rig_run(&the_rig, 300);
    assert_true(records_newest_run(&the_rig.v.port, &pen()->records, &r));
    assert_int_equal(r.kind, mnp_RecordKind_RECORD_RUN);
    assert_int_equal(r.body.run.end, mnp_EndReason_END_LINK);
}

/* Its safe values come when the needles stand, and not before. */
static void a_configuration_that_is_damaged_in_a_run_is_replaced_behind_it(void **state)
{
    (void)state;
    rig_set(&the_rig, SETTING_depth_um, 1000);
    rig_start_needles(&the_rig);
    rig_run(&the_rig, 500);
    rig_say(&the_rig, "inject 1702");
    while (pen()->state == mnp_State_STATE_RUNNING || pen()->state == mnp_State_STATE_STOPPING) {
        assert_int_equal(pen()->settings.value[SETTING_depth_um], 1000);
        rig_run(&the_rig, 1);
    }
    assert_int_equal(pen()->settings.value[SETTING_depth_um], setting_ranges[SETTING_depth_um].default_value); /* in the same millisecond */
    assert_int_equal(last_record(0).kind, mnp_RecordKind_RECORD_CONFIG);
    assert_int_equal(last_record(1).kind, mnp_RecordKind_RECORD_RUN);
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
    rig_set(&the_rig, SETTING_fast_rate_hz, 500);
    assert_int_equal(pen()->telemetry.fast.period_ms, 2);
    rig_set(&the_rig, SETTING_fast_rate_hz, 1000);
    rig_start_needles(&the_rig);
    rig_run(&the_rig, 1000);
    for (int load = 0; load <= 400; load++) {
        char line[32];

        snprintf(line, sizeof(line), "load %d", load);
        rig_say(&the_rig, line);
        rig_run(&the_rig, 2);
        assert_int_equal(pen()->state, mnp_State_STATE_RUNNING);
        if (pen()->telemetry.fast.count == 0)
            continue;
        loads += pen()->telemetry.fast_columns[LOAD].last > 100;
        assert_int_equal(pen()->telemetry.fast_columns[CONTACT].last, pen()->telemetry.fast_columns[LOAD].last > 50);
    }
    assert_true(loads > 10);
    for (lied_ma = 150 + 60; lied_ma < 150 + 75; lied_ma++) { /* from 5 % on it is the skin: 150 mA are friction, 1300 mA all of it */
        rig_step(&the_rig, lie_load);
        if (pen()->telemetry.fast.count > 0)
            assert_int_equal(pen()->telemetry.fast_columns[CONTACT].last, (lied_ma - 150) * 10 / 13 > 50);
    }
    rig_say(&the_rig, "load 0");
    rig_stop_needles(&the_rig);
    rig_run(&the_rig, 101);
    assert_int_equal(pen()->telemetry.fast_columns[LOAD].last, 0);
}

/* Runs so long; how many statuses came. */
static size_t statuses_in(uint32_t ms)
{
    size_t before = the_rig.statuses;

    rig_run(&the_rig, ms);
    return the_rig.statuses - before;
}

static void a_status_comes_at_each_change_and_once_a_second(void **state)
{
    (void)state;
    rig_run(&the_rig, 1000);
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
    assert_int_equal(the_rig.status.fault_word, FAULT_MASK(BATTERY_LOW) | FAULT_MASK(DEPTH_UNDERSHOOT));
    rig_say(&the_rig, "trigger press");
    assert_int_equal(statuses_in(1), 1);
    rig_say(&the_rig, "trigger release");
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
    rig_run(&the_rig, 100);
    the_rig.deaf = true;
    rig_say(&the_rig, "trigger press");
    assert_int_equal(statuses_in(50), 0);
    the_rig.deaf = false;
    assert_int_equal(statuses_in(1), 1);
    assert_true(the_rig.status.trigger);
    assert_int_equal(statuses_in(50), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(motor_time_and_strokes_outlive_power),
        T(the_age_of_the_heartbeat_is_told),
        T(an_acknowledgement_that_came_before_writes_nothing),
        T(a_change_is_recorded_with_what_it_came_to),
        T(a_fault_that_goes_is_recorded_whoever_clears_it),
        T(a_host_that_goes_ends_the_run_and_is_its_reason),
        T(a_configuration_that_is_damaged_in_a_run_is_replaced_behind_it),
        T(telemetry_has_the_load_of_a_run_and_the_rates_that_were_set),
        T(a_status_comes_at_each_change_and_once_a_second),
        T(a_status_that_nobody_takes_is_tried_again),
    };

    return cmocka_run_group_tests_name("pen_tells", tests, NULL, NULL);
}
