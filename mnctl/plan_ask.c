/*
 * The dialogue of a treatment's plan. Its steps stand in a row: subject, what it may continue, indication, zones, numbing, each question, confirmations, and whatever the
 * caller has as the last. Answers move forward, "back" moves back, over what was given by options or a file. Nothing of a pen is held meanwhile.
 */
#include <stdio.h>
#include <string.h>

#include "plan_steps.h"

static struct {
    struct asking a;
    bool given[STEP_QUESTIONS + MN_QUESTIONS_MAX];    /* by options or a file: not asked */
    bool answered[STEP_QUESTIONS + MN_QUESTIONS_MAX]; /* in the draft: asked again only after "back" */
    enum answer (*last)(void *ctx);
    void *ctx;
} row;

const struct past *plan_past(void)
{
    return &row.a.past;
}

const struct mn_findings *plan_check(struct app *a, struct plan_words *w)
{
    const struct mn_plan *p = plan_now(w);

    if (a->client == NULL || p->subject == NULL || p->step_count == 0)
        return NULL;
    return mn_session_check(a->client, a->serial[0] != '\0' ? a->serial : NULL, p, &row.a.found, a->timeout_ms) == MN_OK ? &row.a.found : NULL;
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
        return ask_subject(&row.a);
    case STEP_CONTINUATION:
        return ask_continuation(&row.a);
    case STEP_INDICATION:
        return ask_indication(&row.a);
    case STEP_ZONES:
        return ask_zones(&row.a);
    case STEP_NUMBING:
        return ask_numbing(&row.a);
    default:
        break;
    }
    if (step - STEP_QUESTIONS < mn_question_count())
        return ask_question(&row.a, step - STEP_QUESTIONS);
    if (step - STEP_QUESTIONS == mn_question_count())
        return ask_confirmations(&row.a);
    return row.last != NULL ? row.last(row.ctx) : ANSWER_GIVEN;
}

static bool is_answered(const struct plan_words *w, size_t step)
{
    switch (step) {
    case STEP_SUBJECT:
        return w->plan.subject != NULL;
    case STEP_CONTINUATION:
        return w->plan.continues != 0;
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

/* Copies a plan and makes its pointers point into the copy. */
static void copy_plan(struct plan_words *to, const struct plan_words *from)
{
    *to = *from;
    to->plan.subject = from->plan.subject != NULL ? to->subject : NULL;
    to->plan.numbing_waiver = from->plan.numbing_waiver != NULL ? to->waiver : NULL;
    to->plan.continues_why = from->plan.continues_why != NULL ? to->continues_why : NULL;
    for (size_t i = 0; i < MN_STEPS_MAX; i++)
        to->plan.step[i].interval_override = from->plan.step[i].interval_override != NULL ? to->overrides[i] : NULL;
    for (size_t i = 0; i < MN_QUESTIONS_MAX; i++)
        to->plan.answer[i].confirmed_by = from->plan.answer[i].confirmed_by != NULL ? to->confirmed[i] : NULL;
}

/* Offers to continue with the draft of an earlier dialogue. */
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
    dialogue_print(text);
    r = dialogue_yes(row.a.app, &q, &yes);
    if (r != ANSWER_GIVEN)
        return ANSWER_QUIT;
    if (!yes) {
        draft_drop();
        return ANSWER_GIVEN;
    }
    draft.from_file = false;
    copy_plan(row.a.w, &draft);
    for (size_t i = 0; i < STEP_QUESTIONS + mn_question_count(); i++)
        row.answered[i] = is_answered(row.a.w, i);
    row.answered[STEP_INDICATION] = row.answered[STEP_ZONES];
    if (row.a.w->plan.subject != NULL)
        print_past(&row.a);
    print_planned(&row.a);
    return ANSWER_GIVEN;
}

static int ended(void)
{
    if (row.a.app->client != NULL && mn_fd(row.a.app->client) < 0)
        fprintf(stderr, "mnctl: %s\n", mn_message(row.a.app->client));
    fprintf(stderr, "mnctl: nothing was armed; what was answered is kept, and the next `mnctl session start` offers it\n");
    return EXIT_REFUSED;
}

int plan_ask(struct app *a, struct plan_words *w, enum answer (*last)(void *ctx), void *ctx)
{
    bool nothing = true, back = false;
    size_t step = 0;

    memset(&row, 0, sizeof(row));
    row.a = (struct asking){.app = a, .w = w};
    row.last = last;
    row.ctx = ctx;
    figures_read(a, &row.a.figures);
    for (size_t i = 0; i < STEP_QUESTIONS + mn_question_count(); i++) {
        row.given[i] = is_answered(w, i);
        nothing = nothing && !row.given[i];
    }
    row.given[STEP_INDICATION] = row.given[STEP_INDICATION] || w->from_file;
    if (nothing && offer_draft() != ANSWER_GIVEN)
        return ended();
    if (row.given[STEP_SUBJECT])
        print_past(&row.a);
    while (step < step_count()) {
        bool is_one = step < STEP_QUESTIONS + mn_question_count();
        bool none = step == STEP_CONTINUATION && !has_something_to_continue(&row.a);
        enum answer r;

        if (is_one && (none || row.given[step] || (row.answered[step] && !back))) {
            if (back && step == 0)
                back = false;
            step += back ? (size_t)-1 : 1;
            continue;
        }
        if (step == step_count() - 2 && back) { /* confirmations depend on the answers, so "back" skips them */
            step--;
            continue;
        }
        r = ask_step(step);
        if (r == ANSWER_QUIT)
            return ended();
        if (is_one)
            row.answered[step] = false;
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
