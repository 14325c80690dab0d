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

/* Connects and greets. *out is NULL unless MN_OK. options may be NULL. On an error, message (may be NULL) gets one sentence of
 * at most cap bytes. Free with mn_close(). */
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

/* ---- pens ---- */

enum mn_link { MN_LINK_UNKNOWN, MN_LINK_OPENING, MN_LINK_READY, MN_LINK_FAILED, MN_LINK_GONE };

enum mn_state {
    MN_STATE_UNKNOWN,
    MN_STATE_BOOT,
    MN_STATE_SELFTEST,
    MN_STATE_SAFE,
    MN_STATE_ARMED,
    MN_STATE_RUNNING,
    MN_STATE_STOPPING,
    MN_STATE_FAULT,
    MN_STATE_FACTORY,
    MN_STATE_DFU
};

enum mn_cartridge {
    MN_CARTRIDGE_UNKNOWN,
    MN_CARTRIDGE_ABSENT,
    MN_CARTRIDGE_NEW,
    MN_CARTRIDGE_IN_USE,
    MN_CARTRIDGE_USED,
    MN_CARTRIDGE_EXPIRED,
    MN_CARTRIDGE_UNREADABLE,
    MN_CARTRIDGE_REJECTED
};

/* Names as in the documentation: "READY", "SAFE", "IN_USE"; "UNKNOWN" for what this library does not know. */
MN_API const char *mn_link_name(enum mn_link link);
MN_API const char *mn_state_name(enum mn_state state);
MN_API const char *mn_cartridge_name(enum mn_cartridge cartridge);

struct mn_pen {
    uint32_t pen_id;               /* the daemon's, another one after each plugging in */
    char serial[MN_SERIAL_MAX + 1]; /* "" until the pen has been opened */
    char port[32];                 /* "usb 1-4", "sim 2" */
    enum mn_link link;
    char last_error[200];          /* one sentence; "" if all is well */
    uint32_t retry_ms;             /* after last_error: it is tried again in so long; 0: at once, or when it is replugged */
    bool simulated;
    uint32_t boot_id;              /* another one: another life of the pen */
    enum mn_state state;
    uint32_t fault_word;           /* bit i: mn_fault_at(i) */
    bool trigger;                  /* pressed */
    enum mn_cartridge cartridge;
    uint32_t config_generation;
    uint32_t records_newest;
    char firmware_version[17];
    uint32_t protocol_minor;
    uint32_t capabilities;         /* bits of pen.proto's Capability */
    char lease_name[64];           /* the program that controls it, as "clinic 2.1 (pid 42)"; "": none */
    uint32_t lease_pid;
    uint64_t frames_in, frames_out, bytes_in, bad_frames, sequence_gaps, foreign_frames, stale_replies, sessions, late_frames;
};

struct mn_pens {
    size_t count;
    struct mn_pen *pen;
};

/* All pens of now, by serial number. Free the blocking call's list with mn_pens_free(). */
MN_API int mn_list(mn_client *c, struct mn_pens *out, int timeout_ms);
MN_API int mn_list_async(mn_client *c, int timeout_ms, mn_result_fn *done, void *user);
MN_API void mn_pens_free(struct mn_pens *pens);

/* The same list, and from then on MN_EVENT_PEN for each pen that comes, goes or changes. */
MN_API int mn_watch(mn_client *c, bool on, struct mn_pens *out, int timeout_ms);
MN_API int mn_watch_async(mn_client *c, bool on, int timeout_ms, mn_result_fn *done, void *user);

struct mn_info {
    char model[33], serial[MN_SERIAL_MAX + 1], firmware_version[17], hardware_revision[17];
    uint32_t boot_count;
    uint32_t reset_cause; /* 1 power-on, 2 watchdog, 3 software */
    enum mn_cartridge cartridge;
    uint64_t cartridge_uid;
    uint32_t cartridge_lot, needle_count, cartridge_max_depth_um;
    uint64_t cartridge_expiry_s; /* Unix time */
    uint32_t depth_max_um, rate_min_dhz, rate_max_dhz; /* hard limits of this pen */
};

MN_API int mn_pen_info(mn_client *c, const char *serial, struct mn_info *out, int timeout_ms);
MN_API int mn_pen_info_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);

struct mn_status {
    enum mn_state state;
    uint32_t fault_word;
    bool trigger;
    enum mn_cartridge cartridge;
    uint64_t t_us; /* pen-monotonic */
    uint32_t strokes_session, strokes_total, motor_on_s, heartbeat_age_ms;
    uint32_t bad_frames, sequence_gaps, foreign_frames, telemetry_dropped;
    uint32_t boot_id, reset_cause, config_generation;
    uint32_t records_oldest, records_newest, records_acked; /* numbers; 0: none */
    uint32_t replies, replies_late, reply_max_ms; /* since boot; late: sent more than 5 ms after the request, by the pen's clock; all 0: its firmware does not count them */
};

MN_API int mn_pen_status(mn_client *c, const char *serial, struct mn_status *out, int timeout_ms);
MN_API int mn_pen_status_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);

/* ---- configuration ---- */

/* Bits of mn_config.present, in the order of mn_setting_at(). */
enum {
    MN_SET_DEPTH_UM = 1 << 0,
    MN_SET_STROKE_RATE_DHZ = 1 << 1,
    MN_SET_FAST_RATE_HZ = 1 << 2,
    MN_SET_SLOW_RATE_HZ = 1 << 3,
    MN_SET_SOFT_START_MS = 1 << 4,
    MN_SET_AUTO_OFF_S = 1 << 5
};

struct mn_config {
    uint32_t present;          /* which of the values are meant */
    uint32_t generation;       /* of what was read; one more with each change */
    uint32_t depth_um;         /* 0..2500 in steps of 50 */
    uint32_t stroke_rate_dhz;  /* 600..1500 */
    uint32_t fast_rate_hz;     /* 0 (off) or a divisor of 1000, to 1000 */
    uint32_t slow_rate_hz;     /* 0 (off) or a divisor of 1000, to 10 */
    uint32_t soft_start_ms;    /* 0..2000 in steps of 10 */
    uint32_t auto_off_s;       /* 5..300 */
};

