/*
 * The calls. Each is three short things: a decoder of its answer, an _async function that builds the request, and a blocking
 * one that starts the other and waits.
 */
#include "client.h"

#include <stdio.h>
#include <string.h>

#include "decode.h"

enum { PAYLOAD_MAX = MN_ECHO_MAX, LIVENESS_MINOR = 7, LEASE_SLACK_MS = 2000 /* the daemon's own deadline comes first */ };

void client_wake(mn_client *c, const struct mn_result *r, void *user)
{
    struct waiter *w = user;

    if (r->in_progress)
        return;
    w->done = true;
    w->error = r->error;
    if (r->error != MN_OK) {
        struct mn_result copy = *r;

        client_fail(c, r->error, "%s", r->message);
        c->last.range = copy.range;
        c->last.generation = copy.generation;
        c->last.fault_code = copy.fault_code;
        if (r->error == MN_ERR_POLICY)
            c->last.findings = copy.findings;
        return;
    }
    if (w->text != NULL)
        snprintf(w->text, w->size, "%s", r->answer);
    else if (w->points)
        memcpy(w->out, r->session, w->size); /* all pointers of the union are at this address */
    else if (w->out != NULL) {
        memcpy(w->out, &r->pens, w->size); /* all members of the union begin at this address */
        c->owned = NULL;
    }
}

int client_finish(mn_client *c, struct waiter *w, int started)
{
    int r = started == MN_OK ? client_wait(c, &w->done) : started;

    return r == MN_OK ? w->error : r;
}

int client_call_pen(mn_client *c, const char *serial, uint32_t type, const ProtobufCMessage *request, int timeout_ms, decode_fn *decode,
                    mn_result_fn *done, void *user)
{
    uint8_t payload[PAYLOAD_MAX];
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Call call = MNC__CALL__INIT;

    if (serial == NULL || serial[0] == '\0')
        return client_fail(c, MN_ERR_INVALID, "which pen? a serial number is needed");
    call.serial = (char *)(uintptr_t)serial;
    call.has_pen_type = call.has_timeout_ms = true;
    call.pen_type = type;
    call.timeout_ms = timeout_ms > 0 ? (uint32_t)timeout_ms : 1;
    if (request != NULL) {
        if (protobuf_c_message_get_packed_size(request) > sizeof(payload))
            return client_fail(c, MN_ERR_INVALID, "the request is too large");
        call.has_payload = true;
        call.payload.len = protobuf_c_message_pack(request, payload);
        call.payload.data = payload;
    }
    m.body_case = MNC__CLIENT_MESSAGE__BODY_CALL;
    m.call = &call;
    /* The daemon's own deadline comes first; ours only if the daemon itself does not answer. */
    return call_start(c, &m, serial, timeout_ms + 250, decode, done, user);
}

const ProtobufCBinaryData *client_payload_of(const Mnc__ServerMessage *m)
{
    return m->body_case == MNC__SERVER_MESSAGE__BODY_CALL ? &m->call->payload : NULL;
}

#define PEN_DECODER(name, decode, member)                                                                              \
    static bool name(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)          \
    {                                                                                                                  \
        (void)c;                                                                                                       \
        (void)call;                                                                                                    \
        return client_payload_of(m) != NULL && decode(&r->member, client_payload_of(m));                                             \
    }

PEN_DECODER(on_info, decode_info, info)
PEN_DECODER(on_status, decode_status, status)
PEN_DECODER(on_config, decode_config, config)
PEN_DECODER(on_cleared, decode_cleared, cleared)

bool client_on_done(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    (void)c;
    (void)r;
    (void)call;
    return m->body_case == MNC__SERVER_MESSAGE__BODY_DONE;
}

int mn_pen_info_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user)
{
    return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_INFO, NULL, timeout_ms, on_info, done, user);
}

int mn_pen_info(mn_client *c, const char *serial, struct mn_info *out, int timeout_ms)
{
    WAIT(c, out, mn_pen_info_async(c, serial, timeout_ms, client_wake, &w));
}

