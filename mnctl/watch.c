/*
 * watch: live telemetry. Three outputs of the same events: a screen with plots (ncurses), lines (text or JSON), CSV.
 */
#include <curses.h>
#include <inttypes.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mnctl.h"

enum { HISTORY = 400, SCREEN_PERIOD_MS = 100 };

/* A plotted signal: the peak of each screen period. */
struct plot {
    const char *title;
    const char *unit;
    double scale; /* shown = raw * scale */
    double full;  /* of the plot's height, at the least */
    int32_t history[HISTORY];
    size_t next, filled;
    int32_t peak, last;
};

enum mode { MODE_TEXT, MODE_JSON, MODE_CSV, MODE_SCREEN };

struct watch {
    struct app *app;
    enum mode mode;
    struct plot plots[3];
    struct mn_telemetry latest; /* without its arrays */
    int32_t slow[8];            /* last values of what the screen shows */
    uint64_t samples, missed;
    bool gone;
    char notice[256];
};

enum { SLOW_MOTOR_DC, SLOW_GRIP_DC, SLOW_BATTERY_MV, SLOW_SOC, SLOW_DEPTH_SET, SLOW_RATE_SET, SLOW_LOAD, SLOW_CONTACT };

static void plot_add(struct plot *p, const int32_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (values[i] > p->peak)
            p->peak = values[i];
    }
    p->last = values[n - 1];
}

static void plot_step(struct plot *p)
{
    p->history[p->next] = p->peak;
    p->next = (p->next + 1) % HISTORY;
    p->filled += p->filled < HISTORY;
    p->peak = 0;
}

static void take_slow(struct watch *w, const struct mn_slow *s)
{
    size_t last = s->count - 1;

    w->slow[SLOW_MOTOR_DC] = s->motor_temp_dc[last];
    w->slow[SLOW_GRIP_DC] = s->grip_temp_dc[last];
    w->slow[SLOW_BATTERY_MV] = s->battery_mv[last];
    w->slow[SLOW_SOC] = s->battery_soc_pct[last];
    w->slow[SLOW_DEPTH_SET] = s->depth_set_um[last];
    w->slow[SLOW_RATE_SET] = s->rate_set_dhz[last];
}

static void print_csv(const struct mn_telemetry *t)
{
    const struct mn_fast *f = &t->fast;

    for (size_t i = 0; i < f->count; i++)
        printf("%s,%" PRIu64 ",%" PRIu64 ",%" PRId32 ",%" PRId32 ",%" PRId32 ",%" PRId32 ",%" PRId32 ",%" PRId32 ",%" PRIu64 "\n", t->serial,
               f->first_seq + i * f->decimation, f->t0_us + i * f->period_us, f->depth_um[i], f->stroke_rate_dhz[i], f->motor_current_ma[i],
               f->motor_duty_permille[i], f->load_permille[i], f->skin_contact[i], i == 0 ? f->missed : 0);
}

static json_t *column(const int32_t *values, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer(values[i]));
    return list;
}