/* A setting, so that a program can offer all of them without knowing any. */
struct mn_setting {
    const char *name; /* "depth_um" */
    const char *unit; /* "um", "dhz" (0.1 Hz), "hz", "ms", "s" */
    uint32_t min, max;
    uint32_t step;    /* 0: zero or a divisor of 1000 */
    uint32_t default_value;
    const char *text;
};

MN_API size_t mn_setting_count(void);
MN_API const struct mn_setting *mn_setting_at(size_t i); /* NULL beyond the last */
MN_API uint32_t mn_config_value(const struct mn_config *config, size_t i);
MN_API void mn_config_put(struct mn_config *config, size_t i, uint32_t value); /* marks it present, too */

MN_API int mn_config_get(mn_client *c, const char *serial, struct mn_config *out, int timeout_ms);
MN_API int mn_config_get_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);

/*
 * Changes the present values, all or none, at once and for good (the pen stores them). expected_generation is compared with
 * the pen's first: MN_ERR_CONFLICT if somebody else was faster; NULL compares nothing. MN_ERR_RANGE, MN_ERR_STATE (not while
 * armed or running), MN_ERR_FAULT (deeper than the cartridge allows). out (may be NULL) gets the whole new configuration.
 */
MN_API int mn_config_set(mn_client *c, const char *serial, const struct mn_config *change, const uint32_t *expected_generation,
                         struct mn_config *out, int timeout_ms);
MN_API int mn_config_set_async(mn_client *c, const char *serial, const struct mn_config *change,
                               const uint32_t *expected_generation, int timeout_ms, mn_result_fn *done, void *user);

/* All settings to their defaults. */
MN_API int mn_config_reset(mn_client *c, const char *serial, const uint32_t *expected_generation, struct mn_config *out,
                           int timeout_ms);
MN_API int mn_config_reset_async(mn_client *c, const char *serial, const uint32_t *expected_generation, int timeout_ms,
                                 mn_result_fn *done, void *user);

/* ---- control ---- */

/*
 * At most one program controls a pen: it alone may begin, arm and end a session with it, and nobody else may change it meanwhile (MN_ERR_LEASE, with the owner's name and
 * pid). Control ends with mn_lease_release(), with the connection, with the death of the process that has connected (whatever child of it holds the
 * socket), and when the program leaves the daemon's pings unanswered for as long as mn_options.liveness_ms says: mn_process() and blocking calls answer
 * them, so a program that is frozen loses its pens. Either way the needles stop: within 350 ms of a hang-up or a death, and within liveness_ms + 350 ms
 * of the last answer of one that is frozen. After a reconnection control is to be taken anew.
 */
MN_API int mn_lease_take(mn_client *c, const char *serial, int timeout_ms);
MN_API int mn_lease_take_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);
MN_API int mn_lease_release(mn_client *c, const char *serial, int timeout_ms);
MN_API int mn_lease_release_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);
/* From its holder, which is notified; recorded in the journal. Needs MN_ROLE_SERVICE. */
MN_API int mn_lease_take_over(mn_client *c, const char *serial, int timeout_ms);
MN_API int mn_lease_take_over_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);
/* Asks the owner (MN_EVENT_LEASE), and waits until it gives or releases it: at most timeout_ms, then MN_ERR_LEASE. */
MN_API int mn_lease_request(mn_client *c, const char *serial, int timeout_ms);
MN_API int mn_lease_request_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);
/* To a program that has asked: of this pid, or (0) the one that waits longest. The needles stop. */
MN_API int mn_lease_give(mn_client *c, const char *serial, uint32_t pid, int timeout_ms);
MN_API int mn_lease_give_async(mn_client *c, const char *serial, uint32_t pid, int timeout_ms, mn_result_fn *done, void *user);

/* Stops the needles; serial NULL: of every pen. Works in every state, for everyone. */
MN_API int mn_stop(mn_client *c, const char *serial, int timeout_ms);
MN_API int mn_stop_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);

/* The pen tests itself; it must be SAFE. The asynchronous call's callback comes with progress first (mn_result.in_progress). */
MN_API int mn_self_test(mn_client *c, const char *serial, struct mn_status *out, int timeout_ms);
MN_API int mn_self_test_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);

/* bytes (0..MN_ECHO_MAX) there and back through daemon and pen; *round_trip_us may be NULL. serial NULL: to the daemon only. */
MN_API int mn_ping(mn_client *c, const char *serial, size_t bytes, uint64_t *round_trip_us, int timeout_ms);
MN_API int mn_ping_async(mn_client *c, const char *serial, size_t bytes, int timeout_ms, mn_result_fn *done, void *user);

/* ---- faults ---- */

enum mn_fault_kind {
    MN_FAULT_LATCHING, /* stays until it is cleared, once its cause is gone */
    MN_FAULT_SELF,     /* goes with its cause */
    MN_FAULT_SERVICE   /* can be cleared by service only */
};

struct mn_fault {
    unsigned bit;     /* in a fault word */
    uint16_t code;    /* 1101 ... */
    const char *name; /* "MOTOR_STALL" */
    char priority;    /* 'H', 'M', 'L' */
    enum mn_fault_kind kind;
    const char *text;
    const char *cure; /* what to do about it */
};

MN_API size_t mn_fault_count(void);
MN_API const struct mn_fault *mn_fault_at(size_t bit);         /* NULL: a bit that this library does not know */
MN_API const struct mn_fault *mn_fault_by_code(unsigned code); /* NULL: no such code */

struct mn_cleared {
    uint32_t fault_word; /* what is left */
    uint32_t cleared;    /* bits that went */
};

/* Clears a fault by code, or all that can be with code 0; service also those of kind SERVICE. What has its cause still stays. */
MN_API int mn_faults_clear(mn_client *c, const char *serial, unsigned code, bool service, struct mn_cleared *out, int timeout_ms);
MN_API int mn_faults_clear_async(mn_client *c, const char *serial, unsigned code, bool service, int timeout_ms,
                                 mn_result_fn *done, void *user);

/* ---- the treatment policy ---- */

