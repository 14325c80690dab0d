/*
 * The ring of records in non-volatile memory: faults, configuration changes, runs and boots, numbered 1, 2, 3 ... for the
 * pen's whole life. A record is kept until it is acknowledged; when the ring is full of unacknowledged ones the oldest
 * makes room, and the missing numbers show it. A torn write leaves a slot with a wrong CRC, which counts as empty: its
 * number was never seen by anyone and is used again.
 */
#pragma once

#include "hal.h"
#include "pen.pb.h"

struct records {
    uint32_t oldest, newest; /* numbers held; both 0: none */
    uint32_t acked;          /* highest acknowledged */
    uint32_t lost;           /* could not be written to the memory, since boot */
};

/* Finds what the memory holds. acked is the caller's, from the counters. */
void records_load(const struct pen_port *port, struct records *r, uint32_t acked);

/* Numbers the record, writes it and shows it; false: the memory refused, and the record is counted in lost. */
bool records_append(const struct pen_port *port, struct records *r, mnp_Record *record);

/* The newest record of a run's beginning or end; false: there is none. */
bool records_newest_run(const struct pen_port *port, const struct records *r, mnp_Record *out);

/* Writes a Records message that begins at number from (0: oldest) into out; returns its length, 0 if the memory fails. */
size_t records_page(const struct pen_port *port, const struct records *r, uint32_t from, uint8_t *out, size_t cap);
