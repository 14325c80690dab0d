/*
 * What a program that behaves badly costs the others: the round trips of a good one to a pen, while 8 pens stream to 8 programs, without and with one
 * that subscribes and never reads, one that reads a byte a second, one that floods requests. In turns, so that all have the same machine. And STOP,
 * through a pen and 64 programs that all flood. One JSON object a line.
 */
#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"
#include "measure.h"
#include "rude.h"

enum { PENS = 8, PROGRAMS = 8, TURNS = 10, ROUNDS = 400, SETTLE_MS = 300, STOPS = 1000 };

static pid_t rude_process(const struct harness *h, void (*behave)(int fd))
{
    pid_t pid = fork();
    int fd;

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    place(0, PLACE_LOAD);
    fd = program_connect(h->socket, true);
    behave(fd);
    _exit(0);
}

static void never_read(int fd)
{
    (void)fd;
    for (;;)
        pause();
}

static void read_slowly(int fd)
{
    char byte;

    while (recv(fd, &byte, 1, 0) == 1)
        sleep(1);
}

static void flood(int fd)
{
    char bytes[65536];
    uint32_t asked = 0;

    while (rude_fill(fd, &asked)) {
        struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

        if (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) < 0)
            poll(&p, 1, 100);
    }
}

static const struct {
    const char *name;
    void (*behave)(int fd);
} behaviours[] = {{"nobody", NULL}, {"one that never reads", never_read}, {"one that reads a byte a second", read_slowly}, {"one that floods requests", flood}};

enum { BEHAVIOURS = sizeof(behaviours) / sizeof(behaviours[0]) };

static void bench_rude(void **state)
{
    static uint64_t ns[BEHAVIOURS][TURNS * ROUNDS];
    const char *const stub[] = {"--pens", "8", NULL};
    struct readers readers;
    int fds[PROGRAMS];
    struct harness h;

    (void)state;
    harness_start(&h, 0, NULL);
    place(h.daemon, PLACE_MEASURED);
    harness_stub(&h, stub);
    place(h.stub, PLACE_LOAD);
    harness_wait_ready(&h, PENS);
    for (int i = 0; i < PROGRAMS; i++)
        fds[i] = program_connect(h.socket, true);
    readers_start(&readers, fds, PROGRAMS, cut_telemetry);
    for (int turn = 0; turn < TURNS; turn++) {
        for (unsigned b = 0; b < BEHAVIOURS; b++) {
            pid_t pid = behaviours[b].behave != NULL ? rude_process(&h, behaviours[b].behave) : 0;

            harness_run(&h, SETTLE_MS);
            for (int i = 0; i < ROUNDS; i++) {
                uint64_t us, began = now_ns();

                harness_ok(&h, mn_ping(h.c, "SIM-0001", 64, &us, T));
                ns[b][turn * ROUNDS + i] = now_ns() - began;
            }
            if (pid > 0)
                stop_process(pid);
        }
    }
    for (unsigned b = 0; b < BEHAVIOURS; b++) {
        qsort(ns[b], TURNS * ROUNDS, sizeof(ns[b][0]), compare);
        printf("{\"bench\": \"rude\", \"of\": {\"placement\": \"%s\", \"beside\": \"%s\"}, \"p50_us\": %.1f, \"p99_us\": %.1f}\n", placement(), behaviours[b].name,
               percentile_us(ns[b], (size_t)TURNS * ROUNDS, 50), percentile_us(ns[b], (size_t)TURNS * ROUNDS, 99));
    }
    fflush(stdout);
    readers_stop(&readers);
    harness_stop(&h);
}

static void stop_through(const char *what, unsigned programs)
{
    static uint64_t us[STOPS];
    struct flood f;
    struct harness h;

    harness_start(&h, 0, NULL);
    flood_begin(&f, &h, programs);
    for (size_t i = 0; i < STOPS; i++)
        us[i] = flood_stop_us(&f);
    flood_end(&f);
    harness_stop(&h);
    qsort(us, STOPS, sizeof(us[0]), compare);
    printf("{\"bench\": \"stop\", \"of\": {\"through\": \"%s\"}, \"p50_us\": %lu, \"p99_us\": %lu, \"max_us\": %lu}\n", what, (unsigned long)us[STOPS / 2],
           (unsigned long)us[STOPS * 99 / 100], (unsigned long)us[STOPS - 1]);
    fflush(stdout);
}

static void bench_stop(void **state)
{
    (void)state;
    stop_through("a pen that floods", 0);
    stop_through("and 64 programs that flood", 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench_rude), cmocka_unit_test(bench_stop)};

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("rude", tests, NULL, NULL);
}
