#include "policy.h"

#include <stdarg.h>
#include <stdio.h>

#include "policy/numbing.h"

enum {
    NUMBING_NOT_ELAPSED = 2001,
    INTERVAL_TOO_SHORT = 2002,
    ZONE_FORBIDDEN = 2003,
    CONTRAINDICATION = 2004,
    CHECKLIST_INCOMPLETE = 2005,
    DEPTH_OVER_POLICY = 2006,
};

static const struct {
    const char *name, *source, *question;
    bool in_zone;
} items[] = {
#define SCREEN(name, hours, decision, hours_2, decision_2, in_zone, source, question) {#name, source, question, in_zone},
#include "policy/screening.def"
};

static const struct {
    const char *name, *source;
} zones[ZONE_END] = {
#define ZONE(number, name, cap_um, bony, source) [number] = {#name, source},
#include "policy/zones.def"
};

static const char *const limit_sources[] = {
#define LIMIT(name, value, unit, stricter, source, text) source,
#include "policy/limits.def"
};

void policy_default(struct policy *p)
{
    *p = (struct policy){
        .limits = {
#define LIMIT(name, value, unit, stricter, source, text) [POLICY_##name] = value,
#include "policy/limits.def"
        },
        .cap_um = {
#define ZONE(number, name, cap, bony, source) [number] = cap,
#include "policy/zones.def"
        },
        .items = {
#define SCREEN(name, hours_1, decision_1, hours_2, decision_2, in_zone, source, question)                              \
    [SCREEN_##name] = {{hours_1, hours_2}, {DECISION_##decision_1, DECISION_##decision_2}},
#include "policy/screening.def"
        },
    };
}

const char *policy_zone_name(enum policy_zone z)
{
    return z > ZONE_NONE && z < ZONE_END ? zones[z].name : "?";
}

const char *decision_name(enum decision d)
{
    static const char *const names[] = {"OK", "WARN", "CONSULT", "BLOCK"};

    return names[d];
}

void policy_find(struct findings *out, struct finding f, const char *format, ...)
{
    va_list ap;

    if (out->count == POLICY_FINDINGS_MAX) { /* cannot happen, since the array holds all findings; if it did, the plan must not pass */
        out->worst = DECISION_BLOCK;
        return;
    }
    va_start(ap, format);
    vsnprintf(f.text, sizeof(f.text), format, ap);
    va_end(ap);
    out->worst = f.decision > out->worst ? f.decision : out->worst;
    out->found[out->count++] = f;
}

/* ---- where and how deep ---- */

static void check_depth(const struct policy *p, const struct policy_step *s, struct findings *out)
{
    uint32_t limit = p->limits[POLICY_depth_limit], most = p->limits[POLICY_depth_policy_limit], cap;
    const char *name = policy_zone_name(s->zone);

    if (s->zone <= ZONE_NONE || s->zone >= ZONE_END) {
        policy_find(out, (struct finding){.decision = DECISION_BLOCK, .code = ZONE_FORBIDDEN, .name = name, .unit = "", .source = "P"}, "there is no zone %d",
             (int)s->zone);
        return;
    }
    cap = p->cap_um[s->zone];
    limit = limit < most ? limit : most;
    if (cap == 0)
        policy_find(out, (struct finding){.decision = DECISION_BLOCK, .code = ZONE_FORBIDDEN, .name = name, .value = s->depth_um, .unit = "um", .source = zones[s->zone].source},
             "%s is never treated", name);
    else if (s->depth_um > cap)
        policy_find(out,
             (struct finding){.decision = DECISION_BLOCK, .code = DEPTH_OVER_POLICY, .name = name, .value = s->depth_um, .limit = cap, .unit = "um",
                              .source = zones[s->zone].source},
             "%u um is deeper than %s allows: %u um", s->depth_um, name, cap);
    else if (s->depth_um > limit)
        policy_find(out,
             (struct finding){.decision = DECISION_BLOCK, .code = DEPTH_OVER_POLICY, .name = "depth_limit", .value = s->depth_um, .limit = limit, .unit = "um",
                              .source = limit_sources[POLICY_depth_limit]},
             "%u um is deeper than this site's policy: %u um", s->depth_um, limit);
}

/* Intervals are checked per depth class: a SURFACE session of yesterday must not hide a DEEP one of last week. */
static void check_interval(const struct policy *p, const struct policy_step *s, uint32_t days, enum policy_limit which, struct findings *out)
{
    uint32_t floor_d = p->limits[POLICY_interval_floor], wanted_d = p->limits[which];
    struct finding f = {.decision = DECISION_BLOCK, .code = INTERVAL_TOO_SHORT, .name = policy_zone_name(s->zone), .value = days, .unit = "d"};

    if (days == POLICY_NEVER)
        return;
    if (days < floor_d) {
        f.limit = floor_d;
        f.source = limit_sources[POLICY_interval_floor];
        policy_find(out, f, "%s was treated %u d ago: at least %u d", f.name, days, floor_d);
    } else if (days < wanted_d) {
        f.limit = wanted_d;
        f.source = limit_sources[which];
        f.decision = s->interval_override ? DECISION_WARN : DECISION_BLOCK;
        policy_find(out, f, "%s was treated %u d ago: %u d, or an override with a reason", f.name, days, wanted_d);
    }
}

static void check_intervals(const struct policy *p, const struct policy_step *s, struct findings *out)
{
    uint32_t floor_d = p->limits[POLICY_interval_floor];
    bool both_below = s->days_since_surface < floor_d && s->days_since_deeper < floor_d;

    check_interval(p, s, s->days_since_deeper, POLICY_interval_deeper, out);
    if (!both_below) /* both classes would find the same */
        check_interval(p, s, s->days_since_surface, POLICY_interval_surface, out);
}

uint32_t policy_longest_d(const struct policy *p)
{
    uint32_t longest = p->limits[POLICY_interval_floor];

    longest = p->limits[POLICY_interval_surface] > longest ? p->limits[POLICY_interval_surface] : longest;
    return p->limits[POLICY_interval_deeper] > longest ? p->limits[POLICY_interval_deeper] : longest;
}

/* ---- the screening questions ---- */

static bool concerns(const struct policy_input *in, uint32_t places)
{
    for (size_t i = 0; i < in->step_count && i < POLICY_STEPS_MAX; i++) {
        if (in->steps[i].zone < 32 && (places >> in->steps[i].zone & 1) != 0)
            return true;
    }
    return false;
}

static void check_answer(const struct policy *p, const struct policy_input *in, enum policy_item item, struct findings *out)
{
    const struct policy_answer *a = &in->answers[item];
    bool timed = p->items[item].hours[0] != 0;
    struct finding f = {.name = items[item].name, .source = items[item].source, .code = CONTRAINDICATION, .unit = timed ? "h" : ""};
    enum decision d = DECISION_OK;

    if (!a->answered) {
        f.decision = DECISION_BLOCK;
        f.code = CHECKLIST_INCOMPLETE;
        policy_find(out, f, "not answered: %s", items[item].question);
        return;
    }
    if (!timed && a->yes && (!items[item].in_zone || concerns(in, a->zones)))
        d = p->items[item].decision[0];
    for (int i = 1; timed && i >= 0; i--) {
        if (p->items[item].hours[i] != 0 && a->hours_ago < p->items[item].hours[i] && p->items[item].decision[i] > d) {
            d = p->items[item].decision[i];
            f.limit = p->items[item].hours[i];
        }
    }
    if (d == DECISION_OK)
        return;
    if (d == DECISION_CONSULT && a->confirmed)
        d = DECISION_WARN;
    f.decision = d;
    f.code = d >= DECISION_CONSULT ? f.code : 0;
    f.value = timed ? a->hours_ago : 1;
    if (timed)
        policy_find(out, f, "%s %u h ago: %s until %u h%s", f.name, a->hours_ago, decision_name(d), f.limit, a->confirmed ? ", confirmed by a clinician" : "");
    else
        policy_find(out, f, "%s: %s%s", f.name, decision_name(d), a->confirmed ? ", confirmed by a clinician" : "");
}

/* ---- numbing ---- */

uint32_t policy_numbing_min(const struct policy *p, uint32_t depth_um)
{
    return numbing_min(depth_um, p->limits[POLICY_numbing_at_least], p->limits[POLICY_numbing_per_mm], p->limits[POLICY_numbing_at_most],
                       p->limits[POLICY_numbing_floor]);
}

static void check_numbing(const struct policy *p, const struct policy_input *in, struct findings *out)
{
    struct finding f = {.code = NUMBING_NOT_ELAPSED, .name = "numbing", .unit = "min", .source = limit_sources[POLICY_numbing_per_mm]};
    uint32_t deepest_um = 0;

    for (size_t i = 0; i < in->step_count && i < POLICY_STEPS_MAX; i++)
        deepest_um = in->steps[i].depth_um > deepest_um ? in->steps[i].depth_um : deepest_um;
    f.limit = policy_numbing_min(p, deepest_um);
    f.value = in->numbing_min == POLICY_NEVER ? 0 : in->numbing_min;
    f.decision = in->numbing_waived ? DECISION_WARN : DECISION_BLOCK;
    if (in->numbing_min == POLICY_NEVER)
        policy_find(out, f, "no numbing: %u min for %u um, or a waiver with a reason", f.limit, deepest_um);
    else if (in->numbing_min < f.limit)
        policy_find(out, f, "numbing for %u min: %u min for %u um, or a waiver with a reason", f.value, f.limit, deepest_um);
    else if (in->numbing_min > p->limits[POLICY_numbing_lasts]) {
        f.limit = p->limits[POLICY_numbing_lasts];
        f.source = limit_sources[POLICY_numbing_lasts];
        policy_find(out, f, "numbing %u min ago has worn off after %u min: numb again, or a waiver with a reason", f.value, f.limit);
    }
}

void policy_evaluate(const struct policy *p, const struct policy_input *in, struct findings *out)
{
    size_t steps = in->step_count < POLICY_STEPS_MAX ? in->step_count : POLICY_STEPS_MAX;

    out->count = 0;
    out->worst = DECISION_OK;
    if (steps == 0 || steps != in->step_count)
        policy_find(out, (struct finding){.decision = DECISION_BLOCK, .code = CHECKLIST_INCOMPLETE, .name = "plan", .unit = "", .source = "P"},
             "a plan has 1 to %d zones", POLICY_STEPS_MAX);
    for (size_t i = 0; i < steps; i++) {
        check_depth(p, &in->steps[i], out);
        check_intervals(p, &in->steps[i], out);
    }
    for (int item = 0; item < SCREEN_ITEMS; item++)
        check_answer(p, in, (enum policy_item)item, out);
    if (in->said_min > p->limits[POLICY_answers_hold] * 60)
        policy_find(out, (struct finding){.decision = DECISION_BLOCK, .code = CHECKLIST_INCOMPLETE, .name = "answers_hold", .value = in->said_min / 60,
                                          .limit = p->limits[POLICY_answers_hold], .unit = "h", .source = limit_sources[POLICY_answers_hold]},
                    "the questions were answered %u h ago: end this session, and ask again after %u h", in->said_min / 60, p->limits[POLICY_answers_hold]);
    check_numbing(p, in, out);
}
