#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "log.h"
#include "stall.h"

enum { REST_US = 100000 };

struct listener {
    int fd, spare; /* reserve descriptor, closed while a connection is accepted only to be rejected; -1 */
    const char *what;
    bool paused; /* accepting is paused; logged once until the next connection */
    sd_event_source *accept, *resume;
    listener_fn *accepted, *rejected;
    void *ctx;
};

/* ---- passed by a service manager ---- */

/* Describes a descriptor for the message about a wrong socket unit. */
static void describe(int fd, char *out, size_t cap)
{
    static const struct {
        int value;
        const char *name;
    } families[] = {{AF_UNIX, "Unix"}, {AF_INET, "IPv4"}, {AF_INET6, "IPv6"}, {AF_NETLINK, "netlink"}, {AF_VSOCK, "VSOCK"}},
      types[] = {{SOCK_STREAM, "stream"}, {SOCK_DGRAM, "datagram"}, {SOCK_SEQPACKET, "packet"}, {SOCK_RAW, "raw"}};
    const char *family = "unknown", *type = "other";
    int listening = 0, kind = 0, domain = 0;
    socklen_t n = sizeof(int);
    struct stat s;

    if (fstat(fd, &s) < 0 || !S_ISSOCK(s.st_mode)) {
        snprintf(out, cap, "no socket");
        return;
    }
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n);
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &n);
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n);
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        family = families[i].value == domain ? families[i].name : family;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        type = types[i].value == kind ? types[i].name : type;
    snprintf(out, cap, "%s %s socket of the kind %s%s", listening ? "a listening" : "a", type, family,
             listening || kind == SOCK_DGRAM ? "" : ", which does not listen (Accept=yes?)");
}

static void path_of(int fd, char *out, size_t cap)
{
    struct sockaddr_un address = {0};
    socklen_t n = sizeof(address);

    out[0] = '\0';
    if (getsockname(fd, (struct sockaddr *)&address, &n) == 0 && n > offsetof(struct sockaddr_un, sun_path) && address.sun_path[0] != '\0')
        snprintf(out, cap, "%.*s", (int)(n - offsetof(struct sockaddr_un, sun_path)), address.sun_path);
}

int listener_passed(char *path, size_t cap)
{
    char **names = NULL, what[120];
    int n = sd_listen_fds_with_names(1, &names), bad = 0, flags;

    path[0] = '\0';
    for (int i = 0; i < n; i++) {
        int fd = SD_LISTEN_FDS_START + i;

        if (n == 1 && sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0)
            continue;
        describe(fd, what, sizeof(what));
        log_error("the service manager passed %s (%s): mnd takes one listening Unix stream socket, and nothing else", what, names != NULL ? names[i] : "unnamed");
        bad++;
    }
    for (int i = 0; names != NULL && names[i] != NULL; i++)
        free(names[i]);
    free(names);
    if (n <= 0 || bad > 0)
        return n < 0 ? n : bad > 0 ? -EINVAL : 0;
    flags = fcntl(SD_LISTEN_FDS_START, F_GETFL);
    if (flags < 0 || fcntl(SD_LISTEN_FDS_START, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    path_of(SD_LISTEN_FDS_START, path, cap);
    return SD_LISTEN_FDS_START;
}

/* ---- what comes in ---- */

static int on_resume(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct listener *l = userdata;

    (void)source;
    (void)usec;
    return sd_event_source_set_enabled(l->accept, SD_EVENT_ON);
}

void listener_pause(struct listener *l, int error)
{
    if (!l->paused)
        log_warning("no %s for a moment: %s", l->what, strerror(error));
    l->paused = true;
    sd_event_source_set_enabled(l->accept, SD_EVENT_OFF);
    sd_event_source_set_time_relative(l->resume, REST_US);
    sd_event_source_set_enabled(l->resume, SD_EVENT_ONESHOT);
}

static void refuse_one(struct listener *l)
{
    int conn;

    if (l->spare < 0)
        return;
    close(l->spare);
    conn = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (conn >= 0) {
        if (l->rejected != NULL)
            l->rejected(l->ctx, conn);
        close(conn);
    }
    l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    struct listener *l = userdata;
    int conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    stall_doing("a new connection");
    (void)source;
    (void)revents;
    if (conn >= 0) {
        l->paused = false;
        l->accepted(l->ctx, conn);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        int e = errno;

        if (e == EMFILE || e == ENFILE)
            refuse_one(l);
        listener_pause(l, e); /* out of descriptors or memory: retry later; for any other error it prevents spinning */
    }
    return 0;
}

int listener_new(struct listener **out, sd_event *event, int fd, const char *what, listener_fn *accepted, listener_fn *rejected, void *ctx)
{
    struct listener *l = calloc(1, sizeof(*l));
    int r;

    if (l == NULL) {
        close(fd);
        return -ENOMEM;
    }
    *l = (struct listener){.fd = fd, .spare = open("/dev/null", O_RDONLY | O_CLOEXEC), .what = what, .accepted = accepted, .rejected = rejected, .ctx = ctx};
    if ((r = sd_event_add_io(event, &l->accept, fd, EPOLLIN, on_accept, l)) < 0 ||
        (r = sd_event_add_time_relative(event, &l->resume, CLOCK_MONOTONIC, 0, 0, on_resume, l)) < 0 ||
        (r = sd_event_source_set_enabled(l->resume, SD_EVENT_OFF)) < 0) {
        listener_free(l);
        return r;
    }
    *out = l;
    return 0;
}

void listener_free(struct listener *l)
{
    if (l == NULL)
        return;
    sd_event_source_disable_unref(l->accept);
    sd_event_source_disable_unref(l->resume);
    close(l->fd);
    if (l->spare >= 0)
        close(l->spare);
    free(l);
}
