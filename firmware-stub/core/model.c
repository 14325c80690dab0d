#include "model.h"

#include <math.h>
#include <string.h>

#include "faults.h"

static const double PI = 3.14159265358979323846;
static const double DT_S = 0.001;
static const double RAIL_MV = 3700, EMF_MV_PER_HZ = 14, RESISTANCE_OHM = 2.5;
static const double FRICTION_MA = 80, FRICTION_MA_PER_HZ = 0.7, LOAD_MA_PER_PERMILLE = 1.3, ACCELERATION_HZ_PER_S_MA = 4;
static const double BRAKE_S = 0.010, STILL_HZ = 2;
static const double MOTOR_K_PER_W = 45, MOTOR_TAU_S = 300, GRIP_TAU_S = 60;
static const double ELECTRONICS_MA = 60, CHARGE_MA = 400, CELL_OHM = 0.1;

static bool has(const struct model *m, enum fault_bit bit)
{
    return (m->causes >> bit & 1) != 0;
}

static int32_t noise(struct model *m, int32_t amplitude)
{
    m->noise ^= m->noise << 13;
    m->noise ^= m->noise >> 17;
    m->noise ^= m->noise << 5;
    return (int32_t)(m->noise % (uint32_t)(2 * amplitude + 1)) - amplitude;
}

void model_init(struct model *m, uint32_t seed)
{
    memset(m, 0, sizeof(*m));
    m->noise = seed * 2654435761u | 1;
    m->ambient_c = m->motor_c = m->grip_c = m->battery_c = 24;
    m->vbus = true;
    m->depth_gain = m->rate_gain = m->torque = 1;
    m->motor_rail_mv = 3700;
    m->logic_rail_mv = 3300;
    m->vbus_mv = 5000;
    m->contact_permille = MODEL_CONTACT_LOAD_PERMILLE;
    model_set_charge_pct(m, 90);
    m->tag = (struct pen_tag){.present = true,
                              .readable = true,
                              .uid = 0x4d4e000000000000u | seed,
                              .lot = 2611,
                              .needle_count = 12,
                              .max_depth_um = 2000,
                              .expiry_s = 1924992000}; /* 2031-01-01 */
}

void model_set_charge_pct(struct model *m, double pct)
{
    m->charge_mah = MODEL_CAPACITY_MAH * pct / 100;
}

static double load_permille(const struct model *m)
{
    double load = (m->slipped_ms >= m->slip_ms ? m->load_permille : 0) + (m->trigger ? m->contact_permille : 0);

    if (has(m, FAULT_MOTOR_STALL))
        load = 2000;
    if (has(m, FAULT_STROKE_RATE_LOW))
        load += 700;
    return load;
}

static void step_motor(struct model *m, const struct pen_actuators *act)
{
    double duty = act->enable && act->power ? act->duty_permille / 1000.0 : 0;

    m->slipped_ms = m->load_permille > 0 ? m->slipped_ms + (m->slipped_ms < INT32_MAX) : 0;
    if (m->twitch_ms > 0) {
        m->twitch_ms--;
        duty = fmax(duty, 0.2);
    }

    if (has(m, FAULT_STROKE_RATE_HIGH) && act->enable && act->power)
        duty = 1; /* the driver is stuck on */
    if (has(m, FAULT_UNCOMMANDED_MOTION) && duty <= 0)
        duty = 0.3;
    if (duty > 0) {
        double friction = FRICTION_MA + m->friction_ma + FRICTION_MA_PER_HZ * m->rate_hz + LOAD_MA_PER_PERMILLE * load_permille(m);

        if (has(m, FAULT_UNCOMMANDED_MOTION))
            friction = FRICTION_MA;
        m->current_ma = fmax(0, (duty * RAIL_MV - EMF_MV_PER_HZ * m->rate_hz) / RESISTANCE_OHM);
        m->rate_hz = fmax(0, m->rate_hz + ACCELERATION_HZ_PER_S_MA * (m->current_ma * m->torque - friction) * DT_S);
    } else {
        m->current_ma = 0;
        if (!has(m, FAULT_STOP_TIMEOUT))
            m->rate_hz -= m->rate_hz * DT_S / BRAKE_S;
    }
    if (m->rate_hz < STILL_HZ && duty <= 0)
        m->rate_hz = 0;
    if (has(m, FAULT_MOTOR_OVERCURRENT) && duty > 0)
        m->current_ma += 1800;
}

/* The pen's own sensor, which has the same error as the drive. */
static int32_t raw_um(const struct model *m, int32_t um)
{
    double raw = (um - (um > 2200 ? m->bend_um : 0) - m->depth_offset_um) / m->depth_gain;

    return um == 0 || raw < 0 ? 0 : (int32_t)lround(raw);
}

static void step_needles(struct model *m, const struct pen_actuators *act, struct pen_sensors *out)
{
    int32_t peak;

    m->phase += m->rate_hz * DT_S;
    if (act->depth_set_um != 0)
        m->depth_set_um = act->depth_set_um;
    else if (m->rate_hz <= 0)
        m->depth_set_um = 0;
    peak = m->depth_set_um == 0 ? 0 : (int32_t)lround(m->depth_set_um * m->depth_gain + m->depth_offset_um);
    peak += (peak > 2200 ? (int32_t)m->bend_um : 0) - (int32_t)(0.06 * fmin(load_permille(m), 1000)) + m->peak_noise_um;
    if (has(m, FAULT_DEPTH_OVERSHOOT))
        peak += 200;
    if (has(m, FAULT_DEPTH_UNDERSHOOT))
        peak -= 300;
    if (peak < 0)
        peak = 0;
    if (m->phase >= 1) {
        m->phase -= floor(m->phase);
        out->stroke_done = true;
        m->peak_um = peak;
        out->stroke_peak_um = raw_um(m, peak);
        m->peak_noise_um = noise(m, 5);
    }
    out->depth_um = m->rate_hz > 0 ? (int32_t)(raw_um(m, peak) * 0.5 * (1 - cos(2 * PI * m->phase))) : 0;
}

