/* The journal: what is committed stays, reading it, and what retention drops. */
#include "journals.h"

static void what_is_committed_is_there_after_reopening(void **state)
{
    (void)state;
    for (uint32_t number = 1; number <= 100; number++) {
        for (unsigned pen = 0; pen < 3; pen++)
            assert_true(append(pen, number));
    }
    assert_int_equal(fx.count, 0); /* nobody is told before the loop turns */
    assert_int_equal(journal_newest(fx.j, "P1"), 0);
    run_until(300);
    assert_int_equal(journal_newest(fx.j, "P1"), 100);
    reopen();
    assert_int_equal(journal_newest(fx.j, "P1"), 100);
    assert_int_equal(journal_newest(fx.j, "P9"), 0);
    assert_true(append(1, 101));
    run_until(301);
}

static void what_waits_at_the_end_is_written(void **state)
{
    (void)state;
    for (uint32_t number = 1; number <= 50; number++)
        assert_true(append(0, number));
    reopen();
    assert_int_equal(journal_newest(fx.j, "P0"), 50);
}

static void a_renewed_memory_counts_in_another_volume(void **state)
{
    struct journal_record same, other;

    (void)state;
    assert_true(journal_recognise(fx.j, "P0", 0, 0, NULL)); /* never seen */
    assert_true(append(0, 1) && append(0, 2));
    run_until(2);
    same = seen(0, 2, 7);
    other = seen(0, 2, 8);
    assert_true(journal_recognise(fx.j, "P0", 2, 0, NULL));
    assert_true(journal_recognise(fx.j, "P0", 5, 0, &same));
    assert_false(journal_recognise(fx.j, "P0", 1, 0, NULL)); /* it has fewer than are here */
    assert_int_equal(journal_newest(fx.j, "P0"), 0);
    fx.committed[0] = 0;
    assert_true(append(0, 1) && append(0, 2));
    run_until(4);
    assert_int_equal(fx.notes, 1);
    reopen();
    assert_int_equal(journal_newest(fx.j, "P0"), 2);
    assert_false(journal_recognise(fx.j, "P0", 9, 0, &other)); /* the same number, written in another life */
    fx.committed[0] = 0;
    assert_true(append(0, 1));
    run_until(5);
    assert_int_equal(fx.notes, 2);
}

struct look {
    struct journal_work work;
    uint64_t position, missed;
    struct journal_filter filter;
    unsigned cap, count, notes;
    bool end, done, back;
    uint64_t newest_first; /* the last position of a look back */
};

static bool look_at(void *ctx, const struct journal_record *r)
{
    struct look *l = ctx;

    if (l->count + l->notes == l->cap)
        return false;
    assert_true(!l->back || l->newest_first == 0 || r->position < l->newest_first);
    l->newest_first = r->position;
    if (r->kind >= MNC__JOURNAL_KIND__JOURNAL_BEGUN)
        l->notes++;
    else
        l->count++;
    return true;
}

static void run_look(struct journal_work *w, struct store *s)
{
    struct look *l = (struct look *)w;

    if (l->back)
        assert_int_equal(store_read_back(s, &l->position, &l->filter, look_at, l, &l->end), 0);
    else
        assert_int_equal(store_read(s, &l->position, &l->filter, look_at, l, &l->end, &l->missed), 0);
}

static void done_look(struct journal_work *w, bool ran)
{
    assert_true(ran);
    ((struct look *)w)->done = true;
}

static void look(struct look *l)
{
    l->work = (struct journal_work){.run = run_look, .done = done_look};
    l->count = l->notes = 0;
    l->done = false;
    journal_work(fx.j, &l->work);
    while (!l->done)
        assert_true(sd_event_run(fx.event, 10000) >= 0);
}

static void all_is_read_once_from_any_place(void **state)
{
    struct look l = {.cap = 7};
    unsigned total = 0;

    (void)state;
    for (uint32_t number = 1; number <= 100; number++)
        assert_true(append(0, number) && append(1, number));
    run_until(200);
    do {
        look(&l);
        total += l.count;
        assert_int_equal(l.missed, 0);
    } while (!l.end);
    assert_int_equal(total, 200);
    assert_int_equal(l.position, fx.position);
    look(&l);
    assert_true(l.end);
    assert_int_equal(l.count, 0);
}

static void all_is_read_once_from_the_newest_down(void **state)
{
    struct look l = {.cap = 7, .back = true};
    unsigned count = 0, notes = 0;

    (void)state;
    for (uint32_t number = 1; number <= 50; number++)
        assert_true(append(0, number) && append(1, number));
    run_until(100);
    do {
        look(&l);
        count += l.count;
        notes += l.notes;
    } while (!l.end);
    assert_int_equal(count, 100);
    assert_int_equal(notes, 1);
    assert_int_equal(l.newest_first, 1);
    l = (struct look){.cap = 1000, .back = true, .position = 1}; /* before the first there is none */
    look(&l);
    assert_true(l.end && l.count + l.notes == 0);
    l = (struct look){.cap = 3, .back = true, .filter = {.serial = "P1"}};
    look(&l);
    assert_int_equal(l.count, 3);
    assert_false(l.end);
    assert_in_range(l.newest_first, 95, 97);
}

