/*
 * The detectors: from sensors and what the pen is doing, which causes of faults are present in this tick. Each is a
 * counter against the limit in its row of faults.def; none of them acts.
 */
#pragma once

#include "cartridge.h"
#include "faults.h"
#include "hal.h"
#include "pen.pb.h"

struct detect {
    uint16_t stall_ms, overcurrent_ms, rate_low_ms, rate_high_ms, encoder_loss_ms;
    uint16_t still_ms;       /* without encoder edges */
    uint16_t uncommanded_ms, undershoot_ms, battery_critical_ms;
    uint8_t overshoot_strokes;
    uint32_t trigger_ms;     /* held ... */
    uint16_t released_ms;    /* ... or not */
};

/* What the detectors must know of the pen in this tick. */
struct detect_context {
    const struct pen_sensors *in;
    mnp_State state;
    uint32_t state_ms;        /* since this state was entered */
    bool settled;             /* soft start over, rate controller has had its time */
    int32_t rate_set_dhz;
    int32_t depth_set_um;     /* as configured */
    int32_t duty_permille;
    const struct cartridge *cartridge;
    uint64_t armed_uid;       /* of the cartridge that was armed */
    uint32_t heartbeat_age_ms;
    uint32_t fault_word;      /* for hysteresis */
    bool trigger_at_boot;
    bool link_broken;         /* the session from which the pen was armed has ended */
    uint8_t bad_frames_1s;
};

#define TRIGGER_BOUNCE_MS 10 /* a press, or a release, that has not lasted so long is none */
#define DETECT_COLD_DC (-200) /* a thermometer that says less, in 0.1 degC, is torn off */
#define DETECT_STILL_MS 20 /* no edges for so long: the needles stand */

/* The causes present in this tick, as bits of the fault word. */
uint32_t detect_step(struct detect *d, const struct detect_context *c);
