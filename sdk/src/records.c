/*
 * The calls about records: pages, following without a seam, and what comes in pieces (flights, a copy of the journal).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "decode.h"

enum { AGAIN_TIMEOUT_MS = 5000, FOLLOW_RETRY_MS = 1000, NEWEST_FIRST_MINOR = 8 };

/* ---- pages ---- */

static bool on_records(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    (void)call;
    if (m->body_case != MNC__SERVER_MESSAGE__BODY_RECORDS || !decode_records(&r->records, m->records))
        return false;
    c->owned = r->records.record;
    return true;
}

/* Requests a page. after NULL: from now on. */
static int ask(mn_client *c, const struct mn_cursor *after, const struct mn_filter *filter, bool wait, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__RecordsRead read = MNC__RECORDS_READ__INIT;
    Mnc__Cursor cursor = MNC__CURSOR__INIT;
    uint32_t kinds[32];

    if (after != NULL) {
        cursor.has_journal = cursor.has_position = true;
        cursor.journal = after->journal;
        cursor.position = after->position;
        read.after = &cursor;
    }
    read.has_wait = true;
    read.wait = wait;
    if (filter != NULL) {
        read.serial = (char *)(uintptr_t)filter->serial;
        read.priorities = (char *)(uintptr_t)filter->priorities;
        read.kind = kinds;
        for (uint32_t kind = 0; kind < 32; kind++) {
            if (filter->kinds >> kind & 1)
                kinds[read.n_kind++] = kind;
        }
        read.has_since_us = filter->since_us != 0;
        read.since_us = filter->since_us;
        read.has_until_us = filter->until_us != 0;
        read.until_us = filter->until_us;
        read.has_newest_first = filter->newest_first;
        read.newest_first = filter->newest_first;
    }
    m.body_case = MNC__CLIENT_MESSAGE__BODY_RECORDS_READ;
    m.records_read = &read;
    return call_start(c, &m, NULL, timeout_ms, on_records, done, user);
}

int mn_records_read_async(mn_client *c, const struct mn_cursor *after, const struct mn_filter *filter, int timeout_ms, mn_result_fn *done, void *user)
{
    static const struct mn_cursor first;

    if (filter != NULL && filter->newest_first && c->state == CLIENT_CONNECTED && c->daemon_minor < NEWEST_FIRST_MINOR)
        return client_fail(c, MN_ERR_UNSUPPORTED, "mnd %s (client protocol 1.%u) reads records from the oldest on only, from the newest down since 1.%d: update the daemon", c->daemon_version,
                           c->daemon_minor, NEWEST_FIRST_MINOR);
    return ask(c, after != NULL ? after : &first, filter, false, timeout_ms, done, user);
}

int mn_records_read(mn_client *c, const struct mn_cursor *after, const struct mn_filter *filter, struct mn_records *out, int timeout_ms)
{
    *out = (struct mn_records){0};
    WAIT(c, out, mn_records_read_async(c, after, filter, timeout_ms, client_wake, &w));
}

/* ---- following ---- */

struct first_answer { /* the waiter for the first page */
    mn_result_fn *done;
    void *user;
    uintptr_t generation;
};

static void on_page(mn_client *c, const struct mn_result *r, void *user);

static void follow_ask(mn_client *c, bool wait, int timeout_ms)
{
    struct follow *f = &c->follow;

    f->retry_at_ms = 0;
    if (ask(c, f->from_now ? NULL : &f->at, &f->filter, wait, timeout_ms, on_page, (void *)f->generation) != MN_OK)
        f->retry_at_ms = client_now_us() / 1000 + FOLLOW_RETRY_MS;
}

/* Delivers the records of a page and requests the next one. */
static void follow_page(mn_client *c, const struct mn_result *r, uintptr_t generation)
{
    struct follow *f = &c->follow;

    for (size_t i = 0; i < r->records.count; i++) {
        f->at = r->records.record[i].cursor;
        client_event(c, &(struct mn_event){.kind = MN_EVENT_RECORD, .record = &r->records.record[i]});
        if (!f->on || f->generation != generation)
            return;
    }
    f->at = r->records.next;
    f->from_now = false;
    follow_ask(c, true, CALL_FOREVER);
}

