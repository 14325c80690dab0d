/*
 * The pen's physics: curves, printed as tables for people and checked against the equations in model.h. The last one shows how
 * fast the core runs when time is only a number.
 */
#include "rig.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <time.h>

static void bar(double value, double full)
{
    for (int i = 0; i < (int)(40 * value / full + 0.5); i++)
        putchar('#');
    putchar('\n');
}

static void drive(struct model *m, struct pen_sensors *s, int32_t duty_permille, uint32_t ms)
{
    struct pen_actuators act = {.enable = duty_permille > 0, .power = duty_permille > 0, .duty_permille = duty_permille, .depth_set_um = 1000};

    for (uint32_t i = 0; i < ms; i++)
        model_step(m, &act, s);
}

static void at_full_duty_load_lowers_the_rate_to_a_stall(void **state)
{
    struct pen_sensors s;
    struct model m;

    (void)state;
    printf("# stroke rate at full duty, by load\n#  load   rate  formula  current\n");
    for (int load = 0; load <= 1200; load += 100) {
        double formula = fmax(0, (1400 - 1.3 * load) / 6.3);

        model_init(&m, 1);
        m.load_permille = load;
        drive(&m, &s, 1000, 1000);
        printf("# %5d %6.1f  %6.1f  %6d mA  ", load, s.rate_dhz / 10.0, formula, s.motor_current_ma);
        bar(formula, 240);
        assert_true(fabs(s.rate_dhz / 10.0 - formula) < 0.2);
    }
}

static void the_controller_holds_the_rate_until_the_motor_can_no_more(void **state)
{
    struct rig r;
    uint32_t strokes_before;

    (void)state;
    printf("# stroke rate of a running pen, set to 150 Hz, by load\n#  load   rate  duty  faults\n");
    for (int load = 0; load <= 1200; load += 150) {
        double limit = fmax(0, (1400 - 1.3 * (load + MODEL_CONTACT_LOAD_PERMILLE)) / 6.3);
        char line[32];

        rig_start(&r);
        rig_set(&r, SETTING_stroke_rate_dhz, 1500);
        rig_arm(&r);
        rig_say(&r, "trigger press");
        rig_run(&r, 1000);
        strokes_before = r.v.pen.run.strokes;
        snprintf(line, sizeof(line), "load %d", load);
        rig_say(&r, line);
        rig_run(&r, 400);
        printf("# %5d %6.1f  %4d  %08x  ", load, r.v.model.rate_hz, r.v.actuators.duty_permille, r.v.pen.faults.word);
        bar(r.v.model.rate_hz, 160);
        if (limit >= 152)
            assert_true(fabs(r.v.model.rate_hz - 150) < 1.5);
        else if (limit > 50)
            assert_true(fabs(r.v.model.rate_hz - limit) < 2);
        else /* under 30 % of set with current over limit: a stall, and the pen has stopped */
            assert_true(rig_has_fault(&r, 1101) && r.v.pen.state == mnp_State_STATE_FAULT && r.v.model.rate_hz <= 0);
        assert_true(load > 1000 || r.v.pen.run.strokes > strokes_before);
        rig_stop(&r);
    }
}

static void the_motor_warms_by_its_losses(void **state)
{
    struct pen_sensors s;
    struct model m;
    double watt, power_sum = 0;

    (void)state;
    model_init(&m, 1);
    m.load_permille = 300;
    printf("# motor and grip over an hour at duty 800, load 300\n#   min  motor formula   grip\n");
    drive(&m, &s, 800, 1000);
    watt = m.current_ma * m.current_ma * 1e-6 * 2.5;
    for (int minute = 0; minute <= 60; minute += 5) {
        double t = minute * 60 + 1, formula = 24 + watt * 45 * (1 - exp(-t / 300));

        printf("# %5d %6.1f  %6.1f %6.1f  ", minute, m.motor_c, formula, m.grip_c);
        bar(m.motor_c, 100);
        assert_true(fabs(m.motor_c - formula) < 0.5);
        assert_true(m.grip_c <= 24 + 0.25 * (m.motor_c - 24) + 0.2);
        drive(&m, &s, 800, 5 * 60 * 1000);
        power_sum += watt;
    }
    assert_true(power_sum > 0 && s.motor_temp_dc == (int)lround(m.motor_c * 10));
}

static void the_battery_drains_by_its_current(void **state)
{
    struct pen_sensors s;
    struct model m;

    (void)state;
    model_init(&m, 1);
    m.vbus = false;
    printf("# battery without USB, duty 600\n#   min  charge formula    mV\n");
    for (int minute = 0; minute <= 60; minute += 10) {
        double motor_ma = 0, expected = m.charge_mah;

        for (int i = 0; i < 10 * 60; i++) {
            drive(&m, &s, 600, 1000);
            expected += m.battery_ma / 3600;
            motor_ma = -m.battery_ma;
        }
        printf("# %5d %6.1f%% %6.1f%% %6d  ", minute + 10, m.charge_mah / 8, expected / 8, s.battery_mv);
        bar(m.charge_mah, 800);
        assert_true(fabs(m.charge_mah - expected) < 1);
        assert_true(abs(s.battery_mv - (int)lround(3400 + m.charge_mah - 0.1 * motor_ma)) <= 1);
    }
}

static void an_hour_of_pen(void **state)
{
    static struct rig r;
    struct timespec a, b;
    uint64_t hash[2] = {0};
    double seconds = 0;

    (void)state;
    for (int round = 0; round < 2; round++) { /* twice the same seed: the same hour */
        rig_start(&r);
        r.heartbeat = false;
        clock_gettime(CLOCK_MONOTONIC, &a);
        vpen_advance(&r.v, 3600 * 1000);
        clock_gettime(CLOCK_MONOTONIC, &b);
        seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
        hash[round] = r.v.model.noise ^ (uint64_t)r.v.pen.records.newest << 32;
        assert_int_equal(r.telemetry_frames / 1000, 72);
        rig_stop(&r);
    }
    printf("# an hour of pen, telemetry and all: %.2f s in this build, %.0f ns a tick\n", seconds, seconds / 3.6e6 * 1e9);
    assert_true(hash[0] == hash[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_full_duty_load_lowers_the_rate_to_a_stall),
        cmocka_unit_test(the_controller_holds_the_rate_until_the_motor_can_no_more),
        cmocka_unit_test(the_motor_warms_by_its_losses),
        cmocka_unit_test(the_battery_drains_by_its_current),
        cmocka_unit_test(an_hour_of_pen),
    };

    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
