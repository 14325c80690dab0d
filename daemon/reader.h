/*
 * One program's place on a tape of telemetry or traffic. It takes the messages that it wants as runs of bytes for one gathered write, and is
 * moved on by as many bytes as were written. What it does not take in time is gone, and counted: when it was written over, or after
 * READER_AGE_MAX_US, since older telemetry is not live.
 */
#pragma once

#include <sys/uio.h>

#include "tape.h"

#define READER_AGE_MAX_US 5000000

struct reader {
    const struct tape *tape; /* NULL: reads nothing */
    uint64_t next;
    uint64_t missed;  /* messages, of any tag */
    uint64_t hold_us; /* a message may wait so long for others to go with it */
    bool (*wants)(const void *ctx, uint32_t tag); /* NULL: all */
    const void *ctx;
};

/* From now on, from this tape, or from none. */
void reader_begin(struct reader *r, const struct tape *t);

/* When there is something to be taken; UINT64_MAX: nothing is there. Goes over what is too old. */
uint64_t reader_due_us(struct reader *r, uint64_t now_us);

/* Runs to be written, at most max: how many. Good until the tape is written to. */
int reader_gather(const struct reader *r, struct iovec *out, int max);

/* The first n bytes of what was gathered are written. If that ends within a message, *cut is what is left of it, else empty. */
void reader_advance(struct reader *r, size_t n, struct iovec *cut);