static void filters_let_pass_what_they_say(void **state)
{
    static const struct {
        struct journal_filter filter;
        unsigned count;
    } cases[] = {
        {{.serial = ""}, 20},          {{.serial = "P1"}, 10},      {{.serial = "P2"}, 0},      {{.kinds = 1 << 2}, 20},       {{.kinds = 1 << 1}, 0},
        {{.priorities = "H"}, 20},     {{.priorities = "ML"}, 0},   {{.since_us = 5}, 20},      {{.since_us = 6}, 0},          {{.until_us = 5}, 20},
        {{.until_us = 4}, 0},
    };

    (void)state;
    for (uint32_t number = 1; number <= 10; number++)
        assert_true(append(0, number) && append(1, number));
    run_until(20);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct look l = {.cap = 1000, .filter = cases[i].filter};

        look(&l);
        assert_int_equal(l.count, cases[i].count);
        assert_true(l.end);
        assert_int_equal(l.position, fx.position);
    }
}

struct mark {
    struct journal_work work;
    uint64_t position;
    bool done;
};

static void run_mark(struct journal_work *w, struct store *s)
{
    assert_int_equal(store_exported(s, ((struct mark *)w)->position), 0);
}

static void done_mark(struct journal_work *w, bool ran)
{
    ((struct mark *)w)->done = ran;
}

static void exported(uint64_t position)
{
    struct mark m = {.work = {.run = run_mark, .done = done_mark}, .position = position};

    journal_work(fx.j, &m.work);
    while (!m.done)
        assert_true(sd_event_run(fx.event, 10000) >= 0);
}

/* Also when the worker is just writing other rows. */
static void a_query_sees_all_that_was_appended_before_it(void **state)
{
    struct look l = {.cap = 1000};
    unsigned total = 0;

    (void)state;
    for (uint32_t number = 1; number < 100; number += 2) {
        assert_true(append(0, number));
        usleep(number % 5 * 100);
        assert_true(append(0, number + 1));
        look(&l);
        total += l.count;
        assert_int_equal(total, number + 1);
    }
}

static void old_rows_are_dropped_when_they_were_exported(void **state)
{
    struct look l = {.cap = 1000};
    uint64_t position;

    (void)state;
    fx.limits.keep_us = 1;
    for (uint32_t number = 1; number <= 100; number++)
        assert_true(append(0, number)); /* of 1970 */
    run_until(100);
    position = fx.position;
    reopen(); /* a commit is the first again: retention looks */
    assert_true(append(0, 101));
    run_until(101);
    assert_int_equal(rows_are_right(), 102); /* nobody has exported any */
    exported(position - 50);
    reopen();
    fx.host_us = INT64_MAX / 2;
    assert_true(append(0, 102));
    run_until(102);
    look(&l);
    assert_int_equal(l.count, 52);
    assert_int_equal(l.notes, 1); /* it says what was dropped; the first row of all is gone */
    assert_int_equal(l.missed, position - 50);
    assert_int_equal(rows_are_right(), 53);
    reopen();
    assert_int_equal(journal_newest(fx.j, "P0"), 102);
    sql("DELETE FROM records WHERE position <= 60"); /* what was not dropped by retention shows */
    assert_int_equal(journal_verify(fx.path, &position, (char[400]){0}, 400), -EBADMSG);
}

static void too_many_rows_are_dropped_when_they_were_exported(void **state)
{
    struct look l = {.cap = 1000};

    (void)state;
    fx.limits.max_bytes = 1;
    fx.host_us = INT64_MAX / 2; /* not old */
    for (uint32_t number = 1; number <= 79; number++)
        assert_true(append(0, number));
    run_until(79);
    reopen();
    assert_true(append(0, 80));
    run_until(80);
    assert_int_equal(rows_are_right(), 81); /* nobody has exported any */
    exported(5);
    reopen();
    assert_true(append(0, 81));
    run_until(81);
    look(&l);
    assert_int_equal(l.missed, 5); /* an eighth would be ten */
    assert_int_equal(l.count, 81 - 4);
    assert_int_equal(l.notes, 1);
    assert_int_equal(rows_are_right(), 78);
}

static void a_full_disk_drops_what_nobody_has_exported_and_says_so(void **state)
{
    struct look l = {.cap = 1000};

    (void)state;
    for (uint32_t number = 1; number <= 79; number++)
        assert_true(append(0, number));
    run_until(79);
    fx.limits.free_bytes = UINT64_MAX / 2;
    reopen();
    fx.host_us = INT64_MAX / 2; /* not old */
    assert_true(append(0, 80));
    run_until(80);
    look(&l);
    assert_int_equal(l.count, 80 - 10);
    assert_int_equal(l.notes, 1);
    assert_int_equal(rows_are_right(), 71);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(what_is_committed_is_there_after_reopening),
        TEST(what_waits_at_the_end_is_written),
        TEST(a_renewed_memory_counts_in_another_volume),
        TEST(all_is_read_once_from_any_place),
        TEST(all_is_read_once_from_the_newest_down),
        TEST(filters_let_pass_what_they_say),
        TEST(a_query_sees_all_that_was_appended_before_it),
        TEST(old_rows_are_dropped_when_they_were_exported),
        TEST(too_many_rows_are_dropped_when_they_were_exported),
        TEST(a_full_disk_drops_what_nobody_has_exported_and_says_so),
    };

    log_set_level(LOG_LEVEL_ERROR);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
