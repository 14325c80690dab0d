/*
 * A plan as a program sends it, read into a treatment: every word checked, nothing asked of anybody.
 */
#pragma once

#include "client.pb-c.h"
#include "treatment.h"

/* Fills subject, indication, zones, answers, numbing, products and overrides; now_us is the time that treatment_context has: how long the machine has been up does not matter. False: one sentence in why. */
bool plan_read(struct treatment *t, const Mnc__Plan *m, uint64_t now_us, char *why, size_t cap);
