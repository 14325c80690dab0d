/*
 * Chaos: under load, the daemon is killed, pens are pulled, power-cycled and hung, cables go bad and good. After each, all must
 * be well again; and through all of it, records come in order, none missing as long as the daemon lives, and every hole in
 * telemetry is counted. Speaks TAP. The seed repeats a run.
 */
#include "harness.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PENS = 3 };

static struct harness h;
static size_t kills[1024], kill_count; /* how many records had been told when the daemon was killed */

static const char *some_pen(void)
{
    static char serial[32];

    snprintf(serial, sizeof(serial), "CHAOS-%04d", 1 + rand() % PENS);
    return serial;
}

static void try_say(const char *line)
{
    char answer[512];

    mn_simulate(h.c, some_pen(), line, answer, sizeof(answer), T); /* it may be unplugged or hung: that is the point */
}

static const char *strike(void)
{
    static const char *const lines[] = {"unplug 0.2", "power-cycle", "hang", "inject 1401", "clear 1401", "link drop=0.05 corrupt=0.05 delay=0.1:5",
                                        "link good", "trigger press", "trigger release"};
    size_t i = (size_t)rand() % (sizeof(lines) / sizeof(lines[0]) + 2);

    if (i >= sizeof(lines) / sizeof(lines[0])) {
        harness_kill_daemon(&h, SIGKILL);
        harness_run(&h, (unsigned)rand() % 100);
        harness_restart_daemon(&h);
        if (kill_count < sizeof(kills) / sizeof(kills[0]))
            kills[kill_count++] = h.record_count;
        return "kill -9 mnd";
    }
    try_say(lines[i]);
    return lines[i];
}

static void change_something(void)
{
    struct mn_config change = {.present = MN_SET_DEPTH_UM, .depth_um = 50 * ((uint32_t)rand() % 20 + 1)};

    mn_config_set(h.c, some_pen(), &change, NULL, NULL, 300); /* may well fail */
}

static bool killed_between(size_t a, size_t b)
{
    for (size_t i = 0; i < kill_count; i++) {
        if (kills[i] > a && kills[i] <= b)
            return true;
    }
    return false;
}

/* Of each pen: numbers go up, none comes twice; and by one, but where the daemon died between commit and telling. */
static void check_records(void)
{
    for (int pen = 1; pen <= PENS; pen++) {
        char serial[32];
        uint32_t last = 0;
        size_t last_at = 0;

        snprintf(serial, sizeof(serial), "CHAOS-%04d", pen);
        for (size_t i = 0; i < h.record_count; i++) {
            if (strcmp(h.records[i].serial, serial) != 0)
                continue;
            assert_true(h.records[i].number > last);
            if (last != 0 && !killed_between(last_at, i))
                assert_int_equal(h.records[i].number, last + 1);
            last = h.records[i].number;
            last_at = i;
        }
    }
}

static bool all_answer(void)
{
    for (int pen = 1; pen <= PENS; pen++) {
        char serial[32];
        struct mn_status s;

        snprintf(serial, sizeof(serial), "CHAOS-%04d", pen);
        if (mn_pen_status(h.c, serial, &s, 500) != MN_OK)
            return false;
    }
    return true;
}

static long count = 100;

/* Whether the journal has every record that the pen ever wrote, each once. */
static bool journal_has_all_of(const char *serial)
{
    char path[128];
    sqlite3_stmt *s = NULL;
    sqlite3 *db = NULL;
    struct mn_status status;
    bool all = false;

    snprintf(path, sizeof(path), "%s.journal", h.socket);
    if (mn_pen_status(h.c, serial, &status, T) != MN_OK)
        return false;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT COUNT(*), MIN(number), MAX(number), COUNT(DISTINCT number) FROM records WHERE serial = ?", -1, &s, NULL) ==
            SQLITE_OK &&
        sqlite3_bind_text(s, 1, serial, -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
        all = sqlite3_column_int64(s, 0) == status.records_newest && sqlite3_column_int64(s, 1) == 1 &&
              sqlite3_column_int64(s, 2) == status.records_newest && sqlite3_column_int64(s, 3) == status.records_newest &&
              status.records_acked == status.records_newest;
        if (all)
            printf("# %s: %u records, lost 0, doubled 0\n", serial, status.records_newest);
    }
    sqlite3_finalize(s);
    sqlite3_close(db);
    return all;
}

static void all_is_well_after_each_strike(void **state)
{
    static const char *const stub[] = {"--serial", "CHAOS", "--pens", "3", NULL};

    (void)state;
    harness_start(&h, 0, NULL);
    harness_ok(&h, mn_subscribe(h.c, NULL, true, true, T));
    harness_stub(&h, stub);
    harness_until(&h, all_answer(), 10000);
    for (long i = 0; i < count; i++) {
        const char *what = strike();

        change_something();
        harness_run(&h, (unsigned)rand() % 60);
        if (i % 10 != 9)
            continue;
        for (int pen = 0; pen < 10; pen++)
            try_say("link good");
        printf("# %ld strikes, the last: %s; %zu records, %lu samples, %lu missed and counted\n", i + 1, what, h.record_count,
               (unsigned long)h.samples, (unsigned long)h.missed);
        harness_until(&h, all_answer(), 20000);
        check_records();
    }
    for (int pen = 1; pen <= PENS; pen++) {
        char serial[32];

        snprintf(serial, sizeof(serial), "CHAOS-%04d", pen);
        harness_until(&h, journal_has_all_of(serial), 20000);
    }
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
