/*
 * The daemon's service: what clients may request (requests.def) and what answers it. Loop thread only.
 */
#pragma once

#include "link.h"
#include "sessions.h"

struct server;

struct server_options {
    struct clients_options clients;
    const char *journal_path; /* for DAEMON_INFO */
    bool usb;                 /* whether real pens are looked for */
};

/* Listens. hub, site and sim (NULL: no simulated pens) must stay, as must the strings of options. 0, or a negative errno with a sentence in the log. */
int server_new(struct server **out, sd_event *event, const struct server_options *options, const struct site *site, struct hub *hub, struct sim_bus *sim);
/* Disconnects every client. Takes NULL. */
void server_free(struct server *s);

struct clients *server_clients(struct server *s);

/* Whether treatment sessions are open, or about to be. */
bool server_has_sessions(const struct server *s);
