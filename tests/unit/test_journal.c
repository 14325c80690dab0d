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

#include "store.h"
#include "log.h"

static struct {
    char dir[64], path[96];
    sd_event *event;
    struct journal *j;
    uint32_t committed[8]; /* the last number of each pen; pens are called P0 ... P7 */
    unsigned count, notes;
    uint64_t position;
    struct journal_limits limits;
    uint64_t host_us; /* of what is appended; 0: 5 */
    bool writable;
    char sentence[300];
} fx;

static void on_committed(void *ctx, const struct journal_record *const *r, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        uint32_t *last = &fx.committed[r[i]->serial[0] == 'P' ? r[i]->serial[1] - '0' : 0];

        assert_true(r[i]->position > fx.position);
        fx.position = r[i]->position;
        if (r[i]->kind >= MNC__JOURNAL_KIND__JOURNAL_BEGUN) {
            fx.notes++;
            continue;
        }
        assert_int_equal(r[i]->number, *last + 1); /* in order, each once */
        assert_int_equal(r[i]->length, 5 + r[i]->number % 7);
        assert_int_equal(r[i]->bytes[0], (uint8_t)r[i]->number);
        *last = r[i]->number;
        fx.count++;
    }
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
    return journal_open(&fx.j, fx.event, fx.path, &fx.limits, &observer, why, cap);
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
    fx.limits = (struct journal_limits){.keep_us = UINT64_C(365) * 86400 * 1000000, .max_bytes = 1 << 30};
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
    struct journal_record r = {.number = number, .boot_id = 7, .t_us = 1000 * number, .host_us = fx.host_us != 0 ? fx.host_us : 5, .kind = 2, .code = 1101, .bytes = bytes,
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

static struct journal_record seen(unsigned pen, uint32_t number, uint32_t boot_id)
{
    struct journal_record r = {.number = number, .boot_id = boot_id, .t_us = 1000 * number};

    snprintf(r.serial, sizeof(r.serial), "P%u", pen);
    return r;
}

static void a_renewed_memory_counts_in_another_volume(void **state)
{
    struct journal_record same, other;

    (void)state;
    assert_true(journal_recognise(fx.j, "P0", 0, 0, NULL)); /* never seen */
    assert_true(append(0, 1) && append(0, 2));
    run_until(2);
    same = seen(0, 2, 7);
    other = seen(0, 2, 8);
    assert_true(journal_recognise(fx.j, "P0", 2, 0, NULL));
    assert_true(journal_recognise(fx.j, "P0", 5, 0, &same));
    assert_false(journal_recognise(fx.j, "P0", 1, 0, NULL)); /* it has fewer than are here */
    assert_int_equal(journal_newest(fx.j, "P0"), 0);
    fx.committed[0] = 0;
    assert_true(append(0, 1) && append(0, 2));
    run_until(4);
    assert_int_equal(fx.notes, 1);
    reopen();
    assert_int_equal(journal_newest(fx.j, "P0"), 2);
    assert_false(journal_recognise(fx.j, "P0", 9, 0, &other)); /* the same number, written in another life */
    fx.committed[0] = 0;
    assert_true(append(0, 1));
    run_until(5);
    assert_int_equal(fx.notes, 2);
}

/* ---- reading ---- */

struct look {
    struct journal_work work;
    uint64_t position, missed;
    struct journal_filter filter;
    unsigned cap, count, notes;
    bool end, done;
};

static bool look_at(void *ctx, const struct journal_record *r)
{
    struct look *l = ctx;

    if (l->count + l->notes == l->cap)
        return false;
    if (r->kind >= MNC__JOURNAL_KIND__JOURNAL_BEGUN)
        l->notes++;
    else
        l->count++;
    return true;
}

static void run_look(struct journal_work *w, struct store *s)
{
    struct look *l = (struct look *)w;

    assert_int_equal(store_read(s, &l->position, &l->filter, look_at, l, &l->end, &l->missed), 0);
}

static void done_look(struct journal_work *w, bool ran)
{
    assert_true(ran);
    ((struct look *)w)->done = true;
}

static void look(struct look *l)
{
    l->work = (struct journal_work){.run = run_look, .done = done_look};
    l->count = l->notes = 0;
    l->done = false;
    journal_work(fx.j, &l->work);
    while (!l->done)
        assert_true(sd_event_run(fx.event, 10000) >= 0);
}

static void all_is_read_once_from_any_place(void **state)
{
    struct look l = {.cap = 7};
    unsigned total = 0;

    (void)state;
    for (uint32_t number = 1; number <= 100; number++)
        assert_true(append(0, number) && append(1, number));
    run_until(200);
    do {
        look(&l);
        total += l.count;
        assert_int_equal(l.missed, 0);
    } while (!l.end);
    assert_int_equal(total, 200);
    assert_int_equal(l.position, fx.position);
    look(&l);
    assert_true(l.end);
    assert_int_equal(l.count, 0);
}

static void filters_let_pass_what_they_say(void **state)
{
    static const struct {
        struct journal_filter filter;
        unsigned count;
    } cases[] = {
        {{.serial = ""}, 20},          {{.serial = "P1"}, 10},      {{.serial = "P2"}, 0},      {{.kinds = 1 << 2}, 20},       {{.kinds = 1 << 1}, 0},
        {{.priorities = "H"}, 20},     {{.priorities = "ML"}, 0},   {{.since_us = 5}, 20},      {{.since_us = 6}, 0},          {{.until_us = 5}, 20},
        {{.until_us = 4}, 0},
    };

    (void)state;
    for (uint32_t number = 1; number <= 10; number++)
        assert_true(append(0, number) && append(1, number));
    run_until(20);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct look l = {.cap = 1000, .filter = cases[i].filter};

        look(&l);
        assert_int_equal(l.count, cases[i].count);
        assert_true(l.end);
        assert_int_equal(l.position, fx.position);
    }
}

