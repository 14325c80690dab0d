/* Treatment sessions from plan to summary: who controls them, and what ends them. */
#include "session_words.h"

static void a_session_from_plan_to_summary(void **state)
{
    struct mn_plan plan = harness_plan();
    struct mn_session s, again;
    struct mn_findings found;
    uint32_t strokes;

    (void)state;
    plan.indication = "SCARS";
    plan.products = 1 << 2;
    plan.step_count = 2;
    plan.step[0].depth_um = 1200;
    plan.step[1].zone = FOREHEAD;
    plan.step[1].depth_um = 600;
    plan.step[1].stroke_rate_dhz = 1200;
    plan.numbing_waiver = NULL;
    plan.numbed = true;
    plan.numbing_min = 30; /* 1200 um want 30, as S4 would have it for any depth */
    plan.answer[question("SHAVED")].ever = true;
    plan.answer[question("BLOOD_DISORDER")].yes = true;
    plan.answer[question("BLOOD_DISORDER")].confirmed_by = "dr-17";
    harness_ok(&h, mn_session_check(h.c, P, &plan, &found, T));
    assert_int_equal(found.worst, MN_DECISION_WARN);
    assert_int_equal(found.count, 4); /* and that this journal is new, and so is the subject */
    begin(&plan, &s);
    assert_int_equal(s.number, 1);
    assert_int_equal(s.state, MN_SESSION_PREPARED);
    assert_int_equal(s.zone_now, CHEEK);
    assert_int_not_equal(s.config_generation, 0);
    assert_int_equal(s.finding_count, 4);
    assert_int_equal(s.override_count, 1);
    assert_string_equal(s.override[0].name, "BLOOD_DISORDER");
    assert_string_equal(s.override[0].reason, "dr-17");
    assert_int_equal(mn_session_arm(h.c, P, s.config_generation - 1, NULL, T), MN_ERR_CONFLICT); /* somebody who has not seen it */
    harness_ok(&h, mn_session_arm(h.c, P, s.config_generation, NULL, T));
    run_for(1000);
    harness_ok(&h, mn_session_arm(h.c, P, s.config_generation, NULL, T)); /* each run its own */
    run_for(300);
    assert_int_equal(mn_session_select(h.c, P, CHIN, NULL, T), MN_ERR_NO_SESSION); /* not planned */
    harness_ok(&h, mn_session_select(h.c, P, FOREHEAD, &s, T));
    assert_int_equal(s.zone_now, FOREHEAD);
    harness_ok(&h, mn_session_arm(h.c, P, s.config_generation, NULL, T));
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_ARMED, T);
    assert_int_equal(mn_session_select(h.c, P, CHEEK, NULL, T), MN_ERR_STATE); /* not while it is armed */
    run_for(300);
    harness_ok(&h, mn_session_end(h.c, P, true, &s, T));
    assert_int_equal(s.state, MN_SESSION_ENDED);
    assert_int_equal(s.end, MN_END_COMPLETED);
    assert_false(s.incomplete);
    assert_int_equal(s.zone[0].runs, 2);
    assert_int_equal(s.zone[1].runs, 1);
    assert_in_range(s.zone[0].strokes, 60, 200);
    assert_int_equal(s.zone[0].punctures, s.zone[0].strokes * s.needle_count);
    assert_in_range(s.zone[0].motor_ms, 1200, 2500);
    assert_in_range(s.zone[0].depth_peak_um, 1100, 1300);
    assert_in_range(s.zone[1].depth_peak_um, 500, 700);
    assert_int_equal(mn_session_arm(h.c, P, s.config_generation, NULL, T), MN_ERR_NO_SESSION);
    /* What is in the journal is the same, and has what its beginning said. */
    harness_ok(&h, mn_session_get(h.c, 1, &again, T));
    assert_memory_equal(again.zone, s.zone, sizeof(s.zone));
    assert_int_equal(again.finding_count, 4);
    assert_int_equal(again.override_count, 1);
    assert_int_equal(again.products, 1 << 2);
    assert_string_equal(again.indication, "SCARS");
    harness_until(&h, h.record_count >= 11, T);
    strokes = 0; /* the pen's own records bear its zones */
    for (size_t i = 0; i < h.record_count; i++)
        strokes += h.records[i].kind == MN_RECORD_RUN && h.records[i].run.zone == CHEEK ? h.records[i].run.strokes : 0;
    assert_int_equal(strokes, s.zone[0].strokes);
}

