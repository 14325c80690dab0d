/* From libmn through mnd to the pen and back, over the simulated link. */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a record is waited for: it comes by way of the disk, whose pace nobody promises. */
enum { RECORD_MS = 10000 };

static struct harness h;
static const char *const P = "SIM-0001", *const Q = "SIM-0002";

static uint32_t acked(const char *serial, uint32_t *newest)
{
    struct mn_status s;

    harness_ok(&h, mn_pen_status(h.c, serial, &s, T));
    *newest = s.records_newest;
    return s.records_acked;
}

/* Their first records, of the boot, are in the journal: what a test is told then is its own doing. */
static int two_pens(void **state)
{
    uint32_t newest;

    (void)state;
    harness_start(&h, 2, NULL);
    harness_until(&h, acked(P, &newest) == newest && acked(Q, &newest) == newest, T);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

static void pens_are_listed_with_what_they_are(void **state)
{
    struct mn_pens pens;

    (void)state;
    harness_ok(&h, mn_list(h.c, &pens, T));
    assert_int_equal(pens.count, 2);
    for (size_t i = 0; i < pens.count; i++) {
        assert_int_equal(pens.pen[i].link, MN_LINK_READY);
        assert_true(pens.pen[i].simulated);
        assert_int_equal(pens.pen[i].state, MN_STATE_SAFE);
        assert_int_equal(pens.pen[i].cartridge, MN_CARTRIDGE_NEW);
        assert_int_not_equal(pens.pen[i].boot_id, 0);
    }
    mn_pens_free(&pens);
}

static void a_configuration_is_changed_read_back_and_compared(void **state)
{
    struct mn_config config, change = {.present = MN_SET_DEPTH_UM | MN_SET_STROKE_RATE_DHZ, .depth_um = 1200, .stroke_rate_dhz = 1234};
    uint32_t stale;

    (void)state;
    harness_ok(&h, mn_config_get(h.c, P, &config, T));
    stale = config.generation;
    harness_ok(&h, mn_config_set(h.c, P, &change, &stale, &config, T));
    assert_int_equal(config.generation, stale + 1);
    assert_int_equal(mn_config_set(h.c, P, &change, &stale, NULL, T), MN_ERR_CONFLICT);
    assert_int_equal(mn_last_result(h.c)->generation, stale + 1);
    memset(&config, 0, sizeof(config));
    harness_ok(&h, mn_config_get(h.c, P, &config, T));
    assert_int_equal(config.depth_um, 1200);
    assert_int_equal(config.stroke_rate_dhz, 1234);
    assert_int_equal(config.fast_rate_hz, 1000);
    harness_ok(&h, mn_config_get(h.c, Q, &config, T)); /* the other pen's own */
    assert_int_equal(config.depth_um, 500);
    harness_ok(&h, mn_config_reset(h.c, P, NULL, &config, T));
    assert_int_equal(config.depth_um, 500);
}

static void a_refusal_names_field_range_and_pen(void **state)
{
    struct mn_config change = {.present = MN_SET_DEPTH_UM, .depth_um = 1201};

    (void)state;
    assert_int_equal(mn_config_set(h.c, P, &change, NULL, NULL, T), MN_ERR_RANGE);
    assert_string_equal(mn_message(h.c), "pen SIM-0001: depth_um is 1201; it must be 0 to 2500 in steps of 50");
    assert_string_equal(mn_last_result(h.c)->range.field, "depth_um");
    assert_int_equal(mn_last_result(h.c)->range.max, 2500);
}

static void telemetry_comes_without_a_hole(void **state)
{
    (void)state;
    harness_ok(&h, mn_subscribe(h.c, P, true, T));
    harness_until(&h, h.samples >= 2000, 30000);
    assert_int_equal(h.missed, 0);
    assert_string_equal(h.last.serial == NULL ? "" : P, P);
    harness_ok(&h, mn_subscribe(h.c, P, false, T));
    harness_run(&h, 200);
    h.samples = 0;
    harness_run(&h, 300);
    assert_int_equal(h.samples, 0);
    harness_ok(&h, mn_subscribe(h.c, NULL, true, T)); /* what passed meanwhile is a hole, and counted */
    harness_until(&h, h.missed > 0, 5000);
    assert_in_range(h.missed, 400, 5000);
}

/* How often this client was woken for the next so many samples. Batches and samples are by the pen's clock: a busy machine makes wake-ups fewer only. */
static unsigned wakeups_for(uint64_t samples)
{
    uint64_t end_ms = harness_now_ms() + 30000;
    unsigned count = 0;

    h.batches = h.samples = 0;
    while (h.samples < samples) {
        struct pollfd fd = {.fd = mn_fd(h.c), .events = POLLIN};

        assert_true(harness_now_ms() < end_ms);
        if (poll(&fd, 1, 20) > 0) {
            mn_process(h.c);
            count++;
        }
    }
    return count;
}

static void one_in_a_hurry_gets_small_batches_and_one_who_is_not_gets_many_at_once(void **state)
{
    (void)state;
    harness_ok(&h, mn_subscribe(h.c, P, true, T));
    harness_run(&h, 200);
    wakeups_for(1000);
    assert_in_range(h.batches, 20, 22); /* of 50 ms */
    harness_ok(&h, mn_pace(h.c, 1, 10, T));
    harness_run(&h, 200);
    wakeups_for(1000);
    assert_in_range(h.batches, 100, 112);
    harness_ok(&h, mn_pace(h.c, 1, 500, T));
    harness_run(&h, 1000);
    assert_in_range(wakeups_for(3000), 1, 9); /* of 60 batches, 9 or 10 at once */
    assert_in_range(h.batches, 60, 75);
    assert_int_equal(h.missed, 0);
    assert_int_equal(mn_pace(h.c, 1, 4, T), MN_ERR_INVALID);
    assert_int_equal(mn_pace(h.c, 1, 2001, T), MN_ERR_INVALID);
    assert_string_equal(mn_message(h.c), "the greatest latency of telemetry is 5 to 2000 ms");
}

static void one_sample_in_so_many_comes_without_a_hole(void **state)
{
    (void)state;
    harness_ok(&h, mn_pace(h.c, 20, MN_LATENCY_DEFAULT_MS, T));
    harness_ok(&h, mn_subscribe(h.c, P, true, T));
    harness_until(&h, h.samples >= 60, 30000);
    assert_int_equal(h.missed, 0);
    assert_int_equal(h.last.fast.decimation, 20);
    assert_int_equal(h.last.fast.first_seq % 20, 0);
    assert_int_equal(h.last.fast.period_us, 20000);
    harness_ok(&h, mn_pace(h.c, 1, MN_LATENCY_DEFAULT_MS, T)); /* while it flows */
    h.samples = 0;
    harness_until(&h, h.samples >= 1000, 30000);
    assert_int_equal(h.missed, 0);
    assert_int_equal(mn_pace(h.c, 3, 50, T), MN_ERR_INVALID);
    assert_string_equal(mn_message(h.c), "one sample in 3 cannot be had: it is one in 1, 2, 5, 10, 20, 50, 100, 200, 500 or 1000");
}

static void other_rates_give_other_streams(void **state)
{
    struct mn_config change = {.present = MN_SET_FAST_RATE_HZ | MN_SET_SLOW_RATE_HZ, .fast_rate_hz = 100, .slow_rate_hz = 5};

    (void)state;
    harness_ok(&h, mn_config_set(h.c, P, &change, NULL, NULL, T));
    harness_run(&h, 200);
    harness_ok(&h, mn_subscribe(h.c, P, true, T));
    harness_run(&h, 1000);
    assert_in_range(h.samples, 80, 115);
    assert_int_equal(h.missed, 0);
    change.fast_rate_hz = change.slow_rate_hz = 0;
    harness_ok(&h, mn_config_set(h.c, P, &change, NULL, NULL, T));
    harness_run(&h, 200);
    h.batches = 0;
    harness_run(&h, 500);
    assert_int_equal(h.batches, 0);
}

static void an_injected_fault_reaches_everyone_and_is_cleared(void **state)
{
    struct mn_cleared cleared;

    (void)state;
    harness_ok(&h, mn_records_follow(h.c, NULL, NULL, T));
    harness_say(&h, P, "inject 1402");
    harness_until(&h, h.record_count == 2, RECORD_MS); /* a critical battery is a low one first */
    assert_int_equal(h.records[0].fault.code, 1401);
    assert_int_equal(h.records[1].kind, MN_RECORD_FAULT);
    assert_int_equal(h.records[1].fault.code, 1402);
    assert_true(h.records[1].fault.raised);
    assert_string_equal(h.records[1].serial, P);
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_FAULT, 2000);
    harness_ok(&h, mn_faults_clear(h.c, P, 1402, false, &cleared, T));
    assert_int_equal(cleared.cleared, 0); /* its cause is still there */
    harness_say(&h, P, "clear 1402");
    harness_run(&h, 100); /* until the pen has seen it */
    harness_ok(&h, mn_faults_clear(h.c, P, 0, false, &cleared, T));
    assert_int_equal(cleared.fault_word, 0);
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_SAFE, 2000);
    harness_until(&h, h.record_count == 4, RECORD_MS);
    assert_false(h.records[2].fault.raised);
    assert_false(h.records[3].fault.raised);
    assert_int_equal(harness_pen(&h, Q)->fault_word, 0);
}

