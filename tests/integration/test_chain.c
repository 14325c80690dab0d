/* The whole chain: pens, configuration, telemetry, faults, and connections that break. */
#include "chain_words.h"

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

/* Of a flood: [0] those rejected, [1] those answered. */
static void end_of_a_ping(mn_client *c, const struct mn_result *r, void *user)
{
    int *counts = user;

    (void)c;
    counts[r->error == MN_OK]++;
}

/* One program's flood of requests: another's STOP is still taken and answered, and those beyond the limit are told. */
static void a_flood_of_requests_does_not_keep_a_stop_out(void **state)
{
    mn_client *other = harness_client(&h);
    int counts[2] = {0}, answered;

    (void)state;
    harness_say(&h, P, "link delay=1:100");
    for (int i = 0; i < 200; i++)
        harness_ok(&h, mn_ping_async(h.c, P, 900, T, end_of_a_ping, counts));
    assert_int_equal(mn_stop(other, P, T), MN_OK);
    harness_ok(&h, mn_process(h.c));
    answered = counts[1];
    harness_until(&h, counts[0] + counts[1] == 200, 30000);
    printf("# when STOP was answered %d of %d pings had been, %d were rejected\n", answered, counts[1], counts[0]);
    assert_true(counts[0] > 0 && counts[1] > 0 && answered * 2 < counts[1]);
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

static void many_pens_at_once(void **state)
{
    (void)state;
    harness_start(&h, 32, NULL);
    harness_ok(&h, mn_subscribe(h.c, NULL, true, T));
    harness_until(&h, h.samples >= 32 * 1000, 20000);
    assert_int_equal(h.missed, 0);
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
        TWO(a_stall_is_a_fault_that_ends_the_run),
        TWO(unplug_and_replug_keep_what_the_pen_knows_and_deliver_no_record_twice),
        TWO(a_call_that_waits_ends_when_the_pen_is_unplugged),
        TWO(a_stalled_pipe_is_cleared_and_the_session_begins_anew),
        TWO(a_watchdog_reset_is_another_life_with_its_fault),
        TWO(a_self_test_reports_progress),
        TWO(answers_of_pipelined_calls_find_their_callers),
        TWO(a_flood_of_requests_does_not_keep_a_stop_out),
        TWO(pings_of_every_awkward_size_come_back),
        TWO(nonsense_at_the_socket_harms_nobody),
        cmocka_unit_test(a_client_comes_back_after_the_daemon_does),
        cmocka_unit_test(a_second_pen_of_the_same_serial_is_refused_then_recognised),
        cmocka_unit_test(many_pens_at_once),
        cmocka_unit_test(what_is_wrong_with_the_daemon_is_said),
    };

    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
