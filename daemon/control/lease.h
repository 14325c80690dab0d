/*
 * The table of leases: by the serial number of a pen, its lease holder. Pure: time is given, and what follows from a change is the caller's (control.c).
 *
 * A holder keeps its lease as long as it answers: it is pinged four times within its liveness timeout, which it chose when it took the lease, and after
 * that long without an answer the lease expires, because a frozen program cannot be what a person controls the pen with.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LEASE_LIVENESS_MIN_US 250000
#define LEASE_LIVENESS_MAX_US 5000000
#define LEASE_LIVENESS_US 2000000 /* of a holder that chose none */

struct lease {
    char serial[33];
    const void *holder; /* the client that holds it */
    char name[64];     /* "clinic 2.1 (pid 42)" */
    pid_t pid;
    uint64_t heard_us; /* when it was taken or last renewed */
    uint64_t liveness_us;
};

struct leases {
    struct lease *list;
    size_t count, cap;
};

void leases_free(struct leases *l);

/* The lease of a pen; NULL: it is free. Valid until the next change. */
const struct lease *lease_find(const struct leases *l, const char *serial);

/* Gives the lease to holder. 0 (also if it held it already), -EBUSY (another holds it, unless by_force), -ENOMEM. */
int lease_take(struct leases *l, const char *serial, const void *holder, const char *name, pid_t pid, uint64_t liveness_us, uint64_t now_us, bool by_force);

/* False: holder does not hold it. */
bool lease_release(struct leases *l, const char *serial, const void *holder);

/* The holder has answered: all of its leases are renewed. */
void lease_renew(struct leases *l, const void *holder, uint64_t now_us);

/* A lease that has expired, or NULL. Release it, and call again. */
const struct lease *lease_expired(const struct leases *l, uint64_t now_us);
/* When the first lease expires, unless it is renewed; UINT64_MAX: there is none. */
uint64_t lease_deadline_us(const struct leases *l);
/* How often holders are to be pinged. */
uint64_t lease_ping_us(const struct leases *l);
/* Any lease that holder holds, or NULL. Release it, and call again. */
const struct lease *lease_held_by(const struct leases *l, const void *holder);
