#include "view.h"

#include <curses.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BAR = 24, COLOR_GOOD = 1, COLOR_BAD = 2, COLOR_WARN = 3 };

static bool on_screen;
static struct row shown[STATION_SLOTS_MAX];

void view_begin(struct station *st, bool plain)
{
    (void)st;
    memset(shown, 0, sizeof(shown));
    on_screen = !plain && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
    if (!on_screen)
        return;
    setlocale(LC_CTYPE, "");
    initscr();
    noecho();
    curs_set(0);
    if (has_colors()) {
        start_color();
        use_default_colors();
        init_pair(COLOR_GOOD, COLOR_GREEN, -1);
        init_pair(COLOR_BAD, COLOR_RED, -1);
        init_pair(COLOR_WARN, COLOR_YELLOW, -1);
    }
}

static double fraction_of(const struct row *r)
{
    return r->total > 0 ? (r->done + (r->done < r->total ? r->fraction : 0)) / r->total : 0;
}

static void draw_row(int y, const char *port, const struct row *r, uint64_t now_ms)
{
    int colour = strcmp(r->verdict, "PASS") == 0 ? COLOR_GOOD : strcmp(r->verdict, "ABORTED") == 0 ? COLOR_WARN : COLOR_BAD;
    int filled = (int)(fraction_of(r) * BAR + 0.5);
    uint64_t end_ms = r->ended_ms != 0 ? r->ended_ms : now_ms;

    mvprintw(y, 0, "%-12s %-14.14s [", port, r->serial);
    for (int i = 0; i < BAR; i++)
        addch(i < filled ? '#' : ' ');
    printw("] %4.0f s  ", r->began_ms != 0 ? (double)(end_ms - r->began_ms) / 1000 : 0.0);
    if (r->verdict[0] != '\0') {
        attron(A_BOLD | A_REVERSE | COLOR_PAIR(colour));
        printw("  %-9s", r->verdict);
        attroff(A_BOLD | A_REVERSE | COLOR_PAIR(colour));
        printw(" %s", r->text);
    } else {
        printw("%s", r->step);
    }
    clrtoeol();
}

static void draw(const struct station *st, const struct row *rows, const unsigned *verdicts)
{
    uint64_t now_ms = station_now_ms();

    mvprintw(0, 0, "%s: %u slots%s. Passed %u, failed %u, errors %u, aborted %u. Ctrl-C ends it, safely.", st->plan->name, st->slot_count,
             st->options.commit ? ", writing for good" : "", verdicts[VERDICT_PASS], verdicts[VERDICT_FAIL], verdicts[VERDICT_ERROR], verdicts[VERDICT_ABORTED]);
    clrtoeol();
    for (unsigned i = 0; i < st->slot_count && (int)i + 2 < LINES; i++)
        draw_row((int)i + 2, st->ports[i], &rows[i], now_ms);
    refresh();
}

static void print_news(const char *port, const struct row *r, struct row *before)
{
    if (r->verdict[0] != '\0' && (before->verdict[0] == '\0' || r->runs != before->runs))
        printf("%s %s %s %.1f s%s%s\n", port, r->serial[0] != '\0' ? r->serial : "-", r->verdict, (double)(r->ended_ms - r->began_ms) / 1000,
               r->text[0] != '\0' ? ": " : "", r->text);
    else if (r->verdict[0] == '\0' && strcmp(r->step, before->step) != 0)
        printf("%s %s %u/%u %s\n", port, r->serial[0] != '\0' ? r->serial : "-", r->done + 1, r->total, r->step);
    *before = *r;
}

void view_update(struct station *st)
{
    static struct row rows[STATION_SLOTS_MAX];
    unsigned verdicts[VERDICT_ABORTED + 1];

    pthread_mutex_lock(&st->lock);
    memcpy(rows, st->rows, sizeof(rows));
    memcpy(verdicts, st->verdicts, sizeof(verdicts));
    pthread_mutex_unlock(&st->lock);
    if (on_screen) {
        draw(st, rows, verdicts);
        return;
    }
    for (unsigned i = 0; i < st->slot_count; i++)
        print_news(st->ports[i], &rows[i], &shown[i]);
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
