/*
 * The pen's state machine at its edges: to the millisecond where time decides, at once where something must be so at once, and what each
 * refusal leaves as it was. (Its rules are in test_core.c, what fails while it runs in test_running.c, what it tells in test_pen_tells.c.)
 */
#include "rig.h"

#include "factory.h"

static struct pen *pen(void)
{
    return &the_rig.v.pen;
}

/* ---- time ---- */

static uint64_t boots_in(bool home)
{
    uint64_t began_ms = pen()->now_ms;

    pen()->homed = false;
    assert_true(pen_self_test(pen(), NULL));
    while (pen()->state == mnp_State_STATE_SELFTEST) {
        the_rig.v.sensors.home_seen = home;
        the_rig.v.sensors.hardware_ok = the_rig.v.sensors.image_ok = true;
        pen_tick(pen(), &the_rig.v.sensors, &the_rig.v.actuators);
        assert_false(the_rig.v.actuators.enable);
    }
    return pen()->now_ms - began_ms;
}

static void the_self_test_takes_its_time_and_no_longer(void **state)
{
    (void)state;
    assert_int_equal(boots_in(true), 300);
    assert_false(rig_has_fault(&the_rig, 1203));
    assert_int_equal(boots_in(false), 500);
    rig_until_fault(&the_rig, 1203, 2);
}

static void a_self_test_says_how_far_it_is_every_100_ms(void **state)
{
    size_t progress = 0;

    (void)state;
    the_rig.heartbeat = false;
    rig_call(&the_rig, mnp_FrameType_TYPE_SELF_TEST, NULL, NULL);
    for (size_t i = 0; i < the_rig.count; i++)
        progress += the_rig.frames[i].type == mnp_FrameType_TYPE_PROGRESS;
    assert_in_range(progress, 3, 5);
}

static void an_armed_pen_waits_for_as_long_as_it_is_set_to(void **state)
{
    uint64_t began_ms;

    (void)state;
    rig_set(&the_rig, SETTING_auto_off_s, 5);
    rig_arm(&the_rig);
    began_ms = pen()->state_since_ms;
    rig_until_state(&the_rig, mnp_State_STATE_SAFE, 6000);
    assert_int_equal(pen()->now_ms - began_ms, 5000);
}

static void the_pen_rests_when_no_edge_has_come_for_20_ms(void **state)
{
    (void)state;
    rig_start_needles(&the_rig);
    rig_run(&the_rig, 1000);
    rig_stop_needles(&the_rig);
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
    rig_start_needles(&the_rig);
    rig_run(&the_rig, 1500);
    while (!rig_has_fault(&the_rig, 1103))
        rig_step(&the_rig, lie_slow);
    flagged_ms = pen()->now_ms;
    while (pen()->state == mnp_State_STATE_RUNNING)
        rig_step(&the_rig, lie_slow);
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
    rig_start_needles(&the_rig);
    for (int i = 0; i < 100; i++)
        rig_step(&the_rig, lie_hot);
    assert_int_equal(pen()->state, mnp_State_STATE_RUNNING);
    rig_step(&the_rig, lie_too_hot);
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
    rig_set(&the_rig, SETTING_depth_um, 1000);
    rig_start_needles(&the_rig);
    began_ms = pen()->state_since_ms;
    while (!rig_has_fault(&the_rig, 1202) && pen()->now_ms - began_ms < 3000)
        rig_step(&the_rig, lie_shallow);
    assert_in_range(pen()->now_ms - began_ms, 1500, 1520);
}

static void each_run_has_its_ramp(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        rig_start_needles(&the_rig);
        rig_run(&the_rig, 50);
        assert_in_range(pen()->motor.set_dhz, 1, 400);
        rig_run(&the_rig, 450);
        assert_int_equal(pen()->motor.set_dhz, 1000);
        rig_stop_needles(&the_rig);
    }
}

/* ---- what is refused, and what is not ---- */

