/*
 * Breadth-first exploration of a state machine that is real code: every event is tried in every state that is reached, until no new one comes. A
 * state is a block of bytes, which the code works on; what makes two of them the same is the key that the test takes from it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPLORE_KEY 64

struct explore {
    const char *name;
    size_t state_size;
    int event_count;
    /* Does the event, and checks what must always hold: NULL, or the sentence of what does not. */
    const char *(*apply)(void *state, int event);
    /* What counts of it; zeroed before. */
    void (*key)(const void *state, uint8_t key[EXPLORE_KEY]);
    void (*event_name)(int event, char *out, size_t cap);
    size_t states, transitions, depth;
};

/* From the first state to closure. True: nothing was found; else what was found is printed, with the way there. */
bool explore(struct explore *x, const void *first);
