/*
 * A simulated pen on the factory's line: how it comes there (no serial number, an empty memory, sensors and drives that are off by a little, and
 * perhaps a defect), and what a fixture holds against it. The gauges read the model, never the firmware: what the pen believes does not matter.
 *
 * Lines of the simulation:
 *   mark                      the gauges begin anew
 *   gauges                    since then: moving_ms, strokes, rate_hz (mean, while it moved), peak_um (mean), peak_max_um; and now: home_um,
 *                             clock_ms, moved_ms (when the needles moved last), cut_ms (when the motor was driven last), and when the
 *                             load was last set, the cable last pulled, the last heartbeat seen (loaded_ms, unplugged_ms, heartbeat_ms)
 *   label                     what is printed on its housing: serial= udi=
 *   contact PERMILLE          the load of skin while the trigger is held: 0 in a fixture
 *   cartridge gauge           one whose needles may go 2500 um; blank, used, expired, foreign: as the words say
 *   defect NAME               of defects.def, or "deaf CODE"
 */
#pragma once

#include "vpen.h"

/* The key of simulated pens only: real ones have a secret one. */
#define LINE_KEY "mn simulated pens only"

void line_init(struct vpen *v, uint32_t seed);
/* NULL, or what is wrong with the name. */
const char *line_defect(struct vpen *v, const char *name);
/* True: it was such a line, and it is answered. */
bool line_command(struct vpen *v, const char *verb, const char *rest, char *answer, size_t cap);

/* Between the model and the firmware, each millisecond. */
void line_step(struct vpen *v);
void line_restarts(struct vpen *v, mnp_ResetCause cause);
/* False: the firmware does not notice. */
bool line_plugs(struct vpen *v, bool plugged);
/* Transmits; false: busy. */
bool line_sends(struct vpen *v, enum pen_endpoint endpoint, const uint8_t *bytes, size_t n);
/* False: it does not reach the memory, or the firmware. */
bool line_writes(struct vpen *v, uint32_t offset);
bool line_reads(const struct vpen *v, uint32_t offset);
bool line_prove(void *ctx, const uint8_t challenge[16], uint8_t mac[32]);
