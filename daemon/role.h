/*
 * What a program may do: by the groups of the user whose it is, as the kernel says (SO_PEERCRED, SO_PEERGROUPS). Each role may do all that
 * those before it may.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "config.h"

enum role {
    ROLE_OBSERVER, /* see: pens, telemetry, records; and STOP, which everyone may */
    ROLE_OPERATOR, /* configure, arm, clear faults */
    ROLE_SERVICE,  /* clear service faults, take a lease over, look on at others' traffic */
    ROLE_FACTORY,  /* write serial number and calibration */
};

struct role_map {
    gid_t gids[ROLE_FACTORY + 1]; /* of each role's group, an observer's being the socket's; GROUP_UNKNOWN: there is no such group */
    char groups[ROLE_FACTORY + 1][33];
    uid_t nobody; /* as who all users appear that this user namespace does not know: none of them is the daemon's own */
    gid_t nogroup;
};

/* Looks the configured groups up. One that does not exist is said in the log and gives its role to nobody. */
void role_map_load(struct role_map *m, const struct config *config);

/* The role of the program at the other end of the socket. Root, and the user that the daemon runs as, may all. */
enum role role_of_peer(const struct role_map *m, int fd, uid_t uid, gid_t gid);

const char *role_name(enum role r); /* "operator" */
