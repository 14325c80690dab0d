/*
 * The record of one run: a JSON document (docs/factory-record.schema.json) that is begun before anything is done with the pen, with the verdict
 * INTERRUPTED, and written anew, whole, after each step. So whatever ends the program, a valid record of what was done is there; and it says
 * PASS only if the run came to its end.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "plan.h"

struct record {
    json_t *json;
    char path[512];
};

/* A step's attempt with all that its limits name UNSET. */
json_t *record_attempt(const struct plan_step *s);
/* Values of measurements, which find their limits; what has none is INFO. */
void record_number(json_t *attempt, const struct plan_step *s, const char *name, const char *unit, double value);
void record_text(json_t *attempt, const struct plan_step *s, const char *name, const char *value);
/* A curve of points [x, y], for the report. */
void record_point(json_t *attempt, const char *curve, double x, double y);
/* "2026-11-21T20:11:03.250Z" */
void record_now(char out[32]);

/* Removes the record of what turned out to be no run. */
void record_drop(const struct record *r);
/* Replaces the file atomically (temporary file, fsync, rename). Returns 0 or a negative errno. */
int record_write(const struct record *r);
