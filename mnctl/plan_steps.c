/* The questions of a treatment's plan. Each is asked until the answer is valid, and says at once what the answer leads to. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan_steps.h"

static const struct mn_finding *finding_of(const struct mn_findings *found, const char *name)
{
    for (size_t i = 0; found != NULL && i < found->count; i++) {
        if (strcmp(found->finding[i].name, name) == 0)
            return &found->finding[i];
    }
    return NULL;
}

static void print_new_finding(struct asking *d, const struct mn_finding *f)
{
    print_findings(f, 1, &d->past);
}

/* ---- subject, indication ---- */

void print_past(struct asking *d)
{
    const struct plan_words *w = d->w;

    if (d->app->client == NULL || past_read(d->app, w->plan.subject, &d->past) != EXIT_OK)
        return;
    if (d->past.sessions == 0)
        printf("  %s is new here: no earlier session is known.\n", w->plan.subject);
    else
        past_print(&d->past, &d->figures);
}

enum answer ask_subject(struct asking *d)
{
    const struct question q = {"Subject", "the clinic's own key, the same at each visit; never a name",
                               "A key of 1 to 32 printable characters without blanks, as K-0042. Intervals and planned sessions are counted by it."};
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX];

    for (;;) {
        enum answer r = dialogue_ask(d->app, &q, line);

        if (r != ANSWER_GIVEN)
            return r;
        if (line[0] == '\0' && d->w->plan.subject != NULL)
            return ANSWER_GIVEN;
        if (plan_set_subject(d->w, line, why)) {
            print_past(d);
            return ANSWER_GIVEN;
        }
        dialogue_wrong(line[0] == '\0' ? "A treatment needs its subject's key." : why);
    }
}

enum answer ask_indication(struct asking *d)
{
    char hint[200], line[PERSON_LINE_MAX + 1], why[WHY_MAX], count[200];
    const char *before = d->w->plan.indication != NULL ? d->w->plan.indication : d->past.indication;
    const struct question q = {"Indication", hint, "By its number, its name or the beginning of it. Planned sessions are counted by it; \"none\" plans nothing."};

    for (size_t i = 0; i < mn_indication_count(); i++) {
        printf("  %zu  %-14s ", i + 1, mn_indication_at(i)->name);
        print_tail(20, mn_indication_at(i)->text);
    }
    snprintf(hint, sizeof(hint), "a number or a name, or none%s%s", before != NULL ? "; Enter: " : "", before != NULL ? before : "");
    for (;;) {
        enum answer r = dialogue_ask(d->app, &q, line);

        if (r != ANSWER_GIVEN)
            return r;
        if (same_word(line, "none")) {
            d->w->plan.indication = NULL;
            return ANSWER_GIVEN;
        }
        if (line[0] == '\0' && before != NULL) {
            d->w->plan.indication = before;
        } else if (line[0] == '\0') {
            dialogue_wrong("Write its number or its name; or none.");
            continue;
        } else if (!plan_set_indication(d->w, line, why)) {
            dialogue_wrong(why);
            continue;
        }
        past_count(&d->past, d->w->plan.indication, count, sizeof(count));
        printf("  %s\n", count);
        return ANSWER_GIVEN;
    }
}

/* ---- zones ---- */

static void print_zones(struct asking *d)
{
    char never[120] = "";

    printf("  %s%-24s %-10s %s%s\n", colour(COLOUR_DIM), "zone", "deepest", d->past.sessions > 0 ? "last time" : "", colour(COLOUR_NONE));
    for (size_t i = 0; i < mn_zone_count(); i++) {
        const struct mn_zone *z = mn_zone_at(i);
        const struct past_zone *was = &d->past.zone[z->number];
        uint32_t cap_um = figure_cap_um(&d->figures, z);
        char next[40];

        if (cap_um == 0) {
            snprintf(never + strlen(never), sizeof(never) - strlen(never), "%s%s", never[0] != '\0' ? ", " : "", z->name);
            continue;
        }
        printf("  %-24s %.2f mm", z->name, cap_um / 1000.0);
        if (was->number != 0) {
            format_day(past_next_us(was, &d->figures), next, sizeof(next));
            printf("    %.2f mm, %.0f Hz; from %s", was->depth_um / 1000.0, was->stroke_rate_dhz / 10.0, next);
        }
        printf("\n");
    }
    if (never[0] != '\0')
        printf("  never: %s\n", never);
}

