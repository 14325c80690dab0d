/* Disks, files and memory that fail. */
#include "crash_words.h"

static bool log_says(const char *text)
{
    char line[512];
    FILE *f = fopen(fx.log, "r");
    bool says = false;

    while (f != NULL && !says && fgets(line, sizeof(line), f) != NULL)
        says = strstr(line, text) != NULL;
    if (f != NULL)
        fclose(f);
    return says;
}

static void the_disk_fails_and_comes_back(void **state)
{
    static const struct {
        int write_error, sync_error;
        const char *reason;
    } cases[] = {
        {ENOSPC, 0, "database or disk is full"},
        {EROFS, 0, "disk I/O error in write"},
        {EIO, 0, "disk I/O error in write"},
        {0, EIO, "disk I/O error in fsync"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mn_daemon d = {0};
        struct mn_status s;
        char sentence[300];
        uint64_t samples, records;

        well();
        records = fx.records;
        snprintf(sentence, sizeof(sentence), "the journal %s cannot be written: %s", fx.journal, cases[i].reason);
        fx.shim->write_error = cases[i].write_error;
        fx.shim->sync_error = cases[i].sync_error;
        say("inject 1501");
        until(mn_daemon_info(fx.c, &d, T) == MN_OK && d.journal_error[0] != '\0');
        assert_string_equal(d.journal_error, sentence);
        assert_true(log_says(sentence));
        assert_int_equal(harness_arm(fx.c, "CRASH", NULL), MN_ERR_JOURNAL);
        assert_non_null(strstr(mn_message(fx.c), "2008 JOURNAL_UNWRITABLE"));
        samples = fx.samples;
        until(fx.samples > samples + 500); /* telemetry goes on */
        assert_int_equal(mn_config_set(fx.c, "CRASH", &(struct mn_config){.present = MN_SET_DEPTH_UM, .depth_um = 700}, NULL, NULL, T), MN_OK);
        assert_int_equal(mn_pen_status(fx.c, "CRASH", &s, T), MN_OK);
        assert_true(s.records_acked < s.records_newest);
        assert_int_equal(fx.records, records); /* nobody was told */
        fx.shim->write_error = fx.shim->sync_error = 0;
        until(all_is_told(3));
        assert_int_equal(mn_daemon_info(fx.c, &d, T), MN_OK);
        assert_string_equal(d.journal_error, "");
        assert_true(log_says("is written again"));
        nothing_is_lost_or_doubled();
        printf("# %s\n", sentence);
        end();
    }
}

static bool journal_says(const char *text)
{
    struct mn_daemon d = {0};

    return fx.c != NULL && mn_daemon_info(fx.c, &d, T) == MN_OK && strstr(d.journal_error, text) != NULL;
}

/* While the journal is being opened the daemon serves pens and clients; what needs the journal waits for it, or is told that it does. */
static void a_slow_disk_keeps_nobody_from_stopping(void **state)
{
    struct mn_cursor begin_at = {0};
    struct mn_records page;
    struct mn_options o = {.name = "the program", .on_event = on_event, .timeout_ms = T};
    int r = MN_ERR_JOURNAL;

    (void)state;
    begin();
    o.socket = fx.socket;
    fx.shim->sync_ms = 60000; /* as good as never */
    start_mnd();
    start_pens("1", NULL);
    for (int i = 0; i < 4000 && fx.c == NULL; i++) {
        mn_connect(&fx.c, &o, NULL, 0);
        poll(NULL, 0, 5);
    }
    assert_true(journal_says("is being opened"));
    for (int i = 0; i < 4000 && mn_pen_status(fx.c, "CRASH", &(struct mn_status){0}, T) != MN_OK; i++)
        poll(NULL, 0, 5);
    if (mn_stop(fx.c, "CRASH", T) != MN_OK)
        fail_msg("%s", mn_message(fx.c));
    assert_int_equal(mn_records_read(fx.c, &begin_at, NULL, &page, T), MN_ERR_JOURNAL); /* it has waited */
    assert_non_null(strstr(mn_message(fx.c), "is being opened: try again"));
    assert_int_equal(mn_session_arm(fx.c, "CRASH", 1, &(struct mn_session){0}, T), MN_ERR_JOURNAL);
    assert_int_equal(mn_stop(fx.c, "CRASH", T), MN_OK);
    end_process(&fx.mnd, SIGKILL);
    mn_close(fx.c);
    fx.c = NULL;

    fx.shim->sync_ms = 100; /* several of them: a question that comes meanwhile is answered when the journal is there */
    start_mnd();
    for (int i = 0; i < 4000 && fx.c == NULL; i++) {
        mn_connect(&fx.c, &o, NULL, 0);
        poll(NULL, 0, 5);
    }
    assert_true(journal_says("is being opened"));
    for (int i = 0; i < 10 && r != MN_OK; i++) /* it waits for 3 s at most, and a busy machine may take longer */
        assert_true((r = mn_records_read(fx.c, &begin_at, NULL, &page, T)) == MN_OK || r == MN_ERR_JOURNAL);
    assert_int_equal(r, MN_OK);
    assert_true(page.count > 0 && page.record[0].kind == MN_RECORD_BEGUN);
    mn_records_free(&page);
    fx.shim->sync_ms = 0;
    mn_close(fx.c);
    fx.c = NULL;
    until(all_is_told(1));
    nothing_is_lost_or_doubled();
    end();
}

/* The file is damaged while the daemon is away: it is kept, a new one is begun, and the pen brings what it still has. */
static void a_damaged_file_is_kept_and_the_pen_brings_all_again(void **state)
{
    static const struct {
        off_t at;
        size_t n;
    } damages[] = {{0, 64}, {4096, 3000}}; /* the header but for the application id, by which it is known */
    char aside[160];

    (void)state;
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        static const char garbage[4096] = "garbage";
        struct mn_cursor before;
        int fd;

        well();
        say("inject 1501");
        until(all_is_told(2));
        before = fx.place;
        end_process(&fx.mnd, SIGTERM);
        fd = open(fx.journal, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, garbage, damages[i].n, damages[i].at), damages[i].n);
        close(fd);
        fx.last[0] = 0; /* another journal: all comes again, and the program sees that it is another */
        start_mnd();
        until(all_is_told(2));
        assert_int_not_equal(fx.place.journal, before.journal);
        assert_int_equal(fx.kinds[MN_RECORD_BEGUN], 2);
        snprintf(aside, sizeof(aside), "%s.damaged-1", fx.journal);
        assert_int_equal(access(aside, R_OK), 0);
        assert_true(log_says("was damaged: it is kept as "));
        nothing_is_lost_or_doubled();
        end();
    }
}

