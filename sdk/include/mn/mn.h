/*
 * libmn: microneedling pens, for programs.
 *
 * A program connects to the daemon mnd, which owns every pen plugged into this machine, and asks it for what it wants. There
 * are three kinds of traffic:
 *   - commands are asked once and applied at most once: configuration, STOP, clearing faults, pings;
 *   - telemetry is live and lossy: what a program reads too slowly is dropped, and every hole is counted in
 *     mn_fast.missed and mn_slow.missed;
 *   - records (faults, configuration changes, runs, boots) are never lost and never doubled: the daemon has them on disk before the
 *     pen forgets them and before a program sees them, and a program that keeps its place (mn_record.cursor) sees each exactly once.
 *
 * Every call exists twice. mn_config_get() waits for its answer, at most timeout_ms; mn_config_get_async() returns at once and
 * calls back from mn_process(). While a blocking call waits, events and other calls' answers are delivered as well.
 *
 * For an event loop: wait until mn_fd() is ready for mn_events(), or mn_timeout_ms() has passed; call mn_process(); and ask for
 * all three again. There is no hidden thread and no signal handler. Threads: a client belongs to one thread at a time; two
 * clients share nothing. Callbacks come from mn_process() and from blocking calls of the same client; they may call every
 * asynchronous function, but neither a blocking one nor mn_process() nor mn_close().
 *
 * Strings are UTF-8 and end with 0. Pointers in a callback's arguments are good until it returns. Nothing is ever printed.
 * Pens are named by serial number, at most 32 characters, or by where they are plugged in: "@usb-1-4" is the pen at the port "usb 1-4". One that
 * has no serial number yet, off the factory's line, has that name in its serial's place. Figures: depths in um, stroke rates in dhz (0.1 Hz), temperatures
 * in dc (0.1 degC).
 */
#ifndef MN_MN_H
#define MN_MN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MN_API __attribute__((visibility("default")))
#else
#define MN_API
#endif

#define MN_SERIAL_MAX 32
#define MN_ECHO_MAX 1003 /* bytes of a ping */

/* ---- errors ---- */

/*
 * Calls return one of these, and so do callbacks in mn_result.error. An asynchronous call that returns another than MN_OK has not begun, and does not
 * call back. Each function names its errors; two sets of them have names here:
 *
 *   CALL   of every call that goes to the daemon: MN_ERR_DISCONNECTED, MN_ERR_TIMEOUT, MN_ERR_BUSY, MN_ERR_MEMORY, MN_ERR_PROTOCOL, MN_ERR_UNSUPPORTED
 *   PEN    of every call that goes on to a pen: those, and MN_ERR_INVALID (no serial number), MN_ERR_NO_PEN, MN_ERR_NOT_READY, MN_ERR_PEN_GONE
 */
enum mn_error {
    MN_OK = 0,
    MN_ERR_INVALID,      /* an argument makes no sense */
    MN_ERR_MEMORY,
    MN_ERR_NO_DAEMON,    /* nobody listens at the socket */
    MN_ERR_PERMISSION,   /* the socket is there, but not for this user */
    MN_ERR_DISCONNECTED, /* the daemon went away; whether a command was applied is not known */
    MN_ERR_PROTOCOL,     /* the other side does not speak as it should */
    MN_ERR_VERSION,      /* daemon and library have no protocol version in common; the message names both */
    MN_ERR_TIMEOUT,      /* no answer in time; whether a command was applied is not known */
    MN_ERR_NO_PEN,       /* no pen has this serial number */
    MN_ERR_NOT_READY,    /* the pen is there, but cannot be used; the message says why */
    MN_ERR_PEN_GONE,     /* unplugged while the call waited */
    MN_ERR_BUSY,         /* too much is under way */
    MN_ERR_FORBIDDEN,    /* not for this caller, or not with this pen */
    MN_ERR_UNSUPPORTED,  /* the daemon or the pen is too old for this */
    MN_ERR_RANGE,        /* a setting is out of range: mn_result.range says which */
    MN_ERR_CONFLICT,     /* the configuration has changed since it was read */
    MN_ERR_STATE,        /* not in the pen's present state */
    MN_ERR_FAULT,        /* a fault of the pen forbids it */
    MN_ERR_STORAGE,      /* the pen could not write its memory; nothing has changed */
    MN_ERR_JOURNAL,      /* the daemon's journal cannot be read or written; the message says why */
    MN_ERR_LEASE,        /* another program controls the pen, or this one does not; the message says who */
    MN_ERR_NO_RECORD,    /* no such record, or nothing was kept with it */
    MN_ERR_POLICY,       /* the treatment policy forbids it: the message begins with a code, as mn_refusal_at() has them */
    MN_ERR_NO_SESSION,   /* no such treatment session, or none is open */
    MN_ERR_WRITTEN,      /* what is written once in a pen's life has been */
    MN_ERR_COUNT
};

