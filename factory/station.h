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

struct row { /* one slot in the live view */
    char serial[MN_SERIAL_MAX + 1], step[PLAN_NAME_MAX + 1], verdict[16], text[400];
    bool waits;           /* for a place in the current step */
    unsigned done, total; /* steps */
    double fraction;      /* of the current step */
    uint64_t began_ms, ended_ms;
    uint64_t waited_ms;   /* waiting for other slots; not counted as the pen's time */
    unsigned runs, ended[5]; /* runs of this slot, and by VERDICT_ */
};

struct options {
    const char *socket, *out, *database; /* out: a folder for this run's records and reports; database: NULL: none */
    bool commit, keep_going, repeat, json;
    bool relabel; /* allows a serial number that was given before; the record says so */
};

struct history;

struct station {
    struct plan *plan;
    struct options options;
    uint8_t key[STATION_KEY_MAX];
    size_t key_length;
    char name[64], daemon_version[17];
    unsigned slot_count;
    char ports[STATION_SLOTS_MAX][32]; /* the slots' ports: "usb 1-4" */
    atomic_bool aborting;
    atomic_uint running;
    atomic_uint numbered;          /* counter for the ids of runs */
    struct history *history;       /* NULL: none */

    pthread_mutex_t lock;          /* protects all below; never held while waiting for a disk */
    struct row rows[STATION_SLOTS_MAX];
    unsigned *busy;                /* number of slots in each step, for at_once */
    uint64_t lost_ms[STATION_SLOTS_MAX]; /* when a slot's pen disappeared unexpectedly */
    unsigned verdicts[5];          /* finished runs, by VERDICT_ */
    unsigned found_done;           /* pens that had left the factory already */
    char claimed[STATION_SLOTS_MAX][MN_SERIAL_MAX + 1]; /* labels of the runs in progress */
};

enum { VERDICT_PASS, VERDICT_FAIL, VERDICT_ERROR, VERDICT_DRY_RUN, VERDICT_ABORTED };

/* CLOCK_MONOTONIC in ms. */
uint64_t station_now_ms(void);
/* The response to a pen's challenge. */
void station_prove(const struct station *st, const uint8_t challenge[16], uint8_t response[32]);
bool station_enter_step(struct station *st, size_t step);
void station_leave_step(struct station *st, size_t step);
/* Whether all pens of this slot's hub disappeared within a second of gone_ms: the hub's name, or NULL. Waits a moment for the other slots' threads. */
const char *station_lost_hub(struct station *st, unsigned slot, uint64_t gone_ms, char out[40]);
/* Adds a finished run to the history, the totals and the live view. Waits for the disk. */
void station_done(struct station *st, unsigned slot, const json_t *run);

/* Shows that the pen in this slot has left the factory already. */
void station_found_done(struct station *st, unsigned slot, const char *serial);
/* Reserves a label for this slot until station_release(). False, with the reason in why, if another pen has or had it. Waits for the disk. */
bool station_claim(struct station *st, unsigned slot, const char *serial, char *why, size_t cap);
void station_release(struct station *st, unsigned slot);

/* Accesses a slot's row under the lock. */
#define STATION_ROW(st, i, ...)                                                                                        \
    do {                                                                                                               \
        pthread_mutex_lock(&(st)->lock);                                                                               \
        struct row *row = &(st)->rows[i];                                                                              \
        __VA_ARGS__;                                                                                                   \
        pthread_mutex_unlock(&(st)->lock);                                                                             \
    } while (0)
