/*
 * The dialogue of a treatment's plan. Its steps stand in a row: subject, indication, zones, numbing, each question, confirmations, and whatever the
 * caller has as the last. Answers move forward, "back" moves back, over what was given by options or a file. Nothing of a pen is held meanwhile.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sessions.h"

enum step { STEP_SUBJECT, STEP_INDICATION, STEP_ZONES, STEP_NUMBING, STEP_QUESTIONS };

static struct asking {
    struct app *app;
    struct plan_words *w;
    struct past past;
    struct figures figures;
    struct mn_findings found;
    bool given[STEP_QUESTIONS + MN_QUESTIONS_MAX];    /* by options or a file: never asked */
    bool answered[STEP_QUESTIONS + MN_QUESTIONS_MAX]; /* in the draft: not asked again unless one goes back to it */
    enum answer (*last)(void *ctx);
    void *ctx;
} asking;

const struct past *plan_past(void)
{
    return &asking.past;
}

const struct figures *plan_figures(void)
{
    return &asking.figures;
}

/* ---- what speaks against it ---- */

const struct mn_findings *plan_check(struct app *a, struct plan_words *w)
{
    const struct mn_plan *p = plan_now(w);

    if (a->client == NULL || p->subject == NULL || p->step_count == 0)
        return NULL;
    return mn_session_check(a->client, a->serial[0] != '\0' ? a->serial : NULL, p, &asking.found, a->timeout_ms) == MN_OK ? &asking.found : NULL;
}

static const struct mn_finding *finding_of(const struct mn_findings *found, const char *name)
{
    for (size_t i = 0; found != NULL && i < found->count; i++) {
        if (strcmp(found->finding[i].name, name) == 0)
            return &found->finding[i];
    }
    return NULL;
}

static void tell_finding(const struct mn_finding *f)
{
    print_findings(f, 1, &asking.past);
}

/* ---- subject, indication ---- */

static void tell_past(void)
{
    const struct plan_words *w = asking.w;

    if (asking.app->client == NULL || past_read(asking.app, w->plan.subject, &asking.past) != EXIT_OK)
        return;
    if (asking.past.sessions == 0)
        printf("  %s is new here: no earlier session is known.\n", w->plan.subject);
    else
        past_print(&asking.past, &asking.figures);
}

static enum answer ask_subject(void)
{
    const struct question q = {"Subject", "the clinic's own key, the same at each visit; never a name",
                               "A key of 1 to 32 printable characters without blanks, as K-0042. Intervals and planned sessions are counted by it."};
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX];

    for (;;) {
        enum answer r = dialogue_ask(asking.app, &q, line);

        if (r != ANSWER_GIVEN)
            return r;
        if (line[0] == '\0' && asking.w->plan.subject != NULL)
            return ANSWER_GIVEN;
        if (plan_set_subject(asking.w, line, why)) {
            tell_past();
            return ANSWER_GIVEN;
        }
        dialogue_wrong(line[0] == '\0' ? "A treatment needs its subject's key." : why);
    }
}

static enum answer ask_indication(void)
{
    char hint[200], line[PERSON_LINE_MAX + 1], why[WHY_MAX], count[200];
    const char *before = asking.w->plan.indication != NULL ? asking.w->plan.indication : asking.past.indication;
    const struct question q = {"Indication", hint, "By its number, its name or the beginning of it. Planned sessions are counted by it; \"none\" plans nothing."};

    for (size_t i = 0; i < mn_indication_count(); i++)
        printf("  %zu  %-14s %s\n", i + 1, mn_indication_at(i)->name, mn_indication_at(i)->text);
    snprintf(hint, sizeof(hint), "a number or a name, or none%s%s", before != NULL ? "; Enter: " : "", before != NULL ? before : "");
    for (;;) {
        enum answer r = dialogue_ask(asking.app, &q, line);

        if (r != ANSWER_GIVEN)
            return r;
        if (same_word(line, "none")) {
            asking.w->plan.indication = NULL;
            return ANSWER_GIVEN;
        }
        if (line[0] == '\0' && before != NULL) {
            asking.w->plan.indication = before;
        } else if (line[0] == '\0') {
            dialogue_wrong("Write its number or its name; or none.");
            continue;
        } else if (!plan_set_indication(asking.w, line, why)) {
            dialogue_wrong(why);
            continue;
        }
        past_count(&asking.past, asking.w->plan.indication, count, sizeof(count));
        printf("  %s\n", count);
        return ANSWER_GIVEN;
    }
}

