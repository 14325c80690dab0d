/*
 * The journal: every record of every pen, on disk before the pen forgets it and before anybody is told. One file (store.h); one
 * worker thread has it, and the loop never waits for it:
 *
 *     the loop                               the worker
 *     journal_append()  ---- queue ---->     all that waits is one transaction: INSERT ..., COMMIT and its fsync
 *     observer->committed() <-- eventfd --   its records, in order
 *     journal_work()    ---- queue ---->     work->run(), between two transactions
 *     work->done()      <--- eventfd ---     in the order of both
 *
 * While the disk fails, the worker tries again every second and the queue fills; then journal_append() refuses, and nothing is
 * lost: a pen keeps what was not acknowledged and is asked again. What is on disk can be read all the while.
 *
 * A pen's numbers never go back, unless its memory was renewed, or another pen has its serial number: journal_recognise() sees it
 * and opens another volume for it.
 */
#pragma once

#include <systemd/sd-event.h>

#include "store.h"

#define JOURNAL_QUEUE_MAX 1024 /* records that wait for the disk, all pens together */

struct journal;

struct journal_observer {
    void *ctx;
    /* These records are on disk, in this order. From the loop; they are good until it returns. */
    void (*committed)(void *ctx, const struct journal_record *const *r, size_t n);
    /* The disk fails, with one sentence; or it works again. */
    void (*state)(void *ctx, bool writable, const char *sentence);
};

/* As store_open(). */
int journal_open(struct journal **out, sd_event *event, const char *path, const struct store_limits *limits,
                 const struct journal_observer *observer, char *why, size_t cap);
/* Writes what waits, if the disk takes it at once. Work that waits is done()d with no store. */
void journal_close(struct journal *j);

uint64_t journal_id(const struct journal *j);
const char *journal_path(const struct journal *j);
const struct store_limits *journal_limits(const struct journal *j);

/* Copies the record, and gives it the pen's present volume. False: too many wait, or there is no memory; it may be offered again. */
bool journal_append(struct journal *j, const struct journal_record *r);
/* The telemetry around a record that was appended; takes over bytes, which free() takes. */
void journal_append_flight(struct journal *j, const struct journal_record *r, uint8_t *bytes, size_t n);

/* The newest number on disk of this pen's present volume; 0: none. */
uint32_t journal_newest(const struct journal *j, const char *serial);
/* The pen says what it has. False: it cannot be the one whose records are here, and counts in another volume from now on. A
 * record of the newest number may be shown with it (NULL: the pen has it no more); else only the numbers tell. */
bool journal_recognise(struct journal *j, const char *serial, uint32_t newest_of_pen, uint32_t acked_of_pen, const struct journal_record *r);

/* Something for the worker, in its turn. Embedded in what is asked, so that handing it over needs no memory and cannot fail: done() is called
 * once in any case, not before journal_work() has returned; ran is false only when the journal ends before its turn. */
struct journal_work {
    struct journal_item {
        struct journal_item *next;
        unsigned type;
    } item; /* the journal's */
    void (*run)(struct journal_work *w, struct store *s); /* on the worker */
    void (*done)(struct journal_work *w, bool ran);       /* from the loop */
};
void journal_work(struct journal *j, struct journal_work *w);
