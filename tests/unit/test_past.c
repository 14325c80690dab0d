/* When a subject was treated, what time it is, which keys are almost the same, and what a continuation is. */
#include "past_words.h"

/* What the policy makes of it. */
static int decision(const char *subject, bool override)
{
    struct policy_input in = {.step_count = 1, .numbing_min = 60};
    struct findings found;
    struct policy policy;

    policy_default(&policy);
    in.steps[0] = (struct policy_step){.zone = ZONE_CHEEK, .depth_um = 500, .interval_override = override, .days_since_surface = days(subject, PAST_SURFACE, NOW_US),
                                       .days_since_deeper = days(subject, PAST_DEEPER, NOW_US)};
    for (int i = 0; i < SCREEN_ITEMS; i++)
        in.answers[i] = (struct policy_answer){.answered = true, .hours_ago = POLICY_NEVER};
    policy_evaluate(&policy, &in, &found);
    return (int)found.worst;
}

static void intervals_at_their_boundaries(void **state)
{
    static const struct {
        uint32_t depth_um, days_ago;
        int plain, overridden;
    } cases[] = {
        {450, 6, DECISION_BLOCK, DECISION_BLOCK},  {450, 7, DECISION_BLOCK, DECISION_WARN},  {450, 27, DECISION_BLOCK, DECISION_WARN},
        {450, 28, DECISION_OK, DECISION_OK},       {500, 6, DECISION_BLOCK, DECISION_BLOCK}, {500, 14, DECISION_BLOCK, DECISION_WARN},
        {500, 27, DECISION_BLOCK, DECISION_WARN},  {500, 28, DECISION_OK, DECISION_OK},      {1500, 27, DECISION_BLOCK, DECISION_WARN},
        {1500, 28, DECISION_OK, DECISION_OK},
    };
    char subject[8];

    (void)state;
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(subject, sizeof(subject), "S%u", i);
        visits_session(i + 1, subject, cases[i].depth_um, cases[i].days_ago, 100, false);
        assert_int_equal(days(subject, cases[i].depth_um < 500 ? PAST_SURFACE : PAST_DEEPER, NOW_US), cases[i].days_ago);
        assert_int_equal(decision(subject, false), cases[i].plain);
        assert_int_equal(decision(subject, true), cases[i].overridden);
    }
}

static void what_counts_is_the_last_time_the_zone_was_treated_so_deep(void **state)
{
    (void)state;
    visits_session(1, "A", 500, 40, 100, false);
    visits_session(2, "A", 500, 20, 100, false);
    visits_session(3, "A", 500, 10, 0, false); /* nothing was done */
    visits_session(4, "B", 500, 1, 100, false);
    visits_session(5, "A", 200, 3, 100, false); /* SURFACE: it hides nothing */
    assert_int_equal(days("A", PAST_DEEPER, NOW_US), 20);
    assert_int_equal(days("A", PAST_SURFACE, NOW_US), 3);
    assert_int_equal(ask("A", ZONE_CHIN, 0).zones[0][PAST_DEEPER].ended_us, 0);
    assert_int_equal(days("C", PAST_DEEPER, NOW_US), POLICY_NEVER);
    visits_session(6, "A", 500, 5, 0, true); /* nobody knows what was done */
    assert_int_equal(days("A", PAST_DEEPER, NOW_US), 5);
    assert_int_equal(days("A", PAST_DEEPER, NOW_US - 6 * DAY_US), 0); /* a clock that was set back makes it today */
}

/* A session under a clock that was years ahead, or behind, hides nothing of before. */
static void a_wrong_clock_hides_nothing(void **state)
{
    struct treatment t = visits_plan(2, "B", 500, NOW_US + 4000 * DAY_US);

    (void)state;
    visits_session(1, "A", 500, 3, 100, false);
    visits_write_beginning(&t);
    visits_write_end(&t, END_COMPLETED, 10, NOW_US + 4000 * DAY_US, false);
    t = visits_plan(3, "B", 500, 1000000);
    visits_write_beginning(&t);
    visits_write_end(&t, END_COMPLETED, 10, 2000000, false);
    assert_int_equal(days("A", PAST_DEEPER, NOW_US), 3);
    visits_session(4, "A", 500, 900, 100, false); /* very old, and written last */
    assert_int_equal(days("A", PAST_DEEPER, NOW_US), 3);
}

