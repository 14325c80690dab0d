#include "telemetry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "frame.h"
#include "log.h"
#include "stall.h"
#include "wire.h"
#include "stream.h"

enum {
    TRAFFIC_BYTES = 1024 * 1024,
    TRAFFIC_MESSAGES = 8192,
    LIVE_US = 2000,         /* how long telemetry may wait in a busy loop */
    LIVE_BYTES = 64 * 1024, /* how much telemetry may wait */
    LIVE_TURN = 16,         /* subscribers flushed per loop iteration */
};

struct fanout {
    sd_event *event;
    struct subscriber *subscribers, *urgent;
    sd_event_source *urgent_send, *live_send, *live_due; /* event sources that flush subscribers; see fanout.h */
    struct subscriber *live_next; /* the next to be flushed; NULL: the first */
    uint64_t live_due_us;         /* when a subscriber that was skipped is due */
    bool live_waits;      /* some ring has unflushed messages ... */
    uint64_t live_since_us, live_bytes; /* ... since then; their bytes */
    struct streams *streams;
    unsigned monitors;
    struct ring traffic;
    uint64_t traffic_count; /* messages counted while somebody monitors */
};

struct buf *fanout_encode(const Mnc__ServerMessage *m)
{
    size_t n = mnc__server_message__get_packed_size(m);
    struct buf *b = buf_new(4 + n);

    if (b == NULL) {
        log_error("no memory for a message to clients");
        return NULL;
    }
    mn_put_u32(b->bytes, (uint32_t)n);
    b->length = (uint32_t)(4 + mnc__server_message__pack(m, b->bytes + 4));
    wire_mend_strings(&mnc__server_message__descriptor, b->bytes + 4, n);
    return b;
}

/* ---- flushing ---- */

void fanout_urgent(struct fanout *f, struct subscriber *s)
{
    if (s->is_urgent)
        return;
    s->is_urgent = true;
    s->next_urgent = f->urgent;
    f->urgent = s;
    sd_event_source_set_enabled(f->urgent_send, SD_EVENT_ONESHOT);
}

void fanout_flush_urgent(struct fanout *f)
{
    struct subscriber *s;

    while ((s = f->urgent) != NULL) {
        f->urgent = s->next_urgent;
        s->is_urgent = false;
        s->flush(s);
    }
    sd_event_source_set_enabled(f->urgent_send, SD_EVENT_OFF);
}

static int on_urgent(sd_event_source *source, void *userdata)
{
    stall_doing("telemetry to clients");
    (void)source;
    fanout_flush_urgent(userdata);
    return 0;
}

/* Flushes some of the subscribers that are due; what else is ready then has its turn, and the rest follow in the next iteration. After the last of them the
 * timer is set for the first of those that are due later. */
static void live_flush(struct fanout *f)
{
    uint64_t now = loop_us(f->event, CLOCK_MONOTONIC);
    unsigned turn = LIVE_TURN;

    if (f->live_next == NULL) { /* begin with the first */
        f->live_next = f->subscribers;
        f->live_due_us = UINT64_MAX;
        f->live_waits = false;
        f->live_bytes = 0;
    }
    while (f->live_next != NULL && turn > 0) {
        struct subscriber *s = f->live_next;
        uint64_t telemetry_us = cursor_due_us(&s->telemetry, now), traffic_us = cursor_due_us(&s->traffic, now);
        uint64_t due_us = telemetry_us < traffic_us ? telemetry_us : traffic_us;

        f->live_next = s->next;
        if (due_us <= now) {
            s->flush(s);
            turn--;
        } else if (due_us < f->live_due_us) {
            f->live_due_us = due_us;
        }
    }
    sd_event_source_set_enabled(f->live_send, f->live_next != NULL || f->live_waits ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
    if (f->live_next == NULL && f->live_due_us != UINT64_MAX) {
        sd_event_source_set_time(f->live_due, f->live_due_us);
        sd_event_source_set_enabled(f->live_due, SD_EVENT_ONESHOT);
    }
}

static int on_live(sd_event_source *source, void *userdata)
{
    stall_doing("telemetry to clients");
    (void)source;
    live_flush(userdata);
    return 0;
}

static int on_live_due(sd_event_source *source, uint64_t usec, void *userdata)
{
    stall_doing("telemetry to clients");
    (void)source;
    (void)usec;
    live_flush(userdata);
    return 0;
}

void fanout_flush_due(struct fanout *f)
{
    bool due = f->live_waits && (f->live_bytes >= LIVE_BYTES || loop_us(f->event, CLOCK_MONOTONIC) >= f->live_since_us + LIVE_US);

    if (f->live_next != NULL || due)
        live_flush(f);
}

/* n bytes were written to a ring. Nothing is flushed here: what is flushed is traffic, too, and is written to a ring from within flushing. */
static void live_written(struct fanout *f, size_t n)
{
    f->live_bytes += n;
    if (f->live_waits)
        return;
    f->live_waits = true;
    f->live_since_us = loop_us(f->event, CLOCK_MONOTONIC);
    sd_event_source_set_enabled(f->live_send, SD_EVENT_ONESHOT);
}

static void push_to(struct subscriber *s, struct buf **shared, const Mnc__ServerMessage *m)
{
    if (*shared == NULL && (*shared = fanout_encode(m)) == NULL)
        return;
    s->push(s, *shared);
}

void fanout_notify_watchers(struct fanout *f, const Mnc__ServerMessage *m)
{
    struct buf *b = NULL;

    for (struct subscriber *s = f->subscribers; s != NULL; s = s->next) {
        if (s->watching)
            push_to(s, &b, m);
    }
    buf_unref(b);
}

/* ---- subscriptions ---- */

static const struct subscription *subscription_to(const struct subscriber *s, uint32_t pen_id)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (s->of_pen[i].pen_id == pen_id)
            return &s->of_pen[i];
    }
    return &s->all;
}

