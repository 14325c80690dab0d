/* session start and resume: what is asked before a pen is armed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sessions.h"

/* Finds the open session of the chosen pen. Returns MN_OK, with *found, or libmn's error. */
static int find_open(struct app *a, struct mn_session *out, bool *found)
{
    struct mn_sessions list = {0};
    uint32_t before = 0;

    *found = false;
    do {
        int r = mn_session_list(a->client, &(struct mn_session_filter){.before = before}, &list, a->timeout_ms);

        if (r != MN_OK)
            return r;
        for (size_t i = 0; i < list.count && !*found; i++) {
            *found = list.session[i].state != MN_SESSION_ENDED && strcmp(list.session[i].serial, a->serial) == 0;
            if (*found)
                *out = list.session[i];
        }
        before = list.before;
        mn_sessions_free(&list);
    } while (!*found && before != 0);
    return MN_OK;
}

/* Asks which pen, if there are several. */
static int ask_pen(struct app *a)
{
    const struct question q = {"Which pen?", "its serial number, or the beginning of it", "`mnctl --pen SERIAL session start` names it beforehand."};
    char line[PERSON_LINE_MAX + 1];
    struct mn_pens pens = {0};
    int r = mn_list(a->client, &pens, a->timeout_ms);

    if (r != MN_OK)
        return app_failed(a, r);
    if (pens.count < 2 || a->pen != NULL) {
        mn_pens_free(&pens);
        return app_find(a, a->pen);
    }
    for (size_t i = 0; i < pens.count; i++) {
        char faults[256];

        format_faults(pens.pen[i].fault_word, faults, sizeof(faults));
        printf("  %-20s %-9s cartridge %s%s%s\n", pens.pen[i].serial, mn_state_name(pens.pen[i].state), mn_cartridge_name(pens.pen[i].cartridge), pens.pen[i].fault_word != 0 ? ", " : "",
               pens.pen[i].fault_word != 0 ? faults : "");
    }
    mn_pens_free(&pens);
    do {
        if (dialogue_ask(a, &q, line) != ANSWER_GIVEN)
            return EXIT_REFUSED;
        r = line[0] != '\0' ? app_find(a, line) : EXIT_NO_PEN;
        if (r != EXIT_OK)
            dialogue_wrong("Write the serial number of one of them.");
    } while (r != EXIT_OK);
    return EXIT_OK;
}

/* Prints what would prevent arming, before any question is asked. */
static void print_pen_state(const struct app *a)
{
    struct mn_pens pens = {0};

    if (mn_list(a->client, &pens, a->timeout_ms) != MN_OK)
        return;
    for (size_t i = 0; i < pens.count; i++) {
        const struct mn_pen *p = &pens.pen[i];

        if (strcmp(p->serial, a->serial) != 0)
            continue;
        print_faults(p->fault_word, 0);
        if (p->cartridge == MN_CARTRIDGE_USED || p->cartridge == MN_CARTRIDGE_IN_USE)
            dialogue_print("The cartridge in the pen was used in another session: put a new one in before you arm.");
        if (p->lease_name[0] != '\0')
            printf("The pen is controlled by %s.\n", p->lease_name);
    }
    mn_pens_free(&pens);
}

struct starting {
    struct app *app;
    struct live *live;
    struct plan_words *w;
    bool yes;
};

static void print_step(const struct app *a, unsigned zone, uint32_t depth_um, uint32_t rate_dhz)
{
    printf("%s: %s%s%s, %.2f mm at %.1f Hz\n", a->serial, colour(COLOUR_BOLD), zone_name(zone), colour(COLOUR_NONE), depth_um / 1000.0, rate_dhz / 10.0);
}

/* Whether the session has the zones, depths and rates that were confirmed. Nothing else may be armed. */
static bool is_as_planned(const struct mn_session *s, const struct mn_plan *p)
{
    if (s->zone_count != p->step_count)
        return false;
    for (size_t i = 0; i < s->zone_count; i++) {
        if (s->zone[i].zone != p->step[i].zone || s->zone[i].depth_um != p->step[i].depth_um || s->zone[i].stroke_rate_dhz != p->step[i].stroke_rate_dhz)
            return false;
    }
    return true;
}

