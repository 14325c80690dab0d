/*
 * watch: live telemetry. Three outputs of the same events: a screen with plots (ncurses), lines (text or JSON), CSV.
 */
#include <curses.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "escape.h"
#include "mnctl.h"

enum { HISTORY = 500, SCREEN_PERIOD_MS = 100, PLOTS = 3, STALE_MS = 3000 };

/* A plotted signal: its peak in each period of the screen. */
struct plot {
    const char *title;
    const char *unit;
    double scale; /* shown = raw * scale */
    double full;  /* value at the plot's full height, at least */
    int decimals;
    int32_t history[HISTORY];
    size_t next, filled;
    int32_t peak, shown; /* of the current period, and of the previous one */
};

enum mode { MODE_TEXT, MODE_JSON, MODE_CSV, MODE_SCREEN };

struct watch {
    struct app *app;
    enum mode mode;
    struct plot plots[PLOTS];
    struct mn_telemetry latest; /* the last message, without its arrays */
    int32_t slow[8];            /* last value of each slow signal on the screen */
    int32_t stroke_um;          /* maximum depth of the last period: the depth of the strokes */
    uint64_t samples, missed;
    uint64_t heard_ms;          /* when telemetry came last; 0: never */
    bool all;                   /* all pens, as CSV or JSON lines that name their pen */
    bool gone;
    char notice[256];
};

enum { SLOW_MOTOR_DC, SLOW_GRIP_DC, SLOW_BATTERY_MV, SLOW_SOC, SLOW_DEPTH_SET, SLOW_RATE_SET, SLOW_LOAD, SLOW_CONTACT };

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void plot_add(struct plot *p, const int32_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (values[i] > p->peak)
            p->peak = values[i];
    }
}