static void print_batch_json(const struct mn_telemetry *t)
{
    const struct mn_fast *f = &t->fast;
    const struct mn_slow *s = &t->slow;
    json_t *j = json_pack("{s:s, s:s, s:I, s:I, s:I}", "serial", t->serial, "state", mn_state_name(t->state), "fault_word",
                          (json_int_t)t->fault_word, "strokes", (json_int_t)t->strokes_session, "dropped_by_pen",
                          (json_int_t)t->dropped_by_pen);

    if (f->count > 0)
        json_object_set_new(j, "fast",
                            json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "first_seq", (json_int_t)f->first_seq, "decimation", (json_int_t)f->decimation, "t0_us",
                                      (json_int_t)f->t0_us, "period_us", (json_int_t)f->period_us, "missed", (json_int_t)f->missed,
                                      "depth_um", column(f->depth_um, f->count), "stroke_rate_dhz", column(f->stroke_rate_dhz, f->count),
                                      "motor_current_ma", column(f->motor_current_ma, f->count), "motor_duty_permille",
                                      column(f->motor_duty_permille, f->count), "load_permille", column(f->load_permille, f->count),
                                      "skin_contact", column(f->skin_contact, f->count)));
    if (s->count > 0)
        json_object_set_new(
            j, "slow",
            json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "first_seq",
                      (json_int_t)s->first_seq, "t0_us", (json_int_t)s->t0_us, "period_us", (json_int_t)s->period_us, "missed",
                      (json_int_t)s->missed, "depth_set_um", column(s->depth_set_um, s->count), "rate_set_dhz",
                      column(s->rate_set_dhz, s->count), "motor_temp_dc", column(s->motor_temp_dc, s->count), "grip_temp_dc",
                      column(s->grip_temp_dc, s->count), "battery_temp_dc", column(s->battery_temp_dc, s->count), "battery_mv",
                      column(s->battery_mv, s->count), "battery_ma", column(s->battery_ma, s->count), "battery_soc_pct",
                      column(s->battery_soc_pct, s->count), "battery_cycles", column(s->battery_cycles, s->count), "vbus_mv",
                      column(s->vbus_mv, s->count), "motor_rail_mv", column(s->motor_rail_mv, s->count), "logic_rail_mv",
                      column(s->logic_rail_mv, s->count)));
    print_json(j, true);
}

static void on_telemetry(struct watch *w, const struct mn_telemetry *t)
{
    w->latest = *t;
    w->samples += t->fast.count;
    w->missed += t->fast.missed;
    if (w->mode == MODE_CSV) {
        print_csv(t);
    } else if (w->mode == MODE_JSON) {
        print_batch_json(t);
    }
    if (t->slow.count > 0)
        take_slow(w, &t->slow);
    if (t->fast.count > 0) {
        size_t last = t->fast.count - 1;

        plot_add(&w->plots[0], t->fast.depth_um, t->fast.count);
        plot_add(&w->plots[1], t->fast.stroke_rate_dhz, t->fast.count);
        plot_add(&w->plots[2], t->fast.motor_current_ma, t->fast.count);
        w->slow[SLOW_LOAD] = t->fast.load_permille[last];
        w->slow[SLOW_CONTACT] = t->fast.skin_contact[last];
    }
}

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    struct watch *w = user;

    (void)c;
    switch (e->kind) {
    case MN_EVENT_TELEMETRY:
        on_telemetry(w, e->telemetry);
        break;
    case MN_EVENT_PEN:
        if (strcmp(e->pen->serial, w->app->serial) != 0)
            break;
        if (!w->gone && e->pen->link == MN_LINK_GONE && w->mode != MODE_SCREEN)
            fprintf(stderr, "mnctl: pen %s is unplugged; waiting for it\n", w->app->serial);
        w->gone = e->pen->link == MN_LINK_GONE;
        break;
    case MN_EVENT_DISCONNECTED:
        snprintf(w->notice, sizeof(w->notice), "%s", e->text);
        if (w->mode != MODE_SCREEN)
            fprintf(stderr, "mnctl: %s; waiting for it\n", e->text);
        break;
    case MN_EVENT_RECONNECTED:
        w->notice[0] = '\0';
        break;
    case MN_EVENT_RECORD:
    default:
        break;
    }
}

/* ---- the screen ---- */

static void draw_plot(struct plot *p, int top, int height, int width)
{
    static const char *const blocks[] = {" ", "\xe2\x96\x81", "\xe2\x96\x82", "\xe2\x96\x83", "\xe2\x96\x84",
                                         "\xe2\x96\x85", "\xe2\x96\x86", "\xe2\x96\x87", "\xe2\x96\x88"};
    int columns = width < HISTORY ? width : HISTORY;
    double full = p->full;

    for (size_t i = 0; i < p->filled; i++) {
        if (p->history[i] * p->scale > full)
            full = p->history[i] * p->scale;
    }
    attron(A_BOLD);
    mvprintw(top, 0, "%s %.1f %s", p->title, p->last * p->scale, p->unit);
    attroff(A_BOLD);
    printw("   full scale %.0f", full);
    clrtoeol();
    for (int row = 0; row < height; row++) {
        move(top + 1 + row, 0);
        for (int x = 0; x < columns; x++) {
            size_t back = (size_t)(columns - x);
            double v = back <= p->filled ? p->history[(p->next + HISTORY - back) % HISTORY] * p->scale / full * height : 0;
            double here = v - (height - 1 - row);

            addstr(blocks[here <= 0 ? 0 : here >= 1 ? 8 : (int)(here * 8)]);
        }
    }
}

