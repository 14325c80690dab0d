/* Programs that do everything wrong at the client socket. Whatever they do, the others notice nothing, and memory is bounded. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.pb-c.h"
#include "pen.pb-c.h"
#include "process.h"
#include "rude.h"

static struct harness h;
static const char *const P = "SIM-0001";
static char config_path[64];

static int start(void **state)
{
    (void)state;
    harness_start(&h, 1, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

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

/* Reads to the end, as the goodbye comes; does it say so? */
static bool goodbye_says(int fd, const char *text)
{
    static char bytes[1 << 20];
    size_t fill = 0;
    ssize_t n;

    while ((n = read(fd, bytes + fill, sizeof(bytes) - fill)) > 0)
        fill += (size_t)n;
    return memmem(bytes, fill, text, strlen(text)) != NULL;
}

static bool log_says(const char *text)
{
    static char log[4 << 20];
    FILE *f = fopen(h.log, "re");
    size_t n;

    assert_non_null(f);
    n = fread(log, 1, sizeof(log) - 1, f);
    fclose(f);
    log[n] = '\0';
    return strstr(log, text) != NULL;
}

/* Somebody well-behaved is served as if nothing were. */
static void others_are_served(void)
{
    uint64_t us, missed = h.missed, samples = h.samples;

    harness_ok(&h, mn_subscribe(h.c, NULL, true, T));
    harness_until(&h, h.samples > samples + 500, T);
    assert_int_equal(h.missed, missed);
    harness_ok(&h, mn_ping(h.c, P, 100, &us, T));
    assert_int_equal(h.disconnects, 0);
}

/* ---- they ---- */

/* Replies that come to a socket, in order: their lengths and how many. Until nothing comes for 2 s, or so many are there. */
static uint32_t count_replies(int fd, uint32_t wanted)
{
    static uint8_t in[1 << 16];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t fill = 0, at;
    uint32_t count = 0;
    ssize_t n;

    while (count < wanted && poll(&p, 1, 2000) == 1 && (n = read(fd, in + fill, sizeof(in) - fill)) > 0) {
        fill += (size_t)n;
        for (at = 0; fill - at >= 4 && fill - at - 4 >= (size_t)in[at] + ((size_t)in[at + 1] << 8); count++)
            at += 4 + (size_t)in[at] + ((size_t)in[at + 1] << 8);
        memmove(in, in + at, fill -= at);
    }
    return count;
}

/* Asks and asks, and reads nothing: it waits for its full socket, and is not thrown out. When it reads at last, all its answers come. */
static void one_that_never_reads_is_held_back_and_loses_nothing(void **state)
{
    int fd = rude_greet(h.socket);
    long kib = process_kib(h.daemon, "VmRSS");
    uint32_t asked = 0, before = 1;
    uint64_t wakeups;

    (void)state;
    for (int quiet = 0; quiet < 5; quiet = before == asked ? quiet + 1 : 0) {
        before = asked;
        assert_true(rude_fill(fd, &asked)); /* the daemon has not hung up */
        others_are_served();
    }
    assert_true(asked > 500);
    assert_in_range(process_kib(h.daemon, "VmRSS"), 1, kib + 4096);
    wakeups = process_cpu_ns(h.daemon);
    harness_run(&h, 1000);
    assert_in_range(process_cpu_ns(h.daemon) - wakeups, 0, 500000000); /* and does not spin for it */
    assert_int_equal(count_replies(fd, asked + 1), asked + 1);         /* HELLO's as well */
    assert_false(log_says("client rude (pid "));
    close(fd);
    others_are_served();
}

/* Ten thousand at once, and the answers read a little at a time. */
static void one_that_asks_ahead_and_reads_slowly_gets_all(void **state)
{
    enum { N = 10000 };
    int fd = rude_greet(h.socket), small = 4096;
    uint32_t asked = 0, told = 0;

    (void)state;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    for (uint64_t end_ms = harness_now_ms() + 2 * T; told < N;) {
        uint32_t want = told + 100;

        assert_true(harness_now_ms() < end_ms);
        if (asked < N)
            assert_true(rude_fill(fd, &asked));
        told += count_replies(fd, want - told);
    }
    close(fd);
    others_are_served();
}

