/* The ring: every reader sees whole messages in order, or knows how many it has missed, whatever sizes they have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "ring.h"

static struct ring t;

static int start(void **state)
{
    (void)state;
    return ring_init(&t, 1000, 16);
}

static int stop(void **state)
{
    (void)state;
    ring_deinit(&t);
    return 0;
}

/* A message that is told from all others by its bytes. */
static void write(size_t n)
{
    uint8_t *p = ring_reserve(&t, n);

    assert_non_null(p);
    memset(p, (int)(t.end % 251), n);
    ring_commit(&t, n, (uint32_t)t.end, t.end * 10);
}

/* What is there from a number on, by runs: every byte is that of its message. */
static void check(uint64_t number)
{
    unsigned runs = 0;

    while (number < t.end) {
        size_t n, at = 0;
        const uint8_t *bytes = ring_bytes(&t, number);
        uint64_t next = ring_run(&t, number, t.end, &n);

        assert_true(next > number && next <= t.end);
        for (; number < next; number++) {
            const struct ring_message *m = ring_message(&t, number);

            assert_int_equal(m->tag, number);
            assert_int_equal(m->time_us, number * 10);
            for (size_t i = 0; i < m->length; i++)
                assert_int_equal(bytes[at++], number % 251);
        }
        assert_int_equal(at, n);
        runs++;
    }
    assert_true(runs <= 2);
}

static void messages_of_any_size_are_whole_or_gone(void **state)
{
    (void)state;
    srand(1);
    for (int i = 0; i < 20000; i++) {
        write((size_t)rand() % (i % 1000 < 500 ? 1000 : 90) + 1);
        check(t.first);
        check(t.first + (uint64_t)rand() % (t.end - t.first));
        assert_true(t.end - t.first <= 16);
    }
}

static void the_oldest_go_and_no_more_of_them_than_must(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        write(100);
    assert_int_equal(t.first, 0);
    write(1);
    assert_int_equal(t.first, 1);
    write(100);
    assert_int_equal(t.first, 2);
    for (int i = 0; i < 16; i++)
        write(1);
    assert_int_equal(t.end - t.first, 16); /* as many as there is room for numbers */
}

static void a_message_may_fill_it_all(void **state)
{
    (void)state;
    write(500);
    write(1000);
    assert_int_equal(t.end - t.first, 1);
    check(t.first);
    assert_null(ring_reserve(&t, 1001));
    assert_null(ring_reserve(&t, 0));
    check(t.first);
}

static void what_was_reserved_but_not_committed_was_never_there(void **state)
{
    (void)state;
    write(100);
    assert_non_null(ring_reserve(&t, 300));
    assert_int_equal(t.end, 1);
    write(50); /* fewer bytes than were reserved may be committed */
    check(0);
}

static void numbers_go_on_when_all_is_forgotten(void **state)
{
    (void)state;
    write(100);
    write(100);
    ring_clear(&t);
    assert_int_equal(t.first, t.end);
    write(10);
    assert_int_equal(t.end, 3);
    check(2);
}

int main(void)
{
#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        EACH(messages_of_any_size_are_whole_or_gone), EACH(the_oldest_go_and_no_more_of_them_than_must), EACH(a_message_may_fill_it_all),
        EACH(what_was_reserved_but_not_committed_was_never_there), EACH(numbers_go_on_when_all_is_forgotten),
    };

    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
