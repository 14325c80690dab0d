/* The frame: every size, every damage, every way to cut and join. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

static const struct mn_frame example = {.major = 1, .sequence = 0x0102, .correlation = 0x0304, .type = 0x0a, .session = 0xdeadbeef};

static size_t make(uint8_t *out, size_t payload_length)
{
    static uint8_t payload[MN_FRAME_PAYLOAD_MAX];
    struct mn_frame f = example;

    for (size_t i = 0; i < payload_length; i++)
        payload[i] = (uint8_t)(i * 7 + 'M'); /* with M's and N's in it, so that magic turns up inside */
    f.length = (uint16_t)payload_length;
    f.payload = payload;
    return mn_frame_write(out, MN_FRAME_MAX, &f);
}

static void crc32c_is_the_one_of_rfc_3720(void **state)
{
    uint8_t zeros[32] = {0}, ones[32];

    (void)state;
    memset(ones, 0xff, sizeof(ones));
    assert_int_equal(mn_crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(mn_crc32c(zeros, sizeof(zeros)), 0x8a9136aa);
    assert_int_equal(mn_crc32c(ones, sizeof(ones)), 0x62a8ab43);
}

static void every_payload_size_survives_and_none_ends_on_a_packet(void **state)
{
    (void)state;
    for (size_t size = 0; size <= MN_FRAME_PAYLOAD_MAX; size++) {
        uint8_t bytes[MN_FRAME_MAX];
        size_t n = make(bytes, size);
        const uint8_t *p = bytes;
        struct mn_frame_reader r = {0};
        struct mn_frame f;

        assert_true(n >= size + MN_FRAME_HEADER + MN_FRAME_CRC && n <= MN_FRAME_MAX);
        assert_int_not_equal(n % 64, 0);
        assert_int_equal(mn_frame_next(&r, &p, &n, &f), MN_FRAME_OK);
        assert_int_equal(n, 0);
        assert_int_equal(f.length, size);
        assert_int_equal(f.session, example.session);
        assert_int_equal(f.correlation, example.correlation);
        assert_memory_equal(f.payload, bytes + MN_FRAME_HEADER, size);
    }
}

static void what_does_not_fit_is_not_written(void **state)
{
    uint8_t bytes[MN_FRAME_MAX];
    struct mn_frame f = example;

    (void)state;
    f.length = MN_FRAME_PAYLOAD_MAX + 1;
    f.payload = bytes;
    assert_int_equal(mn_frame_write(bytes, sizeof(bytes), &f), 0);
    f.length = 44; /* 64 bytes, and one of padding */
    assert_int_equal(mn_frame_write(bytes, 64, &f), 0);
    assert_int_equal(mn_frame_write(bytes, 65, &f), 65);
}

static void frames_cut_anywhere_come_whole(void **state)
{
    uint8_t bytes[3 * MN_FRAME_MAX];
    size_t total = 0;

    (void)state;
    total += make(bytes, 5);
    total += make(bytes + total, 44);
    total += make(bytes + total, 300);
    for (size_t step = 1; step < total; step++) {
        struct mn_frame_reader r = {0};
        struct mn_frame f;
        size_t good = 0;

        for (size_t at = 0; at < total; at += step) {
            size_t n = at + step <= total ? step : total - at;
            const uint8_t *p = bytes + at;
            enum mn_frame_event e;

            while ((e = mn_frame_next(&r, &p, &n, &f)) != MN_FRAME_NONE) {
                assert_int_equal(e, MN_FRAME_OK);
                good++;
            }
            assert_int_equal(n, 0);
        }
        assert_int_equal(good, 3);
        assert_int_equal(r.skipped, 0);
    }
}

static size_t count_good(const uint8_t *bytes, size_t n, struct mn_frame_reader *r, size_t *bad)
{
    struct mn_frame f;
    enum mn_frame_event e;
    size_t good = 0;

    while ((e = mn_frame_next(r, &bytes, &n, &f)) != MN_FRAME_NONE) {
        good += e == MN_FRAME_OK;
        *bad += e == MN_FRAME_BAD;
    }
    return good;
}

static void any_flipped_bit_is_seen_and_costs_one_frame(void **state)
{
    uint8_t bytes[3 * MN_FRAME_MAX], all[3 * MN_FRAME_MAX];
    size_t first = make(bytes, 40), second = make(bytes + first, 41), total = first + second;

    (void)state;
    total += make(bytes + total, 42);
    for (size_t bit = 0; bit < second * 8; bit++) {
        struct mn_frame_reader r = {0};
        size_t good, bad = 0;

        memcpy(all, bytes, total);
        all[first + bit / 8] ^= (uint8_t)(1 << bit % 8);
        good = count_good(all, total, &r, &bad);
        /* A length that was made larger may swallow what follows until more bytes come: feed one more frame's worth. */
        good += count_good((uint8_t[MN_FRAME_MAX]){0}, MN_FRAME_MAX, &r, &bad);
        assert_int_equal(good, 2);
        assert_true(bad > 0);
    }
}

static void garbage_never_crashes_and_a_frame_after_it_is_found(void **state)
{
    uint8_t bytes[2000 + MN_FRAME_MAX];

    (void)state;
    srand(1);
    for (int round = 0; round < 2000; round++) {
        struct mn_frame_reader r = {0};
        size_t n = (size_t)rand() % 2000, bad = 0;

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(rand() % 4 == 0 ? "MN\x01"[rand() % 3] : rand());
        n += make(bytes + n, 100);
        assert_int_equal(count_good(bytes, n, &r, &bad) + count_good((uint8_t[MN_FRAME_MAX]){0}, MN_FRAME_MAX, &r, &bad), 1);
    }
}

static void a_status_is_32_bytes_with_a_crc(void **state)
{
    struct mn_pen_status in = {.state = 5, .trigger = true, .cartridge = 3, .fault_word = 0x80000001, .boot_id = 1, .count = 2,
                               .records_newest = 3, .config_generation = 4, .telemetry_dropped = 5}, out = {0};
    uint8_t bytes[MN_PEN_STATUS_SIZE];

    (void)state;
    mn_pen_status_write(bytes, &in);
    assert_true(mn_pen_status_read(bytes, sizeof(bytes), &out));
    assert_memory_equal(&in, &out, sizeof(in));
    assert_false(mn_pen_status_read(bytes, sizeof(bytes) - 1, &out));
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(mn_pen_status_read(bytes, sizeof(bytes), &out));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_is_the_one_of_rfc_3720),
        cmocka_unit_test(every_payload_size_survives_and_none_ends_on_a_packet),
        cmocka_unit_test(what_does_not_fit_is_not_written),
        cmocka_unit_test(frames_cut_anywhere_come_whole),
        cmocka_unit_test(any_flipped_bit_is_seen_and_costs_one_frame),
        cmocka_unit_test(garbage_never_crashes_and_a_frame_after_it_is_found),
        cmocka_unit_test(a_status_is_32_bytes_with_a_crc),
    };

    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
