/* Leases, by the clock: each holder's own liveness, and nobody's answer counts for another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "lease.h"

static const char a, b; /* two programs */

static void take(struct leases *l, const char *serial, const void *holder, uint64_t liveness_us, uint64_t now_us)
{
    assert_int_equal(lease_take(l, serial, holder, "program", 1, liveness_us, now_us, false), 0);
}

static void nobody_s_answer_counts_for_another(void **state)
{
    struct leases l = {0};

    (void)state;
    take(&l, "P", &a, LEASE_LIVENESS_US, 1000);
    take(&l, "Q", &b, LEASE_LIVENESS_US, 1000);
    lease_renew(&l, &b, 1500000);
    assert_null(lease_expired(&l, 1000 + LEASE_LIVENESS_US - 1));
    assert_ptr_equal(lease_expired(&l, 1000 + LEASE_LIVENESS_US)->holder, &a);
    assert_true(lease_release(&l, "P", &a));
    assert_null(lease_expired(&l, 1500000 + LEASE_LIVENESS_US - 1));
    assert_ptr_equal(lease_expired(&l, 1500000 + LEASE_LIVENESS_US)->holder, &b);
    leases_free(&l);
}

static void each_owner_has_its_own_liveness(void **state)
{
    struct leases l = {0};

    (void)state;
    assert_int_equal(lease_deadline_us(&l), UINT64_MAX);
    take(&l, "P", &a, LEASE_LIVENESS_MAX_US, 0);
    assert_int_equal(lease_deadline_us(&l), LEASE_LIVENESS_MAX_US);
    take(&l, "Q", &b, LEASE_LIVENESS_MIN_US, 0);
    assert_int_equal(lease_deadline_us(&l), LEASE_LIVENESS_MIN_US);
    assert_true(lease_ping_us(&l) * 4 <= LEASE_LIVENESS_MIN_US);
    assert_ptr_equal(lease_expired(&l, LEASE_LIVENESS_MIN_US)->holder, &b);
    assert_true(lease_release(&l, "Q", &b));
    assert_null(lease_expired(&l, LEASE_LIVENESS_MAX_US - 1));
    assert_ptr_equal(lease_expired(&l, LEASE_LIVENESS_MAX_US)->holder, &a);
    take(&l, "P", &a, LEASE_LIVENESS_MIN_US, 100); /* taken again: as it says now */
    assert_int_equal(lease_deadline_us(&l), 100 + LEASE_LIVENESS_MIN_US);
    leases_free(&l);
}

static void as_many_as_there_are(void **state)
{
    static const char others[20];
    struct leases l = {0};
    char serial[8];

    (void)state;
    for (uint64_t i = 0; i < 20; i++) {
        snprintf(serial, sizeof(serial), "P%u", (unsigned)i);
        assert_null(lease_find(&l, serial));
        assert_null(lease_held_by(&l, &others[i]));
        assert_int_equal(lease_take(&l, serial, &others[i], serial, 1, LEASE_LIVENESS_US, i, false), 0);
        lease_renew(&l, &a, 1000000000); /* it has none */
        assert_null(lease_expired(&l, 0));
        assert_string_equal(lease_find(&l, serial)->name, serial);
        assert_ptr_equal(lease_held_by(&l, &others[i])->holder, &others[i]);
        assert_int_equal(lease_deadline_us(&l), LEASE_LIVENESS_US);
        assert_in_range(lease_ping_us(&l), 1, LEASE_LIVENESS_US / 2);
    }
    leases_free(&l);
}

static void one_pen_has_one_owner(void **state)
{
    struct leases l = {0};

    (void)state;
    take(&l, "P", &a, LEASE_LIVENESS_US, 0);
    assert_int_equal(lease_take(&l, "P", &b, "other", 2, LEASE_LIVENESS_US, 0, false), -EBUSY);
    assert_ptr_equal(lease_find(&l, "P")->holder, &a);
    assert_false(lease_release(&l, "P", &b));
    assert_int_equal(lease_take(&l, "P", &b, "other", 2, LEASE_LIVENESS_US, 0, true), 0);
    assert_int_equal(l.count, 1);
    assert_ptr_equal(lease_find(&l, "P")->holder, &b);
    assert_null(lease_held_by(&l, &a));
    assert_non_null(lease_held_by(&l, &b));
    leases_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_s_answer_counts_for_another),
        cmocka_unit_test(each_owner_has_its_own_liveness),
        cmocka_unit_test(one_pen_has_one_owner),
        cmocka_unit_test(as_many_as_there_are),
    };

    return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
