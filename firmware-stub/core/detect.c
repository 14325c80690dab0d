#include "detect.h"

#include "frame.h"

/* Limits of the fault table; see faults.def for the sentences. Currents in mA, times in ms, temperatures in 0.1 degC. */
enum {
    STALL_MA = 900,
    STALL_MS = 100,
    OVERCURRENT_MA = 1500,
    OVERCURRENT_MS = 5,
    RATE_LOW_MS = 500,
    RATE_HIGH_MS = 100,
    ENCODER_LOSS_DUTY = 200,
    ENCODER_LOSS_MS = 50,
    UNCOMMANDED_MS = 3,
    STOP_LIMIT_MS = 100,
    OVERSHOOT_UM = 100,
    OVERSHOOT_STROKES = 2,
    UNDERSHOOT_UM = 150,
    UNDERSHOOT_MS = 1000,
    BATTERY_LOW_PCT = 20,
    BATTERY_LOW_CLEAR_PCT = 25,
    BATTERY_CRITICAL_PCT = 8,
    BATTERY_CRITICAL_MV = 3300,
    BATTERY_CRITICAL_MS = 100,
    BATTERY_HIGH_MV = 4300,
    BATTERY_DEAD_MV = 2500,
    BATTERY_HOT_DC = 600,
    MOTOR_WARM_DC = 700,
    MOTOR_WARM_CLEAR_DC = 600,
    TRIGGER_STUCK_MS = 120000,
    BAD_FRAMES_LIMIT = 3,
};

/* Counts ticks in which a condition holds, saturating; true once it has held for limit ticks. */
static bool held(uint16_t *count, bool condition, uint16_t limit)
{
    *count = condition ? (uint16_t)(*count + (*count < UINT16_MAX)) : 0;
    return *count >= limit;
}

static uint32_t when(bool condition, uint32_t mask)
{
    return condition ? mask : 0;
}

/* Motor faults while the motor is driven. */
static uint32_t driven_causes(struct detect *d, const struct detect_context *c)
{
    const struct pen_sensors *in = c->in;
    bool over_limit = in->motor_current_ma > STALL_MA;
    uint32_t causes = 0;

    causes |= when(held(&d->stall_ms, in->rate_dhz < c->rate_set_dhz * 3 / 10 && over_limit, STALL_MS),
                   FAULT_MASK(MOTOR_STALL));
    causes |= when(held(&d->rate_low_ms, c->settled && in->rate_dhz < c->rate_set_dhz * 9 / 10, RATE_LOW_MS),
                   FAULT_MASK(STROKE_RATE_LOW));
    causes |= when(held(&d->rate_high_ms, c->settled && in->rate_dhz > c->rate_set_dhz * 11 / 10, RATE_HIGH_MS),
                   FAULT_MASK(STROKE_RATE_HIGH));
    /* A stalled rotor gives no edges either, but draws current; a turning one whose encoder is dead does not. */
    causes |= when(held(&d->encoder_loss_ms, (!in->encoder_edges || in->rate_dhz == 0) && c->duty_permille > ENCODER_LOSS_DUTY && !over_limit,
                        ENCODER_LOSS_MS),
                   FAULT_MASK(ENCODER_LOSS));
    if (in->stroke_done) {
        bool over = in->stroke_peak_um > c->depth_set_um + OVERSHOOT_UM;

        d->overshoot_strokes = over ? (uint8_t)(d->overshoot_strokes + (d->overshoot_strokes < UINT8_MAX)) : 0;
        if (in->stroke_peak_um >= c->depth_set_um - UNDERSHOOT_UM)
            d->undershoot_ms = 0;
    }
    causes |= when(d->overshoot_strokes >= OVERSHOOT_STROKES, FAULT_MASK(DEPTH_OVERSHOOT));
    causes |= when(held(&d->undershoot_ms, c->settled, UNDERSHOOT_MS), FAULT_MASK(DEPTH_UNDERSHOOT));
    causes |= when(!in->tag.present || (in->tag.readable && in->tag.uid != c->armed_uid), FAULT_MASK(CARTRIDGE_REMOVED_RUNNING));
    return causes;
}

