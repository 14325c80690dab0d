/*
 * What one fast sample costs on its way: written by the pen, checked by the daemon, taken apart by the SDK; beside a message for each sample, a
 * whole unpack of the same batches, and a bare copy of their bytes. 10 s of a running pen, again and again for a second. One JSON object a line.
 */
#include "rig.h"

#include <pb_encode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry.h"
#include "decode.h"
#include "measure.h"
#include "sample.pb-c.h"
#include "sample.pb.h"

enum { SAMPLES_MAX = 20000, BATCHES_MAX = 400, SECOND_NS = 1000000000 };

static struct rig rig;
static struct sample {
    uint64_t seq, t_us;
    int32_t depth_um, rate_dhz, current_ma, duty_permille, load_permille, skin_contact;
} samples[SAMPLES_MAX];
static size_t sample_count, batch_count, byte_count, fast_byte_count;
static struct telemetry_payload batches[BATCHES_MAX];
static volatile uint64_t sink; /* what is computed is used */

static void take(const uint8_t *bytes, size_t n)
{
    ProtobufCBinaryData data = {.len = n, .data = (uint8_t *)(uintptr_t)bytes};
    Mnp__TelemetryBatch *b = mnp__telemetry_batch__unpack(NULL, n, bytes);
    struct mn_telemetry t;

    assert_true(b != NULL && b->fast != NULL);
    fast_byte_count += 3 + mnp__fast_group__get_packed_size(b->fast); /* key and length before it */
    mnp__telemetry_batch__free_unpacked(b, NULL);
    b = decode_telemetry(&t, "X", &data);
    assert_non_null(b);
    assert_true(sample_count + t.fast.count <= SAMPLES_MAX && batch_count < BATCHES_MAX && n <= TELEMETRY_PAYLOAD_CAP);
    for (size_t i = 0; i < t.fast.count; i++)
        samples[sample_count++] = (struct sample){t.fast.first_seq + i, t.fast.t0_us + i * t.fast.period_us, t.fast.depth_um[i], t.fast.stroke_rate_dhz[i],
                                                  t.fast.motor_current_ma[i], t.fast.motor_duty_permille[i], t.fast.load_permille[i], t.fast.skin_contact[i]};
    memcpy(batches[batch_count].bytes, bytes, n);
    batches[batch_count++].length = (uint16_t)n;
    byte_count += n;
    mnp__telemetry_batch__free_unpacked(b, NULL);
}

static void record(void)
{
    rig_start(&rig);
    rig.keep_telemetry = true;
    rig_arm(&rig);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 10000);
    for (size_t i = 0; i < rig.count; i++) {
        if (rig.frames[i].type == mnp_FrameType_TYPE_TELEMETRY)
            take(rig.payloads[i], rig.frames[i].length);
    }
    rig_stop(&rig);
}

/* ---- what is measured: all samples once ---- */

static void copy_bytes(void)
{
    static uint8_t out[TELEMETRY_PAYLOAD_CAP];

    for (size_t i = 0; i < batch_count; i++) {
        memcpy(out, batches[i].bytes, batches[i].length);
        sink += out[batches[i].length / 2];
    }
}

static void pen_writes(void)
{
    static struct telemetry t;
    static uint64_t now_ms;
    struct telemetry_facts facts = {.boot_id = 1, .state = mnp_State_STATE_RUNNING, .depth_set_um = 500, .rate_set_dhz = 1000};

    t.batch_ms = MN_BATCH_MS;
    telemetry_rates(&t, 1000, 10, &facts);
    for (size_t i = 0; i < sample_count; i++) {
        const struct sample *s = &samples[i];
        struct pen_sensors in = {.depth_um = s->depth_um, .rate_dhz = s->rate_dhz, .motor_current_ma = s->current_ma, .battery_mv = 3900};

        facts.duty_permille = s->duty_permille;
        facts.load_permille = s->load_permille;
        facts.skin_contact = s->skin_contact != 0;
        telemetry_step(&t, ++now_ms, &in, &facts);
        if (telemetry_peek(&t) != NULL) {
            sink += telemetry_peek(&t)->length;
            telemetry_pop(&t);
        }
    }
}

