/* libmn: treatment sessions. Included by mn/mn.h, which begins with an overview. */
#ifndef MN_SESSION_H
#define MN_SESSION_H

#ifndef MN_MN_H
#error "include <mn/mn.h>"
#endif

#ifdef __cplusplus
extern "C" {
#endif

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
/* Errors: with a serial: PEN, else CALL; MN_ERR_INVALID (the message names what is wrong with the plan), MN_ERR_FORBIDDEN (needs the role operator),
 * MN_ERR_JOURNAL. */
MN_API int mn_session_check(mn_client *c, const char *serial, const struct mn_plan *plan, struct mn_findings *out, int timeout_ms);
MN_API int mn_session_check_async(mn_client *c, const char *serial, const struct mn_plan *plan, int timeout_ms, mn_result_fn *done, void *user);

/* Needs the lease, a pen in SAFE and a new cartridge. MN_ERR_POLICY: mn_result.findings (of the callback, or of mn_last_result() until the next
 * check or beginning) say why. With MN_OK it is on disk, and the pen has the first zone's configuration. Errors: PEN; MN_ERR_INVALID,
 * MN_ERR_FORBIDDEN, MN_ERR_LEASE, MN_ERR_STATE, MN_ERR_JOURNAL, MN_ERR_POLICY. */
MN_API int mn_session_begin(mn_client *c, const char *serial, const struct mn_plan *plan, struct mn_session *out, int timeout_ms);
MN_API int mn_session_begin_async(mn_client *c, const char *serial, const struct mn_plan *plan, int timeout_ms, mn_result_fn *done, void *user);

/* Another zone of the plan: the pen gets its depth and rate. Errors: PEN; MN_ERR_FORBIDDEN, MN_ERR_NO_SESSION (none is open, or it has no such
 * zone), MN_ERR_LEASE, MN_ERR_STATE. */
MN_API int mn_session_select(mn_client *c, const char *serial, unsigned zone, struct mn_session *out, int timeout_ms);
MN_API int mn_session_select_async(mn_client *c, const char *serial, unsigned zone, int timeout_ms, mn_result_fn *done, void *user);

/* Lets the pen's trigger start the needles. config_generation is that of the session as the caller has seen it, with its zone, depth and rate:
 * MN_ERR_CONFLICT if it is another one now. Everything is checked once more: MN_ERR_POLICY, MN_ERR_JOURNAL, MN_ERR_LEASE, MN_ERR_STATE. Errors: PEN;
 * MN_ERR_FORBIDDEN, MN_ERR_NO_SESSION, MN_ERR_LEASE, MN_ERR_STATE, MN_ERR_CONFLICT, MN_ERR_POLICY, MN_ERR_JOURNAL. */
MN_API int mn_session_arm(mn_client *c, const char *serial, uint32_t config_generation, struct mn_session *out, int timeout_ms);
MN_API int mn_session_arm_async(mn_client *c, const char *serial, uint32_t config_generation, int timeout_ms, mn_result_fn *done, void *user);

/* Stops the needles, and ends it: with the lease, or while nobody has it. Comes back with the summary, which is on disk: completed asks for
 * COMPLETED, and the end says what it has come to (PARTIAL, UNTREATED). Errors: CALL; MN_ERR_FORBIDDEN, MN_ERR_NO_SESSION, MN_ERR_LEASE (another
 * program controls the pen). */
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
/* Open and ended ones, the newest first, by pages. filter NULL: all. By cartridge and lot: those of which the needles have moved, for ever; of one
 * whose rows were dropped, what is known still: subject, pen, zones, cartridges. Free with mn_sessions_free(). Errors: CALL; MN_ERR_INVALID,
 * MN_ERR_JOURNAL. */
MN_API int mn_session_list(mn_client *c, const struct mn_session_filter *filter, struct mn_sessions *out, int timeout_ms);
MN_API int mn_session_list_async(mn_client *c, const struct mn_session_filter *filter, int timeout_ms, mn_result_fn *done, void *user);
/* One, by its number: MN_ERR_NO_SESSION. Errors: CALL; MN_ERR_NO_SESSION, MN_ERR_JOURNAL. */
MN_API int mn_session_get(mn_client *c, uint32_t number, struct mn_session *out, int timeout_ms);
MN_API void mn_sessions_free(struct mn_sessions *sessions);

/* The daemon's clock is right, although its journal has rows that are newer; else no session begins (2009). Needs the role service, and is recorded.
 * Errors: CALL; MN_ERR_FORBIDDEN, MN_ERR_STATE (the clock shows what cannot be), MN_ERR_JOURNAL. */
MN_API int mn_clock_confirm(mn_client *c, int timeout_ms);
MN_API int mn_clock_confirm_async(mn_client *c, int timeout_ms, mn_result_fn *done, void *user);

/* What was seen after a session; mn_adverse.number. No words are stored. Errors: CALL; MN_ERR_INVALID, MN_ERR_FORBIDDEN (needs the role operator),
 * MN_ERR_NO_SESSION, MN_ERR_JOURNAL. */
MN_API int mn_session_adverse(mn_client *c, uint32_t session, unsigned what, int timeout_ms);
MN_API int mn_session_adverse_async(mn_client *c, uint32_t session, unsigned what, int timeout_ms, mn_result_fn *done, void *user);

#ifdef __cplusplus
}
#endif
#endif
