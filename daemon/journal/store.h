/*
 * The journal's file as the worker sees it: one SQLite database (WAL, synchronous=FULL). A store belongs to one thread at a time. Results are 0, or a
 * negative errno with a sentence from store_why(), unless a function says that it returns an SQLite code.
 *
 *     open.c        schema, migration, what to do with a damaged file
 *     store.c       writing: transactions, rows, telemetry
 *     chain.c       the hash chain, and a row as a record
 *     query.c       reading
 *     retention.c   dropping what is too old or too much
 *     verify.c      a whole file: its chain, and a copy
 *     past.c        what is never forgotten
 *     claim.c       the file as a file: is it a journal, and whose?
 */
#pragma once

#include <sqlite3.h>

#include "journal.h"

struct store_pen { /* how far the records of a pen are on disk */
    char serial[JOURNAL_SERIAL_MAX + 1];
    uint32_t volume, newest;
    uint32_t boot_id; /* of the newest; with t_us its identity; both 0: it was a note */
    uint64_t t_us;
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *insert, *pen, *flight;
    uint64_t id;
    uint8_t chain[JOURNAL_HASH], chain_before[JOURNAL_HASH]; /* of the last row; of the last row that was committed */
    struct store_pen pen_now; /* of the last row's pen, not written yet; serial "": nothing to write */
    char *path;
    int lock; /* of claim_file() */
    char why[300];
};

/* As journal_open(). */
int store_open(struct store **out, const char *path, const atomic_bool *cancel, char *why, size_t cap);
/* Takes NULL. */
void store_close(struct store *s);
const char *store_why(const struct store *s);

/* All that is inserted between begin and commit is on disk after commit, or nothing is. */
int store_begin(struct store *s);
/* Assigns the record's position. A record that is there already changes nothing and gets position 0. */
int store_insert(struct store *s, struct journal_record *r);
/* The telemetry around a record that was inserted before. */
int store_insert_flight(struct store *s, const struct journal_record *r);
int store_commit(struct store *s);
void store_rollback(struct store *s);

/* Calls each() with every pen that has rows. False stops it, with -ENOMEM. */
int store_pens(struct store *s, bool (*each)(void *ctx, const struct store_pen *p), void *ctx);

/* Drops what is too old or too much, in a transaction of its own, with a note. *note: its row, whose content is bytes; position 0: nothing was dropped. */
int store_trim(struct store *s, const struct journal_limits *limits, struct journal_record *note, uint8_t bytes[JOURNAL_NOTE_MAX]);

/* ---- among the files above ---- */

#define STORE_COLUMNS "serial, volume, number, boot_id, t_us, host_us, host_bound_us, kind, code, bytes, chain"
/* For store_row(). One number: the position behind which to begin. */
#define STORE_ROWS "SELECT " STORE_COLUMNS ", position FROM records WHERE position > ? ORDER BY position"
/* The same downwards: the position before which to begin. */
#define STORE_ROWS_DOWN "SELECT " STORE_COLUMNS ", position FROM records WHERE position < ? ORDER BY position DESC"

/* Keeps the sentence of an SQLite code that is no success, and returns its negative errno. */
int store_failed(struct store *s, int code);
/* Runs a statement with up to two numbers; the first column of its first row, if there is one, is *value (or NULL). An SQLite code. */
int store_ask(sqlite3 *db, const char *sql, sqlite3_int64 a, sqlite3_int64 b, sqlite3_int64 *value);
/* Runs a prepared statement once, from its bindings. An SQLite code. */
int store_run(sqlite3_stmt *q);
/* Compiles the statements that insert. An SQLite code. */
int store_prepare(struct store *s);
/* Bytes of the file's disk that are free to this user; UINT64_MAX: not known. */
uint64_t store_disk_free(const char *path);

/* The hash on which the first row stands. An SQLite code. */
int chain_anchor(sqlite3 *db, uint8_t out[JOURNAL_HASH]);
/* SHA-256 of the hash before, the serial number with its 0, eight fields of 8 bytes, and the content. False: the content is too long. */
bool chain_next(uint8_t out[JOURNAL_HASH], const uint8_t before[JOURNAL_HASH], const struct journal_record *r);
void chain_hash(uint8_t out[JOURNAL_HASH], const uint8_t *bytes, size_t n);
/* A row of STORE_ROWS. The record's pointers are SQLite's, valid until the next step. False: it is no row of ours. */
bool store_row(sqlite3_stmt *q, struct journal_record *r, const uint8_t **chain);

/* The tables of the past, for the schema. */
extern const char past_schema[];
/* Keeps what this row says, in the transaction that is open. id is the journal's, from which its treatments are numbered. An SQLite code. */
int past_note(sqlite3 *db, uint64_t id, const struct journal_record *r);
/* Copies what can still be read of these tables in a damaged journal into a new one. An SQLite code, of what could not be written. Sessions lose their
 * numbers, which begin anew, and since_us stays that of the new journal: it is not claimed that all is known. */
int past_salvage(sqlite3 *db, const char *damaged, unsigned *treated, unsigned *uses);
/* A journal that had no such tables: nothing is known of the time before its first row. An SQLite code. */
int past_begin(sqlite3 *db);