/* ---- zones ---- */

static void print_zones(void)
{
    char never[120] = "";

    printf("  %s%-24s %-10s %s%s\n", colour(COLOUR_DIM), "zone", "deepest", asking.past.sessions > 0 ? "last time" : "", colour(COLOUR_NONE));
    for (size_t i = 0; i < mn_zone_count(); i++) {
        const struct mn_zone *z = mn_zone_at(i);
        const struct past_zone *was = &asking.past.zone[z->number];
        uint32_t cap_um = figure_cap_um(&asking.figures, z);
        char next[40];

        if (cap_um == 0) {
            snprintf(never + strlen(never), sizeof(never) - strlen(never), "%s%s", never[0] != '\0' ? ", " : "", z->name);
            continue;
        }
        printf("  %-24s %.2f mm", z->name, cap_um / 1000.0);
        if (was->number != 0) {
            format_day(past_next_us(was, &asking.figures), next, sizeof(next));
            printf("    %.2f mm, %.0f Hz; from %s", was->depth_um / 1000.0, was->stroke_rate_dhz / 10.0, next);
        }
        printf("\n");
    }
    if (never[0] != '\0')
        printf("  never: %s\n", never);
}

static void print_planned(void)
{
    const struct mn_plan *p = &asking.w->plan;

    for (size_t i = 0; i < p->step_count; i++)
        printf("  planned: %s, %.2f mm at %.1f Hz\n", zone_name(p->step[i].zone), p->step[i].depth_um / 1000.0, p->step[i].stroke_rate_dhz / 10.0);
}

static void remove_step(size_t i)
{
    struct mn_plan *p = &asking.w->plan;

    memmove(&p->step[i], &p->step[i + 1], (p->step_count - i - 1) * sizeof(p->step[0]));
    memmove(&asking.w->overrides[i], &asking.w->overrides[i + 1], (p->step_count - i - 1) * sizeof(asking.w->overrides[0]));
    p->step_count--;
    for (size_t k = i; k < p->step_count; k++) {
        if (p->step[k].interval_override != NULL)
            p->step[k].interval_override = asking.w->overrides[k];
    }
}

/* The finding that keeps a step from being treated, whatever is answered later. */
static const struct mn_finding *finding_of_step(const struct mn_findings *found, size_t i)
{
    const struct mn_plan *p = &asking.w->plan;

    for (size_t k = 0; found != NULL && k < found->count; k++) {
        const struct mn_finding *f = &found->finding[k];
        bool of_depth = (strcmp(f->name, "depth_limit") == 0 || f->code == 1306) && f->value == p->step[i].depth_um;

        if (f->decision >= MN_DECISION_CONSULT && (strcmp(f->name, zone_name(p->step[i].zone)) == 0 || of_depth))
            return f;
    }
    return NULL;
}

/* An interval that may be shortened with a reason: asked for. False: the step has to go. */
static enum answer ask_override(size_t i, bool *kept)
{
    const struct question q = {"Why not wait until then?", "a reason of at most 100 characters, recorded, without names; Enter: leave this zone out", NULL};
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX];

    for (;;) {
        enum answer r = dialogue_ask(asking.app, &q, line);

        *kept = false;
        if (r != ANSWER_GIVEN || line[0] == '\0')
            return r;
        if (plan_set_override(asking.w, i, line, why)) {
            *kept = true;
            return ANSWER_GIVEN;
        }
        dialogue_wrong(why);
    }
}

/* The step that was just written: does anything forbid it? */
static enum answer judge_step(const char *zone)
{
    const struct mn_plan *p = &asking.w->plan;
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
    f = i < p->step_count ? finding_of_step(plan_check(asking.app, asking.w), i) : NULL;
    if (f == NULL)
        return ANSWER_GIVEN;
    tell_finding(f);
    if (f->code == 2002 && f->limit > figure(&asking.figures, "interval_floor"))
        r = ask_override(i, &kept);
    if (!kept) {
        printf("  %s is not planned.\n", zone_name(p->step[i].zone));
        remove_step(i);
    }
    return r;
}

