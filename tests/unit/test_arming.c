/* What ARM and the trigger need, and what is written before the needles move. */
#include "treated.h"

static void a_cartridge_that_is_swapped_disarms(void **state)
{
    (void)state;
    rig_start(&rig);
    rig_arm(&rig);
    rig_say(&rig, "cartridge insert uid=77"); /* at once, as a reader may see it */
    rig_run(&rig, 40);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_SAFE);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 300);
    assert_int_equal(rig.v.pen.run.strokes, 0);
    rig_stop(&rig);
}

static mnp_ErrorCode try_arm(uint32_t zone, uint64_t cartridge_uid)
{
    mnp_Arm arm = rig_arming(&rig, zone, 7);
    mnp_ErrorCode code;

    arm.cartridge_uid = cartridge_uid != 0 ? cartridge_uid : arm.cartridge_uid;
    code = rig_error(rig_call(&rig, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &arm));
    if (code == mnp_ErrorCode_ERROR_UNSPECIFIED)
        rig_call(&rig, mnp_FrameType_TYPE_STOP, NULL, NULL);
    return code;
}

static void a_zone_is_armed_to_its_cap_and_not_a_step_deeper(void **state)
{
    static const struct {
        uint32_t number, cap_um;
    } zones[] = {
#define ZONE(number, name, cap_um, bony, source) {number, cap_um},
#include "policy/zones.def"
    };

    (void)state;
    rig_start(&rig);
    rig_say(&rig, "cartridge insert uid=1a max_depth_um=2500");
    rig_run(&rig, 50);
    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        if (zones[i].cap_um == 0)
            continue;
        rig_set(&rig, SETTING_depth_um, zones[i].cap_um);
        assert_int_equal(try_arm(zones[i].number, 0), mnp_ErrorCode_ERROR_UNSPECIFIED);
        rig_set(&rig, SETTING_depth_um, zones[i].cap_um + setting_ranges[SETTING_depth_um].step);
        assert_int_equal(try_arm(zones[i].number, 0), mnp_ErrorCode_ERROR_OUT_OF_RANGE);
    }
    rig_stop(&rig);
}

static void only_the_cartridge_that_the_host_has_named_is_armed(void **state)
{
    mnp_Arm arm;

    (void)state;
    rig_start(&rig);
    assert_int_equal(try_arm(8, 0x77), mnp_ErrorCode_ERROR_CONFLICT);
    arm = rig_arming(&rig, 8, 7);
    arm.has_cartridge_uid = false;
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &arm)), mnp_ErrorCode_ERROR_MALFORMED);
    assert_int_equal(try_arm(8, 0), mnp_ErrorCode_ERROR_UNSPECIFIED);
    rig_stop(&rig);
}

static void a_tag_without_needles_uid_or_depth_is_none(void **state)
{
    static const char *const tags[] = {"needles=0", "max_depth_um=0", "uid=0"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char line[64];

        rig_start(&rig);
        snprintf(line, sizeof(line), "cartridge insert %s", tags[i]);
        rig_say(&rig, line);
        rig_run(&rig, 100);
        assert_int_equal(rig.v.pen.cartridge.state, mnp_CartridgeState_CARTRIDGE_REJECTED);
        assert_int_equal(try_arm(8, 0), mnp_ErrorCode_ERROR_FAULT);
        rig_stop(&rig);
    }
}

static void a_trigger_that_bounces_starts_nothing(void **state)
{
    (void)state;
    rig_start(&rig);
    rig_arm(&rig);
    for (int i = 0; i < 50; i++) { /* pressed for 9 ms, and again */
        rig_say(&rig, "trigger press");
        rig_run(&rig, TRIGGER_BOUNCE_MS - 1);
        rig_say(&rig, "trigger release");
        rig_run(&rig, 1);
    }
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_ARMED);
    rig_say(&rig, "trigger press");
    rig_run(&rig, TRIGGER_BOUNCE_MS);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_RUNNING);
    rig_stop(&rig);
}

