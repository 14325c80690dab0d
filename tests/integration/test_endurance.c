/* Long runs and bad neighbours: an hour over a bad cable, a daemon at rest after each kind of failure, a STOP through floods. */
#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "rude.h"

static struct harness h;
static const char *const P = "SIM-0001";

/* ---- an hour at 1 kHz, 1 % of the transfers lost, corrupted, cut or delayed ---- */

struct stream {
    uint64_t samples, missed, first, next, dropped_by_pen, slow;
    int64_t skew_us; /* of the pen's time from its sample numbers: constant */
    uint32_t boot_id;
};

/* A pen at rest: every value of each sample is known. */
static void check_values(const struct mn_telemetry *t)
{
    for (size_t i = 0; i < t->fast.count; i++)
        assert_int_equal(t->fast.depth_um[i] | t->fast.stroke_rate_dhz[i] | t->fast.motor_current_ma[i] | t->fast.motor_duty_permille[i] |
                             t->fast.load_permille[i] | t->fast.skin_contact[i],
                         0);
    for (size_t i = 0; i < t->slow.count; i++) {
        assert_int_equal(t->slow.depth_set_um[i], 500);
        assert_int_equal(t->slow.rate_set_dhz[i], 1000);
        assert_in_range(t->slow.motor_temp_dc[i], 150, 400);
        assert_in_range(t->slow.battery_mv[i], 3000, 4300);
        assert_in_range(t->slow.battery_soc_pct[i], 0, 100);
    }
}

static void on_stream(mn_client *c, const struct mn_event *e, void *user)
{
    struct stream *s = user;
    const struct mn_fast *f;

    (void)c;
    if (e->kind != MN_EVENT_TELEMETRY)
        return;
    f = &e->telemetry->fast;
    check_values(e->telemetry);
    s->slow += e->telemetry->slow.count;
    if (f->count == 0)
        return;
    if (s->samples == 0) {
        s->first = f->first_seq;
        s->skew_us = (int64_t)f->t0_us - (int64_t)f->first_seq * f->period_us;
        s->boot_id = e->telemetry->boot_id;
    } else {
        s->missed += f->missed;
        assert_true(f->first_seq >= s->next);
        assert_int_equal(f->missed, f->first_seq - s->next); /* each hole, just there */
    }
    assert_int_equal(e->telemetry->boot_id, s->boot_id);
    assert_int_equal((int64_t)f->t0_us - (int64_t)f->first_seq * f->period_us, s->skew_us);
    s->samples += f->count;
    s->next = f->first_seq + f->count;
    s->dropped_by_pen = e->telemetry->dropped_by_pen;
}

static void follow(mn_client *c, struct stream *s, uint64_t samples)
{
    uint64_t end_ms = harness_now_ms() + 300000;

    while (s->next - s->first < samples) {
        struct pollfd fd = {.fd = mn_fd(c), .events = mn_events(c)};

        assert_true(harness_now_ms() < end_ms);
        poll(&fd, 1, mn_timeout_ms(c));
        if (mn_process(c) != MN_OK)
            fail_msg("%s", mn_message(c));
    }
}