/* "remove CHEEK" */
static bool take_removal(const char *line)
{
    char why[WHY_MAX];
    const struct mn_zone *z = find_zone(line + strlen("remove "), why);

    for (size_t i = 0; z != NULL && i < asking.w->plan.step_count; i++) {
        if (asking.w->plan.step[i].zone == z->number) {
            remove_step(i);
            print_planned();
            return true;
        }
    }
    dialogue_wrong(z == NULL ? why : "that zone is not planned");
    return false;
}

static enum answer ask_zones(void)
{
    const char *help = "One zone at a time, with its depth and, if it is not 100 Hz, its stroke rate: cheek:1.2mm:120Hz. A name may be shortened. A zone that is planned already gets the new figures; \"remove CHEEK\" "
                       "takes it out of the plan.";
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX];

    print_zones();
    print_planned();
    for (;;) {
        bool first = asking.w->plan.step_count == 0;
        const struct question q = {first ? "Zone, depth and stroke rate" : "Another zone?", first ? "as cheek:1.2mm:120Hz" : "Enter: no more", help};
        enum answer r = dialogue_ask(asking.app, &q, line);

        if (r != ANSWER_GIVEN)
            return r;
        if (line[0] == '\0' && !first)
            return ANSWER_GIVEN;
        if (begins_word("remove ", line, 7)) {
            take_removal(line);
        } else if (line[0] == '\0') {
            dialogue_wrong("A treatment has one zone at the least.");
        } else if (!plan_set_zone(asking.w, line, why)) {
            dialogue_wrong(why);
        } else {
            r = judge_step(line);
            if (r == ANSWER_QUIT)
                return r;
            print_planned();
            draft_save(asking.w);
        }
    }
}

/* ---- numbing ---- */

static enum answer ask_waiver(void)
{
    const struct question q = {"Why is there none?", "a reason of at most 100 characters, recorded, without names", "The treatment is armed without waiting then, and the reason stands in its record."};
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX];

    for (;;) {
        enum answer r = dialogue_ask(asking.app, &q, line);

        if (r != ANSWER_GIVEN || plan_set_waiver(asking.w, line, why))
            return r;
        dialogue_wrong(line[0] == '\0' ? "An empty reason is none." : why);
    }
}

static enum answer ask_numbing(void)
{
    const struct mn_finding *f;
    uint32_t deepest_um = plan_deepest_um(&asking.w->plan), wanted_min = mn_numbing_min(deepest_um);
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX], text[120];
    const struct question q = {text, "minutes ago (40), or when (13:40); Enter: it was not", "It counts on while you answer. Before it has lasted, nothing is armed without a reason, which is recorded."};

    asking.w->plan.numbed = false;
    asking.w->plan.numbing_waiver = NULL;
    f = finding_of(plan_check(asking.app, asking.w), "numbing");
    if (f != NULL)
        wanted_min = f->limit;
    snprintf(text, sizeof(text), "When was the numbing applied? It lasts %" PRIu32 " min for %.2f mm.", wanted_min, deepest_um / 1000.0);
    for (;;) {
        enum answer r = dialogue_ask(asking.app, &q, line);

        if (r != ANSWER_GIVEN)
            return r;
        if (line[0] == '\0') {
            r = ask_waiver();
            if (r != ANSWER_BACK)
                return r;
            continue;
        }
        if (plan_set_numbed(asking.w, line, why))
            break;
        dialogue_wrong(why);
    }
    f = finding_of(plan_check(asking.app, asking.w), "numbing");
    if (f != NULL)
        tell_finding(f);
    return ANSWER_GIVEN;
}

/* ---- questions ---- */

static enum answer ask_where(size_t i)
{
    const struct question q = {"Where?", "zones; Enter: everywhere", "It counts only where the treatment is to be: name the zones, as chin, neck."};
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX];

    for (;;) {
        enum answer r = dialogue_ask(asking.app, &q, line);

        if (r != ANSWER_GIVEN || plan_set_answer_zones(asking.w, i, line, why))
            return r;
        dialogue_wrong(why);
    }
}

