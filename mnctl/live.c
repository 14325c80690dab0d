/*
 * A session under way, as its practitioner sees it: one line of state that is always true, and above it what has happened. Keys act at once. The
 * pen is controlled by this program meanwhile: whatever ends it (Ctrl-C, the end of its input, a suspension) stops the needles first.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sessions.h"

enum { DRAW_MS = 250, END_SLACK_MS = 4000 };

struct live {
    struct app *app;
    struct mn_session s;
    bool terminal, draws;  /* a person is there; the line of state can be written over */
    bool shown;            /* it stands there */
    bool lost;             /* control, or the connection */
    bool asks_end;         /* e was pressed: the next key decides */
    bool arming;           /* ARM is on its way */
    bool has_pen;          /* the pen has been seen, as it is described here */
    struct mn_pen pen;
    uint32_t strokes_at, strokes_now; /* of the pen's own counter: when this run began, and now */
    uint32_t pending_strokes, pending_runs; /* of a run whose record has not come: since the zone had so many runs */
    uint64_t pending_ms;
    unsigned pending_zone;
    int32_t battery_pct;
    uint64_t run_began_ms, run_ended_ms;
    char said[80];         /* the last line of state, where it cannot be written over */
};

static struct live the_live; /* the client may call back until it is closed, behind its command */

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- the line of state ---- */

static void format_clock(uint64_t ms, char *out, size_t cap)
{
    snprintf(out, cap, "%" PRIu64 ":%02" PRIu64, ms / 60000, ms / 1000 % 60);
}

static const struct mn_session_zone *zone_now(const struct live *l)
{
    for (size_t i = 0; i < l->s.zone_count; i++) {
        if (l->s.zone[i].zone == l->s.zone_now)
            return &l->s.zone[i];
    }
    return NULL;
}

/* Of the run that is under way, or whose record has not come yet. */
static uint32_t strokes_under_way(const struct live *l)
{
    return l->s.state == MN_SESSION_RUNNING ? l->strokes_now - l->strokes_at : l->pending_strokes;
}

static uint64_t ms_under_way(const struct live *l)
{
    return l->s.state == MN_SESSION_RUNNING ? now_ms() - l->run_began_ms : l->pending_ms;
}

static void format_state(const struct live *l, char *out, size_t cap)
{
    const struct mn_session_zone *z = zone_now(l);
    bool here = l->s.state == MN_SESSION_RUNNING || l->pending_zone == l->s.zone_now;
    uint32_t strokes = 0, all = strokes_under_way(l);
    char zone_clock[24], all_clock[24], since[40] = "", battery[24] = "";
    uint64_t ms = 0, all_ms = ms_under_way(l);

    for (size_t i = 0; i < l->s.zone_count; i++) {
        all += l->s.zone[i].strokes;
        all_ms += l->s.zone[i].motor_ms;
    }
    if (z != NULL) {
        strokes = z->strokes + (here ? strokes_under_way(l) : 0);
        ms = z->motor_ms + (here ? ms_under_way(l) : 0);
    }
    format_clock(ms, zone_clock, sizeof(zone_clock));
    format_clock(all_ms, all_clock, sizeof(all_clock));
    if (l->run_ended_ms != 0 && l->s.state != MN_SESSION_RUNNING) {
        snprintf(since, sizeof(since), "  rest ");
        format_clock(now_ms() - l->run_ended_ms, since + strlen(since), sizeof(since) - strlen(since));
    }
    if (l->battery_pct > 0)
        snprintf(battery, sizeof(battery), "  %d %%", l->battery_pct);
    snprintf(out, cap, "%-8s %s %.2f mm %.0f Hz  %" PRIu32 " strokes %s%s", l->has_pen && l->pen.link == MN_LINK_GONE ? "NO PEN" : mn_session_state_name(l->s.state), zone_name(l->s.zone_now),
             z != NULL ? z->depth_um / 1000.0 : 0, z != NULL ? z->stroke_rate_dhz / 10.0 : 0, strokes, zone_clock, since);
    if (l->s.zone_count > 1)
        snprintf(out + strlen(out), cap - strlen(out), "  in all %" PRIu32 " %s", all, all_clock);
    snprintf(out + strlen(out), cap - strlen(out), "%s", battery);
}

