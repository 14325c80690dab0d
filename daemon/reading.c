#include "reading.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame.h"
#include "journal.h"
#include "log.h"
#include "task.h"
#include "wire.h"

enum { PAGE_RECORDS = 64, PAGE_BYTES = 12 * 1024, PIECE = PAGE_BYTES };

struct page {
    struct journal_record records[PAGE_RECORDS];
    size_t count, fill;
    uint8_t bytes[PAGE_BYTES];
};

struct reading {
    struct journal_work work;
    struct reading *next;
    struct readings *all;
    struct client *client; /* NULL: it has gone */
    uint32_t id;
    enum { READ_RECORDS, READ_EXPORTED, READ_FLIGHT } what;
    bool working;          /* the worker has it */
    int result;
    uint64_t position;
    struct journal_filter filter;
    bool wait, from_now, end;
    uint64_t missed;
    struct page *page;     /* while there is something in it */
    size_t offset, count, total; /* of a flight, and the page's bytes */
};

struct readings {
    struct client_env *env;
    struct reading *first;
    /* long work on the whole file */
    struct task *task;
    struct client *task_client;
    uint32_t task_id;
    bool task_is_backup;
    int task_result;
    uint64_t rows, free_bytes;
    char text[400], path[4200], copy[4240];
    /* a copy that is being fetched */
    int copy_fd;
    const struct client *copy_client;
};

static void reading_free(struct reading *g)
{
    if (g->all != NULL) { /* else the worker had it while all others ended */
        struct reading **at = &g->all->first;

        while (*at != g)
            at = &(*at)->next;
        *at = g->next;
    }
    free(g->page);
    free(g);
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

/* False: there is no memory for its note. */
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
    m->has_host_bound_us = r->host_bound_us != STORE_BOUND_UNKNOWN;
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

static void answer(struct reading *g, const struct journal_record *const *records, size_t n)
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
    next.journal = journal_id(hub_journal(g->all->env->hub));
    next.position = g->position;
    reply.next = &next;
    reply.end = g->end;
    reply.missed = g->missed;
    reply.n_record = n;
    reply.record = pointers;
    m.body_case = MNC__SERVER_MESSAGE__BODY_RECORDS;
    m.records = &reply;
    if (complete)
        client_say(g->client, &m, g->id);
    else /* it asks again, from where it was */
        client_refuse(g->client, g->id, MNC__ERROR_CODE__ERROR_JOURNAL, "the daemon has no memory for these records");
    for (size_t i = 0; i < n; i++)
        mnc__note__free_unpacked(notes[i], NULL);
}

static void refuse_failed(const struct reading *g)
{
    client_refuse(g->client, g->id, MNC__ERROR_CODE__ERROR_JOURNAL, "the journal cannot be read: %s", strerror(-g->result));
}

static void run_records(struct journal_work *w, struct store *s)
{
    struct reading *g = (struct reading *)w;

    g->page = calloc(1, sizeof(*g->page));
    if (g->page == NULL) {
        g->result = -ENOMEM;
    } else if (g->from_now) {
        g->result = store_last(s, &g->position);
        g->end = true;
    } else {
        g->result = store_read(s, &g->position, &g->filter, add, g->page, &g->end, &g->missed);
    }
}

/* A program waits once: what it waited for before is answered with nothing. */
static void wait_alone(struct reading *g)
{
    for (struct reading *other = g->all->first, *next; other != NULL; other = next) {
        next = other->next;
        if (other == g || other->client != g->client || other->working)
            continue;
        answer(other, NULL, 0);
        reading_free(other);
    }
    free(g->page);
    g->page = NULL;
}

static void done_records(struct journal_work *w, bool ran)
{
    struct reading *g = (struct reading *)w;
    const struct journal_record *records[PAGE_RECORDS];

    g->working = false;
    if (g->client == NULL || !ran) { /* or the daemon ends */
        reading_free(g);
        return;
    }
    if (g->result == 0 && g->page->count == 0 && g->end && g->wait && g->missed == 0) {
        wait_alone(g); /* the next commit answers it */
        return;
    }
    for (size_t i = 0; g->result == 0 && i < g->page->count; i++)
        records[i] = &g->page->records[i];
    if (g->result == 0)
        answer(g, records, g->page->count);
    else
        refuse_failed(g);
    reading_free(g);
}

