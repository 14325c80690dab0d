#include "store.h"

#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <nettle/sha2.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "past.h"
#include "store_file.h"

enum { BUSY_MS = 2000, RECORD_MAX = STORE_NOTE_MAX, SCAN_MAX = 4000 };

struct store {
    sqlite3 *db;
    sqlite3_stmt *insert, *pen, *flight;
    uint64_t id;
    uint8_t chain[STORE_HASH], chain_before[STORE_HASH]; /* of the last row; of the last one that was committed */
    struct store_pen pen_now; /* how far the pen of the last row has come, not written yet; serial "": nothing */
    char *path;
    int lock; /* of store_file_claim() */
    char why[300];
};

/* What each version of the schema adds to the one before. Only ever appended to. */
static const char *const versions[] = {
    "CREATE TABLE journal(one INTEGER PRIMARY KEY CHECK(one = 1), id INTEGER NOT NULL, anchor BLOB NOT NULL, exported INTEGER NOT NULL) STRICT;"
    "CREATE TABLE records(position INTEGER PRIMARY KEY AUTOINCREMENT, serial TEXT NOT NULL, volume INTEGER NOT NULL, number INTEGER NOT NULL,"
    " boot_id INTEGER NOT NULL, t_us INTEGER NOT NULL, host_us INTEGER NOT NULL, host_bound_us INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " code INTEGER NOT NULL, bytes BLOB NOT NULL, chain BLOB NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX once ON records(serial, volume, number) WHERE number > 0;"
    "CREATE TABLE pens(serial TEXT PRIMARY KEY, volume INTEGER NOT NULL, newest INTEGER NOT NULL, boot_id INTEGER NOT NULL,"
    " t_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE flights(position INTEGER PRIMARY KEY, bytes BLOB NOT NULL, hash BLOB NOT NULL) STRICT;",
    "CREATE INDEX sessions ON records(code, position) WHERE kind >= 37;",
    past_schema,
};
enum { SCHEMA = sizeof(versions) / sizeof(versions[0]), PAST_SCHEMA = 3 /* has past_schema */ };

#define COLUMNS "serial, volume, number, boot_id, t_us, host_us, host_bound_us, kind, code, bytes, chain"
static const char insert_sql[] = "INSERT INTO records(" COLUMNS ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
static const char pen_sql[] = "INSERT INTO pens(serial, volume, newest, boot_id, t_us) VALUES(?, ?, ?, ?, ?) ON CONFLICT(serial) DO UPDATE SET"
                              " volume = excluded.volume, newest = excluded.newest, boot_id = excluded.boot_id, t_us = excluded.t_us";
static const char flight_sql[] = "INSERT INTO flights(position, bytes, hash) SELECT position, ?, ? FROM records"
                                 " WHERE serial = ? AND volume = ? AND number = ? AND number > 0 ON CONFLICT DO NOTHING";
static const char rows_sql[] = "SELECT " COLUMNS ", position FROM records WHERE position > ? ORDER BY position";

static const char sessions_sql[] = "SELECT " COLUMNS ", position FROM records WHERE kind >= 37 AND code < ? ORDER BY code DESC, position";

