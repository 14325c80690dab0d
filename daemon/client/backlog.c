#include "inside.h"

#include <sys/socket.h>
#include <time.h>

#include "clock.h"
#include "stall.h"

enum {
    REQUESTS_BESIDE = 1,   /* requests served from the backlog at a time while modest clients are active, ... */
    TURN_BESIDE_US = 1000, /* ... at most once in this time */
    MODEST_US = 100000,    /* a modest client is active if it has sent a request within this time */
};

static bool others_ask(const struct clients *all)
{
    return loop_us(all->event, CLOCK_MONOTONIC) < all->modest_us + MODEST_US;
}

static void next_turn(const struct clients *all)
{
    sd_event_source_set_time_relative(all->turn, others_ask(all) ? TURN_BESIDE_US : 0);
    sd_event_source_set_enabled(all->turn, SD_EVENT_ONESHOT);
}

void backlog_add(struct client *c)
{
    struct clients *all = c->all;

    c->next_in_backlog = NULL;
    if (all->backlog == NULL)
        all->backlog = c;
    else
        all->backlog_end->next_in_backlog = c;
    all->backlog_end = c;
    c->in_backlog = true;
    if (all->backlog == c)
        next_turn(all);
}

void backlog_remove(struct client *c)
{
    struct clients *all = c->all;
    struct client *before = NULL, *at = all->backlog;

    while (at != c) {
        before = at;
        at = at->next_in_backlog;
    }
    if (before == NULL)
        all->backlog = c->next_in_backlog;
    else
        before->next_in_backlog = c->next_in_backlog;
    if (all->backlog_end == c)
        all->backlog_end = before;
    c->in_backlog = false;
}

static int on_turn(sd_event_source *s, uint64_t usec, void *userdata)
{
    struct clients *all = userdata;
    int requests = others_ask(all) ? REQUESTS_BESIDE : CLIENT_REQUESTS_AT_ONCE;

    stall_doing("the backlog of requests");
    (void)s;
    (void)usec;
    for (int i = 0; i < requests && all->backlog != NULL; i++) {
        struct client *c = all->backlog;

        backlog_remove(c);
        if (!c->ended)
            client_serve(c, 1);
    }
    if (all->backlog != NULL)
        next_turn(all);
    return 0;
}

int backlog_init(struct clients *all)
{
    int r = sd_event_add_time_relative(all->event, &all->turn, CLOCK_MONOTONIC, 0, 50, on_turn, all);

    return r < 0 ? r : sd_event_source_set_enabled(all->turn, SD_EVENT_OFF);
}
