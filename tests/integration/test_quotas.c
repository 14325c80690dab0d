/* How many clients one user may have, and how much may wait for them: who is beyond it is told, and the rest goes on. */
#include "client_words.h"

static char config_path[64];

static void start_with(const char *configuration)
{
    char option[80];
    FILE *f;

    strcpy(config_path, "/tmp/mn-config-XXXXXX");
    f = fdopen(mkstemp(config_path), "w");
    assert_non_null(f);
    assert_true(fputs(configuration, f) >= 0 && fclose(f) == 0);
    snprintf(option, sizeof(option), "--config=%s", config_path);
    harness_start(&h, 1, option);
    unlink(config_path);
}

static void a_user_has_so_many_programs_and_the_next_is_told(void **state)
{
    char why[300];
    int fd[4];

    (void)state;
    start_with("max_clients_per_user: 4\n");
    for (size_t i = 0; i < 3; i++)
        fd[i] = rude_greet(h.socket); /* the fourth is the harness's own */
    fd[3] = rude_connect(h.socket);
    assert_true(goodbye_says(fd[3], "4 programs of user 0 are connected, the limit is 4"));
    close(fd[3]);
    close(fd[0]);
    for (uint64_t end_ms = harness_now_ms() + T;;) { /* one less, and there is a place again */
        mn_client *c;
        struct mn_options o = {.socket = h.socket};

        if (mn_connect(&c, &o, why, sizeof(why)) == MN_OK) {
            mn_close(c);
            break;
        }
        assert_non_null(strstr(why, "the limit is 4"));
        assert_true(harness_now_ms() < end_ms);
    }
    close(fd[1]);
    close(fd[2]);
}

