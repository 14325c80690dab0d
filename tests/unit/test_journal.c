/* The journal: what was told as committed is there, whatever happens; and what happens is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal.h"
#include "log.h"

static struct {
    char dir[64], path[96];
    sd_event *event;
    struct journal *j;
    uint32_t committed[8]; /* the last number of each pen; pens are called P0 ... P7 */
    unsigned count;
    bool writable;
    char sentence[300];
} fx;

static void on_committed(void *ctx, const struct journal_record *r)
{
    uint32_t *last = &fx.committed[r->serial[1] - '0'];

    (void)ctx;
    assert_int_equal(r->number, *last + 1); /* in order, each once */
    assert_int_equal(r->length, 5 + r->number % 7);
    assert_int_equal(r->bytes[0], (uint8_t)r->number);
    *last = r->number;
    fx.count++;
}

static void on_state(void *ctx, bool writable, const char *sentence)
{
    (void)ctx;
    fx.writable = writable;
    snprintf(fx.sentence, sizeof(fx.sentence), "%s", sentence);
}

static const struct journal_observer observer = {.committed = on_committed, .state = on_state};

static int open_it(char *why, size_t cap)
{
    return journal_open(&fx.j, fx.event, fx.path, &observer, why, cap);
}

static void reopen(void)
{
    char why[300];

    journal_close(fx.j);
    fx.j = NULL;
    if (open_it(why, sizeof(why)) < 0)
        fail_msg("%s", why);
    assert_string_equal(why, "");
}

static int start(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.writable = true;
    strcpy(fx.dir, "/tmp/mn-journal-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    snprintf(fx.path, sizeof(fx.path), "%s/journal.db", fx.dir);
    assert_true(sd_event_new(&fx.event) >= 0);
    reopen();
    return 0;
}

static int stop(void **state)
{
    char command[128];

    (void)state;
    journal_close(fx.j);
    sd_event_unref(fx.event);
    snprintf(command, sizeof(command), "rm -rf %s", fx.dir);
    return system(command);
}

static bool append(unsigned pen, uint32_t number)
{
    uint8_t bytes[16] = {(uint8_t)number, 1, 2, 3};
    struct journal_record r = {.number = number, .boot_id = 7, .t_us = 1000 * number, .host_us = 5, .kind = 2, .code = 1101, .bytes = bytes,
                               .length = 5 + number % 7};

    snprintf(r.serial, sizeof(r.serial), "P%u", pen);
    return journal_append(fx.j, &r);
}

static void run_until(unsigned count)
{
    for (int i = 0; i < 2000 && fx.count < count; i++)
        assert_true(sd_event_run(fx.event, 10000) >= 0);
    assert_int_equal(fx.count, count);
}

static void sql(const char *text)
{
    char *error = NULL;
    sqlite3 *db;

    assert_int_equal(sqlite3_open(fx.path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", text, error);
    sqlite3_close(db);
}

static void what_is_committed_is_there_after_reopening(void **state)
{
    (void)state;
    for (uint32_t number = 1; number <= 100; number++) {
        for (unsigned pen = 0; pen < 3; pen++)
            assert_true(append(pen, number));
    }
    assert_int_equal(fx.count, 0); /* nobody is told before the loop turns */
    assert_int_equal(journal_newest(fx.j, "P1"), 0);
    run_until(300);
    assert_int_equal(journal_newest(fx.j, "P1"), 100);
    reopen();
    assert_int_equal(journal_newest(fx.j, "P1"), 100);
    assert_int_equal(journal_newest(fx.j, "P9"), 0);
    assert_true(append(1, 101));
    run_until(301);
}

static void what_waits_at_the_end_is_written(void **state)
{
    (void)state;
    for (uint32_t number = 1; number <= 50; number++)
        assert_true(append(0, number));
    reopen();
    assert_int_equal(journal_newest(fx.j, "P0"), 50);
}

static void a_renewed_memory_counts_in_another_volume(void **state)
{
    (void)state;
    assert_true(append(0, 1) && append(0, 2));
    run_until(2);
    journal_renew(fx.j, "P0", 0);
    assert_int_equal(journal_newest(fx.j, "P0"), 0);
    fx.committed[0] = 0;
    assert_true(append(0, 1));
    run_until(3);
    reopen();
    assert_int_equal(journal_newest(fx.j, "P0"), 1);
}

static void every_change_shows_in_the_chain(void **state)
{
    static const struct {
        const char *change, *back;
        unsigned right;
    } changes[] = {
        {"UPDATE records SET code = 1102 WHERE id = 5", "UPDATE records SET code = 1101 WHERE id = 5", 4},
        {"DELETE FROM records WHERE id = 4", NULL, 3},
        {"UPDATE records SET bytes = x'00' WHERE id = 1", NULL, 0},
    };
    uint64_t rows = 0;
    char why[300];

    (void)state;
    for (uint32_t number = 1; number <= 10; number++)
        assert_true(append(0, number));
    run_until(10);
    assert_int_equal(journal_verify(fx.path, &rows, why, sizeof(why)), 0);
    assert_int_equal(rows, 10);
    assert_non_null(strstr(why, "all 10 records are as they were written"));
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        sql(changes[i].change);
        assert_int_equal(journal_verify(fx.path, &rows, why, sizeof(why)), -EBADMSG);
        assert_int_equal(rows, changes[i].right);
        if (changes[i].back != NULL)
            sql(changes[i].back);
    }
}

static void the_last_rows_cannot_be_taken_out_and_others_put_in(void **state)
{
    uint64_t rows = 0;
    char why[300];

    (void)state;
    for (uint32_t number = 1; number <= 10; number++)
        assert_true(append(0, number));
    run_until(10);
    sql("UPDATE records SET t_us = 1 WHERE id = 10");
    reopen();
    assert_true(append(0, 11)); /* on top of a row that was changed */
    run_until(11);
    assert_int_equal(journal_verify(fx.path, &rows, why, sizeof(why)), -EBADMSG);
    assert_int_equal(rows, 9);
}

/* A file that can grow no more: what a full disk looks like to SQLite. */
static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_is_said_and_caught_up_with(void **state)
{
    uint32_t number = 1;

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size(4096);
    while (append(0, number))
        number++;
    assert_int_equal(number, JOURNAL_QUEUE_MAX + 1); /* the queue is full: the pen keeps the rest */
    for (int i = 0; i < 200 && fx.writable; i++)
        sd_event_run(fx.event, 10000);
    assert_false(fx.writable);
    assert_non_null(strstr(fx.sentence, "cannot be written: "));
    assert_int_equal(fx.count, 0); /* nothing that is not on disk was told */
    limit_file_size(RLIM_INFINITY);
    run_until(JOURNAL_QUEUE_MAX);
    assert_true(fx.writable);
    assert_non_null(strstr(fx.sentence, "is written again"));
    assert_true(append(0, number));
    run_until(JOURNAL_QUEUE_MAX + 1);
}

static void overwrite(off_t at, const char *bytes, size_t n)
{
    int fd = open(fx.path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), n);
    close(fd);
}

static void a_damaged_file_is_set_aside_and_kept(void **state)
{
    static const struct {
        off_t at;
        size_t n;
    } damages[] = {{0, 64}, {4096, 4096}};
    char why[300], aside[160];

    (void)state;
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        static const char garbage[4096] = "garbage";
        struct stat st;

        for (uint32_t number = 1; number <= 200; number++)
            assert_true(append(0, number));
        fx.committed[0] = 0;
        run_until(200 * (unsigned)(i + 1));
        journal_close(fx.j);
        overwrite(damages[i].at, garbage, damages[i].n);
        assert_int_equal(open_it(why, sizeof(why)), 0);
        snprintf(aside, sizeof(aside), "%s.damaged-%zu", fx.path, i + 1);
        assert_non_null(strstr(why, "was damaged: it is kept as "));
        assert_non_null(strstr(why, aside));
        assert_int_equal(stat(aside, &st), 0);
        assert_true(st.st_size > 4096);
        assert_int_equal(journal_newest(fx.j, "P0"), 0); /* the pens are asked for all that they still have */
    }
}

