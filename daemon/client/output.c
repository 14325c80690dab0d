#include "inside.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "buf.h"
#include "clock.h"
#include "escape.h"
#include "log.h"
#include "ring.h"

enum { RUNS_MAX = 32 /* byte ranges in one write */ };

void output_traffic(struct client *c, Mnc__TrafficKind kind, const uint8_t *bytes, size_t n)
{
    if (c->subscriber.traffic.ring == NULL)
        fanout_traffic(c->all->fanout, kind, c->name, c->pid, bytes, n);
}

/* ---- the queue ---- */

static void account(struct client *c, ssize_t bytes)
{
    c->queue_bytes += (size_t)bytes;
    c->user->queued_bytes += (size_t)bytes;
}

static void queue_pop(struct client *c)
{
    struct buf *b = c->queue[c->queue_head];

    account(c, -(ssize_t)b->length);
    c->queue_head = (c->queue_head + 1) % CLIENT_QUEUE_MAX;
    c->queue_fill--;
    c->queue_sent = 0;
    buf_unref(b);
}

static void queue_push(struct client *c, struct buf *b)
{
    c->queue[(c->queue_head + c->queue_fill++) % CLIENT_QUEUE_MAX] = buf_ref(b);
    account(c, b->length);
}

/* ---- writing ---- */

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

/* Gathers the rest of a message begun, the queue, and the rings. */
static void gather(const struct client *c, struct gathered *g)
{
    int n = 0, telemetry;

    if (c->cut != NULL)
        g->runs[n++] = (struct iovec){c->cut->bytes + c->cut_sent, c->cut->length - c->cut_sent};
    for (unsigned i = 0; i < c->queue_fill && n < RUNS_MAX; i++) {
        struct buf *b = c->queue[(c->queue_head + i) % CLIENT_QUEUE_MAX];
        size_t begin = i == 0 ? c->queue_sent : 0;

        g->runs[n++] = (struct iovec){b->bytes + begin, b->length - begin};
    }
    telemetry = c->closing ? 0 : cursor_gather(&c->subscriber.telemetry, g->runs + n, RUNS_MAX - n);
    g->telemetry_bytes = bytes_of(g->runs + n, telemetry);
    n += telemetry;
    n += c->closing ? 0 : cursor_gather(&c->subscriber.traffic, g->runs + n, RUNS_MAX - n);
    g->count = n;
    g->bytes = bytes_of(g->runs, n);
}

/* Reports telemetry sent to this client to those that monitor. */
static void monitor_sent(struct client *c, uint64_t from)
{
    const struct cursor *r = &c->subscriber.telemetry;

    for (; from < r->next; from++) {
        if (r->wants == NULL || r->wants(r->ctx, ring_message(r->ring, from)->tag))
            output_traffic(c, MNC__TRAFFIC_KIND__TRAFFIC_TO_PROGRAM, ring_bytes(r->ring, from) + 4, ring_message(r->ring, from)->length - 4);
    }
}

/* Accounts for n bytes written from a ring: all that was gathered, or a part. False without memory for the rest of a message. */
static bool ring_sent(struct client *c, struct cursor *r, size_t n)
{
    uint64_t from = r->next;
    struct iovec cut;

    cursor_advance(r, n, &cut);
    if (r == &c->subscriber.telemetry && fanout_is_monitored(c->all->fanout))
        monitor_sent(c, from);
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

/* Accounts for n bytes written, of which telemetry_bytes were gathered from the telemetry ring. False if the client must be disconnected. */
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
    while (c->queue_fill > 0 && n > 0) {
        part = c->queue[c->queue_head]->length - c->queue_sent;
        if (n < part) {
            c->queue_sent += n;
            return true;
        }
        n -= part;
        queue_pop(c);
    }
    part = n < telemetry_bytes ? n : telemetry_bytes;
    return (part == 0 || ring_sent(c, &c->subscriber.telemetry, part)) && (n == part || ring_sent(c, &c->subscriber.traffic, n - part));
}

/* Writes until nothing is left or the socket is full. False if the client was disconnected. */
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
            client_update_io(c);
            return true;
        }
    } while (g.count == RUNS_MAX);
    return true;
}

