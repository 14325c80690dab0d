#include "failing.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>
#include <unistd.h>

static struct {
    uint32_t at, count;
    int error;
    bool happened;
} kinds[FAILING_KINDS];

static _Thread_local bool on;

void failing_set(enum failing_what what, uint32_t n, int error)
{
    kinds[what].at = n;
    kinds[what].count = 0;
    kinds[what].error = error;
    kinds[what].happened = false;
}

uint32_t failing_count(enum failing_what what)
{
    return kinds[what].count;
}

bool failing_happened(enum failing_what what)
{
    return kinds[what].happened;
}

void failing_on(void)
{
    on = true;
}

void failing_off(void)
{
    on = false;
}

static bool fails(enum failing_what what)
{
    if (!on || ++kinds[what].count != kinds[what].at)
        return false;
    kinds[what].happened = true;
    errno = what == FAILING_ALLOCATION ? ENOMEM : kinds[what].error;
    return true;
}

/* A call of these types and names, that gives failed when it fails. */
#define WRAP(what, type, name, parameters, arguments, failed)                                                          \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        return fails(what) ? (failed) : __real_##name arguments;                                                       \
    }

WRAP(FAILING_ALLOCATION, void *, malloc, (size_t n), (n), NULL)
WRAP(FAILING_ALLOCATION, void *, calloc, (size_t n, size_t each), (n, each), NULL)
WRAP(FAILING_ALLOCATION, void *, realloc, (void *old, size_t n), (old, n), NULL)
WRAP(FAILING_ALLOCATION, char *, strdup, (const char *text), (text), NULL)

WRAP(FAILING_SYSTEM_CALL, int, socket, (int domain, int type, int protocol), (domain, type, protocol), -1)
WRAP(FAILING_SYSTEM_CALL, int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), -1)
WRAP(FAILING_SYSTEM_CALL, int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), -1)
WRAP(FAILING_SYSTEM_CALL, int, listen, (int fd, int backlog), (fd, backlog), -1)
WRAP(FAILING_SYSTEM_CALL, int, unlink, (const char *path), (path), -1)
WRAP(FAILING_SYSTEM_CALL, int, lstat, (const char *path, struct stat *st), (path, st), -1)
WRAP(FAILING_SYSTEM_CALL, int, stat, (const char *path, struct stat *st), (path, st), -1)
WRAP(FAILING_SYSTEM_CALL, int, access, (const char *path, int mode), (path, mode), -1)
WRAP(FAILING_SYSTEM_CALL, FILE *, fdopen, (int fd, const char *mode), (fd, mode), NULL)
WRAP(FAILING_SYSTEM_CALL, ssize_t, recv, (int fd, void *bytes, size_t n, int flags), (fd, bytes, n, flags), -1)
WRAP(FAILING_SYSTEM_CALL, ssize_t, send, (int fd, const void *bytes, size_t n, int flags), (fd, bytes, n, flags), -1)
WRAP(FAILING_SYSTEM_CALL, ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), -1)
WRAP(FAILING_SYSTEM_CALL, ssize_t, read, (int fd, void *bytes, size_t n), (fd, bytes, n), -1)
WRAP(FAILING_SYSTEM_CALL, ssize_t, write, (int fd, const void *bytes, size_t n), (fd, bytes, n), -1)
WRAP(FAILING_SYSTEM_CALL, ssize_t, pread, (int fd, void *bytes, size_t n, off_t at), (fd, bytes, n, at), -1)
WRAP(FAILING_SYSTEM_CALL, int, fstat, (int fd, struct stat *st), (fd, st), -1)
WRAP(FAILING_SYSTEM_CALL, int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags), -1)
WRAP(FAILING_SYSTEM_CALL, int, getsockopt, (int fd, int level, int name, void *value, socklen_t *n), (fd, level, name, value, n), -1)
WRAP(FAILING_SYSTEM_CALL, int, epoll_ctl, (int fd, int what, int other, struct epoll_event *e), (fd, what, other, e), -1)
WRAP(FAILING_SYSTEM_CALL, int, epoll_wait, (int fd, struct epoll_event *e, int n, int ms), (fd, e, n, ms), -1)
WRAP(FAILING_SYSTEM_CALL, int, eventfd, (unsigned first, int flags), (first, flags), -1)
WRAP(FAILING_SYSTEM_CALL, int, pthread_create, (pthread_t *out, const pthread_attr_t *a, void *(*run)(void *), void *arg), (out, a, run, arg), EAGAIN)
/* libsystemd's give a negative errno. */
WRAP(FAILING_SYSTEM_CALL, int, sd_event_add_io, (sd_event *e, sd_event_source **s, int fd, uint32_t events, sd_event_io_handler_t on_io, void *ctx), (e, s, fd, events, on_io, ctx), -errno)
WRAP(FAILING_SYSTEM_CALL, int, sd_event_add_time, (sd_event *e, sd_event_source **s, clockid_t clock, uint64_t us, uint64_t accuracy, sd_event_time_handler_t on_time, void *ctx),
     (e, s, clock, us, accuracy, on_time, ctx), -errno)
WRAP(FAILING_SYSTEM_CALL, int, sd_event_add_time_relative, (sd_event *e, sd_event_source **s, clockid_t clock, uint64_t us, uint64_t accuracy, sd_event_time_handler_t on_time, void *ctx),
     (e, s, clock, us, accuracy, on_time, ctx), -errno)
WRAP(FAILING_SYSTEM_CALL, int, sd_event_add_defer, (sd_event *e, sd_event_source **s, sd_event_handler_t on_it, void *ctx), (e, s, on_it, ctx), -errno)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

int __wrap_open(const char *path, int flags, ...)
{
    mode_t mode = 0;

    if (flags & O_CREAT) {
        va_list ap;

        va_start(ap, flags);
        mode = va_arg(ap, mode_t);
        va_end(ap);
    }
    return fails(FAILING_SYSTEM_CALL) ? -1 : __real_open(path, flags, mode);
}