/* What has just been written, for one who waits for it. */
static bool answer_from(struct reading *g, const struct journal_record *const *r, size_t n)
{
    const struct journal_record *wanted[PAGE_RECORDS];
    size_t count = 0, bytes = 0;
    uint64_t position = g->position;

    for (size_t i = 0; i < n && count < PAGE_RECORDS; i++) {
        if (store_wants(&g->filter, r[i])) {
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
    answer(g, wanted, count);
    return true;
}

static void on_committed(void *ctx, const struct journal_record *const *r, size_t n)
{
    struct readings *all = ctx;

    for (struct reading *g = all->first, *next; g != NULL; g = next) {
        next = g->next;
        if (g->what == READ_RECORDS && !g->working && answer_from(g, r, n))
            reading_free(g);
    }
}

/* ---- asking ---- */

/* NULL after a refusal. */
static struct reading *reading_new(struct readings *all, struct client *c, uint32_t id)
{
    struct reading *g;
    unsigned n = 0;

    if (hub_journal(all->env->hub) == NULL) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_JOURNAL, "%s", hub_journal_error(all->env->hub));
        return NULL;
    }
    for (g = all->first; g != NULL; g = g->next)
        n += g->client == c;
    if (n >= READINGS_PER_CLIENT || (g = calloc(1, sizeof(*g))) == NULL) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_BUSY, "this program has asked %u times for records that have not come yet", n);
        return NULL;
    }
    g->all = all;
    g->client = c;
    g->id = id;
    g->next = all->first;
    all->first = g;
    return g;
}

static void begin(struct reading *g, void (*run)(struct journal_work *w, struct store *s), void (*done)(struct journal_work *w, bool ran))
{
    g->working = true;
    g->work.run = run;
    g->work.done = done;
    journal_work(hub_journal(g->all->env->hub), &g->work);
}

/* A place in another journal is before the first of this one. */
static uint64_t place(const struct readings *all, const Mnc__Cursor *c)
{
    return c->has_journal && c->journal == journal_id(hub_journal(all->env->hub)) ? c->position : 0;
}

void reading_records(struct readings *all, struct client *c, uint32_t id, const Mnc__RecordsRead *m)
{
    struct journal_filter f = {.since_us = m->since_us, .until_us = m->until_us};
    struct reading *g;

    if ((m->serial != NULL && strlen(m->serial) > JOURNAL_SERIAL_MAX) || (m->priorities != NULL && strlen(m->priorities) >= sizeof(f.priorities))) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "a serial number has at most 32 characters, and there are 3 priorities");
        return;
    }
    snprintf(f.serial, sizeof(f.serial), "%s", m->serial != NULL ? m->serial : "");
    snprintf(f.priorities, sizeof(f.priorities), "%s", m->priorities != NULL ? m->priorities : "");
    for (size_t i = 0; i < m->n_kind; i++)
        f.kinds |= m->kind[i] < 32 ? UINT32_C(1) << m->kind[i] : 0;
    g = reading_new(all, c, id);
    if (g == NULL)
        return;
    g->what = READ_RECORDS;
    g->filter = f;
    g->from_now = m->after == NULL;
    g->wait = m->wait && !g->from_now;
    g->position = m->after != NULL ? place(all, m->after) : 0;
    begin(g, run_records, done_records);
}

static void run_exported(struct journal_work *w, struct store *s)
{
    struct reading *g = (struct reading *)w;

    g->result = store_exported(s, g->position);
}

static void done_exported(struct journal_work *w, bool ran)
{
    struct reading *g = (struct reading *)w;

    if (g->client != NULL && ran && g->result == 0)
        client_say_done(g->client, g->id);
    else if (g->client != NULL && ran)
        client_refuse(g->client, g->id, MNC__ERROR_CODE__ERROR_JOURNAL, "the journal cannot be written: %s", strerror(-g->result));
    reading_free(g);
}

void reading_exported(struct readings *all, struct client *c, uint32_t id, const Mnc__RecordsExported *m)
{
    struct reading *g;

    if (m->through == NULL) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "RECORDS_EXPORTED needs through");
        return;
    }
    g = reading_new(all, c, id);
    if (g == NULL)
        return;
    g->what = READ_EXPORTED;
    g->position = place(all, m->through);
    begin(g, run_exported, done_exported);
}

