/* Readers of one ring: what each gets are the messages that it wants, whole and in order, however little is written at a time; and the rest is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry.h"

static struct ring t;
static struct cursor r;

static int start(void **state)
{
    (void)state;
    r = (struct cursor){0};
    return ring_init(&t, 4096, 64);
}

static int stop(void **state)
{
    (void)state;
    ring_deinit(&t);
    return 0;
}

/* A length byte, and so many bytes of the tag. */
static void put(uint32_t tag, uint8_t length, uint64_t time_us)
{
    uint8_t *p = ring_reserve(&t, 1 + (size_t)length);

    assert_non_null(p);
    p[0] = length;
    memset(p + 1, (int)tag, length);
    ring_commit(&t, 1 + (size_t)length, tag, time_us);
}

static bool even(const void *ctx, uint32_t tag)
{
    (void)ctx;
    return tag % 2 == 0;
}

/* What is there is written to a socket that takes `most` bytes, into out; the cut message's rest is kept by the one who writes. */
static size_t take(uint8_t *out, size_t most, struct iovec *cut)
{
    struct iovec iov[4];
    int count = cursor_gather(&r, iov, 4);
    size_t n = 0;

    for (int i = 0; i < count && n < most; i++) {
        size_t part = iov[i].iov_len < most - n ? iov[i].iov_len : most - n;

        memcpy(out + n, iov[i].iov_base, part);
        n += part;
    }
    cursor_advance(&r, n, cut);
    return n;
}

/* 1 to 9 bytes of tag i % 10 in each of 10 000 messages, taken a few at a time: 0, or how many were missed. */
static uint64_t stream(bool (*wants)(const void *, uint32_t), unsigned take_each)
{
    static uint8_t got[200000];
    size_t fill = 0;
    uint32_t expected = 0;
    struct iovec cut;

    r.wants = wants;
    cursor_begin(&r, &t);
    for (uint32_t i = 0; i < 10000; i++) {
        put(i % 10, (uint8_t)(i % 10), i);
        if (i % take_each != 0)
            continue;
        while (cursor_due_us(&r, i) != UINT64_MAX) {
            fill += take(got + fill, (size_t)rand() % 40 + 1, &cut);
            memcpy(got + fill, cut.iov_base != NULL ? cut.iov_base : "", cut.iov_len);
            fill += cut.iov_len;
        }
    }
    for (size_t at = 0; at < fill; at += 1 + (size_t)got[at]) { /* tag and length are the same */
        for (size_t i = 1; i <= got[at]; i++)
            assert_int_equal(got[at + i], got[at]);
        if (r.missed == 0) {
            assert_int_equal(got[at], expected);
            expected = (expected + (wants != NULL ? 2 : 1)) % 10;
        }
    }
    assert_true(fill > 0);
    return r.missed;
}

static void every_message_comes_whole_and_in_order(void **state)
{
    (void)state;
    srand(1);
    assert_int_equal(stream(NULL, 1), 0);
    assert_int_equal(stream(NULL, 50), 0);
}

static void only_wanted_messages_come(void **state)
{
    (void)state;
    srand(2);
    assert_int_equal(stream(even, 1), 0);
    assert_int_equal(stream(even, 50), 0);
}

static void what_was_written_over_is_missed_and_counted(void **state)
{
    (void)state;
    srand(3);
    assert_in_range(stream(NULL, 100), 3000, 4000); /* 64 of 100 are there */
}

static void what_is_old_is_missed_and_counted(void **state)
{
    (void)state;
    cursor_begin(&r, &t);
    for (uint64_t i = 0; i < 10; i++)
        put(1, 5, i * 1000000);
    assert_int_equal(cursor_due_us(&r, 9000000), 4000000);
    assert_int_equal(r.missed, 4);
}

static void a_message_may_wait_for_others_but_not_too_long_and_not_for_too_many(void **state)
{
    (void)state;
    r.hold_us = 1000;
    cursor_begin(&r, &t);
    assert_int_equal(cursor_due_us(&r, 0), UINT64_MAX);
    for (unsigned i = 0; i < 16; i++)
        put(1, 5, 10 + i);
    assert_int_equal(cursor_due_us(&r, 100), 1010);
    put(1, 5, 100);
    assert_int_equal(cursor_due_us(&r, 100), 100); /* more than a quarter of what it can hold */
}

static void who_begins_later_gets_what_comes_later(void **state)
{
    struct iovec iov[2];

    (void)state;
    put(1, 5, 0);
    cursor_begin(&r, &t);
    assert_int_equal(cursor_gather(&r, iov, 2), 0);
    put(2, 7, 0);
    assert_int_equal(cursor_gather(&r, iov, 2), 1);
    assert_int_equal(iov[0].iov_len, 8);
    cursor_begin(&r, NULL);
    assert_int_equal(cursor_gather(&r, iov, 2), 0);
    assert_int_equal(cursor_due_us(&r, 0), UINT64_MAX);
}

int main(void)
{
#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        EACH(every_message_comes_whole_and_in_order),
        EACH(only_wanted_messages_come),
        EACH(what_was_written_over_is_missed_and_counted),
        EACH(what_is_old_is_missed_and_counted),
        EACH(a_message_may_wait_for_others_but_not_too_long_and_not_for_too_many),
        EACH(who_begins_later_gets_what_comes_later),
    };

    return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
