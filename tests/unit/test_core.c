/* The firmware: its memory, arming, running and stopping, telemetry, self-tests. */
#include "core_words.h"

static void a_pen_boots_to_safe_without_a_stroke(void **state)
{
    (void)state;
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_SAFE);
    assert_int_equal(rig.v.pen.faults.word, 0);
    rig_run(&rig, 3000);
    assert_int_equal(rig.v.pen.run.strokes, 0);
    assert_true(rig.statuses >= 4);
}

static void a_memory_that_fails_changes_nothing_and_says_so(void **state)
{
    mnp_ConfigSet set = {.has_config = true, .config = {.has_depth_um = true, .depth_um = 1000}};
    struct settings before = rig.v.pen.settings;

    (void)state;
    rig.v.nvm_broken = true;
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_CONFIG_SET, mnp_ConfigSet_fields, &set)), mnp_ErrorCode_ERROR_STORAGE);
    assert_memory_equal(&rig.v.pen.settings, &before, sizeof(before));
}

static void configuration_and_records_outlive_power(void **state)
{
    uint32_t newest;

    (void)state;
    rig_set(&rig, SETTING_depth_um, 1250);
    newest = rig.v.pen.records.newest;
    vpen_power_cycle(&rig.v, mnp_ResetCause_RESET_POWER_ON);
    rig_run(&rig, 600);
    rig_hello(&rig);
    assert_int_equal(rig_config(&rig).config.depth_um, 1250);
    assert_int_equal(rig_config(&rig).generation, 1);
    assert_int_equal(rig.v.pen.records.newest, newest + 1); /* and the new boot */
    assert_int_equal(rig.v.pen.records.oldest, 1);
}

/* Power goes at each byte of a write of the configuration: the old or the new one is there, never a third. */
static void a_torn_write_leaves_the_old_or_the_new_configuration(void **state)
{
    uint8_t before[2 * NVM_SLOT_SIZE], after[2 * NVM_SLOT_SIZE];
    unsigned olds = 0, news = 0;

    (void)state;
    rig_set(&rig, SETTING_depth_um, 1000);
    memcpy(before, rig.v.nvm + NVM_CONFIG, sizeof(before));
    rig_set(&rig, SETTING_depth_um, 1500);
    memcpy(after, rig.v.nvm + NVM_CONFIG, sizeof(after));
    for (size_t cut = 0; cut <= sizeof(after); cut++) {
        struct settings s = {0};

        memcpy(rig.v.nvm + NVM_CONFIG, after, cut);
        memcpy(rig.v.nvm + NVM_CONFIG + cut, before + cut, sizeof(before) - cut);
        assert_true(settings_load(&rig.v.port, &s));
        olds += s.value[SETTING_depth_um] == 1000;
        news += s.value[SETTING_depth_um] == 1500;
    }
    assert_int_equal(olds + news, sizeof(after) + 1);
    assert_true(olds > 0 && news > 0);
}

static mnp_Record record_of(const uint8_t *bytes, size_t n)
{
    mnp_Record record = mnp_Record_init_zero;
    pb_istream_t stream = pb_istream_from_buffer(bytes, n);

    assert_true(pb_decode(&stream, mnp_Record_fields, &record));
    return record;
}

/* Reads all records by pages, as a host does; asserts that each number comes once, in order. */
static uint32_t read_records(uint32_t from, uint32_t *count)
{
    uint32_t last = from - 1;

    *count = 0;
    for (;;) {
        mnp_RecordsGet get = {.has_from = true, .from = last + 1};
        const struct mn_frame *f = rig_call(&rig, mnp_FrameType_TYPE_RECORDS_GET, mnp_RecordsGet_fields, &get);
        pb_istream_t stream = pb_istream_from_buffer(f->payload, f->length);
        uint32_t before = last, tag;
        pb_wire_type_t wire;
        bool eof;

        assert_int_equal(f->type & MN_TYPE_ERROR, MN_TYPE_REPLY);
        while (pb_decode_tag(&stream, &wire, &tag, &eof)) {
            uint8_t bytes[128];
            uint32_t n;
            mnp_Record record;

            if (tag != 1) {
                assert_true(pb_skip_field(&stream, wire));
                continue;
            }
            assert_true(pb_decode_varint32(&stream, &n) && n <= sizeof(bytes) && pb_read(&stream, bytes, n));
            record = record_of(bytes, n);
            assert_true(record.number > last);
            last = record.number;
            ++*count;
        }
        if (last == before)
            return last;
    }
}

