/*
 * A connection to the daemon: bytes in and out, calls under way, events, and connecting again. The calls themselves are in
 * calls.c, which builds a request and hands it to call_start().
 *
 *     CONNECTED --hang-up--> (reconnect? WAITING --backoff--> GREETING --HELLO--> CONNECTED) or DEAD
 */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "decode.h"
#include "version.h"

enum {
    CLIENT_MAJOR = 1,
    CLIENT_MINOR = 7,
    MESSAGE_MAX = 1 << 20, /* of the daemon; a list of 256 pens is some 100 KiB */
    IN_BYTES_FIRST = 16 * 1024,
    OUT_BYTES_MAX = 1 << 20,
    CONNECT_TIMEOUT_MS = 5000,
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 2000,
};

uint64_t client_now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t now_ms(void)
{
    return client_now_us() / 1000;
}

int client_fail(mn_client *c, int error, const char *format, ...)
{
    va_list ap;

    c->last = (struct mn_result){.error = error};
    va_start(ap, format);
    vsnprintf(c->message, sizeof(c->message), format, ap);
    va_end(ap);
    c->last.message = c->message;
    return error;
}

/* ---- calls under way ---- */

static struct call *call_find(mn_client *c, uint32_t id)
{
    struct call *call = c->calls;

    while (call != NULL && call->id != id)
        call = call->next;
    return call;
}

static void call_unlink(mn_client *c, const struct call *call)
{
    struct call **at = &c->calls;

    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
}

static void call_deliver(mn_client *c, const struct call *call, struct mn_result *r)
{
    if (r->message == NULL)
        r->message = r->error == MN_OK ? "" : mn_strerror(r->error);
    if (call->done != NULL)
        call->done(c, r, call->user);
}

static void call_end(mn_client *c, struct call *call, struct mn_result *r)
{
    call_unlink(c, call);
    call_deliver(c, call, r);
    free(call);
}

/* The sentence of a call that nobody has answered: what it leaves open is said of those that change something, and only of them. */
static void put_unanswered(const struct call *call, const char *why, char *out, size_t cap)
{
    snprintf(out, cap, "%s%s", why, call->changes ? "; whether it was applied is not known" : "");
}

static void calls_fail(mn_client *c, int error, const char *why)
{
    char text[400];

    while (c->calls != NULL) {
        put_unanswered(c->calls, why, text, sizeof(text));
        call_end(c, c->calls, &(struct mn_result){.error = error, .message = text});
    }
}

static void calls_time_out(mn_client *c)
{
    uint64_t now = now_ms();
    struct call *next;

    for (struct call *call = c->calls; call != NULL; call = next) {
        char text[200], why[80];

        next = call->next;
        if (now < call->deadline_ms)
            continue;
        snprintf(why, sizeof(why), "no answer in time%s%s", call->serial[0] ? " from pen " : " from the daemon", call->serial);
        put_unanswered(call, why, text, sizeof(text));
        call_end(c, call, &(struct mn_result){.error = MN_ERR_TIMEOUT, .message = text});
        next = c->calls; /* the callback may have started others */
    }
}

/* ---- out ---- */

