/* A telemetry batch from the pen's hand-written bytes, through the daemon's check, to the SDK's arrays; and what is no batch. */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#include "stream.h"
#include "telemetry.h"
#include "decode.h"

static struct rig rig;

static void every_batch_passes_the_check_and_gives_back_the_samples(void **state)
{
    uint64_t next = 0;
    size_t batches = 0;

    (void)state;
    rig_start(&rig);
    rig.keep_telemetry = true;
    rig_arm(&rig);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 5000);
    for (size_t i = 0; i < rig.count; i++) {
        const struct mn_frame *f = &rig.frames[i];
        ProtobufCBinaryData bytes = {.len = f->length, .data = rig.payloads[i]};
        struct batch_facts facts;
        struct mn_telemetry t;
        Mnp__TelemetryBatch *b;

        if (f->type != mnp_FrameType_TYPE_TELEMETRY)
            continue;
        assert_true(batch_check(f->payload, f->length, &facts));
        b = decode_telemetry(&t, "X", &bytes);
        assert_non_null(b);
        assert_int_equal(facts.samples, t.fast.count + t.slow.count);
        assert_int_equal(facts.boot_id, rig.v.pen.boot_id);
        if (next != 0)
            assert_int_equal(t.fast.first_seq, next);
        next = t.fast.first_seq + t.fast.count;
        for (size_t k = 0; k < t.fast.count; k++) {
            assert_in_range(t.fast.depth_um[k], 0, 700);
            assert_in_range(t.fast.stroke_rate_dhz[k], 0, 1100);
            assert_in_range(t.fast.motor_current_ma[k], 0, 1500);
        }
        if (t.slow.count > 0)
            assert_in_range(t.slow.battery_mv[0], 3300, 4300);
        assert_true(f->length <= t.fast.count * 9 + 100);
        batches++;
        mnp__telemetry_batch__free_unpacked(b, NULL);
    }
    assert_true(batches >= 100);
    rig_stop(&rig);
}

static size_t one_batch(uint8_t *out)
{
    size_t n = 0;

    rig_start(&rig);
    rig.keep_telemetry = true;
    rig_run(&rig, 200);
    for (size_t i = 0; i < rig.count; i++) {
        if (rig.frames[i].type == mnp_FrameType_TYPE_TELEMETRY) {
            n = rig.frames[i].length;
            memcpy(out, rig.payloads[i], n);
        }
    }
    rig_stop(&rig);
    assert_true(n > 100);
    return n;
}

/* What passes the check must decode: a client never meets a batch that it cannot read. */
static void no_damage_passes_the_check_and_then_fails_to_decode(void **state)
{
    uint8_t good[MN_FRAME_PAYLOAD_MAX], bytes[MN_FRAME_PAYLOAD_MAX];
    size_t n = one_batch(good), passed = 0, refused = 0;

    (void)state;
    if (n == 0)
        return; /* one_batch() has failed the test by then */
    srand(2);
    for (int i = 0; i < 20000; i++) {
        struct batch_facts facts;
        size_t length = rand() % 8 == 0 ? (size_t)rand() % n : n;

        memcpy(bytes, good, n);
        for (int k = rand() % 3; k >= 0; k--)
            bytes[(size_t)rand() % n] = (uint8_t)rand();
        if (batch_check(bytes, length, &facts)) {
            struct mn_telemetry t;
            ProtobufCBinaryData data = {.len = length, .data = bytes};
            Mnp__TelemetryBatch *b = decode_telemetry(&t, "X", &data);

            assert_non_null(b);
            mnp__telemetry_batch__free_unpacked(b, NULL);
            passed++;
        } else {
            refused++;
        }
    }
    assert_true(passed > 100 && refused > 100);
}

