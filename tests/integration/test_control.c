/* Who controls a pen: arming, stopping, and leases that are taken, asked for, given and lost. */
#include "chain_words.h"

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
    assert_in_range(harness_now_ms() - began_ms, 600, T); /* by the daemon's deadline of 700 ms, not by ours */
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
    assert_in_range(harness_now_ms() - began_ms, 1300, T); /* how fast, by the pen's own clock: test_stopping */
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

int main(int argc, char **argv)
{
#define TWO(name) cmocka_unit_test_setup_teardown(name, two_pens, stop)
    const struct CMUnitTest tests[] = {
        TWO(a_run_from_arm_to_stop),
        TWO(stop_works_for_a_client_that_did_not_arm),
        TWO(the_needles_stop_when_the_client_that_armed_hangs_up),
        TWO(a_stop_that_overtakes_an_arm_still_stops),
        cmocka_unit_test(one_program_controls_a_pen),
        cmocka_unit_test(control_is_asked_for_given_and_taken_over),
        cmocka_unit_test(who_waits_for_control_and_dies_is_passed_over),
        cmocka_unit_test(a_frozen_program_loses_control_and_the_needles_stop),
        cmocka_unit_test(two_programs_race_for_control_and_one_has_it),
    };

    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
