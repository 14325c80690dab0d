/*
 * Control leases: for each pen at most one program that may arm it and change it, by serial number. Pure: time is given, and what
 * follows from a change (needles stop, programs are told) is the caller's (control.h).
 *
 * An owner keeps its lease as long as it answers: every LEASE_PING_US it is asked, and after LEASE_SILENCE_US without an answer the lease
 * is lost, because a program that is frozen cannot be what a person steers the pen with.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LEASE_PING_US 500000
#define LEASE_SILENCE_US 2000000

struct lease {
    char serial[33];
    const void *owner; /* the client */
    char name[64];     /* "clinic 2.1 (pid 42)" */
    pid_t pid;
    uint64_t heard_us; /* when it was given or last answered */
};

struct leases {
    struct lease *list;
    size_t count, cap;
};

void leases_free(struct leases *l);

/* NULL: it is free. Good until the next change. */
const struct lease *lease_of(const struct leases *l, const char *serial);

/* It is the owner's from now on: 0 (also if it was already), -EBUSY (another holds it, unless by_force), -ENOMEM. */
int lease_take(struct leases *l, const char *serial, const void *owner, const char *name, pid_t pid, uint64_t now_us, bool by_force);

/* False: it is not the owner's. */
bool lease_release(struct leases *l, const char *serial, const void *owner);

/* The owner has answered. */
void lease_heard(struct leases *l, const void *owner, uint64_t now_us);

/* A lease whose owner has been silent for too long, or NULL. Release it, and ask again. */
const struct lease *lease_silent(const struct leases *l, uint64_t now_us);
/* Any lease of this owner, or NULL. Release it, and ask again. */
const struct lease *lease_any_of(const struct leases *l, const void *owner);
