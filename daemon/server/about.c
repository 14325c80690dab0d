#include "inside.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "stall.h"
#include "version.h"

enum {
    CLIENT_MAJOR = 1,
    CLIENT_MINOR = 8, /* 1: Monitor; 2: the journal; 3: treatment sessions; 4: decimation and latency of telemetry; 5: the factory; 6: SessionCheck without a pen,
                         PARTIAL and UNTREATED; 7: ClockConfirm, Plan.continues, Session.cartridge; 8: RecordsRead.newest_first */
};

void request_hello(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    const Mnc__Hello *h = m->hello;
    Mnc__ServerMessage r = MNC__SERVER_MESSAGE__INIT;
    Mnc__HelloReply reply = MNC__HELLO_REPLY__INIT;

    (void)s;
    if (!h->has_major || !h->has_minor) {
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_MALFORMED, "HELLO needs major and minor");
        return;
    }
    if (h->major != CLIENT_MAJOR) {
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_VERSION, "mnd %s speaks client protocol %d.%d, you speak %u.%u: update the %s", MN_VERSION,
                      CLIENT_MAJOR, CLIENT_MINOR, h->major, h->minor, h->major < CLIENT_MAJOR ? "client" : "daemon");
        return;
    }
    client_greet(c, h->client_name != NULL ? h->client_name : "no name");
    reply.has_major = reply.has_minor = reply.has_role = true;
    reply.role = (Mnc__Role)client_role(c);
    reply.major = CLIENT_MAJOR;
    reply.minor = CLIENT_MINOR;
    reply.daemon_version = (char *)(uintptr_t)MN_VERSION;
    r.body_case = MNC__SERVER_MESSAGE__BODY_HELLO;
    r.hello = &reply;
    client_reply(c, &r, m->id);
}

static void reply_pens(struct client *c, const struct server *s, uint32_t id)
{
    unsigned n = hub_pen_count(s->hub), i = 0;
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__PenList list = MNC__PEN_LIST__INIT;
    Mnc__PenInfo *infos = calloc(n + 1, sizeof(*infos)), **pointers = calloc(n + 1, sizeof(*pointers));
    Mnc__LinkCounters *counters = calloc(n + 1, sizeof(*counters));

    if (infos != NULL && pointers != NULL && counters != NULL) {
        for (struct pen *p = NULL; i < n && (p = hub_next(s->hub, p)) != NULL; i++) {
            hub_pen_info(s->hub, p, &infos[i], &counters[i]);
            pointers[i] = &infos[i];
        }
        list.n_pen = i;
        list.pen = pointers;
        m.body_case = MNC__SERVER_MESSAGE__BODY_PENS;
        m.pens = &list;
        client_reply(c, &m, id);
    } else {
        client_disconnect(c, "the daemon is out of memory");
    }
    free(infos);
    free(pointers);
    free(counters);
}

void request_list(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    reply_pens(c, s, m->id);
}

void request_watch(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    client_subscriber(c)->watching = !m->watch->has_on || m->watch->on;
    reply_pens(c, s, m->id);
}

void request_subscribe(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    const Mnc__Subscribe *wanted = m->subscribe;
    const char *wrong = NULL;

    if (wanted->has_records && wanted->records) {
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_UNSUPPORTED, "mnd %s offers records by RECORDS_READ only, since client protocol 1.2: update the client",
                      MN_VERSION);
        return;
    }
    if ((wanted->has_decimation && wanted->decimation == 0) || (wanted->has_latency_max_ms && wanted->latency_max_ms == 0))
        wrong = "decimation and latency_max_ms are not 0";
    else if (wanted->has_decimation || wanted->has_latency_max_ms)
        wrong = hub_pace(s->hub, client_subscriber(c), wanted->decimation, wanted->latency_max_ms);
    if (wrong != NULL)
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_MALFORMED, "%s", wrong);
    else if (wanted->has_telemetry && (wrong = hub_subscribe(s->hub, client_subscriber(c), wanted->serial, wanted->telemetry)) != NULL)
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_BUSY, "%s", wrong);
    else
        client_reply_done(c, m->id);
}

void request_monitor(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    if (fanout_monitor(hub_fanout(s->hub), client_subscriber(c), !m->monitor->has_on || m->monitor->on))
        client_reply_done(c, m->id);
    else
        client_disconnect(c, "the daemon is out of memory");
}

void request_daemon_info(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    Mnc__ServerMessage r = MNC__SERVER_MESSAGE__INIT;
    Mnc__DaemonInfoReply d = MNC__DAEMON_INFO_REPLY__INIT;
    uint64_t now_us = loop_us(s->event, CLOCK_MONOTONIC);
    struct stall longest = stall_longest(), recent = stall_recent();

    d.version = (char *)(uintptr_t)MN_VERSION;
    d.has_uptime_ms = d.has_pid = d.has_clients = d.has_pens = d.has_telemetry_batches = d.has_telemetry_dropped = d.has_usb = true;
    d.uptime_ms = (now_us - s->began_us) / 1000;
    d.pid = (uint32_t)getpid();
    d.clients = clients_count(s->clients);
    d.pens = hub_pen_count(s->hub);
    d.telemetry_batches = hub_batches(s->hub);
    d.telemetry_dropped = clients_missed(s->clients);
    d.usb = s->options.usb;
    d.journal_error = (char *)(uintptr_t)hub_journal_error(s->hub);
    d.journal_path = (char *)(uintptr_t)s->options.journal_path;
    d.has_turn_longest_us = d.has_turn_recent_us = true;
    d.turn_longest_us = longest.us;
    d.turn_longest_what = (char *)(uintptr_t)longest.what;
    d.turn_recent_us = recent.us;
    d.turn_recent_what = (char *)(uintptr_t)recent.what;
    r.body_case = MNC__SERVER_MESSAGE__BODY_DAEMON_INFO;
    r.daemon_info = &d;
    client_reply(c, &r, m->id);
}
