#include "inside.h"

#include <string.h>
#include <time.h>

#include "clock.h"
#include "pen.pb-c.h"

/* ---- the cartridge ---- */

static struct finding cartridge_finding(unsigned code, const char *name)
{
    return (struct finding){.decision = DECISION_BLOCK, .code = code, .name = name, .unit = "", .source = "S2, S3, S4"};
}

/* Another open session that has armed this cartridge; NULL if there is none. */
static const struct session *session_with(const struct sessions *all, uint64_t uid, uint32_t number)
{
    for (const struct session *s = all->open; s != NULL; s = s->next) {
        for (size_t i = 0; s->t.number != number && i < s->t.cartridge_count; i++) {
            if (s->t.cartridges[i].uid == uid)
                return s;
        }
    }
    return NULL;
}

/* Whether the cartridge was used for another subject. The pen knows its own past, the journal that of all pens; open sessions are in neither yet. */
static void check_cartridge_use(const struct admission *a, struct findings *found)
{
    const struct session *other = session_with(a->all, a->cartridge.uid, a->t.number);
    struct finding f = cartridge_finding(1303, "CARTRIDGE_USED");
    uint64_t journal = a->all->restored_journal, in = a->past.used_in;

    if (other != NULL)
        policy_find(found, f, "the cartridge was armed in session %u with pen %s, which is open: put a new one in", other->t.number, other->t.serial);
    else if (in > journal && in - journal <= UINT32_MAX)
        policy_find(found, f, "the cartridge was used in session %u with pen %s: put a new one in", (unsigned)(in - journal), a->past.used_with);
    else if (in != 0)
        policy_find(found, f, "the cartridge was used before, with pen %s: put a new one in", a->past.used_with);
}

/* Checks the cartridge in the pen for a new session, or for the zone to be armed. */
static void check_cartridge(const struct admission *a, struct findings *found)
{
    bool begins = a->kind != ADMIT_ARM, fit = a->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_NEW || (!begins && a->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_IN_USE);

    if (fit)
        check_cartridge_use(a, found);
    else if (a->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_IN_USE || a->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_USED)
        policy_find(found, cartridge_finding(1303, "CARTRIDGE_USED"), "the cartridge was used in another session: put a new one in");
    else if (a->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_EXPIRED)
        policy_find(found, cartridge_finding(1304, "CARTRIDGE_EXPIRED"), "the cartridge has expired: put a new one in");
    else if (a->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_UNREADABLE || a->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_REJECTED)
        policy_find(found, cartridge_finding(1302, "CARTRIDGE_UNREADABLE"), "the cartridge cannot be read: put another one in");
    else
        policy_find(found, cartridge_finding(1301, "CARTRIDGE_ABSENT"), "there is no cartridge in the pen");
    for (size_t i = 0; fit && i < a->t.zone_count; i++) {
        const struct treatment_zone *z = &a->t.zones[i];
        struct finding f = cartridge_finding(1306, "CARTRIDGE_DEPTH_MISMATCH");

        if (z->depth_um <= a->cartridge.max_depth_um || (!begins && i != a->t.zone_now))
            continue;
        f.value = z->depth_um;
        f.limit = a->cartridge.max_depth_um;
        f.unit = "um";
        policy_find(found, f, "%u um in %s is deeper than the cartridge goes: %u um", z->depth_um, policy_zone_name(z->zone), a->cartridge.max_depth_um);
    }
}

/* ---- the clock, and what was before ---- */

static void check_clock(const struct past *past, uint64_t clock_us, struct findings *found)
{
    char why[160];

    if (!past_clock_is_right(past, clock_us, why, sizeof(why)))
        policy_find(found, (struct finding){.decision = DECISION_BLOCK, .code = 2009, .name = "clock", .unit = "", .source = "P"}, "%s", why);
}

