/* mn-factory's judgement: plans and limits that cannot be carried out are refused, and verdicts come from measurements only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan.h"
#include "record.h"
#include "stats.h"
#include "steps.h"
#include "verdict.h"

static char folder[] = "/tmp/mn-verdict-XXXXXX";

static void write_file(const char *name, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

#define PLAN(steps) "name: a plan\nlimits: limits.yaml\nfixture: simulated\nphases:\n  - name: one\n    steps:\n" steps
#define CURRENT "      - {step: current}\n"
#define RAILS "      - {step: rails}\n"
#define RAILS_LIMITS "limits:\n  - {step: rails, name: vbus_error_pct, min: -3, max: 3}\n  - {step: rails, name: logic_rail_error_pct, min: -3, max: 3}\n"
#define LIMIT "limits:\n  - {step: current, name: current_ma, min: 80, max: 250, marginal_min: 90, marginal_max: 240}\n"

static struct plan *load(const char *plan, const char *limits, char why[PLAN_WHY_MAX])
{
    char path[128];

    why[0] = '\0';
    write_file("plan.yaml", plan);
    write_file("limits.yaml", limits);
    snprintf(path, sizeof(path), "%s/plan.yaml", folder);
    return plan_load(path, why);
}

static void assert_refused(const char *plan, const char *limits, const char *sentence)
{
    char why[PLAN_WHY_MAX];
    struct plan *p = load(plan, limits, why);

    if (p != NULL || strstr(why, sentence) == NULL)
        fail_msg("wanted \"%s\", got \"%s\"", sentence, p != NULL ? "a plan" : why);
}

static void plans_that_cannot_be_carried_out_are_refused_with_the_reason(void **state)
{
    (void)state;
    assert_refused(PLAN("      - {step: curent}\n"), LIMIT, "there is no step curent; did you mean current");
    assert_refused(PLAN("      - {step: current, program: x}\n"), LIMIT, "each step has either step: or program:");
    assert_refused(PLAN("      - {program: nowhere.sh, name: p}\n"), LIMIT, "cannot run");
    assert_refused(PLAN("      - {program: plan.yaml}\n"), LIMIT, "needs a name");
    assert_refused(PLAN(CURRENT CURRENT), LIMIT, "two steps are called current");
    assert_refused(PLAN("      - {step: current, retries: 6}\n"), LIMIT, "line 7, column 34: retries is a whole number, 0 to 5, not 6");
    assert_refused(PLAN("      - {step: current, time_limit_s: 0}\n"), LIMIT, "time_limit_s is a whole number of s, 1 to 7200, not 0");
    assert_refused(PLAN("      - {step: current, parameters: secs=1}\n"), LIMIT, "step current has no parameter secs");
    assert_refused(PLAN("      - {step: soak, parameters: seconds=x}\n"), LIMIT, "parameters of step soak are NAME=NUMBER");
    assert_refused(PLAN("      - {stp: current}\n"), LIMIT, "plan.yaml, line 7, column 10: there is no option stp; did you mean step");
    assert_refused("", LIMIT, "is empty");
    assert_refused("name: a\nlimits: limits.yaml\nfixture: simulated\n", LIMIT, "phases with steps");
    assert_refused("name: a\nlimits: nowhere.yaml\nfixture: simulated\nphases:\n  - {name: o, steps: [{step: current}]}\n", LIMIT, "nowhere.yaml: No such file");
    assert_refused("name: a\nlimits: limits.yaml\nfixture: nowhere\nphases:\n  - {name: o, steps: [{step: current}]}\n", LIMIT, "cannot run the fixture's program");
}

static void a_step_that_nothing_could_fail_is_refused_and_so_are_limits_that_mean_nothing(void **state)
{
    (void)state;
    assert_refused(PLAN(CURRENT), "limits:\n  - {step: stall, name: cut_ms, max: 1}\n", "step current has no measurement with a limit");
    assert_refused(PLAN(CURRENT), "limits:\n  - {step: current, name: amps, max: 1}\n", "step current measures no amps");
    assert_refused(PLAN(CURRENT), "limits:\n  - {step: current, name: current_ma}\n", "needs min, max or both, or else equals");
    assert_refused(PLAN(CURRENT), "limits:\n  - {step: current, name: current_ma, min: 2, max: 1}\n", "does not hold");
    assert_refused(PLAN(CURRENT), "limits:\n  - {step: current, name: current_ma, max: 2, marginal_max: 3}\n", "does not hold");
    assert_refused(PLAN(CURRENT), "limits:\n  - {step: current, name: current_ma, max: nan}\n", "is a number, not nan");
    assert_refused(PLAN(CURRENT), "limits:\n  - {step: current, name: current_ma, max: 1, unit: A}\n", "is in mA, not A");
    assert_refused(PLAN(CURRENT), LIMIT "  - {step: nothing, name: x, max: 1}\n", "there is no step nothing");
    assert_refused(PLAN(CURRENT), LIMIT "  - {step: current, name: current_ma, max: 1}\n", "stands there twice");
}

static struct plan *good_plan(void)
{
    char why[PLAN_WHY_MAX];
    struct plan *p = load(PLAN(CURRENT), LIMIT, why);

    if (p == NULL)
        fail_msg("%s", why);
    return p;
}

static void a_measurement_that_was_not_made_fails_its_step(void **state)
{
    struct plan *p = good_plan();
    json_t *attempt = record_attempt(&p->steps[0]);

    (void)state;
    assert_string_equal(verdict_of_attempt(attempt), "FAIL");
    record_number(attempt, &p->steps[0], "another", "", 1); /* without a limit: it says nothing */
    assert_string_equal(verdict_of_attempt(attempt), "FAIL");
    json_decref(attempt);
    plan_free(p);
}