static void draw(struct live *l)
{
    char line[240], fits[300];
    int columns = terminal_size().columns;

    if (l->app->json)
        return;
    format_state(l, line, sizeof(line));
    if (l->draws) {
        text_cut(fits, sizeof(fits), line, (size_t)(columns > 1 ? columns - 1 : 1));
        printf("\r\033[K%s%s%s", colour(l->s.state == MN_SESSION_RUNNING ? COLOUR_WARN : COLOUR_BOLD), fits, colour(COLOUR_NONE));
        l->shown = true;
    } else {
        char what[80];

        snprintf(what, sizeof(what), "%.8s %u", line, l->s.zone_now); /* the figures alone are no news */
        if (strcmp(what, l->said) != 0)
            printf("%s\n", line);
        snprintf(l->said, sizeof(l->said), "%s", what);
    }
    fflush(stdout);
}

/* ---- what has happened ---- */

static void clear_line(struct live *l)
{
    if (l->shown)
        printf("\r\033[K");
    l->shown = false;
}

/* A sentence above the line of state, wrapped to the terminal. */
static void tell(struct live *l, enum colour c, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void tell(struct live *l, enum colour c, const char *format, ...)
{
    char sentence[500];
    va_list ap;

    if (l->app->json)
        return;
    va_start(ap, format);
    vsnprintf(sentence, sizeof(sentence), format, ap);
    va_end(ap);
    clear_line(l);
    printf("%s", colour(c));
    text_wrap(stdout, sentence, 0, 2, text_page_columns());
    printf("%s", colour(COLOUR_NONE));
    fflush(stdout);
    l->app->noticed = true;
}

static void tell_faults(struct live *l, uint32_t word)
{
    if (l->app->json || word == 0)
        return;
    clear_line(l);
    print_faults(word, 0);
    l->app->noticed = true;
}

/* What is done in each zone, and whether it is: nothing says how many strokes are enough, but what was broken off is not done. */
static void tell_zones(struct live *l)
{
    for (size_t i = 0; i < l->s.zone_count; i++) {
        const struct mn_session_zone *z = &l->s.zone[i];
        const struct past_zone *was = &plan_past()->zone[z->zone < 32 ? z->zone : 0];
        char clock[24], last[40] = "";

        format_clock(z->motor_ms, clock, sizeof(clock));
        if (was->number != 0 && was->number != l->s.number)
            snprintf(last, sizeof(last), "; last time %" PRIu32 " strokes", was->strokes);
        tell(l, z->zone == l->s.zone_now ? COLOUR_BOLD : COLOUR_NONE, "%zu %-24s %.2f mm, %" PRIu32 " strokes in %s%s%s", i + 1, zone_name(z->zone), z->depth_um / 1000.0, z->strokes, clock,
             z->strokes == 0 ? ", not treated yet" : z->broken_off ? ", broken off" : "", last);
    }
}

static void tell_keys(struct live *l)
{
    tell(l, COLOUR_DIM, "Enter arms: the pen's trigger starts the needles then. n next zone%s, z zones, p pauses, c clears faults, e ends, ? these keys. Ctrl-C stops and leaves the session open.",
         l->s.zone_count > 1 ? " (or its number)" : "");
}

static void format_word(uint32_t word, char *out, size_t cap)
{
    format_faults(word, out, cap);
}

static void on_info(mn_client *c, const struct mn_result *r, void *user)
{
    struct live *l = user;

    (void)c;
    if (r->error == MN_OK && r->info.needle_count != 0)
        tell(l, COLOUR_BOLD, "The cartridge in the pen: %s, uid %016" PRIx64 ", %" PRIu32 " needles, to %.2f mm", mn_cartridge_name(r->info.cartridge), r->info.cartridge_uid,
             r->info.needle_count, r->info.cartridge_max_depth_um / 1000.0);
}

static void on_pen(struct live *l, const struct mn_pen *p)
{
    struct mn_pen was = l->pen;
    bool had = l->has_pen, is_back = had && was.link != MN_LINK_READY && p->link == MN_LINK_READY;
    char faults[256];

    l->pen = *p;
    l->has_pen = true;
    if (!had) {
        tell_faults(l, p->fault_word);
        return;
    }
    if (was.link == MN_LINK_READY && p->link != MN_LINK_READY) {
        tell(l, COLOUR_BAD, "The pen is gone: its cable, or its USB. Its needles stand still within 350 ms.");
        return;
    }
    if (is_back) {
        format_word(p->fault_word, faults, sizeof(faults));
        tell(l, COLOUR_BOLD, p->fault_word != 0 ? "The pen is back, with %s: c clears it, then Enter arms." : "The pen is back: Enter arms.", faults);
    }
    if (p->link != MN_LINK_READY)
        return;
    tell_faults(l, p->fault_word & ~(was.fault_word));
    if ((was.fault_word & ~p->fault_word) != 0) {
        format_word(was.fault_word & ~p->fault_word, faults, sizeof(faults));
        tell(l, COLOUR_GOOD, "Cleared: %s.%s", faults, p->fault_word == 0 ? " Enter arms." : "");
    }
    if (was.cartridge != p->cartridge && p->cartridge == MN_CARTRIDGE_ABSENT)
        tell(l, COLOUR_WARN, "The cartridge was taken out.");
    else if (was.cartridge == MN_CARTRIDGE_ABSENT && p->cartridge != was.cartridge)
        mn_pen_info_async(l->app->client, l->app->serial, l->app->timeout_ms, on_info, l);
}

/* The record of a run comes a moment after its end: until then, and while the pen that has it is away, its strokes are those that were seen. */
static void on_run_ended(struct live *l)
{
    const struct mn_session_zone *z = zone_now(l);

    l->pending_strokes = l->strokes_now - l->strokes_at;
    l->pending_ms = now_ms() - l->run_began_ms;
    l->pending_zone = l->s.zone_now;
    l->pending_runs = z != NULL ? z->runs : 0;
    l->run_ended_ms = now_ms();
}

static void drop_pending(struct live *l)
{
    for (size_t i = 0; i < l->s.zone_count; i++) {
        if (l->s.zone[i].zone == l->pending_zone && l->s.zone[i].runs > l->pending_runs)
            l->pending_strokes = 0, l->pending_ms = 0;
    }
}

static void on_session(struct live *l, const struct mn_session *s)
{
    enum mn_session_state was = l->s.state;
    bool said = strcmp(s->text, l->s.text) != 0 && s->text[0] != '\0';
    bool news = s->state != was || said || s->zone_now != l->s.zone_now;

    if (was == MN_SESSION_RUNNING && s->state != MN_SESSION_RUNNING)
        on_run_ended(l);
    if (s->state == MN_SESSION_RUNNING && was != MN_SESSION_RUNNING)
        l->strokes_at = l->strokes_now, l->run_began_ms = now_ms(), l->pending_strokes = 0, l->pending_ms = 0;
    l->s = *s;
    drop_pending(l);
    if (l->app->json && news) {
        print_json(session_json(&l->s), true);
        return;
    }
    if (said && l->has_pen && (l->pen.link != MN_LINK_READY || l->pen.fault_word != 0)) {
        /* what is wrong with the pen has been said, in more words */
    } else if (said)
        tell(l, COLOUR_NONE, "%c%s", s->text[0] >= 'a' && s->text[0] <= 'z' ? s->text[0] - 32 : s->text[0], s->text + 1);
    else if (was == MN_SESSION_ARMED && s->state == MN_SESSION_PAUSED)
        tell(l, COLOUR_WARN, "Not armed any more: the trigger was not pressed in time. Enter arms again.");
    if (news) {
        l->app->noticed = true;
        draw(l);
    }
}

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    struct live *l = user;

    (void)c;
    switch (e->kind) {
    case MN_EVENT_SESSION:
        if (strcmp(e->session->serial, l->app->serial) == 0 && l->s.number != 0 && e->session->number == l->s.number)
            on_session(l, e->session);
        break;
    case MN_EVENT_PEN:
        if (l->s.number != 0 && strcmp(e->pen->serial, l->app->serial) == 0)
            on_pen(l, e->pen);
        break;
    case MN_EVENT_TELEMETRY:
        if (strcmp(e->telemetry->serial, l->app->serial) != 0)
            break;
        if (e->telemetry->strokes_session < l->strokes_now) /* it has begun to count anew */
            l->strokes_at = 0;
        l->strokes_now = e->telemetry->strokes_session;
        if (e->telemetry->slow.count > 0)
            l->battery_pct = e->telemetry->slow.battery_soc_pct[e->telemetry->slow.count - 1];
        break;
    case MN_EVENT_LEASE:
        if (!e->lease->lost)
            break;
        tell(l, COLOUR_BAD, "%s", e->lease->text);
        if (l->app->json)
            fprintf(stderr, "mnctl: %s\n", e->lease->text);
        l->lost = true;
        l->app->noticed = true;
        break;
    case MN_EVENT_DISCONNECTED:
        if (l->s.number == 0) /* it asks still: the connection comes back by itself */
            break;
        tell(l, COLOUR_BAD, "%s. The needles stand still.", e->text);
        l->lost = true;
        l->app->noticed = true;
        break;
    case MN_EVENT_RECORD:
    case MN_EVENT_TRAFFIC:
    case MN_EVENT_RECONNECTED:
        break;
    }
}

