/*
 * A whole simulated pen: the firmware core, the model of its hardware, and its non-volatile memory (a file, or memory that
 * dies with the program). It knows no socket: bytes leave through a function. One thread; no two pens share anything.
 */
#pragma once

#include "command.h"
#include "model.h"
#include "nvm.h"
#include "pen.h"

enum defect {
#define DEFECT(name, step, text) DEFECT_##name,
#include "defects.def"
#undef DEFECT
    DEFECT_COUNT
};

#define VPEN_SERIAL_MAX 32

struct vpen {
    struct pen pen;
    struct model model;
    struct pen_port port;
    struct pen_sensors sensors;
    struct pen_actuators actuators;
    char serial[VPEN_SERIAL_MAX + 1];
    uint8_t *nvm;
    bool nvm_is_file;
    bool nvm_broken; /* writes fail, for tests */
    bool dark;       /* the power went in a write */
    uint32_t cut_in, cut_bytes; /* in the how manyth write that will be (0: never), and how much of it arrives */
    uint64_t clock_ms, moved_ms; /* of the model, which no reset of the firmware sets back: now, and when the needles last moved */
    uint64_t defects; /* bits: what it came off the line with */
    uint32_t deaf;    /* bits of faults whose causes it does not notice */
    unsigned long_frames, replies;
    uint64_t label;   /* on its housing */
    uint64_t quiet_until_ms, held_since_ms, unplugged_at_ms, loaded_at_ms, cut_at_ms, tag_due_ms, released_at_ms; /* by clock_ms; cut: the motor was driven last */
    struct pen_tag tag_due;
    struct { /* the gauges of a fixture, since they were marked */
        uint64_t since_ms, moving_ms, strokes;
        double rate_sum_hz, peak_sum_um;
        int32_t peak_max_um;
    } gauges;
    uint8_t image[32];
    char revision[9];
    bool hung;       /* the firmware has stopped; only the model goes on */
    uint32_t hung_ms;
    uint32_t random;
    bool (*transmit)(void *ctx, enum pen_endpoint endpoint, const uint8_t *bytes, size_t n);
    void *ctx;
};

/* A pen without a serial number is fresh off the line (line.h). 0, or a negative errno if the memory's file cannot be used. seed makes the pen's randomness; nvm_path may be NULL. */
int vpen_init(struct vpen *v, const char *serial, uint32_t seed, const char *nvm_path,
              bool (*transmit)(void *ctx, enum pen_endpoint endpoint, const uint8_t *bytes, size_t n), void *ctx);
void vpen_deinit(struct vpen *v);

/* Runs the pen for so many milliseconds of its own time. */
void vpen_advance(struct vpen *v, uint32_t ms);

/* Off and on again, at once; the memory stays. */
void vpen_power_cycle(struct vpen *v, mnp_ResetCause cause);

/* Cable in or out. */
void vpen_plug(struct vpen *v, bool plugged);

/* One line of the control language (vpen_help); the answer begins with "ok" or "error: ". */
void vpen_command(struct vpen *v, const char *line, char *answer, size_t cap);

extern const char vpen_help[];
