#include "batch.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
enum { TAG_BOOT_ID = 1, TAG_DROPPED = 5, TAG_FAST = 6, TAG_SLOW = 7 };       /* TelemetryBatch */
enum { TAG_T0_US = 2, TAG_COUNT = 4, TAG_FIRST_COLUMN = 5, FAST_COLUMNS = 6, SLOW_COLUMNS = 12, COUNT_MAX = 4096 }; /* FastGroup, SlowGroup */

struct cursor {
    const uint8_t *p, *end;
};

enum { VARINT_MAX = 10, KEY_MAX = 5 }; /* bytes; decoders take no longer keys and lengths, whatever their value */

static bool get_varint(struct cursor *c, unsigned bytes_max, uint64_t *out)
{
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
static bool get_field(struct cursor *c, uint64_t *number, unsigned *wire, uint64_t *value, struct cursor *content)
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
    *content = (struct cursor){c->p, c->p + length};
    c->p += length;
    return true;
}

/* Varints in a packed column: bytes without the continuation bit; none may be longer than a 32-bit delta needs. */
static bool count_varints(struct cursor c, uint64_t *count)
{
    unsigned length = 0;

    for (*count = 0; c.p != c.end; c.p++) {
        if (++length > 5)
            return false;
        if (*c.p < 0x80) {
            ++*count;
            length = 0;
        }
    }
    return length == 0;
}

/* Every column there, once, with as many values as count says: what a decoder will want. */
static bool check_group(struct cursor c, unsigned columns, struct batch_facts *facts)
{
    uint64_t number, value = 0, count = 0, length = 0;
    uint32_t seen = 0;
    struct cursor content;
    unsigned wire;

    while (c.p != c.end) {
        if (!get_field(&c, &number, &wire, &value, &content) || (number < TAG_FIRST_COLUMN && wire != WIRE_VARINT))
            return false;
        if (number == TAG_COUNT)
            count = value;
        else if (number == TAG_T0_US && value > facts->t_us)
            facts->t_us = value;
        if (number < TAG_FIRST_COLUMN || number >= TAG_FIRST_COLUMN + columns)
            continue; /* a head field, or a column of a later minor */
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
    struct cursor c = {bytes, bytes + n}, content;
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
