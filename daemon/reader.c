#include "reader.h"

enum { FULL_SHARE = 4 }; /* of a tape: then it waits no longer for more */

void reader_begin(struct reader *r, const struct tape *t)
{
    r->tape = t;
    r->next = t != NULL ? t->end : 0;
}

static bool wants(const struct reader *r, uint64_t number)
{
    return r->wants == NULL || r->wants(r->ctx, tape_message(r->tape, number)->tag);
}

/* The first message from number on that it wants, or the tape's end. */
static uint64_t wanted_from(const struct reader *r, uint64_t number)
{
    while (number < r->tape->end && !wants(r, number))
        number++;
    return number;
}

/* The end of those behind a wanted one that are wanted, too, and lie beside it. */
static uint64_t run_of(const struct reader *r, uint64_t number, size_t *n)
{
    uint64_t until = number + 1;

    if (r->wants == NULL)
        until = r->tape->end;
    while (until < r->tape->end && wants(r, until))
        until++;
    return tape_run(r->tape, number, until, n);
}

uint64_t reader_due_us(struct reader *r, uint64_t now_us)
{
    const struct tape *t = r->tape;
    uint32_t behind;

    if (t == NULL)
        return UINT64_MAX;
    if (r->next < t->first) {
        r->missed += t->first - r->next;
        r->next = t->first;
    }
    for (; r->next < t->end && tape_message(t, r->next)->time_us + READER_AGE_MAX_US < now_us; r->next++)
        r->missed++;
    r->next = wanted_from(r, r->next);
    if (r->next == t->end)
        return UINT64_MAX;
    behind = (t->write + t->size - tape_message(t, r->next)->at) % t->size;
    if (behind > t->size / FULL_SHARE || t->end - r->next > t->messages_max / FULL_SHARE)
        return now_us;
    return tape_message(t, r->next)->time_us + r->hold_us;
}

int reader_gather(const struct reader *r, struct iovec *out, int max)
{
    int count = 0;

    if (r->tape == NULL)
        return 0;
    for (uint64_t at = wanted_from(r, r->next); count < max && at < r->tape->end; at = wanted_from(r, at)) {
        out[count].iov_base = (uint8_t *)(uintptr_t)tape_bytes(r->tape, at);
        at = run_of(r, at, &out[count++].iov_len);
    }
    return count;
}

/* The message in the run that begins with `number` whose bytes have the one n bytes behind its begin. */
static uint64_t message_at(const struct tape *t, uint64_t number, uint64_t until, size_t n)
{
    uint32_t at = tape_message(t, number)->at + (uint32_t)n;

    while (until - number > 1) {
        uint64_t middle = number + (until - number) / 2;

        if (tape_message(t, middle)->at <= at)
            number = middle;
        else
            until = middle;
    }
    return number;
}

void reader_advance(struct reader *r, size_t n, struct iovec *cut)
{
    *cut = (struct iovec){0};
    while (n > 0) {
        uint64_t at = wanted_from(r, r->next), until, number;
        const uint8_t *begin = tape_bytes(r->tape, at);
        const struct tape_message *m;
        size_t length, into;

        until = run_of(r, at, &length);
        if (n >= length) {
            r->next = until;
            n -= length;
            continue;
        }
        number = message_at(r->tape, at, until, n);
        m = tape_message(r->tape, number);
        into = (size_t)(begin + n - (r->tape->bytes + m->at));
        r->next = number + (into > 0);
        if (into > 0)
            *cut = (struct iovec){r->tape->bytes + m->at + into, m->length - into};
        return;
    }
}
