#include "telemetry.h"

#include <assert.h>
#include <string.h>

#include "frame.h"

/* Field numbers of pen.proto's TelemetryBatch, FastGroup and SlowGroup. */
enum {
    TAG_BOOT_ID = 1,
    TAG_STATE = 2,
    TAG_FAULT_WORD = 3,
    TAG_STROKES = 4,
    TAG_DROPPED = 5,
    TAG_FAST = 6,
    TAG_SLOW = 7,
    TAG_FIRST_SEQ = 1,
    TAG_T0 = 2,
    TAG_PERIOD = 3,
    TAG_COUNT = 4,
    TAG_COLUMNS = 5,
    WIRE_VARINT = 0,
    WIRE_BYTES = 2,
};

/* Sizes that bound a payload: tag and varint of each head field, tag and two-byte length of each column. */
enum { HEAD_MAX = 5 * 6, GROUP_HEAD_MAX = 4 + 2 * 11 + 2 * 6, COLUMN_HEAD_MAX = 3 };
static_assert(HEAD_MAX + 2 * GROUP_HEAD_MAX + TELEMETRY_FAST_COLUMNS * (COLUMN_HEAD_MAX + TELEMETRY_COLUMN_CAP) +
                      TELEMETRY_SLOW_COLUMNS * (COLUMN_HEAD_MAX + TELEMETRY_SLOW_CAP) <=
                  TELEMETRY_PAYLOAD_CAP,
              "the largest batch fits its payload");
static_assert(TELEMETRY_PAYLOAD_CAP <= MN_FRAME_PAYLOAD_MAX, "a payload fits a frame");

