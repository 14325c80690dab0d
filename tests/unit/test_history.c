/* What the journal has of treatment sessions: how they are packed, and those that were never ended. (Lists are in test_lists.c, intervals and cartridges in test_past.c.) */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pen.pb-c.h"
#include "visits.h"

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);

static unsigned fails_at; /* the how manyth allocation from now on; 0: none */

static bool has_memory(void)
{
    return fails_at == 0 || --fails_at != 0;
}

void *__wrap_malloc(size_t n)
{
    return has_memory() ? __real_malloc(n) : NULL;
}

void *__wrap_realloc(void *p, size_t n)
{
    return has_memory() ? __real_realloc(p, n) : NULL;
}

/* ---- what is packed ---- */

static struct session_message message;

static void a_message_has_all_that_is_known(void **state)
{
    struct findings found = {.count = 2, .found = {{.decision = DECISION_WARN, .code = 2002, .name = "CHEEK", .value = 20, .limit = 28, .unit = "d", .source = "S3"},
                                                   {.decision = DECISION_OK, .name = "subject", .unit = "", .source = "P", .text = "words"}}};
    struct treatment t = visits_plan(7, "A", 500, NOW_US);

    (void)state;
    history_message(&message, &t, NULL, NULL);
    assert_null(message.m.indication);
    assert_int_equal(message.m.n_finding, 0);
    assert_int_equal(message.m.zone_now, ZONE_CHEEK);
    assert_false(message.m.has_end || message.m.has_ended_us || message.m.has_continues || message.m.has_policy_sha256);
    strcpy(t.indication, "SCARS");
    t.zone_now = 1;
    t.zones[1].zone = ZONE_CHIN; /* behind the last */
    t.continues = 3;
    assert_true(treatment_add_override(&t, "CHEEK", "because"));
    strcpy(visits.site.name, "Nord");
    history_message(&message, &t, &found, &visits.site);
    assert_string_equal(message.m.indication, "SCARS");
    assert_int_equal(message.m.zone_now, ZONE_NONE);
    assert_int_equal(message.m.continues, 3);
    assert_int_equal(message.m.n_override, 1);
    assert_string_equal(message.m.override[0]->reason, "because");
    assert_string_equal(message.m.policy_name, "Nord");
    assert_int_equal(message.m.policy_sha256.len, SITE_SHA256);
    assert_int_equal(message.m.n_finding, 2);
    assert_true(message.m.finding[0]->has_code && message.m.finding[0]->has_value && message.m.finding[0]->has_limit);
    assert_int_equal(message.m.finding[0]->limit, 28);
    assert_string_equal(message.m.finding[0]->unit, "d");
    assert_false(message.m.finding[1]->has_code || message.m.finding[1]->has_value || message.m.finding[1]->has_limit);
    assert_null(message.m.finding[1]->unit);
    visits.site.name[0] = '\0';
    history_message(&message, &t, &found, &visits.site);
    assert_null(message.m.policy_name);
}

static char sentence[300];

static const char *said(const struct journal_record *r)
{
    Mnc__Note *note = mnc__note__unpack(NULL, r->length, r->bytes);

    assert_non_null(note);
    snprintf(sentence, sizeof(sentence), "%s", note->text);
    mnc__note__free_unpacked(note, NULL);
    return sentence;
}

static void each_row_has_a_sentence(void **state)
{
    static const struct findings nothing;
    struct treatment t = visits_plan(7, "A", 500, NOW_US);
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct journal_record r;

    (void)state;
    assert_true(history_begun(&r, &t, &nothing, &visits.site, bytes));
    assert_string_equal(said(&r), "session 7 of subject A began with pen P, by test");
    t.zones[t.zone_count++] = (struct treatment_zone){.zone = ZONE_CHIN, .strokes = 11, .motor_ms = 2000};
    t.zones[0].strokes = 22;
    treatment_end(&t, END_ABORTED);
    treatment_ended(&t, NOW_US, true);
    assert_true(history_ended(&r, &t, bytes));
    assert_string_equal(said(&r), "session 7 of subject A: aborted, 33 strokes in 2 s, as far as is known");
    assert_true(history_adverse(&r, "P", 7, 10, bytes));
    assert_string_equal(said(&r), "after session 7: DISTRESS");
    assert_false(history_adverse(&r, "P", 7, 11, bytes));
}

