/* Each request to the pen, refused in its own words: what does not decode, what the state forbids, what the memory does not take, and what nobody knows. */
#include "rig.h"

#include <string.h>

#include "factory.h"

static mnp_ErrorCode raw(uint16_t type, const char *payload)
{
    rig_send(&the_rig, type, ++the_rig.correlation, payload, strlen(payload));
    return rig_error(rig_reply(&the_rig, the_rig.correlation));
}

static void what_does_not_decode_is_malformed(void **state)
{
    static const uint16_t with_a_message[] = {mnp_FrameType_TYPE_CONFIG_SET,    mnp_FrameType_TYPE_CONFIG_RESET,  mnp_FrameType_TYPE_ARM,           mnp_FrameType_TYPE_FAULT_CLEAR,
                                              mnp_FrameType_TYPE_RECORDS_GET,   mnp_FrameType_TYPE_RECORDS_ACK,   mnp_FrameType_TYPE_PACE,          mnp_FrameType_TYPE_FACTORY_ENTER,
                                              mnp_FrameType_TYPE_FACTORY_ARM,   mnp_FrameType_TYPE_FACTORY_WRITE, mnp_FrameType_TYPE_FACTORY_LEAVE};

    (void)state;
    for (size_t i = 0; i < sizeof(with_a_message) / sizeof(with_a_message[0]); i++) {
        assert_int_equal(raw(with_a_message[i], "\xff\xff\xff"), mnp_ErrorCode_ERROR_MALFORMED);
        assert_int_equal(the_rig.v.pen.state, mnp_State_STATE_SAFE);
    }
    assert_int_equal(raw(mnp_FrameType_TYPE_FACTORY_ARM, ""), mnp_ErrorCode_ERROR_MALFORMED); /* without config_generation */
}

static void what_nobody_knows_is_unsupported(void **state)
{
    (void)state;
    for (uint16_t type = mnp_FrameType_TYPE_FACTORY_LEAVE + 1; type < 200; type++) {
        if (type != mnp_FrameType_TYPE_HEARTBEAT)
            assert_int_equal(raw(type, ""), mnp_ErrorCode_ERROR_UNSUPPORTED);
    }
}

static void an_echo_is_what_was_said(void **state)
{
    const struct mn_frame *f;

    (void)state;
    rig_send(&the_rig, mnp_FrameType_TYPE_ECHO, ++the_rig.correlation, "what was said", 13);
    f = rig_reply(&the_rig, the_rig.correlation);
    assert_int_equal(f->length, 13);
    assert_memory_equal(f->payload, "what was said", 13);
}

static mnp_ErrorCode configure(uint32_t depth_um)
{
    mnp_ConfigSet set = {.has_config = true};

    set.config.has_depth_um = true;
    set.config.depth_um = depth_um;
    return rig_error(rig_call(&the_rig, mnp_FrameType_TYPE_CONFIG_SET, mnp_ConfigSet_fields, &set));
}

static void the_configuration_changes_at_rest_only(void **state)
{
    (void)state;
    assert_int_equal(configure(900), mnp_ErrorCode_ERROR_UNSPECIFIED);
    rig_arm(&the_rig);
    assert_int_equal(configure(1000), mnp_ErrorCode_ERROR_STATE);
    assert_int_equal(the_rig.v.pen.settings.value[SETTING_depth_um], 900);
    assert_int_equal(the_rig.v.pen.state, mnp_State_STATE_ARMED);
    rig_say(&the_rig, "inject 1402");
    rig_until_state(&the_rig, mnp_State_STATE_FAULT, 300);
    assert_int_equal(configure(1000), mnp_ErrorCode_ERROR_UNSPECIFIED);
    rig_say(&the_rig, "clear 1402");
    rig_run(&the_rig, 20);
    pen_clear_faults(&the_rig.v.pen, UINT32_MAX, true);
    assert_true(pen_enter_factory(&the_rig.v.pen));
    assert_int_equal(configure(1100), mnp_ErrorCode_ERROR_UNSPECIFIED);
    assert_int_equal(pen_leave_factory(&the_rig.v.pen, false), FACTORY_OK);
    assert_true(pen_self_test(&the_rig.v.pen, NULL));
    assert_int_equal(configure(1200), mnp_ErrorCode_ERROR_STATE);
}

