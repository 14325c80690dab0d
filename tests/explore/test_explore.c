/*
 * The pen's firmware, and what the daemon decides about leases and sessions: all states that any order of events leads to, on the real code,
 * with what must always hold checked in each. A host that says anything plays against the firmware; a pen that does anything, and two programs
 * that want the same pen, play against the daemon.
 *
 * What must hold (docs/architecture.md, invariants):
 *   1. The needles move in RUNNING only. RUNNING is entered by the trigger being pressed in ARMED, for longer than it bounces, and by nothing else;
 *      ARMED by an ARM that names the configuration that the pen has, a zone that may be treated so deep, and the cartridge that is in the pen and has
 *      served no other treatment, without a fault that forbids it. While it is ARMED or RUNNING, depth, calibration and cartridge are those of the ARM. The daemon sends ARM for the program that holds the lease, with a journal that takes records and a policy that was passed.
 *      Nothing resumes by itself.
 *   2. The needles stand still 350 ms after host, cable or firmware have gone, or a STOP, or a fault that stops.
 *   8. At most one program has the lease.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"
#include "lease.h"
#include "line.h"
#include "treatment.h"
#include "vpen.h"

/* ---- the firmware, against a host that says anything ---- */

enum { NVM_KEPT = NVM_RECORDS, USED_KEPT = 16, STILL_MS = 350, STEP_MS = 60 };

struct firmware { /* a state */
    struct pen pen;
    struct model model;
    struct pen_sensors sensors;
    struct pen_actuators actuators;
    uint8_t nvm[NVM_KEPT]; /* records are written and not read here */
    uint8_t used[USED_KEPT][NVM_USED_BLOCK]; /* the blocks of the cartridges that there are here */
    uint32_t random, hung_ms;
    uint64_t clock_ms;     /* that does not stop with the firmware */
    bool hung;
    bool host;             /* sends heartbeats */
    uint16_t sequence, correlation;
    uint32_t unwanted_ms;  /* for so long nothing has wanted the needles to move */
    uint32_t heartbeat_ms; /* since the last */
    uint8_t pressed_ms, released_ms; /* the trigger; more than it bounces is as good as for ever */
    uint8_t other_tag_ms;  /* for so long another cartridge than the one that was armed is in, or none */
    int32_t armed_depth_um; /* of the last ARM that was taken ... */
    uint64_t armed_uid;    /* ... and its cartridge */
    bool by_hand;          /* what moves was not moved by the motor: 1105 was injected, and it has not stood since */
};

static struct vpen vpen; /* the one that states are put into */
static uint32_t touched[USED_KEPT]; /* where in the memory those blocks are */
static size_t touched_count;
static bool (*nvm_write)(void *ctx, uint32_t offset, const void *bytes, size_t n);

static bool note_write(void *ctx, uint32_t offset, const void *bytes, size_t n)
{
    size_t i = 0;

    while (i < touched_count && touched[i] != offset)
        i++;
    if (offset >= NVM_USED && i == touched_count) {
        if (touched_count == USED_KEPT) {
            fprintf(stderr, "more cartridges are used than a state can hold\n");
            exit(1);
        }
        touched[touched_count++] = offset;
    }
    return nvm_write(ctx, offset, bytes, n);
}
static mnp_ErrorCode refused; /* of the last reply */
static bool replied;

static bool take(void *ctx, enum pen_endpoint endpoint, const uint8_t *bytes, size_t n)
{
    struct mn_frame_reader reader = {0};
    struct mn_frame f;

    (void)ctx;
    if (endpoint == PEN_INTERRUPT_IN || mn_frame_next(&reader, &bytes, &n, &f) != MN_FRAME_OK || (f.type & MN_TYPE_REPLY) == 0)
        return true;
    replied = true;
    refused = mnp_ErrorCode_ERROR_UNSPECIFIED;
    if ((f.type & MN_TYPE_ERROR) == MN_TYPE_ERROR) {
        mnp_Error e = mnp_Error_init_zero;
        pb_istream_t stream = pb_istream_from_buffer(f.payload, f.length);

        if (pb_decode(&stream, mnp_Error_fields, &e))
            refused = e.code;
    }
    return true;
}

