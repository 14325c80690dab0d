/* What benchmarks measure with. */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Of n sorted times: the one that so many percent of them are not longer than, us. */
static inline double percentile_us(const uint64_t *sorted_ns, size_t n, size_t percent)
{
    size_t at = n * percent / 100;

    return (double)sorted_ns[at < n ? at : n - 1] / 1000;
}

/* For qsort() of uint64_t. */
static inline int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}
