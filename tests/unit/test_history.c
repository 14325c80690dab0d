/* What the journal has of treatment sessions: intervals at their boundaries, sessions that were never ended, lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "history.h"
#include "pen.pb-c.h"

static const uint64_t NOW_US = UINT64_C(1800000000000000), DAY_US = UINT64_C(86400000000);

static struct {
    char dir[32], path[64];
    struct store *s;
    struct site site;
} fx;

static int begin(void **state)
{
    char why[300];

    (void)state;
    strcpy(fx.dir, "/tmp/mn-history-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    snprintf(fx.path, sizeof(fx.path), "%s/j", fx.dir);
    assert_int_equal(store_open(&fx.s, fx.path, why, sizeof(why)), 0);
    site_default(&fx.site);
    return 0;
}

static int end(void **state)
{
    char command[64];

    (void)state;
    store_close(fx.s);
    snprintf(command, sizeof(command), "rm -r %s", fx.dir);
    assert_int_equal(system(command), 0);
    return 0;
}

static void insert(struct journal_record *r)
{
    r->volume = 1;
    assert_int_equal(store_begin(fx.s), 0);
    assert_int_equal(store_insert(fx.s, r), 0);
    assert_int_equal(store_commit(fx.s), 0);
    assert_true(r->position != 0);
}

static struct treatment treatment(uint32_t number, const char *subject, uint32_t depth_um, uint64_t begun_us)
{
    struct treatment t = {.state = TREATMENT_PREPARED, .number = number, .id = store_id(fx.s) + number, .zone_count = 1, .needle_count = 12, .begun_us = begun_us};

    strcpy(t.serial, "P");
    snprintf(t.subject, sizeof(t.subject), "%s", subject);
    strcpy(t.by, "test");
    t.zones[0] = (struct treatment_zone){.zone = ZONE_CHEEK, .depth_um = depth_um, .stroke_rate_dhz = 1000};
    return t;
}

static void write_beginning(const struct treatment *t)
{
    static const struct findings nothing;
    uint8_t bytes[STORE_NOTE_MAX];
    struct journal_record r;

    assert_true(history_begun(&r, t, &nothing, &fx.site, bytes));
    r.host_us = t->begun_us;
    insert(&r);
}

static void write_end(struct treatment *t, enum treatment_end how, uint32_t strokes, uint64_t ended_us, bool incomplete)
{
    uint8_t bytes[STORE_NOTE_MAX];
    struct journal_record r;

    t->zones[0].strokes = strokes;
    treatment_end(t, how);
    treatment_ended(t, ended_us, incomplete);
    assert_true(history_ended(&r, t, bytes));
    r.host_us = ended_us;
    insert(&r);
}

static void session(uint32_t number, const char *subject, uint32_t depth_um, uint64_t days_ago, uint32_t strokes, bool incomplete)
{
    struct treatment t = treatment(number, subject, depth_um, NOW_US - days_ago * DAY_US - 600000000);

    write_beginning(&t);
    write_end(&t, incomplete ? END_INTERRUPTED : END_COMPLETED, strokes, NOW_US - days_ago * DAY_US, incomplete);
}

static struct policy_step interval(const char *subject, enum policy_zone zone, uint64_t now_us)
{
    struct policy_step step = {.zone = zone};

    assert_int_equal(history_intervals(fx.s, subject, now_us, &step, 1), 0);
    return step;
}

/* What the policy makes of it. */
static int decision(const char *subject, bool override)
{
    struct policy_input in = {.step_count = 1, .numbing_min = 60};
    struct findings found;
    struct policy policy;

    policy_default(&policy);
    in.steps[0] = interval(subject, ZONE_CHEEK, NOW_US);
    in.steps[0].depth_um = 500;
    in.steps[0].interval_override = override;
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
        {450, 6, DECISION_BLOCK, DECISION_BLOCK},  {450, 7, DECISION_BLOCK, DECISION_WARN},  {450, 13, DECISION_BLOCK, DECISION_WARN},
        {450, 14, DECISION_OK, DECISION_OK},       {500, 6, DECISION_BLOCK, DECISION_BLOCK}, {500, 14, DECISION_BLOCK, DECISION_WARN},
        {500, 27, DECISION_BLOCK, DECISION_WARN},  {500, 28, DECISION_OK, DECISION_OK},      {1500, 27, DECISION_BLOCK, DECISION_WARN},
        {1500, 28, DECISION_OK, DECISION_OK},
    };
    char subject[8];

    (void)state;
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(subject, sizeof(subject), "S%u", i);
        session(i + 1, subject, cases[i].depth_um, cases[i].days_ago, 100, false);
        assert_int_equal(interval(subject, ZONE_CHEEK, NOW_US).days_since, cases[i].days_ago);
        assert_int_equal(decision(subject, false), cases[i].plain);
        assert_int_equal(decision(subject, true), cases[i].overridden);
    }
}

