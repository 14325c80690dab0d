/* The flight recorder: what it cuts out is what the pen said around the fault, whatever the ring has gone through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "flight.h"

static struct flight *f;

static int start(void **state)
{
    (void)state;
    f = flight_new();
    return f == NULL;
}

static int stop(void **state)
{
    (void)state;
    flight_free(f);
    return 0;
}

/* A batch that says when it was, and is filled with that. */
static void add(uint64_t t_us, size_t n)
{
    uint8_t batch[2000];

    memset(batch, (int)(t_us / 1000 % 251), sizeof(batch));
    memcpy(batch, &t_us, sizeof(t_us));
    flight_add(f, t_us, batch, n);
}

/* Checks the batches of a cut, and says from when to when they are, and how many. */
static unsigned check(uint8_t *bytes, size_t n, uint64_t *first_us, uint64_t *last_us)
{
    unsigned count = 0;
    uint64_t t_us;

    for (size_t at = 0; at < n;) {
        size_t length = bytes[at] | (size_t)bytes[at + 1] << 8;

        assert_true(length >= sizeof(t_us) && at + 2 + length <= n);
        memcpy(&t_us, bytes + at + 2, sizeof(t_us));
        for (size_t i = sizeof(t_us); i < length; i++)
            assert_int_equal(bytes[at + 2 + i], (uint8_t)(t_us / 1000 % 251));
        if (count == 0)
            *first_us = t_us;
        else
            assert_true(t_us > *last_us);
        *last_us = t_us;
        count++;
        at += 2 + length;
    }
    free(bytes);
    return count;
}

static void six_seconds_are_cut_out(void **state)
{
    uint64_t first_us = 0, last_us = 0;
    uint8_t *bytes;
    size_t n;

    (void)state;
    for (uint64_t ms = 0; ms <= 20000; ms += 50) {
        add(ms * 1000, 500);
        if (ms == 15000)
            flight_fault(f, 7, 15000000, 99);
        if (ms == 15900)
            assert_int_equal(flight_cut(f, 0, false, &bytes, &n), 0); /* its second is not over */
        if (ms != 16050)
            continue;
        assert_int_equal(flight_cut(f, 0, false, &bytes, &n), 7);
        assert_int_equal(check(bytes, n, &first_us, &last_us), 121);
        assert_int_equal(first_us, 10000000);
        assert_int_equal(last_us, 16000000);
        assert_int_equal(flight_cut(f, 0, false, &bytes, &n), 0); /* once */
    }
}

static void batches_of_any_size_are_whole_or_gone(void **state)
{
    unsigned seed = 1;
    uint64_t ms = 0;

    (void)state;
    for (uint32_t fault = 1; fault <= 200; fault++) {
        uint64_t first_us = 0, last_us = 0;
        uint8_t *bytes;
        size_t n;

        for (int i = 0; i < 200; i++)
            add(++ms * 1000, 8 + (size_t)rand_r(&seed) % 1900);
        flight_fault(f, fault, ms * 1000, 50);
        assert_int_equal(flight_due_ms(f), 50);
        assert_int_equal(flight_cut(f, 50, false, &bytes, &n), fault); /* its time is up: the pen has fallen silent */
        assert_true(check(bytes, n, &first_us, &last_us) > 60);
        assert_int_equal(last_us, ms * 1000);
        assert_int_equal(flight_due_ms(f), UINT64_MAX);
    }
}

static void a_pen_that_said_nothing_has_nothing(void **state)
{
    uint8_t *bytes;
    size_t n;

    (void)state;
    for (uint32_t fault = 1; fault <= 20; fault++)
        flight_fault(f, fault, 1000000, 50); /* more than are kept */
    for (uint32_t fault = 1; fault <= 8; fault++) {
        assert_int_equal(flight_cut(f, 0, true, &bytes, &n), fault);
        assert_null(bytes);
    }
    assert_int_equal(flight_cut(f, 0, true, &bytes, &n), 0);
    add(5000000, 100);
    flight_reset(f); /* another life */
    flight_fault(f, 1, 5000000, 50);
    assert_int_equal(flight_cut(f, 0, true, &bytes, &n), 1);
    assert_null(bytes);
    flight_add(NULL, 1, (const uint8_t *)"", 1); /* without memory nothing is recorded */
    flight_fault(NULL, 1, 1, 1);
    assert_int_equal(flight_cut(NULL, 1, true, &bytes, &n), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(six_seconds_are_cut_out),
        TEST(batches_of_any_size_are_whole_or_gone),
        TEST(a_pen_that_said_nothing_has_nothing),
    };

    return cmocka_run_group_tests_name("flight", tests, NULL, NULL);
}
