#include "inside.h"
#include "telemetry.h"

#include <stdio.h>

#include "frame.h"
#include "log.h"
#include "pen.pb-c.h"

enum fault_bit {
#define FAULT(bit, code, name, priority, kind, effect, text, cure) FAULT_##name = bit,
#include "faults.def"
#undef FAULT
};

static void on_telemetry(struct pen *p, const struct mn_frame *f)
{
    struct batch_facts facts;

    if (batch_check(f->payload, f->length, &facts) && facts.boot_id == p->boot_id) {
        p->observer.telemetry(p->observer.ctx, p, f->payload, f->length);
        flight_add(p->flight, facts.t_us, f->payload, f->length);
        pen_cut_flights(p, false);
        return;
    }
    p->counters.bad_frames++;
    if (!p->bad_batch_logged)
        log_warning("pen %s: a telemetry batch that does not decode was dropped (logged once)", pen_name(p));
    p->bad_batch_logged = true;
}

static void on_frame(struct pen *p, const struct mn_frame *f)
{
    uint16_t ahead;
    bool late; /* duplicate or out of order: replies are still matched (once), but telemetry would go back in time */

    p->counters.frames_in++;
    if (f->major != MN_PROTOCOL_MAJOR) {
        char why[160];

        snprintf(why, sizeof(why), "the pen speaks protocol %u, this mnd speaks %d: update the %s", f->major, MN_PROTOCOL_MAJOR,
                 f->major < MN_PROTOCOL_MAJOR ? "pen's firmware" : "daemon");
        pen_session_failed(p, why);
        return;
    }
    if (p->state == PEN_GREETING && f->type == (MNP__FRAME_TYPE__TYPE_HELLO | MN_TYPE_REPLY)) {
        pen_on_hello(p, f);
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
        pen_on_reply(p, f, PEN_RESULT_REPLY);
    else if (f->type == MNP__FRAME_TYPE__TYPE_PROGRESS)
        pen_on_reply(p, f, PEN_RESULT_PROGRESS);
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
        pen_session_failed(p, "the pen has restarted");
        return;
    }
    p->status = s;
    if (s.state == MNP__STATE__STATE_ARMED || s.state == MNP__STATE__STATE_RUNNING)
        pen_timer_by(p, p->heartbeat_ms + MN_HEARTBEAT_PERIOD_MS);
    if (s.records_newest > p->records.newest)
        p->records.newest = s.records_newest;
    pen_acknowledge_records(p);
    pen_fetch_records(p);
    if (s.state != old.state || s.fault_word != old.fault_word || s.trigger != old.trigger || s.cartridge != old.cartridge ||
        s.config_generation != old.config_generation)
        pen_changed(p);
    if ((s.fault_word & ~old.fault_word & UINT32_C(1) << FAULT_PROTOCOL_ERROR) != 0)
        pen_session_failed(p, "the pen has seen three bad frames within a second and dropped the session");
}

void pen_on_bytes(struct pen *p, enum link_in from, const uint8_t *bytes, size_t n)
{
    enum mn_frame_event e;
    struct mn_frame f;

    if (p->state == PEN_DRAINING || p->state == PEN_CLOSED)
        return;
    p->heard_ms = pen_now_ms(p);
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
    p->observer.transfer_done(p->observer.ctx);
}
