/*
 * All 28 faults: each is provoked through its cause in the model, must be raised with its code, must do at once what its row
 * says, and must go as its kind says. The scenarios are the table below; a fault without a row fails the first test.
 */
#include "rig.h"

#include <stdio.h>
#include <string.h>

enum when { AT_REST, RUNNING, AT_BOOT, AT_SELFTEST };

struct scenario {
    unsigned code;
    enum when when;
    uint32_t limit_ms; /* from cause to fault */
    const char *cause; /* a line of the simulation; NULL: inject CODE */
    const char *cure;  /* NULL: clear CODE */
    mnp_State after;   /* while the cause is there */
};

static const struct scenario scenarios[] = {
    {1101, RUNNING, 150, NULL, NULL, mnp_State_STATE_FAULT},
    {1102, RUNNING, 10, NULL, NULL, mnp_State_STATE_FAULT},
    {1103, RUNNING, 700, NULL, NULL, mnp_State_STATE_RUNNING}, /* a flag first; it stops 1 s later */
    {1104, RUNNING, 250, NULL, NULL, mnp_State_STATE_FAULT},
    {1105, AT_REST, 250, NULL, NULL, mnp_State_STATE_FAULT},
    {1106, RUNNING, 400, NULL, NULL, mnp_State_STATE_FAULT}, /* with the trigger released, below */
    {1107, RUNNING, 100, NULL, NULL, mnp_State_STATE_FAULT},
    {1201, RUNNING, 60, NULL, NULL, mnp_State_STATE_FAULT},
    {1202, RUNNING, 1100, NULL, NULL, mnp_State_STATE_RUNNING},
    {1203, AT_SELFTEST, 600, NULL, NULL, mnp_State_STATE_SAFE},
    {1301, AT_REST, 50, "cartridge remove", "cartridge insert", mnp_State_STATE_SAFE},
    {1302, AT_REST, 100, NULL, NULL, mnp_State_STATE_SAFE},
    {1303, AT_REST, 50, NULL, NULL, mnp_State_STATE_SAFE},
    {1304, AT_REST, 50, NULL, NULL, mnp_State_STATE_SAFE},
    {1305, RUNNING, 50, "cartridge remove", "cartridge insert", mnp_State_STATE_FAULT},
    {1306, AT_REST, 50, NULL, NULL, mnp_State_STATE_SAFE},
    {1401, AT_REST, 5, NULL, NULL, mnp_State_STATE_SAFE},
    {1402, AT_REST, 150, NULL, NULL, mnp_State_STATE_FAULT},
    {1403, AT_REST, 5, NULL, NULL, mnp_State_STATE_FAULT},
    {1501, RUNNING, 5, NULL, NULL, mnp_State_STATE_FAULT},
    {1601, AT_REST, 5, NULL, "truth", mnp_State_STATE_FAULT},
    {1602, AT_REST, 5, NULL, "truth", mnp_State_STATE_SAFE},
    {1701, AT_REST, 1100, NULL, NULL, mnp_State_STATE_SAFE},
    {1702, AT_REST, 1100, NULL, "truth", mnp_State_STATE_SAFE},
    {1704, AT_BOOT, 600, NULL, NULL, mnp_State_STATE_DFU},
    {1705, AT_BOOT, 600, NULL, NULL, mnp_State_STATE_SAFE},
    {1801, AT_BOOT, 600, NULL, NULL, mnp_State_STATE_FAULT},
    {1802, AT_REST, 600, NULL, "truth", mnp_State_STATE_SAFE},
};

static struct rig rig;

static void every_fault_has_a_scenario(void **state)
{
    (void)state;
    assert_int_equal(sizeof(scenarios) / sizeof(scenarios[0]), FAULT_COUNT);
    for (int i = 0; i < FAULT_COUNT; i++)
        assert_int_equal(scenarios[i].code, fault_rows[i].code);
}

static void say(const char *line, const char *verb, unsigned code)
{
    char text[64];

    snprintf(text, sizeof(text), "%s %u", verb, code);
    rig_say(&rig, line != NULL ? line : text);
}