static void one_that_was_not_made_fails_it_beside_others_that_pass(void **state)
{
    char why[PLAN_WHY_MAX];
    struct plan *p = load(PLAN(RAILS), RAILS_LIMITS, why);
    json_t *attempt;

    (void)state;
    if (p == NULL) {
        fail_msg("%s", why);
        return;
    }
    attempt = record_attempt(&p->steps[0]);
    record_number(attempt, &p->steps[0], "vbus_error_pct", "%", 0);
    assert_string_equal(verdict_of_attempt(attempt), "FAIL");
    record_number(attempt, &p->steps[0], "logic_rail_error_pct", "%", 1);
    assert_string_equal(verdict_of_attempt(attempt), "PASS");
    json_decref(attempt);
    plan_free(p);
}

static void numbers_are_judged_by_their_limits_and_what_is_no_number_passes_nothing(void **state)
{
    static const struct {
        double value;
        const char *verdict;
    } cases[] = {{79.9, "FAIL"}, {80, "MARGINAL"}, {89.9, "MARGINAL"}, {90, "PASS"}, {240, "PASS"}, {240.1, "MARGINAL"}, {250, "MARGINAL"}, {250.1, "FAIL"},
                 {NAN, "FAIL"}, {INFINITY, "FAIL"}, {-INFINITY, "FAIL"}};
    struct plan *p = good_plan();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *attempt = record_attempt(&p->steps[0]);

        record_number(attempt, &p->steps[0], "current_ma", "mA", cases[i].value);
        assert_string_equal(verdict_of_attempt(attempt), cases[i].verdict);
        json_decref(attempt);
    }
    plan_free(p);
}

static const struct {
    const char *run, *verdict, *reason;
} run_cases[] = {
    {"{\"steps\": [{\"verdict\": \"PASS\"}, {\"verdict\": \"MARGINAL\"}]}", "PASS", ""},
    {"{\"steps\": [{\"verdict\": \"PASS\"}, {\"name\": \"battery\", \"verdict\": \"FAIL\", \"attempts\": [{\"measurements\": [{\"name\": \"sag_mv\", \"unit\": \"mV\", \"value\": 351.0,"
     "\"max\": 250.0, \"verdict\": \"FAIL\"}, {\"name\": \"ocv_mv\", \"verdict\": \"UNSET\"}, {\"name\": \"fine\", \"value\": 1, \"verdict\": \"PASS\"}]}]}]}",
     "FAIL", "battery: sag_mv is 351 mV, at most 250; ocv_mv was not measured"},
    {"{\"steps\": [{\"name\": \"identity\", \"verdict\": \"FAIL\", \"attempts\": [{\"measurements\": [{\"name\": \"serial\", \"value\": \"X\", \"equals\": \"as written\", \"verdict\": \"FAIL\"}]}]}]}",
     "FAIL", "identity: serial is \"X\", not \"as written\""},
    {"{\"steps\": [{\"name\": \"rails\", \"verdict\": \"ERROR\", \"attempts\": [{\"error\": {\"text\": \"gauge is off\"}}]}, {\"verdict\": \"FAIL\"}]}", "ERROR", "rails: gauge is off"},
    {"{\"verdict\": \"ABORTED\", \"steps\": [{\"verdict\": \"PASS\"}, {\"name\": \"soak\", \"verdict\": \"ABORTED\"}]}", "ABORTED", "aborted in soak"},
    {"{\"verdict\": \"ABORTED\", \"steps\": [{\"verdict\": \"ABORTED\", \"name\": \"a\"}, {\"verdict\": \"SKIPPED\"}]}", "ABORTED", "aborted in a"},
    {"{\"steps\": [{\"verdict\": \"PASS\"}], \"error\": {\"text\": \"no label\"}}", "ERROR", "no label"},
    {"{\"steps\": [{\"verdict\": \"PASS\"}, {\"verdict\": \"SKIPPED\"}]}", "FAIL", ""},
    {"{\"verdict\": \"DRY_RUN\", \"steps\": [{\"verdict\": \"PASS\"}, {\"name\": \"identity\", \"verdict\": \"SKIPPED\", \"by_choice\": true}, {\"name\": \"leave\", \"verdict\": \"SKIPPED\","
     "\"by_choice\": true}]}", "DRY_RUN", "nothing was written: identity, leave skipped without --commit"},
    {"{\"steps\": [{\"verdict\": \"SKIPPED\", \"by_choice\": true}, {\"verdict\": \"SKIPPED\"}]}", "FAIL", ""}, /* what was not looked at is worse than what was not written */
    {"{\"steps\": [{\"name\": \"x\", \"verdict\": \"FAIL\"}, {\"verdict\": \"SKIPPED\", \"by_choice\": true}]}", "FAIL", "x: "},
    {"{\"steps\": []}", "ERROR", ""},
};