/* Motion while the motor is off. */
static uint32_t idle_causes(struct detect *d, const struct detect_context *c)
{
    uint32_t causes = 0;

    d->stall_ms = d->rate_low_ms = d->rate_high_ms = d->encoder_loss_ms = d->undershoot_ms = 0;
    d->overshoot_strokes = 0;
    if (c->state == mnp_State_STATE_STOPPING)
        return when(c->in->encoder_edges && c->state_ms > STOP_LIMIT_MS, FAULT_MASK(STOP_TIMEOUT));
    if (c->state != mnp_State_STATE_BOOT && c->state != mnp_State_STATE_SELFTEST)
        causes |= when(held(&d->uncommanded_ms, c->in->encoder_edges, UNCOMMANDED_MS), FAULT_MASK(UNCOMMANDED_MOTION));
    return causes;
}

static uint32_t cartridge_causes(const struct detect_context *c)
{
    switch (c->cartridge->state) {
    case mnp_CartridgeState_CARTRIDGE_ABSENT:
        return FAULT_MASK(CARTRIDGE_ABSENT);
    case mnp_CartridgeState_CARTRIDGE_UNREADABLE:
    case mnp_CartridgeState_CARTRIDGE_REJECTED:
        return FAULT_MASK(CARTRIDGE_UNREADABLE);
    case mnp_CartridgeState_CARTRIDGE_USED:
        return FAULT_MASK(CARTRIDGE_USED);
    case mnp_CartridgeState_CARTRIDGE_EXPIRED:
        return FAULT_MASK(CARTRIDGE_EXPIRED);
    default:
        return when(c->depth_set_um > (int32_t)c->cartridge->tag.max_depth_um, FAULT_MASK(CARTRIDGE_DEPTH_MISMATCH));
    }
}

static uint32_t battery_causes(struct detect *d, const struct detect_context *c)
{
    const struct pen_sensors *in = c->in;
    int32_t low = c->fault_word & FAULT_MASK(BATTERY_LOW) ? BATTERY_LOW_CLEAR_PCT : BATTERY_LOW_PCT;
    bool critical = in->battery_soc_pct < BATTERY_CRITICAL_PCT || in->battery_mv < BATTERY_CRITICAL_MV;
    bool bad = in->battery_mv > BATTERY_HIGH_MV || in->battery_mv < BATTERY_DEAD_MV || in->battery_temp_dc > BATTERY_HOT_DC ||
               in->battery_temp_dc < DETECT_COLD_DC;

    return when(in->battery_soc_pct < low, FAULT_MASK(BATTERY_LOW)) |
           when(held(&d->battery_critical_ms, critical, BATTERY_CRITICAL_MS), FAULT_MASK(BATTERY_CRITICAL)) |
           when(bad, FAULT_MASK(BATTERY_FAULT));
}

static uint32_t host_causes(const struct detect_context *c)
{
    bool needs_host = c->state == mnp_State_STATE_ARMED || c->state == mnp_State_STATE_RUNNING;

    return when(c->link_broken || (needs_host && c->heartbeat_age_ms > MN_HEARTBEAT_LIMIT_MS), FAULT_MASK(HOST_LINK_LOST)) |
           when(c->bad_frames_1s >= BAD_FRAMES_LIMIT, FAULT_MASK(PROTOCOL_ERROR));
}

static uint32_t trigger_causes(struct detect *d, const struct detect_context *c)
{
    d->trigger_ms = c->in->trigger ? d->trigger_ms + (d->trigger_ms < UINT32_MAX) : 0;
    held(&d->released_ms, !c->in->trigger, TRIGGER_BOUNCE_MS);
    return when(c->in->trigger && (c->trigger_at_boot || d->trigger_ms > TRIGGER_STUCK_MS), FAULT_MASK(TRIGGER_STUCK));
}

uint32_t detect_step(struct detect *d, const struct detect_context *c)
{
    int32_t warm = c->fault_word & FAULT_MASK(MOTOR_OVERTEMP) ? MOTOR_WARM_CLEAR_DC : MOTOR_WARM_DC;
    uint32_t causes = c->state == mnp_State_STATE_RUNNING ? driven_causes(d, c) : idle_causes(d, c);

    held(&d->still_ms, !c->in->encoder_edges, DETECT_STILL_MS);
    causes |= when(held(&d->overcurrent_ms, c->in->motor_current_ma > OVERCURRENT_MA, OVERCURRENT_MS),
                   FAULT_MASK(MOTOR_OVERCURRENT));
    causes |= when(c->in->motor_temp_dc > warm || c->in->motor_temp_dc < DETECT_COLD_DC, FAULT_MASK(MOTOR_OVERTEMP));
    return causes | cartridge_causes(c) | battery_causes(d, c) | host_causes(c) | trigger_causes(d, c);
}
