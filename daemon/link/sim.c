#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "listener.h"
#include "log.h"
#include "stall.h"
#include "unix_socket.h"
#include "simlink.h"

enum { REQUESTERS_MAX = 16, PORTS_MAX = 256, PORTS_PER_TURN = 64, CONTROLS_MAX = 8, BACKLOG = 64 };

struct requester {
    sim_reply_fn *reply;
    void *ctx;
    uint32_t id;
};

struct sim_port {
    struct link link;
    struct sim_bus *bus;
    struct sim_port *next;
    int fd;
    uint32_t io_events; /* registered with epoll */
    char serial[64];
    bool attached;      /* a pen is plugged in and announced */
    bool opened;        /* between open() and close() */
    bool closing;       /* close() was called: on_closed follows from the loop */
    bool dead;          /* the connection is gone */
    bool open_due;
    bool attach_due;    /* plugged in again before the previous link was closed */
    uint8_t controls[CONTROLS_MAX]; /* pending control transfers, in order */
    unsigned control_count;
    sd_event_source *deferred;
    struct requester requesters[REQUESTERS_MAX]; /* who waits for replies, in order */
    unsigned requester_count;
};

struct sim_bus {
    sd_event *event;
    struct listener *listener;
    int ready_fd; /* epoll of all ports: one loop iteration for all pens that have sent something */
    char *path;
    sd_event_source *ready, *child;
    pid_t pid;
    link_arrived_fn *arrived;
    void *ctx;
    struct sim_port *ports;
    unsigned count, numbered;
};

