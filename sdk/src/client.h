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

/* Fills r from the daemon's message. False if that is not the expected reply. */
typedef bool decode_fn(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m);

struct call { /* a pending call */
    struct call *next;
    uint32_t id;
    char serial[MN_SERIAL_MAX + 1];
    uint64_t began_us, deadline_ms;
    decode_fn *decode;
    mn_result_fn *done; /* may be NULL */
    void *user;
    bool changes;       /* without a reply, its effect is not known */
    bool has_progress;  /* its callback takes progress before the result */
};

struct stream { /* telemetry of one pen: numbers of the next samples */
    struct stream *next;
    char serial[MN_SERIAL_MAX + 1];
    uint32_t boot_id;
    uint64_t next_fast, next_slow;
    uint32_t decimation; /* of next_fast */
};

struct subscription { /* repeated after a reconnection */
    char serial[MN_SERIAL_MAX + 1];
    bool telemetry;
};

struct follow { /* following records: the cursor and the filter */
    bool on, from_now;
    uintptr_t generation;  /* incremented by each mn_records_follow(): replies to an older one are dropped */
    uint64_t retry_at_ms;  /* when to ask again after an error; 0: a request is pending */
    void (*again)(mn_client *c); /* called after a reconnection and at retry_at_ms; NULL: never followed */
    struct mn_cursor at;
    struct mn_filter filter; /* its strings point to these */
    char serial[MN_SERIAL_MAX + 1], priorities[4];
};

enum client_state { CLIENT_GREETING, CLIENT_CONNECTED, CLIENT_WAITING, CLIENT_DEAD };

struct mn_client {
    char *path, *name;
    int fd;
    enum client_state state;
    bool reconnect, watching, monitoring;
    unsigned liveness_ms; /* 0: the daemon's default */
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
    uint32_t decimation, latency_max_ms; /* of telemetry; 0: not requested */
    struct follow follow;
    void (*resubscribe)(mn_client *c); /* called after a reconnection; NULL: nothing is subscribed */

    struct mn_findings *findings; /* of the last check or begin; NULL: none */
    char refusal[240];             /* their message */
    void *owned; /* arrays of the result that is being delivered: freed afterwards, unless a blocking call takes them */
    char message[400];
    struct mn_result last;
};

/* CLOCK_MONOTONIC. */
uint64_t client_now_us(void);
uint64_t client_now_ms(void);

/* Calls the program's event callback. */
void client_event(mn_client *c, const struct mn_event *e);

/* Stores the error's message; returns error. */
int client_fail(mn_client *c, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

enum { CALL_FOREVER = 0x7fffffff };

/* Sends the message and remembers the call; timeout_ms CALL_FOREVER: until the connection ends. done is called once with a final result, unless this returns an error. */
int call_start(mn_client *c, Mnc__ClientMessage *m, const char *serial, int timeout_ms, decode_fn *decode, mn_result_fn *done,
               void *user);

/* pending.c. NULL if the call has timed out. */
struct call *call_find(mn_client *c, uint32_t id);
/* Calls the callback; the call stays pending. */
void call_deliver(mn_client *c, const struct call *call, struct mn_result *r);
/* Calls the callback and frees the call. */
void call_end(mn_client *c, struct call *call, struct mn_result *r);
/* The message for a call without a result; for a change it says that its effect is not known. */
void put_unanswered(const struct call *call, const char *why, char *out, size_t cap);
/* Ends all pending calls with this error. */
void calls_fail(mn_client *c, int error, const char *why);
/* Ends the calls whose deadline has passed. */
void calls_time_out(mn_client *c);

/* bytes.c. Writes what is buffered; an MN_ERR_*. */
int out_flush(mn_client *c);
int out_append(mn_client *c, const Mnc__ClientMessage *m);
/* Reads once and handles the complete messages. */
int in_read(mn_client *c);

/* receive.c. Handles one message. */
int client_on_message(mn_client *c, const uint8_t *bytes, size_t n);

/* Processes events until *done. */
int client_wait(mn_client *c, const bool *done);

/* ---- blocking on top of asynchronous ---- */

/* A blocking call that waits for its result; the union's member is copied to out. */
struct waiter {
    bool done;
    int error;
    void *out;   /* NULL: not wanted */
    size_t size;
    char *text;  /* for mn_simulate(): a string instead */
    bool points; /* the union's member is a pointer to the result */
};

/* The callback of the asynchronous call; user is the waiter. */
void client_wake(mn_client *c, const struct mn_result *r, void *user);
/* Waits for the result, unless starting the call failed. */
int client_finish(mn_client *c, struct waiter *w, int started);

#define WAIT(c, out_pointer, async_call)                                                                               \
    struct waiter w = {.out = (out_pointer), .size = sizeof(*(out_pointer))};                                          \
    return client_finish((c), &w, (async_call))

/* A pen's own request (a mnp.FrameType), passed through the daemon; request may be NULL. */
int client_call_pen(mn_client *c, const char *serial, uint32_t type, const ProtobufCMessage *request, int timeout_ms, decode_fn *decode,
                    mn_result_fn *done, void *user);
/* The payload of its reply. NULL if the message is no such reply. */
const ProtobufCBinaryData *client_payload_of(const Mnc__ServerMessage *m);

/* Decodes a reply that is only Done. */
bool client_on_done(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m);