static void arm(void)
{
    harness_ok(&h, harness_arm(h.c, P, NULL));
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_ARMED, 2000);
}

static void run(void)
{
    harness_ok(&h, mn_subscribe(h.c, P, true, T));
    harness_ok(&h, mn_records_follow(h.c, NULL, NULL, T));
    arm();
    harness_say(&h, P, "trigger press");
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_RUNNING && h.last_rate_dhz > 900, 5000);
}

static void a_run_from_arm_to_stop(void **state)
{
    (void)state;
    run();
    harness_run(&h, 1000); /* twenty heartbeats: it goes on */
    assert_int_equal(harness_pen(&h, P)->state, MN_STATE_RUNNING);
    harness_ok(&h, mn_stop(h.c, P, T));
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_SAFE, 1000);
    harness_until(&h, h.record_count > 0 && h.records[h.record_count - 1].kind == MN_RECORD_RUN, RECORD_MS);
    assert_int_equal(h.records[h.record_count - 1].run.end, 2);
    assert_true(h.records[h.record_count - 1].run.strokes > 80);
}

static void stop_works_for_a_client_that_did_not_arm(void **state)
{
    mn_client *other = harness_client(&h);

    (void)state;
    run();
    assert_int_equal(mn_stop(other, NULL, T), MN_OK);
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_SAFE, 1000);
    mn_close(other);
}

static void the_needles_stop_when_the_client_that_armed_hangs_up(void **state)
{
    mn_client *other = harness_client(&h);

    (void)state;
    harness_ok(&h, mn_subscribe(h.c, P, true, T));
    assert_int_equal(harness_arm(other, P, NULL), MN_OK);
    harness_say(&h, P, "trigger press");
    harness_until(&h, h.last_rate_dhz > 900, 5000);
    mn_close(other);
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_SAFE, 1000);
}

static void ignore(mn_client *c, const struct mn_result *r, void *user)
{
    (void)c;
    (void)r;
    (void)user;
}

/* STOP goes by EP0 and may overtake an ARM that is still on the slow wire; the pen must not stay armed. */
static void a_stop_that_overtakes_an_arm_still_stops(void **state)
{
    mn_client *other = harness_client(&h);
    struct mn_status status;

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct mn_session s;

        harness_until(&h, i == 0 || h.session.state == MN_SESSION_PAUSED, T);
        harness_ok(&h, harness_arm(h.c, P, &s));
        harness_ok(&h, mn_stop(h.c, P, T));
        harness_until(&h, harness_pen(&h, P)->state == MN_STATE_SAFE && h.session.state == MN_SESSION_PAUSED, T);
        harness_say(&h, P, "link delay=1:150");
        harness_ok(&h, mn_session_arm_async(h.c, P, s.config_generation, T, ignore, NULL));
        if (i == 0)
            assert_int_equal(mn_stop(other, NULL, T), MN_OK);
        else if (i == 1)
            assert_int_equal(mn_stop_async(h.c, P, T, ignore, NULL), MN_OK);
        else
            mn_close(h.c); /* the client that asked for it is gone before the answer */
        if (i == 2)
            h.c = harness_client(&h);
        harness_run(&h, 600);
        harness_say(&h, P, "link good");
        harness_run(&h, 300);
        harness_ok(&h, mn_pen_status(h.c, P, &status, T));
        assert_int_equal(status.state, MN_STATE_SAFE);
    }
    mn_close(other);
}

