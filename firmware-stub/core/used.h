/*
 * Which cartridges have been used: for the pen's whole life, in 256 KiB, and nothing is ever forgotten.
 *
 * A uid has 12 bits in one of 4096 blocks (a Bloom filter, one block of 64 bytes for each uid, so that a use is one write). A uid that was noted is
 * always found. One that was not may be found all the same, and its cartridge is refused: after ten years of 20 cartridges a day (73 050) fewer than
 * 1 in 20 000 are (tests/unit/test_used.c measures it), after twice as many fewer than 1 in 100. A block that does not read right counts as
 * full: what may have been forgotten was used.
 */
#pragma once

#include "hal.h"

bool used_has(const struct pen_port *port, uint64_t uid);

/* False: the memory refused. */
bool used_add(const struct pen_port *port, uint64_t uid);
