#include "inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"

enum {
    WAIT_US = 3000000, /* less than a client's usual timeout of 5 s: it learns the reason */
    PER_CLIENT = 16,
    MOST = 512,
};

struct waiting_request {
    struct waiting_request *next;
    struct client *client;
    uint64_t deadline_us;
    uint32_t id;
    size_t length;
    uint8_t bytes[]; /* the ClientMessage */
};

struct waiting {
    struct server *server;
    sd_event_source *timer;
    struct waiting_request *first, **end; /* in order, and thus by deadline */
    size_t count;
};

static const char *reason(const struct server *s)
{
    return hub_journal(s->hub) == NULL ? hub_journal_error(s->hub) : "earlier sessions are being read from the journal";
}

bool journal_is_ready(const struct server *s)
{
    return !hub_journal_is_opening(s->hub) && (hub_journal(s->hub) == NULL || sessions_are_restored(s->sessions));
}

void waiting_reject(const struct server *s, struct client *c, uint32_t id)
{
    client_reject(c, id, MNC__ERROR_CODE__ERROR_JOURNAL, "%s: try again", reason(s));
}

static struct waiting_request *take_first(struct waiting *w)
{
    struct waiting_request *q = w->first;

    if (q != NULL && (w->first = q->next) == NULL)
        w->end = &w->first;
    w->count -= q != NULL;
    return q;
}

static void set_timer(struct waiting *w)
{
    if (w->first != NULL)
        sd_event_source_set_time(w->timer, w->first->deadline_us);
    sd_event_source_set_enabled(w->timer, w->first != NULL ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct waiting *w = userdata;

    (void)source;
    while (w->first != NULL && w->first->deadline_us <= usec) {
        struct waiting_request *q = take_first(w);

        waiting_reject(w->server, q->client, q->id);
        free(q);
    }
    set_timer(w);
    return 0;
}

/* The journal is ready, or cannot be opened: the requests are served, or rejected, as if they came now. */
static void on_journal(void *ctx)
{
    struct waiting *w = ctx;

    while (w->first != NULL && journal_is_ready(w->server)) {
        struct waiting_request *q = take_first(w);
        Mnc__ClientMessage *m = mnc__client_message__unpack(NULL, q->length, q->bytes);

        if (m != NULL)
            request_dispatch(w->server, q->client, m);
        else
            client_reject(q->client, q->id, MNC__ERROR_CODE__ERROR_BUSY, "the daemon has no memory for this request");
        mnc__client_message__free_unpacked(m, NULL);
        free(q);
    }
    set_timer(w);
}

void waiting_add(struct waiting *w, struct client *c, const Mnc__ClientMessage *m)
{
    size_t length = mnc__client_message__get_packed_size(m), of_client = 0;
    struct waiting_request *q = NULL;

    for (const struct waiting_request *other = w->first; other != NULL; other = other->next)
        of_client += other->client == c;
    if (of_client < PER_CLIENT && w->count < MOST)
        q = malloc(sizeof(*q) + length);
    if (q == NULL) {
        waiting_reject(w->server, c, m->id);
        return;
    }
    *q = (struct waiting_request){.client = c, .deadline_us = loop_us(w->server->event, CLOCK_MONOTONIC) + WAIT_US, .id = m->id, .length = length};
    mnc__client_message__pack(m, q->bytes);
    *w->end = q;
    w->end = &q->next;
    w->count++;
    set_timer(w);
}

void waiting_client_gone(struct waiting *w, const struct client *c)
{
    struct waiting_request **at = &w->first;

    while (*at != NULL) {
        struct waiting_request *q = *at;

        if (q->client != c) {
            at = &q->next;
            continue;
        }
        *at = q->next;
        w->count--;
        free(q);
    }
    w->end = at;
    set_timer(w);
}

int waiting_new(struct waiting **out, struct server *s)
{
    struct waiting *w = calloc(1, sizeof(*w));
    int r = w != NULL ? sd_event_add_time_relative(s->event, &w->timer, CLOCK_MONOTONIC, 0, 10000, on_deadline, w) : -ENOMEM;

    if (r < 0) {
        free(w);
        return r;
    }
    w->server = s;
    w->end = &w->first;
    sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
    hub_add_observer(s->hub, &(struct hub_observer){.ctx = w, .journal = on_journal});
    *out = w;
    return 0;
}

void waiting_free(struct waiting *w)
{
    struct waiting_request *q;

    if (w == NULL)
        return;
    hub_remove_observer(w->server->hub, w);
    while ((q = take_first(w)) != NULL)
        free(q);
    sd_event_source_disable_unref(w->timer);
    free(w);
}