/* Events of pens cannot be held back: who lets them pile up is told, and hung up. */
static void one_that_never_reads_events_is_thrown_out_with_the_figures(void **state)
{
    uint8_t bytes[128];
    size_t n = rude_watch(bytes);
    int fd = rude_greet(h.socket);

    (void)state;
    assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
    for (uint64_t end_ms = harness_now_ms() + 2 * T; !log_says("it does not read: ");) {
        assert_true(harness_now_ms() < end_ms);
        for (int i = 0; i < 100; i++) {
            harness_ok(&h, mn_lease_take(h.c, P, T));
            harness_ok(&h, mn_lease_release(h.c, P, T));
        }
    }
    assert_true(log_says("client rude (pid "));
    assert_true(log_says("the limit is 262144 bytes, 256 messages"));
    close(fd);
    others_are_served();
}

/* A policy of 64 KiB is one message; it is read to its last line. */
static void a_long_policy_is_read_whole(void **state)
{
    static char text[64 * 1024 + 2];
    static struct mn_policy p;
    const char end[] = "\nlimits:\n  - {name: depth_limit, value: 1200}\n";

    (void)state;
    memset(text, '#', 64 * 1024);
    text[snprintf(text, 9, "name: x\n")] = '#';
    snprintf(text + 64 * 1024 - strlen(end), strlen(end) + 1, "%s", end);
    harness_ok(&h, mn_policy_get(h.c, text, &p, T));
    assert_true(p.good);
    assert_int_equal(p.count, 1);
    text[64 * 1024] = '#';
    assert_int_equal(mn_policy_get(h.c, text, &p, T), MN_ERR_INVALID);
    others_are_served();
}

static void one_that_never_reads_telemetry_loses_only_telemetry(void **state)
{
    uint8_t bytes[128];
    size_t n = rude_subscribe(bytes);
    int fd = rude_greet(h.socket);
    struct mn_daemon info = {0};
    int small = 4096;

    (void)state;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
    harness_say(&h, P, "link good");
    for (uint64_t end_ms = harness_now_ms() + 60000; info.telemetry_dropped == 0;) {
        assert_true(harness_now_ms() < end_ms);
        others_are_served();
        harness_ok(&h, mn_daemon_info(h.c, &info, T));
    }
    assert_int_equal(info.clients, 2); /* it is still there */
    close(fd);
    harness_until(&h, log_says("were dropped"), T);
    others_are_served();
}

/* It reads a byte a second: each of the bytes it gets is right, and nobody waits for it. */
static void one_that_reads_a_byte_a_second_gets_its_bytes(void **state)
{
    uint8_t reply[3];
    int fd = rude_greet(h.socket);

    (void)state;
    for (size_t i = 0; i < sizeof(reply); i++) {
        assert_int_equal(read(fd, reply + i, 1), 1);
        others_are_served();
        harness_run(&h, 500);
    }
    assert_int_equal(reply[1], 0); /* length of HELLO's answer: small */
    assert_int_equal(reply[2], 0);
    close(fd);
}

static void one_that_writes_a_byte_at_a_time_is_understood(void **state)
{
    uint8_t bytes[128], reply[256];
    size_t n = rude_hello(bytes);
    int fd = rude_connect(h.socket);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(send(fd, bytes + i, 1, MSG_NOSIGNAL), 1);
        harness_run(&h, 2);
    }
    assert_true(read(fd, reply, sizeof(reply)) > 4);
    close(fd);
}

static void garbage_of_all_kinds_ends_only_its_sender(void **state)
{
    unsigned seed = 7;

    (void)state;
    for (int round = 0; round < 200; round++) {
        uint8_t bytes[512];
        int fd = round % 2 == 0 ? rude_connect(h.socket) : rude_greet(h.socket);
        size_t n = 1 + (size_t)rand_r(&seed) % sizeof(bytes);

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)rand_r(&seed);
        if (round % 4 < 2 && n > 4) { /* a length that fits, and nonsense in it */
            memset(bytes, 0, 4);
            bytes[0] = (uint8_t)(n - 4);
            bytes[1] = (uint8_t)((n - 4) >> 8);
        }
        if (send(fd, bytes, n, MSG_NOSIGNAL) > 0)
            shutdown(fd, SHUT_WR);
        goodbye_says(fd, "");
        close(fd);
    }
    others_are_served();
}

