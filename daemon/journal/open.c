#include "store.h"
#include "claim.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { BUSY_MS = 2000, CANCEL_EVERY = 1000 /* instructions of SQLite's virtual machine */ };

/* What each version of the schema adds to the previous one. Append only. */
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

/* SQLITE_OK if all pages are consistent. */
static int check_pages(sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    int r = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &q, NULL);

    if (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_ROW)
        r = strcmp((const char *)sqlite3_column_text(q, 0), "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
    sqlite3_finalize(q);
    return r;
}

/* Writes the first row, which says how the file was created. */
static int begin_journal(struct store *s, const char *text)
{
    struct journal_record r = {.volume = 1};
    uint8_t bytes[JOURNAL_NOTE_MAX];
    Mnc__Note note = MNC__NOTE__INIT;
    sqlite3_stmt *q = NULL;
    int result = SQLITE_OK;

    memset(s->chain, 0, JOURNAL_HASH);
    while (s->id == 0) {
        if (getrandom(&s->id, sizeof(s->id), 0) != sizeof(s->id))
            return SQLITE_IOERR;
        s->id &= INT64_MAX;
    }
    result = sqlite3_prepare_v2(s->db, "INSERT INTO journal(one, id, anchor, exported) VALUES(1, ?, ?, 0)", -1, &q, NULL);
    if (result == SQLITE_OK) {
        sqlite3_bind_int64(q, 1, (sqlite3_int64)s->id);
        sqlite3_bind_blob(q, 2, s->chain, JOURNAL_HASH, SQLITE_STATIC);
        result = store_run(q);
    }
    sqlite3_finalize(q);
    if (result != SQLITE_OK)
        return result;
    note.has_journal = true;
    note.journal = s->id;
    note.text = (char *)(uintptr_t)text;
    journal_note(&r, MNC__JOURNAL_KIND__JOURNAL_BEGUN, &note, bytes);
    return store_insert(s, &r) == 0 ? SQLITE_OK : SQLITE_IOERR;
}

static int read_id(struct store *s)
{
    sqlite3_int64 id = 0;
    int r = store_ask(s->db, "SELECT id FROM journal", 0, 0, &id);

    s->id = (uint64_t)id;
    return r == SQLITE_OK && id <= 0 ? SQLITE_CORRUPT : r;
}

/* Fills the tables of past.h from the rows of a journal that was made before they existed. */
static int fill_past(struct store *s)
{
    sqlite3_stmt *q = NULL;
    int r = past_begin(s->db);

    if (r == SQLITE_OK)
        r = read_id(s);
    if (r == SQLITE_OK)
        r = sqlite3_prepare_v2(s->db, STORE_ROWS, -1, &q, NULL);
    if (r == SQLITE_OK)
        r = sqlite3_bind_int64(q, 1, 0);
    while (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_ROW) {
        struct journal_record record;
        const uint8_t *chain;

        r = !store_row(q, &record, &chain) ? SQLITE_CORRUPT : record.kind != MNC__JOURNAL_KIND__JOURNAL_BEGUN ? past_note(s->db, s->id, &record) : SQLITE_OK;
    }
    sqlite3_finalize(q);
    return r == SQLITE_DONE ? SQLITE_OK : r;
}

/* Migrates the schema to our version in one transaction; an empty file gets its first row as well. */
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
        r = store_prepare(s);
    if (r == SQLITE_OK)
        r = from == 0 ? begin_journal(s, text) : from < PAST_SCHEMA ? fill_past(s) : SQLITE_OK;
    if (r == SQLITE_OK)
        r = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    return r;
}