static void a_stall_is_a_fault_that_ends_the_run(void **state)
{
    (void)state;
    run();
    harness_say(&h, P, "load 1500");
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_FAULT, 2000);
    assert_int_equal(harness_pen(&h, P)->fault_word, 1);
    harness_until(&h, h.record_count > 0 && h.records[h.record_count - 1].kind == MN_RECORD_RUN, RECORD_MS);
    assert_int_equal(h.records[h.record_count - 1].run.end, 3);
    assert_int_equal(h.records[h.record_count - 1].run.fault_code, 1101);
}

static void unplug_and_replug_keep_what_the_pen_knows_and_deliver_no_record_twice(void **state)
{
    struct mn_config change = {.present = MN_SET_DEPTH_UM, .depth_um = 850}, config;

    (void)state;
    harness_ok(&h, mn_subscribe(h.c, NULL, true, T));
    harness_ok(&h, mn_records_follow(h.c, NULL, NULL, T));
    harness_ok(&h, mn_config_set(h.c, P, &change, NULL, NULL, T));
    harness_until(&h, h.record_count == 1 && h.samples > 0, RECORD_MS);
    harness_say(&h, P, "unplug");
    harness_until(&h, harness_pen(&h, P)->link == MN_LINK_GONE, 2000);
    assert_int_equal(mn_config_get(h.c, P, &config, T), MN_ERR_NO_PEN);
    harness_say(&h, P, "inject 1401"); /* while nobody looks */
    harness_run(&h, 1000); /* the pen itself bridges 400 ms */
    h.missed = 0;
    harness_say(&h, P, "replug");
    harness_until(&h, harness_pen(&h, P)->link == MN_LINK_READY, 3000);
    harness_ok(&h, mn_config_get(h.c, P, &config, T));
    assert_int_equal(config.depth_um, 850);
    harness_until(&h, h.record_count == 2, RECORD_MS);
    assert_int_equal(h.records[1].fault.code, 1401);
    assert_int_equal(h.records[1].number, h.records[0].number + 1);
    harness_until(&h, h.missed > 0, 3000); /* the hole in telemetry is counted */
    harness_run(&h, 300);
    assert_int_equal(h.record_count, 2);
}

static void keep_error(mn_client *c, const struct mn_result *r, void *user)
{
    (void)c;
    *(int *)user = r->error;
}

static void a_call_that_waits_ends_when_the_pen_is_unplugged(void **state)
{
    int error = -1;

    (void)state;
    harness_say(&h, P, "hang");
    harness_ok(&h, mn_pen_status_async(h.c, P, T, keep_error, &error));
    harness_say(&h, P, "unplug");
    harness_until(&h, error != -1, T);
    assert_int_equal(error, MN_ERR_PEN_GONE);
}

static void a_stalled_pipe_is_cleared_and_the_session_begins_anew(void **state)
{
    uint64_t sessions = harness_pen(&h, P)->sessions;
    uint64_t us;

    (void)state;
    harness_say(&h, P, "halt");
    harness_until(&h, harness_pen(&h, P)->link == MN_LINK_READY && harness_pen(&h, P)->sessions > sessions, 3000);
    harness_ok(&h, mn_ping(h.c, P, 64, &us, T));
}

static void a_watchdog_reset_is_another_life_with_its_fault(void **state)
{
    uint32_t boot_id = harness_pen(&h, P)->boot_id;

    (void)state;
    harness_say(&h, P, "hang");
    harness_until(&h, harness_pen(&h, P)->link == MN_LINK_READY && harness_pen(&h, P)->boot_id != boot_id, 5000);
    harness_until(&h, harness_pen(&h, P)->fault_word == UINT32_C(1) << 27, 3000);
}

static void records_are_read_by_pages(void **state)
{
    struct mn_filter filter = {.serial = P, .kinds = 1 << MN_RECORD_CONFIG};
    struct mn_cursor place = {0};
    struct mn_records page;
    uint32_t last = 0;
    size_t total = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        struct mn_config change = {.present = MN_SET_DEPTH_UM, .depth_um = 500 + 50 * (i % 2)};

        harness_ok(&h, mn_config_set(h.c, P, &change, NULL, NULL, T));
    }
    for (bool end = false; !end || total < 101;) {
        harness_ok(&h, mn_records_read(h.c, &place, &filter, &page, T));
        for (size_t i = 0; i < page.count; i++) {
            if (page.record[i].kind == MN_RECORD_BEGUN)
                continue;
            assert_int_equal(page.record[i].kind, MN_RECORD_CONFIG);
            assert_true(page.record[i].number > last);
            assert_true(page.record[i].host_bound_us < 1000000);
            last = page.record[i].number;
        }
        total += page.count;
        end = page.end;
        place = page.next;
        assert_int_equal(page.missed, 0);
        mn_records_free(&page);
    }
    assert_int_equal(total, 101); /* with the note that the journal was begun */
}

static void progress_of_a_self_test(mn_client *c, const struct mn_result *r, void *user)
{
    int *counts = user;

    (void)c;
    counts[r->in_progress ? 0 : 1]++;
}

static void a_self_test_reports_progress(void **state)
{
    int counts[2] = {0};

    (void)state;
    harness_ok(&h, mn_self_test_async(h.c, P, T, progress_of_a_self_test, counts));
    harness_until(&h, counts[1] == 1, T);
    assert_true(counts[0] >= 3);
}

static void answers_of_pipelined_calls_find_their_callers(void **state)
{
    int counts[2] = {0};

    (void)state;
    for (int i = 0; i < 20; i++)
        harness_ok(&h, mn_ping_async(h.c, i % 2 ? P : Q, (size_t)i * 50, T, progress_of_a_self_test, counts));
    harness_until(&h, counts[1] == 20, T);
}

