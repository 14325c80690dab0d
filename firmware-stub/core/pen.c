#include "pen_inside.h"

#include <pb_encode.h>
#include <string.h>

#include "nvm.h"

enum {
    SELFTEST_MS = 300,       /* minimum */
    HOMING_LIMIT_MS = 500,
    SETTLE_MS = 300,         /* of the rate controller to settle after the soft start */
    MOTOR_HOT_DC = 800,
    RATE_LOW_STOP_MS = 1000, /* after STROKE_RATE_LOW was raised */
    MEMORY_CHECK_MS = 1000,
};

static void enter(struct pen *p, mnp_State state)
{
    p->state = state;
    p->state_since_ms = p->now_ms;
}

static uint32_t state_ms(const struct pen *p)
{
    uint64_t ms = p->now_ms - p->state_since_ms;

    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static bool moving(const struct pen *p)
{
    return p->state == mnp_State_STATE_RUNNING || p->state == mnp_State_STATE_STOPPING;
}

/* Faults that keep the pen in FAULT: those that stop it, unless they are only flags yet. */
static uint32_t holding_faults(const struct pen *p)
{
    uint32_t flags = FAULT_MASK(PROTOCOL_ERROR);

    if (!(p->faults.escalated & FAULT_MASK(STROKE_RATE_LOW)))
        flags |= FAULT_MASK(STROKE_RATE_LOW);
    if (!(p->faults.escalated & FAULT_MASK(MOTOR_OVERTEMP)))
        flags |= FAULT_MASK(MOTOR_OVERTEMP);
    return p->faults.word & faults_of_effect(EFFECT_STOP) & ~flags;
}

static mnp_State safe_state(const struct pen *p)
{
    return p->in_factory ? mnp_State_STATE_FACTORY : mnp_State_STATE_SAFE;
}

/* The state of a pen at rest. */
static mnp_State rest_state(const struct pen *p)
{
    if (p->faults.word & faults_of_effect(EFFECT_DFU))
        return mnp_State_STATE_DFU;
    return holding_faults(p) != 0 ? mnp_State_STATE_FAULT : safe_state(p);
}

void pen_end_run(struct pen *p, mnp_EndReason reason)
{
    if (p->state == mnp_State_STATE_RUNNING) {
        p->run.end = reason;
        p->run.moving_ms = p->now_ms - p->run.began_ms;
        enter(p, mnp_State_STATE_STOPPING);
    } else if (p->state == mnp_State_STATE_ARMED) {
        enter(p, safe_state(p));
    }
}

static void stop_for_faults(struct pen *p, uint32_t bits)
{
    if (p->state == mnp_State_STATE_RUNNING)
        p->run.fault_code = fault_first_code(bits);
    pen_end_run(p, mnp_EndReason_END_FAULT);
}

void pen_host_gone(struct pen *p)
{
    p->link_broken = p->state == mnp_State_STATE_ARMED || p->state == mnp_State_STATE_RUNNING;
    pen_end_run(p, mnp_EndReason_END_LINK);
    pen_leave_factory(p, false);
}

uint32_t pen_zone_cap_um(uint32_t zone)
{
    static const uint16_t caps_um[] = {
#define ZONE(number, name, cap_um, bony, source) [number] = cap_um,
#include "policy/zones.def"
    };

    return zone < sizeof(caps_um) / sizeof(caps_um[0]) ? caps_um[zone] : 0;
}

enum pen_arm_result pen_arm(struct pen *p, const struct pen_arming *wanted, uint16_t *fault_code)
{
    uint32_t forbidding = p->faults.word & ~faults_of_effect(EFFECT_FLAG) & ~FAULT_MASK(PROTOCOL_ERROR);

    *fault_code = 0;
    if (wanted->factory)
        forbidding &= ~FAULT_MASK(CALIBRATION_INVALID); /* the factory determines it */
    if (forbidding != 0) {
        *fault_code = fault_first_code(forbidding);
        return PEN_ARM_FAULT;
    }
    if ((p->state != safe_state(p) && p->state != mnp_State_STATE_ARMED) || wanted->factory != p->in_factory || p->trigger_held)
        return PEN_ARM_STATE;
    if (wanted->generation != p->settings.generation)
        return PEN_ARM_CONFLICT;
    if (!wanted->factory && pen_zone_cap_um(wanted->zone) == 0)
        return PEN_ARM_ZONE;
    if (!wanted->factory && p->settings.value[SETTING_depth_um] > pen_zone_cap_um(wanted->zone))
        return PEN_ARM_DEPTH;
    if (!cartridge_fit(&p->cartridge))
        return PEN_ARM_STATE;
    if (!wanted->factory && wanted->cartridge_uid != p->cartridge.tag.uid)
        return PEN_ARM_CARTRIDGE;
    if (!cartridge_claim(&p->cartridge, wanted->treatment)) {
        *fault_code = fault_rows[FAULT_CARTRIDGE_USED].code;
        return PEN_ARM_FAULT;
    }
    p->armed = *wanted;
    p->frozen = (struct pen_frozen){.settings = p->settings, .calibration = p->factory.calibration, .cartridge_uid = p->cartridge.tag.uid,
                                    .cartridge_lot = p->cartridge.tag.lot};
    p->heartbeat_ms = p->now_ms;
    enter(p, mnp_State_STATE_ARMED);
    return PEN_ARM_OK;
}

bool pen_store_counters(struct pen *p)
{
    return nvm_blob_write(p->port, NVM_COUNTERS, &p->counters, sizeof(p->counters));
}

bool pen_ack_records(struct pen *p, uint32_t through)
{
    uint32_t before = p->counters.records_acked;

    if (through <= before)
        return true;
    p->counters.records_acked = through < p->records.newest ? through : p->records.newest;
    if (!pen_store_counters(p)) {
        p->counters.records_acked = before;
        return false;
    }
    p->records.acked = p->counters.records_acked;
    return true;
}

bool pen_is_live(const struct pen *p)
{
    return p->state == mnp_State_STATE_ARMED || moving(p);
}

const struct settings *pen_in_force(const struct pen *p)
{
    return pen_is_live(p) ? &p->frozen.settings : &p->settings;
}

/* Whether everything that ARM froze is unchanged. */
static bool is_as_armed(const struct pen *p)
{
    return memcmp(&p->settings, &p->frozen.settings, sizeof(p->settings)) == 0 &&
           memcmp(&p->factory.calibration, &p->frozen.calibration, sizeof(p->frozen.calibration)) == 0 && cartridge_fit(&p->cartridge) &&
           p->cartridge.tag.uid == p->frozen.cartridge_uid;
}

static void apply_telemetry_rates(struct pen *p)
{
    struct telemetry_facts facts = pen_telemetry_facts(p, &(struct pen_sensors){0});

    telemetry_rates(&p->telemetry, p->settings.value[SETTING_fast_rate_hz], p->settings.value[SETTING_slow_rate_hz],
                    &facts);
}

bool pen_configure(struct pen *p, const struct settings *wanted)
{
    struct settings next = *wanted;

    next.generation = p->settings.generation + 1;
    if (!settings_store(p->port, &next))
        return false;
    p->settings = next;
    p->config_damaged = false;
    apply_telemetry_rates(p);
    pen_record_config(p);
    return true;
}

uint32_t pen_clear_faults(struct pen *p, uint32_t wanted, bool service)
{
    uint32_t cleared;

    /* Causes that are an event are over once somebody has seen the fault. */
    if (wanted & FAULT_MASK(WATCHDOG_RESET))
        p->watchdog_reset = false;
    if (wanted & FAULT_MASK(HOST_LINK_LOST))
        p->link_broken = false;
    if (wanted & FAULT_MASK(CONFIG_INVALID))
        p->config_damaged = false;
    p->faults.causes &= ~((p->watchdog_reset ? 0 : FAULT_MASK(WATCHDOG_RESET)) |
                          (p->link_broken ? 0 : FAULT_MASK(HOST_LINK_LOST)) |
                          (p->config_damaged ? 0 : FAULT_MASK(CONFIG_INVALID)));
    cleared = faults_clear(&p->faults, wanted, service);
    pen_record_faults(p, cleared, false);
    if (p->state == mnp_State_STATE_FAULT)
        enter(p, rest_state(p));
    return cleared;
}

bool pen_self_test(struct pen *p, struct link_reply *reply)
{
    if (p->state != safe_state(p))
        return false;
    p->selftest_reply = reply;
    p->homed = false;
    p->home_seen_ms = 0;
    enter(p, mnp_State_STATE_SELFTEST);
    return true;
}

bool pen_enter_factory(struct pen *p)
{
    if (p->state != safe_state(p) && p->state != mnp_State_STATE_FAULT)
        return false;
    p->in_factory = true;
    enter(p, rest_state(p));
    return true;
}

enum factory_result pen_leave_factory(struct pen *p, bool for_good)
{
    enum factory_result r = for_good ? factory_leave(p->port, &p->factory) : FACTORY_OK;

    if (r != FACTORY_OK || !p->in_factory)
        return r;
    p->in_factory = false;
    p->factory.trial = false;
    factory_check(p->port, &p->factory);
    if (for_good) {
        p->counters.strokes_total = p->counters.motor_on_ms_low = p->counters.motor_on_ms_high = 0;
        p->strokes_session = 0;
        if (!pen_store_counters(p))
            r = FACTORY_STORAGE; /* it has left nevertheless; the station must know that its counters were not reset */
    }
    if (p->state == mnp_State_STATE_FACTORY)
        enter(p, rest_state(p));
    return r;
}

/* Checks the stored configuration against its CRC, at boot and once a second. */
static void memory_check(struct pen *p)
{
    struct settings stored;

    factory_check(p->port, &p->factory);
    if (settings_load(p->port, &stored) && (p->settings.generation == stored.generation || p->state == mnp_State_STATE_BOOT)) {
        p->settings = stored;
        return;
    }
    p->config_damaged = true;
    if (pen_is_live(p))
        return; /* the armed configuration stays in force until the needles stop: run_end() */
    /* Damaged: safe defaults, under a number of their own, so that nobody arms what he has not read. */
    stored.generation = p->settings.generation;
    pen_configure(p, &stored); /* if this fails, the next check retries */
    p->config_damaged = true;
}

void pen_init(struct pen *p, const struct pen_port *port, mnp_ResetCause cause, bool simulated)
{
    memset(p, 0, sizeof(*p));
    p->port = port;
    p->simulated = simulated;
    p->reset_cause = cause;
    p->boot_id = port->random(port->ctx) | 1; /* never 0 */
    p->watchdog_reset = cause == mnp_ResetCause_RESET_WATCHDOG;
    p->state = mnp_State_STATE_BOOT;
    p->detect.released_ms = TRIGGER_BOUNCE_MS; /* counts as released until it is seen pressed */
    nvm_blob_read(port, NVM_COUNTERS, &p->counters, sizeof(p->counters)); /* they stay 0 if none are stored */
    records_load(port, &p->records, p->counters.records_acked);
    p->cartridge.state = mnp_CartridgeState_CARTRIDGE_ABSENT;
    factory_load(port, &p->factory);
    p->counters.boot_count++;
    pen_store_counters(p);
    pen_record_boot(p);
    pen_record_broken_run(p);
    memory_check(p);
    p->telemetry.batch_ms = MN_BATCH_MS;
    apply_telemetry_rates(p);
}

/* The causes of faults found at boot, and the self-test. */
static uint32_t boot_causes(const struct pen *p)
{
    bool tested = p->state != mnp_State_STATE_BOOT && p->state != mnp_State_STATE_SELFTEST;

    return (p->config_damaged ? FAULT_MASK(CONFIG_INVALID) : 0) | (p->factory.calibrated ? 0 : FAULT_MASK(CALIBRATION_INVALID)) |
           (p->watchdog_reset ? FAULT_MASK(WATCHDOG_RESET) : 0) | (tested && !p->homed ? FAULT_MASK(HOMING_FAILED) : 0) |
           (tested && !p->hardware_ok ? FAULT_MASK(SELFTEST_FAILED) : 0) |
           (tested && !p->image_ok ? FAULT_MASK(FIRMWARE_INTEGRITY) : 0);
}

static void selftest_answer(struct pen *p)
{
    mnp_Status status;
    pb_ostream_t stream = pb_ostream_from_buffer(p->selftest_reply->payload, sizeof(p->selftest_reply->payload));

    pen_status(p, &status);
    pb_encode(&stream, mnp_Status_fields, &status); /* cannot fail: mnp_Status_size is less than a payload */
    p->selftest_reply->length = (uint16_t)stream.bytes_written;
    p->selftest_reply->type = mnp_FrameType_TYPE_SELF_TEST | MN_TYPE_REPLY;
    p->selftest_reply->state = REPLY_READY;
    p->selftest_reply = NULL;
}

static void selftest_tick(struct pen *p, const struct pen_sensors *in)
{
    uint32_t ms = state_ms(p);

    p->trigger_at_boot |= in->trigger;
    p->homed |= in->home_seen;
    if (p->selftest_reply != NULL && ms % 100 == 0) {
        p->link.progress_correlation = p->selftest_reply->correlation;
        p->link.progress_permille = (uint16_t)(ms * 1000 / HOMING_LIMIT_MS);
    }
    if (ms < SELFTEST_MS || (!p->homed && ms < HOMING_LIMIT_MS))
        return;
    p->hardware_ok = in->hardware_ok;
    p->image_ok = in->image_ok;
    enter(p, safe_state(p));
}

static void run_begin(struct pen *p)
{
    if (!cartridge_use(p->port, &p->cartridge, p->armed.treatment) || !pen_record_run_begun(p)) {
        pen_end_run(p, mnp_EndReason_END_FAULT);
        return;
    }
    motor_start(&p->motor);
    p->run = (struct pen_run){.began_ms = p->now_ms};
    enter(p, mnp_State_STATE_RUNNING);
}

static void run_end(struct pen *p)
{
    uint64_t motor_ms = p->counters.motor_on_ms_low | (uint64_t)p->counters.motor_on_ms_high << 32;

    motor_ms += p->run.moving_ms;
    p->counters.motor_on_ms_low = (uint32_t)motor_ms;
    p->counters.motor_on_ms_high = (uint32_t)(motor_ms >> 32);
    p->counters.strokes_total += p->run.strokes;
    pen_store_counters(p);
    pen_record_run(p);
    enter(p, rest_state(p));
    memory_check(p);
}

/* Transitions of the current state by trigger and time. */
static void state_tick(struct pen *p, const struct pen_sensors *in)
{
    switch (p->state) {
    case mnp_State_STATE_BOOT:
        enter(p, mnp_State_STATE_SELFTEST);
        break;
    case mnp_State_STATE_SELFTEST:
        selftest_tick(p, in);
        break;
    case mnp_State_STATE_ARMED:
        if (p->detect.trigger_ms >= TRIGGER_BOUNCE_MS)
            run_begin(p);
        else if (state_ms(p) >= pen_in_force(p)->value[SETTING_auto_off_s] * 1000)
            enter(p, safe_state(p));
        break;
    case mnp_State_STATE_RUNNING:
        if (!in->trigger)
            pen_end_run(p, mnp_EndReason_END_TRIGGER);
        break;
    case mnp_State_STATE_STOPPING:
        if (p->detect.still_ms >= DETECT_STILL_MS || (p->faults.word & FAULT_MASK(STOP_TIMEOUT)))
            run_end(p);
        break;
    case mnp_State_STATE_SAFE:
    case mnp_State_STATE_FAULT:
    case mnp_State_STATE_FACTORY:
    case mnp_State_STATE_DFU:
    default:
        if (p->state != rest_state(p))
            enter(p, rest_state(p));
        break;
    }
}

static void faults_tick(struct pen *p, const struct pen_sensors *in)
{
    struct detect_context context = {
        .in = in,
        .state = p->state,
        .state_ms = state_ms(p),
        .settled = motor_settled(&p->motor, pen_in_force(p)->value[SETTING_soft_start_ms], SETTLE_MS),
        .rate_set_dhz = p->motor.set_dhz,
        .depth_set_um = (int32_t)pen_in_force(p)->value[SETTING_depth_um],
        .duty_permille = p->out.duty_permille,
        .cartridge = &p->cartridge,
        .armed_uid = p->frozen.cartridge_uid,
        .heartbeat_age_ms = (uint32_t)(p->now_ms - p->heartbeat_ms),
        .fault_word = p->faults.word,
        .trigger_at_boot = p->trigger_at_boot,
        .link_broken = p->link_broken,
        .bad_frames_1s = link_bad_recent(&p->link, p->now_ms),
    };
    uint32_t causes = detect_step(&p->detect, &context) | boot_causes(p), escalating = 0;
    uint32_t before = holding_faults(p), raised, cleared, stopping;

    if (in->motor_temp_dc > MOTOR_HOT_DC || in->motor_temp_dc < DETECT_COLD_DC)
        escalating |= FAULT_MASK(MOTOR_OVERTEMP);
    if (p->detect.rate_low_ms >= 500 + RATE_LOW_STOP_MS)
        escalating |= FAULT_MASK(STROKE_RATE_LOW);
    if (!in->trigger)
        p->trigger_at_boot &= p->state == mnp_State_STATE_SELFTEST;
    faults_update(&p->faults, causes, &raised, &cleared);
    p->faults.escalated |= escalating & p->faults.word;
    if (!(causes & FAULT_MASK(MOTOR_OVERTEMP)) && (p->faults.escalated & FAULT_MASK(MOTOR_OVERTEMP))) {
        /* Heat stops the pen, but needs no CLEAR: it goes when the motor has cooled. */
        p->faults.escalated &= ~FAULT_MASK(MOTOR_OVERTEMP);
    }
    stopping = holding_faults(p) & ~before;
    if ((raised & FAULT_MASK(PROTOCOL_ERROR)) != 0) {
        link_reset(&p->link);
        pen_leave_factory(p, false);
        if (p->state == mnp_State_STATE_RUNNING)
            stopping |= FAULT_MASK(PROTOCOL_ERROR);
    }
    if (raised | cleared) {
        pen_record_faults(p, raised, true);
        pen_record_faults(p, cleared, false);
    }
    stopping |= raised & (faults_of_effect(EFFECT_NO_ARM) | faults_of_effect(EFFECT_DFU)); /* what forbids ARM ends what was armed ... */
    if (p->state == mnp_State_STATE_ARMED)
        stopping |= raised & ~faults_of_effect(EFFECT_FLAG); /* ... and a pen that does not move yet gives up for less */
    if (stopping != 0)
        stop_for_faults(p, stopping);
    if ((p->state == mnp_State_STATE_ARMED || p->state == mnp_State_STATE_RUNNING) && !is_as_armed(p))
        pen_end_run(p, mnp_EndReason_END_FAULT);
}

static void motor_tick(struct pen *p, const struct pen_sensors *in)
{
    bool running = p->state == mnp_State_STATE_RUNNING;
    int32_t duty_max = p->faults.word & FAULT_MASK(MOTOR_OVERTEMP) ? MOTOR_DUTY_DERATED_PERMILLE : 1000;

    if (in->stroke_done && moving(p)) {
        p->strokes_session++;
        p->run.strokes++;
        if (in->stroke_peak_um > p->run.depth_peak_um)
            p->run.depth_peak_um = in->stroke_peak_um;
    }
    p->out.enable = p->out.power = running;
    p->out.homing = p->state == mnp_State_STATE_SELFTEST;
    p->out.depth_set_um = running ? calibration_raw_depth_um(&p->frozen.calibration, (int32_t)p->frozen.settings.value[SETTING_depth_um]) : 0;
    p->out.duty_permille = running ? motor_step(&p->motor, in->rate_dhz, (int32_t)p->frozen.settings.value[SETTING_stroke_rate_dhz],
                                                p->frozen.settings.value[SETTING_soft_start_ms], duty_max)
                                   : 0;
}

void pen_tick(struct pen *p, const struct pen_sensors *raw, struct pen_actuators *out)
{
    struct pen_sensors calibrated = *raw;
    const struct pen_sensors *in = &calibrated;
    struct telemetry_facts facts;
    mnp_State before = p->state;

    p->now_ms++;
    calibration_apply(pen_is_live(p) ? &p->frozen.calibration : &p->factory.calibration, &calibrated);
    if (p->now_ms % CARTRIDGE_PERIOD_MS == 0 || p->now_ms == 1) {
        uint64_t now_s = p->host_time_s ? p->host_time_s + (p->now_ms - p->host_time_at_ms) / 1000 : 0;

        cartridge_update(p->port, &p->cartridge, &in->tag, now_s);
    }
    if (p->now_ms % MEMORY_CHECK_MS == 0)
        memory_check(p);
    p->hardware_ok &= in->hardware_ok; /* hardware that passed the self-test may fail later */
    p->image_ok &= in->image_ok;
    faults_tick(p, in);
    state_tick(p, in);
    p->trigger_held = p->detect.released_ms < TRIGGER_BOUNCE_MS;
    if (before == mnp_State_STATE_SELFTEST && p->state != before && p->selftest_reply != NULL)
        selftest_answer(p);
    motor_tick(p, in);
    facts = pen_telemetry_facts(p, in);
    telemetry_step(&p->telemetry, p->now_ms, in, &facts);
    pen_send(p);
    pen_status_tick(p);
    *out = p->out;
}
