/*
 * A look at a telemetry batch without decoding it: is it well formed, so that every client's decoder will accept it? One
 * pass over the bytes, no allocation. The bytes themselves go on to clients as they came.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch_facts {
    uint32_t boot_id;
    uint32_t samples; /* of both groups */
    uint32_t dropped; /* by the pen, since its boot */
    uint64_t t_us;    /* of the first sample of a group, the later one, in the pen's time */
};

/* Bytes that a decimated batch has at the most. */
#define BATCH_DECIMATED_MAX 1100

/* False: not a mnp.TelemetryBatch whose columns all have as many values as the group's count says. */
bool batch_check(const uint8_t *bytes, size_t n, struct batch_facts *facts);

/*
 * The same batch with every n-th fast sample only: those whose number is a multiple of decimation (2 or more), so that batch after batch they
 * are evenly spaced. period_us and count say so. Columns that are not known here are left out; all else stays. Returns its bytes; 0: no sample
 * is left, or it does not fit. The batch has passed batch_check().
 */
size_t batch_decimate(const uint8_t *batch, size_t n, uint32_t decimation, uint8_t *out, size_t cap);
