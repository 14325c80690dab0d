/*
 * The treatment policy: a pure function from a plan and the answers of a person to findings; it knows no clock, no file and no pen. The figures are
 * those of proto/policy/, or a site's own. The software asks, rejects and records; it diagnoses nothing.
 *
 * Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum policy_limit {
#define LIMIT(name, value, unit, stricter, source, text) POLICY_##name,
#include "policy/limits.def"
    POLICY_LIMITS
};

enum policy_item {
#define SCREEN(name, hours, decision, hours_2, decision_2, in_zone, source, question) SCREEN_##name,
#include "policy/screening.def"
    SCREEN_ITEMS
};

enum policy_zone {
    ZONE_NONE,
#define ZONE(number, name, cap_um, bony, source) ZONE_##name = number,
#include "policy/zones.def"
    ZONE_END
};

enum decision { DECISION_OK, DECISION_WARN, DECISION_CONSULT, DECISION_BLOCK };

struct policy {
    uint32_t limits[POLICY_LIMITS];
    uint32_t cap_um[ZONE_END];
    struct {
        uint32_t hours[2]; /* less than so many ago; 0, 0: yes or no */
        enum decision decision[2];
    } items[SCREEN_ITEMS];
};

/* The defaults: proto/policy/. */
void policy_default(struct policy *p);

#define POLICY_NEVER UINT32_MAX

struct policy_answer {
    bool answered;      /* unanswered is not "no" */
    bool yes;           /* of a yes or no */
    uint32_t hours_ago; /* of the others; POLICY_NEVER */
    uint32_t zones;     /* where it is: bit ZONE_...; of questions about a zone */
    bool confirmed;     /* by a clinician: CONSULT becomes WARN */
};

#define POLICY_STEPS_MAX 17

struct policy_step { /* a zone of the plan */
    enum policy_zone zone;
    uint32_t depth_um;
    uint32_t days_since_surface, days_since_deeper; /* the last session of this subject there that was SURFACE, and the last that was not; POLICY_NEVER */
    bool interval_override; /* with a reason, by an operator */
};

struct policy_input {
    struct policy_step steps[POLICY_STEPS_MAX];
    size_t step_count;
    struct policy_answer answers[SCREEN_ITEMS];
    uint32_t numbing_min;   /* since it was applied; POLICY_NEVER: it was not */
    bool numbing_waived;    /* with a reason */
    uint32_t said_min;      /* since the questions were answered */
};

struct finding {
    enum decision decision;
    unsigned code;        /* 2001 to 2006, 2009 ...: with which ARM is rejected; 0: none */
    const char *name;     /* of the zone, item or limit */
    uint32_t value, limit;
    const char *unit;     /* of both; "" for yes or no */
    const char *source;
    char text[160];
};

#define POLICY_FINDINGS_MAX (SCREEN_ITEMS + 4 * POLICY_STEPS_MAX + 8)

struct findings {
    struct finding found[POLICY_FINDINGS_MAX];
    size_t count;
    enum decision worst;
};

/* All findings, in a fixed order; what is OK is left out. ARM needs worst to be WARN or OK. */
void policy_evaluate(const struct policy *p, const struct policy_input *in, struct findings *out);

/* Adds a finding of the caller's own; its text is cut to fit. */
void policy_find(struct findings *out, struct finding f, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The longest interval between treatments that the policy has, in days. */
uint32_t policy_longest_d(const struct policy *p);

/* Minutes of numbing that a depth needs: clamp(15 + 20 x (mm - 0.5), 30, 45), rounded up. */
uint32_t policy_numbing_min(const struct policy *p, uint32_t depth_um);

const char *policy_zone_name(enum policy_zone z); /* "FOREHEAD"; "?" */
const char *decision_name(enum decision d);       /* "BLOCK" */

/* ---- a site's own ---- */

/*
 * The policy of one site: the defaults of proto/policy/, and what its own file changes. A site may be stricter in anything. It may be less strict where
 * another source is: then with exactly that source's figure, and the name of the source beside it. Never beyond what the firmware allows.
 *
 *     name: Clinic Nord
 *     limits:
 *       - {name: depth_limit, value: 1200}
 *       - {name: numbing_at_most, value: 30, source: S2}
 *     zones:
 *       - {zone: FOREHEAD, cap_um: 500}
 *     screening:
 *       - {item: ALCOHOL, hours: 48, decision: BLOCK}
 */
#define SITE_ROWS_MAX 64
#define SITE_SHA256 32

struct site_row { /* a figure that differs from the defaults */
    const char *table, *name;
    char value[40], default_value[40];
    char source[8];
};

struct site {
    struct policy policy;
    char name[65];               /* "": the defaults */
    uint8_t sha256[SITE_SHA256]; /* of the file; zeros: the defaults */
    struct site_row rows[SITE_ROWS_MAX];
    size_t row_count;
};

void site_default(struct site *s);

/* Reads a site's file over the defaults. 0, or a negative errno and one sentence in why, which names the row; then *s is the defaults. path is for the
 * sentence. */
int site_parse(struct site *s, const char *text, size_t n, const char *path, char *why, size_t cap);
int site_load(struct site *s, const char *path, char *why, size_t cap);
