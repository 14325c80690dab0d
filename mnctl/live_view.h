/*
 * What a practitioner sees of a session under way: one line of state that is always true, and above it what has happened. Private to live.c, which has
 * its beginning, its keys and its end.
 */
#pragma once

#include "sessions.h"

struct live {
    struct app *app;
    struct mn_session s;
    bool terminal, draws;  /* a person is there; the line of state can be written over */
    bool shown;            /* it stands there */
    bool lost;             /* control, or the connection */
    bool asks_end;         /* e was pressed: the next key decides */
    bool arming;           /* ARM is on its way */
    bool has_pen;          /* the pen has been seen, as it is described here */
    struct mn_pen pen;
    uint32_t strokes_at, strokes_now; /* of the pen's own counter: when this run began, and now */
    uint32_t pending_strokes, pending_runs; /* of a run whose record has not come: since the zone had so many runs */
    uint64_t pending_ms;
    unsigned pending_zone;
    int32_t battery_pct;
    uint64_t run_began_ms, run_ended_ms;
    char said[80];         /* the last line of state, where it cannot be written over */
    char drawn[300];       /* and where it can: it is drawn again when it has changed */
};

/* The line of state: written over where the terminal can, else printed when it says something new. */
void live_draw(struct live *l);
/* It goes, so that something else may stand there. */
void live_clear(struct live *l);
/* A sentence above it, wrapped. */
void live_print(struct live *l, enum colour c, const char *format, ...) __attribute__((format(printf, 3, 4)));
void live_print_zones(struct live *l);
void live_print_keys(struct live *l);

/* Of the connection: what changes is told. user is the live. */
void live_on_event(mn_client *c, const struct mn_event *e, void *user);
