/* What may be done with a treatment, by whom and when, condition by condition; and what is kept of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "treatment.h"

static const uint64_t MINUTE_US = 60000000;
static const struct findings nothing = {.worst = DECISION_OK};

static struct treatment prepared(void)
{
    struct treatment t = {.state = TREATMENT_PREPARED, .number = 1, .id = 77, .generation = 5, .zone_count = 2, .cartridge_uid = 0xa, .cartridge_lot = 3, .needle_count = 12};

    t.zones[0] = (struct treatment_zone){.zone = ZONE_CHEEK, .depth_um = 500, .stroke_rate_dhz = 1000};
    t.zones[1] = (struct treatment_zone){.zone = ZONE_CHIN, .depth_um = 600, .stroke_rate_dhz = 1100};
    return t;
}

/* In which all is well. */
static struct treatment_context well(void)
{
    return (struct treatment_context){.has_lease = true, .holder = "me", .journal_error = "", .pen = PEN_IS_AT_REST, .pen_is_safe = true, .generation = 5, .asked_generation = 5};
}

enum act { BEGIN, SELECT, ARM, END, ACTS };

static enum rejection_kind ask(enum act act, const struct treatment *t, const struct treatment_context *w, const struct findings *found, const char *words)
{
    struct rejection r = {REJECTED_NOT, ""};
    bool may = act == BEGIN    ? treatment_may_begin(w, found, &r)
               : act == SELECT ? treatment_may_select(t, w, &r)
               : act == ARM    ? treatment_may_arm(t, found, w, &r)
                               : treatment_may_end(t, w, &r);

    assert_int_equal(may, r.kind == REJECTED_NOT);
    if (strstr(r.text, words) == NULL)
        fail_msg("%d: \"%s\", not \"%s\"", act, r.text, words);
    return r.kind;
}

static void all_is_allowed_where_all_is_well(void **state)
{
    struct treatment t = prepared();
    struct treatment_context w = well();

    (void)state;
    for (enum act act = BEGIN; act < ACTS; act++)
        assert_int_equal(ask(act, &t, &w, &nothing, ""), REJECTED_NOT);
    t.state = TREATMENT_PAUSED;
    for (enum act act = SELECT; act < ACTS; act++)
        assert_int_equal(ask(act, &t, &w, &nothing, ""), REJECTED_NOT);
}

/* What forbids it may be more than there is room for. */
static void what_cannot_be_said_forbids_all_the_same(void **state)
{
    static const enum decision worst[] = {DECISION_CONSULT, DECISION_BLOCK};
    struct findings *found = calloc(1, sizeof(*found));
    struct treatment_context w = well();

    (void)state;
    assert_non_null(found);
    for (; found->count < POLICY_FINDINGS_MAX; found->count++)
        found->found[found->count] = (struct finding){.decision = DECISION_WARN, .name = "SHAVED"};
    for (size_t i = 0; i < 2; i++) {
        found->worst = worst[i];
        assert_int_equal(ask(BEGIN, NULL, &w, found, "more was found than can be said"), REJECTED_POLICY);
    }
    found->worst = DECISION_WARN;
    assert_int_equal(ask(BEGIN, NULL, &w, found, ""), REJECTED_NOT);
    found->count = 0;
    found->worst = found->found[0].decision = DECISION_BLOCK; /* of before: it does not count */
    assert_int_equal(ask(BEGIN, NULL, &w, found, "more was found"), REJECTED_POLICY);
    free(found);
}

static void what_is_behind_the_zones_does_not_count(void **state)
{
    struct treatment t = prepared();

    (void)state;
    t.zones[2] = (struct treatment_zone){.strokes = 5, .motor_ms = 100};
    assert_int_equal(treatment_motor_ms(&t), 0);
    assert_int_equal(treatment_outcome(&t, END_COMPLETED, false), END_UNTREATED);
    t.zones[0].strokes = t.zones[1].strokes = 1;
    assert_int_equal(treatment_outcome(&t, END_COMPLETED, false), END_COMPLETED);
}

