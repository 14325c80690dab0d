/* libmn: events, the daemon itself, simulation, and the results of asynchronous calls. Included by mn/mn.h, which begins with an overview. */
#ifndef MN_EVENTS_H
#define MN_EVENTS_H

#ifndef MN_MN_H
#error "include <mn/mn.h>"
#endif

#ifdef __cplusplus
extern "C" {
#endif

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
    uint64_t turn_longest_us, turn_recent_us; /* the longest turn of its loop since its start, and of the last minute: for so long nobody else was served */
    char turn_longest_what[48], turn_recent_what[48]; /* what it did then; "": an older daemon does not say */
};

/* The daemon's version, uptime and counters, and whether it can write its journal. Errors: CALL. */
MN_API int mn_daemon_info(mn_client *c, struct mn_daemon *out, int timeout_ms);
MN_API int mn_daemon_info_async(mn_client *c, int timeout_ms, mn_result_fn *done, void *user);

/* Says a line to the simulation behind a simulated pen ("trigger press"; penstub --help has all). answer (may be NULL) gets its answer.
 * MN_ERR_INVALID if the simulation does not take the line. Works for unplugged pens, too. Errors: CALL; MN_ERR_FORBIDDEN (needs the role operator),
 * MN_ERR_NO_PEN (no simulated pen has this serial number), MN_ERR_INVALID. */
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
