#include "journal.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "log.h"

enum { SCHEMA = 1, APPLICATION_ID = 0x4d4e4a31 /* "MNJ1" */, HASH = 32, RETRY_S = 1, BUSY_MS = 2000, RECORD_MAX = MN_FRAME_MAX };

struct entry {
    struct entry *next;
    struct journal_record r; /* r.bytes is bytes */
    uint32_t volume;
    uint8_t bytes[];
};

struct list {
    struct entry *first, **end;
};

struct source { /* a pen */
    char serial[JOURNAL_SERIAL_MAX + 1];
    uint32_t volume, newest;
};

struct journal {
    struct journal_observer observer;
    char *path;
    /* the loop's */
    struct source *sources;
    size_t source_count, source_cap;
    unsigned queued; /* appended and not yet reported */
    int done_fd;
    sd_event_source *done_source;
    /* between the two */
    pthread_t worker;
    bool has_worker;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list waiting, done;
    bool stopping, state_is_new, writable;
    char sentence[300];
    /* the worker's */
    sqlite3 *db;
    sqlite3_stmt *insert;
    uint8_t chain[HASH];
};

static const char schema_sql[] = "CREATE TABLE records("
                                 " id INTEGER PRIMARY KEY, serial TEXT NOT NULL, volume INTEGER NOT NULL, number INTEGER NOT NULL,"
                                 " boot_id INTEGER NOT NULL, t_us INTEGER NOT NULL, host_us INTEGER NOT NULL, kind INTEGER NOT NULL,"
                                 " code INTEGER NOT NULL, bytes BLOB NOT NULL, chain BLOB NOT NULL, UNIQUE(serial, volume, number)) STRICT;";
static const char insert_sql[] = "INSERT INTO records(serial, volume, number, boot_id, t_us, host_us, kind, code, bytes, chain)"
                                 " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
static const char select_sql[] = "SELECT serial, volume, number, boot_id, t_us, host_us, kind, code, bytes, chain FROM records ORDER BY id";
static const char sources_sql[] = "SELECT serial, volume, MAX(number) FROM records AS r WHERE volume ="
                                  " (SELECT MAX(volume) FROM records WHERE serial = r.serial) GROUP BY serial";

/* ---- lists ---- */

static void list_init(struct list *l)
{
    l->first = NULL;
    l->end = &l->first;
}

static void list_add(struct list *l, struct entry *e)
{
    e->next = NULL;
    *l->end = e;
    l->end = &e->next;
}

/* All of from, behind what is in to. */
static void list_move(struct list *to, struct list *from)
{
    if (from->first == NULL)
        return;
    *to->end = from->first;
    to->end = from->end;
    list_init(from);
}

static void list_free(struct list *l)
{
    for (struct entry *e = l->first, *next; e != NULL; e = next) {
        next = e->next;
        free(e);
    }
    list_init(l);
}

/* ---- the chain ---- */

static void put_u64(uint8_t *p, uint64_t v)
{
    mn_put_u32(p, (uint32_t)v);
    mn_put_u32(p + 4, (uint32_t)(v >> 32));
}

/* SHA-256 of the hash before, the serial number with its 0, seven fields of 8 bytes, and the record. */
static bool chain_next(uint8_t out[HASH], const uint8_t before[HASH], const struct journal_record *r, uint32_t volume)
{
    const uint64_t fields[] = {volume, r->number, r->boot_id, r->t_us, r->host_us, r->kind, r->code};
    uint8_t bytes[HASH + JOURNAL_SERIAL_MAX + 1 + sizeof(fields) + RECORD_MAX];
    size_t n = HASH, serial = strlen(r->serial) + 1;

    if (r->length > RECORD_MAX || serial > JOURNAL_SERIAL_MAX + 1)
        return false;
    memcpy(bytes, before, HASH);
    memcpy(bytes + n, r->serial, serial);
    n += serial;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++, n += 8)
        put_u64(bytes + n, fields[i]);
    memcpy(bytes + n, r->bytes, r->length);
    return EVP_Q_digest(NULL, "SHA256", NULL, bytes, n + r->length, out, NULL) == 1;
}

