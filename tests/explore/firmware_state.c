#include <pb_decode.h>
#include <pb_encode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware_state.h"

struct vpen vpen;
enum { STILL_MS = 350 };

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

void state_put(const struct firmware *s)
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

void state_get(struct firmware *s)
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

bool hears(void)
{
    return !vpen.hung && vpen.model.vbus;
}

void send_frame(struct firmware *s, uint16_t type, const pb_msgdesc_t *fields, const void *message)
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

bool was_answered(void)
{
    return replied;
}

bool was_taken(void)
{
    return replied && refused == mnp_ErrorCode_ERROR_UNSPECIFIED;
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

const char *pass(struct firmware *s, uint32_t ms)
{
    const char *wrong = NULL;

    for (uint32_t i = 0; wrong == NULL && i < ms; i++)
        wrong = tick(s);
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
void state_key(const void *state, uint8_t key[EXPLORE_KEY])
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

bool state_first(struct firmware *first)
{
    mnp_ConfigSet quiet = {.has_config = true, .config = {.has_fast_rate_hz = true, .has_slow_rate_hz = true, .has_auto_off_s = true, .auto_off_s = 5}};
    mnp_Hello hello = {.has_nonce = true, .nonce = 7, .has_minor = true, .minor = 1};

    if (vpen_init(&vpen, "EXPLORE", 1, NULL, take, NULL) != 0)
        return false;
    nvm_write = vpen.port.nvm_write;
    vpen.port.nvm_write = note_write;
    memset(vpen.nvm + NVM_LEFT, 0, 2 * NVM_SLOT_SIZE); /* it has not left the factory yet */
    vpen_power_cycle(&vpen, mnp_ResetCause_RESET_POWER_ON);
    state_get(first);
    if (pass(first, 700) != NULL)
        return false;
    first->host = true;
    send_frame(first, mnp_FrameType_TYPE_HELLO, mnp_Hello_fields, &hello);
    send_frame(first, mnp_FrameType_TYPE_CONFIG_SET, mnp_ConfigSet_fields, &quiet); /* telemetry is not explored */
    state_get(first);
    return was_taken();
}
