#include "journal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "log.h"

enum { RETRY_S = 1, TRIM_EVERY = 64 /* commits */, TOLD_AT_ONCE = 64 };

enum { ITEM_RECORD, ITEM_FLIGHT, ITEM_WORK };

struct entry { /* of the first two types */
    struct journal_item item;
    struct journal_record r; /* of a flight: whose it is */
    uint8_t *flight;
    uint8_t bytes[];
};

struct list {
    struct journal_item *first, **end;
};

struct journal {
    struct journal_observer observer;
    struct store_limits limits;
    char *path;
    uint64_t id;
    /* the loop's */
    struct store_pen *pens;
    size_t pen_count, pen_cap;
    unsigned queued; /* appended and not yet reported */
    int done_fd;
    sd_event_source *done_source;
    /* between the two */
    pthread_t worker;
    bool has_worker;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list waiting, working, done; /* to be written; to be run; for the loop */
    bool stopping, state_is_new, writable;
    char sentence[300];
    /* the worker's */
    struct store *store;
    unsigned commits;
};

/* ---- lists ---- */

static void list_init(struct list *l)
{
    l->first = NULL;
    l->end = &l->first;
}

static void list_add(struct list *l, struct journal_item *e)
{
    e->next = NULL;
    *l->end = e;
    l->end = &e->next;
}

static struct journal_item *list_pop(struct list *l)
{
    struct journal_item *e = l->first;

    if (e != NULL && (l->first = e->next) == NULL)
        l->end = &l->first;
    return e;
}

/* All of from, behind what is in to. */
static void list_move(struct list *to, struct list *from)
{
    if (from->first == NULL)
        return;
    *to->end = from->first;
    to->end = from->end;
    list_init(from);
}

static struct entry *entry_of(struct journal_item *i)
{
    return (struct entry *)i;
}

static struct journal_work *work_of(struct journal_item *i)
{
    return (struct journal_work *)i;
}

/* Work belongs to who asked for it. */
static void entry_free(struct journal_item *i)
{
    struct entry *e = entry_of(i);

    if (i->type == ITEM_FLIGHT)
        free(e->flight);
    free(e);
}

static void list_free(struct list *l)
{
    struct journal_item *i;

    while ((i = list_pop(l)) != NULL) {
        if (i->type == ITEM_WORK)
            work_of(i)->done(work_of(i), false);
        else
            entry_free(i);
    }
}

static struct entry *record_entry(const struct journal_record *r)
{
    struct entry *e = r->length <= STORE_NOTE_MAX ? malloc(sizeof(*e) + r->length) : NULL;

    if (e == NULL)
        return NULL;
    *e = (struct entry){.item = {.type = ITEM_RECORD}, .r = *r};
    if (r->length > 0)
        memcpy(e->bytes, r->bytes, r->length);
    e->r.bytes = e->bytes;
    return e;
}

/* ---- the worker ---- */

/* All of the batch, or nothing. */
static int write_batch(struct journal *j, const struct list *batch)
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

/* What retention drops leaves a note, which is told like any record. */
static void trim(struct journal *j, struct list *told)
{
    uint8_t bytes[STORE_NOTE_MAX];
    struct journal_record note;
    struct entry *e;

    if (j->commits++ % TRIM_EVERY != 0)
        return;
    if (store_trim(j->store, &j->limits, &note, bytes) < 0)
        log_warning("old records cannot be dropped from the journal %s: %s", j->path, store_why(j->store));
    else if (note.position != 0 && (e = record_entry(&note)) != NULL)
        list_add(told, &e->item);
}

/* Under the lock. Wakes the loop. */
static void tell(struct journal *j)
{
    uint64_t one = 1;

    if (write(j->done_fd, &one, sizeof(one)) != sizeof(one))
        log_error("the journal's worker cannot wake the loop: %s", strerror(errno));
}

/* Under the lock. */
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

/* Under the lock, which it leaves while it writes. */
static bool write_waiting(struct journal *j, struct list *batch)
{
    struct list told;
    int r;

    list_init(&told);
    pthread_mutex_unlock(&j->lock);
    r = write_batch(j, batch);
    if (r == 0)
        trim(j, &told);
    pthread_mutex_lock(&j->lock);
    set_state(j, r == 0, r < 0 ? store_why(j->store) : "");
    if (r == 0) {
        list_move(&j->done, batch);
        list_move(&j->done, &told);
    }
    if (r == 0 || j->state_is_new)
        tell(j);
    return r == 0;
}

static void run_work(struct journal *j)
{
    struct list some;

    list_init(&some);
    list_move(&some, &j->working);
    pthread_mutex_unlock(&j->lock);
    for (struct journal_item *i = some.first; i != NULL; i = i->next)
        work_of(i)->run(work_of(i), j->store);
    pthread_mutex_lock(&j->lock);
    list_move(&j->done, &some);
    tell(j);
}

static bool is_over(const struct timespec *until)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec);
}

