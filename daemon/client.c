#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "escape.h"
#include "frame.h"
#include "log.h"
#include "wire.h"

enum {
    MESSAGE_MAX = 66 * 1024,  /* from a client: a policy of 64 KiB */
    IN_BYTES = 4096 + 4,      /* of the buffer, unless a longer one is on its way */
    URGENT_MAX = 256,         /* messages that wait */
    RUNS_MAX = 32,            /* of bytes, in one write */
    REQUESTS_AT_ONCE = 16,    /* of one client; what it has sent beyond them waits in the line, of which as many are taken a turn ... */
    REQUESTS_BESIDE = 1,      /* ... or, while others ask modestly, so many ... */
    TURN_BESIDE_US = 1000,    /* ... and no sooner again than then ... */
    MODEST_US = 100000,       /* ... which is as long as it is since one of those has asked */
};

struct client {
    struct subscriber subscriber;
    struct client_env *env;
    int fd;
    sd_event_source *io;
    uint32_t io_events;
    char name[64]; /* for logs: "mnctl 0.1.0 (pid 42)" */
    pid_t pid;
    enum role role;
    struct user *user;
    struct client *next_in_line;
    bool greeted, parting, ending; /* parting: the goodbye is its last message */
    bool in_line, held; /* it has asked more than it is served now: others are waiting; it does not read its answers */
    uint8_t *in;
    size_t in_cap, in_fill;

    struct buf *urgent[URGENT_MAX]; /* a ring: replies and events, in order */
    unsigned urgent_head, urgent_fill;
    size_t urgent_bytes, urgent_sent; /* waiting; of the first one */
    struct buf *cut;  /* what is left of a message from a tape, which may be written over ... */
    size_t cut_sent;  /* ... less this */
    uint64_t missed;  /* messages on tapes, counted so far */
    bool blocked; /* the socket is full: EPOLLOUT will tell */
};

/* Reads unless there is enough to do, writes when the socket was full. */
static void update_io(struct client *c)
{
    uint32_t events = (c->in_line || c->held ? 0 : (uint32_t)EPOLLIN) | (c->blocked ? (uint32_t)EPOLLOUT : 0);

    if (events != c->io_events)
        sd_event_source_set_io_events(c->io, events);
    c->io_events = events;
}

/* ---- out ---- */

/* What it says and is told, for those who monitor; they themselves would only see their own seeing. */
static void traffic(struct client *c, Mnc__TrafficKind kind, const uint8_t *bytes, size_t n)
{
    if (c->subscriber.traffic.tape == NULL)
        fanout_traffic(hub_fanout(c->env->hub), kind, c->name, c->pid, bytes, n);
}

static void account(struct client *c, ssize_t bytes)
{
    c->urgent_bytes += (size_t)bytes;
    c->user->queued_bytes += (size_t)bytes;
}

static void urgent_pop(struct client *c)
{
    struct buf *b = c->urgent[c->urgent_head];

    account(c, -(ssize_t)b->length);
    c->urgent_head = (c->urgent_head + 1) % URGENT_MAX;
    c->urgent_fill--;
    c->urgent_sent = 0;
    buf_unref(b);
}

static void urgent_push(struct client *c, struct buf *b)
{
    c->urgent[(c->urgent_head + c->urgent_fill++) % URGENT_MAX] = buf_ref(b);
    account(c, b->length);
}

struct gathered {
    struct iovec runs[RUNS_MAX];
    int count;
    size_t bytes, telemetry_bytes;
};

static size_t bytes_of(const struct iovec *runs, int count)
{
    size_t n = 0;

    for (int i = 0; i < count; i++)
        n += runs[i].iov_len;
    return n;
}

/* What was begun, what is urgent, what is on the tapes. */
static void gather(const struct client *c, struct gathered *g)
{
    int n = 0, telemetry;

    if (c->cut != NULL)
        g->runs[n++] = (struct iovec){c->cut->bytes + c->cut_sent, c->cut->length - c->cut_sent};
    for (unsigned i = 0; i < c->urgent_fill && n < RUNS_MAX; i++) {
        struct buf *b = c->urgent[(c->urgent_head + i) % URGENT_MAX];
        size_t begin = i == 0 ? c->urgent_sent : 0;

        g->runs[n++] = (struct iovec){b->bytes + begin, b->length - begin};
    }
    telemetry = c->parting ? 0 : reader_gather(&c->subscriber.telemetry, g->runs + n, RUNS_MAX - n);
    g->telemetry_bytes = bytes_of(g->runs + n, telemetry);
    n += telemetry;
    n += c->parting ? 0 : reader_gather(&c->subscriber.traffic, g->runs + n, RUNS_MAX - n);
    g->count = n;
    g->bytes = bytes_of(g->runs, n);
}

