#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BUSY_MS = 2000 };

/* ---- the chain ---- */

static int open_to_read(const char *path, sqlite3 **db)
{
    int r = sqlite3_open_v2(path, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

    return r == SQLITE_OK ? sqlite3_busy_timeout(*db, BUSY_MS) : r;
}

/* Whether this note of dropped rows has the hash that precedes the first kept row. */
static bool drops_to(const struct journal_record *r, const uint8_t anchor[JOURNAL_HASH])
{
    Mnc__Note *note = mnc__note__unpack(NULL, r->length, r->bytes);
    bool same = note != NULL && note->chain.len == JOURNAL_HASH && memcmp(note->chain.data, anchor, JOURNAL_HASH) == 0;

    mnc__note__free_unpacked(note, NULL);
    return same;
}

/* Finds the row whose telemetry was changed; 0: none. Returns an SQLite code. */
static int changed_flight(sqlite3 *db, sqlite3_int64 *position)
{
    sqlite3_stmt *q = NULL;
    int r = sqlite3_prepare_v2(db, "SELECT position, bytes, hash FROM flights ORDER BY position", -1, &q, NULL);

    while (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_ROW) {
        const uint8_t *bytes = sqlite3_column_blob(q, 1);
        uint8_t hash[JOURNAL_HASH];

        r = SQLITE_OK;
        chain_hash(hash, bytes != NULL ? bytes : hash, (size_t)sqlite3_column_bytes(q, 1));
        if (sqlite3_column_bytes(q, 2) != JOURNAL_HASH || memcmp(hash, sqlite3_column_blob(q, 2), JOURNAL_HASH) != 0) {
            *position = sqlite3_column_int64(q, 0);
            break;
        }
    }
    sqlite3_finalize(q);
    return r;
}

int journal_verify(const char *path, uint64_t *rows, char *why, size_t cap)
{
    static const uint8_t none[JOURNAL_HASH];
    uint8_t anchor[JOURNAL_HASH], chain[JOURNAL_HASH], next[JOURNAL_HASH];
    bool bad = false, anchored = false;
    sqlite3_int64 flight = 0;
    sqlite3_stmt *q = NULL;
    sqlite3 *db = NULL;
    int r = open_to_read(path, &db);

    *rows = 0;
    if (r == SQLITE_OK && (r = chain_anchor(db, anchor)) == SQLITE_OK)
        r = sqlite3_prepare_v2(db, STORE_ROWS, -1, &q, NULL);
    if (r == SQLITE_OK) {
        memcpy(chain, anchor, JOURNAL_HASH);
        anchored = memcmp(anchor, none, JOURNAL_HASH) == 0; /* nothing was dropped: the chain begins with zeros */
        r = sqlite3_bind_int64(q, 1, 0);
    }
    while (r == SQLITE_OK && !bad && (r = sqlite3_step(q)) == SQLITE_ROW) {
        struct journal_record record;
        const uint8_t *stored;

        r = SQLITE_OK;
        bad = !store_row(q, &record, &stored) || !chain_next(next, chain, &record) || memcmp(next, stored, JOURNAL_HASH) != 0;
        if (bad)
            break;
        anchored = anchored || (record.kind == MNC__JOURNAL_KIND__JOURNAL_DROPPED && drops_to(&record, anchor));
        memcpy(chain, next, JOURNAL_HASH);
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

/* ---- a copy ---- */

int journal_backup(const char *path, const char *to, uint64_t free_bytes, char *why, size_t cap)
{
    sqlite3_int64 pages = 0, page_size = 0;
    sqlite3_stmt *q = NULL;
    sqlite3 *db = NULL;
    int r = open_to_read(path, &db), fd = -1;

    if (r == SQLITE_OK && (r = store_ask(db, "PRAGMA page_count", 0, 0, &pages)) == SQLITE_OK)
        r = store_ask(db, "PRAGMA page_size", 0, 0, &page_size);
    if (r == SQLITE_OK && store_disk_free(to) < (uint64_t)(pages * page_size) + free_bytes) {
        sqlite3_close(db);
        snprintf(why, cap, "%s is not copied: its disk has no room for a second one", path);
        return -ENOSPC;
    }
    if (r == SQLITE_OK && (fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0) { /* SQLite takes an empty file, and leaves its mode */
        r = errno;
        sqlite3_close(db);
        snprintf(why, cap, "%s cannot be copied: %s: %s", path, to, strerror(r));
        return -EIO;
    }
    if (fd >= 0)
        close(fd);
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
    if (fd >= 0)
        unlink(to);
    snprintf(why, cap, "%s cannot be copied: %s", path, sqlite3_errstr(r));
    return -EIO;
}