int mn_pen_status_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user)
{
    return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_STATUS, NULL, timeout_ms, on_status, done, user);
}

int mn_pen_status(mn_client *c, const char *serial, struct mn_status *out, int timeout_ms)
{
    WAIT(c, out, mn_pen_status_async(c, serial, timeout_ms, client_wake, &w));
}

int mn_config_get_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user)
{
    return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_CONFIG_GET, NULL, timeout_ms, on_config, done, user);
}

int mn_config_get(mn_client *c, const char *serial, struct mn_config *out, int timeout_ms)
{
    WAIT(c, out, mn_config_get_async(c, serial, timeout_ms, client_wake, &w));
}

int mn_config_set_async(mn_client *c, const char *serial, const struct mn_config *change, const uint32_t *expected_generation,
                        int timeout_ms, mn_result_fn *done, void *user)
{
    Mnp__ConfigSet set = MNP__CONFIG_SET__INIT;
    Mnp__Config config = MNP__CONFIG__INIT;

    encode_config(&config, change);
    set.config = &config;
    set.has_expected_generation = expected_generation != NULL;
    set.expected_generation = expected_generation != NULL ? *expected_generation : 0;
    return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_CONFIG_SET, &set.base, timeout_ms, on_config, done, user);
}

int mn_config_set(mn_client *c, const char *serial, const struct mn_config *change, const uint32_t *expected_generation,
                  struct mn_config *out, int timeout_ms)
{
    WAIT(c, out, mn_config_set_async(c, serial, change, expected_generation, timeout_ms, client_wake, &w));
}

int mn_config_reset_async(mn_client *c, const char *serial, const uint32_t *expected_generation, int timeout_ms,
                          mn_result_fn *done, void *user)
{
    Mnp__ConfigReset reset = MNP__CONFIG_RESET__INIT;

    reset.has_expected_generation = expected_generation != NULL;
    reset.expected_generation = expected_generation != NULL ? *expected_generation : 0;
    return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_CONFIG_RESET, &reset.base, timeout_ms, on_config, done, user);
}

int mn_config_reset(mn_client *c, const char *serial, const uint32_t *expected_generation, struct mn_config *out, int timeout_ms)
{
    WAIT(c, out, mn_config_reset_async(c, serial, expected_generation, timeout_ms, client_wake, &w));
}

int mn_stop_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Call call = MNC__CALL__INIT;

    if (serial != NULL)
        return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_STOP, NULL, timeout_ms, on_status, done, user);
    call.has_pen_type = true;
    call.pen_type = MNP__FRAME_TYPE__TYPE_STOP;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_CALL;
    m.call = &call;
    return call_start(c, &m, NULL, timeout_ms, client_on_done, done, user);
}

int mn_stop(mn_client *c, const char *serial, int timeout_ms)
{
    struct waiter w = {0};

    return client_finish(c, &w, mn_stop_async(c, serial, timeout_ms, client_wake, &w));
}

static int lease(mn_client *c, const char *serial, Mnc__LeaseAction action, uint32_t pid, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Lease l = MNC__LEASE__INIT;
    bool waits = action == MNC__LEASE_ACTION__LEASE_REQUEST;

    if (serial == NULL || serial[0] == '\0')
        return client_fail(c, MN_ERR_INVALID, "which pen? a serial number is needed");
    if (c->liveness_ms != 0 && c->state == CLIENT_CONNECTED && c->daemon_minor < LIVENESS_MINOR)
        return client_fail(c, MN_ERR_UNSUPPORTED, "mnd %s speaks client protocol 1.%u, and a lease has a liveness of its own since 1.%d: update the daemon", c->daemon_version,
                           c->daemon_minor, LIVENESS_MINOR);
    l.serial = (char *)(uintptr_t)serial;
    l.has_action = true;
    l.action = action;
    l.has_liveness_ms = c->liveness_ms != 0;
    l.liveness_ms = c->liveness_ms;
    l.has_pid = pid != 0;
    l.pid = pid;
    l.has_wait_ms = waits;
    l.wait_ms = timeout_ms > 0 ? (uint32_t)timeout_ms : 1;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_LEASE;
    m.lease = &l;
    return call_start(c, &m, serial, waits ? timeout_ms + LEASE_SLACK_MS : timeout_ms, client_on_done, done, user);
}