static void draw(struct watch *w)
{
    int height, width, plot_height;
    char faults[256];

    getmaxyx(stdscr, height, width);
    plot_height = (height - 9) / 3;
    if (plot_height < 1)
        plot_height = 1;
    format_faults(w->latest.fault_word, faults, sizeof(faults));
    mvprintw(0, 0, "%s  %s  %s", w->app->serial, w->gone ? "UNPLUGGED" : mn_state_name(w->latest.state), w->notice);
    clrtoeol();
    mvprintw(1, 0, "faults: %s", faults);
    clrtoeol();
    mvprintw(2, 0, "set %d um, %.1f Hz   load %d permille%s   strokes %" PRIu32, (int)w->slow[SLOW_DEPTH_SET],
             w->slow[SLOW_RATE_SET] / 10.0, (int)w->slow[SLOW_LOAD], w->slow[SLOW_CONTACT] ? ", skin" : "", w->latest.strokes_session);
    clrtoeol();
    mvprintw(3, 0, "motor %.1f C, grip %.1f C   battery %d mV, %d %%", w->slow[SLOW_MOTOR_DC] / 10.0, w->slow[SLOW_GRIP_DC] / 10.0,
             (int)w->slow[SLOW_BATTERY_MV], (int)w->slow[SLOW_SOC]);
    clrtoeol();
    for (int i = 0; i < 3; i++)
        draw_plot(&w->plots[i], 5 + i * (plot_height + 1), plot_height, width);
    mvprintw(height - 1, 0, "%" PRIu64 " samples, %" PRIu64 " missed   q quits", w->samples, w->missed);
    clrtoeol();
    refresh();
}

static void screen_begin(void)
{
    setlocale(LC_ALL, "");
    initscr();
    cbreak();
    noecho();
    curs_set(0);
    nodelay(stdscr, TRUE);
}

/* ---- the loop ---- */

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void print_text(const struct watch *w)
{
    char faults[256];

    format_faults(w->latest.fault_word, faults, sizeof(faults));
    printf("%s %-8s depth %4d um  rate %6.1f Hz  current %4d mA  motor %.1f C  battery %d %%  strokes %" PRIu32 "  missed %" PRIu64
           "  faults %s\n",
           w->app->serial, mn_state_name(w->latest.state), (int)w->plots[0].last, w->plots[1].last / 10.0, (int)w->plots[2].last,
           w->slow[SLOW_MOTOR_DC] / 10.0, (int)w->slow[SLOW_SOC], w->latest.strokes_session, w->missed, faults);
}

static int loop(struct watch *w, uint64_t end_ms)
{
    mn_client *c = w->app->client;
    uint64_t period_ms = w->mode == MODE_SCREEN ? SCREEN_PERIOD_MS : 1000, next_ms = now_ms() + period_ms;
    int r = MN_OK;

    while (r == MN_OK && !ferror(stdout) && (end_ms == 0 || now_ms() < end_ms)) {
        struct pollfd fds[2] = {{.fd = mn_fd(c), .events = mn_events(c)},
                                {.fd = w->mode == MODE_SCREEN ? STDIN_FILENO : -1, .events = POLLIN}};
        uint64_t now = now_ms();
        int wait_ms = next_ms > now ? (int)(next_ms - now) : 0, own = mn_timeout_ms(c);

        poll(fds, 2, own >= 0 && own < wait_ms ? own : wait_ms);
        r = mn_process(c);
        if (w->mode == MODE_SCREEN && getch() == 'q')
            break;
        if (now_ms() < next_ms)
            continue;
        next_ms += period_ms;
        for (int i = 0; i < 3; i++)
            plot_step(&w->plots[i]);
        if (w->mode == MODE_SCREEN)
            draw(w);
        else if (w->mode == MODE_TEXT)
            print_text(w);
        fflush(stdout);
    }
    return r;
}

