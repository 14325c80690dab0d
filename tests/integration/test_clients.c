/* Clients that do everything wrong at the socket. Whatever they do, the others notice nothing, and nothing of theirs is lost but telemetry. */
#include "client_words.h"

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
    };

    signal(SIGPIPE, SIG_IGN);
    setenv("ASAN_OPTIONS", "quarantine_size_mb=1", 0); /* memory that was freed counts as free */
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("clients", tests, NULL, NULL);
}