static int packet(struct sim_port *p, uint8_t tag, const void *bytes, size_t n)
{
    struct iovec iov[2] = {{&tag, 1}, {(void *)(uintptr_t)bytes, n}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

    if (sendmsg(p->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return 0;
    return errno == EAGAIN ? -EAGAIN : -errno;
}

/* Returns 0 at the end of the packet. */
static void wait_for(struct sim_port *p, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = p};

    if (events != p->io_events && epoll_ctl(p->bus->ready_fd, p->io_events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD, p->fd, &e) < 0)
        log_error("%s: epoll: %s", p->link.port, strerror(errno));
    p->io_events = events;
}

/* Removes a port from the list and frees it: the first, or the one after another. */
static void port_free(struct sim_port **at)
{
    struct sim_port *p = *at;

    *at = p->next;
    p->bus->count--;
    for (unsigned i = 0; i < p->requester_count; i++)
        p->requesters[i].reply(p->requesters[i].ctx, p->requesters[i].id, NULL, "the simulation has ended");
    sd_event_source_disable_unref(p->deferred);
    close(p->fd);
    free(p);
}

static void hang_up(struct sim_port *p);

static void announce(struct sim_port *p)
{
    p->attach_due = false;
    p->attached = true;
    if (!p->bus->arrived(p->bus->ctx, &p->link))
        hang_up(p); /* the simulation reconnects by itself */
}

/* Deferred work that must not happen inside an op, in the next loop iteration. */
static int on_deferred(sd_event_source *s, void *userdata)
{
    struct sim_port *p = userdata;

    (void)s;
    if (p->open_due && !p->closing) {
        p->open_due = false;
        p->link.handler->on_open(p->link.ctx);
    }
    if (p->closing) {
        p->closing = p->opened = false;
        p->link.handler->on_closed(p->link.ctx);
        if (p->attach_due)
            announce(p);
    }
    if (p->dead && !p->opened) {
        struct sim_port **at = &p->bus->ports;

        while (*at != p)
            at = &(*at)->next;
        port_free(at);
    }
    return 0;
}

static void defer(struct sim_port *p)
{
    sd_event_source_set_enabled(p->deferred, SD_EVENT_ONESHOT);
}

static int sim_open(struct link *l)
{
    struct sim_port *p = (struct sim_port *)l;

    p->opened = true;
    p->open_due = true;
    p->control_count = 0;
    defer(p);
    return 0;
}

static int sim_send(struct link *l, const uint8_t *bytes, size_t n)
{
    struct sim_port *p = (struct sim_port *)l;
    int r = packet(p, SIMLINK_BULK_OUT, bytes, n);

    if (r == -EAGAIN) /* wait for EPOLLOUT */
        wait_for(p, EPOLLIN | EPOLLOUT);
    return r;
}

static int sim_control(struct link *l, enum mn_control request)
{
    struct sim_port *p = (struct sim_port *)l;
    uint8_t byte = (uint8_t)request;
    int r = p->control_count < CONTROLS_MAX ? packet(p, SIMLINK_CONTROL, &byte, 1) : -EAGAIN;

    if (r == 0)
        p->controls[p->control_count++] = byte;
    return r;
}

static void sim_close(struct link *l)
{
    struct sim_port *p = (struct sim_port *)l;

    p->closing = true;
    defer(p);
}

static const struct link_ops sim_ops = {
    .open = sim_open,
    .send = sim_send,
    .control = sim_control,
    .close = sim_close,
};

static void detach(struct sim_port *p)
{
    p->attach_due = false;
    if (!p->attached)
        return;
    p->attached = false;
    if (p->opened && !p->closing)
        p->link.handler->on_gone(p->link.ctx);
}

static void hang_up(struct sim_port *p)
{
    p->dead = true;
    wait_for(p, 0);
    detach(p);
    defer(p);
}

static void attach(struct sim_port *p, const uint8_t *serial, size_t n)
{
    snprintf(p->serial, sizeof(p->serial), "%.*s", (int)n, (const char *)serial);
    if (p->opened) /* the previous link is still being closed */
        p->attach_due = !p->attached;
    else if (!p->attached)
        announce(p);
}

static void on_stall(struct sim_port *p, uint8_t endpoint)
{
    if (!p->opened || p->closing)
        return;
    packet(p, SIMLINK_CLEAR_HALT, &endpoint, 1);
    p->link.handler->on_trouble(p->link.ctx, "the pen stalled a pipe; the session begins anew", false);
}

static void on_reply(struct sim_port *p, const uint8_t *text, size_t n)
{
    struct requester a;
    char reply[1024];

    if (p->requester_count == 0)
        return;
    a = p->requesters[0];
    memmove(p->requesters, p->requesters + 1, --p->requester_count * sizeof(p->requesters[0]));
    snprintf(reply, sizeof(reply), "%.*s", (int)n, (const char *)text);
    a.reply(a.ctx, a.id, reply, NULL);
}

static void on_control(struct sim_port *p, uint8_t status, bool live)
{
    uint8_t request = p->controls[0];

    if (p->control_count == 0)
        return;
    memmove(p->controls, p->controls + 1, --p->control_count);
    if (live)
        p->link.handler->on_control(p->link.ctx, (enum mn_control)request, status == 0 ? 0 : -EPIPE);
}

static void on_packet(struct sim_port *p, const uint8_t *bytes, size_t n)
{
    bool live = p->opened && !p->closing && p->attached;
    const struct link_handler *h = p->link.handler;

    switch (bytes[0]) {
    case SIMLINK_BULK_IN:
    case SIMLINK_INTERRUPT_IN:
        if (live && !p->open_due)
            h->on_bytes(p->link.ctx, bytes[0] == SIMLINK_BULK_IN ? LINK_BULK_IN : LINK_INTERRUPT_IN, bytes + 1, n - 1);
        break;
    case SIMLINK_CONTROL:
        if (n == 2)
            on_control(p, bytes[1], live);
        break;
    case SIMLINK_ATTACH:
        if (n >= 2 && bytes[1] != 0)
            attach(p, bytes + 2, n - 2);
        else if (n >= 2)
            detach(p);
        break;
    case SIMLINK_STALL:
        if (n == 2)
            on_stall(p, bytes[1]);
        break;
    case SIMLINK_PORT:
        on_reply(p, bytes + 1, n - 1);
        break;
    default:
        log_debug("%s: packet with unknown tag 0x%02x dropped", p->link.port, bytes[0]);
        break;
    }
}

/* Reads one packet of a port. If there are more, epoll reports the port again after the others. */
static void on_port(struct sim_port *p, uint32_t events)
{
    uint8_t bytes[SIMLINK_PACKET_MAX + 1];
    ssize_t n;

    if (events & EPOLLOUT) {
        wait_for(p, EPOLLIN);
        if (p->opened && !p->closing && p->attached)
            p->link.handler->on_sendable(p->link.ctx);
    }
    n = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n > 0)
        on_packet(p, bytes, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        hang_up(p);
}

/* Ports are freed only by their deferred sources, so none of these is freed during the loop. */
static int on_ready(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
    struct epoll_event events[PORTS_PER_TURN];
    int n = epoll_wait(fd, events, PORTS_PER_TURN, 0);

    stall_doing("simulated pens");
    (void)s;
    (void)revents;
    (void)userdata;
    for (int i = 0; i < n; i++) {
        struct sim_port *p = events[i].data.ptr;

        if (!p->dead)
            on_port(p, events[i].events);
    }
    return 0;
}

static void on_accepted(void *ctx, int fd)
{
    struct sim_bus *b = ctx;
    struct sim_port *p = b->count < PORTS_MAX ? calloc(1, sizeof(*p)) : NULL;

    if (p == NULL) {
        log_warning("no room for one more simulated pen");
        close(fd);
        return;
    }
    p->bus = b;
    p->fd = fd;
    p->link = (struct link){.ops = &sim_ops, .simulated = true};
    snprintf(p->link.port, sizeof(p->link.port), "sim %u", ++b->numbered);
    if (sd_event_add_defer(b->event, &p->deferred, on_deferred, p) < 0 || sd_event_source_set_enabled(p->deferred, SD_EVENT_OFF) < 0) {
        sd_event_source_disable_unref(p->deferred);
        close(fd);
        free(p);
        return;
    }
    p->next = b->ports;
    b->ports = p;
    b->count++;
    wait_for(p, EPOLLIN);
}

int sim_bus_new(struct sim_bus **out, sd_event *event, const char *path, link_arrived_fn *arrived, void *ctx)
{
    struct sim_bus *b = calloc(1, sizeof(*b));
    char why[500];
    int fd, r;

    if (b == NULL)
        return -ENOMEM;
    *b = (struct sim_bus){.event = event, .arrived = arrived, .ctx = ctx};
    fd = unix_listen(path, SOCK_SEQPACKET, BACKLOG, why, sizeof(why));
    b->ready_fd = epoll_create1(EPOLL_CLOEXEC);
    b->path = fd >= 0 ? strdup(path) : NULL;
    r = fd < 0 ? fd : b->ready_fd < 0 || b->path == NULL || chmod(path, 0660) < 0 ? -errno : 0;
    if (fd < 0)
        log_error("no simulated pens: %s", why);
    else if (r < 0)
        close(fd);
    if (r == 0 && (r = listener_new(&b->listener, event, fd, "new simulated pens", on_accepted, NULL, b)) >= 0)
        r = sd_event_add_io(event, &b->ready, b->ready_fd, EPOLLIN, on_ready, b);
    if (r < 0) {
        if (fd >= 0)
            log_error("no simulated pens: %s", strerror(-r));
        sim_bus_free(b);
        return r;
    }
    *out = b;
    return 0;
}

static int on_child(sd_event_source *s, const siginfo_t *info, void *userdata)
{
    struct sim_bus *b = userdata;

    stall_doing("the end of penstub");
    (void)s;
    b->pid = 0;
    if (info->si_code == CLD_EXITED && info->si_status == 0)
        log_info("penstub was ended: no simulated pens are left"); /* a service manager signals all processes of a service at once */
    else
        log_error("penstub has ended by itself (%s %d): no simulated pens are left", info->si_code == CLD_EXITED ? "exit" : "signal", info->si_status);
    return 0;
}

int sim_bus_spawn(struct sim_bus *b, const char *penstub, unsigned n, bool fresh)
{
    char count[16];
    pid_t pid, parent = getpid();

    snprintf(count, sizeof(count), "%u", n);
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        for (int i = 1; i < NSIG; i++)
            signal(i, SIG_DFL);
        setpgid(0, 0); /* Ctrl-C at a terminal is for the daemon, which then ends penstub */
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* penstub ends whatever ends the daemon */
        if (getppid() != parent)
            _exit(0);
        execl(penstub, "penstub", "--connect", b->path, "--pens", count, fresh ? "--fresh" : (char *)NULL, (char *)NULL);
        dprintf(STDERR_FILENO, "mnd: cannot run %s: %s\n", penstub, strerror(errno));
        _exit(127);
    }
    b->pid = pid;
    return sd_event_add_child(b->event, &b->child, pid, WEXITED, on_child, b);
}

bool sim_command(struct sim_bus *b, const char *serial, const char *line, sim_reply_fn *reply, void *ctx,
                 uint32_t id)
{
    for (struct sim_port *p = b->ports; p != NULL; p = p->next) {
        char address[LINK_ADDRESS_SIZE];

        link_address(p->link.port, address);
        if (p->dead || serial[0] == '\0' || (strcmp(p->serial, serial) != 0 && strcmp(address, serial) != 0))
            continue;
        if (p->requester_count == REQUESTERS_MAX || packet(p, SIMLINK_PORT, line, strlen(line)) < 0)
            reply(ctx, id, NULL, "the simulation is busy");
        else
            p->requesters[p->requester_count++] = (struct requester){reply, ctx, id};
        return true;
    }
    return false;
}

static void ignore_reply(void *ctx, uint32_t id, const char *reply, const char *error)
{
    (void)ctx;
    (void)id;
    (void)reply;
    (void)error;
}

void sim_detach(struct sim_bus *b, const void *ctx)
{
    for (struct sim_port *p = b->ports; p != NULL; p = p->next) {
        for (unsigned i = 0; i < p->requester_count; i++) {
            if (p->requesters[i].ctx == ctx)
                p->requesters[i] = (struct requester){ignore_reply, NULL, 0};
        }
    }
}

/* Ends penstub by SIGTERM, then by SIGKILL, since it may be stopped or hang. */
static void end_child(pid_t pid)
{
    const struct timespec pause = {.tv_nsec = 10000000};

    kill(pid, SIGTERM);
    kill(pid, SIGCONT);
    for (int i = 0; i < 100; i++) {
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return;
        nanosleep(&pause, NULL);
    }
    log_warning("penstub does not end: it is killed");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

void sim_bus_free(struct sim_bus *b)
{
    if (b == NULL)
        return;
    sd_event_source_disable_unref(b->child);
    if (b->pid > 0)
        end_child(b->pid);
    while (b->ports != NULL)
        port_free(&b->ports);
    listener_free(b->listener);
    sd_event_source_disable_unref(b->ready);
    if (b->ready_fd >= 0)
        close(b->ready_fd);
    if (b->path != NULL)
        unlink(b->path);
    free(b->path);
    free(b);
}