/*
 * What is to be asked, how deep and how often, and what is to be done afterwards: the defaults, row by row, each with its source, so that a
 * program can show and ask all of it without knowing any. Nothing here is a diagnosis, and nobody is told to stop a prescribed drug. Sources: S0
 * to S4 are published guides, R regulation or a device's record, P a choice of this project. mnd enforces it, with what a site's own file says
 * otherwise (mn_policy_get()).
 * Indices run from 0; NULL beyond the last row.
 */
enum mn_decision {
    MN_DECISION_OK,
    MN_DECISION_WARN,
    MN_DECISION_CONSULT, /* a clinician confirms, and it is recorded */
    MN_DECISION_BLOCK
};

MN_API const char *mn_decision_name(enum mn_decision decision); /* "CONSULT" */

struct mn_limit {
    const char *name; /* "numbing_at_most" */
    uint32_t value;
    const char *unit; /* "um", "min", "d" */
    const char *source, *text;
};

struct mn_zone {
    unsigned number;  /* in plans and records */
    const char *name; /* "FOREHEAD" */
    uint32_t cap_um;  /* deepest; 0: never treated */
    bool bony;
    const char *source;
};

struct mn_indication {
    const char *name;                    /* "SCARS" */
    uint32_t sessions_min, sessions_max; /* 0: the practitioner says */
    const char *source, *text;
};

struct mn_question {
    const char *name;             /* "NSAID" */
    uint32_t hours[2];            /* less than so many ago: decision[i]; 0, 0: a yes has decision[0] */
    enum mn_decision decision[2];
    bool in_zone;                 /* counts only where the treatment is to be */
    const char *source, *text;    /* the question */
};

struct mn_aftercare {
    const char *name;
    uint32_t hours; /* from the session's end: not before */
    const char *source, *text;
};

/* What may be seen after a session, and who is to be called. */
struct mn_adverse {
    unsigned number;  /* in records */
    const char *name; /* "SWELLING" */
    const char *who, *source, *text;
};

/* What is to be expected after a session, and no cause for alarm. */
struct mn_expected {
    const char *text, *source;
};

/* What to do from the session's end on. */
struct mn_care {
    const char *name; /* "CLEAN_HANDS" */
    const char *source, *text;
};

/* What is used with a session: recorded, never claimed. */
struct mn_product {
    unsigned bit;     /* in mn_plan.products */
    const char *name; /* "PRP" */
    const char *source, *text;
};

/* What the daemon refuses, beside what a pen does. */
struct mn_refusal {
    unsigned code;    /* 2001 ... */
    const char *name; /* "NUMBING_NOT_ELAPSED" */
    const char *text;
};

/* Minutes that a depth wants: 15 + 20 x (mm - 0.5), at least 15 and at most 45, rounded up. */
MN_API uint32_t mn_numbing_min(uint32_t depth_um);

MN_API size_t mn_limit_count(void);
MN_API const struct mn_limit *mn_limit_at(size_t i);
MN_API size_t mn_zone_count(void);
MN_API const struct mn_zone *mn_zone_at(size_t i);
MN_API size_t mn_indication_count(void);
MN_API const struct mn_indication *mn_indication_at(size_t i);
MN_API size_t mn_question_count(void);
MN_API const struct mn_question *mn_question_at(size_t i);
MN_API size_t mn_aftercare_count(void);
MN_API const struct mn_aftercare *mn_aftercare_at(size_t i);
MN_API size_t mn_adverse_count(void);
MN_API const struct mn_adverse *mn_adverse_at(size_t i);
MN_API size_t mn_expected_count(void);
MN_API const struct mn_expected *mn_expected_at(size_t i);
MN_API size_t mn_care_count(void);
MN_API const struct mn_care *mn_care_at(size_t i);
MN_API size_t mn_product_count(void);
MN_API const struct mn_product *mn_product_at(size_t i);
MN_API size_t mn_refusal_count(void);
MN_API const struct mn_refusal *mn_refusal_at(size_t i);

struct mn_policy_row { /* a figure of the site's own */
    char table[16];    /* "limits", "zones", "screening" */
    char name[40];
    char value[40], default_value[40]; /* "1200 um", "BLOCK within 168 h" */
    char source[8];    /* of one that is less strict than the default; "" */
};

struct mn_policy {
    bool good;         /* else text says what is wrong with the file that was shown */
    char text[320];
    char name[65];     /* of the site; "": the defaults are in force */
    uint8_t sha256[32]; /* of its file; recorded with each session */
    size_t count;
    struct mn_policy_row row[64]; /* what differs from the defaults */
};

/* The policy in force; or, with the text of a file (docs/sessions.md has its form; at most 64 KiB), what that would be. Nothing is changed by asking. */
MN_API int mn_policy_get(mn_client *c, const char *text, struct mn_policy *out, int timeout_ms);
MN_API int mn_policy_get_async(mn_client *c, const char *text, int timeout_ms, mn_result_fn *done, void *user);

/* ---- treatment sessions ---- */

/*
 * A session is one subject, one pen and one plan, from the questions before it to the summary after it. The daemon has it: when a
 * program goes, its pen's needles stop, the session stays, and another program of the same role may go on with it (with the pen's lease) or end it.
 *
 *     mn_lease_take() -> mn_session_begin() -> mn_session_arm() -> the pen's trigger starts and stops the needles -> mn_session_arm() ...
 *                                              mn_session_select(): another zone        -> mn_session_end()
 *
 * No host call starts the needles: the pen's trigger does, within config.auto_off_s seconds after mn_session_arm(). Each run needs its own ARM.
 * mn_stop() pauses. Nothing resumes by itself: after a fault, a lost cable or a lost lease somebody has to arm again.
 *
 * Nothing of this may name a person: subject and confirmed_by are keys of the clinic's own.
 */
#define MN_KEY_MAX 32      /* characters of a key: printable ASCII without blanks */
#define MN_REASON_MAX 100
#define MN_STEPS_MAX 17
#define MN_QUESTIONS_MAX 32
#define MN_FINDINGS_MAX 144
#define MN_SESSION_FINDINGS_MAX 96 /* none of those that forbid it */

struct mn_answer {
    bool answered;           /* unanswered is not "no" */
    bool yes;                /* of a yes or no */
    bool ever;               /* of the others: hours_ago is meant; else never */
    uint32_t hours_ago;
    uint32_t zones;          /* bits of zones: where it is, of those that count only there; 0: everywhere */
    const char *confirmed_by; /* the key of a clinician who has; NULL */
};

