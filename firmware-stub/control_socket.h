/*
 * The control socket of a penstub, SOCK_SEQPACKET: each packet is a line, answered by one packet. A connection stays until its client closes it. So a
 * client that sends nothing keeps nobody waiting, and no answer gets lost: a reader can see a hang-up before the packet that was sent before it.
 */
#pragma once

#include <poll.h>
#include <stddef.h>

enum { CONTROL_CONNECTIONS = 8, CONTROL_FDS = CONTROL_CONNECTIONS + 1, CONTROL_LINE_MAX = 255, CONTROL_ANSWER_MAX = 511 };

struct control {
    int fds[CONTROL_FDS]; /* -1: none. The last listens */
    unsigned oldest;      /* the connection that a new one replaces */
};

/* Carries a line out; answer is a string. */
typedef void control_fn(void *ctx, const char *line, char *answer, size_t cap);

/* path NULL: no socket. 0, or a negative errno with a sentence in why. End with control_close(), which removes the path. */
int control_open(struct control *c, const char *path, char *why, size_t cap);
void control_close(struct control *c, const char *path);

/* What to poll for: CONTROL_FDS entries, which control_serve() gets back. Never waits. */
void control_poll(const struct control *c, struct pollfd fds[CONTROL_FDS]);
void control_serve(struct control *c, const struct pollfd fds[CONTROL_FDS], control_fn *carry_out, void *ctx);

/* Connected to the path, or -1 with errno. */
int control_connect(const char *path);