static void on_page(mn_client *c, const struct mn_result *r, void *user)
{
    if (!c->follow.on || c->follow.generation != (uintptr_t)user)
        return;
    if (r->error == MN_OK)
        follow_page(c, r, (uintptr_t)user);
    else if (r->error != MN_ERR_DISCONNECTED) /* a disconnection: following continues after the reconnection */
        c->follow.retry_at_ms = client_now_us() / 1000 + FOLLOW_RETRY_MS;
}

static void on_first_page(mn_client *c, const struct mn_result *r, void *user)
{
    struct first_answer waiting = *(struct first_answer *)user;

    free(user);
    if (r->error != MN_OK && c->follow.generation == waiting.generation)
        c->follow.on = false;
    on_page(c, r, (void *)waiting.generation);
    if (waiting.done != NULL)
        waiting.done(c, &(struct mn_result){.error = r->error, .message = r->message}, waiting.user);
}

static void follow_again(mn_client *c)
{
    if (c->follow.on)
        follow_ask(c, false, AGAIN_TIMEOUT_MS);
}

int mn_records_follow_async(mn_client *c, const struct mn_cursor *after, const struct mn_filter *filter, int timeout_ms, mn_result_fn *done,
                            void *user)
{
    struct follow *f = &c->follow;
    struct first_answer *waiting;
    int r;

    if (filter != NULL && ((filter->serial != NULL && strlen(filter->serial) > MN_SERIAL_MAX) ||
                           (filter->priorities != NULL && strlen(filter->priorities) >= sizeof(f->priorities))))
        return client_fail(c, MN_ERR_INVALID, "a serial number has at most %d characters, and there are 3 priorities", MN_SERIAL_MAX);
    if (filter != NULL && filter->newest_first)
        return client_fail(c, MN_ERR_INVALID, "records are followed as they come: newest_first is for mn_records_read()");
    waiting = malloc(sizeof(*waiting));
    if (waiting == NULL)
        return client_fail(c, MN_ERR_MEMORY, "out of memory");
    *waiting = (struct first_answer){done, user, f->generation + 1};
    *f = (struct follow){.from_now = after == NULL, .generation = waiting->generation, .again = follow_again};
    if (after != NULL)
        f->at = *after;
    if (filter != NULL) {
        f->filter = *filter;
        snprintf(f->serial, sizeof(f->serial), "%s", filter->serial != NULL ? filter->serial : "");
        snprintf(f->priorities, sizeof(f->priorities), "%s", filter->priorities != NULL ? filter->priorities : "");
        f->filter.serial = f->serial;
        f->filter.priorities = f->priorities;
    }
    r = ask(c, after, &f->filter, false, timeout_ms, on_first_page, waiting);
    f->on = r == MN_OK;
    if (r != MN_OK)
        free(waiting);
    return r;
}

int mn_records_follow(mn_client *c, const struct mn_cursor *after, const struct mn_filter *filter, int timeout_ms)
{
    struct waiter w = {0};

    return client_finish(c, &w, mn_records_follow_async(c, after, filter, timeout_ms, client_wake, &w));
}

void mn_records_unfollow(mn_client *c)
{
    c->follow.on = false; /* a page that is still outstanding is not delivered */
    c->follow.retry_at_ms = 0;
}

int mn_records_exported_async(mn_client *c, const struct mn_cursor *through, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__RecordsExported exported = MNC__RECORDS_EXPORTED__INIT;
    Mnc__Cursor cursor = MNC__CURSOR__INIT;

    cursor.has_journal = cursor.has_position = true;
    cursor.journal = through->journal;
    cursor.position = through->position;
    exported.through = &cursor;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_RECORDS_EXPORTED;
    m.records_exported = &exported;
    return call_start(c, &m, NULL, timeout_ms, client_on_done, done, user);
}

int mn_records_exported(mn_client *c, const struct mn_cursor *through, int timeout_ms)
{
    struct waiter w = {0};

    return client_finish(c, &w, mn_records_exported_async(c, through, timeout_ms, client_wake, &w));
}

/* ---- what comes in pieces ---- */