#define LEASE_CALL(name, action)                                                                                       \
    int name##_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user)                 \
    {                                                                                                                  \
        return lease(c, serial, action, 0, timeout_ms, done, user);                                                    \
    }                                                                                                                  \
                                                                                                                       \
    int name(mn_client *c, const char *serial, int timeout_ms)                                                         \
    {                                                                                                                  \
        struct waiter w = {0};                                                                                         \
                                                                                                                       \
        return client_finish(c, &w, name##_async(c, serial, timeout_ms, client_wake, &w));                             \
    }

LEASE_CALL(mn_lease_take, MNC__LEASE_ACTION__LEASE_TAKE)
LEASE_CALL(mn_lease_release, MNC__LEASE_ACTION__LEASE_RELEASE)
LEASE_CALL(mn_lease_take_over, MNC__LEASE_ACTION__LEASE_TAKE_OVER)
LEASE_CALL(mn_lease_request, MNC__LEASE_ACTION__LEASE_REQUEST)

int mn_lease_give_async(mn_client *c, const char *serial, uint32_t pid, int timeout_ms, mn_result_fn *done, void *user)
{
    return lease(c, serial, MNC__LEASE_ACTION__LEASE_GIVE, pid, timeout_ms, done, user);
}

int mn_lease_give(mn_client *c, const char *serial, uint32_t pid, int timeout_ms)
{
    struct waiter w = {0};

    return client_finish(c, &w, mn_lease_give_async(c, serial, pid, timeout_ms, client_wake, &w));
}

int mn_self_test_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user)
{
    return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_SELF_TEST, NULL, timeout_ms, on_status, done, user);
}

int mn_self_test(mn_client *c, const char *serial, struct mn_status *out, int timeout_ms)
{
    WAIT(c, out, mn_self_test_async(c, serial, timeout_ms, client_wake, &w));
}

static bool on_pong(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    (void)c;
    r->round_trip_us = client_now_us() - call->began_us;
    return client_payload_of(m) != NULL || m->body_case == MNC__SERVER_MESSAGE__BODY_DAEMON_INFO;
}

int mn_ping_async(mn_client *c, const char *serial, size_t bytes, int timeout_ms, mn_result_fn *done, void *user)
{
    uint8_t payload[MN_ECHO_MAX];
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__DaemonInfo info = MNC__DAEMON_INFO__INIT;
    Mnc__Call call = MNC__CALL__INIT;

    if (bytes > MN_ECHO_MAX)
        return client_fail(c, MN_ERR_INVALID, "a ping has 0 to %d bytes", MN_ECHO_MAX);
    if (serial == NULL) {
        m.body_case = MNC__CLIENT_MESSAGE__BODY_DAEMON_INFO;
        m.daemon_info = &info;
        return call_start(c, &m, NULL, timeout_ms, on_pong, done, user);
    }
    for (size_t i = 0; i < bytes; i++)
        payload[i] = (uint8_t)(i * 31 + 7);
    call.serial = (char *)(uintptr_t)serial;
    call.has_pen_type = call.has_payload = call.has_timeout_ms = true;
    call.pen_type = MNP__FRAME_TYPE__TYPE_ECHO;
    call.timeout_ms = timeout_ms > 0 ? (uint32_t)timeout_ms : 1;
    call.payload = (ProtobufCBinaryData){.len = bytes, .data = payload};
    m.body_case = MNC__CLIENT_MESSAGE__BODY_CALL;
    m.call = &call;
    return call_start(c, &m, serial, timeout_ms + 250, on_pong, done, user);
}

