/*
 * mnd_shim is mnd with this in front of the C library: it counts the points at which the daemon changes what others can see (writes,
 * truncations and syncs of the journal's file, telling the loop, acknowledging to the pen), and can kill the process before or after any
 * of them, let those of the file fail, let one allocation fail, or set the clock. A test steers it through a file that both map: MN_SHIM.
 */
#pragma once

#include <stdint.h>

struct shim {
    uint64_t points;              /* so far; each is two: before it, and after it */
    uint64_t kill_at;             /* SIGKILL at this one; 0: never */
    int32_t write_error, sync_error; /* errno of every write or sync of the file, while it is not 0 */
    uint32_t sync_ms;             /* that every sync of the file takes longer */
    uint64_t allocations;         /* so far */
    uint64_t fail_at;             /* this one fails; 0: none */
    int64_t realtime_offset_s;    /* the clock is set by so much */
};
