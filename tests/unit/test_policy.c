/*
 * Every row of the treatment policy, at its boundary: one unit below, at, above. The figures here are written down a second time, from the
 * sources, on purpose: each row has a test of its own name, which fails when the row in proto/policy/ is changed or missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy.h"

enum { TESTS_MAX = 200, OK = DECISION_OK, WARN = DECISION_WARN, CONSULT = DECISION_CONSULT, BLOCK = DECISION_BLOCK };

static struct policy policy;

/* A plan that nothing speaks against: all is answered, numbing was long. */
static struct policy_input fine(enum policy_zone zone, uint32_t depth_um)
{
    struct policy_input in = {.step_count = 1, .numbing_min = 60};

    in.steps[0] = (struct policy_step){.zone = zone, .depth_um = depth_um, .days_since_surface = POLICY_NEVER, .days_since_deeper = POLICY_NEVER};
    for (int i = 0; i < SCREEN_ITEMS; i++)
        in.answers[i] = (struct policy_answer){.answered = true, .hours_ago = POLICY_NEVER};
    return in;
}

static enum decision worst(const struct policy_input *in, struct findings *out)
{
    policy_evaluate(&policy, in, out);
    return out->worst;
}

/* The only thing found is this. */
static void finds(const struct policy_input *in, int decision, unsigned code, const char *name)
{
    struct findings out;

    assert_int_equal(worst(in, &out), decision);
    if (decision == OK) {
        assert_int_equal(out.count, 0);
        return;
    }
    assert_int_equal(out.count, 1);
    assert_int_equal(out.found[0].code, code);
    assert_string_equal(out.found[0].name, name);
    assert_true(out.found[0].text[0] != '\0' && out.found[0].source[0] != '\0');
}

/* ---- zones ---- */

static const struct zone_row {
    const char *name;
    enum policy_zone zone;
    uint32_t cap_um;
} zone_rows[] = {
    {"ORBITAL_RIM_INTERIOR", ZONE_ORBITAL_RIM_INTERIOR, 0},
    {"LIP_VERMILION", ZONE_LIP_VERMILION, 0},
    {"FOREHEAD", ZONE_FOREHEAD, 750},
    {"GLABELLA", ZONE_GLABELLA, 1000},
    {"NOSE", ZONE_NOSE, 500},
    {"PERIORBITAL_OUTSIDE_RIM", ZONE_PERIORBITAL_OUTSIDE_RIM, 500},
    {"CHEEKBONE", ZONE_CHEEKBONE, 1000},
    {"CHEEK", ZONE_CHEEK, 2000},
    {"CHIN", ZONE_CHIN, 2000},
    {"UPPER_LIP_SKIN", ZONE_UPPER_LIP_SKIN, 750},
    {"NECK", ZONE_NECK, 1000},
    {"SCALP", ZONE_SCALP, 1500},
    {"HANDS", ZONE_HANDS, 1000},
    {"BACK", ZONE_BACK, 2000},
    {"ABDOMEN", ZONE_ABDOMEN, 2000},
    {"THIGHS", ZONE_THIGHS, 2000},
    {"LEGS", ZONE_LEGS, 2000},
};

static void zone(void **state)
{
    const struct zone_row *row = *state;
    struct policy_input in = fine(row->zone, 0);

    policy.limits[POLICY_depth_limit] = 2000; /* a site's policy at its widest: the zone's own cap counts */
    assert_string_equal(policy_zone_name(row->zone), row->name);
    for (uint32_t depth_um = row->cap_um > 0 ? row->cap_um - 1 : 0; depth_um <= row->cap_um + 1; depth_um++) {
        in.steps[0].depth_um = depth_um;
        if (row->cap_um == 0)
            finds(&in, BLOCK, 2003, row->name);
        else
            finds(&in, depth_um > row->cap_um ? BLOCK : OK, 2006, row->name);
    }
}

/* ---- screening ---- */

