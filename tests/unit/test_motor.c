/* The stroke-rate controller: its ramp, its limits, and an integral that does not wind up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "motor.h"

enum { FULL = 1000, NO_RAMP = 0 };

static struct motor motor;

static int32_t duty_of(int32_t integral, int32_t measured_dhz, int32_t duty_max)
{
    motor_start(&motor);
    motor.integral = integral;
    return motor_step(&motor, measured_dhz, 1000, NO_RAMP, duty_max);
}

static void the_set_point_rises_with_the_ramp(void **state)
{
    (void)state;
    motor_start(&motor);
    for (int32_t ms = 0; ms <= 200; ms++) {
        motor_step(&motor, 0, 1000, 100, FULL);
        assert_int_equal(motor.set_dhz, ms < 100 ? ms * 10 : 1000);
    }
    motor_start(&motor);
    motor_step(&motor, 0, 1000, NO_RAMP, FULL);
    assert_int_equal(motor.set_dhz, 1000);
}

static void the_duty_stays_within_its_limits(void **state)
{
    (void)state;
    assert_int_equal(duty_of(0, 0, FULL), FULL);
    assert_int_equal(duty_of(0, 0, MOTOR_DUTY_DERATED_PERMILLE), MOTOR_DUTY_DERATED_PERMILLE);
    assert_int_equal(duty_of(0, 3000, FULL), 0);
    assert_in_range(duty_of(0, 1000, FULL), 1, FULL - 1);
}

/* At a limit the integral moves only towards the other one; the limits themselves are taken exactly. */
static void the_integral_does_not_wind_up(void **state)
{
    int32_t slow = duty_of(0, 990, FULL), fast = duty_of(0, 1010, FULL);

    (void)state;
    assert_in_range(fast, 1, slow - 1);
    duty_of(0, 990, slow + 1); /* below the highest: it rises */
    assert_int_equal(motor.integral, 10 * 30);
    duty_of(0, 990, slow); /* at the highest it does not rise ... */
    assert_int_equal(motor.integral, 0);
    duty_of(0, 1010, fast); /* ... and falls */
    assert_int_equal(motor.integral, -10 * 30);
    duty_of(-fast * 1000, 1010, FULL); /* at 0 it does not fall ... */
    assert_int_equal(motor.integral, -fast * 1000);
    duty_of(-(fast - 1) * 1000, 1010, FULL); /* ... one above it does ... */
    assert_int_equal(motor.integral, -(fast - 1) * 1000 - 10 * 30);
    duty_of(-slow * 1000, 990, FULL); /* ... and at 0 it rises */
    assert_int_equal(motor.integral, -slow * 1000 + 10 * 30);
    duty_of(1000000, 990, 100000);
    assert_int_equal(motor.integral, 1000000);
    duty_of(-1000000, 1010, FULL);
    assert_int_equal(motor.integral, -1000000);
}

static void the_rate_has_settled_when_the_ramp_and_some_time_are_over(void **state)
{
    (void)state;
    motor_start(&motor);
    for (uint32_t steps = 1; steps <= 60; steps++) {
        motor_step(&motor, 0, 1000, 10, FULL);
        assert_int_equal(motor_settled(&motor, 10, 40), steps > 50);
    }
}

static void the_load_is_what_friction_does_not_explain(void **state)
{
    (void)state;
    assert_int_equal(motor_load_permille(80, 0), 0);
    assert_int_equal(motor_load_permille(150, 1000), 0);
    assert_int_equal(motor_load_permille(0, 1000), 0);
    assert_int_equal(motor_load_permille(150 + 650, 1000), 500);
    assert_int_equal(motor_load_permille(150 + 1300, 1000), 1000);
    assert_int_equal(motor_load_permille(3000, 1000), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_set_point_rises_with_the_ramp),
        cmocka_unit_test(the_duty_stays_within_its_limits),
        cmocka_unit_test(the_integral_does_not_wind_up),
        cmocka_unit_test(the_rate_has_settled_when_the_ramp_and_some_time_are_over),
        cmocka_unit_test(the_load_is_what_friction_does_not_explain),
    };

    return cmocka_run_group_tests_name("motor", tests, NULL, NULL);
}