static void what_counts_is_the_last_time_the_zone_was_treated(void **state)
{
    (void)state;
    session(1, "A", 500, 40, 100, false);
    session(2, "A", 500, 20, 100, false);
    session(3, "A", 500, 10, 0, false); /* nothing was done */
    session(4, "B", 500, 1, 100, false);
    assert_int_equal(interval("A", ZONE_CHEEK, NOW_US).days_since, 20);
    assert_int_equal(interval("A", ZONE_CHIN, NOW_US).days_since, POLICY_NEVER);
    assert_int_equal(interval("C", ZONE_CHEEK, NOW_US).days_since, POLICY_NEVER);
    session(5, "A", 500, 5, 0, true); /* nobody knows what was done */
    assert_int_equal(interval("A", ZONE_CHEEK, NOW_US).days_since, 5);
    assert_int_equal(interval("A", ZONE_CHEEK, NOW_US - 6 * DAY_US).days_since, 0); /* a clock that was set back makes it today */
}

static void what_was_never_ended_is_found_with_its_runs(void **state)
{
    static struct treatment open[8];
    struct treatment t = treatment(1, "A", 500, NOW_US), other = treatment(2, "B", 500, NOW_US);
    Mnp__Record run = MNP__RECORD__INIT;
    Mnp__RunRecord body = MNP__RUN_RECORD__INIT;
    struct journal_record r = {.number = 1, .kind = MNC__JOURNAL_KIND__JOURNAL_RUN, .host_us = NOW_US};
    uint8_t bytes[256];
    uint32_t next;
    size_t count;

    (void)state;
    assert_int_equal(history_restore(fx.s, store_id(fx.s), open, 8, &count, &next), 0);
    assert_int_equal(count, 0);
    assert_int_equal(next, 1);
    write_beginning(&t);
    write_beginning(&other);
    write_end(&other, END_COMPLETED, 5, NOW_US, false);
    body.has_zone = body.has_treatment = body.has_strokes = body.has_duration_ms = body.has_depth_peak_um = true;
    body.zone = ZONE_CHEEK;
    body.strokes = 77;
    body.duration_ms = 700;
    body.depth_peak_um = 510;
    run.body_case = MNP__RECORD__BODY_RUN;
    run.run = &body;
    strcpy(r.serial, "P");
    for (uint32_t i = 0; i < 3; i++) {
        body.treatment = store_id(fx.s) + (i == 1 ? 2 : 1); /* one of them is the other's */
        r.number = i + 1;
        r.length = mnp__record__pack(&run, bytes);
        r.bytes = bytes;
        insert(&r);
    }
    r = (struct journal_record){.serial = "P", .number = 4, .kind = MNC__JOURNAL_KIND__JOURNAL_FAULT, .code = 1601, .host_us = NOW_US + 1, .bytes = bytes};
    insert(&r);
    r = (struct journal_record){.serial = "Q", .number = 1, .kind = MNC__JOURNAL_KIND__JOURNAL_FAULT, .code = 1101, .host_us = NOW_US + 1, .bytes = bytes};
    insert(&r);
    assert_int_equal(history_restore(fx.s, store_id(fx.s), open, 8, &count, &next), 0);
    assert_int_equal(count, 1);
    assert_int_equal(next, 3);
    assert_int_equal(open[0].number, 1);
    assert_int_equal(open[0].state, TREATMENT_ENDING);
    assert_int_equal(open[0].end, END_INTERRUPTED);
    assert_string_equal(open[0].subject, "A");
    assert_int_equal(open[0].zones[0].runs, 2);
    assert_int_equal(open[0].zones[0].strokes, 154);
    assert_int_equal(open[0].fault_count, 1);
    assert_int_equal(open[0].faults[0], 1601);
}

