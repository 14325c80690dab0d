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

#include "version.h"

enum {
    CLIENT_MAJOR = 1,
    CLIENT_MINOR = 8,
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

uint64_t client_now_ms(void)
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

void client_event(mn_client *c, const struct mn_event *e)
{
    if (c->on_event != NULL)
        c->on_event(c, e, c->user);
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
    c->role = m->hello->has_role ? (enum mn_role)m->hello->role : MN_ROLE_OPERATOR; /* before minor 2 there were no roles */
    c->state = CLIENT_CONNECTED;
    return true;
}

/* The result of HELLO, on the first connection or a reconnection. */
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
    client_event(c, &(struct mn_event){.kind = MN_EVENT_RECONNECTED, .outage_ms = client_now_ms() - c->lost_at_ms});
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
        c->lost_at_ms = client_now_ms();
    c->backoff_ms = c->backoff_ms == 0 ? BACKOFF_FIRST_MS : c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
    c->retry_at_ms = client_now_ms() + c->backoff_ms;
    c->state = c->reconnect ? CLIENT_WAITING : CLIENT_DEAD;
    client_fail(c, error, "%s", text);
    calls_fail(c, MN_ERR_DISCONNECTED, text);
    if (was_connected)
        client_event(c, &(struct mn_event){.kind = MN_EVENT_DISCONNECTED, .text = text});
}

/* ---- processing ---- */

int mn_process(mn_client *c)
{
    int r = MN_OK;

    if (c->state == CLIENT_WAITING && client_now_ms() >= c->retry_at_ms && greet(c, CONNECT_TIMEOUT_MS) != MN_OK) {
        c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
        c->retry_at_ms = client_now_ms() + c->backoff_ms;
    }
    if (c->fd >= 0) {
        int read;

        r = out_flush(c);
        read = in_read(c); /* even if writing failed: the daemon may have sent the reason */
        r = r == MN_OK ? read : r;
        if (r == MN_ERR_PROTOCOL)
            disconnect(c, r, "the daemon sent a message that does not decode");
        else if (r != MN_OK)
            disconnect(c, r, "the daemon has hung up");
    }
    calls_time_out(c);
    if (c->state == CLIENT_CONNECTED && c->follow.retry_at_ms != 0 && client_now_ms() >= c->follow.retry_at_ms)
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
    uint64_t due = c->state == CLIENT_WAITING ? c->retry_at_ms : UINT64_MAX, now = client_now_ms();

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

/* ---- life ---- */

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

/* ---- what is known ---- */

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
