#include "pen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "batch.h"
#include "flight.h"
#include "frame.h"
#include "log.h"
#include "wire.h"

enum fault_bit {
#define FAULT(bit, code, name, priority, kind, effect, text, cure) FAULT_##name = bit,
#include "faults.def"
#undef FAULT
};

enum pen_state { PEN_OPENING, PEN_RESETTING, PEN_GREETING, PEN_READY, PEN_FAILED, PEN_DRAINING, PEN_CLOSED };

enum {
    REQUESTS_MAX = 32,          /* waiting and in flight, per pen ... */
    STOPS_MAX = 8,              /* ... and beside those, STOPs: nobody's flood takes their place */
    RESEND_MS = 300,            /* a request without an answer is sent again: the pen knows it by its correlation */
    RESENDS_MAX = 3,
    SILENCE_MS = 3500,          /* the pen says its status every second */
    GREETING_MS = 1000,
    RETRY_MS = 250,
    RETRY_SLOW_MS = 5000,
    FAILURES_FAST = 8,
    SERIAL_MAX = 32,
    TICK_IDLE_MS = 500,
    RECORDS_TIMEOUT_MS = 2000,
    CLOCK_GOOD_MS = 10000,      /* then it is compared again, with the next record */
    CLOCK_DRIFT_PPM = 100,      /* of two crystals of 50 ppm each */
    FLIGHT_PATIENCE_MS = 1500,  /* for the second after a fault */
    PACE_MINOR = 2,             /* of the pens that can be told how long a batch is */
    FACTORY_MINOR = 3,          /* of those that may have no serial number yet */
};

struct request {
    uint16_t correlation; /* 0: waits for a place in the window */
    uint16_t type;
    uint32_t id;
    uint64_t deadline_ms, resend_ms;
    unsigned resent;
    pen_done_fn *done;
    void *ctx;
    uint8_t *payload;
    uint16_t length;
};

struct pen {
    sd_event *event;
    sd_event_source *timer;
    uint64_t timer_ms; /* when it will fire */
    struct link *link;
    struct pen_observer observer;
    uint32_t id;
    char port[32], address[LINK_ADDRESS_SIZE];
    bool simulated;
    char serial[SERIAL_MAX + 1];
    char firmware_version[17];
    char last_error[200];

    enum pen_state state;
    uint64_t state_until_ms; /* GREETING, RESETTING: give up; 0: no limit */
    uint64_t retry_at_ms;    /* RESETTING: begin then; 0: begun */
    unsigned failures;
    uint32_t nonce, session, window, minor, capabilities, boot_id;
    uint16_t sequence_out, sequence_in, correlation;
    uint64_t heard_ms;
    struct mn_frame_reader reader;
    struct mn_pen_status status;
    Mnc__LinkCounters counters;
    uint32_t records_have, records_newest;       /* handed on; the pen's newest */
    uint32_t records_committed, records_acked;   /* on disk; known to the pen */
    bool records_asked, ack_asked, ack_refused;
    bool recognised;                             /* it is the pen whose records are on disk */
    struct {
        bool known, asked;
        int64_t offset_us; /* host's monotonic time less the pen's ... */
        uint64_t bound_us; /* ... give or take, when it was measured */
        uint64_t at_us;
    } clock;
    struct flight *flight;
    uint32_t paced_ms; /* the length of its batches that was said in this session */
    uint64_t heartbeat_ms, quiet_until_ms;
    bool by_factory;   /* the last ARM was FACTORY_ARM */
    bool arming;       /* an ARM is on its way ... */
    bool disarm;       /* ... and somebody has said STOP since, on EP0, which may have overtaken it */
    bool bad_batch_said;

    struct request requests[REQUESTS_MAX + STOPS_MAX]; /* in order of arrival */
    unsigned request_count, in_flight;
};

static void session_begin(struct pen *p);
static void session_failed(struct pen *p, const char *why);
static void pump(struct pen *p);

static uint64_t now_ms(const struct pen *p)
{
    uint64_t now = 0;

    sd_event_now(p->event, CLOCK_MONOTONIC, &now);
    return now / 1000;
}

