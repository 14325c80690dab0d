/*
 * Telemetry of P pens to S programs: bench_fanout PENS PROGRAMS [SECONDS]. The processor time of mnd for each batch that it delivers, beside
 * that of a bare relay which writes the same bytes to as many sockets, one write each. One JSON object a line.
 */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"
#include "measure.h"
#include "process.h"

enum { PROGRAMS_MAX = 512, BATCH_US = 50000, SETTLE_MS = 1500 };

static unsigned pens, programs, seconds = 5;

/* Returns the bytes of a message, for the floor. */
static unsigned measure(const char *by, pid_t pid, struct readers *readers)
{
    uint64_t cpu_ns, began_ns, wakeups;
    struct counts c;
    double s;

    usleep(SETTLE_MS * 1000);
    readers_take(readers);
    cpu_ns = process_cpu_ns(pid);
    wakeups = process_wakeups(pid);
    began_ns = now_ns();
    usleep(seconds * 1000000);
    c = readers_take(readers);
    cpu_ns = process_cpu_ns(pid) - cpu_ns;
    wakeups = process_wakeups(pid) - wakeups;
    s = (double)(now_ns() - began_ns) / 1e9;
    printf("{\"bench\": \"fanout\", \"of\": {\"placement\": \"%s\", \"pens\": %u, \"programs\": %u, \"by\": \"%s\"}, \"deliveries_per_s\": %.0f, "
           "\"cpu_percent\": %.2f, \"cpu_us_per_delivery\": %.3f, \"cpu_ns_per_sample\": %.2f, \"wakeups_per_s\": %.0f, "
           "\"reader_wakeups_per_s\": %.0f, \"holes\": %lu}\n",
           placement(), pens, programs, by, (double)c.messages / s, (double)cpu_ns / 1e7 / s, (double)cpu_ns / 1e3 / (double)c.messages,
           c.samples > 0 ? (double)cpu_ns / (double)c.samples : 0, (double)wakeups / s, (double)c.wakeups / s, (unsigned long)c.holes);
    fflush(stdout);
    return c.messages > 0 ? (unsigned)(c.bytes / c.messages) - 4 : 0;
}

static unsigned by_mnd(void)
{
    const char count[] = {(char)('0' + pens / 10), (char)('0' + pens % 10), '\0'};
    const char *const stub[] = {"--pens", count, NULL};
    int fds[PROGRAMS_MAX];
    struct readers readers;
    struct harness h;
    const char *config = many_programs();
    unsigned bytes;

    harness_start(&h, 0, config);
    unlink(strchr(config, '/'));
    place(h.daemon, PLACE_MEASURED);
    harness_stub(&h, stub);
    place(h.stub, PLACE_LOAD);
    harness_wait_ready(&h, pens);
    for (unsigned i = 0; i < programs; i++)
        fds[i] = program_connect(h.socket, true);
    readers_start(&readers, fds, programs, cut_telemetry);
    bytes = measure("mnd", h.daemon, &readers);
    readers_stop(&readers);
    harness_stop(&h);
    return bytes;
}

static void by_relay(unsigned bytes)
{
    int ins[PROGRAMS_MAX], outs[PROGRAMS_MAX];
    struct readers readers;
    struct relay relay;

    for (unsigned i = 0; i < programs; i++) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        ins[i] = pair[0];
        outs[i] = pair[1];
    }
    readers_start(&readers, ins, programs, cut_by_length);
    relay_start(&relay, pens, bytes, BATCH_US, outs, programs);
    measure("bare relay", relay.pid, &readers);
    relay_stop(&relay);
    readers_stop(&readers);
}

static void bench_fanout(void **state)
{
    (void)state;
    by_relay(by_mnd());
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench_fanout)};

    pens = argc > 2 ? (unsigned)atoi(argv[1]) : 0;
    programs = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    seconds = argc > 3 ? (unsigned)atoi(argv[3]) : seconds;
    if (pens < 1 || pens > 64 || programs < 1 || programs > PROGRAMS_MAX || seconds < 1) {
        fprintf(stderr, "usage: bench_fanout PENS PROGRAMS [SECONDS]    1 to 64 pens, 1 to %d programs\n", PROGRAMS_MAX);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("fanout", tests, NULL, NULL);
}