static const struct item_row {
    const char *name;
    enum policy_item item;
    uint32_t hours; /* 0: yes or no */
    int decision;
    uint32_t hours_2;
    int decision_2;
    bool in_zone;
} item_rows[] = {
    {"ISOTRETINOIN", SCREEN_ISOTRETINOIN, 183 * 24, BLOCK, 0, OK, false},
    {"TOPICAL_RETINOID", SCREEN_TOPICAL_RETINOID, 7 * 24, BLOCK, 0, OK, false},
    {"EXFOLIANT", SCREEN_EXFOLIANT, 7 * 24, WARN, 0, OK, false},
    {"NSAID", SCREEN_NSAID, 7 * 24, BLOCK, 0, OK, false},
    {"ASPIRIN_OR_SUPPLEMENT", SCREEN_ASPIRIN_OR_SUPPLEMENT, 7 * 24, WARN, 0, OK, false},
    {"BLOOD_THINNER", SCREEN_BLOOD_THINNER, 7 * 24, CONSULT, 0, OK, false},
    {"AUTOIMMUNE_THERAPY", SCREEN_AUTOIMMUNE_THERAPY, 24, CONSULT, 0, OK, false},
    {"LASER_OR_SUN", SCREEN_LASER_OR_SUN, 14 * 24, BLOCK, 0, OK, false},
    {"HAIR_REMOVAL", SCREEN_HAIR_REMOVAL, 7 * 24, WARN, 0, OK, false},
    {"SHAVED", SCREEN_SHAVED, 24, WARN, 0, OK, false},
    {"ALCOHOL", SCREEN_ALCOHOL, 24, WARN, 0, OK, false},
    {"FILLER_OR_LASER_TODAY", SCREEN_FILLER_OR_LASER_TODAY, 24, BLOCK, 0, OK, false},
    {"COLD_SORES_UNCOVERED", SCREEN_COLD_SORES_UNCOVERED, 0, CONSULT, 0, OK, false},
    {"KELOID", SCREEN_KELOID, 0, BLOCK, 0, OK, false},
    {"ACTIVE_SKIN_DISEASE", SCREEN_ACTIVE_SKIN_DISEASE, 0, BLOCK, 0, OK, false},
    {"WOUND_OR_LESION", SCREEN_WOUND_OR_LESION, 0, BLOCK, 0, OK, true},
    {"UNCONTROLLED_DIABETES", SCREEN_UNCONTROLLED_DIABETES, 0, BLOCK, 0, OK, false},
    {"IMMUNOCOMPROMISED", SCREEN_IMMUNOCOMPROMISED, 0, BLOCK, 0, OK, false},
    {"HYPERPIGMENTATION", SCREEN_HYPERPIGMENTATION, 0, BLOCK, 0, OK, false},
    {"PREGNANT_OR_BREASTFEEDING", SCREEN_PREGNANT_OR_BREASTFEEDING, 0, CONSULT, 0, OK, false},
    {"CHEMOTHERAPY_OR_RADIATION", SCREEN_CHEMOTHERAPY_OR_RADIATION, 0, BLOCK, 0, OK, false},
    {"BLOOD_DISORDER", SCREEN_BLOOD_DISORDER, 0, CONSULT, 0, OK, false},
    {"LOTION_ON_ZONE", SCREEN_LOTION_ON_ZONE, 0, WARN, 0, OK, true},
    {"CHANGED_MEDICATION", SCREEN_CHANGED_MEDICATION, 0, CONSULT, 0, OK, false},
    {"ACNE_MEDICATION", SCREEN_ACNE_MEDICATION, 0, CONSULT, 0, OK, false},
    {"FREQUENT_RASHES", SCREEN_FREQUENT_RASHES, 0, CONSULT, 0, OK, false},
    {"CHRONIC_SKIN_CONDITION", SCREEN_CHRONIC_SKIN_CONDITION, 0, CONSULT, 0, OK, false},
    {"CHANGING_GROWTH", SCREEN_CHANGING_GROWTH, 0, BLOCK, 0, OK, false},
};

static int wanted(const struct item_row *row, uint32_t hours_ago)
{
    return hours_ago < row->hours ? row->decision : hours_ago < row->hours_2 ? row->decision_2 : OK;
}