static void put(const struct firmware *s)
{
    vpen.pen = s->pen;
    vpen.model = s->model;
    vpen.sensors = s->sensors;
    vpen.actuators = s->actuators;
    memcpy(vpen.nvm, s->nvm, NVM_KEPT);
    for (size_t i = 0; i < touched_count; i++)
        memcpy(vpen.nvm + touched[i], s->used[i], NVM_USED_BLOCK);
    vpen.random = s->random;
    vpen.hung = s->hung;
    vpen.hung_ms = s->hung_ms;
}

static void get(struct firmware *s)
{
    s->pen = vpen.pen;
    s->model = vpen.model;
    s->sensors = vpen.sensors;
    s->actuators = vpen.actuators;
    memcpy(s->nvm, vpen.nvm, NVM_KEPT);
    for (size_t i = 0; i < touched_count; i++)
        memcpy(s->used[i], vpen.nvm + touched[i], NVM_USED_BLOCK);
    s->random = vpen.random;
    s->hung = vpen.hung;
    s->hung_ms = vpen.hung_ms;
}

static bool hears(void)
{
    return !vpen.hung && vpen.model.vbus;
}

static void send_frame(struct firmware *s, uint16_t type, const pb_msgdesc_t *fields, const void *message)
{
    uint8_t payload[128], bytes[MN_FRAME_MAX];
    pb_ostream_t stream = pb_ostream_from_buffer(payload, sizeof(payload));
    struct mn_frame f = {.major = MN_PROTOCOL_MAJOR, .sequence = s->sequence++, .correlation = ++s->correlation, .type = type, .payload = payload,
                         .session = type == mnp_FrameType_TYPE_HELLO ? 0 : vpen.pen.link.session};

    if (fields != NULL)
        pb_encode(&stream, fields, message);
    f.length = (uint16_t)stream.bytes_written;
    replied = false;
    if (hears())
        pen_receive(&vpen.pen, bytes, mn_frame_write(bytes, sizeof(bytes), &f));
    pen_send(&vpen.pen);
}

/* An injected 1105 is hands at the needles, or a driver that has burnt through: not the firmware's doing. */
static bool needles_move(struct firmware *s)
{
    bool move = vpen.model.rate_hz > 0.5;

    s->by_hand = (vpen.model.causes & FAULT_MASK(UNCOMMANDED_MOTION)) != 0 || (s->by_hand && move);
    return move && !s->by_hand;
}

/* As far as anything asks. */
static uint8_t count_ms(uint8_t ms, bool goes_on)
{
    return (uint8_t)(!goes_on ? 0 : ms < 40 ? ms + 1 : 40);
}

