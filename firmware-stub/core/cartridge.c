#include "cartridge.h"

#include <string.h>

#include "frame.h"
#include "nvm.h"

enum { BAD_READS_MAX = 3 };

static uint32_t used_offset(uint32_t index)
{
    return NVM_USED_TAGS + index % NVM_USED_TAG_COUNT * NVM_USED_TAG_SIZE;
}

/* An entry: place in the list (u32, from 1), uid (u64), CRC. 0 if the slot is empty or damaged. */
static uint32_t used_read(const struct pen_port *port, uint32_t index, uint64_t *uid)
{
    uint8_t e[NVM_USED_TAG_SIZE];

    if (!port->nvm_read(port->ctx, used_offset(index), e, sizeof(e)) || mn_get_u32(e + 12) != mn_crc32c(e, 12))
        return 0;
    *uid = mn_get_u32(e + 4) | (uint64_t)mn_get_u32(e + 8) << 32;
    return mn_get_u32(e);
}

static bool used_before(const struct pen_port *port, uint64_t wanted)
{
    uint64_t uid;

    for (uint32_t i = 0; i < NVM_USED_TAG_COUNT; i++) {
        if (used_read(port, i, &uid) != 0 && uid == wanted)
            return true;
    }
    return false;
}

void cartridge_load(const struct pen_port *port, struct cartridge *c)
{
    uint64_t uid;

    memset(c, 0, sizeof(*c));
    c->state = mnp_CartridgeState_CARTRIDGE_ABSENT;
    for (uint32_t i = 0; i < NVM_USED_TAG_COUNT; i++) {
        uint32_t place = used_read(port, i, &uid);

        if (place > c->used_count)
            c->used_count = place;
    }
}

static mnp_CartridgeState judge(const struct pen_port *port, const struct pen_tag *tag, uint64_t now_s)
{
    if (tag->needle_count == 0 || tag->max_depth_um == 0)
        return mnp_CartridgeState_CARTRIDGE_REJECTED;
    if (used_before(port, tag->uid))
        return mnp_CartridgeState_CARTRIDGE_USED;
    if (now_s != 0 && tag->expiry_s < now_s)
        return mnp_CartridgeState_CARTRIDGE_EXPIRED;
    return mnp_CartridgeState_CARTRIDGE_NEW;
}

void cartridge_update(const struct pen_port *port, struct cartridge *c, const struct pen_tag *tag, uint64_t now_s)
{
    bool known = c->state != mnp_CartridgeState_CARTRIDGE_ABSENT && c->state != mnp_CartridgeState_CARTRIDGE_UNREADABLE;

    if (!tag->present) {
        c->state = mnp_CartridgeState_CARTRIDGE_ABSENT;
        c->bad_reads = 0;
    } else if (!tag->readable) {
        if (c->bad_reads < BAD_READS_MAX && ++c->bad_reads == BAD_READS_MAX)
            c->state = mnp_CartridgeState_CARTRIDGE_UNREADABLE;
    } else {
        c->bad_reads = 0;
        if (!known || tag->uid != c->tag.uid) {
            c->tag = *tag;
            c->state = judge(port, tag, now_s);
        } else if (c->state == mnp_CartridgeState_CARTRIDGE_NEW) {
            if (now_s != 0 && tag->expiry_s < now_s)
                c->state = mnp_CartridgeState_CARTRIDGE_EXPIRED;
        }
    }
}

bool cartridge_use(const struct pen_port *port, struct cartridge *c, uint64_t treatment)
{
    uint8_t e[NVM_USED_TAG_SIZE];

    if (c->state == mnp_CartridgeState_CARTRIDGE_IN_USE)
        return true;
    mn_put_u32(e, c->used_count + 1);
    mn_put_u32(e + 4, (uint32_t)c->tag.uid);
    mn_put_u32(e + 8, (uint32_t)(c->tag.uid >> 32));
    mn_put_u32(e + 12, mn_crc32c(e, 12));
    if (!port->nvm_write(port->ctx, used_offset(c->used_count), e, sizeof(e)))
        return false;
    c->used_count++;
    c->state = mnp_CartridgeState_CARTRIDGE_IN_USE;
    c->treatment = treatment;
    return true;
}

bool cartridge_fit(const struct cartridge *c)
{
    return c->state == mnp_CartridgeState_CARTRIDGE_NEW || c->state == mnp_CartridgeState_CARTRIDGE_IN_USE;
}

bool cartridge_claim(struct cartridge *c, uint64_t treatment)
{
    if (c->state == mnp_CartridgeState_CARTRIDGE_IN_USE && c->treatment != treatment)
        c->state = mnp_CartridgeState_CARTRIDGE_USED;
    return cartridge_fit(c);
}
