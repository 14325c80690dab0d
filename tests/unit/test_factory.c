/* The factory in the firmware core: who is let in, what is written and how often, and that needles move there as little by themselves as anywhere. */
#include "rig.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "line.h"

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_start_as(&rig, "", 7, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

static mnp_FactoryEntered challenge(void)
{
    mnp_FactoryEntered e = mnp_FactoryEntered_init_zero;

    rig_decode(rig_call(&rig, mnp_FrameType_TYPE_FACTORY_ENTER, NULL, NULL), mnp_FactoryEntered_fields, &e);
    assert_true(e.has_challenge && !e.entered);
    return e;
}

static mnp_ErrorCode answer(const mnp_FactoryEntered *e, uint8_t flip)
{
    mnp_FactoryEnter m = {.has_response = true};

    assert_true(line_prove(NULL, e->challenge, m.response));
    m.response[31] ^= flip;
    return rig_error(rig_call(&rig, mnp_FrameType_TYPE_FACTORY_ENTER, mnp_FactoryEnter_fields, &m));
}

static void enter(void)
{
    mnp_FactoryEntered e = challenge();

    assert_int_equal(answer(&e, 0), mnp_ErrorCode_ERROR_UNSPECIFIED);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_FACTORY);
}

static mnp_ErrorCode arm(void)
{
    mnp_FactoryArm m = {.has_config_generation = true, .config_generation = rig_config(&rig).generation};

    return rig_error(rig_call(&rig, mnp_FrameType_TYPE_FACTORY_ARM, mnp_FactoryArm_fields, &m));
}

static mnp_Factory good(void)
{
    mnp_Factory f = {.has_serial = true, .serial = "MN26-000007", .has_udi = true, .udi = "(01)09500000000013(21)MN26-000007", .has_calibration = true};

    f.calibration = (mnp_Calibration){.has_depth_gain_ppm = true, .depth_gain_ppm = 1040000, .has_depth_offset_um = true, .depth_offset_um = -20,
                                      .has_rate_gain_ppm = true, .rate_gain_ppm = 990000, .has_rate_offset_dhz = true, .has_current_offset_ma = true,
                                      .current_offset_ma = 11};
    return f;
}

static mnp_ErrorCode write_it(const mnp_Factory *f)
{
    return rig_error(rig_call(&rig, mnp_FrameType_TYPE_FACTORY_WRITE, mnp_Factory_fields, f));
}

static mnp_ErrorCode leave(bool for_good)
{
    mnp_FactoryLeave m = {.has_for_good = true, .for_good = for_good};

    return rig_error(rig_call(&rig, mnp_FrameType_TYPE_FACTORY_LEAVE, mnp_FactoryLeave_fields, &m));
}

static mnp_Factory get(void)
{
    mnp_Factory f = mnp_Factory_init_zero;

    rig_decode(rig_call(&rig, mnp_FrameType_TYPE_FACTORY_GET, NULL, NULL), mnp_Factory_fields, &f);
    return f;
}

static void restart(void)
{
    rig_say(&rig, "power-cycle");
    rig.session = 0;
    rig_run(&rig, 600);
    rig_hello(&rig);
}

static void a_pen_off_the_line_has_neither_serial_number_nor_calibration(void **state)
{
    mnp_Factory f = get();

    (void)state;
    assert_string_equal(f.serial, "");
    assert_string_equal(f.udi, "");
    assert_false(f.has_calibration || f.left);
    assert_true(f.has_image_sha256);
    assert_true(rig_has_fault(&rig, 1701));
}

static void a_wrong_answer_opens_nothing_and_three_of_them_lock_it(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        mnp_FactoryEntered e = challenge();

        assert_int_equal(answer(&e, 1), mnp_ErrorCode_ERROR_FORBIDDEN);
        assert_int_equal(rig.v.pen.state, mnp_State_STATE_SAFE);
    }
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_FACTORY_ENTER, NULL, NULL)), mnp_ErrorCode_ERROR_FORBIDDEN);
    restart();
    enter();
}

