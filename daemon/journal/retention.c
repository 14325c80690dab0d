#include "store.h"
#include "claim.h"

#include <inttypes.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <time.h>

#include "clock.h"

uint64_t store_disk_free(const char *path)
{
    char copy[CLAIM_PATH_MAX];
    struct statvfs v;

    snprintf(copy, sizeof(copy), "%s", path);
    return statvfs(dirname(copy), &v) == 0 ? (uint64_t)v.f_bavail * v.f_frsize : UINT64_MAX;
}

/* Finds the last row to be dropped, and why. Below the first row: none. */
static int trim_through(struct store *s, const struct journal_limits *limits, sqlite3_int64 *first, sqlite3_int64 *through, const char **reason)
{
    sqlite3_int64 last = 0, exported = 0, pages = 0, unused = 0, page_size = 0, young = INT64_MAX;
    uint64_t now_us = clock_us(CLOCK_REALTIME);
    int r;

    *first = 0;
    *through = -1;
    if ((r = store_ask(s->db, "SELECT MIN(position) FROM records", 0, 0, first)) != SQLITE_OK ||
        (r = store_ask(s->db, "SELECT MAX(position) FROM records", 0, 0, &last)) != SQLITE_OK ||
        (r = store_ask(s->db, "SELECT exported FROM journal", 0, 0, &exported)) != SQLITE_OK ||
        (r = store_ask(s->db, "PRAGMA page_count", 0, 0, &pages)) != SQLITE_OK || (r = store_ask(s->db, "PRAGMA freelist_count", 0, 0, &unused)) != SQLITE_OK ||
        (r = store_ask(s->db, "PRAGMA page_size", 0, 0, &page_size)) != SQLITE_OK)
        return r;
    if (now_us > limits->keep_us &&
        (r = store_ask(s->db, "SELECT position FROM records WHERE host_us >= ? ORDER BY position LIMIT 1", (sqlite3_int64)(now_us - limits->keep_us), 0,
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
    if (store_disk_free(s->path) + (uint64_t)(unused * page_size) < limits->free_bytes && *through < *first + (last - *first) / 8) {
        *through = *first + (last - *first) / 8;
        *reason = *through > exported ? "the disk was full; some had not been exported" : "the disk was full";
    }
    if (*through >= last)
        *through = last - 1; /* one row is kept as the start of the chain */
    return SQLITE_OK;
}

static int trim(struct store *s, sqlite3_int64 first, sqlite3_int64 through, const char *reason, struct journal_record *note, uint8_t bytes[JOURNAL_NOTE_MAX])
{
    static const char *const drop[] = {
        "UPDATE journal SET anchor = (SELECT chain FROM records WHERE position = ?)",
        "DELETE FROM records WHERE position <= ?",
        "DELETE FROM flights WHERE position <= ?",
    };
    uint8_t anchor[JOURNAL_HASH];
    Mnc__Note content = MNC__NOTE__INIT;
    char text[160];
    int r = SQLITE_OK;

    for (size_t i = 0; r == SQLITE_OK && i < 3; i++)
        r = store_ask(s->db, drop[i], through, 0, NULL);
    if (r == SQLITE_OK)
        r = chain_anchor(s->db, anchor);
    if (r != SQLITE_OK)
        return store_failed(s, r);
    snprintf(text, sizeof(text), "rows %" PRIu64 " to %" PRIu64 " of the journal were dropped: %s", (uint64_t)first, (uint64_t)through, reason);
    content.has_first = content.has_through = content.has_chain = true;
    content.first = (uint64_t)first;
    content.through = (uint64_t)through;
    content.text = text;
    content.chain = (ProtobufCBinaryData){.len = JOURNAL_HASH, .data = anchor};
    *note = (struct journal_record){.volume = 1};
    journal_note(note, MNC__JOURNAL_KIND__JOURNAL_DROPPED, &content, bytes);
    return store_insert(s, note);
}

int store_trim(struct store *s, const struct journal_limits *limits, struct journal_record *note, uint8_t bytes[JOURNAL_NOTE_MAX])
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