/* ---- flights ---- */

static void run_flight(struct journal_work *w, struct store *s)
{
    struct reading *g = (struct reading *)w;

    g->page = calloc(1, sizeof(*g->page));
    g->result = g->page != NULL ? store_flight(s, g->position, g->offset, g->page->bytes, PAGE_BYTES, &g->count, &g->total) : -ENOMEM;
}

static void answer_flight(struct reading *g)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__FlightReply reply = MNC__FLIGHT_REPLY__INIT;
    ProtobufCBinaryData batches[PAGE_BYTES / 64];
    const uint8_t *bytes = g->page->bytes;
    size_t at = 0;

    while (reply.n_batch < sizeof(batches) / sizeof(batches[0]) && g->count - at >= 2) {
        size_t n = bytes[at] | (size_t)bytes[at + 1] << 8;

        if (n > g->count - at - 2)
            break; /* the next page begins with it */
        batches[reply.n_batch++] = (ProtobufCBinaryData){.len = n, .data = g->page->bytes + at + 2};
        at += 2 + n;
    }
    reply.has_offset = reply.has_total = true;
    reply.offset = (uint32_t)(at > 0 ? g->offset + at : g->total); /* what cannot be cut into batches is not asked for for ever */
    reply.total = (uint32_t)g->total;
    reply.batch = batches;
    m.body_case = MNC__SERVER_MESSAGE__BODY_FLIGHT;
    m.flight = &reply;
    client_say(g->client, &m, g->id);
}

static void done_flight(struct journal_work *w, bool ran)
{
    struct reading *g = (struct reading *)w;

    if (g->client != NULL && ran && g->result == 0)
        answer_flight(g);
    else if (g->client != NULL && ran && g->result == -ENOENT)
        client_refuse(g->client, g->id, MNC__ERROR_CODE__ERROR_NO_RECORD, "record %" PRIu64 " has no telemetry with it", g->position);
    else if (g->client != NULL && ran)
        refuse_failed(g);
    reading_free(g);
}

void reading_flight(struct readings *all, struct client *c, uint32_t id, const Mnc__FlightGet *m)
{
    struct reading *g;

    if (m->record == NULL) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "FLIGHT_GET needs record");
        return;
    }
    g = reading_new(all, c, id);
    if (g == NULL)
        return;
    g->what = READ_FLIGHT;
    g->position = place(all, m->record);
    g->offset = m->offset;
    begin(g, run_flight, done_flight);
}

/* ---- the whole file ---- */

static void end_copy(struct readings *all)
{
    if (all->copy_fd >= 0)
        close(all->copy_fd);
    all->copy_fd = -1;
    all->copy_client = NULL;
}

static void say_piece(struct readings *all, struct client *c, uint32_t id, uint64_t offset)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__JournalBackupReply reply = MNC__JOURNAL_BACKUP_REPLY__INIT;
    uint8_t bytes[PIECE];
    struct stat st;
    ssize_t n;

    if (offset > INT64_MAX) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "no file is that long");
        return;
    }
    if (fstat(all->copy_fd, &st) < 0 || (n = pread(all->copy_fd, bytes, sizeof(bytes), (off_t)offset)) < 0) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_JOURNAL, "the copy of the journal cannot be read: %s", strerror(errno));
        end_copy(all);
        return;
    }
    reply.has_total = reply.has_piece = true;
    reply.total = (uint64_t)st.st_size;
    reply.piece = (ProtobufCBinaryData){.len = (size_t)n, .data = bytes};
    m.body_case = MNC__SERVER_MESSAGE__BODY_JOURNAL_BACKUP;
    m.journal_backup = &reply;
    client_say(c, &m, id);
    if (offset + (uint64_t)n >= (uint64_t)st.st_size)
        end_copy(all);
}

static void run_task(void *ctx)
{
    struct readings *all = ctx;

    if (all->task_is_backup)
        all->task_result = store_backup(all->path, all->copy, all->free_bytes, all->text, sizeof(all->text));
    else
        all->task_result = store_verify(all->path, &all->rows, all->text, sizeof(all->text));
}