/* One with more than a row holds is refused, and not cut. */
static void a_session_that_is_too_large_is_said(void **state)
{
    static struct findings found;
    struct treatment t = visits_plan(1, "A", 500, NOW_US);
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct journal_record r;

    (void)state;
    t.zone_count = POLICY_STEPS_MAX;
    t.cartridge_count = TREATMENT_CARTRIDGES_MAX;
    while (treatment_add_override(&t, "PERIORBITAL_OUTSIDE_RIM", "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"))
        continue;
    for (found.count = 0; found.count < POLICY_FINDINGS_MAX; found.count++)
        found.found[found.count] = (struct finding){.decision = DECISION_BLOCK, .code = 2004, .name = "a name that is much longer than any that the policy has: eighty characters, or so",
                                                    .value = UINT32_MAX, .limit = UINT32_MAX, .unit = "min", .source = "S0, S1, S2, S4", .text = "left out"};
    assert_false(history_begun(&r, &t, &found, &visits.site, bytes));
}

/* ---- after a restart ---- */

static void what_was_never_ended_is_found_with_its_runs(void **state)
{
    static struct treatment open[8];
    struct treatment t = visits_plan(1, "A", 500, NOW_US), other = visits_plan(2, "B", 500, NOW_US);
    Mnp__Record run = MNP__RECORD__INIT;
    Mnp__RunRecord body = MNP__RUN_RECORD__INIT;
    struct journal_record r = {.number = 1, .kind = MNC__JOURNAL_KIND__JOURNAL_RUN, .host_us = NOW_US};
    uint8_t bytes[256];
    uint32_t next;
    size_t count;

    (void)state;
    assert_int_equal(history_restore(visits.s, store_id(visits.s), open, 8, &count, &next), 0);
    assert_int_equal(count, 0);
    assert_int_equal(next, 1);
    visits_write_beginning(&t);
    visits_write_beginning(&other);
    visits_write_end(&other, END_COMPLETED, 5, NOW_US, false);
    body.has_zone = body.has_treatment = body.has_strokes = body.has_duration_ms = body.has_depth_peak_um = true;
    body.zone = ZONE_CHEEK;
    body.strokes = 77;
    body.duration_ms = 700;
    body.depth_peak_um = 510;
    run.body_case = MNP__RECORD__BODY_RUN;
    run.run = &body;
    strcpy(r.serial, "P");
    for (uint32_t i = 0; i < 3; i++) {
        body.treatment = store_id(visits.s) + (i == 1 ? 2 : 1); /* one of them is the other's */
        r.number = i + 1;
        r.length = mnp__record__pack(&run, bytes);
        r.bytes = bytes;
        visits_insert(&r);
    }
    r = (struct journal_record){.serial = "P", .number = 4, .kind = MNC__JOURNAL_KIND__JOURNAL_FAULT, .code = 1601, .host_us = NOW_US + 1, .bytes = bytes};
    visits_insert(&r);
    r = (struct journal_record){.serial = "Q", .number = 1, .kind = MNC__JOURNAL_KIND__JOURNAL_FAULT, .code = 1101, .host_us = NOW_US + 1, .bytes = bytes};
    visits_insert(&r);
    assert_int_equal(history_restore(visits.s, store_id(visits.s), open, 8, &count, &next), 0);
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
    assert_false(treatment_owes_runs(&open[0]));
}

static void insert_note(uint32_t kind, uint32_t number, Mnc__Session *session)
{
    Mnc__Note note = MNC__NOTE__INIT;
    struct journal_record r = {.serial = "P", .code = number};
    uint8_t bytes[JOURNAL_NOTE_MAX];

    note.session = session;
    journal_note(&r, kind, &note, bytes);
    r.host_us = NOW_US;
    visits_insert(&r);
}