/* The timer fires at due_ms or before; it is only ever moved forward here, and recomputed when it fires. */
static void timer_by(struct pen *p, uint64_t due_ms)
{
    if (due_ms >= p->timer_ms)
        return;
    p->timer_ms = due_ms;
    sd_event_source_set_time(p->timer, due_ms * 1000);
    sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

static void changed(struct pen *p)
{
    if (p->state != PEN_CLOSED)
        p->observer.changed(p->observer.ctx, p);
}

static bool is_arm(uint16_t type)
{
    return type == MNP__FRAME_TYPE__TYPE_ARM || type == MNP__FRAME_TYPE__TYPE_FACTORY_ARM;
}

const char *pen_name(const struct pen *p)
{
    return p->serial[0] != '\0' ? p->serial : p->port;
}

/* ---- requests ---- */

static struct request request_take(struct pen *p, unsigned i)
{
    struct request r = p->requests[i];

    if (r.correlation != 0)
        p->in_flight--;
    memmove(p->requests + i, p->requests + i + 1, (--p->request_count - i) * sizeof(r));
    return r;
}

/* An ARM that was sent is over; if it is not wanted any more, its end does not matter: a STOP too many harms nobody. */
static void arm_ended(struct pen *p, const struct request *r)
{
    bool unwanted = p->disarm || r->done == NULL;

    p->arming = p->disarm = false;
    if (unwanted)
        pen_stop(p);
}

static void request_end(struct pen *p, unsigned i, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct request r = request_take(p, i);

    if (is_arm(r.type) && r.correlation != 0)
        arm_ended(p, &r);
    if (r.done != NULL)
        r.done(r.ctx, r.id, result, type, payload, n);
    free(r.payload);
}

static void requests_end_all(struct pen *p, enum pen_result result)
{
    while (p->request_count > 0)
        request_end(p, 0, result, 0, NULL, 0);
}

static int frame_send(struct pen *p, uint16_t type, uint16_t correlation, const uint8_t *payload, uint16_t n)
{
    uint8_t bytes[MN_FRAME_MAX];
    struct mn_frame f = {
        .major = MN_PROTOCOL_MAJOR,
        .length = n,
        .sequence = p->sequence_out,
        .correlation = correlation,
        .type = type,
        .session = p->session,
        .payload = payload,
    };
    size_t size = mn_frame_write(bytes, sizeof(bytes), &f);
    int r = size == 0 ? -EMSGSIZE : p->link->ops->send(p->link, bytes, size);

    if (r == 0) {
        p->sequence_out++;
        p->counters.frames_out++;
        p->observer.traffic(p->observer.ctx, p, MNC__TRAFFIC_KIND__TRAFFIC_BULK_OUT, bytes, size);
    }
    return r;
}

static int control(struct pen *p, enum mn_control request)
{
    uint8_t byte = (uint8_t)request;

    p->observer.traffic(p->observer.ctx, p, MNC__TRAFFIC_KIND__TRAFFIC_CONTROL, &byte, 1);
    return p->link->ops->control(p->link, request);
}

static uint16_t next_correlation(struct pen *p)
{
    if (++p->correlation == 0)
        p->correlation = 1;
    return p->correlation;
}

/* Sends what the window allows. */
static void pump(struct pen *p)
{
    if (p->state != PEN_READY)
        return;
    for (unsigned i = 0; i < p->request_count; i++) {
        struct request *r = &p->requests[i];
        bool overtakes = r->type == MNP__FRAME_TYPE__TYPE_STOP;

        if (r->correlation != 0 || (p->in_flight >= p->window && !overtakes))
            continue;
        r->correlation = next_correlation(p);
        if (frame_send(p, r->type, r->correlation, r->payload, r->length) < 0) {
            r->correlation = 0; /* on_sendable pumps again */
            return;
        }
        p->in_flight++;
        r->resend_ms = now_ms(p) + RESEND_MS;
        timer_by(p, r->resend_ms);
        if (is_arm(r->type)) {
            p->by_factory = r->type == MNP__FRAME_TYPE__TYPE_FACTORY_ARM;
            r->resend_ms = UINT64_MAX; /* never twice: a STOP may have come in between */
            p->arming = true;
            timer_by(p, now_ms(p) + MN_HEARTBEAT_PERIOD_MS);
        }
    }
}

int pen_call(struct pen *p, uint16_t type, const uint8_t *payload, size_t n, uint32_t timeout_ms, pen_done_fn *done, void *ctx,
             uint32_t id)
{
    bool stop = type == MNP__FRAME_TYPE__TYPE_STOP;
    struct request r = {.type = type, .id = id, .done = done, .ctx = ctx, .length = (uint16_t)n};
    unsigned at = p->request_count;

    if (stop)
        pen_stop(p);
    if (p->request_count >= REQUESTS_MAX + (stop ? STOPS_MAX : 0) || p->state == PEN_DRAINING || p->state == PEN_CLOSED)
        return -EAGAIN;
    if (n > MN_FRAME_PAYLOAD_MAX)
        return -EMSGSIZE;
    if (n > 0) {
        r.payload = malloc(n);
        if (r.payload == NULL)
            return -ENOMEM;
        memcpy(r.payload, payload, n);
    }
    r.deadline_ms = now_ms(p) + timeout_ms;
    if (stop) /* before all that have not been sent yet */
        for (at = 0; at < p->request_count && p->requests[at].correlation != 0; at++)
            ;
    memmove(p->requests + at + 1, p->requests + at, (p->request_count - at) * sizeof(r));
    p->requests[at] = r;
    p->request_count++;
    timer_by(p, r.deadline_ms);
    pump(p);
    return 0;
}

/* An ARM that still waits for its turn does not go out any more. */
static void cancel_waiting_arms(struct pen *p, const void *ctx)
{
    for (unsigned i = 0; i < p->request_count;) {
        struct request *r = &p->requests[i];

        if (is_arm(r->type) && r->correlation == 0 && (ctx == NULL || r->ctx == ctx))
            request_end(p, i, PEN_RESULT_TIMEOUT, 0, NULL, 0);
        else
            i++;
    }
}

void pen_forget(struct pen *p, const void *ctx)
{
    for (unsigned i = 0; i < p->request_count; i++) {
        if (p->requests[i].ctx == ctx)
            p->requests[i].done = NULL;
    }
    cancel_waiting_arms(p, ctx);
}

void pen_be_quiet(struct pen *p, uint32_t ms)
{
    p->quiet_until_ms = now_ms(p) + ms;
}

int pen_send_raw(struct pen *p, const uint8_t *bytes, size_t n)
{
    int r = p->state == PEN_READY ? p->link->ops->send(p->link, bytes, n) : -EAGAIN;

    if (r == 0)
        p->observer.traffic(p->observer.ctx, p, MNC__TRAFFIC_KIND__TRAFFIC_BULK_OUT, bytes, n);
    return r;
}

void pen_stop(struct pen *p)
{
    cancel_waiting_arms(p, NULL);
    p->disarm = p->arming;
    if (p->state == PEN_RESETTING || p->state == PEN_GREETING || p->state == PEN_READY)
        control(p, MN_CONTROL_STOP);
}

/* ---- telemetry ---- */

static void on_paced(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct pen *p = ctx;

    (void)type;
    (void)payload;
    (void)n;
    if (result != PEN_RESULT_REPLY && p->paced_ms == id)
        p->paced_ms = 0; /* it is not known what it does: said again with the next change */
}

void pen_pace(struct pen *p, uint32_t batch_ms)
{
    uint8_t payload[MN_FRAME_MAX];
    Mnp__Pace pace = MNP__PACE__INIT;

    if (p->state != PEN_READY || p->minor < PACE_MINOR || p->paced_ms == batch_ms)
        return;
    pace.has_batch_ms = true;
    pace.batch_ms = batch_ms;
    if (pen_call(p, MNP__FRAME_TYPE__TYPE_PACE, payload, mnp__pace__pack(&pace, payload), RECORDS_TIMEOUT_MS, on_paced, p, batch_ms) == 0)
        p->paced_ms = batch_ms;
}

/* ---- the pen's time ---- */

static uint64_t host_us(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void on_clock(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct pen *p = ctx;
    uint64_t now = host_us(CLOCK_BOOTTIME), asked = p->clock.at_us;
    Mnp__Status *status = NULL;

    (void)id;
    p->clock.asked = false;
    p->clock.at_us = now;
    if (result == PEN_RESULT_REPLY && (type & MN_TYPE_ERROR) == MN_TYPE_REPLY)
        status = mnp__status__unpack(NULL, n, payload);
    p->clock.known = status != NULL && status->has_t_us;
    if (p->clock.known) {
        p->clock.bound_us = (now - asked) / 2;
        p->clock.offset_us = (int64_t)(asked + p->clock.bound_us) - (int64_t)status->t_us;
    }
    mnp__status__free_unpacked(status, NULL);
}

/* Compares it with the host's: the answer was made between asking and now. */
static void clock_ask(struct pen *p)
{
    uint64_t now = host_us(CLOCK_BOOTTIME);

    if (p->clock.asked || (p->clock.known && now < p->clock.at_us + CLOCK_GOOD_MS * 1000))
        return;
    p->clock.known = false;
    p->clock.at_us = now;
    p->clock.asked = pen_call(p, MNP__FRAME_TYPE__TYPE_STATUS, NULL, 0, RECORDS_TIMEOUT_MS, on_clock, p, 0) == 0;
}

/* When a record was written, in Unix time. */
static void date(const struct pen *p, struct journal_record *r)
{
    uint64_t mono = host_us(CLOCK_BOOTTIME), now = host_us(CLOCK_REALTIME), bound;
    int64_t ago = (int64_t)mono - ((int64_t)r->t_us + p->clock.offset_us);

    r->host_us = now;
    r->host_bound_us = STORE_BOUND_UNKNOWN;
    if (!p->clock.known || r->boot_id != p->boot_id || ago < -(int64_t)p->clock.bound_us - 1000000 || ago > (int64_t)now)
        return;
    r->host_us = now - (uint64_t)(ago > 0 ? ago : 0);
    bound = p->clock.bound_us + (uint64_t)(ago > 0 ? ago : 0) * CLOCK_DRIFT_PPM / 1000000 + CLOCK_GOOD_MS * CLOCK_DRIFT_PPM / 1000;
    r->host_bound_us = bound < STORE_BOUND_UNKNOWN ? (uint32_t)bound : STORE_BOUND_UNKNOWN - 1;
}

/* ---- records ---- */

static void flights_cut(struct pen *p, bool all)
{
    uint8_t *bytes;
    uint32_t number;
    size_t n;

    while ((number = flight_cut(p->flight, now_ms(p), all, &bytes, &n)) != 0) {
        struct journal_record r = {.number = number};

        snprintf(r.serial, sizeof(r.serial), "%s", p->serial);
        if (bytes != NULL)
            p->observer.flight(p->observer.ctx, p, &r, bytes, n);
    }
}

static void records_ask(struct pen *p);
static void records_ack(struct pen *p);

static bool is_flight_worthy(uint32_t code)
{
    switch (code) {
#define FAULT(bit, code, name, priority, kind, effect, text, cure)                                                     \
    case code:                                                                                                         \
        return #priority[0] != 'L';
#include "faults.def"
#undef FAULT
    default:
        return false;
    }
}

/* Where the records go on, by what is on disk. */
static void records_begin(struct pen *p, uint32_t on_disk)
{
    p->records_committed = p->records_have = on_disk;
}

/* The record in the pen with the newest number that is on disk, or that it has none (NULL). */
static void recognise(struct pen *p, const struct journal_record *r)
{
    p->recognised = true;
    records_begin(p, p->observer.recognise(p->observer.ctx, p, p->records_newest, p->records_acked, r));
    records_ack(p);
}

/* One record of a page; false: go on later. */
static bool on_record(struct pen *p, const Mnp__Record *m, const ProtobufCBinaryData *bytes)
{
    struct journal_record r = {.number = m->number, .boot_id = m->boot_id, .t_us = m->t_us, .bytes = bytes->data, .length = bytes->len};

    r.kind = m->has_kind && (unsigned)m->kind < 32 ? (uint32_t)m->kind : 0;
    r.code = m->body_case == MNP__RECORD__BODY_FAULT ? m->fault->code : 0;
    snprintf(r.serial, sizeof(r.serial), "%s", p->serial);
    if (!p->recognised) {
        recognise(p, m->number == p->records_have ? &r : NULL);
        if (m->number > p->records_have + 1)
            return false; /* it is another pen: from its first */
    }
    if (m->number <= p->records_have)
        return true;
    date(p, &r);
    if (!p->observer.record(p->observer.ctx, p, p->records_have + 1, &r))
        return false;
    if (m->number != p->records_have + 1)
        log_warning("pen %s: records %u to %u are lost: overwritten or damaged in the pen", pen_name(p), p->records_have + 1, m->number - 1);
    p->records_have = m->number;
    if (r.code != 0 && m->fault->raised && r.boot_id == p->boot_id && is_flight_worthy(r.code)) {
        flight_fault(p->flight, r.number, r.t_us, now_ms(p) + FLIGHT_PATIENCE_MS);
        timer_by(p, flight_due_ms(p->flight));
    }
    return true;
}

static void on_records(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct pen *p = ctx;
    Mnp__Records *page;
    uint32_t before = p->records_have;
    bool more = true, was_recognised = p->recognised, out_of_memory = false;
    ProtobufCAllocator noting = wire_allocator(&out_of_memory);

    (void)id;
    p->records_asked = false;
    if (result != PEN_RESULT_REPLY || (type & MN_TYPE_ERROR) != MN_TYPE_REPLY)
        return; /* asked again with the next status */
    page = mnp__records__unpack(NULL, n, payload);
    if (page == NULL)
        return;
    for (size_t i = 0; more && i < page->n_record; i++) {
        Mnp__Record *r = mnp__record__unpack(&noting, page->record[i].len, page->record[i].data);

        if (r != NULL && r->has_number)
            more = on_record(p, r, &page->record[i]);
        mnp__record__free_unpacked(r, &noting);
        more = more && !out_of_memory;
    }
    if (out_of_memory) { /* asked again with the next status, from the first that is not here */
        mnp__records__free_unpacked(page, NULL);
        return;
    }
    if (!p->recognised)
        recognise(p, NULL);
    else if (page->n_record == 0) /* none of those numbers is left */
        p->records_have = p->records_newest;
    mnp__records__free_unpacked(page, NULL);
    if (p->records_have != before || !was_recognised)
        records_ask(p);
}

static void records_ask(struct pen *p)
{
    uint8_t payload[MN_FRAME_MAX];
    Mnp__RecordsGet get = MNP__RECORDS_GET__INIT;

    if (p->records_asked || (p->recognised && p->records_newest <= p->records_have) || p->state != PEN_READY)
        return;
    clock_ask(p);
    get.has_from = true;
    get.from = p->recognised ? p->records_have + 1 : p->records_have;
    p->records_asked = pen_call(p, MNP__FRAME_TYPE__TYPE_RECORDS_GET, payload, mnp__records_get__pack(&get, payload),
                                RECORDS_TIMEOUT_MS, on_records, p, 0) == 0;
}

static void on_acked(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct pen *p = ctx;

    (void)payload;
    (void)n;
    p->ack_asked = false;
    if (result != PEN_RESULT_REPLY)
        return; /* said again with the next status */
    p->ack_refused = (type & MN_TYPE_ERROR) == MN_TYPE_ERROR; /* it keeps them: no harm */
    p->records_acked = id;
    records_ack(p);
}

static void records_ack(struct pen *p)
{
    uint8_t payload[MN_FRAME_MAX];
    Mnp__RecordsAck ack = MNP__RECORDS_ACK__INIT;

    if (!p->recognised || p->ack_asked || p->ack_refused || p->records_committed <= p->records_acked || p->state != PEN_READY)
        return;
    ack.has_through = true;
    ack.through = p->records_committed;
    p->ack_asked = pen_call(p, MNP__FRAME_TYPE__TYPE_RECORDS_ACK, payload, mnp__records_ack__pack(&ack, payload), RECORDS_TIMEOUT_MS, on_acked, p,
                            ack.through) == 0;
}

void pen_records_committed(struct pen *p, uint32_t through)
{
    if (through > p->records_committed)
        p->records_committed = through;
    records_ack(p);
}

void pen_records_continue(struct pen *p)
{
    records_ask(p);
}

/* ---- the session ---- */

static void session_begin(struct pen *p)
{
    int r;

    mn_frame_reader_reset(&p->reader);
    p->session = 0;
    p->retry_at_ms = 0;
    p->state = PEN_RESETTING;
    p->state_until_ms = now_ms(p) + GREETING_MS;
    timer_by(p, p->state_until_ms);
    r = control(p, MN_CONTROL_SESSION_RESET);
    if (r < 0)
        session_failed(p, "the pen's control pipe does not take a session reset");
}

static void session_failed(struct pen *p, const char *why)
{
    bool was_ready = p->state == PEN_READY;

    if (p->state == PEN_DRAINING || p->state == PEN_CLOSED)
        return;
    if (strcmp(p->last_error, why) != 0 || was_ready)
        log_warning("pen %s: %s", pen_name(p), why);
    snprintf(p->last_error, sizeof(p->last_error), "%s", why);
    p->state = PEN_RESETTING;
    p->state_until_ms = 0;
    p->session = 0;
    p->records_asked = p->clock.asked = false;
    p->retry_at_ms = now_ms(p) + (p->failures++ < FAILURES_FAST ? (was_ready ? 0 : RETRY_MS) : RETRY_SLOW_MS);
    timer_by(p, p->retry_at_ms);
    /* What was in flight has an unknown end: it is not repeated in a new session. */
    for (unsigned i = 0; i < p->request_count;) {
        bool sent = p->requests[i].correlation != 0;

        if (sent)
            request_end(p, i, PEN_RESULT_TIMEOUT, 0, NULL, 0);
        i = sent ? 0 : i + 1; /* from the start again: ending one may end others */
    }
    changed(p);
}

static void greet(struct pen *p)
{
    uint8_t payload[MN_FRAME_MAX];
    Mnp__Hello hello = MNP__HELLO__INIT;

    if (getrandom(&p->nonce, sizeof(p->nonce), GRND_NONBLOCK) != sizeof(p->nonce))
        p->nonce = (uint32_t)now_ms(p);
    hello.has_nonce = hello.has_minor = hello.has_host_time_s = true;
    hello.nonce = p->nonce;
    hello.minor = MN_PROTOCOL_MINOR;
    hello.host_time_s = (uint64_t)time(NULL);
    p->state = PEN_GREETING;
    p->state_until_ms = now_ms(p) + GREETING_MS;
    p->sequence_out = 0;
    timer_by(p, p->state_until_ms);
    if (frame_send(p, MNP__FRAME_TYPE__TYPE_HELLO, next_correlation(p), payload,
                   (uint16_t)mnp__hello__pack(&hello, payload)) < 0)
        session_failed(p, "the pen does not take HELLO");
}

void pen_try_again(struct pen *p)
{
    if (p->state != PEN_RESETTING || p->retry_at_ms == 0)
        return;
    p->retry_at_ms = now_ms(p);
    timer_by(p, p->retry_at_ms);
}

/* Printable ASCII, so that a person can type it and no two look alike; "" is one that is still to be written. */
static bool is_serial(const char *serial)
{
    size_t n = strlen(serial);

    for (size_t i = 0; i < n; i++) {
        if (serial[i] < ' ' || serial[i] > '~')
            return false;
    }
    return n <= SERIAL_MAX && serial[0] != '@';
}

/* A hello that may be used: all that is needed is there and says sense. NULL, or what is wrong. */
static const char *hello_wrong(const struct pen *p, const Mnp__HelloReply *h, uint32_t session)
{
    if (!h->has_nonce || h->nonce != p->nonce)
        return "the pen answered an older HELLO";
    if (!h->has_session || h->session == 0 || h->session != session || !h->has_boot_id || h->serial == NULL || !h->has_minor)
        return "the pen's HELLO lacks session, boot_id, serial or minor";
    if ((h->serial[0] == '\0' && h->minor < FACTORY_MINOR) || !is_serial(h->serial))
        return "the pen's serial number is not 1 to 32 printable ASCII characters, the first not an @: it cannot be told from other pens";
    if (!h->has_window || h->window < 1 || !h->has_frame_max || h->frame_max < MN_FRAME_MAX)
        return "the pen's HELLO names no usable window or frame size";
    return NULL;
}

void pen_records_restart(struct pen *p)
{
    uint32_t on_disk;

    if (p->state != PEN_READY)
        return;
    p->recognised = false;
    on_disk = p->observer.recognise(p->observer.ctx, p, p->records_newest, p->records_acked, NULL);
    p->recognised = on_disk == 0; /* there is nothing to compare with */
    records_begin(p, on_disk);
    records_ack(p);
    records_ask(p);
}

static void copy_text(char *out, size_t cap, const char *text)
{
    snprintf(out, cap, "%s", text != NULL ? text : "");
    for (char *c = out; *c != '\0'; c++) { /* what a pen says is shown to people: printable ASCII only */
        if (*c < ' ' || *c > '~')
            *c = '?';
    }
}

static void on_hello(struct pen *p, const struct mn_frame *f)
{
    Mnp__HelloReply *h = mnp__hello_reply__unpack(NULL, f->length, f->payload);
    const char *wrong = h != NULL ? hello_wrong(p, h, f->session) : "the pen's HELLO does not decode";
    const char *serial = wrong == NULL && h->serial[0] != '\0' ? h->serial : p->address;

    if (wrong == NULL && (wrong = p->observer.refused(p->observer.ctx, p, serial)) != NULL)
        p->failures = FAILURES_FAST; /* looked at again after a while */
    if (wrong != NULL) {
        session_failed(p, wrong);
    } else {
        bool reborn = p->boot_id != 0 && p->boot_id != h->boot_id;

        copy_text(p->serial, sizeof(p->serial), serial);
        copy_text(p->firmware_version, sizeof(p->firmware_version), h->firmware_version);
        p->session = h->session;
        p->window = h->window < MN_WINDOW ? h->window : MN_WINDOW;
        p->minor = h->minor;
        p->capabilities = h->capabilities;
        p->boot_id = h->boot_id;
        p->status = (struct mn_pen_status){.state = (uint8_t)h->state,
                                           .fault_word = h->fault_word,
                                           .boot_id = h->boot_id,
                                           .config_generation = h->config_generation,
                                           .trigger = h->trigger,
                                           .cartridge = (uint8_t)h->cartridge};
        p->sequence_in = (uint16_t)(f->sequence + 1);
        p->records_newest = h->records_newest;
        p->records_acked = h->records_acked;
        p->ack_refused = false;
        p->clock.known = p->by_factory = false;
        p->paced_ms = MN_BATCH_MS;
        if (reborn || p->flight == NULL) {
            flights_cut(p, true);
            flight_reset(p->flight);
            p->flight = p->flight != NULL ? p->flight : flight_new();
        }
        p->state = PEN_READY;
        p->state_until_ms = 0;
        p->failures = 0;
        p->last_error[0] = '\0';
        p->counters.sessions++;
        log_info("pen %s at %s: ready, firmware %s, protocol %d.%u, session %08x%s", p->serial, p->port, p->firmware_version,
                 MN_PROTOCOL_MAJOR, p->minor, p->session, reborn ? ", restarted" : "");
        changed(p);
        pen_records_restart(p);
        pump(p);
    }
    if (h != NULL)
        mnp__hello_reply__free_unpacked(h, NULL);
}

/* ---- what comes from the pen ---- */

static void on_reply(struct pen *p, const struct mn_frame *f, enum pen_result result)
{
    for (unsigned i = 0; i < p->request_count; i++) {
        struct request *r = &p->requests[i];

        if (r->correlation == 0 || r->correlation != f->correlation)
            continue;
        if (result == PEN_RESULT_PROGRESS) {
            r->resend_ms = now_ms(p) + RESEND_MS;
            r->resent = 0;
            if (r->done != NULL)
                r->done(r->ctx, r->id, result, f->type, f->payload, f->length);
            return;
        }
        if ((f->type & MN_TYPE_MASK) == r->type) {
            request_end(p, i, result, f->type, f->payload, f->length);
            pump(p);
            return;
        }
    }
    p->counters.stale_replies++;
}

static void on_telemetry(struct pen *p, const struct mn_frame *f)
{
    struct batch_facts facts;

    if (batch_check(f->payload, f->length, &facts) && facts.boot_id == p->boot_id) {
        p->observer.telemetry(p->observer.ctx, p, f->payload, f->length);
        flight_add(p->flight, facts.t_us, f->payload, f->length);
        flights_cut(p, false);
        return;
    }
    p->counters.bad_frames++;
    if (!p->bad_batch_said)
        log_warning("pen %s: a telemetry batch that does not decode was dropped (said once)", pen_name(p));
    p->bad_batch_said = true;
}

static void on_frame(struct pen *p, const struct mn_frame *f)
{
    uint16_t ahead;
    bool late; /* twice, or overtaken: a reply still finds its request, once, but telemetry would go back in time */

    p->counters.frames_in++;
    if (f->major != MN_PROTOCOL_MAJOR) {
        char why[160];

        snprintf(why, sizeof(why), "the pen speaks protocol %u, this mnd speaks %d: update the %s", f->major, MN_PROTOCOL_MAJOR,
                 f->major < MN_PROTOCOL_MAJOR ? "pen's firmware" : "daemon");
        session_failed(p, why);
        return;
    }
    if (p->state == PEN_GREETING && f->type == (MNP__FRAME_TYPE__TYPE_HELLO | MN_TYPE_REPLY)) {
        on_hello(p, f);
        return;
    }
    if (p->state != PEN_READY || f->session != p->session) {
        p->counters.foreign_frames++;
        return;
    }
    ahead = (uint16_t)(f->sequence - p->sequence_in);
    late = ahead >= 0x8000;
    if (late) {
        p->counters.late_frames++;
    } else {
        p->counters.sequence_gaps += ahead;
        p->sequence_in = (uint16_t)(f->sequence + 1);
    }
    if (f->type & MN_TYPE_REPLY)
        on_reply(p, f, PEN_RESULT_REPLY);
    else if (f->type == MNP__FRAME_TYPE__TYPE_PROGRESS)
        on_reply(p, f, PEN_RESULT_PROGRESS);
    else if (f->type == MNP__FRAME_TYPE__TYPE_TELEMETRY && !late)
        on_telemetry(p, f);
}

static void on_status(struct pen *p, const uint8_t *bytes, size_t n)
{
    struct mn_pen_status s, old = p->status;

    if (!mn_pen_status_read(bytes, n, &s)) {
        p->counters.bad_frames++;
        return;
    }
    if (p->state != PEN_READY)
        return;
    if (s.boot_id != p->boot_id) {
        session_failed(p, "the pen has restarted");
        return;
    }
    p->status = s;
    if (s.state == MNP__STATE__STATE_ARMED || s.state == MNP__STATE__STATE_RUNNING)
        timer_by(p, p->heartbeat_ms + MN_HEARTBEAT_PERIOD_MS);
    if (s.records_newest > p->records_newest)
        p->records_newest = s.records_newest;
    records_ack(p);
    records_ask(p);
    if (s.state != old.state || s.fault_word != old.fault_word || s.trigger != old.trigger || s.cartridge != old.cartridge ||
        s.config_generation != old.config_generation)
        changed(p);
    if ((s.fault_word & ~old.fault_word & UINT32_C(1) << FAULT_PROTOCOL_ERROR) != 0)
        session_failed(p, "the pen has seen three bad frames within a second and dropped the session");
}

static void handle_bytes(void *ctx, enum link_in from, const uint8_t *bytes, size_t n)
{
    struct pen *p = ctx;
    enum mn_frame_event e;
    struct mn_frame f;

    if (p->state == PEN_DRAINING || p->state == PEN_CLOSED)
        return;
    p->heard_ms = now_ms(p);
    p->counters.bytes_in += n;
    p->observer.traffic(p->observer.ctx, p,
                        from == LINK_INTERRUPT_IN ? MNC__TRAFFIC_KIND__TRAFFIC_INTERRUPT_IN : MNC__TRAFFIC_KIND__TRAFFIC_BULK_IN, bytes, n);
    if (from == LINK_INTERRUPT_IN) {
        on_status(p, bytes, n);
    } else {
        while ((e = mn_frame_next(&p->reader, &bytes, &n, &f)) != MN_FRAME_NONE) {
            if (e == MN_FRAME_OK)
                on_frame(p, &f);
            else
                p->counters.bad_frames++;
        }
    }
    p->observer.settled(p->observer.ctx);
}

/* ---- what comes from the link ---- */

static void handle_open(void *ctx)
{
    struct pen *p = ctx;

    p->last_error[0] = '\0';
    p->heard_ms = now_ms(p);
    session_begin(p);
}

static void handle_sendable(void *ctx)
{
    pump(ctx);
}

static void handle_control(void *ctx, enum mn_control request, int result)
{
    struct pen *p = ctx;

    if (request != MN_CONTROL_SESSION_RESET || p->state != PEN_RESETTING || p->retry_at_ms != 0)
        return;
    if (result < 0)
        session_failed(p, "the pen refuses the session reset: is it a pen?");
    else
        greet(p);
}

static void handle_trouble(void *ctx, const char *sentence, bool given_up)
{
    struct pen *p = ctx;
    enum pen_state before = p->state;

    if (p->state == PEN_OPENING || p->state == PEN_FAILED) {
        bool news = strcmp(p->last_error, sentence) != 0;

        snprintf(p->last_error, sizeof(p->last_error), "%s", sentence);
        p->state = given_up ? PEN_FAILED : PEN_OPENING;
        if (given_up && (news || before != PEN_FAILED))
            log_error("%s", sentence);
        if (news || p->state != before)
            changed(p);
        return;
    }
    session_failed(p, sentence);
}

static void handle_gone(void *ctx)
{
    pen_close(ctx);
}

static void handle_closed(void *ctx)
{
    struct pen *p = ctx;

    p->link = NULL;
    p->state = PEN_CLOSED;
    p->observer.closed(p->observer.ctx, p);
}

static const struct link_handler handler = {
    .on_open = handle_open,
    .on_bytes = handle_bytes,
    .on_sendable = handle_sendable,
    .on_control = handle_control,
    .on_trouble = handle_trouble,
    .on_gone = handle_gone,
    .on_closed = handle_closed,
};

void pen_close(struct pen *p)
{
    if (p->state == PEN_DRAINING || p->state == PEN_CLOSED)
        return;
    log_info("pen %s at %s: gone", pen_name(p), p->port);
    p->state = PEN_DRAINING;
    flights_cut(p, true);
    sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
    requests_end_all(p, PEN_RESULT_GONE);
    changed(p);
    p->link->ops->close(p->link);
}

/* ---- time ---- */

static void check_requests(struct pen *p, uint64_t now, uint64_t *next)
{
    for (unsigned i = 0; i < p->request_count;) {
        struct request *r = &p->requests[i];

        if (now >= r->deadline_ms) {
            request_end(p, i, PEN_RESULT_TIMEOUT, 0, NULL, 0);
            continue;
        }
        if (r->correlation != 0 && now >= r->resend_ms) {
            if (++r->resent > RESENDS_MAX) {
                session_failed(p, "the pen does not answer requests");
                return;
            }
            frame_send(p, r->type, r->correlation, r->payload, r->length); /* if it fails, the next time */
            r->resend_ms = now + RESEND_MS;
        }
        if (r->correlation != 0 && r->resend_ms < *next)
            *next = r->resend_ms;
        if (r->deadline_ms < *next)
            *next = r->deadline_ms;
        i++;
    }
    pump(p);
}

static void check_heartbeat(struct pen *p, uint64_t now, uint64_t *next)
{
    bool needed = p->arming || p->status.state == MNP__STATE__STATE_ARMED || p->status.state == MNP__STATE__STATE_RUNNING;

    if (!needed)
        return;
    if (now < p->quiet_until_ms) {
        *next = p->quiet_until_ms < *next ? p->quiet_until_ms : *next;
        return;
    }
    if (now >= p->heartbeat_ms + MN_HEARTBEAT_PERIOD_MS) {
        frame_send(p, MNP__FRAME_TYPE__TYPE_HEARTBEAT, 0, NULL, 0); /* if it fails, in 50 ms; the pen stops after 250 */
        p->heartbeat_ms = now;
    }
    if (p->heartbeat_ms + MN_HEARTBEAT_PERIOD_MS < *next)
        *next = p->heartbeat_ms + MN_HEARTBEAT_PERIOD_MS;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
    struct pen *p = userdata;
    uint64_t now = now_ms(p), next = now + TICK_IDLE_MS;

    (void)s;
    (void)usec;
    p->timer_ms = UINT64_MAX;
    if (p->state == PEN_RESETTING && p->retry_at_ms != 0 && now >= p->retry_at_ms)
        session_begin(p);
    else if ((p->state == PEN_RESETTING || p->state == PEN_GREETING) && p->state_until_ms != 0 && now >= p->state_until_ms)
        session_failed(p, "the pen does not answer: replug it if this stays");
    else if (p->state == PEN_READY && now >= p->heard_ms + SILENCE_MS)
        session_failed(p, "the pen has fallen silent");
    if (p->retry_at_ms > now && p->retry_at_ms < next)
        next = p->retry_at_ms;
    if (p->state_until_ms > now && p->state_until_ms < next)
        next = p->state_until_ms;
    check_requests(p, now, &next);
    flights_cut(p, false);
    if (flight_due_ms(p->flight) < next)
        next = flight_due_ms(p->flight);
    if (p->state == PEN_READY)
        check_heartbeat(p, now, &next);
    if (p->state != PEN_DRAINING && p->state != PEN_CLOSED)
        timer_by(p, next);
    return 0;
}

/* ---- from outside ---- */

int pen_new(struct pen **out, sd_event *event, struct link *l, uint32_t id, const struct pen_observer *observer)
{
    struct pen *p = calloc(1, sizeof(*p));
    int r;

    if (p == NULL)
        return -ENOMEM;
    p->event = event;
    p->link = l;
    p->id = id;
    p->observer = *observer;
    p->simulated = l->simulated;
    p->state = PEN_OPENING;
    p->timer_ms = UINT64_MAX;
    p->counters = (Mnc__LinkCounters)MNC__LINK_COUNTERS__INIT;
    snprintf(p->port, sizeof(p->port), "%s", l->port);
    link_address(l->port, p->address);
    r = sd_event_add_time_relative(event, &p->timer, CLOCK_MONOTONIC, TICK_IDLE_MS * 1000, 1000, on_timer, p);
    if (r < 0) {
        free(p);
        return r;
    }
    l->handler = &handler;
    l->ctx = p;
    r = l->ops->open(l);
    if (r < 0) {
        pen_free(p);
        return r;
    }
    timer_by(p, now_ms(p) + TICK_IDLE_MS);
    *out = p;
    return 0;
}

void pen_free(struct pen *p)
{
    if (p == NULL)
        return;
    for (unsigned i = 0; i < p->request_count; i++)
        free(p->requests[i].payload);
    sd_event_source_disable_unref(p->timer);
    flight_free(p->flight);
    free(p);
}

const char *pen_port(const struct pen *p)
{
    return p->port;
}

const char *pen_address(const struct pen *p)
{
    return p->address;
}

bool pen_is_armed_by_factory(const struct pen *p)
{
    return p->by_factory;
}

const char *pen_serial(const struct pen *p)
{
    return p->serial;
}

bool pen_is_ready(const struct pen *p)
{
    return p->state == PEN_READY;
}

bool pen_is_simulated(const struct pen *p)
{
    return p->simulated || (p->capabilities & MNP__CAPABILITY__CAPABILITY_SIMULATED) != 0;
}

uint32_t pen_id(const struct pen *p)
{
    return p->id;
}

uint32_t pen_state(const struct pen *p)
{
    return p->state == PEN_READY ? p->status.state : MNP__STATE__STATE_UNSPECIFIED;
}

uint32_t pen_config_generation(const struct pen *p)
{
    return p->status.config_generation;
}

uint32_t pen_minor(const struct pen *p)
{
    return p->minor;
}

bool pen_records_are_in(const struct pen *p)
{
    return p->state == PEN_READY && p->recognised && p->records_committed >= p->records_newest;
}

const char *pen_last_error(const struct pen *p)
{
    return p->last_error;
}

static Mnc__PenLink link_state(const struct pen *p)
{
    switch (p->state) {
    case PEN_READY:
        return MNC__PEN_LINK__LINK_READY;
    case PEN_FAILED:
        return MNC__PEN_LINK__LINK_FAILED;
    case PEN_DRAINING:
    case PEN_CLOSED:
        return MNC__PEN_LINK__LINK_GONE;
    case PEN_OPENING:
    case PEN_RESETTING:
    case PEN_GREETING:
    default:
        return MNC__PEN_LINK__LINK_OPENING;
    }
}

void pen_info(const struct pen *p, Mnc__PenInfo *info, Mnc__LinkCounters *counters)
{
    *info = (Mnc__PenInfo)MNC__PEN_INFO__INIT;
    info->has_pen_id = info->has_link = info->has_simulated = true;
    info->pen_id = p->id;
    info->port = (char *)(uintptr_t)p->port;
    info->link = link_state(p);
    info->simulated = pen_is_simulated(p);
    if (p->last_error[0] != '\0')
        info->last_error = (char *)(uintptr_t)p->last_error;
    info->has_retry_ms = p->state == PEN_RESETTING && p->retry_at_ms > now_ms(p);
    info->retry_ms = info->has_retry_ms ? (uint32_t)(p->retry_at_ms - now_ms(p)) : 0;
    if (p->serial[0] != '\0')
        info->serial = (char *)(uintptr_t)p->serial;
    if (p->boot_id != 0) { /* there was a HELLO */
        info->has_boot_id = info->has_session = info->has_state = info->has_fault_word = info->has_trigger = true;
        info->has_cartridge = info->has_config_generation = info->has_records_newest = true;
        info->has_protocol_minor = info->has_capabilities = true;
        info->boot_id = p->boot_id;
        info->session = p->session;
        info->state = p->status.state;
        info->fault_word = p->status.fault_word;
        info->trigger = p->status.trigger;
        info->cartridge = p->status.cartridge;
        info->config_generation = p->status.config_generation;
        info->records_newest = p->records_newest;
        info->firmware_version = (char *)(uintptr_t)p->firmware_version;
        info->protocol_minor = p->minor;
        info->capabilities = p->capabilities;
    }
    *counters = p->counters;
    counters->has_frames_in = counters->has_frames_out = counters->has_bytes_in = counters->has_bad_frames = true;
    counters->has_sequence_gaps = counters->has_foreign_frames = counters->has_stale_replies = counters->has_sessions = true;
    counters->has_late_frames = true;
    info->counters = counters;
}
