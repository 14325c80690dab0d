/*
 * From a fault in the pen to the program's callback, the record on disk in between; and, in the same run, how long a round trip to that pen takes.
 * Alone, and with 31 other pens that stream at 1 kHz to the same program. One JSON object a line.
 */
#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "measure.h"
#include "port.h"

enum { FAULTS = 300 };

static uint64_t seen_ns;

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    uint64_t *samples = user;

    (void)c;
    if (e->kind == MN_EVENT_TELEMETRY)
        *samples += e->telemetry->fast.count;
    if (e->kind == MN_EVENT_RECORD && e->record->kind == MN_RECORD_FAULT && e->record->fault.raised)
        seen_ns = now_ns();
}

/* The pen whose faults are timed lives here, so that its fault has a time of its own: the same code as penstub's. */
static struct port pen;

/* A moment of the pen and of the program. */
static void turn(mn_client *c)
{
    struct pollfd fds[2] = {{.fd = mn_fd(c), .events = mn_events(c)}, {.fd = pen.fd, .events = POLLIN}};

    port_advance(&pen, now_ns() / 1000000);
    poll(fds, 2, 1);
    if (fds[1].revents != 0)
        assert_true(port_readable(&pen));
    if (fds[0].revents != 0)
        mn_process(c);
}

static void live(mn_client *c, uint64_t until_ns, const uint64_t *stop)
{
    while (now_ns() < until_ns && *stop == 0)
        turn(c);
}

static void on_done(mn_client *c, const struct mn_result *r, void *user)
{
    (void)c;
    *(uint64_t *)user = r->error == MN_OK ? now_ns() : 1;
}

static void plug_pen(const char *sim_socket)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    static const struct impair_config good;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, sim_socket);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(port_init(&pen, "FAULTY", 1, NULL, &good), 0);
    pen.now_ms = now_ns() / 1000000;
    port_attach(&pen, fd, fd, fd);
}

static void report(const char *what, unsigned pens, uint64_t *ns)
{
    uint64_t p50_ns, p99_ns;

    qsort(ns, FAULTS, sizeof(*ns), compare);
    p50_ns = ns[FAULTS / 2];
    p99_ns = ns[FAULTS - FAULTS / 100 - 1];
    printf("{\"bench\": \"fault\", \"what\": \"%s\", \"pens\": %u, \"p50_us\": %.0f, \"p99_us\": %.0f, \"max_us\": %.0f}\n", what, pens,
           (double)p50_ns / 1000, (double)p99_ns / 1000, (double)ns[FAULTS - 1] / 1000);
    fflush(stdout);
}

static void fault_with(const char *others, unsigned pens)
{
    static uint64_t fault_ns[FAULTS], rtt_ns[FAULTS];
    uint64_t samples = 0, never = 0;
    const char *const stub[] = {"--pens", others, NULL};
    struct mn_filter filter = {.serial = "FAULTY", .kinds = 1 << MN_RECORD_FAULT};
    struct mn_options o = {.on_event = on_event, .user = &samples};
    char answer[256];
    struct harness h;
    mn_client *c;

    harness_start(&h, 0, NULL);
    if (pens > 1)
        harness_stub(&h, stub);
    harness_wait_ready(&h, pens - 1);
    o.socket = h.socket;
    assert_int_equal(mn_connect(&c, &o, NULL, 0), MN_OK);
    assert_int_equal(mn_subscribe(c, NULL, true, T), MN_OK);
    assert_int_equal(mn_records_follow(c, NULL, &filter, T), MN_OK);
    plug_pen(h.sim_socket);
    live(c, now_ns() + 1500000000, &never);
    for (int i = 0; i < FAULTS; i++) {
        uint64_t began = now_ns(), answered = 0;

        assert_int_equal(mn_ping_async(c, "FAULTY", 64, T, on_done, &answered), MN_OK);
        live(c, now_ns() + 5000000000, &answered);
        assert_true(answered > 1);
        rtt_ns[i] = answered - began;
        seen_ns = 0;
        port_command(&pen, "inject 1403", answer, sizeof(answer));
        for (began = 0; pen.vpen.pen.state != mnp_State_STATE_FAULT;) { /* until the moment in which the pen finds it */
            turn(c);
            began = now_ns();
        }
        live(c, now_ns() + 5000000000, &seen_ns);
        assert_true(seen_ns != 0);
        fault_ns[i] = seen_ns - began;
        port_command(&pen, "clear all", answer, sizeof(answer));
        live(c, now_ns() + 30000000, &never);
        answered = 0;
        assert_int_equal(mn_faults_clear_async(c, "FAULTY", 0, true, T, on_done, &answered), MN_OK);
        live(c, now_ns() + 5000000000, &answered);
        live(c, now_ns() + 10000000 + (uint64_t)(i % 50) * 1000000, &never); /* at any phase of the others' batches */
    }
    report("round trip", pens, rtt_ns);
    report("fault to callback", pens, fault_ns);
    mn_close(c);
    port_deinit(&pen);
    harness_stop(&h);
}

static void bench_fault(void **state)
{
    (void)state;
    fault_with("", 1);
    fault_with("31", 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench_fault)};

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
