#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "log.h"

enum {
    MESSAGE_MAX = 4096,       /* from a client */
    IN_BYTES = MESSAGE_MAX + 4,
    TELEMETRY_RING = 64,
    URGENT_RING = 256,
    IOV_MAX_OUT = 32,
    REQUESTS_PER_TURN = 4, /* of one client ... */
    CLIENTS_PER_TURN = 4,  /* ... and clients of the line: then it is the pens' turn */
};

struct ring {
    struct buf **slots;
    unsigned cap, head, fill;
};

struct client {
    struct subscriber subscriber;
    struct client_env *env;
    int fd;
    sd_event_source *io, *flush;
    uint32_t io_events;
    char name[64]; /* for logs: "mnctl 0.1.0 (pid 42)" */
    pid_t pid;
    enum role role;
    struct user *user;
    struct client *next_in_line;
    bool greeted, ending, in_line;
    uint8_t in[IN_BYTES];
    size_t in_fill;

    struct buf *urgent_slots[URGENT_RING], *telemetry_slots[TELEMETRY_RING];
    struct ring urgent, telemetry;
    struct buf *out[IOV_MAX_OUT]; /* taken from the rings, being written */
    unsigned out_count;
    size_t out_offset; /* into out[0] */
    size_t urgent_bytes;
    uint64_t dropped;
    bool blocked; /* the socket is full: EPOLLOUT will tell */
};

/* Reads unless there is enough to do, writes when the socket was full. */
static void update_io(struct client *c)
{
    uint32_t events = (c->in_line ? 0 : (uint32_t)EPOLLIN) | (c->blocked ? (uint32_t)EPOLLOUT : 0);

    if (events != c->io_events)
        sd_event_source_set_io_events(c->io, events);
    c->io_events = events;
}

/* ---- out ---- */

static struct buf *ring_pop(struct ring *r)
{
    struct buf *b;

    if (r->fill == 0)
        return NULL;
    b = r->slots[r->head];
    r->head = (r->head + 1) % r->cap;
    r->fill--;
    return b;
}

static bool ring_push(struct ring *r, struct buf *b)
{
    if (r->fill == r->cap)
        return false;
    r->slots[(r->head + r->fill++) % r->cap] = buf_ref(b);
    return true;
}

static void account(struct client *c, ssize_t bytes)
{
    c->urgent_bytes += (size_t)bytes;
    c->user->queued_bytes += (size_t)bytes;
}

static void refill(struct client *c)
{
    struct buf *b;

    while (c->out_count < IOV_MAX_OUT && (b = ring_pop(&c->urgent)) != NULL) {
        account(c, -(ssize_t)b->length);
        c->out[c->out_count++] = b;
    }
    while (c->out_count < IOV_MAX_OUT && (b = ring_pop(&c->telemetry)) != NULL)
        c->out[c->out_count++] = b;
}

static void sent(struct client *c, size_t n)
{
    unsigned done = 0;

    n += c->out_offset;
    while (done < c->out_count && n >= c->out[done]->length) {
        n -= c->out[done]->length;
        buf_unref(c->out[done++]);
    }
    memmove(c->out, c->out + done, (c->out_count - done) * sizeof(c->out[0]));
    c->out_count -= done;
    c->out_offset = n;
}

/* Writes until nothing is left or the socket is full. False: the client is gone. */
static bool write_out(struct client *c)
{
    for (;;) {
        struct iovec iov[IOV_MAX_OUT];
        struct msghdr m = {.msg_iov = iov};
        ssize_t n;

        if (c->out_count == 0)
            refill(c);
        if (c->out_count == 0)
            return true;
        for (unsigned i = 0; i < c->out_count; i++)
            iov[i] = (struct iovec){c->out[i]->bytes, c->out[i]->length};
        iov[0].iov_base = c->out[0]->bytes + c->out_offset;
        iov[0].iov_len -= c->out_offset;
        m.msg_iovlen = c->out_count;
        n = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            c->blocked = true;
            update_io(c);
            return true;
        }
        if (n < 0)
            return false;
        sent(c, (size_t)n);
    }
}

static void end(struct client *c)
{
    if (c->ending)
        return;
    c->ending = true;
    sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
    sd_event_source_set_enabled(c->flush, SD_EVENT_OFF);
    c->env->ended(c->env->ctx, c);
}

static void flush(struct client *c)
{
    if (!c->blocked && !c->ending && !write_out(c))
        end(c);
}

static int on_flush(sd_event_source *s, void *userdata)
{
    (void)s;
    flush(userdata);
    return 0;
}