/* Each by itself. A row's words stand for those acts that are refused; a 0: it is allowed. */
static void each_condition_is_asked(void **state)
{
    static const struct row {
        const char *what;
        enum rejection_kind refused[ACTS];
        const char *words;
    } rows[] = {
        {"another has the lease", {REJECTED_LEASE, REJECTED_LEASE, REJECTED_LEASE, REJECTED_LEASE}, "2007 LEASE_LOST: the pen is controlled by you"},
        {"nobody has it", {REJECTED_LEASE, REJECTED_LEASE, REJECTED_LEASE, REJECTED_NOT}, "2007 LEASE_LOST: you do not control the pen: take its lease first"},
        {"no journal", {REJECTED_JOURNAL, REJECTED_NOT, REJECTED_JOURNAL, REJECTED_NOT}, "2008 JOURNAL_UNWRITABLE: full"},
        {"the pen is gone", {REJECTED_PEN, REJECTED_PEN, REJECTED_PEN, REJECTED_NOT}, "the pen is not ready"},
        {"it is old", {REJECTED_PEN, REJECTED_PEN, REJECTED_PEN, REJECTED_NOT}, "update it to protocol 1.4"},
        {"it is not SAFE", {REJECTED_STATE, REJECTED_STATE, REJECTED_STATE, REJECTED_NOT}, "the pen is not SAFE"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct treatment t = prepared();
        struct treatment_context w = well();

        w.has_lease = i > 1;
        w.holder = i == 0 ? "you" : i == 1 ? NULL : "me";
        w.is_free = i == 1;
        w.journal_error = i == 2 ? "full" : "";
        w.pen = i == 3 ? PEN_IS_GONE : PEN_IS_AT_REST;
        w.pen_is_old = i == 4;
        w.pen_is_safe = i != 5;
        for (enum act act = BEGIN; act < ACTS; act++)
            assert_int_equal(ask(act, &t, &w, &nothing, rows[i].refused[act] != REJECTED_NOT ? rows[i].words : ""), rows[i].refused[act]);
    }
}

static void each_state_has_its_acts(void **state)
{
    static const struct {
        enum treatment_state state;
        enum rejection_kind arm, end;
        const char *words;
    } rows[] = {
        {TREATMENT_NONE, REJECTED_STATE, REJECTED_STATE, ""},
        {TREATMENT_ARMING, REJECTED_STATE, REJECTED_NOT, "is under way: stop the pen first"},
        {TREATMENT_ARMED, REJECTED_STATE, REJECTED_NOT, "is under way: stop the pen first"},
        {TREATMENT_RUNNING, REJECTED_STATE, REJECTED_NOT, "is under way: stop the pen first"},
        {TREATMENT_ENDING, REJECTED_STATE, REJECTED_NOT, "the session is being ended"},
        {TREATMENT_ENDED, REJECTED_STATE, REJECTED_STATE, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct treatment t = prepared();
        struct treatment_context w = well();

        t.state = rows[i].state;
        assert_int_equal(ask(ARM, &t, &w, &nothing, rows[i].words), rows[i].arm);
        assert_int_equal(ask(SELECT, &t, &w, &nothing, rows[i].words), rows[i].arm);
        assert_int_equal(ask(END, &t, &w, &nothing, rows[i].end != REJECTED_NOT ? "there is no such session, or it has ended" : ""), rows[i].end);
        assert_int_equal(treatment_is_open(&t), rows[i].end == REJECTED_NOT);
        assert_int_equal(treatment_is_live(&t), rows[i].state >= TREATMENT_ARMING && rows[i].state <= TREATMENT_RUNNING);
    }
}

static void only_the_configuration_that_was_seen_is_armed(void **state)
{
    struct treatment t = prepared();
    struct treatment_context w = well();

    (void)state;
    treatment_selecting(&t, 1);
    assert_int_equal(t.zone_now, 1);
    assert_int_equal(ask(ARM, &t, &w, &nothing, "no zone is chosen, or its configuration is not in the pen"), REJECTED_STATE);
    treatment_selected(&t, 6);
    assert_int_equal(ask(ARM, &t, &w, &nothing, "ARM names configuration 5, and the zone's is 6"), REJECTED_CONFLICT);
    w.asked_generation = 6;
    w.generation = 5; /* a status that is older than the pen's answer */
    assert_int_equal(ask(ARM, &t, &w, &nothing, ""), REJECTED_NOT);
    w.generation = 6;
    assert_int_equal(ask(ARM, &t, &w, &nothing, ""), REJECTED_NOT);
    w.generation = 7;
    assert_int_equal(ask(ARM, &t, &w, &nothing, "the pen's configuration has changed since the zone was chosen"), REJECTED_CONFLICT);
}

static void the_worst_of_what_was_found_is_said(void **state)
{
    struct findings found = {.count = 3, .worst = DECISION_BLOCK};
    struct treatment t = prepared();
    struct treatment_context w = well();

    (void)state;
    found.found[0] = (struct finding){.decision = DECISION_CONSULT, .code = 2004, .text = "ask"};
    found.found[1] = (struct finding){.decision = DECISION_BLOCK, .code = 2002, .text = "too soon"};
    found.found[2] = (struct finding){.decision = DECISION_BLOCK, .code = 1303, .name = "CARTRIDGE_USED", .text = "used"};
    assert_int_equal(ask(ARM, &t, &w, &found, "2002 INTERVAL_TOO_SHORT: too soon"), REJECTED_POLICY);
    assert_int_equal(ask(BEGIN, &t, &w, &found, "2002 INTERVAL_TOO_SHORT: too soon"), REJECTED_POLICY);
    found.found[1].decision = DECISION_WARN;
    assert_int_equal(ask(ARM, &t, &w, &found, "1303 CARTRIDGE_USED: used"), REJECTED_POLICY);
    found.count = 1;
    found.worst = DECISION_CONSULT;
    assert_int_equal(ask(ARM, &t, &w, &found, "2004 CONTRAINDICATION: ask"), REJECTED_POLICY);
    found.found[0].decision = found.worst = DECISION_WARN;
    assert_int_equal(ask(ARM, &t, &w, &found, ""), REJECTED_NOT);
    found.worst = DECISION_BLOCK; /* more than the array holds */
    assert_int_equal(ask(ARM, &t, &w, &found, "more was found than can be said"), REJECTED_POLICY);
}

/* ---- what grows older ---- */

static void what_was_said_grows_older(void **state)
{
    struct treatment t = prepared();
    struct findings found;
    struct policy p;

    (void)state;
    policy_default(&p);
    t.input.step_count = 1;
    t.input.steps[0] = (struct policy_step){.zone = ZONE_CHEEK, .depth_um = 500, .days_since_surface = POLICY_NEVER, .days_since_deeper = POLICY_NEVER};
    for (int i = 0; i < SCREEN_ITEMS; i++)
        t.input.answers[i] = (struct policy_answer){.answered = true, .hours_ago = POLICY_NEVER};
    t.said_us = 100 * MINUTE_US;
    t.input.numbing_min = 20;
    treatment_evaluate(&t, &p, t.said_us + 9 * MINUTE_US, &found);
    assert_true(found.count == 1 && found.found[0].value == 29); /* of 30 */
    treatment_evaluate(&t, &p, t.said_us + 10 * MINUTE_US, &found);
    assert_int_equal(found.count, 0);
    treatment_evaluate(&t, &p, t.said_us + 220 * MINUTE_US, &found);
    assert_int_equal(found.count, 0);
    treatment_evaluate(&t, &p, t.said_us + 221 * MINUTE_US, &found);
    assert_true(found.count == 1 && found.found[0].code == 2001);
    t.input.numbing_waived = true;
    treatment_evaluate(&t, &p, t.said_us + 720 * MINUTE_US, &found);
    assert_int_equal(found.worst, DECISION_WARN);
    treatment_evaluate(&t, &p, t.said_us + 721 * MINUTE_US, &found);
    assert_true(found.worst == DECISION_BLOCK && found.found[0].code == 2005);
    treatment_evaluate(&t, &p, t.said_us - MINUTE_US, &found); /* a time before: nothing is older by it, nor younger */
    assert_true(found.count == 1 && found.found[0].value == 20);
}

/* ---- what is done ---- */

static void arm(struct treatment *t)
{
    treatment_arm_sent(t);
    treatment_arm_answered(t, true);
    assert_false(treatment_pen_is(t, PEN_IS_ARMED, ""));
}

static void an_arm_that_is_not_taken_pauses(void **state)
{
    struct treatment t = prepared();

    (void)state;
    treatment_arm_sent(&t);
    assert_int_equal(t.state, TREATMENT_ARMING);
    treatment_arm_answered(&t, false);
    assert_int_equal(t.state, TREATMENT_PAUSED);
    assert_string_equal(t.text, "the pen did not take ARM");
    treatment_arm_answered(&t, true); /* late: it is not asked for any more */
    assert_int_equal(t.state, TREATMENT_PAUSED);
    assert_false(t.arm_answered);
    treatment_arm_sent(&t);
    treatment_arm_answered(&t, true);
    assert_true(t.arm_answered);
    assert_false(treatment_pen_is(&t, PEN_IS_AT_REST, "")); /* its word is older than the ARM */
    assert_int_equal(t.state, TREATMENT_ARMING);
    treatment_arm_late(&t);
    assert_int_equal(t.state, TREATMENT_PAUSED);
    assert_string_equal(t.text, "the pen did not say that it is ARMED");
    treatment_arm_late(&t);
    arm(&t);
    treatment_arm_late(&t);
    assert_int_equal(t.state, TREATMENT_ARMED);
    assert_int_equal(t.cartridge_count, 1);
}

static void what_the_pen_does_is_followed(void **state)
{
    struct treatment t = prepared();

    (void)state;
    assert_true(treatment_pen_is(&t, PEN_IS_ARMED, "")); /* by nobody here: stop it */
    assert_true(treatment_pen_is(&t, PEN_IS_RUNNING, ""));
    assert_false(treatment_pen_is(&t, PEN_IS_AT_REST, ""));
    assert_int_equal(t.state, TREATMENT_PREPARED);
    arm(&t);
    for (uint32_t i = 1; i <= 2; i++) {
        assert_int_equal(t.runs_seen, i - 1);
        assert_false(treatment_pen_is(&t, PEN_IS_RUNNING, ""));
        assert_int_equal(t.runs_seen, i);
        assert_false(treatment_pen_is(&t, PEN_IS_RUNNING, "")); /* STOPPING */
        assert_int_equal(t.state, TREATMENT_RUNNING);
        assert_int_equal(t.runs_seen, i);
        assert_false(treatment_pen_is(&t, PEN_IS_AT_REST, "the pen has a fault"));
        assert_int_equal(t.state, TREATMENT_PAUSED);
        assert_string_equal(t.text, "the pen has a fault");
        arm(&t);
        assert_string_equal(t.text, "");
    }
    assert_false(treatment_pen_is(&t, PEN_IS_GONE, "the pen is gone"));
    assert_int_equal(t.state, TREATMENT_PAUSED);
    arm(&t);
    treatment_lease_lost(&t, "gone");
    assert_int_equal(t.state, TREATMENT_PAUSED);
    assert_string_equal(t.text, "gone");
    treatment_lease_lost(&t, "again");
    assert_string_equal(t.text, "gone");
    treatment_arm_sent(&t);
    assert_false(treatment_pen_is(&t, PEN_IS_GONE, "the pen is gone")); /* what it was told is void */
    assert_int_equal(t.state, TREATMENT_PAUSED);
}

static struct treatment_run run(uint32_t zone, uint64_t uid, uint32_t strokes, enum treatment_run_end end)
{
    return (struct treatment_run){.zone = zone, .strokes = strokes, .motor_ms = 10 * strokes, .depth_peak_um = 400 + strokes, .cartridge_uid = uid, .cartridge_lot = 3, .end = end};
}

static void runs_add_up_by_zone_and_by_cartridge(void **state)
{
    struct treatment t = prepared();
    struct treatment_run r = run(ZONE_CHEEK, 0xa, 50, RUN_END_TRIGGER);

    (void)state;
    arm(&t);
    treatment_pen_is(&t, PEN_IS_RUNNING, "");
    treatment_run_began(&t, ZONE_CHEEK);
    assert_true(treatment_owes_runs(&t));
    treatment_pen_is(&t, PEN_IS_AT_REST, "");
    treatment_add_run(&t, &r);
    assert_false(treatment_owes_runs(&t));
    assert_string_equal(t.text, "the trigger was released");
    r = run(ZONE_CHEEK, 0xb, 20, RUN_END_TRIGGER);
    treatment_run_began(&t, ZONE_CHEEK);
    treatment_add_run(&t, &r);
    r = run(ZONE_CHIN, 0xb, 30, RUN_END_STOP);
    treatment_run_began(&t, ZONE_CHIN);
    treatment_add_run(&t, &r);
    r = run(ZONE_NOSE, 0xc, 99, RUN_END_STOP); /* of another session */
    treatment_run_began(&t, ZONE_NOSE);
    treatment_add_run(&t, &r);
    assert_false(treatment_owes_runs(&t));
    assert_true(t.zones[0].runs == 2 && t.zones[0].strokes == 70 && t.zones[0].motor_ms == 700 && t.zones[0].depth_peak_um == 450 && t.zones[0].punctures == 840);
    assert_true(t.zones[1].runs == 1 && t.zones[1].strokes == 30 && !t.zones[1].broken_off);
    assert_int_equal(treatment_motor_ms(&t), 1000);
    assert_int_equal(t.cartridge_count, 2);
    assert_true(t.cartridges[0].uid == 0xa && t.cartridges[0].runs == 1 && t.cartridges[0].strokes == 50 && t.cartridges[0].lot == 3 && t.cartridges[0].needle_count == 12);
    assert_true(t.cartridges[1].uid == 0xb && t.cartridges[1].runs == 2 && t.cartridges[1].strokes == 50);
    treatment_run_began(&t, ZONE_CHEEK);
    assert_true(treatment_owes_runs(&t));
    r = run(ZONE_CHEEK, 0xa, 0, RUN_END_POWER);
    treatment_add_run(&t, &r);
    assert_true(treatment_owes_runs(&t)); /* it has an end, and nobody knows how long it was */
    assert_true(t.zones[0].broken_off);
}

static void why_a_run_ended_is_said_until_it_goes_on(void **state)
{
    static const char *const words[] = {"", "the trigger was released", "stopped", "stopped by a fault", "stopped: the link was lost", "the pen lost its power", ""};

    (void)state;
    for (int end = RUN_END_UNKNOWN; end <= RUN_END_POWER + 1; end++) {
        struct treatment t = prepared();
        struct treatment_run r = run(ZONE_CHEEK, 0xa, 5, (enum treatment_run_end)end);

        treatment_add_run(&t, &r);
        assert_string_equal(t.text, words[end]);
        assert_int_equal(t.zones[0].broken_off, end == RUN_END_FAULT || end == RUN_END_LINK || end == RUN_END_POWER);
        snprintf(t.text, sizeof(t.text), "said");
        treatment_add_run(&t, &r);
        assert_string_equal(t.text, "said");
        arm(&t);
        treatment_add_run(&t, &r); /* of before: it is live again */
        assert_string_equal(t.text, "");
    }
}

static void only_so_many_cartridges_are_kept_apart(void **state)
{
    struct treatment t = prepared();

    (void)state;
    for (uint64_t uid = 1; uid <= TREATMENT_CARTRIDGES_MAX + 2; uid++) {
        t.cartridge_uid = uid;
        treatment_arm_sent(&t);
    }
    assert_int_equal(t.cartridge_count, TREATMENT_CARTRIDGES_MAX);
    assert_int_equal(t.cartridges[TREATMENT_CARTRIDGES_MAX - 1].uid, TREATMENT_CARTRIDGES_MAX);
}

static void each_fault_is_kept_once(void **state)
{
    struct treatment t = prepared();

    (void)state;
    for (uint32_t i = 0; i < 2 * TREATMENT_FAULTS_MAX; i++) {
        treatment_add_fault(&t, 1101 + i % (TREATMENT_FAULTS_MAX + 1));
        assert_int_equal(t.fault_count, i + 1 < TREATMENT_FAULTS_MAX ? i + 1 : TREATMENT_FAULTS_MAX);
    }
    for (uint32_t i = 0; i < TREATMENT_FAULTS_MAX; i++)
        assert_int_equal(t.faults[i], 1101 + i);
}

static void overrides_have_reasons_and_an_end(void **state)
{
    struct treatment t = prepared();
    char reason[TREATMENT_TEXT_MAX + 2];

    (void)state;
    assert_false(treatment_add_override(&t, "CHEEK", ""));
    assert_false(treatment_add_override(&t, "CHEEK", " \t\r\n"));
    memset(reason, 'x', sizeof(reason) - 1);
    reason[sizeof(reason) - 1] = '\0';
    assert_false(treatment_add_override(&t, "CHEEK", reason));
    reason[TREATMENT_TEXT_MAX] = '\0';
    for (size_t i = 0; i < TREATMENT_OVERRIDES_MAX; i++)
        assert_true(treatment_add_override(&t, "CHEEK", reason));
    assert_false(treatment_add_override(&t, "CHEEK", "one more"));
    assert_int_equal(t.override_count, TREATMENT_OVERRIDES_MAX);
    assert_string_equal(t.overrides[0].name, "CHEEK");
    assert_string_equal(t.overrides[TREATMENT_OVERRIDES_MAX - 1].reason, reason);
}

static void only_what_was_broken_off_is_continued(void **state)
{
    static const enum treatment_end ends[] = {END_NONE, END_COMPLETED, END_ABORTED, END_INTERRUPTED, END_PARTIAL, END_UNTREATED};

    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        assert_int_equal(treatment_was_broken_off(ends[i]), ends[i] == END_ABORTED || ends[i] == END_INTERRUPTED || ends[i] == END_PARTIAL);
}

static void refusals_have_names(void **state)
{
    (void)state;
    assert_string_equal(rejection_name(2001), "2001 NUMBING_NOT_ELAPSED");
    assert_string_equal(rejection_name(2010), "2010 CONTINUATION_NOT_POSSIBLE");
    assert_string_equal(rejection_name(0), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_allowed_where_all_is_well),
        cmocka_unit_test(what_cannot_be_said_forbids_all_the_same),
        cmocka_unit_test(what_is_behind_the_zones_does_not_count),
        cmocka_unit_test(each_condition_is_asked),
        cmocka_unit_test(each_state_has_its_acts),
        cmocka_unit_test(only_the_configuration_that_was_seen_is_armed),
        cmocka_unit_test(the_worst_of_what_was_found_is_said),
        cmocka_unit_test(what_was_said_grows_older),
        cmocka_unit_test(an_arm_that_is_not_taken_pauses),
        cmocka_unit_test(what_the_pen_does_is_followed),
        cmocka_unit_test(runs_add_up_by_zone_and_by_cartridge),
        cmocka_unit_test(why_a_run_ended_is_said_until_it_goes_on),
        cmocka_unit_test(only_so_many_cartridges_are_kept_apart),
        cmocka_unit_test(each_fault_is_kept_once),
        cmocka_unit_test(overrides_have_reasons_and_an_end),
        cmocka_unit_test(only_what_was_broken_off_is_continued),
        cmocka_unit_test(refusals_have_names),
    };

    return cmocka_run_group_tests_name("treatment", tests, NULL, NULL);
}
