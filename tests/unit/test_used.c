/*
 * Which cartridges were used, for ten years at 20 a day: none is forgotten, and few new ones are refused for nothing.
 */
#include "frame.h"
#include "memory.h"
#include "used.h"

enum { TEN_YEARS = 73050, STRANGERS = 400000 };

/* Tags of one maker: its prefix, and numbers that follow each other. */
static uint64_t uid(uint32_t i)
{
    return UINT64_C(0xe004015000000000) + i;
}

static uint32_t refused_for_nothing(uint32_t used)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < STRANGERS; i++)
        n += used_has(&memory.port, uid(used + 1 + i));
    return n;
}

static void ten_years_of_cartridges_are_remembered(void **state)
{
    uint32_t wrong;

    (void)state;
    for (uint32_t i = 0; i < TEN_YEARS; i++)
        assert_true(used_add(&memory.port, uid(i)));
    for (uint32_t i = 0; i < TEN_YEARS; i++)
        assert_true(used_has(&memory.port, uid(i)));
    wrong = refused_for_nothing(TEN_YEARS);
    print_message("after %d cartridges %u of %d new ones are refused for nothing, in %u bytes\n", TEN_YEARS, wrong, STRANGERS, NVM_USED_BLOCK * NVM_USED_BLOCKS);
    assert_true(wrong < STRANGERS / 20000);
    for (uint32_t i = 0; i < TEN_YEARS; i++)
        assert_true(used_add(&memory.port, uid(1000000 + i)));
    for (uint32_t i = 0; i < TEN_YEARS; i++)
        assert_true(used_has(&memory.port, uid(i)) && used_has(&memory.port, uid(1000000 + i)));
    wrong = refused_for_nothing(2000000);
    print_message("after %d: %u\n", 2 * TEN_YEARS, wrong);
    assert_true(wrong < STRANGERS / 100);
}

static void erased_memory_remembers_nothing(void **state)
{
    static const uint8_t erased[] = {0x00, 0xff};

    (void)state;
    for (size_t i = 0; i < sizeof(erased); i++) {
        memset(memory.bytes, erased[i], PEN_NVM_SIZE);
        assert_int_equal(refused_for_nothing(0), 0);
        assert_true(used_add(&memory.port, 7));
        assert_true(used_has(&memory.port, 7));
        assert_false(used_has(&memory.port, 8));
    }
}

/* A firmware that is newer reads what an older one has noted: the bits of a uid are for ever. */
static void the_bits_of_a_uid_stay_what_they_are(void **state)
{
    uint32_t sum = 0;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(used_add(&memory.port, uid(i)));
    for (uint32_t i = 0; i < NVM_USED_BLOCKS; i++) /* without its own CRC, with which each block's would be the same */
        sum = sum * 31 + mn_crc32c(memory.bytes + NVM_USED + i * NVM_USED_BLOCK, NVM_USED_BLOCK - 4);
    assert_int_equal(sum, 0x2aed2c86);
}

/* What may have been forgotten was used. */
static void a_damaged_block_counts_as_full(void **state)
{
    (void)state;
    for (uint32_t at = NVM_USED; at < PEN_NVM_SIZE; at += NVM_USED_BLOCK) {
        memset(memory.bytes + at, 0x00, NVM_USED_BLOCK);
        memory.bytes[at + 5] = 1; /* one bit that nobody has set */
    }
    assert_int_equal(refused_for_nothing(0), STRANGERS);
    assert_true(used_add(&memory.port, 7));
    assert_true(used_has(&memory.port, 7));
    assert_true(used_has(&memory.port, 8));
}

/* A uid that shares its block with this one. */
static uint64_t neighbour(uint64_t uid)
{
    uint32_t at = NVM_USED;
    uint64_t other = uid;

    assert_true(used_add(&memory.port, uid));
    while (memcmp(memory.bytes + at, (uint8_t[NVM_USED_BLOCK]){0}, NVM_USED_BLOCK) == 0)
        at += NVM_USED_BLOCK;
    for (;;) {
        memset(memory.bytes + NVM_USED, 0, NVM_USED_BLOCK * NVM_USED_BLOCKS);
        assert_true(used_add(&memory.port, ++other));
        if (memcmp(memory.bytes + at, (uint8_t[NVM_USED_BLOCK]){0}, NVM_USED_BLOCK) != 0)
            return other;
    }
}

static void a_memory_that_fails_says_so_and_lets_nothing_pass(void **state)
{
    uint64_t same_block = neighbour(7);
    size_t torn;

    (void)state;
    memory.refuses_reads = true;
    assert_true(used_has(&memory.port, 7));
    memory.refuses_reads = false;
    for (torn = 1; torn < NVM_USED_BLOCK; torn++) { /* the power goes: what was noted before is still there */
        memset(memory.bytes, 0, PEN_NVM_SIZE);
        memory.torn = 0;
        assert_true(used_add(&memory.port, 7));
        memory.torn = torn;
        assert_false(used_add(&memory.port, same_block));
        memory.torn = 0;
        assert_true(used_has(&memory.port, 7));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ten_years_of_cartridges_are_remembered, memory_begin, memory_end),
        cmocka_unit_test_setup_teardown(erased_memory_remembers_nothing, memory_begin, memory_end),
        cmocka_unit_test_setup_teardown(the_bits_of_a_uid_stay_what_they_are, memory_begin, memory_end),
        cmocka_unit_test_setup_teardown(a_damaged_block_counts_as_full, memory_begin, memory_end),
        cmocka_unit_test_setup_teardown(a_memory_that_fails_says_so_and_lets_nothing_pass, memory_begin, memory_end),
    };

    return cmocka_run_group_tests_name("used", tests, NULL, NULL);
}
