#include "nvm.h"

#include <assert.h>
#include <string.h>

#include "frame.h"

enum { AT_COUNTER = 0, AT_LENGTH = 4, AT_BLOB = 8, AT_CRC = NVM_SLOT_SIZE - 4 };

static_assert(AT_BLOB + NVM_BLOB_MAX <= AT_CRC, "a blob fits its slot");
static_assert(NVM_COUNTERS + 2 * NVM_SLOT_SIZE <= NVM_SERIAL && NVM_LEFT + 2 * NVM_SLOT_SIZE <= NVM_RECORDS &&
                  NVM_RECORDS + NVM_RECORD_COUNT * NVM_RECORD_SIZE <= NVM_USED,
              "regions do not overlap");

/* Erased memory is all 0x00 or all 0xff. */
static bool slot_is_blank(const uint8_t *slot)
{
    for (size_t i = 1; i < NVM_SLOT_SIZE; i++) {
        if (slot[i] != slot[0])
            return false;
    }
    return slot[0] == 0 || slot[0] == 0xff;
}

static enum nvm_state slot_read(const struct pen_port *port, uint32_t offset, uint8_t *slot)
{
    if (!port->nvm_read(port->ctx, offset, slot, NVM_SLOT_SIZE))
        return NVM_DAMAGED;
    if (slot_is_blank(slot))
        return NVM_EMPTY;
    return mn_get_u32(slot + AT_CRC) == mn_crc32c(slot, AT_CRC) ? NVM_OK : NVM_DAMAGED;
}

/* The pair's state, and in *newest which slot (0, 1) holds the newer content when it is OK. */
static enum nvm_state pair_read(const struct pen_port *port, uint32_t offset, uint8_t slots[2][NVM_SLOT_SIZE], int *newest)
{
    enum nvm_state a = slot_read(port, offset, slots[0]);
    enum nvm_state b = slot_read(port, offset + NVM_SLOT_SIZE, slots[1]);

    *newest = 0;
    if (a == NVM_OK && b == NVM_OK)
        *newest = (int32_t)(mn_get_u32(slots[1]) - mn_get_u32(slots[0])) > 0;
    else if (b == NVM_OK)
        *newest = 1;
    if (a == NVM_OK || b == NVM_OK)
        return NVM_OK;
    return a == NVM_EMPTY && b == NVM_EMPTY ? NVM_EMPTY : NVM_DAMAGED;
}

enum nvm_state nvm_blob_read(const struct pen_port *port, uint32_t offset, void *blob, size_t n)
{
    uint8_t slots[2][NVM_SLOT_SIZE];
    int newest;
    enum nvm_state state = pair_read(port, offset, slots, &newest);

    if (state != NVM_OK)
        return state;
    if (n > NVM_BLOB_MAX || mn_get_u32(slots[newest] + AT_LENGTH) != n)
        return NVM_DAMAGED;
    memcpy(blob, slots[newest] + AT_BLOB, n);
    return NVM_OK;
}

bool nvm_blob_write(const struct pen_port *port, uint32_t offset, const void *blob, size_t n)
{
    uint8_t slots[2][NVM_SLOT_SIZE], slot[NVM_SLOT_SIZE] = {0};
    int newest;
    bool first = pair_read(port, offset, slots, &newest) != NVM_OK;
    int target = first ? 0 : !newest;

    if (n > NVM_BLOB_MAX)
        return false;
    mn_put_u32(slot + AT_COUNTER, first ? 1 : mn_get_u32(slots[newest]) + 1);
    mn_put_u32(slot + AT_LENGTH, (uint32_t)n);
    memcpy(slot + AT_BLOB, blob, n);
    mn_put_u32(slot + AT_CRC, mn_crc32c(slot, AT_CRC));
    return port->nvm_write(port->ctx, offset + (uint32_t)target * NVM_SLOT_SIZE, slot, NVM_SLOT_SIZE);
}
