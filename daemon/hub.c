#include "hub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frame.h"
#include "journal.h"
#include "log.h"

enum { PENS_MAX = 256 };

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
    struct journal *journal; /* NULL: it could not be opened */
    char journal_error[300]; /* one sentence; "" while it is written */
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

static bool on_record(void *ctx, struct pen *p, const Mnp__Record *record, const uint8_t *bytes, size_t n)
{
    struct hub *h = ctx;
    struct journal_record r = {.number = record->number, .boot_id = record->boot_id, .t_us = record->t_us, .bytes = bytes, .length = n};
    struct timespec now;

    if (h->journal == NULL)
        return false; /* it stays in the pen */
    clock_gettime(CLOCK_REALTIME, &now);
    r.host_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    r.kind = record->has_kind ? record->kind : 0;
    r.code = record->body_case == MNP__RECORD__BODY_FAULT ? record->fault->code : 0;
    snprintf(r.serial, sizeof(r.serial), "%s", pen_serial(p));
    return journal_append(h->journal, &r);
}

static void on_committed(void *ctx, const struct journal_record *r)
{
    struct hub *h = ctx;
    struct pen *p = hub_pen(h, r->serial);
    Mnc__RecordEvent e = MNC__RECORD_EVENT__INIT;
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    struct buf *b = NULL;

    if (p != NULL)
        pen_records_committed(p, r->number);
    e.has_pen_id = p != NULL;
    e.pen_id = p != NULL ? pen_id(p) : 0;
    e.serial = (char *)(uintptr_t)r->serial;
    e.has_record = true;
    e.record = (ProtobufCBinaryData){.len = r->length, .data = (uint8_t *)(uintptr_t)r->bytes};
    m.body_case = MNC__SERVER_MESSAGE__BODY_RECORD;
    m.record = &e;
    for (struct subscriber *s = h->subscribers; s != NULL; s = s->next) {
        if (subscription_to(s, e.serial)->records)
            push_to(s, &b, &m, PUSH_URGENT);
    }
    buf_unref(b);
}

static void on_journal_state(void *ctx, bool writable, const char *sentence)
{
    struct hub *h = ctx;

    snprintf(h->journal_error, sizeof(h->journal_error), "%s", writable ? "" : sentence);
    if (writable)
        log_info("%s", sentence);
    else
        log_error("%s; records stay in their pens, and nothing can be armed", sentence);
}

int hub_open_journal(struct hub *h, const char *path)
{
    const struct journal_observer observer = {.ctx = h, .committed = on_committed, .state = on_journal_state};
    int r = journal_open(&h->journal, h->event, path, &observer, h->journal_error, sizeof(h->journal_error));

    if (r < 0)
        log_error("%s; records stay in their pens, and nothing can be armed", h->journal_error);
    else if (h->journal_error[0] != '\0')
        log_error("%s", h->journal_error);
    if (r == 0)
        h->journal_error[0] = '\0';
    return r;
}

void hub_close_journal(struct hub *h)
{
    journal_close(h->journal);
    h->journal = NULL;
}

const char *hub_journal_error(const struct hub *h)
{
    return h->journal == NULL && h->journal_error[0] == '\0' ? "there is no journal" : h->journal_error;
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

static uint32_t on_records_begin(void *ctx, const char *serial, uint32_t newest, uint32_t acked)
{
    struct hub *h = ctx;
    uint32_t on_disk = h->journal != NULL ? journal_newest(h->journal, serial) : 0;

    if (on_disk <= newest)
        return on_disk;
    log_warning("pen %s: its memory was renewed: it has %u records, and %u are in the journal; its numbers begin anew", serial, newest, on_disk);
    journal_renew(h->journal, serial, acked);
    return acked;
}

static void on_closed(void *ctx, struct pen *p)
{
    struct hub *h = ctx;
    unsigned i = 0;

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
