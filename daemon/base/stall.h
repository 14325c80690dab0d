/*
 * The stall meter: how long one turn of the loop takes, from the moment at which an event source is served until the loop can serve the next one. For so long
 * nobody else is served, and no STOP goes out. Loop thread only.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#define STALL_LOG_US 20000 /* a longer turn is logged */

struct stall {
    uint64_t us;
    const char *what; /* static; "" before the first turn */
};

/* Runs the loop until it exits, as sd_event_loop() does, and measures its turns. */
int stall_loop(sd_event *event);
/* For a loop that is run otherwise: a turn begins, and ends. */
void stall_begin(void);
void stall_end(void);

/* What the present turn does, for the log and for people: "a request: list". Static text. The last one of a turn counts. */
void stall_doing(const char *what);

/* The longest turn since the start, and of the last minute. */
struct stall stall_longest(void);
struct stall stall_recent(void);
