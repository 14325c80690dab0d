#include "hub.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "log.h"

enum { PENS_MAX = 256, JOURNAL_RETRY_US = 1000000 };

struct hub {
    sd_event *event;
    sd_event_source *reap; /* frees closed pens, outside of their own calls */
    struct pen *pens[PENS_MAX];
    unsigned count;
    struct pen *closed[PENS_MAX]; /* waiting to be freed */
    unsigned closed_count;
    uint32_t last_id;
    struct fanout *fanout;
    struct journal *journal; /* NULL: it could not be opened */
    char journal_error[300]; /* one sentence; "" while it is written */
    char journal_path[PATH_MAX];
    struct store_limits limits;
    sd_event_source *journal_retry;
    struct hub_witness witnesses[HUB_WITNESSES];
    char refusal[160];
    struct owner {
        char serial[33], name[64];
        pid_t pid;
    } owners[PENS_MAX]; /* of pens, there or not */
    unsigned owner_count;
    bool record_waits; /* some pen's record had no room: it is asked again when there is */
    struct hub_counters counters;
};

static const struct owner *owner_of(const struct hub *h, const char *serial)
{
    for (unsigned i = 0; i < h->owner_count; i++) {
        if (strcmp(h->owners[i].serial, serial) == 0)
            return &h->owners[i];
    }
    return NULL;
}

void hub_set_owner(struct hub *h, const char *serial, const char *name, pid_t pid)
{
    struct owner *o = (struct owner *)(uintptr_t)owner_of(h, serial);

    if (name == NULL) {
        if (o != NULL)
            *o = h->owners[--h->owner_count];
        return;
    }
    if (o == NULL && h->owner_count == PENS_MAX)
        return;
    if (o == NULL)
        o = &h->owners[h->owner_count++];
    snprintf(o->serial, sizeof(o->serial), "%s", serial);
    snprintf(o->name, sizeof(o->name), "%s", name);
    o->pid = pid;
}

void hub_pen_info(const struct hub *h, const struct pen *p, Mnc__PenInfo *info, Mnc__LinkCounters *counters)
{
    const struct owner *o = owner_of(h, pen_serial(p));

    pen_info(p, info, counters);
    if (o == NULL)
        return;
    info->lease_name = (char *)(uintptr_t)o->name;
    info->has_lease_pid = true;
    info->lease_pid = (uint32_t)o->pid;
}

void hub_pen_changed(struct hub *h, struct pen *p)
{
    Mnc__LinkCounters counters;
    Mnc__PenInfo info;
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;

    hub_pen_info(h, p, &info, &counters);
    m.body_case = MNC__SERVER_MESSAGE__BODY_PEN;
    m.pen = &info;
    fanout_tell_watchers(h->fanout, &m);
}

/* A pen makes its batches as small as the program in the greatest hurry needs them. */
static void pace_pens(struct hub *h)
{
    for (unsigned i = 0; i < h->count; i++)
        pen_pace(h->pens[i], fanout_batch_ms(h->fanout, pen_id(h->pens[i])));
}

static void on_changed(void *ctx, struct pen *p)
{
    struct hub *h = ctx;

    if (pen_is_ready(p)) {
        fanout_found(h->fanout, pen_serial(p), pen_id(p));
        pen_pace(p, fanout_batch_ms(h->fanout, pen_id(p)));
    }
    hub_pen_changed(h, p);
    for (unsigned i = 0; i < HUB_WITNESSES; i++) {
        if (h->witnesses[i].pen != NULL)
            h->witnesses[i].pen(h->witnesses[i].ctx, p);
    }
}

static void on_telemetry(void *ctx, struct pen *p, const uint8_t *batch, size_t n)
{
    struct hub *h = ctx;

    h->counters.batches++;
    fanout_telemetry(h->fanout, pen_id(p), pen_serial(p), batch, n);
}

static void on_settled(void *ctx)
{
    struct hub *h = ctx;

    fanout_settle(h->fanout);
}

const char *hub_subscribe(struct hub *h, struct subscriber *s, const char *serial, bool telemetry)
{
    const struct pen *p = serial != NULL && serial[0] != '\0' ? hub_pen(h, serial) : NULL;
    const char *wrong = fanout_subscribe(h->fanout, s, p != NULL ? pen_serial(p) : serial, telemetry);

    if (p != NULL && wrong == NULL)
        fanout_found(h->fanout, pen_serial(p), pen_id(p));
    pace_pens(h);
    return wrong;
}

const char *hub_pace(struct hub *h, struct subscriber *s, uint32_t decimation, uint32_t latency_ms)
{
    const char *wrong = fanout_pace(h->fanout, s, decimation, latency_ms);

    pace_pens(h);
    return wrong;
}

