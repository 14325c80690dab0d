#include "store.h"

#include <nettle/sha2.h>
#include <sqlite3.h>
#include <string.h>

#include "frame.h"

int chain_anchor(sqlite3 *db, uint8_t out[JOURNAL_HASH])
{
    sqlite3_stmt *q = NULL;
    int r = sqlite3_prepare_v2(db, "SELECT anchor FROM journal", -1, &q, NULL);

    if (r == SQLITE_OK)
        r = sqlite3_step(q) == SQLITE_ROW && sqlite3_column_bytes(q, 0) == JOURNAL_HASH ? SQLITE_OK : SQLITE_CORRUPT;
    if (r == SQLITE_OK)
        memcpy(out, sqlite3_column_blob(q, 0), JOURNAL_HASH);
    sqlite3_finalize(q);
    return r;
}

static void put_u64(uint8_t *p, uint64_t v)
{
    mn_put_u32(p, (uint32_t)v);
    mn_put_u32(p + 4, (uint32_t)(v >> 32));
}

void chain_hash(uint8_t out[JOURNAL_HASH], const uint8_t *bytes, size_t n)
{
    struct sha256_ctx c;

    sha256_init(&c);
    sha256_update(&c, n, bytes);
    sha256_digest(&c, SHA256_DIGEST_SIZE, out);
}

bool chain_next(uint8_t out[JOURNAL_HASH], const uint8_t before[JOURNAL_HASH], const struct journal_record *r)
{
    const uint64_t fields[] = {r->volume, r->number, r->boot_id, r->t_us, r->host_us, r->host_bound_us, r->kind, r->code};
    uint8_t bytes[JOURNAL_HASH + JOURNAL_SERIAL_MAX + 1 + sizeof(fields) + JOURNAL_NOTE_MAX];
    size_t n = JOURNAL_HASH, serial = strlen(r->serial) + 1;

    if (r->length > JOURNAL_NOTE_MAX)
        return false;
    memcpy(bytes, before, JOURNAL_HASH);
    memcpy(bytes + n, r->serial, serial);
    n += serial;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++, n += 8)
        put_u64(bytes + n, fields[i]);
    memcpy(bytes + n, r->bytes, r->length);
    chain_hash(out, bytes, n + r->length);
    return true;
}

bool store_row(sqlite3_stmt *q, struct journal_record *r, const uint8_t **chain)
{
    const unsigned char *serial = sqlite3_column_text(q, 0);

    if (serial == NULL || strlen((const char *)serial) > JOURNAL_SERIAL_MAX || sqlite3_column_bytes(q, 10) != JOURNAL_HASH)
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
