/*
 * What the files of this room share: control.c grants leases and takes them away, process.c watches the processes of lease holders, lease.c
 * is the table.
 */
#pragma once

#include "control.h"
#include "lease.h"

struct pending { /* a client that waits for a lease that another holds; the oldest first */
    struct pending *next;
    struct client *client;
    uint32_t id;
    uint64_t deadline_us, liveness_us;
    char serial[33];
};

struct watch { /* the process of a lease holder */
    struct watch *next;
    struct control *control;
    struct client *client;
    sd_event_source *source;
};

struct control {
    sd_event *event;
    struct hub *hub;
    struct leases leases;
    struct pending *pending;
    unsigned pending_count;
    struct watch *watches;
    sd_event_source *timer; /* on while there is a lease */
    uint64_t ping_at_us;
    void (*lost)(void *ctx, const char *serial, const char *name);
    void *lost_ctx;
};

/* control.c */

/* The lease is free, if holder held it: the needles stop, and the next client that waits for it has it. */
void control_release(struct control *k, const char *serial, const void *holder);

/* process.c */

/* 0: the client's process is watched, or cannot be, and its liveness timeout must do. -ESRCH: it has ended. Another negative errno. */
int process_watch(struct control *k, struct client *c);
void process_unwatch(struct control *k, const struct client *c);
