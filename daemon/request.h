/*
 * What a program may ask: each request of client.proto, checked, answered, or passed on to its pen.
 */
#pragma once

#include "client.h"

/* Every message gets one reply, at once or later; of a Call, progress before it. */
void request(struct client *c, struct client_env *env, const Mnc__ClientMessage *m);