struct mn_plan {
    const char *subject;      /* needed: a key, the same one at each visit */
    const char *indication;   /* "SCARS"; NULL: none of them */
    size_t step_count;        /* 1..MN_STEPS_MAX */
    struct {
        unsigned zone;        /* mn_zone.number */
        uint32_t depth_um, stroke_rate_dhz;
        const char *interval_override; /* why not to wait any longer; NULL */
    } step[MN_STEPS_MAX];
    struct mn_answer answer[MN_QUESTIONS_MAX]; /* in the order of mn_question_at() */
    bool numbed;
    uint32_t numbing_min;     /* minutes since it was applied: 0..1440 */
    const char *numbing_waiver; /* why not to wait for it; NULL */
    uint32_t products;        /* bits of mn_product_at() */
    uint32_t continues;       /* the number of a session of this subject that was broken off today: this is the rest of it; 0: none */
    const char *continues_why; /* needed with it */
};

struct mn_finding {
    enum mn_decision decision;
    unsigned code;            /* of mn_refusal_at(), or of a fault; 0: none */
    char name[28];            /* of the zone, item or limit */
    uint32_t value, limit;
    char unit[4];             /* of both; "" for yes or no */
    char source[24];
    char text[160];           /* one sentence; "" in a session's list */
};

enum mn_session_state {
    MN_SESSION_UNKNOWN,
    MN_SESSION_PREPARED, /* checked; nothing was armed yet */
    MN_SESSION_ARMING,
    MN_SESSION_ARMED,    /* the trigger starts the needles */
    MN_SESSION_RUNNING,
    MN_SESSION_PAUSED,   /* until it is armed again */
    MN_SESSION_ENDING,   /* the pen's last records are awaited */
    MN_SESSION_ENDED
};

enum mn_session_end {
    MN_END_NONE,
    MN_END_COMPLETED,   /* every zone of the plan was treated, and none of them was broken off by a fault or a lost link at last */
    MN_END_ABORTED,
    MN_END_INTERRUPTED, /* the daemon died meanwhile */
    MN_END_PARTIAL,     /* some of the plan was carried out, or what was is not known */
    MN_END_UNTREATED    /* no needle has moved */
};

MN_API const char *mn_session_state_name(enum mn_session_state state); /* "ARMED" */
MN_API const char *mn_session_end_name(enum mn_session_end end);       /* "COMPLETED" */

struct mn_session_zone {
    unsigned zone;                      /* mn_zone.number */
    uint32_t depth_um, stroke_rate_dhz; /* planned */
    uint32_t runs, strokes;             /* done */
    uint64_t punctures;                 /* strokes x needles */
    uint64_t motor_ms;
    uint32_t depth_peak_um;
    bool broken_off;                    /* its last run was ended by a fault or a lost link */
};

struct mn_override {
    char name[28];                  /* of the zone, item or limit */
    char reason[MN_REASON_MAX + 1]; /* or the key of who has confirmed it */
};

#define MN_SESSION_CARTRIDGES_MAX 16
struct mn_session_cartridge {
    uint64_t uid;
    uint32_t lot, needle_count;
    uint32_t runs, strokes; /* runs 0: it was armed, and never moved as far as is known */
};

struct mn_session {
    uint32_t number;              /* of this daemon's journal, from 1 */
    char serial[MN_SERIAL_MAX + 1], subject[MN_KEY_MAX + 1], indication[28];
    char by[64];                  /* the program that began it */
    char text[120];               /* what happened last */
    enum mn_session_state state;
    enum mn_session_end end;
    uint64_t begun_us, ended_us;  /* Unix time */
    bool incomplete;              /* it ended without the pen's last records: they may say more */
    uint32_t continues;           /* the session of which it is the rest; 0: none */
    uint64_t cartridge_uid;       /* in the pen when it was looked at last, as the two that follow */
    uint32_t cartridge_lot, needle_count, products;
    size_t cartridge_count;
    struct mn_session_cartridge cartridge[MN_SESSION_CARTRIDGES_MAX]; /* that were armed, in order */
    unsigned zone_now;            /* the zone whose configuration the pen has */
    uint32_t config_generation;   /* of that; 0: the pen does not have it (yet): mn_session_select() */
    char policy_name[65];         /* of the site; "": the defaults */
    uint8_t policy_sha256[32];
    size_t zone_count;
    struct mn_session_zone zone[MN_STEPS_MAX];
    size_t fault_count;
    uint32_t fault[16];           /* codes, each once */
    size_t override_count;
    struct mn_override override[16];
    size_t finding_count;         /* at its beginning */
    struct mn_finding finding[MN_SESSION_FINDINGS_MAX];
    size_t adverse_count;         /* in lists: mn_adverse.number, in the order in which they were seen */
    uint32_t adverse[16];
};

/* What would be found. MN_OK, whatever it is: nothing begins. serial NULL: of plan, policy and history alone, whatever cartridge it will be. */
struct mn_findings {
    enum mn_decision worst;       /* MN_DECISION_CONSULT and worse: a session would be refused */
    size_t count;
    struct mn_finding finding[MN_FINDINGS_MAX];
};
MN_API int mn_session_check(mn_client *c, const char *serial, const struct mn_plan *plan, struct mn_findings *out, int timeout_ms);
MN_API int mn_session_check_async(mn_client *c, const char *serial, const struct mn_plan *plan, int timeout_ms, mn_result_fn *done, void *user);

/* Needs the lease, a pen in SAFE and a new cartridge. MN_ERR_POLICY: mn_result.findings (of the callback, or of mn_last_result() until the next
 * check or beginning) say why. With MN_OK it is on disk, and the pen has the first zone's configuration. */
MN_API int mn_session_begin(mn_client *c, const char *serial, const struct mn_plan *plan, struct mn_session *out, int timeout_ms);
MN_API int mn_session_begin_async(mn_client *c, const char *serial, const struct mn_plan *plan, int timeout_ms, mn_result_fn *done, void *user);

/* Another zone of the plan: the pen gets its depth and rate. */
MN_API int mn_session_select(mn_client *c, const char *serial, unsigned zone, struct mn_session *out, int timeout_ms);
MN_API int mn_session_select_async(mn_client *c, const char *serial, unsigned zone, int timeout_ms, mn_result_fn *done, void *user);

