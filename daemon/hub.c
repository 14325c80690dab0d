#include "hub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frame.h"
#include "log.h"

enum { PENS_MAX = 256, SERIALS_KEPT = 256 };

/* How far each pen's records have been delivered, over replugs, while the daemon runs. */
struct watermark {
    char serial[33];
    uint32_t number;
};

struct hub {
    sd_event *event;
    sd_event_source *reap; /* frees closed pens, outside of their own calls */
    struct pen *pens[PENS_MAX];
    unsigned count;
    struct pen *closed[PENS_MAX]; /* waiting to be freed */
    unsigned closed_count;
    uint32_t last_id;
    struct subscriber *subscribers;
    unsigned monitors;
    uint64_t traffic; /* counted while somebody monitors */
    struct watermark watermarks[SERIALS_KEPT];
    unsigned watermark_next;
    struct hub_counters counters;
};

struct buf *hub_encode(const Mnc__ServerMessage *m)
{
    size_t n = mnc__server_message__get_packed_size(m);
    struct buf *b = buf_new(4 + n);

    if (b == NULL) {
        log_error("no memory for a message to clients");
        return NULL;
    }
    mn_put_u32(b->bytes, (uint32_t)n);
    b->length = (uint32_t)(4 + mnc__server_message__pack(m, b->bytes + 4));
    return b;
}

static void push_to(struct subscriber *s, struct buf **shared, const Mnc__ServerMessage *m, enum push_class class)
{
    if (*shared == NULL && (*shared = hub_encode(m)) == NULL)
        return;
    s->push(s, *shared, class);
}

static void on_changed(void *ctx, struct pen *p)
{
    struct hub *h = ctx;
    Mnc__LinkCounters counters;
    Mnc__PenInfo info;
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    struct buf *b = NULL;

    pen_info(p, &info, &counters);
    m.body_case = MNC__SERVER_MESSAGE__BODY_PEN;
    m.pen = &info;
    for (struct subscriber *s = h->subscribers; s != NULL; s = s->next) {
        if (s->watching)
            push_to(s, &b, &m, PUSH_URGENT);
    }
    buf_unref(b);
}

static const struct subscription *subscription_to(const struct subscriber *s, const char *serial)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (strcmp(s->of_pen[i].serial, serial) == 0)
            return &s->of_pen[i];
    }
    return &s->all;
}

static void on_telemetry(void *ctx, struct pen *p, const uint8_t *batch, size_t n)
{
    struct hub *h = ctx;
    Mnc__Telemetry t = MNC__TELEMETRY__INIT;
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    struct buf *b = NULL;

    h->counters.batches++;
    t.has_pen_id = t.has_batch = true;
    t.pen_id = pen_id(p);
    t.serial = (char *)(uintptr_t)pen_serial(p);
    t.batch = (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)batch};
    m.body_case = MNC__SERVER_MESSAGE__BODY_TELEMETRY;
    m.telemetry = &t;
    for (struct subscriber *s = h->subscribers; s != NULL; s = s->next) {
        if (subscription_to(s, t.serial)->telemetry)
            push_to(s, &b, &m, PUSH_LIVE);
    }
    buf_unref(b);
}

static void on_record(void *ctx, struct pen *p, const uint8_t *record, size_t n)
{
    struct hub *h = ctx;
    Mnc__RecordEvent r = MNC__RECORD_EVENT__INIT;
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    struct buf *b = NULL;

    r.has_pen_id = r.has_record = true;
    r.pen_id = pen_id(p);
    r.serial = (char *)(uintptr_t)pen_serial(p);
    r.record = (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)record};
    m.body_case = MNC__SERVER_MESSAGE__BODY_RECORD;
    m.record = &r;
    for (struct subscriber *s = h->subscribers; s != NULL; s = s->next) {
        if (subscription_to(s, r.serial)->records)
            push_to(s, &b, &m, PUSH_URGENT);
    }
    buf_unref(b);
}

void hub_traffic(struct hub *h, Mnc__TrafficKind kind, const char *name, pid_t pid, const uint8_t *bytes, size_t n)
{
    Mnc__Traffic t = MNC__TRAFFIC__INIT;
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    struct buf *b = NULL;
    struct timespec now;

    if (h->monitors == 0)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    t.has_number = t.has_time_us = t.has_kind = t.has_data = true;
    t.number = ++h->traffic;
    t.time_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    t.kind = kind;
    t.name = (char *)(uintptr_t)name;
    t.has_pid = pid != 0;
    t.pid = (uint32_t)pid;
    t.data = (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)bytes};
    m.body_case = MNC__SERVER_MESSAGE__BODY_TRAFFIC;
    m.traffic = &t;
    for (struct subscriber *s = h->subscribers; s != NULL; s = s->next) {
        if (s->monitoring)
            push_to(s, &b, &m, PUSH_LIVE);
    }
    buf_unref(b);
}

static void on_traffic(void *ctx, struct pen *p, Mnc__TrafficKind kind, const uint8_t *bytes, size_t n)
{
    hub_traffic(ctx, kind, pen_name(p), 0, bytes, n);
}

void hub_monitor(struct hub *h, struct subscriber *s, bool on)
{
    if (s->monitoring == on)
        return;
    s->monitoring = on;
    h->monitors += on ? 1 : (unsigned)-1;
}

static struct watermark *watermark(struct hub *h, const char *serial)
{
    struct watermark *w;