static void a_trigger_that_lets_go_for_a_moment_cannot_be_armed(void **state)
{
    (void)state;
    rig_start(&rig);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 500);
    rig_say(&rig, "trigger release");
    rig_run(&rig, 1);
    assert_int_equal(try_arm(8, 0), mnp_ErrorCode_ERROR_STATE);
    rig_run(&rig, TRIGGER_BOUNCE_MS);
    assert_int_equal(try_arm(8, 0), mnp_ErrorCode_ERROR_UNSPECIFIED);
    rig_stop(&rig);
}

static void a_run_whose_power_goes_is_in_the_pen_s_records(void **state)
{
    mnp_RunRecord run;
    uint32_t newest;

    (void)state;
    start(500);
    vpen_power_cycle(&rig.v, mnp_ResetCause_RESET_POWER_ON);
    rig_say(&rig, "trigger release");
    rig_run(&rig, 700);
    run = last_run();
    assert_int_equal(run.end, mnp_EndReason_END_POWER);
    assert_false(run.has_strokes || run.has_duration_ms || run.has_depth_peak_um);
    assert_int_equal(run.zone, 8);
    assert_int_equal(run.treatment, 1);
    assert_int_equal(run.cartridge_uid, 0x1a);
    assert_int_equal(run.cartridge_lot, 2611);
    rig_hello(&rig);
    assert_int_equal(try_arm(8, 0), mnp_ErrorCode_ERROR_FAULT); /* its cartridge was used, although nobody has seen a stroke of it */
    rig_until_fault(&rig, 1303, 100);
    newest = rig.v.pen.records.newest;
    vpen_power_cycle(&rig.v, mnp_ResetCause_RESET_POWER_ON);
    assert_int_equal(rig.v.pen.records.newest, newest + 1); /* the boot, and no second end of the run */
    rig_stop(&rig);
}

/* In each write to the memory from the press on: either nothing has moved, or the records say that something has. */
static void power_that_goes_in_any_write_leaves_no_run_unrecorded(void **state)
{
    uint32_t runs = 0, begun = 0;

    (void)state;
    for (uint32_t write = 1; write <= 8; write++) {
        for (uint32_t bytes = 0; bytes <= 96; bytes += 16) {
            char line[48];
            bool moved;
            mnp_Record r = mnp_Record_init_zero;

            rig_start(&rig);
            rig_arm(&rig);
            snprintf(line, sizeof(line), "power-cut %u %u", write, bytes);
            rig_say(&rig, line);
            rig_say(&rig, "trigger press");
            rig_run(&rig, 600);
            rig_say(&rig, "trigger release");
            rig_run(&rig, 300);
            moved = rig.v.moved_ms != 0;
            if (records_newest_run(&rig.v.port, &rig.v.pen.records, &r))
                begun++;
            assert_true(!moved || r.kind == mnp_RecordKind_RECORD_RUN);
            runs += moved;
            rig_stop(&rig);
        }
    }
    print_message("%u cuts: the needles had moved in %u, and %u are in the records\n", 8 * 7, runs, begun);
    assert_true(runs > 0 && begun >= runs);
}

static void a_memory_that_cannot_record_a_run_starts_none(void **state)
{
    (void)state;
    rig_start(&rig);
    rig_arm(&rig);
    rig.v.nvm_broken = true;
    rig_say(&rig, "trigger press");
    rig_run(&rig, 300);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_SAFE);
    assert_int_equal(rig.v.moved_ms, 0);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cartridge_that_is_swapped_disarms),
        cmocka_unit_test(a_zone_is_armed_to_its_cap_and_not_a_step_deeper),
        cmocka_unit_test(only_the_cartridge_that_the_host_has_named_is_armed),
        cmocka_unit_test(a_tag_without_needles_uid_or_depth_is_none),
        cmocka_unit_test(a_trigger_that_bounces_starts_nothing),
        cmocka_unit_test(a_trigger_that_lets_go_for_a_moment_cannot_be_armed),
        cmocka_unit_test(a_run_whose_power_goes_is_in_the_pen_s_records),
        cmocka_unit_test(power_that_goes_in_any_write_leaves_no_run_unrecorded),
        cmocka_unit_test(a_memory_that_cannot_record_a_run_starts_none),
    };

    return cmocka_run_group_tests_name("arming", tests, NULL, NULL);
}
