#include "inside.h"

#include <time.h>

#include "clock.h"
#include "frame.h"
#include "pen.pb-c.h"

enum {
    CLOCK_GOOD_MS = 10000,   /* age at which the clock is compared again, with the next record */
    CLOCK_DRIFT_PPM = 100,   /* two crystals of 50 ppm each */
};

static void on_clock(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct pen *p = ctx;
    uint64_t now = clock_us(CLOCK_BOOTTIME), asked = p->clock.at_us;
    Mnp__Status *status = NULL;

    (void)id;
    p->clock.asked = false;
    p->clock.at_us = now;
    if (result == PEN_RESULT_REPLY && (type & MN_TYPE_ERROR) == MN_TYPE_REPLY)
        status = mnp__status__unpack(NULL, n, payload);
    p->clock.known = status != NULL && status->has_t_us;
    if (p->clock.known) {
        p->clock.bound_us = (now - asked) / 2;
        p->clock.offset_us = (int64_t)(asked + p->clock.bound_us) - (int64_t)status->t_us;
    }
    mnp__status__free_unpacked(status, NULL);
}

/* The pen's reply was made between request and reply, which gives the bound. */
void pen_compare_clock(struct pen *p)
{
    uint64_t now = clock_us(CLOCK_BOOTTIME);

    if (p->clock.asked || (p->clock.known && now < p->clock.at_us + CLOCK_GOOD_MS * 1000))
        return;
    p->clock.known = false;
    p->clock.at_us = now;
    p->clock.asked = pen_call(p, MNP__FRAME_TYPE__TYPE_STATUS, NULL, 0, PEN_REQUEST_TIMEOUT_MS, on_clock, p, 0) == 0;
}

void pen_date(const struct pen *p, struct journal_record *r)
{
    uint64_t mono = clock_us(CLOCK_BOOTTIME), now = clock_us(CLOCK_REALTIME), bound;
    int64_t ago = (int64_t)mono - ((int64_t)r->t_us + p->clock.offset_us);

    r->host_us = now;
    r->host_bound_us = JOURNAL_BOUND_UNKNOWN;
    if (!p->clock.known || r->boot_id != p->boot_id || ago < -(int64_t)p->clock.bound_us - 1000000 || ago > (int64_t)now)
        return;
    r->host_us = now - (uint64_t)(ago > 0 ? ago : 0);
    bound = p->clock.bound_us + (uint64_t)(ago > 0 ? ago : 0) * CLOCK_DRIFT_PPM / 1000000 + CLOCK_GOOD_MS * CLOCK_DRIFT_PPM / 1000;
    r->host_bound_us = bound < JOURNAL_BOUND_UNKNOWN ? (uint32_t)bound : JOURNAL_BOUND_UNKNOWN - 1;
}