/* Takes the lease and begins the session. Returns EXIT_OK, or an exit code after a message, with the lease released. */
static int begin(struct starting *s)
{
    struct app *a = s->app;
    struct mn_session *session = live_session(s->live);
    int r = live_take(s->live);

    if (r != EXIT_OK)
        return r;
    r = mn_session_begin(a->client, a->serial, plan_now(s->w), session, a->timeout_ms);
    if (r == MN_OK && is_as_planned(session, &s->w->plan)) {
        if (!a->json)
            print_findings(session->finding, session->finding_count, plan_past());
        draft_drop();
        return EXIT_OK;
    }
    if (r == MN_OK) {
        fprintf(stderr, "mnctl: the session is not as it was planned: nothing is armed; `mnctl session end` ends it\n");
        return EXIT_ERROR;
    }
    if (r == MN_ERR_POLICY && mn_last_result(a->client)->findings != NULL && !a->json)
        print_findings(mn_last_result(a->client)->findings->finding, mn_last_result(a->client)->findings->count, plan_past());
    r = app_failed(a, r);
    live_let_go(s->live);
    session->number = 0;
    return r;
}

/* The last step of the dialogue: shows the whole plan, asks for confirmation and begins. */
static enum answer confirm_and_begin(void *ctx)
{
    const struct question arm = {"Arm it? The pen's trigger starts the needles then.", "yes, no; back: change an answer", "yes takes control of the pen, begins the session and arms. Nothing moves before the trigger is pressed."},
                          again = {"It would be refused. What now?", "Enter: look once more; back: change an answer; quit: the answers are kept", NULL},
                          unknown = {"It cannot be looked at now. What now?", "Enter: try again; back: change an answer; quit: the answers are kept", NULL};
    struct starting *s = ctx;
    char line[PERSON_LINE_MAX + 1];
    bool yes = s->yes;

    for (;;) {
        const struct mn_findings *found = plan_check(s->app, s->w);
        enum answer r;

        if (found == NULL)
            fprintf(stderr, "mnctl: %s\n", mn_message(s->app->client));
        if (found != NULL && found->worst >= MN_DECISION_CONSULT)
            print_findings(found->finding, found->count, plan_past());
        if (found == NULL || found->worst >= MN_DECISION_CONSULT) {
            if (s->yes)
                return ANSWER_QUIT;
            r = dialogue_ask(s->app, found == NULL ? &unknown : &again, line);
            if (r != ANSWER_GIVEN)
                return r;
            continue;
        }
        for (size_t i = 0; i < s->w->plan.step_count; i++)
            print_step(s->app, s->w->plan.step[i].zone, s->w->plan.step[i].depth_um, s->w->plan.step[i].stroke_rate_dhz);
        person_forget_typed(); /* a "yes" typed before the plan was shown does not count */
        r = s->yes ? ANSWER_GIVEN : dialogue_yes(s->app, &arm, &yes);
        if (r != ANSWER_GIVEN || !yes)
            return r == ANSWER_GIVEN ? ANSWER_QUIT : r;
        if (begin(s) == EXIT_OK)
            return ANSWER_GIVEN;
        if (s->yes)
            return ANSWER_QUIT;
    }
}

static int start_live(struct starting *s, bool dialogue)
{
    struct app *a = s->app;
    struct mn_session open;
    bool found = false;
    int r = dialogue ? ask_pen(a) : app_find(a, a->pen);

    if (r != EXIT_OK)
        return r;
    if (find_open(a, &open, &found) == MN_OK && found) { /* an error here is reported when the session begins */
        fprintf(stderr, "mnctl: session %" PRIu32 " of pen %s is open: `mnctl session resume` goes on with it, `mnctl session end` ends it\n", open.number, a->serial);
        return EXIT_REFUSED;
    }
    if (dialogue) {
        print_pen_state(a);
        r = plan_ask(a, s->w, confirm_and_begin, s);
    } else {
        r = begin(s);
    }
    return r == EXIT_OK ? live_run(s->live) : r;
}

