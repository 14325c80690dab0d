/*
 * A plan as a client sends it, read into a treatment. Every value is checked; no state is read.
 */
#pragma once

#include "client.pb-c.h"
#include "treatment.h"

/* Fills subject, indication, zones, answers, numbing, products and overrides; now_us is the time that treatment_context has: how long the machine has been up does not matter. False: one sentence in why. */
bool plan_read(struct treatment *t, const Mnc__Plan *m, uint64_t now_us, char *why, size_t cap);