static void all_records_are_read_by_pages_each_once(void **state)
{
    uint32_t count;

    (void)state;
    for (int i = 0; i < 40; i++)
        rig_set(&rig, SETTING_depth_um, i % 2 ? 500 : 1000);
    assert_int_equal(read_records(1, &count), 41);
    assert_int_equal(count, 41);
    assert_int_equal(read_records(30, &count), 41);
    assert_int_equal(count, 12);
}

static void a_full_ring_loses_its_oldest_and_shows_it(void **state)
{
    uint32_t count;

    (void)state;
    for (int i = 0; i < 1100; i++)
        rig_set(&rig, SETTING_depth_um, i % 2 ? 500 : 1000);
    assert_int_equal(rig.v.pen.records.newest, 1101);
    assert_int_equal(rig.v.pen.records.oldest, 102);
    read_records(1, &count);
    assert_int_equal(count, 1000);
    vpen_power_cycle(&rig.v, mnp_ResetCause_RESET_POWER_ON);
    assert_int_equal(rig.v.pen.records.newest, 1102);
    assert_int_equal(rig.v.pen.records.oldest, 103);
}

static void an_acknowledgement_is_kept_and_never_goes_back(void **state)
{
    mnp_RecordsAck ack = {.has_through = true, .through = 3};
    mnp_RecordsAckReply reply = mnp_RecordsAckReply_init_zero;

    (void)state;
    for (int i = 0; i < 5; i++)
        rig_set(&rig, SETTING_depth_um, i % 2 ? 500 : 1000);
    rig_decode(rig_call(&rig, mnp_FrameType_TYPE_RECORDS_ACK, mnp_RecordsAck_fields, &ack), mnp_RecordsAckReply_fields, &reply);
    assert_int_equal(reply.acked, 3);
    ack.through = 2;
    rig_decode(rig_call(&rig, mnp_FrameType_TYPE_RECORDS_ACK, mnp_RecordsAck_fields, &ack), mnp_RecordsAckReply_fields, &reply);
    assert_int_equal(reply.acked, 3);
    ack.through = 999; /* of the future: only what there is */
    rig_decode(rig_call(&rig, mnp_FrameType_TYPE_RECORDS_ACK, mnp_RecordsAck_fields, &ack), mnp_RecordsAckReply_fields, &reply);
    assert_int_equal(reply.acked, 6);
    vpen_power_cycle(&rig.v, mnp_ResetCause_RESET_POWER_ON);
    assert_int_equal(rig.v.pen.records.acked, 6);
}

static void only_the_trigger_starts_the_needles(void **state)
{
    (void)state;
    rig_say(&rig, "trigger press"); /* in SAFE: nothing */
    rig_run(&rig, 500);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_SAFE);
    mnp_Arm arm = rig_arming(&rig, 8, 1);
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &arm)), mnp_ErrorCode_ERROR_STATE); /* a held trigger cannot be armed */
    rig_say(&rig, "trigger release");
    rig_run(&rig, 10);
    rig_arm(&rig);
    rig_run(&rig, 500);
    assert_int_equal(rig.v.pen.run.strokes, 0);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 1000);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_RUNNING);
    assert_true(rig.v.pen.run.strokes > 70);
    rig_say(&rig, "trigger release");
    assert_true(rig_until_state(&rig, mnp_State_STATE_SAFE, 100) <= 100);
    rig_say(&rig, "trigger press"); /* nothing resumes by itself */
    rig_run(&rig, 500);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_SAFE);
}

static void arm_wants_the_generation_that_the_pen_has(void **state)
{
    mnp_Arm arm = rig_arming(&rig, 8, 1);

    (void)state;
    arm.config_generation = 7;
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &arm)), mnp_ErrorCode_ERROR_CONFLICT);
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &(mnp_Arm){0})), mnp_ErrorCode_ERROR_MALFORMED);
}

static void arm_of_zone(uint32_t zone, bool allowed)
{
    mnp_Arm arm = rig_arming(&rig, zone, 1);
    const struct mn_frame *f = rig_call(&rig, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &arm);

    if (allowed) {
        assert_int_equal(rig.v.pen.state, mnp_State_STATE_ARMED);
        rig_call(&rig, mnp_FrameType_TYPE_STOP, NULL, NULL);
    } else {
        assert_int_equal(rig_error(f), mnp_ErrorCode_ERROR_ZONE);
    }
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_SAFE);
}

