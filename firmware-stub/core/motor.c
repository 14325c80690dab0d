#include "motor.h"

/* Constants of the motor, as model.h states them: 3.70 V rail, 14 mV/Hz, 2.5 Ohm, friction 80 mA + 0.7 mA/Hz. */
enum { RAIL_MV = 3700, BACK_EMF_UV_PER_DHZ = 1400, RESISTANCE_MOHM = 2500, FRICTION_MA = 80, FULL_LOAD_MA = 1300 };

static int32_t clamp(int32_t v, int32_t low, int32_t high)
{
    return v < low ? low : v > high ? high : v;
}

static int32_t friction_ma(int32_t rate_dhz)
{
    return FRICTION_MA + rate_dhz * 7 / 100;
}

void motor_start(struct motor *m)
{
    *m = (struct motor){0};
}

int32_t motor_step(struct motor *m, int32_t measured_dhz, int32_t target_dhz, uint32_t soft_start_ms, int32_t duty_max)
{
    int32_t error, forward_mv, duty;

    m->set_dhz = m->on_ms < soft_start_ms ? (int32_t)((int64_t)target_dhz * m->on_ms / soft_start_ms) : target_dhz;
    m->on_ms++;
    error = m->set_dhz - measured_dhz;
    forward_mv = m->set_dhz * BACK_EMF_UV_PER_DHZ / 1000 + friction_ma(m->set_dhz) * RESISTANCE_MOHM / 1000;
    duty = forward_mv * 1000 / RAIL_MV + error + m->integral / 1000;
    /* Anti-windup: integrate only while it can still change the duty. */
    if ((duty < duty_max || error < 0) && (duty > 0 || error > 0))
        m->integral = clamp(m->integral + error * 30, -1000000, 1000000);
    return clamp(duty, 0, duty_max);
}

bool motor_settled(const struct motor *m, uint32_t soft_start_ms, uint32_t settle_ms)
{
    return m->on_ms > soft_start_ms + settle_ms;
}

int32_t motor_load_permille(int32_t current_ma, int32_t rate_dhz)
{
    return clamp((current_ma - friction_ma(rate_dhz)) * 1000 / FULL_LOAD_MA, 0, 1000);
}
