/*
 * What the clients of one user have the daemon hold: connections, and bytes that wait to be read. A client that misbehaves uses up its own user's share,
 * never another user's. A user is known as long as one of its clients is connected.
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

/* The user's account, with one client more; NULL without memory. */
struct user *user_enter(struct user **users, uid_t uid);
/* One client less; the account is freed with the last. */
void user_leave(struct user **users, struct user *u);