static void a_memory_that_refuses_is_said(void **state)
{
    mnp_RecordsAck ack = {.has_through = true, .through = 1};

    (void)state;
    the_rig.v.nvm_broken = true;
    assert_int_equal(configure(900), mnp_ErrorCode_ERROR_STORAGE);
    assert_int_equal(rig_error(rig_call(&the_rig, mnp_FrameType_TYPE_RECORDS_ACK, mnp_RecordsAck_fields, &ack)), mnp_ErrorCode_ERROR_STORAGE);
}

static void the_memory_of_the_factory_says_it_too(void **state)
{
    mnp_Factory wanted = {.has_udi = true, .udi = "U1"};
    mnp_FactoryLeave leave = {.has_for_good = true};

    (void)state;
    assert_int_equal(rig_error(rig_call(&the_rig, mnp_FrameType_TYPE_FACTORY_WRITE, mnp_Factory_fields, &wanted)), mnp_ErrorCode_ERROR_STATE);
    assert_int_equal(rig_error(rig_call(&the_rig, mnp_FrameType_TYPE_FACTORY_LEAVE, mnp_FactoryLeave_fields, &leave)), mnp_ErrorCode_ERROR_STATE);
    assert_true(pen_enter_factory(&the_rig.v.pen));
    the_rig.v.nvm_broken = true;
    assert_int_equal(rig_error(rig_call(&the_rig, mnp_FrameType_TYPE_FACTORY_WRITE, mnp_Factory_fields, &wanted)), mnp_ErrorCode_ERROR_STORAGE);
    the_rig.v.nvm_broken = false;
    assert_int_equal(rig_error(rig_call(&the_rig, mnp_FrameType_TYPE_FACTORY_WRITE, mnp_Factory_fields, &wanted)), mnp_ErrorCode_ERROR_UNSPECIFIED);
    assert_int_equal(rig_error(rig_call(&the_rig, mnp_FrameType_TYPE_FACTORY_WRITE, mnp_Factory_fields, &wanted)), mnp_ErrorCode_ERROR_WRITTEN);
}

static bool any_proof(void *ctx, const uint8_t challenge[16], uint8_t mac[32])
{
    (void)ctx;
    (void)challenge;
    memset(mac, 7, 32);
    return true;
}

/* It may be armed between challenge and response. */
static void the_factory_is_not_entered_by_an_armed_pen(void **state)
{
    mnp_FactoryEnter m = {.has_response = true};

    (void)state;
    the_rig.v.port.prove = any_proof;
    the_rig.v.pen.factory.left = false;
    assert_int_equal(raw(mnp_FrameType_TYPE_FACTORY_ENTER, ""), mnp_ErrorCode_ERROR_UNSPECIFIED);
    memset(m.response, 7, sizeof(m.response));
    rig_arm(&the_rig);
    assert_int_equal(rig_error(rig_call(&the_rig, mnp_FrameType_TYPE_FACTORY_ENTER, mnp_FactoryEnter_fields, &m)), mnp_ErrorCode_ERROR_STATE);
    assert_int_equal(the_rig.v.pen.state, mnp_State_STATE_ARMED);
    assert_false(the_rig.v.pen.in_factory);
}

static void only_service_clears_what_wants_service(void **state)
{
    mnp_FaultClear clear = {.service = true}; /* without has_service: it was not said */

    (void)state;
    rig_say(&the_rig, "inject 1403");
    rig_until_fault(&the_rig, 1403, 50);
    rig_say(&the_rig, "clear 1403");
    rig_run(&the_rig, 50);
    for (int said = 0; said < 3; said++) {
        clear.has_service = said != 0;
        clear.service = said == 2;
        rig_call(&the_rig, mnp_FrameType_TYPE_FAULT_CLEAR, mnp_FaultClear_fields, &clear);
        assert_int_equal(rig_has_fault(&the_rig, 1403), said < 2);
    }
}

