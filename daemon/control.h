/*
 * Who steers a pen: its lease, from asking for it to losing it, with all that follows. When an owner goes, in whatever way, the needles of its
 * pen stop, and the one who has waited longest is next.
 */
#pragma once

#include "client.h"
#include "lease.h"

int control_new(struct control **out, struct client_env *env);
void control_free(struct control *k);

/* The program has gone. */
void control_forget(struct control *k, struct client *c);

void control_lease(struct control *k, struct client *c, uint32_t id, const Mnc__Lease *m);
/* It has answered a ping. */
void control_pong(struct control *k, const struct client *c);

/* Who is told that a program has lost a pen, in whatever way; one only. The needles have been told to stop. */
void control_on_lost(struct control *k, void (*lost)(void *ctx, const char *serial, const char *name), void *ctx);

/* Whose the pen is; NULL: nobody's. */
const struct lease *control_owner(const struct control *k, const char *serial);
