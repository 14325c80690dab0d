#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "stall.h"

enum { REPORTED_AT_ONCE = 64 };

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

/* Adds the entry if there is none. NULL without memory. */
static struct store_pen *pen_for(struct journal *j, const char *serial)
{
    struct store_pen p = {.volume = 1}, *known = pen_of(j, serial);

    if (known != NULL)
        return known;
    snprintf(p.serial, sizeof(p.serial), "%s", serial);
    return add_pen(j, &p) ? &j->pens[j->pen_count - 1] : NULL;
}

/* Advances the pen's newest number. False if the record is not new. */
static bool advance_pen(struct journal *j, const struct journal_record *r)
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

/* Notifies of the rows at the head of the list that have consecutive positions. */
static void report_committed(struct journal *j, struct queue *done)
{
    const struct journal_record *notes[REPORTED_AT_ONCE];
    struct queue items;
    size_t n = 0;

    queue_init(&items);
    while (n < REPORTED_AT_ONCE && done->first != NULL && done->first->type == ITEM_RECORD) {
        struct entry *e = entry_of(queue_pop(done));

        queue_add(&items, &e->item);
        if (advance_pen(j, &e->r))
            notes[n++] = &e->r;
    }
    if (n > 0)
        j->observer.committed(j->observer.ctx, notes, n);
    queue_free(&items);
}

static int on_done(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    struct journal *j = userdata;
    char sentence[sizeof(j->sentence)];
    bool is_new, writable;
    struct queue done;
    uint64_t count;

    stall_doing("rows that the journal has written");
    (void)source;
    (void)revents;
    if (read(fd, &count, sizeof(count)) < 0)
        return 0; /* EAGAIN: handled by an earlier iteration */
    queue_init(&done);
    pthread_mutex_lock(&j->lock);
    queue_move(&done, &j->done);
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
            report_committed(j, &done);
            continue;
        }
        i = queue_pop(&done);
        if (i->type == ITEM_WORK) {
            work_of(i)->done(work_of(i), true);
        } else {
            j->queued--;
            entry_free(i);
        }
    }
    return 0;
}

bool journal_append(struct journal *j, const struct journal_record *r)
{
    struct store_pen *p = pen_for(j, r->serial);
    struct entry *e;

    if (p == NULL || j->queued >= JOURNAL_QUEUE_MAX || (e = entry_new(r)) == NULL)
        return false;
    e->r.volume = p->volume;
    j->queued++;
    worker_queue(j, &j->waiting, &e->item);
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
    worker_queue(j, &j->waiting, &e->item);
}

void journal_work(struct journal *j, struct journal_work *w)
{
    w->item.type = ITEM_WORK;
    worker_queue(j, &j->working, &w->item);
}

uint32_t journal_newest(const struct journal *j, const char *serial)
{
    const struct store_pen *p = pen_of(j, serial);

    return p != NULL ? p->newest : 0;
}

bool journal_recognise(struct journal *j, const char *serial, uint32_t newest_of_pen, uint32_t acked_of_pen, const struct journal_record *r)
{
    struct journal_record note = {0};
    uint8_t bytes[JOURNAL_NOTE_MAX];
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
    journal_note(&note, MNC__JOURNAL_KIND__JOURNAL_RENEWED, &content, bytes);
    snprintf(note.serial, sizeof(note.serial), "%s", serial);
    note.number = acked_of_pen;
    if (!journal_append(j, &note))
        log_warning("pen %s: the note about its renewed memory is not in the journal: too much waits for the disk", serial);
    return false;
}

uint64_t journal_id(const struct journal *j)
{
    return j->id;
}

const char *journal_path(const struct journal *j)
{
    return j->path;
}

const struct journal_limits *journal_limits(const struct journal *j)
{
    return &j->limits;
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
    queue_init(&j->waiting);
    queue_init(&j->working);
    queue_init(&j->done);
    pthread_mutex_init(&j->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&j->wake, &attr);
    pthread_condattr_destroy(&attr);
    return j;
}

int journal_open(struct journal **out, const char *path, const struct journal_limits *limits, const atomic_bool *cancel, char *why, size_t cap)
{
    struct journal *j = journal_new(path);
    int r;

    *out = NULL;
    if (j == NULL) {
        snprintf(why, cap, "the journal %s cannot be opened: out of memory", path);
        return -ENOMEM;
    }
    j->limits = *limits;
    r = store_open(&j->store, path, cancel, why, cap);
    if (r == 0) {
        j->id = store_id(j->store);
        r = store_pens(j->store, add_pen, j);
        if (r < 0)
            snprintf(why, cap, "the journal %s cannot be read: %s", path, store_why(j->store));
    }
    if (r < 0) {
        journal_close(j);
        return r;
    }
    *out = j;
    return 0;
}

int journal_start(struct journal *j, sd_event *event, const struct journal_observer *observer, char *why, size_t cap)
{
    int r;

    j->observer = *observer;
    r = worker_start(j, event, on_done);
    if (r < 0)
        snprintf(why, cap, "the journal's worker cannot be started: %s", strerror(-r));
    return r;
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
    queue_free(&j->waiting);
    queue_free(&j->working);
    queue_free(&j->done);
    pthread_cond_destroy(&j->wake);
    pthread_mutex_destroy(&j->lock);
    store_close(j->store);
    free(j->pens);
    free(j->path);
    free(j);
}