struct pieces {
    struct mn_cursor record;
    struct mn_flight flight;
    int fd, timeout_ms;
    uint64_t at, total;
    char text[400]; /* of an error */
    mn_result_fn *done;
    void *user;
};

static void pieces_end(mn_client *c, struct pieces *p, struct mn_result *r)
{
    if (r->error == MN_OK)
        r->flight = p->flight;
    if (r->message == NULL)
        r->message = "";
    if (p->done != NULL)
        p->done(c, r, p->user);
    else
        mn_flight_free(&p->flight);
    free(p);
}

void mn_flight_free(struct mn_flight *flight)
{
    if (flight == NULL)
        return;
    for (size_t i = 0; i < flight->count; i++)
        mnp__telemetry_batch__free_unpacked(flight->owned[i], NULL);
    free(flight->owned);
    free(flight->batch);
    *flight = (struct mn_flight){0};
}

static uint64_t hole(uint64_t first, uint64_t before, size_t count)
{
    return count > 0 && first > before ? first - before : 0;
}

/* Adds a batch; one that does not decode is skipped. False without memory. */
static bool add_batch(struct mn_flight *f, const ProtobufCBinaryData *bytes)
{
    struct mn_telemetry *batch = realloc(f->batch, (f->count + 1) * sizeof(*batch));
    void **owned;

    if (batch == NULL)
        return false;
    f->batch = batch;
    owned = realloc(f->owned, (f->count + 1) * sizeof(*owned));
    if (owned == NULL)
        return false;
    f->owned = owned;
    f->owned[f->count] = decode_telemetry(&f->batch[f->count], "", bytes);
    if (f->owned[f->count] == NULL)
        return true;
    for (size_t i = f->count; i-- > 0 && f->batch[f->count].fast.count > 0;) {
        if (f->batch[i].fast.count == 0)
            continue;
        f->batch[f->count].fast.missed = hole(f->batch[f->count].fast.first_seq, f->batch[i].fast.first_seq + f->batch[i].fast.count, 1);
        break;
    }
    f->count++;
    return true;
}

static bool on_flight(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    struct pieces *p = call->user;

    (void)c;
    (void)r;
    if (m->body_case != MNC__SERVER_MESSAGE__BODY_FLIGHT || !m->flight->has_offset || !m->flight->has_total || m->flight->offset <= p->at)
        return false;
    for (size_t i = 0; i < m->flight->n_batch; i++) {
        if (!add_batch(&p->flight, &m->flight->batch[i]))
            return false;
    }
    p->at = m->flight->offset;
    p->total = m->flight->total;
    return true;
}

static int flight_ask(mn_client *c, struct pieces *p);

static void on_flight_piece(mn_client *c, const struct mn_result *r, void *user)
{
    struct pieces *p = user;
    struct mn_result copy = *r;

    if (r->error == MN_OK && p->at < p->total) {
        int e = flight_ask(c, p);

        if (e == MN_OK)
            return;
        snprintf(p->text, sizeof(p->text), "%s", c->message);
        copy = (struct mn_result){.error = e, .message = p->text};
    }
    if (copy.error != MN_OK)
        mn_flight_free(&p->flight);
    pieces_end(c, p, &copy);
}

static int flight_ask(mn_client *c, struct pieces *p)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__FlightGet get = MNC__FLIGHT_GET__INIT;
    Mnc__Cursor cursor = MNC__CURSOR__INIT;

    cursor.has_journal = cursor.has_position = get.has_offset = true;
    cursor.journal = p->record.journal;
    cursor.position = p->record.position;
    get.record = &cursor;
    get.offset = (uint32_t)p->at;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_FLIGHT_GET;
    m.flight_get = &get;
    return call_start(c, &m, NULL, p->timeout_ms, on_flight, on_flight_piece, p);
}

static struct pieces *pieces_new(mn_client *c, int timeout_ms, mn_result_fn *done, void *user)
{
    struct pieces *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        client_fail(c, MN_ERR_MEMORY, "out of memory");
        return NULL;
    }
    p->timeout_ms = timeout_ms;
    p->done = done;
    p->user = user;
    return p;
}

