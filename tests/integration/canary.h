/*
 * Canaries: on each processor a process that does nothing but sleep for 2 ms, again and again. How much longer that takes is for how long the machine had no
 * time for somebody who was ready: of a limit of the clock that was missed meanwhile nobody knows whose time it was.
 */
#pragma once

#include <stdint.h>

/* They end with this process. */
void canary_start(void);
void canary_reset(void);
/* The longest that one of them had to wait since then, in microseconds. */
uint64_t canary_worst_us(void);
