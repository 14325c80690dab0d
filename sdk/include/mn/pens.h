/* libmn: pens: what they are and do, their configuration, who controls them, their faults. Included by mn/mn.h, which begins with an overview. */
#ifndef MN_PENS_H
#define MN_PENS_H

#ifndef MN_MN_H
#error "include <mn/mn.h>"
#endif

#ifdef __cplusplus
extern "C" {
#endif

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

/* All pens of now, by serial number. Free the blocking call's list with mn_pens_free(). Errors: CALL. */
MN_API int mn_list(mn_client *c, struct mn_pens *out, int timeout_ms);
MN_API int mn_list_async(mn_client *c, int timeout_ms, mn_result_fn *done, void *user);
MN_API void mn_pens_free(struct mn_pens *pens);

/* The same list, and from then on MN_EVENT_PEN for each pen that comes, goes or changes. Errors: CALL. */
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

/* What the pen is: its model, versions, cartridge and limits. Errors: PEN. */
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

/* What the pen does at this moment, and its counters. Errors: PEN. */
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

/* The configuration that the pen has. Errors: PEN. */
MN_API int mn_config_get(mn_client *c, const char *serial, struct mn_config *out, int timeout_ms);
MN_API int mn_config_get_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);

/*
 * Changes the present values, all or none, at once and for good (the pen stores them). expected_generation is compared with
 * the pen's first: MN_ERR_CONFLICT if somebody else was faster; NULL compares nothing. MN_ERR_RANGE, MN_ERR_STATE (not while
 * armed or running), MN_ERR_FAULT (deeper than the cartridge allows). out (may be NULL) gets the whole new configuration.
 *
 * Errors: PEN; MN_ERR_FORBIDDEN (needs the role operator), MN_ERR_LEASE (another program controls the pen), MN_ERR_RANGE, MN_ERR_CONFLICT, MN_ERR_STATE,
 * MN_ERR_FAULT, MN_ERR_STORAGE.
 */
MN_API int mn_config_set(mn_client *c, const char *serial, const struct mn_config *change, const uint32_t *expected_generation,
                         struct mn_config *out, int timeout_ms);
MN_API int mn_config_set_async(mn_client *c, const char *serial, const struct mn_config *change,
                               const uint32_t *expected_generation, int timeout_ms, mn_result_fn *done, void *user);

/* All settings to their defaults. Errors: PEN; MN_ERR_FORBIDDEN, MN_ERR_LEASE, MN_ERR_CONFLICT, MN_ERR_STATE, MN_ERR_FAULT, MN_ERR_STORAGE. */
MN_API int mn_config_reset(mn_client *c, const char *serial, const uint32_t *expected_generation, struct mn_config *out,
                           int timeout_ms);
MN_API int mn_config_reset_async(mn_client *c, const char *serial, const uint32_t *expected_generation, int timeout_ms,
                                 mn_result_fn *done, void *user);

/* ---- control ---- */

/*
 * At most one program controls a pen: it alone may begin, arm and end a session with it, and nobody else may change it meanwhile (MN_ERR_LEASE, with the holder's name and
 * pid). Control ends with mn_lease_release(), with the connection, with the death of the process that has connected (whatever child of it holds the
 * socket), and when the program leaves the daemon's pings unanswered for as long as mn_options.liveness_ms says: mn_process() and blocking calls answer
 * them, so a program that is frozen loses its pens. Either way the needles stop: within 350 ms of a hang-up or a death, and within liveness_ms + 350 ms
 * of the last answer of one that is frozen. After a reconnection control is to be taken anew.
 *
 * Errors: CALL; MN_ERR_INVALID, MN_ERR_FORBIDDEN (needs the role operator), MN_ERR_NO_PEN, MN_ERR_LEASE (another program holds it).
 */
MN_API int mn_lease_take(mn_client *c, const char *serial, int timeout_ms);
MN_API int mn_lease_take_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);
/* Gives control up. The needles stop, and the program that has waited longest has it. Errors: CALL; MN_ERR_INVALID, MN_ERR_FORBIDDEN, MN_ERR_LEASE
 * (this program does not hold it). */
MN_API int mn_lease_release(mn_client *c, const char *serial, int timeout_ms);
MN_API int mn_lease_release_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);
/* From its holder, which is notified; recorded in the journal. Needs MN_ROLE_SERVICE. Errors: CALL; MN_ERR_INVALID, MN_ERR_FORBIDDEN, MN_ERR_NO_PEN. */
MN_API int mn_lease_take_over(mn_client *c, const char *serial, int timeout_ms);
MN_API int mn_lease_take_over_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);
/* Asks the holder (MN_EVENT_LEASE), and waits until it gives or releases it: at most timeout_ms, then MN_ERR_LEASE. Errors: CALL; MN_ERR_INVALID,
 * MN_ERR_FORBIDDEN, MN_ERR_NO_PEN, MN_ERR_LEASE. */
MN_API int mn_lease_request(mn_client *c, const char *serial, int timeout_ms);
MN_API int mn_lease_request_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);
/* To a program that has asked: of this pid, or (0) the one that waits longest. The needles stop. Errors: CALL; MN_ERR_INVALID, MN_ERR_FORBIDDEN,
 * MN_ERR_LEASE (this program does not hold it, or no such program has asked). */
MN_API int mn_lease_give(mn_client *c, const char *serial, uint32_t pid, int timeout_ms);
MN_API int mn_lease_give_async(mn_client *c, const char *serial, uint32_t pid, int timeout_ms, mn_result_fn *done, void *user);

/* Stops the needles; serial NULL: of every pen. Works in every state, for everyone. Errors: PEN; with serial NULL: CALL. */
MN_API int mn_stop(mn_client *c, const char *serial, int timeout_ms);
MN_API int mn_stop_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);

/* The pen tests itself; it must be SAFE. The asynchronous call's callback comes with progress first (mn_result.in_progress). Errors: PEN;
 * MN_ERR_FORBIDDEN (needs the role operator), MN_ERR_LEASE, MN_ERR_STATE. */
MN_API int mn_self_test(mn_client *c, const char *serial, struct mn_status *out, int timeout_ms);
MN_API int mn_self_test_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);

/* bytes (0..MN_ECHO_MAX) there and back through daemon and pen; *round_trip_us may be NULL. serial NULL: to the daemon only. Errors: PEN; with
 * serial NULL: CALL. MN_ERR_INVALID: too many bytes. */
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

/* Clears a fault by code, or all that can be with code 0; service also those of kind SERVICE. What has its cause still stays. Errors: PEN;
 * MN_ERR_INVALID (no such code), MN_ERR_FORBIDDEN (needs the role operator, or with service the role service), MN_ERR_LEASE, MN_ERR_STATE. */
MN_API int mn_faults_clear(mn_client *c, const char *serial, unsigned code, bool service, struct mn_cleared *out, int timeout_ms);
MN_API int mn_faults_clear_async(mn_client *c, const char *serial, unsigned code, bool service, int timeout_ms,
                                 mn_result_fn *done, void *user);

#ifdef __cplusplus
}
#endif
#endif