int mn_flight_get_async(mn_client *c, const struct mn_cursor *record, int timeout_ms, mn_result_fn *done, void *user)
{
    struct pieces *p = pieces_new(c, timeout_ms, done, user);
    int r;

    if (p == NULL)
        return MN_ERR_MEMORY;
    p->record = *record;
    r = flight_ask(c, p);
    if (r != MN_OK)
        free(p);
    return r;
}

int mn_flight_get(mn_client *c, const struct mn_cursor *record, struct mn_flight *out, int timeout_ms)
{
    *out = (struct mn_flight){0};
    WAIT(c, out, mn_flight_get_async(c, record, timeout_ms, client_wake, &w));
}

static bool on_backup(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    const Mnc__JournalBackupReply *b = m->journal_backup;
    struct pieces *p = call->user;
    size_t written = 0;

    (void)c;
    if (m->body_case != MNC__SERVER_MESSAGE__BODY_JOURNAL_BACKUP || !b->has_total || !b->has_piece || (b->piece.len == 0 && p->at < b->total))
        return false;
    while (written < b->piece.len) {
        ssize_t n = write(p->fd, b->piece.data + written, b->piece.len - written);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            snprintf(p->text, sizeof(p->text), "the copy cannot be written: %s", strerror(errno));
            r->error = MN_ERR_INVALID;
            r->message = p->text;
            return true;
        }
        written += (size_t)n;
    }
    p->at += written;
    p->total = b->total;
    return true;
}

static int backup_ask(mn_client *c, struct pieces *p);

static void on_backup_piece(mn_client *c, const struct mn_result *r, void *user)
{
    struct pieces *p = user;
    struct mn_result copy = *r;

    if (r->error == MN_OK && p->at < p->total) {
        struct mn_result progress = {.message = "", .in_progress = true, .progress_permille = (uint32_t)(p->at * 1000 / p->total)};
        int e = backup_ask(c, p);

        if (e == MN_OK) {
            if (p->done != NULL)
                p->done(c, &progress, p->user);
            return;
        }
        snprintf(p->text, sizeof(p->text), "%s", c->message);
        copy = (struct mn_result){.error = e, .message = p->text};
    }
    pieces_end(c, p, &copy);
}

static int backup_ask(mn_client *c, struct pieces *p)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__JournalBackup backup = MNC__JOURNAL_BACKUP__INIT;

    backup.has_offset = true;
    backup.offset = p->at;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_JOURNAL_BACKUP;
    m.journal_backup = &backup;
    return call_start(c, &m, NULL, p->timeout_ms, on_backup, on_backup_piece, p);
}

int mn_journal_backup_async(mn_client *c, int fd, int timeout_ms, mn_result_fn *done, void *user)
{
    struct pieces *p = pieces_new(c, timeout_ms, done, user);
    int r;

    if (p == NULL)
        return MN_ERR_MEMORY;
    p->fd = fd;
    r = backup_ask(c, p);
    if (r != MN_OK)
        free(p);
    return r;
}

int mn_journal_backup(mn_client *c, int fd, int timeout_ms)
{
    struct waiter w = {0};

    return client_finish(c, &w, mn_journal_backup_async(c, fd, timeout_ms, client_wake, &w));
}

/* ---- the chain ---- */

static bool on_verified(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    const Mnc__JournalVerifyReply *v = m->journal_verify;

    (void)c;
    (void)call;
    if (m->body_case != MNC__SERVER_MESSAGE__BODY_JOURNAL_VERIFY || !v->has_good)
        return false;
    r->verified = (struct mn_verified){.good = v->good, .rows = v->rows};
    snprintf(r->verified.text, sizeof(r->verified.text), "%s", v->text != NULL ? v->text : "");
    return true;
}

int mn_journal_verify_async(mn_client *c, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__JournalVerify verify = MNC__JOURNAL_VERIFY__INIT;

    m.body_case = MNC__CLIENT_MESSAGE__BODY_JOURNAL_VERIFY;
    m.journal_verify = &verify;
    return call_start(c, &m, NULL, timeout_ms, on_verified, done, user);
}

int mn_journal_verify(mn_client *c, struct mn_verified *out, int timeout_ms)
{
    WAIT(c, out, mn_journal_verify_async(c, timeout_ms, client_wake, &w));
}
