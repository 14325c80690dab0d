#include "inside.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

enum { RECORD_REQUESTS_PER_CLIENT = 4, PAGE_RECORDS = 64, PAGE_BYTES = 12 * 1024 };

struct page {
    struct journal_record records[PAGE_RECORDS];
    size_t count, fill;
    uint8_t bytes[PAGE_BYTES];
};

struct record_request {
    struct journal_work work;
    struct record_request *next;
    struct record_requests *all;
    struct client *client; /* NULL: it has disconnected */
    uint32_t id;
    enum { READ_RECORDS, READ_EXPORTED, READ_FLIGHT } what;
    bool working;          /* the worker has it */
    int result;
    uint64_t position;
    struct journal_filter filter;
    bool wait, from_now, newest_first, end;
    uint64_t missed;
    struct page *page;     /* while it has content */
    size_t offset, count, total; /* place in a flight, and its size */
};

struct record_requests {
    struct hub *hub;
    struct record_request *first;
};

/* ---- life of one ---- */

static void record_request_free(struct record_request *g)
{
    if (g->all != NULL) { /* NULL if the worker had it while the daemon ended */
        struct record_request **at = &g->all->first;

        while (*at != g)
            at = &(*at)->next;
        *at = g->next;
    }
    free(g->page);
    free(g);
}

/* NULL after rejecting the request. */
static struct record_request *record_request_new(struct record_requests *all, struct client *c, uint32_t id)
{
    struct record_request *g;
    unsigned n = 0;

    if (hub_journal(all->hub) == NULL) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_JOURNAL, "%s", hub_journal_error(all->hub));
        return NULL;
    }
    for (g = all->first; g != NULL; g = g->next)
        n += g->client == c;
    if (n >= RECORD_REQUESTS_PER_CLIENT || (g = calloc(1, sizeof(*g))) == NULL) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_BUSY, "this program has asked %u times for records that have not come yet", n);
        return NULL;
    }
    g->all = all;
    g->client = c;
    g->id = id;
    g->next = all->first;
    all->first = g;
    return g;
}

static void start(struct record_request *g, void (*run)(struct journal_work *w, struct store *s), void (*done)(struct journal_work *w, bool ran))
{
    g->working = true;
    g->work.run = run;
    g->work.done = done;
    journal_work(hub_journal(g->all->hub), &g->work);
}

static void reject_failed(const struct record_request *g)
{
    client_reject(g->client, g->id, MNC__ERROR_CODE__ERROR_JOURNAL, "the journal cannot be read: %s", strerror(-g->result));
}

/* A cursor of another journal counts as before the first row of this one. */
static uint64_t place(const struct record_requests *all, const Mnc__Cursor *c)
{
    return c->has_journal && c->journal == journal_id(hub_journal(all->hub)) ? c->position : 0;
}

/* ---- records ---- */

static bool add(void *ctx, const struct journal_record *r)
{
    struct page *p = ctx;

    if (p->count == PAGE_RECORDS || p->fill + r->length > PAGE_BYTES)
        return false;
    p->records[p->count] = *r;
    p->records[p->count++].bytes = p->bytes + p->fill;
    if (r->length > 0)
        memcpy(p->bytes + p->fill, r->bytes, r->length);
    p->fill += r->length;
    return true;
}

/* False without memory for its note. */
static bool fill_record(Mnc__JournalRecord *m, Mnc__Note **note, const struct journal_record *r)
{
    static const Mnc__Note damaged = {.base = {.descriptor = &mnc__note__descriptor}, .text = (char *)(uintptr_t)"this note is damaged"};
    bool out_of_memory = false;
    ProtobufCAllocator noting = wire_allocator(&out_of_memory);

    *m = (Mnc__JournalRecord)MNC__JOURNAL_RECORD__INIT;
    m->has_position = m->has_volume = m->has_kind = m->has_host_us = true;
    m->position = r->position;
    m->serial = (char *)(uintptr_t)r->serial;
    m->volume = r->volume;
    m->kind = (Mnc__JournalKind)r->kind;
    m->host_us = r->host_us;
    m->has_host_bound_us = r->host_bound_us != JOURNAL_BOUND_UNKNOWN;
    m->host_bound_us = r->host_bound_us;
    if (r->kind < MNC__JOURNAL_KIND__JOURNAL_BEGUN) {
        m->has_record = true;
        m->record = (ProtobufCBinaryData){.len = r->length, .data = (uint8_t *)(uintptr_t)r->bytes};
    } else {
        *note = mnc__note__unpack(&noting, r->length, r->bytes);
        m->note = *note != NULL ? *note : (Mnc__Note *)(uintptr_t)&damaged;
    }
    return !out_of_memory;
}