static void *work(void *arg)
{
    struct journal *j = arg;
    struct timespec again = {0}; /* not before, after a failure */
    struct list batch;
    bool failing = false;

    list_init(&batch);
    pthread_mutex_lock(&j->lock);
    for (;;) {
        list_move(&batch, &j->waiting);
        if (batch.first != NULL && (!failing || j->stopping || is_over(&again))) {
            failing = !write_waiting(j, &batch);
            clock_gettime(CLOCK_MONOTONIC, &again);
            again.tv_sec += RETRY_S;
            if (failing && j->stopping)
                break; /* what waits was not acknowledged: its pens have it */
        } else if (j->working.first != NULL) {
            run_work(j);
        } else if (batch.first == NULL && j->stopping) {
            break;
        } else if (batch.first != NULL) {
            pthread_cond_timedwait(&j->wake, &j->lock, &again);
        } else {
            pthread_cond_wait(&j->wake, &j->lock);
        }
        if (j->working.first != NULL && !j->stopping)
            run_work(j);
    }
    pthread_mutex_unlock(&j->lock);
    list_free(&batch);
    return NULL;
}

/* ---- the loop ---- */

static struct store_pen *pen_of(const struct journal *j, const char *serial)
{
    for (size_t i = 0; i < j->pen_count; i++) {
        if (strcmp(j->pens[i].serial, serial) == 0)
            return &j->pens[i];
    }
    return NULL;
}

static bool add_pen(void *ctx, const struct store_pen *p)
{
    struct journal *j = ctx;

    if (j->pen_count == j->pen_cap) {
        size_t cap = j->pen_cap == 0 ? 16 : 2 * j->pen_cap;
        struct store_pen *bigger = realloc(j->pens, cap * sizeof(*bigger));

        if (bigger == NULL)
            return false;
        j->pens = bigger;
        j->pen_cap = cap;
    }
    j->pens[j->pen_count++] = *p;
    return true;
}

/* Makes it if need be; NULL without memory. */
static struct store_pen *pen_for(struct journal *j, const char *serial)
{
    struct store_pen p = {.volume = 1}, *known = pen_of(j, serial);

    if (known != NULL)
        return known;
    snprintf(p.serial, sizeof(p.serial), "%s", serial);
    return add_pen(j, &p) ? &j->pens[j->pen_count - 1] : NULL;
}

/* Moves on its pen's place; false: it is no news. */
static bool has_come(struct journal *j, const struct journal_record *r)
{
    struct store_pen *p;

    if (r->serial[0] == '\0')
        return true;
    j->queued--;
    p = pen_of(j, r->serial);
    if (r->position == 0 || p == NULL || p->volume != r->volume || r->number < p->newest || (r->number == 0 && p->newest == 0))
        return r->position != 0;
    p->newest = r->number;
    p->boot_id = r->boot_id;
    p->t_us = r->t_us;
    return true;
}

/* Tells of the records at the head of the list, as many as follow each other. */
static void tell_committed(struct journal *j, struct list *done)
{
    const struct journal_record *told[TOLD_AT_ONCE];
    struct list items;
    size_t n = 0;

    list_init(&items);
    while (n < TOLD_AT_ONCE && done->first != NULL && done->first->type == ITEM_RECORD) {
        struct entry *e = entry_of(list_pop(done));

        list_add(&items, &e->item);
        if (has_come(j, &e->r))
            told[n++] = &e->r;
    }
    if (n > 0)
        j->observer.committed(j->observer.ctx, told, n);
    list_free(&items);
}

static int on_done(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    struct journal *j = userdata;
    char sentence[sizeof(j->sentence)];
    bool is_new, writable;
    struct list done;
    uint64_t count;

    (void)source;
    (void)revents;
    if (read(fd, &count, sizeof(count)) < 0)
        return 0; /* EAGAIN: another turn had it */
    list_init(&done);
    pthread_mutex_lock(&j->lock);
    list_move(&done, &j->done);
    is_new = j->state_is_new;
    writable = j->writable;
    strcpy(sentence, j->sentence);
    j->state_is_new = false;
    pthread_mutex_unlock(&j->lock);
    if (is_new)
        j->observer.state(j->observer.ctx, writable, sentence);
    while (done.first != NULL) {
        struct journal_item *i;

        if (done.first->type == ITEM_RECORD) {
            tell_committed(j, &done);
            continue;
        }
        i = list_pop(&done);
        if (i->type == ITEM_WORK) {
            work_of(i)->done(work_of(i), true);
        } else {
            j->queued--;
            entry_free(i);
        }
    }
    return 0;
}

static void hand_over(struct journal *j, struct list *to, struct journal_item *e)
{
    pthread_mutex_lock(&j->lock);
    list_add(to, e);
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
}

bool journal_append(struct journal *j, const struct journal_record *r)
{
    struct store_pen *p = pen_for(j, r->serial);
    struct entry *e;

    if (p == NULL || j->queued >= JOURNAL_QUEUE_MAX || (e = record_entry(r)) == NULL)
        return false;
    e->r.volume = p->volume;
    j->queued++;
    hand_over(j, &j->waiting, &e->item);
    return true;
}

