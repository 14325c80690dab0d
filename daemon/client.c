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
#include "pen.pb-c.h"
#include "version.h"

enum {
    CLIENT_MAJOR = 1,
    CLIENT_MINOR = 1, /* 1: Monitor */
    MESSAGE_MAX = 4096,       /* from a client */
    IN_BYTES = MESSAGE_MAX + 4,
    TELEMETRY_RING = 64,
    URGENT_RING = 256,
    IOV_MAX_OUT = 32,
    REQUESTS_PER_TURN = 4, /* of one client ... */
    CLIENTS_PER_TURN = 4,  /* ... and clients of the line: then it is the pens' turn */
    CALL_TIMEOUT_MS = 1000,
    CALL_TIMEOUT_MAX_MS = 60000,
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

static void say(struct client *c, Mnc__ServerMessage *m, uint32_t id)
{
    struct buf *b;

    m->has_id = true;
    m->id = id;
    b = hub_encode(m);
    if (b == NULL)
        client_end(c, "the daemon is out of memory");
    else
        push(&c->subscriber, b, PUSH_URGENT);
    buf_unref(b);
}

static void refuse(struct client *c, uint32_t id, Mnc__ErrorCode code, const char *format, ...) __attribute__((format(printf, 4, 5)));

static void refuse(struct client *c, uint32_t id, Mnc__ErrorCode code, const char *format, ...)
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
    say(c, &m, id);
}

static void say_done(struct client *c, uint32_t id)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__Done d = MNC__DONE__INIT;

    m.body_case = MNC__SERVER_MESSAGE__BODY_DONE;
    m.done = &d;
    say(c, &m, id);
}

/* ---- requests ---- */

static void do_hello(struct client *c, uint32_t id, const Mnc__Hello *h)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__HelloReply reply = MNC__HELLO_REPLY__INIT;
    char client_name[32];

    if (!h->has_major || !h->has_minor) {
        refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "HELLO needs major and minor");
        return;
    }
    if (h->major != CLIENT_MAJOR) {
        refuse(c, id, MNC__ERROR_CODE__ERROR_VERSION, "mnd %s speaks client protocol %d.%d, you speak %u.%u: update the %s", MN_VERSION,
               CLIENT_MAJOR, CLIENT_MINOR, h->major, h->minor, h->major < CLIENT_MAJOR ? "client" : "daemon");
        return;
    }
    snprintf(client_name, sizeof(client_name), "%s", h->client_name != NULL ? h->client_name : "no name");
    for (char *p = client_name; *p != '\0'; p++)
        *p = *p < ' ' || *p > '~' ? '?' : *p;
    snprintf(c->name, sizeof(c->name), "%s (pid %d)", client_name, (int)c->pid);
    c->greeted = true;
    reply.has_major = reply.has_minor = true;
    reply.major = CLIENT_MAJOR;
    reply.minor = CLIENT_MINOR;
    reply.daemon_version = (char *)(uintptr_t)MN_VERSION;
    m.body_case = MNC__SERVER_MESSAGE__BODY_HELLO;
    m.hello = &reply;
    say(c, &m, id);
}

static void say_pens(struct client *c, uint32_t id)
{
    unsigned n = hub_pen_count(c->env->hub), i = 0;
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__PenList list = MNC__PEN_LIST__INIT;
    Mnc__PenInfo *infos = calloc(n + 1, sizeof(*infos)), **pointers = calloc(n + 1, sizeof(*pointers));
    Mnc__LinkCounters *counters = calloc(n + 1, sizeof(*counters));

    if (infos != NULL && pointers != NULL && counters != NULL) {
        for (struct pen *p = NULL; i < n && (p = hub_next(c->env->hub, p)) != NULL; i++) {
            pen_info(p, &infos[i], &counters[i]);
            pointers[i] = &infos[i];
        }
        list.n_pen = i;
        list.pen = pointers;
        m.body_case = MNC__SERVER_MESSAGE__BODY_PENS;
        m.pens = &list;
        say(c, &m, id);
    } else {
        client_end(c, "the daemon is out of memory");
    }
    free(infos);
    free(pointers);
    free(counters);
}

static void do_subscribe(struct client *c, uint32_t id, const Mnc__Subscribe *s)
{
    bool telemetry = s->telemetry, records = s->records;

    if (!hub_subscribe(&c->subscriber, s->serial, s->has_telemetry ? &telemetry : NULL, s->has_records ? &records : NULL))
        refuse(c, id, MNC__ERROR_CODE__ERROR_BUSY, "at most %d single pens can be subscribed to, each of at most 32 characters",
               SUBSCRIPTIONS_MAX);
    else
        say_done(c, id);
}