static uint32_t provoke(const struct scenario *s)
{
    switch (s->when) {
    case RUNNING:
        rig_arm(&rig);
        rig_say(&rig, "trigger press");
        rig_run(&rig, 1500);
        assert_int_equal(rig.v.pen.state, mnp_State_STATE_RUNNING);
        assert_int_equal(rig.v.pen.faults.word, 0);
        break;
    case AT_SELFTEST:
        say(s->cause, "inject", s->code);
        rig_call(&rig, mnp_FrameType_TYPE_SELF_TEST, NULL, NULL);
        return rig_until_fault(&rig, s->code, s->limit_ms);
    case AT_BOOT:
        say(s->cause, "inject", s->code);
        vpen_power_cycle(&rig.v, mnp_ResetCause_RESET_POWER_ON);
        return rig_until_fault(&rig, s->code, s->limit_ms);
    case AT_REST:
        break;
    }
    say(s->cause, "inject", s->code);
    if (s->code == 1106)
        rig_say(&rig, "trigger release");
    return rig_until_fault(&rig, s->code, s->limit_ms);
}

static void check_effect(const struct scenario *s, uint32_t fault_ms)
{
    enum fault_bit bit = (enum fault_bit)(s - scenarios);
    uint16_t code;

    if (s->when == RUNNING && s->after == mnp_State_STATE_FAULT && s->code != 1106) {
        uint32_t ms = 0;

        while (rig.v.model.rate_hz > 0 && ms < 200) {
            rig_run(&rig, 1);
            ms++;
        }
        print_message("%u: raised after %u ms, standing %u ms later\n", s->code, fault_ms, ms);
        assert_in_range(ms, 0, 60);
    }
    rig_run(&rig, 700);
    assert_int_equal(rig.v.pen.state, s->after);
    assert_true(rig_has_fault(&rig, s->code) || fault_rows[bit].code == 1602);
    if (fault_rows[bit].effect != EFFECT_FLAG && s->after != mnp_State_STATE_RUNNING && s->code != 1602)
        assert_int_not_equal(pen_arm(&rig.v.pen, &(struct pen_arming){.generation = rig.v.pen.settings.generation, .zone = 8, .treatment = 1}, &code), PEN_ARM_OK);
}

static void check_kind(const struct scenario *s)
{
    const struct fault_row *row = &fault_rows[s - scenarios];
    uint32_t mask = fault_mask_of_code(s->code);

    rig_say(&rig, "trigger release");
    rig_run(&rig, 100);
    if (row->kind != KIND_SELF && strcmp(s->cure != NULL ? s->cure : "", "truth") != 0) {
        pen_clear_faults(&rig.v.pen, mask, true);
        rig_run(&rig, 600);
        if (s->when == AT_REST || s->when == AT_BOOT) /* the cause is still there: CLEAR does not help */
            assert_true(rig_has_fault(&rig, s->code));
    }
    say(s->cure, "clear", s->code);
    if (s->when == AT_BOOT && s->code != 1801)
        vpen_power_cycle(&rig.v, mnp_ResetCause_RESET_POWER_ON);
    rig_run(&rig, 2100);
    rig_hello(&rig);
    if (s->when == AT_SELFTEST)
        rig_call(&rig, mnp_FrameType_TYPE_SELF_TEST, NULL, NULL);
    if (row->kind == KIND_SELF) {
        assert_false(rig_has_fault(&rig, s->code));
        return;
    }
    if (row->kind == KIND_SERVICE && s->when == AT_REST) {
        pen_clear_faults(&rig.v.pen, mask, false);
        assert_true(rig_has_fault(&rig, s->code));
    }
    pen_clear_faults(&rig.v.pen, UINT32_MAX, row->kind == KIND_SERVICE);
    rig_run(&rig, 100);
    assert_false(rig_has_fault(&rig, s->code));
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_SAFE);
}