    for (unsigned i = 0; i < SERIALS_KEPT; i++) {
        if (strcmp(h->watermarks[i].serial, serial) == 0)
            return &h->watermarks[i];
    }
    w = &h->watermarks[h->watermark_next++ % SERIALS_KEPT];
    *w = (struct watermark){0};
    strncpy(w->serial, serial, sizeof(w->serial) - 1);
    return w;
}

static uint32_t on_records_begin(void *ctx, const char *serial)
{
    struct hub *h = ctx;

    /* A pen that is restarting under our eyes keeps its own count. */
    for (unsigned i = 0; i < h->count; i++) {
        if (strcmp(pen_serial(h->pens[i]), serial) == 0 && pen_records_delivered(h->pens[i]) > watermark(h, serial)->number)
            watermark(h, serial)->number = pen_records_delivered(h->pens[i]);
    }
    return watermark(h, serial)->number;
}

static void on_closed(void *ctx, struct pen *p)
{
    struct hub *h = ctx;
    unsigned i = 0;

    if (pen_serial(p)[0] != '\0')
        watermark(h, pen_serial(p))->number = pen_records_delivered(p);
    while (h->pens[i] != p)
        i++;
    memmove(h->pens + i, h->pens + i + 1, (--h->count - i) * sizeof(p));
    h->closed[h->closed_count++] = p;
    sd_event_source_set_enabled(h->reap, SD_EVENT_ONESHOT);
}

static const struct pen_observer observer_of_hub = {
    .changed = on_changed,
    .telemetry = on_telemetry,
    .record = on_record,
    .traffic = on_traffic,
    .records_begin = on_records_begin,
    .closed = on_closed,
};

static int on_reap(sd_event_source *s, void *userdata)
{
    struct hub *h = userdata;

    (void)s;
    while (h->closed_count > 0)
        pen_free(h->closed[--h->closed_count]);
    return 0;
}

int hub_new(struct hub **out, sd_event *event)
{
    struct hub *h = calloc(1, sizeof(*h));
    int r;

    if (h == NULL)
        return -ENOMEM;
    h->event = event;
    r = sd_event_add_defer(event, &h->reap, on_reap, h);
    if (r >= 0)
        r = sd_event_source_set_enabled(h->reap, SD_EVENT_OFF);
    if (r < 0) {
        hub_free(h);
        return r;
    }
    *out = h;
    return 0;
}

void hub_free(struct hub *h)
{
    if (h == NULL)
        return;
    on_reap(NULL, h);
    sd_event_source_disable_unref(h->reap);
    free(h);
}

void hub_pen_arrived(void *hub, struct link *l)
{
    struct hub *h = hub;
    struct pen_observer observer = observer_of_hub;
    struct pen *p;
    int r;

    observer.ctx = h;
    r = h->count + h->closed_count < PENS_MAX ? pen_new(&p, h->event, l, ++h->last_id, &observer) : -ENOSPC;
    if (r < 0) {
        log_error("the pen at %s is not taken: %s", l->port, r == -ENOSPC ? "there are 256 already" : strerror(-r));
        return;
    }
    h->pens[h->count++] = p;
    on_changed(h, p);
}

void hub_add(struct hub *h, struct subscriber *s)
{
    s->next = h->subscribers;
    h->subscribers = s;
}

void hub_remove(struct hub *h, struct subscriber *s, const void *caller)
{
    hub_monitor(h, s, false);
    for (struct subscriber **at = &h->subscribers; *at != NULL; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    for (unsigned i = 0; i < h->count; i++)
        pen_forget(h->pens[i], caller);
}

static void set_subscription(struct subscription *s, const bool *telemetry, const bool *records)
{
    if (telemetry != NULL)
        s->telemetry = *telemetry;
    if (records != NULL)
        s->records = *records;
}

bool hub_subscribe(struct subscriber *s, const char *serial, const bool *telemetry, const bool *records)
{
    unsigned i;

    if (serial == NULL || serial[0] == '\0') {
        s->count = 0; /* all pens: what was said of single ones is over */
        set_subscription(&s->all, telemetry, records);
        return true;
    }
    for (i = 0; i < s->count && strcmp(s->of_pen[i].serial, serial) != 0; i++)
        ;
    if (i == SUBSCRIPTIONS_MAX || strlen(serial) >= sizeof(s->of_pen[i].serial))
        return false;
    if (i == s->count) {
        s->of_pen[i] = s->all;
        strcpy(s->of_pen[i].serial, serial);
        s->count++;
    }
    set_subscription(&s->of_pen[i], telemetry, records);
    return true;
}

struct pen *hub_pen(const struct hub *h, const char *serial)
{
    struct pen *found = NULL;

    for (unsigned i = 0; i < h->count; i++) {
        if (strcmp(pen_serial(h->pens[i]), serial) == 0 && (found == NULL || pen_is_ready(h->pens[i])))
            found = h->pens[i];
    }
    return found;
}

struct pen *hub_next(const struct hub *h, const struct pen *after)
{
    unsigned i = 0;

    while (after != NULL && i < h->count && h->pens[i++] != after)
        ;
    return i < h->count ? h->pens[i] : NULL;
}

unsigned hub_pen_count(const struct hub *h)
{
    return h->count;
}

const struct hub_counters *hub_counters(const struct hub *h)
{
    return &h->counters;
}

void hub_stop_all(struct hub *h)
{
    for (unsigned i = 0; i < h->count; i++)
        pen_stop(h->pens[i]);
}

bool hub_close_pens(struct hub *h)
{
    for (unsigned i = 0; i < h->count; i++)
        pen_close(h->pens[i]);
    return h->count == 0;
}
