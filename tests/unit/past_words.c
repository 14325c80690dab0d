#include "past_words.h"

struct past ask(const char *subject, enum policy_zone zone, uint32_t continued)
{
    struct past_question q = {.zones = {zone}, .zone_count = 1, .medium_um = 500, .continued = continued};
    struct past p;

    snprintf(q.subject, sizeof(q.subject), "%s", subject);
    assert_int_equal(past_query(visits.s, &q, &p), 0);
    return p;
}

uint32_t days(const char *subject, int depth, uint64_t now_us)
{
    struct past p = ask(subject, ZONE_CHEEK, 0);

    return past_days(&p.zones[0][depth], now_us);
}
