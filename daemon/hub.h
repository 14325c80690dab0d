/*
 * All pens and what becomes of what they say: their telemetry goes to the fan-out, their records to the journal, their changes to those who
 * watch. It owns the pens, the journal and the fan-out.
 */
#pragma once

#include "fanout.h"
#include "journal.h"
#include "link_sim.h"
#include "pen.h"

struct hub;

struct hub_counters {
    uint64_t batches;
};

int hub_new(struct hub **out, sd_event *event);
/* All pens must be closed or never have been; see hub_close_pens(). */
void hub_free(struct hub *h);

/*
 * Records are taken from pens only while there is a journal, and told only when they are in it. What cannot be opened is tried
 * again every second; until then hub_journal_error() says why, and all but records and arming goes on.
 */
void hub_open_journal(struct hub *h, const char *path, const struct store_limits *limits);
/* Before hub_free(): writes what waits. */
void hub_close_journal(struct hub *h);
/* "" while it is written; else one sentence. */
const char *hub_journal_error(const struct hub *h);
/* NULL: there is none. */
struct journal *hub_journal(const struct hub *h);
#define HUB_WITNESSES 4
struct hub_witness {
    void *ctx;
    void (*committed)(void *ctx, const struct journal_record *const *r, size_t n); /* these records are on disk; may be NULL */
    void (*pen)(void *ctx, struct pen *p);                                         /* something of pen_info() has changed; may be NULL */
};
/* Up to HUB_WITNESSES are told. */
void hub_add_witness(struct hub *h, const struct hub_witness *w);
void hub_remove_witness(struct hub *h, const void *ctx);

/* For the buses: ctx is the hub. */
bool hub_pen_arrived(void *hub, struct link *l);

struct fanout *hub_fanout(const struct hub *h);
/* A subscriber that fanout_add() added goes, and its calls end. */
void hub_remove(struct hub *h, struct subscriber *s, const void *caller);

/* fanout_subscribe() and fanout_pace(), and the pens are told what they have to do. */
const char *hub_subscribe(struct hub *h, struct subscriber *s, const char *serial, bool telemetry);
const char *hub_pace(struct hub *h, struct subscriber *s, uint32_t decimation, uint32_t latency_ms);

/* pen_forget() by every pen. */
void hub_forget(struct hub *h, const void *caller);

/* The pen of that serial or address, a ready one before others; NULL: none. */
struct pen *hub_pen(const struct hub *h, const char *serial);
/* The pens one by one, begun with NULL. */
struct pen *hub_next(const struct hub *h, const struct pen *after);
unsigned hub_pen_count(const struct hub *h);
const struct hub_counters *hub_counters(const struct hub *h);

/* Stops the needles of every pen, now. */
void hub_stop_all(struct hub *h);

/* Who controls the pen, for those who look; NULL: nobody. Tells nobody: hub_pen_changed() does. */
void hub_set_owner(struct hub *h, const char *serial, const char *name, pid_t pid);
void hub_pen_changed(struct hub *h, struct pen *p);
/* pen_info() with the owner. */
void hub_pen_info(const struct hub *h, const struct pen *p, Mnc__PenInfo *info, Mnc__LinkCounters *counters);

/* A row of the daemon's own about a pen. */
void hub_note(struct hub *h, uint32_t kind, const char *serial, const char *text);

/* Begins to close every pen; true when none is left. */
bool hub_close_pens(struct hub *h);