/* Lets the pen's trigger start the needles. config_generation is that of the session as the caller has seen it, with its zone, depth and rate:
 * MN_ERR_CONFLICT if it is another one now. Everything is checked once more: MN_ERR_POLICY, MN_ERR_JOURNAL, MN_ERR_LEASE, MN_ERR_STATE. */
MN_API int mn_session_arm(mn_client *c, const char *serial, uint32_t config_generation, struct mn_session *out, int timeout_ms);
MN_API int mn_session_arm_async(mn_client *c, const char *serial, uint32_t config_generation, int timeout_ms, mn_result_fn *done, void *user);

/* Stops the needles, and ends it: with the lease, or while nobody has it. Comes back with the summary, which is on disk: completed asks for COMPLETED,
 * and the end says what it has come to (PARTIAL, UNTREATED). */
MN_API int mn_session_end(mn_client *c, const char *serial, bool completed, struct mn_session *out, int timeout_ms);
MN_API int mn_session_end_async(mn_client *c, const char *serial, bool completed, int timeout_ms, mn_result_fn *done, void *user);

struct mn_sessions {
    size_t count;
    struct mn_session *session;
    uint32_t before;              /* to ask with again; 0: that was all */
};
/* Which sessions are wanted; zeroed: all. One of subject, cartridge_uid and by_lot at the most. */
struct mn_session_filter {
    const char *subject;     /* NULL: of all */
    uint64_t cartridge_uid;  /* in which it was used, or may have been; 0: whatever it was */
    bool by_lot;             /* in which a cartridge of this lot was used */
    uint32_t cartridge_lot;
    uint32_t before;         /* those of lower numbers: the next page; 0: from the newest */
};
/* Open and ended ones, the newest first, by pages. filter NULL: all. By cartridge and lot: those of which the needles have moved, for ever; of one whose rows
 * were dropped, what is known still: subject, pen, zones, cartridges. Free with mn_sessions_free(). */
MN_API int mn_session_list(mn_client *c, const struct mn_session_filter *filter, struct mn_sessions *out, int timeout_ms);
MN_API int mn_session_list_async(mn_client *c, const struct mn_session_filter *filter, int timeout_ms, mn_result_fn *done, void *user);
/* One, by its number: MN_ERR_NO_SESSION. */
MN_API int mn_session_get(mn_client *c, uint32_t number, struct mn_session *out, int timeout_ms);
MN_API void mn_sessions_free(struct mn_sessions *sessions);

/* The daemon's clock is right, although its journal has rows that are newer; else no session begins (2009). Needs the role service, and is recorded. */
MN_API int mn_clock_confirm(mn_client *c, int timeout_ms);
MN_API int mn_clock_confirm_async(mn_client *c, int timeout_ms, mn_result_fn *done, void *user);

/* What was seen after a session; mn_adverse.number. No words are stored. */
MN_API int mn_session_adverse(mn_client *c, uint32_t session, unsigned what, int timeout_ms);
MN_API int mn_session_adverse_async(mn_client *c, uint32_t session, unsigned what, int timeout_ms, mn_result_fn *done, void *user);

/* ---- telemetry ---- */

/* Telemetry of this pen (NULL: of every pen, of now and later), on or off. It arrives as MN_EVENT_TELEMETRY. */
MN_API int mn_subscribe(mn_client *c, const char *serial, bool on, int timeout_ms);
MN_API int mn_subscribe_async(mn_client *c, const char *serial, bool on, int timeout_ms, mn_result_fn *done, void *user);

/*
 * What of the telemetry this client gets, of all that it is subscribed to; before, or while it flows. It takes effect with the answer.
 * decimation: every so many-th of the fast samples, those whose number is a multiple of it: 1 (at first: all of them), 2, 5, 10, 20, 50, 100,
 * 200, 500, 1000. They are samples, not means: what is between them is not seen. period_us is longer by it.
 * latency_max_ms: how old a sample may be when it comes, 5 to 2000 (at first 50). A pen makes smaller batches for one who is in a hurry; one who is
 * not is woken less often, for many at once. MN_ERR_INVALID for other values, MN_ERR_UNSUPPORTED if the daemon is too old.
 */
#define MN_LATENCY_MIN_MS 5
#define MN_LATENCY_MAX_MS 2000
#define MN_LATENCY_DEFAULT_MS 50
MN_API int mn_pace(mn_client *c, unsigned decimation, unsigned latency_max_ms, int timeout_ms);
MN_API int mn_pace_async(mn_client *c, unsigned decimation, unsigned latency_max_ms, int timeout_ms, mn_result_fn *done, void *user);

/* Structs of arrays: value i of each column belongs to sample first_seq + i * decimation, taken at t0_us + i * period_us of the pen's time.
 * missed: samples between the last batch of this pen that this client got, and this one. */
struct mn_fast {
    uint64_t first_seq, t0_us;
    uint32_t period_us, decimation; /* decimation: 1, or that of mn_pace() */
    size_t count;
    uint64_t missed;
    const int32_t *depth_um;            /* measured */
    const int32_t *stroke_rate_dhz;
    const int32_t *motor_current_ma;
    const int32_t *motor_duty_permille;
    const int32_t *load_permille;
    const int32_t *skin_contact;        /* an estimate: 0, 1 */
};

struct mn_slow {
    uint64_t first_seq, t0_us;
    uint32_t period_us, decimation; /* decimation: 1 */
    size_t count;
    uint64_t missed;
    const int32_t *depth_set_um, *rate_set_dhz;
    const int32_t *motor_temp_dc, *grip_temp_dc, *battery_temp_dc;
    const int32_t *battery_mv, *battery_ma, *battery_soc_pct, *battery_cycles; /* battery_ma < 0: discharging */
    const int32_t *vbus_mv, *motor_rail_mv, *logic_rail_mv;
};

struct mn_telemetry {
    const char *serial;
    uint32_t boot_id;
    enum mn_state state;
    uint32_t fault_word;
    uint32_t strokes_session;
    uint64_t dropped_by_pen; /* of the missed ones: samples that the pen itself dropped, since its boot */
    struct mn_fast fast;     /* count 0: none in this batch */
    struct mn_slow slow;
};

