/*
 * What the daemon costs, beside the floor in the same run: bench rtt | subscribers | memory | stop. One JSON object a line;
 * scripts/bench makes a table of them. Figures from a shared machine mean something only as ratios within a run.
 */
#include "harness.h"
#include "measure.h"
#include "process.h"
#include "rude.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 3000, WARM_UP = 200, RTT_BYTES = 64, SECONDS = 5 };

static void report(const char *name, uint64_t *ns, size_t n, double cpu_us)
{
    uint64_t p50_ns, p99_ns;

    qsort(ns, n, sizeof(*ns), compare);
    p50_ns = ns[n / 2];
    p99_ns = ns[n * 99 / 100];
    printf("{\"bench\": \"rtt\", \"what\": \"%s\", \"p50_us\": %.1f, \"p99_us\": %.1f, \"cpu_us\": %.1f}\n", name, (double)p50_ns / 1000,
           (double)p99_ns / 1000, cpu_us);
    fflush(stdout);
}

/* Moves whole reads from one descriptor to the other; the bare shape of a daemon between a program and a pen. */
static void relay(int a, int b)
{
    char bytes[4096];

    for (;;) {
        struct pollfd fds[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};

        if (poll(fds, 2, -1) < 0)
            _exit(0);
        for (int i = 0; i < 2; i++) {
            ssize_t n;

            if (fds[i].revents == 0)
                continue;
            n = read(fds[i].fd, bytes, sizeof(bytes));
            if (n <= 0 || write(fds[1 - i].fd, bytes, (size_t)n) != n)
                _exit(0);
        }
    }
}

static void echo(int fd)
{
    char bytes[4096];
    ssize_t n;

    while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
        if (write(fd, bytes, (size_t)n) != n)
            break;
    }
    _exit(0);
}

/* Program, relay and echo are three processes, as program, mnd and pen are; the same bytes on each hop (about 100 with envelopes). */
static void rtt_floor(uint64_t *ns)
{
    int near[2], far[2];
    char bytes[RTT_BYTES + 36] = {0};
    pid_t relay_pid, echo_pid;
    uint64_t cpu;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, near) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, far) < 0)
        exit(1);
    if ((relay_pid = fork()) == 0) {
        close(near[0]), close(far[1]);
        relay(near[1], far[0]);
    }
    if ((echo_pid = fork()) == 0) {
        close(near[0]), close(near[1]), close(far[0]);
        echo(far[1]);
    }
    close(near[1]), close(far[0]), close(far[1]);
    cpu = process_cpu_ns(relay_pid);
    for (int i = 0; i < ROUNDS + WARM_UP; i++) {
        uint64_t began = now_ns();

        if (i == WARM_UP)
            cpu = process_cpu_ns(relay_pid);
        if (write(near[0], bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes) || read(near[0], bytes, sizeof(bytes)) <= 0)
            exit(1);
        if (i >= WARM_UP)
            ns[i - WARM_UP] = now_ns() - began;
    }
    cpu = process_cpu_ns(relay_pid) - cpu;
    close(near[0]);
    waitpid(relay_pid, NULL, 0);
    waitpid(echo_pid, NULL, 0);
    report("bare two-hop relay", ns, ROUNDS, (double)cpu / 1000 / ROUNDS);
}

static void bench_rtt(void **state)
{
    static uint64_t ns[ROUNDS];
    struct mn_config off = {.present = MN_SET_FAST_RATE_HZ | MN_SET_SLOW_RATE_HZ};
    struct harness h;
    uint64_t cpu = 0;

    (void)state;
    rtt_floor(ns);
    harness_start(&h, 1, NULL);
    harness_ok(&h, mn_config_set(h.c, "SIM-0001", &off, NULL, NULL, T));
    for (int i = 0; i < ROUNDS + WARM_UP; i++) {
        uint64_t us, began = now_ns();

        if (i == WARM_UP)
            cpu = process_cpu_ns(h.daemon);
        harness_ok(&h, mn_ping(h.c, "SIM-0001", RTT_BYTES, &us, T));
        if (i >= WARM_UP)
            ns[i - WARM_UP] = now_ns() - began;
    }
    cpu = process_cpu_ns(h.daemon) - cpu;
    report("libmn, mnd, penstub", ns, ROUNDS, (double)cpu / 1000 / ROUNDS);
    harness_stop(&h);
}

struct counts {
    uint64_t batches, missed;
};

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    struct counts *n = user;

    (void)c;
    if (e->kind != MN_EVENT_TELEMETRY)
        return;
    n->batches++;
    n->missed += e->telemetry->fast.missed;
}