static void half_a_message_waits_for_its_other_half_and_for_nobody(void **state)
{
    uint8_t bytes[256], reply[256];
    size_t n = rude_hello(bytes);
    int fd[64];

    (void)state;
    for (size_t i = 0; i < 64; i++) { /* cut after each byte, at its length, in its middle */
        fd[i] = rude_connect(h.socket);
        assert_int_equal(send(fd[i], bytes, i % n, MSG_NOSIGNAL), i % n);
    }
    others_are_served();
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(send(fd[i], bytes + i % n, n - i % n, MSG_NOSIGNAL), n - i % n);
        assert_true(read(fd[i], reply, sizeof(reply)) > 4);
        close(fd[i]);
    }
}

static void a_length_of_4_gib_is_refused_at_once(void **state)
{
    long kib = process_kib(h.daemon, "VmRSS");
    int fd = rude_connect(h.socket);

    (void)state;
    assert_int_equal(send(fd, "\xff\xff\xff\xff", 4, MSG_NOSIGNAL), 4);
    assert_true(goodbye_says(fd, "it sent a message of more than 67584 bytes"));
    close(fd);
    assert_in_range(process_kib(h.daemon, "VmRSS"), 1, kib + 1024);
    others_are_served();
}

/* As fast as the socket takes them; each is answered, in order. MN_REQUESTS: fewer, for those who wait. */
static void a_million_requests_are_all_answered(void **state)
{
    const char *wanted = getenv("MN_REQUESTS");
    uint32_t total = wanted != NULL ? (uint32_t)strtoul(wanted, NULL, 10) : 1000000, asked = 0, answered = 0;
    static uint8_t out[65536], in[65536];
    size_t out_at = 0, out_fill = 0, in_fill = 0;
    int fd = rude_greet(h.socket);
    long kib;

    (void)state;
    assert_true(read(fd, in, sizeof(in)) > 0); /* HELLO's */
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    kib = process_kib(h.daemon, "VmRSS");
    while (answered < total) {
        struct pollfd p = {.fd = fd, .events = (short)(POLLIN | (asked < total && asked - answered < 200 ? POLLOUT : 0))};
        size_t at = 0;
        ssize_t n;

        assert_true(poll(&p, 1, 10000) > 0);
        if (out_at == out_fill) { /* never more than the queue holds: a client that requests more without reading is disconnected */
            for (out_at = out_fill = 0; asked < total && asked - answered < 200; asked++)
                out_fill += rude_daemon_info(out + out_fill, asked + 1);
        }
        n = out_at < out_fill ? send(fd, out + out_at, out_fill - out_at, MSG_NOSIGNAL) : 0;
        out_at += n > 0 ? (size_t)n : 0;
        n = read(fd, in + in_fill, sizeof(in) - in_fill);
        assert_int_not_equal(n, 0);
        in_fill += n > 0 ? (size_t)n : 0;
        while (in_fill - at >= 4 && in_fill - at - 4 >= (size_t)(in[at] | in[at + 1] << 8)) {
            size_t length = (size_t)(in[at] | in[at + 1] << 8);
            Mnc__ServerMessage *m = mnc__server_message__unpack(NULL, length, in + at + 4);

            assert_non_null(m);
            assert_int_equal(m->id, ++answered);
            assert_int_equal(m->body_case, MNC__SERVER_MESSAGE__BODY_DAEMON_INFO);
            mnc__server_message__free_unpacked(m, NULL);
            at += 4 + length;
        }
        memmove(in, in + at, in_fill - at);
        in_fill -= at;
    }
    close(fd);
    print_message("# %u requests; daemon %ld -> %ld KiB\n", total, kib, process_kib(h.daemon, "VmRSS"));
    assert_in_range(process_kib(h.daemon, "VmRSS"), 1, kib + 8192);
    others_are_served();
}