/* ---- records ---- */

/*
 * The daemon keeps the records of all pens in its journal, in the order in which it wrote them. A cursor is a place in it; a
 * program stores it with what it did with the record, and goes on from there. {0, 0} is before everything. In another journal (the
 * file was damaged, and a new one begun: the damaged one is kept) every cursor is before the first record.
 */
struct mn_cursor {
    uint64_t journal, position;
};

enum mn_record_kind {
    MN_RECORD_UNKNOWN,
    MN_RECORD_BOOT,
    MN_RECORD_FAULT,
    MN_RECORD_CONFIG,
    MN_RECORD_RUN,
    MN_RECORD_RUN_BEGUN,      /* written before the needles move */
    /* The daemon's own notes: number is 0, or the last of what it speaks of. */
    MN_RECORD_BEGUN = 32, /* the journal; note.text if another was set aside */
    MN_RECORD_LOST,       /* note.first to note.through of this pen's numbers were overwritten or damaged in the pen */
    MN_RECORD_RENEWED,    /* the pen's memory, or it is another pen of this serial number: its numbers begin anew, in the next volume */
    MN_RECORD_DROPPED,    /* old rows of the journal, note.first to note.through */
    MN_RECORD_CONTROL,    /* of the pen was lost by a program, or taken over: note.text */
    MN_RECORD_SESSION_BEGUN, /* a treatment session: note.text; all of it by mn_session_get() */
    MN_RECORD_SESSION_ENDED,
    MN_RECORD_ADVERSE,    /* what was seen after a session */
    MN_RECORD_CLOCK       /* service has confirmed the daemon's clock: note.text */
};

/* What has ended a run. */
enum mn_run_end {
    MN_RUN_UNKNOWN, /* a later one than this libmn knows */
    MN_RUN_TRIGGER, /* released */
    MN_RUN_STOP,
    MN_RUN_FAULT,
    MN_RUN_LINK,
    MN_RUN_POWER    /* for how long the needles moved, and how often, is not known */
};

#define MN_BOUND_UNKNOWN UINT32_MAX

struct mn_record {
    struct mn_cursor cursor;       /* behind this record */
    char serial[MN_SERIAL_MAX + 1]; /* "": of no pen */
    uint32_t volume;               /* from 1; serial, volume and number name a record for ever */
    uint32_t number;               /* the pen's own: 1, 2, 3 ... */
    uint32_t boot_id;
    uint64_t t_us;                 /* pen-monotonic, of that boot */
    uint64_t host_us;              /* Unix time at which it happened ... */
    uint32_t host_bound_us;        /* ... give or take; MN_BOUND_UNKNOWN: it happened before */
    enum mn_record_kind kind;
    union {
        struct {
            uint32_t reset_cause, boot_count;
        } boot;
        struct {
            uint32_t code;
            bool raised; /* false: cleared */
            enum mn_state state;
            uint32_t fault_word;
        } fault;
        struct mn_config config;
        struct {
            uint32_t duration_ms, strokes, depth_peak_um;
            enum mn_run_end end;
            uint32_t fault_code;
            uint64_t cartridge_uid;
            uint32_t cartridge_lot;
            unsigned zone;      /* mn_zone.number; 0: of an older firmware */
        } run;
        struct {
            uint32_t depth_um, stroke_rate_dhz; /* set */
            uint64_t cartridge_uid;
            uint32_t cartridge_lot;
            unsigned zone;
        } run_begun;
        struct {
            uint64_t first, through;
            char text[300];
        } note;
    };
};

MN_API const char *mn_record_kind_name(enum mn_record_kind kind); /* "FAULT" */

/* Which records are wanted; zeroed: all. The daemon's notes pass whatever the kind and the priority, but sessions are there only without kinds. */
struct mn_filter {
    const char *serial;          /* NULL: of all pens */
    uint32_t kinds;              /* 1 << MN_RECORD_FAULT | ...; 0: all */
    const char *priorities;      /* of faults: "HM"; NULL: all */
    uint64_t since_us, until_us; /* Unix time; 0: no limit */
};

struct mn_records {
    size_t count;
    struct mn_record *record;
    struct mn_cursor next; /* to ask with again: behind all that was looked at */
    bool end;              /* there is none behind it */
    uint64_t missed;       /* records behind the asked place that retention had dropped before */
};

/* A page of records behind a place (NULL: from the first that is kept), as many as the daemon gives; filter may be NULL. A page may be
 * empty before the end. Free the blocking call's page with mn_records_free(). MN_ERR_JOURNAL. */
MN_API int mn_records_read(mn_client *c, const struct mn_cursor *after, const struct mn_filter *filter, struct mn_records *out, int timeout_ms);
MN_API int mn_records_read_async(mn_client *c, const struct mn_cursor *after, const struct mn_filter *filter, int timeout_ms, mn_result_fn *done,
                                 void *user);
MN_API void mn_records_free(struct mn_records *records);

/*
 * Every record behind a place (NULL: from now on) as MN_EVENT_RECORD: first those that are there, then each as it comes, without a
 * seam, and with options.reconnect over restarts of the daemon too; each exactly once, in order. One place per client: a second
 * call begins anew. filter may be NULL. Returns when the daemon has answered for the first time.
 */
MN_API int mn_records_follow(mn_client *c, const struct mn_cursor *after, const struct mn_filter *filter, int timeout_ms);
MN_API int mn_records_follow_async(mn_client *c, const struct mn_cursor *after, const struct mn_filter *filter, int timeout_ms,
                                   mn_result_fn *done, void *user);
/* No more MN_EVENT_RECORD. */
MN_API void mn_records_unfollow(mn_client *c);

/* All through this place is stored elsewhere for good: the daemon may drop it when it is old, or there is too much. */
MN_API int mn_records_exported(mn_client *c, const struct mn_cursor *through, int timeout_ms);
MN_API int mn_records_exported_async(mn_client *c, const struct mn_cursor *through, int timeout_ms, mn_result_fn *done, void *user);

/* The telemetry around a fault of priority H or M: from 5 s before to 1 s after it, as far as there was any. It is there a second
 * after the record. */