static void each_fault_comes_acts_and_goes_as_its_row_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        const struct scenario *s = &scenarios[i];

        print_message("fault %u\n", s->code);
        rig_start(&rig);
        check_effect(s, provoke(s));
        check_kind(s);
        rig_stop(&rig);
    }
}

static void a_low_rate_stops_the_pen_after_a_second_and_then_latches(void **state)
{
    uint16_t code;

    (void)state;
    rig_start(&rig);
    rig_arm(&rig);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 1500);
    rig_say(&rig, "inject 1103");
    rig_until_fault(&rig, 1103, 700);
    assert_in_range(rig_until_state(&rig, mnp_State_STATE_FAULT, 1300), 950, 1200);
    rig_say(&rig, "clear 1103");
    rig_say(&rig, "trigger release");
    rig_run(&rig, 500);
    assert_true(rig_has_fault(&rig, 1103));
    assert_int_equal(pen_arm(&rig.v.pen, &(struct pen_arming){.generation = rig.v.pen.settings.generation, .zone = 8, .treatment = 1}, &code), PEN_ARM_FAULT);
    assert_int_equal(code, 1103);
    pen_clear_faults(&rig.v.pen, UINT32_MAX, false);
    assert_false(rig_has_fault(&rig, 1103));
    rig_stop(&rig);
}

static void a_cause_raises_its_fault_once_and_records_it_once(void **state)
{
    uint32_t before;

    (void)state;
    rig_start(&rig);
    before = rig.v.pen.records.newest;
    rig_say(&rig, "inject 1401");
    rig_run(&rig, 5000);
    assert_int_equal(rig.v.pen.records.newest, before + 1);
    rig_say(&rig, "clear 1401");
    rig_run(&rig, 5000);
    assert_int_equal(rig.v.pen.records.newest, before + 2);
    rig_stop(&rig);
}

static void a_trigger_held_for_120_s_is_stuck(void **state)
{
    (void)state;
    rig_start(&rig);
    rig_set(&rig, SETTING_stroke_rate_dhz, 600);
    rig_arm(&rig);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 119900);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_RUNNING);
    rig_until_fault(&rig, 1801, 200);
    rig_until_state(&rig, mnp_State_STATE_FAULT, 100);
    rig_stop(&rig);
}

static void codes_and_bits_belong_together(void **state)
{
    (void)state;
    for (int i = 0; i < FAULT_COUNT; i++) {
        assert_int_equal(fault_mask_of_code(fault_rows[i].code), UINT32_C(1) << i);
        assert_int_equal(fault_first_code(UINT32_MAX << i), fault_rows[i].code);
    }
    assert_int_equal(fault_mask_of_code(9999), 0);
    assert_int_equal(fault_first_code(0), 0);
}

static void a_fault_that_stopped_and_was_cleared_is_a_new_one(void **state)
{
    static const uint32_t rate = FAULT_MASK(STROKE_RATE_LOW);
    struct faults f = {0};
    uint32_t raised, cleared;

    (void)state;
    faults_update(&f, rate, &raised, &cleared);
    assert_int_equal(raised, rate);
    f.escalated |= rate;
    faults_update(&f, 0, &raised, &cleared);
    assert_int_equal(cleared, 0);
    assert_int_equal(faults_clear(&f, rate, false), rate);
    faults_update(&f, rate, &raised, &cleared);
    assert_int_equal(raised, rate);
    faults_update(&f, 0, &raised, &cleared);
    assert_int_equal(cleared, rate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_and_bits_belong_together),
        cmocka_unit_test(a_fault_that_stopped_and_was_cleared_is_a_new_one),
        cmocka_unit_test(every_fault_has_a_scenario),
        cmocka_unit_test(each_fault_comes_acts_and_goes_as_its_row_says),
        cmocka_unit_test(a_low_rate_stops_the_pen_after_a_second_and_then_latches),
        cmocka_unit_test(a_cause_raises_its_fault_once_and_records_it_once),
        cmocka_unit_test(a_trigger_held_for_120_s_is_stuck),
    };

    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
