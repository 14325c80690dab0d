#include "inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "stall.h"

enum { JOURNAL_RETRY_US = 1000000 };

/* ---- from pens to the journal ---- */

bool hub_on_record(void *ctx, struct pen *p, uint32_t first, const struct journal_record *r)
{
    struct hub *h = ctx;
    struct journal_record lost = {.number = r->number - 1};
    uint8_t bytes[JOURNAL_NOTE_MAX];
    Mnc__Note note = MNC__NOTE__INIT;
    char text[120];

    (void)p;
    if (h->journal == NULL)
        return false; /* it stays in the pen */
    if (first == r->number) {
        bool taken = journal_append(h->journal, r);

        h->record_waits |= !taken;
        return taken;
    }
    snprintf(text, sizeof(text), "records %u to %u of pen %s are lost: overwritten or damaged in the pen", first, r->number - 1, r->serial);
    note.has_first = note.has_through = true;
    note.first = first;
    note.through = r->number - 1;
    note.text = text;
    journal_note(&lost, MNC__JOURNAL_KIND__JOURNAL_LOST, &note, bytes);
    strcpy(lost.serial, r->serial);
    return journal_append(h->journal, &lost) && journal_append(h->journal, r); /* if the second fails, the record is offered again, and its note exists already */
}

bool hub_note(struct hub *h, uint32_t kind, const char *serial, const char *text)
{
    struct journal_record r = {0};
    bool queued;
    uint8_t bytes[JOURNAL_NOTE_MAX];
    Mnc__Note note = MNC__NOTE__INIT;

    note.text = (char *)(uintptr_t)text;
    journal_note(&r, kind, &note, bytes);
    snprintf(r.serial, sizeof(r.serial), "%s", serial);
    queued = h->journal != NULL && journal_append(h->journal, &r);
    if (!queued)
        log_error("this is not in the journal: %s", text);
    return queued;
}

void hub_on_flight(void *ctx, struct pen *p, const struct journal_record *r, uint8_t *bytes, size_t n)
{
    struct hub *h = ctx;

    (void)p;
    if (h->journal != NULL)
        journal_append_flight(h->journal, r, bytes, n);
    else
        free(bytes);
}

uint32_t hub_on_recognise(void *ctx, struct pen *p, uint32_t newest, uint32_t acked, const struct journal_record *r)
{
    struct hub *h = ctx;

    if (h->journal == NULL)
        return 0;
    journal_recognise(h->journal, pen_serial(p), newest, acked, r);
    return journal_newest(h->journal, pen_serial(p));
}

/* ---- from the journal ---- */

static void on_committed(void *ctx, const struct journal_record *const *r, size_t n)
{
    struct hub *h = ctx;

    for (size_t i = 0; i < n; i++) {
        struct pen *p = hub_pen(h, r[i]->serial);

        if (p != NULL)
            pen_records_committed(p, journal_newest(h->journal, r[i]->serial));
    }
    for (unsigned i = 0; i < h->count && h->record_waits; i++)
        pen_records_resume(h->pens[i]);
    h->record_waits = false;
    for (unsigned i = 0; i < HUB_OBSERVERS; i++) {
        if (h->observers[i].committed != NULL)
            h->observers[i].committed(h->observers[i].ctx, r, n);
    }
}

static void on_journal_state(void *ctx, bool writable, const char *sentence)
{
    struct hub *h = ctx;

    snprintf(h->journal_error, sizeof(h->journal_error), "%s", writable ? "" : sentence);
    if (writable)
        log_info("%s", sentence);
    else
        log_error("%s; records stay in their pens, and nothing can be armed", sentence);
}

/* ---- the journal itself ---- */

void hub_notify_journal(struct hub *h)
{
    for (unsigned i = 0; i < HUB_OBSERVERS; i++) {
        if (h->observers[i].journal != NULL)
            h->observers[i].journal(h->observers[i].ctx);
    }
}

