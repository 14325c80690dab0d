/* Treatment sessions, as a program has them: from the plan to the summary, and every way in which they are refused, left and ended. */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct harness h;
static const char *const P = "SIM-0001";

enum { FOREHEAD = 3, LIP_VERMILION = 2, CHEEK = 8, CHIN = 9, DAY_S = 86400 };

static int one_pen(void **state)
{
    (void)state;
    harness_start(&h, 1, NULL);
    harness_ok(&h, mn_lease_take(h.c, P, T));
    harness_ok(&h, mn_records_follow(h.c, &(struct mn_cursor){0}, NULL, T));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

static size_t question(const char *name)
{
    size_t i = 0;

    while (i < mn_question_count() && strcmp(mn_question_at(i)->name, name) != 0)
        i++;
    assert_true(i < mn_question_count());
    return i;
}

/* Presses the trigger for a while. */
static void run_for(unsigned ms)
{
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_ARMED, T);
    harness_say(&h, P, "trigger press");
    harness_until(&h, h.session.state == MN_SESSION_RUNNING, T);
    harness_run(&h, ms);
    harness_say(&h, P, "trigger release");
    harness_until(&h, h.session.state == MN_SESSION_PAUSED && h.session.text[0] != '\0', T);
    assert_string_equal(h.session.text, "the trigger was released");
}

static void begin(const struct mn_plan *plan, struct mn_session *s)
{
    int r;

    while ((r = mn_session_begin(h.c, P, plan, s, T)) == MN_ERR_BUSY)
        harness_run(&h, 20);
    harness_ok(&h, r);
}

static void refused(const struct mn_plan *plan, const char *sentence)
{
    assert_int_equal(mn_session_begin(h.c, P, plan, NULL, T), MN_ERR_POLICY);
    assert_string_equal(mn_message(h.c), sentence);
    assert_true(mn_last_result(h.c)->findings->worst >= MN_DECISION_CONSULT);
}

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