/* What a client may ask of a pen. */
static bool call_allowed(uint32_t type)
{
    switch (type) {
    case MNP__FRAME_TYPE__TYPE_INFO:
    case MNP__FRAME_TYPE__TYPE_STATUS:
    case MNP__FRAME_TYPE__TYPE_CONFIG_GET:
    case MNP__FRAME_TYPE__TYPE_CONFIG_SET:
    case MNP__FRAME_TYPE__TYPE_CONFIG_RESET:
    case MNP__FRAME_TYPE__TYPE_ARM:
    case MNP__FRAME_TYPE__TYPE_STOP:
    case MNP__FRAME_TYPE__TYPE_FAULT_CLEAR:
    case MNP__FRAME_TYPE__TYPE_ECHO:
    case MNP__FRAME_TYPE__TYPE_RECORDS_GET:
    case MNP__FRAME_TYPE__TYPE_SELF_TEST:
        return true;
    default:
        return false; /* HELLO, HEARTBEAT, RECORDS_ACK are the daemon's own */
    }
}

static void on_call_done(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct client *c = ctx;
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__CallReply reply = MNC__CALL_REPLY__INIT;
    Mnc__Progress progress = MNC__PROGRESS__INIT;
    Mnp__Progress *from_pen;

    switch (result) {
    case PEN_RESULT_TIMEOUT:
        refuse(c, id, MNC__ERROR_CODE__ERROR_TIMEOUT, "the pen did not answer in time; whether it did what was asked is not known");
        return;
    case PEN_RESULT_GONE:
        refuse(c, id, MNC__ERROR_CODE__ERROR_PEN_GONE, "the pen was unplugged while the request waited");
        return;
    case PEN_RESULT_PROGRESS:
        from_pen = mnp__progress__unpack(NULL, n, payload);
        if (from_pen == NULL)
            return;
        progress.has_permille = true;
        progress.permille = from_pen->permille;
        mnp__progress__free_unpacked(from_pen, NULL);
        m.body_case = MNC__SERVER_MESSAGE__BODY_PROGRESS;
        m.progress = &progress;
        break;
    case PEN_RESULT_REPLY:
        reply.has_pen_type = reply.has_payload = true;
        reply.pen_type = type;
        reply.payload = (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)payload};
        m.body_case = MNC__SERVER_MESSAGE__BODY_CALL;
        m.call = &reply;
        break;
    }
    say(c, &m, id);
}

/* The pen to be called, or NULL after a refusal that says why there is none. */
static struct pen *pen_for_call(struct client *c, uint32_t id, const char *serial)
{
    struct pen *p = hub_pen(c->env->hub, serial);

    if (p == NULL)
        refuse(c, id, MNC__ERROR_CODE__ERROR_NO_PEN, "no pen with serial number %.40s is plugged in", serial);
    else if (!pen_is_ready(p))
        refuse(c, id, MNC__ERROR_CODE__ERROR_PEN_NOT_READY, "pen %s is not ready: %s", serial,
               pen_last_error(p)[0] != '\0' ? pen_last_error(p) : "it is being opened");
    else
        return p;
    return NULL;
}

static void do_call(struct client *c, uint32_t id, const Mnc__Call *call)
{
    uint32_t timeout_ms = call->has_timeout_ms ? call->timeout_ms : CALL_TIMEOUT_MS;
    bool stop = call->has_pen_type && call->pen_type == MNP__FRAME_TYPE__TYPE_STOP;
    struct pen *p;

    if (stop && (call->serial == NULL || call->serial[0] == '\0')) {
        hub_stop_all(c->env->hub);
        say_done(c, id);
        return;
    }
    if (!call->has_pen_type || call->serial == NULL) {
        refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "CALL needs serial and pen_type");
        return;
    }
    if (!call_allowed(call->pen_type)) {
        refuse(c, id, MNC__ERROR_CODE__ERROR_UNSUPPORTED, "mnd %s passes no request of type %u on", MN_VERSION, call->pen_type);
        return;
    }
    if (call->payload.len > MN_FRAME_PAYLOAD_MAX) {
        refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "a request to a pen has at most %u bytes", MN_FRAME_PAYLOAD_MAX);
        return;
    }
    p = pen_for_call(c, id, call->serial);
    if (p == NULL)
        return;
    if (call->pen_type == MNP__FRAME_TYPE__TYPE_ARM && !pen_is_simulated(p)) {
        refuse(c, id, MNC__ERROR_CODE__ERROR_FORBIDDEN,
               "pen %s is a real one: this mnd has no control lease and no treatment policy yet, and arms simulated pens only", call->serial);
        return;
    }
    if (call->pen_type == MNP__FRAME_TYPE__TYPE_ARM && hub_journal_error(c->env->hub)[0] != '\0') {
        refuse(c, id, MNC__ERROR_CODE__ERROR_FORBIDDEN, "2008 JOURNAL_UNWRITABLE: pen %s is not armed: %s", call->serial,
               hub_journal_error(c->env->hub));
        return;
    }
    if (timeout_ms == 0 || timeout_ms > CALL_TIMEOUT_MAX_MS)
        timeout_ms = CALL_TIMEOUT_MAX_MS;
    if (pen_call(p, (uint16_t)call->pen_type, call->payload.data, call->payload.len, timeout_ms, on_call_done, c, id) < 0)
        refuse(c, id, MNC__ERROR_CODE__ERROR_BUSY, "too many requests wait for pen %s", call->serial);
}

