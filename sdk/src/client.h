/*
 * Inside of a client, what its files share:
 *
 *     client.c       the connection: connecting, again after a disconnection, processing
 *     bytes.c        its bytes out and in
 *     pending.c      calls that wait for their result
 *     receive.c      what the daemon sends: results and events
 *     calls.c        requests about pens and the daemon; blocking calls on top of asynchronous ones
 *     subscribe.c    telemetry and monitoring, and both again after a reconnection
 *     records.c, session.c, factory.c, policy.c   requests of one kind each
 *     decode.c, decode_session.c   from messages to the public structs
 *     tables.c, traffic.c          tables of the protocol; what a monitor shows
 */
#pragma once

#include "client.pb-c.h"
#include "mn/mn.h"

struct call;

/* Fills r from the daemon's message; false: the message is not the answer that was expected. */
typedef bool decode_fn(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m);

struct call { /* under way */
    struct call *next;
    uint32_t id;
    char serial[MN_SERIAL_MAX + 1];
    uint64_t began_us, deadline_ms;
    decode_fn *decode;
    mn_result_fn *done; /* may be NULL */
    void *user;
    bool changes;       /* something may have been done, although no answer came */
    bool has_progress;  /* its callback knows results that are not the end */
};

struct stream { /* telemetry of one pen: where the next batch should begin */
    struct stream *next;
    char serial[MN_SERIAL_MAX + 1];
    uint32_t boot_id;
    uint64_t next_fast, next_slow;
    uint32_t decimation; /* of next_fast */
};

struct subscription { /* to be asked for again after a reconnection */
    char serial[MN_SERIAL_MAX + 1];
    bool telemetry;
};

struct follow { /* the place in the records, and what is wanted of them */
    bool on, from_now;
    uintptr_t generation;  /* one more with each beginning: answers to an older one are not told */
    uint64_t retry_at_ms;  /* the daemon could not answer; 0: it was asked */
    void (*again)(mn_client *c); /* after a reconnection, and then; NULL: never followed */
    struct mn_cursor at;
    struct mn_filter filter; /* its strings are these */
    char serial[MN_SERIAL_MAX + 1], priorities[4];
};

enum client_state { CLIENT_GREETING, CLIENT_CONNECTED, CLIENT_WAITING, CLIENT_DEAD };

struct mn_client {
    char *path, *name;
    int fd;
    enum client_state state;
    bool reconnect, watching, monitoring;
    unsigned liveness_ms; /* 0: the daemon's own */
    uint64_t last_traffic; /* number; 0: none yet */
    mn_event_fn *on_event;
    void *user;
    char daemon_version[17];
    uint32_t daemon_minor;
    enum mn_role role;
    char goodbye[256];
    int greeting_error; /* -1: not known yet */
    uint64_t lost_at_ms, retry_at_ms;
    unsigned backoff_ms;

    uint8_t *in, *out;
    size_t in_fill, in_cap, out_length, out_cap;
    uint32_t last_id;
    struct call *calls;
    struct stream *streams;
    struct subscription *subscriptions;
    size_t subscription_count;
    uint32_t decimation, latency_max_ms; /* of them; 0: never said */
    struct follow follow;
    void (*resubscribe)(mn_client *c); /* after a reconnection; NULL: nothing was subscribed to */

    struct mn_findings *findings; /* of the last check or beginning; NULL: there was none */
    char refusal[240];             /* their sentence */
    void *owned; /* arrays in the result that is being delivered: freed after it, unless taken */
    char message[400];
    struct mn_result last;
};

/* CLOCK_MONOTONIC. */
uint64_t client_now_us(void);
uint64_t client_now_ms(void);

/* Tells the program. */
void client_event(mn_client *c, const struct mn_event *e);

/* Keeps the error and its sentence; returns error. */
int client_fail(mn_client *c, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

enum { CALL_FOREVER = 0x7fffffff };

/* Sends the message and remembers the call; timeout_ms CALL_FOREVER: until the connection ends. done is called once with a final result, unless this returns an error. */
int call_start(mn_client *c, Mnc__ClientMessage *m, const char *serial, int timeout_ms, decode_fn *decode, mn_result_fn *done,
               void *user);

/* pending.c: NULL: it has timed out here. */
struct call *call_find(mn_client *c, uint32_t id);
/* Calls back, and leaves it pending. */
void call_deliver(mn_client *c, const struct call *call, struct mn_result *r);
/* Calls back, and frees it. */
void call_end(mn_client *c, struct call *call, struct mn_result *r);
/* The sentence of a call without a result; of a change it says that its effect is unknown. */
void put_unanswered(const struct call *call, const char *why, char *out, size_t cap);
/* Ends all of them with this error. */
void calls_fail(mn_client *c, int error, const char *why);
/* Ends those whose deadline has passed. */
void calls_time_out(mn_client *c);

/* bytes.c: an MN_ERR_*. */
int out_flush(mn_client *c);
int out_append(mn_client *c, const Mnc__ClientMessage *m);
/* Reads what is there, once, and handles the messages that are whole. */
int in_read(mn_client *c);

/* receive.c: one message. */
int client_on_message(mn_client *c, const uint8_t *bytes, size_t n);

/* Processes until *done. */
int client_wait(mn_client *c, const bool *done);

/* ---- blocking on top of asynchronous ---- */

/* Where a blocking call waits for its result; the union's member goes to out, as it is. */
struct waiter {
    bool done;
    int error;
    void *out;   /* NULL: not wanted */
    size_t size;
    char *text;  /* for simulate: a string instead */
    bool points; /* the union has a pointer to what is wanted */
};

/* The callback of the asynchronous call; user is the waiter. */
void client_wake(mn_client *c, const struct mn_result *r, void *user);
/* Waits, unless starting failed. */
int client_finish(mn_client *c, struct waiter *w, int started);

#define WAIT(c, out_pointer, async_call)                                                                               \
    struct waiter w = {.out = (out_pointer), .size = sizeof(*(out_pointer))};                                          \
    return client_finish((c), &w, (async_call))

/* A pen's own request (a mnp.FrameType), passed through the daemon; request may be NULL. */
int client_call_pen(mn_client *c, const char *serial, uint32_t type, const ProtobufCMessage *request, int timeout_ms, decode_fn *decode,
                    mn_result_fn *done, void *user);
/* Its reply's payload; NULL: the message is no such reply. */
const ProtobufCBinaryData *client_payload_of(const Mnc__ServerMessage *m);

/* The answer is Done. */
bool client_on_done(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m);
