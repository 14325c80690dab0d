/* Requests to the firmware: each is applied once, and a wrong one changes nothing. */
#include "core_words.h"

static void frames_without_a_session_or_of_another_are_dropped_and_counted(void **state)
{
    uint32_t before = rig.v.pen.link.foreign_frames;
    size_t frames = rig.count;

    (void)state;
    rig.session ^= 1;
    rig_send(&rig, mnp_FrameType_TYPE_INFO, 900, NULL, 0);
    rig_run(&rig, 50);
    assert_int_equal(rig.v.pen.link.foreign_frames, before + 2); /* and the heartbeat */
    assert_int_equal(rig.count, frames);
}

static void a_repeated_request_gets_the_same_answer_and_is_applied_once(void **state)
{
    mnp_ConfigState first = mnp_ConfigState_init_zero, again = mnp_ConfigState_init_zero;

    (void)state;
    rig_set(&rig, SETTING_depth_um, 1000);
    rig_decode(rig_reply(&rig, rig.correlation), mnp_ConfigState_fields, &first);
    for (int i = 0; i < 3; i++) {
        size_t at = rig.count;

        rig_send(&rig, mnp_FrameType_TYPE_CONFIG_SET, rig.correlation, NULL, 0);
        rig_run(&rig, 2);
        assert_int_equal(rig.count, at + 1);
        rig_decode(&rig.frames[at], mnp_ConfigState_fields, &again);
        assert_memory_equal(&first, &again, sizeof(first));
    }
    assert_int_equal(rig.v.pen.settings.generation, first.generation);
}

static void settings_are_refused_one_below_and_one_above_their_range(void **state)
{
    (void)state;
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_range *range = &setting_ranges[i];
        uint32_t wrong[] = {range->min - 1, range->max + 1, range->step > 1 ? range->min + 1 : range->min - 1,
                            range->step == 0 ? 3 : range->max + range->step};
        struct settings before = rig.v.pen.settings;

        for (size_t k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++) {
            mnp_ConfigSet set = {.has_config = true};
            struct settings all = before;
            mnp_Error e = mnp_Error_init_zero;
            const struct mn_frame *f;
            pb_istream_t stream;

            all.value[i] = wrong[k];
            settings_to_pb(&all, &set.config);
            f = rig_call(&rig, mnp_FrameType_TYPE_CONFIG_SET, mnp_ConfigSet_fields, &set);
            assert_int_equal(rig_error(f), mnp_ErrorCode_ERROR_OUT_OF_RANGE);
            stream = pb_istream_from_buffer(f->payload, f->length);
            assert_true(pb_decode(&stream, mnp_Error_fields, &e));
            assert_string_equal(e.field, range->name);
            assert_int_equal(e.value, wrong[k]);
            assert_int_equal(e.min, range->min);
            assert_int_equal(e.max, range->max);
            assert_memory_equal(&rig.v.pen.settings, &before, sizeof(before));
        }
        if (i != SETTING_depth_um) /* the cartridge's own limit is tested apart */
            rig_set(&rig, (enum setting)i, range->max);
        rig_set(&rig, (enum setting)i, range->min);
        rig_set(&rig, (enum setting)i, range->default_value);
    }
}

static void one_wrong_setting_leaves_all_as_they_were(void **state)
{
    mnp_ConfigSet set = {.has_config = true, .config = {.has_depth_um = true, .depth_um = 1000, .has_auto_off_s = true, .auto_off_s = 1}};
    struct settings before = rig.v.pen.settings;

    (void)state;
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_CONFIG_SET, mnp_ConfigSet_fields, &set)),
                     mnp_ErrorCode_ERROR_OUT_OF_RANGE);
    assert_memory_equal(&rig.v.pen.settings, &before, sizeof(before));
}

static void a_stale_generation_is_a_conflict(void **state)
{
    mnp_ConfigSet set = {.has_config = true, .has_expected_generation = true, .expected_generation = 0};

    (void)state;
    rig_set(&rig, SETTING_depth_um, 1000);
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_CONFIG_SET, mnp_ConfigSet_fields, &set)), mnp_ErrorCode_ERROR_CONFLICT);
    set.expected_generation = 1;
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_CONFIG_SET, mnp_ConfigSet_fields, &set)), 0);
}

static void deeper_than_the_cartridge_allows_is_refused(void **state)
{
    mnp_ConfigSet set = {.has_config = true, .config = {.has_depth_um = true, .depth_um = 2050}};

    (void)state;
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_CONFIG_SET, mnp_ConfigSet_fields, &set)), mnp_ErrorCode_ERROR_FAULT);
    rig_set(&rig, SETTING_depth_um, 2000);
}

