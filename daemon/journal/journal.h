/*
 * The journal: every record of every pen, on disk before the pen is allowed to forget it and before any client is notified of it. It is one SQLite file
 * with a row for each record, in the order in which they were written. A row's position counts up over all pens and is never reused. A row has the
 * pen's record as it came, and the SHA-256 of its own fields and of the row before, so that a changed or removed row is found (journal_verify()).
 *
 * The file belongs to one worker thread, and the loop never waits for it:
 *
 *     loop                                      worker
 *     journal_append()       ---- queue ---->   all that is queued in one transaction: INSERT ..., COMMIT and its fsync
 *     observer->committed()  <-- eventfd ---    the records of that transaction, in order
 *     journal_work()         ---- queue ---->   work->run(), between two transactions, when all that was appended before it has been written
 *     work->done()           <-- eventfd ---    in the order of both
 *
 * While the disk fails, the worker retries every second and the queue fills; then journal_append() rejects, and nothing is lost: a pen keeps what was
 * not acknowledged, and is asked again. What is on disk can be read meanwhile: work runs without waiting for what cannot be written.
 *
 * A pen's record numbers never go back, unless its memory was replaced or another pen bears its serial number: journal_recognise() notices, and its
 * records continue in the next volume.
 *
 * Beside the pens' records there are notes of the daemon's own (mnc.Note): the file was begun, records were overwritten in a pen, a pen's memory was
 * renewed, old rows were dropped, sessions. Where rows were dropped the chain continues from the hash of the last of them, which the note keeps as well.
 *
 * Functions are for the loop's thread, unless they take a struct store: those are for work->run(), on the worker.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "client.pb-c.h"

#define JOURNAL_SERIAL_MAX 32
#define JOURNAL_HASH 32                  /* bytes of a SHA-256 */
#define JOURNAL_NOTE_MAX 12288           /* bytes of a note; a pen's record is much shorter */
#define JOURNAL_BOUND_UNKNOWN UINT32_MAX /* host_us is the time of arrival; the record was written before */
#define JOURNAL_QUEUE_MAX 1024           /* records that wait for the disk, of all pens together */

struct journal;
struct store; /* the open file, on the worker */

/* ---- records ---- */

