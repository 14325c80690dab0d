/* Unix sockets at paths. */
#pragma once

#include <stddef.h>

/*
 * A listening socket (SOCK_STREAM or SOCK_SEQPACKET), non-blocking, close-on-exec, mode 0600: its owner widens that. A socket at the path that nobody
 * listens to is replaced; one that somebody listens to is not, and whatever else is there (a file, a folder, a symbolic link) is left as it is. Never
 * waits for a program that does not answer. The descriptor, or a negative errno and one sentence in why.
 *
 * Before other threads begin: the umask is the process's.
 */
int unix_listen(const char *path, int type, int backlog, char *why, size_t cap);
