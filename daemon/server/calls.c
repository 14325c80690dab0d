#include "inside.h"

#include <string.h>

#include "frame.h"
#include "pen.pb-c.h"
#include "version.h"

enum {
    CALL_TIMEOUT_MS = 1000,
    CALL_TIMEOUT_MAX_MS = 60000,
    PROVOKE_QUIET_MAX_MS = 2000,
};

/* ---- which requests a client may send to a pen ---- */

/* Requests that need the role factory and the pen's lease. */
static bool is_for_factory(uint32_t type)
{
    return type == MNP__FRAME_TYPE__TYPE_FACTORY_ENTER || type == MNP__FRAME_TYPE__TYPE_FACTORY_ARM || type == MNP__FRAME_TYPE__TYPE_FACTORY_WRITE ||
           type == MNP__FRAME_TYPE__TYPE_FACTORY_LEAVE;
}

static bool is_change(uint32_t pen_type)
{
    return pen_type == MNP__FRAME_TYPE__TYPE_CONFIG_SET || pen_type == MNP__FRAME_TYPE__TYPE_CONFIG_RESET ||
           pen_type == MNP__FRAME_TYPE__TYPE_FAULT_CLEAR || pen_type == MNP__FRAME_TYPE__TYPE_SELF_TEST;
}

/* Requests that are passed on to the pen. */
static bool call_allowed(uint32_t type)
{
    switch (type) {
    case MNP__FRAME_TYPE__TYPE_INFO:
    case MNP__FRAME_TYPE__TYPE_STATUS:
    case MNP__FRAME_TYPE__TYPE_CONFIG_GET:
    case MNP__FRAME_TYPE__TYPE_CONFIG_SET:
    case MNP__FRAME_TYPE__TYPE_CONFIG_RESET:
    case MNP__FRAME_TYPE__TYPE_STOP:
    case MNP__FRAME_TYPE__TYPE_FAULT_CLEAR:
    case MNP__FRAME_TYPE__TYPE_ECHO:
    case MNP__FRAME_TYPE__TYPE_SELF_TEST:
    case MNP__FRAME_TYPE__TYPE_FACTORY_GET:
        return true;
    default:
        if (is_for_factory(type))
            return true;
        return false; /* HELLO, HEARTBEAT, PACE, ARM, RECORDS_GET and RECORDS_ACK are sent by the daemon only */
    }
}

static enum role role_for_call(const Mnc__Call *call)
{
    Mnp__FaultClear *clear;
    bool service = false;

    if (call->has_pen_type && is_for_factory(call->pen_type))
        return ROLE_FACTORY;
    if (!call->has_pen_type || !is_change(call->pen_type))
        return ROLE_OBSERVER;
    if (call->pen_type == MNP__FRAME_TYPE__TYPE_FAULT_CLEAR) {
        clear = mnp__fault_clear__unpack(NULL, call->payload.len, call->payload.data);
        service = clear != NULL && clear->service;
        mnp__fault_clear__free_unpacked(clear, NULL);
    }
    return service ? ROLE_SERVICE : ROLE_OPERATOR;
}

/* A change is rejected if another client holds the lease; a request of the factory requires the lease. */
static bool may_change(struct client *c, const struct server *s, uint32_t id, const char *serial, uint32_t type)
{
    const struct client *holder = control_holder(s->control, serial);
    bool needs_lease = is_for_factory(type);

    if ((!is_change(type) && !needs_lease) || (holder == NULL && !needs_lease) || holder == c)
        return true;
    if (holder == NULL)
        client_reject(c, id, MNC__ERROR_CODE__ERROR_LEASE, "you do not control pen %s: take its lease first", serial);
    else
        client_reject(c, id, MNC__ERROR_CODE__ERROR_LEASE, "pen %s is controlled by %s", serial, client_name(holder));
    return false;
}

/* ---- calls ---- */

/* The pen to be called, or NULL after rejecting the request with the reason. */
static struct pen *pen_for_call(struct client *c, const struct server *s, uint32_t id, const char *serial)
{
    struct pen *p = hub_pen(s->hub, serial);

    if (p == NULL)
        client_reject(c, id, MNC__ERROR_CODE__ERROR_NO_PEN, "no pen with serial number %.40s is plugged in", serial);
    else if (!pen_is_ready(p))
        client_reject(c, id, MNC__ERROR_CODE__ERROR_PEN_NOT_READY, "pen %s is not ready: %s", serial,
                      pen_last_error(p)[0] != '\0' ? pen_last_error(p) : "it is being opened");
    else
        return p;
    return NULL;
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
        client_reject(c, id, MNC__ERROR_CODE__ERROR_TIMEOUT, "the pen did not answer in time");
        return;
    case PEN_RESULT_GONE:
        client_reject(c, id, MNC__ERROR_CODE__ERROR_PEN_GONE, "the pen was unplugged while the request waited");
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
    client_reply(c, &m, id);
}