int store_failed(struct store *s, int r)
{
    int extended = sqlite3_extended_errcode(s->db);

    snprintf(s->why, sizeof(s->why), "%s%s", sqlite3_errstr(r), extended == SQLITE_IOERR_WRITE ? " in write" : extended == SQLITE_IOERR_FSYNC ? " in fsync" : "");
    return r == SQLITE_FULL ? -ENOSPC : r == SQLITE_READONLY ? -EROFS : r == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

struct sqlite3 *store_sqlite(struct store *s)
{
    return s->db;
}

/* One statement with up to two numbers; its first column, if it has a row, is *value. A SQLite code. */
static int ask(sqlite3 *db, const char *sql, sqlite3_int64 a, sqlite3_int64 b, sqlite3_int64 *value)
{
    sqlite3_stmt *q = NULL;
    int r = sqlite3_prepare_v2(db, sql, -1, &q, NULL);

    if (r == SQLITE_OK && sqlite3_bind_parameter_count(q) > 0)
        r = sqlite3_bind_int64(q, 1, a);
    if (r == SQLITE_OK && sqlite3_bind_parameter_count(q) > 1)
        r = sqlite3_bind_int64(q, 2, b);
    if (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_ROW && value != NULL)
        *value = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

/* The hash that the first row that is kept stands on. */
static int read_anchor(sqlite3 *db, uint8_t out[STORE_HASH])
{
    sqlite3_stmt *q = NULL;
    int r = sqlite3_prepare_v2(db, "SELECT anchor FROM journal", -1, &q, NULL);

    if (r == SQLITE_OK)
        r = sqlite3_step(q) == SQLITE_ROW && sqlite3_column_bytes(q, 0) == STORE_HASH ? SQLITE_OK : SQLITE_CORRUPT;
    if (r == SQLITE_OK)
        memcpy(out, sqlite3_column_blob(q, 0), STORE_HASH);
    sqlite3_finalize(q);
    return r;
}

/* ---- the chain ---- */

static void put_u64(uint8_t *p, uint64_t v)
{
    mn_put_u32(p, (uint32_t)v);
    mn_put_u32(p + 4, (uint32_t)(v >> 32));
}

static void sha256(uint8_t out[STORE_HASH], const uint8_t *bytes, size_t n)
{
    struct sha256_ctx c;

    sha256_init(&c);
    sha256_update(&c, n, bytes);
    sha256_digest(&c, SHA256_DIGEST_SIZE, out);
}

/* SHA-256 of the hash before, the serial number with its 0, eight fields of 8 bytes, and the content. False: that is too long. */
static bool chain_next(uint8_t out[STORE_HASH], const uint8_t before[STORE_HASH], const struct journal_record *r)
{
    const uint64_t fields[] = {r->volume, r->number, r->boot_id, r->t_us, r->host_us, r->host_bound_us, r->kind, r->code};
    uint8_t bytes[STORE_HASH + JOURNAL_SERIAL_MAX + 1 + sizeof(fields) + RECORD_MAX];
    size_t n = STORE_HASH, serial = strlen(r->serial) + 1;

    if (r->length > RECORD_MAX)
        return false;
    memcpy(bytes, before, STORE_HASH);
    memcpy(bytes + n, r->serial, serial);
    n += serial;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++, n += 8)
        put_u64(bytes + n, fields[i]);
    memcpy(bytes + n, r->bytes, r->length);
    sha256(out, bytes, n + r->length);
    return true;
}

/* A row of rows_sql. The record's pointers are SQLite's, good until the next step. */
static bool row_record(sqlite3_stmt *q, struct journal_record *r, const uint8_t **chain)
{
    const unsigned char *serial = sqlite3_column_text(q, 0);

    if (serial == NULL || strlen((const char *)serial) > JOURNAL_SERIAL_MAX || sqlite3_column_bytes(q, 10) != STORE_HASH)
        return false;
    *r = (struct journal_record){
        .volume = (uint32_t)sqlite3_column_int64(q, 1),
        .number = (uint32_t)sqlite3_column_int64(q, 2),
        .boot_id = (uint32_t)sqlite3_column_int64(q, 3),
        .t_us = (uint64_t)sqlite3_column_int64(q, 4),
        .host_us = (uint64_t)sqlite3_column_int64(q, 5),
        .host_bound_us = (uint32_t)sqlite3_column_int64(q, 6),
        .kind = (uint32_t)sqlite3_column_int64(q, 7),
        .code = (uint32_t)sqlite3_column_int64(q, 8),
        .bytes = sqlite3_column_blob(q, 9),
        .length = (size_t)sqlite3_column_bytes(q, 9),
        .position = (uint64_t)sqlite3_column_int64(q, 11),
    };
    strcpy(r->serial, (const char *)serial);
    *chain = sqlite3_column_blob(q, 10);
    return *chain != NULL && (r->bytes != NULL || r->length == 0);
}

/* ---- writing ---- */

int store_begin(struct store *s)
{
    int r = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    memcpy(s->chain_before, s->chain, STORE_HASH);
    return r == SQLITE_OK ? 0 : store_failed(s, r);
}

/* Runs it once, from its bindings; a failed one shows here, because no column may be NULL. */
static int run(sqlite3_stmt *q)
{
    int r = sqlite3_step(q);

    sqlite3_reset(q);
    return r == SQLITE_DONE ? SQLITE_OK : r;
}

static int write_pen(struct store *s)
{
    const struct store_pen *p = &s->pen_now;
    int r = SQLITE_OK;

    if (p->serial[0] != '\0') {
        sqlite3_bind_text(s->pen, 1, p->serial, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s->pen, 2, p->volume);
        sqlite3_bind_int64(s->pen, 3, p->newest);
        sqlite3_bind_int64(s->pen, 4, p->boot_id);
        sqlite3_bind_int64(s->pen, 5, (sqlite3_int64)p->t_us);
        r = run(s->pen);
        s->pen_now.serial[0] = '\0';
    }
    return r == SQLITE_OK ? 0 : store_failed(s, r);
}

int store_insert(struct store *s, struct journal_record *r)
{
    uint8_t next[STORE_HASH];
    const sqlite3_int64 fields[] = {r->volume, r->number, r->boot_id, (sqlite3_int64)r->t_us, (sqlite3_int64)r->host_us, r->host_bound_us, r->kind, r->code};
    int result;

    r->position = 0;
    if (!chain_next(next, s->chain, r))
        return store_failed(s, SQLITE_TOOBIG);
    sqlite3_bind_text(s->insert, 1, r->serial, -1, SQLITE_STATIC);
    for (int i = 0; i < 8; i++)
        sqlite3_bind_int64(s->insert, 2 + i, fields[i]);
    sqlite3_bind_blob(s->insert, 10, r->bytes, (int)r->length, SQLITE_STATIC);
    sqlite3_bind_blob(s->insert, 11, next, STORE_HASH, SQLITE_STATIC);
    result = run(s->insert);
    if (result != SQLITE_OK)
        return store_failed(s, result);
    if (sqlite3_changes(s->db) == 0)
        return 0; /* it is there */
    r->position = (uint64_t)sqlite3_last_insert_rowid(s->db);
    memcpy(s->chain, next, STORE_HASH);
    if ((result = past_note(s->db, s->id, r)) != SQLITE_OK)
        return store_failed(s, result);
    if (r->serial[0] == '\0' || (r->number == 0 && r->kind != MNC__JOURNAL_KIND__JOURNAL_RENEWED))
        return 0; /* a note that is none of the pen's numbers */
    if (strcmp(s->pen_now.serial, r->serial) != 0 && (result = write_pen(s)) < 0)
        return result;
    s->pen_now = (struct store_pen){.volume = r->volume, .newest = r->number, .boot_id = r->boot_id, .t_us = r->t_us};
    strcpy(s->pen_now.serial, r->serial);
    return 0;
}

int store_insert_flight(struct store *s, const struct journal_record *r)
{
    uint8_t hash[STORE_HASH];
    int result;

    sha256(hash, r->bytes, r->length);
    sqlite3_bind_blob(s->flight, 1, r->bytes, (int)r->length, SQLITE_STATIC);
    sqlite3_bind_blob(s->flight, 2, hash, STORE_HASH, SQLITE_STATIC);
    sqlite3_bind_text(s->flight, 3, r->serial, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s->flight, 4, r->volume);
    sqlite3_bind_int64(s->flight, 5, r->number);
    result = run(s->flight);
    return result == SQLITE_OK ? 0 : store_failed(s, result);
}

int store_commit(struct store *s)
{
    int r = write_pen(s);

    if (r == 0 && (r = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL)) != SQLITE_OK)
        r = store_failed(s, r);
    return r;
}

