/* What a session has come to: every case of treatment_outcome(), a line each, and that runs leave behind what it judges by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "treatment.h"

static const struct {
    enum treatment_end asked;
    const char *zones;   /* a letter each: - untreated, t treated, b treated and broken off last, o broken off without a stroke */
    bool incomplete;
    enum treatment_end end;
} cases[] = {
    {END_COMPLETED, "t", false, END_COMPLETED},
    {END_COMPLETED, "tt", false, END_COMPLETED},
    {END_COMPLETED, "-", false, END_UNTREATED},
    {END_COMPLETED, "--", false, END_UNTREATED},
    {END_COMPLETED, "o", false, END_UNTREATED},
    {END_COMPLETED, "t-", false, END_PARTIAL},
    {END_COMPLETED, "-t", false, END_PARTIAL},
    {END_COMPLETED, "b", false, END_PARTIAL},
    {END_COMPLETED, "tb", false, END_PARTIAL},
    {END_COMPLETED, "to", false, END_PARTIAL},
    {END_COMPLETED, "t", true, END_PARTIAL},
    {END_COMPLETED, "-", true, END_PARTIAL}, /* perhaps they moved: it is not known */
    {END_ABORTED, "tt", false, END_ABORTED},
    {END_ABORTED, "-", false, END_ABORTED},
    {END_INTERRUPTED, "t", false, END_INTERRUPTED},
    {END_INTERRUPTED, "-", true, END_INTERRUPTED},
};

static void each_session_is_called_what_it_was(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct treatment t = {.zone_count = strlen(cases[i].zones)};

        for (size_t z = 0; z < t.zone_count; z++) {
            t.zones[z].strokes = cases[i].zones[z] == 't' || cases[i].zones[z] == 'b' ? 100 : 0;
            t.zones[z].broken_off = cases[i].zones[z] == 'b' || cases[i].zones[z] == 'o';
        }
        if (treatment_outcome(&t, cases[i].asked, cases[i].incomplete) != cases[i].end)
            fail_msg("case %zu: zones %s", i, cases[i].zones);
    }
}

static void a_zone_is_broken_off_until_a_run_of_it_ends_well(void **state)
{
    struct treatment t = {.state = TREATMENT_PAUSED, .zone_count = 1, .zones = {{.zone = ZONE_CHEEK}}};

    (void)state;
    treatment_add_run(&t, &(struct treatment_run){ZONE_CHEEK, 50, 400, 1000, 7, 1, RUN_END_FAULT});
    assert_true(t.zones[0].broken_off);
    assert_int_equal(treatment_outcome(&t, END_COMPLETED, false), END_PARTIAL);
    treatment_add_run(&t, &(struct treatment_run){ZONE_CHEEK, 50, 400, 1000, 7, 1, RUN_END_LINK});
    assert_true(t.zones[0].broken_off);
    treatment_add_run(&t, &(struct treatment_run){ZONE_CHEEK, 50, 400, 1000, 7, 1, RUN_END_TRIGGER});
    assert_false(t.zones[0].broken_off);
    treatment_ended(&t, 1, false);
    assert_int_equal(t.end, END_NONE); /* nobody has ended it */
    treatment_end(&t, END_COMPLETED);
    treatment_ended(&t, 1, false);
    assert_int_equal(t.end, END_COMPLETED);
    treatment_ended(&t, 1, false); /* it is said once more when its end is on disk */
    assert_int_equal(t.end, END_COMPLETED);
}

static void who_stopped_it_is_kept_until_the_needles_move_again(void **state)
{
    struct treatment t = {.state = TREATMENT_RUNNING, .zone_count = 1};

    (void)state;
    treatment_stopped_by(&t, "clinic 2.1 (pid 42)");
    assert_false(treatment_pen_is(&t, PEN_IS_AT_REST, ""));
    assert_int_equal(t.state, TREATMENT_PAUSED);
    assert_string_equal(t.text, "stopped by clinic 2.1 (pid 42)");
    treatment_arm_sent(&t);
    assert_string_equal(t.text, "");
    t.state = TREATMENT_RUNNING;
    treatment_stopped_by(&t, "clinic");
    treatment_pen_is(&t, PEN_IS_AT_REST, "the pen has a fault");
    assert_string_equal(t.text, "the pen has a fault");
    treatment_stopped_by(&t, "clinic"); /* it stands still already */
    assert_string_equal(t.text, "the pen has a fault");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_session_is_called_what_it_was),
        cmocka_unit_test(a_zone_is_broken_off_until_a_run_of_it_ends_well),
        cmocka_unit_test(who_stopped_it_is_kept_until_the_needles_move_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