/* Every n-th sample, batch after batch, is that of the whole stream; slow samples are all there. */
static void check_decimation(uint32_t decimation)
{
    static int32_t depth_um[10000], whole_slow, slow;
    uint64_t next = 0;

    whole_slow = slow = 0;
    for (size_t i = 0; i < rig.count; i++) {
        ProtobufCBinaryData bytes = {.len = rig.frames[i].length, .data = rig.payloads[i]};
        uint8_t fewer[BATCH_DECIMATED_MAX];
        struct batch_facts facts;
        struct mn_telemetry t;
        Mnp__TelemetryBatch *b;

        if (rig.frames[i].type != mnp_FrameType_TYPE_TELEMETRY)
            continue;
        b = decode_telemetry(&t, "X", &bytes);
        assert_non_null(b);
        assert_true(t.fast.first_seq + t.fast.count <= 10000);
        memcpy(depth_um + t.fast.first_seq, t.fast.depth_um, t.fast.count * sizeof(depth_um[0]));
        whole_slow += (int)t.slow.count;
        mnp__telemetry_batch__free_unpacked(b, NULL);
        bytes = (ProtobufCBinaryData){.len = batch_decimate(bytes.data, bytes.len, decimation, fewer, sizeof(fewer)), .data = fewer};
        if (bytes.len == 0)
            continue;
        assert_true(batch_check(bytes.data, bytes.len, &facts));
        b = decode_telemetry(&t, "X", &bytes);
        assert_non_null(b);
        slow += (int)t.slow.count;
        for (size_t k = 0; k < t.fast.count; k++) {
            uint64_t number = t.fast.first_seq + k * decimation;

            assert_int_equal(number % decimation, 0);
            assert_true(next == 0 || number == next);
            next = number + decimation;
            assert_int_equal(t.fast.depth_um[k], depth_um[number]);
            assert_int_equal((t.fast.t0_us + k * t.fast.period_us) / 1000, number + 1); /* the first tick is the first millisecond */
        }
        mnp__telemetry_batch__free_unpacked(b, NULL);
    }
    assert_true(next > 4000);
    assert_int_equal(slow, whole_slow);
}

static void a_decimated_batch_has_every_nth_sample_of_the_stream(void **state)
{
    (void)state;
    rig_start(&rig);
    rig.keep_telemetry = true;
    rig_arm(&rig);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 6000);
    for (uint32_t decimation = 2; decimation <= 1000; decimation = decimation < 20 ? decimation + 1 : decimation * 5)
        check_decimation(decimation);
    rig_stop(&rig);
}

/* Varints of 1 to 5 bytes, at every place in a word of eight. */
static void a_column_is_counted_whatever_the_length_of_its_varints(void **state)
{
    static const uint8_t head[] = {8, 9, 0x32}; /* boot_id 9; fast: */
    uint8_t batch[400];

    (void)state;
    for (unsigned length = 1; length <= 6; length++) {
        for (unsigned count = 1; count < 10; count++) {
            uint8_t *p = batch + 5;
            struct batch_facts facts;

            *p++ = 4 << 3;
            *p++ = (uint8_t)count;
            for (unsigned column = 5; column < 11; column++) {
                *p++ = (uint8_t)(column << 3 | 2);
                *p++ = (uint8_t)(count - 1 + length);
                memset(p, 1, count - 1);
                p += count - 1;
                memset(p, 0x80, length - 1);
                p += length - 1;
                *p++ = 1;
            }
            memcpy(batch, head, 3);
            batch[3] = (uint8_t)((p - batch - 5) | 0x80);
            batch[4] = (uint8_t)((p - batch - 5) >> 7);
            assert_int_equal(batch_check(batch, (size_t)(p - batch), &facts), length <= 5);
            p[-1] = 0x80; /* a column that ends in the middle of one */
            assert_false(batch_check(batch, (size_t)(p - batch), &facts));
        }
    }
}

static void an_empty_batch_is_one(void **state)
{
    struct batch_facts facts;

    (void)state;
    assert_true(batch_check(NULL, 0, &facts));
    assert_int_equal(facts.samples, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_batch_passes_the_check_and_gives_back_the_samples),
        cmocka_unit_test(no_damage_passes_the_check_and_then_fails_to_decode),
        cmocka_unit_test(a_decimated_batch_has_every_nth_sample_of_the_stream),
        cmocka_unit_test(a_column_is_counted_whatever_the_length_of_its_varints),
        cmocka_unit_test(an_empty_batch_is_one),
    };

    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
