/*
 * Many runs, as figures. Yield is that of the release plan, as it was last: a plan and its limits, named by their hashes, that writes for good (without
 * one, the last plan there is). A pen passes by its last run of it that came to its end; runs of other plans, dry runs and aborted runs say nothing of
 * it. First-pass yield: pens that passed in their first such run, at each step's first attempt. A pen is its serial number, or its run without one.
 * Cpk: distance from the mean to the nearer limit, in three standard deviations; of measurements that have a unit and limits, and vary, from
 * STATS_CPK_MIN values on: fewer say nothing.
 */
#pragma once

#include <jansson.h>

enum { STATS_CPK_MIN = 25 };

/* runs: an array of records, in order of time; what is returned is described in history.h. */
json_t *stats_summary(const json_t *runs);
/* Every .json below the paths that is a record, by time; what is none is said in a sentence on stderr. */
json_t *stats_load(const char *const *paths, size_t n);
