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

/* ---- who, where, how deep ---- */

static void a_subject_is_a_key(void **state)
{
    static const struct {
        const char *subject;
        bool good;
    } cases[] = {
        {"", false}, {"K", true}, {"!~", true}, {" K", false}, {"a b", false}, {"a\t", false}, {"a\x7f", false}, {"a\xc3\xa4", false}, {"12345678901234567890123456789012", true},
        {"123456789012345678901234567890123", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fx.m.subject = (char *)(uintptr_t)cases[i].subject;
        assert_int_equal(read_at(0), cases[i].good);
        if (cases[i].good)
            assert_string_equal(fx.t.subject, cases[i].subject);
        else
            assert_non_null(strstr(fx.why, "nobody's name"));
    }
    fx.m.subject = NULL;
    assert_false(read_at(0));
    assert_false(plan_read(&fx.t, NULL, 0, fx.why, sizeof(fx.why)));
}

static void an_indication_is_one_of_the_list_or_none(void **state)
{
    static const char *const good[] = {"FINE_LINES", "SCARS", "MAINTENANCE"}, *const bad[] = {"SCAR", "SCARSS", "scars", "0123456789012345678901234567890123456789012345678901234567890"};

    (void)state;
    assert_true(read_at(0));
    assert_string_equal(fx.t.indication, "");
    fx.m.indication = (char *)(uintptr_t)"";
    assert_true(read_at(0));
    assert_string_equal(fx.t.indication, "");
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        fx.m.indication = (char *)(uintptr_t)good[i];
        assert_true(read_at(0));
        assert_string_equal(fx.t.indication, good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fx.m.indication = (char *)(uintptr_t)bad[i];
        assert_false(read_at(0));
        assert_non_null(strstr(fx.why, "there is no indication"));
    }
}

static void a_plan_has_1_to_17_different_zones(void **state)
{
    static Mnc__PlanStep steps[POLICY_STEPS_MAX + 1], *list[POLICY_STEPS_MAX + 1];

    (void)state;
    for (size_t i = 0; i <= POLICY_STEPS_MAX; i++) {
        steps[i] = fx.step;
        steps[i].zone = 1 + (uint32_t)i;
        list[i] = &steps[i];
    }
    fx.m.step = list;
    for (fx.m.n_step = 0; fx.m.n_step <= POLICY_STEPS_MAX + 1; fx.m.n_step++) {
        assert_int_equal(read_at(0), fx.m.n_step >= 1 && fx.m.n_step <= POLICY_STEPS_MAX);
        if (fx.m.n_step >= 1 && fx.m.n_step <= POLICY_STEPS_MAX)
            assert_int_equal(fx.t.zone_count, fx.m.n_step);
    }
    fx.m.n_step = 3;
    steps[2].zone = steps[0].zone;
    assert_false(read_at(0));
    assert_non_null(strstr(fx.why, "stands twice"));
}

static void a_step_says_zone_depth_and_rate(void **state)
{
    protobuf_c_boolean *const needed[] = {&fx.step.has_zone, &fx.step.has_depth_um, &fx.step.has_stroke_rate_dhz};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        *needed[i] = false;
        assert_false(read_at(0));
        assert_string_equal(fx.why, "a step of a plan needs zone, depth_um and stroke_rate_dhz");
        *needed[i] = true;
    }
    assert_true(read_at(0));
    assert_int_equal(fx.t.zones[0].zone, ZONE_CHEEK);
    assert_int_equal(fx.t.zones[0].depth_um, 500);
    assert_int_equal(fx.t.zones[0].stroke_rate_dhz, 1000);
    assert_int_equal(fx.t.input.steps[0].depth_um, 500);
}