static void nobody_without_the_lease_steers_it(void **state)
{
    struct mn_plan plan = harness_plan();
    mn_client *other = harness_client(&h);
    struct mn_session s;
    char held[120];

    (void)state;
    begin(&plan, &s);
    snprintf(held, sizeof(held), "pen SIM-0001: 2007 LEASE_LOST: the pen is controlled by test (pid %d)", (int)getpid());
    assert_int_equal(mn_session_arm(other, P, s.config_generation, NULL, T), MN_ERR_LEASE);
    assert_string_equal(mn_message(other), held);
    assert_int_equal(mn_session_select(other, P, CHEEK, NULL, T), MN_ERR_LEASE);
    assert_int_equal(mn_session_end(other, P, true, NULL, T), MN_ERR_LEASE);
    harness_ok(&h, mn_session_arm(h.c, P, s.config_generation, NULL, T));
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_ARMED, T);
    assert_int_equal(mn_stop(other, P, T), MN_OK); /* that everybody may */
    harness_until(&h, h.session.state == MN_SESSION_PAUSED, T);
    mn_close(other);
}

/* A program of its own, which arms and then does nothing but live. */
static pid_t another_program(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        mn_client *c = harness_client(&h);
        int r = harness_arm(c, P, NULL);

        while (r == MN_OK) {
            usleep(10000);
            r = mn_process(c);
        }
        _exit(1);
    }
    return pid;
}

static void when_its_program_dies_the_needles_stop_and_another_one_ends_it(void **state)
{
    struct mn_sessions list;
    mn_client *other;
    struct mn_session s;
    pid_t pid;

    (void)state;
    harness_ok(&h, mn_lease_release(h.c, P, T));
    pid = another_program();
    harness_until(&h, h.session.state == MN_SESSION_ARMED, T);
    harness_say(&h, P, "trigger press");
    harness_until(&h, h.session.state == MN_SESSION_RUNNING, T);
    harness_run(&h, 300);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_SAFE && h.session.state == MN_SESSION_PAUSED, T);
    other = harness_client(&h);
    assert_int_equal(mn_session_list(other, NULL, &list, T), MN_OK);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.session[0].state, MN_SESSION_PAUSED);
    mn_sessions_free(&list);
    harness_run(&h, 200);
    assert_int_equal(h.session.state, MN_SESSION_PAUSED); /* the trigger is held all the time: nothing goes on */
    assert_int_equal(mn_session_arm(other, P, h.session.config_generation, NULL, T), MN_ERR_LEASE);
    assert_int_equal(mn_session_end(other, P, false, &s, T), MN_OK);
    assert_int_equal(s.end, MN_END_ABORTED);
    assert_int_equal(s.zone[0].runs, 1);
    mn_close(other);
    harness_say(&h, P, "trigger release");
}

static void another_program_may_go_on_with_it(void **state)
{
    struct mn_session s;
    pid_t pid;

    (void)state;
    harness_ok(&h, mn_lease_release(h.c, P, T));
    pid = another_program();
    harness_until(&h, h.session.state == MN_SESSION_ARMED, T);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    harness_until(&h, h.session.state == MN_SESSION_PAUSED && harness_pen(&h, P)->state == MN_STATE_SAFE, T);
    harness_ok(&h, harness_arm(h.c, P, &s)); /* takes the lease, chooses the zone, arms */
    assert_int_equal(s.number, 1);
    run_for(200);
    end_session(true);
}

