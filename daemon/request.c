#include "request.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "frame.h"
#include "inquiry.h"
#include "log.h"
#include "pen.pb-c.h"
#include "reading.h"
#include "session.h"
#include "version.h"

enum {
    CLIENT_MAJOR = 1,
    CLIENT_MINOR = 7, /* 1: Monitor; 2: the journal; 3: treatment sessions; 4: decimation and latency of telemetry; 5: the factory; 6: SessionCheck without a pen,
                         PARTIAL and UNTREATED; 7: ClockConfirm, Plan.continues, Session.cartridge */
    CALL_TIMEOUT_MS = 1000,
    CALL_TIMEOUT_MAX_MS = 60000,
    PROVOKE_QUIET_MAX_MS = 2000,
};

static void do_hello(struct client *c, uint32_t id, const Mnc__Hello *h)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__HelloReply reply = MNC__HELLO_REPLY__INIT;

    if (!h->has_major || !h->has_minor) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "HELLO needs major and minor");
        return;
    }
    if (h->major != CLIENT_MAJOR) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_VERSION, "mnd %s speaks client protocol %d.%d, you speak %u.%u: update the %s", MN_VERSION,
                      CLIENT_MAJOR, CLIENT_MINOR, h->major, h->minor, h->major < CLIENT_MAJOR ? "client" : "daemon");
        return;
    }
    client_greet(c, h->client_name != NULL ? h->client_name : "no name");
    reply.has_major = reply.has_minor = reply.has_role = true;
    reply.role = (Mnc__Role)client_role(c);
    reply.major = CLIENT_MAJOR;
    reply.minor = CLIENT_MINOR;
    reply.daemon_version = (char *)(uintptr_t)MN_VERSION;
    m.body_case = MNC__SERVER_MESSAGE__BODY_HELLO;
    m.hello = &reply;
    client_say(c, &m, id);
}

static void say_pens(struct client *c, const struct client_env *env, uint32_t id)
{
    unsigned n = hub_pen_count(env->hub), i = 0;
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__PenList list = MNC__PEN_LIST__INIT;
    Mnc__PenInfo *infos = calloc(n + 1, sizeof(*infos)), **pointers = calloc(n + 1, sizeof(*pointers));
    Mnc__LinkCounters *counters = calloc(n + 1, sizeof(*counters));

    if (infos != NULL && pointers != NULL && counters != NULL) {
        for (struct pen *p = NULL; i < n && (p = hub_next(env->hub, p)) != NULL; i++) {
            hub_pen_info(env->hub, p, &infos[i], &counters[i]);
            pointers[i] = &infos[i];
        }
        list.n_pen = i;
        list.pen = pointers;
        m.body_case = MNC__SERVER_MESSAGE__BODY_PENS;
        m.pens = &list;
        client_say(c, &m, id);
    } else {
        client_end(c, "the daemon is out of memory");
    }
    free(infos);
    free(pointers);
    free(counters);
}

static void do_subscribe(struct client *c, const struct client_env *env, uint32_t id, const Mnc__Subscribe *s)
{
    const char *wrong = NULL;

    if (s->has_records && s->records) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_UNSUPPORTED, "mnd %s offers records by RECORDS_READ only, since client protocol 1.2: update the client",
                      MN_VERSION);
        return;
    }
    if ((s->has_decimation && s->decimation == 0) || (s->has_latency_max_ms && s->latency_max_ms == 0))
        wrong = "decimation and latency_max_ms are not 0";
    else if (s->has_decimation || s->has_latency_max_ms)
        wrong = hub_pace(env->hub, client_subscriber(c), s->decimation, s->latency_max_ms);
    if (wrong != NULL)
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "%s", wrong);
    else if (s->has_telemetry && (wrong = hub_subscribe(env->hub, client_subscriber(c), s->serial, s->telemetry)) != NULL)
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_BUSY, "%s", wrong);
    else
        client_say_done(c, id);
}

/* What only a program of the role factory asks, of a pen that it controls. */
static bool is_for_factory(uint32_t type)
{
    return type == MNP__FRAME_TYPE__TYPE_FACTORY_ENTER || type == MNP__FRAME_TYPE__TYPE_FACTORY_ARM || type == MNP__FRAME_TYPE__TYPE_FACTORY_WRITE ||
           type == MNP__FRAME_TYPE__TYPE_FACTORY_LEAVE;
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
    case MNP__FRAME_TYPE__TYPE_STOP:
    case MNP__FRAME_TYPE__TYPE_FAULT_CLEAR:
    case MNP__FRAME_TYPE__TYPE_ECHO:
    case MNP__FRAME_TYPE__TYPE_SELF_TEST:
    case MNP__FRAME_TYPE__TYPE_FACTORY_GET:
        return true;
    default:
        if (is_for_factory(type))
            return true;
        return false; /* HELLO, HEARTBEAT, PACE, ARM, RECORDS_GET and RECORDS_ACK are the daemon's own */
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
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_TIMEOUT, "the pen did not answer in time");
        return;
    case PEN_RESULT_GONE:
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_PEN_GONE, "the pen was unplugged while the request waited");
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
    client_say(c, &m, id);
}

