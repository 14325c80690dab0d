#include "cartridge.h"

#include <string.h>

#include "used.h"

enum { BAD_READS_MAX = 3 };

static mnp_CartridgeState judge(const struct pen_port *port, const struct pen_tag *tag, uint64_t now_s)
{
    if (tag->uid == 0 || tag->needle_count == 0 || tag->max_depth_um == 0)
        return mnp_CartridgeState_CARTRIDGE_REJECTED;
    if (used_has(port, tag->uid))
        return mnp_CartridgeState_CARTRIDGE_USED;
    if (now_s != 0 && tag->expiry_s < now_s)
        return mnp_CartridgeState_CARTRIDGE_EXPIRED;
    return mnp_CartridgeState_CARTRIDGE_NEW;
}

/* A tag is written once. If its content differs under the same uid, it was misread or is a copy of another. */
static bool is_same(const struct pen_tag *a, const struct pen_tag *b)
{
    return a->lot == b->lot && a->needle_count == b->needle_count && a->max_depth_um == b->max_depth_um && a->expiry_s == b->expiry_s;
}

void cartridge_update(const struct pen_port *port, struct cartridge *c, const struct pen_tag *tag, uint64_t now_s)
{
    bool known = c->state != mnp_CartridgeState_CARTRIDGE_ABSENT && c->state != mnp_CartridgeState_CARTRIDGE_UNREADABLE;
    bool same = known && tag->uid == c->tag.uid;

    if (!tag->present) {
        c->state = mnp_CartridgeState_CARTRIDGE_ABSENT;
        c->bad_reads = 0;
    } else if (!tag->readable || (same && !is_same(tag, &c->tag))) {
        if (c->bad_reads < BAD_READS_MAX && ++c->bad_reads == BAD_READS_MAX)
            c->state = mnp_CartridgeState_CARTRIDGE_UNREADABLE;
    } else {
        c->bad_reads = 0;
        if (!same) {
            c->tag = *tag;
            c->state = judge(port, tag, now_s);
        } else if (c->state == mnp_CartridgeState_CARTRIDGE_NEW && now_s != 0 && tag->expiry_s < now_s) {
            c->state = mnp_CartridgeState_CARTRIDGE_EXPIRED;
        }
    }
}

bool cartridge_use(const struct pen_port *port, struct cartridge *c, uint64_t treatment)
{
    if (c->state == mnp_CartridgeState_CARTRIDGE_IN_USE)
        return true;
    if (!used_add(port, c->tag.uid))
        return false;
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