/* Reads the journal's id and the end of its chain. */
static int read_journal(struct store *s)
{
    sqlite3_stmt *q = NULL;
    int r = read_id(s);

    if (r == SQLITE_OK)
        r = chain_anchor(s->db, s->chain);
    if (r == SQLITE_OK)
        r = sqlite3_prepare_v2(s->db, "SELECT chain FROM records ORDER BY position DESC LIMIT 1", -1, &q, NULL);
    if (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_ROW && sqlite3_column_bytes(q, 0) == JOURNAL_HASH)
        memcpy(s->chain, sqlite3_column_blob(q, 0), JOURNAL_HASH);
    sqlite3_finalize(q);
    return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

static int is_cancelled(void *cancel)
{
    return atomic_load((const atomic_bool *)cancel);
}

/* Returns an SQLite code; SQLITE_SCHEMA if the file is of a later version. text goes into the first row of a new file. */
static int open_db(struct store *s, const atomic_bool *cancel, const char *text)
{
    sqlite3_int64 version = 0, application = 0, pages = 0;
    char mark[60];
    int r = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    if (cancel != NULL && s->db != NULL)
        sqlite3_progress_handler(s->db, CANCEL_EVERY, is_cancelled, (void *)(uintptr_t)cancel);
    snprintf(mark, sizeof(mark), "PRAGMA application_id=%d", JOURNAL_APPLICATION_ID);
    if (r == SQLITE_OK)
        r = sqlite3_busy_timeout(s->db, BUSY_MS);
    if (r == SQLITE_OK)
        r = store_ask(s->db, "PRAGMA page_count", 0, 0, &pages);
    if (r == SQLITE_OK && pages == 0) /* set before a WAL exists, so that the file's header has the id from the beginning */
        r = sqlite3_exec(s->db, mark, NULL, NULL, NULL);
    if (r == SQLITE_OK)
        r = sqlite3_exec(s->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", NULL, NULL, NULL);
    if (r != SQLITE_OK || (r = store_ask(s->db, "PRAGMA user_version", 0, 0, &version)) != SQLITE_OK ||
        (r = store_ask(s->db, "PRAGMA application_id", 0, 0, &application)) != SQLITE_OK ||
        (r = store_ask(s->db, "PRAGMA page_count", 0, 0, &pages)) != SQLITE_OK)
        return r;
    if (version != 0 || pages > 1) {
        if (application != JOURNAL_APPLICATION_ID || version < 0)
            return SQLITE_NOTADB;
        if (version > SCHEMA)
            return SQLITE_SCHEMA;
        r = check_pages(s->db);
    }
    if (r == SQLITE_OK)
        r = version < SCHEMA ? migrate(s, version, text) : store_prepare(s);
    r = r == SQLITE_OK ? read_journal(s) : r;
    sqlite3_progress_handler(s->db, 0, NULL, NULL);
    return r;
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

int store_open(struct store **out, const char *path, const atomic_bool *cancel, char *why, size_t cap)
{
    struct store *s = calloc(1, sizeof(*s));
    unsigned treated, uses;
    char aside[CLAIM_PATH_MAX];
    int r;

    *out = NULL;
    why[0] = '\0';
    if (s == NULL || (s->path = strdup(path)) == NULL) {
        free(s);
        snprintf(why, cap, "the journal %s cannot be opened: out of memory", path);
        return -ENOMEM;
    }
    r = claim_file(path, &s->lock, why, cap);
    if (r < 0) {
        store_close(s);
        return r;
    }
    r = open_db(s, cancel, NULL);
    if (r == SQLITE_NOTADB || r == SQLITE_CORRUPT) {
        int moved;

        close_db(s);
        moved = claim_set_aside(path, aside, sizeof(aside));
        if (moved < 0) {
            snprintf(why, cap, "the journal %s is damaged, and cannot be set aside: %s", path, strerror(-moved));
            store_close(s);
            return moved;
        }
        if ((moved = claim_private(path, why, cap)) < 0) {
            store_close(s);
            return moved;
        }
        snprintf(why, cap, "the journal %s was damaged: it is kept as %s, and a new one is begun", path, aside);
        r = open_db(s, NULL, why); /* not cancelled: what must not be forgotten is taken over once, now */
        if (r == SQLITE_OK && (r = past_salvage(s->db, aside, &treated, &uses)) == SQLITE_OK && treated + uses > 0)
            snprintf(why + strlen(why), cap - strlen(why), "; %u treated zones and %u uses of cartridges were taken over from it", treated, uses);
    }
    if (r != SQLITE_OK) {
        bool later = r == SQLITE_SCHEMA, cancelled = r == SQLITE_INTERRUPT;

        snprintf(why, cap, later ? "the journal %s is of a later version of mnd%s" : "the journal %s cannot be opened: %s", path,
                 later ? ": update mnd" : sqlite3_errstr(r));
        store_close(s);
        return later ? -EPROTONOSUPPORT : cancelled ? -ECANCELED : -EIO;
    }
    *out = s;
    return 0;
}
