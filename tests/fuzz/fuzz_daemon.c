/*
 * The daemon against any bytes: the first byte chooses who sends them, a program at the socket or a pen on its link. A pen's
 * bytes come raw and as payloads of right frames, after a right HELLO or before it. A program's come as they are: fuzz_chain.c has its requests. Or they are a plan.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "history.h"
#include "log.h"
#include "pen.pb-c.h"
#include "plan.h"
#include "server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int nothing_open(struct link *l)
{
    (void)l;
    return 0;
}

static struct mn_frame last_sent;

static int note_send(struct link *l, const uint8_t *bytes, size_t n)
{
    struct mn_frame_reader r = {0};

    (void)l;
    mn_frame_next(&r, &bytes, &n, &last_sent);
    if (last_sent.type == MNP__FRAME_TYPE__TYPE_HELLO) {
        Mnp__Hello *h = mnp__hello__unpack(NULL, last_sent.length, last_sent.payload);

        last_sent.session = h != NULL ? h->nonce : 0; /* kept for the reply */
        mnp__hello__free_unpacked(h, NULL);
    }
    return 0;
}

static int nothing_control(struct link *l, enum mn_control request)
{
    (void)l;
    (void)request;
    return 0;
}

static void close_at_once(struct link *l)
{
    l->handler->on_closed(l->ctx);
}

static const struct link_ops ops = {.open = nothing_open, .send = note_send, .control = nothing_control, .close = close_at_once};

static void hello(struct link *l)
{
    uint8_t payload[256], bytes[MN_FRAME_MAX];
    Mnp__HelloReply h = MNP__HELLO_REPLY__INIT;
    struct mn_frame f = {.major = 1, .type = MNP__FRAME_TYPE__TYPE_HELLO | MN_TYPE_REPLY, .session = 7, .payload = payload};

    h.has_nonce = h.has_session = h.has_boot_id = h.has_minor = h.has_window = h.has_frame_max = h.has_records_newest = true;
    h.nonce = last_sent.session;
    h.session = 7;
    h.boot_id = 9;
    h.serial = (char[]){"FUZZ"};
    h.window = 4;
    h.frame_max = MN_FRAME_MAX;
    h.records_newest = 3;
    f.length = (uint16_t)mnp__hello_reply__pack(&h, payload);
    l->handler->on_bytes(l->ctx, LINK_BULK_IN, bytes, mn_frame_write(bytes, sizeof(bytes), &f));
}

static void from_pen(struct hub *hub, const uint8_t *data, size_t size)
{
    struct link l = {.ops = &ops, .port = "fuzz", .simulated = true};
    uint8_t bytes[MN_FRAME_MAX];
    uint16_t sequence = 1;

    hub_pen_arrived(hub, &l);
    l.handler->on_open(l.ctx);
    l.handler->on_control(l.ctx, MN_CONTROL_SESSION_RESET, 0);
    if (size > 0 && data[0] & 1)
        l.handler->on_bytes(l.ctx, LINK_BULK_IN, data, size);
    hello(&l);
    l.handler->on_bytes(l.ctx, LINK_INTERRUPT_IN, data, size < 32 ? size : 32);
    while (size >= 3) {
        static const uint16_t types[] = {0x40, 0x41, 0x800b, 0x8001, 0xc00b, 0x8003, 0xffff, 0x0001};
        size_t n = data[1] | (size_t)(data[2] & 3) << 8;
        struct mn_frame f = {.major = 1, .type = types[data[0] % 8], .correlation = data[0] / 8, .session = 7, .sequence = sequence++};

        data += 3;
        size -= 3;
        n = n > size ? size : n > MN_FRAME_PAYLOAD_MAX ? MN_FRAME_PAYLOAD_MAX : n;
        f.length = (uint16_t)n;
        f.payload = data;
        l.handler->on_bytes(l.ctx, LINK_BULK_IN, bytes, mn_frame_write(bytes, sizeof(bytes), &f));
        data += n;
        size -= n;
    }
    l.handler->on_gone(l.ctx);
}

/* What a program writes, from its first byte on. */
static void from_program(sd_event *event, struct hub *hub, const uint8_t *data, size_t size)
{
    const struct server_options options = {.clients = {.groups = {"", "", "", ""}, .max_clients = 1, .max_clients_per_user = 1, .queue_bytes = 65536, .user_queue_bytes = 1 << 20}, .journal_path = ""};
    static struct site site;
    struct server *server;
    struct client *c;
    int fds[2];

    site_default(&site);
    if (server_new(&server, event, &options, &site, hub, NULL) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0 ||
        clients_add(server_clients(server), fds[0], &c) < 0 || write(fds[1], data, size) < 0)
        abort();
    for (int i = 0; i < 20 && clients_count(server_clients(server)) > 0; i++)
        sd_event_run(event, 0);
    server_free(server);
    close(fds[1]);
}

/* A plan that is taken can be looked at by the policy, and recorded. */
static void as_plan(const uint8_t *data, size_t size)
{
    static uint8_t bytes[JOURNAL_NOTE_MAX];
    Mnc__Plan *m = mnc__plan__unpack(NULL, size, data);
    struct treatment t = {.serial = "FUZZ", .number = 1};
    struct journal_record r;
    struct findings found;
    struct policy policy;
    char why[200];

    policy_default(&policy);
    if (m != NULL && plan_read(&t, m, 1000000, why, sizeof(why))) {
        policy_evaluate(&policy, &t.input, &found);
        if (found.count > POLICY_FINDINGS_MAX || !history_begun(&r, &t, &found, NULL, bytes))
            abort();
    }
    mnc__plan__free_unpacked(m, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static sd_event *event;
    struct hub *hub;

    if (event == NULL && sd_event_new(&event) < 0)
        abort();
    log_set_level(LOG_LEVEL_ERROR);
    sd_event_run(event, 0); /* sets the loop's clock */
    if (size < 1 || size > 8192 || hub_new(&hub, event) < 0)
        return 0;
    if (data[0] == 'p')
        as_plan(data + 1, size - 1);
    else if (data[0] & 1)
        from_pen(hub, data + 1, size - 1);
    else
        from_program(event, hub, data + 1, size - 1);
    hub_free(hub);
    return 0;
}
