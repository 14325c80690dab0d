/* A plan as a program sends it: what is half said is refused, and how long the machine has been up does not matter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "plan.h"

static const uint64_t MINUTE_US = 60000000;
static char key[] = "K-1", nsaid[] = "NSAID", keloid[] = "KELOID", wound[] = "WOUND_OR_LESION";

static struct {
    Mnc__Plan m;
    Mnc__PlanStep step, *steps[1];
    Mnc__Answer answer[2], *answers[2];
    struct treatment t;
    char why[200];
} fx;

static int begin(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    mnc__plan__init(&fx.m);
    mnc__plan_step__init(&fx.step);
    fx.m.subject = key;
    fx.step.has_zone = fx.step.has_depth_um = fx.step.has_stroke_rate_dhz = true;
    fx.step.zone = ZONE_CHEEK;
    fx.step.depth_um = 500;
    fx.step.stroke_rate_dhz = 1000;
    fx.steps[0] = &fx.step;
    fx.m.step = fx.steps;
    fx.m.n_step = 1;
    for (size_t i = 0; i < 2; i++) {
        mnc__answer__init(&fx.answer[i]);
        fx.answers[i] = &fx.answer[i];
    }
    fx.m.answer = fx.answers;
    return 0;
}

static bool read_at(uint64_t now_us)
{
    memset(&fx.t, 0, sizeof(fx.t));
    return plan_read(&fx.t, &fx.m, now_us, fx.why, sizeof(fx.why));
}

static void numbing_may_be_older_than_the_machine_s_boot(void **state)
{
    (void)state;
    fx.m.has_numbing_min = true;
    fx.m.numbing_min = 35;
    assert_true(read_at(2 * MINUTE_US)); /* switched on two minutes ago */
    assert_int_equal(treatment_numbing_min(&fx.t, 2 * MINUTE_US), 35);
    assert_int_equal(treatment_numbing_min(&fx.t, 2 * MINUTE_US + MINUTE_US - 1), 35);
    assert_int_equal(treatment_numbing_min(&fx.t, 12 * MINUTE_US), 45);
    assert_int_equal(treatment_numbing_min(&fx.t, UINT64_MAX), POLICY_NEVER - 1); /* and not "never" */
    fx.m.numbing_min = 1440;
    assert_true(read_at(0));
    fx.m.numbing_min = 1441;
    assert_false(read_at(0));
    fx.m.has_numbing_min = false;
    assert_true(read_at(5 * MINUTE_US));
    assert_int_equal(treatment_numbing_min(&fx.t, 500 * MINUTE_US), POLICY_NEVER);
}

static void a_yes_without_how_long_ago_is_not_never(void **state)
{
    (void)state;
    fx.m.n_answer = 1;
    fx.answer[0].item = nsaid;
    fx.answer[0].has_yes = fx.answer[0].yes = true;
    assert_false(read_at(0));
    assert_string_equal(fx.why, "NSAID is answered by how long ago it was, or never");
    fx.answer[0].yes = false;
    assert_true(read_at(0));
    assert_int_equal(fx.t.input.answers[SCREEN_NSAID].hours_ago, POLICY_NEVER);
    fx.answer[0].has_hours_ago = true;
    fx.answer[0].hours_ago = 5;
    assert_true(read_at(0));
    assert_int_equal(fx.t.input.answers[SCREEN_NSAID].hours_ago, 5);
}

static void how_long_ago_is_no_answer_to_a_yes_or_no(void **state)
{
    (void)state;
    fx.m.n_answer = 1;
    fx.answer[0].item = keloid;
    assert_false(read_at(0)); /* nothing is said at all */
    assert_string_equal(fx.why, "KELOID is answered by yes or no");
    fx.answer[0].has_hours_ago = true;
    fx.answer[0].hours_ago = 5;
    assert_false(read_at(0));
    fx.answer[0].has_yes = true;
    assert_false(read_at(0));
    fx.answer[0].has_hours_ago = false;
    assert_true(read_at(0));
    assert_true(fx.t.input.answers[SCREEN_KELOID].answered && !fx.t.input.answers[SCREEN_KELOID].yes);
}

static void an_item_is_answered_once(void **state)
{
    (void)state;
    fx.m.n_answer = 2;
    for (size_t i = 0; i < 2; i++) {
        fx.answer[i].item = keloid;
        fx.answer[i].has_yes = true;
    }
    fx.answer[0].yes = true;
    assert_false(read_at(0));
    assert_string_equal(fx.why, "KELOID is answered twice");
}

static void no_zone_named_is_everywhere(void **state)
{
    (void)state;
    fx.m.n_answer = 1;
    fx.answer[0].item = wound;
    fx.answer[0].has_yes = fx.answer[0].yes = fx.answer[0].has_zones = true;
    assert_true(read_at(0));
    assert_int_equal(fx.t.input.answers[SCREEN_WOUND_OR_LESION].zones, UINT32_MAX);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbing_may_be_older_than_the_machine_s_boot),
        TEST(a_yes_without_how_long_ago_is_not_never),
        TEST(how_long_ago_is_no_answer_to_a_yes_or_no),
        TEST(an_item_is_answered_once),
        TEST(no_zone_named_is_everywhere),
    };

    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
