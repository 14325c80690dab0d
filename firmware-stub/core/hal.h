/*
 * What the firmware asks of the board it runs on: sensors in, actuators out, memory and link by function pointer. The
 * core includes no operating system header; a real pen fills these structs from its peripherals, penstub from model.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEN_TICK_US 1000u /* pen_tick() is called once a millisecond of the pen's own time */

struct pen_tag {
    bool present;
    bool readable;
    uint64_t uid;
    uint32_t lot;
    uint32_t needle_count;
    uint32_t max_depth_um;
    uint64_t expiry_s; /* Unix time */
};

struct pen_sensors {
    int32_t rate_dhz;      /* by the encoder */
    bool encoder_edges;    /* any in this tick */
    bool stroke_done;      /* a stroke ended in this tick ... */
    int32_t stroke_peak_um; /* ... and went this deep (captured by hardware, finer than the tick) */
    int32_t depth_um;      /* of the needles now; 0: retracted */
    int32_t motor_current_ma;
    int32_t motor_temp_dc; /* 0.1 degC, as all _dc */
    int32_t grip_temp_dc;
    int32_t battery_temp_dc;
    int32_t battery_mv; /* under the present load */
    int32_t battery_ma; /* negative: discharging */
    int32_t battery_soc_pct;
    int32_t battery_cycles;
    int32_t vbus_mv;
    int32_t motor_rail_mv;
    int32_t logic_rail_mv;
    bool trigger;
    bool home_seen;   /* the home switch, meaningful while homing */
    bool image_ok;    /* hash of the firmware image, read at boot */
    bool hardware_ok; /* RAM, ADC, reference and enable line, read in SELFTEST */
    struct pen_tag tag;
};

struct pen_actuators {
    bool enable; /* first disable path: the driver's enable line */
    bool power;  /* second: the motor rail's switch; the motor turns only with both */
    bool homing;
    int32_t duty_permille;
    int32_t depth_set_um; /* 0: retract */
};

enum pen_endpoint { PEN_BULK_IN, PEN_INTERRUPT_IN };

struct pen_port {
    void *ctx;
    /* Takes n bytes as one transfer, or returns false at once if the endpoint is busy. */
    bool (*send)(void *ctx, enum pen_endpoint endpoint, const uint8_t *bytes, size_t n);
    /* Non-volatile memory of PEN_NVM_SIZE bytes; false: could not. A write that returned true has reached the memory. */
    bool (*nvm_read)(void *ctx, uint32_t offset, void *bytes, size_t n);
    bool (*nvm_write)(void *ctx, uint32_t offset, const void *bytes, size_t n);
    uint32_t (*random)(void *ctx);
    const char *serial;            /* of the board; "": it gets one in the factory */
    const char *hardware_revision; /* by its straps */
    const uint8_t *image_sha256;   /* 32 bytes, of the firmware's image; NULL: the board cannot say */
    /* HMAC-SHA-256 of the challenge under the factory's key, which stays in the board; NULL, or false: it has none. */
    bool (*prove)(void *ctx, const uint8_t challenge[16], uint8_t mac[32]);
};
