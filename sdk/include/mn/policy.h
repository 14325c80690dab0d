/* libmn: the treatment policy: its tables, and the site's own figures. Included by mn/mn.h, which begins with an overview. */
#ifndef MN_POLICY_H
#define MN_POLICY_H

#ifndef MN_MN_H
#error "include <mn/mn.h>"
#endif

#ifdef __cplusplus
extern "C" {
#endif

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

/* The policy in force; or, with the text of a file (docs/sessions.md has its form; at most 64 KiB), what that would be. Nothing is changed by
 * asking. Errors: CALL; MN_ERR_INVALID (the text is longer). */
MN_API int mn_policy_get(mn_client *c, const char *text, struct mn_policy *out, int timeout_ms);
MN_API int mn_policy_get_async(mn_client *c, const char *text, int timeout_ms, mn_result_fn *done, void *user);

#ifdef __cplusplus
}
#endif
#endif
