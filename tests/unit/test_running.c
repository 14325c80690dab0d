/* While the needles move: every fault, every sensor that lies, and what was frozen at ARM. */
#include "treated.h"

enum answer {
    STOPS,    /* within the time, with the fault as the run's reason */
    IS_FLAGGED, /* within the time; the run goes on */
    IS_RESET, /* by its watchdog */
    NOTHING,  /* it is not looked at while the needles run */
};

static const struct {
    unsigned code;
    enum answer answer;
    uint32_t limit_ms;
    const char *cause; /* NULL: inject CODE */
} faults[] = {
    {1101, STOPS, 120, NULL},
    {1102, STOPS, 10, NULL},
    {1103, IS_FLAGGED, 700, NULL},        /* and it stops a second later: test_faults */
    {1104, STOPS, 250, NULL},
    {1105, NOTHING, 0, NULL},             /* the motor is driven: motion is commanded */
    {1106, NOTHING, 0, NULL},             /* it is about stopping */
    {1107, STOPS, 60, NULL},
    {1201, STOPS, 60, NULL},
    {1202, IS_FLAGGED, 1100, NULL},
    {1203, NOTHING, 0, NULL},             /* home is looked for in a self-test, which needs a pen at rest */
    {1301, STOPS, 30, NULL},              /* as 1305: */
    {1302, STOPS, 80, NULL},
    {1303, STOPS, 30, NULL},              /* another cartridge, as 1305 */
    {1304, STOPS, 30, NULL},
    {1305, STOPS, 30, NULL},
    {1306, STOPS, 30, NULL},
    {1401, IS_FLAGGED, 5, NULL},
    {1402, STOPS, 120, NULL},
    {1403, STOPS, 5, NULL},
    {1501, STOPS, 5, NULL},               /* 85 degC; 70 to 80 only derates: test_faults */
    {1601, STOPS, 5, NULL},
    {1602, STOPS, 5, NULL},
    {1701, STOPS, 1010, NULL},
    {1702, STOPS, 1010, NULL},
    {1704, STOPS, 5, NULL},
    {1705, STOPS, 5, NULL},
    {1801, NOTHING, 0, NULL},             /* held for 120 s: below */
    {1802, IS_RESET, 5, NULL},
};

static void check(const char *what, enum answer answer, unsigned code, uint32_t limit_ms, void (*lie)(struct pen_sensors *s))
{
    uint32_t ms = 0, still = 0;
    bool flagged = false;

    while (ms < (answer == NOTHING ? 3000 : limit_ms) && (rig.v.pen.state == mnp_State_STATE_RUNNING || answer == IS_FLAGGED) && rig.v.pen.boot_id == boot_id &&
           !(answer == IS_FLAGGED && flagged)) {
        if (lie != NULL)
            rig_step(&rig, lie);
        else
            rig_run(&rig, 1);
        flagged = code != 0 && rig_has_fault(&rig, code);
        ms++;
    }
    print_message("%-44s after %4u ms: state %d, faults %08x\n", what, ms, rig.v.pen.state, rig.v.pen.faults.word);
    if (answer == NOTHING || answer == IS_FLAGGED) {
        assert_int_equal(rig.v.pen.state, mnp_State_STATE_RUNNING);
        assert_true(flagged == (answer == IS_FLAGGED));
        return;
    }
    if (answer == IS_RESET) {
        assert_int_not_equal(rig.v.pen.boot_id, boot_id);
        assert_int_equal(last_run().end, mnp_EndReason_END_POWER);
        return;
    }
    assert_int_not_equal(rig.v.pen.state, mnp_State_STATE_RUNNING);
    assert_false(rig.v.actuators.enable || rig.v.actuators.power);
    while (rig.v.model.rate_hz > 0 && still++ < 400)
        rig_step(&rig, lie);
    assert_in_range(still, 0, 60);
    for (int i = 0; i < 200; i++)
        rig_step(&rig, lie);
    assert_int_equal(last_run().end, mnp_EndReason_END_FAULT);
    assert_int_equal(last_run().fault_code, code);
}

