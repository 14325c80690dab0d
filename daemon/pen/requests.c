#include "inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "frame.h"
#include "pen.pb-c.h"

enum {
    RESEND_MS = 300, /* a request without a reply is sent again; the pen recognises it by its correlation */
    RESENDS_MAX = 3,
    PACE_MINOR = 2,  /* first minor with PACE */
};

static bool is_arm(uint16_t type)
{
    return type == MNP__FRAME_TYPE__TYPE_ARM || type == MNP__FRAME_TYPE__TYPE_FACTORY_ARM;
}

/* ---- sending ---- */

int pen_send_frame(struct pen *p, uint16_t type, uint16_t correlation, const uint8_t *payload, uint16_t n)
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

int pen_send_control(struct pen *p, enum mn_control request)
{
    uint8_t byte = (uint8_t)request;

    p->observer.traffic(p->observer.ctx, p, MNC__TRAFFIC_KIND__TRAFFIC_CONTROL, &byte, 1);
    return p->link->ops->control(p->link, request);
}

uint16_t pen_next_correlation(struct pen *p)
{
    if (++p->requests.correlation == 0)
        p->requests.correlation = 1;
    return p->requests.correlation;
}

void pen_pump(struct pen *p)
{
    if (p->state != PEN_READY)
        return;
    for (unsigned i = 0; i < p->requests.count; i++) {
        struct pen_request *r = &p->requests.list[i];
        bool overtakes = r->type == MNP__FRAME_TYPE__TYPE_STOP;

        if (r->correlation != 0 || (p->requests.in_flight >= p->window && !overtakes))
            continue;
        r->correlation = pen_next_correlation(p);
        if (pen_send_frame(p, r->type, r->correlation, r->payload, r->length) < 0) {
            r->correlation = 0; /* on_sendable pumps again */
            return;
        }
        p->requests.in_flight++;
        r->resend_ms = pen_now_ms(p) + RESEND_MS;
        pen_timer_by(p, r->resend_ms);
        if (is_arm(r->type)) {
            p->requests.armed_by_factory = r->type == MNP__FRAME_TYPE__TYPE_FACTORY_ARM;
            r->resend_ms = UINT64_MAX; /* ARM is never sent twice: a STOP may have come in between */
            p->requests.arming = true;
            pen_timer_by(p, pen_now_ms(p) + MN_HEARTBEAT_PERIOD_MS);
        }
    }
}

/* ---- ending ---- */

static struct pen_request request_take(struct pen *p, unsigned i)
{
    struct pen_request r = p->requests.list[i];

    if (r.correlation != 0)
        p->requests.in_flight--;
    memmove(p->requests.list + i, p->requests.list + i + 1, (--p->requests.count - i) * sizeof(r));
    return r;
}

/* An ARM that was sent has ended. If it is not wanted any more, its result does not matter: a STOP too many harms nobody. */
static void arm_ended(struct pen *p, const struct pen_request *r)
{
    bool unwanted = p->requests.disarm || r->done == NULL;

    p->requests.arming = p->requests.disarm = false;
    if (unwanted)
        pen_stop(p);
}

static void request_end(struct pen *p, unsigned i, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct pen_request r = request_take(p, i);

    if (is_arm(r.type) && r.correlation != 0)
        arm_ended(p, &r);
    if (r.done != NULL)
        r.done(r.ctx, r.id, result, type, payload, n);
    free(r.payload);
}

void pen_end_all(struct pen *p, enum pen_result result)
{
    while (p->requests.count > 0)
        request_end(p, 0, result, 0, NULL, 0);
}

void pen_end_in_flight(struct pen *p)
{
    for (unsigned i = 0; i < p->requests.count;) {
        bool sent = p->requests.list[i].correlation != 0;

        if (sent)
            request_end(p, i, PEN_RESULT_TIMEOUT, 0, NULL, 0);
        i = sent ? 0 : i + 1; /* start over: ending one may end others */
    }
}

void pen_on_reply(struct pen *p, const struct mn_frame *f, enum pen_result result)
{
    for (unsigned i = 0; i < p->requests.count; i++) {
        struct pen_request *r = &p->requests.list[i];

        if (r->correlation == 0 || r->correlation != f->correlation)
            continue;
        if (result == PEN_RESULT_PROGRESS) {
            r->resend_ms = pen_now_ms(p) + RESEND_MS;
            r->resent = 0;
            if (r->done != NULL)
                r->done(r->ctx, r->id, result, f->type, f->payload, f->length);
            return;
        }
        if ((f->type & MN_TYPE_MASK) == r->type) {
            request_end(p, i, result, f->type, f->payload, f->length);
            pen_pump(p);
            return;
        }
    }
    p->counters.stale_replies++;
}