static void ten_thousand_connections_leave_nothing(void **state)
{
    const char *wanted = getenv("MN_CONNECTIONS");
    unsigned total = wanted != NULL ? (unsigned)strtoul(wanted, NULL, 10) : 10000;
    struct mn_daemon info;
    long kib = 0, descriptors = 0;

    (void)state;
    for (unsigned i = 0; i < total; i++) {
        uint8_t bytes[128];
        int fd;

        if (i == total / 10) {
            harness_ok(&h, mn_daemon_info(h.c, &info, T)); /* all before are dealt with */
            kib = process_kib(h.daemon, "VmRSS");
            descriptors = process_descriptors(h.daemon);
        }
        switch (i % 4) {
        case 0: /* politely */
            fd = rude_greet(h.socket);
            assert_true(read(fd, bytes, sizeof(bytes)) > 4);
            break;
        case 1: /* without waiting */
            fd = rude_greet(h.socket);
            break;
        case 2: /* a subscriber that leaves */
            fd = rude_greet(h.socket);
            assert_true(send(fd, bytes, rude_subscribe(bytes), MSG_NOSIGNAL) > 0);
            break;
        default: /* not a word */
            fd = rude_connect(h.socket);
            break;
        }
        close(fd);
        if (i % 64 == 63)
            harness_ok(&h, mn_daemon_info(h.c, &info, T)); /* no more at once than the daemon allows */
    }
    harness_until(&h, mn_daemon_info(h.c, &info, T) == MN_OK && info.clients == 1, T);
    print_message("# %u connections; descriptors %ld -> %ld, daemon %ld -> %ld KiB\n", total, descriptors, process_descriptors(h.daemon), kib,
                  process_kib(h.daemon, "VmRSS"));
    assert_in_range(process_descriptors(h.daemon), 1, descriptors);
    assert_in_range(process_kib(h.daemon, "VmRSS"), 1, kib + 2048);
    others_are_served();
}

/* Killed at each step of a request; the next one is never told another's answer. */
static void one_that_dies_holding_a_request_leaves_nothing_to_the_next(void **state)
{
    uint8_t bytes[256], reply[4096];
    struct mn_daemon info;

    (void)state;
    for (unsigned step = 0; step < 40; step++) {
        pid_t pid = fork();
        int fd, status;
        ssize_t n;

        assert_true(pid >= 0);
        if (pid == 0) {
            size_t length;

            fd = rude_greet(h.socket);
            length = rude_call(bytes, 77, P, MNP__FRAME_TYPE__TYPE_STATUS);
            if (send(fd, bytes, step < length ? step : length, MSG_NOSIGNAL) < 0)
                _exit(1);
            poll(NULL, 0, (int)(step % 4));
            kill(getpid(), SIGKILL);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        fd = rude_greet(h.socket);
        n = read(fd, reply, sizeof(reply));
        assert_true(n > 6);
        assert_int_equal(n, 4 + reply[0] + 256 * reply[1]); /* one message, and its id is that of our HELLO */
        assert_int_equal(reply[4], 0x08);
        assert_int_equal(reply[5], 1);
        close(fd);
    }
    harness_until(&h, mn_daemon_info(h.c, &info, T) == MN_OK && info.clients == 1, T);
    others_are_served();
}

/* ---- quotas ---- */

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
        ONE(one_that_never_reads_is_held_back_and_loses_nothing),
        ONE(one_that_asks_ahead_and_reads_slowly_gets_all),
        ONE(one_that_never_reads_events_is_thrown_out_with_the_figures),
        ONE(a_long_policy_is_read_whole),
        ONE(one_that_never_reads_telemetry_loses_only_telemetry),
        ONE(one_that_reads_a_byte_a_second_gets_its_bytes),
        ONE(one_that_writes_a_byte_at_a_time_is_understood),
        ONE(garbage_of_all_kinds_ends_only_its_sender),
        ONE(half_a_message_waits_for_its_other_half_and_for_nobody),
        ONE(a_length_of_4_gib_is_refused_at_once),
        ONE(a_million_requests_are_all_answered),
        ONE(ten_thousand_connections_leave_nothing),
        ONE(one_that_dies_holding_a_request_leaves_nothing_to_the_next),
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
    return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
