#include "flight.h"

#include <stdlib.h>
#include <string.h>

#include "ring.h"

enum {
    TAPE_BYTES = 128 * 1024, /* 6 s at 1 kHz are about 60 KB */
    BATCHES = 1024,
    FAULTS = 8,
};

struct flight {
    struct ring ring; /* batches, in the pen's time */
    struct {
        uint32_t number;
        uint64_t t_us, cut_by_ms;
    } faults[FAULTS];
    unsigned fault_count;
    uint64_t newest_us;
};

struct flight *flight_new(void)
{
    struct flight *f = calloc(1, sizeof(*f));

    if (f == NULL || ring_init(&f->ring, TAPE_BYTES, BATCHES) == 0)
        return f;
    free(f);
    return NULL;
}

void flight_free(struct flight *f)
{
    if (f != NULL)
        ring_deinit(&f->ring);
    free(f);
}

void flight_reset(struct flight *f)
{
    if (f == NULL)
        return;
    ring_clear(&f->ring);
    f->fault_count = 0;
    f->newest_us = 0;
}

void flight_add(struct flight *f, uint64_t t_us, const uint8_t *batch, size_t n)
{
    uint8_t *room = f != NULL && n <= UINT16_MAX ? ring_reserve(&f->ring, n) : NULL;

    if (room == NULL)
        return;
    memcpy(room, batch, n);
    ring_commit(&f->ring, n, 0, t_us);
    f->newest_us = t_us;
}

void flight_fault(struct flight *f, uint32_t number, uint64_t t_us, uint64_t cut_by_ms)
{
    if (f == NULL || f->fault_count == FAULTS) /* a ninth fault within a second shares the telemetry of the others */
        return;
    f->faults[f->fault_count].number = number;
    f->faults[f->fault_count].t_us = t_us;
    f->faults[f->fault_count++].cut_by_ms = cut_by_ms;
}

uint64_t flight_due_ms(const struct flight *f)
{
    return f != NULL && f->fault_count > 0 ? f->faults[0].cut_by_ms : UINT64_MAX;
}

static bool belongs(uint64_t batch_us, uint64_t fault_us)
{
    return batch_us + FLIGHT_BEFORE_US >= fault_us && batch_us <= fault_us + FLIGHT_AFTER_US;
}

static uint8_t *copy(const struct ring *t, uint64_t fault_us, size_t *n)
{
    uint8_t *bytes, *p;

    *n = 0;
    for (uint64_t i = t->first; i < t->end; i++) {
        if (belongs(ring_message(t, i)->time_us, fault_us))
            *n += 2 + ring_message(t, i)->length;
    }
    bytes = p = *n > 0 ? malloc(*n) : NULL;
    for (uint64_t i = t->first; i < t->end && bytes != NULL; i++) {
        const struct ring_message *m = ring_message(t, i);

        if (!belongs(m->time_us, fault_us))
            continue;
        p[0] = (uint8_t)m->length;
        p[1] = (uint8_t)(m->length >> 8);
        memcpy(p + 2, ring_bytes(t, i), m->length);
        p += 2 + m->length;
    }
    return bytes;
}

uint32_t flight_cut(struct flight *f, uint64_t now_ms, bool all, uint8_t **bytes, size_t *n)
{
    uint32_t number;

    if (f == NULL || f->fault_count == 0 ||
        (!all && f->newest_us <= f->faults[0].t_us + FLIGHT_AFTER_US && now_ms < f->faults[0].cut_by_ms))
        return 0;
    number = f->faults[0].number;
    *bytes = copy(&f->ring, f->faults[0].t_us, n);
    memmove(f->faults, f->faults + 1, --f->fault_count * sizeof(f->faults[0]));
    return number;
}