static void every_fault_while_running(void **state)
{
    static const unsigned as_removed[] = {1301, 1303, 1304, 1306};

    (void)state;
    assert_int_equal(sizeof(faults) / sizeof(faults[0]), FAULT_COUNT);
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        char line[32];
        unsigned code = faults[i].code;

        assert_int_equal(code, fault_rows[i].code);
        start(500);
        snprintf(line, sizeof(line), "inject %u", code);
        rig_say(&rig, line);
        for (size_t k = 0; k < sizeof(as_removed) / sizeof(as_removed[0]); k++) /* another tag, or none: the one that was armed is gone */
            code = as_removed[k] == faults[i].code ? 1305 : code;
        check(line, faults[i].answer, code, faults[i].limit_ms, NULL);
        rig_stop(&rig);
    }
}

static void a_trigger_that_is_held_for_two_minutes_stops(void **state)
{
    (void)state;
    start(500);
    rig_run(&rig, 117000);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_RUNNING);
    check("1801 TRIGGER_STUCK", STOPS, 1801, 2000, NULL);
    rig_stop(&rig);
}

static void rate_says_nothing(struct pen_sensors *s) { s->rate_dhz = 0; }
static void rate_says_double(struct pen_sensors *s) { s->rate_dhz *= 2; }
static void edges_are_lost(struct pen_sensors *s) { s->encoder_edges = false; }
static void strokes_are_lost(struct pen_sensors *s) { s->stroke_done = false; }
static void depth_says_less(struct pen_sensors *s) { s->stroke_peak_um = 0; }
static void depth_says_more(struct pen_sensors *s) { s->stroke_peak_um += 150; }
static void current_says_nothing(struct pen_sensors *s) { s->motor_current_ma = 0; }
static void current_says_much(struct pen_sensors *s) { s->motor_current_ma = 2000; }
static void motor_temperature_is_torn_off(struct pen_sensors *s) { s->motor_temp_dc = -2730; }
static void motor_temperature_is_shorted(struct pen_sensors *s) { s->motor_temp_dc = 3000; }
static void battery_temperature_is_torn_off(struct pen_sensors *s) { s->battery_temp_dc = -2730; }
static void battery_temperature_is_shorted(struct pen_sensors *s) { s->battery_temp_dc = 3000; }
static void battery_says_nothing(struct pen_sensors *s) { s->battery_mv = 0; }
static void battery_says_too_much(struct pen_sensors *s) { s->battery_mv = 5000; }
static void charge_says_nothing(struct pen_sensors *s) { s->battery_soc_pct = 0; }
static void trigger_says_released(struct pen_sensors *s) { s->trigger = false; }
static void tag_says_nothing(struct pen_sensors *s) { s->tag.readable = false; }
static void tag_is_gone(struct pen_sensors *s) { s->tag.present = false; }
static void tag_is_another(struct pen_sensors *s) { s->tag.uid ^= 0x100; }
static void tag_says_deeper(struct pen_sensors *s) { s->tag.max_depth_um = 3000; }
static void tag_says_no_needles(struct pen_sensors *s) { s->tag.needle_count = 0; }
static void image_is_damaged(struct pen_sensors *s) { s->image_ok = false; }
static void hardware_is_damaged(struct pen_sensors *s) { s->hardware_ok = false; }
static void home_is_seen(struct pen_sensors *s) { s->home_seen = true; }
static void rails_say_nothing(struct pen_sensors *s) { s->motor_rail_mv = s->logic_rail_mv = s->vbus_mv = 0; }
static void grip_says_hot(struct pen_sensors *s) { s->grip_temp_dc = 900; }
static void counters_say_much(struct pen_sensors *s) { s->battery_cycles = INT32_MAX; s->battery_ma = INT32_MIN; }

