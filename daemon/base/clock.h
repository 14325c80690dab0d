/*
 * The clocks, in microseconds. Where an event source is served, loop_us() is the right one: it is read once per iteration of the loop and costs no
 * system call after that.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>
#include <time.h>

/* When the present iteration of the loop began, by CLOCK_MONOTONIC, CLOCK_BOOTTIME or CLOCK_REALTIME. Loop thread only. */
uint64_t loop_us(sd_event *event, clockid_t clock);

/* Now, by any clock; CLOCK_REALTIME is Unix time. Any thread. */
uint64_t clock_us(clockid_t clock);