static void a_journal_of_a_later_version_is_left_alone(void **state)
{
    char why[300];

    (void)state;
    assert_true(append(0, 1));
    run_until(1);
    journal_close(fx.j);
    fx.j = NULL;
    sql("PRAGMA user_version = 2");
    assert_int_equal(open_it(why, sizeof(why)), -EPROTONOSUPPORT);
    assert_non_null(strstr(why, "is of a later version of mnd: update mnd"));
    sql("PRAGMA user_version = 1");
    reopen();
    assert_int_equal(journal_newest(fx.j, "P0"), 1);
}

static void a_folder_that_is_not_there_is_said(void **state)
{
    struct journal *j = NULL;
    char why[300];

    (void)state;
    assert_int_equal(journal_open(&j, fx.event, "/nowhere/journal.db", &observer, why, sizeof(why)), -EIO);
    assert_string_equal(why, "the journal /nowhere/journal.db cannot be opened: unable to open database file");
}

/* A process that is killed at any moment has on disk at least what it told as committed. */
static void a_killed_process_has_kept_its_word(void **state)
{
    unsigned seed = 1, worst = 0;

    (void)state;
    for (int round = 0; round < 30; round++) {
        uint32_t told = 0, number;
        int fds[2], status;
        pid_t pid;

        journal_close(fx.j);
        fx.j = NULL;
        assert_int_equal(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
            char why[300];

            sd_event_unref(fx.event);
            if (sd_event_new(&fx.event) < 0 || open_it(why, sizeof(why)) < 0)
                _exit(1);
            fx.committed[0] = journal_newest(fx.j, "P0");
            for (number = fx.committed[0] + 1;; number++) {
                append(0, number);
                if (sd_event_run(fx.event, number % 5 == 0 ? 2000 : 0) < 0 || write(fds[1], &fx.committed[0], sizeof(number)) < 0)
                    _exit(1);
            }
        }
        close(fds[1]);
        poll(NULL, 0, 5 + rand_r(&seed) % 60);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        while (read(fds[0], &number, sizeof(number)) == sizeof(number))
            told = number;
        close(fds[0]);
        reopen();
        assert_true(journal_newest(fx.j, "P0") >= told);
        worst = told > worst ? told : worst;
    }
    assert_true(worst > 100);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(what_is_committed_is_there_after_reopening),
        TEST(what_waits_at_the_end_is_written),
        TEST(a_renewed_memory_counts_in_another_volume),
        TEST(every_change_shows_in_the_chain),
        TEST(the_last_rows_cannot_be_taken_out_and_others_put_in),
        TEST(a_full_disk_is_said_and_caught_up_with),
        TEST(a_damaged_file_is_set_aside_and_kept),
        TEST(a_journal_of_a_later_version_is_left_alone),
        TEST(a_folder_that_is_not_there_is_said),
        TEST(a_killed_process_has_kept_its_word),
    };

    log_set_level(LOG_LEVEL_ERROR);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