struct mn_flight {
    size_t count;
    struct mn_telemetry *batch; /* missed is counted from batch to batch */
    void **owned;               /* the library's */
};

/* Of the record that a cursor is behind. MN_ERR_NO_RECORD. Free it with mn_flight_free(), in the callback too. */
MN_API int mn_flight_get(mn_client *c, const struct mn_cursor *record, struct mn_flight *out, int timeout_ms);
MN_API int mn_flight_get_async(mn_client *c, const struct mn_cursor *record, int timeout_ms, mn_result_fn *done, void *user);
MN_API void mn_flight_free(struct mn_flight *flight);

struct mn_verified {
    bool good;      /* every row of the journal is as it was written, and none is missing */
    uint64_t rows;  /* that are right, from the first on */
    char text[400]; /* one sentence */
};

/* Reads the whole journal and checks its chain of hashes; MN_ERR_BUSY while another program does. */
MN_API int mn_journal_verify(mn_client *c, struct mn_verified *out, int timeout_ms);
MN_API int mn_journal_verify_async(mn_client *c, int timeout_ms, mn_result_fn *done, void *user);

/* Writes a copy of the journal, as it is at one moment, to the file descriptor, from its beginning. The callback of the asynchronous
 * call comes with progress first (mn_result.in_progress). timeout_ms is for each piece. MN_ERR_INVALID: the file cannot be written. */
MN_API int mn_journal_backup(mn_client *c, int fd, int timeout_ms);
MN_API int mn_journal_backup_async(mn_client *c, int fd, int timeout_ms, mn_result_fn *done, void *user);

/* ---- the factory ---- */

/*
 * A pen off the line has no serial number, no calibration and an empty memory. The role factory, a lease and the answer to the pen's challenge
 * open it: FACTORY is then where it rests, and mn_factory_arm() arms it without a treatment; its trigger starts the needles as ever. FACTORY ends
 * with the session, with the pen's restart, and with mn_factory_leave(). What is written is written once in a pen's life.
 */
#define MN_UDI_MAX 47

struct mn_calibration { /* true = raw * gain + offset */
    uint32_t depth_gain_ppm; /* 1000000: none */
    int32_t depth_offset_um;
    uint32_t rate_gain_ppm;
    int32_t rate_offset_dhz, current_offset_ma;
};

struct mn_factory {
    char serial[MN_SERIAL_MAX + 1]; /* "": none yet; of the next start if it was just written */
    char udi[MN_UDI_MAX + 1];       /* unique device identifier; "" */
    bool calibrated, trial, stored; /* calibration is in force; until the next start only; in the pen's memory */
    struct mn_calibration calibration;
    uint32_t calibration_crc;       /* CRC-32C of it as it is stored */
    bool left;                      /* the factory, for good */
    bool hashed;                    /* image_sha256 is there */
    uint8_t image_sha256[32];       /* of the firmware's image */
};

MN_API int mn_factory_get(mn_client *c, const char *serial, struct mn_factory *out, int timeout_ms);
MN_API int mn_factory_get_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);
/* A challenge for one response. MN_ERR_FORBIDDEN: the pen has left the factory, or was answered wrongly three times since its start. */
MN_API int mn_factory_challenge(mn_client *c, const char *serial, uint8_t challenge[16], int timeout_ms);
MN_API int mn_factory_challenge_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);
/* With HMAC-SHA-256 of the challenge under the factory's key. MN_ERR_FORBIDDEN, MN_ERR_STATE. */
MN_API int mn_factory_enter(mn_client *c, const char *serial, const uint8_t response[32], int timeout_ms);
MN_API int mn_factory_enter_async(mn_client *c, const char *serial, const uint8_t response[32], int timeout_ms, mn_result_fn *done, void *user);
/* The pen's trigger starts the needles then; config_generation as in mn_session_arm(). */
MN_API int mn_factory_arm(mn_client *c, const char *serial, uint32_t config_generation, int timeout_ms);
MN_API int mn_factory_arm_async(mn_client *c, const char *serial, uint32_t config_generation, int timeout_ms, mn_result_fn *done, void *user);
/* A calibration until the next start. */
MN_API int mn_factory_try(mn_client *c, const char *serial, const struct mn_calibration *calibration, int timeout_ms);
MN_API int mn_factory_try_async(mn_client *c, const char *serial, const struct mn_calibration *calibration, int timeout_ms, mn_result_fn *done,
                                void *user);
/* For good, all or none; each may be NULL. MN_ERR_WRITTEN: there is one already. */
MN_API int mn_factory_write(mn_client *c, const char *serial, const char *new_serial, const char *udi, const struct mn_calibration *calibration,
                            struct mn_factory *out, int timeout_ms);
MN_API int mn_factory_write_async(mn_client *c, const char *serial, const char *new_serial, const char *udi, const struct mn_calibration *calibration,
                                  int timeout_ms, mn_result_fn *done, void *user);
/* for_good: never again, and the pen counts from 0; MN_ERR_PROTOCOL unless all is written. */
MN_API int mn_factory_leave(mn_client *c, const char *serial, bool for_good, struct mn_status *out, int timeout_ms);
MN_API int mn_factory_leave_async(mn_client *c, const char *serial, bool for_good, int timeout_ms, mn_result_fn *done, void *user);
/* The daemon keeps its heartbeats back for quiet_ms (at most 2000), and sends bytes (at most 1024; NULL: none) to the pen as they are. */
MN_API int mn_factory_provoke(mn_client *c, const char *serial, unsigned quiet_ms, const uint8_t *bytes, size_t n, int timeout_ms);
MN_API int mn_factory_provoke_async(mn_client *c, const char *serial, unsigned quiet_ms, const uint8_t *bytes, size_t n, int timeout_ms,
                                    mn_result_fn *done, void *user);

/* ---- looking on ---- */

/* All that goes by between mnd, its pens and its programs comes as MN_EVENT_TRAFFIC: live, lossy, every hole counted. The
 * traffic of programs that monitor themselves is left out. For finding out what is wrong; `mnctl monitor` is made of it. */
MN_API int mn_monitor(mn_client *c, bool on, int timeout_ms);
MN_API int mn_monitor_async(mn_client *c, bool on, int timeout_ms, mn_result_fn *done, void *user);