/* A short English name of the error, never NULL. */
MN_API const char *mn_strerror(int error);

/* ---- connection ---- */

typedef struct mn_client mn_client;
struct mn_event;
struct mn_result;

typedef void mn_event_fn(mn_client *c, const struct mn_event *e, void *user);
typedef void mn_result_fn(mn_client *c, const struct mn_result *r, void *user);

#define MN_LIVENESS_MIN_MS 250
#define MN_LIVENESS_MAX_MS 5000

struct mn_options {
    const char *socket;   /* NULL: $MN_SOCKET, else /run/mnd/mnd.sock */
    const char *name;     /* of this program, for the daemon's log; NULL: "libmn" */
    bool reconnect;       /* after a disconnection connect again, subscribe again, and say so by events */
    mn_event_fn *on_event; /* may be NULL */
    void *user;           /* for on_event */
    int timeout_ms;       /* for connecting; 0: 5000 */
    unsigned liveness_ms; /* 250 to 5000: for how long this program may be silent before it loses the pens that it controls; 0: 2000 */
};

/* Connects and greets. *out is NULL unless MN_OK. options may be NULL. On an error, message (may be NULL) gets one sentence of at most cap bytes. Free with
 * mn_close(). Errors: MN_ERR_INVALID, MN_ERR_MEMORY, MN_ERR_NO_DAEMON, MN_ERR_PERMISSION, MN_ERR_BUSY, MN_ERR_TIMEOUT, MN_ERR_VERSION, MN_ERR_PROTOCOL,
 * MN_ERR_DISCONNECTED (the daemon has turned this program away; the message says why). */
MN_API int mn_connect(mn_client **out, const struct mn_options *options, char *message, size_t cap);

/* Calls under way end with MN_ERR_DISCONNECTED in their callbacks. Takes NULL. */
MN_API void mn_close(mn_client *c);

/* -1 while disconnected. May change with each mn_process(). */
MN_API int mn_fd(const mn_client *c);
/* POLLIN, perhaps with POLLOUT. */
MN_API short mn_events(const mn_client *c);
/* Milliseconds until mn_process() has something to do although the descriptor is not ready; -1: never. */
MN_API int mn_timeout_ms(const mn_client *c);
/* Does all that can be done without waiting. MN_OK, or MN_ERR_DISCONNECTED (final unless options.reconnect), MN_ERR_PROTOCOL. */
MN_API int mn_process(mn_client *c);

/* The sentence of the last error of this client; "" if there was none. Good until the next call. */
MN_API const char *mn_message(const mn_client *c);

/* Where the daemon is looked for if no socket is named: $MN_SOCKET, else /run/mnd/mnd.sock. */
MN_API const char *mn_default_socket(void);

/* Version of the library, and of the daemon it is connected to ("0.1.0"). */
MN_API const char *mn_version(void);
MN_API const char *mn_daemon_version(const mn_client *c);

/* What this program may do, by the groups of its user; each may do all that those before it may. */
enum mn_role {
    MN_ROLE_OBSERVER, /* see, and STOP */
    MN_ROLE_OPERATOR, /* configure, arm, clear faults */
    MN_ROLE_SERVICE,  /* clear service faults, take a lease over, monitor */
    MN_ROLE_FACTORY   /* write serial number and calibration */
};

MN_API enum mn_role mn_role(const mn_client *c);
MN_API const char *mn_role_name(enum mn_role role); /* "operator" */

#ifdef __cplusplus
}
#endif

#include "pens.h"
#include "policy.h"
#include "session.h"
#include "telemetry.h"
#include "records.h"
#include "factory.h"
#include "monitor.h"
#include "events.h"

#endif