static void a_challenge_is_good_for_one_answer(void **state)
{
    mnp_FactoryEntered e = challenge(), again;

    (void)state;
    assert_int_equal(answer(&e, 0), mnp_ErrorCode_ERROR_UNSPECIFIED);
    assert_int_equal(leave(false), mnp_ErrorCode_ERROR_UNSPECIFIED);
    assert_int_equal(answer(&e, 0), mnp_ErrorCode_ERROR_FORBIDDEN);
    again = challenge();
    assert_memory_not_equal(again.challenge, e.challenge, sizeof(e.challenge));
}

static void nothing_of_the_factory_is_done_outside_of_it(void **state)
{
    mnp_Factory f = good();

    (void)state;
    assert_int_equal(arm(), mnp_ErrorCode_ERROR_STATE);
    assert_int_equal(write_it(&f), mnp_ErrorCode_ERROR_STATE);
    assert_int_equal(leave(true), mnp_ErrorCode_ERROR_STATE);
    enter();
    rig_hello(&rig); /* another session */
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_SAFE);
    assert_int_equal(write_it(&f), mnp_ErrorCode_ERROR_STATE);
    enter();
    restart();
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_SAFE);
    assert_string_equal(get().serial, "");
}

static void in_the_factory_too_only_the_trigger_starts_the_needles_and_silence_stops_them(void **state)
{
    mnp_Arm ordinary;
    uint64_t began_ms;

    (void)state;
    enter();
    ordinary = rig_arming(&rig, 8, 1);
    rig_run(&rig, 300);
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &ordinary)), mnp_ErrorCode_ERROR_FAULT); /* 1701 */
    assert_int_equal(arm(), mnp_ErrorCode_ERROR_UNSPECIFIED);
    rig_run(&rig, 1000);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_ARMED);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 1000);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_RUNNING);
    rig.heartbeat = false;
    began_ms = rig.v.clock_ms;
    rig_run(&rig, 1000);
    assert_true(rig.v.moved_ms - began_ms <= 350);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_FAULT);
    assert_true(rig_has_fault(&rig, 1601));
}

static void a_trial_corrects_the_needles_until_the_next_start(void **state)
{
    mnp_Factory f = good();
    const struct model *m = &rig.v.model;

    (void)state;
    enter();
    f.has_serial = f.has_udi = false;
    f.has_trial = f.trial = true;
    f.calibration.depth_gain_ppm = (uint32_t)lround(m->depth_gain * 1e6);
    f.calibration.depth_offset_um = (int32_t)lround(m->depth_offset_um);
    f.calibration.rate_gain_ppm = (uint32_t)lround(m->rate_gain * 1e6);
    f.calibration.current_offset_ma = m->current_offset_ma;
    assert_true(fabs(m->depth_gain - 1) > 0.001);
    assert_int_equal(write_it(&f), mnp_ErrorCode_ERROR_UNSPECIFIED);
    assert_true(get().trial);
    assert_false(get().calibration.has_crc);
    rig_say(&rig, "contact 0");
    rig_say(&rig, "cartridge gauge");
    rig_run(&rig, 100);
    rig_set(&rig, SETTING_depth_um, 2000);
    assert_int_equal(arm(), mnp_ErrorCode_ERROR_UNSPECIFIED);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 1000);
    assert_true(fabs(m->peak_um - 2000.0) <= 8);
    assert_true(fabs(m->rate_hz * 10 - rig.v.pen.settings.value[SETTING_stroke_rate_dhz]) < 5);
    restart();
    assert_false(get().has_calibration);
}