static void forbidden_and_unknown_zones_are_never_armed(void **state)
{
    static const struct {
        uint32_t number, cap_um;
    } zones[] = {
#define ZONE(number, name, cap_um, bony, source) {number, cap_um},
#include "policy/zones.def"
    };
    size_t n = sizeof(zones) / sizeof(zones[0]);
    mnp_Arm arm = rig_arming(&rig, 8, 1);

    (void)state;
    for (size_t i = 0; i < n; i++)
        arm_of_zone(zones[i].number, zones[i].cap_um != 0);
    arm_of_zone(0, false);
    arm_of_zone(zones[n - 1].number + 1, false);
    arm_of_zone(UINT32_MAX, false);
    arm.has_zone = false;
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &arm)), mnp_ErrorCode_ERROR_MALFORMED);
    arm = rig_arming(&rig, 8, 0);
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &arm)), mnp_ErrorCode_ERROR_MALFORMED);
}

static void an_armed_pen_goes_back_to_safe_by_itself(void **state)
{
    (void)state;
    rig_set(&rig, SETTING_auto_off_s, 5);
    rig_arm(&rig);
    rig_run(&rig, 4900);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_ARMED);
    assert_true(rig_until_state(&rig, mnp_State_STATE_SAFE, 200) <= 200);
}

static void run(void)
{
    rig_arm(&rig);
    rig_say(&rig, "trigger press");
    rig_run(&rig, 1000);
    assert_int_equal(rig.v.pen.state, mnp_State_STATE_RUNNING);
}

static void a_cartridge_serves_one_treatment(void **state)
{
    mnp_Arm next = rig_arming(&rig, 8, 2);

    (void)state;
    run();
    rig_say(&rig, "trigger release");
    rig_until_state(&rig, mnp_State_STATE_SAFE, 100);
    run(); /* the same one goes on */
    rig_say(&rig, "trigger release");
    rig_until_state(&rig, mnp_State_STATE_SAFE, 100);
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &next)), mnp_ErrorCode_ERROR_FAULT);
    rig_until_fault(&rig, 1303, 100);
    next.treatment = 1; /* nor for the first one any more */
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &next)), mnp_ErrorCode_ERROR_FAULT);
}

/* From the event until the needles stand, in ms. */
static uint32_t ms_to_standstill(void)
{
    uint32_t ms = 0;

    while (rig.v.model.rate_hz > 0 && ms < 2000) {
        rig_run(&rig, 1);
        ms++;
    }
    return ms;
}

static void everything_stops_the_needles_in_time(void **state)
{
    (void)state;
    run();
    pen_control(&rig.v.pen, MN_CONTROL_STOP);
    assert_true(ms_to_standstill() <= 100);

    rig_say(&rig, "trigger release");
    rig_run(&rig, 200);
    run();
    rig_call(&rig, mnp_FrameType_TYPE_STOP, NULL, NULL);
    assert_true(ms_to_standstill() <= 100);

    rig_say(&rig, "trigger release");
    rig_run(&rig, 200);
    run();
    rig.heartbeat = false; /* the daemon hangs */
    assert_in_range(ms_to_standstill(), 200, 350);
    assert_true(rig_has_fault(&rig, 1601));
    rig.heartbeat = true;
    rig_run(&rig, 100);
    pen_clear_faults(&rig.v.pen, UINT32_MAX, false);

    rig_say(&rig, "trigger release");
    rig_run(&rig, 200);
    run();
    vpen_plug(&rig.v, false); /* the cable */
    assert_true(ms_to_standstill() <= 100);
    vpen_plug(&rig.v, true);
    rig_run(&rig, 100);
    assert_true(rig_has_fault(&rig, 1601));
    rig_say(&rig, "trigger release");
    rig_run(&rig, 100);
    rig_hello(&rig);
    pen_clear_faults(&rig.v.pen, UINT32_MAX, false);
    rig_run(&rig, 10);

    run();
    rig_say(&rig, "hang"); /* the firmware itself: its watchdog */
    assert_in_range(ms_to_standstill(), 40, 150);
}

static void a_run_is_recorded_with_what_it_was(void **state)
{
    mnp_Record record;
    uint8_t slot[NVM_RECORD_SIZE];

    (void)state;
    rig_set(&rig, SETTING_depth_um, 1000);
    run();
    rig_say(&rig, "trigger release");
    rig_until_state(&rig, mnp_State_STATE_SAFE, 200);
    memcpy(slot, rig.v.nvm + NVM_RECORDS + (rig.v.pen.records.newest - 1) * NVM_RECORD_SIZE, sizeof(slot));
    record = record_of(slot + 5, slot[4]);
    assert_int_equal(record.kind, mnp_RecordKind_RECORD_RUN);
    assert_in_range(record.body.run.duration_ms, 990, 1020);
    assert_in_range(record.body.run.strokes, 80, 110);
    assert_in_range(record.body.run.depth_peak_um, 900, 1100);
    assert_int_equal(record.body.run.end, mnp_EndReason_END_TRIGGER);
    assert_int_equal(rig.v.pen.counters.strokes_total, record.body.run.strokes);
}