static void lists_have_what_began_and_how_it_ended(void **state)
{
    struct history_list l = {0};
    uint8_t bytes[STORE_NOTE_MAX];
    struct journal_record r;

    (void)state;
    session(1, "A", 500, 40, 100, false);
    session(2, "B", 600, 30, 200, false);
    assert_true(history_adverse(&r, "P", 1, 3, bytes));
    assert_false(history_adverse(&r, "P", 1, 0, bytes) || history_adverse(&r, "P", 1, 99, bytes));
    assert_true(history_adverse(&r, "P", 1, 3, bytes));
    insert(&r);
    assert_int_equal(history_list(fx.s, &l), 0);
    assert_int_equal(l.count, 2);
    assert_int_equal(l.sessions[0]->number, 2);
    assert_int_equal(l.sessions[1]->n_adverse, 1);
    assert_int_equal(l.sessions[1]->state, MNC__SESSION_STATE__SESSION_ENDED);
    assert_int_equal(l.sessions[1]->zone[0]->punctures, 1200);
    history_list_free(&l);
    l = (struct history_list){.subject = "A"};
    assert_int_equal(history_list(fx.s, &l), 0);
    assert_int_equal(l.count, 1);
    history_list_free(&l);
    l = (struct history_list){.number = 2};
    assert_int_equal(history_list(fx.s, &l), 0);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.sessions[0]->number, 2);
    history_list_free(&l);
}

/* The largest plan that is taken fits a row. */
static void the_largest_session_can_be_recorded(void **state)
{
    struct treatment t = treatment(1, "12345678901234567890123456789012", 2000, NOW_US);
    static struct findings found;
    uint8_t bytes[STORE_NOTE_MAX];
    struct journal_record r;
    char reason[TREATMENT_TEXT_MAX + 1];

    (void)state;
    memset(reason, 'x', TREATMENT_TEXT_MAX);
    reason[TREATMENT_TEXT_MAX] = '\0';
    for (t.zone_count = 0; t.zone_count < POLICY_STEPS_MAX; t.zone_count++)
        t.zones[t.zone_count] = (struct treatment_zone){.zone = ZONE_LEGS, .depth_um = UINT32_MAX, .stroke_rate_dhz = UINT32_MAX, .strokes = UINT32_MAX, .runs = UINT32_MAX,
                                                        .depth_peak_um = UINT32_MAX, .motor_ms = UINT64_MAX};
    while (treatment_add_override(&t, "PERIORBITAL_OUTSIDE_RIM", reason))
        ;
    for (found.count = 0; found.count < SCREEN_ITEMS + POLICY_STEPS_MAX + 1; found.count++) /* none that forbids it: one of each item, zone, and numbing */
        found.found[found.count] = (struct finding){.decision = DECISION_WARN, .code = 2004, .name = "CHEMOTHERAPY_OR_RADIATION", .value = UINT32_MAX, .limit = UINT32_MAX,
                                                    .unit = "min", .source = "S0, S1, S2, S4", .text = "left out"};
    assert_true(history_begun(&r, &t, &found, &fx.site, bytes));
    assert_in_range(r.length, 4000, STORE_NOTE_MAX);
    assert_true(history_ended(&r, &t, bytes));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(intervals_at_their_boundaries),
        TEST(what_counts_is_the_last_time_the_zone_was_treated),
        TEST(what_was_never_ended_is_found_with_its_runs),
        TEST(lists_have_what_began_and_how_it_ended),
        TEST(the_largest_session_can_be_recorded),
    };

    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