static int out_flush(mn_client *c)
{
    while (c->out_length > 0) {
        ssize_t n = send(c->fd, c->out, c->out_length, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? MN_OK : MN_ERR_DISCONNECTED;
        memmove(c->out, c->out + n, c->out_length - (size_t)n);
        c->out_length -= (size_t)n;
    }
    return MN_OK;
}

static int out_append(mn_client *c, const Mnc__ClientMessage *m)
{
    size_t n = mnc__client_message__get_packed_size(m), need = c->out_length + 4 + n;

    if (need > OUT_BYTES_MAX)
        return client_fail(c, MN_ERR_BUSY, "too much waits to be sent to the daemon");
    if (c->out == NULL || need > c->out_cap) {
        uint8_t *bigger = realloc(c->out, need * 2);

        if (bigger == NULL)
            return client_fail(c, MN_ERR_MEMORY, "out of memory");
        c->out = bigger;
        c->out_cap = need * 2;
    }
    c->out[c->out_length] = (uint8_t)n;
    c->out[c->out_length + 1] = (uint8_t)(n >> 8);
    c->out[c->out_length + 2] = (uint8_t)(n >> 16);
    c->out[c->out_length + 3] = (uint8_t)(n >> 24);
    mnc__client_message__pack(m, c->out + c->out_length + 4);
    c->out_length = need;
    return MN_OK;
}

/* Does a request, if it arrives, change anything? */
static bool is_change(const Mnc__ClientMessage *m)
{
    switch (m->body_case) {
    case MNC__CLIENT_MESSAGE__BODY_CALL:
        return m->call->pen_type != MNP__FRAME_TYPE__TYPE_INFO && m->call->pen_type != MNP__FRAME_TYPE__TYPE_STATUS &&
               m->call->pen_type != MNP__FRAME_TYPE__TYPE_CONFIG_GET && m->call->pen_type != MNP__FRAME_TYPE__TYPE_ECHO &&
               m->call->pen_type != MNP__FRAME_TYPE__TYPE_FACTORY_GET;
    case MNC__CLIENT_MESSAGE__BODY_SIMULATE:
    case MNC__CLIENT_MESSAGE__BODY_RECORDS_EXPORTED:
    case MNC__CLIENT_MESSAGE__BODY_LEASE:
    case MNC__CLIENT_MESSAGE__BODY_SESSION_BEGIN:
    case MNC__CLIENT_MESSAGE__BODY_SESSION_SELECT:
    case MNC__CLIENT_MESSAGE__BODY_SESSION_ARM:
    case MNC__CLIENT_MESSAGE__BODY_SESSION_END:
    case MNC__CLIENT_MESSAGE__BODY_ADVERSE_EVENT:
    case MNC__CLIENT_MESSAGE__BODY_FACTORY_PROVOKE:
        return true;
    default:
        return false;
    }
}

/* Does its callback expect progress before the result? */
static bool is_long(const Mnc__ClientMessage *m)
{
    return m->body_case == MNC__CLIENT_MESSAGE__BODY_CALL && m->call->pen_type == MNP__FRAME_TYPE__TYPE_SELF_TEST;
}

int call_start(mn_client *c, Mnc__ClientMessage *m, const char *serial, int timeout_ms, decode_fn *decode, mn_result_fn *done,
               void *user)
{
    struct call *call;
    int r;

    if (c->state != CLIENT_CONNECTED && m->body_case != MNC__CLIENT_MESSAGE__BODY_HELLO)
        return client_fail(c, MN_ERR_DISCONNECTED, "not connected to the daemon at %s", c->path);
    if (serial != NULL && strlen(serial) > MN_SERIAL_MAX)
        return client_fail(c, MN_ERR_INVALID, "a serial number has at most %d characters", MN_SERIAL_MAX);
    call = calloc(1, sizeof(*call));
    if (call == NULL)
        return client_fail(c, MN_ERR_MEMORY, "out of memory");
    if (++c->last_id == 0)
        c->last_id = 1;
    *call = (struct call){.id = c->last_id,
                          .decode = decode,
                          .done = done,
                          .user = user,
                          .changes = is_change(m),
                          .has_progress = is_long(m),
                          .began_us = client_now_us(),
                          .deadline_ms = timeout_ms == CALL_FOREVER ? UINT64_MAX : now_ms() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0)};
    snprintf(call->serial, sizeof(call->serial), "%s", serial != NULL ? serial : "");
    m->has_id = true;
    m->id = call->id;
    r = out_append(c, m);
    if (r != MN_OK) {
        free(call);
        return r;
    }
    call->next = c->calls;
    c->calls = call;
    out_flush(c); /* a broken connection shows in mn_process() */
    return MN_OK;
}

/* ---- connecting ---- */

