#include "store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "fault.h"

enum { SCAN_MAX = 4000 };

static const char sessions_sql[] = "SELECT " STORE_COLUMNS ", position FROM records WHERE kind >= 37 AND code < ? ORDER BY code DESC, position";

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

bool journal_filter_matches(const struct journal_filter *f, const struct journal_record *r)
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
    return f->priorities[0] == '\0' || r->kind != MNC__JOURNAL_KIND__JOURNAL_FAULT || strchr(f->priorities, fault_priority(r->code)) != NULL;
}

/* Reads rows by one of STORE_ROWS, until each() returns false, to the end, or SCAN_MAX of them. */
static int read_rows(struct store *s, const char *sql, uint64_t from, const struct journal_filter *f, bool (*each)(void *ctx, const struct journal_record *r), void *ctx, uint64_t *last,
                     uint64_t *rows, bool *end)
{
    sqlite3_stmt *q = NULL;
    int r = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);

    *rows = 0;
    if (r == SQLITE_OK)
        r = sqlite3_bind_int64(q, 1, (sqlite3_int64)from);
    while (r == SQLITE_OK && *rows < SCAN_MAX && (r = sqlite3_step(q)) == SQLITE_ROW) {
        struct journal_record record;
        const uint8_t *chain;

        if (!store_row(q, &record, &chain)) {
            r = SQLITE_CORRUPT;
            break;
        }
        r = SQLITE_OK;
        if (journal_filter_matches(f, &record) && !each(ctx, &record))
            break;
        *last = record.position;
        ++*rows;
    }
    sqlite3_finalize(q);
    *end = r == SQLITE_DONE;
    return r == SQLITE_OK || r == SQLITE_DONE ? 0 : store_failed(s, r);
}

int store_read(struct store *s, uint64_t *position, const struct journal_filter *f, bool (*each)(void *ctx, const struct journal_record *r),
               void *ctx, bool *end, uint64_t *missed)
{
    uint64_t from = *position, rows;
    int r = read_rows(s, STORE_ROWS, from, f, each, ctx, position, &rows, end);

    *missed = *position - from - rows; /* positions are consecutive: the rows in a gap were dropped */
    return r;
}

int store_read_back(struct store *s, uint64_t *position, const struct journal_filter *f, bool (*each)(void *ctx, const struct journal_record *r), void *ctx, bool *end)
{
    uint64_t rows;

    return read_rows(s, STORE_ROWS_DOWN, *position != 0 ? *position : INT64_MAX, f, each, ctx, position, &rows, end);
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

        r = store_row(q, &record, &chain) ? SQLITE_OK : SQLITE_CORRUPT;
        if (r == SQLITE_OK && !each(ctx, &record))
            break;
    }
    sqlite3_finalize(q);
    return r == SQLITE_OK || r == SQLITE_DONE ? 0 : store_failed(s, r);
}

int store_last(struct store *s, uint64_t *position)
{
    sqlite3_int64 last = 0;
    int r = store_ask(s->db, "SELECT MAX(position) FROM records", 0, 0, &last);

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

int store_exported(struct store *s, uint64_t position)
{
    int r = store_ask(s->db, "UPDATE journal SET exported = MAX(exported, ?)", (sqlite3_int64)position, 0, NULL);

    return r == SQLITE_OK ? 0 : store_failed(s, r);
}
