/*
 * Many runs, as figures. Yield: pens that passed in the end, of all; first-pass yield: those that passed in their first run, at each step's first
 * attempt. A pen is its serial number, or its slot and run without one. Cpk: distance from the mean to the nearer limit, in three standard deviations, of
 * measurements with limits and at least two values.
 */
#pragma once

#include <jansson.h>

/* runs: an array of records, in order of time; what is returned is described in history.h. */
json_t *stats_summary(const json_t *runs);
/* Every .json below the paths that is a record, by time; what is none is said in a sentence on stderr. */
json_t *stats_load(const char *const *paths, size_t n);