static void what_is_written_is_written_once_and_kept_over_power(void **state)
{
    mnp_Factory f = good(), other = good(), read;

    (void)state;
    enter();
    assert_int_equal(write_it(&f), mnp_ErrorCode_ERROR_UNSPECIFIED);
    restart();
    read = get();
    assert_string_equal(read.serial, f.serial);
    assert_string_equal(read.udi, f.udi);
    assert_int_equal(read.calibration.depth_gain_ppm, f.calibration.depth_gain_ppm);
    assert_int_equal(read.calibration.depth_offset_um, f.calibration.depth_offset_um);
    assert_true(read.calibration.has_crc && read.calibration.crc != 0);
    enter();
    strcpy(other.serial, "MN26-000008");
    for (int i = 0; i < 3; i++) { /* each alone */
        mnp_Factory one = other;

        one.has_serial = i == 0;
        one.has_udi = i == 1;
        one.has_calibration = i == 2;
        assert_int_equal(write_it(&one), mnp_ErrorCode_ERROR_WRITTEN);
    }
    restart();
    assert_string_equal(get().serial, f.serial);
}

static void what_no_pen_can_have_is_refused_and_nothing_of_it_is_written(void **state)
{
    mnp_Factory wrong[6];

    (void)state;
    enter();
    for (int i = 0; i < 6; i++)
        wrong[i] = good();
    strcpy(wrong[0].serial, "@usb-1");
    strcpy(wrong[1].serial, "");
    strcpy(wrong[2].udi, "with blanks");
    wrong[3].calibration.depth_gain_ppm = 0;
    wrong[4].calibration.has_rate_gain_ppm = false;
    wrong[5].calibration.current_offset_ma = 501;
    for (int i = 0; i < 6; i++) {
        mnp_Factory f;

        assert_int_equal(write_it(&wrong[i]), mnp_ErrorCode_ERROR_MALFORMED);
        f = get();
        assert_string_equal(f.udi, "");
        assert_false(f.has_calibration);
    }
}

static void it_leaves_for_good_only_with_everything_written_and_counts_from_0(void **state)
{
    mnp_Factory f = good();
    mnp_Status status = mnp_Status_init_zero;

    (void)state;
    enter();
    assert_int_equal(leave(true), mnp_ErrorCode_ERROR_MALFORMED);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_FACTORY);
    assert_int_equal(arm(), mnp_ErrorCode_ERROR_UNSPECIFIED);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 2000);
    rig_say(&rig, "trigger release");
    rig_run(&rig, 500);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_FACTORY);
    assert_true(rig.v.pen.counters.strokes_total > 0);
    assert_int_equal(write_it(&f), mnp_ErrorCode_ERROR_UNSPECIFIED);
    assert_int_equal(leave(true), mnp_ErrorCode_ERROR_UNSPECIFIED);
    for (int i = 0; i < 2; i++) {
        rig_decode(rig_call(&rig, mnp_FrameType_TYPE_STATUS, NULL, NULL), mnp_Status_fields, &status);
        assert_int_equal(status.state, mnp_State_STATE_SAFE);
        assert_int_equal(status.strokes_total, 0);
        assert_int_equal(status.motor_on_s, 0);
        assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_FACTORY_ENTER, NULL, NULL)), mnp_ErrorCode_ERROR_FORBIDDEN);
        restart();
    }
}

static void a_pen_from_the_shop_is_not_let_in(void **state)
{
    (void)state;
    rig_stop(&rig);
    rig_start(&rig);
    assert_true(get().left);
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_FACTORY_ENTER, NULL, NULL)), mnp_ErrorCode_ERROR_FORBIDDEN);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_pen_off_the_line_has_neither_serial_number_nor_calibration),
        T(a_wrong_answer_opens_nothing_and_three_of_them_lock_it),
        T(a_challenge_is_good_for_one_answer),
        T(nothing_of_the_factory_is_done_outside_of_it),
        T(in_the_factory_too_only_the_trigger_starts_the_needles_and_silence_stops_them),
        T(a_trial_corrects_the_needles_until_the_next_start),
        T(what_is_written_is_written_once_and_kept_over_power),
        T(what_no_pen_can_have_is_refused_and_nothing_of_it_is_written),
        T(it_leaves_for_good_only_with_everything_written_and_counts_from_0),
        T(a_pen_from_the_shop_is_not_let_in),
    };

    return cmocka_run_group_tests_name("factory", tests, NULL, NULL);
}
