/*
 * A message on its way to clients: encoded once, shared by all that get it, released when the last has sent it. Buffers come from a pool and go back to it,
 * so that a stream allocates nothing once it flows. Loop thread only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BUF_POOLED_CAP 1280 /* the largest frame's payload and its envelope */

struct buf {
    unsigned refs;
    uint32_t length;
    uint32_t cap;
    struct buf *next_free;
    uint8_t bytes[];
};

/* One reference, for the caller; NULL without memory. */
struct buf *buf_new(size_t cap);
struct buf *buf_ref(struct buf *b);
/* Takes NULL. */
void buf_unref(struct buf *b);

/* Buffers taken from the system since start, for the test that counts them. */
uint64_t buf_allocations(void);

/* Gives the pool back to the system. */
void buf_pool_free(void);
