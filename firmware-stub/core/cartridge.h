/*
 * The cartridge: what its tag says, and whether it has been used (used.h). A cartridge serves one
 * treatment: it is IN_USE from the first stroke until it is taken out, the pen restarts or another treatment begins, and USED after that.
 */
#pragma once

#include "hal.h"
#include "pen.pb.h"

struct cartridge {
    mnp_CartridgeState state;
    struct pen_tag tag;       /* valid in NEW, IN_USE, USED, EXPIRED */
    uint8_t bad_reads;
    uint64_t treatment;       /* IN_USE: whose */
};

/* One look at the reader, every CARTRIDGE_PERIOD_MS; now_s is the host's Unix time, 0 while unknown. */
void cartridge_update(const struct pen_port *port, struct cartridge *c, const struct pen_tag *tag, uint64_t now_s);

/* The needles are about to move in this treatment: it is noted as used. False: it could not be written, and they must not. */
bool cartridge_use(const struct pen_port *port, struct cartridge *c, uint64_t treatment);

/* May needles move with it? */
bool cartridge_fit(const struct cartridge *c);

/* The same, in this treatment: what has served another is USED from now on. */
bool cartridge_claim(struct cartridge *c, uint64_t treatment);

#define CARTRIDGE_PERIOD_MS 20u
