/* What must never be forgotten: intervals at their boundaries, cartridges, subjects, the time. In the journal as it is, with rows dropped, and in one of before. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pen.pb-c.h"
#include "visits.h"

static struct past ask(const char *subject, enum policy_zone zone, uint32_t continued)
{
    struct past_question q = {.zones = {zone}, .zone_count = 1, .medium_um = 500, .continued = continued};
    struct past p;

    snprintf(q.subject, sizeof(q.subject), "%s", subject);
    assert_int_equal(past_query(visits.s, &q, &p), 0);
    return p;
}

static uint32_t days(const char *subject, int depth, uint64_t now_us)
{
    struct past p = ask(subject, ZONE_CHEEK, 0);

    return past_days(&p.zones[0][depth], now_us);
}

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

/* ---- cartridges ---- */

static void run(const char *serial, uint32_t number, uint64_t uid, uint64_t treatment_id, bool ended)
{
    Mnp__RunBegunRecord begun = MNP__RUN_BEGUN_RECORD__INIT;
    Mnp__RunRecord end_of_it = MNP__RUN_RECORD__INIT;
    Mnp__Record m = MNP__RECORD__INIT;
    struct journal_record r = {.number = number, .kind = ended ? MNC__JOURNAL_KIND__JOURNAL_RUN : MNC__JOURNAL_KIND__JOURNAL_RUN_BEGUN, .host_us = NOW_US};
    uint8_t bytes[256];

    begun.has_cartridge_uid = begun.has_treatment = begun.has_cartridge_lot = end_of_it.has_cartridge_uid = end_of_it.has_treatment = end_of_it.has_cartridge_lot = true;
    begun.cartridge_uid = end_of_it.cartridge_uid = uid;
    begun.treatment = end_of_it.treatment = treatment_id;
    begun.cartridge_lot = end_of_it.cartridge_lot = 2611;
    m.body_case = ended ? MNP__RECORD__BODY_RUN : MNP__RECORD__BODY_RUN_BEGUN;
    if (ended)
        m.run = &end_of_it;
    else
        m.run_begun = &begun;
    snprintf(r.serial, sizeof(r.serial), "%s", serial);
    r.length = mnp__record__pack(&m, bytes);
    r.bytes = bytes;
    visits_insert(&r);
}

static uint64_t used_in(uint64_t uid, uint64_t treatment_id)
{
    struct past_question q = {.subject = "A", .cartridge_uid = uid, .treatment = treatment_id};
    struct past p;

    assert_int_equal(past_query(visits.s, &q, &p), 0);
    assert_true((p.used_in != 0) == (p.used_with[0] != '\0'));
    return p.used_in;
}

static void a_cartridge_is_known_by_every_run_of_every_pen(void **state)
{
    uint64_t journal = store_id(visits.s);

    (void)state;
    run("P", 1, 0xabc, journal + 1, false);
    assert_int_equal(used_in(0xabc, 0), journal + 1);
    assert_int_equal(used_in(0xabc, journal + 2), journal + 1);
    assert_int_equal(used_in(0xabc, journal + 1), 0); /* its own */
    assert_int_equal(used_in(0xabd, 0), 0);
    run("P", 2, 0xabc, journal + 1, true);
    run("Q", 1, UINT64_MAX, journal + 2, true); /* all 64 bits */
    assert_int_equal(used_in(UINT64_MAX, 0), journal + 2);
    run("Q", 2, 0xdef, 0, true); /* by a firmware that knew no treatments */
    assert_int_equal(used_in(0xdef, 0), UINT64_MAX);
    run("Q", 3, 0xeee, 5, true); /* of another journal */
    assert_int_equal(used_in(0xeee, 0), 5);
}

/* It was armed, and the pen has gone without a word: perhaps it was used. */
static void a_cartridge_of_an_incomplete_session_counts_as_used(void **state)
{
    struct treatment t = visits_plan(1, "A", 500, NOW_US);

    (void)state;
    t.cartridges[t.cartridge_count++] = (struct treatment_cartridge){.uid = 0x77, .lot = 5};
    visits_write_beginning(&t);
    visits_write_end(&t, END_ABORTED, 0, NOW_US, true);
    assert_int_equal(used_in(0x77, 0), store_id(visits.s) + 1);
    t = visits_plan(2, "A", 500, NOW_US);
    t.cartridges[t.cartridge_count++] = (struct treatment_cartridge){.uid = 0x78, .lot = 5};
    visits_write_beginning(&t);
    visits_write_end(&t, END_ABORTED, 0, NOW_US, false);
    assert_int_equal(used_in(0x78, 0), 0);
}