void client_end(struct client *c, const char *reason)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__Goodbye goodbye = MNC__GOODBYE__INIT;
    struct buf *b;

    if (c->ending)
        return;
    log_warning("client %s is disconnected: %s", c->name, reason);
    goodbye.reason = (char *)(uintptr_t)reason;
    m.body_case = MNC__SERVER_MESSAGE__BODY_GOODBYE;
    m.goodbye = &goodbye;
    b = hub_encode(&m);
    if (b != NULL && ring_push(&c->urgent, b)) {
        account(c, b->length);
        c->blocked = false;
        write_out(c);
    }
    buf_unref(b);
    end(c);
}

/* False after a goodbye that says which limit was reached, and how much there is. */
static bool has_room(struct client *c, size_t bytes)
{
    char reason[200];

    if (c->urgent.fill < URGENT_RING && c->urgent_bytes + bytes <= c->env->queue_bytes) {
        if (c->user->queued_bytes + bytes <= c->env->user_queue_bytes)
            return true;
        snprintf(reason, sizeof(reason), "the programs of user %u do not read: %zu bytes wait for all of them, the limit is %" PRIu32,
                 (unsigned)c->user->uid, c->user->queued_bytes, c->env->user_queue_bytes);
    } else {
        snprintf(reason, sizeof(reason), "it does not read: %zu bytes in %u messages wait, the limit is %" PRIu32 " bytes, %d messages",
                 c->urgent_bytes, c->urgent.fill, c->env->queue_bytes, URGENT_RING);
    }
    client_end(c, reason);
    return false;
}

/* What it says and is told, for those who monitor; they themselves would only see their own seeing. */
static void traffic(struct client *c, Mnc__TrafficKind kind, const uint8_t *bytes, size_t n)
{
    if (!c->subscriber.monitoring)
        hub_traffic(c->env->hub, kind, c->name, c->pid, bytes, n);
}

static void push(struct subscriber *s, struct buf *b, enum push_class class)
{
    struct client *c = (struct client *)s;

    if (c->ending)
        return;
    traffic(c, MNC__TRAFFIC_KIND__TRAFFIC_TO_PROGRAM, b->bytes + 4, b->length - 4);
    if (class == PUSH_LIVE) {
        if (c->telemetry.fill == c->telemetry.cap) {
            buf_unref(ring_pop(&c->telemetry));
            c->dropped++;
            c->env->telemetry_dropped++;
        }
        ring_push(&c->telemetry, b);
    } else {
        if (!has_room(c, b->length))
            return;
        ring_push(&c->urgent, b);
        account(c, b->length);
    }
    if (!c->blocked)
        sd_event_source_set_enabled(c->flush, SD_EVENT_ONESHOT);
}

void client_tell(struct client *c, Mnc__ServerMessage *m)
{
    struct buf *b = hub_encode(m);

    if (b == NULL)
        client_end(c, "the daemon is out of memory");
    else
        push(&c->subscriber, b, PUSH_URGENT);
    buf_unref(b);
}

void client_say(struct client *c, Mnc__ServerMessage *m, uint32_t id)
{
    m->has_id = true;
    m->id = id;
    client_tell(c, m);
}

void client_refuse(struct client *c, uint32_t id, Mnc__ErrorCode code, const char *format, ...)
{
    char text[256];
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__Error e = MNC__ERROR__INIT;
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    e.has_code = true;
    e.code = code;
    e.text = text;
    m.body_case = MNC__SERVER_MESSAGE__BODY_ERROR;
    m.error = &e;
    client_say(c, &m, id);
}

void client_say_done(struct client *c, uint32_t id)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__Done d = MNC__DONE__INIT;

    m.body_case = MNC__SERVER_MESSAGE__BODY_DONE;
    m.done = &d;
    client_say(c, &m, id);
}

/* ---- in ---- */

/* A whole message waits in the buffer, or one that is too long. */
static bool has_message(const struct client *c)
{
    uint32_t length = c->in_fill >= 4 ? mn_get_u32(c->in) : 0;

    return c->in_fill >= 4 && (length > MESSAGE_MAX || c->in_fill - 4 >= length);
}

/* The length of the message that was taken, its prefix included; 0: the client is out. */
static size_t take_message(struct client *c)
{
    uint32_t length = mn_get_u32(c->in);
    Mnc__ClientMessage *m;

    if (length > MESSAGE_MAX) {
        client_end(c, "it sent a message of more than 4096 bytes");
        return 0;
    }
    m = mnc__client_message__unpack(NULL, length, c->in + 4);
    if (m == NULL) {
        client_end(c, "it sent a message that does not decode");
        return 0;
    }
    traffic(c, MNC__TRAFFIC_KIND__TRAFFIC_TO_DAEMON, c->in + 4, length);
    c->env->dispatch(c, c->env, m);
    mnc__client_message__free_unpacked(m, NULL);
    return c->ending ? 0 : 4 + (size_t)length;
}

static void stand_in_line(struct client *c)
{
    struct client_env *env = c->env;

    c->next_in_line = NULL;
    if (env->line == NULL)
        env->line = c;
    else
        env->line_end->next_in_line = c;
    env->line_end = c;
    c->in_line = true;
    sd_event_source_set_enabled(env->turn, SD_EVENT_ON);
}