void store_rollback(struct store *s)
{
    s->pen_now.serial[0] = '\0';
    if (sqlite3_get_autocommit(s->db) == 0)
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    memcpy(s->chain, s->chain_before, STORE_HASH);
}

void store_note(struct journal_record *r, uint32_t kind, const Mnc__Note *note, uint8_t bytes[STORE_NOTE_MAX])
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    r->kind = kind;
    r->host_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    r->length = mnc__note__get_packed_size(note) <= STORE_NOTE_MAX ? mnc__note__pack(note, bytes) : 0;
    r->bytes = bytes;
}

/* ---- opening ---- */

/* SQLITE_OK if every page reads as it should. */
static int check_pages(sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    int r = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &q, NULL);

    if (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_ROW)
        r = strcmp((const char *)sqlite3_column_text(q, 0), "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
    sqlite3_finalize(q);
    return r;
}

/* The first row, which says how the file came to be. */
static int begin_journal(struct store *s, const char *text)
{
    struct journal_record r = {.volume = 1};
    uint8_t bytes[STORE_NOTE_MAX];
    Mnc__Note note = MNC__NOTE__INIT;
    sqlite3_stmt *q = NULL;
    int result = SQLITE_OK;

    memset(s->chain, 0, STORE_HASH);
    while (s->id == 0) {
        if (getrandom(&s->id, sizeof(s->id), 0) != sizeof(s->id))
            return SQLITE_IOERR;
        s->id &= INT64_MAX;
    }
    result = sqlite3_prepare_v2(s->db, "INSERT INTO journal(one, id, anchor, exported) VALUES(1, ?, ?, 0)", -1, &q, NULL);
    if (result == SQLITE_OK) {
        sqlite3_bind_int64(q, 1, (sqlite3_int64)s->id);
        sqlite3_bind_blob(q, 2, s->chain, STORE_HASH, SQLITE_STATIC);
        result = run(q);
    }
    sqlite3_finalize(q);
    if (result != SQLITE_OK)
        return result;
    note.has_journal = true;
    note.journal = s->id;
    note.text = (char *)(uintptr_t)text;
    store_note(&r, MNC__JOURNAL_KIND__JOURNAL_BEGUN, &note, bytes);
    return store_insert(s, &r) == 0 ? SQLITE_OK : SQLITE_IOERR;
}