/* ---- retention ---- */

struct mark {
    struct journal_work work;
    uint64_t position;
    bool done;
};

static void run_mark(struct journal_work *w, struct store *s)
{
    assert_int_equal(store_exported(s, ((struct mark *)w)->position), 0);
}

static void done_mark(struct journal_work *w, bool ran)
{
    ((struct mark *)w)->done = ran;
}

static void exported(uint64_t position)
{
    struct mark m = {.work = {.run = run_mark, .done = done_mark}, .position = position};

    journal_work(fx.j, &m.work);
    while (!m.done)
        assert_true(sd_event_run(fx.event, 10000) >= 0);
}

static uint64_t rows_are_right(void)
{
    uint64_t rows;
    char why[400];

    if (journal_verify(fx.path, &rows, why, sizeof(why)) != 0)
        fail_msg("%s", why);
    return rows;
}

static void old_rows_are_dropped_when_they_were_exported(void **state)
{
    struct look l = {.cap = 1000};
    uint64_t position;

    (void)state;
    fx.limits.keep_us = 1;
    for (uint32_t number = 1; number <= 100; number++)
        assert_true(append(0, number)); /* of 1970 */
    run_until(100);
    position = fx.position;
    reopen(); /* a commit is the first again: retention looks */
    assert_true(append(0, 101));
    run_until(101);
    assert_int_equal(rows_are_right(), 102); /* nobody has exported any */
    exported(position - 50);
    reopen();
    fx.host_us = INT64_MAX / 2;
    assert_true(append(0, 102));
    run_until(102);
    look(&l);
    assert_int_equal(l.count, 52);
    assert_int_equal(l.notes, 1); /* it says what was dropped; the first row of all is gone */
    assert_int_equal(l.missed, position - 50);
    assert_int_equal(rows_are_right(), 53);
    reopen();
    assert_int_equal(journal_newest(fx.j, "P0"), 102);
    sql("DELETE FROM records WHERE position <= 60"); /* what was not dropped by retention shows */
    assert_int_equal(journal_verify(fx.path, &position, (char[400]){0}, 400), -EBADMSG);
}

static void too_many_rows_are_dropped_when_they_were_exported(void **state)
{
    struct look l = {.cap = 1000};

    (void)state;
    fx.limits.max_bytes = 1;
    fx.host_us = INT64_MAX / 2; /* not old */
    for (uint32_t number = 1; number <= 79; number++)
        assert_true(append(0, number));
    run_until(79);
    reopen();
    assert_true(append(0, 80));
    run_until(80);
    assert_int_equal(rows_are_right(), 81); /* nobody has exported any */
    exported(5);
    reopen();
    assert_true(append(0, 81));
    run_until(81);
    look(&l);
    assert_int_equal(l.missed, 5); /* an eighth would be ten */
    assert_int_equal(l.count, 81 - 4);
    assert_int_equal(l.notes, 1);
    assert_int_equal(rows_are_right(), 78);
}

static void a_full_disk_drops_what_nobody_has_exported_and_says_so(void **state)
{
    struct look l = {.cap = 1000};

    (void)state;
    for (uint32_t number = 1; number <= 79; number++)
        assert_true(append(0, number));
    run_until(79);
    fx.limits.free_bytes = UINT64_MAX / 2;
    reopen();
    fx.host_us = INT64_MAX / 2; /* not old */
    assert_true(append(0, 80));
    run_until(80);
    look(&l);
    assert_int_equal(l.count, 80 - 10);
    assert_int_equal(l.notes, 1);
    assert_int_equal(rows_are_right(), 71);
}

/* ---- the chain ---- */

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
    assert_int_equal(store_open(&s, fx.path, why, sizeof(why)), 0);
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

/* ---- trouble ---- */

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

    assert_int_equal(store_open(&s, path, why, sizeof(why)), error);
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
    }
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
    assert_int_equal(journal_open(&j, fx.event, "/nowhere/journal.db", &fx.limits, &observer, why, sizeof(why)), -ENOENT);
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
        TEST(all_is_read_once_from_any_place),
        TEST(filters_let_pass_what_they_say),
        TEST(old_rows_are_dropped_when_they_were_exported),
        TEST(too_many_rows_are_dropped_when_they_were_exported),
        TEST(a_full_disk_drops_what_nobody_has_exported_and_says_so),
        TEST(every_change_shows_in_the_chain),
        TEST(the_last_rows_cannot_be_taken_out_and_others_put_in),
        TEST(a_copy_is_whole_while_the_journal_is_written),
        TEST(a_flight_belongs_to_its_record),
        TEST(a_full_disk_is_said_and_caught_up_with),
        TEST(what_is_no_journal_is_left_alone),
        TEST(a_journal_is_one_daemon_s),
        TEST(a_damaged_file_is_set_aside_and_kept),
        TEST(a_version_that_is_none_is_damage),
        TEST(a_journal_of_a_later_version_is_left_alone),
        TEST(a_journal_of_an_earlier_version_is_brought_up),
        TEST(a_folder_that_is_not_there_is_said),
        TEST(a_killed_process_has_kept_its_word),
    };

    log_set_level(LOG_LEVEL_ERROR);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
