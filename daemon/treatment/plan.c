#include "plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { KEY_MAX = 32, NUMBING_MAX_MIN = 1440 };

static bool bad(char *why, size_t cap, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool bad(char *why, size_t cap, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(why, cap, format, ap);
    va_end(ap);
    return false;
}

static bool is_key(const char *s)
{
    size_t n = s != NULL ? strlen(s) : 0;

    for (size_t i = 0; i < n; i++) {
        if (s[i] <= ' ' || s[i] > '~')
            return false;
    }
    return n > 0 && n <= KEY_MAX;
}

static bool read_indication(struct treatment *t, const char *name, char *why, size_t cap)
{
    static const char *const names[] = {
#define INDICATION(name, sessions_min, sessions_max, source, text) #name,
#include "policy/indications.def"
    };

    for (size_t i = 0; name != NULL && name[0] != '\0' && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0)
            snprintf(t->indication, sizeof(t->indication), "%s", name);
    }
    return name == NULL || name[0] == '\0' || t->indication[0] != '\0' || bad(why, cap, "there is no indication %.40s", name);
}

/* The ranges of the settings, which are the same for all pens. */
static bool is_setting(const char *name, uint32_t value, char *why, size_t cap)
{
    static const struct {
        const char *name;
        uint32_t min, max, step;
    } settings[] = {
#define SETTING(name, tag, unit, min, max, step, default_value, text) {#name, min, max, step},
#include "config.def"
#undef SETTING
    };

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (strcmp(settings[i].name, name) == 0 && (value < settings[i].min || value > settings[i].max || (settings[i].step > 1 && value % settings[i].step != 0)))
            return bad(why, cap, "%s is %u in the plan; it must be %u to %u in steps of %u", name, value, settings[i].min, settings[i].max, settings[i].step);
    }
    return true;
}

static bool read_steps(struct treatment *t, const Mnc__Plan *m, char *why, size_t cap)
{
    if (m->n_step == 0 || m->n_step > POLICY_STEPS_MAX)
        return bad(why, cap, "a plan has 1 to %d zones", POLICY_STEPS_MAX);
    for (size_t i = 0; i < m->n_step; i++) {
        const Mnc__PlanStep *step = m->step[i];
        struct policy_step *p = &t->input.steps[i];

        if (!step->has_zone || !step->has_depth_um || !step->has_stroke_rate_dhz)
            return bad(why, cap, "a step of a plan needs zone, depth_um and stroke_rate_dhz");
        if (!is_setting("depth_um", step->depth_um, why, cap) || !is_setting("stroke_rate_dhz", step->stroke_rate_dhz, why, cap))
            return false;
        if (treatment_find_zone(t, step->zone) < i)
            return bad(why, cap, "zone %s stands twice in the plan", policy_zone_name((enum policy_zone)step->zone));
        *p = (struct policy_step){.zone = (enum policy_zone)step->zone, .depth_um = step->depth_um, .days_since_surface = POLICY_NEVER,
                                  .days_since_deeper = POLICY_NEVER};
        t->zones[i] = (struct treatment_zone){.zone = p->zone, .depth_um = step->depth_um, .stroke_rate_dhz = step->stroke_rate_dhz};
        t->input.step_count = t->zone_count = i + 1;
        p->interval_override = step->interval_override != NULL;
        if (p->interval_override && !treatment_add_override(t, policy_zone_name(p->zone), step->interval_override))
            return bad(why, cap, "an override needs a reason of 1 to %d characters, and there are at most %d", TREATMENT_TEXT_MAX, TREATMENT_OVERRIDES_MAX);
    }
    return true;
}

/* An incomplete answer is rejected: "yes" without a time would otherwise mean "never", and a time without "yes" would mean "no". */
static bool is_answer(const Mnc__Answer *a, const char *item, bool timed, char *why, size_t cap)
{
    if (timed && a->yes && !a->has_hours_ago)
        return bad(why, cap, "%s is answered by how long ago it was, or never", item);
    if (!timed && (!a->has_yes || a->has_hours_ago))
        return bad(why, cap, "%s is answered by yes or no", item);
    return true;
}

static bool read_answers(struct treatment *t, const Mnc__Plan *m, char *why, size_t cap)
{
    static const struct {
        const char *name;
        bool timed;
    } items[] = {
#define SCREEN(name, hours, decision, hours_2, decision_2, in_zone, source, question) {#name, (hours) != 0},
#include "policy/screening.def"
    };

    for (size_t i = 0; i < m->n_answer; i++) {
        const Mnc__Answer *a = m->answer[i];
        size_t item = 0;

        while (item < SCREEN_ITEMS && (a->item == NULL || strcmp(items[item].name, a->item) != 0))
            item++;
        if (item == SCREEN_ITEMS)
            return bad(why, cap, "there is no screening item %.40s", a->item != NULL ? a->item : "without a name");
        if (t->input.answers[item].answered)
            return bad(why, cap, "%s is answered twice", items[item].name);
        if (!is_answer(a, items[item].name, items[item].timed, why, cap))
            return false;
        t->input.answers[item] = (struct policy_answer){
            .answered = true,
            .yes = a->yes,
            .hours_ago = a->has_hours_ago ? a->hours_ago : POLICY_NEVER,
            .zones = a->zones != 0 ? a->zones : UINT32_MAX,
            .confirmed = a->confirmed_by != NULL && a->confirmed_by[0] != '\0',
        };
        if (t->input.answers[item].confirmed && (!is_key(a->confirmed_by) || !treatment_add_override(t, items[item].name, a->confirmed_by)))
            return bad(why, cap, "who has confirmed %s is a key of 1 to %d printable characters without blanks", items[item].name, KEY_MAX);
    }
    return true;
}

bool plan_read(struct treatment *t, const Mnc__Plan *m, uint64_t now_us, char *why, size_t cap)
{
    if (m == NULL || !is_key(m->subject))
        return bad(why, cap, "a plan needs a subject: an opaque key of 1 to %d printable characters without blanks, and nobody's name", KEY_MAX);
    snprintf(t->subject, sizeof(t->subject), "%s", m->subject);
    t->products = m->products;
    t->continues = m->continues;
    if (t->continues != 0 && (m->continues_why == NULL || !treatment_add_override(t, "continuation", m->continues_why)))
        return bad(why, cap, "a continuation needs a reason of 1 to %d characters", TREATMENT_TEXT_MAX);
    if (m->has_numbing_min && m->numbing_min > NUMBING_MAX_MIN)
        return bad(why, cap, "numbing was applied 0 to %d minutes ago, not %u", NUMBING_MAX_MIN, m->numbing_min);
    t->said_us = now_us;
    t->input.numbing_min = m->has_numbing_min ? m->numbing_min : POLICY_NEVER;
    t->input.numbing_waived = m->numbing_waiver != NULL;
    if (t->input.numbing_waived && !treatment_add_override(t, "numbing", m->numbing_waiver))
        return bad(why, cap, "a waiver of numbing needs a reason of 1 to %d characters", TREATMENT_TEXT_MAX);
    return read_indication(t, m->indication, why, cap) && read_steps(t, m, why, cap) && read_answers(t, m, why, cap);
}