/* A row that says nothing, one that is damaged, and a session with more zones than there are. */
static void insert_odd_rows(void)
{
    Mnc__SessionZone zone = MNC__SESSION_ZONE__INIT, *zones[POLICY_STEPS_MAX + 1];
    Mnc__Session session = MNC__SESSION__INIT;
    struct journal_record r = {.serial = "P", .code = 2, .kind = MNC__JOURNAL_KIND__JOURNAL_SESSION_BEGUN, .host_us = NOW_US, .bytes = (const uint8_t *)"\xff\xff", .length = 2};

    insert_note(MNC__JOURNAL_KIND__JOURNAL_SESSION_BEGUN, 1, NULL);
    visits_insert(&r);
    for (size_t i = 0; i <= POLICY_STEPS_MAX; i++)
        zones[i] = &zone;
    session.has_number = true;
    session.number = 3;
    session.zone = zones;
    session.n_zone = POLICY_STEPS_MAX + 1;
    insert_note(MNC__JOURNAL_KIND__JOURNAL_SESSION_BEGUN, 3, &session);
}

static void odd_rows_hide_no_other(void **state)
{
    struct treatment *open = calloc(2, sizeof(*open)), t = visits_plan(4, "A", 500, NOW_US);
    struct history_list l = {0};
    uint32_t next;
    size_t count;

    (void)state;
    assert_non_null(open);
    insert_odd_rows();
    strcpy(t.indication, "SCARS");
    t.zones[t.zone_count++] = (struct treatment_zone){.zone = ZONE_CHIN, .depth_um = 600, .stroke_rate_dhz = 900};
    visits_write_beginning(&t);
    assert_int_equal(history_restore(visits.s, store_id(visits.s), open, 2, &count, &next), 0);
    assert_int_equal(count, 2);
    assert_int_equal(next, 5);
    assert_int_equal(open[0].number, 4);
    assert_string_equal(open[0].indication, "SCARS");
    assert_string_equal(open[0].by, "test");
    assert_string_equal(open[0].text, "interrupted: the daemon died");
    assert_int_equal(open[0].zone_count, 2);
    assert_int_equal(open[0].zones[1].depth_um, 600);
    assert_int_equal(open[1].zone_count, POLICY_STEPS_MAX);
    assert_string_equal(open[1].subject, "");
    insert_note(MNC__JOURNAL_KIND__JOURNAL_SESSION_ENDED, 4, NULL); /* its end says nothing */
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, 2);
    assert_int_equal(l.sessions[0]->number, 4);
    assert_int_equal(l.sessions[1]->number, 3);
    history_list_free(&l);
    l = (struct history_list){.subject = "A"};
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, 1);
    history_list_free(&l);
    free(open);
}

static void as_many_are_found_as_there_is_room_for(void **state)
{
    struct treatment *open = calloc(1, sizeof(*open)), t;
    uint32_t next;
    size_t count;

    (void)state;
    assert_non_null(open);
    visits_session(1, "A", 500, 1, 100, false);
    for (uint32_t number = 2; number <= 3; number++) {
        t = visits_plan(number, "B", 500, NOW_US);
        visits_write_beginning(&t);
    }
    assert_int_equal(history_restore(visits.s, store_id(visits.s), open, 1, &count, &next), 0);
    assert_int_equal(count, 1);
    assert_int_equal(open[0].number, 3);
    assert_int_equal(next, 4);
    free(open);
}