void request_call(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    const Mnc__Call *call = m->call;
    uint32_t timeout_ms = call->has_timeout_ms ? call->timeout_ms : CALL_TIMEOUT_MS;
    bool stop = call->has_pen_type && call->pen_type == MNP__FRAME_TYPE__TYPE_STOP;
    enum role needed = role_for_call(call);
    struct pen *p;

    if (client_role(c) < needed) {
        request_reject_role(s, c, m->id, needed);
        return;
    }
    if (stop && (call->serial == NULL || call->serial[0] == '\0')) {
        hub_stop_all(s->hub);
        sessions_stopped_by(s->sessions, NULL, client_name(c));
        client_reply_done(c, m->id);
        return;
    }
    if (!call->has_pen_type || call->serial == NULL) {
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_MALFORMED, "CALL needs serial and pen_type");
        return;
    }
    if (call->pen_type == MNP__FRAME_TYPE__TYPE_ARM) {
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_UNSUPPORTED, "mnd %s arms pens within a treatment session only, since client protocol 1.3: update the client",
                      MN_VERSION);
        return;
    }
    if (!call_allowed(call->pen_type)) {
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_UNSUPPORTED, "mnd %s passes no request of type %u on", MN_VERSION, call->pen_type);
        return;
    }
    if (call->payload.len > MN_FRAME_PAYLOAD_MAX) {
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_MALFORMED, "a request to a pen has at most %u bytes", MN_FRAME_PAYLOAD_MAX);
        return;
    }
    p = pen_for_call(c, s, m->id, call->serial);
    if (p == NULL)
        return;
    if (!may_change(c, s, m->id, pen_serial(p), call->pen_type))
        return;
    if (timeout_ms == 0 || timeout_ms > CALL_TIMEOUT_MAX_MS)
        timeout_ms = CALL_TIMEOUT_MAX_MS;
    if (stop)
        sessions_stopped_by(s->sessions, pen_serial(p), client_name(c));
    if (pen_call(p, (uint16_t)call->pen_type, call->payload.data, call->payload.len, timeout_ms, on_call_done, c, m->id) < 0)
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_BUSY, "too many requests wait for pen %s", call->serial);
}

/* ---- simulation, and provocation ---- */

/* Provokes faults of the link for the factory's tests. */
void request_factory_provoke(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    const Mnc__FactoryProvoke *f = m->factory_provoke;
    struct pen *p = f->serial != NULL ? pen_for_call(c, s, m->id, f->serial) : NULL;

    if (f->serial == NULL || f->quiet_ms > PROVOKE_QUIET_MAX_MS || f->raw.len > MN_FRAME_MAX) {
        if (f->serial == NULL || p != NULL)
            client_reject(c, m->id, MNC__ERROR_CODE__ERROR_MALFORMED, "FACTORY_PROVOKE needs serial; at most 2000 ms, and 1024 bytes");
        return;
    }
    if (p == NULL || !may_change(c, s, m->id, pen_serial(p), MNP__FRAME_TYPE__TYPE_FACTORY_ARM))
        return;
    if (f->has_quiet_ms)
        pen_suspend_heartbeat(p, f->quiet_ms);
    if (f->raw.len > 0 && pen_send_raw(p, f->raw.data, f->raw.len) < 0)
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_BUSY, "pen %s takes no transfer now", f->serial);
    else
        client_reply_done(c, m->id);
}

static void on_simulated(void *ctx, uint32_t id, const char *answer, const char *error)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__SimulateReply reply = MNC__SIMULATE_REPLY__INIT;

    if (error != NULL) {
        client_reject(ctx, id, MNC__ERROR_CODE__ERROR_BUSY, "%s", error);
        return;
    }
    reply.answer = (char *)(uintptr_t)answer;
    m.body_case = MNC__SERVER_MESSAGE__BODY_SIMULATE;
    m.simulate = &reply;
    client_reply(ctx, &m, id);
}

void request_simulate(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    const Mnc__Simulate *line = m->simulate;
    if (line->serial == NULL || line->command == NULL || strlen(line->command) > 200)
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_MALFORMED, "SIMULATE needs serial and a command of at most 200 characters");
    else if (s->sim == NULL || !sim_command(s->sim, line->serial, line->command, on_simulated, c, m->id))
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_NO_PEN, "%.40s is no simulated pen of this mnd", line->serial);
}