static mnp_Info info(void)
{
    mnp_Info m = mnp_Info_init_zero;

    rig_decode(rig_call(&the_rig, mnp_FrameType_TYPE_INFO, NULL, NULL), mnp_Info_fields, &m);
    return m;
}

static void what_a_pen_says_of_itself(void **state)
{
    (void)state;
    assert_string_equal(info().serial, "TEST-1");
    assert_string_equal(info().hardware_revision, the_rig.v.port.hardware_revision);
    assert_true(info().hardware_revision[0] != '\0');
    assert_true(info().cartridge.has_uid && info().cartridge.has_lot && info().cartridge.has_needle_count && info().cartridge.has_max_depth_um && info().cartridge.has_expiry_s);
    rig_say(&the_rig, "cartridge remove");
    rig_run(&the_rig, 100);
    assert_int_equal(info().cartridge.state, mnp_CartridgeState_CARTRIDGE_ABSENT);
    assert_false(info().cartridge.has_uid || info().cartridge.has_lot);
    rig_say(&the_rig, "cartridge insert");
    rig_say(&the_rig, "inject 1302");
    rig_run(&the_rig, 200);
    assert_int_equal(info().cartridge.state, mnp_CartridgeState_CARTRIDGE_UNREADABLE);
    assert_false(info().cartridge.has_uid || info().cartridge.has_lot);
}

/* A host that says HELLO while the needles move is another one, or a new life of it. */
static void a_hello_stops_the_needles_and_says_who_the_pen_is(void **state)
{
    mnp_Hello hello = {.has_nonce = true, .nonce = 5, .has_minor = true};
    mnp_HelloReply reply = mnp_HelloReply_init_zero;

    (void)state;
    rig_arm(&the_rig);
    rig_say(&the_rig, "trigger press");
    rig_until_state(&the_rig, mnp_State_STATE_RUNNING, 20);
    rig_run(&the_rig, 200);
    rig_decode(rig_call(&the_rig, mnp_FrameType_TYPE_HELLO, mnp_Hello_fields, &hello), mnp_HelloReply_fields, &reply);
    assert_int_equal(the_rig.v.pen.state, mnp_State_STATE_STOPPING);
    assert_string_equal(reply.serial, "TEST-1");
    the_rig.session = reply.session;
    rig_run(&the_rig, 300);
    assert_int_not_equal(the_rig.v.pen.state, mnp_State_STATE_RUNNING);
}

/* Frames that are missing count as bad ones do: three within a second end what was armed. */
static void frames_that_are_missing_count_as_bad(void **state)
{
    (void)state;
    rig_arm(&the_rig);
    for (int i = 0; i < 3; i++) {
        the_rig.sequence = (uint16_t)(the_rig.sequence + 5);
        rig_send(&the_rig, mnp_FrameType_TYPE_HEARTBEAT, 0, NULL, 0);
        rig_run(&the_rig, 1);
    }
    rig_run(&the_rig, 2);
    assert_int_equal(the_rig.v.pen.state, mnp_State_STATE_SAFE);
    assert_int_equal(the_rig.v.pen.link.sequence_gaps, 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(what_does_not_decode_is_malformed),
        T(what_nobody_knows_is_unsupported),
        T(an_echo_is_what_was_said),
        T(the_configuration_changes_at_rest_only),
        T(a_memory_that_refuses_is_said),
        T(the_memory_of_the_factory_says_it_too),
        T(the_factory_is_not_entered_by_an_armed_pen),
        T(only_service_clears_what_wants_service),
        T(what_a_pen_says_of_itself),
        T(a_hello_stops_the_needles_and_says_who_the_pen_is),
        T(frames_that_are_missing_count_as_bad),
    };

    return cmocka_run_group_tests_name("requests", tests, NULL, NULL);
}
