#include "treatment.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *rejection_name(unsigned code)
{
    switch (code) {
#define REFUSAL(number, name, text)                                                                                    \
    case number:                                                                                                       \
        return #number " " #name;
#include "policy/refusals.def"
    default:
        return "";
    }
}

static bool refuse(struct rejection *r, enum rejection_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool refuse(struct rejection *r, enum rejection_kind kind, const char *format, ...)
{
    va_list ap;

    r->kind = kind;
    va_start(ap, format);
    vsnprintf(r->text, sizeof(r->text), format, ap);
    va_end(ap);
    return false;
}

static void set_text(struct treatment *t, const char *text)
{
    snprintf(t->text, sizeof(t->text), "%s", text);
}

bool treatment_is_open(const struct treatment *t)
{
    return t->state != TREATMENT_NONE && t->state != TREATMENT_ENDED;
}

bool treatment_is_live(const struct treatment *t)
{
    return t->state == TREATMENT_ARMING || t->state == TREATMENT_ARMED || t->state == TREATMENT_RUNNING;
}

uint64_t treatment_motor_ms(const struct treatment *t)
{
    uint64_t ms = 0;

    for (size_t i = 0; i < t->zone_count; i++)
        ms += t->zones[i].motor_ms;
    return ms;
}

uint32_t treatment_numbing_min(const struct treatment *t, uint64_t now_us)
{
    uint64_t more_min = now_us > t->said_us ? (now_us - t->said_us) / 60000000 : 0;

    if (t->input.numbing_min == POLICY_NEVER)
        return POLICY_NEVER;
    return more_min < POLICY_NEVER - 1 - t->input.numbing_min ? t->input.numbing_min + (uint32_t)more_min : POLICY_NEVER - 1;
}

size_t treatment_find_zone(const struct treatment *t, uint32_t zone)
{
    size_t i = 0;

    while (i < t->zone_count && (uint32_t)t->zones[i].zone != zone)
        i++;
    return i;
}

/* ---- what may be done ---- */

static bool controls(const struct treatment_context *w, struct rejection *r)
{
    if (w->has_lease)
        return true;
    if (w->holder != NULL)
        return refuse(r, REJECTED_LEASE, "2007 LEASE_LOST: the pen is controlled by %s", w->holder);
    return refuse(r, REJECTED_LEASE, "2007 LEASE_LOST: you do not control the pen: take its lease first");
}

static bool can_record(const struct treatment_context *w, struct rejection *r)
{
    return w->journal_error[0] == '\0' || refuse(r, REJECTED_JOURNAL, "2008 JOURNAL_UNWRITABLE: %s", w->journal_error);
}

/* Whether the pen is present, supports treatments, and is at rest. */
static bool pen_can(const struct treatment_context *w, struct rejection *r)
{
    if (w->pen == PEN_IS_GONE)
        return refuse(r, REJECTED_PEN, "the pen is not ready");
    if (w->pen_is_old)
        return refuse(r, REJECTED_PEN, "the pen's firmware is too old for treatments: update it to protocol 1.4");
    return w->pen_is_safe || refuse(r, REJECTED_STATE, "the pen is not SAFE: stop it, and clear its faults, first");
}

static bool policy_allows(const struct findings *found, struct rejection *r)
{
    for (size_t i = 0; i < found->count; i++) {
        const struct finding *f = &found->found[i];

        if (f->decision < DECISION_CONSULT || f->decision != found->worst)
            continue;
        if (rejection_name(f->code)[0] != '\0')
            return refuse(r, REJECTED_POLICY, "%s: %s", rejection_name(f->code), f->text);
        return refuse(r, REJECTED_POLICY, "%u %s: %s", f->code, f->name, f->text); /* the code, name and text of a fault */
    }
    return found->worst < DECISION_CONSULT || refuse(r, REJECTED_POLICY, "%s: more was found than can be said", rejection_name(2004));
}

bool treatment_may_begin(const struct treatment_context *w, const struct findings *found, struct rejection *r)
{
    return controls(w, r) && can_record(w, r) && pen_can(w, r) && policy_allows(found, r);
}

static bool rests(const struct treatment *t, struct rejection *r)
{
    if (t->state == TREATMENT_PREPARED || t->state == TREATMENT_PAUSED)
        return true;
    if (t->state == TREATMENT_ENDING)
        return refuse(r, REJECTED_STATE, "the session is being ended");
    return refuse(r, REJECTED_STATE, "the session is under way: stop the pen first");
}

bool treatment_may_select(const struct treatment *t, const struct treatment_context *w, struct rejection *r)
{
    return controls(w, r) && rests(t, r) && pen_can(w, r);
}

bool treatment_may_arm(const struct treatment *t, const struct findings *found, const struct treatment_context *w, struct rejection *r)
{
    if (!controls(w, r) || !can_record(w, r) || !rests(t, r) || !pen_can(w, r))
        return false;
    if (t->generation == 0)
        return refuse(r, REJECTED_STATE, "no zone is chosen, or its configuration is not in the pen: choose one first");
    if (w->generation > t->generation) /* a lower generation is a status older than the pen's reply; ARM makes the pen compare again */
        return refuse(r, REJECTED_CONFLICT, "the pen's configuration has changed since the zone was chosen: choose it again");
    if (w->asked_generation != t->generation)
        return refuse(r, REJECTED_CONFLICT, "ARM names configuration %u, and the zone's is %u", w->asked_generation, t->generation);
    return policy_allows(found, r);
}

void treatment_evaluate(const struct treatment *t, const struct policy *p, uint64_t now_us, struct findings *found)
{
    struct policy_input now = t->input;

    now.numbing_min = treatment_numbing_min(t, now_us);
    now.said_min = now_us > t->said_us ? (uint32_t)((now_us - t->said_us) / 60000000) : 0;
    policy_evaluate(p, &now, found);
}

bool treatment_was_broken_off(enum treatment_end end)
{
    return end == END_ABORTED || end == END_INTERRUPTED || end == END_PARTIAL;
}

bool treatment_may_end(const struct treatment *t, const struct treatment_context *w, struct rejection *r)
{
    if (!treatment_is_open(t))
        return refuse(r, REJECTED_STATE, "there is no such session, or it has ended");
    return w->has_lease || w->is_free || controls(w, r);
}

/* ---- what is done ---- */

void treatment_selecting(struct treatment *t, size_t zone)
{
    t->zone_now = zone;
    t->generation = 0;
}

void treatment_selected(struct treatment *t, uint32_t generation)
{
    t->generation = generation;
}

static struct treatment_cartridge *find_cartridge(struct treatment *t, uint64_t uid, uint32_t lot, uint32_t needle_count)
{
    struct treatment_cartridge *c = t->cartridges;

    while (c < t->cartridges + t->cartridge_count && c->uid != uid)
        c++;
    if (c == t->cartridges + TREATMENT_CARTRIDGES_MAX)
        return c - 1; /* session.c arms no more of them */
    if (c == t->cartridges + t->cartridge_count) {
        t->cartridge_count++;
        *c = (struct treatment_cartridge){.uid = uid, .lot = lot, .needle_count = needle_count};
    }
    return c;
}

void treatment_arm_sent(struct treatment *t)
{
    find_cartridge(t, t->cartridge_uid, t->cartridge_lot, t->needle_count);
    t->state = TREATMENT_ARMING;
    t->arm_answered = false;
    set_text(t, "");
}

static void pause(struct treatment *t, const char *why)
{
    t->state = TREATMENT_PAUSED;
    if (why[0] != '\0' || strncmp(t->text, "stopped by ", 11) != 0)
        set_text(t, why);
}

void treatment_arm_answered(struct treatment *t, bool taken)
{
    if (t->state != TREATMENT_ARMING)
        return;
    t->arm_answered = taken;
    if (!taken)
        pause(t, "the pen did not take ARM");
}

void treatment_arm_late(struct treatment *t)
{
    if (t->state == TREATMENT_ARMING)
        pause(t, "the pen did not say that it is ARMED");
}

bool treatment_pen_is(struct treatment *t, enum treatment_pen pen, const char *why)
{
    bool moves = pen == PEN_IS_ARMED || pen == PEN_IS_RUNNING;

    if (!treatment_is_live(t))
        return moves;
    t->runs_seen += pen == PEN_IS_RUNNING && t->state != TREATMENT_RUNNING;
    if (moves)
        t->state = pen == PEN_IS_ARMED ? TREATMENT_ARMED : TREATMENT_RUNNING;
    else if (pen == PEN_IS_GONE || t->state != TREATMENT_ARMING) /* a pen at rest while ARMING: its status is older than the ARM */
        pause(t, why);
    return false;
}

void treatment_stopped_by(struct treatment *t, const char *name)
{
    char words[TREATMENT_TEXT_MAX + 1];

    if (!treatment_is_live(t))
        return;
    snprintf(words, sizeof(words), "stopped by %.80s", name);
    set_text(t, words);
}

void treatment_lease_lost(struct treatment *t, const char *why)
{
    if (treatment_is_live(t))
        pause(t, why);
}

void treatment_end(struct treatment *t, enum treatment_end end)
{
    t->state = TREATMENT_ENDING;
    t->end = end;
}

enum treatment_end treatment_outcome(const struct treatment *t, enum treatment_end asked, bool incomplete)
{
    size_t whole = 0;
    bool treated = false;

    if (asked != END_COMPLETED)
        return asked;
    for (size_t i = 0; i < t->zone_count; i++) {
        treated |= t->zones[i].strokes > 0;
        whole += t->zones[i].strokes > 0 && !t->zones[i].broken_off;
    }
    if (incomplete)
        return END_PARTIAL;
    if (!treated)
        return END_UNTREATED;
    return whole == t->zone_count ? END_COMPLETED : END_PARTIAL;
}

void treatment_ended(struct treatment *t, uint64_t now_unix_us, bool incomplete)
{
    incomplete |= treatment_owes_runs(t);
    t->state = TREATMENT_ENDED;
    t->end = treatment_outcome(t, t->end, incomplete);
    t->ended_us = now_unix_us;
    t->incomplete = incomplete;
}

/* ---- what the pen has recorded ---- */

void treatment_run_began(struct treatment *t, uint32_t zone)
{
    t->runs_begun += treatment_find_zone(t, zone) < t->zone_count;
}

bool treatment_owes_runs(const struct treatment *t)
{
    return t->records_lost || t->runs_seen > t->runs_ended || t->runs_begun > t->runs_ended;
}

void treatment_add_run(struct treatment *t, const struct treatment_run *run)
{
    static const char *const words[] = {"", "the trigger was released", "stopped", "stopped by a fault", "stopped: the link was lost", "the pen lost its power"};
    size_t i = treatment_find_zone(t, run->zone);
    struct treatment_cartridge *c;
    struct treatment_zone *z = &t->zones[i];

    if (i == t->zone_count)
        return; /* the firmware records no zone that the daemon did not give */
    if (!treatment_is_live(t) && t->text[0] == '\0')
        set_text(t, words[run->end <= RUN_END_POWER ? run->end : RUN_END_UNKNOWN]);
    c = find_cartridge(t, run->cartridge_uid, run->cartridge_lot, t->needle_count);
    c->runs++;
    c->strokes += run->strokes;
    t->runs_ended++;
    t->records_lost |= run->end == RUN_END_POWER;
    z->runs++;
    z->strokes += run->strokes;
    z->punctures += (uint64_t)run->strokes * c->needle_count;
    z->broken_off = run->end == RUN_END_FAULT || run->end == RUN_END_LINK || run->end == RUN_END_POWER;
    z->motor_ms += run->motor_ms;
    z->depth_peak_um = run->depth_peak_um > z->depth_peak_um ? run->depth_peak_um : z->depth_peak_um;
}

void treatment_add_fault(struct treatment *t, uint32_t code)
{
    for (size_t i = 0; i < t->fault_count; i++) {
        if (t->faults[i] == code)
            return;
    }
    if (t->fault_count < TREATMENT_FAULTS_MAX)
        t->faults[t->fault_count++] = code;
}

bool treatment_add_override(struct treatment *t, const char *name, const char *reason)
{
    struct treatment_override *o = &t->overrides[t->override_count];

    if (t->override_count == TREATMENT_OVERRIDES_MAX || reason[strspn(reason, " \t\r\n")] == '\0' || strlen(reason) > TREATMENT_TEXT_MAX)
        return false;
    snprintf(o->name, sizeof(o->name), "%s", name);
    snprintf(o->reason, sizeof(o->reason), "%s", reason);
    t->override_count++;
    return true;
}
