/*
 * A small physical model of the pen's hardware, for tests and for the simulated pen: motor with inertia, friction and
 * load, needle depth, heat, battery, cartridge, trigger. One step is one tick of the firmware. Deterministic.
 *
 * The equations, so that a test can check the curves against them (U in mV, I in mA, r in Hz, L load in permille):
 *   motor     I = (duty * 3700 - 14 r) / 2.5          a DC motor at a 3.7 V rail: 14 mV/Hz, 2.5 Ohm
 *             dr/dt = 4 (I - (80 + 0.7 r) - 1.3 L)    friction and load in mA of motor current; time constant 40 ms
 *             at full duty: r = (1400 - 1.3 L) / 6.3; stall at L = 1077
 *             off: dr/dt = -r / 10 ms (shorted windings brake)
 *   heat      P = I^2 * 2.5 Ohm; motor: 45 K/W, time constant 300 s; grip: ambient + 1/4 of the motor's rise, 60 s
 *   battery   800 mAh; open circuit 3400 mV + 8 mV per %; 0.1 Ohm; electronics 60 mA; charges with 400 mA on USB at rest
 *   depth     peak = set - 0.06 um * L, +-5 um
 *   sensors   what the pen's own sensors say is off by gains and offsets, 1 and 0 unless it comes off the line: true = raw * gain + offset
 * Free-running current, motor and grip temperatures, battery voltage and sag lie within the factory's limits.
 */
#pragma once

#include "hal.h"

/* Causes of faults that the model can be told to have; a bit for each row of faults.def, by the same numbers. */
struct model {
    /* Off the line: how raw figures become true ones, and what else is the matter. */
    double depth_gain, depth_offset_um, rate_gain;
    double bend_um;             /* deeper, beyond 2200 um */
    double edges_lost;          /* of the encoder's, above 120 Hz: 0..1 */
    double friction_ma, torque; /* more of it; 1 */
    double motor_k_per_s, grip_k_per_s; /* more, after 8 s of running */
    double run_ms, bearing_c, handle_c; /* that heat, gone soon after it stops */
    double sag_late_mv;         /* of the cell, after 2 s of running */
    double sag_mv;
    int32_t current_offset_ma, slip_ms, slipped_ms, motor_rail_mv, logic_rail_mv, vbus_mv, home_spread_um;
    int32_t contact_permille;   /* while the trigger is held: MODEL_CONTACT_LOAD_PERMILLE, or 0 in a fixture */
    int32_t home_um;            /* where the needles stood when they were homed */
    double twitch_ms;           /* needles move by themselves for so long */
    int32_t peak_um;            /* true, of the last stroke */
    uint32_t causes;       /* injected: bit i makes the cause of fault row i true */
    int32_t load_permille; /* from outside, 0..2000 */
    bool trigger;
    bool vbus;             /* plugged in */
    double rate_hz;
    double phase;          /* of the stroke, 0..1 */
    double current_ma;
    double motor_c, grip_c, battery_c, ambient_c;
    double charge_mah;
    double battery_ma;
    double battery_mv;
    int32_t depth_set_um;  /* of the present stroke */
    int32_t peak_noise_um;
    uint32_t homing_ms;
    uint32_t noise;        /* state of the generator */
    struct pen_tag tag;
};

#define MODEL_CONTACT_LOAD_PERMILLE 150 /* of skin, while the trigger is held */
#define MODEL_CAPACITY_MAH 800.0

void model_init(struct model *m, uint32_t seed);
void model_set_charge_pct(struct model *m, double pct);

/* One millisecond: what the firmware commands, and what its sensors then read. */
void model_step(struct model *m, const struct pen_actuators *act, struct pen_sensors *out);
