/*
 * What the files of a pen share:
 *
 *     pen.c        its life: the state machine, the session, the timer
 *     requests.c   requests that wait, are in flight, and are answered
 *     input.c      what comes from the pen: frames, statuses, telemetry
 *     records.c    the replication of its records
 *     clock.c      its time as the host's
 *     info.c       what is known of it
 *     flight.c     its last seconds of telemetry
 */
#pragma once

#include "flight.h"
#include "pen.h"

enum pen_state { PEN_OPENING, PEN_RESETTING, PEN_GREETING, PEN_READY, PEN_FAILED, PEN_DRAINING, PEN_CLOSED };

enum {
    PEN_REQUESTS_MAX = 32,  /* pending and in flight, per pen ... */
    PEN_STOPS_MAX = 8,      /* ... and beside those, STOPs, whose place no flood of requests takes */
    PEN_REQUEST_TIMEOUT_MS = 2000, /* of the daemon's own requests */
};

struct pen_request {
    uint16_t correlation; /* 0: waits for a place in the window */
    uint16_t type;
    uint32_t id;
    uint64_t deadline_ms, resend_ms;
    unsigned resent;
    pen_done_fn *done;
    void *ctx;
    uint8_t *payload;
    uint16_t length;
};

struct pen_requests {
    struct pen_request list[PEN_REQUESTS_MAX + PEN_STOPS_MAX]; /* in order of arrival */
    unsigned count, in_flight;
    uint16_t correlation; /* the last one */
    bool arming;          /* an ARM is in flight ... */
    bool disarm;          /* ... and STOP was requested since, on EP0, which may have overtaken it */
    bool armed_by_factory; /* the last ARM was FACTORY_ARM */
    uint32_t batch_ms;    /* of the last PACE in this session */
};

struct pen_records {
    uint32_t queued, newest;   /* handed to the observer; the pen's newest */
    uint32_t committed, acked; /* on disk; known to the pen */
    bool asked, ack_asked, ack_rejected;
    bool recognised;           /* it is the pen whose records are on disk */
};

struct pen_clock {
    bool known, asked;
    int64_t offset_us; /* the host's time less the pen's ... */
    uint64_t bound_us; /* ... give or take, when it was measured */
    uint64_t at_us;
};

struct pen {
    sd_event *event;
    sd_event_source *timer;
    uint64_t timer_ms; /* when it fires */
    struct link *link;
    struct pen_observer observer;
    uint32_t id;
    char port[32], address[LINK_ADDRESS_SIZE];
    bool simulated;
    char serial[JOURNAL_SERIAL_MAX + 1];
    char firmware_version[17];
    char last_error[200];

    enum pen_state state;
    uint64_t state_until_ms; /* RESETTING, GREETING: timeout; 0: none */
    uint64_t retry_at_ms;    /* RESETTING: begins then; 0: has begun */
    unsigned failures;
    uint32_t nonce, session, window, minor, capabilities, boot_id;
    uint16_t sequence_out, sequence_in;
    uint64_t heard_ms, heartbeat_ms, heartbeat_suspended_until_ms;
    struct mn_frame_reader reader;
    struct mn_pen_status status;
    bool bad_batch_logged;
    Mnc__LinkCounters counters;

    struct pen_requests requests;
    struct pen_records records;
    struct pen_clock clock;
    struct flight *flight;
};

/* pen.c */

uint64_t pen_now_ms(const struct pen *p);
/* The timer fires at due_ms or earlier. */
void pen_timer_by(struct pen *p, uint64_t due_ms);
void pen_changed(struct pen *p);
/* The session has failed, with one sentence, and is begun anew. What was in flight ends with TIMEOUT: its effect is unknown, and it is not repeated. */
void pen_session_failed(struct pen *p, const char *why);
void pen_on_hello(struct pen *p, const struct mn_frame *f);
/* Cuts out flights that are complete; all: also those that are not. */
void pen_cut_flights(struct pen *p, bool all);

/* requests.c */

/* 0 or a negative errno. */
int pen_send_frame(struct pen *p, uint16_t type, uint16_t correlation, const uint8_t *payload, uint16_t n);
int pen_send_control(struct pen *p, enum mn_control request);
uint16_t pen_next_correlation(struct pen *p);
/* Sends the pending requests that the window allows. */
void pen_pump(struct pen *p);
/* The reply, or progress, to a request in flight. */
void pen_on_reply(struct pen *p, const struct mn_frame *f, enum pen_result result);
/* Ends those in flight with TIMEOUT; or all of them, with this result. */
void pen_end_in_flight(struct pen *p);
void pen_end_all(struct pen *p, enum pen_result result);
/* Resends what is due and ends what has timed out. *next is lowered to when this is to be called again. */
void pen_check_requests(struct pen *p, uint64_t now_ms, uint64_t *next);

/* records.c */

/* Requests the next records; acknowledges those that are on disk: if there are any. */
void pen_fetch_records(struct pen *p);
void pen_acknowledge_records(struct pen *p);

/* clock.c */

/* Compares the pen's clock with the host's, unless that was done a short time ago. */
void pen_compare_clock(struct pen *p);
/* Dates a record of the pen in Unix time. */
void pen_date(const struct pen *p, struct journal_record *r);

/* input.c */

/* The bytes of one transfer. */
void pen_on_bytes(struct pen *p, enum link_in from, const uint8_t *bytes, size_t n);