static void the_latest_time_is_known(void **state)
{
    Mnc__Note note = MNC__NOTE__INIT;
    struct journal_record r = {.volume = 1};
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct past p;

    (void)state;
    visits_session(1, "A", 500, 10, 100, false);
    visits_session(2, "B", 500, 0, 100, false);
    visits_session(3, "A", 500, 400, 100, false);
    p = ask("A", ZONE_CHEEK, 0);
    assert_int_equal(p.latest_us, NOW_US);
    assert_int_equal(past_now_us(&p, NOW_US - DAY_US), NOW_US);
    assert_int_equal(past_now_us(&p, NOW_US + 1), NOW_US + 1);
    journal_note(&r, MNC__JOURNAL_KIND__JOURNAL_CLOCK, &note, bytes); /* service: it is the day before */
    r.host_us = NOW_US - DAY_US;
    visits_insert(&r);
    p = ask("B", ZONE_CHEEK, 0);
    assert_int_equal(p.latest_us, NOW_US - DAY_US);
    assert_int_equal(p.zones[0][PAST_DEEPER].ended_us, NOW_US - DAY_US); /* it cannot have been later than now */
    assert_int_equal(days("A", PAST_DEEPER, NOW_US), 10);
}

static bool is_right(uint64_t latest_us, uint64_t clock_us, const char *words)
{
    struct past p = {.latest_us = latest_us};
    char why[200] = "";
    bool right = past_clock_is_right(&p, clock_us, why, sizeof(why));

    assert_true(right || strstr(why, words) != NULL);
    return right;
}

static void a_clock_that_cannot_be_right_is_said(void **state)
{
    static const uint64_t FLOOR_US = UINT64_C(1767225600000000), TOLERANCE_US = 300000000;

    (void)state;
    assert_false(is_right(0, 0, "1970-01-01 00:00 UTC: set it right first"));
    assert_false(is_right(0, FLOOR_US - 1, "2025-12-31 23:59 UTC"));
    assert_true(is_right(0, FLOOR_US, ""));
    assert_true(is_right(NOW_US, NOW_US - TOLERANCE_US, ""));
    assert_false(is_right(NOW_US, NOW_US - TOLERANCE_US - 1, "and the journal has seen 2027-01-15 08:00 UTC: set it right, or let service confirm it"));
    assert_true(is_right(NOW_US, NOW_US + 1000 * DAY_US, ""));
    assert_true(is_right(0, UINT64_C(2147483648) * 1000000, "")); /* a second after what 32 bits hold, in 2038 */
    assert_true(is_right(UINT64_C(2147483647) * 1000000, UINT64_C(2147483648) * 1000000, ""));
}

/* Days are of 24 hours, whatever the clock on the wall does; and a second that comes twice is no clock that was set back. */
static void summer_time_and_leap_seconds_change_no_interval(void **state)
{
    static const uint64_t changes_us[] = {UINT64_C(1806195600000000), UINT64_C(1824944400000000)}; /* in Berlin: 2027-03-28 01:00 UTC, 2027-10-31 01:00 UTC */
    const char *before = getenv("TZ");
    char kept[64];

    (void)state;
    snprintf(kept, sizeof(kept), "%s", before != NULL ? before : "");
    setenv("TZ", "Europe/Berlin", 1);
    tzset();
    for (size_t i = 0; i < 2; i++) {
        struct past_time then = {.ended_us = changes_us[i] - DAY_US / 2};

        for (uint32_t d = 1; d <= 28; d++) {
            assert_int_equal(past_days(&then, then.ended_us + d * DAY_US - 1), d - 1);
            assert_int_equal(past_days(&then, then.ended_us + d * DAY_US), d);
        }
    }
    assert_true(is_right(NOW_US, NOW_US - 1000000, ""));
    if (before != NULL)
        setenv("TZ", kept, 1);
    else
        unsetenv("TZ");
    tzset();
}

static void a_journal_that_lost_its_times_is_damaged(void **state)
{
    struct past_question q = {.subject = "A"};
    struct past p;

    (void)state;
    assert_int_equal(sqlite3_exec(visits.s->db, "DELETE FROM known", NULL, NULL, NULL), SQLITE_OK);
    assert_true(past_query(visits.s, &q, &p) < 0);
    assert_non_null(strstr(store_why(visits.s), "malformed"));
}

