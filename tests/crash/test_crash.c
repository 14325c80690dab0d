/*
 * Records are never lost and never doubled: the daemon is killed before and after everything that it does to its file, to its loop and to
 * the pens; the pen's power goes in every write to its memory; the disk fails in every way; every allocation fails, once. After
 * each, a program that keeps its place must have seen every record of the pen exactly once, in order.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim.h"
#include "journal.h"

enum { PATIENCE_MS = 20000, PENS_MAX = 32 };

static struct {
    char dir[64], socket[96], sim[100], control[100], journal[128], shim_path[96], log[96], config[96];
    struct shim *shim;
    pid_t mnd, pens;
    /* the program */
    mn_client *c;
    struct mn_cursor place;
    uint32_t last[PENS_MAX]; /* number, by pen */
    unsigned lost, doubled, notes, kinds[64];
    uint64_t records, samples, host_us;
} fx;

/* ---- the parts ---- */

static pid_t run(const char *const *arguments)
{
    pid_t pid = fork();
    int fd;

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    fd = open(fx.log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    execv(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static void start_mnd(void)
{
    static const char mnd[] = MN_BIN_DIR "/mnd_shim";
    const char *const arguments[] = {mnd,          "--no-usb", "--socket", fx.socket, "--sim-socket", fx.sim, "--journal",
                                     fx.journal, "--config", fx.config,  NULL};

    fx.mnd = run(arguments);
}

static void start_pens(const char *count, const char *nvm)
{
    static const char penstub[] = MN_BIN_DIR "/penstub";
    const char *const arguments[] = {penstub, "--connect", fx.sim,     "--serial",                   "CRASH", "--pens",
                                     count,   "--control", fx.control, nvm != NULL ? "--nvm" : NULL, nvm,     NULL};

    for (int i = 0; i < 100 && access(fx.sim, F_OK) < 0; i++) /* or it would wait before it tries again */
        poll(NULL, 0, 2);
    fx.pens = run(arguments);
}

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    const struct mn_record *r = e->record;
    unsigned pen = 0;

    (void)c;
    (void)user;
    if (e->kind == MN_EVENT_TELEMETRY)
        fx.samples += e->telemetry->fast.count;
    if (e->kind != MN_EVENT_RECORD)
        return;
    fx.place = r->cursor;
    fx.kinds[r->kind]++;
    if (r->kind >= MN_RECORD_BEGUN) {
        fx.notes++;
        return;
    }
    if (sscanf(r->serial, "CRASH-%u", &pen) == 1)
        pen--;
    assert_in_range(pen, 0, PENS_MAX - 1);
    if (r->number <= fx.last[pen])
        fx.doubled++;
    if (r->number > fx.last[pen] + 1)
        fx.lost += r->number - fx.last[pen] - 1;
    fx.last[pen] = r->number;
    fx.records++;
    fx.host_us = r->host_us;
}

static void begin(void)
{
    int fd;

    memset(&fx, 0, sizeof(fx));
    strcpy(fx.dir, "/tmp/mn-test-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    snprintf(fx.socket, sizeof(fx.socket), "%s/mnd.sock", fx.dir);
    snprintf(fx.sim, sizeof(fx.sim), "%s/sim", fx.dir);
    snprintf(fx.control, sizeof(fx.control), "%s/control", fx.dir);
    snprintf(fx.journal, sizeof(fx.journal), "%s/journal.db", fx.dir);
    snprintf(fx.shim_path, sizeof(fx.shim_path), "%s/shim", fx.dir);
    snprintf(fx.log, sizeof(fx.log), "%s/log", fx.dir);
    fd = open(fx.shim_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(*fx.shim)), 0);
    fx.shim = mmap(NULL, sizeof(*fx.shim), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(fx.shim != MAP_FAILED);
    close(fd);
    setenv("MN_SHIM", fx.shim_path, 1);
    snprintf(fx.config, sizeof(fx.config), "%s/mnd.yaml", fx.dir);
    fd = open(fx.config, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "group: ''\n", 10), 10); /* glibc asserts when its look for a group has no memory */
    close(fd);
}

static void show_log(void)
{
    char line[512];
    FILE *f = fopen(fx.log, "r");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        fprintf(stderr, "# %s", line);
    if (f != NULL)
        fclose(f);
}

static void show_state(void)
{
    struct mn_status s = {0};
    int r = fx.c != NULL ? mn_pen_status(fx.c, "CRASH", &s, 300) : -1;

    fprintf(stderr, "# program: %s, last %u, records %lu, lost %u, doubled %u; pen: result %d, newest %u, acked %u; allocation %lu of %lu\n", fx.c != NULL ? "connected" : "not connected",
            fx.last[0], (unsigned long)fx.records, fx.lost, fx.doubled, r, s.records_newest, s.records_acked,
            (unsigned long)fx.shim->fail_at, (unsigned long)fx.shim->allocations);
}

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

static void end_process(pid_t *pid, int signal)
{
    if (*pid > 0) {
        kill(*pid, signal);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

static void end(void)
{
    char command[96];

    mn_close(fx.c);
    end_process(&fx.mnd, SIGTERM);
    end_process(&fx.pens, SIGTERM);
    munmap(fx.shim, sizeof(*fx.shim));
    snprintf(command, sizeof(command), "rm -rf %s", fx.dir);
    assert_int_equal(system(command), 0);
}

/* A moment of the program's life: it connects if it can, and takes what comes. */
static void live(unsigned ms)
{
    struct mn_options o = {.socket = fx.socket, .name = "the program", .reconnect = true, .on_event = on_event, .timeout_ms = 1000};

    if (fx.c == NULL && mn_connect(&fx.c, &o, NULL, 0) == MN_OK && mn_records_follow(fx.c, &fx.place, NULL, 1000) != MN_OK) {
        mn_close(fx.c);
        fx.c = NULL;
    }
    if (fx.c == NULL) {
        poll(NULL, 0, 5);
        return;
    }
    for (uint64_t end_ms = harness_now_ms() + ms; harness_now_ms() < end_ms;) {
        struct pollfd fd = {.fd = mn_fd(fx.c), .events = mn_events(fx.c)};
        int own = mn_timeout_ms(fx.c);

        poll(&fd, 1, own >= 0 && own < (int)ms ? own : (int)ms);
        mn_process(fx.c);
    }
}

#define until(condition)                                                                                               \
    do {                                                                                                               \
        uint64_t end_ms_ = harness_now_ms() + PATIENCE_MS;                                                             \
        while (!(condition)) {                                                                                         \
            if (harness_now_ms() > end_ms_) {                                                                          \
                show_log();                                                                                            \
                show_state();                                                                                          \
                fail_msg("%s:%d: not within %d ms: %s", __FILE__, __LINE__, PATIENCE_MS, #condition);                  \
            }                                                                                                          \
            live(5);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* To the simulation, whether or not there is a daemon. */
static void say(const char *line)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char answer[512] = "";
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, fx.control);
    for (int i = 0; i < 400 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0; i++)
        poll(NULL, 0, 5);
    assert_true(send(fd, line, strlen(line), MSG_NOSIGNAL) > 0);
    assert_true(recv(fd, answer, sizeof(answer) - 1, 0) > 0);
    assert_memory_equal(answer, "ok", 2);
    close(fd);
}

/* The pen has nothing that the program has not seen, and knows it. */
static bool all_is_told(uint32_t at_least)
{
    struct mn_status s;

    return fx.c != NULL && mn_pen_status(fx.c, "CRASH", &s, 300) == MN_OK && s.records_newest >= at_least && s.records_acked == s.records_newest &&
           fx.last[0] == s.records_newest;
}

static unsigned lost, doubled; /* in all runs of a test */

static void nothing_is_lost_or_doubled(void)
{
    uint64_t rows;
    char why[400];

    lost += fx.lost;
    doubled += fx.doubled;
    if (fx.lost != 0 || fx.doubled != 0)
        show_log();
    assert_int_equal(fx.lost, 0);
    assert_int_equal(fx.doubled, 0);
    if (journal_verify(fx.journal, &rows, why, sizeof(why)) != 0)
        fail_msg("%s", why);
}

/* ---- the daemon is killed ---- */

/* Whether it was. */
static bool killed_at(uint64_t at)
{
    bool killed;
    int status;

    begin();
    fx.shim->kill_at = at;
    start_mnd();
    start_pens("1", NULL);
    say("inject 1401"); /* records come while it begins, and later */
    live(40);
    say("inject 1501");
    live(40);
    say("inject 1403");
    for (int i = 0; i < 400 && !all_is_told(4) && waitpid(fx.mnd, &status, WNOHANG) == 0; i++)
        live(5);
    fx.shim->kill_at = 0;
    killed = fx.shim->points >= at;
    if (killed) {
        end_process(&fx.mnd, SIGKILL);
        start_mnd();
    }
    until(all_is_told(4));
    nothing_is_lost_or_doubled();
    end();
    return killed;
}

static void killed_at_every_point_nothing_is_lost_or_doubled(void **state)
{
    const char *step = getenv("MN_CRASH_STEP"); /* only every so manyth, for those who wait */
    uint64_t every = step != NULL ? strtoul(step, NULL, 10) : 1;
    unsigned tried = 0, beyond = 0;

    (void)state;
    for (uint64_t at = 1; beyond < 3; at += every) {
        if (killed_at(at)) {
            tried++;
            beyond = 0;
        } else {
            beyond++; /* how much is written at once varies a little */
        }
    }
    printf("# %u points tried: lost %u, doubled %u\n", tried, lost, doubled);
    assert_true(tried * every > 60);
}

/* ---- the pen's power goes ---- */

static void the_pens_power_goes_in_every_write_to_its_memory(void **state)
{
    static const unsigned arrive[] = {0, 7, 40, 4096}; /* bytes of the write */
    unsigned tried = 0, beyond = 0;

    (void)state;
    for (unsigned write = 1; beyond < 2; write++) {
        for (size_t i = 0; i < sizeof(arrive) / sizeof(arrive[0]); i++) {
            struct mn_info info;
            char line[64];

            begin();
            start_mnd();
            start_pens("1", NULL);
            until(all_is_told(1));
            snprintf(line, sizeof(line), "power-cut %u %u", write, arrive[i]);
            say(line);
            say("inject 1401");
            live(30);
            say("inject 1501");
            until(all_is_told(3));
            live(20);
            until(all_is_told(3) && mn_pen_info(fx.c, "CRASH", &info, 500) == MN_OK);
            nothing_is_lost_or_doubled();
            beyond = info.boot_count > 1 ? 0 : beyond + 1;
            tried += info.boot_count > 1;
            end();
            if (beyond > 0)
                break;
        }
    }
    printf("# the power went %u times: lost %u, doubled %u\n", tried, lost, doubled);
    assert_true(tried >= 8);
}

/* ---- the disk fails ---- */

static void well(void)
{
    begin();
    start_mnd();
    start_pens("1", NULL);
    until(all_is_told(1));
    assert_int_equal(mn_subscribe(fx.c, NULL, true, T), MN_OK);
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

/* ---- time ---- */

static void the_clock_is_set_by_a_day_and_back(void **state)
{
    static const int32_t days[] = {0, 1, 0, -1, 0};
    uint64_t before = 0;

    (void)state;
    well();
    for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
        uint32_t newest = fx.last[0];

        fx.shim->realtime_offset_s = days[i] * 86400;
        say("inject 1401");
        until(all_is_told(newest + 1));
        if (i > 0)
            assert_in_range(fx.host_us, before + (uint64_t)((days[i] - days[i - 1]) * 86400000000LL),
                            before + (uint64_t)((days[i] - days[i - 1]) * 86400000000LL + 20000000));
        before = fx.host_us;
        say("clear 1401");
        until(all_is_told(newest + 2));
    }
    nothing_is_lost_or_doubled();
    end();
}

/* ---- many ---- */

static unsigned answers;

static void on_set(mn_client *c, const struct mn_result *r, void *user)
{
    (void)c;
    (void)user;
    if (r->error != MN_OK)
        fail_msg("%s", r->message);
    answers++;
}

static bool are_safe(size_t count)
{
    struct mn_pens pens;
    size_t safe = 0;

    if (mn_list(fx.c, &pens, T) != MN_OK)
        return false;
    for (size_t i = 0; i < pens.count; i++)
        safe += pens.pen[i].state == MN_STATE_SAFE;
    mn_pens_free(&pens);
    return safe == count;
}

/* A pen holds 1000 records: what it had to overwrite while the disk was away is said, not passed over. */
static void what_a_pen_has_overwritten_is_said(void **state)
{
    struct mn_filter filter = {.serial = "CRASH"};
    struct mn_cursor place = {0};
    struct mn_records page = {0};
    uint64_t said = 0;

    (void)state;
    well();
    until(are_safe(1));
    fx.shim->write_error = ENOSPC;
    answers = 0;
    for (unsigned i = 1; i <= 2500; i++) {
        struct mn_config change = {.present = MN_SET_DEPTH_UM, .depth_um = 50 * (1 + i % 2)};

        assert_int_equal(mn_config_set_async(fx.c, "CRASH", &change, NULL, T, on_set, NULL), MN_OK);
        while (answers + 3 < i)
            live(1);
    }
    until(answers == 2500);
    fx.shim->write_error = 0;
    until(all_is_told(2501));
    do {
        mn_records_free(&page);
        assert_int_equal(mn_records_read(fx.c, &place, &filter, &page, T), MN_OK);
        for (size_t i = 0; i < page.count; i++) {
            if (page.record[i].kind == MN_RECORD_LOST)
                said += page.record[i].note.through - page.record[i].note.first + 1;
        }
        place = page.next;
    } while (!page.end);
    mn_records_free(&page);
    printf("# %u of 2501 records were overwritten, and said\n", fx.lost);
    assert_int_equal(fx.lost, said);
    assert_true(fx.lost > 400);
    assert_int_equal(fx.doubled, 0);
    fx.lost = 0;
    nothing_is_lost_or_doubled(); /* of what the pen still had */
    end();
}

static void thirty_two_pens_bring_a_thousand_records_each(void **state)
{
    struct mn_status s;
    uint64_t began_ms;
    unsigned sent = 0;

    (void)state;
    begin();
    answers = 0;
    start_mnd();
    start_pens("32", NULL);
    until(fx.records >= PENS_MAX && are_safe(PENS_MAX));
    fx.shim->write_error = ENOSPC; /* from here on all wait for the disk */
    for (unsigned round = 1; round < 1000; round++) {
        for (unsigned pen = 1; pen <= PENS_MAX; pen++) {
            struct mn_config change = {.present = MN_SET_DEPTH_UM, .depth_um = 50 * (1 + round % 2)};
            char serial[16];

            snprintf(serial, sizeof(serial), "CRASH-%04u", pen);
            assert_int_equal(mn_config_set_async(fx.c, serial, &change, NULL, T, on_set, NULL), MN_OK);
            sent++;
        }
        while (answers + 3 * PENS_MAX < sent)
            live(1);
    }
    until(answers == sent);
    assert_int_equal(fx.records, PENS_MAX);
    began_ms = harness_now_ms();
    fx.shim->write_error = 0;
    until(fx.records == PENS_MAX * 1000);
    printf("# 32 pens x 1000 records within %lu ms, of which up to 1000 until the disk is tried again\n", (unsigned long)(harness_now_ms() - began_ms));
    for (unsigned pen = 0; pen < PENS_MAX; pen++)
        assert_int_equal(fx.last[pen], 1000);
    until(mn_pen_status(fx.c, "CRASH-0032", &s, T) == MN_OK && s.records_acked == 1000);
    nothing_is_lost_or_doubled();
    end();
}

/* ---- memory fails ---- */

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
        cmocka_unit_test(killed_at_every_point_nothing_is_lost_or_doubled),
        cmocka_unit_test(the_pens_power_goes_in_every_write_to_its_memory),
        cmocka_unit_test(the_disk_fails_and_comes_back),
        cmocka_unit_test(a_damaged_file_is_kept_and_the_pen_brings_all_again),
        cmocka_unit_test(a_journal_of_a_later_version_is_left_alone),
        cmocka_unit_test(the_clock_is_set_by_a_day_and_back),
        cmocka_unit_test(thirty_two_pens_bring_a_thousand_records_each),
        cmocka_unit_test(what_a_pen_has_overwritten_is_said),
        cmocka_unit_test(every_allocation_fails_once),
    };

    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
