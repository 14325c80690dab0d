/* When a record happened, by the daemon's reckoning, while machines sleep, links are late and pens restart: always within the bound that it gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "chain.h"
#include "pen.pb-c.h"

enum { USUAL_BOUND_US = 60000 };

/* Until the pen has noticed it, and written it down: then. pass: chain_wait() or chain_sleep(). */
static uint64_t inject(struct chain *c, void (*pass)(struct chain *c, uint32_t ms))
{
    uint32_t newest = pen_end_newest_record(chain_pen(c)), ms = 0;

    pen_end_say(chain_pen(c), (const uint8_t *)"inject 1301", 11);
    for (; ms < 1000 && pen_end_newest_record(chain_pen(c)) == newest; ms++)
        pass(c, 1);
    assert_in_range(ms, 0, 999);
    return chain_unix_us();
}

static void assert_dated(struct chain *c, uint64_t true_us, uint64_t widest_us)
{
    uint64_t host_us, bound_us, off_us;

    assert_true(chain_record_time(c, MNP__RECORD_KIND__RECORD_FAULT, &host_us, &bound_us));
    off_us = host_us > true_us ? host_us - true_us : true_us - host_us;
    printf("# off by %.1f ms, said to be within %.1f ms\n", (double)off_us / 1000, (double)bound_us / 1000);
    assert_in_range(off_us, 0, bound_us);
    assert_in_range(bound_us, 0, widest_us);
}

static void a_record_is_dated_within_its_bound(void **state)
{
    struct chain *c = chain_new();
    uint64_t true_us;

    (void)state;
    chain_wait(c, 2000);
    true_us = inject(c, chain_wait);
    chain_wait(c, 500);
    assert_dated(c, true_us, USUAL_BOUND_US);
    chain_free(c);
}

/* In its first moment; it is read when the machine wakes. */
static void a_record_of_a_machine_s_sleep_is_not_dated_by_its_waking(void **state)
{
    static const uint32_t sleeps_ms[] = {1000, 8000, 60000};

    (void)state;
    for (size_t i = 0; i < sizeof(sleeps_ms) / sizeof(sleeps_ms[0]); i++) {
        struct chain *c = chain_new();
        uint64_t true_us;

        chain_wait(c, 2000);
        true_us = inject(c, chain_sleep);
        chain_sleep(c, sleeps_ms[i]);
        chain_wait(c, 3000);
        assert_dated(c, true_us, sleeps_ms[i] * 1000 / 2);
        chain_free(c);
    }
}

static void a_record_just_after_waking_is_dated_so(void **state)
{
    struct chain *c = chain_new();
    uint64_t true_us;

    (void)state;
    chain_wait(c, 2000);
    chain_sleep(c, 30000);
    true_us = inject(c, chain_wait);
    chain_wait(c, 3000);
    assert_dated(c, true_us, 1000000);
    chain_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_dated_within_its_bound),
        cmocka_unit_test(a_record_of_a_machine_s_sleep_is_not_dated_by_its_waking),
        cmocka_unit_test(a_record_just_after_waking_is_dated_so),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("clocks", tests, NULL, NULL);
}