static void a_run_is_as_good_as_its_worst_step_and_says_why(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(run_cases) / sizeof(run_cases[0]); i++) {
        json_error_t e;
        json_t *run = json_loads(run_cases[i].run, 0, &e);
        char reason[200];

        assert_non_null(run);
        verdict_reason(run, reason, sizeof(reason));
        if (strcmp(verdict_of_run(run), run_cases[i].verdict) != 0 || strcmp(reason, run_cases[i].reason) != 0)
            fail_msg("case %zu: %s, \"%s\"", i, verdict_of_run(run), reason);
        json_decref(run);
    }
}

static void a_reason_fits_whatever_room_there_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(run_cases) / sizeof(run_cases[0]); i++) {
        json_t *run = json_loads(run_cases[i].run, 0, NULL);

        for (size_t cap = 1; cap < 80; cap++) {
            char reason[80];

            memset(reason, 'x', sizeof(reason));
            verdict_reason(run, reason, cap);
            assert_true(strlen(reason) < cap);
        }
        json_decref(run);
    }
}

static json_t *run_of(const char *serial, const char *verdict, int attempts, double value)
{
    json_t *list = json_array();

    for (int i = 0; i < attempts; i++)
        json_array_append_new(list, json_pack("{s:s, s:[{s:s, s:s, s:f, s:f, s:f, s:s}]}", "verdict", verdict, "measurements", "name", "m", "unit", "mA", "value", value, "min",
                                              0.0, "max", 8.0, "verdict", "PASS"));
    return json_pack("{s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:o}]}", "serial", serial, "run", serial, "verdict", verdict, "began", "2026", "steps", "name", "s", "verdict",
                     verdict, "attempts", list);
}

static void yield_counts_pens_and_first_passes_and_cpk_the_nearer_limit(void **state)
{
    json_t *runs = json_array(), *s, *c;

    (void)state;
    json_array_append_new(runs, run_of("A", "PASS", 1, 4));
    json_array_append_new(runs, run_of("B", "PASS", 2, 5)); /* at its second attempt */
    json_array_append_new(runs, run_of("C", "FAIL", 1, 6));
    json_array_append_new(runs, run_of("C", "PASS", 1, 5)); /* in its second run */
    s = stats_summary(runs);
    assert_int_equal(json_integer_value(json_object_get(s, "pens")), 3);
    assert_int_equal(json_integer_value(json_object_get(s, "passed")), 3);
    assert_true(fabs(json_number_value(json_object_get(s, "first_pass_yield")) - 1.0 / 3) < 1e-9);
    c = json_array_get(json_object_get(s, "capability"), 0);
    assert_true(fabs(json_number_value(json_object_get(c, "mean")) - 5) < 1e-9);
    assert_true(fabs(json_number_value(json_object_get(c, "deviation")) - sqrt(2.0 / 3)) < 1e-9);
    assert_true(json_is_null(json_object_get(c, "cpk"))); /* of four values it would say nothing */
    json_decref(s);
    for (int i = 0; i < 6; i++) { /* the same four values, seven times: 28 */
        json_array_append_new(runs, run_of("A", "PASS", 1, 4));
        json_array_append_new(runs, run_of("B", "PASS", 1, 5));
        json_array_append_new(runs, run_of("C", "PASS", 1, 6));
        json_array_append_new(runs, run_of("C", "PASS", 1, 5));
    }
    s = stats_summary(runs);
    c = json_array_get(json_object_get(s, "capability"), 0);
    assert_int_equal(json_integer_value(json_object_get(c, "count")), 28);
    assert_true(fabs(json_number_value(json_object_get(c, "cpk")) - 3 / (3 * sqrt(14.0 / 27))) < 1e-9); /* 8 is nearer than 0 */
    json_decref(s);
    json_decref(runs);
}

