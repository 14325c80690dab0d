/*
 * Listening sockets, and what comes in by them. Without descriptors for one more connection the one that waits is let in by a descriptor that is kept for
 * that, told so, and hung up; then, as without memory, a listener rests for a moment, instead of being told for ever that somebody waits.
 */
#pragma once

#include <systemd/sd-event.h>

struct listener;

/* A connection, non-blocking and close-on-exec, which is the callee's. */
typedef void listener_fn(void *ctx, int fd);

/*
 * The one socket that a service manager has passed (sd_listen_fds): a listening Unix stream socket. 0: none was passed. Anything else that was passed is
 * named in the log, and a negative errno returned: a socket of the network would open the pens to it.
 */
int listener_passed(char *path, size_t cap);

/* Owns fd from now on, also when it fails; what is its name in the log ("new programs"). refused (or NULL) may say why to one that is hung up then. 0 or a
 * negative errno. */
int listener_new(struct listener **out, sd_event *event, int fd, const char *what, listener_fn *accepted, listener_fn *refused, void *ctx);
/* Rests for a moment, for this reason. */
void listener_rest(struct listener *l, int error);
void listener_free(struct listener *l);