/* What the answer leads to, at once. ANSWER_BACK: the question again. */
static enum answer judge_answer(size_t i)
{
    const struct question q = {"Go on with the questions?", "yes, or no: this question again", "As it is answered, the treatment would be refused. Go on if you want to know what else there is; \"quit\" ends here."};
    const struct mn_finding *f = finding_of(plan_check(asking.app, asking.w), mn_question_at(i)->name);
    enum answer r;
    bool yes = false;

    if (f == NULL || f->decision == MN_DECISION_OK)
        return ANSWER_GIVEN;
    tell_finding(f);
    if (f->decision != MN_DECISION_BLOCK)
        return ANSWER_GIVEN;
    r = dialogue_yes(asking.app, &q, &yes);
    return r == ANSWER_GIVEN && !yes ? ANSWER_BACK : r;
}

/* "5d", as it was answered. */
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

static enum answer ask_question(size_t i)
{
    const struct mn_question *is = mn_question_at(i);
    struct mn_answer *a = &asking.w->plan.answer[i];
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
        r = dialogue_ask(asking.app, &q, line);
        if (r != ANSWER_GIVEN)
            return r;
        if (line[0] == '\0' && a->answered)
            return ANSWER_GIVEN;
        if (!plan_set_answer(asking.w, i, line, why)) {
            dialogue_wrong(why);
            continue;
        }
        if (is->in_zone && a->yes && (r = ask_where(i)) != ANSWER_GIVEN) {
            a->answered = false;
            if (r == ANSWER_QUIT)
                return r;
            continue;
        }
        r = judge_answer(i);
        if (r != ANSWER_BACK)
            return r;
        *a = (struct mn_answer){0};
        now[0] = '\0';
    }
}

/* ---- confirmations ---- */

static enum answer ask_confirmation(size_t i)
{
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX], text[160];
    const struct question q = {text, "the clinician's key; Enter: nobody has", "Somebody who may decide it has been asked, and agrees: the key stands in the session's record. Without it the session is refused."};

    snprintf(text, sizeof(text), "%s: who has confirmed that it may be treated?", mn_question_at(i)->name);
    for (;;) {
        enum answer r = dialogue_ask(asking.app, &q, line);

        if (r != ANSWER_GIVEN || line[0] == '\0' || plan_set_confirmed(asking.w, i, line, why))
            return r;
        dialogue_wrong(why);
    }
}

static enum answer ask_confirmations(void)
{
    const struct mn_findings *found = plan_check(asking.app, asking.w);
    size_t wanted[MN_QUESTIONS_MAX], n = 0;

    for (size_t k = 0; found != NULL && k < found->count && n < MN_QUESTIONS_MAX; k++) {
        size_t i = question_by_name(found->finding[k].name);

        if (found->finding[k].decision == MN_DECISION_CONSULT && i < mn_question_count())
            wanted[n++] = i;
    }
    for (size_t k = 0; k < n; k++) {
        enum answer r = ask_confirmation(wanted[k]);

        if (r != ANSWER_GIVEN)
            return r;
    }
    return ANSWER_GIVEN;
}

/* ---- the row of steps ---- */

static size_t step_count(void)
{
    return STEP_QUESTIONS + mn_question_count() + 2;
}

static enum answer ask_step(size_t step)
{
    switch (step) {
    case STEP_SUBJECT:
        return ask_subject();
    case STEP_INDICATION:
        return ask_indication();
    case STEP_ZONES:
        return ask_zones();
    case STEP_NUMBING:
        return ask_numbing();
    default:
        break;
    }
    if (step - STEP_QUESTIONS < mn_question_count())
        return ask_question(step - STEP_QUESTIONS);
    if (step - STEP_QUESTIONS == mn_question_count())
        return ask_confirmations();
    return asking.last != NULL ? asking.last(asking.ctx) : ANSWER_GIVEN;
}

static bool is_answered(const struct plan_words *w, size_t step)
{
    switch (step) {
    case STEP_SUBJECT:
        return w->plan.subject != NULL;
    case STEP_INDICATION:
        return w->plan.indication != NULL;
    case STEP_ZONES:
        return w->plan.step_count > 0;
    case STEP_NUMBING:
        return w->plan.numbed || w->plan.numbing_waiver != NULL;
    default:
        return w->plan.answer[step - STEP_QUESTIONS].answered;
    }
}

