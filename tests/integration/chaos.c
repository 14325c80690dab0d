/*
 * Chaos: under load, daemon, pens and a program are killed, pens are pulled, power-cycled and hung, cables go bad and good. After
 * each ten strikes all must be well again; every hole in telemetry is counted; and the program, which keeps its place in the records with
 * what it did with them, has seen every record of every pen exactly once, in order. Speaks TAP. The seed repeats a run.
 */
#include "harness.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { PENS = 3 };

static struct harness h;

/* The program: what it has done, and what of it is stored. */
struct work {
    struct mn_cursor place;
    uint32_t last[PENS + 1]; /* number, by pen */
    uint64_t records;
};
static struct {
    mn_client *c;
    struct work now, stored;
    unsigned lost, doubled, disordered;
} app;

static struct {
    unsigned daemon, pens, app;
} kills;

static const char *serial_of(int pen)
{
    static char serial[32];

    snprintf(serial, sizeof(serial), "CHAOS-%04d", pen);
    return serial;
}

static const char *some_pen(void)
{
    return serial_of(1 + rand() % PENS);
}

static void try_say(const char *line)
{
    char answer[512];

    mn_simulate(h.c, some_pen(), line, answer, sizeof(answer), T); /* it may be unplugged or hung: that is the point */
}

/* ---- the program ---- */

static void on_app_event(mn_client *c, const struct mn_event *e, void *user)
{
    const struct mn_record *r = e->record;
    int pen;

    (void)c;
    (void)user;
    if (e->kind != MN_EVENT_RECORD || sscanf(r->serial, "CHAOS-%d", &pen) != 1 || pen < 1 || pen > PENS)
        return;
    app.doubled += r->number == app.now.last[pen];
    app.disordered += r->number < app.now.last[pen];
    if (r->number > app.now.last[pen] + 1)
        app.lost += r->number - app.now.last[pen] - 1;
    app.now.last[pen] = r->number;
    app.now.place = r->cursor;
    app.now.records++;
    if (rand() % 3 == 0)
        app.stored = app.now; /* with its place, at once: as a transaction would */
}

static void app_begin(void)
{
    struct mn_options o = {.socket = h.socket, .name = "the program", .reconnect = true, .on_event = on_app_event};

    app.now = app.stored;
    while (mn_connect(&app.c, &o, NULL, 0) != MN_OK || mn_records_follow(app.c, &app.now.place, NULL, 2000) != MN_OK) {
        mn_close(app.c);
        app.c = NULL;
        poll(NULL, 0, 20);
        app.now = app.stored;
    }
}

/* Lets both programs live for so long. */
static void run(unsigned ms)
{
    for (unsigned i = 0; i < ms; i += 5) {
        harness_run(&h, 5);
        mn_process(app.c);
    }
}

/* ---- strikes ---- */

static const char *const stub[] = {"--serial", "CHAOS", "--pens", "3", "--nvm", NULL, NULL};

static void start_pens(void)
{
    static char nvm[96];
    const char *arguments[sizeof(stub) / sizeof(stub[0])];

    snprintf(nvm, sizeof(nvm), "%s/nvm", h.dir);
    memcpy(arguments, stub, sizeof(stub));
    arguments[5] = nvm;
    harness_stub(&h, arguments);
}

static const char *strike(void)
{
    static const char *const lines[] = {"unplug 0.2", "power-cycle", "hang", "inject 1401", "clear 1401", "link drop=0.05 corrupt=0.05 delay=0.1:5",
                                        "link good", "trigger press", "trigger release"};
    size_t i = (size_t)rand() % (sizeof(lines) / sizeof(lines[0]) + 9);

    if (i < sizeof(lines) / sizeof(lines[0])) {
        try_say(lines[i]);
        return lines[i];
    }
    switch (i % 3) {
    case 0:
        kills.daemon++;
        harness_kill_daemon(&h, SIGKILL);
        run((unsigned)rand() % 100);
        harness_restart_daemon(&h);
        return "kill -9 mnd";
    case 1:
        kills.app++;
        mn_close(app.c);
        app_begin();
        return "kill -9 the program";
    default:
        kills.pens += PENS; /* their power is cut, wherever they are */
        kill(h.stub, SIGKILL);
        assert_int_equal(waitpid(h.stub, NULL, 0), h.stub);
        start_pens();
        return "kill -9 all pens";
    }
}

