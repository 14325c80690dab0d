/*
 * One pen: from the moment it is plugged in to the moment its last transfer is back. It keeps the session, the requests in
 * flight, the heartbeat and the place in the pen's records, and tells an observer what clients should know.
 *
 *     OPENING --link open--> RESETTING --SESSION_RESET done--> GREETING --HELLO answered--> READY
 *        |                      ^                                 |                           |
 *        |given up              +----- trouble, silence, a request that was never answered ---+
 *        v                                                                                    |
 *     FAILED --unplugged------------------------> DRAINING <------------- unplugged ----------+
 *                                                    |
 *                                                 CLOSED: may be freed
 *
 * A session that fails is begun anew after 250 ms, later after 5 s. Requests wait while it does, up to their own deadline.
 * Nothing is resumed: a new session of another boot_id is another life of the pen.
 */
#pragma once

#include <systemd/sd-event.h>

#include "client.pb-c.h"
#include "link.h"
#include "store.h"
#include "pen.pb-c.h"

struct pen;

enum pen_result {
    PEN_RESULT_REPLY,    /* type and payload are the pen's, an Error of the pen among them */
    PEN_RESULT_PROGRESS, /* payload is a mnp.Progress; more follows */
    PEN_RESULT_TIMEOUT,
    PEN_RESULT_GONE,
};

typedef void pen_done_fn(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n);

struct pen_observer {
    void *ctx;
    /* Something of pen_info() has changed. */
    void (*changed)(void *ctx, struct pen *p);
    /* A checked batch, as the pen sent it. */
    void (*telemetry)(void *ctx, struct pen *p, const uint8_t *batch, size_t n);
    /* What came in one transfer has been handled. */
    void (*settled)(void *ctx);
    /* A record, in order of number, with its content. The numbers from first to before it, if first is another, are lost: the pen
     * has overwritten them. False: there is no room for it now; it will be offered again. */
    bool (*record)(void *ctx, struct pen *p, uint32_t first, const struct journal_record *record);
    /* The telemetry around the fault of a record: takes over bytes. */
    void (*flight)(void *ctx, struct pen *p, const struct journal_record *record, uint8_t *bytes, size_t n);
    /* A transfer went by, in either direction, whole or broken. */
    void (*traffic)(void *ctx, struct pen *p, Mnc__TrafficKind kind, const uint8_t *bytes, size_t n);
    /* The serial number is known: one sentence if a pen of that number is in use already, else NULL. */
    const char *(*refused)(void *ctx, struct pen *p, const char *serial);
    /* What the pen has is known: the newest of its records that is on disk (0: none). Asked again with that
     * record itself, if the pen still has it (else NULL), before anything is acknowledged: another pen may have the same serial number. */
    uint32_t (*recognise)(void *ctx, struct pen *p, uint32_t newest, uint32_t acked, const struct journal_record *r);
    /* CLOSED: free it, but not from within this call. */
    void (*closed)(void *ctx, struct pen *p);
};

/* Opens the link at once. id is the daemon's own number of the pen. */
int pen_new(struct pen **out, sd_event *event, struct link *l, uint32_t id, const struct pen_observer *observer);
void pen_free(struct pen *p);

/* Begins to close; observer->closed() follows. May be called again. */
void pen_close(struct pen *p);

/* The serial number, or the port until that is known. */
const char *pen_name(const struct pen *p);
/* Where it is plugged in: "usb 1-4", "sim 2". */
const char *pen_port(const struct pen *p);
/* "" until known; its address while it has none of its own. */
const char *pen_serial(const struct pen *p);
/* By where it is plugged in (link_address()): a name that stays the same when the pen gets its serial number. */
const char *pen_address(const struct pen *p);
bool pen_is_ready(const struct pen *p);
/* If it waits before its next session, it does not any more: what was in its way may be gone. */
void pen_try_again(struct pen *p);
/* No needles: on the simulated bus, or by its own word (penstub as a USB device). */
bool pen_is_simulated(const struct pen *p);
uint32_t pen_id(const struct pen *p);
/* A mnp.State, by its last status; UNSPECIFIED unless it is ready. */
uint32_t pen_state(const struct pen *p);
uint32_t pen_config_generation(const struct pen *p);
/* Of the pen's protocol. */
uint32_t pen_minor(const struct pen *p);
/* The last ARM of this session was that of the factory: it may run without a treatment. */
bool pen_is_armed_by_factory(const struct pen *p);
/* Every record that it is known to have is on disk. */
bool pen_records_are_in(const struct pen *p);
/* The last sentence of what went wrong; "" if nothing has. */
const char *pen_last_error(const struct pen *p);
/* Its records through this number are on disk: the pen may forget them. */
void pen_records_committed(struct pen *p, uint32_t through);
/* There is room for records again. */
void pen_records_continue(struct pen *p);
/* There is a journal now: its place in the records is asked again. */
void pen_records_restart(struct pen *p);

/* Fills info and counters with pointers into the pen, good until the next turn of the loop. info->counters is set to it. */
void pen_info(const struct pen *p, Mnc__PenInfo *info, Mnc__LinkCounters *counters);

/*
 * Sends a request; done() is called exactly once with a final result, and before that perhaps with PROGRESS. STOP
 * overtakes everything, by EP0 too. 0, -EAGAIN (too many wait), -ENOMEM.
 */
int pen_call(struct pen *p, uint16_t type, const uint8_t *payload, size_t n, uint32_t timeout_ms, pen_done_fn *done, void *ctx,
             uint32_t id);

/* Batches of telemetry are to span so many ms at the most, 5 to 50; a pen of a minor before 2 always takes 50. */
void pen_pace(struct pen *p, uint32_t batch_ms);

/* ctx is going away: its requests go on, but done() is not called. An ARM of its own that is under way ends with STOP. */
void pen_forget(struct pen *p, const void *ctx);

/* For the factory's tests: no heartbeats for so long; these bytes go out as they are, as one transfer. 0, -EAGAIN. */
void pen_be_quiet(struct pen *p, uint32_t ms);
int pen_send_raw(struct pen *p, const uint8_t *bytes, size_t n);

/* Stops the needles now, without an answer. */
void pen_stop(struct pen *p);
