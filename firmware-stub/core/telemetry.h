/*
 * Telemetry: samples become columns of delta-coded varints as they are taken, and every 50 ms, or as soon as PACE asks, the columns become one
 * TelemetryBatch payload. The bytes are written here, not by nanopb, because a packed column is only bytes and this is
 * the pen's hottest path. Payloads wait in a small ring for the endpoint; when it is full the oldest goes, and is counted.
 */
#pragma once

#include "frame.h"
#include "hal.h"
#include "pen.pb.h"

#define TELEMETRY_FAST_COLUMNS 6
#define TELEMETRY_SLOW_COLUMNS 12
#define TELEMETRY_COLUMN_CAP (MN_BATCH_MS * 2)  /* a delta takes at most two bytes, see put_delta() */
#define TELEMETRY_SLOW_CAP 6                           /* two samples, the first of up to three bytes */
#define TELEMETRY_PAYLOAD_CAP 900
#define TELEMETRY_RING 8

struct telemetry_column {
    int32_t last;
    uint16_t length;
};

struct telemetry_group {
    uint64_t next_seq;
    uint64_t first_seq;
    uint64_t t0_us;
    uint32_t period_ms;  /* 0: off */
    uint16_t count;      /* samples in the open batch */
};

struct telemetry_payload {
    uint16_t length;
    uint16_t samples;
    uint8_t bytes[TELEMETRY_PAYLOAD_CAP];
};

struct telemetry {
    struct telemetry_group fast, slow;
    struct telemetry_column fast_columns[TELEMETRY_FAST_COLUMNS];
    struct telemetry_column slow_columns[TELEMETRY_SLOW_COLUMNS];
    uint8_t fast_bytes[TELEMETRY_FAST_COLUMNS][TELEMETRY_COLUMN_CAP];
    uint8_t slow_bytes[TELEMETRY_SLOW_COLUMNS][TELEMETRY_SLOW_CAP];
    uint64_t batch_began_ms;
    uint32_t batch_ms; /* MN_BATCH_MIN_MS to MN_BATCH_MS */
    uint32_t dropped; /* samples, since boot */
    struct telemetry_payload ring[TELEMETRY_RING];
    uint8_t head, fill;
};

/* What stands in a batch beside the columns. */
struct telemetry_facts {
    uint32_t boot_id;
    mnp_State state;
    uint32_t fault_word;
    uint32_t strokes_session;
    int32_t duty_permille;
    int32_t load_permille;
    bool skin_contact;
    int32_t depth_set_um;
    int32_t rate_set_dhz;
};

/* New rates, from the next sample on; what was gathered at the old ones is closed first. */
void telemetry_rates(struct telemetry *t, uint32_t fast_hz, uint32_t slow_hz, const struct telemetry_facts *f);

/* One tick: samples that are due are taken, and a batch that is due is closed. */
void telemetry_step(struct telemetry *t, uint64_t now_ms, const struct pen_sensors *in, const struct telemetry_facts *f);

/* The oldest closed payload, or NULL; pop takes it off. */
const struct telemetry_payload *telemetry_peek(const struct telemetry *t);
void telemetry_pop(struct telemetry *t);
