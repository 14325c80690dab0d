/*
 * Whole messages, one behind the other in a ring of bytes, each written over the oldest. The messages are numbered from 0, so that a number
 * is a place that only grows: any number of readers keep one each, read as fast as they can, and see by it what they were too slow for. A
 * writer never waits, and what was written is never copied: messages that lie side by side are one run of bytes.
 *
 *      bytes  | 7 ........ | 8 .... | (free) | 3 .... | 4 ... | 5 ........ | 6 ... | (too short for 7) |
 *                                            first = 3                                         end = 9
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring_message {
    uint64_t time_us; /* the writer's own */
    uint32_t at, length;
    uint32_t tag;     /* the writer's own */
};

struct ring {
    uint8_t *bytes;
    struct ring_message *messages; /* number n is messages[n % messages_max] */
    uint32_t size, messages_max;
    uint32_t write;                /* where the next one goes */
    uint64_t first, end;           /* those that are there: first <= n < end */
};

/* Bytes and messages that it holds at the most, neither 0. 0, -ENOMEM. A zeroed ring may be freed. */
int ring_init(struct ring *t, uint32_t size, uint32_t messages_max);
void ring_deinit(struct ring *t);

/* Room for a message of n bytes, which is there once it is committed (with its length, at most n); NULL if n is 0, or more than the ring's
 * size. The oldest messages go. */
uint8_t *ring_reserve(struct ring *t, size_t n);
void ring_commit(struct ring *t, size_t n, uint32_t tag, uint64_t time_us);

/* Forgets them all; numbers go on. */
void ring_clear(struct ring *t);

/* The message of a number from first to before end. */
static inline const struct ring_message *ring_message(const struct ring *t, uint64_t number)
{
    return &t->messages[number % t->messages_max];
}

static inline const uint8_t *ring_bytes(const struct ring *t, uint64_t number)
{
    return t->bytes + ring_message(t, number)->at;
}

/* The messages [number, result), at most up to until, are contiguous in memory: *n bytes. */
uint64_t ring_run(const struct ring *t, uint64_t number, uint64_t until, size_t *n);
