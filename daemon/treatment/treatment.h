/*
 * The rules of one treatment session: one subject, one pen, one plan, and cartridges that serve nobody else. Pure: the state of the pen, who asks and what time it
 * is are arguments, and the result is what may be done. Nothing here sends, stores or waits: the rest of this room does.
 *
 *     PREPARED --ARM sent--> ARMING --the pen is ARMED--> ARMED --its trigger--> RUNNING --at rest--> PAUSED --ARM sent--> ARMING ...
 *        |                     |refused, late, lost         |at rest               |                    |
 *        |                     +---------> PAUSED <---------+                      |                    |
 *        +-------------------------------- SESSION_END -------------------------------------------------+--> ENDING --all is in--> ENDED
 *
 * Nothing continues by itself: every run follows an ARM that a lease holder requested, naming the configuration. A pen that is ARMED or RUNNING while its session
 * is not is stopped at once.
 */
#pragma once

#include "policy.h"

#define TREATMENT_FAULTS_MAX 16
#define TREATMENT_OVERRIDES_MAX 16
#define TREATMENT_CARTRIDGES_MAX 16
#define TREATMENT_TEXT_MAX 100

enum treatment_state { /* mnc.SessionState */
    TREATMENT_NONE,
    TREATMENT_PREPARED,
    TREATMENT_ARMING,
    TREATMENT_ARMED,
    TREATMENT_RUNNING,
    TREATMENT_PAUSED,
    TREATMENT_ENDING,
    TREATMENT_ENDED,
};

enum treatment_end { /* mnc.SessionEnd */
    END_NONE,
    END_COMPLETED,
    END_ABORTED,
    END_INTERRUPTED, /* the daemon died meanwhile */
    END_PARTIAL,     /* asked to be completed, but not all of the plan was carried out, or it is not known */
    END_UNTREATED,   /* asked to be completed, and no needle has moved */
};

enum treatment_run_end { /* mnp.EndReason */
    RUN_END_UNKNOWN,
    RUN_END_TRIGGER,
    RUN_END_STOP,
    RUN_END_FAULT,
    RUN_END_LINK,
    RUN_END_POWER, /* how long the needles moved is not known */
};

/* The state of the pen, as far as it matters here. */
enum treatment_pen {
    PEN_IS_GONE,    /* unplugged, restarted, or its session is being begun anew: what was sent to it is void */
    PEN_IS_AT_REST, /* SAFE, FAULT, or on the way there: nothing starts the needles */
    PEN_IS_ARMED,
    PEN_IS_RUNNING, /* or STOPPING */
};

struct treatment_zone { /* planned, and done */
    enum policy_zone zone;
    uint32_t depth_um, stroke_rate_dhz;
    uint32_t strokes, runs, depth_peak_um;
    uint64_t motor_ms, punctures;
    bool broken_off; /* its last run was ended by a fault or a lost link */
};

struct treatment_override {
    char name[28];                    /* of the zone, item or limit */
    char reason[TREATMENT_TEXT_MAX + 1]; /* or who has confirmed it */
};

struct treatment_cartridge {
    uint64_t uid;
    uint32_t lot, needle_count;
    uint32_t runs, strokes;
};

struct treatment_run { /* from a pen's record */
    uint32_t zone, strokes, motor_ms, depth_peak_um;
    uint64_t cartridge_uid;
    uint32_t cartridge_lot;
    enum treatment_run_end end;
};

struct treatment {
    enum treatment_state state;
    uint32_t number;                  /* of the journal, from 1 */
    uint64_t id;                      /* what pens know it by: another one in every journal */
    char serial[33], subject[33], indication[28], by[64];
    struct policy_input input;        /* of which the steps are in the order of zones[] */
    uint64_t said_us;                 /* when the plan was received, in the caller's time: numbing in input is as of then */
    struct treatment_zone zones[POLICY_STEPS_MAX];
    size_t zone_count;
    size_t zone_now;
    uint32_t generation;              /* of the configuration that was set for zone_now; 0: none yet */
    struct treatment_override overrides[TREATMENT_OVERRIDES_MAX];
    size_t override_count;
    uint32_t faults[TREATMENT_FAULTS_MAX];
    size_t fault_count;
    uint64_t cartridge_uid;           /* in the pen when it was looked at last, as the two that follow */
    uint32_t cartridge_lot, needle_count, products;
    struct treatment_cartridge cartridges[TREATMENT_CARTRIDGES_MAX]; /* that were armed */
    size_t cartridge_count;
    uint32_t continues;               /* the session of which it is the rest; 0: none */
    uint32_t runs_seen, runs_begun, runs_ended; /* the pen was RUNNING; it has recorded that a run began, and that one ended */
    bool records_lost;                /* the pen has lost some, or its memory, meanwhile */
    uint64_t begun_us, ended_us;      /* Unix time */
    enum treatment_end end;
    bool arm_answered;                /* ARMING: the pen has taken it, and its status will say so */
    bool incomplete;                  /* it ended without the pen's last records */
    char text[TREATMENT_TEXT_MAX + 1]; /* what happened last, in words */
};

