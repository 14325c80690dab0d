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

struct tape_message {
    uint64_t time_us; /* the writer's own */
    uint32_t at, length;
    uint32_t tag;     /* the writer's own */
};

struct tape {
    uint8_t *bytes;
    struct tape_message *messages; /* number n is messages[n % messages_max] */
    uint32_t size, messages_max;
    uint32_t write;                /* where the next one goes */
    uint64_t first, end;           /* those that are there: first <= n < end */
};

/* Bytes and messages that it holds at the most, neither 0. 0, -ENOMEM. A zeroed tape may be freed. */
int tape_init(struct tape *t, uint32_t size, uint32_t messages_max);
void tape_deinit(struct tape *t);

/* Room for a message of n bytes, which is there once it is committed (with its length, at most n); NULL if n is 0, or more than the tape's
 * size. The oldest messages go. */
uint8_t *tape_reserve(struct tape *t, size_t n);
void tape_commit(struct tape *t, size_t n, uint32_t tag, uint64_t time_us);

/* Forgets them all; numbers go on. */
void tape_clear(struct tape *t);

/* The message of a number from first to before end. */
static inline const struct tape_message *tape_message(const struct tape *t, uint64_t number)
{
    return &t->messages[number % t->messages_max];
}

static inline const uint8_t *tape_bytes(const struct tape *t, uint64_t number)
{
    return t->bytes + tape_message(t, number)->at;
}

/* The first number behind those from `number` on, up to before `until`, whose bytes are one run. Its bytes are *n. */
uint64_t tape_run(const struct tape *t, uint64_t number, uint64_t until, size_t *n);
