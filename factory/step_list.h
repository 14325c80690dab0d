/* The built-in steps, by the file that they are in. Limits and sources of what they measure: docs/factory.md. */
#pragma once

#include "steps.h"

/* step_link.c: what the pen says */
enum outcome step_enumerate(struct slot *s);
enum outcome step_boot(struct slot *s);
enum outcome step_integrity(struct slot *s);
enum outcome step_link(struct slot *s);
enum outcome step_malformed(struct slot *s);

/* step_motion.c: what the needles do */
enum outcome step_homing(struct slot *s);
enum outcome step_calibrate(struct slot *s);
enum outcome step_depth(struct slot *s);
enum outcome step_rate(struct slot *s);
enum outcome step_brake(struct slot *s);
enum outcome step_stall(struct slot *s);
enum outcome step_heartbeat(struct slot *s);
enum outcome step_cable(struct slot *s);

/* step_parts.c: the rest of the hardware */
enum outcome step_rails(struct slot *s);
enum outcome step_current(struct slot *s);
enum outcome step_trigger(struct slot *s);
enum outcome step_cartridge(struct slot *s);
enum outcome step_battery(struct slot *s);
enum outcome step_soak(struct slot *s);

/* step_faults.c */
enum outcome step_faults(struct slot *s);

/* step_identity.c: what is written for good */
enum outcome step_identity(struct slot *s);
enum outcome step_leave(struct slot *s);
