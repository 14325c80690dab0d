#include "inside.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "escape.h"
#include "frame.h"
#include "log.h"
#include "stall.h"
#include "wire.h"

enum {
    MESSAGE_MAX = 66 * 1024, /* the longest message of a client: a policy of 64 KiB */
    IN_BYTES = 4096 + 4,     /* size of the buffer, unless a longer message is being received */
};

void client_update_io(struct client *c)
{
    uint32_t events = (c->in_backlog || c->throttled ? 0 : (uint32_t)EPOLLIN) | (c->blocked ? (uint32_t)EPOLLOUT : 0);

    if (events != c->io_events)
        sd_event_source_set_io_events(c->io, events);
    c->io_events = events;
}

void client_mark_ended(struct client *c)
{
    if (c->ended)
        return;
    c->ended = true;
    sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
    clients_reap_soon(c->all);
}

/* ---- in ---- */

bool client_has_message(const struct client *c)
{
    uint32_t length = c->in_fill >= 4 ? mn_get_u32(c->in) : 0;

    return c->in_fill >= 4 && (length > MESSAGE_MAX || c->in_fill - 4 >= length);
}

/* Handles one message. Returns its length with the prefix; 0 if the client was disconnected. */
static size_t take_message(struct client *c)
{
    uint32_t length = mn_get_u32(c->in);
    Mnc__ClientMessage *m;
    const char *wrong;

    if (length > MESSAGE_MAX) {
        client_disconnect(c, "it sent a message of more than 67584 bytes");
        return 0;
    }
    m = mnc__client_message__unpack(NULL, length, c->in + 4);
    if (m == NULL && !c->greeted) { /* not a client of this protocol */
        client_disconnect(c, "it sent a message that does not decode");
        return 0;
    }
    if (m == NULL) {
        client_reject(c, wire_id(c->in + 4, length), MNC__ERROR_CODE__ERROR_MALFORMED, "this is no request: it does not decode");
        return c->ended ? 0 : 4 + (size_t)length;
    }
    output_traffic(c, MNC__TRAFFIC_KIND__TRAFFIC_TO_DAEMON, c->in + 4, length);
    wrong = wire_wrong_string(&mnc__client_message__descriptor, c->in + 4, length);
    if (wrong != NULL)
        client_reject(c, m->has_id ? m->id : 0, MNC__ERROR_CODE__ERROR_MALFORMED, "%s is no text: it is not UTF-8, or has a 0 in it", wrong);
    else
        c->all->handler.request(c->all->handler.ctx, c, m);
    mnc__client_message__free_unpacked(m, NULL);
    return c->ended ? 0 : 4 + (size_t)length;
}

/* Makes room for the message that has begun to arrive. False if the client was disconnected. */
static bool in_reserve(struct client *c, size_t bytes)
{
    ssize_t more = (ssize_t)bytes - (ssize_t)c->in_cap;
    uint8_t *other;

    if (more == 0)
        return true;
    if (more > 0 && c->user->queued_bytes + (size_t)more > c->all->options.user_queue_bytes) {
        client_disconnect(c, "its user's programs have too much on its way");
        return false;
    }
    other = realloc(c->in, bytes);
    if (other == NULL && more > 0) {
        client_disconnect(c, "the daemon is out of memory");
        return false;
    }
    if (other == NULL)
        return true;
    c->in = other;
    c->in_cap = bytes;
    c->user->queued_bytes += (size_t)more;
    return true;
}

/* Shrinks the buffer to what an incomplete message needs, or to its usual size. */
static bool in_fit(struct client *c)
{
    size_t length = c->in_fill >= 4 ? 4 + (size_t)mn_get_u32(c->in) : 0;
    size_t wanted = length > IN_BYTES ? length : IN_BYTES;

    return wanted >= c->in_fill ? in_reserve(c, wanted) : true;
}

