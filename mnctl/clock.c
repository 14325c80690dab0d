/*
 * mnctl: the daemon's clock, when the journal has seen a later time.
 */
#include <stdio.h>
#include <string.h>

#include "mnctl.h"

/* Has the daemon check a plan without a subject, which begins nothing: its findings say whether a session would be rejected because of the clock. */
int clock_judge(struct app *a, bool *right, char *why, size_t cap)
{
    static struct mn_findings found;
    struct mn_plan plan = {.subject = "clock", .step_count = 1, .step = {{.zone = mn_zone_at(mn_zone_count() - 1)->number, .stroke_rate_dhz = 1000}}};
    int r = mn_session_check(a->client, NULL, &plan, &found, a->timeout_ms);

    *right = true;
    for (size_t i = 0; r == MN_OK && i < found.count; i++) {
        if (found.finding[i].code != 2009)
            continue;
        *right = false;
        snprintf(why, cap, "%s", found.finding[i].text);
    }
    return r;
}

static int show(struct app *a)
{
    char why[160];
    bool right;
    int r = clock_judge(a, &right, why, sizeof(why));

    if (r != MN_OK)
        return app_failed(a, r);
    if (a->json)
        return print_json(json_pack("{s:b, s:s}", "right", right, "text", right ? "" : why), false);
    printf("%s\n", right ? "the clock is not behind what the journal has seen" : why);
    return right ? EXIT_OK : EXIT_REFUSED;
}

int cmd_clock(struct app *a, int argc, char **argv)
{
    int r;

    if (argc > 2 || (argc == 2 && strcmp(argv[1], "confirm") != 0))
        return usage_error("clock takes confirm, or nothing");
    r = app_connect(a, 0);
    if (r == EXIT_OK && argc == 1)
        return show(a);
    if (r == EXIT_OK && (r = mn_clock_confirm(a->client, a->timeout_ms)) != MN_OK)
        return app_failed(a, r);
    if (r == EXIT_OK)
        printf("the clock is confirmed: sessions may begin again, and no treatment counts as later than now\n");
    return r;
}
