#include "store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

static const char insert_sql[] = "INSERT INTO records(" STORE_COLUMNS ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
static const char pen_sql[] = "INSERT INTO pens(serial, volume, newest, boot_id, t_us) VALUES(?, ?, ?, ?, ?) ON CONFLICT(serial) DO UPDATE SET"
                              " volume = excluded.volume, newest = excluded.newest, boot_id = excluded.boot_id, t_us = excluded.t_us";
static const char flight_sql[] = "INSERT INTO flights(position, bytes, hash) SELECT position, ?, ? FROM records"
                                 " WHERE serial = ? AND volume = ? AND number = ? AND number > 0 ON CONFLICT DO NOTHING";

int store_failed(struct store *s, int r)
{
    int extended = sqlite3_extended_errcode(s->db);

    snprintf(s->why, sizeof(s->why), "%s%s", sqlite3_errstr(r), extended == SQLITE_IOERR_WRITE ? " in write" : extended == SQLITE_IOERR_FSYNC ? " in fsync" : "");
    return r == SQLITE_FULL ? -ENOSPC : r == SQLITE_READONLY ? -EROFS : r == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

int store_ask(sqlite3 *db, const char *sql, sqlite3_int64 a, sqlite3_int64 b, sqlite3_int64 *value)
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

/* A failed binding is detected here, because no column may be NULL. */
int store_run(sqlite3_stmt *q)
{
    int r = sqlite3_step(q);

    sqlite3_reset(q);
    return r == SQLITE_DONE ? SQLITE_OK : r;
}

/* ---- transactions ---- */

int store_begin(struct store *s)
{
    int r = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    memcpy(s->chain_before, s->chain, JOURNAL_HASH);
    return r == SQLITE_OK ? 0 : store_failed(s, r);
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
        r = store_run(s->pen);
        s->pen_now.serial[0] = '\0';
    }
    return r == SQLITE_OK ? 0 : store_failed(s, r);
}

int store_insert(struct store *s, struct journal_record *r)
{
    uint8_t next[JOURNAL_HASH];
    const sqlite3_int64 fields[] = {r->volume, r->number, r->boot_id, (sqlite3_int64)r->t_us, (sqlite3_int64)r->host_us, r->host_bound_us, r->kind, r->code};
    int result;

    r->position = 0;
    if (!chain_next(next, s->chain, r))
        return store_failed(s, SQLITE_TOOBIG);
    sqlite3_bind_text(s->insert, 1, r->serial, -1, SQLITE_STATIC);
    for (int i = 0; i < 8; i++)
        sqlite3_bind_int64(s->insert, 2 + i, fields[i]);
    sqlite3_bind_blob(s->insert, 10, r->bytes, (int)r->length, SQLITE_STATIC);
    sqlite3_bind_blob(s->insert, 11, next, JOURNAL_HASH, SQLITE_STATIC);
    result = store_run(s->insert);
    if (result != SQLITE_OK)
        return store_failed(s, result);
    if (sqlite3_changes(s->db) == 0)
        return 0; /* stored already */
    r->position = (uint64_t)sqlite3_last_insert_rowid(s->db);
    memcpy(s->chain, next, JOURNAL_HASH);
    if ((result = past_note(s->db, s->id, r)) != SQLITE_OK)
        return store_failed(s, result);
    if (r->serial[0] == '\0' || (r->number == 0 && r->kind != MNC__JOURNAL_KIND__JOURNAL_RENEWED))
        return 0; /* a note, which has no number of the pen */
    if (strcmp(s->pen_now.serial, r->serial) != 0 && (result = write_pen(s)) < 0)
        return result;
    s->pen_now = (struct store_pen){.volume = r->volume, .newest = r->number, .boot_id = r->boot_id, .t_us = r->t_us};
    strcpy(s->pen_now.serial, r->serial);
    return 0;
}

int store_insert_flight(struct store *s, const struct journal_record *r)
{
    uint8_t hash[JOURNAL_HASH];
    int result;

    chain_hash(hash, r->bytes, r->length);
    sqlite3_bind_blob(s->flight, 1, r->bytes, (int)r->length, SQLITE_STATIC);
    sqlite3_bind_blob(s->flight, 2, hash, JOURNAL_HASH, SQLITE_STATIC);
    sqlite3_bind_text(s->flight, 3, r->serial, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s->flight, 4, r->volume);
    sqlite3_bind_int64(s->flight, 5, r->number);
    result = store_run(s->flight);
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
    memcpy(s->chain, s->chain_before, JOURNAL_HASH);
}

void journal_note(struct journal_record *r, uint32_t kind, const Mnc__Note *note, uint8_t bytes[JOURNAL_NOTE_MAX])
{
    r->kind = kind;
    r->host_us = clock_us(CLOCK_REALTIME);
    r->length = mnc__note__get_packed_size(note) <= JOURNAL_NOTE_MAX ? mnc__note__pack(note, bytes) : 0;
    r->bytes = bytes;
}

/* ---- life ---- */

int store_prepare(struct store *s)
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

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    sqlite3_finalize(s->insert);
    sqlite3_finalize(s->pen);
    sqlite3_finalize(s->flight);
    sqlite3_close(s->db);
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