static void a_recall_finds_sessions_by_cartridge_and_by_lot(void **state)
{
    uint64_t journal = store_id(visits.s);
    uint32_t numbers[8];
    size_t count;

    (void)state;
    run("P", 1, 0xa, journal + 3, true);
    run("P", 2, 0xb, journal + 7, true);
    run("P", 3, 0xb, journal + 7, true);
    run("P", 4, 0xc, 9, true); /* of another journal: it has no number here */
    assert_int_equal(past_sessions_of(visits.s, 0xb, 0, 0, numbers, 8, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(numbers[0], 7);
    assert_int_equal(past_sessions_of(visits.s, 0, 2611, 0, numbers, 8, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(numbers[0], 7);
    assert_int_equal(numbers[1], 3);
    assert_int_equal(past_sessions_of(visits.s, 0, 2611, 7, numbers, 8, &count), 0); /* the next page */
    assert_int_equal(count, 1);
    assert_int_equal(numbers[0], 3);
    assert_int_equal(past_sessions_of(visits.s, 0, 2612, 0, numbers, 8, &count), 0);
    assert_int_equal(count, 0);
}

/* What is in a row that it should not be, and in a question that is too large. */
static void odd_rows_and_questions_do_no_harm(void **state)
{
    static const uint32_t kinds[] = {MNC__JOURNAL_KIND__JOURNAL_RUN, MNC__JOURNAL_KIND__JOURNAL_RUN_BEGUN, MNC__JOURNAL_KIND__JOURNAL_SESSION_BEGUN, MNC__JOURNAL_KIND__JOURNAL_SESSION_ENDED};
    static char long_key[] = "a-key-that-is-longer-than-any-that-is-taken-1234567890";
    Mnp__Record record = MNP__RECORD__INIT;
    Mnc__Note note = MNC__NOTE__INIT;
    Mnc__Session session = MNC__SESSION__INIT;
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct past_question q = {.subject = "A", .zones = {ZONE_CHIN, ZONE_CHEEK}, .zone_count = 1, .medium_um = 500};
    struct past p;
    struct journal_record r = {.serial = "P"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        r = (struct journal_record){.serial = "P", .number = (uint32_t)i + 1, .kind = kinds[i], .host_us = NOW_US, .bytes = (const uint8_t *)"\xff\xff", .length = 2};
        visits_insert(&r); /* damaged */
        r = (struct journal_record){.serial = "Q", .number = (uint32_t)i + 1, .kind = kinds[i], .host_us = NOW_US, .bytes = bytes};
        r.length = i < 2 ? mnp__record__pack(&record, bytes) : mnc__note__pack(&note, bytes);
        visits_insert(&r); /* without what it is about */
    }
    note.session = &session;
    for (int named = 0; named < 2; named++) {
        r = (struct journal_record){.serial = "P"};
        session.subject = named != 0 ? long_key : NULL;
        journal_note(&r, MNC__JOURNAL_KIND__JOURNAL_SESSION_BEGUN, &note, bytes);
        visits_insert(&r);
    }
    visits_session(1, "A", 500, 3, 100, false);
    assert_int_equal(past_query(visits.s, &q, &p), 0);
    assert_int_equal(p.zones[0][PAST_DEEPER].ended_us, 0);
    assert_int_equal(p.zones[1][PAST_DEEPER].ended_us, 0); /* it was not asked for */
    q.zone_count = 1000;
    assert_int_equal(past_query(visits.s, &q, &p), 0);
    assert_int_equal(past_days(&p.zones[1][PAST_DEEPER], NOW_US), 3);
}

static void of_a_session_no_more_is_told_than_there_is_room_for(void **state)
{
    struct past_session *p = calloc(1, sizeof(*p));
    char sql[200];

    (void)state;
    assert_non_null(p);
    for (uint32_t i = 1; i <= PAST_ZONES_MAX + 8; i++) {
        run("P", i, 0x100 + i, store_id(visits.s) + 1, true);
        snprintf(sql, sizeof(sql), "INSERT INTO treated VALUES('A', %u, 1000, 1, 1, 500, 2)", i);
        assert_int_equal(sqlite3_exec(visits.s->db, sql, NULL, NULL, NULL), SQLITE_OK);
    }
    assert_int_equal(past_session(visits.s, 1, p), 0);
    assert_int_equal(p->cartridge_count, PAST_ZONES_MAX);
    assert_int_equal(p->zone_count, PAST_ZONES_MAX);
    assert_int_equal(past_session(visits.s, 2, p), 0);
    assert_int_equal(p->cartridge_count + p->zone_count, 0);
    free(p);
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

static void a_recall_takes_no_more_than_there_is_room_for(void **state)
{
    uint32_t *numbers = calloc(2, sizeof(*numbers));
    size_t count;

    (void)state;
    assert_non_null(numbers);
    for (uint32_t i = 1; i <= 4; i++)
        run("P", i, 0xa, store_id(visits.s) + i, true);
    assert_int_equal(past_sessions_of(visits.s, 0xa, 0, 0, numbers, 2, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(numbers[0], 4);
    assert_int_equal(numbers[1], 3);
    free(numbers);
}

/* ---- subjects ---- */

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

/* ---- a treatment in several sessions ---- */

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

/* ---- rows that are gone ---- */

static void nothing_is_forgotten_when_rows_are_dropped(void **state)
{
    const struct journal_limits limits = {.keep_us = UINT64_MAX};
    struct journal_record note;
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct history_list l = {.subject = "A"};
    char why[300];

    (void)state;
    visits_session(1, "A", 500, 10, 100, false);
    run("P", 1, 0xabc, store_id(visits.s) + 1, true);
    for (uint32_t i = 0; i < 4; i++)
        visits_session(10 + i, "Z", 500, 2, 1, false);
    assert_int_equal(store_exported(visits.s, 1000), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(store_trim(visits.s, &limits, &note, bytes), 0);
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, 0); /* its rows are gone */
    history_list_free(&l);
    l = (struct history_list){.cartridge_uid = 0xabc}; /* and a recall finds it all the same */
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.sessions[0]->number, 1);
    assert_string_equal(l.sessions[0]->subject, "A");
    assert_string_equal(l.sessions[0]->serial, "P");
    assert_int_equal(l.sessions[0]->zone[0]->zone, ZONE_CHEEK);
    assert_int_equal(l.sessions[0]->cartridge[0]->uid, 0xabc);
    assert_int_equal(l.sessions[0]->ended_us, NOW_US - 10 * DAY_US);
    assert_non_null(strstr(l.sessions[0]->text, "dropped"));
    history_list_free(&l);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(days("A", PAST_DEEPER, NOW_US), 10);
        assert_int_equal(used_in(0xabc, 0), store_id(visits.s) + 1);
        assert_false(ask("A", ZONE_CHEEK, 0).subject_is_new);
        store_close(visits.s);
        assert_int_equal(store_open(&visits.s, visits.path, why, sizeof(why)), 0);
    }
}

static void treat(uint32_t session, uint32_t zone, uint32_t end)
{
    char sql[200];

    snprintf(sql, sizeof(sql), "INSERT INTO treated VALUES('A', %u, 1000, %u, %u, 500, %u)", zone, session, session, end);
    assert_int_equal(sqlite3_exec(visits.s->db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* Of as many as a page holds, and of sessions with more in them than a session can have. */
static void a_recall_of_dropped_sessions_comes_by_pages(void **state)
{
    struct history_list l = {.by_lot = true, .cartridge_lot = 2611};

    (void)state;
    for (uint32_t i = 1; i <= HISTORY_LIST_MAX; i++)
        run("P", i, 0x100 + i, store_id(visits.s) + i, true);
    for (uint32_t i = 0; i < POLICY_STEPS_MAX + 3; i++)
        treat(HISTORY_LIST_MAX, 1 + i, END_UNTREATED);
    treat(HISTORY_LIST_MAX - 1, 8, END_UNTREATED + 1); /* of a later version */
    for (uint32_t i = 0; i < TREATMENT_CARTRIDGES_MAX + 3; i++)
        run("P", 100 + i, 0x1000 + i, store_id(visits.s) + HISTORY_LIST_MAX, true);
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, HISTORY_LIST_MAX);
    assert_int_equal(l.next_before, 0); /* that was all */
    assert_int_equal(l.sessions[0]->n_zone, POLICY_STEPS_MAX);
    assert_int_equal(l.sessions[0]->n_cartridge, TREATMENT_CARTRIDGES_MAX);
    assert_int_equal(l.sessions[0]->end, END_UNTREATED);
    assert_false(l.sessions[1]->has_end);
    assert_int_equal(l.sessions[2]->n_zone, 0);
    assert_string_equal(l.sessions[2]->subject, "");
    history_list_free(&l);
    run("P", 200, 0x200, store_id(visits.s) + HISTORY_LIST_MAX + 1, true);
    l = (struct history_list){.by_lot = true, .cartridge_lot = 2611};
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, HISTORY_LIST_MAX);
    assert_int_equal(l.next_before, 2);
    history_list_free(&l);
    l = (struct history_list){.by_lot = true, .cartridge_lot = 2611, .before = 2};
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.sessions[0]->number, 1);
    history_list_free(&l);
}

static void write_bytes(const char *path, const uint8_t *bytes, size_t n)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Whichever page of it is damaged, a new journal is begun, and what can be read of the past is in it. */
static void a_damaged_journal_hands_on_its_past(void **state)
{
    enum { PAGE = 4096 };
    static uint8_t whole[200 * PAGE], damaged[200 * PAGE];
    unsigned pages = 0, kept_treatment = 0, kept_use = 0;
    char why[600];
    size_t n;
    FILE *f;

    (void)state;
    for (uint32_t i = 1; i <= 30; i++) {
        char subject[8];

        snprintf(subject, sizeof(subject), "S%u", i);
        visits_session(i, subject, 500, 10, 100, false);
        run("P", i, 0x100 + i, store_id(visits.s) + i, true);
    }
    store_close(visits.s);
    f = fopen(visits.path, "r");
    assert_non_null(f);
    n = fread(whole, 1, sizeof(whole), f);
    assert_int_equal(fclose(f), 0);
    assert_in_range(n, 10 * PAGE, sizeof(whole) - PAGE);
    for (size_t at = PAGE; at < n; at += PAGE) { /* not the first, without which it is no journal at all */
        bool found;

        memcpy(damaged, whole, n);
        memset(damaged + at, 0xee, PAGE);
        write_bytes(visits.path, damaged, n);
        assert_int_equal(store_open(&visits.s, visits.path, why, sizeof(why)), 0);
        assert_non_null(strstr(why, "was damaged"));
        pages++;
        kept_treatment += days("S17", PAST_DEEPER, NOW_US) == 10;
        found = used_in(0x100 + 17, 0) != 0;
        kept_use += found;
        if (found)
            assert_non_null(strstr(why, "uses of cartridges were taken over"));
        visits_session(1, "S17", 500, 1, 100, false); /* a session of the same number is another one */
        assert_int_equal(days("S17", PAST_DEEPER, NOW_US), 1);
        assert_true(ask("S17", ZONE_CHEEK, 17).continued.found == false);
        store_close(visits.s);
    }
    print_message("of %u damaged pages %u leave the treatment known, %u the cartridge\n", pages, kept_treatment, kept_use);
    assert_true(kept_treatment > pages / 2 && kept_use > pages / 2);
    write_bytes(visits.path, whole, n);
    assert_int_equal(store_open(&visits.s, visits.path, why, sizeof(why)), 0);
}

/* A journal of version 0.1.0 has no such tables: they are made of its rows, and nothing is known of before the first. */
static void a_journal_of_before_gets_its_past(void **state)
{
    static const char undo[] = "DROP TABLE treated; DROP TABLE uses; DROP TABLE subjects; DROP TABLE known; PRAGMA user_version = 2";
    struct past p;
    sqlite3 *db;
    char why[300];

    (void)state;
    visits_session(1, "A", 500, 10, 100, false);
    run("P", 1, 0xabc, store_id(visits.s) + 1, true);
    p = ask("A", ZONE_CHEEK, 0);
    store_close(visits.s);
    assert_int_equal(sqlite3_open(visits.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, undo, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(store_open(&visits.s, visits.path, why, sizeof(why)), 0);
    assert_int_equal(days("A", PAST_DEEPER, NOW_US), 10);
    assert_int_equal(used_in(0xabc, 0), store_id(visits.s) + 1);
    assert_int_equal(ask("A", ZONE_CHEEK, 0).since_us, p.since_us);
    assert_int_equal(ask("A", ZONE_CHEEK, 0).latest_us, p.latest_us);
    assert_string_equal(ask("a", ZONE_CHEEK, 0).doubles, "A");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, visits_open, visits_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(intervals_at_their_boundaries),
        TEST(what_counts_is_the_last_time_the_zone_was_treated_so_deep),
        TEST(a_wrong_clock_hides_nothing),
        TEST(the_latest_time_is_known),
        TEST(a_clock_that_cannot_be_right_is_said),
        TEST(summer_time_and_leap_seconds_change_no_interval),
        TEST(a_cartridge_is_known_by_every_run_of_every_pen),
        TEST(a_cartridge_of_an_incomplete_session_counts_as_used),
        TEST(a_recall_finds_sessions_by_cartridge_and_by_lot),
        TEST(keys_that_are_almost_the_same_are_shown),
        TEST(almost_the_same_keys_are_shown_whole),
        TEST(odd_rows_and_questions_do_no_harm),
        TEST(a_recall_takes_no_more_than_there_is_room_for),
        TEST(a_journal_that_lost_its_times_is_damaged),
        TEST(of_a_session_no_more_is_told_than_there_is_room_for),
        TEST(what_is_continued_counts_as_the_same_treatment),
        TEST(nothing_is_forgotten_when_rows_are_dropped),
        TEST(a_recall_of_dropped_sessions_comes_by_pages),
        TEST(a_damaged_journal_hands_on_its_past),
        TEST(a_journal_of_before_gets_its_past),
    };

    return cmocka_run_group_tests_name("past", tests, NULL, NULL);
}