/* As nobody: 0 connected and greeted, 1 not. */
static int connects_as_nobody(void)
{
    const struct passwd *nobody = getpwnam("nobody");
    int status;
    pid_t pid;

    assert_non_null(nobody);
    pid = fork();
    if (pid == 0) {
        struct mn_options o = {.socket = h.socket};
        mn_client *c;

        _exit(setgid(nobody->pw_gid) < 0 || setuid(nobody->pw_uid) < 0 || mn_connect(&c, &o, NULL, 0) != MN_OK);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void one_user_at_its_limit_takes_no_place_of_another(void **state)
{
    int fd[4];

    (void)state;
    if (getuid() != 0) {
        print_message("only root can be two users\n");
        skip();
    }
    start_with("max_clients_per_user: 4\n");
    assert_int_equal(chmod(h.dir, 0755), 0);
    assert_int_equal(chmod(h.socket, 0666), 0);
    for (size_t i = 0; i < 3; i++)
        fd[i] = rude_greet(h.socket);
    fd[3] = rude_connect(h.socket);
    assert_true(goodbye_says(fd[3], "the limit is 4"));
    assert_int_equal(connects_as_nobody(), 0);
    for (size_t i = 0; i < 4; i++)
        close(fd[i]);
}

/* Many who do not read have no more waiting for them than one user may have; none is thrown out for that, and another program of the same user is served. */
static void what_waits_for_a_user_is_bounded_in_all(void **state)
{
    enum { N = 8 };
    uint32_t asked[N] = {0}, all = 0, before = 1;
    int fd[N], small = 2048;

    (void)state;
    start_with("client_queue_kib: 64\nuser_queue_kib: 64\n");
    for (size_t i = 0; i < N; i++) {
        fd[i] = rude_greet(h.socket);
        setsockopt(fd[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    }
    for (int quiet = 0; quiet < 5; quiet = before == all ? quiet + 1 : 0) {
        before = all;
        all = 0;
        for (size_t i = 0; i < N; i++) {
            assert_true(rude_fill(fd[i], &asked[i]));
            all += asked[i];
        }
        others_are_served();
    }
    for (size_t i = 0; i < N; i++)
        assert_int_equal(count_replies(fd[i], asked[i] + 1), asked[i] + 1);
    assert_false(log_says("do not read"));
    for (size_t i = 0; i < N; i++)
        close(fd[i]);
    others_are_served();
}

static void programs_beyond_the_limit_are_told_and_the_rest_goes_on(void **state)
{
    int fd[3];

    (void)state;
    start_with("max_clients: 3\n");
    for (size_t i = 0; i < 3; i++)
        fd[i] = i < 2 ? rude_greet(h.socket) : rude_connect(h.socket); /* which may be thrown out before it has said anything */
    assert_true(goodbye_says(fd[2], "3 programs are connected, the limit is 3"));
    for (size_t i = 0; i < 3; i++)
        close(fd[i]);
    others_are_served();
}

/* As many as are allowed, all subscribed, none reading: what the daemon holds for them has an end. */
static void memory_is_bounded_with_every_client_asleep(void **state)
{
    enum { N = 100 };
    uint8_t bytes[128];
    long kib, later;
    int fd[N];

    (void)state;
    kib = process_kib(h.daemon, "VmRSS");
    for (size_t i = 0; i < N; i++) {
        fd[i] = rude_greet(h.socket);
        assert_true(send(fd[i], bytes, rude_subscribe(bytes), MSG_NOSIGNAL) > 0);
        for (uint32_t id = 10; id < 210; id++)
            assert_true(send(fd[i], bytes, rude_list(bytes, id), MSG_NOSIGNAL) > 0);
    }
    others_are_served();
    harness_run(&h, 8000); /* 160 batches for a ring of 64 and a socket's buffer */
    later = process_kib(h.daemon, "VmRSS");
    print_message("# %d clients that do not read: daemon %ld -> %ld KiB\n", N, kib, later);
    assert_in_range(later, 1, kib + N * (256 + 64 * 2) + 4096); /* the queue's limit, and a ring of telemetry */
    harness_run(&h, 2000);
    assert_in_range(process_kib(h.daemon, "VmRSS"), 1, later + 1024);
    for (size_t i = 0; i < N; i++)
        close(fd[i]);
    others_are_served();
}

/* Descriptors run out: accepting rests, says so, and goes on when there are some again. */
static void without_descriptors_accepting_rests_and_recovers(void **state)
{
    int fd[64];
    uint64_t wakeups, cpu_ns;

    (void)state;
    rude_descriptors(&h, fd, 64);
    harness_until(&h, log_says("no new programs for a moment: Too many open files"), T);
    wakeups = process_wakeups(h.daemon);
    cpu_ns = process_cpu_ns(h.daemon);
    others_are_served();
    harness_run(&h, 1000);
    print_message("# without descriptors: %lu wake-ups, %.2f ms of processor time\n", (unsigned long)(process_wakeups(h.daemon) - wakeups),
                  (double)(process_cpu_ns(h.daemon) - cpu_ns) / 1e6);
    assert_in_range(process_wakeups(h.daemon) - wakeups, 0, 300); /* telemetry, and ten tries a second */
    for (size_t i = 0; i < 64; i++)
        close(fd[i]);
    mn_close(harness_client(&h));
}

int main(int argc, char **argv)
{
#define ONE(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_user_has_so_many_programs_and_the_next_is_told, stop),
        cmocka_unit_test_teardown(one_user_at_its_limit_takes_no_place_of_another, stop),
        cmocka_unit_test_teardown(what_waits_for_a_user_is_bounded_in_all, stop),
        cmocka_unit_test_teardown(programs_beyond_the_limit_are_told_and_the_rest_goes_on, stop),
        ONE(memory_is_bounded_with_every_client_asleep),
        ONE(without_descriptors_accepting_rests_and_recovers),
    };

    signal(SIGPIPE, SIG_IGN);
    setenv("ASAN_OPTIONS", "quarantine_size_mb=1", 0); /* memory that was freed counts as free */
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("quotas", tests, NULL, NULL);
}