static void item(void **state)
{
    const struct item_row *row = *state;
    struct policy_input in = fine(ZONE_CHEEK, 500);
    struct policy_answer *a = &in.answers[row->item];
    const uint32_t edges[] = {0, row->hours - 1, row->hours, row->hours + 1, row->hours_2 - 1, row->hours_2, POLICY_NEVER};

    finds(&in, OK, 0, "");
    a->answered = false;
    finds(&in, BLOCK, 2005, row->name); /* unanswered is not "no" */
    a->answered = true;
    for (size_t i = 0; row->hours != 0 && i < sizeof(edges) / sizeof(edges[0]); i++) {
        int d = wanted(row, edges[i]);

        a->hours_ago = edges[i];
        a->confirmed = false;
        finds(&in, d, d >= CONSULT ? 2004 : 0, row->name);
        a->confirmed = true;
        finds(&in, d == CONSULT ? WARN : d, d == BLOCK ? 2004 : 0, row->name);
    }
    if (row->hours != 0)
        return;
    a->yes = true;
    a->zones = UINT32_C(1) << ZONE_CHEEK;
    finds(&in, row->decision, row->decision >= CONSULT ? 2004 : 0, row->name);
    a->zones = UINT32_C(1) << ZONE_NECK; /* it is elsewhere */
    finds(&in, row->in_zone ? OK : row->decision, row->decision >= CONSULT ? 2004 : 0, row->name);
    a->confirmed = true;
    if (row->decision == CONSULT)
        finds(&in, WARN, 0, row->name);
}

/* ---- numbing, intervals, depth ---- */

static void numbing(void **state)
{
    static const struct {
        uint32_t depth_um, min;
    } rows[] = {{0, 30}, {500, 30}, {1250, 30}, {1251, 31}, {1300, 31}, {1301, 32}, {1500, 35}, {1950, 44}, {1951, 45}, {2000, 45}, {2500, 45}};
    struct findings out;

    (void)state;
    policy.limits[POLICY_depth_limit] = 2000;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct policy_input in = fine(ZONE_CHEEK, rows[i].depth_um);

        assert_int_equal(policy_numbing_min(&policy, rows[i].depth_um), rows[i].min);
        if (rows[i].depth_um > 2000)
            continue;
        for (uint32_t min = rows[i].min - 1; min <= rows[i].min + 1; min++) {
            in.numbing_min = min;
            in.numbing_waived = false;
            finds(&in, min < rows[i].min ? BLOCK : OK, 2001, "numbing");
            in.numbing_waived = true;
            finds(&in, min < rows[i].min ? WARN : OK, 2001, "numbing");
        }
        in.numbing_min = POLICY_NEVER;
        in.numbing_waived = false;
        finds(&in, BLOCK, 2001, "numbing");
        worst(&in, &out);
        assert_int_equal(out.found[0].value, 0);
        in.numbing_min = rows[i].min - 1;
        worst(&in, &out);
        assert_int_equal(out.found[0].value, rows[i].min - 1);
    }
}

static void numbing_is_for_the_deepest_zone(void **state)
{
    struct policy_input in = fine(ZONE_NOSE, 300);

    (void)state;
    in.steps[in.step_count++] = (struct policy_step){.zone = ZONE_CHEEK, .depth_um = 1500, .days_since_surface = POLICY_NEVER, .days_since_deeper = POLICY_NEVER};
    in.numbing_min = 34;
    finds(&in, BLOCK, 2001, "numbing");
    in.numbing_min = 35;
    finds(&in, OK, 0, "");
}

static void interval(void **state)
{
    static const struct {
        bool deeper;
        uint32_t days;
    } rows[] = {{false, 28}, {true, 28}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct policy_input in = fine(ZONE_CHEEK, 500);

        for (uint32_t days = 0; days <= 30; days++) {
            *(rows[i].deeper ? &in.steps[0].days_since_deeper : &in.steps[0].days_since_surface) = days;
            in.steps[0].interval_override = false;
            finds(&in, days < rows[i].days ? BLOCK : OK, 2002, "CHEEK");
            in.steps[0].interval_override = true; /* not below a week */
            finds(&in, days < 7 ? BLOCK : days < rows[i].days ? WARN : OK, 2002, "CHEEK");
        }
    }
}