static void when_the_daemon_dies_it_is_recorded_as_interrupted(void **state)
{
    const char *const stub[] = {"--pens", "1", NULL};
    struct mn_plan plan = harness_plan();
    char subject[MN_KEY_MAX + 1];
    struct mn_session s;

    (void)state;
    harness_start(&h, 0, NULL);
    harness_stub(&h, stub);
    harness_wait_ready(&h, 1);
    harness_ok(&h, mn_lease_take(h.c, P, T));
    strcpy(subject, plan.subject);
    plan.subject = subject;
    begin(&plan, &s);
    harness_ok(&h, mn_session_arm(h.c, P, s.config_generation, NULL, T));
    harness_until(&h, h.session.state == MN_SESSION_ARMED, T);
    harness_say(&h, P, "trigger press");
    harness_until(&h, h.session.state == MN_SESSION_RUNNING, T);
    harness_run(&h, 500);
    harness_kill_daemon(&h, SIGKILL);
    harness_run(&h, 500);
    harness_restart_daemon(&h);
    harness_until(&h, h.reconnects == 1, 20000);
    /* Asked, for its event may come before anybody watches again. */
    harness_until(&h, mn_session_get(h.c, 1, &s, T) == MN_OK && s.state == MN_SESSION_ENDED, 20000);
    assert_int_equal(s.end, MN_END_INTERRUPTED);
    assert_false(s.incomplete);
    assert_int_equal(s.zone[0].runs, 1); /* which the pen had recorded, and told the daemon after its restart */
    assert_in_range(s.zone[0].motor_ms, 400, 3000);
    harness_say(&h, P, "trigger release");
    harness_say(&h, P, "cartridge insert");
    harness_until(&h, mn_lease_take(h.c, P, T) == MN_OK, T);
    harness_until(&h, harness_pen(&h, P)->cartridge == MN_CARTRIDGE_NEW && !harness_pen(&h, P)->trigger, T);
    mn_faults_clear(h.c, P, 0, false, NULL, T);
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_SAFE, T);
    refused(&plan, "2002 INTERVAL_TOO_SHORT: CHEEK was treated 0 d ago: at least 7 d"); /* it counts */
    plan = harness_plan();
    begin(&plan, &s);
    assert_int_equal(s.number, 2);
    harness_stop(&h);
}

static void a_lost_cable_pauses_it_and_nothing_resumes(void **state)
{
    struct mn_plan plan = harness_plan();
    struct mn_session s;

    (void)state;
    begin(&plan, &s);
    harness_ok(&h, mn_session_arm(h.c, P, s.config_generation, NULL, T));
    harness_until(&h, h.session.state == MN_SESSION_ARMED, T);
    harness_say(&h, P, "trigger press");
    harness_until(&h, h.session.state == MN_SESSION_RUNNING, T);
    harness_run(&h, 300);
    harness_say(&h, P, "unplug 0.3");
    harness_until(&h, h.session.state == MN_SESSION_PAUSED, T);
    assert_string_equal(h.session.text, "the pen is gone");
    harness_until(&h, harness_pen(&h, P)->link == MN_LINK_READY && harness_pen(&h, P)->state == MN_STATE_FAULT, T);
    harness_run(&h, 500);
    assert_int_equal(h.session.state, MN_SESSION_PAUSED);
    assert_int_equal(mn_session_arm(h.c, P, s.config_generation, NULL, T), MN_ERR_STATE);
    harness_say(&h, P, "trigger release");
    harness_run(&h, 100);
    harness_ok(&h, mn_faults_clear(h.c, P, 0, false, NULL, T));
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_SAFE, T);
    harness_ok(&h, mn_session_arm(h.c, P, s.config_generation, NULL, T)); /* somebody has to */
    run_for(200);
    harness_ok(&h, mn_session_end(h.c, P, true, &s, T));
    assert_int_equal(s.zone[0].runs, 2);
    assert_int_equal(s.fault[0], 1601);
}

static void on_checked(mn_client *c, const struct mn_result *r, void *user)
{
    unsigned *busy = user;

    (void)c;
    answered++;
    *busy += r->error == MN_ERR_BUSY;
}