static void on_simulated(void *ctx, uint32_t id, const char *answer, const char *error)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__SimulateReply reply = MNC__SIMULATE_REPLY__INIT;

    if (error != NULL) {
        refuse(ctx, id, MNC__ERROR_CODE__ERROR_BUSY, "%s", error);
        return;
    }
    reply.answer = (char *)(uintptr_t)answer;
    m.body_case = MNC__SERVER_MESSAGE__BODY_SIMULATE;
    m.simulate = &reply;
    say(ctx, &m, id);
}

static void do_simulate(struct client *c, uint32_t id, const Mnc__Simulate *s)
{
    if (s->serial == NULL || s->command == NULL || strlen(s->command) > 200)
        refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "SIMULATE needs serial and a command of at most 200 characters");
    else if (c->env->sim == NULL || !sim_command(c->env->sim, s->serial, s->command, on_simulated, c, id))
        refuse(c, id, MNC__ERROR_CODE__ERROR_NO_PEN, "%.40s is no simulated pen of this mnd", s->serial);
}

static void do_daemon_info(struct client *c, uint32_t id)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__DaemonInfoReply d = MNC__DAEMON_INFO_REPLY__INIT;
    uint64_t now_us = 0;

    sd_event_now(c->env->event, CLOCK_MONOTONIC, &now_us);
    d.version = (char *)(uintptr_t)MN_VERSION;
    d.has_uptime_ms = d.has_pid = d.has_clients = d.has_pens = d.has_telemetry_batches = d.has_telemetry_dropped = d.has_usb = true;
    d.uptime_ms = (now_us - c->env->began_us) / 1000;
    d.pid = (uint32_t)getpid();
    d.clients = c->env->clients;
    d.pens = hub_pen_count(c->env->hub);
    d.telemetry_batches = hub_counters(c->env->hub)->batches;
    d.telemetry_dropped = c->env->telemetry_dropped;
    d.usb = c->env->usb;
    d.journal_error = (char *)(uintptr_t)hub_journal_error(c->env->hub);
    m.body_case = MNC__SERVER_MESSAGE__BODY_DAEMON_INFO;
    m.daemon_info = &d;
    say(c, &m, id);
}

static void dispatch(struct client *c, const Mnc__ClientMessage *m)
{
    if (!m->has_id || m->id == 0) {
        client_end(c, "it sent a message without id");
        return;
    }
    if (!c->greeted && m->body_case != MNC__CLIENT_MESSAGE__BODY_HELLO) {
        refuse(c, m->id, MNC__ERROR_CODE__ERROR_MALFORMED, "HELLO comes first");
        return;
    }
    switch (m->body_case) {
    case MNC__CLIENT_MESSAGE__BODY_HELLO:
        do_hello(c, m->id, m->hello);
        break;
    case MNC__CLIENT_MESSAGE__BODY_LIST:
        say_pens(c, m->id);
        break;
    case MNC__CLIENT_MESSAGE__BODY_WATCH:
        c->subscriber.watching = !m->watch->has_on || m->watch->on;
        say_pens(c, m->id);
        break;
    case MNC__CLIENT_MESSAGE__BODY_SUBSCRIBE:
        do_subscribe(c, m->id, m->subscribe);
        break;
    case MNC__CLIENT_MESSAGE__BODY_CALL:
        do_call(c, m->id, m->call);
        break;
    case MNC__CLIENT_MESSAGE__BODY_SIMULATE:
        do_simulate(c, m->id, m->simulate);
        break;
    case MNC__CLIENT_MESSAGE__BODY_DAEMON_INFO:
        do_daemon_info(c, m->id);
        break;
    case MNC__CLIENT_MESSAGE__BODY_MONITOR:
        hub_monitor(c->env->hub, &c->subscriber, !m->monitor->has_on || m->monitor->on);
        say_done(c, m->id);
        break;
    default:
        refuse(c, m->id, MNC__ERROR_CODE__ERROR_UNSUPPORTED, "mnd %s does not know this request: is it older than the client?", MN_VERSION);
        break;
    }
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
    dispatch(c, m);
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
        cred.uid = (uid_t)-1;
    c->pid = cred.pid;
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