enum mn_traffic_kind {
    MN_TRAFFIC_UNKNOWN,
    MN_TRAFFIC_CONTROL,      /* to the pen: an EP0 vendor request, one byte */
    MN_TRAFFIC_BULK_OUT,     /* to the pen */
    MN_TRAFFIC_BULK_IN,      /* from the pen */
    MN_TRAFFIC_INTERRUPT_IN, /* from the pen */
    MN_TRAFFIC_TO_DAEMON,    /* from a program */
    MN_TRAFFIC_TO_PROGRAM
};

MN_API const char *mn_traffic_kind_name(enum mn_traffic_kind kind); /* "BULK_IN" */

struct mn_traffic {
    uint64_t time_us;      /* Unix time */
    enum mn_traffic_kind kind;
    const char *name;      /* the pen's serial number, or its port until that is known; the program's name */
    uint32_t pid;          /* of the program; 0: a pen */
    const uint8_t *bytes;  /* the very bytes */
    size_t count;
    uint64_t missed;       /* transfers and messages that this program was too slow for, just before this one */
};

/* The transfer decoded, as a JSON object on one line; bytes that do not decode are in it in hexadecimal, with what is wrong.
 * free() it; NULL without memory. */
MN_API char *mn_traffic_json(const struct mn_traffic *traffic);

/* The requests that the daemon knows, as proto/requests.def has them: what one sees of clients in their traffic. Any thread; needs no connection. */
struct mn_request {
    const char *name;   /* "session_arm", as in the protocol */
    enum mn_role role;  /* the least role that may send it; a call that changes a pen needs more */
    bool needs_hello;   /* only after HELLO */
    const char *text;   /* one sentence: what it is for */
};
MN_API size_t mn_request_count(void);
/* NULL: there are not so many. */
MN_API const struct mn_request *mn_request_at(size_t i);

/* ---- events ---- */

enum mn_event_kind {
    MN_EVENT_PEN,          /* pen: came, changed, or (MN_LINK_GONE) went; after mn_watch() */
    MN_EVENT_TELEMETRY,    /* telemetry; after mn_subscribe() */
    MN_EVENT_RECORD,       /* record; after mn_records_follow() */
    MN_EVENT_TRAFFIC,      /* traffic; after mn_monitor() */
    MN_EVENT_LEASE,        /* lease: control of a pen was lost, or another program asks for it */
    MN_EVENT_SESSION,      /* session: began, changed or ended; after mn_watch(). Without findings and overrides */
    MN_EVENT_DISCONNECTED, /* text says why */
    MN_EVENT_RECONNECTED   /* outage_ms; subscriptions are back; telemetry.missed shows what was missed; if pens are watched, an
                              MN_EVENT_PEN for each that is there follows */
};

struct mn_lease {
    const char *serial;
    bool lost;        /* text says why; else the program of name and pid asks: mn_lease_give(), or nothing */
    const char *text; /* "" */
    const char *name;
    uint32_t pid;
};

struct mn_event {
    enum mn_event_kind kind;
    union {
        const struct mn_pen *pen;
        const struct mn_telemetry *telemetry;
        const struct mn_record *record;
        const struct mn_traffic *traffic;
        const struct mn_lease *lease;
        const struct mn_session *session;
        const char *text;
        uint64_t outage_ms;
    };
};

/* ---- daemon and simulation ---- */

struct mn_daemon {
    char version[17];
    uint64_t uptime_ms;
    uint32_t pid, clients, pens;
    uint64_t telemetry_batches, telemetry_dropped;
    bool usb;                /* it looks for real pens */
    char journal_error[300]; /* "" while records are written; else one sentence: they stay in their pens */
    char journal_path[256];  /* of its file; "": an older daemon does not name it */
};

MN_API int mn_daemon_info(mn_client *c, struct mn_daemon *out, int timeout_ms);
MN_API int mn_daemon_info_async(mn_client *c, int timeout_ms, mn_result_fn *done, void *user);

/* Says a line to the simulation behind a simulated pen ("trigger press"; penstub --help has all). answer (may be NULL) gets its
 * answer. MN_ERR_INVALID if the simulation does not take the line. Works for unplugged pens, too. */
MN_API int mn_simulate(mn_client *c, const char *serial, const char *line, char *answer, size_t cap, int timeout_ms);
MN_API int mn_simulate_async(mn_client *c, const char *serial, const char *line, int timeout_ms, mn_result_fn *done, void *user);

/* ---- answers of asynchronous calls ---- */

struct mn_range { /* MN_ERR_RANGE */
    char field[24];
    uint32_t value, min, max, step;
};

struct mn_result {
    int error;           /* enum mn_error */
    const char *message; /* one sentence; "" with MN_OK */
    bool in_progress;    /* not the end: progress_permille is new, the callback comes again */
    uint32_t progress_permille;
    struct mn_range range;  /* MN_ERR_RANGE */
    uint32_t generation;    /* MN_ERR_CONFLICT: the pen's */
    unsigned fault_code;    /* MN_ERR_FAULT */
    union {
        struct mn_pens pens;       /* list, watch */
        struct mn_info info;       /* pen_info */
        struct mn_status status;   /* pen_status, stop of one pen, self_test, factory_leave */
        struct mn_config config;   /* config_get, config_set, config_reset */
        struct mn_cleared cleared; /* faults_clear */
        struct mn_records records; /* records_read */
        struct mn_flight flight;   /* flight_get */
        struct mn_verified verified; /* journal_verify */
        struct mn_daemon daemon;   /* daemon_info */
        uint64_t round_trip_us;    /* ping */
        const struct mn_findings *findings; /* session_check; session_begin with MN_ERR_POLICY */
        const struct mn_session *session;   /* session_begin, _select, _arm, _end */
        struct mn_sessions sessions;        /* session_list */
        const struct mn_policy *policy;     /* policy_get */
        struct mn_factory factory;          /* factory_get, factory_write */
        uint8_t challenge[16];              /* factory_challenge */
        const char *answer;        /* simulate */
    };
};

/* Details of the last error of this client, as in the callback: range, generation, fault_code. */
MN_API const struct mn_result *mn_last_result(const mn_client *c);

#ifdef __cplusplus
}
#endif

#endif