/* ---- records ---- */

static bool on_record(void *ctx, struct pen *p, uint32_t first, const struct journal_record *r)
{
    struct hub *h = ctx;
    struct journal_record lost = {.number = r->number - 1};
    uint8_t bytes[STORE_NOTE_MAX];
    Mnc__Note note = MNC__NOTE__INIT;
    char text[120];

    (void)p;
    if (h->journal == NULL)
        return false; /* it stays in the pen */
    if (first == r->number) {
        bool taken = journal_append(h->journal, r);

        h->record_waits |= !taken;
        return taken;
    }
    snprintf(text, sizeof(text), "records %u to %u of pen %s are lost: overwritten or damaged in the pen", first, r->number - 1, r->serial);
    note.has_first = note.has_through = true;
    note.first = first;
    note.through = r->number - 1;
    note.text = text;
    store_note(&lost, MNC__JOURNAL_KIND__JOURNAL_LOST, &note, bytes);
    strcpy(lost.serial, r->serial);
    return journal_append(h->journal, &lost) && journal_append(h->journal, r); /* offered again: the note is there then, once */
}

void hub_note(struct hub *h, uint32_t kind, const char *serial, const char *text)
{
    struct journal_record r = {0};
    uint8_t bytes[STORE_NOTE_MAX];
    Mnc__Note note = MNC__NOTE__INIT;

    note.text = (char *)(uintptr_t)text;
    store_note(&r, kind, &note, bytes);
    snprintf(r.serial, sizeof(r.serial), "%s", serial);
    if (h->journal == NULL || !journal_append(h->journal, &r))
        log_error("this is not in the journal: %s", text);
}

static void on_flight(void *ctx, struct pen *p, const struct journal_record *r, uint8_t *bytes, size_t n)
{
    struct hub *h = ctx;

    (void)p;
    if (h->journal != NULL)
        journal_append_flight(h->journal, r, bytes, n);
    else
        free(bytes);
}

static uint32_t on_recognise(void *ctx, struct pen *p, uint32_t newest, uint32_t acked, const struct journal_record *r)
{
    struct hub *h = ctx;

    if (h->journal == NULL)
        return 0;
    journal_recognise(h->journal, pen_serial(p), newest, acked, r);
    return journal_newest(h->journal, pen_serial(p));
}

static const char *on_refused(void *ctx, struct pen *p, const char *serial)
{
    struct hub *h = ctx;
    struct pen *other = hub_pen(h, serial);

    if (other == NULL || other == p || !pen_is_ready(other))
        return NULL;
    snprintf(h->refusal, sizeof(h->refusal), "another pen that says it is %.32s is in use at %.40s: unplug one of them", serial, pen_port(other));
    return h->refusal;
}

