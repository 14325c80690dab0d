/*
 * All pens, and where what they send goes: telemetry to the fan-out, records to the journal, changes to those that watch. The hub owns the pens, the
 * journal and the fan-out. Loop thread only.
 */
#pragma once

#include "pen.h"
#include "telemetry.h"

struct hub;

/* 0 or a negative errno. */
int hub_new(struct hub **out, sd_event *event);
/* All pens must be closed (hub_close_pens()), or never have been. Takes NULL. */
void hub_free(struct hub *h);

struct fanout *hub_fanout(const struct hub *h);

/* ---- pens ---- */

/* A link_arrived_fn; ctx is the hub. */
bool hub_pen_arrived(void *hub, struct link *l);
/* The pen of that serial number or address, a ready one before others; NULL: none. */
struct pen *hub_pen(const struct hub *h, const char *serial);
/* The pens one by one, begun with NULL. */
struct pen *hub_next(const struct hub *h, const struct pen *after);
unsigned hub_pen_count(const struct hub *h);
/* Batches of telemetry since the start. */
uint64_t hub_batches(const struct hub *h);
/* Stops the needles of every pen, now. */
void hub_stop_all(struct hub *h);
/* Begins to close every pen; true when none is left. May be called again. */
bool hub_close_pens(struct hub *h);
/* pen_detach() on every pen. */
void hub_detach(struct hub *h, const void *ctx);

/* ---- subscribers ---- */

/* fanout_subscribe() and fanout_pace(); the pens' batches are adapted to it. */
const char *hub_subscribe(struct hub *h, struct subscriber *s, const char *serial, bool telemetry);
const char *hub_pace(struct hub *h, struct subscriber *s, uint32_t decimation, uint32_t latency_ms);
/* A subscriber was removed: the pens' batches are adapted to the others. */
void hub_update_pace(struct hub *h);

/* ---- observers ---- */

#define HUB_OBSERVERS 4
struct hub_observer {
    void *ctx;
    void (*committed)(void *ctx, const struct journal_record *const *r, size_t n); /* these records are on disk; may be NULL */
    void (*pen)(void *ctx, struct pen *p);                                         /* something in pen_info() has changed; may be NULL */
    void (*journal)(void *ctx);                                                    /* the journal has been opened, could not be, or has become readier; may be NULL */
};
/* At most HUB_OBSERVERS. */
void hub_add_observer(struct hub *h, const struct hub_observer *o);
void hub_remove_observer(struct hub *h, const void *ctx);

/* ---- lease holders, for display ---- */

/* The client that controls a pen; name NULL: none. Does not notify anybody: hub_notify_pen() does. */
void hub_set_holder(struct hub *h, const char *serial, const char *name, pid_t pid);
void hub_notify_pen(struct hub *h, struct pen *p);
/* pen_info() with the lease holder. */
void hub_pen_info(const struct hub *h, const struct pen *p, Mnc__PenInfo *info, Mnc__LinkCounters *counters);

/* ---- the journal ---- */

/*
 * Begins to open the journal, in a thread of its own: the loop does not wait for the disk. Records are taken from pens only while there is a journal, and
 * observers are notified of them only when they are in it. If it cannot be opened, that is retried every second; until then hub_journal_error() says why,
 * and everything but records and arming works.
 */
void hub_open_journal(struct hub *h, const char *path, const struct journal_limits *limits);
/* It is being opened, and nothing is wrong so far. */
bool hub_journal_is_opening(const struct hub *h);
/* Notifies the observers that something about the journal has changed. */
void hub_notify_journal(struct hub *h);
/* Before hub_free(): writes what is queued; what is only being opened is left as it was. Takes NULL. */
void hub_close_journal(struct hub *h);
/* NULL: there is none, or not yet. */
struct journal *hub_journal(const struct hub *h);
/* "" while records can be written; else one sentence. */
const char *hub_journal_error(const struct hub *h);
/* Appends a note about a pen ("": about none), which happens now. False: it is in the log, and not in the journal. */
bool hub_note(struct hub *h, uint32_t kind, const char *serial, const char *text);
