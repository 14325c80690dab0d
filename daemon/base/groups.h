/*
 * The numbers of groups by their names, looked up in a process of its own: the name service may wait for a network, and glibc's ends a process that has no memory.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define GROUP_UNKNOWN ((gid_t)-1)

/* Of each name ("" has none) its number, or GROUP_UNKNOWN. 0, or a negative errno, with all of them unknown: nobody has a right by a group then. At most 5 s; before
 * there are threads. */
int groups_look_up(const char *const *names, gid_t *gids, size_t n);