static void run_clients(mn_client **clients, unsigned n, uint64_t ms)
{
    struct pollfd fds[256];
    uint64_t end_ms = harness_now_ms() + ms;

    while (harness_now_ms() < end_ms) {
        for (unsigned i = 0; i < n; i++)
            fds[i] = (struct pollfd){.fd = mn_fd(clients[i]), .events = mn_events(clients[i])};
        if (poll(fds, n, 100) <= 0)
            continue;
        for (unsigned i = 0; i < n; i++) {
            if (fds[i].revents != 0)
                mn_process(clients[i]);
        }
    }
}

static void one_pen_for(unsigned subscribers)
{
    struct counts counts = {0};
    mn_client *clients[256];
    struct harness h;
    uint64_t cpu, began;
    double seconds;

    harness_start(&h, 1, NULL);
    for (unsigned i = 0; i < subscribers; i++) {
        struct mn_options o = {.socket = h.socket, .name = "bench", .on_event = on_event, .user = &counts};

        assert_int_equal(mn_connect(&clients[i], &o, NULL, 0), MN_OK);
        assert_int_equal(mn_subscribe(clients[i], NULL, true, T), MN_OK);
    }
    run_clients(clients, subscribers, 500);
    counts = (struct counts){0};
    cpu = process_cpu_ns(h.daemon);
    began = now_ns();
    run_clients(clients, subscribers, SECONDS * 1000);
    cpu = process_cpu_ns(h.daemon) - cpu;
    seconds = (double)(now_ns() - began) / 1e9;
    printf("{\"bench\": \"subscribers\", \"subscribers\": %u, \"cpu_percent\": %.2f, \"deliveries_per_s\": %.0f, \"cpu_us_per_delivery\": %.2f, "
           "\"missed\": %lu}\n",
           subscribers, (double)cpu / 1e7 / seconds, (double)counts.batches / seconds,
           counts.batches ? (double)cpu / 1000 / (double)counts.batches : 0, (unsigned long)counts.missed);
    fflush(stdout);
    for (unsigned i = 0; i < subscribers; i++)
        mn_close(clients[i]);
    harness_stop(&h);
}

static void bench_subscribers(void **state)
{
    (void)state;
    one_pen_for(1);
    one_pen_for(8);
    one_pen_for(64);
}

static void memory_with(unsigned pens)
{
    struct harness h;

    harness_start(&h, pens, NULL);
    if (pens > 0)
        harness_ok(&h, mn_subscribe(h.c, NULL, true, T));
    harness_run(&h, 2000);
    printf("{\"bench\": \"memory\", \"pens\": %u, \"resident_kib\": %ld, \"private_kib\": %ld}\n", pens, process_kib(h.daemon, "VmRSS"),
           process_kib(h.daemon, "RssAnon"));
    fflush(stdout);
    harness_stop(&h);
}

static void bench_memory(void **state)
{
    (void)state;
    memory_with(0);
    memory_with(1);
    memory_with(32);
}

static void stop_through(const char *what, bool flooded)
{
    static uint64_t us[1000];
    struct flood flood;
    struct harness h;
    size_t n = sizeof(us) / sizeof(us[0]);

    harness_start(&h, 0, NULL);
    flood_begin(&flood, &h, flooded ? 64 : 0);
    for (size_t i = 0; i < n; i++)
        us[i] = flood_stop_us(&flood);
    flood_end(&flood);
    harness_stop(&h);
    qsort(us, n, sizeof(*us), compare);
    printf("{\"bench\": \"stop\", \"what\": \"%s\", \"p50_us\": %lu, \"p99_us\": %lu, \"max_us\": %lu}\n", what, (unsigned long)us[n / 2],
           (unsigned long)us[n * 99 / 100], (unsigned long)us[n - 1]);
    fflush(stdout);
}

static void bench_stop(void **state)
{
    (void)state;
    stop_through("a pen that floods", false);
    stop_through("and 64 clients that flood", true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench_rtt), cmocka_unit_test(bench_subscribers), cmocka_unit_test(bench_memory),
                                       cmocka_unit_test(bench_stop)};
    static const char *const names[] = {"rtt", "subscribers", "memory", "stop"};

    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 4; i++) {
        if (argc == 2 && strcmp(argv[1], names[i]) == 0)
            return _cmocka_run_group_tests(names[i], &tests[i], 1, NULL, NULL);
    }
    fprintf(stderr, "usage: bench rtt | subscribers | memory | stop\n");
    return 2;
}
