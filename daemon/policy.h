/*
 * May this be done? A pure function from what was said to what is found: no clock, no file, no pen. The figures are proto/policy/'s, or a
 * site's own. The software asks, refuses and records; it diagnoses nothing.
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
    uint32_t zones;     /* where it is: bit ZONE_...; of those that are asked by zone */
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
    unsigned code;        /* 2001 to 2006, 2009 ...: what ARM is refused with; 0 */
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

/* All that is found, in a fixed order; of what is OK, nothing. ARM needs worst to be WARN or OK. */
void policy_evaluate(const struct policy *p, const struct policy_input *in, struct findings *out);

/* One more, from elsewhere. */
void policy_find(struct findings *out, struct finding f, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The longest interval that is asked for. */
uint32_t policy_longest_d(const struct policy *p);

/* Minutes that a depth wants: clamp(15 + 20 x (mm - 0.5), 30, 45), rounded up. */
uint32_t policy_numbing_min(const struct policy *p, uint32_t depth_um);

const char *policy_zone_name(enum policy_zone z); /* "FOREHEAD"; "?" */
const char *decision_name(enum decision d);       /* "BLOCK" */
