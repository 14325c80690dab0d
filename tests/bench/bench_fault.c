/*
 * From a fault in the pen to the program's callbacks: that the pen has it (MN_EVENT_PEN), and that its record is on disk (MN_EVENT_RECORD); and, in
 * the same run, how long a round trip to that pen takes. Alone, and while it and 31 other pens stream at 1 kHz to 64 programs. One JSON object a
 * line.
 */
#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "load.h"
#include "measure.h"
#include "port.h"

enum { FAULTS = 200 };

static uint64_t seen_ns, recorded_ns;

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    (void)c;
    (void)user;
    if (e->kind == MN_EVENT_PEN && strcmp(e->pen->serial, "FAULTY") == 0 && e->pen->state == MN_STATE_FAULT && seen_ns == 0)
        seen_ns = now_ns();
    if (e->kind == MN_EVENT_RECORD && e->record->kind == MN_RECORD_FAULT && e->record->fault.raised)
        recorded_ns = now_ns();
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

static void report(const char *what, unsigned pens, unsigned programs, uint64_t *ns)
{
    qsort(ns, FAULTS, sizeof(*ns), compare);
    printf("{\"bench\": \"fault\", \"of\": {\"placement\": \"%s\", \"pens\": %u, \"programs\": %u, \"what\": \"%s\"}, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"max_us\": %.1f}\n",
           placement(), pens, programs, what, percentile_us(ns, FAULTS, 50), percentile_us(ns, FAULTS, 99), percentile_us(ns, FAULTS, 100));
    fflush(stdout);
}

static void round_trip(mn_client *c, uint64_t *ns)
{
    uint64_t began = now_ns(), answered = 0;

    assert_int_equal(mn_ping_async(c, "FAULTY", 64, T, on_done, &answered), MN_OK);
    live(c, began + 5000000000, &answered);
    assert_true(answered > 1);
    *ns = answered - began;
}

static void fault(mn_client *c, uint64_t *event_ns, uint64_t *record_ns)
{
    uint64_t began, answered = 0, never = 0;
    char answer[256];

    seen_ns = recorded_ns = 0;
    port_command(&pen, "inject 1403", answer, sizeof(answer));
    for (began = 0; pen.vpen.pen.state != mnp_State_STATE_FAULT;) { /* until the moment in which the pen finds it */
        began = now_ns();
        turn(c);
    }
    live(c, now_ns() + 5000000000, &seen_ns);
    live(c, now_ns() + 5000000000, &recorded_ns);
    assert_true(seen_ns != 0 && recorded_ns != 0);
    *event_ns = seen_ns - began;
    *record_ns = recorded_ns - began;
    port_command(&pen, "clear all", answer, sizeof(answer));
    live(c, now_ns() + 30000000, &never);
    assert_int_equal(mn_faults_clear_async(c, "FAULTY", 0, true, T, on_done, &answered), MN_OK);
    live(c, now_ns() + 5000000000, &answered);
}

static void fault_with(const char *others, unsigned pens, unsigned programs)
{
    static uint64_t event_ns[FAULTS], record_ns[FAULTS], rtt_ns[FAULTS];
    uint64_t never = 0;
    const char *const stub[] = {"--pens", others, NULL};
    struct mn_filter filter = {.serial = "FAULTY", .kinds = 1 << MN_RECORD_FAULT};
    struct mn_options o = {.on_event = on_event};
    struct readers readers = {0};
    struct mn_pens pens_now;
    int fds[64];
    struct harness h;
    mn_client *c;

    harness_start(&h, 0, NULL);
    place(h.daemon, PLACE_MEASURED);
    if (pens > 1) {
        harness_stub(&h, stub);
        place(h.stub, PLACE_LOAD);
    }
    harness_wait_ready(&h, pens - 1);
    for (unsigned i = 0; i < programs; i++)
        fds[i] = program_connect(h.socket, true);
    if (programs > 0)
        readers_start(&readers, fds, programs, cut_telemetry);
    o.socket = h.socket;
    assert_int_equal(mn_connect(&c, &o, NULL, 0), MN_OK);
    assert_int_equal(mn_watch(c, true, &pens_now, T), MN_OK);
    mn_pens_free(&pens_now);
    assert_int_equal(mn_records_follow(c, NULL, &filter, T), MN_OK);
    plug_pen(h.sim_socket);
    live(c, now_ns() + 1500000000, &never);
    for (int i = 0; i < FAULTS; i++) {
        round_trip(c, &rtt_ns[i]);
        fault(c, &event_ns[i], &record_ns[i]);
        live(c, now_ns() + 10000000 + (uint64_t)(i % 50) * 1000000, &never); /* at any phase of the others' batches */
    }
    report("round trip", pens, programs, rtt_ns);
    report("fault to event", pens, programs, event_ns);
    report("fault to record", pens, programs, record_ns);
    if (programs > 0) {
        assert_true(readers_take(&readers).messages > 0);
        readers_stop(&readers);
    }
    mn_close(c);
    port_deinit(&pen);
    harness_stop(&h);
}

static void bench_fault(void **state)
{
    (void)state;
    fault_with("", 1, 0);
    fault_with("31", 32, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench_fault)};

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