/* One program's flood of requests: another's STOP is still taken and answered, and those beyond the limit are told. */
static void a_flood_of_requests_does_not_keep_a_stop_out(void **state)
{
    mn_client *other = harness_client(&h);
    int counts[2] = {0};
    uint64_t began_ms;

    (void)state;
    harness_say(&h, P, "link delay=1:30");
    for (int i = 0; i < 200; i++)
        harness_ok(&h, mn_ping_async(h.c, P, 900, T, progress_of_a_self_test, counts));
    began_ms = harness_now_ms();
    assert_int_equal(mn_stop(other, P, T), MN_OK);
    assert_in_range(harness_now_ms() - began_ms, 0, 1000);
    harness_until(&h, counts[1] == 200, 30000);
    mn_close(other);
}

static void pings_of_every_awkward_size_come_back(void **state)
{
    static const size_t sizes[] = {0, 1, 43, 44, 45, 63, 64, 65, 107, 108, 109, 491, 492, 493, 511, 512, 513, 1002, 1003};
    uint64_t us;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        harness_ok(&h, mn_ping(h.c, P, sizes[i], &us, T));
    assert_int_equal(mn_ping(h.c, P, 1004, &us, T), MN_ERR_INVALID);
}

static void a_client_comes_back_after_the_daemon_does(void **state)
{
    static const char *const stub[] = {"--serial", "OWN-1", NULL};

    (void)state;
    harness_start(&h, 0, NULL);
    harness_stub(&h, stub);
    harness_wait_ready(&h, 1);
    harness_ok(&h, mn_records_follow(h.c, NULL, NULL, T)); /* of all pens records, of this one telemetry too */
    harness_ok(&h, mn_subscribe(h.c, "OWN-1", true, T));
    harness_until(&h, h.samples > 100, 5000);
    harness_kill_daemon(&h, SIGKILL);
    harness_until(&h, h.disconnects == 1, 2000);
    assert_int_equal(mn_stop(h.c, NULL, T), MN_ERR_DISCONNECTED);
    harness_run(&h, 1000);
    h.pen_count = 0;
    harness_restart_daemon(&h);
    harness_until(&h, h.reconnects == 1, 10000);
    harness_wait_ready(&h, 1); /* watched again by itself */
    h.samples = 0;
    harness_until(&h, h.samples > 100, 10000); /* subscribed again by itself */
    assert_true(h.missed > 0);                 /* and the outage is a counted hole */
    harness_stop(&h);
}

static void a_bad_cable_loses_nothing_that_must_not_be_lost(void **state)
{
    static const char *const stub[] = {"--serial", "BAD-1", "--link", "drop=0.02 duplicate=0.02 corrupt=0.02 cut=0.02 delay=0.05:10", NULL};
    unsigned applied = 0, unknown = 0;
    uint32_t first = 0;
    struct mn_config config;

    (void)state;
    harness_start(&h, 0, NULL);
    harness_ok(&h, mn_subscribe(h.c, NULL, true, T));
    harness_ok(&h, mn_records_follow(h.c, NULL, NULL, T));
    harness_stub(&h, stub);
    harness_wait_ready(&h, 1);
    while (applied + unknown < 100) {
        struct mn_config change = {.present = MN_SET_DEPTH_UM, .depth_um = applied % 2 ? 500 : 550};
        int r = mn_config_set(h.c, "BAD-1", &change, NULL, &config, T);

        applied += r == MN_OK;
        unknown += r != MN_OK && r != MN_ERR_NOT_READY; /* not ready: three bad frames in a second end a session */
        harness_run(&h, r == MN_ERR_NOT_READY ? 100 : 10);
    }
    harness_say(&h, "BAD-1", "link good");
    harness_until(&h, mn_config_get(h.c, "BAD-1", &config, T) == MN_OK, 10000);
    printf("# %u changes applied, %u of unknown end, generation %u; %lu samples, %lu missed\n", applied, unknown, config.generation,
           (unsigned long)h.samples, (unsigned long)h.missed);
    assert_in_range(config.generation, applied, applied + unknown); /* none was applied twice */
    assert_true(applied > 50);
    harness_until(&h, h.record_count > 0 && h.records[h.record_count - 1].number >= config.generation + 1, RECORD_MS);
    for (size_t i = 0; i < h.record_count; i++) { /* each record once, in order */
        if (first == 0)
            first = h.records[i].number;
        assert_int_equal(h.records[i].number, first + i);
    }
    harness_stop(&h);
}

static void many_pens_at_once(void **state)
{
    (void)state;
    harness_start(&h, 32, NULL);
    harness_ok(&h, mn_subscribe(h.c, NULL, true, T));
    harness_until(&h, h.samples >= 32 * 1000, 20000);
    assert_int_equal(h.missed, 0);
    harness_stop(&h);
}

static void a_record_is_acknowledged_once_it_is_on_disk_and_told_once_over_restarts(void **state)
{
    static const char *const stub[] = {NULL};
    uint32_t newest = 0;

    (void)state;
    harness_start(&h, 0, NULL);
    harness_stub(&h, stub);
    harness_wait_ready(&h, 1);
    harness_until(&h, acked(P, &newest) == newest, T);
    harness_ok(&h, mn_records_follow(h.c, NULL, NULL, T));
    for (int round = 0; round < 5; round++) {
        harness_say(&h, P, "inject 1401");
        harness_until(&h, h.record_count == (size_t)(2 * round + 1), T);
        harness_say(&h, P, "clear 1401");
        harness_until(&h, h.record_count == (size_t)(2 * round + 2) && acked(P, &newest) == newest, T);
        harness_kill_daemon(&h, SIGKILL);
        harness_restart_daemon(&h);
        harness_until(&h, h.reconnects == (unsigned)round + 1, T);
        harness_until(&h, mn_ping(h.c, P, 1, NULL, 500) == MN_OK, T);
    }
    harness_run(&h, 1500); /* a status has come meanwhile: nothing is told again */
    assert_int_equal(acked(P, &newest), newest);
    for (size_t i = 1; i < h.record_count; i++)
        assert_int_equal(h.records[i].number, h.records[i - 1].number + 1);
    assert_int_equal(h.records[h.record_count - 1].number, newest);
    harness_stop(&h);
}

