/*
 * The journal's file: one SQLite database (WAL, synchronous=FULL), a row for each record, in the order in which they were
 * written. A row's position counts up over all pens and is never used again. It holds the pen's record as it came, and the
 * SHA-256 of its own fields and of the row before: what was changed or taken out shows in store_verify().
 *
 * Beside what pens bring there are notes of the daemon's own, with mnc.Note as their bytes: that a file was begun, that a pen
 * had overwritten records, that its memory was renewed, that old rows were dropped. Where rows were dropped, the chain goes on
 * from the hash of the last of them, which the note about it keeps as well.
 *
 * A store belongs to one thread at a time. Results are 0, or a negative errno with a sentence from store_why().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.pb-c.h"

#define JOURNAL_SERIAL_MAX 32
#define STORE_HASH 32                  /* bytes of a SHA-256 */
#define STORE_NOTE_MAX 12288           /* bytes of a note; a pen's record is much less */
#define STORE_BOUND_UNKNOWN UINT32_MAX /* host_us is that of the arrival; it happened before */

struct store;

struct journal_record {
    uint64_t position;                   /* in the journal, from 1; the store gives it */
    char serial[JOURNAL_SERIAL_MAX + 1]; /* "": of no pen */
    uint32_t volume;                     /* of the pen's memory, from 1: one more when it was renewed */
    uint32_t number;                     /* the pen's own, from 1; 0: a note that stands for none */
    uint32_t boot_id;
    uint64_t t_us;                       /* pen-monotonic, of that boot */
    uint64_t host_us;                    /* Unix time at which it happened ... */
    uint32_t host_bound_us;              /* ... give or take */
    uint32_t kind;                       /* mnc.JournalKind, of which mnp.RecordKind is the beginning; 0: unknown */
    uint32_t code;                       /* of a fault; the number of a treatment session; else 0 */
    const uint8_t *bytes;                /* mnp.Record as it came, or mnc.Note */
    size_t length;
};

/* Which records somebody wants to see. Of notes, only pen and time are asked: whoever looks for faults wants to know of a loss; but treatment
 * sessions are not told to those who ask for kinds. */
struct journal_filter {
    char serial[JOURNAL_SERIAL_MAX + 1]; /* "": of all pens */
    uint32_t kinds;                      /* bit i: kind i; 0: all */
    char priorities[4];                  /* of faults, "HM"; "": all */
    uint64_t since_us, until_us;         /* Unix time; 0: no limit */
};

struct store_limits {
    uint64_t keep_us;    /* rows that are older and were exported are dropped */
    uint64_t max_bytes;  /* the same for the oldest, when the file is larger */
    uint64_t free_bytes; /* with less of the disk left the oldest are dropped, exported or not */
};

struct store_pen { /* how far a pen has come */
    char serial[JOURNAL_SERIAL_MAX + 1];
    uint32_t volume, newest;
    uint32_t boot_id; /* of the newest, with t_us its identity; both 0: it was a note */
    uint64_t t_us;
};

/*
 * Opens or makes the file, which is this store's alone until it is closed (store_file.h says what is refused, and left as it is). A journal that is damaged
 * is set aside as FILE.damaged-N, and a new one is begun: why says so, and the result is 0. One of a later version of this daemon is left alone:
 * -EPROTONOSUPPORT. *out is NULL unless 0.
 */
int store_open(struct store **out, const char *path, char *why, size_t cap);
void store_close(struct store *s);
const char *store_why(const struct store *s);
/* For past.c: the database, and what to make of a code of it that is no success. */
struct sqlite3 *store_sqlite(struct store *s);
int store_failed(struct store *s, int code);

/* Another one for each file: positions of different journals cannot be compared. */
uint64_t store_id(const struct store *s);
/* All pens that have rows, one by one. False stops it, with -ENOMEM. */
int store_pens(struct store *s, bool (*each)(void *ctx, const struct store_pen *p), void *ctx);

/* All between begin and commit is on disk after commit, or nothing. A record that is there already changes nothing and gets position 0. */
int store_begin(struct store *s);
int store_insert(struct store *s, struct journal_record *r);
/* The telemetry around a record that is there or was inserted before. */
int store_insert_flight(struct store *s, const struct journal_record *r);
int store_commit(struct store *s);
void store_rollback(struct store *s);

/*
 * The rows behind a position that the filter lets pass, in order, until each() returns false: that row is not counted as read.
 * *position is moved to the last row that was looked at; at most some thousand are. *end: there is none behind it. *missed:
 * rows behind the position that were dropped before they were read.
 */
int store_read(struct store *s, uint64_t *position, const struct journal_filter *f, bool (*each)(void *ctx, const struct journal_record *r),
               void *ctx, bool *end, uint64_t *missed);
bool store_wants(const struct journal_filter *f, const struct journal_record *r);
/* Rows about treatment sessions, the newest session first (of numbers below this one; 0: of all), those of one session in the order in which
 * they were written, until each() returns false. */
int store_sessions(struct store *s, uint32_t below, bool (*each)(void *ctx, const struct journal_record *r), void *ctx);
/* The last position there is; 0: none. */
int store_last(struct store *s, uint64_t *position);
/* Of a record's flight, as it was inserted: the bytes from offset on, at most cap. -ENOENT: it has none. */
int store_flight(struct store *s, uint64_t position, size_t offset, uint8_t *out, size_t cap, size_t *n, size_t *total);

/* All through this position is in somebody's hands. */
int store_exported(struct store *s, uint64_t position);
/* Drops what is too old or too much, in a transaction of its own, with a note. *note: its row, whose content is bytes, or position 0. */
int store_trim(struct store *s, const struct store_limits *limits, struct journal_record *note, uint8_t bytes[STORE_NOTE_MAX]);
/* Packs a note into bytes, as the record's content, which happens now. */
void store_note(struct journal_record *r, uint32_t kind, const Mnc__Note *note, uint8_t bytes[STORE_NOTE_MAX]);

/* Reads a file whole, without changing it: *rows of it are right from the first on. (Of flights, a change shows, not an absence.) 0: all of them; -EBADMSG: the row behind them
 * was changed, or one is missing before it; or another negative errno. One sentence in why. Needs no store. */
int store_verify(const char *path, uint64_t *rows, char *why, size_t cap);
/* A copy of the file as it is at one moment, while others write it; to must not exist. -ENOSPC: less than free_bytes of the disk would be left. */
int store_backup(const char *path, const char *to, uint64_t free_bytes, char *why, size_t cap);
