/* What the journal has of treatment sessions: those that were never ended, and lists. (Intervals and cartridges are in test_past.c.) */
#include <string.h>

#include "pen.pb-c.h"
#include "visits.h"

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

static void lists_have_what_began_and_how_it_ended(void **state)
{
    struct history_list l = {0};
    uint8_t bytes[STORE_NOTE_MAX];
    struct journal_record r;

    (void)state;
    visits_session(1, "A", 500, 40, 100, false);
    visits_session(2, "B", 600, 30, 200, false);
    assert_true(history_adverse(&r, "P", 1, 3, bytes));
    assert_false(history_adverse(&r, "P", 1, 0, bytes) || history_adverse(&r, "P", 1, 99, bytes));
    assert_true(history_adverse(&r, "P", 1, 3, bytes));
    visits_insert(&r);
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, 2);
    assert_int_equal(l.sessions[0]->number, 2);
    assert_int_equal(l.sessions[1]->n_adverse, 1);
    assert_int_equal(l.sessions[1]->state, MNC__SESSION_STATE__SESSION_ENDED);
    assert_int_equal(l.sessions[1]->zone[0]->punctures, 1200);
    history_list_free(&l);
    l = (struct history_list){.subject = "A"};
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, 1);
    history_list_free(&l);
    l = (struct history_list){.number = 2};
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.sessions[0]->number, 2);
    history_list_free(&l);
}

/* The largest plan that is taken fits a row. */
static void the_largest_session_can_be_recorded(void **state)
{
    struct treatment t = visits_plan(1, "12345678901234567890123456789012", 2000, NOW_US);
    static struct findings found;
    uint8_t bytes[STORE_NOTE_MAX];
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
    assert_in_range(r.length, 4000, STORE_NOTE_MAX);
    print_message("%zu of %d bytes\n", r.length, STORE_NOTE_MAX);
    assert_true(history_ended(&r, &t, bytes));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, visits_open, visits_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_never_ended_is_found_with_its_runs),
        TEST(a_run_without_its_end_makes_a_session_incomplete),
        TEST(lists_have_what_began_and_how_it_ended),
        TEST(the_largest_session_can_be_recorded),
    };

    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
