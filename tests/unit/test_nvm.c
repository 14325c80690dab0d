/* The pen's memory, byte by byte: pairs of slots that a torn or damaged write does not lose, records in their ring, settings that cannot be right. */
#include <pb_decode.h>

#include "frame.h"
#include "memory.h"
#include "records.h"
#include "settings.h"

enum { AT_LENGTH = 4, SLOT_CRC = NVM_SLOT_SIZE - 4, TAG_RECORD = 1, TAG_OLDEST, TAG_NEWEST, TAG_ACKED /* of the message Records */ };

static struct records records;
static uint32_t head[TAG_ACKED + 1];

static int begin(void **state)
{
    if (memory_begin(state) != 0)
        return -1;
    memset(&records, 0xa5, sizeof(records)); /* what was there before does not matter */
    records_load(&memory.port, &records, 0);
    return 0;
}

/* ---- pairs of slots ---- */

static enum nvm_state blob(uint64_t *out)
{
    return nvm_blob_read(&memory.port, NVM_COUNTERS, out, sizeof(*out));
}

static void a_blob_that_was_damaged_is_the_one_before(void **state)
{
    uint64_t value;

    (void)state;
    assert_int_equal(blob(&value), NVM_EMPTY);
    for (uint64_t i = 1; i <= 5; i++) {
        assert_true(nvm_blob_write(&memory.port, NVM_COUNTERS, &i, sizeof(i)));
        assert_int_equal(blob(&value), NVM_OK);
        assert_int_equal(value, i);
        for (unsigned slot = 0; slot < 2; slot++) { /* one of the two is the newer */
            uint8_t *byte = memory.bytes + NVM_COUNTERS + slot * NVM_SLOT_SIZE + 8;

            *byte ^= 1;
            if (i == 1 && (memory.bytes + NVM_COUNTERS + slot * NVM_SLOT_SIZE)[AT_LENGTH] != 0)
                assert_int_equal(blob(&value), NVM_DAMAGED); /* one is damaged, the other was never written */
            else if (i > 1 && blob(&value) == NVM_OK)
                assert_in_range(value, i - 1, i);
            *byte ^= 1;
        }
    }
    memory.bytes[NVM_COUNTERS + 8] ^= 1;
    memory.bytes[NVM_COUNTERS + NVM_SLOT_SIZE + 8] ^= 1;
    assert_int_equal(blob(&value), NVM_DAMAGED);
}

static void the_newest_survives_the_loss_of_the_oldest_and_the_other_way_round(void **state)
{
    uint64_t value;
    unsigned oldest = 0;

    (void)state;
    for (uint64_t i = 1; i <= 4; i++)
        assert_true(nvm_blob_write(&memory.port, NVM_COUNTERS, &i, sizeof(i)));
    for (unsigned slot = 0; slot < 2; slot++) {
        uint8_t *byte = memory.bytes + NVM_COUNTERS + slot * NVM_SLOT_SIZE + 8;

        *byte ^= 1;
        assert_int_equal(blob(&value), NVM_OK);
        assert_in_range(value, 3, 4);
        oldest += value == 4;
        *byte ^= 1;
    }
    assert_int_equal(oldest, 1);
}

static void a_counter_that_wraps_is_newer(void **state)
{
    uint8_t *slots = memory.bytes + NVM_COUNTERS;
    uint64_t value = 1;

    (void)state;
    assert_true(nvm_blob_write(&memory.port, NVM_COUNTERS, &value, sizeof(value)));
    if (mn_get_u32(slots + AT_LENGTH) == 0)
        slots += NVM_SLOT_SIZE;
    mn_put_u32(slots, UINT32_MAX);
    mn_put_u32(slots + SLOT_CRC, mn_crc32c(slots, SLOT_CRC));
    value = 2;
    assert_true(nvm_blob_write(&memory.port, NVM_COUNTERS, &value, sizeof(value)));
    assert_int_equal(blob(&value), NVM_OK);
    assert_int_equal(value, 2);
}

static void a_blob_of_another_length_is_damaged(void **state)
{
    uint8_t bytes[NVM_BLOB_MAX + 1] = {1, 2, 3};

    (void)state;
    assert_true(nvm_blob_write(&memory.port, NVM_UDI, bytes, NVM_BLOB_MAX));
    assert_int_equal(nvm_blob_read(&memory.port, NVM_UDI, bytes, NVM_BLOB_MAX), NVM_OK);
    assert_int_equal(nvm_blob_read(&memory.port, NVM_UDI, bytes, NVM_BLOB_MAX - 1), NVM_DAMAGED);
    assert_false(nvm_blob_write(&memory.port, NVM_UDI, bytes, NVM_BLOB_MAX + 1));
    assert_int_equal(nvm_blob_read(&memory.port, NVM_UDI, bytes, NVM_BLOB_MAX + 1), NVM_DAMAGED);
}

