#include "stream.h"
#include "telemetry.h"

#include <string.h>

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
enum { TAG_BOOT_ID = 1, TAG_DROPPED = 5, TAG_FAST = 6, TAG_SLOW = 7 };       /* TelemetryBatch */
enum { TAG_FIRST_SEQ = 1, TAG_T0_US = 2, TAG_PERIOD_US = 3, TAG_COUNT = 4, TAG_FIRST_COLUMN = 5, FAST_COLUMNS = 6, SLOW_COLUMNS = 12, COUNT_MAX = 4096 }; /* FastGroup, SlowGroup */

struct scan {
    const uint8_t *p, *end;
};

enum { VARINT_MAX = 10, KEY_MAX = 5 }; /* bytes; decoders reject longer keys and lengths, whatever their value */

__attribute__((always_inline)) static inline bool get_varint(struct scan *c, unsigned bytes_max, uint64_t *out)
{
    if (c->p != c->end && *c->p < 0x80) { /* the usual case */
        *out = *c->p++;
        return true;
    }
    *out = 0;
    for (unsigned shift = 0; shift < 7 * bytes_max; shift += 7) {
        uint8_t byte;

        if (c->p == c->end)
            return false;
        byte = *c->p++;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* One field: its number, wire type, and value (varint) or content (bytes). */
__attribute__((always_inline)) static inline bool get_field(struct scan *c, uint64_t *number, unsigned *wire, uint64_t *value, struct scan *content)
{
    uint64_t key, length;

    if (!get_varint(c, KEY_MAX, &key) || key > UINT32_MAX)
        return false;
    *number = key >> 3;
    *wire = key & 7;
    if (*wire == WIRE_VARINT)
        return *number != 0 && get_varint(c, VARINT_MAX, value);
    if (*wire == WIRE_FIXED64 || *wire == WIRE_FIXED32)
        length = *wire == WIRE_FIXED64 ? 8 : 4;
    else if (*wire != WIRE_BYTES || !get_varint(c, KEY_MAX, &length))
        return false;
    if (*number == 0 || length > (uint64_t)(c->end - c->p))
        return false;
    *content = (struct scan){c->p, c->p + length};
    c->p += length;
    return true;
}

typedef int8_t lanes __attribute__((vector_size(16))); /* sixteen bytes at once; a byte below 0 does not end its varint */

static lanes load(const uint8_t *p)
{
    lanes v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t sum(lanes counts)
{
    const uint64_t mask = UINT64_C(0x00ff00ff00ff00ff);
    uint64_t v[2];

    memcpy(v, &counts, sizeof(v));
    return (((v[0] & mask) + (v[0] >> 8 & mask) + (v[1] & mask) + (v[1] >> 8 & mask)) * UINT64_C(0x0001000100010001)) >> 48;
}

static bool any_below_0(lanes v)
{
    uint64_t words[2];

    memcpy(words, &v, sizeof(words));
    return ((words[0] | words[1]) & UINT64_C(0x8080808080808080)) != 0;
}

/* No varint is longer than a 32-bit delta needs, five bytes; and the last one ends. */
static bool count_one_by_one(struct scan c, uint64_t *count)
{
    unsigned length = 0;

    for (*count = 0; c.p != c.end && length < 5; c.p++) {
        length = *c.p < 0x80 ? 0 : length + 1;
        *count += length == 0;
    }
    return length == 0;
}

/* Varints in a packed column. Those of one and two bytes are all there is as a rule, and only where two bytes in a row do not end theirs each is
 * looked at. There is a byte before the column that ends a varint: its length. */
static bool count_varints(struct scan c, uint64_t *count)
{
    static const lanes numbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const lanes none = {0};
    lanes ends = none, longer = none;
    const uint8_t *p = c.p;

    if (c.end - p < 16)
        return count_one_by_one(c, count);
    for (; c.end - p >= 16; p += 16) { /* at most 62 iterations (a frame's length), so no lane overflows */
        ends -= load(p) >= none;
        longer |= load(p) & load(p - 1);
    }
    if (p != c.end) { /* the last sixteen bytes, without those counted already */
        lanes fresh = numbers >= none + (int8_t)(16 - (c.end - p));

        ends -= (load(c.end - 16) >= none) & fresh;
        longer |= load(c.end - 16) & load(c.end - 17);
    }
    if (any_below_0(longer))
        return count_one_by_one(c, count);
    *count = sum(ends);
    return c.end[-1] < 0x80;
}

/* Checks that every column occurs once and has count values, as a decoder requires. */
static bool check_group(struct scan c, unsigned columns, struct batch_facts *facts)
{
    uint64_t number, value = 0, count = 0, length = 0;
    uint32_t seen = 0;
    struct scan content;
    unsigned wire;

    while (c.p != c.end) {
        if (!get_field(&c, &number, &wire, &value, &content) || (number < TAG_FIRST_COLUMN && wire != WIRE_VARINT))
            return false;
        if (number == TAG_COUNT)
            count = value;
        else if (number == TAG_T0_US && value > facts->t_us)
            facts->t_us = value;
        if (number < TAG_FIRST_COLUMN || number >= TAG_FIRST_COLUMN + columns)
            continue; /* a scalar field, or a column of a later minor */
        if (wire != WIRE_BYTES || !count_varints(content, &value) || (seen != 0 && value != length) ||
            (seen >> (number - TAG_FIRST_COLUMN) & 1) != 0)
            return false;
        seen |= UINT32_C(1) << (number - TAG_FIRST_COLUMN);
        length = value;
    }
    facts->samples += (uint32_t)count;
    return count == length && count < COUNT_MAX && (count == 0 || seen == (UINT32_C(1) << columns) - 1);
}

bool batch_check(const uint8_t *bytes, size_t n, struct batch_facts *facts)
{
    struct scan c = {bytes, bytes + n}, content;
    bool groups[2] = {false, false};
    uint64_t number, value = 0;
    unsigned wire;

    *facts = (struct batch_facts){0};
    while (c.p != c.end) {
        if (!get_field(&c, &number, &wire, &value, &content) || (number < TAG_FAST && wire != WIRE_VARINT))
            return false;
        if (number == TAG_BOOT_ID)
            facts->boot_id = (uint32_t)value;
        else if (number == TAG_DROPPED)
            facts->dropped = (uint32_t)value;
        if (number != TAG_FAST && number != TAG_SLOW)
            continue;
        if (wire != WIRE_BYTES || groups[number - TAG_FAST] || /* two of a kind would be merged by a decoder */
            !check_group(content, number == TAG_FAST ? FAST_COLUMNS : SLOW_COLUMNS, facts))
            return false;
        groups[number - TAG_FAST] = true;
    }
    return true;
}

/* ---- fewer samples ---- */

struct writer {
    uint8_t *p, *end;
    bool full;
};

static void put_varint(struct writer *w, uint64_t v)
{
    for (;; v >>= 7) {
        if (w->p == w->end) {
            w->full = true;
            return;
        }
        *w->p++ = (uint8_t)(v >= 0x80 ? v | 0x80 : v);
        if (v < 0x80)
            return;
    }
}

static void put_bytes(struct writer *w, const uint8_t *bytes, size_t n)
{
    if ((size_t)(w->end - w->p) < n) {
        w->full = true;
        return;
    }
    memcpy(w->p, bytes, n);
    w->p += n;
}

static void put_field(struct writer *w, uint32_t number, uint64_t v)
{
    put_varint(w, number << 3 | WIRE_VARINT);
    put_varint(w, v);
}

/* Content is written behind a length of two bytes, which is known afterwards: a varint may have a byte more than it needs. */
static uint8_t *open_content(struct writer *w, uint32_t number)
{
    uint8_t *length;

    put_varint(w, number << 3 | WIRE_BYTES);
    length = w->p;
    put_bytes(w, (const uint8_t[]){0, 0}, 2);
    return length;
}

static void close_content(struct writer *w, uint8_t *length)
{
    size_t n;

    if (w->full)
        return;
    n = (size_t)(w->p - length - 2);
    length[0] = (uint8_t)(n | 0x80);
    length[1] = (uint8_t)(n >> 7);
}

struct thinning {
    uint64_t skip, step, count; /* samples to keep: count of them, every step-th from the skip-th on */
};

/* Writes the deltas between the samples that are kept. */
static void thin_column(struct writer *w, uint32_t number, struct scan c, const struct thinning *t)
{
    uint8_t *length = open_content(w, number);
    uint32_t value = 0, last = 0;
    uint64_t next = t->skip, zigzag, left = t->count;

    for (uint64_t i = 0; left > 0 && get_varint(&c, VARINT_MAX, &zigzag); i++) {
        uint32_t delta;

        value += (uint32_t)(zigzag >> 1) ^ (uint32_t)-(zigzag & 1);
        if (i != next)
            continue;
        delta = value - last;
        put_varint(w, delta << 1 ^ (delta >> 31 != 0 ? UINT32_MAX : 0));
        last = value;
        next += t->step;
        left--;
    }
    close_content(w, length);
}

/* False if no sample of the group is kept. */
static bool thin_group(struct writer *w, struct scan c, uint32_t decimation)
{
    uint64_t head[TAG_FIRST_COLUMN] = {0}, number, value = 0;
    struct scan content = {0}, begin = c;
    struct thinning t = {.step = decimation};
    uint8_t *length;
    unsigned wire;

    while (c.p != c.end && get_field(&c, &number, &wire, &value, &content)) {
        if (number < TAG_FIRST_COLUMN)
            head[number] = value;
    }
    t.skip = (decimation - head[TAG_FIRST_SEQ] % decimation) % decimation;
    if (t.skip >= head[TAG_COUNT])
        return false;
    t.count = (head[TAG_COUNT] - t.skip - 1) / decimation + 1;
    length = open_content(w, TAG_FAST);
    put_field(w, TAG_FIRST_SEQ, head[TAG_FIRST_SEQ] + t.skip);
    put_field(w, TAG_T0_US, head[TAG_T0_US] + t.skip * head[TAG_PERIOD_US]);
    put_field(w, TAG_PERIOD_US, head[TAG_PERIOD_US] * decimation);
    put_field(w, TAG_COUNT, t.count);
    for (c = begin; c.p != c.end && get_field(&c, &number, &wire, &value, &content);) {
        if (number >= TAG_FIRST_COLUMN && number < TAG_FIRST_COLUMN + FAST_COLUMNS)
            thin_column(w, (uint32_t)number, content, &t);
    }
    close_content(w, length);
    return true;
}

size_t batch_decimate(const uint8_t *batch, size_t n, uint32_t decimation, uint8_t *out, size_t cap)
{
    struct scan c = {batch, batch + n}, content = {0};
    struct writer w = {.p = out, .end = out + cap};
    bool any = false;

    while (c.p != c.end) {
        const uint8_t *field = c.p;
        uint64_t number, value;
        unsigned wire;

        if (!get_field(&c, &number, &wire, &value, &content))
            return 0;
        if (number == TAG_FAST) {
            any |= thin_group(&w, content, decimation);
            continue;
        }
        any |= number == TAG_SLOW;
        put_bytes(&w, field, (size_t)(c.p - field));
    }
    return any && !w.full ? (size_t)(w.p - out) : 0;
}
