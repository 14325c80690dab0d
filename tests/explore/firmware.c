/* All states of the pen's firmware that a host that says anything, hands, cables and time lead to. */
#include <stdio.h>
#include <string.h>

#include "explored.h"
#include "firmware_state.h"
#include "line.h"

enum { STEP_MS = 60 };

enum firmware_event {
    PASS_STEP, PASS_STILL, PASS_LONG,
    TRIGGER_PRESS, TRIGGER_RELEASE,
    HOST_HELLO, HOST_DIES, HOST_STOP, HOST_EP0_STOP, HOST_EP0_RESET, HOST_CLEAR, HOST_CLEAR_SERVICE, HOST_CONFIGURE, HOST_SELF_TEST, HOST_GARBAGE,
    ARM_GOOD, ARM_OTHER_TREATMENT, ARM_OLD_GENERATION, ARM_FORBIDDEN_ZONE, ARM_UNKNOWN_ZONE, ARM_SHALLOW_ZONE, ARM_OTHER_CARTRIDGE,
    FACTORY_KEY, FACTORY_WRONG_KEY, FACTORY_ARM, FACTORY_LEAVE,
    CABLE_OUT, CABLE_IN, CARTRIDGE_OUT, CARTRIDGE_IN, CARTRIDGE_USED_IN,
    INJECT_STALL, INJECT_UNCOMMANDED, FAULTS_GONE,
    FIRMWARE_HANGS, POWER_CYCLE,
    FIRMWARE_EVENTS
};

static const char *const firmware_events[FIRMWARE_EVENTS] = {
    "60 ms pass", "400 ms pass", "5.2 s pass",
    "the trigger is pressed", "the trigger is released",
    "HELLO, and heartbeats", "no more heartbeats", "STOP", "STOP on EP0", "SESSION_RESET on EP0", "FAULT_CLEAR", "FAULT_CLEAR with service", "CONFIG_SET", "SELF_TEST", "three bad frames",
    "ARM", "ARM in another treatment", "ARM of an older configuration", "ARM of a forbidden zone", "ARM of an unknown zone", "ARM of a zone that may be treated to 500 um",
    "ARM of another cartridge",
    "the factory's key", "a wrong key", "FACTORY_ARM", "FACTORY_LEAVE",
    "the cable is pulled", "the cable is back", "the cartridge is taken out", "a new cartridge", "a used cartridge",
    "1101 comes", "1105 comes", "all causes go",
    "the firmware hangs", "power off and on",
};

static void firmware_event_name(int event, char *out, size_t cap)
{
    snprintf(out, cap, "%s", firmware_events[event]);
}

static void say(const char *line)
{
    char answer[256];

    vpen_command(&vpen, line, answer, sizeof(answer));
}

static void armed(struct firmware *s)
{
    s->armed_uid = vpen.pen.cartridge.tag.uid;
    s->armed_depth_um = (int32_t)vpen.pen.settings.value[SETTING_depth_um];
    s->other_tag_ms = 0;
}

/* ARM, with what must have been the case if it is taken. */
static const char *arm(struct firmware *s, uint32_t generation, uint32_t zone, uint64_t treatment, uint64_t cartridge_uid)
{
    mnp_Arm m = {.has_config_generation = true, .config_generation = generation, .has_zone = true, .zone = zone, .has_treatment = true, .treatment = treatment,
                 .has_cartridge_uid = true, .cartridge_uid = cartridge_uid};
    mnp_State before = vpen.pen.state;
    struct cartridge cartridge = vpen.pen.cartridge;
    uint32_t forbidding = vpen.pen.faults.word & ~faults_of_effect(EFFECT_FLAG) & ~FAULT_MASK(PROTOCOL_ERROR);
    bool fit = cartridge.state == mnp_CartridgeState_CARTRIDGE_NEW || (cartridge.state == mnp_CartridgeState_CARTRIDGE_IN_USE && cartridge.treatment == treatment);
    const char *wrong;

    send_frame(s, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &m);
    if (was_taken()) {
        if (vpen.pen.in_factory)
            return "an ARM for a treatment was taken in the factory";
        if (generation != vpen.pen.settings.generation)
            return "an ARM of another configuration was taken";
        if (zone < 3 || zone > 17)
            return "an ARM of a zone that is never treated was taken";
        if (!fit)
            return "an ARM with a cartridge of another treatment, or none, was taken";
        if (forbidding != 0)
            return "an ARM was taken in spite of a fault";
        if (before != mnp_State_STATE_SAFE && before != mnp_State_STATE_ARMED)
            return "an ARM was taken in another state than SAFE";
        if (zone == SHALLOW_ZONE && vpen.pen.settings.value[SETTING_depth_um] > SHALLOW_UM)
            return "an ARM was taken that is deeper than its zone allows";
        if (cartridge_uid != cartridge.tag.uid)
            return "an ARM of another cartridge was taken";
        armed(s);
        if (s->released_ms < TRIGGER_BOUNCE_MS)
            return "an ARM was taken with the trigger pressed";
    } else if (vpen.pen.state == mnp_State_STATE_ARMED && before != mnp_State_STATE_ARMED) {
        return "an ARM that was refused has armed it";
    }
    wrong = pass(s, 2);
    return wrong;
}