static int prepare(struct store *s)
{
    static const struct {
        size_t at;
        const char *sql;
    } all[] = {{offsetof(struct store, insert), insert_sql}, {offsetof(struct store, pen), pen_sql}, {offsetof(struct store, flight), flight_sql}};
    int r = SQLITE_OK;

    for (size_t i = 0; i < 3 && r == SQLITE_OK; i++)
        r = sqlite3_prepare_v3(s->db, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT, (sqlite3_stmt **)(void *)((char *)s + all[i].at), NULL);
    return r;
}

static int ask_id(struct store *s)
{
    sqlite3_int64 id = 0;
    int r = ask(s->db, "SELECT id FROM journal", 0, 0, &id);

    s->id = (uint64_t)id;
    return r == SQLITE_OK && id <= 0 ? SQLITE_CORRUPT : r;
}

/* A journal of before there were the tables of past.h gets them filled from its rows. */
static int fill_past(struct store *s)
{
    sqlite3_stmt *q = NULL;
    int r = past_begin(s->db);

    if (r == SQLITE_OK)
        r = ask_id(s);
    if (r == SQLITE_OK)
        r = sqlite3_prepare_v2(s->db, rows_sql, -1, &q, NULL);
    if (r == SQLITE_OK)
        r = sqlite3_bind_int64(q, 1, 0);
    while (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_ROW) {
        struct journal_record record;
        const uint8_t *chain;

        r = !row_record(q, &record, &chain) ? SQLITE_CORRUPT : record.kind != MNC__JOURNAL_KIND__JOURNAL_BEGUN ? past_note(s->db, s->id, &record) : SQLITE_OK;
    }
    sqlite3_finalize(q);
    return r == SQLITE_DONE ? SQLITE_OK : r;
}

/* From the file's version of the schema to ours, in one transaction; a file of nothing gets its first row, too. */
static int migrate(struct store *s, sqlite3_int64 from, const char *text)
{
    char sql[96];
    int r = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    for (sqlite3_int64 v = from; r == SQLITE_OK && v < SCHEMA; v++)
        r = sqlite3_exec(s->db, versions[v], NULL, NULL, NULL);
    snprintf(sql, sizeof(sql), "PRAGMA user_version=%d", SCHEMA);
    if (r == SQLITE_OK)
        r = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    if (r == SQLITE_OK)
        r = prepare(s);
    if (r == SQLITE_OK)
        r = from == 0 ? begin_journal(s, text) : from < PAST_SCHEMA ? fill_past(s) : SQLITE_OK;
    if (r == SQLITE_OK)
        r = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    return r;
}