void print_planned(struct asking *d)
{
    const struct mn_plan *p = &d->w->plan;

    for (size_t i = 0; i < p->step_count; i++)
        printf("  planned: %s, %.2f mm at %.1f Hz\n", zone_name(p->step[i].zone), p->step[i].depth_um / 1000.0, p->step[i].stroke_rate_dhz / 10.0);
}

static void remove_step(struct asking *d, size_t i)
{
    struct mn_plan *p = &d->w->plan;

    memmove(&p->step[i], &p->step[i + 1], (p->step_count - i - 1) * sizeof(p->step[0]));
    memmove(&d->w->overrides[i], &d->w->overrides[i + 1], (p->step_count - i - 1) * sizeof(d->w->overrides[0]));
    p->step_count--;
    for (size_t k = i; k < p->step_count; k++) {
        if (p->step[k].interval_override != NULL)
            p->step[k].interval_override = d->w->overrides[k];
    }
}

/* The finding that forbids this zone whatever the later answers are. */
static const struct mn_finding *finding_of_step(struct asking *d, const struct mn_findings *found, size_t i)
{
    const struct mn_plan *p = &d->w->plan;

    for (size_t k = 0; found != NULL && k < found->count; k++) {
        const struct mn_finding *f = &found->finding[k];
        bool of_depth = (strcmp(f->name, "depth_limit") == 0 || f->code == 1306) && f->value == p->step[i].depth_um;

        if (f->decision >= MN_DECISION_CONSULT && (strcmp(f->name, zone_name(p->step[i].zone)) == 0 || of_depth))
            return f;
    }
    return NULL;
}

/* Asks for a reason to shorten the interval, where the policy allows that. *kept is false if the zone has to be removed. */
static enum answer ask_override(struct asking *d, size_t i, bool *kept)
{
    const struct question q = {"Why not wait until then?", "a reason of at most 100 characters, recorded, without names; Enter: leave this zone out", NULL};
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX];

    for (;;) {
        enum answer r = dialogue_ask(d->app, &q, line);

        *kept = false;
        if (r != ANSWER_GIVEN || line[0] == '\0')
            return r;
        if (plan_set_override(d->w, i, line, why)) {
            *kept = true;
            return ANSWER_GIVEN;
        }
        dialogue_wrong(why);
    }
}

/* Checks the zone that was just entered against the policy. */
static enum answer judge_step(struct asking *d, const char *zone)
{
    const struct mn_plan *p = &d->w->plan;
    char ignored[WHY_MAX], name[40];
    const struct mn_zone *z;
    const struct mn_finding *f;
    enum answer r = ANSWER_GIVEN;
    bool kept = false;
    size_t i = 0;

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(zone, ": "), zone);
    z = find_zone(name, ignored);
    while (z != NULL && i < p->step_count && p->step[i].zone != z->number)
        i++;
    f = i < p->step_count ? finding_of_step(d, plan_check(d->app, d->w), i) : NULL;
    if (f == NULL)
        return ANSWER_GIVEN;
    print_new_finding(d, f);
    if (f->code == 2002 && f->limit > figure(&d->figures, "interval_floor"))
        r = ask_override(d, i, &kept);
    if (!kept) {
        printf("  %s is not planned.\n", zone_name(p->step[i].zone));
        remove_step(d, i);
    }
    return r;
}

/* "remove CHEEK" */
static bool take_removal(struct asking *d, const char *line)
{
    char why[WHY_MAX];
    const struct mn_zone *z = find_zone(line + strlen("remove "), why);

    for (size_t i = 0; z != NULL && i < d->w->plan.step_count; i++) {
        if (d->w->plan.step[i].zone == z->number) {
            remove_step(d, i);
            print_planned(d);
            return true;
        }
    }
    dialogue_wrong(z == NULL ? why : "that zone is not planned");
    return false;
}