static void what_belongs_to_another_session_is_not_added(void **state)
{
    Mnp__RunBegunRecord begun = MNP__RUN_BEGUN_RECORD__INIT;
    Mnp__Record m = MNP__RECORD__INIT;
    struct treatment t = visits_plan(1, "A", 500, NOW_US);
    uint8_t bytes[256];
    struct journal_record r = {.serial = "P", .number = 1, .kind = MNC__JOURNAL_KIND__JOURNAL_RUN_BEGUN, .host_us = NOW_US, .bytes = bytes};

    (void)state;
    m.body_case = MNP__RECORD__BODY_RUN_BEGUN;
    m.run_begun = &begun;
    begun.has_treatment = begun.has_zone = true;
    begun.zone = ZONE_CHEEK;
    begun.treatment = t.id + 1;
    r.length = mnp__record__pack(&m, bytes);
    history_add_record(&t, &r);
    assert_int_equal(t.runs_begun, 0);
    r = (struct journal_record){.serial = "P", .kind = MNC__JOURNAL_KIND__JOURNAL_FAULT, .code = 1101, .host_us = NOW_US - 1};
    history_add_record(&t, &r); /* before it began */
    assert_int_equal(t.fault_count, 0);
    r.host_us = NOW_US;
    history_add_record(&t, &r);
    assert_int_equal(t.fault_count, 1);
    r.code = 0; /* cleared */
    history_add_record(&t, &r);
    assert_int_equal(t.fault_count, 1);
    r = (struct journal_record){.serial = "P", .kind = MNC__JOURNAL_KIND__JOURNAL_BOOT, .code = 1101, .host_us = NOW_US};
    history_add_record(&t, &r);
    assert_int_equal(t.fault_count, 1);
    r = (struct journal_record){.serial = "P", .kind = MNC__JOURNAL_KIND__JOURNAL_LOST, .host_us = NOW_US};
    history_add_record(&t, &r); /* nothing was armed yet */
    assert_false(t.records_lost);
    t.cartridge_count = 1;
    history_add_record(&t, &r);
    assert_true(t.records_lost);
}

/* The pen lost its power while the needles moved, or its memory after that, or some of its records: nobody knows how long they did. */
static void a_run_without_its_end_makes_a_session_incomplete(void **state)
{
    static const uint32_t kinds[] = {MNC__JOURNAL_KIND__JOURNAL_RUN_BEGUN, MNC__JOURNAL_KIND__JOURNAL_RENEWED, MNC__JOURNAL_KIND__JOURNAL_LOST, MNC__JOURNAL_KIND__JOURNAL_RUN};
    Mnp__RunBegunRecord begun = MNP__RUN_BEGUN_RECORD__INIT;
    Mnp__RunRecord ended = MNP__RUN_RECORD__INIT;
    uint8_t bytes[256];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct treatment t = visits_plan(1, "A", 500, NOW_US);
        struct journal_record r = {.serial = "P", .number = 1, .kind = kinds[i], .host_us = NOW_US, .bytes = bytes};
        Mnp__Record m = MNP__RECORD__INIT;

        t.cartridge_count = 1;
        m.body_case = kinds[i] == MNC__JOURNAL_KIND__JOURNAL_RUN ? MNP__RECORD__BODY_RUN : MNP__RECORD__BODY_RUN_BEGUN;
        begun.has_zone = begun.has_treatment = ended.has_zone = ended.has_treatment = ended.has_end = true;
        begun.zone = ended.zone = ZONE_CHEEK;
        begun.treatment = ended.treatment = t.id;
        ended.end = MNP__END_REASON__END_POWER;
        if (m.body_case == MNP__RECORD__BODY_RUN)
            m.run = &ended;
        else
            m.run_begun = &begun;
        r.length = mnp__record__pack(&m, bytes);
        assert_false(treatment_owes_runs(&t));
        history_add_record(&t, &r);
        assert_true(treatment_owes_runs(&t));
        treatment_end(&t, END_COMPLETED);
        treatment_ended(&t, NOW_US, false);
        assert_true(t.incomplete);
        assert_int_equal(t.end, END_PARTIAL);
    }
}

