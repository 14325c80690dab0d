/*
 * What the daemon has to say, to the programs that asked for it. What is urgent (replies, events of pens) is encoded once into a
 * shared buffer and pushed to each subscriber that asked for it, which is told to send at the end of what is being handled. Telemetry and
 * traffic are written once to a tape; its readers are told to send when all that is ready at this moment has been handled, or when what the
 * first of them asked for says so: then one write takes all that has come. Some are told at a time, so that what is urgent does not wait for
 * all of them. A subscriber never delays another.
 */
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "buf.h"
#include "client.pb-c.h"
#include "frame.h"
#include "reader.h"

struct fanout;

#define SUBSCRIPTIONS_MAX 64
#define LATENCY_MIN_MS MN_BATCH_MIN_MS /* no sample comes sooner than its batch */
#define LATENCY_MAX_MS 2000
#define LATENCY_DEFAULT_MS MN_BATCH_MS

struct subscription {
    char serial[33];
    uint32_t pen_id; /* the last pen of that number; 0: none yet */
    bool telemetry;
};

/* Embedded in a client, zeroed. fanout.c alone changes it, but for the readers, which the client moves on. */
struct subscriber {
    struct subscriber *next, *next_urgent;
    bool watching;   /* pens coming, going, changing */
    bool is_urgent;  /* in the list of those with something urgent to send */
    struct subscription all;
    struct subscription of_pen[SUBSCRIPTIONS_MAX];
    unsigned count;
    uint32_t decimation, latency_ms; /* 0: the defaults */
    struct reader telemetry, traffic;
    /* Takes a reference of its own if it keeps b, and calls fanout_urgent(). Must not remove a subscriber, nor does flush. */
    void (*push)(struct subscriber *s, struct buf *b);
    /* There is something to send, of its own or on its tapes. */
    void (*flush)(struct subscriber *s);
};

int fanout_new(struct fanout **out, sd_event *event);
/* All subscribers must be removed. */
void fanout_free(struct fanout *f);

void fanout_add(struct fanout *f, struct subscriber *s);
void fanout_remove(struct fanout *f, struct subscriber *s);

/* Telemetry of a pen; an empty serial, or NULL, is all pens. NULL, or what is wrong. */
const char *fanout_subscribe(struct fanout *f, struct subscriber *s, const char *serial, bool telemetry);
/* Which of the samples, and how late at the most; 0 is as it was. NULL, or what is wrong. */
const char *fanout_pace(struct fanout *f, struct subscriber *s, uint32_t decimation, uint32_t latency_ms);
/* Pens come and go: this is the one of that serial number from now on. */
void fanout_found(struct fanout *f, const char *serial, uint32_t pen_id);
/* What a batch of this pen may span for the program in the greatest hurry. */
uint32_t fanout_batch_ms(const struct fanout *f, uint32_t pen_id);

/* It has something to send: in a moment. */
void fanout_urgent(struct fanout *f, struct subscriber *s);
/* All who have something urgent send it now: what was to be said about the present event has been said. */
void fanout_settle(struct fanout *f);
/* Telemetry that waits for its turn does not wait for ever: called by what may keep the loop busy without end, but not from within flush. */
void fanout_keep_up(struct fanout *f);

/* A checked batch, for all who want it. */
void fanout_telemetry(struct fanout *f, uint32_t pen_id, const char *serial, const uint8_t *batch, size_t n);

/* An event for all who watch pens. */
void fanout_tell_watchers(struct fanout *f, const Mnc__ServerMessage *m);

/* Every transfer and message from now on, of all pens and programs. False without memory. */
bool fanout_monitor(struct fanout *f, struct subscriber *s, bool on);
bool fanout_is_monitored(const struct fanout *f);
/* For those who monitor; costs nothing while nobody does. pid 0: a pen's. */
void fanout_traffic(struct fanout *f, Mnc__TrafficKind kind, const char *name, pid_t pid, const uint8_t *bytes, size_t n);

/* Encodes a message for clients: length and content. NULL without memory. */
struct buf *fanout_encode(const Mnc__ServerMessage *m);