/* One millisecond, with everything that must hold in it. */
static const char *tick(struct firmware *s)
{
    mnp_State before = vpen.pen.state;
    bool hung_before = vpen.hung, wanted;

    if (s->host && vpen.pen.link.session != 0 && ++s->heartbeat_ms >= MN_HEARTBEAT_PERIOD_MS) {
        s->heartbeat_ms = 0;
        send_frame(s, mnp_FrameType_TYPE_HEARTBEAT, NULL, NULL);
    }
    vpen_advance(&vpen, 1);
    s->pressed_ms = count_ms(s->pressed_ms, vpen.model.trigger);
    s->released_ms = count_ms(s->released_ms, !vpen.model.trigger);
    s->other_tag_ms = count_ms(s->other_tag_ms, vpen.model.tag.uid != s->armed_uid || !vpen.model.tag.present);
    if (vpen.pen.state == mnp_State_STATE_RUNNING && before != mnp_State_STATE_RUNNING && (before != mnp_State_STATE_ARMED || s->pressed_ms < TRIGGER_BOUNCE_MS))
        return "RUNNING was entered without the trigger being pressed in ARMED";
    if ((vpen.pen.state == mnp_State_STATE_RUNNING || vpen.pen.state == mnp_State_STATE_ARMED) && !vpen.hung && s->other_tag_ms > CARTRIDGE_PERIOD_MS + 2)
        return "it is armed, or runs, with another cartridge than the one that was armed";
    if (vpen.pen.state == mnp_State_STATE_RUNNING && vpen.actuators.depth_set_um != s->armed_depth_um)
        return "it runs at another depth than was armed";
    if (vpen.pen.state == mnp_State_STATE_ARMED && before != mnp_State_STATE_ARMED)
        return "time has armed it";
    if (vpen.pen.in_factory && vpen.pen.link.session == 0)
        return "the factory is entered without a session";
    if ((vpen.actuators.enable || vpen.actuators.power) && vpen.pen.state != mnp_State_STATE_RUNNING)
        return "the motor is driven in another state than RUNNING";
    if (vpen.pen.state == mnp_State_STATE_RUNNING && (vpen.pen.faults.word & faults_of_effect(EFFECT_STOP) & ~vpen.pen.faults.escalated) != 0 &&
        (vpen.pen.faults.word & faults_of_effect(EFFECT_STOP) &
         ~(FAULT_MASK(PROTOCOL_ERROR) | FAULT_MASK(STROKE_RATE_LOW) | FAULT_MASK(MOTOR_OVERTEMP))) != 0)
        return "it runs with a fault that stops";
    /* Wanted is: the trigger held, a host that is alive on a session, a firmware that is, and a run. */
    wanted = vpen.pen.state == mnp_State_STATE_RUNNING && vpen.sensors.trigger && s->host && vpen.model.vbus && !vpen.hung && !hung_before;
    s->unwanted_ms = wanted || (before != mnp_State_STATE_RUNNING && vpen.pen.state == mnp_State_STATE_RUNNING) ? 0 : s->unwanted_ms + (s->unwanted_ms < 10000);
    if (needles_move(s) && s->unwanted_ms > STILL_MS)
        return "the needles still move 350 ms after the reason for it has gone";
    if (vpen.pen.state == mnp_State_STATE_RUNNING && s->unwanted_ms > STILL_MS)
        return "RUNNING 350 ms after the reason for it has gone";
    if (vpen.pen.state == mnp_State_STATE_ARMED && vpen.pen.now_ms - vpen.pen.state_since_ms > 5100)
        return "ARMED for longer than auto_off_s";
    return NULL;
}

static const char *pass(struct firmware *s, uint32_t ms)
{
    const char *wrong = NULL;

    for (uint32_t i = 0; wrong == NULL && i < ms; i++)
        wrong = tick(s);
    return wrong;
}

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

