#include "live_view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

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

/* The strokes of the current run, or of the last one while its record is outstanding. */
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

void live_draw(struct live *l)
{
    char line[240], fits[300];
    int columns = terminal_size().columns;

    if (l->app->json)
        return;
    format_state(l, line, sizeof(line));
    if (l->draws && person_output_waits())
        return; /* the terminal is behind: it would be out of date by the time it is shown */
    if (l->draws) {
        text_cut(fits, sizeof(fits), line, (size_t)(columns > 1 ? columns - 1 : 1));
        if (l->shown && strcmp(fits, l->drawn) == 0)
            return;
        snprintf(l->drawn, sizeof(l->drawn), "%s", fits);
        printf("\r\033[K%s%s%s", colour(l->s.state == MN_SESSION_RUNNING ? COLOUR_WARN : COLOUR_BOLD), fits, colour(COLOUR_NONE));
        l->shown = true;
    } else {
        char what[80];

        snprintf(what, sizeof(what), "%.8s %u", line, l->s.zone_now); /* a change of the figures alone is not printed */
        if (strcmp(what, l->said) != 0)
            printf("%s\n", line);
        snprintf(l->said, sizeof(l->said), "%s", what);
    }
    fflush(stdout);
}

/* ---- what has happened ---- */

void live_clear(struct live *l)
{
    if (l->shown)
        printf("\r\033[K");
    l->shown = false;
}

/* Prints a sentence above the status line, wrapped to the terminal. */
void live_print(struct live *l, enum colour c, const char *format, ...)
{
    char sentence[500];
    va_list ap;

    if (l->app->json)
        return;
    va_start(ap, format);
    vsnprintf(sentence, sizeof(sentence), format, ap);
    va_end(ap);
    live_clear(l);
    printf("%s", colour(c));
    text_wrap(stdout, sentence, 0, 2, text_page_columns());
    printf("%s", colour(COLOUR_NONE));
    fflush(stdout);
    l->app->noticed = true;
}

static void live_print_faults(struct live *l, uint32_t word)
{
    if (l->app->json || word == 0)
        return;
    live_clear(l);
    print_faults(word, 0);
    l->app->noticed = true;
}

/* Prints what was done in each zone. No number of strokes means "enough", but a run that was interrupted leaves its zone unfinished. */
void live_print_zones(struct live *l)
{
    for (size_t i = 0; i < l->s.zone_count; i++) {
        const struct mn_session_zone *z = &l->s.zone[i];
        const struct past_zone *was = &plan_past()->zone[z->zone < 32 ? z->zone : 0];
        char clock[24], last[40] = "";

        format_clock(z->motor_ms, clock, sizeof(clock));
        if (was->number != 0 && was->number != l->s.number)
            snprintf(last, sizeof(last), "; last time %" PRIu32 " strokes", was->strokes);
        live_print(l, z->zone == l->s.zone_now ? COLOUR_BOLD : COLOUR_NONE, "%zu %-24s %.2f mm, %" PRIu32 " strokes in %s%s%s", i + 1, zone_name(z->zone), z->depth_um / 1000.0, z->strokes, clock,
             z->strokes == 0 ? ", not treated yet" : z->broken_off ? ", broken off" : "", last);
    }
}

void live_print_keys(struct live *l)
{
    live_print(l, COLOUR_DIM, "Enter arms: the pen's trigger starts the needles then. n next zone%s, z zones, p pauses, c clears faults, e ends, ? these keys. Ctrl-C stops and leaves the session open.",
         l->s.zone_count > 1 ? " (or its number)" : "");
}

static void on_info(mn_client *c, const struct mn_result *r, void *user)
{
    struct live *l = user;

    (void)c;
    if (r->error == MN_OK && r->info.needle_count != 0)
        live_print(l, COLOUR_BOLD, "The cartridge in the pen: %s, uid %016" PRIx64 ", %" PRIu32 " needles, to %.2f mm", mn_cartridge_name(r->info.cartridge), r->info.cartridge_uid,
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
        live_print_faults(l, p->fault_word);
        return;
    }
    if (was.link == MN_LINK_READY && p->link != MN_LINK_READY) {
        live_print(l, COLOUR_BAD, "The pen is gone: its cable, or its USB. Its needles stand still within 350 ms.");
        return;
    }
    if (is_back) {
        format_faults(p->fault_word, faults, sizeof(faults));
        live_print(l, COLOUR_BOLD, p->fault_word != 0 ? "The pen is back, with %s: c clears it, then Enter arms." : "The pen is back: Enter arms.", faults);
    }
    if (p->link != MN_LINK_READY)
        return;
    live_print_faults(l, p->fault_word & ~(was.fault_word));
    if ((was.fault_word & ~p->fault_word) != 0) {
        format_faults(was.fault_word & ~p->fault_word, faults, sizeof(faults));
        live_print(l, COLOUR_GOOD, "Cleared: %s.%s", faults, p->fault_word == 0 ? " Enter arms." : "");
    }
    if (was.cartridge != p->cartridge && p->cartridge == MN_CARTRIDGE_ABSENT)
        live_print(l, COLOUR_WARN, "The cartridge was taken out.");
    else if (was.cartridge == MN_CARTRIDGE_ABSENT && p->cartridge != was.cartridge)
        mn_pen_info_async(l->app->client, l->app->serial, l->app->timeout_ms, on_info, l);
}

/* The record of a run arrives a moment after its end. Until then, and while the pen is unplugged, its strokes are those seen in telemetry. */
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
        /* the pen's fault has been printed already, in more detail */
    } else if (said)
        live_print(l, COLOUR_NONE, "%c%s", s->text[0] >= 'a' && s->text[0] <= 'z' ? s->text[0] - 32 : s->text[0], s->text + 1);
    else if (was == MN_SESSION_ARMED && s->state == MN_SESSION_PAUSED)
        live_print(l, COLOUR_WARN, "Not armed any more: the trigger was not pressed in time. Enter arms again.");
    if (news) {
        l->app->noticed = true;
        live_draw(l);
    }
}

void live_on_event(mn_client *c, const struct mn_event *e, void *user)
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
        if (e->telemetry->strokes_session < l->strokes_now) /* the pen has restarted its counter */
            l->strokes_at = 0;
        l->strokes_now = e->telemetry->strokes_session;
        if (e->telemetry->slow.count > 0)
            l->battery_pct = e->telemetry->slow.battery_soc_pct[e->telemetry->slow.count - 1];
        break;
    case MN_EVENT_LEASE:
        if (!e->lease->lost)
            break;
        live_print(l, COLOUR_BAD, "%s", e->lease->text);
        if (l->app->json)
            fprintf(stderr, "mnctl: %s\n", e->lease->text);
        l->lost = true;
        l->app->noticed = true;
        break;
    case MN_EVENT_DISCONNECTED:
        if (l->s.number == 0) /* the dialogue is not over yet: the client reconnects by itself */
            break;
        live_print(l, COLOUR_BAD, "%s. The needles stand still.", e->text);
        l->lost = true;
        l->app->noticed = true;
        break;
    case MN_EVENT_RECORD:
    case MN_EVENT_TRAFFIC:
    case MN_EVENT_RECONNECTED:
        break;
    }
}
