/*
 * What durable records cost, beside their floors in the same run: records written one by one, or so many at once, each waited for until
 * it is on disk, by a bare file with fdatasync, by a bare SQLite table (WAL, synchronous=FULL) with one transaction, and by the journal.
 * One JSON object a line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal.h"
#include "measure.h"

enum { RECORD_BYTES = 60, SECONDS = 2 };

static char dir[] = "/var/tmp/mn-bench-XXXXXX"; /* a real disk: /tmp may be memory */

static void path_of(char *out, size_t cap, const char *name)
{
    snprintf(out, cap, "%s/%s", dir, name);
}

static double bare_file(unsigned group)
{
    uint8_t bytes[256 * RECORD_BYTES] = {0};
    uint64_t began = now_ns(), n = 0;
    char path[96];
    int fd;

    path_of(path, sizeof(path), "file");
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (; now_ns() < began + SECONDS * UINT64_C(1000000000); n += group) {
        assert_int_equal(write(fd, bytes, group * RECORD_BYTES), group * RECORD_BYTES);
        assert_int_equal(fdatasync(fd), 0);
    }
    close(fd);
    return (double)n * 1e9 / (double)(now_ns() - began);
}

static double bare_sqlite(unsigned group)
{
    static const uint8_t bytes[RECORD_BYTES];
    uint64_t began, n = 0;
    sqlite3_stmt *insert;
    char path[96];
    sqlite3 *db;

    path_of(path, sizeof(path), "bare.db");
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS r(id INTEGER PRIMARY KEY, b BLOB)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "INSERT INTO r(b) VALUES(?)", -1, &insert, NULL), SQLITE_OK);
    sqlite3_bind_blob(insert, 1, bytes, sizeof(bytes), SQLITE_STATIC);
    began = now_ns();
    for (; now_ns() < began + SECONDS * UINT64_C(1000000000); n += group) {
        sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
        for (unsigned i = 0; i < group; i++) {
            sqlite3_step(insert);
            sqlite3_reset(insert);
        }
        assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    }
    sqlite3_finalize(insert);
    sqlite3_close(db);
    return (double)n * 1e9 / (double)(now_ns() - began);
}

static uint64_t committed;

static void on_committed(void *ctx, const struct journal_record *const *r, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++)
        committed += r[i]->kind < MNC__JOURNAL_KIND__JOURNAL_BEGUN;
}

static void on_state(void *ctx, bool writable, const char *sentence)
{
    (void)ctx;
    if (!writable)
        fail_msg("%s", sentence);
}

static double our_journal(unsigned group)
{
    static const uint8_t bytes[RECORD_BYTES];
    const struct journal_observer observer = {.committed = on_committed, .state = on_state};
    const struct journal_limits limits = {.keep_us = UINT64_MAX, .max_bytes = UINT64_MAX};
    struct journal_record r = {.serial = "BENCH", .boot_id = 1, .kind = 2, .code = 1101, .bytes = bytes, .length = sizeof(bytes)};
    uint64_t began, n = 0;
    sd_event *event;
    struct journal *j;
    char path[96], why[400];

    path_of(path, sizeof(path), "ours.db");
    assert_int_equal(sd_event_new(&event), 0);
    assert_int_equal(journal_open(&j, path, &limits, NULL, why, sizeof(why)), 0);
    assert_int_equal(journal_start(j, event, &observer, why, sizeof(why)), 0);
    r.number = journal_newest(j, "BENCH");
    committed = 0;
    began = now_ns();
    while (now_ns() < began + SECONDS * UINT64_C(1000000000)) {
        for (unsigned i = 0; i < group; i++, n++) {
            r.number++;
            assert_true(journal_append(j, &r));
        }
        while (committed < n)
            sd_event_run(event, 100000);
    }
    began = now_ns() - began;
    journal_close(j);
    sd_event_unref(event);
    return (double)n * 1e9 / (double)began;
}

static void bench_journal(void **state)
{
    static const unsigned groups[] = {1, 16, 256};
    static const struct {
        const char *what;
        double (*run)(unsigned group);
    } all[] = {{"bare fdatasync", bare_file}, {"bare SQLite", bare_sqlite}, {"the journal", our_journal}};

    (void)state;
    for (size_t g = 0; g < 3; g++) {
        for (size_t i = 0; i < 3; i++) {
            printf("{\"bench\": \"journal\", \"of\": {\"at_once\": %u, \"what\": \"%s\"}, \"records_per_s\": %.0f}\n", groups[g], all[i].what, all[i].run(groups[g]));
            fflush(stdout);
        }
    }
}

static int begin(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int end(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(bench_journal, begin, end)};

    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
