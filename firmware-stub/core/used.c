#include "used.h"

#include <string.h>

#include "frame.h"
#include "nvm.h"

enum { AT_CRC = NVM_USED_BLOCK - 4, BLOCK_BITS = AT_CRC * 8, BITS_PER_UID = 12 };

/* Mixes the bits of a uid (the finaliser of MurmurHash3). */
static uint64_t mix(uint64_t v)
{
    v = (v ^ v >> 33) * UINT64_C(0xff51afd7ed558ccd);
    v = (v ^ v >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return v ^ v >> 33;
}

static uint32_t block_offset(uint64_t hash)
{
    return NVM_USED + (uint32_t)(hash % NVM_USED_BLOCKS) * NVM_USED_BLOCK;
}

/* The uid's bits within its block. */
static void bits_of(uint64_t uid, uint8_t bits[AT_CRC])
{
    uint64_t hash = 0;

    memset(bits, 0, AT_CRC);
    for (uint64_t i = 0; i < BITS_PER_UID; i++, hash >>= 10) {
        uint32_t at;

        if (i % 6 == 0)
            hash = mix(~uid - i);
        at = (uint32_t)(hash & 1023) % BLOCK_BITS;
        bits[at / 8] |= (uint8_t)(1u << at % 8);
    }
}

/* False if the block is damaged. Erased memory (all 0x00 or all 0xff) is an empty block. */
static bool block_read(const struct pen_port *port, uint32_t offset, uint8_t block[NVM_USED_BLOCK])
{
    bool blank;

    if (!port->nvm_read(port->ctx, offset, block, NVM_USED_BLOCK))
        return false;
    blank = block[0] == 0 || block[0] == 0xff;
    for (size_t i = 1; blank && i < NVM_USED_BLOCK; i++)
        blank = block[i] == block[0];
    if (blank)
        memset(block, 0, NVM_USED_BLOCK);
    return blank || mn_get_u32(block + AT_CRC) == mn_crc32c(block, AT_CRC);
}

bool used_has(const struct pen_port *port, uint64_t uid)
{
    uint8_t block[NVM_USED_BLOCK], bits[AT_CRC];

    if (!block_read(port, block_offset(mix(uid)), block))
        return true;
    bits_of(uid, bits);
    for (size_t i = 0; i < AT_CRC; i++) {
        if ((block[i] & bits[i]) != bits[i])
            return false;
    }
    return true;
}

bool used_add(const struct pen_port *port, uint64_t uid)
{
    uint8_t block[NVM_USED_BLOCK], bits[AT_CRC];
    uint32_t offset = block_offset(mix(uid));

    if (!block_read(port, offset, block))
        return true; /* a damaged block counts as full, and stays so */
    bits_of(uid, bits);
    for (size_t i = 0; i < AT_CRC; i++)
        block[i] |= bits[i];
    mn_put_u32(block + AT_CRC, mn_crc32c(block, AT_CRC));
    return port->nvm_write(port->ctx, offset, block, sizeof(block));
}