enum answer ask_zones(struct asking *d)
{
    const char *help = "One zone at a time, with its depth and, if it is not 100 Hz, its stroke rate: cheek:1.2mm:120Hz. A name may be shortened. A zone that is planned already gets the new figures; \"remove CHEEK\" "
                       "takes it out of the plan.";
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX];

    print_zones(d);
    print_planned(d);
    for (;;) {
        bool first = d->w->plan.step_count == 0;
        const struct question q = {first ? "Zone, depth and stroke rate" : "Another zone?", first ? "as cheek:1.2mm:120Hz" : "Enter: no more", help};
        enum answer r = dialogue_ask(d->app, &q, line);

        if (r != ANSWER_GIVEN)
            return r;
        if (line[0] == '\0' && !first)
            return ANSWER_GIVEN;
        if (begins_word("remove ", line, 7)) {
            take_removal(d, line);
        } else if (line[0] == '\0') {
            dialogue_wrong("A treatment has one zone at the least.");
        } else if (!plan_set_zone(d->w, line, why)) {
            dialogue_wrong(why);
        } else {
            r = judge_step(d, line);
            if (r == ANSWER_QUIT)
                return r;
            print_planned(d);
            draft_save(d->w);
        }
    }
}

/* ---- numbing ---- */

static enum answer ask_waiver(struct asking *d)
{
    const struct question q = {"Why is there none?", "a reason of at most 100 characters, recorded, without names", "The treatment is armed without waiting then, and the reason stands in its record."};
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX];

    for (;;) {
        enum answer r = dialogue_ask(d->app, &q, line);

        if (r != ANSWER_GIVEN || plan_set_waiver(d->w, line, why))
            return r;
        dialogue_wrong(line[0] == '\0' ? "An empty reason is none." : why);
    }
}

enum answer ask_numbing(struct asking *d)
{
    const struct mn_finding *f;
    uint32_t deepest_um = plan_deepest_um(&d->w->plan), wanted_min = mn_numbing_min(deepest_um);
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX], text[120];
    const struct question q = {text, "minutes ago (40), or when (13:40); Enter: it was not", "It counts on while you answer. Before it has lasted, nothing is armed without a reason, which is recorded."};

    d->w->plan.numbed = false;
    d->w->plan.numbing_waiver = NULL;
    f = finding_of(plan_check(d->app, d->w), "numbing");
    if (f != NULL)
        wanted_min = f->limit;
    snprintf(text, sizeof(text), "When was the numbing applied? It lasts %" PRIu32 " min for %.2f mm.", wanted_min, deepest_um / 1000.0);
    for (;;) {
        enum answer r = dialogue_ask(d->app, &q, line);

        if (r != ANSWER_GIVEN)
            return r;
        if (line[0] == '\0') {
            r = ask_waiver(d);
            if (r != ANSWER_BACK)
                return r;
            continue;
        }
        if (plan_set_numbed(d->w, line, why))
            break;
        dialogue_wrong(why);
    }
    f = finding_of(plan_check(d->app, d->w), "numbing");
    if (f != NULL)
        print_new_finding(d, f);
    return ANSWER_GIVEN;
}

/* ---- questions ---- */

static enum answer ask_where(struct asking *d, size_t i)
{
    const struct question q = {"Where?", "zones; Enter: everywhere", "It counts only where the treatment is to be: name the zones, as chin, neck."};
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX];

    for (;;) {
        enum answer r = dialogue_ask(d->app, &q, line);

        if (r != ANSWER_GIVEN || plan_set_answer_zones(d->w, i, line, why))
            return r;
        dialogue_wrong(why);
    }
}

/* Prints what the answer leads to. Returns ANSWER_BACK if the question is to be asked again. */
static enum answer judge_answer(struct asking *d, size_t i)
{
    const struct question q = {"Go on with the questions?", "yes, or no: this question again", "As it is answered, the treatment would be refused. Go on if you want to know what else there is; \"quit\" ends here."};
    const struct mn_finding *f = finding_of(plan_check(d->app, d->w), mn_question_at(i)->name);
    enum answer r;
    bool yes = false;