static void without_a_journal_records_stay_in_the_pen_and_nothing_is_armed(void **state)
{
    struct mn_config config = {.present = MN_SET_DEPTH_UM, .depth_um = 800};
    char dir[] = "/tmp/mn-journal-XXXXXX", option[64], why[200], command[64];
    struct mn_daemon daemon;
    uint32_t newest = 0;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(option, sizeof(option), "--journal=%s/later/journal.db", dir);
    snprintf(why, sizeof(why), "the journal %s/later/journal.db cannot be opened: its folder is not there", dir);
    harness_start(&h, 1, option);
    harness_ok(&h, mn_subscribe(h.c, NULL, true, T));
    assert_int_equal(mn_records_follow(h.c, NULL, NULL, T), MN_ERR_JOURNAL);
    assert_string_equal(mn_message(h.c), why);
    harness_wait_ready(&h, 1);
    harness_ok(&h, mn_config_set(h.c, P, &config, NULL, &config, T));
    harness_until(&h, h.samples > 2000, T); /* telemetry and configuration go on */
    assert_int_equal(acked(P, &newest), 0);
    assert_true(newest >= 2);
    assert_int_equal(harness_arm(h.c, P, NULL), MN_ERR_JOURNAL);
    assert_non_null(strstr(mn_message(h.c), "pen SIM-0001: 2008 JOURNAL_UNWRITABLE: the journal "));
    snprintf(command, sizeof(command), "mkdir %s/later", dir); /* the disk is there now */
    assert_int_equal(system(command), 0);
    harness_until(&h, acked(P, &newest) == newest, T);
    harness_ok(&h, mn_records_follow(h.c, &(struct mn_cursor){0}, NULL, T));
    harness_until(&h, h.record_count == newest + 1, T); /* and the note that the journal was begun */
    harness_ok(&h, mn_daemon_info(h.c, &daemon, T));
    assert_string_equal(daemon.journal_error, "");
    harness_ok(&h, harness_arm(h.c, P, NULL));
    harness_stop(&h);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

/* What a program does that stores its place with what it has done: it dies, is started anew, and nothing comes twice or never. */
static void a_program_with_a_cursor_sees_each_record_once_over_its_own_deaths(void **state)
{
    static const char *const stub[] = {NULL};
    struct mn_cursor place = {0};
    uint32_t newest = 0, seen = 0;

    (void)state;
    harness_start(&h, 0, NULL);
    harness_stub(&h, stub);
    harness_wait_ready(&h, 1);
    for (unsigned round = 0; round < 20; round++) {
        mn_client *app = harness_client(&h);
        struct mn_config change = {.present = MN_SET_DEPTH_UM};
        struct mn_records page;

        for (unsigned i = 0; i < 5; i++) {
            change.depth_um = 500 + 50 * (round + i);
            harness_ok(&h, mn_config_set(h.c, P, &change, NULL, NULL, T));
        }
        if (round == 10) {
            harness_kill_daemon(&h, SIGKILL);
            harness_restart_daemon(&h);
            harness_until(&h, mn_ping(h.c, P, 1, NULL, 500) == MN_OK, T);
            mn_close(app);
            continue;
        }
        harness_ok(&h, mn_records_read(app, &place, NULL, &page, T));
        for (size_t i = 0; i < page.count && i < round; i++) { /* it dies in the middle of a page, mostly */
            if (page.record[i].kind != MN_RECORD_BEGUN)
                assert_int_equal(page.record[i].number, ++seen);
            place = page.record[i].cursor;
        }
        mn_records_free(&page);
        mn_close(app);
    }
    harness_until(&h, mn_ping(h.c, P, 1, NULL, 500) == MN_OK && acked(P, &newest) == newest, T);
    h.record_count = 0;
    harness_ok(&h, mn_records_follow(h.c, &place, NULL, T));
    harness_until(&h, h.record_count == newest - seen, T);
    for (size_t i = 0; i < h.record_count; i++)
        assert_int_equal(h.records[i].number, ++seen);
    harness_stop(&h);
}

static void the_telemetry_around_a_fault_is_kept(void **state)
{
    struct mn_filter filter = {.kinds = 1 << MN_RECORD_FAULT, .priorities = "HM"};
    struct mn_flight flight;
    uint64_t samples = 0;

    (void)state;
    harness_start(&h, 1, NULL);
    harness_wait_ready(&h, 1);
    harness_run(&h, 2500);
    harness_ok(&h, mn_records_follow(h.c, NULL, &filter, T));
    harness_say(&h, P, "inject 1403");
    harness_until(&h, h.record_count >= 1, T);
    assert_true(h.records[0].fault.raised);
    assert_int_equal(mn_flight_get(h.c, &h.records[0].cursor, &flight, T), MN_ERR_NO_RECORD); /* not yet */
    harness_run(&h, 1500);
    harness_ok(&h, mn_flight_get(h.c, &h.records[0].cursor, &flight, T));
    for (size_t i = 0; i < flight.count; i++) {
        const struct mn_fast *f = &flight.batch[i].fast;

        samples += f->count;
        assert_int_equal(f->missed, 0);
        if (f->count > 0)
            assert_true(f->t0_us + 5000000 >= h.records[0].t_us && f->t0_us <= h.records[0].t_us + 1000000);
    }
    print_message("# %lu samples around the fault\n", (unsigned long)samples);
    assert_true(samples > 2500 && samples <= 6100);
    mn_flight_free(&flight);
    harness_stop(&h);
}

static void the_journal_is_checked_and_copied_while_it_is_written(void **state)
{
    char path[128], command[600];
    struct mn_verified v;
    uint32_t newest = 0;
    int fd;

    (void)state;
    harness_start(&h, 2, NULL);
    harness_wait_ready(&h, 2);
    for (unsigned i = 0; i < 300; i++)
        harness_ok(&h, mn_config_set(h.c, P, &(struct mn_config){.present = MN_SET_DEPTH_UM, .depth_um = 500 + 50 * (i % 9)}, NULL, NULL, T));
    harness_until(&h, acked(P, &newest) == newest, T);
    harness_ok(&h, mn_journal_verify(h.c, &v, T));
    assert_true(v.good);
    assert_true(v.rows >= 302);
    snprintf(path, sizeof(path), "%s/copy.db", h.dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    harness_ok(&h, mn_journal_backup(h.c, fd, T));
    close(fd);
    snprintf(command, sizeof(command), MN_BIN_DIR "/mnd --verify-journal %s | grep -q 'rows are as they were written' && test -z \"$(ls %s.journal.copy* 2>&-)\"",
             path, h.socket);
    assert_int_equal(system(command), 0);
    fd = open(path, O_RDONLY | O_CLOEXEC); /* cannot be written: said, and the next one works */
    assert_int_equal(mn_journal_backup(h.c, fd, T), MN_ERR_INVALID);
    assert_non_null(strstr(mn_message(h.c), "the copy cannot be written: "));
    close(fd);
    fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    harness_ok(&h, mn_journal_backup(h.c, fd, T));
    close(fd);
    harness_stop(&h);
}

/* Some pen's trouble is this one. */
static bool is_said(const char *sentence)
{
    struct mn_pens pens;
    bool said = false;

    harness_ok(&h, mn_list(h.c, &pens, T));
    for (size_t i = 0; i < pens.count; i++)
        said |= strcmp(pens.pen[i].last_error, sentence) == 0;
    mn_pens_free(&pens);
    return said;
}

/* Two that say they are the same pen: the second is not used while the first is, and its records are its own. */
static void a_second_pen_of_the_same_serial_is_refused_then_recognised(void **state)
{
    static const char *const stub[] = {"--serial", "TWIN-1", NULL}, *const other[] = {"--serial", "TWIN-1", "--seed", "2", NULL};
    struct harness twin = {0};
    size_t renewed = 0;
    uint32_t newest = 0;
    pid_t first;

    (void)state;
    harness_start(&h, 0, NULL);
    harness_stub(&h, stub);
    harness_until(&h, mn_ping(h.c, "TWIN-1", 1, NULL, 500) == MN_OK && acked("TWIN-1", &newest) == newest, T);
    harness_ok(&h, mn_records_follow(h.c, &(struct mn_cursor){0}, NULL, T));
    harness_until(&h, h.record_count == 2, T);
    strcpy(twin.sim_socket, h.sim_socket);
    strcpy(twin.log, h.log);
    harness_stub(&twin, other);
    harness_until(&h, is_said("another pen that says it is TWIN-1 is in use at sim 1: unplug one of them"), T);
    harness_ok(&h, mn_ping(h.c, "TWIN-1", 1, NULL, T));
    first = h.stub;
    h.stub = twin.stub;
    kill(first, SIGKILL);
    waitpid(first, NULL, 0);
    harness_until(&h, h.record_count >= 4, 15000); /* the note, and the boot of the other one */
    for (size_t i = 0; i < h.record_count; i++)
        renewed += h.records[i].kind == MN_RECORD_RENEWED;
    assert_int_equal(renewed, 1);
    assert_int_equal(h.records[3].kind, MN_RECORD_BOOT);
    assert_int_equal(h.records[3].number, 1);
    assert_int_equal(h.records[3].volume, 2);
    harness_until(&h, acked("TWIN-1", &newest) == newest, T);
    harness_stop(&h);
}

/* ---- control ---- */

static void one_program_controls_a_pen(void **state)
{
    struct mn_config change = {.present = MN_SET_DEPTH_UM, .depth_um = 900};
    struct mn_plan plan;
    char held[100];
    mn_client *other;

    (void)state;
    harness_start(&h, 1, NULL);
    other = harness_client(&h);
    harness_ok(&h, mn_config_set(h.c, P, &change, NULL, NULL, T)); /* nobody's: every operator may change it ... */
    plan = harness_plan();
    assert_int_equal(mn_session_begin(h.c, P, &plan, NULL, T), MN_ERR_LEASE);
    assert_string_equal(mn_message(h.c), "pen SIM-0001: 2007 LEASE_LOST: you do not control the pen: take its lease first");
    harness_ok(&h, mn_lease_take(h.c, P, T));
    harness_ok(&h, mn_lease_take(h.c, P, T)); /* it has it */
    harness_until(&h, harness_pen(&h, P)->lease_pid == (uint32_t)getpid(), T);
    snprintf(held, sizeof(held), "pen SIM-0001 is controlled by test (pid %d)", (int)getpid());
    assert_int_equal(mn_lease_take(other, P, T), MN_ERR_LEASE);
    assert_string_equal(mn_message(other), held);
    assert_int_equal(mn_config_set(other, P, &change, NULL, NULL, T), MN_ERR_LEASE); /* ... and now its owner alone */
    assert_string_equal(mn_message(other), held);
    assert_int_equal(mn_session_begin(other, P, &plan, NULL, T), MN_ERR_LEASE);
    assert_int_equal(mn_lease_release(other, P, T), MN_ERR_LEASE);
    assert_int_equal(mn_lease_give(other, P, 0, T), MN_ERR_LEASE);
    assert_int_equal(mn_lease_take(other, "NO-SUCH", T), MN_ERR_NO_PEN);
    harness_ok(&h, harness_arm(h.c, P, NULL));
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_ARMED, T);
    assert_int_equal(mn_stop(other, P, T), MN_OK); /* everyone may */
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_SAFE, T);
    harness_ok(&h, harness_arm(h.c, P, NULL));
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_ARMED, T);
    harness_ok(&h, mn_lease_release(h.c, P, T)); /* stops it */
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_SAFE && harness_pen(&h, P)->lease_name[0] == '\0', T);
    assert_int_equal(mn_lease_take(other, P, T), MN_OK);
    mn_close(other); /* hanging up releases it */
    harness_until(&h, mn_lease_take(h.c, P, T) == MN_OK, T);
    harness_stop(&h);
}

