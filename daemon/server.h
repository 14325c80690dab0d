/*
 * The listening socket and all its clients.
 */
#pragma once

#include <sys/types.h>

#include "client.h"
#include "config.h"
#include "site.h"

struct server;

/* Listens at config->socket, or on the socket that systemd has passed. config and site must stay. 0 or a negative errno with a sentence in the log. */
int server_new(struct server **out, sd_event *event, const struct config *config, const struct site *site, struct hub *hub, struct sim_bus *sim);

/* Treatment sessions are open. */
bool server_has_sessions(const struct server *s);

/* Says goodbye to every client. */
void server_free(struct server *s);
