#include "heap.h"

#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local unsigned mocks; /* depth */

void heap_is_mocks(bool begins)
{
    mocks += begins ? 1 : (unsigned)-1;
}

#ifdef __SANITIZE_ADDRESS__
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *p, size_t n), void (*on_free)(const volatile void *p));

enum { PLACES = 1 << 17 };

/* What is allocated and counted: open addressing. Hooks run inside malloc(): no library call here. */
static struct {
    const volatile void *at;
    size_t n;
} live[PLACES];
static size_t bytes, count, calls;
static int held;

static void lock(void)
{
    while (__atomic_exchange_n(&held, 1, __ATOMIC_ACQUIRE) != 0)
        ;
}

static void unlock(void)
{
    __atomic_store_n(&held, 0, __ATOMIC_RELEASE);
}

static size_t home(const volatile void *p)
{
    return (size_t)(((uintptr_t)p >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40) % PLACES;
}

static void on_malloc(const volatile void *p, size_t n)
{
    size_t i = home(p);

    if (mocks > 0 || p == NULL)
        return;
    lock();
    calls++;
    if (++count > PLACES / 2)
        abort();
    while (live[i].at != NULL)
        i = (i + 1) % PLACES;
    live[i].at = p;
    live[i].n = n;
    bytes += n;
    unlock();
}

static void on_free(const volatile void *p)
{
    size_t i = home(p);

    lock();
    while (live[i].at != NULL && live[i].at != p)
        i = (i + 1) % PLACES;
    if (live[i].at != NULL) {
        bytes -= live[i].n;
        count--;
        live[i].at = NULL;
        for (size_t j = (i + 1) % PLACES; live[j].at != NULL; j = (j + 1) % PLACES) { /* what stood behind it moves up, if it may */
            if ((j - home(live[j].at)) % PLACES < (j - i) % PLACES)
                continue;
            live[i] = live[j];
            live[j].at = NULL;
            i = j;
        }
    }
    unlock();
}

void heap_count(void)
{
    if (__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) == 0) {
        fprintf(stderr, "the sanitizer takes no hooks\n");
        abort();
    }
}

bool heap_calls(size_t *n)
{
    lock();
    *n = calls;
    unlock();
    return true;
}

size_t heap_bytes(void)
{
    size_t n;

    lock();
    n = bytes;
    unlock();
    return n;
}
#else
void heap_count(void)
{
}

bool heap_calls(size_t *n)
{
    *n = 0;
    return false;
}

size_t heap_bytes(void)
{
    return mallinfo2().uordblks;
}
#endif