static int socket_connect(mn_client *c)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int e;

    if (strlen(c->path) >= sizeof(address.sun_path))
        return client_fail(c, MN_ERR_INVALID, "the socket's path is longer than %zu characters", sizeof(address.sun_path) - 1);
    strcpy(address.sun_path, c->path);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd >= 0 && connect(c->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return MN_OK;
    e = errno;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    if (e == EACCES || e == EPERM)
        return client_fail(c, MN_ERR_PERMISSION, "no permission on %s: your user must be in the socket's group (see ls -l), then log in anew",
                           c->path);
    if (e == ENOENT || e == ECONNREFUSED)
        return client_fail(c, MN_ERR_NO_DAEMON, "mnd is not running at %s: start it (systemctl start mnd), or name another socket",
                           c->path);
    if (e == EAGAIN)
        return client_fail(c, MN_ERR_BUSY, "mnd at %s takes no more clients just now", c->path);
    return client_fail(c, MN_ERR_NO_DAEMON, "cannot connect to %s: %s", c->path, strerror(e));
}

static bool on_greeted(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    (void)r;
    (void)call;
    if (m->body_case != MNC__SERVER_MESSAGE__BODY_HELLO || !m->hello->has_major)
        return false;
    snprintf(c->daemon_version, sizeof(c->daemon_version), "%s", m->hello->daemon_version != NULL ? m->hello->daemon_version : "?");
    c->daemon_minor = m->hello->minor;
    c->role = m->hello->has_role ? (enum mn_role)m->hello->role : MN_ROLE_OPERATOR; /* before minor 2 all were */
    c->state = CLIENT_CONNECTED;
    return true;
}

void client_event(mn_client *c, const struct mn_event *e)
{
    if (c->on_event != NULL)
        c->on_event(c, e, c->user);
}

/* The end of a greeting: of the first, or of one after a disconnection. */
static void greeting_done(mn_client *c, const struct mn_result *r, void *user)
{
    (void)user;
    c->greeting_error = r->error;
    if (r->error != MN_OK) {
        client_fail(c, r->error, "%s", r->message);
        return;
    }
    c->backoff_ms = 0;
    if (c->lost_at_ms == 0)
        return;
    if (c->resubscribe != NULL)
        c->resubscribe(c);
    if (c->follow.again != NULL)
        c->follow.again(c);
    client_event(c, &(struct mn_event){.kind = MN_EVENT_RECONNECTED, .outage_ms = now_ms() - c->lost_at_ms});
    c->lost_at_ms = 0;
}

static int greet(mn_client *c, int timeout_ms)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Hello h = MNC__HELLO__INIT;
    int r = socket_connect(c);

    if (r != MN_OK)
        return r;
    c->state = CLIENT_GREETING;
    c->in_fill = c->out_length = 0;
    h.has_major = h.has_minor = true;
    h.major = CLIENT_MAJOR;
    h.minor = CLIENT_MINOR;
    h.client_name = c->name;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_HELLO;
    m.hello = &h;
    return call_start(c, &m, NULL, timeout_ms, on_greeted, greeting_done, NULL);
}

static void disconnect(mn_client *c, int error, const char *why)
{
    bool was_connected = c->state == CLIENT_CONNECTED;
    char text[256];

    if (c->fd < 0)
        return;
    close(c->fd);
    c->fd = -1;
    snprintf(text, sizeof(text), "%s", c->goodbye[0] != '\0' ? c->goodbye : why);
    c->goodbye[0] = '\0';
    if (was_connected)
        c->lost_at_ms = now_ms();
    c->backoff_ms = c->backoff_ms == 0 ? BACKOFF_FIRST_MS : c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
    c->retry_at_ms = now_ms() + c->backoff_ms;
    c->state = c->reconnect ? CLIENT_WAITING : CLIENT_DEAD;
    client_fail(c, error, "%s", text);
    calls_fail(c, MN_ERR_DISCONNECTED, text);
    if (was_connected)
        client_event(c, &(struct mn_event){.kind = MN_EVENT_DISCONNECTED, .text = text});
}

/* ---- in ---- */

static struct stream *stream_of(mn_client *c, const char *serial)
{
    struct stream *s = c->streams;