/* MN_HOUR_S: fewer seconds of the pen, for those who wait. */
static void an_hour_over_a_bad_cable_has_counted_holes_and_no_wrong_value(void **state)
{
    const char *const pen[] = {"--speed", "100", "--link", "drop=0.0025 corrupt=0.0025 cut=0.0025 delay=0.0025:20", NULL};
    const char *wanted = getenv("MN_HOUR_S");
    uint64_t samples = 1000 * (wanted != NULL ? strtoull(wanted, NULL, 10) : 3600);
    struct stream s = {0};
    struct mn_options o = {.on_event = on_stream, .user = &s};
    struct mn_pens pens;
    long kib, descriptors;
    mn_client *c;

    (void)state;
    harness_start(&h, 0, NULL);
    harness_stub(&h, pen);
    harness_wait_ready(&h, 1);
    o.socket = h.socket;
    assert_int_equal(mn_connect(&c, &o, NULL, 0), MN_OK);
    assert_int_equal(mn_subscribe(c, NULL, true, T), MN_OK);
    follow(c, &s, samples / 20);
    kib = process_kib(h.daemon, "VmRSS");
    descriptors = process_descriptors(h.daemon);
    follow(c, &s, samples);
    harness_ok(&h, mn_list(h.c, &pens, T));
    print_message("# %lu samples, %lu missed (%lu by the pen); %lu bad frames, %lu in gaps, %lu sessions; daemon %ld -> %ld KiB\n",
                  (unsigned long)s.samples, (unsigned long)s.missed, (unsigned long)s.dropped_by_pen,
                  (unsigned long)pens.pen[0].bad_frames, (unsigned long)pens.pen[0].sequence_gaps, (unsigned long)pens.pen[0].sessions, kib,
                  process_kib(h.daemon, "VmRSS"));
    assert_int_equal(s.samples + s.missed, s.next - s.first);
    assert_true(s.missed > samples / 400); /* the cable was bad indeed ... */
    assert_true(s.missed < samples / 20);  /* ... but not so bad */
    assert_true(s.slow > samples / 150);
    assert_true(pens.pen[0].bad_frames > 0 && pens.pen[0].sequence_gaps > 0);
    assert_in_range(process_kib(h.daemon, "VmRSS"), 1, kib + 1024);
    assert_int_equal(process_descriptors(h.daemon), descriptors);
    mn_pens_free(&pens);
    mn_close(c);
}

/* ---- at rest after a failure ---- */

enum { REST_S = 5, WAKEUPS_MAX = 100 };

static void leave_nothing(struct harness *d)
{
    (void)d;
}

static void unplug(struct harness *d)
{
    harness_say(d, P, "unplug");
}

static void power_off_suddenly(struct harness *d)
{
    kill(d->stub, SIGKILL);
    waitpid(d->stub, NULL, 0);
    d->stub = 0;
}

static void stop_the_stub(struct harness *d)
{
    kill(d->stub, SIGSTOP);
}

static void cut_all(struct harness *d)
{
    harness_say(d, P, "link drop=1");
}

static void halt(struct harness *d)
{
    harness_say(d, P, "halt");
}

static void raise_fault(struct harness *d)
{
    harness_say(d, P, "inject 1401");
}

static void leave_a_client_asleep(struct harness *d)
{
    int fd = rude_greet(d->socket), small = 2048;
    uint32_t asked = 0, before = 1;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)); /* open to the end of the test */
    for (; before != asked; poll(NULL, 0, 100)) { /* until it is held back */
        before = asked;
        assert_true(rude_fill(fd, &asked));
    }
}

static void throw_a_client_out(struct harness *d)
{
    int fd = rude_greet(d->socket);

    assert_int_equal(send(fd, "\xff\xff\xff\xff", 4, MSG_NOSIGNAL), 4); /* and the other end stays open */
}

static void kill_a_client(struct harness *d)
{
    pid_t pid = fork();

    if (pid == 0) {
        rude_greet(d->socket);
        kill(getpid(), SIGKILL);
    }
    waitpid(pid, NULL, 0);
}

static void run_out_of_descriptors(struct harness *d)
{
    int fds[64]; /* open to the end of the test */

    rude_descriptors(d, fds, 64);
}

