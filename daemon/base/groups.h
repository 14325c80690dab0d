/*
 * Group ids by name, looked up in a child process: the name service may wait for a network, and glibc's aborts a process that has no memory.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define GROUP_UNKNOWN ((gid_t)-1)

/* Fills gids[i] with the id of names[i], or GROUP_UNKNOWN (also for ""). 0, or a negative errno with all of them unknown: then no group gives a role. Takes 5 s
 * at the most. Before there are threads. */
int groups_look_up(const char *const *names, gid_t *gids, size_t n);
