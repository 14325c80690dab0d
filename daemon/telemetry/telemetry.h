/*
 * Telemetry and events on their way from pens to subscribers. A subscriber never delays another.
 *
 * What is urgent (replies, events of pens) is encoded once into a shared buffer and pushed to each subscriber that it is for, which flushes it at the end
 * of the present event. Telemetry and monitored traffic are written once to a ring, of which each subscriber has a cursor; subscribers flush when
 * everything that was ready in this iteration of the loop has been handled, or when the latency that they asked for says so, so that one write takes
 * all that has come. At most some subscribers flush in one iteration, so that what is urgent does not wait for all of them.
 *
 * Loop thread only.
 */
#pragma once

#include <sys/types.h>
#include <sys/uio.h>
#include <systemd/sd-event.h>

#include "buf.h"
#include "client.pb-c.h"
#include "frame.h"
#include "ring.h"

/* ---- batches ---- */

struct batch_facts {
    uint32_t boot_id;
    uint32_t samples; /* of both groups */
    uint32_t dropped; /* by the pen, since its boot */
    uint64_t t_us;    /* of the first sample of a group, the later one, in the pen's time */
};

/* Whether every decoder will accept a batch, found in one pass over its bytes without allocating; the bytes themselves go on to subscribers as they
 * came. False: it is no mnp.TelemetryBatch whose columns all have as many values as their group's count says. */
bool batch_check(const uint8_t *bytes, size_t n, struct batch_facts *facts);

/* ---- cursors ---- */

/* Older messages are not live any more: a cursor skips them. */
#define CURSOR_AGE_MAX_US 5000000

/* The place of one subscriber in a ring. It gathers the messages that it wants as runs of bytes for one write, and is advanced by as many bytes as were
 * written. A message that was overwritten or became too old before it was taken is missed, and counted. */
struct cursor {
    const struct ring *ring; /* NULL: reads nothing */
    uint64_t next;
    uint64_t missed;  /* messages, of any tag */
    uint64_t hold_us; /* a message may wait so long for others to be sent with it */
    bool (*wants)(const void *ctx, uint32_t tag); /* NULL: all */
    const void *ctx;
};

/* Begins behind the newest message of a ring; NULL: reads nothing. */
void cursor_begin(struct cursor *c, const struct ring *ring);
/* When there is something to be sent; UINT64_MAX: there is nothing. Skips what is too old. */
uint64_t cursor_due_us(struct cursor *c, uint64_t now_us);
/* Fills at most max runs to be written; returns how many. Valid until the ring is written to. */
int cursor_gather(const struct cursor *c, struct iovec *out, int max);
/* The first n bytes of what was gathered are written. If they end within a message, *cut is the rest of it, else it is empty. */
void cursor_advance(struct cursor *c, size_t n, struct iovec *cut);

/* ---- subscribers ---- */

struct fanout;

#define SUBSCRIPTIONS_MAX 64
#define LATENCY_MIN_MS MN_BATCH_MIN_MS /* no sample comes sooner than its batch */
#define LATENCY_MAX_MS 2000
#define LATENCY_DEFAULT_MS MN_BATCH_MS

struct subscription {
    char serial[33];
    uint32_t pen_id; /* the latest pen of that serial number; 0: none yet */
    bool telemetry;
};

/* Embedded in a client, zeroed. Only the fan-out changes it, except that the client advances the cursors. */
struct subscriber {
    struct subscriber *next, *next_urgent;
    bool watching;   /* is notified of pens that come, go and change */
    bool is_urgent;  /* in the list of those that have something urgent to flush */
    struct subscription all;
    struct subscription of_pen[SUBSCRIPTIONS_MAX];
    unsigned count;
    uint32_t decimation, latency_ms; /* 0: the defaults */
    struct cursor telemetry, traffic;
    /* Queues b, with a reference of its own, and calls fanout_urgent(). Must not remove a subscriber; nor must flush. */
    void (*push)(struct subscriber *s, struct buf *b);
    /* Sends what is queued, and what is in its rings. */
    void (*flush)(struct subscriber *s);
};

/* 0 or a negative errno. */
int fanout_new(struct fanout **out, sd_event *event);
/* All subscribers must be removed. Takes NULL. */
void fanout_free(struct fanout *f);

void fanout_add(struct fanout *f, struct subscriber *s);
void fanout_remove(struct fanout *f, struct subscriber *s);

/* Subscribes to the telemetry of a pen, or ends that; an empty serial, or NULL, is all pens. NULL, or a sentence about what is wrong. */
const char *fanout_subscribe(struct fanout *f, struct subscriber *s, const char *serial, bool telemetry);
/* Every how many-th sample, and the greatest latency, 5 to 2000 ms; 0 leaves it as it was. NULL, or a sentence about what is wrong. */
const char *fanout_pace(struct fanout *f, struct subscriber *s, uint32_t decimation, uint32_t latency_ms);
/* Subscriptions to this serial number mean this pen from now on. */
void fanout_bind_pen(struct fanout *f, const char *serial, uint32_t pen_id);
/* The longest batch of a pen that serves the subscriber with the smallest latency, in ms. */
uint32_t fanout_batch_ms(const struct fanout *f, uint32_t pen_id);

/* The subscriber has something urgent to flush. */
void fanout_urgent(struct fanout *f, struct subscriber *s);
/* Flushes all that have something urgent: the present event has been handled. */
void fanout_flush_urgent(struct fanout *f);
/* Flushes telemetry that has waited too long for its turn. Called by what may keep the loop busy without end, but not from within flush. */
void fanout_flush_due(struct fanout *f);

/* Writes a checked batch for all that subscribed to it. */
void fanout_telemetry(struct fanout *f, uint32_t pen_id, const char *serial, const uint8_t *batch, size_t n);

/* Pushes an event to all that watch pens. */
void fanout_notify_watchers(struct fanout *f, const Mnc__ServerMessage *m);

/* Encodes a message for clients: its length and its content. NULL without memory. */
struct buf *fanout_encode(const Mnc__ServerMessage *m);

/* ---- monitoring ---- */

/* Every transfer and message from now on, of all pens and clients. False without memory. */
bool fanout_monitor(struct fanout *f, struct subscriber *s, bool on);
bool fanout_is_monitored(const struct fanout *f);
/* Something for those that monitor; costs nothing while nobody does. pid 0: of a pen. */
void fanout_traffic(struct fanout *f, Mnc__TrafficKind kind, const char *name, pid_t pid, const uint8_t *bytes, size_t n);
