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

/* False: not a mnp.TelemetryBatch whose columns all have as many values as the group's count says. */
bool batch_check(const uint8_t *bytes, size_t n, struct batch_facts *facts);
