#include "telemetry.h"

enum { FULL_SHARE = 4 }; /* a subscriber that lags by this share of its ring is flushed at once */

void cursor_begin(struct cursor *r, const struct ring *t)
{
    r->ring = t;
    r->next = t != NULL ? t->end : 0;
}

static bool wants(const struct cursor *r, uint64_t number)
{
    return r->wants == NULL || r->wants(r->ctx, ring_message(r->ring, number)->tag);
}

/* The first wanted message from number on, or the ring's end. */
static uint64_t wanted_from(const struct cursor *r, uint64_t number)
{
    while (number < r->ring->end && !wants(r, number))
        number++;
    return number;
}

/* The end of the run of wanted messages from number on that are adjacent in memory. */
static uint64_t run_of(const struct cursor *r, uint64_t number, size_t *n)
{
    uint64_t until = number + 1;

    if (r->wants == NULL)
        until = r->ring->end;
    while (until < r->ring->end && wants(r, until))
        until++;
    return ring_run(r->ring, number, until, n);
}

uint64_t cursor_due_us(struct cursor *r, uint64_t now_us)
{
    const struct ring *t = r->ring;
    uint32_t behind;

    if (t == NULL)
        return UINT64_MAX;
    if (r->next < t->first) {
        r->missed += t->first - r->next;
        r->next = t->first;
    }
    for (; r->next < t->end && ring_message(t, r->next)->time_us + CURSOR_AGE_MAX_US < now_us; r->next++)
        r->missed++;
    r->next = wanted_from(r, r->next);
    if (r->next == t->end)
        return UINT64_MAX;
    behind = (t->write + t->size - ring_message(t, r->next)->at) % t->size;
    if (behind > t->size / FULL_SHARE || t->end - r->next > t->messages_max / FULL_SHARE)
        return now_us;
    return ring_message(t, r->next)->time_us + r->hold_us;
}

int cursor_gather(const struct cursor *r, struct iovec *out, int max)
{
    int count = 0;

    if (r->ring == NULL)
        return 0;
    for (uint64_t at = wanted_from(r, r->next); count < max && at < r->ring->end; at = wanted_from(r, at)) {
        out[count].iov_base = (uint8_t *)(uintptr_t)ring_bytes(r->ring, at);
        at = run_of(r, at, &out[count++].iov_len);
    }
    return count;
}

/* The message that contains the n-th byte of the run that begins with message number. */
static uint64_t message_at(const struct ring *t, uint64_t number, uint64_t until, size_t n)
{
    uint32_t at = ring_message(t, number)->at + (uint32_t)n;

    while (until - number > 1) {
        uint64_t middle = number + (until - number) / 2;

        if (ring_message(t, middle)->at <= at)
            number = middle;
        else
            until = middle;
    }
    return number;
}

void cursor_advance(struct cursor *r, size_t n, struct iovec *cut)
{
    *cut = (struct iovec){0};
    while (n > 0) {
        uint64_t at = wanted_from(r, r->next), until, number;
        const uint8_t *begin = ring_bytes(r->ring, at);
        const struct ring_message *m;
        size_t length, into;

        until = run_of(r, at, &length);
        if (n >= length) {
            r->next = until;
            n -= length;
            continue;
        }
        number = message_at(r->ring, at, until, n);
        m = ring_message(r->ring, number);
        into = (size_t)(begin + n - (r->ring->bytes + m->at));
        r->next = number + (into > 0);
        if (into > 0)
            *cut = (struct iovec){r->ring->bytes + m->at + into, m->length - into};
        return;
    }
}