static void keys_that_are_almost_the_same_are_shown(void **state)
{
    struct past p = ask("K-20", ZONE_CHEEK, 0);

    (void)state;
    assert_true(p.subject_is_new);
    assert_string_equal(p.doubles, "");
    visits_session(1, "K-20", 500, 40, 100, false);
    visits_session(2, "K-200", 500, 40, 100, false);
    p = ask("K-20", ZONE_CHEEK, 0);
    assert_false(p.subject_is_new);
    assert_string_equal(p.doubles, "");
    p = ask("k_020", ZONE_CHEEK, 0);
    assert_true(p.subject_is_new);
    assert_string_equal(p.doubles, "K-20");
    visits_session(3, "k20", 500, 40, 100, false);
    assert_string_equal(ask("K/20", ZONE_CHEEK, 0).doubles, "K-20, k20");
    for (uint32_t i = 0; i < 40; i++) { /* as many as there is room for */
        char subject[33];

        snprintf(subject, sizeof(subject), "%.*sK20", (int)(i % 28) + 1, "----------------------------");
        visits_session(4 + i, subject, 500, 40, 100, false);
    }
    assert_true(strlen(ask("K20", ZONE_CHEEK, 0).doubles) > 50);
}

/* As many whole keys as there is room for, to the last byte. */
static void almost_the_same_keys_are_shown_whole(void **state)
{
    static const char *const keys[] = {"K---------------------------20", "k---------------------------20", "K...........................20", "K-.20"};
    char expected[128];

    (void)state;
    for (uint32_t i = 0; i < 4; i++)
        visits_session(1 + i, keys[i], 500, 44 - i, 100, false);
    snprintf(expected, sizeof(expected), "%s, %s, %s, %s", keys[0], keys[1], keys[2], keys[3]);
    assert_int_equal(strlen(expected), sizeof(((struct past *)0)->doubles) - 1);
    assert_string_equal(ask("K20", ZONE_CHEEK, 0).doubles, expected);
    visits_session(5, "k-20", 500, 40, 100, false);
    assert_string_equal(ask("K20", ZONE_CHEEK, 0).doubles, expected);
}

static void what_is_continued_counts_as_the_same_treatment(void **state)
{
    struct treatment t = visits_plan(2, "A", 500, NOW_US);
    struct past p;

    (void)state;
    visits_session(1, "A", 500, 0, 100, false);
    assert_int_equal(days("A", PAST_DEEPER, NOW_US), 0);
    p = ask("A", ZONE_CHEEK, 1);
    assert_true(p.continued.found);
    assert_int_equal(p.continued.end, END_COMPLETED);
    assert_int_equal(p.continued.ended_us, NOW_US);
    assert_int_equal(p.zones[0][PAST_DEEPER].ended_us, 0);
    t.continues = 1;
    visits_write_beginning(&t);
    visits_write_end(&t, END_ABORTED, 5, NOW_US + 1, false);
    p = ask("A", ZONE_CHEEK, 2); /* and the one that continued it, too */
    assert_int_equal(p.continued.origin, 1);
    assert_int_equal(p.zones[0][PAST_DEEPER].ended_us, 0);
    assert_false(ask("B", ZONE_CHEEK, 1).continued.found); /* it is another's */
    assert_false(ask("A", ZONE_CHEEK, 9).continued.found);
    visits_session(3, "A", 500, 30, 100, false);
    assert_int_equal(past_days(&ask("A", ZONE_CHEEK, 2).zones[0][PAST_DEEPER], NOW_US), 30); /* what was before counts */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(intervals_at_their_boundaries),
        TEST(what_counts_is_the_last_time_the_zone_was_treated_so_deep),
        TEST(a_wrong_clock_hides_nothing),
        TEST(the_latest_time_is_known),
        TEST(a_clock_that_cannot_be_right_is_said),
        TEST(summer_time_and_leap_seconds_change_no_interval),
        TEST(keys_that_are_almost_the_same_are_shown),
        TEST(almost_the_same_keys_are_shown_whole),
        TEST(a_journal_that_lost_its_times_is_damaged),
        TEST(what_is_continued_counts_as_the_same_treatment),
    };

    return cmocka_run_group_tests_name("past", tests, NULL, NULL);
}
