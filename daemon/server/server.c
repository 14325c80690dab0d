#include "inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "log.h"

/* Drops everything pending of a client that disconnects, so that nothing replies to it. */
static void on_gone(void *ctx, struct client *c)
{
    struct server *s = ctx;

    hub_update_pace(s->hub);
    hub_detach(s->hub, c);
    control_client_gone(s->control, c);
    sessions_client_gone(s->sessions, c);
    record_requests_client_gone(s->records, c);
    archive_client_gone(s->archive, c);
    waiting_client_gone(s->waiting, c);
    if (s->sim != NULL)
        sim_detach(s->sim, c);
}

int server_new(struct server **out, sd_event *event, const struct server_options *options, const struct site *site, struct hub *hub, struct sim_bus *sim)
{
    struct server *s = calloc(1, sizeof(*s));
    const struct clients_handler handler = {.ctx = s, .request = request_dispatch, .gone = on_gone};
    int r;

    if (s == NULL)
        return -ENOMEM;
    s->event = event;
    s->options = *options;
    s->began_us = loop_us(event, CLOCK_MONOTONIC);
    s->hub = hub;
    s->sim = sim;
    if ((r = record_requests_new(&s->records, hub)) < 0 || (r = archive_new(&s->archive, event, hub)) < 0 || (r = control_new(&s->control, event, hub)) < 0 ||
        (r = sessions_new(&s->sessions, event, hub, s->control, site)) < 0 || (r = waiting_new(&s->waiting, s)) < 0)
        log_error("cannot serve programs: %s", strerror(-r));
    else
        r = clients_new(&s->clients, event, hub_fanout(hub), &options->clients, &handler);
    if (r < 0) {
        server_free(s);
        return r;
    }
    *out = s;
    return 0;
}

struct clients *server_clients(struct server *s)
{
    return s->clients;
}

bool server_has_sessions(const struct server *s)
{
    return sessions_any(s->sessions);
}

void server_free(struct server *s)
{
    if (s == NULL)
        return;
    clients_disconnect_all(s->clients, "the daemon is ending");
    waiting_free(s->waiting);
    sessions_free(s->sessions);
    record_requests_free(s->records);
    archive_free(s->archive);
    control_free(s->control);
    clients_free(s->clients);
    free(s);
}
