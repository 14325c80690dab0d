/*
 * The journal: every record of every pen, on disk before the pen forgets it and before anybody is told. One SQLite file (WAL,
 * synchronous=FULL); one worker thread has the connection, and the loop never waits for it:
 *
 *     the loop                               the worker
 *     journal_append()  ---- queue ---->     all that waits is one transaction: INSERT ..., COMMIT and its fsync
 *     observer->committed() <-- eventfd --   each record of it, in order
 *
 * A row holds the pen's record as it came, and the SHA-256 of its own fields and of the row before: what was changed or taken
 * out shows in journal_verify(). While the disk fails, the worker tries again every second and the queue fills; then
 * journal_append() refuses, and nothing is lost: a pen keeps what was not acknowledged and is asked again.
 *
 * A pen's numbers never go back, unless its memory was renewed: journal_renew() then opens another volume for it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#define JOURNAL_SERIAL_MAX 32
#define JOURNAL_QUEUE_MAX 1024 /* records that wait for the disk, all pens together */

struct journal;

struct journal_record {
    char serial[JOURNAL_SERIAL_MAX + 1];
    uint32_t number;  /* the pen's own, from 1 */
    uint32_t boot_id;
    uint64_t t_us;    /* pen-monotonic, of that boot */
    uint64_t host_us; /* Unix time of its arrival here */
    uint32_t kind;    /* mnp.RecordKind; 0: unknown */
    uint32_t code;    /* of a fault; else 0 */
    const uint8_t *bytes; /* mnp.Record, as it came */
    size_t length;
};

struct journal_observer {
    void *ctx;
    /* The record is on disk. From the loop; r is good until it returns. */
    void (*committed)(void *ctx, const struct journal_record *r);
    /* The disk fails, with one sentence; or it works again. */
    void (*state)(void *ctx, bool writable, const char *sentence);
};

/*
 * Opens or makes the file and reads how far each pen has come. 0, or a negative errno and one sentence in *why. A file that is
 * no journal, or a damaged one, is set aside as FILE.damaged-N and a new one begun: *why then says so, and the result is 0. One of a later
 * version of this daemon is left alone: -EPROTONOSUPPORT.
 */
int journal_open(struct journal **out, sd_event *event, const char *path, const struct journal_observer *observer, char *why, size_t cap);
/* Writes what waits, if the disk takes it at once. */
void journal_close(struct journal *j);

/* Copies the record. False: too many wait, or there is no memory; the same record may be offered again later. */
bool journal_append(struct journal *j, const struct journal_record *r);

/* The newest number on disk of this pen's present volume; 0: none. */
uint32_t journal_newest(const struct journal *j, const char *serial);

/* The pen's memory was renewed and counts from after again. What it wrote before stays, in another volume. */
void journal_renew(struct journal *j, const char *serial, uint32_t after);

/* Reads a journal file whole, without changing it: *rows of it are right from the first on. 0: all of them; -EBADMSG: the row
 * behind them was changed, or one is missing before it; or another negative errno. One sentence in *why. */
int journal_verify(const char *path, uint64_t *rows, char *why, size_t cap);
