/*
 * What the programs of one user have this daemon hold: connections, and bytes that wait to be read. One program that goes
 * astray uses its user's share up, never another user's. A user is known as long as one of its programs is connected.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct user {
    struct user *next;
    uid_t uid;
    unsigned clients;
    size_t queued_bytes;
};

/* The user's account, one client more in it; NULL without memory. */
struct user *user_enter(struct user **users, uid_t uid);
/* One client less; the account goes with the last. */
void user_leave(struct user **users, struct user *u);