static void every_refusal_has_its_code_and_its_sentence(void **state)
{
    struct mn_plan good = harness_plan(), plan = good;
    struct mn_session s;

    (void)state;
    plan.numbing_waiver = NULL;
    plan.numbed = true;
    plan.numbing_min = 14;
    refused(&plan, "2001 NUMBING_NOT_ELAPSED: numbing for 14 min: 30 min for 500 um, or a waiver with a reason");
    plan = good;
    plan.step[0].zone = LIP_VERMILION;
    refused(&plan, "2003 ZONE_FORBIDDEN: LIP_VERMILION is never treated");
    plan.step[0].zone = 18;
    refused(&plan, "2003 ZONE_FORBIDDEN: there is no zone 18");
    plan = good;
    plan.answer[question("KELOID")].yes = true;
    refused(&plan, "2004 CONTRAINDICATION: KELOID: BLOCK");
    plan = good;
    plan.answer[question("PREGNANT_OR_BREASTFEEDING")].yes = true;
    refused(&plan, "2004 CONTRAINDICATION: PREGNANT_OR_BREASTFEEDING: CONSULT");
    plan = good;
    plan.answer[question("NSAID")].answered = false;
    refused(&plan, "2005 CHECKLIST_INCOMPLETE: not answered: When was an NSAID (ibuprofen and the like) last taken?");
    plan = good;
    plan.step[0].zone = FOREHEAD;
    plan.step[0].depth_um = 800;
    refused(&plan, "2006 DEPTH_OVER_POLICY: 800 um is deeper than FOREHEAD allows: 750 um");
    plan = good;
    plan.step[0].depth_um = 1550;
    refused(&plan, "2006 DEPTH_OVER_POLICY: 1550 um is deeper than this site's policy: 1500 um");
    plan = good;
    plan.step[0].stroke_rate_dhz = 1501;
    assert_int_equal(mn_session_begin(h.c, P, &plan, NULL, T), MN_ERR_INVALID);
    assert_string_equal(mn_message(h.c), "pen SIM-0001: stroke_rate_dhz is 1501 in the plan; it must be 600 to 1500 in steps of 1");
    plan = good;
    plan.step[0].depth_um = 525;
    assert_int_equal(mn_session_begin(h.c, P, &plan, NULL, T), MN_ERR_INVALID);
    assert_string_equal(mn_message(h.c), "pen SIM-0001: depth_um is 525 in the plan; it must be 0 to 2500 in steps of 50");
    /* the cartridge */
    harness_say(&h, P, "cartridge remove");
    harness_run(&h, 100);
    assert_int_equal(mn_session_begin(h.c, P, &good, NULL, T), MN_ERR_POLICY);
    assert_non_null(strstr(mn_message(h.c), "1301 CARTRIDGE_ABSENT: there is no cartridge in the pen"));
    harness_say(&h, P, "cartridge insert expiry=1000");
    harness_run(&h, 100);
    assert_int_equal(mn_session_begin(h.c, P, &good, NULL, T), MN_ERR_POLICY);
    assert_non_null(strstr(mn_message(h.c), "1304 CARTRIDGE_EXPIRED: the cartridge has expired"));
    harness_say(&h, P, "inject 1302");
    harness_run(&h, 200);
    assert_int_equal(mn_session_begin(h.c, P, &good, NULL, T), MN_ERR_POLICY);
    assert_non_null(strstr(mn_message(h.c), "1302 CARTRIDGE_UNREADABLE: the cartridge cannot be read"));
    harness_say(&h, P, "clear all");
    harness_say(&h, P, "cartridge insert max_depth_um=400 expiry=4000000000");
    harness_run(&h, 100);
    assert_int_equal(mn_session_begin(h.c, P, &good, NULL, T), MN_ERR_POLICY);
    assert_non_null(strstr(mn_message(h.c), "1306 CARTRIDGE_DEPTH_MISMATCH: 500 um in CHEEK is deeper than the cartridge goes: 400 um"));
    harness_say(&h, P, "cartridge insert max_depth_um=2500");
    harness_run(&h, 100);
    harness_ok(&h, mn_faults_clear(h.c, P, 0, false, NULL, T));
    /* what is no plan at all */
    plan = good;
    plan.subject = "Jane Doe";
    assert_int_equal(mn_session_begin(h.c, P, &plan, NULL, T), MN_ERR_INVALID);
    assert_non_null(strstr(mn_message(h.c), "an opaque key of 1 to 32 printable characters without blanks, and nobody's name"));
    plan = good;
    plan.step_count = 0;
    assert_int_equal(mn_session_begin(h.c, P, &plan, NULL, T), MN_ERR_INVALID);
    plan = good;
    plan.step_count = 2;
    plan.step[1] = plan.step[0];
    assert_int_equal(mn_session_begin(h.c, P, &plan, NULL, T), MN_ERR_INVALID);
    assert_non_null(strstr(mn_message(h.c), "zone CHEEK stands twice in the plan"));
    plan = good;
    plan.indication = "COLDS";
    assert_int_equal(mn_session_begin(h.c, P, &plan, NULL, T), MN_ERR_INVALID);
    plan = good;
    plan.numbing_waiver = "";
    assert_int_equal(mn_session_begin(h.c, P, &plan, NULL, T), MN_ERR_INVALID);
    /* nothing of all that has left a session behind */
    assert_int_equal(mn_session_end(h.c, P, true, NULL, T), MN_ERR_NO_SESSION);
    begin(&good, &s);
    assert_int_equal(s.number, 1);
    assert_int_equal(mn_session_begin(h.c, P, &good, NULL, T), MN_ERR_STATE);
    assert_string_equal(mn_message(h.c), "pen SIM-0001: session 1 of it is open: end that first");
}

static void numbing_goes_on_and_is_looked_at_again_before_arm(void **state)
{
    struct mn_plan plan = harness_plan();
    struct mn_session s;

    (void)state;
    plan.numbing_waiver = NULL;
    plan.numbed = true;
    plan.numbing_min = 30;
    begin(&plan, &s);
    assert_int_equal(s.override_count, 0);
    harness_ok(&h, mn_session_arm(h.c, P, s.config_generation, NULL, T));
}

static void end_session(bool completed)
{
    struct mn_session s;

    harness_ok(&h, mn_session_end(h.c, P, completed, &s, T));
}

static void the_interval_comes_from_the_journal(void **state)
{
    struct mn_plan plan = harness_plan();
    struct mn_session s;
    char subject[MN_KEY_MAX + 1];

    (void)state;
    strcpy(subject, plan.subject);
    plan.subject = subject;
    begin(&plan, &s);
    end_session(false); /* nothing was done: nothing is counted */
    begin(&plan, &s);
    harness_ok(&h, mn_session_arm(h.c, P, s.config_generation, NULL, T));
    run_for(300);
    end_session(true);
    harness_say(&h, P, "cartridge insert");
    harness_until(&h, harness_pen(&h, P)->cartridge == MN_CARTRIDGE_NEW, T);
    mn_faults_clear(h.c, P, 0, false, NULL, T);
    refused(&plan, "2002 INTERVAL_TOO_SHORT: CHEEK was treated 0 d ago: at least 7 d");
    plan.step[0].interval_override = "the patient insists"; /* below the floor nobody may */
    refused(&plan, "2002 INTERVAL_TOO_SHORT: CHEEK was treated 0 d ago: at least 7 d");
    plan.step[0].interval_override = NULL;
    plan.step[0].zone = CHIN; /* another zone of the same subject */
    begin(&plan, &s);
    end_session(false);
    plan = harness_plan(); /* another subject */
    begin(&plan, &s);
}