/* The pen to be called, or NULL after a refusal that says why there is none. */
static struct pen *pen_for_call(struct client *c, const struct client_env *env, uint32_t id, const char *serial)
{
    struct pen *p = hub_pen(env->hub, serial);

    if (p == NULL)
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_NO_PEN, "no pen with serial number %.40s is plugged in", serial);
    else if (!pen_is_ready(p))
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_PEN_NOT_READY, "pen %s is not ready: %s", serial,
                      pen_last_error(p)[0] != '\0' ? pen_last_error(p) : "it is being opened");
    else
        return p;
    return NULL;
}

static bool is_change(uint32_t pen_type)
{
    return pen_type == MNP__FRAME_TYPE__TYPE_CONFIG_SET || pen_type == MNP__FRAME_TYPE__TYPE_CONFIG_RESET ||
           pen_type == MNP__FRAME_TYPE__TYPE_FAULT_CLEAR || pen_type == MNP__FRAME_TYPE__TYPE_SELF_TEST;
}

/* What changes a pen is not for those who do not control it while another does; what the factory does is for those alone who control it. */
static bool may_change(struct client *c, const struct client_env *env, uint32_t id, const char *serial, uint32_t type)
{
    const struct lease *l = control_owner(env->control, serial);
    bool needs_lease = is_for_factory(type);

    if ((!is_change(type) && !needs_lease) || (l == NULL && !needs_lease) || (l != NULL && l->owner == c))
        return true;
    if (l == NULL)
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_LEASE, "you do not control pen %s: take its lease first", serial);
    else
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_LEASE, "pen %s is controlled by %s", serial, l->name);
    return false;
}

static void do_call(struct client *c, const struct client_env *env, uint32_t id, const Mnc__Call *call)
{
    uint32_t timeout_ms = call->has_timeout_ms ? call->timeout_ms : CALL_TIMEOUT_MS;
    bool stop = call->has_pen_type && call->pen_type == MNP__FRAME_TYPE__TYPE_STOP;
    struct pen *p;

    if (stop && (call->serial == NULL || call->serial[0] == '\0')) {
        hub_stop_all(env->hub);
        sessions_stopped_by(env->sessions, NULL, client_name(c));
        client_say_done(c, id);
        return;
    }
    if (!call->has_pen_type || call->serial == NULL) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "CALL needs serial and pen_type");
        return;
    }
    if (call->pen_type == MNP__FRAME_TYPE__TYPE_ARM) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_UNSUPPORTED, "mnd %s arms pens within a treatment session only, since client protocol 1.3: update the client",
                      MN_VERSION);
        return;
    }
    if (!call_allowed(call->pen_type)) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_UNSUPPORTED, "mnd %s passes no request of type %u on", MN_VERSION, call->pen_type);
        return;
    }
    if (call->payload.len > MN_FRAME_PAYLOAD_MAX) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "a request to a pen has at most %u bytes", MN_FRAME_PAYLOAD_MAX);
        return;
    }
    p = pen_for_call(c, env, id, call->serial);
    if (p == NULL)
        return;
    if (!may_change(c, env, id, pen_serial(p), call->pen_type))
        return;
    if (timeout_ms == 0 || timeout_ms > CALL_TIMEOUT_MAX_MS)
        timeout_ms = CALL_TIMEOUT_MAX_MS;
    if (stop)
        sessions_stopped_by(env->sessions, pen_serial(p), client_name(c));
    if (pen_call(p, (uint16_t)call->pen_type, call->payload.data, call->payload.len, timeout_ms, on_call_done, c, id) < 0)
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_BUSY, "too many requests wait for pen %s", call->serial);
}

/* What a factory's test does to a pen that no other program may: it must stop, or answer, all the same. */
static void do_provoke(struct client *c, const struct client_env *env, uint32_t id, const Mnc__FactoryProvoke *m)
{
    struct pen *p = m->serial != NULL ? pen_for_call(c, env, id, m->serial) : NULL;

    if (m->serial == NULL || m->quiet_ms > PROVOKE_QUIET_MAX_MS || m->raw.len > MN_FRAME_MAX) {
        if (m->serial == NULL || p != NULL)
            client_refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "FACTORY_PROVOKE needs serial; at most 2000 ms, and 1024 bytes");
        return;
    }
    if (p == NULL || !may_change(c, env, id, pen_serial(p), MNP__FRAME_TYPE__TYPE_FACTORY_ARM))
        return;
    if (m->has_quiet_ms)
        pen_be_quiet(p, m->quiet_ms);
    if (m->raw.len > 0 && pen_send_raw(p, m->raw.data, m->raw.len) < 0)
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_BUSY, "pen %s takes no transfer now", m->serial);
    else
        client_say_done(c, id);
}

