/*
 * What the files of this room share:
 *
 *     server.c     life
 *     requests.c   the table of requests, and what every request must have
 *     waiting.c    requests that wait for the journal, while it is being opened
 *     about.c      HELLO; requests about the daemon, its pens and their telemetry
 *     calls.c      requests that are passed on to a pen
 *     records.c    reading the journal
 *     archive.c    the journal's file as a whole
 */
#pragma once

#include "server.h"

struct server {
    sd_event *event;
    struct server_options options;
    uint64_t began_us;
    struct hub *hub;
    struct sim_bus *sim;
    struct clients *clients;
    struct control *control;
    struct sessions *sessions;
    struct record_requests *records;
    struct archive *archive;
    struct waiting *waiting;
};

/* A struct clients_handler's request(); ctx is the server. */
void request_dispatch(void *ctx, struct client *c, const Mnc__ClientMessage *m);

/* One function for each request of requests.def. m is the whole message, of which the body is set. */
#define REQUEST(NAME, name, role, greeting, journal, text) void request_##name(struct server *s, struct client *c, const Mnc__ClientMessage *m);
#include "requests.def"
#undef REQUEST

/* requests.c */

void request_reject_role(const struct server *s, struct client *c, uint32_t id, enum role needed);

/* waiting.c */

/* Whether the journal has been opened and the sessions that it has open are known; or that it could not be opened, which its users are told. */
bool journal_is_ready(const struct server *s);
/* 0 or a negative errno. The server's hub and event must be set. */
int waiting_new(struct waiting **out, struct server *s);
/* Takes NULL. */
void waiting_free(struct waiting *w);
/* Dispatches a copy of the request when journal_is_ready(); rejects it after 3 s, or if there are too many. */
void waiting_add(struct waiting *w, struct client *c, const Mnc__ClientMessage *m);
/* Rejects a request with the reason why the journal is not ready. */
void waiting_reject(const struct server *s, struct client *c, uint32_t id);
/* The client is about to be freed. */
void waiting_client_gone(struct waiting *w, const struct client *c);

/* records.c */

/* 0 or a negative errno. */
int record_requests_new(struct record_requests **out, struct hub *hub);
/* Takes NULL. */
void record_requests_free(struct record_requests *all);
/* The client is about to be freed. */
void record_requests_client_gone(struct record_requests *all, const struct client *c);

/* archive.c */

/* 0 or a negative errno. */
int archive_new(struct archive **out, sd_event *event, struct hub *hub);
/* Takes NULL. */
void archive_free(struct archive *a);
/* The client is about to be freed. */
void archive_client_gone(struct archive *a, const struct client *c);