static void reply_page(struct record_request *g, const struct journal_record *const *records, size_t n)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__RecordsReply reply = MNC__RECORDS_REPLY__INIT;
    Mnc__Cursor next = MNC__CURSOR__INIT;
    Mnc__JournalRecord messages[PAGE_RECORDS], *pointers[PAGE_RECORDS];
    Mnc__Note *notes[PAGE_RECORDS] = {0};
    bool complete = true;

    for (size_t i = 0; i < n; i++) {
        complete &= fill_record(&messages[i], &notes[i], records[i]);
        pointers[i] = &messages[i];
    }
    next.has_journal = next.has_position = reply.has_end = reply.has_missed = true;
    next.journal = journal_id(hub_journal(g->all->hub));
    next.position = g->position;
    reply.next = &next;
    reply.end = g->end;
    reply.missed = g->missed;
    reply.n_record = n;
    reply.record = pointers;
    m.body_case = MNC__SERVER_MESSAGE__BODY_RECORDS;
    m.records = &reply;
    if (complete)
        client_reply(g->client, &m, g->id);
    else /* the client retries from its cursor */
        client_reject(g->client, g->id, MNC__ERROR_CODE__ERROR_JOURNAL, "the daemon has no memory for these records");
    for (size_t i = 0; i < n; i++)
        mnc__note__free_unpacked(notes[i], NULL);
}

static void run_records(struct journal_work *w, struct store *s)
{
    struct record_request *g = (struct record_request *)w;

    g->page = calloc(1, sizeof(*g->page));
    if (g->page == NULL) {
        g->result = -ENOMEM;
    } else if (g->from_now) {
        g->result = store_last(s, &g->position);
        g->end = true;
    } else if (g->newest_first) {
        g->result = store_read_back(s, &g->position, &g->filter, add, g->page, &g->end);
    } else {
        g->result = store_read(s, &g->position, &g->filter, add, g->page, &g->end, &g->missed);
    }
}

/* Each client has one waiting request: an earlier one gets an empty page. */
static void wait_alone(struct record_request *g)
{
    for (struct record_request *other = g->all->first, *next; other != NULL; other = next) {
        next = other->next;
        if (other == g || other->client != g->client || other->working)
            continue;
        reply_page(other, NULL, 0);
        record_request_free(other);
    }
    free(g->page);
    g->page = NULL;
}

static void done_records(struct journal_work *w, bool ran)
{
    struct record_request *g = (struct record_request *)w;
    const struct journal_record *records[PAGE_RECORDS];

    g->working = false;
    if (g->client == NULL || !ran) { /* the client has disconnected, or the daemon is ending */
        record_request_free(g);
        return;
    }
    if (g->result == 0 && g->page->count == 0 && g->end && g->wait && g->missed == 0) {
        wait_alone(g); /* the next commit completes it */
        return;
    }
    for (size_t i = 0; g->result == 0 && i < g->page->count; i++)
        records[i] = &g->page->records[i];
    if (g->result == 0)
        reply_page(g, records, g->page->count);
    else
        reject_failed(g);
    record_request_free(g);
}

/* Completes a waiting request with the rows just committed. */
static bool reply_from(struct record_request *g, const struct journal_record *const *r, size_t n)
{
    const struct journal_record *wanted[PAGE_RECORDS];
    size_t count = 0, bytes = 0;
    uint64_t position = g->position;

    for (size_t i = 0; i < n && count < PAGE_RECORDS; i++) {
        if (journal_filter_matches(&g->filter, r[i])) {
            if (bytes + r[i]->length > PAGE_BYTES)
                break;
            wanted[count++] = r[i];
            bytes += r[i]->length;
        }
        position = r[i]->position;
    }
    if (count == 0)
        return false;
    g->position = position;
    g->end = false;
    reply_page(g, wanted, count);
    return true;
}

static void on_committed(void *ctx, const struct journal_record *const *r, size_t n)
{
    struct record_requests *all = ctx;

    for (struct record_request *g = all->first, *next; g != NULL; g = next) {
        next = g->next;
        if (g->what == READ_RECORDS && !g->working && reply_from(g, r, n))
            record_request_free(g);
    }
}

void request_records_read(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    struct journal_filter f = {.since_us = m->records_read->since_us, .until_us = m->records_read->until_us};
    struct record_request *g;

    if ((m->records_read->serial != NULL && strlen(m->records_read->serial) > JOURNAL_SERIAL_MAX) || (m->records_read->priorities != NULL && strlen(m->records_read->priorities) >= sizeof(f.priorities))) {
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_MALFORMED, "a serial number has at most 32 characters, and there are 3 priorities");
        return;
    }
    snprintf(f.serial, sizeof(f.serial), "%s", m->records_read->serial != NULL ? m->records_read->serial : "");
    snprintf(f.priorities, sizeof(f.priorities), "%s", m->records_read->priorities != NULL ? m->records_read->priorities : "");
    for (size_t i = 0; i < m->records_read->n_kind; i++)
        f.kinds |= m->records_read->kind[i] < 32 ? UINT32_C(1) << m->records_read->kind[i] : 0;
    g = record_request_new(s->records, c, m->id);
    if (g == NULL)
        return;
    g->what = READ_RECORDS;
    g->filter = f;
    g->newest_first = m->records_read->newest_first;
    g->from_now = m->records_read->after == NULL && !g->newest_first;
    g->wait = m->records_read->wait && !g->from_now && !g->newest_first;
    g->position = m->records_read->after != NULL ? place(s->records, m->records_read->after) : 0;
    start(g, run_records, done_records);
}