static void on_simulated(void *ctx, uint32_t id, const char *answer, const char *error)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__SimulateReply reply = MNC__SIMULATE_REPLY__INIT;

    if (error != NULL) {
        client_refuse(ctx, id, MNC__ERROR_CODE__ERROR_BUSY, "%s", error);
        return;
    }
    reply.answer = (char *)(uintptr_t)answer;
    m.body_case = MNC__SERVER_MESSAGE__BODY_SIMULATE;
    m.simulate = &reply;
    client_say(ctx, &m, id);
}

static void do_simulate(struct client *c, const struct client_env *env, uint32_t id, const Mnc__Simulate *s)
{
    if (s->serial == NULL || s->command == NULL || strlen(s->command) > 200)
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "SIMULATE needs serial and a command of at most 200 characters");
    else if (env->sim == NULL || !sim_command(env->sim, s->serial, s->command, on_simulated, c, id))
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_NO_PEN, "%.40s is no simulated pen of this mnd", s->serial);
}

static void do_daemon_info(struct client *c, const struct client_env *env, uint32_t id)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__DaemonInfoReply d = MNC__DAEMON_INFO_REPLY__INIT;
    uint64_t now_us = 0;

    sd_event_now(env->event, CLOCK_MONOTONIC, &now_us);
    d.version = (char *)(uintptr_t)MN_VERSION;
    d.has_uptime_ms = d.has_pid = d.has_clients = d.has_pens = d.has_telemetry_batches = d.has_telemetry_dropped = d.has_usb = true;
    d.uptime_ms = (now_us - env->began_us) / 1000;
    d.pid = (uint32_t)getpid();
    d.clients = env->clients;
    d.pens = hub_pen_count(env->hub);
    d.telemetry_batches = hub_counters(env->hub)->batches;
    d.telemetry_dropped = env->telemetry_dropped;
    d.usb = env->usb;
    d.journal_error = (char *)(uintptr_t)hub_journal_error(env->hub);
    d.journal_path = (char *)(uintptr_t)env->journal_path;
    m.body_case = MNC__SERVER_MESSAGE__BODY_DAEMON_INFO;
    m.daemon_info = &d;
    client_say(c, &m, id);
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

/* What a request asks of the one who makes it. */
static enum role role_for(const Mnc__ClientMessage *m)
{
    switch (m->body_case) {
    case MNC__CLIENT_MESSAGE__BODY_CALL:
        return role_for_call(m->call);
    case MNC__CLIENT_MESSAGE__BODY_SIMULATE:
    case MNC__CLIENT_MESSAGE__BODY_LEASE:
    case MNC__CLIENT_MESSAGE__BODY_RECORDS_EXPORTED:
    case MNC__CLIENT_MESSAGE__BODY_JOURNAL_BACKUP:
    case MNC__CLIENT_MESSAGE__BODY_SESSION_CHECK:
    case MNC__CLIENT_MESSAGE__BODY_SESSION_BEGIN:
    case MNC__CLIENT_MESSAGE__BODY_SESSION_SELECT:
    case MNC__CLIENT_MESSAGE__BODY_SESSION_ARM:
    case MNC__CLIENT_MESSAGE__BODY_SESSION_END:
    case MNC__CLIENT_MESSAGE__BODY_ADVERSE_EVENT:
        return ROLE_OPERATOR;
    case MNC__CLIENT_MESSAGE__BODY_MONITOR:
    case MNC__CLIENT_MESSAGE__BODY_CLOCK_CONFIRM:
        return ROLE_SERVICE;
    case MNC__CLIENT_MESSAGE__BODY_FACTORY_PROVOKE:
        return ROLE_FACTORY;
    default:
        return ROLE_OBSERVER;
    }
}

static void refuse_role(struct client *c, const struct client_env *env, uint32_t id, enum role needed)
{
    client_refuse(c, id, MNC__ERROR_CODE__ERROR_FORBIDDEN, "this is for the role %s, and your user has the role %s: group %s gives it", role_name(needed),
                  role_name(client_role(c)), env->roles.groups[needed][0] != '\0' ? env->roles.groups[needed] : "(none is configured)");
}