static const struct {
    const char *what;
    void (*lie)(struct pen_sensors *s);
    enum answer answer;
    unsigned code;
    uint32_t limit_ms;
} lies[] = {
    {"rate 0, with edges", rate_says_nothing, STOPS, 1107, 60},
    {"rate twice what it is", rate_says_double, NOTHING, 0, 0}, /* it is regulated to half the rate: slower, and no deeper */
    {"no edges", edges_are_lost, STOPS, 1107, 60},
    {"no strokes", strokes_are_lost, IS_FLAGGED, 1202, 1100},
    {"depth 0", depth_says_less, IS_FLAGGED, 1202, 1100},
    {"depth 150 um more", depth_says_more, STOPS, 1201, 60},
    {"current 0", current_says_nothing, NOTHING, 0, 0}, /* a stall shows by its edges then: below */
    {"current 2 A", current_says_much, STOPS, 1102, 10},
    {"motor temperature torn off", motor_temperature_is_torn_off, STOPS, 1501, 5},
    {"motor temperature shorted", motor_temperature_is_shorted, STOPS, 1501, 5},
    {"battery temperature torn off", battery_temperature_is_torn_off, STOPS, 1403, 5},
    {"battery temperature shorted", battery_temperature_is_shorted, STOPS, 1403, 5},
    {"battery 0 V", battery_says_nothing, STOPS, 1403, 5},
    {"battery 5 V", battery_says_too_much, STOPS, 1403, 5},
    {"charge 0 %", charge_says_nothing, STOPS, 1402, 120},
    {"tag unreadable", tag_says_nothing, STOPS, 1302, 80},
    {"no tag", tag_is_gone, STOPS, 1305, 5},
    {"another tag", tag_is_another, STOPS, 1305, 5},
    {"the same tag, deeper", tag_says_deeper, STOPS, 1302, 80},
    {"the same tag, no needles", tag_says_no_needles, STOPS, 1302, 80},
    {"image", image_is_damaged, STOPS, 1704, 5},
    {"hardware", hardware_is_damaged, STOPS, 1705, 5},
    {"home switch", home_is_seen, NOTHING, 0, 0},            /* looked at while homing */
    {"supply rails 0", rails_say_nothing, NOTHING, 0, 0},    /* telemetry only: a rail that is really gone stops the motor or the processor */
    {"grip 90 degC", grip_says_hot, NOTHING, 0, 0},          /* telemetry only: what could heat it is bounded by 1501 and 1403 */
    {"battery's counters", counters_say_much, NOTHING, 0, 0},
};

static void every_sensor_that_lies_while_running(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        start(500);
        check(lies[i].what, lies[i].answer, lies[i].code, lies[i].limit_ms, lies[i].lie);
        rig_stop(&rig);
    }
}

static void a_trigger_that_lets_go_stops_however_short(void **state)
{
    (void)state;
    start(500);
    rig_step(&rig, trigger_says_released);
    assert_int_not_equal(rig.v.pen.state, mnp_State_STATE_RUNNING);
    rig_run(&rig, 500); /* the finger is on it all the time */
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_SAFE);
    assert_int_equal(last_run().end, mnp_EndReason_END_TRIGGER);
    rig_stop(&rig);
}

static void stalls_with_a_dead_current_sensor(struct pen_sensors *s)
{
    s->motor_current_ma = 0;
}

static void a_stall_shows_without_current(void **state)
{
    (void)state;
    start(500);
    rig_say(&rig, "load 2000");
    check("a stall, and current 0", STOPS, 1107, 300, stalls_with_a_dead_current_sensor);
    rig_stop(&rig);
}

/* A calibration whose mechanism goes 300 um deeper than the drive is told. */
static void calibrated_start(uint32_t depth_um)
{
    const struct calibration c = {.version = 2, .depth_gain_ppm = 1000000, .depth_offset_um = 300, .rate_gain_ppm = 1000000};

    rig_start(&rig);
    rig.v.model.depth_offset_um = 300;
    assert_true(nvm_blob_write(&rig.v.port, NVM_CALIBRATION, &c, sizeof(c)));
    rig_run(&rig, 1100);
    rig_set(&rig, SETTING_depth_um, depth_um);
    rig_arm(&rig);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 600);
}

