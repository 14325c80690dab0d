/*
 * The station's memory: an SQLite file with a row for each run, step and measurement, for what can be asked of many runs (yield, capability, one
 * pen's past). The records themselves stay the truth: the file can be made anew from them. Any thread; a call waits for the disk, and for calls of other threads.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct history;

/* Opens or makes it; NULL after a sentence in why. */
struct history *history_open(const char *path, char *why, size_t cap);
void history_close(struct history *h);

/* A finished run's record; one that is there already is replaced. 0, or -1 after a sentence. */
int history_add(struct history *h, const json_t *run, char *why, size_t cap);

/* The run in which this serial number was last written for good into a pen, and when that began. */
bool history_given(struct history *h, const char *serial, char *run, size_t run_cap, char *began, size_t began_cap);

/*
 * As JSON, or NULL after a sentence: {"runs", "pens", "passed", "yield", "first_pass_yield", "plan": {...}, "plans": [{"name", "sha256", "limits_sha256",
 * "release", "runs", "pens", "passed", "yield", "first_pass_yield"}], "by_verdict": {...}, "failures": [{"step", "count"}],
 * "capability": [{"step", "name", "unit", "count", "mean", "deviation", "cpk"}], "latest": [{"run", "serial", "slot", "began", "verdict", "seconds"}]}.
 * serial (NULL: all): of this pen only.
 */
json_t *history_summary(struct history *h, const char *serial, char *why, size_t cap);
