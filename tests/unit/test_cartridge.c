/* The cartridge, look by look: what a tag is taken for, when it expires, and when it cannot be read. */
#include "cartridge.h"
#include "memory.h"
#include "used.h"

static struct cartridge c;
static struct pen_tag tag;

static void fresh(void)
{
    memset(memory.bytes, 0, PEN_NVM_SIZE);
    memory.refuses_writes = false;
    c = (struct cartridge){.state = mnp_CartridgeState_CARTRIDGE_ABSENT};
    tag = (struct pen_tag){.present = true, .readable = true, .uid = 7, .lot = 1, .needle_count = 12, .max_depth_um = 1500, .expiry_s = 1000};
}

static int begin(void **state)
{
    if (memory_begin(state) != 0)
        return -1;
    fresh();
    return 0;
}

static mnp_CartridgeState look(uint64_t now_s)
{
    cartridge_update(&memory.port, &c, &tag, now_s);
    return c.state;
}

static void it_expires_after_its_last_second(void **state)
{
    (void)state;
    assert_int_equal(look(1000), mnp_CartridgeState_CARTRIDGE_NEW);
    assert_true(cartridge_fit(&c));
    assert_int_equal(look(1001), mnp_CartridgeState_CARTRIDGE_EXPIRED);
    assert_false(cartridge_fit(&c));
    fresh();
    assert_int_equal(look(1001), mnp_CartridgeState_CARTRIDGE_EXPIRED); /* when it is put in, too */
    fresh();
    assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_NEW); /* nobody has said what time it is */
    assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_NEW);
    assert_int_equal(look(1000), mnp_CartridgeState_CARTRIDGE_NEW); /* at its last second */
    assert_int_equal(look(1001), mnp_CartridgeState_CARTRIDGE_EXPIRED);
}

static void it_does_not_expire_in_a_treatment(void **state)
{
    (void)state;
    look(1000);
    assert_true(cartridge_use(&memory.port, &c, 1));
    assert_int_equal(look(2000), mnp_CartridgeState_CARTRIDGE_IN_USE);
}

static void three_bad_reads_make_it_unreadable(void **state)
{
    (void)state;
    look(0);
    tag.readable = false;
    assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_NEW);
    assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_NEW);
    assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_UNREADABLE);
    for (int i = 0; i < 300; i++)
        assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_UNREADABLE);
    tag.readable = true;
    assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_NEW);
    for (int i = 0; i < 10; i++) { /* never three behind each other */
        tag.readable = i % 3 == 0;
        assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_NEW);
    }
}

static void a_tag_that_says_something_else_is_not_read_right(void **state)
{
    (void)state;
    for (int what = 0; what < 4; what++) {
        fresh();
        look(0);
        tag.lot += what == 0;
        tag.needle_count += what == 1;
        tag.max_depth_um += what == 2;
        tag.expiry_s += what == 3;
        look(0);
        look(0);
        assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_UNREADABLE);
    }
}

static void it_is_used_once(void **state)
{
    (void)state;
    look(0);
    assert_true(cartridge_claim(&c, 1));
    assert_true(cartridge_use(&memory.port, &c, 1));
    assert_int_equal(c.state, mnp_CartridgeState_CARTRIDGE_IN_USE);
    assert_true(cartridge_use(&memory.port, &c, 1));
    assert_true(cartridge_claim(&c, 1));
    assert_false(cartridge_claim(&c, 2));
    assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_USED);
    assert_false(cartridge_claim(&c, 1));
    tag.present = false;
    assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_ABSENT);
    tag.present = true;
    assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_USED);
    tag.uid = 8;
    assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_NEW);
}

static void a_memory_that_refuses_lets_nothing_be_used(void **state)
{
    (void)state;
    look(0);
    memory.refuses_writes = true;
    assert_false(cartridge_use(&memory.port, &c, 1));
    assert_int_equal(c.state, mnp_CartridgeState_CARTRIDGE_NEW);
    assert_int_equal(c.treatment, 0);
    memory.refuses_writes = false;
    assert_false(used_has(&memory.port, 7));
    assert_true(cartridge_use(&memory.port, &c, 1));
    assert_true(used_has(&memory.port, 7));
    assert_int_equal(c.treatment, 1);
}

static void a_tag_is_judged_by_all_that_it_says(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        fresh();
        tag.uid = what == 0 ? 0 : 7;
        tag.needle_count = what == 1 ? 0 : 12;
        tag.max_depth_um = what == 2 ? 0 : 1500;
        assert_int_equal(look(0), mnp_CartridgeState_CARTRIDGE_REJECTED);
        assert_false(cartridge_fit(&c));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, memory_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_expires_after_its_last_second),
        TEST(it_does_not_expire_in_a_treatment),
        TEST(three_bad_reads_make_it_unreadable),
        TEST(a_tag_that_says_something_else_is_not_read_right),
        TEST(it_is_used_once),
        TEST(a_memory_that_refuses_lets_nothing_be_used),
        TEST(a_tag_is_judged_by_all_that_it_says),
    };

    return cmocka_run_group_tests_name("cartridge", tests, NULL, NULL);
}
