/* Watching pens, telemetry and traffic: requests, and repeating them after a reconnection. */
#include "client.h"

#include <stdlib.h>
#include <string.h>

#include "decode.h"

enum { AGAIN_TIMEOUT_MS = 5000, PACE_MINOR = 4 };

static void subscribe_again(mn_client *c);

/* ---- pens ---- */

static bool on_pens(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    (void)call;
    if (m->body_case != MNC__SERVER_MESSAGE__BODY_PENS || !decode_pens(&r->pens, m->pens))
        return false;
    c->owned = r->pens.pen;
    return true;
}

int mn_list_async(mn_client *c, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__List list = MNC__LIST__INIT;

    m.body_case = MNC__CLIENT_MESSAGE__BODY_LIST;
    m.list = &list;
    return call_start(c, &m, NULL, timeout_ms, on_pens, done, user);
}

int mn_list(mn_client *c, struct mn_pens *out, int timeout_ms)
{
    *out = (struct mn_pens){0};
    WAIT(c, out, mn_list_async(c, timeout_ms, client_wake, &w));
}

int mn_watch_async(mn_client *c, bool on, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Watch watch = MNC__WATCH__INIT;

    watch.has_on = true;
    watch.on = on;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_WATCH;
    m.watch = &watch;
    c->watching = on;
    c->resubscribe = subscribe_again;
    return call_start(c, &m, NULL, timeout_ms, on_pens, done, user);
}

int mn_watch(mn_client *c, bool on, struct mn_pens *out, int timeout_ms)
{
    *out = (struct mn_pens){0};
    WAIT(c, out, mn_watch_async(c, on, timeout_ms, client_wake, &w));
}

/* ---- telemetry ---- */

/* Remembers a subscription for reconnections. False without memory. */
static bool remember(mn_client *c, const struct subscription *wanted)
{
    struct subscription *bigger;
    size_t i = 0;

    if (wanted->serial[0] == '\0')
        c->subscription_count = 0; /* a subscription to all pens replaces those to single ones */
    while (i < c->subscription_count && strcmp(c->subscriptions[i].serial, wanted->serial) != 0)
        i++;
    if (i == c->subscription_count) {
        bigger = realloc(c->subscriptions, (i + 1) * sizeof(*bigger));
        if (bigger == NULL)
            return false;
        c->subscriptions = bigger;
        c->subscription_count++;
    }
    c->subscriptions[i] = *wanted;
    return true;
}

static int subscribe_send(mn_client *c, const struct subscription *wanted, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Subscribe s = MNC__SUBSCRIBE__INIT;

    s.serial = (char *)(uintptr_t)wanted->serial;
    s.has_telemetry = true;
    s.telemetry = wanted->telemetry;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_SUBSCRIBE;
    m.subscribe = &s;
    return call_start(c, &m, NULL, timeout_ms, client_on_done, done, user);
}

static int pace_send(mn_client *c, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Subscribe s = MNC__SUBSCRIBE__INIT;

    s.has_decimation = s.has_latency_max_ms = true;
    s.decimation = c->decimation;
    s.latency_max_ms = c->latency_max_ms;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_SUBSCRIBE;
    m.subscribe = &s;
    return call_start(c, &m, NULL, timeout_ms, client_on_done, done, user);
}

int mn_pace_async(mn_client *c, unsigned decimation, unsigned latency_max_ms, int timeout_ms, mn_result_fn *done, void *user)
{
    if (decimation == 0 || latency_max_ms == 0)
        return client_fail(c, MN_ERR_INVALID, "decimation is at least 1, and the greatest latency at least 5 ms");
    if (c->state == CLIENT_CONNECTED && c->daemon_minor < PACE_MINOR)
        return client_fail(c, MN_ERR_UNSUPPORTED, "mnd %s speaks client protocol 1.%u, and telemetry is paced since 1.%d: update the daemon",
                           c->daemon_version, c->daemon_minor, PACE_MINOR);
    c->decimation = decimation;
    c->latency_max_ms = latency_max_ms;
    c->resubscribe = subscribe_again;
    return pace_send(c, timeout_ms, done, user);
}

int mn_pace(mn_client *c, unsigned decimation, unsigned latency_max_ms, int timeout_ms)
{
    struct waiter w = {0};

    return client_finish(c, &w, mn_pace_async(c, decimation, latency_max_ms, timeout_ms, client_wake, &w));
}

int mn_subscribe_async(mn_client *c, const char *serial, bool on, int timeout_ms, mn_result_fn *done, void *user)
{
    struct subscription wanted = {.telemetry = on};

    if (serial != NULL && strlen(serial) > MN_SERIAL_MAX)
        return client_fail(c, MN_ERR_INVALID, "a serial number has at most %d characters", MN_SERIAL_MAX);
    if (serial != NULL)
        strcpy(wanted.serial, serial);
    c->resubscribe = subscribe_again;
    if (!remember(c, &wanted))
        return client_fail(c, MN_ERR_MEMORY, "out of memory");
    return subscribe_send(c, &wanted, timeout_ms, done, user);
}

int mn_subscribe(mn_client *c, const char *serial, bool on, int timeout_ms)
{
    struct waiter w = {0};

    return client_finish(c, &w, mn_subscribe_async(c, serial, on, timeout_ms, client_wake, &w));
}

/* ---- again ---- */

/* After a reconnection, reports every pen as if it had just been plugged in. */
static void watched_again(mn_client *c, const struct mn_result *r, void *user)
{
    (void)user;
    for (size_t i = 0; r->error == MN_OK && i < r->pens.count; i++)
        client_event(c, &(struct mn_event){.kind = MN_EVENT_PEN, .pen = &r->pens.pen[i]});
}

static void subscribe_again(mn_client *c)
{
    if (c->decimation != 0 && c->daemon_minor >= PACE_MINOR)
        pace_send(c, AGAIN_TIMEOUT_MS, NULL, NULL);
    for (size_t i = 0; i < c->subscription_count; i++)
        subscribe_send(c, &c->subscriptions[i], AGAIN_TIMEOUT_MS, NULL, NULL);
    if (c->watching)
        mn_watch_async(c, true, AGAIN_TIMEOUT_MS, watched_again, NULL);
    if (c->monitoring)
        mn_monitor_async(c, true, AGAIN_TIMEOUT_MS, NULL, NULL);
}

/* ---- monitoring ---- */

int mn_monitor_async(mn_client *c, bool on, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Monitor monitor = MNC__MONITOR__INIT;

    monitor.has_on = true;
    monitor.on = on;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_MONITOR;
    m.monitor = &monitor;
    c->monitoring = on;
    c->last_traffic = 0;
    c->resubscribe = subscribe_again;
    return call_start(c, &m, NULL, timeout_ms, client_on_done, done, user);
}

int mn_monitor(mn_client *c, bool on, int timeout_ms)
{
    WAIT(c, (char *)NULL, mn_monitor_async(c, on, timeout_ms, client_wake, &w));
}