/* The circumstances of a request. */
struct treatment_context {
    bool has_lease;      /* the requesting client is the lease holder ... */
    bool is_free;        /* ... or there is none */
    const char *holder;   /* the lease holder's name; NULL: there is none */
    const char *journal_error; /* ""; else why nothing can be recorded */
    enum treatment_pen pen;
    bool pen_is_safe;    /* exactly SAFE: configurable and armable */
    bool pen_is_old;     /* its firmware is not one for treatments */
    uint32_t generation; /* of the pen's configuration */
    uint32_t asked_generation; /* that the client has seen */
    uint64_t now_us;     /* as said_us */
};

enum rejection_kind { REJECTED_NOT, REJECTED_LEASE, REJECTED_STATE, REJECTED_JOURNAL, REJECTED_POLICY, REJECTED_CONFLICT, REJECTED_PEN };

struct rejection {
    enum rejection_kind kind;
    char text[240]; /* "2007 LEASE_LOST: ..."; one sentence */
};

/* True, or a rejection in *r. They change nothing. */
bool treatment_may_begin(const struct treatment_context *w, const struct findings *found, struct rejection *r);
bool treatment_may_select(const struct treatment *t, const struct treatment_context *w, struct rejection *r);
bool treatment_may_arm(const struct treatment *t, const struct findings *found, const struct treatment_context *w, struct rejection *r);
/* The lease holder may, or any operator while there is none. */
bool treatment_may_end(const struct treatment *t, const struct treatment_context *w, struct rejection *r);

/* Evaluates the policy at now_us: with what its input has of the past, and with the time that has passed since the plan was received. */
void treatment_evaluate(const struct treatment *t, const struct policy *p, uint64_t now_us, struct findings *found);

/* Minutes of numbing until now; POLICY_NEVER: none. */
uint32_t treatment_numbing_min(const struct treatment *t, uint64_t now_us);
/* Whether a session with this end was broken off and may be continued: COMPLETED and UNTREATED were not. */
bool treatment_was_broken_off(enum treatment_end end);
/* The zone's index, or zone_count. */
size_t treatment_find_zone(const struct treatment *t, uint32_t zone);

/* The configuration for a zone has been sent to the pen; the pen has it, with this generation. */
void treatment_selecting(struct treatment *t, size_t zone);
void treatment_selected(struct treatment *t, uint32_t generation);
/* ARM was sent, for the cartridge that was looked up (cartridge_uid and what follows); it was answered. */
void treatment_arm_sent(struct treatment *t);
void treatment_arm_answered(struct treatment *t, bool taken);
/* The pen has accepted ARM and is not ARMED by the deadline. */
void treatment_arm_late(struct treatment *t);
/* The pen's state now. True: it must be stopped, because the session did not ask for that. */
bool treatment_pen_is(struct treatment *t, enum treatment_pen pen, const char *why);
/* A client has requested STOP: its name is kept until the needles move again. */
void treatment_stopped_by(struct treatment *t, const char *name);
/* Its client has lost the lease. */
void treatment_lease_lost(struct treatment *t, const char *why);
void treatment_end(struct treatment *t, enum treatment_end end);
/* The end of a session that ends now. One rule for all callers: an abortion or an interruption stays one; else it is
 * COMPLETED if every zone of the plan was treated and none of them was broken off last, UNTREATED if no needle moved, and PARTIAL otherwise, and
 * whenever the pen's last records are not known. */
enum treatment_end treatment_outcome(const struct treatment *t, enum treatment_end asked, bool incomplete);
/* All records are there, or will not come: the end is that of treatment_outcome(). */
void treatment_ended(struct treatment *t, uint64_t now_unix_us, bool incomplete);

/* From the pen's records. */
void treatment_run_began(struct treatment *t, uint32_t zone);
void treatment_add_run(struct treatment *t, const struct treatment_run *run);
/* Whether not all that the needles did is known: a run that was seen, or has begun, has no end, or one without its duration. */
bool treatment_owes_runs(const struct treatment *t);
void treatment_add_fault(struct treatment *t, uint32_t code);
/* False: there are too many, or the reason is too long or empty. */
bool treatment_add_override(struct treatment *t, const char *name, const char *reason);

bool treatment_is_open(const struct treatment *t);
/* Whether the needles of its pen may move, or come to move, by what the session requested. */
bool treatment_is_live(const struct treatment *t);
uint64_t treatment_motor_ms(const struct treatment *t);

/* "2001 NUMBING_NOT_ELAPSED"; "" for 0. */
const char *rejection_name(unsigned code);
