#include "inside.h"

#include <stdio.h>

#include "fault.h"
#include "frame.h"
#include "log.h"
#include "pen.pb-c.h"
#include "wire.h"

enum { FLIGHT_PATIENCE_MS = 1500 /* how long to wait for the telemetry of the second after a fault */ };

void pen_cut_flights(struct pen *p, bool all)
{
    uint8_t *bytes;
    uint32_t number;
    size_t n;

    while ((number = flight_cut(p->flight, pen_now_ms(p), all, &bytes, &n)) != 0) {
        struct journal_record r = {.number = number};

        snprintf(r.serial, sizeof(r.serial), "%s", p->serial);
        if (bytes != NULL)
            p->observer.flight(p->observer.ctx, p, &r, bytes, n);
    }
}

/* Determines the next record to read from what is on disk. */
static void records_begin(struct pen *p, uint32_t on_disk)
{
    p->records.committed = p->records.queued = on_disk;
}

/* Compares the pen's record of the newest number on disk (NULL: the pen does not have it) with the journal's: is it the same pen? */
static void recognise(struct pen *p, const struct journal_record *r)
{
    p->records.recognised = true;
    records_begin(p, p->observer.recognise(p->observer.ctx, p, p->records.newest, p->records.acked, r));
    pen_acknowledge_records(p);
}

/* Handles one record of a page. False: continue later. */
static bool on_record(struct pen *p, const Mnp__Record *m, const ProtobufCBinaryData *bytes)
{
    struct journal_record r = {.number = m->number, .boot_id = m->boot_id, .t_us = m->t_us, .bytes = bytes->data, .length = bytes->len};

    r.kind = m->has_kind && (unsigned)m->kind < 32 ? (uint32_t)m->kind : 0;
    r.code = m->body_case == MNP__RECORD__BODY_FAULT ? m->fault->code : 0;
    snprintf(r.serial, sizeof(r.serial), "%s", p->serial);
    if (!p->records.recognised) {
        recognise(p, m->number == p->records.queued ? &r : NULL);
        if (m->number > p->records.queued + 1)
            return false; /* it is another pen: read from its first record */
    }
    if (m->number <= p->records.queued)
        return true;
    pen_date(p, &r);
    if (!p->observer.record(p->observer.ctx, p, p->records.queued + 1, &r))
        return false;
    if (m->number != p->records.queued + 1)
        log_warning("pen %s: records %u to %u are lost: overwritten or damaged in the pen", pen_name(p), p->records.queued + 1, m->number - 1);
    p->records.queued = m->number;
    if (r.code != 0 && m->fault->raised && r.boot_id == p->boot_id && fault_priority(r.code) != 'L') {
        flight_fault(p->flight, r.number, r.t_us, pen_now_ms(p) + FLIGHT_PATIENCE_MS);
        pen_timer_by(p, flight_due_ms(p->flight));
    }
    return true;
}

static void on_records(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct pen *p = ctx;
    Mnp__Records *page;
    uint32_t before = p->records.queued;
    bool more = true, was_recognised = p->records.recognised, out_of_memory = false;
    ProtobufCAllocator noting = wire_allocator(&out_of_memory);

    (void)id;
    p->records.asked = false;
    if (result != PEN_RESULT_REPLY || (type & MN_TYPE_ERROR) != MN_TYPE_REPLY)
        return; /* retried with the next status */
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
    if (out_of_memory) { /* retried with the next status, from the first missing record */
        mnp__records__free_unpacked(page, NULL);
        return;
    }
    if (!p->records.recognised)
        recognise(p, NULL);
    else if (page->n_record == 0) /* none of those records exists any more */
        p->records.queued = p->records.newest;
    mnp__records__free_unpacked(page, NULL);
    if (p->records.queued != before || !was_recognised)
        pen_fetch_records(p);
}

void pen_fetch_records(struct pen *p)
{
    uint8_t payload[MN_FRAME_MAX];
    Mnp__RecordsGet get = MNP__RECORDS_GET__INIT;

    if (p->records.asked || (p->records.recognised && p->records.newest <= p->records.queued) || p->state != PEN_READY)
        return;
    pen_compare_clock(p);
    get.has_from = true;
    get.from = p->records.recognised ? p->records.queued + 1 : p->records.queued;
    p->records.asked = pen_call(p, MNP__FRAME_TYPE__TYPE_RECORDS_GET, payload, mnp__records_get__pack(&get, payload),
                                PEN_REQUEST_TIMEOUT_MS, on_records, p, 0) == 0;
}

static void on_acked(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct pen *p = ctx;

    (void)payload;
    (void)n;
    p->records.ack_asked = false;
    if (result != PEN_RESULT_REPLY)
        return; /* retried with the next status */
    p->records.ack_rejected = (type & MN_TYPE_ERROR) == MN_TYPE_ERROR; /* the pen keeps them, which does no harm */
    p->records.acked = id;
    pen_acknowledge_records(p);
}

void pen_acknowledge_records(struct pen *p)
{
    uint8_t payload[MN_FRAME_MAX];
    Mnp__RecordsAck ack = MNP__RECORDS_ACK__INIT;

    if (!p->records.recognised || p->records.ack_asked || p->records.ack_rejected || p->records.committed <= p->records.acked || p->state != PEN_READY)
        return;
    ack.has_through = true;
    ack.through = p->records.committed;
    p->records.ack_asked = pen_call(p, MNP__FRAME_TYPE__TYPE_RECORDS_ACK, payload, mnp__records_ack__pack(&ack, payload), PEN_REQUEST_TIMEOUT_MS, on_acked, p,
                            ack.through) == 0;
}

/* ---- for the owner of the pen ---- */

void pen_records_committed(struct pen *p, uint32_t through)
{
    if (through > p->records.committed)
        p->records.committed = through;
    pen_acknowledge_records(p);
}

void pen_records_resume(struct pen *p)
{
    pen_fetch_records(p);
}

void pen_records_restart(struct pen *p)
{
    uint32_t on_disk;

    if (p->state != PEN_READY)
        return;
    p->records.recognised = false;
    on_disk = p->observer.recognise(p->observer.ctx, p, p->records.newest, p->records.acked, NULL);
    p->records.recognised = on_disk == 0; /* nothing on disk to compare with */
    records_begin(p, on_disk);
    pen_acknowledge_records(p);
    pen_fetch_records(p);
}

bool pen_records_are_on_disk(const struct pen *p)
{
    return p->state == PEN_READY && p->records.recognised && p->records.committed >= p->records.newest;
}