static bool wants_pen(const void *subscriber, uint32_t pen_id)
{
    return subscription_to(subscriber, pen_id)->telemetry;
}

static bool wants_any(const struct subscriber *s)
{
    bool any = s->all.telemetry;

    for (unsigned i = 0; i < s->count; i++)
        any |= s->of_pen[i].telemetry;
    return any;
}

void fanout_bind_pen(struct fanout *f, const char *serial, uint32_t pen_id)
{
    for (struct subscriber *s = f->subscribers; s != NULL; s = s->next) {
        for (unsigned i = 0; i < s->count; i++) {
            if (strcmp(s->of_pen[i].serial, serial) == 0)
                s->of_pen[i].pen_id = pen_id;
        }
    }
}

static uint32_t latency_of(const struct subscriber *s)
{
    return s->latency_ms != 0 ? s->latency_ms : LATENCY_DEFAULT_MS;
}

uint32_t fanout_batch_ms(const struct fanout *f, uint32_t pen_id)
{
    uint32_t batch_ms = LATENCY_DEFAULT_MS;

    for (const struct subscriber *s = f->subscribers; s != NULL; s = s->next) {
        if (latency_of(s) < batch_ms && wants_pen(s, pen_id))
            batch_ms = latency_of(s);
    }
    return batch_ms;
}

/* Points the cursor at the ring of its decimation while it wants anything; leaves it if that is the ring already. */
static const char *read_stream(struct fanout *f, struct subscriber *s)
{
    const struct ring *old = s->telemetry.ring, *now = NULL;

    s->telemetry.hold_us = latency_of(s) > LATENCY_DEFAULT_MS ? (latency_of(s) - LATENCY_DEFAULT_MS) * UINT64_C(1000) : 0;
    s->telemetry.wants = s->count > 0 ? wants_pen : NULL;
    s->telemetry.ctx = s;
    if (wants_any(s) && (now = streams_ref(f->streams, s->decimation != 0 ? s->decimation : 1)) == NULL)
        return "the daemon is out of memory";
    streams_unref(f->streams, old);
    if (now != old)
        cursor_begin(&s->telemetry, now);
    return NULL;
}

const char *fanout_subscribe(struct fanout *f, struct subscriber *s, const char *serial, bool telemetry)
{
    unsigned i;

    if (serial == NULL || serial[0] == '\0') {
        s->count = 0; /* a subscription to all pens replaces those to single ones */
        s->all.telemetry = telemetry;
        return read_stream(f, s);
    }
    for (i = 0; i < s->count && strcmp(s->of_pen[i].serial, serial) != 0; i++)
        ;
    if (i == SUBSCRIPTIONS_MAX || strlen(serial) >= sizeof(s->of_pen[i].serial))
        return "at most 64 single pens can be subscribed to, each of at most 32 characters";
    if (i == s->count) {
        strcpy(s->of_pen[i].serial, serial);
        s->of_pen[s->count++].pen_id = 0;
    }
    s->of_pen[i].telemetry = telemetry;
    return read_stream(f, s);
}

const char *fanout_pace(struct fanout *f, struct subscriber *s, uint32_t decimation, uint32_t latency_ms)
{
    static char wrong[120];

    if (decimation != 0 && !stream_is_decimation(decimation)) {
        snprintf(wrong, sizeof(wrong), "one sample in %u cannot be had: it is one in %s", decimation, stream_decimations());
        return wrong;
    }
    if (latency_ms != 0 && (latency_ms < LATENCY_MIN_MS || latency_ms > LATENCY_MAX_MS))
        return "the greatest latency of telemetry is 5 to 2000 ms";
    s->decimation = decimation != 0 ? decimation : s->decimation;
    s->latency_ms = latency_ms != 0 ? latency_ms : s->latency_ms;
    return read_stream(f, s);
}