    for (; s != NULL; s = s->next) {
        if (strcmp(s->serial, serial) == 0)
            return s;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    snprintf(s->serial, sizeof(s->serial), "%s", serial);
    s->next = c->streams;
    c->streams = s;
    return s;
}

/* Of samples whose numbers are `step` apart. */
static uint64_t count_missed(uint64_t *next, bool known, uint64_t first, size_t count, uint64_t step)
{
    uint64_t missed = known && count > 0 && first > *next ? (first - *next + step - 1) / step : 0;

    if (count > 0)
        *next = first + count * step;
    return missed;
}

static void on_telemetry(mn_client *c, const Mnc__Telemetry *t)
{
    struct mn_telemetry out;
    Mnp__TelemetryBatch *batch;
    struct stream *s;

    if (t->serial == NULL || (batch = decode_telemetry(&out, t->serial, &t->batch)) == NULL)
        return;
    if (t->has_decimation && t->decimation > 0)
        out.fast.decimation = t->decimation;
    s = stream_of(c, t->serial);
    if (s != NULL) {
        bool same_life = s->boot_id == out.boot_id && s->decimation == out.fast.decimation;

        s->boot_id = out.boot_id;
        s->decimation = out.fast.decimation;
        out.fast.missed = count_missed(&s->next_fast, same_life && s->next_fast != 0, out.fast.first_seq, out.fast.count, out.fast.decimation);
        out.slow.missed = count_missed(&s->next_slow, same_life && s->next_slow != 0, out.slow.first_seq, out.slow.count, 1);
    }
    client_event(c, &(struct mn_event){.kind = MN_EVENT_TELEMETRY, .telemetry = &out});
    mnp__telemetry_batch__free_unpacked(batch, NULL);
}

static void on_traffic(mn_client *c, const Mnc__Traffic *t)
{
    struct mn_traffic out = {
        .time_us = t->time_us,
        .kind = t->has_kind && t->kind <= MNC__TRAFFIC_KIND__TRAFFIC_TO_PROGRAM ? (enum mn_traffic_kind)t->kind : MN_TRAFFIC_UNKNOWN,
        .name = t->name != NULL ? t->name : "?",
        .pid = t->pid,
        .bytes = t->data.data,
        .count = t->data.len,
        .missed = c->last_traffic != 0 && t->number > c->last_traffic ? t->number - c->last_traffic - 1 : 0,
    };

    c->last_traffic = t->number;
    client_event(c, &(struct mn_event){.kind = MN_EVENT_TRAFFIC, .traffic = &out});
}

static void on_lease(mn_client *c, const Mnc__LeaseEvent *e)
{
    struct mn_lease out = {
        .serial = e->serial != NULL ? e->serial : "",
        .lost = e->what == MNC__LEASE_CHANGE__LEASE_LOST,
        .text = e->text != NULL ? e->text : "",
        .name = e->name != NULL ? e->name : "",
        .pid = e->pid,
    };

    if (e->what == MNC__LEASE_CHANGE__LEASE_LOST || e->what == MNC__LEASE_CHANGE__LEASE_REQUESTED)
        client_event(c, &(struct mn_event){.kind = MN_EVENT_LEASE, .lease = &out});
}

static void on_session(mn_client *c, const Mnc__Session *m)
{
    struct mn_session *out = calloc(1, sizeof(*out));

    if (out != NULL && decode_session(out, m))
        client_event(c, &(struct mn_event){.kind = MN_EVENT_SESSION, .session = out});
    free(out);
}

/* That this is done here, and nowhere else, is what it shows: the program is alive. */
static void answer_ping(mn_client *c)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Pong pong = MNC__PONG__INIT;

    m.has_id = true;
    m.id = ++c->last_id != 0 ? c->last_id : ++c->last_id;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_PONG;
    m.pong = &pong;
    if (out_append(c, &m) == MN_OK)
        out_flush(c);
}

