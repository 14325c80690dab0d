#include "chain_words.h"

struct harness h;

uint32_t acked(const char *serial, uint32_t *newest)
{
    struct mn_status s;

    harness_ok(&h, mn_pen_status(h.c, serial, &s, T));
    *newest = s.records_newest;
    return s.records_acked;
}

int two_pens(void **state)
{
    uint32_t newest;

    (void)state;
    harness_start(&h, 2, NULL);
    harness_until(&h, acked(P, &newest) == newest && acked(Q, &newest) == newest, T);
    return 0;
}

int stop(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

void arm(void)
{
    harness_ok(&h, harness_arm(h.c, P, NULL));
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_ARMED, 2000);
}

void run(void)
{
    harness_ok(&h, mn_subscribe(h.c, P, true, T));
    harness_ok(&h, mn_records_follow(h.c, NULL, NULL, T));
    arm();
    harness_say(&h, P, "trigger press");
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_RUNNING && h.last_rate_dhz > 900, 5000);
}