void client_serve(struct client *c, int requests)
{
    for (int i = 0; i < requests && client_has_message(c) && !output_is_full(c); i++) {
        size_t n = take_message(c);

        if (n == 0)
            return;
        memmove(c->in, c->in + n, c->in_fill - n);
        c->in_fill -= n;
    }
    fanout_flush_urgent(c->all->fanout);
    fanout_flush_due(c->all->fanout);
    if (c->ended)
        return;
    c->throttled = output_is_full(c);
    if (!c->throttled && client_has_message(c))
        backlog_add(c);
    if (client_has_message(c) || in_fit(c))
        client_update_io(c);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
    struct client *c = userdata;
    ssize_t n;

    stall_doing("a client");
    (void)s;
    if (revents & EPOLLOUT) {
        c->blocked = false;
        output_flush(&c->subscriber);
        if (c->ended)
            return 0;
        if (c->throttled && !output_is_full(c)) {
            c->throttled = false;
            if (client_has_message(c))
                backlog_add(c);
        }
        client_update_io(c);
    }
    if (!(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) || c->in_backlog || c->throttled)
        return 0;
    n = recv(fd, c->in + c->in_fill, c->in_cap - c->in_fill, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        client_mark_ended(c);
        return 0;
    }
    c->in_fill += (size_t)n;
    client_serve(c, CLIENT_REQUESTS_AT_ONCE);
    if (!c->ended && !c->in_backlog)
        c->all->modest_us = loop_us(c->all->event, CLOCK_MONOTONIC);
    return 0;
}

/* ---- what is known of it ---- */

struct subscriber *client_subscriber(struct client *c)
{
    return &c->subscriber;
}

enum role client_role(const struct client *c)
{
    return c->role;
}

const char *client_name(const struct client *c)
{
    return c->name;
}

pid_t client_pid(const struct client *c)
{
    return c->pid;
}

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* since Linux 6.5: refers to that very process, even if its pid is reused */
#endif

int client_pidfd(const struct client *c)
{
    socklen_t size = sizeof(int);
    int fd = -1;

    if (c->pid <= 0)
        return -ENODATA; /* a process of another PID namespace */
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) < 0)
        fd = pidfd_open(c->pid, 0);
    if (fd < 0)
        return -errno;
    if (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) > 0) { /* since Linux 6.16 it may refer to a process that has ended */
        close(fd);
        return -ESRCH;
    }
    return fd;
}

bool client_is_greeted(const struct client *c)
{
    return c->greeted;
}

void client_greet(struct client *c, const char *name)
{
    char printable[32];

    escape_terminal(printable, sizeof(printable), name, strlen(name));
    snprintf(c->name, sizeof(c->name), "%s (pid %d)", printable, (int)c->pid);
    c->greeted = true;
}

/* ---- life ---- */

void client_free(struct client *c)
{
    if (c == NULL)
        return;
    if (c->missed != 0)
        log_info("client %s read too slowly: %" PRIu64 " telemetry batches or monitored transfers were dropped", c->name, c->missed);
    sd_event_source_disable_unref(c->io);
    if (c->in_backlog)
        backlog_remove(c);
    if (c->user != NULL) {
        output_free(c);
        c->user->queued_bytes -= c->in_cap - IN_BYTES;
        user_leave(&c->all->users, c->user);
    }
    close(c->fd);
    free(c->in);
    free(c);
}

int client_new(struct client **out, struct clients *all, int fd)
{
    struct client *c = calloc(1, sizeof(*c));
    struct ucred cred = {0};
    socklen_t size = sizeof(cred);
    int r;

    if (c == NULL) {
        close(fd);
        return -ENOMEM;
    }
    c->all = all;
    c->fd = fd;
    c->subscriber.push = output_push;
    c->subscriber.flush = output_flush;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
        cred = (struct ucred){.uid = (uid_t)-1, .gid = (gid_t)-1};
    c->pid = cred.pid;
    c->role = role_of_peer(&all->roles, fd, cred.uid, cred.gid);
    snprintf(c->name, sizeof(c->name), "pid %d", (int)c->pid);
    c->user = user_enter(&all->users, cred.uid);
    c->in = malloc(IN_BYTES);
    c->in_cap = IN_BYTES;
    if (c->user == NULL || c->in == NULL) {
        client_free(c);
        return -ENOMEM;
    }
    c->io_events = EPOLLIN;
    r = sd_event_add_io(all->event, &c->io, fd, c->io_events, on_io, c);
    if (r < 0) {
        client_free(c);
        return r;
    }
    *out = c;
    return 0;
}
