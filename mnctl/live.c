/*
 * A session under way. Keys act at once. The pen is controlled by this program meanwhile: whatever ends it (Ctrl-C, the end of its input, a suspension)
 * stops the needles first.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "live_view.h"

enum { DRAW_MS = 250, END_SLACK_MS = 4000 };

static struct live the_live; /* static: the client, which is closed after the command has returned, may still call back */

static void on_done(mn_client *c, const struct mn_result *r, void *user)
{
    (void)c;
    if (r->error != MN_OK)
        live_print(user, COLOUR_WARN, "%s", r->message);
}

static void on_armed(mn_client *c, const struct mn_result *r, void *user)
{
    struct live *l = user;

    l->arming = false;
    if (r->error != MN_OK && l->pen.fault_word != 0)
        live_print(l, COLOUR_WARN, "%s. c clears what can be cleared.", r->message);
    else
        on_done(c, r, user);
}

static void on_cleared(mn_client *c, const struct mn_result *r, void *user)
{
    struct live *l = user;
    char left[256];

    if (r->error != MN_OK) {
        on_done(c, r, user);
        return;
    }
    format_faults(r->cleared.fault_word, left, sizeof(left)); /* the pen's next status says which faults were cleared */
    if (r->cleared.fault_word != 0)
        live_print(l, COLOUR_WARN, "%s stays: its cause is there still, or it is for service.", left);
    else if (r->cleared.cleared == 0)
        live_print(l, COLOUR_NONE, "There is no fault.");
}

static void arm(struct live *l)
{
    if (l->s.state == MN_SESSION_RUNNING || l->s.state == MN_SESSION_ARMED) {
        live_print(l, COLOUR_NONE, l->s.state == MN_SESSION_ARMED ? "It is armed: press the pen's trigger." : "The needles are moving.");
    } else if (!l->arming) {
        l->arming = mn_session_arm_async(l->app->client, l->app->serial, l->s.config_generation, l->app->timeout_ms, on_armed, l) == MN_OK;
    }
}

static void choose_zone(struct live *l, size_t i)
{
    mn_session_select_async(l->app->client, l->app->serial, l->s.zone[i].zone, l->app->timeout_ms, on_done, l);
}

static void next_zone(struct live *l)
{
    size_t i = 0;

    while (i < l->s.zone_count && l->s.zone[i].zone != l->s.zone_now)
        i++;
    if (l->s.zone_count < 2)
        live_print(l, COLOUR_NONE, "The plan has this zone only.");
    else
        choose_zone(l, (i + 1) % l->s.zone_count);
}

static void ask_end(struct live *l)
{
    char missing[300] = "";
    bool any = false;

    for (size_t i = 0; i < l->s.zone_count; i++) {
        const struct mn_session_zone *z = &l->s.zone[i];
        bool treated = z->strokes > 0 || (l->pending_strokes > 0 && l->pending_zone == z->zone);
        size_t used = strlen(missing);

        any = any || treated;
        if (!treated || z->broken_off)
            snprintf(missing + used, sizeof(missing) - used, "%s%s %s", used > 0 ? ", " : "", zone_name(z->zone), treated ? "was broken off" : "is not treated");
    }
    l->asks_end = true;
    live_print(l, COLOUR_BOLD, "End the session? %s%sy ends it, any other key goes on.", missing, missing[0] == '\0' ? "" : any ? ": it is PARTIAL then. " : ": it is UNTREATED then. ");
}

/* Returns true if the session is to be ended. */
static bool take_key(struct live *l, int key)
{
    if (l->asks_end) {
        l->asks_end = false;
        if (key == 'y' || key == 'Y')
            return true;
        live_print(l, COLOUR_NONE, "It goes on.");
        return false;
    }
    if (key >= 'A' && key <= 'Z')
        key += 'a' - 'A';
    switch (key) {
    case '\n':
    case ' ':
        arm(l);
        break;
    case 'n':
        next_zone(l);
        break;
    case 'z':
        live_print_zones(l);
        break;
    case 'p':
        mn_stop_async(l->app->client, l->app->serial, l->app->timeout_ms, on_done, l);
        break;
    case 'c':
        mn_faults_clear_async(l->app->client, l->app->serial, 0, false, l->app->timeout_ms, on_cleared, l);
        break;
    case 'e':
        ask_end(l);
        break;
    default:
        if (key >= '1' && key < '1' + (int)l->s.zone_count && key <= '9')
            choose_zone(l, (size_t)(key - '1'));
        else
            live_print_keys(l);
    }
    return false;
}

/* ---- its beginning and end ---- */

struct live *live_new(struct app *a)
{
    the_live = (struct live){.app = a, .terminal = terminal_is_dialogue() && !a->json, .draws = terminal_can_draw() && !a->json && isatty(STDIN_FILENO)};
    a->on_event = live_on_event;
    a->event_user = &the_live;
    return &the_live;
}

struct mn_session *live_session(struct live *l)
{
    return &l->s;
}

