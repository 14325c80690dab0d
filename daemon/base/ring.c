#include "ring.h"

#include <errno.h>
#include <stdlib.h>

int ring_init(struct ring *t, uint32_t size, uint32_t messages_max)
{
    *t = (struct ring){.size = size, .messages_max = messages_max};
    t->bytes = malloc(size);
    t->messages = calloc(messages_max, sizeof(*t->messages));
    if (t->bytes != NULL && t->messages != NULL)
        return 0;
    ring_deinit(t);
    return -ENOMEM;
}

void ring_deinit(struct ring *t)
{
    free(t->bytes);
    free(t->messages);
    *t = (struct ring){0};
}

void ring_clear(struct ring *t)
{
    t->first = t->end;
    t->write = 0;
}

uint8_t *ring_reserve(struct ring *t, size_t n)
{
    if (n == 0 || n > t->size)
        return NULL;
    if (n > t->size - t->write) { /* the messages from here to the end of the buffer are the oldest */
        while (t->first < t->end && ring_message(t, t->first)->at >= t->write)
            t->first++;
        t->write = 0;
    }
    while (t->first < t->end && ring_message(t, t->first)->at >= t->write && ring_message(t, t->first)->at < t->write + n)
        t->first++;
    if (t->end - t->first == t->messages_max)
        t->first++;
    return t->bytes + t->write;
}

void ring_commit(struct ring *t, size_t n, uint32_t tag, uint64_t time_us)
{
    t->messages[t->end++ % t->messages_max] = (struct ring_message){.time_us = time_us, .at = t->write, .length = (uint32_t)n, .tag = tag};
    t->write += (uint32_t)n;
}

/* Offsets rise from message to message, except at most once, where the ring wraps. */
uint64_t ring_run(const struct ring *t, uint64_t number, uint64_t until, size_t *n)
{
    const struct ring_message *begin = ring_message(t, number), *last = ring_message(t, until - 1);

    if (last->at < begin->at) { /* the last one before the wrap */
        uint64_t low = number, high = until - 1;

        while (high - low > 1) {
            uint64_t middle = low + (high - low) / 2;

            if (ring_message(t, middle)->at >= begin->at)
                low = middle;
            else
                high = middle;
        }
        last = ring_message(t, low);
        until = low + 1;
    }
    *n = last->at + last->length - begin->at;
    return until;
}