void fanout_telemetry(struct fanout *f, uint32_t pen_id, const char *serial, const uint8_t *batch, size_t n)
{
    if (!streams_write(f->streams, pen_id, serial, batch, n, loop_us(f->event, CLOCK_MONOTONIC)))
        return;
    live_written(f, n);
    fanout_flush_due(f);
}

/* ---- monitoring ---- */

bool fanout_is_monitored(const struct fanout *f)
{
    return f->monitors > 0;
}

void fanout_traffic(struct fanout *f, Mnc__TrafficKind kind, const char *name, pid_t pid, const uint8_t *bytes, size_t n)
{
    Mnc__Traffic t = MNC__TRAFFIC__INIT;
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;

    if (f->monitors == 0)
        return;
    t.has_number = t.has_time_us = t.has_kind = t.has_data = true;
    t.number = ++f->traffic_count;
    t.time_us = clock_us(CLOCK_REALTIME);
    t.kind = kind;
    t.name = (char *)(uintptr_t)name;
    t.has_pid = pid != 0;
    t.pid = (uint32_t)pid;
    t.data = (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)bytes};
    m.body_case = MNC__SERVER_MESSAGE__BODY_TRAFFIC;
    m.traffic = &t;
    live_written(f, stream_put(&f->traffic, &m, 0, loop_us(f->event, CLOCK_MONOTONIC))); /* a message that does not fit is dropped; the gap in numbers shows it */
}

bool fanout_monitor(struct fanout *f, struct subscriber *s, bool on)
{
    if ((s->traffic.ring != NULL) == on)
        return true;
    if (f->monitors == 0 && ring_init(&f->traffic, TRAFFIC_BYTES, TRAFFIC_MESSAGES) < 0)
        return false;
    cursor_begin(&s->traffic, on ? &f->traffic : NULL);
    f->monitors += on ? 1 : (unsigned)-1;
    if (f->monitors == 0)
        ring_deinit(&f->traffic);
    return true;
}

/* ---- life ---- */

/* Adds a deferred source, disabled. */
static int add_deferred(sd_event *event, sd_event_source **source, int64_t priority, sd_event_handler_t handler, struct fanout *f)
{
    int r = sd_event_add_defer(event, source, handler, f);

    if (r >= 0)
        r = sd_event_source_set_priority(*source, priority);
    return r < 0 ? r : sd_event_source_set_enabled(*source, SD_EVENT_OFF);
}

int fanout_new(struct fanout **out, sd_event *event)
{
    struct fanout *f = calloc(1, sizeof(*f));
    int r;

    if (f == NULL)
        return -ENOMEM;
    f->event = event;
    r = streams_new(&f->streams);
    if (r >= 0)
        r = add_deferred(event, &f->urgent_send, SD_EVENT_PRIORITY_IMPORTANT, on_urgent, f);
    if (r >= 0)
        r = add_deferred(event, &f->live_send, SD_EVENT_PRIORITY_NORMAL + 1, on_live, f); /* after all sources that are ready */
    if (r >= 0)
        r = sd_event_add_time_relative(event, &f->live_due, CLOCK_MONOTONIC, 0, 1000, on_live_due, f);
    if (r >= 0)
        r = sd_event_source_set_enabled(f->live_due, SD_EVENT_OFF);
    if (r < 0) {
        fanout_free(f);
        return r;
    }
    *out = f;
    return 0;
}

void fanout_free(struct fanout *f)
{
    if (f == NULL)
        return;
    sd_event_source_disable_unref(f->urgent_send);
    sd_event_source_disable_unref(f->live_send);
    sd_event_source_disable_unref(f->live_due);
    streams_free(f->streams);
    free(f);
}

void fanout_add(struct fanout *f, struct subscriber *s)
{
    s->next = f->subscribers;
    f->subscribers = s;
}

void fanout_remove(struct fanout *f, struct subscriber *s)
{
    fanout_monitor(f, s, false);
    streams_unref(f->streams, s->telemetry.ring);
    cursor_begin(&s->telemetry, NULL);
    if (f->live_next == s)
        f->live_next = s->next;
    for (struct subscriber **at = &f->urgent; s->is_urgent;) {
        if (*at != s) {
            at = &(*at)->next_urgent;
            continue;
        }
        *at = s->next_urgent;
        s->is_urgent = false;
    }
    for (struct subscriber **at = &f->subscribers; *at != NULL; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
}
