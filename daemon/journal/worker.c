#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

enum { RETRY_S = 1, TRIM_EVERY = 64 /* commits */ };

/* ---- queues ---- */

void queue_init(struct queue *l)
{
    l->first = NULL;
    l->end = &l->first;
}

void queue_add(struct queue *l, struct journal_item *e)
{
    e->next = NULL;
    *l->end = e;
    l->end = &e->next;
}

struct journal_item *queue_pop(struct queue *l)
{
    struct journal_item *e = l->first;

    if (e != NULL && (l->first = e->next) == NULL)
        l->end = &l->first;
    return e;
}

/* Appends all of from to to. */
void queue_move(struct queue *to, struct queue *from)
{
    if (from->first == NULL)
        return;
    *to->end = from->first;
    to->end = from->end;
    queue_init(from);
}

struct entry *entry_of(struct journal_item *i)
{
    return (struct entry *)i;
}

struct journal_work *work_of(struct journal_item *i)
{
    return (struct journal_work *)i;
}

/* Work items belong to their callers and are not freed. */
void entry_free(struct journal_item *i)
{
    struct entry *e = entry_of(i);

    if (i->type == ITEM_FLIGHT)
        free(e->flight);
    free(e);
}

void queue_free(struct queue *l)
{
    struct journal_item *i;

    while ((i = queue_pop(l)) != NULL) {
        if (i->type == ITEM_WORK)
            work_of(i)->done(work_of(i), false);
        else
            entry_free(i);
    }
}

struct entry *entry_new(const struct journal_record *r)
{
    struct entry *e = r->length <= JOURNAL_NOTE_MAX ? malloc(sizeof(*e) + r->length) : NULL;

    if (e == NULL)
        return NULL;
    *e = (struct entry){.item = {.type = ITEM_RECORD}, .r = *r};
    if (r->length > 0)
        memcpy(e->bytes, r->bytes, r->length);
    e->r.bytes = e->bytes;
    return e;
}

/* ---- the thread ---- */

/* Writes the whole batch or nothing. */
static int write_batch(struct journal *j, const struct queue *batch)
{
    int r = store_begin(j->store);

    for (struct journal_item *i = batch->first; r == 0 && i != NULL; i = i->next)
        r = i->type == ITEM_RECORD ? store_insert(j->store, &entry_of(i)->r) : store_insert_flight(j->store, &entry_of(i)->r);
    if (r == 0)
        r = store_commit(j->store);
    if (r < 0)
        store_rollback(j->store);
    return r;
}

/* Applies retention. What it drops leaves a note in the journal. */
static void trim(struct journal *j, struct queue *notes)
{
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct journal_record note;
    struct entry *e;

    if (j->commits++ % TRIM_EVERY != 0)
        return;
    if (store_trim(j->store, &j->limits, &note, bytes) < 0)
        log_warning("old records cannot be dropped from the journal %s: %s", j->path, store_why(j->store));
    else if (note.position != 0 && (e = entry_new(&note)) != NULL)
        queue_add(notes, &e->item);
}

/* Called with the lock held. Wakes the loop. */
static void wake_loop(struct journal *j)
{
    uint64_t one = 1;

    if (write(j->done_fd, &one, sizeof(one)) != sizeof(one))
        log_error("the journal's worker cannot wake the loop: %s", strerror(errno));
}

/* Called with the lock held. */
static void set_state(struct journal *j, bool writable, const char *reason)
{
    char sentence[sizeof(j->sentence)];

    if (writable)
        snprintf(sentence, sizeof(sentence), "the journal %s is written again", j->path);
    else
        snprintf(sentence, sizeof(sentence), "the journal %s cannot be written: %s", j->path, reason);
    if (j->writable == writable && (writable || strcmp(j->sentence, sentence) == 0))
        return;
    j->writable = writable;
    j->state_is_new = true;
    strcpy(j->sentence, sentence);
}

/* Called with the lock held, which is released while it writes. */
static bool write_waiting(struct journal *j, struct queue *batch)
{
    struct queue notes;
    int r;

    queue_init(&notes);
    pthread_mutex_unlock(&j->lock);
    r = write_batch(j, batch);
    if (r == 0)
        trim(j, &notes);
    pthread_mutex_lock(&j->lock);
    set_state(j, r == 0, r < 0 ? store_why(j->store) : "");
    if (r == 0) {
        queue_move(&j->done, batch);
        queue_move(&j->done, &notes);
    }
    if (r == 0 || j->state_is_new)
        wake_loop(j);
    return r == 0;
}

/* Called with the lock held, which is released meanwhile. */
static void run_work(struct journal *j, struct queue *work)
{
    pthread_mutex_unlock(&j->lock);
    for (struct journal_item *i = work->first; i != NULL; i = i->next)
        work_of(i)->run(work_of(i), j->store);
    pthread_mutex_lock(&j->lock);
    queue_move(&j->done, work);
    wake_loop(j);
}

static bool is_over(const struct timespec *until)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec);
}

static void *worker_main(void *arg)
{
    struct journal *j = arg;
    struct timespec again = {0}; /* after a failure: when to try again */
    struct queue batch, work;
    bool failing = false;

    queue_init(&batch);
    queue_init(&work);
    pthread_mutex_lock(&j->lock);
    for (;;) {
        bool writes;

        queue_move(&batch, &j->waiting);
        queue_move(&work, &j->working); /* rows queued before this work are in the batch or on disk */
        writes = batch.first != NULL && (!failing || j->stopping || is_over(&again));
        if (writes) {
            failing = !write_waiting(j, &batch);
            clock_gettime(CLOCK_MONOTONIC, &again);
            again.tv_sec += RETRY_S;
            if (failing && j->stopping)
                break; /* unwritten rows were not acknowledged, so their pens still have them */
        }
        if (work.first != NULL && !j->stopping)
            run_work(j, &work);
        else if (!writes && j->stopping)
            break;
        else if (!writes && batch.first != NULL)
            pthread_cond_timedwait(&j->wake, &j->lock, &again);
        else if (!writes)
            pthread_cond_wait(&j->wake, &j->lock);
    }
    queue_move(&work, &j->working);
    queue_move(&j->working, &work); /* work that ends without having run */
    pthread_mutex_unlock(&j->lock);
    queue_free(&batch);
    return NULL;
}

/* ---- for the loop ---- */

void worker_queue(struct journal *j, struct queue *to, struct journal_item *e)
{
    pthread_mutex_lock(&j->lock);
    queue_add(to, e);
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
}

int worker_start(struct journal *j, sd_event *event, sd_event_io_handler_t on_done)
{
    sigset_t all, before;
    int r;

    j->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (j->done_fd < 0)
        return -errno;
    if ((r = sd_event_add_io(event, &j->done_source, j->done_fd, EPOLLIN, on_done, j)) < 0)
        return r;
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&j->worker, NULL, worker_main, j);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    j->has_worker = r == 0;
    return -r;
}
