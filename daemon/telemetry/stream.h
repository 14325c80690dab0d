/*
 * Telemetry as messages in rings. A batch is put into its message once, the pen's bytes as they came, and that message is written once, to a ring that
 * all subscribers read. Those that asked for every n-th sample share another ring, of smaller batches, which are made once for all of them.
 */
#pragma once

#include "client.pb-c.h"
#include "ring.h"

struct streams;

/* 0 or -ENOMEM. */
int streams_new(struct streams **out);
void streams_free(struct streams *s);

/* Whether every how many-th sample may be asked for; 1 is all of them. */
bool stream_is_decimation(uint32_t decimation);
/* "1, 2, 5, ..." */
const char *stream_decimations(void);

/* The ring of a decimation, with one more reader; it is written to while it has any. NULL without memory. */
const struct ring *streams_ref(struct streams *s, uint32_t decimation);
/* Takes NULL. */
void streams_unref(struct streams *s, const struct ring *ring);

/* Writes a message for clients, length and content. Its bytes; 0: it is longer than the ring. */
size_t stream_put(struct ring *ring, const Mnc__ServerMessage *m, uint32_t tag, uint64_t now_us);

/* Writes a checked batch of a pen to every ring that is read; now_us: CLOCK_MONOTONIC. False: none is. The tag of the messages is the pen's id. */
bool streams_write(struct streams *s, uint32_t pen_id, const char *serial, const uint8_t *batch, size_t n, uint64_t now_us);

/* Bytes that a decimated batch has at the most. */
#define BATCH_DECIMATED_MAX 1100
/*
 * A batch with every n-th fast sample only: those whose number is a multiple of decimation (2 or more), so that batch after batch they are evenly
 * spaced; period_us and count say so. Columns that are not known here are left out, all else stays. The batch has passed batch_check(). Returns its
 * bytes; 0: no sample is left, or it does not fit.
 */
size_t batch_decimate(const uint8_t *batch, size_t n, uint32_t decimation, uint8_t *out, size_t cap);