int session_start(struct app *a, int argc, char **argv)
{
    static struct plan_words w;
    struct starting s = {.app = a, .live = live_new(a), .w = &w};
    int r = session_words(&w, argc, argv, &(struct session_flags){.yes = &s.yes});
    bool dialogue = terminal_is_dialogue() && !a->json;

    if (r == EXIT_OK && !dialogue && !s.yes)
        return usage_error("session start asks before it arms, and there is no terminal: --yes arms without asking");
    if (r == EXIT_OK)
        r = app_connect(a, dialogue);
    if (r == EXIT_OK)
        r = person_begin();
    if (r == EXIT_OK)
        r = start_live(&s, dialogue);
    person_end();
    return r;
}

/* Asks which zone is next, and whether to arm. Returns an exit code; *zone is the chosen one. */
static int ask_resume(struct app *a, const struct mn_session *s, unsigned *zone, bool yes)
{
    const struct question arm = {"Arm it? The pen's trigger starts the needles then.", "yes, no", NULL};
    char line[PERSON_LINE_MAX + 1], why[WHY_MAX], hint[80];
    const struct question which = {"Which zone?", hint, NULL};
    bool armed = yes;

    while (*zone == 0) {
        bool planned = false;
        const struct mn_zone *z;

        snprintf(hint, sizeof(hint), "Enter: %s", zone_name(s->zone_now));
        if (s->zone_count > 1 && !yes && dialogue_ask(a, &which, line) != ANSWER_GIVEN)
            return EXIT_REFUSED;
        if (s->zone_count < 2 || yes || line[0] == '\0') {
            *zone = s->zone_now;
            break;
        }
        z = find_zone(line, why);
        for (size_t i = 0; z != NULL && i < s->zone_count; i++)
            planned = planned || s->zone[i].zone == z->number;
        if (planned)
            *zone = z->number;
        else
            dialogue_wrong(z == NULL ? why : "that zone is not in the session's plan");
    }
    for (size_t i = 0; i < s->zone_count; i++) {
        if (s->zone[i].zone == *zone)
            print_step(a, *zone, s->zone[i].depth_um, s->zone[i].stroke_rate_dhz);
    }
    person_forget_typed();
    if (!yes && (dialogue_yes(a, &arm, &armed) != ANSWER_GIVEN || !armed)) {
        fprintf(stderr, "mnctl: not armed; session %" PRIu32 " is open still: `mnctl session resume` or `mnctl session end`\n", s->number);
        return EXIT_REFUSED;
    }
    return EXIT_OK;
}

static int resume_live(struct app *a, struct live *l, unsigned zone, bool yes, bool dialogue)
{
    struct mn_session *s = live_session(l), open = {0};
    bool found = false;
    int r = dialogue ? ask_pen(a) : app_find(a, a->pen);

    if (r == EXIT_OK && (r = find_open(a, &open, &found)) != MN_OK)
        return app_failed(a, r);
    if (r == EXIT_OK && !found) {
        fprintf(stderr, "mnctl: no session of pen %s is open: `mnctl session start` begins one\n", a->serial);
        r = EXIT_REFUSED;
    }
    if (r == EXIT_OK && dialogue) {
        print_session(&open);
        r = ask_resume(a, &open, &zone, yes);
    }
    if (r == EXIT_OK)
        r = live_take(l);
    if (r != EXIT_OK)
        return r;
    *s = open;
    r = mn_session_select(a->client, a->serial, zone != 0 ? zone : s->zone_now, s, a->timeout_ms);
    return r == MN_OK ? live_run(l) : app_failed(a, r);
}

int session_resume(struct app *a, int argc, char **argv)
{
    struct live *l = live_new(a);
    const struct mn_zone *zone = NULL;
    bool yes = false, dialogue = terminal_is_dialogue() && !a->json;
    char why[WHY_MAX];
    int r;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--yes") == 0)
            yes = true;
        else if (strcmp(argv[i], "--zone") != 0 || i + 1 == argc)
            return usage_error("session resume takes --zone ZONE and --yes, not %s", argv[i]);
        else if ((zone = find_zone(argv[++i], why)) == NULL)
            return usage_error("--zone: %s", why);
    }
    if (!dialogue && !yes)
        return usage_error("session resume asks before it arms, and there is no terminal: --yes arms without asking");
    r = app_connect(a, dialogue);
    if (r == EXIT_OK)
        r = person_begin();
    if (r == EXIT_OK)
        r = resume_live(a, l, zone != NULL ? zone->number : 0, yes, dialogue);
    person_end();
    return r;
}