    if (f == NULL || f->decision == MN_DECISION_OK)
        return ANSWER_GIVEN;
    print_new_finding(d, f);
    if (f->decision != MN_DECISION_BLOCK)
        return ANSWER_GIVEN;
    r = dialogue_yes(d->app, &q, &yes);
    return r == ANSWER_GIVEN && !yes ? ANSWER_BACK : r;
}

/* "5d": an answer in the form in which it is typed. */
static void format_answer(const struct mn_question *q, const struct mn_answer *a, char *out, size_t cap)
{
    if (q->hours[0] == 0)
        snprintf(out, cap, "%s", a->yes ? "yes" : "no");
    else if (!a->ever)
        snprintf(out, cap, "never");
    else if (a->hours_ago == 0)
        snprintf(out, cap, "today");
    else if (a->hours_ago < 48)
        snprintf(out, cap, "%" PRIu32 " h ago", a->hours_ago);
    else
        snprintf(out, cap, "%" PRIu32 " d ago", a->hours_ago / 24);
}

enum answer ask_question(struct asking *d, size_t i)
{
    const struct mn_question *is = mn_question_at(i);
    struct mn_answer *a = &d->w->plan.answer[i];
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX], text[200], hint[120], now[40] = "";
    const struct question q = {text, hint,
                               is->hours[0] != 0 ? "never, today, yesterday, monday, a date (2026-11-21), or how long ago: 5h, 3d, 2w, 6m (months), 1y. Of a day its end counts. Unanswered is not \"never\"."
                                                 : "yes or no. Unanswered is not \"no\"."};

    for (;;) {
        enum answer r;

        if (a->answered)
            format_answer(is, a, now, sizeof(now));
        snprintf(text, sizeof(text), "%zu of %zu  %s", i + 1, mn_question_count(), is->text);
        snprintf(hint, sizeof(hint), "%s%s%s", is->hours[0] != 0 ? "never, today, 5h, 3d, 2w, 6m" : "yes, no", now[0] != '\0' ? "; Enter: " : "", now);
        r = dialogue_ask(d->app, &q, line);
        if (r != ANSWER_GIVEN)
            return r;
        if (line[0] == '\0' && a->answered)
            return ANSWER_GIVEN;
        if (!plan_set_answer(d->w, i, line, why)) {
            dialogue_wrong(why);
            continue;
        }
        if (is->in_zone && a->yes && (r = ask_where(d, i)) != ANSWER_GIVEN) {
            a->answered = false;
            if (r == ANSWER_QUIT)
                return r;
            continue;
        }
        r = judge_answer(d, i);
        if (r != ANSWER_BACK)
            return r;
        *a = (struct mn_answer){0};
        now[0] = '\0';
    }
}

/* ---- confirmations ---- */

static enum answer ask_confirmation(struct asking *d, size_t i)
{
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX], text[160];
    const struct question q = {text, "the clinician's key; Enter: nobody has", "Somebody who may decide it has been asked, and agrees: the key stands in the session's record. Without it the session is refused."};

    snprintf(text, sizeof(text), "%s: who has confirmed that it may be treated?", mn_question_at(i)->name);
    for (;;) {
        enum answer r = dialogue_ask(d->app, &q, line);

        if (r != ANSWER_GIVEN || line[0] == '\0' || plan_set_confirmed(d->w, i, line, why))
            return r;
        dialogue_wrong(why);
    }
}

enum answer ask_confirmations(struct asking *d)
{
    const struct mn_findings *found = plan_check(d->app, d->w);
    size_t wanted[MN_QUESTIONS_MAX], n = 0;

    for (size_t k = 0; found != NULL && k < found->count && n < MN_QUESTIONS_MAX; k++) {
        size_t i = question_by_name(found->finding[k].name);

        if (found->finding[k].decision == MN_DECISION_CONSULT && i < mn_question_count())
            wanted[n++] = i;
    }
    for (size_t k = 0; k < n; k++) {
        enum answer r = ask_confirmation(d, wanted[k]);

        if (r != ANSWER_GIVEN)
            return r;
    }
    return ANSWER_GIVEN;
}