int live_take(struct live *l)
{
    struct app *a = l->app;
    struct mn_pens pens = {0};
    int r = mn_lease_take(a->client, a->serial, a->timeout_ms);

    if (r == MN_OK)
        r = mn_watch(a->client, true, &pens, a->timeout_ms);
    for (size_t i = 0; r == MN_OK && i < pens.count; i++) {
        if (strcmp(pens.pen[i].serial, a->serial) == 0) {
            l->pen = pens.pen[i];
            l->has_pen = true;
        }
    }
    mn_pens_free(&pens);
    if (r == MN_OK)
        r = mn_subscribe(a->client, a->serial, true, a->timeout_ms);
    return r == MN_OK ? EXIT_OK : app_failed(a, r);
}

void live_let_go(struct live *l)
{
    mn_subscribe(l->app->client, l->app->serial, false, l->app->timeout_ms);
    mn_lease_release(l->app->client, l->app->serial, l->app->timeout_ms);
}

int live_finish(struct live *l, bool completed)
{
    static struct mn_session whole;
    struct app *a = l->app;
    uint32_t strokes = 0;
    int r = mn_session_end(a->client, a->serial, completed, &l->s, a->timeout_ms + END_SLACK_MS);

    live_clear(l);
    if (r != MN_OK)
        return app_failed(a, r);
    if (mn_session_get(a->client, l->s.number, &whole, a->timeout_ms) == MN_OK)
        l->s = whole;
    if (a->json)
        return print_json(session_json(&l->s), false);
    print_session(&l->s);
    for (size_t i = 0; i < l->s.zone_count; i++)
        strokes += l->s.zone[i].strokes;
    if (strokes > 0 || l->s.incomplete)
        printf("\n`mnctl session aftercare %" PRIu32 "` prints the card.\n", l->s.number);
    return flush_output();
}

/* On Ctrl-C, end of input, or a signal that ends this program: stops the needles before anything else. */
static int leave(struct live *l, const char *why)
{
    struct app *a = l->app;

    live_clear(l);
    if (mn_stop(a->client, a->serial, a->timeout_ms) != MN_OK)
        return EXIT_ERROR;
    fprintf(stderr, "mnctl: %sstopped; session %" PRIu32 " is open: `mnctl session resume` goes on with it, `mnctl session end` ends it\n", why, l->s.number);
    return flush_output();
}

/* On Ctrl-Z: releases the pen before this program is suspended. */
static void suspend(struct live *l)
{
    struct app *a = l->app;

    mn_stop(a->client, a->serial, a->timeout_ms);
    live_let_go(l);
    live_clear(l);
    printf("Stopped and suspended; the session is open. `fg` goes on.\n");
    person_suspend();
    if (mn_lease_take(a->client, a->serial, a->timeout_ms) != MN_OK || mn_subscribe(a->client, a->serial, true, a->timeout_ms) != MN_OK) {
        live_print(l, COLOUR_BAD, "%s", mn_message(a->client));
        l->lost = true;
        return;
    }
    live_print(l, COLOUR_NONE, "Back. Enter arms.");
}

static int refused(struct live *l, int error)
{
    const struct mn_result *r = mn_last_result(l->app->client);

    live_clear(l);
    if (error == MN_ERR_POLICY && r->findings != NULL && !l->app->json)
        print_findings(r->findings->finding, r->findings->count, plan_past());
    fflush(stdout);
    return app_failed(l->app, error);
}

int live_run(struct live *l)
{
    struct app *a = l->app;
    int r = mn_session_arm(a->client, a->serial, l->s.config_generation, NULL, a->timeout_ms);

    if (r != MN_OK && !l->terminal)
        return refused(l, r);
    person_set_mode(l->terminal ? PERSON_KEYS : PERSON_NOTHING);
    if (l->terminal)
        live_print_keys(l);
    if (r != MN_OK)
        refused(l, r);
    while (!l->lost && l->s.state != MN_SESSION_ENDED) {
        live_draw(l);
        switch (person_wait(a, l->draws ? DRAW_MS : 1000)) {
        case PERSON_KEY:
            if (take_key(l, person_key()))
                return live_finish(l, true);
            break;
        case PERSON_END:
            return leave(l, l->terminal ? "" : "the input has ended: ");
        case PERSON_INTERRUPT:
            return leave(l, "");
        case PERSON_SUSPEND:
            suspend(l);
            break;
        case PERSON_MNCTL_ERROR:
            live_clear(l);
            return app_failed(a, MN_ERR_DISCONNECTED);
        case PERSON_RESIZED:
            live_clear(l);
            break;
        case PERSON_TIMEOUT:
        case PERSON_LINE:
            break;
        }
    }
    live_clear(l);
    if (l->s.state == MN_SESSION_ENDED) {
        live_print(l, COLOUR_NONE, "Session %" PRIu32 " has been ended by another program: %s.", l->s.number, session_word(&l->s));
        return flush_output();
    }
    fprintf(stderr, "mnctl: session %" PRIu32 " is still open: `mnctl session resume` goes on with it, `mnctl session end` ends it\n", l->s.number);
    return EXIT_REFUSED;
}
