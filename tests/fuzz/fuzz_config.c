/* What people write for the daemon: its configuration, and a site's policy. What is taken keeps within the bounds that both have. */
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_config(const char *text, size_t n)
{
    struct config c, before;
    char why[400];

    config_default(&c);
    before = c;
    if (config_parse(&c, text, n, "fuzz", why, sizeof(why)) < 0) {
        if (memcmp(&c, &before, sizeof(c)) != 0 || strncmp(why, "fuzz", 4) != 0)
            abort(); /* half of it was taken, or nobody was told where */
        return;
    }
    if (!config_check(&c, why, sizeof(why)))
        abort();
}

/* No policy that is taken allows more than the defaults and the other sources do. */
static void as_policy(const char *text, size_t n)
{
    struct policy before;
    struct site site;
    char why[400];

    policy_default(&before);
    if (site_parse(&site, text, n, "fuzz", why, sizeof(why)) < 0) {
        if (memcmp(&site.policy, &before, sizeof(before)) != 0 || strncmp(why, "fuzz", 4) != 0)
            abort();
        return;
    }
    for (int z = 0; z < ZONE_END; z++) {
        if (site.policy.cap_um[z] > before.cap_um[z])
            abort();
    }
    if (site.policy.limits[POLICY_depth_limit] > 2000 || site.policy.limits[POLICY_interval_floor] < 7)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1)
        as_config((const char *)data + 1, size - 1);
    else
        as_policy((const char *)data + 1, size - 1);
    return 0;
}
