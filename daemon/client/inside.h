/*
 * What the files of this room share:
 *
 *     clients.c   the listening socket, limits, all clients
 *     client.c    one connection: its messages in, what is known of it
 *     output.c    its queue out
 *     backlog.c   whose turn it is
 *     role.c      what it may do
 *     user.c      what its user's clients hold together
 */
#pragma once

#include "client.h"
#include "user.h"

enum {
    CLIENT_QUEUE_MAX = 256,        /* messages in the queue of a client */
    CLIENT_REQUESTS_AT_ONCE = 16,  /* of one client, before it goes to the backlog */
};

struct role_map {
    gid_t gids[ROLES];      /* of each role's group; GROUP_UNKNOWN: there is no such group */
    char groups[ROLES][33];
    uid_t nobody;           /* as which all users appear that this user namespace does not know: none of them is the daemon's own */
    gid_t nogroup;
};

struct clients {
    sd_event *event;
    struct fanout *fanout;
    struct clients_options options;
    struct clients_handler handler;
    struct role_map roles;
    struct user *users;
    struct client *first;
    unsigned count;
    uint64_t missed;
    struct listener *listener;
    char *path;            /* NULL: the socket is the service manager's */
    sd_event_source *reap; /* frees clients that have ended, outside of their own calls */
    /* backlog.c */
    struct client *backlog, *backlog_end;
    uint64_t modest_us;    /* when a client that is not in the backlog last sent a request */
    sd_event_source *turn; /* a timer, on while there is a backlog */
};

struct client {
    struct subscriber subscriber; /* first: a subscriber is cast to its client */
    struct clients *all;
    struct client *next;
    int fd;
    sd_event_source *io;
    uint32_t io_events;
    char name[64];
    pid_t pid;
    enum role role;
    struct user *user;
    bool greeted, closing, ended; /* closing: the goodbye is its last message */
    bool in_backlog, throttled;   /* throttled: it does not read its replies, and its requests wait */
    struct client *next_in_backlog;
    uint8_t *in;
    size_t in_cap, in_fill;
    /* output.c */
    struct buf *queue[CLIENT_QUEUE_MAX]; /* a ring: replies and events, in order */
    unsigned queue_head, queue_fill;
    size_t queue_bytes, queue_sent; /* of all; of the first one */
    struct buf *cut;                /* the rest of a message from a ring, which may be overwritten ... */
    size_t cut_sent;                /* ... less this */
    uint64_t missed;                /* messages in rings that were counted so far */
    bool blocked;                   /* the socket is full: EPOLLOUT follows */
};

/* client.c */

/* Owns fd, also when it fails. 0 or a negative errno. */
int client_new(struct client **out, struct clients *all, int fd);
/* Takes NULL. */
void client_free(struct client *c);
/* Ends the connection; the client is freed in the next iteration. */
void client_mark_ended(struct client *c);
/* Whether a whole message is in its buffer, or one that is too long. */
bool client_has_message(const struct client *c);
/* Handles at most so many of the messages in its buffer and flushes what there is to send. With more of them it goes to the backlog. */
void client_serve(struct client *c, int requests);
/* Reads unless its requests wait, writes if the socket was full. */
void client_update_io(struct client *c);

/* clients.c */

/* Schedules the clients that have ended to be freed. */
void clients_reap_soon(struct clients *all);

/* output.c */

/* For struct subscriber. */
void output_push(struct subscriber *s, struct buf *b);
void output_flush(struct subscriber *s);
/* Whether half of what may be queued for it, or for its user, is: no more requests of it are handled until it has read. Events may fill the rest. */
bool output_is_full(const struct client *c);
/* Something for those that monitor; not what a monitoring client says itself. */
void output_traffic(struct client *c, Mnc__TrafficKind kind, const uint8_t *bytes, size_t n);
void output_free(struct client *c);
/* Says goodbye on a connection that becomes no client, as far as its socket takes it. */
void output_reject_connection(int fd, const char *reason);

/* backlog.c */

/* 0 or a negative errno. */
int backlog_init(struct clients *all);
void backlog_add(struct client *c);
void backlog_remove(struct client *c);

/* role.c */

/* Looks up the groups. One that does not exist is logged and gives its role to nobody. */
void role_map_load(struct role_map *m, const char *const groups[ROLES]);
/* The role of the process at the other end of the socket, by the groups of its user, as the kernel says (SO_PEERCRED, SO_PEERGROUPS). Root, and the user
 * that the daemon runs as, may do everything. */
enum role role_of_peer(const struct role_map *m, int fd, uid_t uid, gid_t gid);