void request(struct client *c, struct client_env *env, const Mnc__ClientMessage *m)
{
    enum role needed;

    if (!m->has_id || m->id == 0) {
        client_refuse(c, 0, MNC__ERROR_CODE__ERROR_MALFORMED, "a request needs an id that is not 0");
        return;
    }
    if (!client_is_greeted(c) && m->body_case != MNC__CLIENT_MESSAGE__BODY_HELLO) {
        client_refuse(c, m->id, MNC__ERROR_CODE__ERROR_MALFORMED, "HELLO comes first");
        return;
    }
    needed = role_for(m);
    if (client_role(c) < needed) {
        refuse_role(c, env, m->id, needed);
        return;
    }
    switch (m->body_case) {
    case MNC__CLIENT_MESSAGE__BODY_HELLO:
        do_hello(c, m->id, m->hello);
        break;
    case MNC__CLIENT_MESSAGE__BODY_LIST:
        say_pens(c, env, m->id);
        break;
    case MNC__CLIENT_MESSAGE__BODY_WATCH:
        client_subscriber(c)->watching = !m->watch->has_on || m->watch->on;
        say_pens(c, env, m->id);
        break;
    case MNC__CLIENT_MESSAGE__BODY_SUBSCRIBE:
        do_subscribe(c, env, m->id, m->subscribe);
        break;
    case MNC__CLIENT_MESSAGE__BODY_CALL:
        do_call(c, env, m->id, m->call);
        break;
    case MNC__CLIENT_MESSAGE__BODY_SIMULATE:
        do_simulate(c, env, m->id, m->simulate);
        break;
    case MNC__CLIENT_MESSAGE__BODY_DAEMON_INFO:
        do_daemon_info(c, env, m->id);
        break;
    case MNC__CLIENT_MESSAGE__BODY_MONITOR:
        if (fanout_monitor(hub_fanout(env->hub), client_subscriber(c), !m->monitor->has_on || m->monitor->on))
            client_say_done(c, m->id);
        else
            client_end(c, "the daemon is out of memory");
        break;
    case MNC__CLIENT_MESSAGE__BODY_LEASE:
        control_lease(env->control, c, m->id, m->lease);
        break;
    case MNC__CLIENT_MESSAGE__BODY_PONG:
        control_pong(env->control, c);
        break;
    case MNC__CLIENT_MESSAGE__BODY_SESSION_CHECK:
        session_check(env->sessions, c, m->id, m->session_check);
        break;
    case MNC__CLIENT_MESSAGE__BODY_SESSION_BEGIN:
        session_begin(env->sessions, c, m->id, m->session_begin);
        break;
    case MNC__CLIENT_MESSAGE__BODY_SESSION_SELECT:
        session_select(env->sessions, c, m->id, m->session_select);
        break;
    case MNC__CLIENT_MESSAGE__BODY_SESSION_ARM:
        session_arm(env->sessions, c, m->id, m->session_arm);
        break;
    case MNC__CLIENT_MESSAGE__BODY_SESSION_END:
        session_end(env->sessions, c, m->id, m->session_end);
        break;
    case MNC__CLIENT_MESSAGE__BODY_SESSION_LIST:
        inquiry_list(env->inquiries, c, m->id, m->session_list);
        break;
    case MNC__CLIENT_MESSAGE__BODY_ADVERSE_EVENT:
        inquiry_adverse(env->inquiries, c, m->id, m->adverse_event);
        break;
    case MNC__CLIENT_MESSAGE__BODY_CLOCK_CONFIRM:
        session_confirm_clock(env->sessions, c, m->id);
        break;
    case MNC__CLIENT_MESSAGE__BODY_FACTORY_PROVOKE:
        do_provoke(c, env, m->id, m->factory_provoke);
        break;
    case MNC__CLIENT_MESSAGE__BODY_POLICY_GET:
        inquiry_policy(env->inquiries, c, m->id, m->policy_get);
        break;
    case MNC__CLIENT_MESSAGE__BODY_RECORDS_READ:
        reading_records(env->readings, c, m->id, m->records_read);
        break;
    case MNC__CLIENT_MESSAGE__BODY_RECORDS_EXPORTED:
        reading_exported(env->readings, c, m->id, m->records_exported);
        break;
    case MNC__CLIENT_MESSAGE__BODY_FLIGHT_GET:
        reading_flight(env->readings, c, m->id, m->flight_get);
        break;
    case MNC__CLIENT_MESSAGE__BODY_JOURNAL_VERIFY:
        reading_verify(env->readings, c, m->id);
        break;
    case MNC__CLIENT_MESSAGE__BODY_JOURNAL_BACKUP:
        reading_backup(env->readings, c, m->id, m->journal_backup);
        break;
    default:
        client_refuse(c, m->id, MNC__ERROR_CODE__ERROR_UNSUPPORTED, "mnd %s does not know this request: is it older than the client?", MN_VERSION);
        break;
    }
}