/* The answer to a challenge, right or wrong by a bit. */
static const char *answer_challenge(struct firmware *s, uint8_t flip)
{
    mnp_FactoryEnter m = {.has_response = true};
    bool before = vpen.pen.in_factory;

    send_frame(s, mnp_FrameType_TYPE_FACTORY_ENTER, NULL, NULL);
    line_prove(NULL, vpen.pen.factory.challenge, m.response);
    m.response[0] ^= flip;
    vpen.pen.factory.wrong = 0; /* how often is counted elsewhere: test_factory */
    send_frame(s, mnp_FrameType_TYPE_FACTORY_ENTER, mnp_FactoryEnter_fields, &m);
    vpen.pen.factory.wrong = 0;
    if (vpen.pen.in_factory && !before && flip != 0)
        return "a wrong key has opened it";
    if (vpen.pen.state == mnp_State_STATE_ARMED && s->pen.state != mnp_State_STATE_ARMED)
        return "a key has armed it";
    return pass(s, 2);
}

static const char *arm_in_factory(struct firmware *s)
{
    mnp_FactoryArm m = {.has_config_generation = true, .config_generation = vpen.pen.settings.generation};
    mnp_State before = vpen.pen.state;
    uint32_t forbidding = vpen.pen.faults.word & ~faults_of_effect(EFFECT_FLAG) & ~FAULT_MASK(PROTOCOL_ERROR) & ~FAULT_MASK(CALIBRATION_INVALID);

    send_frame(s, mnp_FrameType_TYPE_FACTORY_ARM, mnp_FactoryArm_fields, &m);
    if (was_taken()) {
        if (!vpen.pen.in_factory || (before != mnp_State_STATE_FACTORY && before != mnp_State_STATE_ARMED))
            return "FACTORY_ARM was taken outside of the factory";
        if (forbidding != 0)
            return "FACTORY_ARM was taken in spite of a fault";
        armed(s);
    } else if (vpen.pen.state == mnp_State_STATE_ARMED && before != mnp_State_STATE_ARMED) {
        return "a FACTORY_ARM that was refused has armed it";
    }
    return pass(s, 2);
}

