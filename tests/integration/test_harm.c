/*
 * What an assessor did to hurt a patient, through programs that do as they like with two pens: a cartridge for two subjects, two sessions of one
 * subject, a swap between ARM and trigger, a power cut while the needles move, a handover, a clock that is wrong. (What the firmware alone must
 * prevent is unit.running; what the policy and the journal must, unit.policy and unit.past.)
 */
#include "harness.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct harness h;
static const char *const P = "SIM-0001", *const Q = "SIM-0002";

enum { CHEEK = 8, CHIN = 9 };

static int two_pens(void **state)
{
    (void)state;
    harness_start(&h, 2, NULL);
    harness_ok(&h, mn_lease_take(h.c, P, T));
    harness_ok(&h, mn_lease_take(h.c, Q, T));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

static struct mn_plan plan_of(const char *subject)
{
    struct mn_plan plan = harness_plan();

    plan.subject = subject;
    return plan;
}

static uint32_t begin(const char *pen, const struct mn_plan *plan)
{
    struct mn_session s;
    int r;

    while ((r = mn_session_begin(h.c, pen, plan, &s, T)) == MN_ERR_BUSY)
        harness_run(&h, 20);
    harness_ok(&h, r);
    return s.config_generation;
}

static void cartridge(const char *pen, const char *uid)
{
    char line[64];

    snprintf(line, sizeof(line), "cartridge insert %s", uid);
    harness_say(&h, pen, line);
    harness_run(&h, 60);
    harness_until(&h, harness_pen(&h, pen)->cartridge == MN_CARTRIDGE_NEW || harness_pen(&h, pen)->cartridge == MN_CARTRIDGE_USED, T);
}

static enum mn_state state_of(const char *pen)
{
    return harness_pen(&h, pen)->state;
}

static void press(const char *pen)
{
    harness_until(&h, state_of(pen) == MN_STATE_ARMED, T);
    harness_say(&h, pen, "trigger press");
    harness_until(&h, state_of(pen) == MN_STATE_RUNNING, T);
    harness_run(&h, 300);
}

static void release(const char *pen)
{
    harness_say(&h, pen, "trigger release");
    harness_until(&h, state_of(pen) != MN_STATE_RUNNING && state_of(pen) != MN_STATE_STOPPING && !harness_pen(&h, pen)->trigger, T);
}

static void treat(const char *pen, uint32_t generation)
{
    harness_ok(&h, mn_session_arm(h.c, pen, generation, NULL, T));
    press(pen);
    release(pen);
}

static void end(const char *pen, struct mn_session *s)
{
    harness_ok(&h, mn_session_end(h.c, pen, true, s, T));
}

/* Both a beginning and a check say it; code and words. */
static void refused(const char *pen, const struct mn_plan *plan, const char *words)
{
    int r;

    while ((r = mn_session_begin(h.c, pen, plan, NULL, T)) == MN_ERR_BUSY)
        harness_run(&h, 20);
    assert_int_equal(r, MN_ERR_POLICY);
    if (strstr(mn_message(h.c), words) == NULL)
        fail_msg("%s, not %s", mn_message(h.c), words);
}

static void not_armed(const char *pen, uint32_t generation, const char *words)
{
    assert_int_equal(mn_session_arm(h.c, pen, generation, NULL, T), MN_ERR_POLICY);
    if (strstr(mn_message(h.c), words) == NULL)
        fail_msg("%s, not %s", mn_message(h.c), words);
    harness_run(&h, 100);
    assert_int_equal(state_of(pen), MN_STATE_SAFE);
}

static void a_cartridge_serves_one_subject_whatever_pen_it_is_in(void **state)
{
    struct mn_plan first = plan_of("K-1"), second = plan_of("K-2");
    uint32_t generation;

    (void)state;
    cartridge(P, "uid=abc");
    treat(P, begin(P, &first));
    cartridge(Q, "uid=abc"); /* while the first session is open ... */
    refused(Q, &second, "1303 CARTRIDGE_USED: the cartridge was armed in session 1 with pen SIM-0001, which is open");
    end(P, NULL);
    refused(Q, &second, "1303 CARTRIDGE_USED: the cartridge was used in session 1 with pen SIM-0001"); /* ... and after it */
    cartridge(Q, "uid=def");
    generation = begin(Q, &second);
    cartridge(Q, "uid=abc"); /* put in when the session has begun */
    not_armed(Q, generation, "1303 CARTRIDGE_USED: the cartridge was used in session 1 with pen SIM-0001");
    cartridge(Q, "uid=def");
    treat(Q, generation);
    end(Q, NULL);
}

/* It was armed, and its run has not come to the daemon yet: the cable is pulled. */
static void a_cartridge_that_may_have_been_used_serves_nobody_else(void **state)
{
    struct mn_plan first = plan_of("K-1"), second = plan_of("K-2");

    (void)state;
    cartridge(P, "uid=abc");
    harness_ok(&h, mn_session_arm(h.c, P, begin(P, &first), NULL, T));
    harness_say(&h, P, "unplug");
    harness_until(&h, harness_pen(&h, P)->link == MN_LINK_GONE, T);
    cartridge(Q, "uid=abc");
    refused(Q, &second, "1303 CARTRIDGE_USED: the cartridge was armed in session 1 with pen SIM-0001, which is open");
    end(P, NULL);
    refused(Q, &second, "1303 CARTRIDGE_USED: the cartridge was used in session 1 with pen SIM-0001");
}

static void two_sessions_of_one_subject_do_not_both_run(void **state)
{
    struct mn_plan plan = plan_of("K-20");
    uint32_t p, q;

    (void)state;
    cartridge(P, "uid=201");
    cartridge(Q, "uid=202");
    p = begin(P, &plan);
    q = begin(Q, &plan);
    harness_ok(&h, mn_session_arm(h.c, Q, q, NULL, T));
    harness_until(&h, state_of(Q) == MN_STATE_ARMED, T);
    not_armed(P, p, "2002 INTERVAL_TOO_SHORT: CHEEK was treated 0 d ago"); /* it is about to be */
    press(Q);
    release(Q);
    not_armed(P, p, "2002 INTERVAL_TOO_SHORT: CHEEK was treated 0 d ago");
    end(Q, NULL);
    not_armed(P, p, "2002 INTERVAL_TOO_SHORT: CHEEK was treated 0 d ago");
}

static void a_swapped_cartridge_is_looked_up_before_it_is_armed(void **state)
{
    struct mn_plan plan = plan_of("K-30"), other = plan_of("K-31");
    struct mn_sessions list;
    struct mn_session s;
    uint32_t generation;

    (void)state;
    cartridge(Q, "uid=bad");
    treat(Q, begin(Q, &other));
    end(Q, NULL);
    cartridge(P, "uid=301");
    generation = begin(P, &plan);
    harness_ok(&h, mn_session_arm(h.c, P, generation, NULL, T));
    harness_until(&h, state_of(P) == MN_STATE_ARMED, T);
    cartridge(P, "uid=302"); /* between ARM and trigger: what was armed is gone */
    harness_until(&h, state_of(P) == MN_STATE_SAFE, T);
    harness_say(&h, P, "trigger press");
    harness_run(&h, 200);
    assert_int_equal(state_of(P), MN_STATE_SAFE);
    release(P);
    treat(P, generation); /* the new one is looked up, and serves */
    harness_ok(&h, mn_session_arm(h.c, P, generation, NULL, T));
    press(P);
    harness_say(&h, P, "cartridge insert uid=bad"); /* that of another subject, while the needles move */
    harness_until(&h, state_of(P) == MN_STATE_FAULT, T);
    release(P);
    harness_ok(&h, mn_faults_clear(h.c, P, 0, false, NULL, T));
    harness_until(&h, state_of(P) == MN_STATE_SAFE, T);
    not_armed(P, generation, "1303 CARTRIDGE_USED");
    end(P, &s);
    assert_int_equal(s.cartridge_count, 2); /* what was armed, with what each has done */
    assert_true(s.cartridge[0].uid == 0x301 && s.cartridge[0].runs == 0 && s.cartridge[0].strokes == 0);
    assert_true(s.cartridge[1].uid == 0x302 && s.cartridge[1].runs == 2 && s.cartridge[1].strokes == s.zone[0].strokes);
    /* A recall: of this cartridge, of one that never moved, of the lot. */
    harness_ok(&h, mn_session_list(h.c, &(struct mn_session_filter){.cartridge_uid = 0x302}, &list, T));
    assert_true(list.count == 1 && list.session[0].number == 2 && list.session[0].cartridge_count == 2);
    mn_sessions_free(&list);
    harness_ok(&h, mn_session_list(h.c, &(struct mn_session_filter){.cartridge_uid = 0x301}, &list, T));
    assert_int_equal(list.count, 0);
    mn_sessions_free(&list);
    harness_ok(&h, mn_session_list(h.c, &(struct mn_session_filter){.by_lot = true, .cartridge_lot = 2611}, &list, T));
    assert_true(list.count == 2 && list.session[0].number == 2 && list.session[1].number == 1);
    mn_sessions_free(&list);
    assert_int_equal(mn_session_list(h.c, &(struct mn_session_filter){.by_lot = true, .subject = "K-30"}, &list, T), MN_ERR_INVALID);
}

static void a_treatment_whose_power_goes_is_not_forgotten(void **state)
{
    struct mn_plan plan = plan_of("K-110");
    struct mn_session s;

    (void)state;
    cartridge(P, "uid=b01");
    harness_ok(&h, mn_session_arm(h.c, P, begin(P, &plan), NULL, T));
    press(P);
    harness_say(&h, P, "power-cycle");
    harness_say(&h, P, "trigger release");
    harness_until(&h, harness_pen(&h, P)->link == MN_LINK_READY && (state_of(P) == MN_STATE_SAFE || state_of(P) == MN_STATE_FAULT), T);
    harness_run(&h, 600);
    harness_ok(&h, mn_faults_clear(h.c, P, 0, false, NULL, T)); /* 1801, if the finger was still on it */
    harness_until(&h, state_of(P) == MN_STATE_SAFE, T);
    end(P, &s);
    assert_true(s.incomplete);
    assert_int_equal(s.end, MN_END_PARTIAL);
    assert_int_equal(s.zone[0].runs, 1);
    assert_true(s.zone[0].broken_off);
    cartridge(P, "uid=b02");
    harness_ok(&h, mn_faults_clear(h.c, P, 0, false, NULL, T)); /* 1303: the first one was in it when it started anew */
    refused(P, &plan, "2002 INTERVAL_TOO_SHORT: CHEEK was treated 0 d ago");
    plan.continues = s.number; /* as the same treatment, with a reason, it may go on */
    assert_int_equal(mn_session_begin(h.c, P, &plan, NULL, T), MN_ERR_INVALID);
    plan.continues_why = "the battery dropped out";
    treat(P, begin(P, &plan));
    end(P, &s);
    assert_int_equal(s.end, MN_END_COMPLETED);
    assert_int_equal(s.continues, 1);
    cartridge(P, "uid=b03");
    plan.continues = s.number;
    refused(P, &plan, "2010 CONTINUATION_NOT_POSSIBLE: session 2 was not broken off");
    plan.subject = "K-111"; /* nor what there is not, nor for anybody else */
    plan.continues = 77;
    refused(P, &plan, "2010 CONTINUATION_NOT_POSSIBLE: there is no ended session 77");
    plan.continues = 1;
    refused(P, &plan, "2010 CONTINUATION_NOT_POSSIBLE: there is no ended session 1 in which this subject was treated");
}

static void a_handover_stops_and_the_new_owner_arms_anew(void **state)
{
    struct mn_plan plan = plan_of("K-120");
    mn_client *other = harness_client(&h);
    uint32_t generation;

    (void)state;
    cartridge(P, "uid=c01");
    generation = begin(P, &plan);
    harness_ok(&h, mn_session_arm(h.c, P, generation, NULL, T));
    press(P);
    assert_int_equal(mn_lease_take_over(other, P, T), MN_OK);
    harness_until(&h, state_of(P) == MN_STATE_SAFE, T);
    release(P);
    assert_int_equal(mn_session_arm(h.c, P, generation, NULL, T), MN_ERR_LEASE);
    assert_int_equal(mn_session_arm(other, P, generation, NULL, T), MN_OK);
    harness_until(&h, state_of(P) == MN_STATE_ARMED, T);
    mn_close(other);
    harness_until(&h, state_of(P) == MN_STATE_SAFE, T);
}

/* ARM is looked into for some milliseconds: a STOP that comes meanwhile is later than it. */
/* Behind the arm on the same connection, and from another program when the daemon has read the arm. */
static void a_stop_while_an_arm_is_looked_into_wins(void **state)
{
    struct mn_plan plan = plan_of("K-130");
    mn_client *other = harness_client(&h);
    struct mn_daemon read;
    uint32_t generation;

    (void)state;
    generation = begin(P, &plan);
    for (int i = 0; i < 20; i++) {
        harness_ok(&h, mn_session_arm_async(h.c, P, generation, T, NULL, NULL));
        if (i % 2 == 0) {
            harness_ok(&h, mn_stop(h.c, P, T));
        } else {
            harness_ok(&h, mn_daemon_info(h.c, &read, T));
            assert_int_equal(mn_stop(other, P, T), MN_OK);
        }
        harness_run(&h, 60);
        assert_int_equal(state_of(P), MN_STATE_SAFE);
    }
    mn_close(other);
}

static void what_a_key_has_done_here_is_said(void **state)
{
    struct mn_plan plan = plan_of("K-20");
    struct mn_findings found;

    (void)state;
    harness_ok(&h, mn_session_check(h.c, P, &plan, &found, T));
    assert_int_equal(found.count, 3); /* numbing was waived */
    assert_string_equal(found.finding[1].name, "history");
    assert_int_equal(found.finding[1].decision, MN_DECISION_WARN);
    assert_non_null(strstr(found.finding[1].text, "this journal goes back to 20"));
    assert_string_equal(found.finding[2].text, "the first session of K-20 here");
    assert_int_equal(found.finding[2].decision, MN_DECISION_OK);
    begin(P, &plan);
    end(P, NULL);
    plan.subject = "k_020";
    harness_ok(&h, mn_session_check(h.c, P, &plan, &found, T));
    assert_int_equal(found.count, 4);
    assert_string_equal(found.finding[2].text, "k_020 is written almost as K-20: is it the same person?");
    assert_int_equal(found.finding[2].decision, MN_DECISION_WARN);
}

/* The journal has seen a day of next month: what would be an interval then? */
static void a_clock_that_is_behind_begins_nothing_until_service_confirms_it(void **state)
{
    static const char *const stub[] = {"--serial", "SIM-0001", "--pens", "1", NULL};
    struct mn_plan plan = plan_of("K-1");
    uint64_t reconnects;
    struct mn_daemon daemon;
    uint32_t generation;
    sqlite3 *db;

    (void)state;
    harness_start(&h, 0, NULL);
    harness_stub(&h, stub);
    harness_wait_ready(&h, 1);
    harness_ok(&h, mn_daemon_info(h.c, &daemon, T));
    reconnects = h.reconnects;
    harness_kill_daemon(&h, SIGTERM);
    assert_int_equal(sqlite3_open(daemon.journal_path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE known SET latest_us = (SELECT MAX(host_us) FROM records) + 30 * 86400000000", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    harness_restart_daemon(&h);
    harness_until(&h, h.reconnects > reconnects && mn_lease_take(h.c, P, T) == MN_OK, 2 * T);
    harness_until(&h, state_of(P) == MN_STATE_SAFE && harness_pen(&h, P)->link == MN_LINK_READY, T);
    refused(P, &plan, "2009 CLOCK_NOT_CONFIRMED: this machine's clock says ");
    harness_ok(&h, mn_clock_confirm(h.c, T));
    generation = begin(P, &plan);
    treat(P, generation);
    end(P, NULL);
    harness_stop(&h);
}

static void reasons_of_blanks_are_none(void **state)
{
    struct mn_plan plan = plan_of("K-1");

    (void)state;
    plan.numbing_waiver = "  \t ";
    assert_int_equal(mn_session_begin(h.c, P, &plan, NULL, T), MN_ERR_INVALID);
    assert_non_null(strstr(mn_message(h.c), "a waiver of numbing needs a reason"));
}

int main(int argc, char **argv)
{
#define T_(name) cmocka_unit_test_setup_teardown(name, two_pens, stop)
    const struct CMUnitTest tests[] = {
        T_(a_cartridge_serves_one_subject_whatever_pen_it_is_in),
        T_(a_cartridge_that_may_have_been_used_serves_nobody_else),
        T_(two_sessions_of_one_subject_do_not_both_run),
        T_(a_swapped_cartridge_is_looked_up_before_it_is_armed),
        T_(a_treatment_whose_power_goes_is_not_forgotten),
        T_(a_handover_stops_and_the_new_owner_arms_anew),
        T_(a_stop_while_an_arm_is_looked_into_wins),
        T_(what_a_key_has_done_here_is_said),
        T_(reasons_of_blanks_are_none),
        cmocka_unit_test(a_clock_that_is_behind_begins_nothing_until_service_confirms_it),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("harm", tests, NULL, NULL);
}
