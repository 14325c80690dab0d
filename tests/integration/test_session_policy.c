/* What the policy, the journal and the cartridge forbid a treatment session. */
#include "session_words.h"

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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        ONE(every_refusal_has_its_code_and_its_sentence),
        ONE(numbing_goes_on_and_is_looked_at_again_before_arm),
        ONE(the_interval_comes_from_the_journal),
        ONE(a_used_cartridge_serves_no_other_session),
        ONE(a_site_may_be_stricter_or_have_another_source),
        cmocka_unit_test(what_is_done_with_another_pen_counts_before_it_is_ended),
        cmocka_unit_test(the_site_s_policy_is_in_force_and_recorded),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("session_policy", tests, NULL, NULL);
}
