/* The journal's file: its hash chain, copies, disks that fail, and files that are damaged or somebody else's. */
#include "journals.h"

static void every_change_shows_in_the_chain(void **state)
{
    static const struct {
        const char *change, *back;
        unsigned right;
    } changes[] = {
        {"UPDATE records SET code = 1102 WHERE position = 6", "UPDATE records SET code = 1101 WHERE position = 6", 5},
        {"UPDATE records SET host_bound_us = 1 WHERE position = 7", "UPDATE records SET host_bound_us = 0 WHERE position = 7", 6},
        {"DELETE FROM records WHERE position = 5", NULL, 4},
        {"UPDATE records SET bytes = x'00' WHERE position = 2", NULL, 1},
        {"DELETE FROM records WHERE position <= 3", NULL, 0},
    };
    uint64_t rows = 0;
    char why[300];

    (void)state;
    for (uint32_t number = 1; number <= 10; number++)
        assert_true(append(0, number));
    run_until(10);
    assert_int_equal(journal_verify(fx.path, &rows, why, sizeof(why)), 0);
    assert_int_equal(rows, 11);
    assert_non_null(strstr(why, "all 11 rows are as they were written"));
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
    sql("UPDATE records SET t_us = 1 WHERE position = 11");
    reopen();
    assert_true(append(0, 11)); /* on top of a row that was changed */
    run_until(11);
    assert_int_equal(journal_verify(fx.path, &rows, why, sizeof(why)), -EBADMSG);
    assert_int_equal(rows, 10);
}

static void a_copy_is_whole_while_the_journal_is_written(void **state)
{
    char copy[160], why[400];
    uint64_t rows;

    (void)state;
    for (uint32_t number = 1; number <= 50; number++)
        assert_true(append(0, number));
    run_until(50);
    for (uint32_t number = 51; number <= 100; number++)
        assert_true(append(0, number));
    snprintf(copy, sizeof(copy), "%s.copy", fx.path);
    assert_int_equal(journal_backup(fx.path, copy, 0, why, sizeof(why)), 0);
    assert_int_equal(journal_verify(copy, &rows, why, sizeof(why)), 0);
    assert_true(rows >= 51);
    assert_int_equal(journal_backup(fx.path, copy, 0, why, sizeof(why)), -EIO); /* it is there */
    assert_int_equal(journal_backup(fx.path, copy, UINT64_MAX / 2, why, sizeof(why)), -ENOSPC);
    assert_non_null(strstr(why, "its disk has no room for a second one"));
    run_until(100);
}

static unsigned mode_of(const char *tail)
{
    char path[160];
    struct stat st;

    snprintf(path, sizeof(path), "%s%s", fx.path, tail);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

/* It names subjects: no other user reads it, past all roles. Neither a copy of it, nor one that an earlier version has made for all to read. */
static void a_journal_is_its_owner_s_alone(void **state)
{
    static const char *const tails[] = {"", "-wal", "-shm"};
    mode_t mask = umask(0);
    char path[160], why[400];

    (void)state;
    assert_true(append(0, 1));
    run_until(1);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(mode_of(tails[i]), 0600);
        snprintf(path, sizeof(path), "%s%s", fx.path, tails[i]);
        assert_int_equal(chmod(path, 0644), 0);
    }
    assert_int_equal(mode_of(".lock"), 0600);
    snprintf(path, sizeof(path), "%s.copy", fx.path);
    assert_int_equal(journal_backup(fx.path, path, 0, why, sizeof(why)), 0);
    assert_int_equal(mode_of(".copy"), 0600);
    reopen();
    assert_true(append(0, 2));
    run_until(2);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(mode_of(tails[i]), 0600);
    umask(mask);
}