/* Telemetry that it has been told, for those who monitor. */
static void show_told(struct client *c, uint64_t from)
{
    const struct reader *r = &c->subscriber.telemetry;

    for (; from < r->next; from++) {
        if (r->wants == NULL || r->wants(r->ctx, tape_message(r->tape, from)->tag))
            traffic(c, MNC__TRAFFIC_KIND__TRAFFIC_TO_PROGRAM, tape_bytes(r->tape, from) + 4, tape_message(r->tape, from)->length - 4);
    }
}

/* n bytes from a tape are written, all that was gathered there or a part. False: no memory for the rest of a message. */
static bool tape_sent(struct client *c, struct reader *r, size_t n)
{
    uint64_t from = r->next;
    struct iovec cut;

    reader_advance(r, n, &cut);
    if (r == &c->subscriber.telemetry && fanout_is_monitored(hub_fanout(c->env->hub)))
        show_told(c, from);
    if (cut.iov_len == 0)
        return true;
    c->cut = buf_new(cut.iov_len);
    if (c->cut == NULL)
        return false;
    memcpy(c->cut->bytes, cut.iov_base, cut.iov_len);
    c->cut->length = (uint32_t)cut.iov_len;
    c->cut_sent = 0;
    return true;
}

/* So many of the bytes that were gathered are written; so many of them are from the telemetry's tape. False: the client cannot go on. */
static bool sent(struct client *c, size_t n, size_t telemetry_bytes)
{
    size_t part;

    if (c->cut != NULL) {
        part = c->cut->length - c->cut_sent;
        c->cut_sent += n < part ? n : part;
        if (n < part)
            return true;
        n -= part;
        buf_unref(c->cut);
        c->cut = NULL;
    }
    while (c->urgent_fill > 0 && n > 0) {
        part = c->urgent[c->urgent_head]->length - c->urgent_sent;
        if (n < part) {
            c->urgent_sent += n;
            return true;
        }
        n -= part;
        urgent_pop(c);
    }
    part = n < telemetry_bytes ? n : telemetry_bytes;
    return (part == 0 || tape_sent(c, &c->subscriber.telemetry, part)) && (n == part || tape_sent(c, &c->subscriber.traffic, n - part));
}

/* Writes until nothing is left or the socket is full. False: the client is gone. */
static bool write_out(struct client *c)
{
    struct gathered g;

    do {
        struct msghdr m = {.msg_iov = g.runs};
        ssize_t n;

        gather(c, &g);
        if (g.count == 0)
            return true;
        m.msg_iovlen = (size_t)g.count;
        n = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if ((n < 0 && errno != EAGAIN && errno != EINTR) || (n > 0 && !sent(c, (size_t)n, g.telemetry_bytes)))
            return false;
        if (n < (ssize_t)g.bytes) { /* the socket is full */
            c->blocked = true;
            update_io(c);
            return true;
        }
    } while (g.count == RUNS_MAX);
    return true;
}

/* Goes over what it was too slow for, and counts it. */
static void catch_up(struct client *c)
{
    struct subscriber *s = &c->subscriber;
    uint64_t now_us = 0;

    sd_event_now(c->env->event, CLOCK_MONOTONIC, &now_us);
    reader_due_us(&s->telemetry, now_us);
    reader_due_us(&s->traffic, now_us);
    c->env->telemetry_dropped += s->telemetry.missed + s->traffic.missed - c->missed;
    c->missed = s->telemetry.missed + s->traffic.missed;
}

static void end(struct client *c)
{
    if (c->ending)
        return;
    c->ending = true;
    sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
    c->env->ended(c->env->ctx, c);
}

static void flush(struct subscriber *s)
{
    struct client *c = (struct client *)s;

    if (c->ending)
        return;
    catch_up(c);
    if (!c->blocked && !write_out(c))
        end(c);
}

static struct buf *encode_goodbye(const char *reason)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__Goodbye goodbye = MNC__GOODBYE__INIT;

    goodbye.reason = (char *)(uintptr_t)reason;
    m.body_case = MNC__SERVER_MESSAGE__BODY_GOODBYE;
    m.goodbye = &goodbye;
    return fanout_encode(&m);
}

