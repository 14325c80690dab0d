/*
 * The stroke-rate controller: a soft-start ramp, then feed-forward plus an integral term on the duty. It only computes a
 * duty; whether the motor is enabled at all is the state machine's affair.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct motor {
    uint32_t on_ms;        /* since start */
    int32_t set_dhz;       /* the ramped set-point of this tick */
    int32_t integral;      /* 1/1000 permille */
};

#define MOTOR_DUTY_DERATED_PERMILLE 800

void motor_start(struct motor *m);

/* One tick: the duty in permille for the measured rate. */
int32_t motor_step(struct motor *m, int32_t measured_dhz, int32_t target_dhz, uint32_t soft_start_ms, int32_t duty_max);

/* The ramp is over and the rate has had settle_ms since then. */
bool motor_settled(const struct motor *m, uint32_t soft_start_ms, uint32_t settle_ms);

/* Load as the firmware estimates it: current beyond what friction takes at this rate, in permille of full load. */
int32_t motor_load_permille(int32_t current_ma, int32_t rate_dhz);
