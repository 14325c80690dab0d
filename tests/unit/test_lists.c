/* Lists of treatment sessions from the journal: by subject, by number, by cartridge and by lot, page by page. */
#include <string.h>

#include "pen.pb-c.h"
#include "visits.h"

static void lists_have_what_began_and_how_it_ended(void **state)
{
    struct history_list l = {0};
    uint8_t bytes[JOURNAL_NOTE_MAX];
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

static void a_list_comes_by_pages(void **state)
{
    struct history_list l = {0};

    (void)state;
    for (uint32_t number = 1; number <= HISTORY_LIST_MAX + 3; number++)
        visits_session(number, "A", 500, 100 - number, 10, false);
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, HISTORY_LIST_MAX);
    assert_int_equal(l.sessions[0]->number, HISTORY_LIST_MAX + 3);
    assert_int_equal(l.sessions[HISTORY_LIST_MAX - 1]->n_zone, 1);
    assert_int_equal(l.sessions[HISTORY_LIST_MAX - 1]->zone[0]->strokes, 10);
    assert_int_equal(l.next_before, 4);
    history_list_free(&l);
    l = (struct history_list){.before = 4};
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, 3);
    assert_int_equal(l.sessions[0]->number, 3);
    assert_int_equal(l.next_before, 0);
    history_list_free(&l);
}

static void run_with(uint64_t uid, uint32_t number)
{
    Mnp__RunRecord body = MNP__RUN_RECORD__INIT;
    Mnp__Record m = MNP__RECORD__INIT;
    struct journal_record r = {.serial = "P", .number = number, .kind = MNC__JOURNAL_KIND__JOURNAL_RUN, .host_us = NOW_US};
    uint8_t bytes[256];

    body.has_cartridge_uid = body.has_treatment = body.has_cartridge_lot = true;
    body.cartridge_uid = uid;
    body.cartridge_lot = 26;
    body.treatment = store_id(visits.s) + number;
    m.body_case = MNP__RECORD__BODY_RUN;
    m.run = &body;
    r.length = mnp__record__pack(&m, bytes);
    r.bytes = bytes;
    visits_insert(&r);
}

static void a_recall_comes_by_pages(void **state)
{
    struct history_list l = {.cartridge_uid = 0xa};

    (void)state;
    for (uint32_t number = 1; number <= HISTORY_LIST_MAX + 3; number++) {
        visits_session(number, "A", 500, 100 - number, 10, false);
        run_with(number <= 2 ? 0xa : 0xb, number);
    }
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, 2);
    assert_int_equal(l.sessions[0]->number, 2);
    assert_int_equal(l.sessions[1]->number, 1);
    assert_int_equal(l.next_before, 0);
    assert_int_equal(l.number, 0);
    history_list_free(&l);
    l = (struct history_list){.by_lot = true, .cartridge_lot = 26};
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, HISTORY_LIST_MAX);
    assert_int_equal(l.next_before, 4);
    history_list_free(&l);
    l = (struct history_list){.by_lot = true, .cartridge_lot = 26, .before = 4};
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, 3);
    assert_int_equal(l.next_before, 0);
    history_list_free(&l);
}

/* Sessions with many zones and reasons: a page is no larger than a message, and leaves none out. */
static void a_page_of_large_sessions_is_shorter(void **state)
{
    static const struct findings nothing;
    struct history_list l = {0};
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct journal_record r;
    size_t sum = 0, large = 0;

    (void)state;
    visits_session(1, "A", 500, 100, 10, false);
    for (uint32_t number = 2; number <= HISTORY_LIST_MAX; number++) {
        struct treatment t = visits_plan(number, "A", 500, NOW_US);

        t.zone_count = POLICY_STEPS_MAX;
        while (treatment_add_override(&t, "PERIORBITAL_OUTSIDE_RIM", "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"))
            continue;
        assert_true(history_begun(&r, &t, &nothing, &visits.site, bytes));
        visits_insert(&r);
        large = r.length;
    }
    assert_int_equal(history_list(visits.s, &l), 0);
    assert_int_equal(l.count, 96 * 1024 / (2 * large));
    assert_int_equal(l.next_before, HISTORY_LIST_MAX - l.count + 1);
    for (size_t i = 0; i < l.count; i++)
        sum += mnc__session__get_packed_size(l.sessions[i]);
    assert_in_range(sum, 20 * 1024, 96 * 1024);
    history_list_free(&l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, visits_open, visits_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lists_have_what_began_and_how_it_ended),
        TEST(a_list_comes_by_pages),
        TEST(a_recall_comes_by_pages),
        TEST(a_page_of_large_sessions_is_shorter),
    };

    return cmocka_run_group_tests_name("lists", tests, NULL, NULL);
}
