/* What the files of the pen share: pen.c is its state machine, pen_records.c what it records, pen_status.c what it sends by itself. */
#pragma once

#include "pen.h"

void pen_record_boot(struct pen *p);
/* One record for each of the bits. */
void pen_record_faults(struct pen *p, uint32_t bits, bool raised);
void pen_record_config(struct pen *p);
/* False: the memory refused, and no run may begin. */
bool pen_record_run_begun(struct pen *p);
/* At boot: a run that has begun, and whose end the power took away. */
void pen_record_broken_run(struct pen *p);
void pen_record_run(struct pen *p);

/* Whether the needles may move, or come to move. */
bool pen_is_live(const struct pen *p);
/* The settings that count now: those of the ARM until the needles stand. */
const struct settings *pen_in_force(const struct pen *p);

/* What every batch of telemetry says beside its samples. */
struct telemetry_facts pen_telemetry_facts(const struct pen *p, const struct pen_sensors *in);
/* Sends a status when something in it has changed, and once a second. */
void pen_status_tick(struct pen *p);