/* ---- keys ---- */

static void on_done(mn_client *c, const struct mn_result *r, void *user)
{
    (void)c;
    if (r->error != MN_OK)
        tell(user, COLOUR_WARN, "%s", r->message);
}

static void on_armed(mn_client *c, const struct mn_result *r, void *user)
{
    struct live *l = user;

    l->arming = false;
    if (r->error != MN_OK && l->pen.fault_word != 0)
        tell(l, COLOUR_WARN, "%s. c clears what can be cleared.", r->message);
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
    format_word(r->cleared.fault_word, left, sizeof(left)); /* what has gone, the pen's next status says */
    if (r->cleared.fault_word != 0)
        tell(l, COLOUR_WARN, "%s stays: its cause is there still, or it is for service.", left);
    else if (r->cleared.cleared == 0)
        tell(l, COLOUR_NONE, "There is no fault.");
}

static void arm(struct live *l)
{
    if (l->s.state == MN_SESSION_RUNNING || l->s.state == MN_SESSION_ARMED) {
        tell(l, COLOUR_NONE, l->s.state == MN_SESSION_ARMED ? "It is armed: press the pen's trigger." : "The needles are moving.");
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
        tell(l, COLOUR_NONE, "The plan has this zone only.");
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
    tell(l, COLOUR_BOLD, "End the session? %s%sy ends it, any other key goes on.", missing, missing[0] == '\0' ? "" : any ? ": it is PARTIAL then. " : ": it is UNTREATED then. ");
}

/* True: the session is to be ended. */
static bool take_key(struct live *l, int key)
{
    if (l->asks_end) {
        l->asks_end = false;
        if (key == 'y' || key == 'Y')
            return true;
        tell(l, COLOUR_NONE, "It goes on.");
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
        tell_zones(l);
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
            tell_keys(l);
    }
    return false;
}

/* ---- its beginning and end ---- */

struct live *live_new(struct app *a)
{
    the_live = (struct live){.app = a, .terminal = terminal_is_dialogue() && !a->json, .draws = terminal_can_draw() && !a->json && isatty(STDIN_FILENO)};
    a->on_event = on_event;
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

    clear_line(l);
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

/* Ctrl-C, the end of the input, or whoever ends this program: first the needles. */
static int leave(struct live *l, const char *why)
{
    struct app *a = l->app;

    clear_line(l);
    if (mn_stop(a->client, a->serial, a->timeout_ms) != MN_OK)
        return EXIT_ERROR;
    fprintf(stderr, "mnctl: %sstopped; session %" PRIu32 " is open: `mnctl session resume` goes on with it, `mnctl session end` ends it\n", why, l->s.number);
    return flush_output();
}

/* Ctrl-Z: nobody who is suspended controls a pen. */
static void suspend(struct live *l)
{
    struct app *a = l->app;

    mn_stop(a->client, a->serial, a->timeout_ms);
    live_let_go(l);
    clear_line(l);
    printf("Stopped and suspended; the session is open. `fg` goes on.\n");
    person_suspend();
    if (mn_lease_take(a->client, a->serial, a->timeout_ms) != MN_OK || mn_subscribe(a->client, a->serial, true, a->timeout_ms) != MN_OK) {
        tell(l, COLOUR_BAD, "%s", mn_message(a->client));
        l->lost = true;
        return;
    }
    tell(l, COLOUR_NONE, "Back. Enter arms.");
}

static int refused(struct live *l, int error)
{
    const struct mn_result *r = mn_last_result(l->app->client);

    clear_line(l);
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
        tell_keys(l);
    if (r != MN_OK)
        refused(l, r);
    while (!l->lost && l->s.state != MN_SESSION_ENDED) {
        draw(l);
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
            clear_line(l);
            return app_failed(a, MN_ERR_DISCONNECTED);
        case PERSON_TIMEOUT:
        case PERSON_LINE:
        case PERSON_RESIZED:
            break;
        }
    }
    clear_line(l);
    if (l->s.state == MN_SESSION_ENDED) {
        tell(l, COLOUR_NONE, "Session %" PRIu32 " has been ended by another program: %s.", l->s.number, session_word(&l->s));
        return flush_output();
    }
    fprintf(stderr, "mnctl: session %" PRIu32 " is still open: `mnctl session resume` goes on with it, `mnctl session end` ends it\n", l->s.number);
    return EXIT_REFUSED;
}
