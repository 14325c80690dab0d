/*
 * What is said of a pen, a step and a measurement, and why: one rule for each, here and nowhere else. All are functions of records, so that a report
 * made a year later says what the station said.
 *
 * A measurement: PASS, MARGINAL (within its limits, but not the narrower ones), FAIL, UNSET (it was not made, which fails). A step: FAIL if a
 * measurement fails, else MARGINAL or PASS; ERROR if it could not be carried out; SKIPPED; ABORTED. A run: ABORTED, ERROR or FAIL by its worst step;
 * DRY_RUN if steps that write for good were skipped because nothing was to be written: nothing that was carried out failed, but the pen has not
 * passed; else PASS. A pen: by its last run of the release plan that came to an end; see stats.h.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* By its measurements: "PASS", "MARGINAL", "FAIL". */
const char *verdict_of_attempt(const json_t *attempt);
/* The run's verdict by those of its steps (last attempts), and by an error of its own. */
const char *verdict_of_run(const json_t *run);

/* Whether this plan releases pens from the factory: it has irreversible steps. */
bool verdict_is_release(const json_t *run);
/* Whether the run judges its pen: it was completed, was no dry run, and the label was not rejected. */
bool verdict_is_final(const json_t *run);

/* "sag_mv is 351 mV, at most 250"; of a measurement that failed or was not made. */
void verdict_explain(const json_t *measurement, char *out, size_t cap);
/* Why a run did not pass, in one sentence: of its first step that did not ("battery: sag_mv is 351 mV, at most 250"), else of the run. "" if there
 * is nothing to say. */
void verdict_reason(const json_t *run, char *out, size_t cap);