static void a_flood_of_plans_is_bounded(void **state)
{
    struct mn_plan plan = harness_plan();
    unsigned busy_plans = 0, busy_lists = 0;

    (void)state;
    answered = 0;
    for (int i = 0; i < 50; i++) {
        harness_ok(&h, mn_session_check_async(h.c, P, &plan, T, on_checked, &busy_plans));
        harness_ok(&h, mn_session_list_async(h.c, NULL, T, on_checked, &busy_lists));
    }
    harness_until(&h, answered == 100, T);
    assert_in_range(busy_plans, 1, 46); /* four of each at a time */
    assert_in_range(busy_lists, 1, 46);
}

static void adverse_events_stand_with_their_session(void **state)
{
    struct mn_plan plan = harness_plan();
    struct mn_session s;

    (void)state;
    begin(&plan, &s);
    end_session(true);
    harness_ok(&h, mn_session_adverse(h.c, 1, 3, T));
    harness_ok(&h, mn_session_adverse(h.c, 1, 1, T));
    assert_int_equal(mn_session_adverse(h.c, 2, 1, T), MN_ERR_NO_SESSION);
    assert_int_equal(mn_session_adverse(h.c, 1, 99, T), MN_ERR_INVALID);
    harness_ok(&h, mn_session_get(h.c, 1, &s, T));
    assert_int_equal(s.adverse_count, 2);
    assert_int_equal(s.adverse[0], 3);
    assert_int_equal(s.adverse[1], 1);
    assert_int_equal(mn_session_get(h.c, 7, &s, T), MN_ERR_NO_SESSION);
}

static void many_sessions_are_listed_by_pages_the_newest_first(void **state)
{
    struct mn_session s;
    struct mn_sessions page;
    uint32_t expected = 70, before = 0;
    char subject[MN_KEY_MAX + 1];
    struct mn_plan plan;

    (void)state;
    for (int i = 0; i < 70; i++) {
        plan = harness_plan();
        strcpy(subject, plan.subject);
        begin(&plan, &s);
        end_session(false);
    }
    do {
        harness_ok(&h, mn_session_list(h.c, &(struct mn_session_filter){.before = before}, &page, T));
        for (size_t i = 0; i < page.count; i++)
            assert_int_equal(page.session[i].number, expected--);
        before = page.before;
        mn_sessions_free(&page);
    } while (before != 0);
    assert_int_equal(expected, 0);
    harness_ok(&h, mn_session_list(h.c, &(struct mn_session_filter){.subject = subject}, &page, T));
    assert_int_equal(page.count, 1);
    assert_int_equal(page.session[0].number, 70);
    mn_sessions_free(&page);
}

static void nothing_is_begun_without_a_journal(void **state)
{
    struct mn_plan plan = harness_plan();

    (void)state;
    harness_start(&h, 1, "--journal=/nowhere/journal.db");
    harness_ok(&h, mn_lease_take(h.c, P, T));
    assert_int_equal(mn_session_begin(h.c, P, &plan, NULL, T), MN_ERR_JOURNAL);
    assert_string_equal(mn_message(h.c), "pen SIM-0001: 2008 JOURNAL_UNWRITABLE: the journal /nowhere/journal.db cannot be opened: its folder is not there");
    harness_stop(&h);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ONE(a_session_from_plan_to_summary),
        ONE(nobody_without_the_lease_steers_it),
        ONE(when_its_program_dies_the_needles_stop_and_another_one_ends_it),
        ONE(another_program_may_go_on_with_it),
        ONE(a_lost_cable_pauses_it_and_nothing_resumes),
        ONE(a_flood_of_plans_is_bounded),
        ONE(adverse_events_stand_with_their_session),
        ONE(many_sessions_are_listed_by_pages_the_newest_first),
        cmocka_unit_test(when_the_daemon_dies_it_is_recorded_as_interrupted),
        cmocka_unit_test(nothing_is_begun_without_a_journal),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("sessions", tests, NULL, NULL);
}
