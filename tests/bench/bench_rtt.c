/*
 * A question to a pen and its answer: libmn, mnd, penstub, three processes and four hops, beside a bare relay between two sockets that
 * moves the same bytes. 3000 times; the processor time of all three. bench_rtt takes no argument. One JSON object a line.
 */
#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load.h"
#include "measure.h"
#include "process.h"

enum { ROUNDS = 3000, WARM_UP = 200, QUESTION = 64, RELAY_BYTES = 100 };

static uint64_t ns[ROUNDS];

/* What three processes have had of processors. */
struct spent {
    pid_t near, middle, far;
    uint64_t middle_ns, all_ns;
};

static struct spent spent_so_far(pid_t near, pid_t middle, pid_t far)
{
    struct spent s = {.near = near, .middle = middle, .far = far, .middle_ns = process_cpu_ns(middle)};

    s.all_ns = s.middle_ns + process_cpu_ns(near) + process_cpu_ns(far);
    return s;
}

static void report(const char *by, const struct spent *before)
{
    struct spent now = spent_so_far(before->near, before->middle, before->far);

    qsort(ns, ROUNDS, sizeof(ns[0]), compare);
    printf("{\"bench\": \"rtt\", \"of\": {\"placement\": \"%s\", \"by\": \"%s\"}, \"p50_us\": %.1f, \"p99_us\": %.1f, \"middle_cpu_us\": %.1f, \"cpu_us\": %.1f}\n",
           placement(), by, percentile_us(ns, ROUNDS, 50), percentile_us(ns, ROUNDS, 99), (double)(now.middle_ns - before->middle_ns) / 1000 / ROUNDS,
           (double)(now.all_ns - before->all_ns) / 1000 / ROUNDS);
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

static pid_t child(enum place where)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        place(0, where);
    }
    return pid;
}

/* Program, relay and echo are three processes, as program, mnd and pen are; about as many bytes as theirs on each hop. */
static void by_relay(void)
{
    char bytes[RELAY_BYTES] = {0};
    struct spent before = {0};
    int near[2] = {-1, -1}, far[2] = {-1, -1};
    pid_t middle, end;

    assert_true(socketpair(AF_UNIX, SOCK_STREAM, 0, near) == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, far) == 0);
    if ((middle = child(PLACE_MEASURED)) == 0) {
        close(near[0]), close(far[1]);
        relay(near[1], far[0]);
    }
    if ((end = child(PLACE_LOAD)) == 0) {
        close(near[0]), close(near[1]), close(far[0]);
        echo(far[1]);
    }
    close(near[1]), close(far[0]), close(far[1]);
    for (int i = 0; i < ROUNDS + WARM_UP; i++) {
        uint64_t began = now_ns();

        if (i == WARM_UP)
            before = spent_so_far(getpid(), middle, end);
        assert_true(write(near[0], bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes) && read(near[0], bytes, sizeof(bytes)) > 0);
        if (i >= WARM_UP)
            ns[i - WARM_UP] = now_ns() - began;
    }
    report("bare relay", &before);
    close(near[0]);
    waitpid(middle, NULL, 0);
    waitpid(end, NULL, 0);
}

static void by_mnd(void)
{
    const struct mn_config off = {.present = MN_SET_FAST_RATE_HZ | MN_SET_SLOW_RATE_HZ};
    const char *const stub[] = {NULL};
    struct spent before = {0};
    struct harness h;

    harness_start(&h, 0, NULL);
    place(h.daemon, PLACE_MEASURED);
    harness_stub(&h, stub);
    place(h.stub, PLACE_LOAD);
    harness_wait_ready(&h, 1);
    harness_ok(&h, mn_config_set(h.c, "SIM-0001", &off, NULL, NULL, T));
    for (int i = 0; i < ROUNDS + WARM_UP; i++) {
        uint64_t us, began = now_ns();

        if (i == WARM_UP)
            before = spent_so_far(getpid(), h.daemon, h.stub);
        harness_ok(&h, mn_ping(h.c, "SIM-0001", QUESTION, &us, T));
        if (i >= WARM_UP)
            ns[i - WARM_UP] = now_ns() - began;
    }
    report("libmn, mnd, penstub", &before);
    harness_stop(&h);
}

static void bench_rtt(void **state)
{
    (void)state;
    place(0, PLACE_LOAD);
    by_relay();
    by_mnd();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench_rtt)};

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("rtt", tests, NULL, NULL);
}