static void change_something(void)
{
    struct mn_config change = {.present = MN_SET_DEPTH_UM, .depth_um = 50 * ((uint32_t)rand() % 20 + 1)};

    mn_config_set(h.c, some_pen(), &change, NULL, NULL, 300); /* may well fail */
}

static bool all_answer(void)
{
    struct mn_status status;

    for (int pen = 1; pen <= PENS; pen++) {
        if (mn_pen_status(h.c, serial_of(pen), &status, 500) != MN_OK)
            return false;
    }
    return true;
}

static long count = 100;

/* Whether the journal has every record that the pen ever wrote, each once, and the program has seen them. */
static bool all_have_all_of(int pen)
{
    char path[128];
    sqlite3_stmt *s = NULL;
    sqlite3 *db = NULL;
    struct mn_status status;
    bool all = false;

    run(5);
    snprintf(path, sizeof(path), "%s.journal", h.socket);
    if (mn_pen_status(h.c, serial_of(pen), &status, T) != MN_OK || status.records_acked != status.records_newest ||
        app.now.last[pen] != status.records_newest)
        return false;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT COUNT(*), MIN(number), MAX(number), COUNT(DISTINCT number) FROM records WHERE serial = ?", -1, &s, NULL) ==
            SQLITE_OK &&
        sqlite3_bind_text(s, 1, serial_of(pen), -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
        all = sqlite3_column_int64(s, 0) == status.records_newest && sqlite3_column_int64(s, 1) == 1 &&
              sqlite3_column_int64(s, 2) == status.records_newest && sqlite3_column_int64(s, 3) == status.records_newest;
    }
    sqlite3_finalize(s);
    sqlite3_close(db);
    return all;
}

static void all_is_well_after_each_strike(void **state)
{
    (void)state;
    harness_start(&h, 0, NULL);
    harness_ok(&h, mn_subscribe(h.c, NULL, true, T));
    start_pens();
    app_begin();
    harness_until(&h, all_answer(), 10000);
    for (long i = 0; i < count; i++) {
        const char *what = strike();

        change_something();
        run((unsigned)rand() % 60);
        if (i % 10 != 9)
            continue;
        for (int pen = 0; pen < 10; pen++)
            try_say("link good");
        harness_until(&h, all_answer(), 20000);
        if (i % 100 == 99 || i + 1 == count)
            printf("# %ld strikes, the last: %s; kills: daemon %u, pens %u, program %u; %lu records, %lu samples, %lu missed and counted\n", i + 1,
                   what, kills.daemon, kills.pens, kills.app, (unsigned long)app.now.records, (unsigned long)h.samples, (unsigned long)h.missed);
        fflush(stdout);
        assert_int_equal(app.doubled, 0);
        assert_int_equal(app.disordered, 0);
        assert_int_equal(app.lost, 0);
    }
    for (int pen = 1; pen <= PENS; pen++)
        harness_until(&h, all_have_all_of(pen), 20000);
    printf("# %u kills, %lu records: lost %u, doubled %u, out of order %u\n", kills.daemon + kills.pens + kills.app, (unsigned long)app.now.records,
           app.lost, app.doubled, app.disordered);
    mn_close(app.c);
    harness_stop(&h);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"seed", required_argument, NULL, 's'}, {"count", required_argument, NULL, 'c'}, {0}};
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_is_well_after_each_strike)};
    int option;

    srand(1);
    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == 's')
            srand((unsigned)strtoul(optarg, NULL, 10));
        else if (option == 'c')
            count = strtol(optarg, NULL, 10);
        else
            return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("chaos", tests, NULL, NULL);
}