static void depth_and_rate_are_what_a_pen_can(void **state)
{
    static const struct {
        uint32_t depth_um, rate_dhz;
        bool good;
    } cases[] = {
        {0, 600, true},      {50, 1500, true},    {2500, 1001, true},  {49, 1000, false},   {2501, 1000, false},
        {2550, 1000, false}, {525, 1000, false}, {500, 599, false}, {500, 1501, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fx.step.depth_um = cases[i].depth_um;
        fx.step.stroke_rate_dhz = cases[i].rate_dhz;
        if (read_at(0) != cases[i].good)
            fail_msg("%u um, %u dHz: %s", cases[i].depth_um, cases[i].rate_dhz, fx.why);
        if (!cases[i].good)
            assert_non_null(strstr(fx.why, cases[i].rate_dhz == 1000 ? "depth_um is " : "stroke_rate_dhz is "));
    }
}

/* ---- what is overridden ---- */

static char blanks[] = "  ", reason[] = "a reason";

static void an_override_has_a_reason(void **state)
{
    (void)state;
    assert_true(read_at(0));
    assert_false(fx.t.input.steps[0].interval_override);
    fx.step.interval_override = blanks;
    assert_false(read_at(0));
    assert_non_null(strstr(fx.why, "an override needs a reason"));
    fx.step.interval_override = reason;
    assert_true(read_at(0));
    assert_true(fx.t.input.steps[0].interval_override);
    assert_int_equal(fx.t.override_count, 1);
    assert_string_equal(fx.t.overrides[0].name, "CHEEK");
    assert_string_equal(fx.t.overrides[0].reason, reason);
}

static void a_waiver_has_a_reason(void **state)
{
    (void)state;
    assert_true(read_at(0));
    assert_false(fx.t.input.numbing_waived);
    fx.m.numbing_waiver = blanks;
    assert_false(read_at(0));
    assert_non_null(strstr(fx.why, "a waiver of numbing needs a reason"));
    fx.m.numbing_waiver = reason;
    assert_true(read_at(0));
    assert_true(fx.t.input.numbing_waived);
    assert_string_equal(fx.t.overrides[0].name, "numbing");
}

static void a_continuation_has_a_reason(void **state)
{
    (void)state;
    fx.m.continues_why = blanks; /* of none */
    assert_true(read_at(0));
    assert_int_equal(fx.t.continues, 0);
    assert_int_equal(fx.t.override_count, 0);
    fx.m.continues = 7;
    assert_false(read_at(0));
    assert_non_null(strstr(fx.why, "a continuation needs a reason"));
    fx.m.continues_why = NULL;
    assert_false(read_at(0));
    fx.m.continues_why = reason;
    assert_true(read_at(0));
    assert_int_equal(fx.t.continues, 7);
    assert_string_equal(fx.t.overrides[0].name, "continuation");
}

static void who_has_confirmed_is_a_key(void **state)
{
    static const struct {
        const char *by;
        bool good, confirmed;
    } cases[] = {{NULL, true, false}, {"", true, false}, {"dr-17", true, true}, {"Dr 17", false, false}, {" ", false, false}};

    (void)state;
    fx.m.n_answer = 1;
    fx.answer[0].item = keloid;
    fx.answer[0].has_yes = fx.answer[0].yes = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fx.answer[0].confirmed_by = (char *)(uintptr_t)cases[i].by;
        assert_int_equal(read_at(0), cases[i].good);
        if (!cases[i].good) {
            assert_non_null(strstr(fx.why, "who has confirmed KELOID is a key"));
            continue;
        }
        assert_int_equal(fx.t.input.answers[SCREEN_KELOID].confirmed, cases[i].confirmed);
        assert_int_equal(fx.t.override_count, cases[i].confirmed);
        if (cases[i].confirmed)
            assert_string_equal(fx.t.overrides[0].reason, cases[i].by);
    }
}

static void an_item_is_one_of_the_list(void **state)
{
    static const char *const unknown[] = {NULL, "", "KELOIDS", "keloid"};

    (void)state;
    fx.m.n_answer = 1;
    fx.answer[0].has_yes = true;
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        fx.answer[0].item = (char *)(uintptr_t)unknown[i];
        assert_false(read_at(0));
        assert_non_null(strstr(fx.why, unknown[i] == NULL ? "there is no screening item without a name" : "there is no screening item"));
    }
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
        TEST(a_subject_is_a_key),
        TEST(an_indication_is_one_of_the_list_or_none),
        TEST(a_plan_has_1_to_17_different_zones),
        TEST(a_step_says_zone_depth_and_rate),
        TEST(depth_and_rate_are_what_a_pen_can),
        TEST(an_override_has_a_reason),
        TEST(a_waiver_has_a_reason),
        TEST(a_continuation_has_a_reason),
        TEST(who_has_confirmed_is_a_key),
        TEST(an_item_is_one_of_the_list),
    };

    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