static void on_event_message(mn_client *c, const Mnc__ServerMessage *m)
{
    struct mn_pen pen;

    switch (m->body_case) {
    case MNC__SERVER_MESSAGE__BODY_PEN:
        decode_pen(&pen, m->pen);
        client_event(c, &(struct mn_event){.kind = MN_EVENT_PEN, .pen = &pen});
        break;
    case MNC__SERVER_MESSAGE__BODY_TELEMETRY:
        on_telemetry(c, m->telemetry);
        break;
    case MNC__SERVER_MESSAGE__BODY_TRAFFIC:
        on_traffic(c, m->traffic);
        break;
    case MNC__SERVER_MESSAGE__BODY_LEASE:
        on_lease(c, m->lease);
        break;
    case MNC__SERVER_MESSAGE__BODY_SESSION_CHANGED:
        on_session(c, m->session_changed);
        break;
    case MNC__SERVER_MESSAGE__BODY_PING:
        answer_ping(c);
        break;
    case MNC__SERVER_MESSAGE__BODY_GOODBYE:
        snprintf(c->goodbye, sizeof(c->goodbye), "the daemon has disconnected this program: %s",
                 m->goodbye->reason != NULL ? m->goodbye->reason : "no reason given");
        break;
    default:
        break; /* of a later minor */
    }
}

static int error_of_daemon(Mnc__ErrorCode code)
{
    switch (code) {
    case MNC__ERROR_CODE__ERROR_VERSION:
        return MN_ERR_VERSION;
    case MNC__ERROR_CODE__ERROR_UNSUPPORTED:
        return MN_ERR_UNSUPPORTED;
    case MNC__ERROR_CODE__ERROR_NO_PEN:
        return MN_ERR_NO_PEN;
    case MNC__ERROR_CODE__ERROR_PEN_NOT_READY:
        return MN_ERR_NOT_READY;
    case MNC__ERROR_CODE__ERROR_PEN_GONE:
        return MN_ERR_PEN_GONE;
    case MNC__ERROR_CODE__ERROR_TIMEOUT:
        return MN_ERR_TIMEOUT;
    case MNC__ERROR_CODE__ERROR_BUSY:
        return MN_ERR_BUSY;
    case MNC__ERROR_CODE__ERROR_FORBIDDEN:
        return MN_ERR_FORBIDDEN;
    case MNC__ERROR_CODE__ERROR_JOURNAL:
        return MN_ERR_JOURNAL;
    case MNC__ERROR_CODE__ERROR_LEASE:
        return MN_ERR_LEASE;
    case MNC__ERROR_CODE__ERROR_NO_RECORD:
        return MN_ERR_NO_RECORD;
    case MNC__ERROR_CODE__ERROR_POLICY:
        return MN_ERR_POLICY;
    case MNC__ERROR_CODE__ERROR_STATE:
        return MN_ERR_STATE;
    case MNC__ERROR_CODE__ERROR_CONFLICT:
        return MN_ERR_CONFLICT;
    case MNC__ERROR_CODE__ERROR_NO_SESSION:
        return MN_ERR_NO_SESSION;
    case MNC__ERROR_CODE__ERROR_MALFORMED:
        return MN_ERR_INVALID;
    default:
        return MN_ERR_PROTOCOL;
    }
}

static void on_answer(mn_client *c, const Mnc__ServerMessage *m)
{
    struct call *call = call_find(c, m->id);
    struct mn_result r = {0};
    char text[256];

    if (call == NULL)
        return; /* it has timed out here */
    if (m->body_case == MNC__SERVER_MESSAGE__BODY_PROGRESS) {
        r.in_progress = true;
        r.progress_permille = m->progress->permille;
        if (call->has_progress)
            call_deliver(c, call, &r);
        return;
    }
    if (m->body_case == MNC__SERVER_MESSAGE__BODY_ERROR) {
        r.error = error_of_daemon(m->error->code);
        r.message = m->error->text;
        if ((r.error == MN_ERR_TIMEOUT || r.error == MN_ERR_PEN_GONE) && r.message != NULL) {
            put_unanswered(call, r.message, text, sizeof(text));
            r.message = text;
        }
    } else if (m->body_case == MNC__SERVER_MESSAGE__BODY_CALL && (m->call->pen_type & 0xc000) == 0xc000) {
        decode_pen_error(&r, text, sizeof(text), call->serial, &m->call->payload);
        r.message = text;
    } else if (!call->decode(c, &r, call, m)) {
        r = (struct mn_result){.error = MN_ERR_PROTOCOL, .message = "the answer does not decode: do daemon and library fit?"};
    }
    call_end(c, call, &r);
    free(c->owned); /* arrays of the result, unless a blocking call took them */
    c->owned = NULL;
}

