/*
 * One pen, from the moment it is plugged in until its last transfer has come back: its session, the requests in flight, the heartbeat, and the
 * replication of its records. What clients should know goes to an observer.
 *
 *     OPENING --link open--> RESETTING --SESSION_RESET done--> GREETING --HELLO answered--> READY
 *        |                      ^                                 |                           |
 *        |given up              +----- trouble, silence, a request that was never answered ---+
 *        v                                                                                    |
 *     FAILED --unplugged------------------------> DRAINING <------------- unplugged ----------+
 *                                                    |
 *                                                 CLOSED: may be freed
 *
 * A session that fails is begun anew after 250 ms, after some failures every 5 s. Requests wait meanwhile, up to their own deadline. Nothing is resumed:
 * a new session with another boot_id is another life of the pen.
 *
 * Loop thread only.
 */
#pragma once

#include <systemd/sd-event.h>

#include "client.pb-c.h"
#include "journal.h"
#include "link.h"
#include "pen.pb-c.h"

struct pen;

enum pen_result {
    PEN_RESULT_REPLY,    /* type and payload are the pen's; it may be an Error of the pen */
    PEN_RESULT_PROGRESS, /* payload is a mnp.Progress; more follows */
    PEN_RESULT_TIMEOUT,
    PEN_RESULT_GONE,
};

/* A request has been answered, or has ended without an answer. */
typedef void pen_done_fn(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n);

struct pen_observer {
    void *ctx;
    /* Something in pen_info() has changed. */
    void (*changed)(void *ctx, struct pen *p);
    /* A checked batch, as the pen sent it. */
    void (*telemetry)(void *ctx, struct pen *p, const uint8_t *batch, size_t n);
    /* A transfer has been handled whole. */
    void (*transfer_done)(void *ctx);
    /* Called for each record in ascending order of its number, with its content. If first != record->number, records [first, record->number) were
     * overwritten on the pen and are lost. False: there is no room for it now; it will be offered again. */
    bool (*record)(void *ctx, struct pen *p, uint32_t first, const struct journal_record *record);
    /* The telemetry around the fault of a record. Takes ownership of bytes, which are freed with free(). */
    void (*flight)(void *ctx, struct pen *p, const struct journal_record *record, uint8_t *bytes, size_t n);
    /* A transfer, in either direction, whole or broken. */
    void (*traffic)(void *ctx, struct pen *p, Mnc__TrafficKind kind, const uint8_t *bytes, size_t n);
    /* The pen's serial number is known: NULL, or one sentence if a pen of that number is in use already. */
    const char *(*check_serial)(void *ctx, struct pen *p, const char *serial);
    /* What the pen has is known: returns the newest of its records that is on disk (0: none). Called again with that record itself, if the pen still has
     * it (else NULL), before anything is acknowledged, since another pen may bear the same serial number. */
    uint32_t (*recognise)(void *ctx, struct pen *p, uint32_t newest, uint32_t acked, const struct journal_record *r);
    /* CLOSED: free it, but not from within this call. */
    void (*closed)(void *ctx, struct pen *p);
};

/* Opens the link. id is the daemon's own number of the pen. 0 or a negative errno. */
int pen_new(struct pen **out, sd_event *event, struct link *l, uint32_t id, const struct pen_observer *observer);
/* CLOSED, or never opened. Takes NULL. */
void pen_free(struct pen *p);
/* Begins to close; observer->closed() follows. May be called again. */
void pen_close(struct pen *p);

/* ---- requests ---- */

/*
 * Sends a request; done() is called exactly once with a final result, and before that perhaps with PROGRESS. STOP overtakes everything, and goes out on
 * EP0 as well. 0, -EAGAIN (too many are pending, or the pen is closing), -EMSGSIZE, -ENOMEM; then done() is not called. payload is copied.
 */
int pen_call(struct pen *p, uint16_t type, const uint8_t *payload, size_t n, uint32_t timeout_ms, pen_done_fn *done, void *ctx, uint32_t id);
/* ctx is about to be freed: its requests go on, but done() is not called. An ARM of it that is in flight ends with STOP. */
void pen_detach(struct pen *p, const void *ctx);
/* Stops the needles now, without a reply. */
void pen_stop(struct pen *p);
/* Limits the time that a batch of telemetry spans, 5 to 50 ms; a pen of a minor before 2 always takes 50. */
void pen_pace(struct pen *p, uint32_t batch_ms);
/* Ends the wait before the next session: what was in its way may be gone. */
void pen_retry_now(struct pen *p);

/* For the factory's tests: sends no heartbeats for so long; sends these bytes as they are, as one transfer (0, -EAGAIN). */
void pen_suspend_heartbeat(struct pen *p, uint32_t ms);
int pen_send_raw(struct pen *p, const uint8_t *bytes, size_t n);

/* ---- records ---- */

/* Its records through this number are on disk: the pen may forget them. */
void pen_records_committed(struct pen *p, uint32_t through);
/* There is room for records again. */
void pen_records_resume(struct pen *p);
/* There is a journal now: asks anew for its place in the records. */
void pen_records_restart(struct pen *p);
/* Whether every record that the pen is known to have is on disk. */
bool pen_records_are_on_disk(const struct pen *p);

/* ---- what is known of it; texts are valid as long as the pen ---- */

/* Its serial number, or its port until that is known. */
const char *pen_name(const struct pen *p);
/* Where it is plugged in: "usb 1-4", "sim 2". */
const char *pen_port(const struct pen *p);
/* "" until known; its address while it has no serial number. */
const char *pen_serial(const struct pen *p);
/* By its port (link_address()): stays the same when it gets its serial number. */
const char *pen_address(const struct pen *p);
/* The last sentence about what went wrong; "": nothing has. */
const char *pen_last_error(const struct pen *p);
bool pen_is_ready(const struct pen *p);
/* Has no needles: it is on the simulated bus, or says so itself (penstub as a USB device). */
bool pen_is_simulated(const struct pen *p);
/* The last ARM of this session was that of the factory: it may run without a treatment. */
bool pen_is_armed_by_factory(const struct pen *p);
uint32_t pen_id(const struct pen *p);
/* A mnp.State, by its latest status; UNSPECIFIED unless it is ready. */
uint32_t pen_state(const struct pen *p);
uint32_t pen_config_generation(const struct pen *p);
/* Of the pen's protocol. */
uint32_t pen_minor(const struct pen *p);
/* Fills info and counters with pointers into the pen, valid until the next iteration of the loop; info->counters is set to counters. */
void pen_info(const struct pen *p, Mnc__PenInfo *info, Mnc__LinkCounters *counters);
