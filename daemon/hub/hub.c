#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* ---- lease holders ---- */

static const struct holder *holder_of(const struct hub *h, const char *serial)
{
    for (unsigned i = 0; i < h->holder_count; i++) {
        if (strcmp(h->holders[i].serial, serial) == 0)
            return &h->holders[i];
    }
    return NULL;
}

void hub_set_holder(struct hub *h, const char *serial, const char *name, pid_t pid)
{
    struct holder *o = (struct holder *)(uintptr_t)holder_of(h, serial);

    if (name == NULL) {
        if (o != NULL)
            *o = h->holders[--h->holder_count];
        return;
    }
    if (o == NULL && h->holder_count == HUB_PENS_MAX)
        return;
    if (o == NULL)
        o = &h->holders[h->holder_count++];
    snprintf(o->serial, sizeof(o->serial), "%s", serial);
    snprintf(o->name, sizeof(o->name), "%s", name);
    o->pid = pid;
}

void hub_pen_info(const struct hub *h, const struct pen *p, Mnc__PenInfo *info, Mnc__LinkCounters *counters)
{
    const struct holder *o = holder_of(h, pen_serial(p));

    pen_info(p, info, counters);
    if (o == NULL)
        return;
    info->lease_name = (char *)(uintptr_t)o->name;
    info->has_lease_pid = true;
    info->lease_pid = (uint32_t)o->pid;
}

void hub_notify_pen(struct hub *h, struct pen *p)
{
    Mnc__LinkCounters counters;
    Mnc__PenInfo info;
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;

    hub_pen_info(h, p, &info, &counters);
    m.body_case = MNC__SERVER_MESSAGE__BODY_PEN;
    m.pen = &info;
    fanout_notify_watchers(h->fanout, &m);
}

/* ---- subscribers ---- */

/* Tells the pen how short its batches must be for the subscriber with the smallest latency. */
void hub_update_pace(struct hub *h)
{
    for (unsigned i = 0; i < h->count; i++)
        pen_pace(h->pens[i], fanout_batch_ms(h->fanout, pen_id(h->pens[i])));
}

const char *hub_subscribe(struct hub *h, struct subscriber *s, const char *serial, bool telemetry)
{
    const struct pen *p = serial != NULL && serial[0] != '\0' ? hub_pen(h, serial) : NULL;
    const char *wrong = fanout_subscribe(h->fanout, s, p != NULL ? pen_serial(p) : serial, telemetry);

    if (p != NULL && wrong == NULL)
        fanout_bind_pen(h->fanout, pen_serial(p), pen_id(p));
    hub_update_pace(h);
    return wrong;
}

const char *hub_pace(struct hub *h, struct subscriber *s, uint32_t decimation, uint32_t latency_ms)
{
    const char *wrong = fanout_pace(h->fanout, s, decimation, latency_ms);

    hub_update_pace(h);
    return wrong;
}

/* ---- observers ---- */

void hub_add_observer(struct hub *h, const struct hub_observer *w)
{
    unsigned i = 0;

    while (i < HUB_OBSERVERS && h->observers[i].ctx != NULL)
        i++;
    if (i < HUB_OBSERVERS) /* always true: there are no more kinds of observers */
        h->observers[i] = *w;
}

void hub_remove_observer(struct hub *h, const void *ctx)
{
    for (unsigned i = 0; i < HUB_OBSERVERS; i++) {
        if (h->observers[i].ctx == ctx)
            h->observers[i] = (struct hub_observer){0};
    }
}

/* ---- from pens ---- */

static void on_changed(void *ctx, struct pen *p)
{
    struct hub *h = ctx;

    if (pen_is_ready(p)) {
        fanout_bind_pen(h->fanout, pen_serial(p), pen_id(p));
        pen_pace(p, fanout_batch_ms(h->fanout, pen_id(p)));
    }
    hub_notify_pen(h, p);
    for (unsigned i = 0; i < HUB_OBSERVERS; i++) {
        if (h->observers[i].pen != NULL)
            h->observers[i].pen(h->observers[i].ctx, p);
    }
}

static void on_telemetry(void *ctx, struct pen *p, const uint8_t *batch, size_t n)
{
    struct hub *h = ctx;

    h->batches++;
    fanout_telemetry(h->fanout, pen_id(p), pen_serial(p), batch, n);
}

static void on_transfer_done(void *ctx)
{
    struct hub *h = ctx;

    fanout_flush_urgent(h->fanout);
}

static const char *on_check_serial(void *ctx, struct pen *p, const char *serial)
{
    struct hub *h = ctx;
    struct pen *other = hub_pen(h, serial);

    if (other == NULL || other == p || !pen_is_ready(other))
        return NULL;
    snprintf(h->duplicate, sizeof(h->duplicate), "another pen that says it is %.32s is in use at %.40s: unplug one of them", serial, pen_port(other));
    return h->duplicate;
}

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
    for (i = 0; i < h->count; i++) /* a pen may have been rejected because of its serial number */
        pen_retry_now(h->pens[i]);
    sd_event_source_set_enabled(h->reap, SD_EVENT_ONESHOT);
}

static const struct pen_observer pen_observer = {
    .changed = on_changed,
    .telemetry = on_telemetry,
    .transfer_done = on_transfer_done,
    .record = hub_on_record,
    .flight = hub_on_flight,
    .traffic = on_traffic,
    .check_serial = on_check_serial,
    .recognise = hub_on_recognise,
    .closed = on_closed,
};

/* ---- pens ---- */

bool hub_pen_arrived(void *hub, struct link *l)
{
    struct hub *h = hub;
    struct pen_observer observer = pen_observer;
    struct pen *p;
    int r;

    observer.ctx = h;
    r = h->count + h->closed_count < HUB_PENS_MAX ? pen_new(&p, h->event, l, ++h->last_id, &observer) : -ENOSPC;
    if (r < 0) {
        log_error("the pen at %s is not taken: %s", l->port, r == -ENOSPC ? "there are 256 already" : strerror(-r));
        return false;
    }
    h->pens[h->count++] = p;
    on_changed(h, p);
    return true;
}

void hub_detach(struct hub *h, const void *ctx)
{
    for (unsigned i = 0; i < h->count; i++)
        pen_detach(h->pens[i], ctx);
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

uint64_t hub_batches(const struct hub *h)
{
    return h->batches;
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

/* ---- life ---- */

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
        r = hub_records_init(h);
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
