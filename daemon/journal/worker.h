/*
 * The journal's worker: the thread that has the file, and the queues between it and the loop.
 */
#pragma once

#include <pthread.h>

#include "store.h"

enum { ITEM_RECORD, ITEM_FLIGHT, ITEM_WORK };

struct entry { /* of the first two types */
    struct journal_item item;
    struct journal_record r; /* of a flight: the record that it belongs to */
    uint8_t *flight;
    uint8_t bytes[];
};

struct queue {
    struct journal_item *first, **end;
};

struct journal {
    struct journal_observer observer;
    struct journal_limits limits;
    char *path;
    uint64_t id;
    /* the loop's */
    struct store_pen *pens;
    size_t pen_count, pen_cap;
    unsigned queued; /* appended and not yet reported */
    int done_fd;
    sd_event_source *done_source;
    /* under the lock */
    pthread_t worker;
    bool has_worker;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct queue waiting, working, done; /* to be written; to be run; for the loop */
    bool stopping, state_is_new, writable;
    char sentence[300];
    /* the worker's */
    struct store *store;
    unsigned commits;
};

/* Starts the thread; on_done is called from the loop when there is something in done. 0 or a negative errno. */
int worker_start(struct journal *j, sd_event *event, sd_event_io_handler_t on_done);
/* Queues an item, in waiting or working, and wakes the thread. */
void worker_queue(struct journal *j, struct queue *to, struct journal_item *i);

void queue_init(struct queue *q);
void queue_add(struct queue *q, struct journal_item *i);
struct journal_item *queue_pop(struct queue *q);
/* Moves all of from behind what is in to. */
void queue_move(struct queue *to, struct queue *from);
/* Frees entries; work is done() without having run. */
void queue_free(struct queue *q);

struct entry *entry_of(struct journal_item *i);
struct journal_work *work_of(struct journal_item *i);
/* A copy of the record, to be queued; NULL without memory, or if it is too long. */
struct entry *entry_new(const struct journal_record *r);
void entry_free(struct journal_item *i);