static void a_journal_of_a_later_version_is_left_alone(void **state)
{
    static const uint8_t later[4] = {0, 0, 0, 99};
    uint8_t version[4];
    struct mn_daemon d;
    int fd;

    (void)state;
    well();
    end_process(&fx.mnd, SIGTERM);
    fd = open(fx.journal, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, version, 4, 60), 4); /* user_version, in the file's header */
    assert_int_equal(pwrite(fd, later, 4, 60), 4);
    close(fd);
    start_mnd();
    say("inject 1501");
    until(mn_daemon_info(fx.c, &d, 300) == MN_OK && d.journal_error[0] != '\0');
    assert_non_null(strstr(d.journal_error, "is of a later version of mnd: update mnd"));
    fd = open(fx.journal, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, version, 4, 60), 4);
    close(fd);
    until(all_is_told(2)); /* within seconds, without a restart */
    nothing_is_lost_or_doubled();
    end();
}

/* The allocations of a run; fail_at 0: none fails. */
static uint64_t run_with_failing_allocation(uint64_t fail_at, unsigned *refused)
{
    uint64_t allocations;
    int status = 0;

    begin();
    fx.shim->fail_at = fail_at;
    start_mnd();
    start_pens("1", NULL);
    say("inject 1401");
    for (int i = 0; i < 2000 && !all_is_told(2) && waitpid(fx.mnd, &status, WNOHANG) == 0; i++)
        live(5);
    if (WIFSIGNALED(status)) {
        show_log();
        fail_msg("allocation %lu failed, and mnd ended by signal %d", (unsigned long)fail_at, WTERMSIG(status));
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) { /* it could not begin, and says so */
        ++*refused;
        fx.shim->fail_at = 0;
        start_mnd();
    }
    until(all_is_told(2));
    nothing_is_lost_or_doubled();
    allocations = fx.shim->allocations;
    end();
    return allocations;
}

static void every_allocation_fails_once(void **state)
{
    const char *step = getenv("MN_ALLOCATION_STEP"), *from = getenv("MN_ALLOCATION_FROM");
    uint64_t every = step != NULL ? strtoul(step, NULL, 10) : 1;
    unsigned tried = 0, refused = 0;
    uint64_t count;

    (void)state;
    count = run_with_failing_allocation(0, &refused);
    if (count == 0) {
        print_message("allocations are the sanitizer's here\n");
        skip();
    }
    for (uint64_t at = from != NULL ? strtoul(from, NULL, 10) : 1; at <= count; at += every, tried++)
        run_with_failing_allocation(at, &refused);
    printf("# %u of %lu allocations failed, one in each run: lost %u, doubled %u; in %u mnd did not begin, and said so\n", tried, (unsigned long)count,
           lost, doubled, refused);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_disk_fails_and_comes_back),
        cmocka_unit_test(a_slow_disk_keeps_nobody_from_stopping),
        cmocka_unit_test(a_damaged_file_is_kept_and_the_pen_brings_all_again),
        cmocka_unit_test(a_journal_of_a_later_version_is_left_alone),
        cmocka_unit_test(every_allocation_fails_once),
    };

    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("crash_disk", tests, NULL, NULL);
}
