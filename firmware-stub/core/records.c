#include "records.h"

#include <assert.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

#include "frame.h"
#include "nvm.h"

enum { AT_NUMBER = 0, AT_LENGTH = 4, AT_BYTES = 5, AT_CRC = NVM_RECORD_SIZE - 4 };

static_assert(AT_BYTES + mnp_Record_size <= AT_CRC, "the largest record fits its slot");

static uint32_t slot_offset(uint32_t number)
{
    return NVM_RECORDS + (number - 1) % NVM_RECORD_COUNT * NVM_RECORD_SIZE;
}

/* The number of the record in the slot; 0 if there is none. */
static uint32_t slot_read(const struct pen_port *port, uint32_t offset, uint8_t slot[NVM_RECORD_SIZE])
{
    if (!port->nvm_read(port->ctx, offset, slot, NVM_RECORD_SIZE))
        return 0;
    if (slot[AT_LENGTH] > mnp_Record_size || mn_get_u32(slot + AT_CRC) != mn_crc32c(slot, AT_CRC))
        return 0;
    return mn_get_u32(slot + AT_NUMBER);
}

void records_load(const struct pen_port *port, struct records *r, uint32_t acked)
{
    uint8_t slot[NVM_RECORD_SIZE];

    memset(r, 0, sizeof(*r));
    r->acked = acked;
    for (uint32_t i = 1; i <= NVM_RECORD_COUNT; i++) {
        uint32_t number = slot_read(port, slot_offset(i), slot);

        if (number > r->newest)
            r->newest = number;
    }
    if (r->newest < acked) /* all that was left has been acknowledged and damaged since: never use a number twice */
        r->newest = acked;
    r->oldest = r->newest;
    while (r->oldest > 1 && r->newest - r->oldest + 1 < NVM_RECORD_COUNT &&
           slot_read(port, slot_offset(r->oldest - 1), slot) == r->oldest - 1)
        r->oldest--;
}

bool records_append(const struct pen_port *port, struct records *r, mnp_Record *record)
{
    uint8_t slot[NVM_RECORD_SIZE] = {0};
    uint32_t number = r->newest + 1;
    pb_ostream_t stream = pb_ostream_from_buffer(slot + AT_BYTES, mnp_Record_size);

    record->has_number = true;
    record->number = number;
    if (!pb_encode(&stream, mnp_Record_fields, record)) {
        r->lost++;
        return false;
    }
    mn_put_u32(slot + AT_NUMBER, number);
    slot[AT_LENGTH] = (uint8_t)stream.bytes_written;
    mn_put_u32(slot + AT_CRC, mn_crc32c(slot, AT_CRC));
    if (!port->nvm_write(port->ctx, slot_offset(number), slot, sizeof(slot))) {
        r->lost++;
        return false;
    }
    r->newest = number;
    if (r->oldest == 0)
        r->oldest = number;
    if (r->newest - r->oldest + 1 > NVM_RECORD_COUNT)
        r->oldest++;
    return true;
}

bool records_newest_run(const struct pen_port *port, const struct records *r, mnp_Record *out)
{
    uint8_t slot[NVM_RECORD_SIZE];

    for (uint32_t number = r->newest; number != 0 && number >= r->oldest; number--) {
        pb_istream_t stream;

        if (slot_read(port, slot_offset(number), slot) != number)
            continue;
        stream = pb_istream_from_buffer(slot + AT_BYTES, slot[AT_LENGTH]);
        if (pb_decode(&stream, mnp_Record_fields, out) &&
            (out->kind == mnp_RecordKind_RECORD_RUN || out->kind == mnp_RecordKind_RECORD_RUN_BEGUN))
            return true;
    }
    return false;
}

static bool put_field(pb_ostream_t *stream, uint32_t tag, uint32_t value)
{
    return pb_encode_tag(stream, PB_WT_VARINT, tag) && pb_encode_varint(stream, value);
}

size_t records_page(const struct pen_port *port, const struct records *r, uint32_t from, uint8_t *out, size_t cap)
{
    enum { TAG_RECORD = 1, TAG_OLDEST = 2, TAG_NEWEST = 3, TAG_ACKED = 4, RECORD_HEAD_MAX = 2 };
    pb_ostream_t stream = pb_ostream_from_buffer(out, cap);
    uint8_t slot[NVM_RECORD_SIZE];
    uint32_t number = from > r->oldest ? from : r->oldest;
    bool ok = put_field(&stream, TAG_OLDEST, r->oldest) && put_field(&stream, TAG_NEWEST, r->newest) &&
              put_field(&stream, TAG_ACKED, r->acked);

    static_assert(mnp_Record_size < 128, "a record's length is one byte on the wire");
    for (; ok && number != 0 && number <= r->newest; number++) {
        if (slot_read(port, slot_offset(number), slot) != number)
            continue; /* damaged since boot: the gap in the numbers shows it */
        if (stream.bytes_written + RECORD_HEAD_MAX + slot[AT_LENGTH] > cap)
            break;
        ok = pb_encode_tag(&stream, PB_WT_STRING, TAG_RECORD) &&
             pb_encode_string(&stream, slot + AT_BYTES, slot[AT_LENGTH]);
    }
    return ok ? stream.bytes_written : 0;
}