static int on_message(mn_client *c, const uint8_t *bytes, size_t n)
{
    Mnc__ServerMessage *m = mnc__server_message__unpack(NULL, n, bytes);

    if (m == NULL)
        return MN_ERR_PROTOCOL;
    if (m->has_id && m->id != 0)
        on_answer(c, m);
    else
        on_event_message(c, m);
    mnc__server_message__free_unpacked(m, NULL);
    return MN_OK;
}

/* Makes room for a message of length bytes behind its own length. */
static bool in_reserve(mn_client *c, size_t length)
{
    uint8_t *bigger;

    if (length + 4 <= c->in_cap)
        return true;
    bigger = realloc(c->in, length + 4);
    if (bigger == NULL)
        return false;
    c->in = bigger;
    c->in_cap = length + 4;
    return true;
}

static int in_parse(mn_client *c)
{
    size_t at = 0;
    int r = MN_OK;

    while (r == MN_OK && c->in_fill - at >= 4) {
        const uint8_t *p = c->in + at;
        size_t length = p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;

        if (length > MESSAGE_MAX)
            return MN_ERR_PROTOCOL;
        if (c->in_fill - at - 4 < length) {
            if (!in_reserve(c, length))
                return MN_ERR_MEMORY;
            break;
        }
        r = on_message(c, p + 4, length);
        at += 4 + length;
    }
    memmove(c->in, c->in + at, c->in_fill - at);
    c->in_fill -= at;
    return r;
}