static void a_pen_is_armed_anew_but_not_while_it_stops(void **state)
{
    mnp_Arm arm = rig_arming(&the_rig, 9, 1);
    uint16_t code;

    (void)state;
    rig_arm(&the_rig);
    assert_int_equal(rig_error(rig_call(&the_rig, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &arm)), mnp_ErrorCode_ERROR_UNSPECIFIED);
    assert_int_equal(pen()->armed.zone, 9);
    rig_say(&the_rig, "trigger press");
    rig_until_state(&the_rig, mnp_State_STATE_RUNNING, 20);
    rig_run(&the_rig, 1000);
    rig_say(&the_rig, "trigger release");
    rig_run(&the_rig, 12);
    assert_int_equal(pen()->state, mnp_State_STATE_STOPPING);
    assert_int_equal(pen_arm(pen(), &pen()->armed, &code), PEN_ARM_STATE);
    assert_int_equal(pen()->state, mnp_State_STATE_STOPPING);
}

static void a_trigger_counts_as_held_until_it_was_let_go_for_10_ms(void **state)
{
    uint16_t code;
    struct pen_arming arm = {.generation = pen()->settings.generation, .zone = 8, .treatment = 1, .cartridge_uid = pen()->cartridge.tag.uid};

    (void)state;
    rig_run(&the_rig, 20);
    assert_false(pen()->trigger_held);
    rig_say(&the_rig, "trigger press");
    rig_run(&the_rig, 1);
    assert_true(pen()->trigger_held);
    rig_say(&the_rig, "trigger release");
    for (int ms = 1; ms <= 10; ms++) {
        rig_run(&the_rig, 1);
        assert_int_equal(pen()->trigger_held, ms < 10);
        assert_int_equal(pen_arm(pen(), &arm, &code), ms < 10 ? PEN_ARM_STATE : PEN_ARM_OK);
    }
}

static void clearing_faults_stops_and_starts_nothing(void **state)
{
    (void)state;
    rig_say(&the_rig, "inject 1402");
    rig_until_state(&the_rig, mnp_State_STATE_FAULT, 200);
    rig_say(&the_rig, "clear 1402");
    rig_run(&the_rig, 20);
    pen_clear_faults(pen(), UINT32_MAX, false);
    assert_int_equal(pen()->state, mnp_State_STATE_SAFE); /* at once: the reply says so */
    rig_start_needles(&the_rig);
    rig_run(&the_rig, 300);
    pen_clear_faults(pen(), UINT32_MAX, true);
    assert_int_equal(pen()->state, mnp_State_STATE_RUNNING);
    rig_run(&the_rig, 10);
    assert_int_equal(pen()->state, mnp_State_STATE_RUNNING);
    rig_stop_needles(&the_rig);
    rig_arm(&the_rig);
    pen_clear_faults(pen(), UINT32_MAX, true);
    assert_int_equal(pen()->state, mnp_State_STATE_ARMED);
}

static void a_self_test_needs_a_pen_at_rest(void **state)
{
    (void)state;
    rig_arm(&the_rig);
    assert_int_equal(rig_error(rig_call(&the_rig, mnp_FrameType_TYPE_SELF_TEST, NULL, NULL)), mnp_ErrorCode_ERROR_STATE);
    assert_int_equal(pen()->state, mnp_State_STATE_ARMED);
}

