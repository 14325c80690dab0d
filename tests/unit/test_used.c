/*
 * Which cartridges were used, for ten years at 20 a day: none is forgotten, and few new ones are refused for nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "nvm.h"
#include "used.h"

enum { TEN_YEARS = 73050, STRANGERS = 400000 };

static uint8_t *memory;
static bool refuses;
static size_t torn_now; /* a write ends after so many bytes; 0: it does not */

static bool nvm_read(void *ctx, uint32_t offset, void *bytes, size_t n)
{
    (void)ctx;
    memcpy(bytes, memory + offset, n);
    return !refuses;
}

static bool nvm_write(void *ctx, uint32_t offset, const void *bytes, size_t n)
{
    (void)ctx;
    assert_true(offset >= NVM_USED && offset + n <= PEN_NVM_SIZE);
    memcpy(memory + offset, bytes, torn_now != 0 ? torn_now : n);
    return torn_now == 0 && !refuses;
}

static const struct pen_port port = {.nvm_read = nvm_read, .nvm_write = nvm_write};

static int setup(void **state)
{
    (void)state;
    memory = calloc(1, PEN_NVM_SIZE);
    refuses = false;
    torn_now = 0;
    return memory == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    free(memory);
    return 0;
}

/* Tags of one maker: its prefix, and numbers that follow each other. */
static uint64_t uid(uint32_t i)
{
    return UINT64_C(0xe004015000000000) + i;
}

static uint32_t refused_for_nothing(uint32_t used)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < STRANGERS; i++)
        n += used_has(&port, uid(used + 1 + i));
    return n;
}

static void ten_years_of_cartridges_are_remembered(void **state)
{
    uint32_t wrong;

    (void)state;
    for (uint32_t i = 0; i < TEN_YEARS; i++)
        assert_true(used_add(&port, uid(i)));
    for (uint32_t i = 0; i < TEN_YEARS; i++)
        assert_true(used_has(&port, uid(i)));
    wrong = refused_for_nothing(TEN_YEARS);
    print_message("after %d cartridges %u of %d new ones are refused for nothing, in %u bytes\n", TEN_YEARS, wrong, STRANGERS, NVM_USED_BLOCK * NVM_USED_BLOCKS);
    assert_true(wrong < STRANGERS / 20000);
    for (uint32_t i = 0; i < TEN_YEARS; i++)
        assert_true(used_add(&port, uid(1000000 + i)));
    for (uint32_t i = 0; i < TEN_YEARS; i++)
        assert_true(used_has(&port, uid(i)) && used_has(&port, uid(1000000 + i)));
    wrong = refused_for_nothing(2000000);
    print_message("after %d: %u\n", 2 * TEN_YEARS, wrong);
    assert_true(wrong < STRANGERS / 100);
}

static void erased_memory_remembers_nothing(void **state)
{
    static const uint8_t erased[] = {0x00, 0xff};

    (void)state;
    for (size_t i = 0; i < sizeof(erased); i++) {
        memset(memory, erased[i], PEN_NVM_SIZE);
        assert_int_equal(refused_for_nothing(0), 0);
        assert_true(used_add(&port, 7));
        assert_true(used_has(&port, 7));
        assert_false(used_has(&port, 8));
    }
}

/* What may have been forgotten was used. */
static void a_damaged_block_counts_as_full(void **state)
{
    (void)state;
    for (uint32_t at = NVM_USED; at < PEN_NVM_SIZE; at += NVM_USED_BLOCK) {
        memset(memory + at, 0x00, NVM_USED_BLOCK);
        memory[at + 5] = 1; /* one bit that nobody has set */
    }
    assert_int_equal(refused_for_nothing(0), STRANGERS);
    assert_true(used_add(&port, 7));
    assert_true(used_has(&port, 7));
    assert_true(used_has(&port, 8));
}

/* A uid that shares its block with this one. */
static uint64_t neighbour(uint64_t uid)
{
    uint32_t at = NVM_USED;
    uint64_t other = uid;

    assert_true(used_add(&port, uid));
    while (memcmp(memory + at, (uint8_t[NVM_USED_BLOCK]){0}, NVM_USED_BLOCK) == 0)
        at += NVM_USED_BLOCK;
    for (;;) {
        memset(memory + NVM_USED, 0, NVM_USED_BLOCK * NVM_USED_BLOCKS);
        assert_true(used_add(&port, ++other));
        if (memcmp(memory + at, (uint8_t[NVM_USED_BLOCK]){0}, NVM_USED_BLOCK) != 0)
            return other;
    }
}

static void a_memory_that_fails_says_so_and_lets_nothing_pass(void **state)
{
    uint64_t same_block = neighbour(7);
    size_t torn;

    (void)state;
    refuses = true;
    assert_true(used_has(&port, 7));
    refuses = false;
    for (torn = 1; torn < NVM_USED_BLOCK; torn++) { /* the power goes: what was noted before is still there */
        memset(memory, 0, PEN_NVM_SIZE);
        torn_now = 0;
        assert_true(used_add(&port, 7));
        torn_now = torn;
        assert_false(used_add(&port, same_block));
        torn_now = 0;
        assert_true(used_has(&port, 7));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ten_years_of_cartridges_are_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(erased_memory_remembers_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_block_counts_as_full, setup, teardown),
        cmocka_unit_test_setup_teardown(a_memory_that_fails_says_so_and_lets_nothing_pass, setup, teardown),
    };

    return cmocka_run_group_tests_name("used", tests, NULL, NULL);
}