static void a_calibration_that_is_lost_never_deepens_a_stroke(void **state)
{
    int32_t deepest = 0;

    (void)state;
    calibrated_start(500);
    assert_in_range(rig.v.model.peak_um, 480, 520);
    rig_say(&rig, "inject 1701");
    for (int ms = 0; ms < 2500; ms++) {
        rig_run(&rig, 1);
        deepest = rig.v.model.peak_um > deepest ? rig.v.model.peak_um : deepest;
    }
    print_message("set 500 um; deepest stroke after the calibration was lost: %d um\n", deepest);
    assert_true(deepest <= 520);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_SAFE);
    assert_int_equal(last_run().fault_code, 1701);
    rig_stop(&rig);
}

static void a_configuration_that_is_damaged_never_changes_a_run(void **state)
{
    int32_t deepest = 0;

    (void)state;
    start(200);
    rig_say(&rig, "inject 1702");
    for (int ms = 0; ms < 3000; ms++) {
        rig_run(&rig, 1);
        deepest = rig.v.model.peak_um > deepest ? rig.v.model.peak_um : deepest;
    }
    assert_true(deepest <= 220);
    assert_int_equal(last_run().fault_code, 1702);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_SAFE);
    assert_int_equal(rig.v.pen.settings.value[SETTING_depth_um], setting_ranges[SETTING_depth_um].default_value); /* only now */
    assert_true(rig_has_fault(&rig, 1702));
    rig_stop(&rig);
}

/* As a bug, or a ray, would change them: no message can. */
static void whatever_changes_by_itself_ends_what_was_armed(void **state)
{
    static const mnp_State states[] = {mnp_State_STATE_ARMED, mnp_State_STATE_RUNNING};

    (void)state;
    for (size_t s = 0; s < 2; s++) {
        for (int what = 0; what < 6; what++) {
            start(500);
            if (states[s] == mnp_State_STATE_ARMED) {
                rig_say(&rig, "trigger release");
                rig_until_state(&rig, mnp_State_STATE_SAFE, 100);
                rig_run(&rig, 20);
                rig_arm(&rig);
            }
            switch (what) {
            case 0:
                rig.v.pen.settings.value[SETTING_depth_um] = 1000;
                break;
            case 1:
                rig.v.pen.settings.value[SETTING_stroke_rate_dhz] = 1500;
                break;
            case 2:
                rig.v.pen.factory.calibration.depth_offset_um = 77;
                break;
            case 3:
                rig.v.pen.settings.generation++;
                break;
            case 4:
                rig.v.pen.cartridge.state = mnp_CartridgeState_CARTRIDGE_USED;
                break;
            default:
                rig.v.pen.cartridge.tag.uid++;
                break;
            }
            rig_run(&rig, 2);
            assert_true(rig.v.pen.state != states[s]);
            rig_run(&rig, 200);
            assert_int_not_equal(rig.v.pen.state, mnp_State_STATE_RUNNING);
            rig_stop(&rig);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_while_running),
        cmocka_unit_test(a_trigger_that_is_held_for_two_minutes_stops),
        cmocka_unit_test(every_sensor_that_lies_while_running),
        cmocka_unit_test(a_trigger_that_lets_go_stops_however_short),
        cmocka_unit_test(a_stall_shows_without_current),
        cmocka_unit_test(a_calibration_that_is_lost_never_deepens_a_stroke),
        cmocka_unit_test(a_configuration_that_is_damaged_never_changes_a_run),
        cmocka_unit_test(whatever_changes_by_itself_ends_what_was_armed),
    };

    return cmocka_run_group_tests_name("running", tests, NULL, NULL);
}
