/*
 * mnctl: the daemon's clock, when the journal has seen a later time.
 */
#include <stdio.h>
#include <string.h>

#include "mnctl.h"

int cmd_clock(struct app *a, int argc, char **argv)
{
    int r;

    if (argc != 2 || strcmp(argv[1], "confirm") != 0)
        return usage_error("clock takes confirm");
    r = app_connect(a, 0);
    if (r == EXIT_OK && (r = mn_clock_confirm(a->client, a->timeout_ms)) != MN_OK)
        return app_failed(a, r);
    if (r == EXIT_OK)
        printf("the clock is confirmed: sessions may begin again, and no treatment counts as later than now\n");
    return r;
}
