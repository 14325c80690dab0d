#include "stall.h"

#include <time.h>

#include "clock.h"
#include "log.h"

enum { BUCKETS = 7, BUCKET_US = 10000000 }; /* a minute, and the ten seconds that have begun */

static struct bucket {
    uint64_t number; /* since CLOCK_MONOTONIC's beginning */
    struct stall longest;
} buckets[BUCKETS];
static struct stall longest = {.what = ""};
static uint64_t began_us;
static const char *doing = "";

void stall_begin(void)
{
    began_us = clock_us(CLOCK_MONOTONIC);
    doing = "an event";
}

void stall_doing(const char *what)
{
    doing = what;
}

static void note(uint64_t now_us, struct stall s)
{
    struct bucket *b = &buckets[now_us / BUCKET_US % BUCKETS];

    if (b->number != now_us / BUCKET_US || s.us > b->longest.us)
        b->longest = s;
    b->number = now_us / BUCKET_US;
    if (s.us > longest.us)
        longest = s;
}

void stall_end(void)
{
    uint64_t now_us = clock_us(CLOCK_MONOTONIC);
    struct stall s = {.us = now_us - began_us, .what = doing};

    note(now_us, s);
    if (s.us > STALL_LOG_US)
        log_warning("the loop served nobody else for %.1f ms: %s", (double)s.us / 1000, s.what);
}

struct stall stall_longest(void)
{
    return longest;
}

struct stall stall_recent(void)
{
    uint64_t now = clock_us(CLOCK_MONOTONIC) / BUCKET_US;
    struct stall most = {.what = ""};

    for (unsigned i = 0; i < BUCKETS; i++) {
        if (buckets[i].number + BUCKETS > now && buckets[i].longest.us > most.us)
            most = buckets[i].longest;
    }
    return most;
}

int stall_loop(sd_event *event)
{
    int r = 0;

    while (r >= 0 && sd_event_get_state(event) != SD_EVENT_FINISHED) {
        r = sd_event_prepare(event);
        if (r == 0)
            r = sd_event_wait(event, UINT64_MAX);
        if (r <= 0)
            continue;
        stall_begin();
        r = sd_event_dispatch(event);
        stall_end();
    }
    if (r < 0)
        return r;
    return sd_event_get_exit_code(event, &r) < 0 ? 0 : r;
}