/* Who it is, and where its chain has come to. */
static int read_journal(struct store *s)
{
    sqlite3_stmt *q = NULL;
    int r = ask_id(s);

    if (r == SQLITE_OK)
        r = read_anchor(s->db, s->chain);
    if (r == SQLITE_OK)
        r = sqlite3_prepare_v2(s->db, "SELECT chain FROM records ORDER BY position DESC LIMIT 1", -1, &q, NULL);
    if (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_ROW && sqlite3_column_bytes(q, 0) == STORE_HASH)
        memcpy(s->chain, sqlite3_column_blob(q, 0), STORE_HASH);
    sqlite3_finalize(q);
    return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

/* A SQLite code; SQLITE_SCHEMA: of a later version. text is for the first row of a new file. */
static int open_db(struct store *s, const char *text)
{
    sqlite3_int64 version = 0, application = 0, pages = 0;
    char mark[60];
    int r = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    snprintf(mark, sizeof(mark), "PRAGMA application_id=%d", STORE_APPLICATION_ID);
    if (r == SQLITE_OK)
        r = sqlite3_busy_timeout(s->db, BUSY_MS);
    if (r == SQLITE_OK)
        r = ask(s->db, "PRAGMA page_count", 0, 0, &pages);
    if (r == SQLITE_OK && pages == 0) /* before there is a log: the file is known by it from its first byte on */
        r = sqlite3_exec(s->db, mark, NULL, NULL, NULL);
    if (r == SQLITE_OK)
        r = sqlite3_exec(s->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", NULL, NULL, NULL);
    if (r != SQLITE_OK || (r = ask(s->db, "PRAGMA user_version", 0, 0, &version)) != SQLITE_OK ||
        (r = ask(s->db, "PRAGMA application_id", 0, 0, &application)) != SQLITE_OK ||
        (r = ask(s->db, "PRAGMA page_count", 0, 0, &pages)) != SQLITE_OK)
        return r;
    if (version != 0 || pages > 1) {
        if (application != STORE_APPLICATION_ID || version < 0)
            return SQLITE_NOTADB;
        if (version > SCHEMA)
            return SQLITE_SCHEMA;
        r = check_pages(s->db);
    }
    if (r == SQLITE_OK)
        r = version < SCHEMA ? migrate(s, version, text) : prepare(s);
    return r == SQLITE_OK ? read_journal(s) : r;
}

static void close_db(struct store *s)
{
    sqlite3_finalize(s->insert);
    sqlite3_finalize(s->pen);
    sqlite3_finalize(s->flight);
    sqlite3_close(s->db);
    s->insert = s->pen = s->flight = NULL;
    s->db = NULL;
    s->id = 0;
}

int store_open(struct store **out, const char *path, char *why, size_t cap)
{
    struct store *s = calloc(1, sizeof(*s));
    unsigned treated, uses;
    char aside[STORE_PATH_MAX];
    int r;

    *out = NULL;
    why[0] = '\0';
    if (s == NULL || (s->path = strdup(path)) == NULL) {
        free(s);
        snprintf(why, cap, "the journal %s cannot be opened: out of memory", path);
        return -ENOMEM;
    }
    r = store_file_claim(path, &s->lock, why, cap);
    if (r < 0) {
        store_close(s);
        return r;
    }
    r = open_db(s, NULL);
    if (r == SQLITE_NOTADB || r == SQLITE_CORRUPT) {
        int moved;

        close_db(s);
        moved = store_file_set_aside(path, aside, sizeof(aside));
        if (moved < 0) {
            snprintf(why, cap, "the journal %s is damaged, and cannot be set aside: %s", path, strerror(-moved));
            store_close(s);
            return moved;
        }
        snprintf(why, cap, "the journal %s was damaged: it is kept as %s, and a new one is begun", path, aside);
        r = open_db(s, why);
        if (r == SQLITE_OK && (r = past_salvage(s->db, aside, &treated, &uses)) == SQLITE_OK && treated + uses > 0)
            snprintf(why + strlen(why), cap - strlen(why), "; %u treated zones and %u uses of cartridges were taken over from it", treated, uses);
    }
    if (r != SQLITE_OK) {
        bool later = r == SQLITE_SCHEMA;

        snprintf(why, cap, later ? "the journal %s is of a later version of mnd%s" : "the journal %s cannot be opened: %s", path,
                 later ? ": update mnd" : sqlite3_errstr(r));
        store_close(s);
        return later ? -EPROTONOSUPPORT : -EIO;
    }
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    close_db(s);
    if (s->lock >= 0)
        close(s->lock);
    free(s->path);
    free(s);
}

const char *store_why(const struct store *s)
{
    return s->why;
}

uint64_t store_id(const struct store *s)
{
    return s->id;
}

/* ---- reading ---- */

int store_pens(struct store *s, bool (*each)(void *ctx, const struct store_pen *p), void *ctx)
{
    sqlite3_stmt *q = NULL;
    int r = sqlite3_prepare_v2(s->db, "SELECT serial, volume, newest, boot_id, t_us FROM pens", -1, &q, NULL);

    while (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_pen p = {
            .volume = (uint32_t)sqlite3_column_int64(q, 1),
            .newest = (uint32_t)sqlite3_column_int64(q, 2),
            .boot_id = (uint32_t)sqlite3_column_int64(q, 3),
            .t_us = (uint64_t)sqlite3_column_int64(q, 4),
        };
        const char *serial = (const char *)sqlite3_column_text(q, 0);

        snprintf(p.serial, sizeof(p.serial), "%s", serial != NULL ? serial : "");
        r = serial != NULL && each(ctx, &p) ? SQLITE_OK : SQLITE_NOMEM;
    }
    sqlite3_finalize(q);
    return r == SQLITE_DONE ? 0 : store_failed(s, r);
}

static char priority_of(uint32_t code)
{
    switch (code) {
#define FAULT(bit, code, name, priority, kind, effect, text, cure)                                                     \
    case code:                                                                                                         \
        return #priority[0];
#include "faults.def"
#undef FAULT
    default:
        return 'H'; /* of a later firmware: rather shown than not */
    }
}

bool store_wants(const struct journal_filter *f, const struct journal_record *r)
{
    if (f->serial[0] != '\0' && strcmp(f->serial, r->serial) != 0 && r->serial[0] != '\0')
        return false;
    if ((f->since_us != 0 && r->host_us < f->since_us) || (f->until_us != 0 && r->host_us > f->until_us))
        return false;
    if (r->kind >= MNC__JOURNAL_KIND__JOURNAL_SESSION_BEGUN && r->kind <= MNC__JOURNAL_KIND__JOURNAL_ADVERSE)
        return f->kinds == 0;
    if (r->kind >= MNC__JOURNAL_KIND__JOURNAL_BEGUN)
        return true;
    if (f->kinds != 0 && (f->kinds >> r->kind & 1) == 0)
        return false;
    return f->priorities[0] == '\0' || r->kind != MNC__JOURNAL_KIND__JOURNAL_FAULT || strchr(f->priorities, priority_of(r->code)) != NULL;
}

int store_read(struct store *s, uint64_t *position, const struct journal_filter *f, bool (*each)(void *ctx, const struct journal_record *r),
               void *ctx, bool *end, uint64_t *missed)
{
    sqlite3_stmt *q = NULL;
    int r = sqlite3_prepare_v2(s->db, rows_sql, -1, &q, NULL), scanned = 0;

    *end = false;
    *missed = 0;
    if (r == SQLITE_OK)
        r = sqlite3_bind_int64(q, 1, (sqlite3_int64)*position);
    while (r == SQLITE_OK && scanned++ < SCAN_MAX && (r = sqlite3_step(q)) == SQLITE_ROW) {
        struct journal_record record;
        const uint8_t *chain;

        if (!row_record(q, &record, &chain)) {
            r = SQLITE_CORRUPT;
            break;
        }
        r = SQLITE_OK;
        if (store_wants(f, &record) && !each(ctx, &record))
            break;
        *missed += record.position - *position - 1; /* positions have no holes of their own */
        *position = record.position;
    }
    sqlite3_finalize(q);
    *end = r == SQLITE_DONE;
    return r == SQLITE_OK || r == SQLITE_DONE ? 0 : store_failed(s, r);
}

int store_sessions(struct store *s, uint32_t below, bool (*each)(void *ctx, const struct journal_record *r), void *ctx)
{
    sqlite3_stmt *q = NULL;
    int r = sqlite3_prepare_v2(s->db, sessions_sql, -1, &q, NULL);

    if (r == SQLITE_OK)
        r = sqlite3_bind_int64(q, 1, below != 0 ? below : INT64_MAX);
    while (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_ROW) {
        struct journal_record record;
        const uint8_t *chain;

        r = row_record(q, &record, &chain) ? SQLITE_OK : SQLITE_CORRUPT;
        if (r == SQLITE_OK && !each(ctx, &record))
            break;
    }
    sqlite3_finalize(q);
    return r == SQLITE_OK || r == SQLITE_DONE ? 0 : store_failed(s, r);
}

int store_last(struct store *s, uint64_t *position)
{
    sqlite3_int64 last = 0;
    int r = ask(s->db, "SELECT MAX(position) FROM records", 0, 0, &last);

    *position = (uint64_t)last;
    return r == SQLITE_OK ? 0 : store_failed(s, r);
}

int store_flight(struct store *s, uint64_t position, size_t offset, uint8_t *out, size_t cap, size_t *n, size_t *total)
{
    sqlite3_stmt *q = NULL;
    int r = sqlite3_prepare_v2(s->db, "SELECT bytes FROM flights WHERE position = ?", -1, &q, NULL), result = -ENOENT;

    *n = *total = 0;
    if (r == SQLITE_OK)
        r = sqlite3_bind_int64(q, 1, (sqlite3_int64)position);
    if (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_ROW) {
        *total = (size_t)sqlite3_column_bytes(q, 0);
        *n = offset < *total ? *total - offset : 0;
        *n = *n < cap ? *n : cap;
        if (*n > 0)
            memcpy(out, (const uint8_t *)sqlite3_column_blob(q, 0) + offset, *n);
        result = 0;
    }
    sqlite3_finalize(q);
    return r == SQLITE_ROW || r == SQLITE_DONE ? result : store_failed(s, r);
}

/* ---- retention ---- */

int store_exported(struct store *s, uint64_t position)
{
    int r = ask(s->db, "UPDATE journal SET exported = MAX(exported, ?)", (sqlite3_int64)position, 0, NULL);

    return r == SQLITE_OK ? 0 : store_failed(s, r);
}

static uint64_t disk_free(const char *path)
{
    char copy[STORE_PATH_MAX];
    struct statvfs v;

    snprintf(copy, sizeof(copy), "%s", path);
    return statvfs(dirname(copy), &v) == 0 ? (uint64_t)v.f_bavail * v.f_frsize : UINT64_MAX;
}

/* The last row to be dropped, and why; below the first: none. */
static int trim_through(struct store *s, const struct store_limits *limits, sqlite3_int64 *first, sqlite3_int64 *through, const char **reason)
{
    sqlite3_int64 last = 0, exported = 0, pages = 0, unused = 0, page_size = 0, young = INT64_MAX;
    struct timespec now;
    uint64_t now_us;
    int r;

    clock_gettime(CLOCK_REALTIME, &now);
    now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    *first = 0;
    *through = -1;
    if ((r = ask(s->db, "SELECT MIN(position) FROM records", 0, 0, first)) != SQLITE_OK ||
        (r = ask(s->db, "SELECT MAX(position) FROM records", 0, 0, &last)) != SQLITE_OK ||
        (r = ask(s->db, "SELECT exported FROM journal", 0, 0, &exported)) != SQLITE_OK ||
        (r = ask(s->db, "PRAGMA page_count", 0, 0, &pages)) != SQLITE_OK || (r = ask(s->db, "PRAGMA freelist_count", 0, 0, &unused)) != SQLITE_OK ||
        (r = ask(s->db, "PRAGMA page_size", 0, 0, &page_size)) != SQLITE_OK)
        return r;
    if (now_us > limits->keep_us &&
        (r = ask(s->db, "SELECT position FROM records WHERE host_us >= ? ORDER BY position LIMIT 1", (sqlite3_int64)(now_us - limits->keep_us), 0,
                 &young)) != SQLITE_OK)
        return r;
    if (young != INT64_MAX && young - 1 >= *first) {
        *through = young - 1;
        *reason = "they were older than is kept";
    }
    if ((uint64_t)((pages - unused) * page_size) > limits->max_bytes && *through < *first + (last - *first) / 8) {
        *through = *first + (last - *first) / 8;
        *reason = "there were more than are kept";
    }
    if (*through > exported)
        *through = exported;
    if (disk_free(s->path) + (uint64_t)(unused * page_size) < limits->free_bytes && *through < *first + (last - *first) / 8) {
        *through = *first + (last - *first) / 8;
        *reason = *through > exported ? "the disk was full; some had not been exported" : "the disk was full";
    }
    if (*through >= last)
        *through = last - 1; /* one row stays, for the chain */
    return SQLITE_OK;
}

static int trim(struct store *s, sqlite3_int64 first, sqlite3_int64 through, const char *reason, struct journal_record *note, uint8_t bytes[STORE_NOTE_MAX])
{
    static const char *const drop[] = {
        "UPDATE journal SET anchor = (SELECT chain FROM records WHERE position = ?)",
        "DELETE FROM records WHERE position <= ?",
        "DELETE FROM flights WHERE position <= ?",
    };
    uint8_t anchor[STORE_HASH];
    Mnc__Note content = MNC__NOTE__INIT;
    char text[160];
    int r = SQLITE_OK;

    for (size_t i = 0; r == SQLITE_OK && i < 3; i++)
        r = ask(s->db, drop[i], through, 0, NULL);
    if (r == SQLITE_OK)
        r = read_anchor(s->db, anchor);
    if (r != SQLITE_OK)
        return store_failed(s, r);
    snprintf(text, sizeof(text), "rows %" PRIu64 " to %" PRIu64 " of the journal were dropped: %s", (uint64_t)first, (uint64_t)through, reason);
    content.has_first = content.has_through = content.has_chain = true;
    content.first = (uint64_t)first;
    content.through = (uint64_t)through;
    content.text = text;
    content.chain = (ProtobufCBinaryData){.len = STORE_HASH, .data = anchor};
    *note = (struct journal_record){.volume = 1};
    store_note(note, MNC__JOURNAL_KIND__JOURNAL_DROPPED, &content, bytes);
    return store_insert(s, note);
}

int store_trim(struct store *s, const struct store_limits *limits, struct journal_record *note, uint8_t bytes[STORE_NOTE_MAX])
{
    sqlite3_int64 first, through;
    const char *reason = "";
    int r = trim_through(s, limits, &first, &through, &reason);

    note->position = 0;
    if (r != SQLITE_OK)
        return store_failed(s, r);
    if (first == 0 || through < first)
        return 0;
    r = store_begin(s);
    if (r == 0)
        r = trim(s, first, through, reason, note, bytes);
    if (r == 0)
        r = store_commit(s);
    if (r < 0) {
        store_rollback(s);
        note->position = 0;
    }
    return r;
}

/* ---- a whole file ---- */

static int open_to_read(const char *path, sqlite3 **db)
{
    int r = sqlite3_open_v2(path, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

    return r == SQLITE_OK ? sqlite3_busy_timeout(*db, BUSY_MS) : r;
}

/* The last row on which the kept ones stand, by the note that says so. */
static bool drops_to(const struct journal_record *r, const uint8_t anchor[STORE_HASH])
{
    Mnc__Note *note = mnc__note__unpack(NULL, r->length, r->bytes);
    bool same = note != NULL && note->chain.len == STORE_HASH && memcmp(note->chain.data, anchor, STORE_HASH) == 0;

    mnc__note__free_unpacked(note, NULL);
    return same;
}

/* The row whose telemetry was changed; 0: none. A SQLite code. */
static int changed_flight(sqlite3 *db, sqlite3_int64 *position)
{
    sqlite3_stmt *q = NULL;
    int r = sqlite3_prepare_v2(db, "SELECT position, bytes, hash FROM flights ORDER BY position", -1, &q, NULL);

    while (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_ROW) {
        const uint8_t *bytes = sqlite3_column_blob(q, 1);
        uint8_t hash[STORE_HASH];

        r = SQLITE_OK;
        sha256(hash, bytes != NULL ? bytes : hash, (size_t)sqlite3_column_bytes(q, 1));
        if (sqlite3_column_bytes(q, 2) != STORE_HASH || memcmp(hash, sqlite3_column_blob(q, 2), STORE_HASH) != 0) {
            *position = sqlite3_column_int64(q, 0);
            break;
        }
    }
    sqlite3_finalize(q);
    return r;
}

int store_verify(const char *path, uint64_t *rows, char *why, size_t cap)
{
    static const uint8_t none[STORE_HASH];
    uint8_t anchor[STORE_HASH], chain[STORE_HASH], next[STORE_HASH];
    bool bad = false, anchored = false;
    sqlite3_int64 flight = 0;
    sqlite3_stmt *q = NULL;
    sqlite3 *db = NULL;
    int r = open_to_read(path, &db);

    *rows = 0;
    if (r == SQLITE_OK && (r = read_anchor(db, anchor)) == SQLITE_OK)
        r = sqlite3_prepare_v2(db, rows_sql, -1, &q, NULL);
    if (r == SQLITE_OK) {
        memcpy(chain, anchor, STORE_HASH);
        anchored = memcmp(anchor, none, STORE_HASH) == 0; /* nothing was dropped */
        r = sqlite3_bind_int64(q, 1, 0);
    }
    while (r == SQLITE_OK && !bad && (r = sqlite3_step(q)) == SQLITE_ROW) {
        struct journal_record record;
        const uint8_t *stored;

        r = SQLITE_OK;
        bad = !row_record(q, &record, &stored) || !chain_next(next, chain, &record) || memcmp(next, stored, STORE_HASH) != 0;
        if (bad)
            break;
        anchored = anchored || (record.kind == MNC__JOURNAL_KIND__JOURNAL_DROPPED && drops_to(&record, anchor));
        memcpy(chain, next, STORE_HASH);
        ++*rows;
    }
    if (r == SQLITE_DONE && anchored)
        r = changed_flight(db, &flight);
    if (bad)
        snprintf(why, cap, "%s: %" PRIu64 " rows are as they were written; the next one was changed, or one before it is missing", path, *rows);
    else if (flight != 0)
        snprintf(why, cap, "%s: the telemetry that was kept with row %" PRIu64 " was changed", path, (uint64_t)flight);
    else if (r != SQLITE_DONE)
        snprintf(why, cap, "%s cannot be read: %s", path, sqlite3_errstr(r));
    else if (!anchored)
        snprintf(why, cap, "%s: rows before the first one are missing, and no row says that they were dropped", path);
    else
        snprintf(why, cap, "%s: all %" PRIu64 " rows are as they were written", path, *rows);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return bad || flight != 0 || (r == SQLITE_DONE && !anchored) ? -EBADMSG : r == SQLITE_DONE ? 0 : -EIO;
}

int store_backup(const char *path, const char *to, uint64_t free_bytes, char *why, size_t cap)
{
    sqlite3_int64 pages = 0, page_size = 0;
    sqlite3_stmt *q = NULL;
    sqlite3 *db = NULL;
    int r = open_to_read(path, &db);

    if (r == SQLITE_OK && (r = ask(db, "PRAGMA page_count", 0, 0, &pages)) == SQLITE_OK)
        r = ask(db, "PRAGMA page_size", 0, 0, &page_size);
    if (r == SQLITE_OK && disk_free(to) < (uint64_t)(pages * page_size) + free_bytes) {
        sqlite3_close(db);
        snprintf(why, cap, "%s is not copied: its disk has no room for a second one", path);
        return -ENOSPC;
    }
    if (r == SQLITE_OK)
        r = sqlite3_prepare_v2(db, "VACUUM INTO ?", -1, &q, NULL);
    if (r == SQLITE_OK)
        r = sqlite3_bind_text(q, 1, to, -1, SQLITE_STATIC);
    if (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_DONE)
        r = SQLITE_OK;
    sqlite3_finalize(q);
    sqlite3_close(db);
    if (r == SQLITE_OK)
        return 0;
    snprintf(why, cap, "%s cannot be copied: %s", path, sqlite3_errstr(r));
    return -EIO;
}