static void step_heat(struct model *m)
{
    double watt = m->current_ma * m->current_ma * 1e-6 * RESISTANCE_OHM;

    m->motor_c += (m->ambient_c + watt * MOTOR_K_PER_W - m->motor_c) * DT_S / MOTOR_TAU_S;
    m->grip_c += (m->ambient_c + 0.25 * (m->motor_c - m->ambient_c) - m->grip_c) * DT_S / GRIP_TAU_S;
    m->run_ms = m->rate_hz > 0 ? m->run_ms + 1 : 0;
    m->bearing_c += m->run_ms > 8000 ? m->motor_k_per_s * DT_S : -m->bearing_c * DT_S;
    m->handle_c += m->run_ms > 8000 ? m->grip_k_per_s * DT_S : -m->handle_c * DT_S;
}

static void step_battery(struct model *m, const struct pen_actuators *act)
{
    double soc = 100 * m->charge_mah / MODEL_CAPACITY_MAH, open_mv = 3400 + 8 * soc;
    double motor_ma = act->duty_permille / 1000.0 * m->current_ma * RAIL_MV / open_mv;
    bool charging = m->vbus && !act->enable && soc < 100;

    m->battery_ma = charging ? CHARGE_MA : -(ELECTRONICS_MA + motor_ma);
    m->sag_mv += ((m->run_ms > 2000 ? m->sag_late_mv : 0) - m->sag_mv) * DT_S / 0.2;
    m->battery_mv = open_mv + CELL_OHM * m->battery_ma - m->sag_mv;
    m->charge_mah = fmin(MODEL_CAPACITY_MAH, fmax(0, m->charge_mah + m->battery_ma * DT_S / 3600));
}

static void read_cartridge(struct model *m, struct pen_sensors *out)
{
    out->tag = m->tag;
    if (has(m, FAULT_CARTRIDGE_ABSENT) || has(m, FAULT_CARTRIDGE_REMOVED_RUNNING))
        out->tag.present = false;
    if (has(m, FAULT_CARTRIDGE_UNREADABLE))
        out->tag.readable = false;
    if (has(m, FAULT_CARTRIDGE_EXPIRED)) {
        out->tag.uid ^= 0xe000;
        out->tag.expiry_s = 1;
    }
    if (has(m, FAULT_CARTRIDGE_DEPTH_MISMATCH)) {
        out->tag.uid ^= 0xd000;
        out->tag.max_depth_um = 50;
    }
}

static void read_battery(const struct model *m, struct pen_sensors *out)
{
    out->battery_soc_pct = (int32_t)lround(100 * m->charge_mah / MODEL_CAPACITY_MAH);
    out->battery_mv = (int32_t)lround(m->battery_mv);
    out->battery_ma = (int32_t)lround(m->battery_ma);
    out->battery_temp_dc = (int32_t)lround(m->battery_c * 10);
    out->battery_cycles = 12;
    if (has(m, FAULT_BATTERY_LOW))
        out->battery_soc_pct = 15;
    if (has(m, FAULT_BATTERY_CRITICAL))
        out->battery_soc_pct = 5;
    if (has(m, FAULT_BATTERY_FAULT))
        out->battery_temp_dc = 650;
}

void model_step(struct model *m, const struct pen_actuators *act, struct pen_sensors *out)
{
    *out = (struct pen_sensors){0};
    step_motor(m, act);
    step_needles(m, act, out);
    step_heat(m);
    step_battery(m, act);
    m->homing_ms = act->homing ? m->homing_ms + 1 : 0;
    if (m->homing_ms == 1)
        m->home_um = noise(m, 8 + m->home_spread_um);
    out->rate_dhz = (int32_t)lround(m->rate_hz * 10 / m->rate_gain * (m->rate_hz > 120 ? 1 - m->edges_lost : 1));
    out->encoder_edges = m->rate_hz >= STILL_HZ;
    out->motor_current_ma = (int32_t)lround(m->current_ma) - m->current_offset_ma;
    if (has(m, FAULT_ENCODER_LOSS)) {
        out->rate_dhz = 0;
        out->encoder_edges = false;
    }
    out->motor_temp_dc = has(m, FAULT_MOTOR_OVERTEMP) ? 850 : (int32_t)lround((m->motor_c + m->bearing_c) * 10);
    out->grip_temp_dc = (int32_t)lround((m->grip_c + m->handle_c) * 10);
    read_battery(m, out);
    out->vbus_mv = m->vbus ? m->vbus_mv + noise(m, 10) : 0;
    out->motor_rail_mv = act->power ? m->motor_rail_mv + noise(m, 5) : 0;
    out->logic_rail_mv = m->logic_rail_mv + noise(m, 3);
    out->trigger = m->trigger || has(m, FAULT_TRIGGER_STUCK);
    out->home_seen = m->homing_ms >= 120 && !has(m, FAULT_HOMING_FAILED);
    out->image_ok = !has(m, FAULT_FIRMWARE_INTEGRITY);
    out->hardware_ok = !has(m, FAULT_SELFTEST_FAILED);
    read_cartridge(m, out);
}
