/*
 * What decides about a treatment and must never be forgotten: which cartridge was used in which treatment, when which subject was treated where and how
 * deep, which subjects there are, and what time it was last. It stands in tables of its own beside the rows of the journal: written in the transaction
 * of the row that says it, found by index at any size, and never dropped by retention.
 *
 * The one place where this is asked. What other daemons know would come in here.
 */
#pragma once

#include "store.h"

#define PAST_ZONES_MAX 32
#define PAST_SUBJECT_MAX 32

struct past_question {
    char subject[PAST_SUBJECT_MAX + 1];
    uint32_t zones[PAST_ZONES_MAX];
    size_t zone_count;
    uint32_t medium_um;     /* from here on a treatment was not SURFACE */
    uint32_t continued;     /* the number of the session that is continued, which with all that continued it counts as the same treatment; 0: none */
    uint64_t cartridge_uid; /* 0: none */
    uint64_t treatment;     /* in which it is to be used; 0: in a new one */
};

struct past_time { /* the last of its kind */
    uint64_t ended_us;      /* Unix time; 0: never */
    uint32_t depth_um, session;
};

enum { PAST_SURFACE, PAST_DEEPER, PAST_DEPTHS };

struct past {
    uint64_t latest_us;     /* what time it was last, by the rows of the journal */
    uint64_t since_us;      /* nothing is known of before */
    struct past_time zones[PAST_ZONES_MAX][PAST_DEPTHS];
    uint64_t used_in;       /* another treatment in which the cartridge was used; 0: in none */
    uint64_t used_us;
    char used_with[JOURNAL_SERIAL_MAX + 1]; /* the pen */
    bool subject_is_new;
    char doubles[3 * (PAST_SUBJECT_MAX + 2)]; /* subjects whose keys differ in nothing but case, punctuation and leading zeros: "K-20, k20" */
    struct { /* the session that is continued, as it ended */
        bool found;
        uint32_t origin, end; /* mnc.SessionEnd */
        uint64_t ended_us;
    } continued;
};

/* 0, or a negative errno: store_why() says more. */
int past_ask(struct store *s, const struct past_question *q, struct past *out);

/* Whole days from then until now; UINT32_MAX: never. What seems to be later than now is today. */
uint32_t past_days(const struct past_time *then, uint64_t now_us);
#define PAST_DATE 32
/* "2026-11-26 08:30 UTC" */
void past_date(uint64_t unix_us, char out[PAST_DATE]);
/* False, and one sentence: the clock says what cannot be, 1970, or is more than five minutes (which setting it takes away by itself) behind what the
 * journal has seen. */
bool past_clock_is_right(const struct past *p, uint64_t clock_us, char *why, size_t cap);

/* The latest time that is known: this clock's, or that of the journal if it is later. A clock that was set back makes nothing older. */
uint64_t past_now_us(const struct past *p, uint64_t clock_us);

/* The numbers of sessions in which a cartridge, or one of a lot, was used, the newest first (of numbers below this one; 0: of all); at most cap. uid 0:
 * by lot. */
int past_sessions_of(struct store *s, uint64_t uid, uint32_t lot, uint32_t below, uint32_t *numbers, size_t cap, size_t *count);

/* What is known for ever of one session of this journal in which a cartridge was used, also when its rows were dropped. */
struct past_session {
    char subject[PAST_SUBJECT_MAX + 1]; /* "": no zone of it counts as treated */
    char serial[JOURNAL_SERIAL_MAX + 1];
    uint64_t used_us, ended_us;
    uint32_t end;                       /* mnc.SessionEnd */
    struct {
        uint32_t zone, depth_um;
    } zones[PAST_ZONES_MAX];
    size_t zone_count;
    struct {
        uint64_t uid;
        uint32_t lot;
    } cartridges[PAST_ZONES_MAX];
    size_t cartridge_count;
};
int past_session(struct store *s, uint32_t number, struct past_session *out);

/* ---- for store.c ---- */

struct sqlite3;

/* The tables, for the journal's schema. */
extern const char past_schema[];
/* What this row says, in the transaction that is open; a SQLite code. id is the journal's, from which its treatments are numbered. */
int past_note(struct sqlite3 *db, uint64_t id, const struct journal_record *r);
/* What can still be read of these tables in a damaged journal, into the ones of a new journal; a SQLite code, of what could not be written. Sessions lose their
 * numbers, which begin anew, and it is not said that all is known: since_us stays that of the new journal. */
int past_salvage(struct sqlite3 *db, const char *damaged, unsigned *treated, unsigned *uses);
/* A journal that had no such tables: nothing is known of before its first row. */
int past_begin(struct sqlite3 *db);