/* What there is no memory for is not told as not there. */
static void each_allocation_that_fails_is_said(void **state)
{
    struct treatment *open = calloc(4, sizeof(*open)), t = visits_plan(2, "A", 500, NOW_US);
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct journal_record r;
    unsigned failed = 0;
    uint32_t next;
    size_t count;
    bool more = true;

    (void)state;
    assert_non_null(open);
    visits_session(1, "A", 500, 10, 100, false);
    assert_true(history_adverse(&r, "P", 1, 3, bytes));
    visits_insert(&r);
    visits_write_beginning(&t);
    for (unsigned at = 1; more; at++) {
        struct history_list l = {0};
        int restored, listed;

        fails_at = at;
        restored = history_restore(visits.s, store_id(visits.s), open, 4, &count, &next);
        more = fails_at == 0;
        fails_at = 0;
        assert_true(restored == -ENOMEM || restored == 0);
        assert_int_equal(count, restored == 0 ? 1 : 0);
        fails_at = at;
        listed = history_list(visits.s, &l);
        more |= fails_at == 0;
        fails_at = 0;
        assert_true(listed == -ENOMEM || listed == 0);
        if (listed == 0)
            assert_true(l.count == 2 && l.sessions[1]->n_adverse == 1 && l.sessions[1]->state == MNC__SESSION_STATE__SESSION_ENDED);
        failed += (unsigned)(restored != 0) + (unsigned)(listed != 0);
        history_list_free(&l);
    }
    assert_true(failed > 10);
    free(open);
}

/* The largest plan that is taken fits a row. */
static void the_largest_session_can_be_recorded(void **state)
{
    struct treatment t = visits_plan(1, "12345678901234567890123456789012", 2000, NOW_US);
    static struct findings found;
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct journal_record r;
    char reason[TREATMENT_TEXT_MAX + 1];

    (void)state;
    memset(reason, 'x', TREATMENT_TEXT_MAX);
    reason[TREATMENT_TEXT_MAX] = '\0';
    for (t.zone_count = 0; t.zone_count < POLICY_STEPS_MAX; t.zone_count++)
        t.zones[t.zone_count] = (struct treatment_zone){.zone = ZONE_LEGS, .depth_um = UINT32_MAX, .stroke_rate_dhz = UINT32_MAX, .strokes = UINT32_MAX, .runs = UINT32_MAX,
                                                        .depth_peak_um = UINT32_MAX, .motor_ms = UINT64_MAX, .punctures = UINT64_MAX};
    for (t.cartridge_count = 0; t.cartridge_count < TREATMENT_CARTRIDGES_MAX; t.cartridge_count++)
        t.cartridges[t.cartridge_count] = (struct treatment_cartridge){UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    while (treatment_add_override(&t, "PERIORBITAL_OUTSIDE_RIM", reason))
        ;
    for (found.count = 0; found.count < SCREEN_ITEMS + 2 * POLICY_STEPS_MAX + 4; found.count++) /* none that forbids it: one of each item, two of each zone, numbing, history and subject */
        found.found[found.count] = (struct finding){.decision = DECISION_WARN, .code = 2004, .name = "CHEMOTHERAPY_OR_RADIATION", .value = UINT32_MAX, .limit = UINT32_MAX,
                                                    .unit = "min", .source = "S0, S1, S2, S4", .text = "left out"};
    assert_true(history_begun(&r, &t, &found, &visits.site, bytes));
    assert_in_range(r.length, 4000, JOURNAL_NOTE_MAX);
    print_message("%zu of %d bytes\n", r.length, JOURNAL_NOTE_MAX);
    assert_true(history_ended(&r, &t, bytes));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, visits_open, visits_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_message_has_all_that_is_known),
        TEST(each_row_has_a_sentence),
        TEST(a_session_that_is_too_large_is_said),
        TEST(what_was_never_ended_is_found_with_its_runs),
        TEST(odd_rows_hide_no_other),
        TEST(as_many_are_found_as_there_is_room_for),
        TEST(what_belongs_to_another_session_is_not_added),
        TEST(a_run_without_its_end_makes_a_session_incomplete),
        TEST(each_allocation_that_fails_is_said),
        TEST(the_largest_session_can_be_recorded),
    };

    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