static void a_trigger_that_was_let_go_in_the_self_test_is_not_stuck(void **state)
{
    (void)state;
    vpen_power_cycle(&the_rig.v, mnp_ResetCause_RESET_POWER_ON);
    vpen_advance(&the_rig.v, 1);
    assert_false(pen()->trigger_held); /* nobody has pressed it yet */
    the_rig.session = 0;
    rig_say(&the_rig, "trigger press");
    rig_run(&the_rig, 100);
    assert_true(rig_has_fault(&the_rig, 1801));
    rig_say(&the_rig, "trigger release");
    rig_run(&the_rig, 900);
    pen_clear_faults(pen(), UINT32_MAX, true);
    rig_say(&the_rig, "trigger press");
    rig_run(&the_rig, 100);
    assert_false(rig_has_fault(&the_rig, 1801));
    rig_say(&the_rig, "trigger release");
    vpen_power_cycle(&the_rig.v, mnp_ResetCause_RESET_POWER_ON);
    rig_say(&the_rig, "trigger press"); /* held until it is SAFE, let go, and pressed once more */
    rig_run(&the_rig, 900);
    rig_say(&the_rig, "trigger release");
    rig_run(&the_rig, 50);
    pen_clear_faults(pen(), UINT32_MAX, true);
    rig_say(&the_rig, "trigger press");
    rig_run(&the_rig, 100);
    assert_false(rig_has_fault(&the_rig, 1801));
}

/* Three bad frames end the session, what was armed, and the factory's mode. */
static void bad_frames_end_what_was_armed(void **state)
{
    uint8_t rubbish[64] = "this is no frame";

    (void)state;
    rig_arm(&the_rig);
    for (int i = 0; i < 3; i++) {
        pen_receive(pen(), rubbish, sizeof(rubbish));
        rig_run(&the_rig, 1);
    }
    rig_run(&the_rig, 2);
    assert_int_equal(pen()->state, mnp_State_STATE_SAFE);
    assert_int_equal(pen()->link.session, 0);
    the_rig.session = 0;
    rig_run(&the_rig, 1100);
    rig_hello(&the_rig);
    assert_true(pen_enter_factory(pen()));
    for (int i = 0; i < 3; i++)
        pen_receive(pen(), rubbish, sizeof(rubbish));
    rig_run(&the_rig, 2);
    assert_false(pen()->in_factory);
}

static void an_armed_pen_gives_up_for_a_warm_motor(void **state)
{
    (void)state;
    rig_arm(&the_rig);
    rig_step(&the_rig, lie_hot); /* which only derates a motor that runs */
    assert_int_equal(pen()->state, mnp_State_STATE_SAFE);
    assert_true(rig_has_fault(&the_rig, 1501));
}

/* ---- the factory ---- */

static void the_factory_is_entered_at_rest_only(void **state)
{
    (void)state;
    rig_arm(&the_rig);
    assert_false(pen_enter_factory(pen()));
    assert_false(pen()->in_factory);
    rig_say(&the_rig, "inject 1402");
    rig_until_state(&the_rig, mnp_State_STATE_FAULT, 200);
    assert_true(pen_enter_factory(pen()));
    assert_int_equal(pen()->state, mnp_State_STATE_FAULT);
    assert_int_equal(pen_leave_factory(pen(), false), FACTORY_OK);
    assert_int_equal(pen()->state, mnp_State_STATE_FAULT);
    rig_say(&the_rig, "clear 1402");
    rig_run(&the_rig, 20);
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
    rig_say(&the_rig, "trigger press");
    rig_until_state(&the_rig, mnp_State_STATE_RUNNING, 20);
    rig_run(&the_rig, 300);
    pen_host_gone(pen());
    assert_false(pen()->in_factory);
    assert_int_equal(pen()->state, mnp_State_STATE_STOPPING);
    rig_run(&the_rig, 300);
    assert_int_not_equal(pen()->state, mnp_State_STATE_STOPPING);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(the_self_test_takes_its_time_and_no_longer),
        T(a_self_test_says_how_far_it_is_every_100_ms),
        T(an_armed_pen_waits_for_as_long_as_it_is_set_to),
        T(the_pen_rests_when_no_edge_has_come_for_20_ms),
        T(a_low_rate_stops_a_second_after_it_was_flagged),
        T(a_motor_stops_above_80_degrees),
        T(depth_is_judged_when_the_rate_has_settled),
        T(each_run_has_its_ramp),
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
    };

    return cmocka_run_group_tests_name("pen", tests, NULL, NULL);
}