static void settings_that_cannot_be_are_not_taken(void **state)
{
    struct settings s, stored;

    (void)state;
    assert_true(settings_load(&memory.port, &s)); /* never written: the defaults */
    stored = s;
    stored.value[SETTING_depth_um] = setting_ranges[SETTING_depth_um].max + setting_ranges[SETTING_depth_um].step;
    assert_true(settings_store(&memory.port, &stored)); /* with a good CRC */
    assert_false(settings_load(&memory.port, &stored));
    assert_int_equal(stored.value[SETTING_depth_um], s.value[SETTING_depth_um]);
    stored.value[SETTING_depth_um] = setting_ranges[SETTING_depth_um].max;
    assert_true(settings_store(&memory.port, &stored));
    assert_true(settings_load(&memory.port, &s));
    assert_int_equal(s.value[SETTING_depth_um], setting_ranges[SETTING_depth_um].max);
}

/* ---- records ---- */

static mnp_Record largest(void)
{
    mnp_Record r = {.has_number = true, .has_boot_id = true, .boot_id = UINT32_MAX, .has_t_us = true, .t_us = UINT64_MAX, .has_kind = true, .kind = mnp_RecordKind_RECORD_RUN,
                    .which_body = mnp_Record_run_tag};

    r.body.run = (mnp_RunRecord){.has_duration_ms = true, .duration_ms = UINT32_MAX, .has_strokes = true, .strokes = UINT32_MAX, .has_depth_peak_um = true,
                                 .depth_peak_um = UINT32_MAX, .has_end = true, .end = mnp_EndReason_END_POWER, .has_fault_code = true, .fault_code = UINT32_MAX,
                                 .has_cartridge_uid = true, .cartridge_uid = UINT64_MAX, .has_zone = true, .zone = UINT32_MAX, .has_treatment = true, .treatment = UINT64_MAX,
                                 .has_cartridge_lot = true, .cartridge_lot = UINT32_MAX};
    return r;
}

static void append(mnp_RecordKind kind)
{
    mnp_Record r = {.has_kind = true, .kind = kind};

    assert_true(records_append(&memory.port, &records, &r));
}

static void damage(uint32_t number)
{
    memory.bytes[NVM_RECORDS + (number - 1) % NVM_RECORD_COUNT * NVM_RECORD_SIZE + 6] ^= 1;
}

/* The numbers on a page; the fields of its head stand in head[], by their tags. */
static void page(uint32_t from, size_t cap, uint32_t numbers[], size_t *count)
{
    uint8_t *bytes = malloc(cap);
    pb_istream_t stream;
    pb_wire_type_t type;
    uint32_t tag;
    uint64_t value;
    bool eof;

    assert_non_null(bytes);
    *count = 0;
    memset(head, 0xff, sizeof(head));
    stream = pb_istream_from_buffer(bytes, records_page(&memory.port, &records, from, bytes, cap));
    while (pb_decode_tag(&stream, &type, &tag, &eof)) {
        if (type == PB_WT_STRING) {
            mnp_Record r = mnp_Record_init_zero;
            pb_istream_t inner;

            assert_int_equal(tag, TAG_RECORD);
            assert_true(pb_make_string_substream(&stream, &inner));
            assert_true(pb_decode(&inner, mnp_Record_fields, &r));
            assert_true(pb_close_string_substream(&stream, &inner));
            numbers[(*count)++] = r.number;
            continue;
        }
        assert_true(pb_decode_varint(&stream, &value));
        assert_in_range(tag, TAG_OLDEST, TAG_ACKED);
        head[tag] = (uint32_t)value;
    }
    free(bytes);
}

static void the_largest_record_comes_back(void **state)
{
    mnp_Record r = largest(), read = mnp_Record_init_zero;

    (void)state;
    records.newest = records.oldest = UINT32_MAX - 1;
    assert_true(records_append(&memory.port, &records, &r));
    assert_int_equal(memory.bytes[NVM_RECORDS + (UINT32_MAX - 1) % NVM_RECORD_COUNT * NVM_RECORD_SIZE + AT_LENGTH], mnp_Record_size);
    assert_true(records_newest_run(&memory.port, &records, &read));
    assert_int_equal(read.body.run.cartridge_uid, UINT64_MAX);
    assert_int_equal(read.number, UINT32_MAX);
}