void client_turn_away(int fd, const char *reason)
{
    struct buf *b = encode_goodbye(reason);

    if (b != NULL && send(fd, b->bytes, b->length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("it was not told: %s", strerror(errno));
    buf_unref(b);
}

void client_end(struct client *c, const char *reason)
{
    struct buf *b;

    if (c->ending)
        return;
    log_warning("client %s is disconnected: %s", c->name, reason);
    b = encode_goodbye(reason);
    if (b != NULL && c->urgent_fill < URGENT_MAX) {
        urgent_push(c, b);
        c->parting = true;
        write_out(c);
    }
    buf_unref(b);
    end(c);
}

/* It, or all of its user's programs together, have half of what may wait for them: it is not asked for more work until it has read. Events of pens go on, and
 * may fill the rest. */
static bool is_full(const struct client *c)
{
    return c->urgent_fill > 0 && (c->urgent_fill >= URGENT_MAX / 2 || c->urgent_bytes >= c->env->queue_bytes / 2 || c->user->queued_bytes >= c->env->user_queue_bytes / 2);
}

/* False after a goodbye that says which limit was reached, and how much there is. */
static bool has_room(struct client *c, size_t bytes)
{
    char reason[200];

    if (c->urgent_fill < URGENT_MAX && c->urgent_bytes + bytes <= c->env->queue_bytes) {
        if (c->user->queued_bytes + bytes <= c->env->user_queue_bytes)
            return true;
        snprintf(reason, sizeof(reason), "the programs of user %u do not read: %zu bytes wait for all of them, the limit is %" PRIu32,
                 (unsigned)c->user->uid, c->user->queued_bytes, c->env->user_queue_bytes);
    } else {
        snprintf(reason, sizeof(reason), "it does not read: %zu bytes in %u messages wait, the limit is %" PRIu32 " bytes, %d messages",
                 c->urgent_bytes, c->urgent_fill, c->env->queue_bytes, URGENT_MAX);
    }
    client_end(c, reason);
    return false;
}

static void push(struct subscriber *s, struct buf *b)
{
    struct client *c = (struct client *)s;

    if (c->ending)
        return;
    traffic(c, MNC__TRAFFIC_KIND__TRAFFIC_TO_PROGRAM, b->bytes + 4, b->length - 4);
    if (!has_room(c, b->length))
        return;
    urgent_push(c, b);
    fanout_urgent(hub_fanout(c->env->hub), s);
}

void client_tell(struct client *c, Mnc__ServerMessage *m)
{
    struct buf *b = fanout_encode(m);

    if (b == NULL)
        client_end(c, "the daemon is out of memory");
    else
        push(&c->subscriber, b);
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
    char text[256], shown[512]; /* whose words are in it is not known: it goes to somebody's terminal */
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__Error e = MNC__ERROR__INIT;
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    e.has_code = true;
    e.code = code;
    e.text = (char *)(uintptr_t)escape_terminal(shown, sizeof(shown), text, strlen(text));
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
    const char *wrong;

    if (length > MESSAGE_MAX) {
        client_end(c, "it sent a message of more than 67584 bytes");
        return 0;
    }
    m = mnc__client_message__unpack(NULL, length, c->in + 4);
    if (m == NULL && !c->greeted) { /* a program of another kind */
        client_end(c, "it sent a message that does not decode");
        return 0;
    }
    if (m == NULL) {
        client_refuse(c, wire_id(c->in + 4, length), MNC__ERROR_CODE__ERROR_MALFORMED, "this is no request: it does not decode");
        return c->ending ? 0 : 4 + (size_t)length;
    }
    traffic(c, MNC__TRAFFIC_KIND__TRAFFIC_TO_DAEMON, c->in + 4, length);
    wrong = wire_wrong_string(&mnc__client_message__descriptor, c->in + 4, length);
    if (wrong != NULL)
        client_refuse(c, m->has_id ? m->id : 0, MNC__ERROR_CODE__ERROR_MALFORMED, "%s is no text: it is not UTF-8, or has a 0 in it", wrong);
    else
        c->env->dispatch(c, c->env, m);
    mnc__client_message__free_unpacked(m, NULL);
    return c->ending ? 0 : 4 + (size_t)length;
}

/* Room for the message that has begun to come. False: the client is out. */
static bool in_reserve(struct client *c, size_t bytes)
{
    ssize_t more = (ssize_t)bytes - (ssize_t)c->in_cap;
    uint8_t *other;

    if (more == 0)
        return true;
    if (more > 0 && c->user->queued_bytes + (size_t)more > c->env->user_queue_bytes) {
        client_end(c, "its user's programs have too much on its way");
        return false;
    }
    other = realloc(c->in, bytes);
    if (other == NULL && more > 0) {
        client_end(c, "the daemon is out of memory");
        return false;
    }
    if (other == NULL)
        return true;
    c->in = other;
    c->in_cap = bytes;
    c->user->queued_bytes += (size_t)more;
    return true;
}

/* As large as the message that is not whole yet needs it, and no larger otherwise. */
static bool in_fit(struct client *c)
{
    size_t length = c->in_fill >= 4 ? 4 + (size_t)mn_get_u32(c->in) : 0;
    size_t wanted = length > IN_BYTES ? length : IN_BYTES;

    return wanted >= c->in_fill ? in_reserve(c, wanted) : true;
}

static bool others_ask(const struct client_env *env)
{
    uint64_t now_us = 0;

    sd_event_now(env->event, CLOCK_MONOTONIC, &now_us);
    return now_us < env->modest_us + MODEST_US;
}

static void next_turn(const struct client_env *env)
{
    sd_event_source_set_time_relative(env->turn, others_ask(env) ? TURN_BESIDE_US : 0);
    sd_event_source_set_enabled(env->turn, SD_EVENT_ONESHOT);
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
    if (env->line == c)
        next_turn(env);
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

/* Takes some messages from the buffer and sends what there is to say; with more to take, it stands in line. */
static void serve(struct client *c, int requests)
{
    for (int i = 0; i < requests && has_message(c) && !is_full(c); i++) {
        size_t n = take_message(c);

        if (n == 0)
            return;
        memmove(c->in, c->in + n, c->in_fill - n);
        c->in_fill -= n;
    }
    fanout_settle(hub_fanout(c->env->hub));
    fanout_keep_up(hub_fanout(c->env->hub));
    if (c->ending)
        return;
    c->held = is_full(c);
    if (!c->held && has_message(c))
        stand_in_line(c);
    if (has_message(c) || in_fit(c))
        update_io(c);
}

int client_turn(sd_event_source *s, uint64_t usec, void *userdata)
{
    struct client_env *env = userdata;
    int requests = others_ask(env) ? REQUESTS_BESIDE : REQUESTS_AT_ONCE;

    (void)s;
    (void)usec;
    for (int i = 0; i < requests && env->line != NULL; i++) {
        struct client *c = env->line;

        leave_line(c);
        if (!c->ending)
            serve(c, 1);
    }
    if (env->line != NULL)
        next_turn(env);
    return 0;
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
    struct client *c = userdata;
    ssize_t n;

    (void)s;
    if (revents & EPOLLOUT) {
        c->blocked = false;
        flush(&c->subscriber);
        if (c->ending)
            return 0;
        if (c->held && !is_full(c)) {
            c->held = false;
            if (has_message(c))
                stand_in_line(c);
        }
        update_io(c);
    }
    if (!(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) || c->in_line || c->held)
        return 0;
    n = recv(fd, c->in + c->in_fill, c->in_cap - c->in_fill, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        end(c);
        return 0;
    }
    c->in_fill += (size_t)n;
    serve(c, REQUESTS_AT_ONCE);
    if (!c->ending && !c->in_line)
        sd_event_now(c->env->event, CLOCK_MONOTONIC, &c->env->modest_us);
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
    c->subscriber.push = push;
    c->subscriber.flush = flush;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
        cred = (struct ucred){.uid = (uid_t)-1, .gid = (gid_t)-1};
    c->pid = cred.pid;
    c->role = role_of_peer(&env->roles, fd, cred.uid, cred.gid);
    snprintf(c->name, sizeof(c->name), "pid %d", (int)c->pid);
    c->user = user_enter(&env->users, cred.uid);
    c->in = malloc(IN_BYTES);
    c->in_cap = IN_BYTES;
    if (c->user == NULL || c->in == NULL) {
        client_free(c);
        return -ENOMEM;
    }
    c->io_events = EPOLLIN;
    r = sd_event_add_io(env->event, &c->io, fd, c->io_events, on_io, c);
    if (r < 0) {
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

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* of Linux 6.5: exactly that process, whatever its number is given to later */
#endif

int client_pidfd(const struct client *c)
{
    socklen_t size = sizeof(int);
    int fd = -1;

    if (c->pid <= 0)
        return -ENODATA; /* of another namespace */
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) < 0)
        fd = pidfd_open(c->pid, 0);
    if (fd < 0)
        return -errno;
    if (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) > 0) { /* Linux 6.16 gives one of a process that has ended, too */
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

const struct user *client_user(const struct client *c)
{
    return c->user;
}

void client_free(struct client *c)
{
    if (c == NULL)
        return;
    if (c->missed != 0)
        log_info("client %s read too slowly: %" PRIu64 " telemetry batches or monitored transfers were dropped", c->name, c->missed);
    sd_event_source_disable_unref(c->io);
    if (c->in_line)
        leave_line(c);
    if (c->user != NULL) {
        while (c->urgent_fill > 0)
            urgent_pop(c);
        c->user->queued_bytes -= c->in_cap - IN_BYTES;
        user_leave(&c->env->users, c->user);
    }
    buf_unref(c->cut);
    close(c->fd);
    free(c->in);
    free(c);
}