/* Checks that the session to continue exists and was interrupted recently. */
static void check_continuation(const struct admission *a, const struct policy *p, uint64_t now, struct findings *found)
{
    struct finding f = {.decision = DECISION_BLOCK, .code = 2010, .name = "continuation", .limit = p->limits[POLICY_continuation], .unit = "h", .source = "P"};
    uint64_t hours = now > a->past.continued.ended_us ? (now - a->past.continued.ended_us) / 3600000000u : 0;

    if (a->t.continues == 0)
        return;
    if (!a->past.continued.found)
        policy_find(found, f, "there is no ended session %u in which this subject was treated", a->t.continues);
    else if (!treatment_was_broken_off((enum treatment_end)a->past.continued.end))
        policy_find(found, f, "session %u was not broken off: it is not continued", a->t.continues);
    else if (hours >= f.limit) {
        f.value = hours < UINT32_MAX ? (uint32_t)hours : UINT32_MAX;
        policy_find(found, f, "session %u ended %u h ago: it is continued within %u h", a->t.continues, f.value, f.limit);
    }
}

static void check_past(const struct admission *a, const struct policy *p, struct findings *found)
{
    uint64_t clock = clock_us(CLOCK_REALTIME), now = past_now_us(&a->past, clock);
    bool begins = a->kind != ADMIT_ARM, unknown = false;
    struct finding f = {.decision = DECISION_WARN, .unit = "", .source = "P"};
    char since[PAST_DATE];

    check_clock(&a->past, clock, found);
    if (!begins)
        return;
    check_continuation(a, p, now, found);
    for (size_t i = 0; i < a->t.input.step_count; i++)
        unknown |= a->t.input.steps[i].days_since_surface == POLICY_NEVER && a->t.input.steps[i].days_since_deeper == POLICY_NEVER;
    if (unknown && now < a->past.since_us + policy_longest_d(p) * UINT64_C(86400000000)) {
        past_date(a->past.since_us, since);
        f.name = "history";
        policy_find(found, f, "this journal goes back to %s only: ask when %s was treated before", since, a->t.subject);
    }
    f.name = "subject";
    if (a->past.doubles[0] != '\0')
        policy_find(found, f, "%s is written almost as %s: is it the same person?", a->t.subject, a->past.doubles);
    f.decision = DECISION_OK;
    if (a->past.subject_is_new)
        policy_find(found, f, "the first session of %s here", a->t.subject);
}

/* ---- what is added to the plan ---- */

static void take_past(struct admission *a)
{
    uint64_t now = past_now_us(&a->past, clock_us(CLOCK_REALTIME));

    for (size_t i = 0; i < a->t.input.step_count; i++) {
        a->t.input.steps[i].days_since_surface = past_days(&a->past.zones[i][PAST_SURFACE], now);
        a->t.input.steps[i].days_since_deeper = past_days(&a->past.zones[i][PAST_DEEPER], now);
    }
}

/* Adds what the journal does not have yet: open sessions of this subject with other pens, and those that the daemon's death interrupted. */
static void add_open(const struct sessions *all, struct treatment *t)
{
    for (const struct session *s = all->open; s != NULL; s = s->next) {
        if (strcmp(s->t.subject, t->subject) != 0 || s->t.number == t->number)
            continue;
        for (size_t i = 0; i < s->t.zone_count; i++) {
            const struct treatment_zone *z = &s->t.zones[i];
            size_t k = treatment_find_zone(t, z->zone);
            bool surface = z->depth_um < all->site->policy.limits[POLICY_depth_medium];

            if (k == t->zone_count || (z->runs == 0 && s->t.end != END_INTERRUPTED && !(treatment_owes_runs(&s->t) && i == s->t.zone_now) && !(treatment_is_live(&s->t) && i == s->t.zone_now)))
                continue;
            *(surface ? &t->input.steps[k].days_since_surface : &t->input.steps[k].days_since_deeper) = 0;
        }
    }
}

void admission_check(struct admission *a, struct findings *found)
{
    const struct policy *policy = &a->all->site->policy;

    take_past(a);
    add_open(a->all, &a->t);
    treatment_evaluate(&a->t, policy, session_now_us(a->all), found);
    check_past(a, policy, found);
    if (a->t.serial[0] != '\0')
        check_cartridge(a, found);
}