static void on_asked(mn_client *c, const struct mn_result *r, void *user)
{
    (void)c;
    *(int *)user = r->error;
}

/* The first record of this kind that has come; NULL. */
static const struct mn_record *record_of(enum mn_record_kind kind)
{
    size_t i = 0;

    while (i < h.record_count && h.records[i].kind != kind)
        i++;
    return i < h.record_count ? &h.records[i] : NULL;
}

static void control_is_asked_for_given_and_taken_over(void **state)
{
    mn_client *other, *third;
    int asked = -1, third_asked = -1;
    uint64_t began_ms;

    (void)state;
    harness_start(&h, 1, NULL);
    other = harness_client(&h);
    third = harness_client(&h);
    harness_ok(&h, mn_lease_take(h.c, P, T));
    assert_int_equal(mn_lease_request_async(other, P, T, on_asked, &asked), MN_OK);
    harness_until(&h, h.lease_requested == 1, T);
    assert_int_equal(h.lease_pid, getpid());
    assert_int_equal(mn_lease_request_async(third, P, T, on_asked, &third_asked), MN_OK);
    harness_until(&h, h.lease_requested == 2, T);
    assert_int_equal(mn_lease_give(h.c, P, 1, T), MN_ERR_LEASE); /* init has not asked */
    harness_ok(&h, harness_arm(h.c, P, NULL));
    harness_ok(&h, mn_lease_give(h.c, P, 0, T));
    for (int i = 0; i < 100 && asked == -1; i++)
        poll(NULL, 0, 10), mn_process(other), mn_process(third);
    assert_int_equal(asked, MN_OK); /* the one that waited longest */
    assert_int_equal(third_asked, -1);
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_SAFE, T);
    mn_close(other);
    for (int i = 0; i < 100 && third_asked == -1; i++)
        poll(NULL, 0, 10), mn_process(third);
    assert_int_equal(third_asked, MN_OK); /* the next, when that one was gone */
    began_ms = harness_now_ms();
    assert_int_equal(mn_lease_request(h.c, P, 700), MN_ERR_LEASE); /* it is asked, and does not answer */
    assert_in_range(harness_now_ms() - began_ms, 600, 1500);
    assert_non_null(strstr(mn_message(h.c), "pen SIM-0001 is still controlled by second (pid "));
    harness_ok(&h, mn_records_follow(h.c, NULL, NULL, T));
    harness_ok(&h, mn_lease_take_over(h.c, P, T)); /* by the role, and recorded */
    harness_until(&h, record_of(MN_RECORD_CONTROL) != NULL, T); /* that of the pen's boot may come as late */
    assert_non_null(strstr(record_of(MN_RECORD_CONTROL)->note.text, "has taken control of pen SIM-0001 over from second (pid "));
    mn_close(third);
    harness_ok(&h, harness_arm(h.c, P, NULL)); /* it is still the owner's */
    harness_stop(&h);
}

