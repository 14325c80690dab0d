/*
 * A test rig for the pen: one simulated pen without any socket, and a host's end that speaks frames to it. Time goes on only
 * when a test says so. What the pen sends is kept; a request's reply is looked for in it.
 *
 *     rig_start(&r); rig_arm(&r); rig_press(&r); rig_run(&r, 1000); assert_state(&r, RUNNING);
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vpen.h"

#define RIG_FRAMES 4096

struct rig {
    struct vpen v;
    bool deaf;            /* the host takes nothing: endpoints are busy */
    bool heartbeat;       /* sent every 50 ms while time runs */
    uint16_t sequence, correlation;
    uint32_t session;
    struct mn_frame frames[RIG_FRAMES]; /* all that came, payloads copied */
    uint8_t (*payloads)[MN_FRAME_PAYLOAD_MAX];
    size_t count;
    struct mn_pen_status status; /* the last */
    size_t statuses;
    uint64_t telemetry_frames;
    bool keep_telemetry;
};

/* Boots the pen to SAFE and opens a session. nvm_path may be NULL. */
void rig_start(struct rig *r);
void rig_start_with(struct rig *r, uint32_t seed, const char *nvm_path);
/* serial "": a pen fresh off the factory's line. */
void rig_start_as(struct rig *r, const char *serial, uint32_t seed, const char *nvm_path);
void rig_stop(struct rig *r);

void rig_run(struct rig *r, uint32_t ms);
/* Runs until the condition's state is reached; fails after limit_ms. Returns the ms it took. */
uint32_t rig_until_state(struct rig *r, mnp_State state, uint32_t limit_ms);
uint32_t rig_until_fault(struct rig *r, unsigned code, uint32_t limit_ms);

/* Sends a request and returns its reply's frame (type with REPLY or ERROR); fails if none comes within 1 s of pen time. */
const struct mn_frame *rig_call(struct rig *r, uint16_t type, const pb_msgdesc_t *fields, const void *request);
/* The same with raw bytes and a given correlation. */
void rig_send(struct rig *r, uint16_t type, uint16_t correlation, const void *payload, size_t n);
const struct mn_frame *rig_reply(struct rig *r, uint16_t correlation);
void rig_decode(const struct mn_frame *f, const pb_msgdesc_t *fields, void *out);
mnp_ErrorCode rig_error(const struct mn_frame *f);

void rig_hello(struct rig *r);
mnp_ConfigState rig_config(struct rig *r);
/* Sets one value; fails unless the pen takes it. */
void rig_set(struct rig *r, enum setting s, uint32_t value);
/* ARM for a zone (a row of policy/zones.def) in a treatment, with the configuration and the cartridge that the pen has. */
mnp_Arm rig_arming(const struct rig *r, uint32_t zone, uint64_t treatment);
/* For the cheek, in treatment 1; fails unless it is ARMED then. */
void rig_arm(struct rig *r);
void rig_say(struct rig *r, const char *line);
bool rig_has_fault(const struct rig *r, unsigned code);

/* One for each test: setup and teardown. */
extern struct rig the_rig;
int rig_setup(void **state);
int rig_teardown(void **state);
/* Arms for the cheek, and presses the trigger; lets it go, and waits until the pen is SAFE. */
void rig_start_needles(struct rig *r);
void rig_stop_needles(struct rig *r);
/* One millisecond, with its heartbeat, in which lie(), if there is one, has the last word about what the sensors read. */
void rig_step(struct rig *r, void (*lie)(struct pen_sensors *s));
