#include "view.h"

#include <curses.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "terminal.h"

enum { BAR_MOST = 24, COLOR_GOOD = 1, COLOR_BAD = 2, COLOR_WARN = 3 };

static bool on_screen;
static struct row shown[STATION_SLOTS_MAX], rows[STATION_SLOTS_MAX];
static uint64_t began_ms;

void view_begin(struct station *st, bool plain)
{
    memset(shown, 0, sizeof(shown));
    began_ms = station_now_ms();
    on_screen = !plain && terminal_is_dialogue() && terminal_can_draw() && newterm(NULL, stdout, stdin) != NULL;
    if (!on_screen) {
        if (!st->options.commit && plan_is_for_good(st->plan))
            printf("DRY RUN: nothing is written for good (--commit writes)\n");
        return;
    }
    cbreak();
    noecho();
    curs_set(0);
    nodelay(stdscr, TRUE);
    if (terminal_has_colour() && has_colors()) {
        start_color();
        use_default_colors();
        init_pair(COLOR_GOOD, COLOR_GREEN, -1);
        init_pair(COLOR_BAD, COLOR_RED, -1);
        init_pair(COLOR_WARN, COLOR_YELLOW, -1);
    }
}

static double fraction_of(const struct row *r)
{
    double f = r->total > 0 ? (r->done + (r->done < r->total ? r->fraction : 0)) / r->total : 0;

    return f < 0 ? 0 : f > 1 ? 1 : f;
}

static double seconds_of(const struct row *r, uint64_t now_ms)
{
    uint64_t end_ms = r->ended_ms != 0 ? r->ended_ms : now_ms;

    return r->began_ms != 0 ? (double)(end_ms - r->began_ms - r->waited_ms) / 1000 : 0;
}

/* ---- the screen ---- */

/* One line, cut to the width; with fill, its whole width in that attribute, so that it is seen from afar. */
static void put_line(int y, int attribute, bool fill, const char *format, ...) __attribute__((format(printf, 4, 5)));

static void put_line(int y, int attribute, bool fill, const char *format, ...)
{
    char line[700], fits[700];
    va_list ap;

    if (y < 0 || y >= LINES)
        return;
    va_start(ap, format);
    vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    text_cut(fits, sizeof(fits), line, (size_t)COLS);
    attrset(attribute);
    move(y, 0);
    addstr(fits);
    for (int x = (int)text_columns(fits); fill && x < COLS; x++)
        addch(' ');
    attrset(A_NORMAL);
    if (!fill)
        clrtoeol();
}

static int attribute_of(const struct row *r)
{
    int pair = strcmp(r->verdict, "PASS") == 0 || strcmp(r->verdict, "DONE") == 0       ? COLOR_GOOD
               : strcmp(r->verdict, "ABORTED") == 0 || strcmp(r->verdict, "DRY_RUN") == 0 ? COLOR_WARN
                                                                                          : COLOR_BAD;

    return (int)(A_BOLD | A_REVERSE | (chtype)COLOR_PAIR(pair));
}

static void format_bar(double fraction, int width, char *out)
{
    int filled = (int)(fraction * width + 0.5);

    for (int i = 0; i < width; i++)
        out[i] = i < filled ? '#' : '.';
    out[width] = '\0';
}

/* "waits for sim 9", whose turn it is; or the step. */
static void format_step(const struct station *st, unsigned i, char *out, size_t cap)
{
    const struct row *r = &rows[i];

    snprintf(out, cap, "%s", r->step);
    if (!r->waits)
        return;
    snprintf(out, cap, "%s: waits", r->step);
    for (unsigned k = 0; k < st->slot_count; k++) {
        if (k != i && !rows[k].waits && rows[k].verdict[0] == '\0' && strcmp(rows[k].step, r->step) == 0) {
            snprintf(out, cap, "%s: waits for %s", r->step, st->ports[k]);
            return;
        }
    }
}

/* What is left out first, as it gets narrow, is the bar, then the serial number: the step, or the verdict, is what one looks for. */
static void draw_row(const struct station *st, int y, unsigned i, uint64_t now_ms)
{
    const struct row *r = &rows[i];
    char bar[BAR_MOST + 1], step[160], serial[24] = "", middle[60] = "";
    int width = COLS >= 100 ? BAR_MOST : COLS >= 72 ? 12 : 0;

    format_step(st, i, step, sizeof(step));
    format_bar(fraction_of(r), width, bar);
    if (COLS >= (r->verdict[0] != '\0' ? 50 : 72))
        snprintf(serial, sizeof(serial), " %-14.14s", r->serial);
    if (width > 0)
        snprintf(middle, sizeof(middle), " %s", bar);
    if (r->verdict[0] != '\0')
        put_line(y, attribute_of(r), true, "%-8s %-8s%s%s %5.0f s", st->ports[i], r->verdict, serial, middle, seconds_of(r, now_ms));
    else
        put_line(y, A_NORMAL, false, "%-8s %2u/%-2u   %s%s %5.0f s  %s", st->ports[i], r->done + 1 > r->total ? r->total : r->done + 1, r->total, serial, middle, seconds_of(r, now_ms), step);
}

static bool has_reason(const struct station *st, const struct row *r)
{
    return r->verdict[0] != '\0' && (r->text[0] != '\0' || st->options.repeat);
}

static void draw_reason(const struct station *st, int y, const struct row *r)
{
    put_line(y, A_NORMAL, false, "         %s%s%s", r->text, st->options.repeat && r->text[0] != '\0' ? "; " : "",
             st->options.repeat ? "take it out, put in the next" : "");
}