/* A later SURFACE session does not hide a deeper one, nor the other way round. */
static void interval_of_each_depth(void **state)
{
    struct policy_input in = fine(ZONE_CHEEK, 500);
    struct findings out;

    (void)state;
    policy.limits[POLICY_interval_surface] = 14; /* S1 */
    in.steps[0].days_since_surface = 20;
    in.steps[0].days_since_deeper = 25;
    finds(&in, BLOCK, 2002, "CHEEK");
    in.steps[0].days_since_deeper = 28;
    finds(&in, OK, 0, "");
    in.steps[0].days_since_surface = 10;
    finds(&in, BLOCK, 2002, "CHEEK");
    in.steps[0].days_since_deeper = in.steps[0].days_since_surface = 3; /* said once */
    assert_int_equal(worst(&in, &out), BLOCK);
    assert_int_equal(out.count, 1);
    for (int which = 0; which < 2; which++) { /* one of them is just at the floor: each says its own */
        in.steps[0].days_since_surface = which == 0 ? 7 : 3;
        in.steps[0].days_since_deeper = which == 0 ? 3 : 7;
        assert_int_equal(worst(&in, &out), BLOCK);
        assert_int_equal(out.count, 2);
    }
    policy.limits[POLICY_interval_deeper] = 730; /* as far back as a site asks */
    in.steps[0].days_since_surface = POLICY_NEVER;
    in.steps[0].days_since_deeper = 729;
    finds(&in, BLOCK, 2002, "CHEEK");
    in.steps[0].days_since_deeper = 730;
    finds(&in, OK, 0, "");
    assert_int_equal(policy_longest_d(&policy), 730);
    policy.limits[POLICY_interval_surface] = 731;
    assert_int_equal(policy_longest_d(&policy), 731);
    policy.limits[POLICY_interval_floor] = 732;
    assert_int_equal(policy_longest_d(&policy), 732);
}

/* Only the steps that there are count, and no more than there can be; a zone of a later version is in no answer's places. */
static void only_the_steps_of_the_plan_count(void **state)
{
    struct policy_input *in = malloc(sizeof(*in));
    struct findings out;

    (void)state;
    assert_non_null(in);
    *in = fine(ZONE_CHEEK, 500);
    in->answers[SCREEN_WOUND_OR_LESION] = (struct policy_answer){.answered = true, .yes = true, .zones = 1u << ZONE_CHIN};
    in->numbing_min = 31;
    in->steps[1] = (struct policy_step){.zone = ZONE_CHIN, .depth_um = 2000, .days_since_surface = 0, .days_since_deeper = 0};
    finds(in, OK, 0, "");
    in->steps[0].zone = (enum policy_zone)32;
    in->answers[SCREEN_WOUND_OR_LESION].zones = UINT32_MAX;
    worst(in, &out);
    for (size_t i = 0; i < out.count; i++)
        assert_string_not_equal(out.found[i].name, "WOUND_OR_LESION");
    for (size_t i = 0; i < POLICY_STEPS_MAX; i++)
        in->steps[i] = (struct policy_step){.zone = ZONE_CHEEK, .depth_um = 500, .days_since_surface = POLICY_NEVER, .days_since_deeper = POLICY_NEVER};
    in->answers[SCREEN_WOUND_OR_LESION].zones = 1u << ZONE_CHIN;
    in->step_count = 1000; /* nothing behind them is looked at */
    worst(in, &out);
    free(in);
}

/* Of two rows that decide the same, the longer one says until when. */
static void until_when_is_the_longer_time(void **state)
{
    struct policy_input in = fine(ZONE_CHEEK, 500);
    struct findings out;

    (void)state;
    policy.items[SCREEN_NSAID].hours[0] = 24;
    policy.items[SCREEN_NSAID].hours[1] = 72;
    policy.items[SCREEN_NSAID].decision[0] = policy.items[SCREEN_NSAID].decision[1] = DECISION_BLOCK;
    in.answers[SCREEN_NSAID].hours_ago = 5;
    assert_int_equal(worst(&in, &out), BLOCK);
    assert_int_equal(out.found[0].limit, 72);
}