/* A run of the plan "full", which writes for good, or of "short". */
static json_t *planned(const char *plan, const char *serial, const char *verdict)
{
    json_t *run = run_of(serial, verdict, 1, 4);

    json_object_set_new(run, "plan", json_pack("{s:s, s:s}", "name", plan, "sha256", plan));
    json_object_set_new(run, "limits", json_pack("{s:s}", "sha256", "l"));
    if (strncmp(plan, "full", 4) == 0)
        json_array_append_new(json_object_get(run, "steps"), json_pack("{s:s, s:s, s:s, s:[]}", "name", "leave", "kind", "builtin", "verdict", verdict, "attempts"));
    return run;
}

static const struct {
    const char *runs; /* plan:serial:verdict, in order */
    int pens, passed;
} yields[] = {
    {"full:A:PASS", 1, 1},
    {"full:A:FAIL short:A:PASS", 1, 0},              /* never by a shorter plan */
    {"full:A:PASS short:A:FAIL", 1, 1},              /* nor failed by one */
    {"short:A:PASS full:A:FAIL full:A:PASS", 1, 1},  /* by the last of the release plan */
    {"full:A:PASS full:A:FAIL", 1, 0},
    {"full:A:PASS full:A:ABORTED", 1, 1},            /* what was broken off says nothing */
    {"full:A:DRY_RUN", 0, 0},
    {"full:A:PASS full:B:DRY_RUN full:B:INTERRUPTED", 1, 1},
    {"full1:A:PASS full2:A:FAIL", 1, 0},             /* another file is another plan */
    {"full1:A:PASS full1:B:PASS full2:A:PASS", 1, 1},
    {"short:A:PASS short:B:FAIL", 2, 1},             /* where none releases, the last there is */
    {"short:A:ERROR", 1, 0},
};

static void a_pen_passes_by_its_last_final_run_of_the_release_plan(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(yields) / sizeof(yields[0]); i++) {
        json_t *runs = json_array(), *s;
        char copy[200], *save = NULL, plan[16], serial[16], verdict[16];

        snprintf(copy, sizeof(copy), "%s", yields[i].runs);
        for (char *one = strtok_r(copy, " ", &save); one != NULL; one = strtok_r(NULL, " ", &save)) {
            assert_int_equal(sscanf(one, "%15[^:]:%15[^:]:%15s", plan, serial, verdict), 3);
            json_array_append_new(runs, planned(plan, serial, verdict));
        }
        s = stats_summary(runs);
        if (json_integer_value(json_object_get(s, "pens")) != yields[i].pens || json_integer_value(json_object_get(s, "passed")) != yields[i].passed)
            fail_msg("%s: %lld of %lld", yields[i].runs, (long long)json_integer_value(json_object_get(s, "passed")), (long long)json_integer_value(json_object_get(s, "pens")));
        json_decref(s);
        json_decref(runs);
    }
}

static void the_plans_that_ship_can_be_carried_out_and_have_a_limit_for_every_fault(void **state)
{
    static const char *const names[] = {"factory/plans/mn-1.yaml", "tests/vm/factory/plan.yaml"};
    char why[PLAN_WHY_MAX], path[512];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct plan *p;

        snprintf(path, sizeof(path), MN_SOURCE_DIR "/%s", names[i]);
        p = plan_load(path, why);
        if (p == NULL) {
            fail_msg("%s", why);
            return;
        }
        assert_int_equal(p->step_count, step_count); /* every step there is */
        for (size_t k = 0; k < p->step_count; k++) {
            if (strcmp(p->steps[k].name, "faults") == 0)
                assert_int_equal(p->steps[k].limit_count, 28 + 1);
        }
        plan_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_that_cannot_be_carried_out_are_refused_with_the_reason),
        cmocka_unit_test(a_step_that_nothing_could_fail_is_refused_and_so_are_limits_that_mean_nothing),
        cmocka_unit_test(a_measurement_that_was_not_made_fails_its_step),
        cmocka_unit_test(one_that_was_not_made_fails_it_beside_others_that_pass),
        cmocka_unit_test(numbers_are_judged_by_their_limits_and_what_is_no_number_passes_nothing),
        cmocka_unit_test(a_run_is_as_good_as_its_worst_step_and_says_why),
        cmocka_unit_test(a_reason_fits_whatever_room_there_is),
        cmocka_unit_test(a_pen_passes_by_its_last_final_run_of_the_release_plan),
        cmocka_unit_test(yield_counts_pens_and_first_passes_and_cpk_the_nearer_limit),
        cmocka_unit_test(the_plans_that_ship_can_be_carried_out_and_have_a_limit_for_every_fault),
    };
    int r;

    if (mkdtemp(folder) == NULL)
        return 1;
    r = cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
    remove(folder);
    return r;
}
