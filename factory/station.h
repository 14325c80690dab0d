/*
 * The station: what all slots of this run share, and what a person sees of them. Slots write their row under the lock; the main thread shows the rows
 * and passes the wish to end on. It knows no slot: they know it.
 */
#pragma once

#include <jansson.h>
#include <mn/mn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "plan.h"

enum { STATION_SLOTS_MAX = 64, STATION_KEY_MAX = 64 };

struct row { /* of the live view */
    char serial[MN_SERIAL_MAX + 1], step[PLAN_NAME_MAX + 1], verdict[16], text[400];
    bool waits;           /* for its turn in the present step, which a slot that is named in text has */
    unsigned done, total; /* steps */
    double fraction;      /* of the present one */
    uint64_t began_ms, ended_ms;
    uint64_t waited_ms;   /* for turns: it is not the pen's time */
    unsigned runs, ended[5]; /* of this slot; by VERDICT_ */
};

struct options {
    const char *socket, *out, *database; /* out: a folder for this run's records and reports; database: NULL: none */
    bool commit, keep_going, repeat, json;
    bool relabel; /* a serial number that was given before may be written once more: into the record it goes */
};

struct history;

struct station {
    struct plan *plan;
    struct options options;
    uint8_t key[STATION_KEY_MAX];
    size_t key_length;
    char name[64], daemon_version[17];
    unsigned slot_count;
    char ports[STATION_SLOTS_MAX][32]; /* of the slots: "usb 1-4" */
    atomic_bool aborting;
    atomic_uint running;
    atomic_uint numbered;          /* runs, for their ids */
    struct history *history;       /* NULL: none */

    pthread_mutex_t lock;          /* of all below; nobody waits for a disk while it holds it */
    struct row rows[STATION_SLOTS_MAX];
    unsigned *busy;                /* slots in each step, for at_once */
    uint64_t lost_ms[STATION_SLOTS_MAX]; /* when a slot's pen went by itself */
    unsigned verdicts[5];          /* runs that ended, by VERDICT_ */
    unsigned found_done;           /* pens that had left the factory already: no runs */
    char claimed[STATION_SLOTS_MAX][MN_SERIAL_MAX + 1]; /* labels that are being written, or were, by slots of this process */
};

enum { VERDICT_PASS, VERDICT_FAIL, VERDICT_ERROR, VERDICT_DRY_RUN, VERDICT_ABORTED };

/* Monotonic. */
uint64_t station_now_ms(void);
/* The response to a pen's challenge. */
void station_prove(const struct station *st, const uint8_t challenge[16], uint8_t response[32]);
bool station_enter_step(struct station *st, size_t step);
void station_leave_step(struct station *st, size_t step);
/* This slot's pen went at gone_ms: did all of its hub within a second? The hub's name, or NULL. Waits a moment for the others' threads. */
const char *station_lost_hub(struct station *st, unsigned slot, uint64_t gone_ms, char out[40]);
/* The run of this record is over: into the history, counted and shown. Waits for the disk. */
void station_done(struct station *st, unsigned slot, const json_t *run);

/* The pen in this slot has left the factory: that is no run. */
void station_found_done(struct station *st, unsigned slot, const char *serial);
/* A label that is to be written for good is this slot's pen's from now on; false after a sentence: another pen has it, or had it. Waits for the disk. */
bool station_claim(struct station *st, unsigned slot, const char *serial, char *why, size_t cap);
void station_release(struct station *st, unsigned slot);

/* Locked access to a slot's row. */
#define STATION_ROW(st, i, ...)                                                                                        \
    do {                                                                                                               \
        pthread_mutex_lock(&(st)->lock);                                                                               \
        struct row *row = &(st)->rows[i];                                                                              \
        __VA_ARGS__;                                                                                                   \
        pthread_mutex_unlock(&(st)->lock);                                                                             \
    } while (0)