static uint8_t *put_varint(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static uint8_t *put_field(uint8_t *p, uint32_t tag, uint64_t v)
{
    return put_varint(put_varint(p, tag << 3 | WIRE_VARINT), v);
}

/* Values are held to +-4095, so that a difference of two is within +-8191: two bytes of zigzag varint. All signals fit but
 * battery_mv and the rails, which have columns of their own bound (put_wide). */
static int32_t narrow(int32_t v)
{
    return v < -4095 ? -4095 : v > 4095 ? 4095 : v;
}

static int32_t wide(int32_t v)
{
    return v < -32767 ? -32767 : v > 32767 ? 32767 : v;
}

static void put_delta(struct telemetry_column *c, uint8_t *bytes, int32_t v)
{
    int32_t delta = v - c->last;
    uint32_t zigzag = (uint32_t)delta << 1 ^ (delta < 0 ? UINT32_MAX : 0);

    c->length = (uint16_t)(put_varint(bytes + c->length, zigzag) - bytes);
    c->last = v;
}

static uint8_t *put_columns(uint8_t *p, const struct telemetry_column *columns, size_t n, const uint8_t *bytes, size_t cap)
{
    for (size_t i = 0; i < n; i++) {
        p = put_varint(p, (uint32_t)(TAG_COLUMNS + i) << 3 | WIRE_BYTES);
        p = put_varint(p, columns[i].length);
        memcpy(p, bytes + i * cap, columns[i].length);
        p += columns[i].length;
    }
    return p;
}

/* A group is a message in a message: it is written behind a two-byte length, filled in afterwards. */
static uint8_t *put_group(uint8_t *p, uint32_t tag, const struct telemetry_group *g, const struct telemetry_column *columns,
                          size_t n, const uint8_t *bytes, size_t cap)
{
    uint8_t *length, *begin;
    size_t size;

    p = put_varint(p, tag << 3 | WIRE_BYTES);
    length = p;
    begin = p += 2;
    p = put_field(p, TAG_FIRST_SEQ, g->first_seq);
    p = put_field(p, TAG_T0, g->t0_us);
    p = put_field(p, TAG_PERIOD, g->period_ms * 1000);
    p = put_field(p, TAG_COUNT, g->count);
    p = put_columns(p, columns, n, bytes, cap);
    size = (size_t)(p - begin);
    length[0] = (uint8_t)((size & 0x7f) | 0x80);
    length[1] = (uint8_t)(size >> 7);
    return p;
}

static struct telemetry_payload *ring_claim(struct telemetry *t)
{
    if (t->fill == TELEMETRY_RING) {
        t->dropped += t->ring[t->head].samples;
        telemetry_pop(t);
    }
    return &t->ring[(t->head + t->fill++) % TELEMETRY_RING];
}

static void group_open(struct telemetry_group *g, struct telemetry_column *columns, size_t n)
{
    g->count = 0;
    memset(columns, 0, n * sizeof(*columns));
}

static void batch_close(struct telemetry *t, const struct telemetry_facts *f)
{
    struct telemetry_payload *payload;
    uint8_t *p;

    if (t->fast.count == 0 && t->slow.count == 0)
        return;
    payload = ring_claim(t);
    p = payload->bytes;
    p = put_field(p, TAG_BOOT_ID, f->boot_id);
    p = put_field(p, TAG_STATE, (uint32_t)f->state);
    p = put_field(p, TAG_FAULT_WORD, f->fault_word);
    p = put_field(p, TAG_STROKES, f->strokes_session);
    p = put_field(p, TAG_DROPPED, t->dropped);
    if (t->fast.count != 0)
        p = put_group(p, TAG_FAST, &t->fast, t->fast_columns, TELEMETRY_FAST_COLUMNS, t->fast_bytes[0],
                      TELEMETRY_COLUMN_CAP);
    if (t->slow.count != 0)
        p = put_group(p, TAG_SLOW, &t->slow, t->slow_columns, TELEMETRY_SLOW_COLUMNS, t->slow_bytes[0],
                      TELEMETRY_SLOW_CAP);
    payload->length = (uint16_t)(p - payload->bytes);
    payload->samples = (uint16_t)(t->fast.count + t->slow.count);
    group_open(&t->fast, t->fast_columns, TELEMETRY_FAST_COLUMNS);
    group_open(&t->slow, t->slow_columns, TELEMETRY_SLOW_COLUMNS);
}

/* Returns true, and counts it, if the group has a sample in this tick. */
static bool group_due(struct telemetry_group *g, uint64_t now_ms)
{
    if (g->period_ms == 0 || now_ms % g->period_ms != 0)
        return false;
    if (g->count == 0) {
        g->first_seq = g->next_seq;
        g->t0_us = now_ms * 1000;
    }
    g->next_seq++;
    g->count++;
    return true;
}

static void sample_fast(struct telemetry *t, const struct pen_sensors *in, const struct telemetry_facts *f)
{
    const int32_t values[TELEMETRY_FAST_COLUMNS] = {in->depth_um,     in->rate_dhz,     in->motor_current_ma,
                                                    f->duty_permille, f->load_permille, f->skin_contact};

    for (size_t i = 0; i < TELEMETRY_FAST_COLUMNS; i++)
        put_delta(&t->fast_columns[i], t->fast_bytes[i], narrow(values[i]));
}

static void sample_slow(struct telemetry *t, const struct pen_sensors *in, const struct telemetry_facts *f)
{
    const int32_t values[TELEMETRY_SLOW_COLUMNS] = {
        f->depth_set_um,  f->rate_set_dhz, in->motor_temp_dc,   in->grip_temp_dc,   in->battery_temp_dc, in->battery_mv,
        in->battery_ma,   in->battery_soc_pct, in->battery_cycles, in->vbus_mv,     in->motor_rail_mv,   in->logic_rail_mv,
    };

    for (size_t i = 0; i < TELEMETRY_SLOW_COLUMNS; i++)
        put_delta(&t->slow_columns[i], t->slow_bytes[i], wide(values[i]));
}

void telemetry_rates(struct telemetry *t, uint32_t fast_hz, uint32_t slow_hz, const struct telemetry_facts *f)
{
    uint32_t fast_ms = fast_hz ? 1000 / fast_hz : 0, slow_ms = slow_hz ? 1000 / slow_hz : 0;

    if (t->fast.period_ms == fast_ms && t->slow.period_ms == slow_ms)
        return;
    batch_close(t, f);
    t->fast.period_ms = fast_ms;
    t->slow.period_ms = slow_ms;
}

void telemetry_step(struct telemetry *t, uint64_t now_ms, const struct pen_sensors *in, const struct telemetry_facts *f)
{
    if (group_due(&t->fast, now_ms))
        sample_fast(t, in, f);
    if (group_due(&t->slow, now_ms))
        sample_slow(t, in, f);
    if (now_ms - t->batch_began_ms >= t->batch_ms || t->fast.count == MN_BATCH_MS) {
        batch_close(t, f);
        t->batch_began_ms = now_ms;
    }
}

const struct telemetry_payload *telemetry_peek(const struct telemetry *t)
{
    return t->fill != 0 ? &t->ring[t->head] : NULL;
}

void telemetry_pop(struct telemetry *t)
{
    if (t->fill == 0)
        return;
    t->head = (uint8_t)((t->head + 1) % TELEMETRY_RING);
    t->fill--;
}