/* A program that asks for control and is killed; a child of it, which is *heir, has its socket. Its pid, which is no process any more. */
static pid_t a_dead_one_that_waits(pid_t *heir)
{
    unsigned requested = h.lease_requested;
    int asked = -1, told[2];
    pid_t program;

    assert_int_equal(pipe(told), 0);
    program = fork();
    assert_true(program >= 0);
    if (program == 0) {
        mn_client *c = harness_client(&h);

        mn_lease_request_async(c, P, 4 * T, on_asked, &asked);
        *heir = fork();
        if (*heir == 0) {
            alarm(30); /* should the test fail */
            for (;;)
                pause();
        }
        if (write(told[1], heir, sizeof(*heir)) == sizeof(*heir))
            for (;;)
                poll(NULL, 0, 10), mn_process(c);
        _exit(1);
    }
    assert_int_equal(read(told[0], heir, sizeof(*heir)), sizeof(*heir));
    close(told[0]);
    close(told[1]);
    harness_until(&h, h.lease_requested == requested + 1, T);
    kill(program, SIGKILL);
    assert_int_equal(waitpid(program, NULL, 0), program);
    return program;
}

static void who_waits_for_control_and_dies_is_passed_over(void **state)
{
    pid_t dead, heirs[2];
    mn_client *third;
    int asked = -1;

    (void)state;
    harness_start(&h, 1, NULL);
    harness_ok(&h, mn_lease_take(h.c, P, T));
    dead = a_dead_one_that_waits(&heirs[0]);
    assert_int_equal(mn_lease_give(h.c, P, (uint32_t)dead, T), MN_ERR_LEASE);
    assert_non_null(strstr(mn_message(h.c), "you keep control"));
    assert_int_equal(h.lease_lost, 0);
    a_dead_one_that_waits(&heirs[1]);
    third = harness_client(&h);
    assert_int_equal(mn_lease_request_async(third, P, 4 * T, on_asked, &asked), MN_OK);
    harness_until(&h, h.lease_requested == 3, T);
    harness_ok(&h, mn_lease_release(h.c, P, T));
    for (unsigned ms = 0; ms < T && asked == -1; ms += 10)
        poll(NULL, 0, 10), mn_process(third);
    assert_int_equal(asked, MN_OK);
    mn_close(third);
    for (int i = 0; i < 2; i++)
        kill(heirs[i], SIGKILL);
    harness_stop(&h);
}

/* A program that is connected, and does not live. */
static void a_frozen_program_loses_control_and_the_needles_stop(void **state)
{
    uint64_t began_ms;
    struct mn_session s;
    mn_client *frozen;

    (void)state;
    harness_start(&h, 1, NULL);
    frozen = harness_client(&h);
    harness_ok(&h, mn_records_follow(h.c, NULL, NULL, T));
    assert_int_equal(harness_arm(frozen, P, &s), MN_OK);
    harness_until(&h, record_of(MN_RECORD_SESSION_BEGUN) != NULL, T);
    for (int i = 0; i < 35; i++) { /* as long as it answers it keeps it */
        harness_run(&h, 100);
        mn_process(frozen);
    }
    assert_int_equal(harness_pen(&h, P)->state, MN_STATE_ARMED);
    harness_say(&h, P, "trigger press");
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_RUNNING, T);
    mn_process(frozen);
    began_ms = harness_now_ms(); /* from now on it does nothing */
    harness_until(&h, harness_pen(&h, P)->state != MN_STATE_RUNNING, T);
    assert_in_range(harness_now_ms() - began_ms, 1300, 3200);
    harness_until(&h, harness_pen(&h, P)->lease_name[0] == '\0', T);
    harness_until(&h, record_of(MN_RECORD_CONTROL) != NULL, T);
    assert_non_null(strstr(record_of(MN_RECORD_CONTROL)->note.text, "did not answer for 2 s and has lost control of pen SIM-0001"));
    assert_int_equal(mn_session_arm(frozen, P, s.config_generation, NULL, T), MN_ERR_LEASE);
    mn_close(frozen);
    harness_stop(&h);
}

