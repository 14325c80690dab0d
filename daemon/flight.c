#include "flight.h"

#include <stdlib.h>
#include <string.h>

enum {
    RING_BYTES = 128 * 1024, /* 6 s at 1 kHz are some 60 KB */
    BATCHES = 1024,
    FAULTS = 8,
};

struct flight {
    struct {
        uint64_t t_us;
        uint32_t at, length;
    } batches[BATCHES]; /* oldest first, from tail on */
    unsigned tail, count;
    uint32_t write; /* where the next one goes */
    struct {
        uint32_t number;
        uint64_t t_us, cut_by_ms;
    } faults[FAULTS];
    unsigned fault_count;
    uint64_t newest_us;
    uint8_t ring[RING_BYTES];
};

struct flight *flight_new(void)
{
    return calloc(1, sizeof(struct flight));
}

void flight_free(struct flight *f)
{
    free(f);
}

void flight_reset(struct flight *f)
{
    if (f == NULL)
        return;
    f->tail = f->count = f->fault_count = 0;
    f->write = 0;
    f->newest_us = 0;
}

static void drop_oldest(struct flight *f)
{
    f->tail = (f->tail + 1) % BATCHES;
    f->count--;
}

void flight_add(struct flight *f, uint64_t t_us, const uint8_t *batch, size_t n)
{
    unsigned i;

    if (f == NULL || n == 0 || n > UINT16_MAX)
        return;
    if (f->write + n > RING_BYTES) { /* a batch is never split; those between here and the end are the oldest */
        while (f->count > 0 && f->batches[f->tail].at >= f->write)
            drop_oldest(f);
        f->write = 0;
    }
    while (f->count > 0 && f->batches[f->tail].at >= f->write && f->batches[f->tail].at < f->write + n)
        drop_oldest(f);
    if (f->count == BATCHES)
        drop_oldest(f);
    i = (f->tail + f->count++) % BATCHES;
    f->batches[i].t_us = t_us;
    f->batches[i].at = f->write;
    f->batches[i].length = (uint32_t)n;
    memcpy(f->ring + f->write, batch, n);
    f->write += (uint32_t)n;
    f->newest_us = t_us;
}

void flight_fault(struct flight *f, uint32_t number, uint64_t t_us, uint64_t cut_by_ms)
{
    if (f == NULL || f->fault_count == FAULTS) /* a ninth within a second has the telemetry of the others */
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

static uint8_t *copy(const struct flight *f, uint64_t fault_us, size_t *n)
{
    uint8_t *bytes, *p;

    *n = 0;
    for (unsigned i = 0; i < f->count; i++) {
        if (belongs(f->batches[(f->tail + i) % BATCHES].t_us, fault_us))
            *n += 2 + f->batches[(f->tail + i) % BATCHES].length;
    }
    bytes = p = *n > 0 ? malloc(*n) : NULL;
    for (unsigned i = 0; i < f->count && bytes != NULL; i++) {
        uint32_t at = f->batches[(f->tail + i) % BATCHES].at, length = f->batches[(f->tail + i) % BATCHES].length;

        if (!belongs(f->batches[(f->tail + i) % BATCHES].t_us, fault_us))
            continue;
        p[0] = (uint8_t)length;
        p[1] = (uint8_t)(length >> 8);
        memcpy(p + 2, f->ring + at, length);
        p += 2 + length;
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
    *bytes = copy(f, f->faults[0].t_us, n);
    memmove(f->faults, f->faults + 1, --f->fault_count * sizeof(f->faults[0]));
    return number;
}