static void numbing_lasts(void **state)
{
    struct policy_input in = fine(ZONE_CHEEK, 500);

    (void)state;
    for (uint32_t min = 239; min <= 241; min++) {
        in.numbing_min = min;
        in.numbing_waived = false;
        finds(&in, min > 240 ? BLOCK : OK, 2001, "numbing");
        in.numbing_waived = true;
        finds(&in, min > 240 ? WARN : OK, 2001, "numbing");
    }
}

static void answers_hold(void **state)
{
    struct policy_input in = fine(ZONE_CHEEK, 500);

    (void)state;
    for (in.said_min = 12 * 60 - 1; in.said_min <= 12 * 60 + 1; in.said_min++)
        finds(&in, in.said_min > 12 * 60 ? BLOCK : OK, 2005, "answers_hold");
}

static void depth_limit(void **state)
{
    (void)state;
    for (uint32_t depth_um = 1499; depth_um <= 1501; depth_um++) {
        struct policy_input in = fine(ZONE_BACK, depth_um);

        finds(&in, depth_um > 1500 ? BLOCK : OK, 2006, "depth_limit");
    }
}

static void depth_policy_limit(void **state)
{
    (void)state;
    policy.limits[POLICY_depth_limit] = 2500; /* a site's file that says more than it may */
    policy.cap_um[ZONE_BACK] = 2500;
    for (uint32_t depth_um = 1999; depth_um <= 2001; depth_um++) {
        struct policy_input in = fine(ZONE_BACK, depth_um);

        finds(&in, depth_um > 2000 ? BLOCK : OK, 2006, "depth_limit");
    }
}

static void a_plan_of_nothing_or_nowhere(void **state)
{
    struct policy_input in = fine(ZONE_CHEEK, 500);
    struct findings out;

    (void)state;
    in.step_count = 0;
    finds(&in, BLOCK, 2005, "plan");
    in.step_count = POLICY_STEPS_MAX + 1;
    assert_int_equal(worst(&in, &out), BLOCK);
    for (int z = -1; z < 40; z++) {
        in = fine((enum policy_zone)z, 500);
        if (z < 1 || z >= ZONE_END)
            finds(&in, BLOCK, 2003, "?");
    }
}

static void all_at_once_is_all_said(void **state)
{
    struct policy_input in = {.step_count = POLICY_STEPS_MAX, .numbing_min = POLICY_NEVER};
    struct findings out;

    (void)state;
    for (size_t i = 0; i < POLICY_STEPS_MAX; i++)
        in.steps[i] = (struct policy_step){.zone = ZONE_LIP_VERMILION, .depth_um = 2500};
    assert_int_equal(worst(&in, &out), BLOCK);
    assert_int_equal(out.count, 2 * POLICY_STEPS_MAX + SCREEN_ITEMS + 1);
}

/* ---- the rows that are only shown ---- */

static const struct text_row {
    const char *name;
    uint32_t a, b;
} text_rows[] = {
    /* sessions */
    {"FINE_LINES", 3, 4}, {"WRINKLES", 4, 8}, {"SCARS", 5, 6}, {"HAIR_LOSS", 0, 0}, {"HYPERHIDROSIS", 0, 0}, {"MAINTENANCE", 1, 1},
    /* hours after the session */
    {"WASH", 4, 0}, {"SUNSCREEN", 24, 0}, {"BOTOX_OR_FILLER", 24, 0}, {"MAKE_UP", 48, 0}, {"EXERCISE", 72, 0}, {"SUPPLEMENTS_AGAIN", 72, 0}, {"EXFOLIANT_AGAIN", 7 * 24, 0},
    {"RETINOID", 7 * 24, 0}, {"NSAID_AGAIN", 7 * 24, 0}, {"SUN", 14 * 24, 0},
    /* single figures that nothing above has */
    {"motor_notice", 45, 0}, {"depth_deep", 1000, 0}, {"depth_medium", 500, 0}, {"continuation", 12, 0}, {"numbing_floor", 30, 0}, {"numbing_at_least", 15, 0},
    /* and those that it has, by their names */
    {"numbing_per_mm", 20, 0}, {"numbing_at_most", 45, 0}, {"interval_floor", 7, 0}, {"interval_surface", 28, 0}, {"interval_deeper", 28, 0},
};