/* ---- what has been exported ---- */

static void run_exported(struct journal_work *w, struct store *s)
{
    struct record_request *g = (struct record_request *)w;

    g->result = store_exported(s, g->position);
}

static void done_exported(struct journal_work *w, bool ran)
{
    struct record_request *g = (struct record_request *)w;

    if (g->client != NULL && ran && g->result == 0)
        client_reply_done(g->client, g->id);
    else if (g->client != NULL && ran)
        client_reject(g->client, g->id, MNC__ERROR_CODE__ERROR_JOURNAL, "the journal cannot be written: %s", strerror(-g->result));
    record_request_free(g);
}

void request_records_exported(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    struct record_request *g;

    if (m->records_exported->through == NULL) {
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_MALFORMED, "RECORDS_EXPORTED needs through");
        return;
    }
    g = record_request_new(s->records, c, m->id);
    if (g == NULL)
        return;
    g->what = READ_EXPORTED;
    g->position = place(s->records, m->records_exported->through);
    start(g, run_exported, done_exported);
}

/* ---- the telemetry around a fault ---- */

static void run_flight(struct journal_work *w, struct store *s)
{
    struct record_request *g = (struct record_request *)w;

    g->page = calloc(1, sizeof(*g->page));
    g->result = g->page != NULL ? store_flight(s, g->position, g->offset, g->page->bytes, PAGE_BYTES, &g->count, &g->total) : -ENOMEM;
}

static void reply_flight(struct record_request *g)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__FlightReply reply = MNC__FLIGHT_REPLY__INIT;
    ProtobufCBinaryData batches[PAGE_BYTES / 64];
    const uint8_t *bytes = g->page->bytes;
    size_t at = 0;

    while (reply.n_batch < sizeof(batches) / sizeof(batches[0]) && g->count - at >= 2) {
        size_t n = bytes[at] | (size_t)bytes[at + 1] << 8;

        if (n > g->count - at - 2)
            break; /* it begins the next page */
        batches[reply.n_batch++] = (ProtobufCBinaryData){.len = n, .data = g->page->bytes + at + 2};
        at += 2 + n;
    }
    reply.has_offset = reply.has_total = true;
    reply.offset = (uint32_t)(at > 0 ? g->offset + at : g->total); /* data that cannot be split into batches ends the flight */
    reply.total = (uint32_t)g->total;
    reply.batch = batches;
    m.body_case = MNC__SERVER_MESSAGE__BODY_FLIGHT;
    m.flight = &reply;
    client_reply(g->client, &m, g->id);
}

static void done_flight(struct journal_work *w, bool ran)
{
    struct record_request *g = (struct record_request *)w;

    if (g->client != NULL && ran && g->result == 0)
        reply_flight(g);
    else if (g->client != NULL && ran && g->result == -ENOENT)
        client_reject(g->client, g->id, MNC__ERROR_CODE__ERROR_NO_RECORD, "record %" PRIu64 " has no telemetry with it", g->position);
    else if (g->client != NULL && ran)
        reject_failed(g);
    record_request_free(g);
}

void request_flight_get(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    struct record_request *g;

    if (m->flight_get->record == NULL) {
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_MALFORMED, "FLIGHT_GET needs record");
        return;
    }
    g = record_request_new(s->records, c, m->id);
    if (g == NULL)
        return;
    g->what = READ_FLIGHT;
    g->position = place(s->records, m->flight_get->record);
    g->offset = m->flight_get->offset;
    start(g, run_flight, done_flight);
}

/* ---- life of all ---- */

int record_requests_new(struct record_requests **out, struct hub *hub)
{
    struct record_requests *all = calloc(1, sizeof(*all));

    if (all == NULL)
        return -ENOMEM;
    all->hub = hub;
    hub_add_observer(hub, &(struct hub_observer){.ctx = all, .committed = on_committed});
    *out = all;
    return 0;
}

void record_requests_client_gone(struct record_requests *all, const struct client *c)
{
    for (struct record_request *g = all->first, *next; g != NULL; g = next) {
        next = g->next;
        if (g->client != c)
            continue;
        g->client = NULL;
        if (!g->working)
            record_request_free(g);
    }
}

void record_requests_free(struct record_requests *all)
{
    if (all == NULL)
        return;
    hub_remove_observer(all->hub, all);
    for (struct record_request *g = all->first, *next; g != NULL; g = next) {
        next = g->next;
        g->client = NULL;
        g->all = NULL;
        if (!g->working)
            record_request_free(g);
    }
    free(all);
}