int mn_ping(mn_client *c, const char *serial, size_t bytes, uint64_t *round_trip_us, int timeout_ms)
{
    WAIT(c, round_trip_us, mn_ping_async(c, serial, bytes, timeout_ms, client_wake, &w));
}

int mn_faults_clear_async(mn_client *c, const char *serial, unsigned code, bool service, int timeout_ms, mn_result_fn *done,
                          void *user)
{
    Mnp__FaultClear clear = MNP__FAULT_CLEAR__INIT;

    clear.has_code = code != 0;
    clear.code = code;
    clear.has_service = service;
    clear.service = service;
    return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_FAULT_CLEAR, &clear.base, timeout_ms, on_cleared, done, user);
}

int mn_faults_clear(mn_client *c, const char *serial, unsigned code, bool service, struct mn_cleared *out, int timeout_ms)
{
    WAIT(c, out, mn_faults_clear_async(c, serial, code, service, timeout_ms, client_wake, &w));
}

static bool on_daemon(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    const Mnc__DaemonInfoReply *d = m->daemon_info;

    (void)c;
    (void)call;
    if (m->body_case != MNC__SERVER_MESSAGE__BODY_DAEMON_INFO)
        return false;
    r->daemon = (struct mn_daemon){
        .uptime_ms = d->uptime_ms,
        .pid = d->pid,
        .clients = d->clients,
        .pens = d->pens,
        .telemetry_batches = d->telemetry_batches,
        .telemetry_dropped = d->telemetry_dropped,
        .usb = d->usb,
    };
    snprintf(r->daemon.journal_error, sizeof(r->daemon.journal_error), "%s", d->journal_error != NULL ? d->journal_error : "");
    snprintf(r->daemon.journal_path, sizeof(r->daemon.journal_path), "%s", d->journal_path != NULL ? d->journal_path : "");
    r->daemon.turn_longest_us = d->turn_longest_us;
    r->daemon.turn_recent_us = d->turn_recent_us;
    decode_text(r->daemon.turn_longest_what, sizeof(r->daemon.turn_longest_what), d->turn_longest_what);
    decode_text(r->daemon.turn_recent_what, sizeof(r->daemon.turn_recent_what), d->turn_recent_what);
    snprintf(r->daemon.version, sizeof(r->daemon.version), "%s", d->version != NULL ? d->version : "?");
    return true;
}

int mn_daemon_info_async(mn_client *c, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__DaemonInfo info = MNC__DAEMON_INFO__INIT;

    m.body_case = MNC__CLIENT_MESSAGE__BODY_DAEMON_INFO;
    m.daemon_info = &info;
    return call_start(c, &m, NULL, timeout_ms, on_daemon, done, user);
}

int mn_daemon_info(mn_client *c, struct mn_daemon *out, int timeout_ms)
{
    WAIT(c, out, mn_daemon_info_async(c, timeout_ms, client_wake, &w));
}

static bool on_simulated(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    (void)c;
    (void)call;
    if (m->body_case != MNC__SERVER_MESSAGE__BODY_SIMULATE || m->simulate->answer == NULL)
        return false;
    if (strncmp(m->simulate->answer, "ok", 2) == 0) {
        r->answer = m->simulate->answer;
    } else {
        r->error = MN_ERR_INVALID;
        r->message = m->simulate->answer;
    }
    return true;
}

int mn_simulate_async(mn_client *c, const char *serial, const char *line, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Simulate s = MNC__SIMULATE__INIT;

    s.serial = (char *)(uintptr_t)serial;
    s.command = (char *)(uintptr_t)line;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_SIMULATE;
    m.simulate = &s;
    return call_start(c, &m, serial, timeout_ms, on_simulated, done, user);
}

int mn_simulate(mn_client *c, const char *serial, const char *line, char *answer, size_t cap, int timeout_ms)
{
    struct waiter w = {.text = answer, .size = cap};

    return client_finish(c, &w, mn_simulate_async(c, serial, line, timeout_ms, client_wake, &w));
}