static const struct text_row all_rows[] = {
#define INDICATION(name, sessions_min, sessions_max, source, text) {#name, sessions_min, sessions_max},
#include "policy/indications.def"
#define AFTERCARE(name, hours, source, text) {#name, hours, 0},
#include "policy/aftercare.def"
#define LIMIT(name, value, unit, stricter, source, text) {#name, value, 0},
#include "policy/limits.def"
};

static void text(void **state)
{
    const struct text_row *row = *state;

    for (size_t i = 0; i < sizeof(all_rows) / sizeof(all_rows[0]); i++) {
        if (strcmp(all_rows[i].name, row->name) != 0)
            continue;
        assert_int_equal(all_rows[i].a, row->a);
        assert_int_equal(all_rows[i].b, row->b);
        return;
    }
    fail_msg("there is no row %s", row->name);
}

static void nothing_is_said_where_sources_contradict(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(all_rows) / sizeof(all_rows[0]); i++)
        assert_null(strstr(all_rows[i].name, "ICE")); /* S0 and S4 for it, S2 against it */
}

static void no_row_is_untested(void **state)
{
    (void)state;
    assert_int_equal(sizeof(zone_rows) / sizeof(zone_rows[0]), ZONE_END - 1);
    assert_int_equal(sizeof(item_rows) / sizeof(item_rows[0]), SCREEN_ITEMS);
    assert_int_equal(sizeof(all_rows) / sizeof(all_rows[0]), 6 + 10 + POLICY_LIMITS);
    assert_int_equal(POLICY_LIMITS, 15);
}

static int fresh(void **state)
{
    (void)state;
    policy_default(&policy);
    return 0;
}

static struct CMUnitTest tests[TESTS_MAX];
static size_t test_count;

static void add(const char *kind, const char *row, CMUnitTestFunction run, const void *state)
{
    char *name = malloc(80);

    if (name == NULL || test_count == TESTS_MAX)
        abort();
    snprintf(name, 80, "%s%s%s", kind, row != NULL ? "_" : "", row != NULL ? row : "");
    tests[test_count++] = (struct CMUnitTest){name, run, fresh, NULL, (void *)(uintptr_t)state};
}

int main(int argc, char **argv)
{
    int r;

    for (size_t i = 0; i < sizeof(zone_rows) / sizeof(zone_rows[0]); i++)
        add("zone", zone_rows[i].name, zone, &zone_rows[i]);
    for (size_t i = 0; i < sizeof(item_rows) / sizeof(item_rows[0]); i++)
        add("item", item_rows[i].name, item, &item_rows[i]);
    for (size_t i = 0; i < sizeof(text_rows) / sizeof(text_rows[0]); i++)
        add("row", text_rows[i].name, text, &text_rows[i]);
    add("numbing", NULL, numbing, NULL);
    add("numbing_is_for_the_deepest_zone", NULL, numbing_is_for_the_deepest_zone, NULL);
    add("interval", NULL, interval, NULL);
    add("interval_of_each_depth", NULL, interval_of_each_depth, NULL);
    add("only_the_steps_of_the_plan_count", NULL, only_the_steps_of_the_plan_count, NULL);
    add("until_when_is_the_longer_time", NULL, until_when_is_the_longer_time, NULL);
    add("numbing_lasts", NULL, numbing_lasts, NULL);
    add("answers_hold", NULL, answers_hold, NULL);
    add("depth_limit", NULL, depth_limit, NULL);
    add("depth_policy_limit", NULL, depth_policy_limit, NULL);
    add("a_plan_of_nothing_or_nowhere", NULL, a_plan_of_nothing_or_nowhere, NULL);
    add("all_at_once_is_all_said", NULL, all_at_once_is_all_said, NULL);
    add("nothing_is_said_where_sources_contradict", NULL, nothing_is_said_where_sources_contradict, NULL);
    add("no_row_is_untested", NULL, no_row_is_untested, NULL);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    r = _cmocka_run_group_tests("policy", tests, test_count, NULL, NULL);
    for (size_t i = 0; i < test_count; i++)
        free((char *)(uintptr_t)tests[i].name);
    return r;
}