void journal_append_flight(struct journal *j, const struct journal_record *r, uint8_t *bytes, size_t n)
{
    const struct store_pen *p = pen_of(j, r->serial);
    struct entry *e = p != NULL && j->queued < JOURNAL_QUEUE_MAX ? malloc(sizeof(*e)) : NULL;

    if (e == NULL) {
        log_warning("pen %s: the telemetry around record %u is not kept: too much waits for the disk", r->serial, r->number);
        free(bytes);
        return;
    }
    *e = (struct entry){.item = {.type = ITEM_FLIGHT}, .r = *r, .flight = bytes};
    e->r.volume = p->volume;
    e->r.bytes = bytes;
    e->r.length = n;
    j->queued++;
    hand_over(j, &j->waiting, &e->item);
}

void journal_work(struct journal *j, struct journal_work *w)
{
    w->item.type = ITEM_WORK;
    hand_over(j, &j->working, &w->item);
}

uint32_t journal_newest(const struct journal *j, const char *serial)
{
    const struct store_pen *p = pen_of(j, serial);

    return p != NULL ? p->newest : 0;
}

bool journal_recognise(struct journal *j, const char *serial, uint32_t newest_of_pen, uint32_t acked_of_pen, const struct journal_record *r)
{
    struct journal_record note = {0};
    uint8_t bytes[STORE_NOTE_MAX];
    Mnc__Note content = MNC__NOTE__INIT;
    struct store_pen *p = pen_of(j, serial);
    char text[160];

    if (p == NULL || p->newest == 0)
        return true;
    if (newest_of_pen >= p->newest &&
        (r == NULL || r->number != p->newest || (p->boot_id == 0 && p->t_us == 0) || (r->boot_id == p->boot_id && r->t_us == p->t_us)))
        return true;
    snprintf(text, sizeof(text), "pen %s: its memory was renewed, or it is another pen of this serial number: it has %u records, and %u are in the journal",
             serial, newest_of_pen, p->newest);
    log_warning("%s", text);
    p->volume++;
    p->newest = acked_of_pen;
    p->boot_id = 0;
    p->t_us = 0;
    content.text = text;
    store_note(&note, MNC__JOURNAL_KIND__JOURNAL_RENEWED, &content, bytes);
    snprintf(note.serial, sizeof(note.serial), "%s", serial);
    note.number = acked_of_pen;
    if (!journal_append(j, &note))
        log_warning("pen %s: the note about its renewed memory is not in the journal: too much waits for the disk", serial);
    return false;
}

/* ---- beginning and end ---- */

uint64_t journal_id(const struct journal *j)
{
    return j->id;
}

const char *journal_path(const struct journal *j)
{
    return j->path;
}

const struct store_limits *journal_limits(const struct journal *j)
{
    return &j->limits;
}

static int start_worker(struct journal *j, sd_event *event)
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
    r = pthread_create(&j->worker, NULL, work, j);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    j->has_worker = r == 0;
    return -r;
}

static struct journal *journal_new(const char *path)
{
    struct journal *j = calloc(1, sizeof(*j));
    pthread_condattr_t attr;

    if (j == NULL || (j->path = strdup(path)) == NULL) {
        free(j);
        return NULL;
    }
    j->done_fd = -1;
    j->writable = true;
    list_init(&j->waiting);
    list_init(&j->working);
    list_init(&j->done);
    pthread_mutex_init(&j->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&j->wake, &attr);
    pthread_condattr_destroy(&attr);
    return j;
}

int journal_open(struct journal **out, sd_event *event, const char *path, const struct store_limits *limits,
                 const struct journal_observer *observer, char *why, size_t cap)
{
    struct journal *j = journal_new(path);
    int r;

    *out = NULL;
    if (j == NULL) {
        snprintf(why, cap, "the journal %s cannot be opened: out of memory", path);
        return -ENOMEM;
    }
    j->observer = *observer;
    j->limits = *limits;
    r = store_open(&j->store, path, why, cap);
    if (r == 0) {
        j->id = store_id(j->store);
        r = store_pens(j->store, add_pen, j);
        if (r < 0)
            snprintf(why, cap, "the journal %s cannot be read: %s", path, store_why(j->store));
        else if ((r = start_worker(j, event)) < 0)
            snprintf(why, cap, "the journal's worker cannot be started: %s", strerror(-r));
    }
    if (r < 0) {
        journal_close(j);
        return r;
    }
    *out = j;
    return 0;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    if (j->has_worker) {
        pthread_mutex_lock(&j->lock);
        j->stopping = true;
        pthread_cond_signal(&j->wake);
        pthread_mutex_unlock(&j->lock);
        pthread_join(j->worker, NULL);
    }
    sd_event_source_disable_unref(j->done_source);
    if (j->done_fd >= 0)
        close(j->done_fd);
    list_free(&j->waiting);
    list_free(&j->working);
    list_free(&j->done);
    pthread_cond_destroy(&j->wake);
    pthread_mutex_destroy(&j->lock);
    store_close(j->store);
    free(j->pens);
    free(j->path);
    free(j);
}