struct wish {
    unsigned long seconds, every, latency_ms; /* 0: no end; not said */
};

/* A number behind an option. */
static int parse_number(const char *option, const char *text, unsigned long low, unsigned long high, unsigned long *out)
{
    char *end;

    *out = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || *out < low || *out > high)
        return usage_error("%s takes %lu to %lu, not %s", option, low, high, text);
    return EXIT_OK;
}

static int parse(struct watch *w, int argc, char **argv, struct wish *wish)
{
    const struct {
        const char *name;
        unsigned long low, high, *out;
    } numbers[] = {{"--seconds", 1, 1000000, &wish->seconds}, {"--every", 1, 1000, &wish->every}, {"--latency", MN_LATENCY_MIN_MS, MN_LATENCY_MAX_MS, &wish->latency_ms}};

    w->mode = w->app->json ? MODE_JSON : isatty(STDOUT_FILENO) ? MODE_SCREEN : MODE_TEXT;
    for (int i = 1; i < argc; i++) {
        int n = 0, r;

        while (n < 3 && strcmp(argv[i], numbers[n].name) != 0)
            n++;
        if (strcmp(argv[i], "--csv") == 0) {
            w->mode = MODE_CSV;
        } else if (n < 3 && i + 1 == argc) {
            return usage_error("%s needs a number, %lu to %lu", argv[i], numbers[n].low, numbers[n].high);
        } else if (n < 3) {
            r = parse_number(argv[i], argv[i + 1], numbers[n].low, numbers[n].high, numbers[n].out);
            if (r != EXIT_OK)
                return r;
            i++;
        } else {
            return usage_error("watch does not take %s (--csv, --seconds N, --every N, --latency MS, --json)", argv[i]);
        }
    }
    return EXIT_OK;
}

/* What was not said is as it is without a wish. */
static int pace(struct app *a, const struct wish *wish)
{
    if (wish->every == 0 && wish->latency_ms == 0)
        return MN_OK;
    return mn_pace(a->client, wish->every != 0 ? (unsigned)wish->every : 1, wish->latency_ms != 0 ? (unsigned)wish->latency_ms : MN_LATENCY_DEFAULT_MS,
                   a->timeout_ms);
}

int cmd_watch(struct app *a, int argc, char **argv)
{
    static struct watch w = {.plots = {{.title = "depth", .unit = "um", .scale = 1, .full = 100},
                                       {.title = "rate", .unit = "Hz", .scale = 0.1, .full = 150},
                                       {.title = "current", .unit = "mA", .scale = 1, .full = 500}}};
    struct mn_pens pens;
    struct wish wish = {0};
    int r;

    w.app = a;
    r = parse(&w, argc, argv, &wish);
    a->on_event = on_event;
    a->event_user = &w;
    if (r == EXIT_OK)
        r = app_connect(a, true);
    if (r == EXIT_OK)
        r = app_find(a, a->pen);
    if (r != EXIT_OK)
        return r;
    r = mn_watch(a->client, true, &pens, a->timeout_ms);
    if (r == MN_OK) {
        mn_pens_free(&pens);
        r = pace(a, &wish);
    }
    if (r == MN_OK) {
        if (w.mode == MODE_CSV)
            printf("serial,seq,t_us,depth_um,stroke_rate_dhz,motor_current_ma,motor_duty_permille,load_permille,skin_contact,missed\n");
        r = mn_subscribe(a->client, a->serial, true, a->timeout_ms);
    }
    if (r != MN_OK)
        return app_failed(a, r);
    if (w.mode == MODE_SCREEN)
        screen_begin();
    r = loop(&w, wish.seconds != 0 ? now_ms() + wish.seconds * 1000 : 0);
    if (w.mode == MODE_SCREEN)
        endwin();
    if (w.missed > 0)
        fprintf(stderr, "mnctl: %" PRIu64 " samples were missed\n", w.missed);
    return r == MN_OK ? flush_output() : app_failed(a, r);
}