static void leave_line(struct client *c)
{
    struct client_env *env = c->env;
    struct client *before = NULL, *at = env->line;

    while (at != c) {
        before = at;
        at = at->next_in_line;
    }
    if (before == NULL)
        env->line = c->next_in_line;
    else
        before->next_in_line = c->next_in_line;
    if (env->line_end == c)
        env->line_end = before;
    c->in_line = false;
}

/* Takes a few messages from the buffer and sends what there is to say; with more to take, it stands in line. */
static void serve(struct client *c)
{
    for (int i = 0; i < REQUESTS_PER_TURN && has_message(c); i++) {
        size_t n = take_message(c);

        if (n == 0)
            return;
        memmove(c->in, c->in + n, c->in_fill - n);
        c->in_fill -= n;
    }
    flush(c);
    if (c->ending)
        return;
    sd_event_source_set_enabled(c->flush, SD_EVENT_OFF); /* it is done */
    if (has_message(c))
        stand_in_line(c);
    update_io(c);
}

int client_turn(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
    struct client_env *env = userdata;

    (void)fd;
    (void)revents;
    for (int i = 0; i < CLIENTS_PER_TURN && env->line != NULL; i++) {
        struct client *c = env->line;

        leave_line(c);
        if (!c->ending)
            serve(c);
    }
    return sd_event_source_set_enabled(s, env->line != NULL ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
    struct client *c = userdata;
    ssize_t n;

    (void)s;
    if (revents & EPOLLOUT) {
        c->blocked = false;
        flush(c);
        if (c->ending)
            return 0;
        update_io(c);
    }
    if (!(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) || c->in_line)
        return 0;
    n = recv(fd, c->in + c->in_fill, sizeof(c->in) - c->in_fill, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        end(c);
        return 0;
    }
    c->in_fill += (size_t)n;
    serve(c);
    return 0;
}

int client_new(struct client **out, struct client_env *env, int fd)
{
    struct client *c = calloc(1, sizeof(*c));
    struct ucred cred = {0};
    socklen_t size = sizeof(cred);
    int r;

    if (c == NULL) {
        close(fd);
        return -ENOMEM;
    }
    c->env = env;
    c->fd = fd;
    c->urgent = (struct ring){.slots = c->urgent_slots, .cap = URGENT_RING};
    c->telemetry = (struct ring){.slots = c->telemetry_slots, .cap = TELEMETRY_RING};
    c->subscriber.push = push;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
        cred = (struct ucred){.uid = (uid_t)-1, .gid = (gid_t)-1};
    c->pid = cred.pid;
    c->role = role_of_peer(&env->roles, fd, cred.uid, cred.gid);
    snprintf(c->name, sizeof(c->name), "pid %d", (int)c->pid);
    c->user = user_enter(&env->users, cred.uid);
    if (c->user == NULL) {
        client_free(c);
        return -ENOMEM;
    }
    c->io_events = EPOLLIN;
    if ((r = sd_event_add_io(env->event, &c->io, fd, c->io_events, on_io, c)) < 0 ||
        (r = sd_event_add_defer(env->event, &c->flush, on_flush, c)) < 0 ||
        (r = sd_event_source_set_enabled(c->flush, SD_EVENT_OFF)) < 0) {
        client_free(c);
        return r;
    }
    *out = c;
    return 0;
}

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

bool client_is_greeted(const struct client *c)
{
    return c->greeted;
}

void client_greet(struct client *c, const char *name)
{
    char printable[32];

    snprintf(printable, sizeof(printable), "%s", name);
    for (char *p = printable; *p != '\0'; p++)
        *p = *p < ' ' || *p > '~' ? '?' : *p;
    snprintf(c->name, sizeof(c->name), "%s (pid %d)", printable, (int)c->pid);
    c->greeted = true;
}

const struct user *client_user(const struct client *c)
{
    return c->user;
}

void client_free(struct client *c)
{
    struct buf *b;

    if (c == NULL)
        return;
    if (c->dropped != 0)
        log_info("client %s read too slowly: %" PRIu64 " telemetry batches or monitored transfers were dropped", c->name, c->dropped);
    sd_event_source_disable_unref(c->io);
    sd_event_source_disable_unref(c->flush);
    if (c->in_line)
        leave_line(c);
    if (c->user != NULL) {
        account(c, -(ssize_t)c->urgent_bytes);
        user_leave(&c->env->users, c->user);
    }
    while ((b = ring_pop(&c->urgent)) != NULL || (b = ring_pop(&c->telemetry)) != NULL)
        buf_unref(b);
    for (unsigned i = 0; i < c->out_count; i++)
        buf_unref(c->out[i]);
    close(c->fd);
    free(c);
}
