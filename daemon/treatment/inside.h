/*
 * What the files of this room share:
 *
 *     sessions.c    all sessions: what pens, the journal and time do to them
 *     admission.c   the way of a plan from a request to a decision: SESSION_CHECK, SESSION_BEGIN, SESSION_ARM
 *     checks.c      what is found on that way, beside the policy's own findings
 *     steering.c    an open session: its zone, ARM, its end
 *     restore.c     sessions that were open when the daemon died
 *     lists.c       requests about sessions of now and before
 *     reply.c       replies and events
 *     treatment.c   the rules of one session; pure
 *     plan.c        a plan as it came, to be checked
 *     history.c     sessions as rows of the journal, and back
 */
#pragma once

#include "history.h"
#include "sessions.h"
#include "treatment.h"

enum { SESSION_PEN_TIMEOUT_MS = 1000 /* of a request to the pen */ };

struct requester { /* who is to be answered; client NULL: nobody any more */
    struct client *client;
    uint32_t id;
};

struct session { /* that is open */
    struct session *next;
    struct sessions *all;
    struct treatment t;
    struct findings *found;     /* at its beginning; NULL: it was restored */
    struct requester requester; /* of what is under way */
    uint64_t deadline_us;       /* ARMING: for its status; ENDING: for the pen's records */
    bool on_disk;               /* its beginning */
    bool ending_on_disk;        /* its end is queued for the disk */
    bool motor_noticed;
};

enum admission_kind { ADMIT_CHECK, ADMIT_BEGIN, ADMIT_ARM };

struct admission { /* a plan that is being checked: first the pen's cartridge, then what the journal knows */
    struct journal_work work;
    struct admission *next;
    struct sessions *all;   /* NULL: the daemon ends */
    struct requester requester;
    enum admission_kind kind;
    struct treatment t;     /* ARM: as it was when it was requested */
    uint32_t asked_generation;
    bool is_stopped;        /* ARM: STOP was requested meanwhile */
    struct {
        Mnp__CartridgeState state;
        uint64_t uid;
        uint32_t lot, needle_count, max_depth_um;
    } cartridge;
    struct past_question question;
    struct past past;
    bool working;           /* the worker has it */
    int result;
};

struct sessions {
    sd_event *event;
    struct hub *hub;
    struct control *control;
    const struct site *site;
    struct session *open;
    struct admission *admissions;
    struct restore *restoring;
    uint64_t restored_journal; /* the journal whose sessions were restored; 0: none yet */
    uint32_t next_number;
    sd_event_source *timer;
    struct list_request *lists;
};

/* sessions.c */

/* CLOCK_BOOTTIME, in which a plan's age and deadlines are. */
uint64_t session_now_us(const struct sessions *all);
/* NULL: the pen has no open session; there is none of that number. */
struct session *session_of(const struct sessions *all, const char *serial);
struct session *session_numbered(const struct sessions *all, uint32_t number);
/* Adds an open session; NULL without memory. */
struct session *session_new(struct sessions *all, const struct treatment *t);
enum treatment_pen session_pen_now(const struct pen *p);
/* The circumstances of a request by c (NULL: by nobody). */
struct treatment_context session_context(const struct sessions *all, const char *serial, const struct client *c);
/* Compares a pen with its session, and stops it if it does what the session did not ask for. */
void session_look(struct sessions *all, struct pen *p);
/* Queues a row. False: there is no room now. */
bool session_append(struct sessions *all, const struct journal_record *r);

/* steering.c */

/* Sends the zone's depth and rate to the pen; the result goes to the session's requester. */
void session_configure(struct session *s, size_t zone);
/* Sends ARM. */
void session_send_arm(struct session *s);
/* Queues the session's end for the disk once the pen is at rest and its records are on disk, or the deadline has passed. */
void session_try_to_finish(struct session *s);

/* admission.c */

/* NULL after a rejection. */
struct admission *admission_new(struct sessions *all, struct requester *requester, enum admission_kind kind, const char *serial);
/* Asks the pen, then the journal, and decides. */
void admission_start(struct admission *a);
void admission_free(struct admission *a);

/* checks.c */

/* Completes the plan with what is known of the past and of open sessions, and finds all that speaks against it. */
void admission_check(struct admission *a, struct findings *found);

/* restore.c */

/* Reads the open sessions of a journal that is new here. */
void sessions_restore(struct sessions *all);
/* The daemon ends. */
void sessions_restore_cancel(struct sessions *all);

/* lists.c */

void lists_client_gone(struct sessions *all, const struct client *c);
void lists_committed(struct sessions *all, const struct journal_record *r);
void lists_free(struct sessions *all);

/* reply.c: each answers the requester, if there is still one, once */

void reply_rejection(struct requester *to, const struct rejection *r, const char *serial);
void reply_error(struct requester *to, Mnc__ErrorCode code, const char *serial, const char *sentence);
void reply_session(struct session *s);
void reply_findings(struct requester *to, const struct findings *found);
/* Notifies those that watch. */
void session_publish(struct session *s);
