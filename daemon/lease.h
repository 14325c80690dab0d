/*
 * Control leases: for each pen at most one program that may arm it and change it, by serial number. Pure: time is given, and what
 * follows from a change (needles stop, programs are told) is the caller's (control.h).
 *
 * An owner keeps its lease as long as it answers: it is asked four times within its liveness, which it has chosen when it took the lease, and after so
 * long without an answer the lease is lost, because a program that is frozen cannot be what a person steers the pen with.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LEASE_LIVENESS_MIN_US 250000
#define LEASE_LIVENESS_MAX_US 5000000
#define LEASE_LIVENESS_US 2000000 /* of one who says nothing */

struct lease {
    char serial[33];
    const void *owner; /* the client */
    char name[64];     /* "clinic 2.1 (pid 42)" */
    pid_t pid;
    uint64_t heard_us; /* when it was given or last answered */
    uint64_t liveness_us;
};

struct leases {
    struct lease *list;
    size_t count, cap;
};

void leases_free(struct leases *l);

/* NULL: it is free. Good until the next change. */
const struct lease *lease_of(const struct leases *l, const char *serial);

/* It is the owner's from now on: 0 (also if it was already), -EBUSY (another holds it, unless by_force), -ENOMEM. */
int lease_take(struct leases *l, const char *serial, const void *owner, const char *name, pid_t pid, uint64_t liveness_us, uint64_t now_us, bool by_force);

/* False: it is not the owner's. */
bool lease_release(struct leases *l, const char *serial, const void *owner);

/* The owner has answered. */
void lease_heard(struct leases *l, const void *owner, uint64_t now_us);

/* A lease whose owner has been silent for too long, or NULL. Release it, and ask again. */
const struct lease *lease_silent(const struct leases *l, uint64_t now_us);
/* When the first of them is lost, unless its owner answers; UINT64_MAX: there is none. */
uint64_t lease_deadline_us(const struct leases *l);
/* How often owners are asked. */
uint64_t lease_ping_us(const struct leases *l);
/* Any lease of this owner, or NULL. Release it, and ask again. */
const struct lease *lease_any_of(const struct leases *l, const void *owner);