static void a_host_of_another_major_gets_info_and_stop_only(void **state)
{
    static const struct {
        uint16_t type;
        bool works;
    } cases[] = {{mnp_FrameType_TYPE_INFO, true}, {mnp_FrameType_TYPE_STOP, true}, {mnp_FrameType_TYPE_CONFIG_GET, false},
                 {mnp_FrameType_TYPE_ARM, false}, {mnp_FrameType_TYPE_ECHO, false}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[MN_FRAME_MAX];
        struct mn_frame f = {.major = 2, .type = cases[i].type, .correlation = (uint16_t)(500 + i), .sequence = rig.sequence++,
                             .session = rig.session};

        pen_receive(&rig.v.pen, bytes, mn_frame_write(bytes, sizeof(bytes), &f));
        assert_int_equal(rig_error(rig_reply(&rig, f.correlation)), cases[i].works ? 0 : mnp_ErrorCode_ERROR_VERSION);
    }
}

/* A payload that is no message, one with nothing in it, and one without a field that is needed. */
static void what_lacks_a_field_or_does_not_decode_is_refused_and_changes_nothing(void **state)
{
    static const uint8_t garbage[] = {0x0a, 0x7f, 0x01};
    static const struct {
        uint16_t type;
        bool empty_is_good;
    } cases[] = {{mnp_FrameType_TYPE_CONFIG_SET, false}, {mnp_FrameType_TYPE_CONFIG_RESET, true}, {mnp_FrameType_TYPE_ARM, false},
                 {mnp_FrameType_TYPE_FAULT_CLEAR, true}, {mnp_FrameType_TYPE_RECORDS_GET, false}, {mnp_FrameType_TYPE_RECORDS_ACK, false},
                 {mnp_FrameType_TYPE_PACE, false}, {mnp_FrameType_TYPE_FACTORY_ENTER, true}};
    static const mnp_Hello greetings[] = {{.has_nonce = true, .nonce = 5}, {.has_minor = true}, {0}};
    const struct mn_frame *f;

    (void)state;
    rig_set(&rig, SETTING_depth_um, 600);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings before = rig.v.pen.settings;

        rig_send(&rig, cases[i].type, ++rig.correlation, garbage, sizeof(garbage));
        assert_int_equal(rig_error(rig_reply(&rig, rig.correlation)), mnp_ErrorCode_ERROR_MALFORMED);
        if (!cases[i].empty_is_good)
            assert_int_equal(rig_error(rig_call(&rig, cases[i].type, NULL, NULL)), mnp_ErrorCode_ERROR_MALFORMED);
        assert_memory_equal(&rig.v.pen.settings, &before, sizeof(before));
        assert_int_equal(rig.v.pen.records.acked, 0);
    }
    for (size_t i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
        uint32_t session = rig.v.pen.link.session;

        f = rig_call(&rig, mnp_FrameType_TYPE_HELLO, mnp_Hello_fields, &greetings[i]);
        assert_int_equal(rig_error(f), mnp_ErrorCode_ERROR_MALFORMED);
        assert_int_not_equal(rig.v.pen.link.session, session); /* it has ended what was before, all the same */
        rig.session = rig.v.pen.link.session;
    }
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_FAULT_CLEAR, mnp_FaultClear_fields, &(mnp_FaultClear){.has_code = true, .code = 1999})),
                     mnp_ErrorCode_ERROR_MALFORMED);
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_FAULT_CLEAR, mnp_FaultClear_fields, &(mnp_FaultClear){.has_code = true, .code = 1401})), 0);
}

static void a_reset_sets_every_setting_to_its_default(void **state)
{
    mnp_Info info = mnp_Info_init_zero;
    struct settings defaults;

    (void)state;
    settings_default(&defaults);
    rig_set(&rig, SETTING_depth_um, 600);
    rig_set(&rig, SETTING_stroke_rate_dhz, 700);
    assert_int_equal(rig_error(rig_call(&rig, mnp_FrameType_TYPE_CONFIG_RESET, NULL, NULL)), 0);
    for (int i = 0; i < SETTING_COUNT; i++)
        assert_int_equal(rig.v.pen.settings.value[i], defaults.value[i]);
    rig_decode(rig_call(&rig, mnp_FrameType_TYPE_INFO, NULL, NULL), mnp_Info_fields, &info);
    assert_string_equal(info.serial, rig.v.pen.factory.serial);
    assert_true(info.serial[0] != '\0');
}

static void an_unknown_request_is_refused_not_ignored(void **state)
{
    (void)state;
    assert_int_equal(rig_error(rig_call(&rig, 50, NULL, NULL)), mnp_ErrorCode_ERROR_UNSUPPORTED);
    assert_int_equal(rig_error(rig_call(&rig, 0, NULL, NULL)), mnp_ErrorCode_ERROR_UNSUPPORTED);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(frames_without_a_session_or_of_another_are_dropped_and_counted),
        T(a_repeated_request_gets_the_same_answer_and_is_applied_once),
        T(settings_are_refused_one_below_and_one_above_their_range),
        T(one_wrong_setting_leaves_all_as_they_were),
        T(a_stale_generation_is_a_conflict),
        T(deeper_than_the_cartridge_allows_is_refused),
        T(a_host_of_another_major_gets_info_and_stop_only),
        T(what_lacks_a_field_or_does_not_decode_is_refused_and_changes_nothing),
        T(a_reset_sets_every_setting_to_its_default),
        T(an_unknown_request_is_refused_not_ignored),
    };

    return cmocka_run_group_tests_name("core_requests", tests, NULL, NULL);
}
