/*
 * The pen's end of the link: frames in and out, the session, and the last replies, so that a request that comes twice is
 * applied once and answered twice with the same bytes. It knows frames and sessions, and nothing of what they mean.
 *
 * Replies go before telemetry. What the endpoint does not take now is tried again at the next tick.
 */
#pragma once

#include "frame.h"
#include "hal.h"

#define LINK_REPLY_LATE_MS 5 /* S2: a round trip is shorter than that */

enum link_reply_state { REPLY_NONE, REPLY_WORKING, REPLY_READY, REPLY_SENT };

struct link_reply {
    enum link_reply_state state;
    uint16_t correlation;
    uint16_t type;
    uint16_t length;
    uint64_t since_ms; /* when its request was here whole */
    uint8_t payload[MN_FRAME_PAYLOAD_MAX];
};

struct link {
    struct mn_frame_reader reader;
    uint32_t session; /* 0: none */
    uint16_t sequence_out;
    uint16_t sequence_in; /* expected next */
    uint32_t bad_frames, sequence_gaps, foreign_frames;
    uint32_t replies_sent, replies_late; /* since boot; of these, sent more than LINK_REPLY_LATE_MS after the request: the pen's own share of a round trip */
    uint32_t reply_max_ms;          /* the longest */
    uint64_t bad_until_ms[3]; /* until when each of the last three bad ones counts; 0: none came */
    uint16_t progress_correlation; /* a PROGRESS that waits; 0: none */
    uint16_t progress_permille;
    uint8_t next_reply; /* the oldest, reused next */
    struct link_reply replies[MN_REPLIES_KEPT];
};

/* Forgets session, replies and half-read frames; counters stay. */
void link_reset(struct link *l);

/* A new session, of a HELLO that has just come. */
void link_open(struct link *l, uint32_t session);

/* A bad frame or a gap at now_ms. */
void link_note_bad(struct link *l, uint64_t now_ms);
/* Bad ones within the last second, at most 3. */
uint8_t link_bad_recent(const struct link *l, uint64_t now_ms);

/* The reply to a request seen before in this session, or NULL; if it was sent, it will be again. The request has come at now_ms. */
struct link_reply *link_repeat(struct link *l, uint16_t correlation, uint64_t now_ms);

/* A place for the reply to a new request; NULL when all are still unsent or in work (the window was overrun). */
struct link_reply *link_claim(struct link *l, uint16_t correlation, uint64_t now_ms);

/* Sends what waits: replies, then progress. True when nothing of it is left. */
bool link_flush(struct link *l, const struct pen_port *port, uint64_t now_ms);

/* Sends one frame that is no reply; false: busy. */
bool link_send(struct link *l, const struct pen_port *port, uint16_t type, uint16_t correlation, const uint8_t *payload,
               uint16_t length);
