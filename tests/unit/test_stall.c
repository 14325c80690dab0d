/* The stall meter. */
#include "stall.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>


static void work(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

static int on_event(sd_event_source *s, void *userdata)
{
    (void)s;
    stall_doing("a test");
    work(*(unsigned *)userdata);
    return 0;
}

static int on_end(sd_event_source *s, uint64_t usec, void *userdata)
{
    (void)usec;
    (void)userdata;
    return sd_event_exit(sd_event_source_get_event(s), 7);
}

/* A turn is measured, and the time in which the loop waits is not. */
static void the_longest_turn_is_kept_with_what_it_did(void **state)
{
    unsigned ms = 30;
    sd_event *event;

    (void)state;
    assert_string_equal(stall_longest().what, "");
    assert_true(sd_event_new(&event) >= 0);
    assert_true(sd_event_add_defer(event, NULL, on_event, &ms) >= 0);
    assert_true(sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 700000, 1, on_end, NULL) >= 0);
    assert_int_equal(stall_loop(event), 7);
    sd_event_unref(event);
    assert_in_range(stall_longest().us, 30000, 600000);
    assert_string_equal(stall_longest().what, "a test");
    assert_int_equal(stall_recent().us, stall_longest().us);
}

static void a_shorter_one_changes_nothing(void **state)
{
    struct stall before = stall_longest();

    (void)state;
    stall_begin();
    stall_doing("less");
    stall_end();
    assert_int_equal(stall_longest().us, before.us);
    assert_string_equal(stall_recent().what, "a test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_longest_turn_is_kept_with_what_it_did), cmocka_unit_test(a_shorter_one_changes_nothing)};

    return cmocka_run_group_tests_name("stall", tests, NULL, NULL);
}