static void say_verified(struct readings *all)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__JournalVerifyReply reply = MNC__JOURNAL_VERIFY_REPLY__INIT;

    reply.has_good = reply.has_rows = true;
    reply.good = all->task_result == 0;
    reply.rows = all->rows;
    reply.text = all->text;
    m.body_case = MNC__SERVER_MESSAGE__BODY_JOURNAL_VERIFY;
    m.journal_verify = &reply;
    client_say(all->task_client, &m, all->task_id);
}

static void open_copy(struct readings *all)
{
    if (all->task_result == 0 && all->task_client != NULL) {
        all->copy_fd = open(all->copy, O_RDONLY | O_CLOEXEC);
        all->copy_client = all->task_client;
    }
    unlink(all->copy); /* it lives as long as it is open */
    if (all->task_client == NULL)
        return;
    if (all->copy_fd >= 0)
        say_piece(all, all->task_client, all->task_id, 0);
    else
        client_refuse(all->task_client, all->task_id, MNC__ERROR_CODE__ERROR_JOURNAL, "%s", all->text);
}

static void done_task(void *ctx)
{
    struct readings *all = ctx;

    task_free(all->task);
    all->task = NULL;
    if (all->task_is_backup)
        open_copy(all);
    else if (all->task_client != NULL)
        say_verified(all);
    all->task_client = NULL;
}

static void begin_task(struct readings *all, struct client *c, uint32_t id, bool is_backup)
{
    int r;

    if (hub_journal(all->env->hub) == NULL) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_JOURNAL, "%s", hub_journal_error(all->env->hub));
        return;
    }
    if (all->task != NULL || (is_backup && all->copy_fd >= 0 && all->copy_client != c)) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_BUSY, "another program has the journal checked or copied just now");
        return;
    }
    end_copy(all);
    snprintf(all->path, sizeof(all->path), "%s", journal_path(hub_journal(all->env->hub)));
    snprintf(all->copy, sizeof(all->copy), "%s.copy-%d", all->path, (int)getpid());
    all->free_bytes = journal_limits(hub_journal(all->env->hub))->free_bytes;
    all->task_client = c;
    all->task_id = id;
    all->task_is_backup = is_backup;
    if (is_backup)
        unlink(all->copy);
    r = task_start(&all->task, all->env->event, run_task, done_task, all);
    if (r < 0) {
        all->task_client = NULL;
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_BUSY, "the journal cannot be looked at: %s", strerror(-r));
    }
}

void reading_verify(struct readings *all, struct client *c, uint32_t id)
{
    begin_task(all, c, id, false);
}

void reading_backup(struct readings *all, struct client *c, uint32_t id, const Mnc__JournalBackup *m)
{
    if (m->offset == 0)
        begin_task(all, c, id, true);
    else if (all->copy_client == c)
        say_piece(all, c, id, m->offset);
    else
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "a copy of the journal begins at offset 0");
}

/* ---- beginning and end ---- */

int readings_new(struct readings **out, struct client_env *env)
{
    struct readings *all = calloc(1, sizeof(*all));

    if (all == NULL)
        return -ENOMEM;
    all->env = env;
    all->copy_fd = -1;
    hub_add_witness(env->hub, &(struct hub_witness){.ctx = all, .committed = on_committed});
    *out = all;
    return 0;
}

void readings_forget(struct readings *all, const struct client *c)
{
    for (struct reading *g = all->first, *next; g != NULL; g = next) {
        next = g->next;
        if (g->client != c)
            continue;
        g->client = NULL;
        if (!g->working)
            reading_free(g);
    }
    if (all->task_client == c)
        all->task_client = NULL;
    if (all->copy_client == c)
        end_copy(all);
}

void readings_free(struct readings *all)
{
    if (all == NULL)
        return;
    hub_remove_witness(all->env->hub, all);
    for (struct reading *g = all->first, *next; g != NULL; g = next) {
        next = g->next;
        g->client = NULL;
        g->all = NULL;
        if (!g->working)
            reading_free(g);
    }
    if (all->task != NULL && all->task_is_backup)
        unlink(all->copy);
    task_free(all->task);
    end_copy(all);
    free(all);
}
