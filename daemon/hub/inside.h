/* What the files of the hub share: hub.c has the pens and who wants to know of them, records.c the way of their records to the journal. */
#pragma once

#include <limits.h>
#include <stdatomic.h>

#include "hub.h"
#include "task.h"

enum { HUB_PENS_MAX = 256 };

struct holder { /* of a pen's lease */
    char serial[JOURNAL_SERIAL_MAX + 1], name[64];
    pid_t pid;
};

struct hub {
    sd_event *event;
    sd_event_source *reap; /* frees closed pens, outside of their own calls */
    struct pen *pens[HUB_PENS_MAX];
    unsigned count;
    struct pen *closed[HUB_PENS_MAX]; /* to be freed */
    unsigned closed_count;
    uint32_t last_id;
    uint64_t batches;
    char duplicate[160]; /* the sentence about a serial number that is in use */
    struct fanout *fanout;
    struct hub_observer observers[HUB_OBSERVERS];
    struct holder holders[HUB_PENS_MAX]; /* of pens that are plugged in or not */
    unsigned holder_count;
    /* records.c */
    struct journal *journal; /* NULL: it is being opened, or could not be */
    struct open_task {
        struct task *task; /* NULL: it is not being opened */
        atomic_bool cancel;
        struct journal *journal;
        int result;
        char why[300];
    } opening;
    bool failed;             /* it could not be opened the last time */
    char journal_error[300]; /* one sentence; "" while it is written */
    char journal_path[PATH_MAX];
    struct journal_limits limits;
    sd_event_source *journal_retry;
    bool record_waits; /* there was no room for a record: its pen's records are requested again when there is */
};

/* Prepares what hub_open_journal() needs. 0 or a negative errno. */
int hub_records_init(struct hub *h);
/* For struct pen_observer. */
bool hub_on_record(void *hub, struct pen *p, uint32_t first, const struct journal_record *r);
void hub_on_flight(void *hub, struct pen *p, const struct journal_record *r, uint8_t *bytes, size_t n);
uint32_t hub_on_recognise(void *hub, struct pen *p, uint32_t newest, uint32_t acked, const struct journal_record *r);
