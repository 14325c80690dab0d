/* Offers to continue a session of the same subject that was interrupted today, with the zones that are left. */
#include <inttypes.h>
#include <stdio.h>

#include "plan_steps.h"

bool has_something_to_continue(const struct asking *k)
{
    const struct past *p = &k->past;
    uint64_t now_us = (uint64_t)time(NULL) * 1000000, hours = figure(&k->figures, "continuation");

    return p->broken_off.number != 0 && now_us < p->broken_off.ended_us + hours * UINT64_C(3600000000);
}

/* Puts the zones that are left into the plan: those without a run, and those whose last run was interrupted. */
static void plan_what_is_left(struct asking *k)
{
    char words[80], ignored[WHY_MAX];

    for (size_t i = 0; i < k->past.broken_off.zone_count; i++) {
        const struct mn_session_zone *z = &k->past.broken_off.zone[i];

        if (z->strokes > 0 && !z->broken_off)
            continue;
        snprintf(words, sizeof(words), "%s:%" PRIu32 "um:%.1fHz", zone_name(z->zone), z->depth_um, z->stroke_rate_dhz / 10.0);
        plan_set_zone(k->w, words, ignored);
    }
    if (k->w->plan.step_count > 0)
        dialogue_print("What was left of it is planned; at the zones it can be changed.");
}

static enum answer ask_why(struct asking *k)
{
    const struct question q = {"Why was it broken off?", "a reason of at most 100 characters, recorded, without names", NULL};
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX];

    for (;;) {
        enum answer r = dialogue_ask(k->app, &q, line);

        if (r != ANSWER_GIVEN || plan_set_continues_why(k->w, line, why))
            return r;
        dialogue_wrong(line[0] == '\0' ? "A continuation needs a reason." : why);
    }
}

enum answer ask_continuation(struct asking *k)
{
    const struct question q = {"Is this the rest of it?", "yes, or no: a treatment of its own",
                               "The rest of a treatment counts as the same one: the interval to what was done today does not stand in its way. It is recorded, with the reason."};
    struct mn_plan *p = &k->w->plan;
    char text[200], number[16], ignored[WHY_MAX];
    bool yes = false;
    enum answer r;

    snprintf(text, sizeof(text), "Session %" PRIu32 " of %s was broken off today.", k->past.broken_off.number, p->subject);
    dialogue_print(text);
    do {
        r = dialogue_yes(k->app, &q, &yes);
        if (r != ANSWER_GIVEN)
            return r;
        p->continues = 0;
        p->continues_why = NULL;
        if (!yes)
            return ANSWER_GIVEN;
        r = ask_why(k);
    } while (r == ANSWER_BACK); /* back to the question before */
    if (r != ANSWER_GIVEN)
        return r;
    snprintf(number, sizeof(number), "%" PRIu32, k->past.broken_off.number);
    plan_set_continues(k->w, number, ignored);
    if (p->step_count == 0)
        plan_what_is_left(k);
    return ANSWER_GIVEN;
}
