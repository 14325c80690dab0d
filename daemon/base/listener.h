/*
 * Listening sockets, and the connections that they accept. Without a free descriptor, the pending connection is accepted with one that is kept in reserve, told
 * why, and closed; then, as without memory, the listener pauses for a moment, since its socket would be readable without end.
 */
#pragma once

#include <systemd/sd-event.h>

struct listener;

/* A connection, non-blocking and close-on-exec; the callee owns it. */
typedef void listener_fn(void *ctx, int fd);

/*
 * The socket that a service manager has passed (sd_listen_fds): a listening Unix stream socket, of which path is the address. 0: none was passed. Anything else
 * is logged, and a negative errno returned: a socket of the network would open the pens to it.
 */
int listener_passed(char *path, size_t cap);

/* Owns fd from now on, also when it fails; what is its name in the log ("new programs"). rejected (or NULL) may tell a connection why, before it is closed. 0 or a
 * negative errno. */
int listener_new(struct listener **out, sd_event *event, int fd, const char *what, listener_fn *accepted, listener_fn *rejected, void *ctx);
/* Pauses for a moment, for this reason (a positive errno). */
void listener_pause(struct listener *l, int error);
void listener_free(struct listener *l);