/* Skips what was overwritten before the client could take it, and counts it. */
static void catch_up(struct client *c)
{
    struct subscriber *s = &c->subscriber;
    uint64_t now_us = loop_us(c->all->event, CLOCK_MONOTONIC);

    cursor_due_us(&s->telemetry, now_us);
    cursor_due_us(&s->traffic, now_us);
    c->all->missed += s->telemetry.missed + s->traffic.missed - c->missed;
    c->missed = s->telemetry.missed + s->traffic.missed;
}

void output_flush(struct subscriber *s)
{
    struct client *c = (struct client *)s;

    if (c->ended)
        return;
    catch_up(c);
    if (!c->blocked && !write_out(c))
        client_mark_ended(c);
}

/* ---- what is queued ---- */

static struct buf *encode_goodbye(const char *reason)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__Goodbye goodbye = MNC__GOODBYE__INIT;

    goodbye.reason = (char *)(uintptr_t)reason;
    m.body_case = MNC__SERVER_MESSAGE__BODY_GOODBYE;
    m.goodbye = &goodbye;
    return fanout_encode(&m);
}

void output_reject_connection(int fd, const char *reason)
{
    struct buf *b = encode_goodbye(reason);

    if (b != NULL && send(fd, b->bytes, b->length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("a rejected connection was not told why: %s", strerror(errno));
    buf_unref(b);
}

void client_disconnect(struct client *c, const char *reason)
{
    struct buf *b;

    if (c->ended)
        return;
    log_warning("client %s is disconnected: %s", c->name, reason);
    b = encode_goodbye(reason);
    if (b != NULL && c->queue_fill < CLIENT_QUEUE_MAX) {
        queue_push(c, b);
        c->closing = true;
        write_out(c);
    }
    buf_unref(b);
    client_mark_ended(c);
}

bool output_is_full(const struct client *c)
{
    return c->queue_fill > 0 && (c->queue_fill >= CLIENT_QUEUE_MAX / 2 || c->queue_bytes >= c->all->options.queue_bytes / 2 || c->user->queued_bytes >= c->all->options.user_queue_bytes / 2);
}

/* False if a limit of the queue was reached: the client is disconnected, with the limit and the queue's size as the reason. */
static bool has_room(struct client *c, size_t bytes)
{
    char reason[200];

    if (c->queue_fill < CLIENT_QUEUE_MAX && c->queue_bytes + bytes <= c->all->options.queue_bytes) {
        if (c->user->queued_bytes + bytes <= c->all->options.user_queue_bytes)
            return true;
        snprintf(reason, sizeof(reason), "the programs of user %u do not read: %zu bytes wait for all of them, the limit is %" PRIu32,
                 (unsigned)c->user->uid, c->user->queued_bytes, c->all->options.user_queue_bytes);
    } else {
        snprintf(reason, sizeof(reason), "it does not read: %zu bytes in %u messages wait, the limit is %" PRIu32 " bytes, %d messages",
                 c->queue_bytes, c->queue_fill, c->all->options.queue_bytes, CLIENT_QUEUE_MAX);
    }
    client_disconnect(c, reason);
    return false;
}

void output_push(struct subscriber *s, struct buf *b)
{
    struct client *c = (struct client *)s;

    if (c->ended)
        return;
    output_traffic(c, MNC__TRAFFIC_KIND__TRAFFIC_TO_PROGRAM, b->bytes + 4, b->length - 4);
    if (!has_room(c, b->length))
        return;
    queue_push(c, b);
    fanout_urgent(c->all->fanout, s);
}

void client_notify(struct client *c, Mnc__ServerMessage *m)
{
    struct buf *b = fanout_encode(m);

    if (b == NULL)
        client_disconnect(c, "the daemon is out of memory");
    else
        output_push(&c->subscriber, b);
    buf_unref(b);
}

void client_reply(struct client *c, Mnc__ServerMessage *m, uint32_t id)
{
    m->has_id = true;
    m->id = id;
    client_notify(c, m);
}

void client_reject(struct client *c, uint32_t id, Mnc__ErrorCode code, const char *format, ...)
{
    char text[256], shown[512]; /* may contain text of a client or a pen, and is shown on terminals */
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
    client_reply(c, &m, id);
}

void client_reply_done(struct client *c, uint32_t id)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__Done d = MNC__DONE__INIT;

    m.body_case = MNC__SERVER_MESSAGE__BODY_DONE;
    m.done = &d;
    client_reply(c, &m, id);
}

void output_free(struct client *c)
{
    while (c->queue_fill > 0)
        queue_pop(c);
    buf_unref(c->cut);
}
