/* Prints one line for each telemetry batch of every pen, for a number of batches (default 10). */
#include <mn/mn.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static long left = 10;

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    const struct mn_telemetry *t = e->telemetry;

    (void)c;
    (void)user;
    if (e->kind != MN_EVENT_TELEMETRY || t->fast.count == 0)
        return;
    printf("%s: %zu samples from %" PRIu64 " on, missed %" PRIu64 ", last depth %" PRId32 " um, rate %.1f Hz\n", t->serial,
           t->fast.count, t->fast.first_seq, t->fast.missed, t->fast.depth_um[t->fast.count - 1],
           t->fast.stroke_rate_dhz[t->fast.count - 1] / 10.0);
    left--;
}

int main(int argc, char **argv)
{
    struct mn_options options = {.name = "example telemetry", .on_event = on_event};
    char message[256];
    mn_client *c;
    int r = mn_connect(&c, &options, message, sizeof(message));

    if (argc > 1)
        left = strtol(argv[1], NULL, 10);
    if (r == MN_OK)
        r = mn_subscribe(c, NULL, true, 2000);
    while (r == MN_OK && left > 0) {
        struct pollfd fd = {.fd = mn_fd(c), .events = mn_events(c)};

        poll(&fd, 1, mn_timeout_ms(c));
        r = mn_process(c);
    }
    if (r != MN_OK)
        fprintf(stderr, "%s\n", c != NULL ? mn_message(c) : message);
    mn_close(c);
    return r != MN_OK;
}