static unsigned owners, races_won[2];

static void on_raced(mn_client *c, const struct mn_result *r, void *user)
{
    (void)c;
    if (r->error == MN_OK) {
        owners++;
        races_won[(size_t)user]++;
    }
}

static void two_programs_race_for_control_and_one_has_it(void **state)
{
    mn_client *racers[2];
    unsigned rounds = getenv("MN_WRAP") != NULL ? 300 : 10000;

    (void)state;
    harness_start(&h, 1, NULL);
    for (size_t i = 0; i < 2; i++)
        racers[i] = harness_client(&h);
    for (unsigned round = 0; round < rounds; round++) {
        owners = 0;
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(mn_lease_take_async(racers[(i + round) % 2], P, T, on_raced, (void *)((i + round) % 2)), MN_OK);
        for (size_t i = 0; i < 2; i++) /* a daemon's answer to a later request is behind that to the earlier */
            assert_int_equal(mn_ping(racers[i], NULL, 0, NULL, T), MN_OK);
        assert_int_equal(owners, 1);
        for (size_t i = 0; i < 2; i++)
            mn_lease_release(racers[i], P, T);
    }
    print_message("# %u races: %u and %u won, never both, never none\n", rounds, races_won[0], races_won[1]);
    for (size_t i = 0; i < 2; i++)
        mn_close(racers[i]);
    harness_stop(&h);
}

/* Raw bytes at the socket: the daemon says what is wrong with them, hangs up, and goes on. */
static void nonsense_at_the_socket_harms_nobody(void **state)
{
    static const char *const nonsense[] = {"\xff\xff\xff\xff", "\x05\x00\x00\x00zzzzz", "GET / HTTP/1.1\r\n\r\n", "\x02\x00\x00\x00\x08\x00"};

    (void)state;
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        size_t n = i == 0 ? 4 : i == 1 ? 9 : i == 3 ? 6 : strlen(nonsense[i]);
        char answer[512];
        ssize_t got, total = 0;

        strcpy(address.sun_path, h.socket);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(write(fd, nonsense[i], n), n);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        while ((got = read(fd, answer + total, sizeof(answer) - (size_t)total)) > 0)
            total += got;
        assert_int_equal(got, 0); /* hung up */
        assert_true(total > 10);  /* with a sentence */
        close(fd);
    }
    pens_are_listed_with_what_they_are(state);
}

static void what_is_wrong_with_the_daemon_is_said(void **state)
{
    struct mn_options o = {.socket = "/tmp/no-such-directory/mnd.sock"};
    char message[400];
    mn_client *c;

    (void)state;
    assert_int_equal(mn_connect(&c, &o, message, sizeof(message)), MN_ERR_NO_DAEMON);
    assert_null(c);
    assert_non_null(strstr(message, "mnd is not running at /tmp/no-such-directory/mnd.sock"));
}

int main(int argc, char **argv)
{
#define TWO(name) cmocka_unit_test_setup_teardown(name, two_pens, stop)
    const struct CMUnitTest tests[] = {
        TWO(pens_are_listed_with_what_they_are),
        TWO(a_configuration_is_changed_read_back_and_compared),
        TWO(a_refusal_names_field_range_and_pen),
        TWO(telemetry_comes_without_a_hole),
        TWO(one_in_a_hurry_gets_small_batches_and_one_who_is_not_gets_many_at_once),
        TWO(one_sample_in_so_many_comes_without_a_hole),
        TWO(other_rates_give_other_streams),
        TWO(an_injected_fault_reaches_everyone_and_is_cleared),
        TWO(a_run_from_arm_to_stop),
        TWO(stop_works_for_a_client_that_did_not_arm),
        TWO(the_needles_stop_when_the_client_that_armed_hangs_up),
        TWO(a_stop_that_overtakes_an_arm_still_stops),
        TWO(a_stall_is_a_fault_that_ends_the_run),
        TWO(unplug_and_replug_keep_what_the_pen_knows_and_deliver_no_record_twice),
        TWO(a_call_that_waits_ends_when_the_pen_is_unplugged),
        TWO(a_stalled_pipe_is_cleared_and_the_session_begins_anew),
        TWO(a_watchdog_reset_is_another_life_with_its_fault),
        TWO(records_are_read_by_pages),
        TWO(a_self_test_reports_progress),
        TWO(answers_of_pipelined_calls_find_their_callers),
        TWO(a_flood_of_requests_does_not_keep_a_stop_out),
        TWO(pings_of_every_awkward_size_come_back),
        TWO(nonsense_at_the_socket_harms_nobody),
        cmocka_unit_test(a_client_comes_back_after_the_daemon_does),
        cmocka_unit_test(a_bad_cable_loses_nothing_that_must_not_be_lost),
        cmocka_unit_test(a_record_is_acknowledged_once_it_is_on_disk_and_told_once_over_restarts),
        cmocka_unit_test(without_a_journal_records_stay_in_the_pen_and_nothing_is_armed),
        cmocka_unit_test(one_program_controls_a_pen),
        cmocka_unit_test(control_is_asked_for_given_and_taken_over),
        cmocka_unit_test(who_waits_for_control_and_dies_is_passed_over),
        cmocka_unit_test(a_frozen_program_loses_control_and_the_needles_stop),
        cmocka_unit_test(two_programs_race_for_control_and_one_has_it),
        cmocka_unit_test(a_program_with_a_cursor_sees_each_record_once_over_its_own_deaths),
        cmocka_unit_test(the_telemetry_around_a_fault_is_kept),
        cmocka_unit_test(the_journal_is_checked_and_copied_while_it_is_written),
        cmocka_unit_test(a_second_pen_of_the_same_serial_is_refused_then_recognised),
        cmocka_unit_test(many_pens_at_once),
        cmocka_unit_test(what_is_wrong_with_the_daemon_is_said),
    };

    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