static void on_committed(void *ctx, const struct journal_record *const *r, size_t n)
{
    struct hub *h = ctx;

    for (size_t i = 0; i < n; i++) {
        struct pen *p = hub_pen(h, r[i]->serial);

        if (p != NULL)
            pen_records_committed(p, journal_newest(h->journal, r[i]->serial));
    }
    for (unsigned i = 0; i < h->count && h->record_waits; i++)
        pen_records_continue(h->pens[i]);
    h->record_waits = false;
    for (unsigned i = 0; i < HUB_WITNESSES; i++) {
        if (h->witnesses[i].committed != NULL)
            h->witnesses[i].committed(h->witnesses[i].ctx, r, n);
    }
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

static int open_journal(struct hub *h)
{
    const struct journal_observer observer = {.ctx = h, .committed = on_committed, .state = on_journal_state};
    char why[sizeof(h->journal_error)];
    int r = journal_open(&h->journal, h->event, h->journal_path, &h->limits, &observer, why, sizeof(why));

    if (r < 0 && strcmp(why, h->journal_error) != 0)
        log_error("%s; records stay in their pens, and nothing can be armed", why);
    else if (r == 0 && why[0] != '\0')
        log_error("%s", why);
    else if (r == 0 && h->journal_error[0] != '\0')
        log_info("the journal %s is written again", h->journal_path);
    snprintf(h->journal_error, sizeof(h->journal_error), "%s", r < 0 ? why : "");
    return r;
}

static int on_journal_retry(sd_event_source *s, uint64_t usec, void *userdata)
{
    struct hub *h = userdata;

    if (open_journal(h) < 0) {
        sd_event_source_set_time(s, usec + JOURNAL_RETRY_US);
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
    }
    for (unsigned i = 0; i < h->count; i++)
        pen_records_restart(h->pens[i]);
    return 0;
}

void hub_open_journal(struct hub *h, const char *path, const struct store_limits *limits)
{
    h->limits = *limits;
    snprintf(h->journal_path, sizeof(h->journal_path), "%s", path);
    if (open_journal(h) == 0)
        return;
    sd_event_source_set_time_relative(h->journal_retry, JOURNAL_RETRY_US);
    sd_event_source_set_enabled(h->journal_retry, SD_EVENT_ONESHOT);
}

void hub_close_journal(struct hub *h)
{
    if (h == NULL)
        return;
    sd_event_source_set_enabled(h->journal_retry, SD_EVENT_OFF);
    journal_close(h->journal);
    h->journal = NULL;
}

const char *hub_journal_error(const struct hub *h)
{
    return h->journal == NULL && h->journal_error[0] == '\0' ? "there is no journal" : h->journal_error;
}

struct journal *hub_journal(const struct hub *h)
{
    return h->journal;
}

void hub_add_witness(struct hub *h, const struct hub_witness *w)
{
    unsigned i = 0;

    while (i < HUB_WITNESSES && h->witnesses[i].ctx != NULL)
        i++;
    if (i < HUB_WITNESSES) /* there are fewer kinds of them than places */
        h->witnesses[i] = *w;
}

void hub_remove_witness(struct hub *h, const void *ctx)
{
    for (unsigned i = 0; i < HUB_WITNESSES; i++) {
        if (h->witnesses[i].ctx == ctx)
            h->witnesses[i] = (struct hub_witness){0};
    }
}

/* ---- looking on ---- */

static void on_traffic(void *ctx, struct pen *p, Mnc__TrafficKind kind, const uint8_t *bytes, size_t n)
{
    struct hub *h = ctx;

    fanout_traffic(h->fanout, kind, pen_name(p), 0, bytes, n);
}

static void on_closed(void *ctx, struct pen *p)
{
    struct hub *h = ctx;
    unsigned i = 0;

    while (h->pens[i] != p)
        i++;
    memmove(h->pens + i, h->pens + i + 1, (--h->count - i) * sizeof(p));
    h->closed[h->closed_count++] = p;
    for (i = 0; i < h->count; i++) /* one may have been refused for its serial number */
        pen_try_again(h->pens[i]);
    sd_event_source_set_enabled(h->reap, SD_EVENT_ONESHOT);
}

static const struct pen_observer observer_of_hub = {
    .changed = on_changed,
    .telemetry = on_telemetry,
    .settled = on_settled,
    .record = on_record,
    .flight = on_flight,
    .traffic = on_traffic,
    .refused = on_refused,
    .recognise = on_recognise,
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
    if (r >= 0)
        r = fanout_new(&h->fanout, event);
    if (r >= 0)
        r = sd_event_add_time_relative(event, &h->journal_retry, CLOCK_MONOTONIC, 0, 0, on_journal_retry, h);
    if (r >= 0)
        r = sd_event_source_set_enabled(h->journal_retry, SD_EVENT_OFF);
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
    sd_event_source_disable_unref(h->journal_retry);
    fanout_free(h->fanout);
    free(h);
}

bool hub_pen_arrived(void *hub, struct link *l)
{
    struct hub *h = hub;
    struct pen_observer observer = observer_of_hub;
    struct pen *p;
    int r;

    observer.ctx = h;
    r = h->count + h->closed_count < PENS_MAX ? pen_new(&p, h->event, l, ++h->last_id, &observer) : -ENOSPC;
    if (r < 0) {
        log_error("the pen at %s is not taken: %s", l->port, r == -ENOSPC ? "there are 256 already" : strerror(-r));
        return false;
    }
    h->pens[h->count++] = p;
    on_changed(h, p);
    return true;
}

void hub_remove(struct hub *h, struct subscriber *s, const void *caller)
{
    fanout_remove(h->fanout, s);
    pace_pens(h);
    hub_forget(h, caller);
}

void hub_forget(struct hub *h, const void *caller)
{
    for (unsigned i = 0; i < h->count; i++)
        pen_forget(h->pens[i], caller);
}

struct pen *hub_pen(const struct hub *h, const char *serial)
{
    struct pen *found = NULL;

    for (unsigned i = 0; i < h->count; i++) {
        if ((strcmp(pen_serial(h->pens[i]), serial) == 0 || strcmp(pen_address(h->pens[i]), serial) == 0) && (found == NULL || pen_is_ready(h->pens[i])))
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

struct fanout *hub_fanout(const struct hub *h)
{
    return h->fanout;
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