/* The longest batch of telemetry that comes in half a second, ms. */
static uint64_t batch_ms(void)
{
    uint64_t before;

    rig_run(&rig, 60);
    before = rig.telemetry_frames;
    rig_run(&rig, 500);
    return 500 / (rig.telemetry_frames - before);
}

static void batches_are_as_long_as_the_host_asks_until_the_session_ends(void **state)
{
    static const struct {
        uint32_t batch_ms;
        bool good;
    } cases[] = {{4, false}, {5, true}, {50, true}, {51, false}, {10, true}};

    (void)state;
    assert_int_equal(batch_ms(), 50);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mnp_Pace pace = {.has_batch_ms = true, .batch_ms = cases[i].batch_ms};
        uint64_t before = batch_ms();
        uint16_t type = rig_call(&rig, mnp_FrameType_TYPE_PACE, mnp_Pace_fields, &pace)->type;

        assert_int_equal((type & MN_TYPE_ERROR) == MN_TYPE_ERROR, !cases[i].good);
        assert_int_equal(batch_ms(), cases[i].good ? cases[i].batch_ms : before);
    }
    rig_hello(&rig);
    assert_int_equal(batch_ms(), 50);
}

static void telemetry_that_nobody_takes_drops_its_oldest_and_counts(void **state)
{
    uint32_t before = rig.v.pen.telemetry.dropped, dropped; /* some, from before the session */

    (void)state;
    rig_run(&rig, 1000);
    assert_int_equal(rig.v.pen.telemetry.dropped, before);
    rig.deaf = true;
    rig_run(&rig, 10000);
    dropped = rig.v.pen.telemetry.dropped - before;
    rig.deaf = false;
    rig_run(&rig, 1000);
    assert_int_equal(rig.v.pen.telemetry.dropped, before + dropped);
    /* 10 s of 1000 + 10 samples a second, less what the ring holds (8 batches of 50 ms). */
    assert_in_range(dropped, 10000 * 1010 / 1000 - 8 * 51 - 60, 10000 * 1010 / 1000);
}

static void a_self_test_says_how_far_it_is_and_then_its_result(void **state)
{
    size_t at = rig.count, progress = 0;
    mnp_Status status = mnp_Status_init_zero;

    (void)state;
    rig_decode(rig_call(&rig, mnp_FrameType_TYPE_SELF_TEST, NULL, NULL), mnp_Status_fields, &status);
    assert_int_equal(status.state, mnp_State_STATE_SAFE);
    for (size_t i = at; i < rig.count; i++)
        progress += rig.frames[i].type == mnp_FrameType_TYPE_PROGRESS;
    assert_true(progress >= 3);
}

static void a_blank_or_foreign_file_as_memory(void **state)
{
    char path[] = "/tmp/mn-nvm-XXXXXX";
    int fd = mkstemp(path);
    struct vpen v;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "not a pen", 9), 9);
    close(fd);
    assert_true(vpen_init(&v, "X", 1, path, NULL, NULL) < 0);
    unlink(path);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_pen_boots_to_safe_without_a_stroke),
        T(a_memory_that_fails_changes_nothing_and_says_so),
        T(configuration_and_records_outlive_power),
        T(a_torn_write_leaves_the_old_or_the_new_configuration),
        T(all_records_are_read_by_pages_each_once),
        T(a_full_ring_loses_its_oldest_and_shows_it),
        T(an_acknowledgement_is_kept_and_never_goes_back),
        T(only_the_trigger_starts_the_needles),
        T(arm_wants_the_generation_that_the_pen_has),
        T(forbidden_and_unknown_zones_are_never_armed),
        T(a_cartridge_serves_one_treatment),
        T(an_armed_pen_goes_back_to_safe_by_itself),
        T(everything_stops_the_needles_in_time),
        T(a_run_is_recorded_with_what_it_was),
        T(batches_are_as_long_as_the_host_asks_until_the_session_ends),
        T(telemetry_that_nobody_takes_drops_its_oldest_and_counts),
        T(a_self_test_says_how_far_it_is_and_then_its_result),
        T(a_blank_or_foreign_file_as_memory),
    };

    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
