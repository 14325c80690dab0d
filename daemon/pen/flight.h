/*
 * The flight recorder of one pen: its last telemetry batches, as they came, in a ring of fixed size. When a fault was reported, the telemetry from 5 s before to
 * 1 s after it is cut out, to be kept with the record.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLIGHT_BEFORE_US 5000000
#define FLIGHT_AFTER_US 1000000

struct flight;

/* NULL without memory; the other calls take NULL and then do nothing. */
struct flight *flight_new(void);
void flight_free(struct flight *f);

/* The pen has restarted: its time begins anew. */
void flight_reset(struct flight *f);

/* A batch whose first sample was taken at t_us of the pen's time. Allocates nothing. */
void flight_add(struct flight *f, uint64_t t_us, const uint8_t *batch, size_t n);

/* A fault happened at t_us of the pen's time, and its record has this number; the flight is cut at cut_by_ms at the latest (the pen may fall silent). */
void flight_fault(struct flight *f, uint32_t number, uint64_t t_us, uint64_t cut_by_ms);

/* Cuts a flight that is complete or due, or any that is pending if all: returns its number, or 0. *bytes is then u16 little-endian lengths, each followed by its
 * batch, to be freed with free(); NULL if there was no telemetry. */
uint32_t flight_cut(struct flight *f, uint64_t now_ms, bool all, uint8_t **bytes, size_t *n);
/* When the next one is due; UINT64_MAX: none is pending. */
uint64_t flight_due_ms(const struct flight *f);