/* Pointers lead into what was copied. */
static void copy_plan(struct plan_words *to, const struct plan_words *from)
{
    *to = *from;
    to->plan.subject = from->plan.subject != NULL ? to->subject : NULL;
    to->plan.numbing_waiver = from->plan.numbing_waiver != NULL ? to->waiver : NULL;
    for (size_t i = 0; i < MN_STEPS_MAX; i++)
        to->plan.step[i].interval_override = from->plan.step[i].interval_override != NULL ? to->overrides[i] : NULL;
    for (size_t i = 0; i < MN_QUESTIONS_MAX; i++)
        to->plan.answer[i].confirmed_by = from->plan.answer[i].confirmed_by != NULL ? to->confirmed[i] : NULL;
}

/* What an earlier dialogue left, if it is wanted. */
static enum answer offer_draft(void)
{
    static struct plan_words draft;
    const struct question q = {"Go on with it?", "yes, or no: begin anew", "What was answered stays answered, with its times counted on; \"back\" at a question changes it."};
    char text[200];
    size_t n = 0;
    long minutes;
    bool yes = false;
    enum answer r;

    draft = (struct plan_words){0};
    if (!draft_load(&draft, &minutes))
        return ANSWER_GIVEN;
    for (size_t i = 0; i < mn_question_count(); i++)
        n += draft.plan.answer[i].answered;
    snprintf(text, sizeof(text), "A plan was begun %ld min ago and not used: subject %s, %zu zones, %zu of %zu questions answered.", minutes,
             draft.plan.subject != NULL ? draft.plan.subject : "-", draft.plan.step_count, n, mn_question_count());
    dialogue_tell(text);
    r = dialogue_yes(asking.app, &q, &yes);
    if (r != ANSWER_GIVEN)
        return ANSWER_QUIT;
    if (!yes) {
        draft_drop();
        return ANSWER_GIVEN;
    }
    draft.from_file = false;
    copy_plan(asking.w, &draft);
    for (size_t i = 0; i < STEP_QUESTIONS + mn_question_count(); i++)
        asking.answered[i] = is_answered(asking.w, i);
    asking.answered[STEP_INDICATION] = asking.answered[STEP_ZONES];
    if (asking.w->plan.subject != NULL)
        tell_past();
    print_planned();
    return ANSWER_GIVEN;
}

static int ended(void)
{
    if (asking.app->client != NULL && mn_fd(asking.app->client) < 0)
        fprintf(stderr, "mnctl: %s\n", mn_message(asking.app->client));
    fprintf(stderr, "mnctl: nothing was armed; what was answered is kept, and the next `mnctl session start` offers it\n");
    return EXIT_REFUSED;
}

int plan_ask(struct app *a, struct plan_words *w, enum answer (*last)(void *ctx), void *ctx)
{
    bool nothing = true, back = false;
    size_t step = 0;

    asking = (struct asking){.app = a, .w = w, .last = last, .ctx = ctx};
    figures_read(a, &asking.figures);
    for (size_t i = 0; i < STEP_QUESTIONS + mn_question_count(); i++) {
        asking.given[i] = is_answered(w, i);
        nothing = nothing && !asking.given[i];
    }
    asking.given[STEP_INDICATION] = asking.given[STEP_INDICATION] || w->from_file;
    if (nothing && offer_draft() != ANSWER_GIVEN)
        return ended();
    if (asking.given[STEP_SUBJECT])
        tell_past();
    while (step < step_count()) {
        bool is_one = step < STEP_QUESTIONS + mn_question_count();
        enum answer r;

        if (is_one && (asking.given[step] || (asking.answered[step] && !back))) {
            if (back && step == 0)
                back = false;
            step += back ? (size_t)-1 : 1;
            continue;
        }
        if (step == step_count() - 2 && back) { /* confirmations follow from the answers: they are asked on the way forward */
            step--;
            continue;
        }
        r = ask_step(step);
        if (r == ANSWER_QUIT)
            return ended();
        if (is_one)
            asking.answered[step] = false;
        if (r == ANSWER_BACK && step == 0)
            dialogue_wrong("This is the first question.");
        back = r == ANSWER_BACK && step > 0;
        if (r == ANSWER_GIVEN && step < step_count() - 1)
            draft_save(w);
        if (r == ANSWER_GIVEN || back)
            step += back ? (size_t)-1 : 1;
    }
    return EXIT_OK;
}