enum { SHALLOW_ZONE = 5, SHALLOW_UM = 500 }; /* the nose */

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
    if (replied && refused == mnp_ErrorCode_ERROR_UNSPECIFIED) {
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
    if (replied && refused == mnp_ErrorCode_ERROR_UNSPECIFIED) {
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
        if (replied && vpen.pen.state == mnp_State_STATE_RUNNING)
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
    put(s);
    wrong = firmware_act(s, (enum firmware_event)event);
    get(s);
    return wrong;
}

static uint8_t bucket(uint64_t value, uint64_t a, uint64_t b, uint64_t c)
{
    return value <= a ? 0 : value <= b ? 1 : value <= c ? 2 : 3;
}

static void put32(uint8_t **at, uint32_t v)
{
    mn_put_u32(*at, v);
    *at += 4;
}

/* Faults of one kind and effect behave alike, with their cause and without; two have rules of their own. */
static uint32_t fault_classes(const struct faults *f)
{
    uint32_t classes = (f->word & FAULT_MASK(PROTOCOL_ERROR)) != 0 ? UINT32_C(1) << 31 : 0;

    for (int i = 0; i < FAULT_COUNT; i++) {
        uint32_t mask = UINT32_C(1) << i;

        if ((f->word & mask) != 0 && i != FAULT_PROTOCOL_ERROR)
            classes |= UINT32_C(1) << (((unsigned)fault_rows[i].kind * 4 + (unsigned)fault_rows[i].effect) * 2 + ((f->causes & mask) != 0));
    }
    return classes | (f->escalated != 0 ? UINT32_C(1) << 30 : 0);
}

/* Time counts in steps that are finer than what is asserted about it. */
static void firmware_key(const void *state, uint8_t key[EXPLORE_KEY])
{
    const struct firmware *s = state;
    const struct pen *p = &s->pen;
    uint8_t *at = key;
    bool waiting = p->state == mnp_State_STATE_ARMED || p->state == mnp_State_STATE_SELFTEST || p->state == mnp_State_STATE_STOPPING;
    bool could_be_armed = p->state == mnp_State_STATE_SAFE && p->link.session != 0 && p->faults.word == 0 && p->cartridge.state == mnp_CartridgeState_CARTRIDGE_NEW &&
                          s->released_ms >= TRIGGER_BOUNCE_MS;

    put32(&at, fault_classes(&p->faults));
    put32(&at, s->model.causes);
    *at++ = (uint8_t)p->state;
    *at++ = (uint8_t)(waiting ? bucket(p->now_ms - p->state_since_ms, 100, 400, 4800) : 0);
    *at++ = (uint8_t)p->cartridge.state;
    *at++ = (uint8_t)(p->cartridge.state == mnp_CartridgeState_CARTRIDGE_IN_USE ? p->cartridge.treatment : 0);
    *at++ = (uint8_t)(p->trigger_held | p->trigger_at_boot << 1 | s->model.trigger << 2 | (p->link.session != 0) << 3 | p->link_broken << 4 | s->host << 5 | s->hung << 6 |
                      s->model.vbus << 7);
    *at++ = (uint8_t)(p->homed | p->watchdog_reset << 1 | p->config_damaged << 2 | (s->model.rate_hz > 0.5) << 3 | (p->selftest_reply != NULL) << 4 | s->model.tag.present << 5 |
                      s->actuators.enable << 6 | s->by_hand << 7);
    *at++ = (uint8_t)(waiting || p->state == mnp_State_STATE_RUNNING ? bucket(p->now_ms - p->heartbeat_ms, 60, 130, 260) : 0);
    *at++ = (uint8_t)(s->model.rate_hz > 0.5 ? bucket(s->unwanted_ms, 0, 70, 260) : 0);
    *at++ = (uint8_t)((link_bad_recent(&p->link, p->now_ms) >= 3) | p->in_factory << 1 | (s->pressed_ms >= TRIGGER_BOUNCE_MS) << 2 |
                      (s->released_ms >= TRIGGER_BOUNCE_MS) << 3 | (could_be_armed && p->settings.value[SETTING_depth_um] > SHALLOW_UM) << 4 |
                      (p->state == mnp_State_STATE_ARMED && (int32_t)p->settings.value[SETTING_depth_um] != s->armed_depth_um) << 5);
    *at = (uint8_t)(waiting || p->state == mnp_State_STATE_RUNNING ? p->armed.treatment : 0);
}

static void every_state_of_the_firmware(void **state)
{
    static struct firmware first;
    struct explore x = {.name = "firmware", .state_size = sizeof(first), .event_count = FIRMWARE_EVENTS, .apply = firmware_apply, .key = firmware_key,
                        .event_name = firmware_event_name};
    mnp_ConfigSet quiet = {.has_config = true, .config = {.has_fast_rate_hz = true, .has_slow_rate_hz = true, .has_auto_off_s = true, .auto_off_s = 5}};
    mnp_Hello hello = {.has_nonce = true, .nonce = 7, .has_minor = true, .minor = 1};
    const char *how = getenv("MN_EXPLORE");

    (void)state;
    quick = how != NULL && strcmp(how, "quick") == 0;
    x.name = quick ? "firmware, without injected faults" : "firmware";
    assert_int_equal(vpen_init(&vpen, "EXPLORE", 1, NULL, take, NULL), 0);
    nvm_write = vpen.port.nvm_write;
    vpen.port.nvm_write = note_write;
    memset(vpen.nvm + NVM_LEFT, 0, 2 * NVM_SLOT_SIZE); /* it has not left the factory yet */
    vpen_power_cycle(&vpen, mnp_ResetCause_RESET_POWER_ON);
    get(&first);
    assert_null(pass(&first, 700));
    first.host = true;
    send_frame(&first, mnp_FrameType_TYPE_HELLO, mnp_Hello_fields, &hello);
    send_frame(&first, mnp_FrameType_TYPE_CONFIG_SET, mnp_ConfigSet_fields, &quiet); /* telemetry is not explored */
    assert_int_equal(refused, 0);
    get(&first);
    assert_true(explore(&x, &first));
    vpen_deinit(&vpen);
}

/* ---- the daemon, against a pen that does anything and two programs ---- */

enum { PROGRAMS = 2 };

struct daemon { /* a state */
    struct treatment t;
    struct lease lease; /* of the one pen; holder NULL: none */
    uint64_t now_us;
    enum treatment_pen pen;
    bool safe, journal, numbing; /* the pen is exactly SAFE; the disk takes records; the numbing has lasted */
    uint32_t generation;
    /* what must be the case, reckoned apart from the code */
    int armed_by; /* whose ARM it was, and nothing has ended it since: 0, 1; -1 */
};

static const char programs[PROGRAMS];
static struct policy policy;

enum daemon_event {
    TAKE, /* + program, each */
    TAKE_OVER = TAKE + PROGRAMS,
    RELEASE = TAKE_OVER + PROGRAMS, /* or hang up, or die */
    PONG = RELEASE + PROGRAMS,
    BEGIN = PONG + PROGRAMS,
    SELECT = BEGIN + PROGRAMS,
    ARM = SELECT + PROGRAMS,
    ARM_WRONG = ARM + PROGRAMS,
    END = ARM_WRONG + PROGRAMS,
    TIME = END + PROGRAMS, /* 1 s, with the check for silence */
    PEN_GONE, PEN_RESTS, PEN_SAFE, PEN_ARMED, PEN_RUNS,
    OTHER_CONFIGURES, ANSWER_TAKEN, ANSWER_REFUSED, ANSWER_LATE, DISK_FAILS, DISK_WORKS, ALL_IS_IN, DAEMON_DIES,
    DAEMON_EVENTS
};

static void daemon_event_name(int event, char *out, size_t cap)
{
    static const char *const of_program[] = {"takes the lease", "takes it over", "goes", "answers a ping", "begins a session", "selects the zone", "arms",
                                             "arms another configuration", "ends the session"};
    static const char *const others[] = {"a second passes", "the pen is gone", "the pen rests", "the pen is SAFE", "the pen is ARMED", "the pen runs",
                                         "somebody else configures the pen", "the pen takes ARM", "the pen refuses ARM", "the pen's ARMED is late",
                                         "the disk fails", "the disk works", "all records are in", "the daemon dies, and is back"};

    if (event < TIME)
        snprintf(out, cap, "program %c %s", 'A' + event % PROGRAMS, of_program[event / PROGRAMS]);
    else
        snprintf(out, cap, "%s", others[event - TIME]);
}

static int owner_of(const struct daemon *s)
{
    return s->lease.holder == NULL ? -1 : s->lease.holder == &programs[0] ? 0 : 1;
}

/* The real lease table holds the state's one lease while an event is done. */
static void leases_put(struct leases *l, const struct daemon *s)
{
    *l = (struct leases){0};
    if (s->lease.holder != NULL)
        assert_int_equal(lease_take(l, "P", s->lease.holder, "program", 1, LEASE_LIVENESS_US, s->lease.heard_us, false), 0);
}

static void leases_get(struct daemon *s, struct leases *l)
{
    const struct lease *lease = lease_find(l, "P");

    s->lease = lease != NULL ? *lease : (struct lease){0};
    leases_free(l);
}

static struct treatment_context world(const struct daemon *s, int program)
{
    return (struct treatment_context){
        .has_lease = s->lease.holder == &programs[program],
        .is_free = s->lease.holder == NULL,
        .holder = s->lease.holder != NULL ? "program" : NULL,
        .journal_error = s->journal ? "" : "the disk fails",
        .pen = s->pen,
        .pen_is_safe = s->pen == PEN_IS_AT_REST && s->safe,
        .generation = s->generation,
        .now_us = s->now_us,
        .asked_generation = s->t.generation,
    };
}

/* What session.c does when control.c says that a lease was lost. */
static void lost(struct daemon *s, int before)
{
    if (before >= 0 && owner_of(s) != before) {
        treatment_lease_lost(&s->t, "");
        if (s->armed_by == before)
            s->armed_by = -1;
    }
}

static const char *lease_event(struct daemon *s, int event, int program)
{
    int before = owner_of(s), r = 0;
    struct leases l;

    leases_put(&l, s);
    if (event == TAKE)
        r = lease_take(&l, "P", &programs[program], "program", 1, LEASE_LIVENESS_US, s->now_us, false);
    else if (event == TAKE_OVER)
        r = lease_take(&l, "P", &programs[program], "program", 1, LEASE_LIVENESS_US, s->now_us, true);
    else if (event == PONG)
        lease_renew(&l, &programs[program], s->now_us);
    else if (lease_release(&l, "P", &programs[program]) && before != program)
        r = -1;
    if (l.count > 1) {
        leases_free(&l);
        return "two programs have the lease";
    }
    leases_get(s, &l);
    if (event == TAKE && r == 0 && before >= 0 && before != program)
        return "a lease was taken that another has";
    if (event == TAKE && before >= 0 && before != program && owner_of(s) != before)
        return "a lease that was refused has changed hands";
    if (r == -1 || (event == RELEASE && before >= 0 && before != program && owner_of(s) != before))
        return "a program has released another's lease";
    if (event == PONG && owner_of(s) != before)
        return "a pong has changed the holder";
    lost(s, before);
    return NULL;
}

static void plan(struct treatment *t, uint64_t now_us)
{
    *t = (struct treatment){.state = TREATMENT_PREPARED, .number = 1, .id = 77, .zone_count = 1, .said_us = now_us};
    t->zones[0] = (struct treatment_zone){.zone = ZONE_CHEEK, .depth_um = 500, .stroke_rate_dhz = 1000};
    t->input.steps[0] = (struct policy_step){.zone = ZONE_CHEEK, .depth_um = 500, .days_since_surface = POLICY_NEVER, .days_since_deeper = POLICY_NEVER};
    t->input.step_count = 1;
    for (int i = 0; i < SCREEN_ITEMS; i++)
        t->input.answers[i] = (struct policy_answer){.answered = true, .hours_ago = POLICY_NEVER};
}

/* Fifteen minutes before, the policy says no. */
static const char *begin(struct daemon *s, int program)
{
    struct treatment_context w = world(s, program);
    struct findings found;
    struct rejection r;

    if (treatment_is_open(&s->t))
        return NULL; /* session.c refuses it before it is asked */
    plan(&s->t, s->now_us);
    s->t.state = TREATMENT_NONE;
    s->t.input.numbing_min = 60;
    policy_evaluate(&policy, &s->t.input, &found);
    s->t.input.numbing_min = 0; /* it is looked at again before ARM */
    if (!treatment_may_begin(&w, &found, &r))
        return w.has_lease && s->journal && w.pen_is_safe ? "a session was refused for nothing" : NULL;
    if (!w.has_lease || !s->journal || !w.pen_is_safe)
        return "a session has begun without lease, journal or a pen in SAFE";
    s->t.state = TREATMENT_PREPARED;
    s->numbing = false;
    return NULL;
}

static const char *try_arm(struct daemon *s, int program, bool wrong_generation)
{
    struct treatment_context w = world(s, program);
    enum treatment_state before = s->t.state;
    struct findings found;
    struct rejection r;
    bool may, should;

    if (!treatment_is_open(&s->t))
        return NULL;
    w.asked_generation += wrong_generation;
    w.now_us = s->t.said_us + (s->numbing ? UINT64_C(3600000000) : 60000000);
    should = w.has_lease && s->journal && w.pen_is_safe && !wrong_generation && s->t.generation != 0 && s->generation <= s->t.generation && s->numbing &&
             (before == TREATMENT_PREPARED || before == TREATMENT_PAUSED);
    treatment_evaluate(&s->t, &policy, w.now_us, &found);
    may = treatment_may_arm(&s->t, &found, &w, &r);
    if (s->t.state != before)
        return "asking whether it may be armed has changed its state";
    if (may && !should)
        return "ARM goes out without lease, journal, policy, a pen in SAFE or the configuration that was seen";
    if (!may && should)
        return "ARM was refused for nothing";
    if (may) {
        treatment_arm_sent(&s->t);
        s->armed_by = program;
    }
    return NULL;
}

static const char *pen_event(struct daemon *s, enum treatment_pen pen, bool safe)
{
    bool live = treatment_is_live(&s->t), armed = live && s->t.state != TREATMENT_ARMING, stop;

    s->pen = pen;
    s->safe = safe;
    stop = treatment_pen_is(&s->t, pen, "");
    if (!live && (pen == PEN_IS_ARMED || pen == PEN_IS_RUNNING) && !stop)
        return "a pen that nobody has armed is not stopped";
    if (live && stop)
        return "a pen is stopped that was armed";
    if (!live && treatment_is_live(&s->t))
        return "the session goes on by itself";
    if (treatment_is_live(&s->t) && (pen == PEN_IS_GONE || (armed && pen == PEN_IS_AT_REST)))
        return "the session goes on although its pen is gone, or rests";
    if (!treatment_is_live(&s->t))
        s->armed_by = -1;
    return NULL;
}

static const char *daemon_act(struct daemon *s, int event)
{
    int program = event < TIME ? event % PROGRAMS : 0, before = owner_of(s);
    struct treatment_context w = world(s, program);
    struct rejection r;
    struct leases l;
    const struct lease *silent;

    switch (event < TIME ? event - program : event) {
    case TAKE:
    case TAKE_OVER:
    case RELEASE:
    case PONG:
        return lease_event(s, event - program, program);
    case BEGIN:
        return begin(s, program);
    case SELECT:
        if (!treatment_is_open(&s->t) || !treatment_may_select(&s->t, &w, &r))
            return NULL;
        if (!w.has_lease || treatment_is_live(&s->t))
            return "a zone was chosen by a program without the lease, or while the pen is armed";
        treatment_selecting(&s->t, 0);
        treatment_selected(&s->t, ++s->generation);
        return NULL;
    case ARM:
    case ARM_WRONG:
        return try_arm(s, program, event - program == ARM_WRONG);
    case END:
        if (!treatment_may_end(&s->t, &w, &r))
            return NULL;
        if (before >= 0 && before != program)
            return "a session was ended by a program while another controls its pen";
        treatment_end(&s->t, END_COMPLETED);
        s->armed_by = -1;
        return NULL;
    case TIME:
        s->now_us += 1000000;
        leases_put(&l, s);
        silent = lease_expired(&l, s->now_us);
        if (silent != NULL)
            lease_release(&l, "P", silent->holder);
        else if (before >= 0 && s->now_us - s->lease.heard_us >= LEASE_LIVENESS_US) {
            leases_free(&l);
            return "a silent program keeps its lease";
        }
        leases_get(s, &l);
        lost(s, before);
        s->numbing = treatment_is_open(&s->t);
        return NULL;
    case PEN_GONE:
        return pen_event(s, PEN_IS_GONE, false);
    case PEN_RESTS:
        return pen_event(s, PEN_IS_AT_REST, false);
    case PEN_SAFE:
        return pen_event(s, PEN_IS_AT_REST, true);
    case PEN_ARMED:
        return pen_event(s, PEN_IS_ARMED, false);
    case PEN_RUNS:
        return pen_event(s, PEN_IS_RUNNING, false);
    case OTHER_CONFIGURES:
        s->generation++;
        return NULL;
    case ANSWER_TAKEN:
    case ANSWER_REFUSED:
        treatment_arm_answered(&s->t, event == ANSWER_TAKEN);
        break;
    case ANSWER_LATE:
        treatment_arm_late(&s->t);
        break;
    case DISK_FAILS:
    case DISK_WORKS:
        s->journal = event == DISK_WORKS;
        return NULL;
    case ALL_IS_IN:
        if (s->t.state == TREATMENT_ENDING)
            treatment_ended(&s->t, 1, false);
        return NULL;
    case DAEMON_DIES: /* what history_restore() makes of it */
        s->lease = (struct lease){0};
        if (treatment_is_open(&s->t))
            treatment_end(&s->t, END_INTERRUPTED);
        s->armed_by = -1;
        return NULL;
    default:
        break;
    }
    if (!treatment_is_live(&s->t))
        s->armed_by = -1;
    return NULL;
}

static const char *daemon_apply(void *state, int event)
{
    struct daemon *s = state;
    enum treatment_state before = s->t.state;
    const char *wrong = daemon_act(s, event);

    if (wrong != NULL)
        return wrong;
    if (treatment_is_live(&s->t) && s->armed_by < 0)
        return "the session is armed, and by nobody";
    if (treatment_is_live(&s->t) && owner_of(s) != s->armed_by)
        return "the session is armed by a program that does not control the pen";
    if (before == TREATMENT_ENDED && s->t.state != TREATMENT_ENDED && event / PROGRAMS != BEGIN / PROGRAMS)
        return "an ended session is open again";
    if (before == TREATMENT_ENDING && treatment_is_live(&s->t))
        return "a session that is being ended goes on";
    return NULL;
}

static void daemon_key(const void *state, uint8_t key[EXPLORE_KEY])
{
    const struct daemon *s = state;
    uint64_t silent_us = s->now_us - s->lease.heard_us;

    key[0] = (uint8_t)s->t.state;
    key[1] = (uint8_t)(owner_of(s) + 1);
    key[2] = (uint8_t)(s->lease.holder != NULL ? silent_us / 500000 : 0);
    key[3] = (uint8_t)s->pen;
    key[4] = (uint8_t)(s->safe | s->journal << 1 | s->numbing << 2 | s->t.arm_answered << 3);
    key[5] = (uint8_t)(s->t.generation == 0 ? 0 : s->generation > s->t.generation ? 1 : 2);
    key[6] = (uint8_t)(s->armed_by + 1);
    key[7] = (uint8_t)s->t.end;
}

static void every_state_of_leases_and_sessions(void **state)
{
    struct daemon first = {.now_us = 3600000000u, .journal = true, .safe = true, .pen = PEN_IS_AT_REST, .armed_by = -1};
    struct explore x = {.name = "leases and sessions", .state_size = sizeof(first), .event_count = DAEMON_EVENTS, .apply = daemon_apply, .key = daemon_key,
                        .event_name = daemon_event_name};

    (void)state;
    policy_default(&policy);
    assert_true(explore(&x, &first));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_of_leases_and_sessions),
        cmocka_unit_test(every_state_of_the_firmware),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("explore", tests, NULL, NULL);
}