static void retry(struct hub *h)
{
    sd_event_source_set_time_relative(h->journal_retry, JOURNAL_RETRY_US);
    sd_event_source_set_enabled(h->journal_retry, SD_EVENT_ONESHOT);
}

static void failed(struct hub *h, const char *why)
{
    if (!h->failed || strcmp(why, h->journal_error) != 0)
        log_error("%s; records stay in their pens, and nothing can be armed", why);
    h->failed = true;
    snprintf(h->journal_error, sizeof(h->journal_error), "%s", why);
    retry(h);
}

static void run_opening(void *ctx) /* in its thread */
{
    struct hub *h = ctx;
    struct open_task *o = &h->opening;

    o->result = journal_open(&o->journal, h->journal_path, &h->limits, &o->cancel, o->why, sizeof(o->why));
}

static void opened(struct hub *h)
{
    h->journal = h->opening.journal;
    h->opening.journal = NULL;
    if (h->opening.why[0] != '\0')
        log_error("%s", h->opening.why);
    if (h->failed)
        log_info("the journal %s is written again", h->journal_path);
    h->failed = false;
    h->journal_error[0] = '\0';
    for (unsigned i = 0; i < h->count; i++)
        pen_records_restart(h->pens[i]);
}

static void done_opening(void *ctx)
{
    const struct journal_observer observer = {.ctx = ctx, .committed = on_committed, .state = on_journal_state};
    struct hub *h = ctx;
    struct open_task *o = &h->opening;

    stall_doing("the journal that has been opened");
    task_free(o->task);
    o->task = NULL;
    if (o->result == 0) {
        char why[sizeof(o->why)];

        o->result = journal_start(o->journal, h->event, &observer, why, sizeof(why));
        if (o->result < 0) {
            strcpy(o->why, why);
            journal_close(o->journal);
            o->journal = NULL;
        }
    }
    if (o->result < 0)
        failed(h, o->why);
    else
        opened(h);
    hub_notify_journal(h);
}

static void begin_opening(struct hub *h)
{
    int r;
    char why[sizeof(h->journal_error)];

    atomic_store(&h->opening.cancel, false);
    r = task_start(&h->opening.task, h->event, run_opening, done_opening, h);
    if (r == 0)
        return;
    snprintf(why, sizeof(why), "the journal %.200s cannot be opened: %s", h->journal_path, strerror(-r));
    failed(h, why);
}

static int on_journal_retry(sd_event_source *s, uint64_t usec, void *userdata)
{
    (void)s;
    (void)usec;
    begin_opening(userdata);
    return 0;
}

void hub_open_journal(struct hub *h, const char *path, const struct journal_limits *limits)
{
    h->limits = *limits;
    snprintf(h->journal_path, sizeof(h->journal_path), "%s", path);
    snprintf(h->journal_error, sizeof(h->journal_error), "the journal %.200s is being opened", path);
    begin_opening(h);
}

bool hub_journal_is_opening(const struct hub *h)
{
    return h->opening.task != NULL && !h->failed;
}

void hub_close_journal(struct hub *h)
{
    if (h == NULL)
        return;
    sd_event_source_set_enabled(h->journal_retry, SD_EVENT_OFF);
    atomic_store(&h->opening.cancel, true);
    task_free(h->opening.task);
    h->opening.task = NULL;
    journal_close(h->opening.journal);
    h->opening.journal = NULL;
    journal_close(h->journal);
    h->journal = NULL;
}

const char *hub_journal_error(const struct hub *h)
{
    return h->journal == NULL && h->journal_error[0] == '\0' ? "there is no journal" : h->journal_error;
}

struct journal *hub_journal(const struct hub *h)
{
    return h->journal;
}

int hub_records_init(struct hub *h)
{
    int r = sd_event_add_time_relative(h->event, &h->journal_retry, CLOCK_MONOTONIC, 0, 0, on_journal_retry, h);

    return r < 0 ? r : sd_event_source_set_enabled(h->journal_retry, SD_EVENT_OFF);
}