static void plot_step(struct plot *p)
{
    p->history[p->next] = p->peak;
    p->next = (p->next + 1) % HISTORY;
    p->filled += p->filled < HISTORY;
    p->shown = p->peak;
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

    for (size_t i = 0; i < f->count; i++) {
        escape_csv(stdout, t->serial);
        printf(",%" PRIu64 ",%" PRIu64 ",%" PRId32 ",%" PRId32 ",%" PRId32 ",%" PRId32 ",%" PRId32 ",%" PRId32 ",%" PRIu64 "\n",
               f->first_seq + i * f->decimation, f->t0_us + i * f->period_us, f->depth_um[i], f->stroke_rate_dhz[i], f->motor_current_ma[i],
               f->motor_duty_permille[i], f->load_permille[i], f->skin_contact[i], i == 0 ? f->missed : 0);
    }
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
    w->heard_ms = now_ms();
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
        if (!w->all && strcmp(e->pen->serial, w->app->serial) != 0)
            break;
        if ((w->all || !w->gone) && e->pen->link == MN_LINK_GONE && w->mode != MODE_SCREEN)
            fprintf(stderr, "mnctl: pen %s is unplugged; waiting for it\n", e->pen->serial);
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

/* Prints one line, cut to the width, over what was there. */
static void put_line(int row, int attribute, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void put_line(int row, int attribute, const char *format, ...)
{
    char line[400], fits[400];
    va_list ap;

    if (row < 0 || row >= LINES)
        return;
    va_start(ap, format);
    vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    text_cut(fits, sizeof(fits), line, (size_t)COLS);
    move(row, 0);
    attrset(attribute);
    addstr(fits);
    attrset(A_NORMAL);
    clrtoeol();
}

/* With UTF-8 the resolution is an eighth of a cell's height. */
static void draw_plot(const struct plot *p, int top, int height, int attribute)
{
    static const char *const eighths[] = {" ", "\xe2\x96\x81", "\xe2\x96\x82", "\xe2\x96\x83", "\xe2\x96\x84",
                                          "\xe2\x96\x85", "\xe2\x96\x86", "\xe2\x96\x87", "\xe2\x96\x88"};
    int columns = COLS < HISTORY ? COLS : HISTORY;
    double full = p->full;

    for (size_t i = 0; i < p->filled; i++) {
        if (p->history[i] * p->scale > full)
            full = p->history[i] * p->scale;
    }
    put_line(top, (int)((unsigned)attribute | A_BOLD), "%s %.*f %s   to %.*f %s, %.0f s", p->title, p->decimals, p->shown * p->scale, p->unit, p->decimals, full, p->unit, columns * SCREEN_PERIOD_MS / 1000.0);
    attrset(attribute);
    for (int row = 0; row < height && top + 1 + row < LINES - 1; row++) {
        move(top + 1 + row, 0);
        for (int x = 0; x < columns; x++) {
            size_t back = (size_t)(columns - x);
            double v = back <= p->filled ? p->history[(p->next + HISTORY - back) % HISTORY] * p->scale / full * height : 0;
            double here = v - (height - 1 - row);

            if (terminal_has_utf8())
                addstr(eighths[here <= 0 ? 0 : here >= 1 ? 8 : (int)(here * 8)]);
            else
                addstr(here > 0.5 ? "#" : " ");
        }
        clrtoeol();
    }
    attrset(A_NORMAL);
}

/* Draws each fault with its meaning and advice. Returns the number of rows used. */
static int draw_faults(int row, uint32_t word)
{
    int first = row;

    for (size_t bit = 0; bit < mn_fault_count() && row + 2 < LINES; bit++) {
        const struct mn_fault *f = mn_fault_at(bit);

        if (!(word >> bit & 1))
            continue;
        put_line(row++, A_BOLD, "%u %s: %s", f->code, f->name, f->text);
        put_line(row++, A_NORMAL, "  -> %s", f->cure);
    }
    if (row == first)
        put_line(row++, A_NORMAL, "no faults");
    return row - first;
}

static void draw(const struct watch *w)
{
    uint64_t age_ms = w->heard_ms != 0 ? now_ms() - w->heard_ms : 0;
    bool stale = w->gone || age_ms > STALE_MS;
    int attribute = stale ? A_DIM : A_NORMAL, row = 1, plots, height;

    erase();
    if (w->gone)
        put_line(0, A_BOLD, "%s  UNPLUGGED; the figures are %" PRIu64 " s old  %s", w->app->serial, age_ms / 1000, w->notice);
    else if (stale || w->heard_ms == 0)
        put_line(0, A_BOLD, "%s  no telemetry for %" PRIu64 " s  %s", w->app->serial, age_ms / 1000, w->notice);
    else
        put_line(0, A_BOLD, "%s  %s  %s", w->app->serial, mn_state_name(w->latest.state), w->notice);
    if (!w->gone)
        row += draw_faults(row, w->latest.fault_word);
    put_line(row++, attribute, "set %.2f mm, %.1f Hz   stroke %.2f mm   load %d %%%s   strokes %" PRIu32, w->slow[SLOW_DEPTH_SET] / 1000.0, w->slow[SLOW_RATE_SET] / 10.0, w->stroke_um / 1000.0,
             (int)w->slow[SLOW_LOAD] / 10, w->slow[SLOW_CONTACT] ? ", skin" : "", w->latest.strokes_session);
    put_line(row++, attribute, "motor %.1f C, grip %.1f C   battery %.2f V, %d %%", w->slow[SLOW_MOTOR_DC] / 10.0, w->slow[SLOW_GRIP_DC] / 10.0, w->slow[SLOW_BATTERY_MV] / 1000.0,
             (int)w->slow[SLOW_SOC]);
    for (plots = PLOTS; plots > 0 && (LINES - 1 - row) / plots < 2; plots--)
        ;
    height = plots > 0 ? (LINES - 1 - row) / plots - 1 : 0;
    for (int i = 0; i < plots; i++)
        draw_plot(&w->plots[i], row + i * (height + 1), height, attribute);
    put_line(LINES - 1, A_NORMAL, "q ends   %" PRIu64 " samples, %" PRIu64 " missed", w->samples, w->missed);
    refresh();
}

/* Returns false if this terminal cannot be drawn on. */
static bool screen_begin(void)
{
    if (newterm(NULL, stdout, stdin) == NULL)
        return false;
    cbreak();
    noecho();
    curs_set(0);
    nodelay(stdscr, TRUE);
    return true;
}

/* ---- the loop ---- */

static void print_text(const struct watch *w)
{
    char faults[256];

    if (w->gone)
        return; /* the screen says that the pen is gone; its figures are out of date */
    format_faults(w->latest.fault_word, faults, sizeof(faults));
    printf("%s %-8s stroke %.2f mm  rate %.1f Hz  current %d mA  motor %.1f C  battery %d %%  strokes %" PRIu32 "  missed %" PRIu64 "  faults %s\n", w->app->serial,
           mn_state_name(w->latest.state), w->stroke_um / 1000.0, w->plots[1].shown / 10.0, (int)w->plots[2].shown, w->slow[SLOW_MOTOR_DC] / 10.0, (int)w->slow[SLOW_SOC],
           w->latest.strokes_session, w->missed, faults);
}

/* Whether q was pressed or the input has ended. getch() also makes ncurses handle a new size. */
static bool wants_end(void)
{
    int key;

    while ((key = getch()) != ERR) {
        if (key == 'q' || key == 'Q' || key == 4)
            return true;
    }
    return false;
}

static int loop(struct watch *w, uint64_t end_ms)
{
    mn_client *c = w->app->client;
    uint64_t period_ms = w->mode == MODE_SCREEN ? SCREEN_PERIOD_MS : 1000, next_ms = now_ms() + period_ms;
    int r = MN_OK;

    while (r == MN_OK && !ferror(stdout) && !is_interrupted() && (end_ms == 0 || now_ms() < end_ms)) {
        struct pollfd fds[2] = {{.fd = mn_fd(c), .events = mn_events(c)},
                                {.fd = w->mode == MODE_SCREEN ? STDIN_FILENO : -1, .events = POLLIN}};
        uint64_t now = now_ms();
        int wait_ms = next_ms > now ? (int)(next_ms - now) : 0, own = mn_timeout_ms(c);

        poll(fds, 2, own >= 0 && own < wait_ms ? own : wait_ms);
        r = mn_process(c);
        if (w->mode == MODE_SCREEN && wants_end())
            break;
        if (now_ms() < next_ms)
            continue;
        next_ms += period_ms;
        for (int i = 0; i < PLOTS; i++)
            plot_step(&w->plots[i]);
        w->stroke_um = w->plots[0].shown;
        if (w->mode == MODE_SCREEN)
            draw(w);
        else if (w->mode == MODE_TEXT)
            print_text(w);
        fflush(stdout);
    }
    return r;
}

struct wish {
    double seconds; /* 0: no end */
    uint64_t every, latency_ms; /* 0: not said */
};

static int parse(struct watch *w, int argc, char **argv, struct wish *wish)
{
    const struct {
        const char *name;
        uint64_t low, high, *out;
    } numbers[] = {{"--every", 1, 1000, &wish->every}, {"--latency", MN_LATENCY_MIN_MS, MN_LATENCY_MAX_MS, &wish->latency_ms}};

    w->mode = w->app->json ? MODE_JSON : terminal_can_draw() && isatty(STDIN_FILENO) ? MODE_SCREEN : MODE_TEXT;
    for (int i = 1; i < argc; i++) {
        size_t n = 0;
        int r;

        while (n < 2 && strcmp(argv[i], numbers[n].name) != 0)
            n++;
        if (strcmp(argv[i], "--csv") == 0) {
            w->mode = MODE_CSV;
        } else if (strcmp(argv[i], "--seconds") == 0) {
            r = parse_seconds(argv[i], argv[i + 1], &wish->seconds);
            if (r != EXIT_OK)
                return r;
            i++;
        } else if (n < 2) {
            r = parse_number(argv[i], argv[i + 1], numbers[n].low, numbers[n].high, numbers[n].out);
            if (r != EXIT_OK)
                return r;
            i++;
        } else {
            return usage_error("watch takes --csv, --seconds N, --every N, --latency MS and --json, not %s", argv[i]);
        }
    }
    return EXIT_OK;
}

/* Requests the wanted rate and latency; what the user did not give stays at the default. */
static int pace(struct app *a, const struct wish *wish)
{
    if (wish->every == 0 && wish->latency_ms == 0)
        return MN_OK;
    return mn_pace(a->client, wish->every != 0 ? (unsigned)wish->every : 1, wish->latency_ms != 0 ? (unsigned)wish->latency_ms : MN_LATENCY_DEFAULT_MS,
                   a->timeout_ms);
}

int cmd_watch(struct app *a, int argc, char **argv)
{
    static struct watch w = {.plots = {{.title = "depth of stroke", .unit = "mm", .scale = 0.001, .full = 0.1, .decimals = 2},
                                       {.title = "stroke rate", .unit = "Hz", .scale = 0.1, .full = 150, .decimals = 1},
                                       {.title = "motor current", .unit = "mA", .scale = 1, .full = 500}}};
    struct mn_pens pens;
    struct wish wish = {0};
    int r;

    w.app = a;
    r = parse(&w, argc, argv, &wish);
    a->on_event = on_event;
    a->event_user = &w;
    if (r == EXIT_OK)
        r = app_connect(a, true);
    if (r != EXIT_OK)
        return r;
    r = mn_watch(a->client, true, &pens, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    w.all = pens.count > 1 && a->pen == NULL && (w.mode == MODE_CSV || w.mode == MODE_JSON);
    mn_pens_free(&pens);
    if (!w.all && (r = app_find(a, a->pen)) != EXIT_OK)
        return r;
    r = pace(a, &wish);
    if (r == MN_OK) {
        if (w.mode == MODE_CSV)
            printf("serial,seq,t_us,depth_um,stroke_rate_dhz,motor_current_ma,motor_duty_permille,load_permille,skin_contact,missed\n");
        r = mn_subscribe(a->client, w.all ? NULL : a->serial, true, a->timeout_ms);
    }
    if (r != MN_OK)
        return app_failed(a, r);
    if (w.mode == MODE_SCREEN && !screen_begin())
        w.mode = MODE_TEXT;
    catch_interrupt();
    r = loop(&w, wish.seconds > 0 ? now_ms() + (uint64_t)(wish.seconds * 1000) : 0);
    if (w.mode == MODE_SCREEN)
        endwin();
    if (w.missed > 0)
        fprintf(stderr, "mnctl: %" PRIu64 " samples were missed\n", w.missed);
    return r == MN_OK ? flush_output() : app_failed(a, r);
}