static void a_page_says_what_there_is_and_has_what_fits(void **state)
{
    uint32_t numbers[64];
    size_t count, one;

    (void)state;
    for (int i = 0; i < 5; i++)
        append(mnp_RecordKind_RECORD_CONFIG);
    records.acked = 2;
    page(0, 500, numbers, &count);
    assert_int_equal(head[TAG_OLDEST], 1);
    assert_int_equal(head[TAG_NEWEST], 5);
    assert_int_equal(head[TAG_ACKED], 2);
    assert_int_equal(count, 5);
    page(4, 500, numbers, &count);
    assert_int_equal(count, 2);
    assert_int_equal(numbers[0], 4);
    one = (records_page(&memory.port, &records, 0, (uint8_t[500]){0}, 500) - 6) / 5;
    for (size_t n = 0; n <= 5; n++) { /* filled to the last byte, and one byte short of that */
        page(0, 6 + n * one, numbers, &count);
        assert_int_equal(count, n);
        page(0, 6 + n * one + one - 1, numbers, &count);
        assert_int_equal(count, n);
    }
    for (size_t cap = 1; cap < 6; cap++)
        assert_int_equal(records_page(&memory.port, &records, 0, (uint8_t[8]){0}, cap), 0);
}

static void the_ring_is_found_again_when_it_is_full(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 2 * NVM_RECORD_COUNT; i++) {
        append(mnp_RecordKind_RECORD_CONFIG);
        assert_int_equal(records.newest, i);
        assert_int_equal(records.oldest, i <= NVM_RECORD_COUNT ? 1 : i - NVM_RECORD_COUNT + 1);
        if (i % 250 != 0 && i % 250 != 1)
            continue;
        memset(&records, 0xa5, sizeof(records));
        records_load(&memory.port, &records, 0);
        assert_int_equal(records.newest, i);
        assert_int_equal(records.oldest, i <= NVM_RECORD_COUNT ? 1 : i - NVM_RECORD_COUNT + 1);
        assert_int_equal(records.lost, 0);
    }
}

static void a_damaged_record_is_a_hole(void **state)
{
    uint32_t numbers[64];
    size_t count;

    (void)state;
    for (int i = 0; i < 4; i++)
        append(mnp_RecordKind_RECORD_CONFIG);
    damage(2);
    page(0, 500, numbers, &count);
    assert_int_equal(count, 3);
    assert_int_equal(numbers[1], 3);
    records_load(&memory.port, &records, 0);
    assert_int_equal(records.oldest, 3);
    damage(4);
    records_load(&memory.port, &records, 4); /* no number is given twice */
    assert_int_equal(records.newest, 4);
    append(mnp_RecordKind_RECORD_CONFIG);
    assert_int_equal(records.newest, 5);
}

static void a_memory_that_refuses_a_record_says_so(void **state)
{
    mnp_Record r = {.has_kind = true, .kind = mnp_RecordKind_RECORD_RUN_BEGUN};

    (void)state;
    append(mnp_RecordKind_RECORD_CONFIG);
    memory.refuses_writes = true;
    assert_false(records_append(&memory.port, &records, &r));
    assert_int_equal(records.lost, 1);
    assert_int_equal(records.newest, 1);
}

static void the_newest_run_is_looked_for_in_all_that_is_there(void **state)
{
    mnp_Record r = mnp_Record_init_zero;

    (void)state;
    assert_false(records_newest_run(&memory.port, &records, &r));
    append(mnp_RecordKind_RECORD_RUN_BEGUN);
    assert_true(records_newest_run(&memory.port, &records, &r)); /* the oldest is the newest */
    assert_int_equal(r.kind, mnp_RecordKind_RECORD_RUN_BEGUN);
    append(mnp_RecordKind_RECORD_CONFIG);
    assert_true(records_newest_run(&memory.port, &records, &r));
    assert_int_equal(r.number, 1);
    append(mnp_RecordKind_RECORD_RUN);
    append(mnp_RecordKind_RECORD_FAULT);
    assert_true(records_newest_run(&memory.port, &records, &r));
    assert_int_equal(r.number, 3);
    damage(4);
    assert_true(records_newest_run(&memory.port, &records, &r)); /* a hole behind it hides nothing */
    damage(3);
    damage(1);
    assert_false(records_newest_run(&memory.port, &records, &r));
    damage(1);
    records.oldest = 2; /* what is older is not there any more */
    assert_false(records_newest_run(&memory.port, &records, &r));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, memory_end)
    const struct CMUnitTest tests[] = {
        T(a_blob_that_was_damaged_is_the_one_before),
        T(the_newest_survives_the_loss_of_the_oldest_and_the_other_way_round),
        T(a_counter_that_wraps_is_newer),
        T(a_blob_of_another_length_is_damaged),
        T(settings_that_cannot_be_are_not_taken),
        T(the_largest_record_comes_back),
        T(a_page_says_what_there_is_and_has_what_fits),
        T(the_ring_is_found_again_when_it_is_full),
        T(a_damaged_record_is_a_hole),
        T(a_memory_that_refuses_a_record_says_so),
        T(the_newest_run_is_looked_for_in_all_that_is_there),
    };

    return cmocka_run_group_tests_name("nvm", tests, NULL, NULL);
}