void pen_check_requests(struct pen *p, uint64_t now, uint64_t *next)
{
    for (unsigned i = 0; i < p->requests.count;) {
        struct pen_request *r = &p->requests.list[i];

        if (now >= r->deadline_ms) {
            request_end(p, i, PEN_RESULT_TIMEOUT, 0, NULL, 0);
            continue;
        }
        if (r->correlation != 0 && now >= r->resend_ms) {
            if (++r->resent > RESENDS_MAX) {
                pen_session_failed(p, "the pen does not answer requests");
                return;
            }
            pen_send_frame(p, r->type, r->correlation, r->payload, r->length); /* if it fails, it is sent the next time */
            r->resend_ms = now + RESEND_MS;
        }
        if (r->correlation != 0 && r->resend_ms < *next)
            *next = r->resend_ms;
        if (r->deadline_ms < *next)
            *next = r->deadline_ms;
        i++;
    }
    pen_pump(p);
}

/* ---- for the owner of the pen ---- */

int pen_call(struct pen *p, uint16_t type, const uint8_t *payload, size_t n, uint32_t timeout_ms, pen_done_fn *done, void *ctx,
             uint32_t id)
{
    bool stop = type == MNP__FRAME_TYPE__TYPE_STOP;
    struct pen_request r = {.type = type, .id = id, .done = done, .ctx = ctx, .length = (uint16_t)n};
    unsigned at = p->requests.count;

    if (stop)
        pen_stop(p);
    if (p->requests.count >= PEN_REQUESTS_MAX + (stop ? PEN_STOPS_MAX : 0) || p->state == PEN_DRAINING || p->state == PEN_CLOSED)
        return -EAGAIN;
    if (n > MN_FRAME_PAYLOAD_MAX)
        return -EMSGSIZE;
    if (n > 0) {
        r.payload = malloc(n);
        if (r.payload == NULL)
            return -ENOMEM;
        memcpy(r.payload, payload, n);
    }
    r.deadline_ms = pen_now_ms(p) + timeout_ms;
    if (stop) /* ahead of everything that has not been sent */
        for (at = 0; at < p->requests.count && p->requests.list[at].correlation != 0; at++)
            ;
    memmove(p->requests.list + at + 1, p->requests.list + at, (p->requests.count - at) * sizeof(r));
    p->requests.list[at] = r;
    p->requests.count++;
    pen_timer_by(p, r.deadline_ms);
    pen_pump(p);
    return 0;
}

/* Removes an ARM that has not been sent. */
static void cancel_pending_arms(struct pen *p, const void *ctx)
{
    for (unsigned i = 0; i < p->requests.count;) {
        struct pen_request *r = &p->requests.list[i];

        if (is_arm(r->type) && r->correlation == 0 && (ctx == NULL || r->ctx == ctx))
            request_end(p, i, PEN_RESULT_TIMEOUT, 0, NULL, 0);
        else
            i++;
    }
}

void pen_detach(struct pen *p, const void *ctx)
{
    for (unsigned i = 0; i < p->requests.count; i++) {
        if (p->requests.list[i].ctx == ctx)
            p->requests.list[i].done = NULL;
    }
    cancel_pending_arms(p, ctx);
}

void pen_suspend_heartbeat(struct pen *p, uint32_t ms)
{
    p->heartbeat_suspended_until_ms = pen_now_ms(p) + ms;
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
    cancel_pending_arms(p, NULL);
    p->requests.disarm = p->requests.arming;
    if (p->state == PEN_RESETTING || p->state == PEN_GREETING || p->state == PEN_READY)
        pen_send_control(p, MN_CONTROL_STOP);
}

static void on_paced(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct pen *p = ctx;

    (void)type;
    (void)payload;
    (void)n;
    if (result != PEN_RESULT_REPLY && p->requests.batch_ms == id)
        p->requests.batch_ms = 0; /* the pen's setting is unknown: sent again with the next change */
}

void pen_pace(struct pen *p, uint32_t batch_ms)
{
    uint8_t payload[MN_FRAME_MAX];
    Mnp__Pace pace = MNP__PACE__INIT;

    if (p->state != PEN_READY || p->minor < PACE_MINOR || p->requests.batch_ms == batch_ms)
        return;
    pace.has_batch_ms = true;
    pace.batch_ms = batch_ms;
    if (pen_call(p, MNP__FRAME_TYPE__TYPE_PACE, payload, mnp__pace__pack(&pace, payload), PEN_REQUEST_TIMEOUT_MS, on_paced, p, batch_ms) == 0)
        p->requests.batch_ms = batch_ms;
}