static void daemon_checks(void)
{
    struct batch_facts facts;

    for (size_t i = 0; i < batch_count; i++)
        sink += batch_check(batches[i].bytes, batches[i].length, &facts);
}

static void sdk_decodes(void)
{
    for (size_t i = 0; i < batch_count; i++) {
        ProtobufCBinaryData data = {.len = batches[i].length, .data = batches[i].bytes};
        struct mn_telemetry t;
        Mnp__TelemetryBatch *b = decode_telemetry(&t, "X", &data);

        sink += (uint64_t)t.fast.depth_um[0];
        mnp__telemetry_batch__free_unpacked(b, NULL);
    }
}

static void whole_unpack(void)
{
    for (size_t i = 0; i < batch_count; i++) {
        Mnp__TelemetryBatch *b = mnp__telemetry_batch__unpack(NULL, batches[i].length, batches[i].bytes);

        sink += b->fast->n_depth_um;
        mnp__telemetry_batch__free_unpacked(b, NULL);
    }
}

static size_t write_sample(const struct sample *s, uint8_t *out, size_t cap)
{
    bench_Sample m = {true, s->seq, true, s->t_us, true, s->depth_um, true, s->rate_dhz, true, s->current_ma, true, s->duty_permille, true, s->load_permille,
                      true, s->skin_contact};
    pb_ostream_t stream = pb_ostream_from_buffer(out, cap);

    assert_true(pb_encode(&stream, bench_Sample_fields, &m));
    return stream.bytes_written;
}

static void message_written(void)
{
    uint8_t bytes[bench_Sample_size];

    for (size_t i = 0; i < sample_count; i++)
        sink += write_sample(&samples[i], bytes, sizeof(bytes));
}

static uint8_t (*messages)[bench_Sample_size];
static uint8_t *message_lengths;

static void message_unpacked(void)
{
    for (size_t i = 0; i < sample_count; i++) {
        Bench__Sample *m = bench__sample__unpack(NULL, message_lengths[i], messages[i]);

        sink += (uint64_t)m->depth_um;
        bench__sample__free_unpacked(m, NULL);
    }
}

static double ns_per_sample(void (*all)(void))
{
    uint64_t began = now_ns(), end;
    size_t rounds = 0;

    do {
        all();
        rounds++;
    } while ((end = now_ns()) - began < SECOND_NS);
    return (double)(end - began) / (double)(rounds * sample_count);
}

static void bench_codec(void **state)
{
    static const struct {
        const char *what;
        void (*all)(void);
    } cases[] = {{"copy of the bytes", copy_bytes}, {"the pen writes batches", pen_writes}, {"the daemon checks them", daemon_checks},
                 {"the SDK decodes them", sdk_decodes}, {"a whole unpack of them", whole_unpack}, {"nanopb writes a message per sample", message_written},
                 {"protobuf-c unpacks a message per sample", message_unpacked}};
    size_t message_bytes = 0;

    (void)state;
    record();
    messages = calloc(sample_count, sizeof(*messages));
    message_lengths = calloc(sample_count, 1);
    if (messages == NULL || message_lengths == NULL)
        exit(1);
    for (size_t i = 0; i < sample_count; i++)
        message_bytes += message_lengths[i] = (uint8_t)write_sample(&samples[i], messages[i], sizeof(messages[i]));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        printf("{\"bench\": \"codec\", \"of\": {\"what\": \"%s\"}, \"ns_per_sample\": %.2f, \"bytes_per_sample\": %.2f, \"of_them_fast_group\": %.2f}\n", cases[i].what, ns_per_sample(cases[i].all),
               (double)(i < 5 ? byte_count : message_bytes) / (double)sample_count, (double)(i < 5 ? fast_byte_count : message_bytes) / (double)sample_count);
    free(messages);
    free(message_lengths);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench_codec)};

    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