/* A row of select_sql. The record's pointers are SQLite's, good until the next step. */
static bool row_record(sqlite3_stmt *s, struct journal_record *r, uint32_t *volume, const uint8_t **chain)
{
    const unsigned char *serial = sqlite3_column_text(s, 0);

    if (serial == NULL || strlen((const char *)serial) > JOURNAL_SERIAL_MAX || sqlite3_column_bytes(s, 9) != HASH)
        return false;
    *r = (struct journal_record){
        .number = (uint32_t)sqlite3_column_int64(s, 2),
        .boot_id = (uint32_t)sqlite3_column_int64(s, 3),
        .t_us = (uint64_t)sqlite3_column_int64(s, 4),
        .host_us = (uint64_t)sqlite3_column_int64(s, 5),
        .kind = (uint32_t)sqlite3_column_int64(s, 6),
        .code = (uint32_t)sqlite3_column_int64(s, 7),
        .bytes = sqlite3_column_blob(s, 8),
        .length = (size_t)sqlite3_column_bytes(s, 8),
    };
    strcpy(r->serial, (const char *)serial);
    *volume = (uint32_t)sqlite3_column_int64(s, 1);
    *chain = sqlite3_column_blob(s, 9);
    return *chain != NULL;
}

/* ---- the worker ---- */

static int insert(struct journal *j, const struct entry *e, uint8_t chain[HASH])
{
    const struct journal_record *r = &e->r;
    uint8_t next[HASH];
    int result;

    if (!chain_next(next, chain, r, e->volume))
        return SQLITE_NOMEM;
    sqlite3_bind_text(j->insert, 1, r->serial, -1, SQLITE_STATIC);
    sqlite3_bind_int64(j->insert, 2, e->volume);
    sqlite3_bind_int64(j->insert, 3, r->number);
    sqlite3_bind_int64(j->insert, 4, r->boot_id);
    sqlite3_bind_int64(j->insert, 5, (sqlite3_int64)r->t_us);
    sqlite3_bind_int64(j->insert, 6, (sqlite3_int64)r->host_us);
    sqlite3_bind_int64(j->insert, 7, r->kind);
    sqlite3_bind_int64(j->insert, 8, r->code);
    sqlite3_bind_blob(j->insert, 9, e->bytes, (int)r->length, SQLITE_STATIC);
    sqlite3_bind_blob(j->insert, 10, next, HASH, SQLITE_STATIC);
    result = sqlite3_step(j->insert); /* a failed bind shows here: NOT NULL */
    if (result == SQLITE_DONE && sqlite3_changes(j->db) == 1)
        memcpy(chain, next, HASH);
    sqlite3_reset(j->insert);
    return result == SQLITE_DONE ? SQLITE_OK : result;
}