static void a_flight_belongs_to_its_record(void **state)
{
    struct journal_record r = seen(0, 2, 7);
    char why[400];
    struct store *s;
    uint8_t out[8];
    size_t n, total;

    (void)state;
    assert_true(append(0, 1) && append(0, 2));
    journal_append_flight(fx.j, &r, (uint8_t *)strdup("0123456789"), 10);
    r.number = 99; /* of a record that is not there */
    journal_append_flight(fx.j, &r, (uint8_t *)strdup("x"), 1);
    run_until(2);
    assert_true(append(0, 3));
    run_until(3);
    journal_close(fx.j);
    fx.j = NULL;
    assert_int_equal(store_open(&s, fx.path, NULL, why, sizeof(why)), 0);
    assert_int_equal(store_flight(s, 3, 0, out, sizeof(out), &n, &total), 0);
    assert_int_equal(n, 8);
    assert_int_equal(total, 10);
    assert_memory_equal(out, "01234567", 8);
    assert_int_equal(store_flight(s, 3, 8, out, sizeof(out), &n, &total), 0);
    assert_int_equal(n, 2);
    assert_int_equal(store_flight(s, 3, 11, out, sizeof(out), &n, &total), 0);
    assert_int_equal(n, 0);
    assert_int_equal(store_flight(s, 2, 0, out, sizeof(out), &n, &total), -ENOENT);
    store_close(s);
    rows_are_right();
    sql("UPDATE flights SET bytes = x'00'");
    assert_int_equal(journal_verify(fx.path, &(uint64_t){0}, why, sizeof(why)), -EBADMSG);
    assert_non_null(strstr(why, "the telemetry that was kept with row 3 was changed"));
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

static void assert_left_alone(const char *path, int error, const char *sentence)
{
    struct store *s;
    char why[400];

    assert_int_equal(store_open(&s, path, NULL, why, sizeof(why)), error);
    assert_null(s);
    if (strstr(why, sentence) == NULL)
        fail_msg("wanted \"%s\", got \"%s\"", sentence, why);
}

/* A letter, another program's database, a link to a journal, a folder: not a byte of them is touched, and nothing is made beside them. */
static void what_is_no_journal_is_left_alone(void **state)
{
    static const char letter[] = "Dear board,\n";
    char folder[] = "/tmp/mn-journal-XXXXXX", path[60], before[8192] = "", after[8192] = "";
    sqlite3 *db;
    int fd, n;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/letter", folder);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, letter, sizeof(letter)), sizeof(letter));
    assert_left_alone(path, -EEXIST, "is a file that is no journal of mnd, and is left as it is");
    assert_int_equal(pread(fd, after, sizeof(after), 0), sizeof(letter));
    assert_string_equal(after, letter);
    close(fd);
    unlink(path);
    snprintf(path, sizeof(path), "%s/other.db", folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(a)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = (int)pread(fd, before, sizeof(before), 0);
    assert_left_alone(path, -EEXIST, "is a file that is no journal of mnd");
    assert_int_equal(pread(fd, after, sizeof(after), 0), n);
    assert_memory_equal(before, after, (size_t)n);
    close(fd);
    unlink(path);
    snprintf(path, sizeof(path), "%s/link", folder);
    assert_int_equal(symlink(fx.path, path), 0);
    assert_left_alone(path, -EEXIST, "is a symbolic link: a journal is a file");
    unlink(path);
    assert_left_alone(folder, -EEXIST, "is a folder");
    assert_int_equal(rmdir(folder), 0);
}

static void a_journal_is_one_daemon_s(void **state)
{
    char sentence[80];

    (void)state;
    snprintf(sentence, sizeof(sentence), "is in use by another mnd (pid %d)", (int)getpid());
    assert_left_alone(fx.path, -EBUSY, sentence);
    journal_close(fx.j);
    assert_int_equal(open_it((char[400]){0}, 400), 0);
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
        fx.position = 0;
        run_until(200 * (unsigned)(i + 1));
        journal_close(fx.j);
        fx.j = NULL;
        overwrite(damages[i].at, garbage, damages[i].n);
        assert_int_equal(open_it(why, sizeof(why)), 0);
        snprintf(aside, sizeof(aside), "%s.damaged-%zu", fx.path, i + 1);
        assert_non_null(strstr(why, "was damaged: it is kept as "));
        assert_non_null(strstr(why, aside));
        assert_int_equal(stat(aside, &st), 0);
        assert_true(st.st_size > 4096);
        assert_int_equal(journal_newest(fx.j, "P0"), 0); /* the pens are asked for all that they still have */
        assert_int_equal(mode_of(""), 0600);
    }
}

static void a_cancelled_opening_leaves_all_as_it_was(void **state)
{
    const atomic_bool cancel = true;
    struct journal *j = NULL;
    char why[300], aside[160];

    (void)state;
    for (uint32_t number = 1; number <= 1000; number++)
        assert_true(append(0, number));
    run_until(1000);
    journal_close(fx.j);
    fx.j = NULL;
    assert_int_equal(journal_open(&j, fx.path, &fx.limits, &cancel, why, sizeof(why)), -ECANCELED);
    assert_null(j);
    snprintf(aside, sizeof(aside), "%s.damaged-1", fx.path);
    assert_int_equal(access(aside, F_OK), -1); /* it is not taken for damage */
    reopen();
    assert_int_equal(journal_newest(fx.j, "P0"), 1000);
}

/* Found by fuzzing: a version below 0 was an index into the table of schemas. */
static void a_version_that_is_none_is_damage(void **state)
{
    char why[400];

    (void)state;
    journal_close(fx.j);
    fx.j = NULL;
    overwrite(60, "\xf4\xf4\xf4\xf4", 4); /* a database's user_version */
    assert_int_equal(open_it(why, sizeof(why)), 0);
    assert_non_null(strstr(why, "was damaged: it is kept as "));
}

static void a_journal_of_a_later_version_is_left_alone(void **state)
{
    char why[300];

    (void)state;
    assert_true(append(0, 1));
    run_until(1);
    journal_close(fx.j);
    fx.j = NULL;
    sql("PRAGMA user_version = 4");
    assert_int_equal(open_it(why, sizeof(why)), -EPROTONOSUPPORT);
    assert_non_null(strstr(why, "is of a later version of mnd: update mnd"));
    sql("PRAGMA user_version = 3");
    reopen();
    assert_int_equal(journal_newest(fx.j, "P0"), 1);
}

static void a_journal_of_an_earlier_version_is_brought_up(void **state)
{
    (void)state;
    assert_true(append(0, 1));
    run_until(1);
    journal_close(fx.j);
    fx.j = NULL;
    sql("DROP INDEX sessions"); /* as version 1 was; what version 3 has more is in test_past.c */
    sql("DROP TABLE treated; DROP TABLE uses; DROP TABLE subjects; DROP TABLE known");
    sql("PRAGMA user_version = 1");
    reopen();
    assert_int_equal(journal_newest(fx.j, "P0"), 1);
    journal_close(fx.j);
    fx.j = NULL;
    sql("DROP INDEX sessions"); /* it is there */
    sql("CREATE INDEX sessions ON records(code, position) WHERE kind >= 37");
    reopen();
}

static void a_folder_that_is_not_there_is_said(void **state)
{
    struct journal *j = NULL;
    char why[300];

    (void)state;
    assert_int_equal(journal_open(&j, "/nowhere/journal.db", &fx.limits, NULL, why, sizeof(why)), -ENOENT);
    assert_string_equal(why, "the journal /nowhere/journal.db cannot be opened: its folder is not there");
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
            fx.position = 0;
            for (number = fx.committed[0] + 1;; number++) {
                append(0, number);
                if (sd_event_run(fx.event, number % 5 == 0 ? 2000 : 0) < 0 || write(fds[1], &fx.committed[0], sizeof(number)) < 0)
                    _exit(1);
            }
        }
        close(fds[1]);
        for (int i = rand_r(&seed) % 40; i > 0 && read(fds[0], &number, sizeof(number)) == sizeof(number); i--) /* killed by what it has done, not by the clock */
            told = number;
        poll(NULL, 0, rand_r(&seed) % 5);
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
        TEST(every_change_shows_in_the_chain),
        TEST(the_last_rows_cannot_be_taken_out_and_others_put_in),
        TEST(a_copy_is_whole_while_the_journal_is_written),
        TEST(a_journal_is_its_owner_s_alone),
        TEST(a_flight_belongs_to_its_record),
        TEST(a_full_disk_is_said_and_caught_up_with),
        TEST(what_is_no_journal_is_left_alone),
        TEST(a_journal_is_one_daemon_s),
        TEST(a_damaged_file_is_set_aside_and_kept),
        TEST(a_cancelled_opening_leaves_all_as_it_was),
        TEST(a_version_that_is_none_is_damage),
        TEST(a_journal_of_a_later_version_is_left_alone),
        TEST(a_journal_of_an_earlier_version_is_brought_up),
        TEST(a_folder_that_is_not_there_is_said),
        TEST(a_killed_process_has_kept_its_word),
    };

    log_set_level(LOG_LEVEL_ERROR);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("journal_file", tests, NULL, NULL);
}