static const char *firmware_act(struct firmware *s, enum firmware_event event)
{
    mnp_FactoryLeave leave = {.has_for_good = true};
    mnp_Hello hello = {.has_nonce = true, .nonce = 7, .has_minor = true, .minor = 1};
    mnp_FaultClear clear = {.has_service = true, .service = event == HOST_CLEAR_SERVICE};
    mnp_ConfigSet set = {.has_config = true, .config = {.has_depth_um = true, .depth_um = vpen.pen.settings.value[SETTING_depth_um] == 500 ? 600 : 500}};
    uint64_t uid = vpen.pen.cartridge.tag.uid;
    uint8_t garbage[40];

    switch (event) {
    case PASS_STEP:
        return pass(s, STEP_MS);
    case PASS_STILL:
        return pass(s, 400);
    case PASS_LONG: /* for an ARMED pen only; for others it is as PASS_STILL */
        return vpen.pen.state == mnp_State_STATE_ARMED ? pass(s, 5200) : NULL;
    case TRIGGER_PRESS:
    case TRIGGER_RELEASE:
        vpen.model.trigger = event == TRIGGER_PRESS;
        break;
    case HOST_HELLO:
        s->host = vpen.model.vbus;
        s->heartbeat_ms = 0;
        send_frame(s, mnp_FrameType_TYPE_HELLO, mnp_Hello_fields, &hello);
        break;
    case HOST_DIES:
        s->host = false;
        break;
    case HOST_STOP:
        send_frame(s, mnp_FrameType_TYPE_STOP, NULL, NULL);
        if (was_answered() && vpen.pen.state == mnp_State_STATE_RUNNING)
            return "STOP has not stopped it";
        break;
    case HOST_EP0_STOP:
        if (hears())
            pen_control(&vpen.pen, MN_CONTROL_STOP);
        if (hears() && (vpen.pen.state == mnp_State_STATE_RUNNING || vpen.pen.state == mnp_State_STATE_ARMED))
            return "STOP on EP0 has not stopped it";
        break;
    case HOST_EP0_RESET:
        if (hears())
            pen_control(&vpen.pen, MN_CONTROL_SESSION_RESET);
        if (hears() && (vpen.pen.state == mnp_State_STATE_RUNNING || vpen.pen.state == mnp_State_STATE_ARMED))
            return "it goes on over a new session";
        break;
    case HOST_CLEAR:
    case HOST_CLEAR_SERVICE:
        send_frame(s, mnp_FrameType_TYPE_FAULT_CLEAR, mnp_FaultClear_fields, &clear);
        if (vpen.pen.state == mnp_State_STATE_ARMED && s->pen.state != mnp_State_STATE_ARMED)
            return "FAULT_CLEAR has armed it";
        break;
    case HOST_CONFIGURE:
        send_frame(s, mnp_FrameType_TYPE_CONFIG_SET, mnp_ConfigSet_fields, &set);
        break;
    case HOST_SELF_TEST:
        send_frame(s, mnp_FrameType_TYPE_SELF_TEST, NULL, NULL);
        break;
    case HOST_GARBAGE:
        memset(garbage, 0x5a, sizeof(garbage));
        for (int i = 0; i < 3 && hears(); i++) {
            struct mn_frame f = {.major = MN_PROTOCOL_MAJOR, .sequence = s->sequence++, .type = mnp_FrameType_TYPE_ECHO, .session = vpen.pen.link.session, .payload = garbage};
            uint8_t bytes[MN_FRAME_MAX];
            size_t n = mn_frame_write(bytes, sizeof(bytes), &f);

            bytes[n - 1] ^= 1;
            pen_receive(&vpen.pen, bytes, n);
        }
        break;
    case ARM_GOOD:
        return arm(s, vpen.pen.settings.generation, 8, 1, uid);
    case ARM_OTHER_TREATMENT:
        return arm(s, vpen.pen.settings.generation, 8, 2, uid);
    case ARM_OLD_GENERATION:
        return arm(s, vpen.pen.settings.generation - 1, 8, 1, uid);
    case ARM_FORBIDDEN_ZONE:
        return arm(s, vpen.pen.settings.generation, 1, 1, uid);
    case ARM_UNKNOWN_ZONE:
        return arm(s, vpen.pen.settings.generation, 18, 1, uid);
    case ARM_SHALLOW_ZONE:
        return arm(s, vpen.pen.settings.generation, SHALLOW_ZONE, 1, uid);
    case ARM_OTHER_CARTRIDGE:
        return arm(s, vpen.pen.settings.generation, 8, 1, uid + 1);
    case FACTORY_KEY:
    case FACTORY_WRONG_KEY:
        return answer_challenge(s, event == FACTORY_WRONG_KEY);
    case FACTORY_ARM:
        return arm_in_factory(s);
    case FACTORY_LEAVE:
        send_frame(s, mnp_FrameType_TYPE_FACTORY_LEAVE, mnp_FactoryLeave_fields, &leave);
        break;
    case CABLE_OUT:
        vpen_plug(&vpen, false);
        s->host = false;
        break;
    case CABLE_IN:
        vpen_plug(&vpen, true);
        break;
    case CARTRIDGE_OUT:
        say("cartridge remove");
        break;
    case CARTRIDGE_IN:
        say("cartridge insert");
        break;
    case CARTRIDGE_USED_IN:
        say("inject 1303");
        break;
    case INJECT_STALL:
        say("inject 1101");
        break;
    case INJECT_UNCOMMANDED:
        say("inject 1105");
        break;
    case FAULTS_GONE:
        say("clear all");
        break;
    case FIRMWARE_HANGS:
        say("hang");
        break;
    case POWER_CYCLE:
        vpen_power_cycle(&vpen, mnp_ResetCause_RESET_POWER_ON);
        break;
    case FIRMWARE_EVENTS:
        break;
    }
    return pass(s, 2);
}

/* Shorter: without injected faults, which multiply all other states. */
static bool quick;

static bool is_left_out(int event)
{
    return quick && (event == INJECT_STALL || event == INJECT_UNCOMMANDED || event == FAULTS_GONE || event == HOST_CLEAR_SERVICE);
}

static const char *firmware_apply(void *state, int event)
{
    struct firmware *s = state;
    const char *wrong;

    if (is_left_out(event))
        return NULL;
    state_put(s);
    wrong = firmware_act(s, (enum firmware_event)event);
    state_get(s);
    return wrong;
}

bool every_firmware_state(bool without_faults)
{
    static struct firmware first;
    struct explore x = {.name = without_faults ? "firmware, without injected faults" : "firmware", .state_size = sizeof(first), .event_count = FIRMWARE_EVENTS,
                        .apply = firmware_apply, .key = state_key, .event_name = firmware_event_name};
    bool good;

    quick = without_faults;
    good = state_first(&first) && explore(&x, &first);
    vpen_deinit(&vpen);
    return good;
}
