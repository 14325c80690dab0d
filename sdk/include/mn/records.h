/* libmn: records, the telemetry around a fault, and the journal. Included by mn/mn.h, which begins with an overview. */
#ifndef MN_RECORDS_H
#define MN_RECORDS_H

#ifndef MN_MN_H
#error "include <mn/mn.h>"
#endif

#ifdef __cplusplus
extern "C" {
#endif

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
    bool newest_first;           /* mn_records_read(): from the newest down */
};

struct mn_records {
    size_t count;
    struct mn_record *record; /* ascending; with newest_first descending */
    struct mn_cursor next; /* to ask with again: behind all that was looked at; with newest_first before it */
    bool end;              /* there is none behind it, or before it */
    uint64_t missed;       /* records behind the asked place that retention had dropped before */
};

/* A page of records behind a place (NULL: from the first that is kept), as many as the daemon gives; filter may be NULL. With newest_first, before a place
 * (NULL: from the newest), which costs the same however long the journal is; MN_ERR_UNSUPPORTED by a daemon before client protocol 1.8. A page may be empty before
 * the end. Free the blocking call's page with mn_records_free(). MN_ERR_JOURNAL. Errors: CALL; MN_ERR_INVALID, MN_ERR_JOURNAL. */
MN_API int mn_records_read(mn_client *c, const struct mn_cursor *after, const struct mn_filter *filter, struct mn_records *out, int timeout_ms);
MN_API int mn_records_read_async(mn_client *c, const struct mn_cursor *after, const struct mn_filter *filter, int timeout_ms, mn_result_fn *done,
                                 void *user);
MN_API void mn_records_free(struct mn_records *records);

/*
 * Every record behind a place (NULL: from now on) as MN_EVENT_RECORD: first those that are there, then each as it comes, without a
 * seam, and with options.reconnect over restarts of the daemon too; each exactly once, in order. One place per client: a second
 * call begins anew. filter may be NULL. Returns when the daemon has answered for the first time.
 *
 * Errors: CALL; MN_ERR_INVALID, MN_ERR_JOURNAL.
 */
MN_API int mn_records_follow(mn_client *c, const struct mn_cursor *after, const struct mn_filter *filter, int timeout_ms);
MN_API int mn_records_follow_async(mn_client *c, const struct mn_cursor *after, const struct mn_filter *filter, int timeout_ms,
                                   mn_result_fn *done, void *user);
/* No more MN_EVENT_RECORD. */
MN_API void mn_records_unfollow(mn_client *c);

/* All through this place is stored elsewhere for good: the daemon may drop it when it is old, or there is too much. Errors: CALL; MN_ERR_FORBIDDEN
 * (needs the role operator), MN_ERR_JOURNAL. */
MN_API int mn_records_exported(mn_client *c, const struct mn_cursor *through, int timeout_ms);
MN_API int mn_records_exported_async(mn_client *c, const struct mn_cursor *through, int timeout_ms, mn_result_fn *done, void *user);

/* The telemetry around a fault of priority H or M: from 5 s before to 1 s after it, as far as there was any. It is there a second
 * after the record. */
struct mn_flight {
    size_t count;
    struct mn_telemetry *batch; /* missed is counted from batch to batch */
    void **owned;               /* the library's */
};

/* Of the record that a cursor is behind. MN_ERR_NO_RECORD. Free it with mn_flight_free(), in the callback too. Errors: CALL; MN_ERR_NO_RECORD,
 * MN_ERR_JOURNAL. */
MN_API int mn_flight_get(mn_client *c, const struct mn_cursor *record, struct mn_flight *out, int timeout_ms);
MN_API int mn_flight_get_async(mn_client *c, const struct mn_cursor *record, int timeout_ms, mn_result_fn *done, void *user);
MN_API void mn_flight_free(struct mn_flight *flight);

struct mn_verified {
    bool good;      /* every row of the journal is as it was written, and none is missing */
    uint64_t rows;  /* that are right, from the first on */
    char text[400]; /* one sentence */
};

/* Reads the whole journal and checks its chain of hashes; MN_ERR_BUSY while another program does. Errors: CALL; MN_ERR_BUSY, MN_ERR_JOURNAL. */
MN_API int mn_journal_verify(mn_client *c, struct mn_verified *out, int timeout_ms);
MN_API int mn_journal_verify_async(mn_client *c, int timeout_ms, mn_result_fn *done, void *user);

/* Writes a copy of the journal, as it is at one moment, to the file descriptor, from its beginning. The callback of the asynchronous call comes with
 * progress first (mn_result.in_progress). timeout_ms is for each piece. MN_ERR_INVALID: the file cannot be written. Errors: CALL; MN_ERR_FORBIDDEN
 * (needs the role operator), MN_ERR_BUSY, MN_ERR_JOURNAL, MN_ERR_INVALID. */
MN_API int mn_journal_backup(mn_client *c, int fd, int timeout_ms);
MN_API int mn_journal_backup_async(mn_client *c, int fd, int timeout_ms, mn_result_fn *done, void *user);

#ifdef __cplusplus
}
#endif
#endif