static void what_is_done_with_another_pen_counts_before_it_is_ended(void **state)
{
    static const char *const Q = "SIM-0002";
    struct mn_plan plan = harness_plan();
    char subject[MN_KEY_MAX + 1];
    struct mn_session s;

    (void)state;
    harness_start(&h, 2, NULL);
    harness_ok(&h, mn_lease_take(h.c, P, T));
    harness_ok(&h, mn_lease_take(h.c, Q, T));
    strcpy(subject, plan.subject);
    plan.subject = subject;
    begin(&plan, &s);
    harness_ok(&h, mn_session_arm(h.c, P, s.config_generation, NULL, T));
    run_for(200);
    assert_int_equal(mn_session_begin(h.c, Q, &plan, NULL, T), MN_ERR_POLICY);
    assert_string_equal(mn_message(h.c), "2002 INTERVAL_TOO_SHORT: CHEEK was treated 0 d ago: at least 7 d");
    plan.step[0].zone = CHIN;
    harness_ok(&h, mn_session_begin(h.c, Q, &plan, NULL, T));
    harness_stop(&h);
}

static void a_used_cartridge_serves_no_other_session(void **state)
{
    struct mn_plan plan = harness_plan();
    struct mn_session s;

    (void)state;
    begin(&plan, &s);
    harness_ok(&h, mn_session_arm(h.c, P, s.config_generation, NULL, T));
    run_for(200);
    end_session(true);
    plan = harness_plan();
    assert_int_equal(mn_session_begin(h.c, P, &plan, NULL, T), MN_ERR_POLICY);
    assert_non_null(strstr(mn_message(h.c), "1303 CARTRIDGE_USED: the cartridge was used in another session: put a new one in"));
    harness_say(&h, P, "cartridge remove"); /* nor when it is put in again */
    harness_run(&h, 100);
    harness_say(&h, P, "cartridge insert uid=4d4e000000000001");
    harness_run(&h, 100);
    assert_int_equal(mn_session_begin(h.c, P, &plan, NULL, T), MN_ERR_POLICY);
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

static unsigned answered;

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

/* ---- the site's policy ---- */

static void site(const char *text, const char *wrong)
{
    static struct mn_policy p;

    harness_ok(&h, mn_policy_get(h.c, text, &p, T));
    assert_string_equal(p.text, wrong);
    assert_int_equal(p.good, wrong[0] == '\0');
}

static void a_site_may_be_stricter_or_have_another_source(void **state)
{
    static struct mn_policy p;

    (void)state;
    site("name: A\nlimits:\n  - {name: depth_limit, value: 1200}\nzones:\n  - {zone: FOREHEAD, cap_um: 500}\nscreening:\n  - {item: ALCOHOL, hours: 48, decision: BLOCK}\n", "");
    site("name: A\nscreening:\n  - {item: NSAID, hours: 72, source: S2}\n", "");
    site("name: A\nlimits:\n  - {name: interval_surface, value: 14, source: S1}\n  - {name: numbing_floor, value: 15, source: S0}\n", "");
    site("name: A\nlimits:\n  - {name: numbing_at_most, value: 20, source: S3}\n", "the file, line 3, column 3: limits: numbing_floor is 30 min, which is more than numbing_at_most: whose source is that?");
    site("name: A\nlimits:\n  - {name: numbing_lasts, value: 44}\n", "the file, line 3, column 3: limits: numbing_at_most is more than numbing_lasts");
    site("name: A\nlimits:\n  - {name: numbing_at_most, value: 30, source: S2}\n", "");
    site("name: A\nlimits:\n  - {name: numbing_at_most, value: 30}\n",
         "the file, line 3, column 36: limits: numbing_at_most is 45 min, and 30 is less strict: less strict is only 30 with source: S2, or 20 with source: S3");
    site("name: A\nlimits:\n  - {name: numbing_at_most, value: 31, source: S2}\n",
         "the file, line 3, column 36: limits: numbing_at_most is 45 min, and 31 is less strict: less strict is only 30 with source: S2, or 20 with source: S3");
    site("name: A\nlimits:\n  - {name: depth_limit, value: 2000, source: S4}\n", "");
    site("name: A\nlimits:\n  - {name: depth_limit, value: 2050, source: S4}\n",
         "the file, line 3, column 32: limits: depth_limit is 1500 um, and 2050 is less strict: less strict is only 2000 with source: S4");
    site("name: A\nlimits:\n  - {name: depth_policy_limit, value: 1000}\n", "the file, line 3, column 5: limits: depth_policy_limit is not a site's to set");
    site("name: A\nlimits:\n  - {name: interval_floor, value: 6}\n", "the file, line 3, column 35: limits: interval_floor is 7 d, and 6 is less strict: no source has a less strict figure");
    site("name: A\nlimits:\n  - {name: dept_limit, value: 6}\n", "the file, line 3, column 5: limits: there is no figure dept_limit");
    site("name: A\nzones:\n  - {zone: NOSE, cap_um: 501}\n", "the file, line 3, column 26: zones: NOSE is treated to 500 um, and 501 is less strict: no source has such a figure");
    site("name: A\nzones:\n  - {zone: LIP_VERMILION, cap_um: 50}\n", "the file, line 3, column 35: zones: LIP_VERMILION is treated to 0 um, and 50 is less strict: no source has such a figure");
    site("name: A\nzones:\n  - {zone: NOSE, cap_um: 400}\n  - {zone: NOSE, cap_um: 300}\n", "the file, line 4, column 5: zones: NOSE stands twice");
    site("name: A\nscreening:\n  - {item: HYPERPIGMENTATION, decision: OK, source: S4}\n", "");
    site("name: A\nscreening:\n  - {item: KELOID, decision: WARN}\n", "the file, line 3, column 5: screening: KELOID would be less strict than the default: no source has a less strict figure");
    site("name: A\nscreening:\n  - {item: KELOID, decision: MAYBE}\n", "the file, line 3, column 5: screening: the decision of KELOID is OK, WARN, CONSULT or BLOCK, not MAYBE");
    site("limits: []\n", "the file, line 1, column 1: a policy needs a name: of the site that it is for");
    site("name: A\ncolour: red\n", "the file, line 2, column 1: there is no option colour");
    harness_ok(&h, mn_policy_get(h.c, NULL, &p, T));
    assert_string_equal(p.name, "");
    assert_int_equal(p.count, 0);
}

static void the_site_s_policy_is_in_force_and_recorded(void **state)
{
    static struct mn_policy p;
    char path[] = "/tmp/mn-policy-XXXXXX", option[64];
    struct mn_plan plan = harness_plan();
    struct mn_session s;
    int fd = mkstemp(path);
    const char text[] = "name: Clinic Nord\nlimits:\n  - {name: depth_limit, value: 450}\n  - {name: numbing_at_most, value: 20, source: S3}\n  - {name: numbing_floor, value: 15, source: S3}\n";

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);
    snprintf(option, sizeof(option), "--policy=%s", path);
    harness_start(&h, 1, option);
    harness_ok(&h, mn_lease_take(h.c, P, T));
    harness_ok(&h, mn_policy_get(h.c, NULL, &p, T));
    assert_string_equal(p.name, "Clinic Nord");
    assert_int_equal(p.count, 3);
    assert_string_equal(p.row[1].source, "S3");
    harness_until(&h, mn_session_begin(h.c, P, &plan, NULL, T) != MN_ERR_BUSY, T);
    assert_string_equal(mn_message(h.c), "2006 DEPTH_OVER_POLICY: 500 um is deeper than this site's policy: 450 um");
    plan.step[0].depth_um = 450;
    begin(&plan, &s);
    harness_ok(&h, mn_session_get(h.c, s.number, &s, T));
    assert_string_equal(s.policy_name, "Clinic Nord");
    assert_memory_equal(s.policy_sha256, p.sha256, sizeof(p.sha256));
    harness_stop(&h);
    unlink(path);
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

#define ONE(name) cmocka_unit_test_setup_teardown(name, one_pen, stop)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ONE(a_session_from_plan_to_summary),
        ONE(every_refusal_has_its_code_and_its_sentence),
        ONE(numbing_goes_on_and_is_looked_at_again_before_arm),
        ONE(the_interval_comes_from_the_journal),
        ONE(a_used_cartridge_serves_no_other_session),
        ONE(nobody_without_the_lease_steers_it),
        ONE(when_its_program_dies_the_needles_stop_and_another_one_ends_it),
        ONE(another_program_may_go_on_with_it),
        ONE(a_lost_cable_pauses_it_and_nothing_resumes),
        ONE(a_flood_of_plans_is_bounded),
        ONE(adverse_events_stand_with_their_session),
        ONE(many_sessions_are_listed_by_pages_the_newest_first),
        ONE(a_site_may_be_stricter_or_have_another_source),
        cmocka_unit_test(what_is_done_with_another_pen_counts_before_it_is_ended),
        cmocka_unit_test(when_the_daemon_dies_it_is_recorded_as_interrupted),
        cmocka_unit_test(the_site_s_policy_is_in_force_and_recorded),
        cmocka_unit_test(nothing_is_begun_without_a_journal),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("sessions", tests, NULL, NULL);
}
