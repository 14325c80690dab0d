/* Cartridges and their sessions, and what is kept when rows, or the whole journal, are gone. */
#include "past_words.h"

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
        assert_int_equal(store_open(&visits.s, visits.path, NULL, why, sizeof(why)), 0);
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
        assert_int_equal(store_open(&visits.s, visits.path, NULL, why, sizeof(why)), 0);
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
    assert_int_equal(store_open(&visits.s, visits.path, NULL, why, sizeof(why)), 0);
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
    assert_int_equal(store_open(&visits.s, visits.path, NULL, why, sizeof(why)), 0);
    assert_int_equal(days("A", PAST_DEEPER, NOW_US), 10);
    assert_int_equal(used_in(0xabc, 0), store_id(visits.s) + 1);
    assert_int_equal(ask("A", ZONE_CHEEK, 0).since_us, p.since_us);
    assert_int_equal(ask("A", ZONE_CHEEK, 0).latest_us, p.latest_us);
    assert_string_equal(ask("a", ZONE_CHEEK, 0).doubles, "A");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_cartridge_is_known_by_every_run_of_every_pen),
        TEST(a_cartridge_of_an_incomplete_session_counts_as_used),
        TEST(a_recall_finds_sessions_by_cartridge_and_by_lot),
        TEST(odd_rows_and_questions_do_no_harm),
        TEST(a_recall_takes_no_more_than_there_is_room_for),
        TEST(of_a_session_no_more_is_told_than_there_is_room_for),
        TEST(nothing_is_forgotten_when_rows_are_dropped),
        TEST(a_recall_of_dropped_sessions_comes_by_pages),
        TEST(a_damaged_journal_hands_on_its_past),
        TEST(a_journal_of_before_gets_its_past),
    };

    return cmocka_run_group_tests_name("past_kept", tests, NULL, NULL);
}
