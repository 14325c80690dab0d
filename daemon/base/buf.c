#include "buf.h"

#include <assert.h>
#include <stdlib.h>

static struct buf *pool;
static uint64_t allocations;

struct buf *buf_new(size_t cap)
{
    struct buf *b = pool;

    if (cap <= BUF_POOLED_CAP && b != NULL) {
        pool = b->next_free;
    } else {
        size_t size = cap <= BUF_POOLED_CAP ? BUF_POOLED_CAP : cap;

        b = size <= UINT32_MAX ? malloc(sizeof(*b) + size) : NULL;
        if (b == NULL)
            return NULL;
        b->cap = (uint32_t)size;
        allocations++;
    }
    b->refs = 1;
    b->length = 0;
    b->next_free = NULL;
    return b;
}

struct buf *buf_ref(struct buf *b)
{
    b->refs++;
    return b;
}

void buf_unref(struct buf *b)
{
    if (b == NULL)
        return;
    assert(b->refs > 0);
    if (--b->refs != 0)
        return;
    if (b->cap == BUF_POOLED_CAP) {
        b->next_free = pool;
        pool = b;
    } else {
        free(b);
    }
}

uint64_t buf_allocations(void)
{
    return allocations;
}

void buf_pool_free(void)
{
    while (pool != NULL) {
        struct buf *b = pool;

        pool = b->next_free;
        free(b);
    }
}
