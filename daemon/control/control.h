/*
 * Control of pens: for each pen at most one client, the lease holder, may arm it and change it. When a lease holder goes, in whatever way, the needles of
 * its pen stop, and the client that has waited longest is next. Loop thread only.
 */
#pragma once

#include "client.h"
#include "hub.h"

struct control;

/* hub must stay. 0 or a negative errno. */
int control_new(struct control **out, sd_event *event, struct hub *hub);
/* All clients must be gone. Takes NULL. */
void control_free(struct control *k);

/* The client is about to be freed: its leases are released, and it waits for none. */
void control_client_gone(struct control *k, struct client *c);

/* A LEASE request; answers it, perhaps later. */
void control_lease(struct control *k, struct client *c, uint32_t id, const Mnc__Lease *m);
/* The client has answered a ping. */
void control_pong(struct control *k, const struct client *c);

/* The lease holder of a pen; NULL: none. */
const struct client *control_holder(const struct control *k, const char *serial);

/* One observer: a client has lost control of a pen, in whatever way, and the needles have been told to stop. name is the client's. */
void control_on_lost(struct control *k, void (*lost)(void *ctx, const char *serial, const char *name), void *ctx);