/* Reads what is there, in one go at the most: a fast daemon does not keep the caller here. */
static int in_read(mn_client *c)
{
    ssize_t n;

    if (!in_reserve(c, IN_BYTES_FIRST - 4))
        return MN_ERR_MEMORY;
    n = recv(c->fd, c->in + c->in_fill, c->in_cap - c->in_fill, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? MN_OK : MN_ERR_DISCONNECTED;
    if (n == 0)
        return MN_ERR_DISCONNECTED;
    c->in_fill += (size_t)n;
    return in_parse(c);
}

int mn_process(mn_client *c)
{
    int r = MN_OK;

    if (c->state == CLIENT_WAITING && now_ms() >= c->retry_at_ms && greet(c, CONNECT_TIMEOUT_MS) != MN_OK) {
        c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
        c->retry_at_ms = now_ms() + c->backoff_ms;
    }
    if (c->fd >= 0) {
        int read;

        r = out_flush(c);
        read = in_read(c); /* also where it takes nothing any more: it may have said why */
        r = r == MN_OK ? read : r;
        if (r == MN_ERR_PROTOCOL)
            disconnect(c, r, "the daemon sent a message that does not decode");
        else if (r != MN_OK)
            disconnect(c, r, "the daemon has hung up");
    }
    calls_time_out(c);
    if (c->state == CLIENT_CONNECTED && c->follow.retry_at_ms != 0 && now_ms() >= c->follow.retry_at_ms)
        c->follow.again(c);
    if (c->state == CLIENT_GREETING && c->greeting_error != MN_OK && c->calls == NULL)
        disconnect(c, c->greeting_error, c->message);
    if (c->state == CLIENT_DEAD)
        return r != MN_OK ? r : MN_ERR_DISCONNECTED;
    return MN_OK;
}

int mn_fd(const mn_client *c)
{
    return c->fd;
}

short mn_events(const mn_client *c)
{
    return (short)(POLLIN | (c->out_length > 0 ? POLLOUT : 0));
}

int mn_timeout_ms(const mn_client *c)
{
    uint64_t due = c->state == CLIENT_WAITING ? c->retry_at_ms : UINT64_MAX, now = now_ms();

    for (const struct call *call = c->calls; call != NULL; call = call->next) {
        if (call->deadline_ms < due)
            due = call->deadline_ms;
    }
    if (c->state == CLIENT_CONNECTED && c->follow.retry_at_ms != 0 && c->follow.retry_at_ms < due)
        due = c->follow.retry_at_ms;
    if (due == UINT64_MAX)
        return -1;
    return due <= now ? 0 : due - now < INT32_MAX ? (int)(due - now) : INT32_MAX;
}

int client_wait(mn_client *c, const bool *done)
{
    while (!*done) {
        struct pollfd fd = {.fd = c->fd, .events = mn_events(c)};
        int r;

        if (poll(&fd, 1, mn_timeout_ms(c)) < 0 && errno != EINTR)
            return client_fail(c, MN_ERR_INVALID, "poll: %s", strerror(errno));
        r = mn_process(c);
        if (r != MN_OK && !*done)
            return r;
    }
    return MN_OK;
}

const char *mn_default_socket(void)
{
    const char *path = getenv("MN_SOCKET");

    return path != NULL && path[0] != '\0' ? path : "/run/mnd/mnd.sock";
}

static mn_client *client_new(const struct mn_options *o)
{
    mn_client *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->fd = -1;
    c->last.message = c->message;
    c->path = strdup(o->socket != NULL ? o->socket : mn_default_socket());
    c->name = strdup(o->name != NULL ? o->name : "libmn " MN_VERSION);
    c->on_event = o->on_event;
    c->user = o->user;
    c->reconnect = o->reconnect;
    c->liveness_ms = o->liveness_ms;
    if (c->path == NULL || c->name == NULL) {
        mn_close(c);
        return NULL;
    }
    return c;
}

int mn_connect(mn_client **out, const struct mn_options *options, char *message, size_t cap)
{
    static const struct mn_options none;
    const struct mn_options *o = options != NULL ? options : &none;
    mn_client *c;
    int r;

    *out = NULL;
    if (message != NULL && cap > 0)
        message[0] = '\0';
    if (o->liveness_ms != 0 && (o->liveness_ms < MN_LIVENESS_MIN_MS || o->liveness_ms > MN_LIVENESS_MAX_MS)) {
        if (message != NULL)
            snprintf(message, cap, "liveness_ms is %d to %d, not %u", MN_LIVENESS_MIN_MS, MN_LIVENESS_MAX_MS, o->liveness_ms);
        return MN_ERR_INVALID;
    }
    c = client_new(o);
    if (c == NULL)
        return MN_ERR_MEMORY;
    c->greeting_error = -1;
    r = greet(c, o->timeout_ms > 0 ? o->timeout_ms : CONNECT_TIMEOUT_MS);
    while (r == MN_OK && c->greeting_error == -1) {
        struct pollfd fd = {.fd = c->fd, .events = mn_events(c)};

        if (poll(&fd, 1, mn_timeout_ms(c)) < 0 && errno != EINTR)
            r = client_fail(c, MN_ERR_INVALID, "poll: %s", strerror(errno));
        else
            mn_process(c);
    }
    if (r == MN_OK)
        r = c->greeting_error;
    if (r == MN_OK) {
        *out = c;
        return MN_OK;
    }
    if (message != NULL)
        snprintf(message, cap, "%s", c->message);
    mn_close(c);
    return r;
}

void mn_close(mn_client *c)
{
    if (c == NULL)
        return;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->state = CLIENT_DEAD;
    calls_fail(c, MN_ERR_DISCONNECTED, "the client was closed");
    while (c->streams != NULL) {
        struct stream *s = c->streams;

        c->streams = s->next;
        free(s);
    }
    free(c->subscriptions);
    free(c->findings);
    free(c->in);
    free(c->out);
    free(c->path);
    free(c->name);
    free(c);
}

const char *mn_message(const mn_client *c)
{
    return c->message;
}

const struct mn_result *mn_last_result(const mn_client *c)
{
    return &c->last;
}

enum mn_role mn_role(const mn_client *c)
{
    return c->role;
}

const char *mn_daemon_version(const mn_client *c)
{
    return c->daemon_version;
}