/* All of them at once, each with a daemon of its own: the same five seconds count for all. */
static void at_rest_after_every_failure(void **state)
{
    static const struct failure {
        const char *name;
        void (*strike)(struct harness *d);
        unsigned wakeups_max;
    } failures[] = {
        {"nothing: no telemetry", leave_nothing, WAKEUPS_MAX},
        {"pen unplugged", unplug, WAKEUPS_MAX},
        {"pen's process killed", power_off_suddenly, WAKEUPS_MAX},
        {"pen hangs, its link open", stop_the_stub, WAKEUPS_MAX},
        {"every transfer lost", cut_all, WAKEUPS_MAX},
        {"pipe stalled once", halt, WAKEUPS_MAX},
        {"pen in FAULT", raise_fault, WAKEUPS_MAX},
        {"client that never reads", leave_a_client_asleep, WAKEUPS_MAX},
        {"client thrown out, socket left open", throw_a_client_out, WAKEUPS_MAX},
        {"client killed", kill_a_client, WAKEUPS_MAX},
        {"no descriptors left", run_out_of_descriptors, WAKEUPS_MAX},
    };
    enum { N = sizeof(failures) / sizeof(failures[0]) };
    static struct harness daemons[N];
    const char *const pen[] = {NULL};
    struct mn_config quiet = {.present = MN_SET_FAST_RATE_HZ | MN_SET_SLOW_RATE_HZ};
    uint64_t wakeups[N], cpu_ns[N];

    (void)state;
    for (size_t i = 0; i < N; i++) {
        harness_start(&daemons[i], 0, NULL);
        harness_stub(&daemons[i], pen);
        harness_wait_ready(&daemons[i], 1);
        harness_ok(&daemons[i], mn_config_set(daemons[i].c, P, &quiet, NULL, NULL, T));
        failures[i].strike(&daemons[i]);
    }
    poll(NULL, 0, 6000); /* what is tried again soon has been */
    for (size_t i = 0; i < N; i++) {
        wakeups[i] = process_wakeups(daemons[i].daemon);
        cpu_ns[i] = process_cpu_ns(daemons[i].daemon);
    }
    poll(NULL, 0, REST_S * 1000);
    for (size_t i = 0; i < N; i++) {
        wakeups[i] = process_wakeups(daemons[i].daemon) - wakeups[i];
        cpu_ns[i] = process_cpu_ns(daemons[i].daemon) - cpu_ns[i];
        print_message("# %-36s %3lu wake-ups, %.3f %% of a core\n", failures[i].name, (unsigned long)wakeups[i],
                      (double)cpu_ns[i] / 1e7 / REST_S);
    }
    for (size_t i = 0; i < N; i++) {
        assert_in_range(wakeups[i], 0, failures[i].wakeups_max);
        kill(daemons[i].stub > 0 ? daemons[i].stub : getpid(), SIGCONT);
        harness_stop(&daemons[i]);
    }
}

/* ---- STOP through floods ---- */

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void a_stop_gets_through_floods_of_a_pen_and_of_64_clients(void **state)
{
    static uint64_t us[100];
    struct flood flood;
    size_t n = sizeof(us) / sizeof(us[0]);
    uint64_t median_us;

    (void)state;
    harness_start(&h, 0, NULL);
    flood_begin(&flood, &h, 64);
    for (size_t i = 0; i < n; i++)
        us[i] = flood_stop_us(&flood);
    flood_end(&flood);
    qsort(us, n, sizeof(*us), compare);
    median_us = us[n / 2];
    print_message("# %zu STOPs: median %.1f ms, worst %.1f ms, under sanitizers\n", n, (double)median_us / 1000, (double)us[n - 1] / 1000);
    assert_true(median_us < 100000); /* scripts/bench has the figures that count */
    assert_true(us[n - 1] < 500000);
}

static int stop(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_hour_over_a_bad_cable_has_counted_holes_and_no_wrong_value, stop),
        cmocka_unit_test(at_rest_after_every_failure),
        cmocka_unit_test_teardown(a_stop_gets_through_floods_of_a_pen_and_of_64_clients, stop),
    };

    signal(SIGPIPE, SIG_IGN);
    setenv("ASAN_OPTIONS", "quarantine_size_mb=1", 0); /* memory that was freed counts as free */
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("endurance", tests, NULL, NULL);
}