struct journal_record {
    uint64_t position;                   /* in the journal, from 1; assigned when it is written */
    char serial[JOURNAL_SERIAL_MAX + 1]; /* "": of no pen */
    uint32_t volume;                     /* of the pen's memory, from 1: one more when that was renewed */
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

/* Which records are wanted. Notes are filtered by pen and time only, since somebody who looks for faults wants to know of a loss; notes of treatment
 * sessions are left out if kinds are named. */
struct journal_filter {
    char serial[JOURNAL_SERIAL_MAX + 1]; /* "": of all pens */
    uint32_t kinds;                      /* bit i: kind i; 0: all */
    char priorities[4];                  /* of faults, "HM"; "": all */
    uint64_t since_us, until_us;         /* Unix time; 0: no limit */
};
bool journal_filter_matches(const struct journal_filter *f, const struct journal_record *r);

/* Packs a note into bytes and makes it the record's content, dated now. Its length is 0 if it is longer than JOURNAL_NOTE_MAX. Any thread. */
void journal_note(struct journal_record *r, uint32_t kind, const Mnc__Note *note, uint8_t bytes[JOURNAL_NOTE_MAX]);

/* ---- the journal ---- */

struct journal_limits { /* retention */
    uint64_t keep_us;    /* exported rows that are older are dropped */
    uint64_t max_bytes;  /* the oldest exported rows are dropped while the file is larger */
    uint64_t free_bytes; /* the oldest rows are dropped, exported or not, while less of the disk is free */
};

struct journal_observer {
    void *ctx;
    /* These records are on disk, in this order. Called from the loop; they are valid until it returns. */
    void (*committed)(void *ctx, const struct journal_record *const *r, size_t n);
    /* The disk fails, with one sentence; or it works again. */
    void (*state)(void *ctx, bool writable, const char *sentence);
};

/*
 * Opens or creates the file, which is this journal's alone until it is closed (claim.h says what is rejected, and left as it is). Checks and migrates it, which
 * takes as long as the disk and the size of the file make it: any thread but the loop's. A file that is damaged is renamed to FILE.damaged-N and a new one
 * is begun: why says so, and the result is 0. A file of a later version of this daemon is left alone: -EPROTONOSUPPORT. -ECANCELED soon after *cancel has
 * become true; the file is then as it was. 0, or another negative errno with one sentence in why; *out is NULL unless 0.
 */
int journal_open(struct journal **out, const char *path, const struct journal_limits *limits, const atomic_bool *cancel, char *why, size_t cap);
/* Starts the worker. Before this, a journal may only be closed. 0, or a negative errno with one sentence in why. */
int journal_start(struct journal *j, sd_event *event, const struct journal_observer *observer, char *why, size_t cap);
/* Writes what is queued, if the disk takes it at once. Work that is queued is done() without having run. Takes NULL. */
void journal_close(struct journal *j);

/* Another one for each file: positions of different journals cannot be compared. */
uint64_t journal_id(const struct journal *j);
const char *journal_path(const struct journal *j);
const struct journal_limits *journal_limits(const struct journal *j);

/* Queues a copy of the record, in the pen's present volume. False: the queue is full, or there is no memory; it may be offered again. */
bool journal_append(struct journal *j, const struct journal_record *r);
/* Queues the telemetry around a record that was appended. Takes ownership of bytes, which are freed with free(). */
void journal_append_flight(struct journal *j, const struct journal_record *r, uint8_t *bytes, size_t n);

/* The newest number on disk of the pen's present volume; 0: none. */
uint32_t journal_newest(const struct journal *j, const char *serial);
/* Compares what a pen has with what is on disk. False: it cannot be the pen whose records are here, and a new volume is begun for it. r is the pen's
 * record of the newest number on disk, or NULL if the pen has it no more; then the numbers alone decide. */
bool journal_recognise(struct journal *j, const char *serial, uint32_t newest_of_pen, uint32_t acked_of_pen, const struct journal_record *r);

/* Something for the worker to run. It is embedded in the caller's own struct, so that queueing it needs no memory and cannot fail. done() is called once
 * in any case, and not before journal_work() has returned; ran is false only if the journal was closed before its turn. */
struct journal_work {
    struct journal_item {
        struct journal_item *next;
        unsigned type;
    } item; /* private to the journal */
    void (*run)(struct journal_work *w, struct store *s); /* on the worker */
    void (*done)(struct journal_work *w, bool ran);       /* from the loop */
};
void journal_work(struct journal *j, struct journal_work *w);

/* ---- queries, for work->run(). Results are 0, or a negative errno ---- */

uint64_t store_id(const struct store *s);

/*
 * Calls each() with the rows behind *position that match the filter, in order, until it returns false: that row does not count as read. *position is
 * moved to the last row that was examined; at most some thousand are. *end: there is no row behind it. *missed: rows behind the position that were
 * dropped before they were read.
 */
int store_read(struct store *s, uint64_t *position, const struct journal_filter *f, bool (*each)(void *ctx, const struct journal_record *r),
               void *ctx, bool *end, uint64_t *missed);
/* The same from the newest row down: rows before *position (0: all), in descending order. *end: there is no row before it. */
int store_read_back(struct store *s, uint64_t *position, const struct journal_filter *f, bool (*each)(void *ctx, const struct journal_record *r), void *ctx, bool *end);
/* Calls each() with the rows of treatment sessions, the newest session first (of numbers below `below`; 0: of all), those of one session in the order in
 * which they were written, until it returns false. */
int store_sessions(struct store *s, uint32_t below, bool (*each)(void *ctx, const struct journal_record *r), void *ctx);
/* The last position; 0: there is no row. */
int store_last(struct store *s, uint64_t *position);
/* Copies at most cap bytes of a record's telemetry, from offset on. -ENOENT: none is kept with it. */
int store_flight(struct store *s, uint64_t position, size_t offset, uint8_t *out, size_t cap, size_t *n, size_t *total);
/* Notes that all rows through this position have been exported. */
int store_exported(struct store *s, uint64_t position);

/* ---- the past ---- */

/*
 * What decides about a treatment and must never be forgotten: which cartridge was used in which treatment, when which subject was treated where and how
 * deep, which subjects there are, and what time it was last. It is kept in tables of its own beside the rows: written in the transaction of the row
 * that says it, found by index at any size, and never dropped by retention.
 *
 * This is the one place that answers this. What other daemons know would come in here.
 */
#define PAST_ZONES_MAX 32
#define PAST_SUBJECT_MAX 32

struct past_question {
    char subject[PAST_SUBJECT_MAX + 1];
    uint32_t zones[PAST_ZONES_MAX];
    size_t zone_count;
    uint32_t medium_um;     /* a treatment of this depth or more is not SURFACE */
    uint32_t continued;     /* the number of the session that is continued, which counts, with all that it continued, as the same treatment; 0: none */
    uint64_t cartridge_uid; /* 0: none */
    uint64_t treatment;     /* in which the cartridge is to be used; 0: in a new one */
};

struct past_time { /* the last of its kind */
    uint64_t ended_us; /* Unix time; 0: never */
    uint32_t depth_um, session;
};

enum { PAST_SURFACE, PAST_DEEPER, PAST_DEPTHS };

struct past {
    uint64_t latest_us;     /* the latest time in the journal's rows */
    uint64_t since_us;      /* nothing is known of the time before */
    struct past_time zones[PAST_ZONES_MAX][PAST_DEPTHS];
    uint64_t used_in;       /* another treatment in which the cartridge was used; 0: none */
    uint64_t used_us;
    char used_with[JOURNAL_SERIAL_MAX + 1]; /* the pen */
    bool subject_is_new;
    char doubles[3 * (PAST_SUBJECT_MAX + 2)]; /* subjects whose keys differ in nothing but case, punctuation and leading zeros: "K-20, k20" */
    struct { /* the session that is continued, as it ended */
        bool found;
        uint32_t origin, end; /* mnc.SessionEnd */
        uint64_t ended_us;
    } continued;
};

int past_query(struct store *s, const struct past_question *q, struct past *out);

/* The numbers of sessions in which a cartridge, or one of a lot, was used, the newest first (of numbers below `below`; 0: of all); at most cap. uid 0: by
 * lot. */
int past_sessions_of(struct store *s, uint64_t uid, uint32_t lot, uint32_t below, uint32_t *numbers, size_t cap, size_t *count);

/* What is kept for ever of one session of this journal in which a cartridge was used, also when its rows were dropped. */
struct past_session {
    char subject[PAST_SUBJECT_MAX + 1]; /* "": no zone of it counts as treated */
    char serial[JOURNAL_SERIAL_MAX + 1];
    uint64_t used_us, ended_us;
    uint32_t end;                       /* mnc.SessionEnd */
    struct {
        uint32_t zone, depth_um;
    } zones[PAST_ZONES_MAX];
    size_t zone_count;
    struct {
        uint64_t uid;
        uint32_t lot;
    } cartridges[PAST_ZONES_MAX];
    size_t cartridge_count;
};
int past_session(struct store *s, uint32_t number, struct past_session *out);

/* Pure, any thread: */

/* Whole days from then until now_us; UINT32_MAX: never. A time that seems to be later than now is today. */
uint32_t past_days(const struct past_time *then, uint64_t now_us);
#define PAST_DATE 32
/* "2026-11-26 08:30 UTC" */
void past_date(uint64_t unix_us, char out[PAST_DATE]);
/* False, and one sentence: the clock shows an impossible time (1970), or is more than five minutes, which setting it takes away by itself, behind the
 * latest time in the journal. */
bool past_clock_is_right(const struct past *p, uint64_t clock_us, char *why, size_t cap);
/* The latest time that is known: this clock's, or the journal's if that is later. Setting a clock back makes nothing older. */
uint64_t past_now_us(const struct past *p, uint64_t clock_us);

/* ---- whole files; need no journal, and may take long: any thread but the loop's ---- */

/* Reads a file whole, without changing it. *rows of it, from the first on, are as they were written. (Of telemetry a change is found, not its absence.)
 * 0: all rows are; -EBADMSG: the row behind them was changed, or one before it is missing; or another negative errno. One sentence in why. */
int journal_verify(const char *path, uint64_t *rows, char *why, size_t cap);
/* Writes a copy of the file as it is at one moment, while others write it, to a path that must not exist. -ENOSPC: less than free_bytes of the disk would
 * be left. One sentence in why unless 0. */
int journal_backup(const char *path, const char *to, uint64_t free_bytes, char *why, size_t cap);