static double overall(const struct station *st, unsigned *running)
{
    double all = 0;

    *running = 0;
    for (unsigned i = 0; i < st->slot_count; i++) {
        all += rows[i].verdict[0] != '\0' ? 1 : fraction_of(&rows[i]);
        *running += rows[i].verdict[0] == '\0';
    }
    return st->slot_count > 0 ? all / st->slot_count : 0;
}

static void draw_head(const struct station *st, const unsigned *verdicts, uint64_t now_ms)
{
    unsigned running, judged = verdicts[VERDICT_PASS] + verdicts[VERDICT_FAIL] + verdicts[VERDICT_ERROR];
    double done = overall(st, &running), elapsed_s = (double)(now_ms - began_ms) / 1000;
    char bar[BAR_MOST + 1], left[40] = "", yield[40] = "", dry[24] = "";

    format_bar(done, COLS >= 100 ? BAR_MOST : 10, bar);
    if (done > 0.02 && running > 0) {
        unsigned s = (unsigned)(elapsed_s * (1 - done) / done + 0.5);

        snprintf(left, sizeof(left), "  about %u:%02u left", s / 60 % 100, s % 60);
    }
    if (judged > 0 && (st->options.commit || !plan_is_for_good(st->plan)))
        snprintf(yield, sizeof(yield), "  yield %.0f %%", 100.0 * verdicts[VERDICT_PASS] / judged);
    if (verdicts[VERDICT_DRY_RUN] > 0)
        snprintf(dry, sizeof(dry), "  dry %u", verdicts[VERDICT_DRY_RUN]);
    put_line(0, A_BOLD, false, "%s: %u slots%s. Ctrl-C ends it, safely.", st->plan->name, st->slot_count,
             !plan_is_for_good(st->plan) ? "" : st->options.commit ? ", WRITING FOR GOOD" : COLS < 100 ? ", DRY RUN" : ", DRY RUN: nothing is written for good");
    if (COLS < 72) /* without the yield, and in short words */
        put_line(1, A_NORMAL, false, "%s %3.0f %%%s  pass %u%s  fail %u  error %u", bar, done * 100, left + (left[0] != '\0' ? strlen("  about") : 0), verdicts[VERDICT_PASS], dry, verdicts[VERDICT_FAIL],
                 verdicts[VERDICT_ERROR]);
    else
        put_line(1, A_NORMAL, false, "%s %3.0f %%%s  passed %u%s  failed %u  errors %u%s", bar, done * 100, left, verdicts[VERDICT_PASS], dry, verdicts[VERDICT_FAIL], verdicts[VERDICT_ERROR], yield);
}

static void draw(const struct station *st, const unsigned *verdicts)
{
    uint64_t now_ms = station_now_ms();
    int y = 3;
    unsigned reasons = 0, left_out = 0;

    while (getch() != ERR) /* ncurses learns of a new size by it */
        ;
    erase();
    draw_head(st, verdicts, now_ms);
    for (unsigned i = 0; i < st->slot_count; i++)
        reasons += has_reason(st, &rows[i]);
    if (LINES < 6)
        y = LINES < 3 ? LINES - 1 : 2;
    for (unsigned i = 0; i < st->slot_count; i++) {
        bool reason = has_reason(st, &rows[i]);

        if (y >= LINES - (i + 1 < st->slot_count ? 1 : 0)) {
            left_out++;
            continue;
        }
        draw_row(st, y++, i, now_ms);
        /* Reasons have lines of their own as long as every slot has one. */
        if (reason && y + (int)(st->slot_count - i) <= LINES)
            draw_reason(st, y++, &rows[i]);
    }
    if (left_out > 0 && LINES > 3)
        put_line(LINES - 1, A_DIM, false, "and %u slots more: make the terminal higher", left_out);
    refresh();
}

/* ---- lines ---- */

static void print_news(const struct station *st, unsigned i, struct row *before)
{
    const struct row *r = &rows[i];
    const char *serial = r->serial[0] != '\0' ? r->serial : "-";
    char step[160];

    format_step(st, i, step, sizeof(step));
    if (r->verdict[0] != '\0' && (before->verdict[0] == '\0' || r->runs != before->runs)) {
        printf("%s %s %s%s%s %.1f s%s%s\n", st->ports[i], serial,
               colour(strcmp(r->verdict, "PASS") == 0 ? COLOUR_GOOD : strcmp(r->verdict, "FAIL") == 0 || strcmp(r->verdict, "ERROR") == 0 ? COLOUR_BAD : COLOUR_WARN), r->verdict, colour(COLOUR_NONE),
               seconds_of(r, r->ended_ms), r->text[0] != '\0' ? ": " : "", r->text);
        if (st->options.repeat)
            printf("%s %s: take it out, put in the next; of this slot passed %u, failed %u, errors %u\n", st->ports[i], serial, r->ended[VERDICT_PASS], r->ended[VERDICT_FAIL], r->ended[VERDICT_ERROR]);
    } else if (r->verdict[0] == '\0' && (strcmp(r->step, before->step) != 0 || r->waits != before->waits)) {
        printf("%s %s %u/%u %s\n", st->ports[i], serial, r->done + 1, r->total, step);
    }
    *before = *r;
}

void view_update(struct station *st)
{
    unsigned verdicts[VERDICT_ABORTED + 1];

    pthread_mutex_lock(&st->lock);
    memcpy(rows, st->rows, sizeof(rows));
    memcpy(verdicts, st->verdicts, sizeof(verdicts));
    pthread_mutex_unlock(&st->lock);
    if (on_screen) {
        draw(st, verdicts);
        return;
    }
    for (unsigned i = 0; i < st->slot_count; i++)
        print_news(st, i, &shown[i]);
    fflush(stdout);
}

void view_end(struct station *st)
{
    view_update(st);
    if (!on_screen)
        return;
    endwin();
    on_screen = false;
    memset(shown, 0, sizeof(shown));
    view_update(st); /* what it ended with stays */
}