/* All of the batch, or nothing. */
static int write_batch(struct journal *j, const struct list *batch)
{
    uint8_t chain[HASH];
    int r = sqlite3_exec(j->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    memcpy(chain, j->chain, HASH);
    for (const struct entry *e = batch->first; r == SQLITE_OK && e != NULL; e = e->next)
        r = insert(j, e, chain);
    if (r == SQLITE_OK)
        r = sqlite3_exec(j->db, "COMMIT", NULL, NULL, NULL);
    if (r == SQLITE_OK)
        memcpy(j->chain, chain, HASH);
    else if (sqlite3_get_autocommit(j->db) == 0)
        sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

/* Under the lock. Tells the loop. */
static void tell(struct journal *j)
{
    uint64_t one = 1;

    if (write(j->done_fd, &one, sizeof(one)) != sizeof(one))
        log_error("the journal's worker cannot wake the loop: %s", strerror(errno));
}

static void set_state(struct journal *j, bool writable, const char *reason)
{
    char sentence[sizeof(j->sentence)];

    if (writable)
        snprintf(sentence, sizeof(sentence), "the journal %s is written again", j->path);
    else
        snprintf(sentence, sizeof(sentence), "the journal %s cannot be written: %s", j->path, reason);
    if (j->writable == writable && (writable || strcmp(j->sentence, sentence) == 0))
        return;
    j->writable = writable;
    j->state_is_new = true;
    strcpy(j->sentence, sentence);
}

static void *work(void *arg)
{
    struct journal *j = arg;
    struct list batch;

    list_init(&batch);
    pthread_mutex_lock(&j->lock);
    for (;;) {
        int r;

        while (batch.first == NULL && j->waiting.first == NULL && !j->stopping)
            pthread_cond_wait(&j->wake, &j->lock);
        list_move(&batch, &j->waiting);
        if (batch.first == NULL)
            break;
        pthread_mutex_unlock(&j->lock);
        r = write_batch(j, &batch);
        pthread_mutex_lock(&j->lock);
        set_state(j, r == SQLITE_OK, r != SQLITE_OK ? sqlite3_errstr(r) : "");
        if (r == SQLITE_OK) {
            list_move(&j->done, &batch);
            tell(j);
            continue;
        }
        if (j->state_is_new)
            tell(j);
        if (j->stopping)
            break; /* what waits was not acknowledged: its pens have it */
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += RETRY_S;
        while (!j->stopping && pthread_cond_timedwait(&j->wake, &j->lock, &until) != ETIMEDOUT)
            ;
    }
    pthread_mutex_unlock(&j->lock);
    list_free(&batch);
    return NULL;
}

/* ---- the loop ---- */

static struct source *source_of(const struct journal *j, const char *serial)
{
    for (size_t i = 0; i < j->source_count; i++) {
        if (strcmp(j->sources[i].serial, serial) == 0)
            return &j->sources[i];
    }
    return NULL;
}

/* Makes it if need be; NULL without memory. */
static struct source *source_for(struct journal *j, const char *serial)
{
    struct source *s = source_of(j, serial);

    if (s != NULL)
        return s;
    if (j->source_count == j->source_cap) {
        size_t cap = j->source_cap == 0 ? 16 : 2 * j->source_cap;

        s = realloc(j->sources, cap * sizeof(*s));
        if (s == NULL)
            return NULL;
        j->sources = s;
        j->source_cap = cap;
    }
    s = &j->sources[j->source_count++];
    *s = (struct source){.volume = 1};
    snprintf(s->serial, sizeof(s->serial), "%s", serial);
    return s;
}

static int on_done(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    struct journal *j = userdata;
    char sentence[sizeof(j->sentence)];
    bool is_new, writable;
    struct list done;
    uint64_t count;

    (void)source;
    (void)revents;
    if (read(fd, &count, sizeof(count)) < 0)
        return 0; /* EAGAIN: another turn had it */
    list_init(&done);
    pthread_mutex_lock(&j->lock);
    list_move(&done, &j->done);
    is_new = j->state_is_new;
    writable = j->writable;
    strcpy(sentence, j->sentence);
    j->state_is_new = false;
    pthread_mutex_unlock(&j->lock);
    if (is_new)
        j->observer.state(j->observer.ctx, writable, sentence);
    for (const struct entry *e = done.first; e != NULL; e = e->next) {
        struct source *s = source_of(j, e->r.serial);

        j->queued--;
        if (s == NULL || s->volume != e->volume || e->r.number <= s->newest)
            continue;
        s->newest = e->r.number;
        j->observer.committed(j->observer.ctx, &e->r);
    }
    list_free(&done);
    return 0;
}

bool journal_append(struct journal *j, const struct journal_record *r)
{
    struct source *s = source_for(j, r->serial);
    struct entry *e;

    if (s == NULL || j->queued >= JOURNAL_QUEUE_MAX || r->length > RECORD_MAX)
        return false;
    e = malloc(sizeof(*e) + r->length);
    if (e == NULL)
        return false;
    e->r = *r;
    e->volume = s->volume;
    memcpy(e->bytes, r->bytes, r->length);
    e->r.bytes = e->bytes;
    j->queued++;
    pthread_mutex_lock(&j->lock);
    list_add(&j->waiting, e);
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
    return true;
}

uint32_t journal_newest(const struct journal *j, const char *serial)
{
    const struct source *s = source_of(j, serial);

    return s != NULL ? s->newest : 0;
}

void journal_renew(struct journal *j, const char *serial, uint32_t after)
{
    struct source *s = source_for(j, serial);

    if (s == NULL)
        return;
    s->volume++;
    s->newest = after;
}

/* ---- opening ---- */

static int pragma(sqlite3 *db, const char *name, sqlite3_int64 *value)
{
    sqlite3_stmt *s = NULL;
    char sql[64];
    int r;

    snprintf(sql, sizeof(sql), "PRAGMA %s", name);
    r = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    if (r == SQLITE_OK && (r = sqlite3_step(s)) == SQLITE_ROW) {
        *value = sqlite3_column_int64(s, 0);
        r = SQLITE_OK;
    }
    sqlite3_finalize(s);
    return r;
}

/* SQLITE_OK if every page reads as it should. */
static int check_pages(sqlite3 *db)
{
    sqlite3_stmt *s = NULL;
    int r = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &s, NULL);

    if (r == SQLITE_OK && (r = sqlite3_step(s)) == SQLITE_ROW)
        r = strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
    sqlite3_finalize(s);
    return r;
}

static int make_schema(sqlite3 *db)
{
    char sql[sizeof(schema_sql) + 128];

    snprintf(sql, sizeof(sql), "BEGIN;%sPRAGMA application_id=%d;PRAGMA user_version=%d;COMMIT", schema_sql, APPLICATION_ID, SCHEMA);
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* A SQLite code; SQLITE_SCHEMA: of a later version. */
static int open_db(struct journal *j)
{
    sqlite3_int64 version = 0, application = 0, pages = 0;
    int r = sqlite3_open_v2(j->path, &j->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    if (r == SQLITE_OK)
        r = sqlite3_busy_timeout(j->db, BUSY_MS);
    if (r == SQLITE_OK)
        r = sqlite3_exec(j->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA locking_mode=NORMAL", NULL, NULL, NULL);
    if (r != SQLITE_OK || (r = pragma(j->db, "user_version", &version)) != SQLITE_OK ||
        (r = pragma(j->db, "application_id", &application)) != SQLITE_OK || (r = pragma(j->db, "page_count", &pages)) != SQLITE_OK)
        return r;
    if (pages <= 1 && version == 0)
        r = make_schema(j->db);
    else if (application != APPLICATION_ID)
        r = SQLITE_NOTADB;
    else if (version > SCHEMA)
        r = SQLITE_SCHEMA;
    else
        r = check_pages(j->db);
    return r != SQLITE_OK ? r : sqlite3_prepare_v3(j->db, insert_sql, -1, SQLITE_PREPARE_PERSISTENT, &j->insert, NULL);
}

static void close_db(struct journal *j)
{
    sqlite3_finalize(j->insert);
    sqlite3_close(j->db);
    j->insert = NULL;
    j->db = NULL;
}

/* The file and what SQLite keeps beside it, out of the way, whole. */
static int set_aside(const char *path, char *aside, size_t cap)
{
    static const char *const tails[] = {"-wal", "-shm", ""}; /* the file itself last: until then it is found again */
    char from[4200], to[4200];
    unsigned n = 1;

    do
        snprintf(aside, cap, "%s.damaged-%u", path, n);
    while (access(aside, F_OK) == 0 && ++n < 10000);
    for (size_t i = 0; i < 3; i++) {
        snprintf(from, sizeof(from), "%s%s", path, tails[i]);
        snprintf(to, sizeof(to), "%s%s", aside, tails[i]);
        if (rename(from, to) < 0 && errno != ENOENT)
            return -errno;
    }
    return 0;
}

static int read_sources(struct journal *j)
{
    sqlite3_stmt *s = NULL;
    int r = sqlite3_prepare_v2(j->db, sources_sql, -1, &s, NULL);

    while (r == SQLITE_OK && (r = sqlite3_step(s)) == SQLITE_ROW) {
        const char *serial = (const char *)sqlite3_column_text(s, 0);
        struct source *source = serial != NULL ? source_for(j, serial) : NULL;

        if (source == NULL) {
            r = SQLITE_NOMEM;
            break;
        }
        source->volume = (uint32_t)sqlite3_column_int64(s, 1);
        source->newest = (uint32_t)sqlite3_column_int64(s, 2);
        r = SQLITE_OK;
    }
    sqlite3_finalize(s);
    if (r != SQLITE_DONE && r != SQLITE_OK)
        return r;
    r = sqlite3_prepare_v2(j->db, "SELECT chain FROM records ORDER BY id DESC LIMIT 1", -1, &s, NULL);
    if (r == SQLITE_OK && (r = sqlite3_step(s)) == SQLITE_ROW && sqlite3_column_bytes(s, 0) == HASH)
        memcpy(j->chain, sqlite3_column_blob(s, 0), HASH);
    sqlite3_finalize(s);
    return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

static int start_worker(struct journal *j, sd_event *event)
{
    pthread_condattr_t attr;
    sigset_t all, before;
    int r;

    j->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (j->done_fd < 0)
        return -errno;
    if ((r = sd_event_add_io(event, &j->done_source, j->done_fd, EPOLLIN, on_done, j)) < 0)
        return r;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&j->wake, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&j->worker, NULL, work, j);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    j->has_worker = r == 0;
    return -r;
}

int journal_open(struct journal **out, sd_event *event, const char *path, const struct journal_observer *observer, char *why, size_t cap)
{
    struct journal *j = calloc(1, sizeof(*j));
    char aside[4200];
    int r;

    why[0] = '\0';
    if (j == NULL || (j->path = strdup(path)) == NULL) {
        free(j);
        return -ENOMEM;
    }
    j->observer = *observer;
    j->done_fd = -1;
    j->writable = true;
    list_init(&j->waiting);
    list_init(&j->done);
    pthread_mutex_init(&j->lock, NULL);
    r = open_db(j);
    if (r == SQLITE_NOTADB || r == SQLITE_CORRUPT) {
        int moved;

        close_db(j);
        moved = set_aside(path, aside, sizeof(aside));
        if (moved < 0) {
            snprintf(why, cap, "the journal %s is damaged, and cannot be set aside: %s", path, strerror(-moved));
            journal_close(j);
            return moved;
        }
        snprintf(why, cap, "the journal %s was damaged: it is kept as %s, and a new one is begun", path, aside);
        r = open_db(j);
    }
    if (r == SQLITE_OK)
        r = read_sources(j);
    if (r != SQLITE_OK) {
        bool later = r == SQLITE_SCHEMA;

        snprintf(why, cap, later ? "the journal %s is of a later version of mnd%s" : "the journal %s cannot be opened: %s", path,
                 later ? ": update mnd" : sqlite3_errstr(r));
        journal_close(j);
        return later ? -EPROTONOSUPPORT : -EIO;
    }
    r = start_worker(j, event);
    if (r < 0) {
        snprintf(why, cap, "the journal's worker cannot be started: %s", strerror(-r));
        journal_close(j);
        return r;
    }
    *out = j;
    return 0;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    if (j->has_worker) {
        pthread_mutex_lock(&j->lock);
        j->stopping = true;
        pthread_cond_signal(&j->wake);
        pthread_mutex_unlock(&j->lock);
        pthread_join(j->worker, NULL);
        pthread_cond_destroy(&j->wake);
    }
    sd_event_source_disable_unref(j->done_source);
    if (j->done_fd >= 0)
        close(j->done_fd);
    pthread_mutex_destroy(&j->lock);
    close_db(j);
    list_free(&j->waiting);
    list_free(&j->done);
    free(j->sources);
    free(j->path);
    free(j);
}

/* ---- looking at it ---- */

int journal_verify(const char *path, uint64_t *rows, char *why, size_t cap)
{
    uint8_t chain[HASH] = {0}, next[HASH];
    sqlite3_stmt *s = NULL;
    sqlite3 *db = NULL;
    int r = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL), result = 0;

    *rows = 0;
    if (r == SQLITE_OK)
        r = sqlite3_busy_timeout(db, BUSY_MS);
    if (r == SQLITE_OK)
        r = sqlite3_prepare_v2(db, select_sql, -1, &s, NULL);
    while (r == SQLITE_OK && (r = sqlite3_step(s)) == SQLITE_ROW) {
        struct journal_record record;
        const uint8_t *stored;
        uint32_t volume;

        if (!row_record(s, &record, &volume, &stored) || !chain_next(next, chain, &record, volume) || memcmp(next, stored, HASH) != 0) {
            result = -EBADMSG;
            break;
        }
        memcpy(chain, next, HASH);
        ++*rows;
        r = SQLITE_OK;
    }
    if (result < 0)
        snprintf(why, cap, "%s: %" PRIu64 " records are as they were written; the next one was changed, or one before it is missing", path, *rows);
    else if (r != SQLITE_DONE)
        snprintf(why, cap, "%s cannot be read: %s", path, sqlite3_errstr(r));
    else
        snprintf(why, cap, "%s: all %" PRIu64 " records are as they were written", path, *rows);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return result < 0 ? result : r == SQLITE_DONE ? 0 : -EIO;
}
