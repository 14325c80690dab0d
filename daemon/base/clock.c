#include "clock.h"

uint64_t loop_us(sd_event *event, clockid_t clock)
{
    uint64_t us = 0;

    sd_event_now(event, clock, &us);
    return us;
}

uint64_t clock_us(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
