#include "rig.h"

#include <pb_decode.h>
#include <pb_encode.h>
#include <stdlib.h>
#include <string.h>

static bool take(void *ctx, enum pen_endpoint endpoint, const uint8_t *bytes, size_t n)
{
    struct rig *r = ctx;
    struct mn_frame_reader reader = {0};
    struct mn_frame f;

    if (r->deaf)
        return false;
    if (endpoint == PEN_INTERRUPT_IN) {
        assert_true(mn_pen_status_read(bytes, n, &r->status));
        r->statuses++;
        return true;
    }
    assert_int_equal(mn_frame_next(&reader, &bytes, &n, &f), MN_FRAME_OK);
    assert_int_equal(n, 0);
    if (f.type == mnp_FrameType_TYPE_TELEMETRY) {
        r->telemetry_frames++;
        if (!r->keep_telemetry)
            return true;
    }
    if (r->count == RIG_FRAMES)
        r->count = 0;
    memcpy(r->payloads[r->count], f.payload, f.length);
    f.payload = r->payloads[r->count];
    r->frames[r->count++] = f;
    return true;
}

void rig_start_as(struct rig *r, const char *serial, uint32_t seed, const char *nvm_path)
{
    memset(r, 0, sizeof(*r));
    r->payloads = calloc(RIG_FRAMES, sizeof(*r->payloads));
    assert_non_null(r->payloads);
    assert_int_equal(vpen_init(&r->v, serial, seed, nvm_path, take, r), 0);
    r->heartbeat = true;
    rig_run(r, 600);
    rig_hello(r);
}

void rig_start_with(struct rig *r, uint32_t seed, const char *nvm_path)
{
    rig_start_as(r, "TEST-1", seed, nvm_path);
}

void rig_start(struct rig *r)
{
    rig_start_with(r, 1, NULL);
}

void rig_stop(struct rig *r)
{
    vpen_deinit(&r->v);
    free(r->payloads);
}

void rig_send(struct rig *r, uint16_t type, uint16_t correlation, const void *payload, size_t n)
{
    uint8_t bytes[MN_FRAME_MAX];
    struct mn_frame f = {.major = MN_PROTOCOL_MAJOR,
                         .length = (uint16_t)n,
                         .sequence = r->sequence++,
                         .correlation = correlation,
                         .type = type,
                         .session = r->session,
                         .payload = payload};
    size_t size = mn_frame_write(bytes, sizeof(bytes), &f);

    assert_int_not_equal(size, 0);
    pen_receive(&r->v.pen, bytes, size);
}

void rig_run(struct rig *r, uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++) {
        if (r->heartbeat && r->session != 0 && r->v.pen.now_ms % MN_HEARTBEAT_PERIOD_MS == 0)
            rig_send(r, mnp_FrameType_TYPE_HEARTBEAT, 0, NULL, 0);
        vpen_advance(&r->v, 1);
    }
}

const struct mn_frame *rig_reply(struct rig *r, uint16_t correlation)
{
    for (uint32_t ms = 0; ms < 1000; ms++) {
        for (size_t i = r->count; i-- > 0;) {
            if (r->frames[i].correlation == correlation && (r->frames[i].type & MN_TYPE_REPLY))
                return &r->frames[i];
        }
        rig_run(r, 1);
    }
    fail_msg("no reply to %u", correlation);
    return NULL;
}

const struct mn_frame *rig_call(struct rig *r, uint16_t type, const pb_msgdesc_t *fields, const void *request)
{
    uint8_t payload[256];
    pb_ostream_t stream = pb_ostream_from_buffer(payload, sizeof(payload));

    if (fields != NULL)
        assert_true(pb_encode(&stream, fields, request));
    rig_send(r, type, ++r->correlation, payload, stream.bytes_written);
    return rig_reply(r, r->correlation);
}

void rig_decode(const struct mn_frame *f, const pb_msgdesc_t *fields, void *out)
{
    pb_istream_t stream = pb_istream_from_buffer(f->payload, f->length);

    assert_int_equal(f->type & MN_TYPE_ERROR, MN_TYPE_REPLY);
    assert_true(pb_decode(&stream, fields, out));
}

mnp_ErrorCode rig_error(const struct mn_frame *f)
{
    mnp_Error e = mnp_Error_init_zero;
    pb_istream_t stream = pb_istream_from_buffer(f->payload, f->length);

    if ((f->type & MN_TYPE_ERROR) != MN_TYPE_ERROR)
        return mnp_ErrorCode_ERROR_UNSPECIFIED;
    assert_true(pb_decode(&stream, mnp_Error_fields, &e));
    assert_true(strlen(e.text) < sizeof(e.text) - 1); /* a sentence that fills its field was cut */
    assert_true(e.has_code && e.has_text && e.text[0] != '\0');
    return e.code;
}

void rig_hello(struct rig *r)
{
    mnp_Hello hello = {.has_nonce = true, .nonce = 77, .has_minor = true, .has_host_time_s = true, .host_time_s = 1767225600};
    mnp_HelloReply reply = mnp_HelloReply_init_zero;

    pen_control(&r->v.pen, MN_CONTROL_SESSION_RESET);
    r->session = 0;
    r->sequence = 0;
    r->correlation = 0;
    r->count = 0;
    rig_decode(rig_call(r, mnp_FrameType_TYPE_HELLO, mnp_Hello_fields, &hello), mnp_HelloReply_fields, &reply);
    assert_int_equal(reply.nonce, 77);
    assert_int_not_equal(reply.session, 0);
    r->session = reply.session;
}

mnp_ConfigState rig_config(struct rig *r)
{
    mnp_ConfigState state = mnp_ConfigState_init_zero;

    rig_decode(rig_call(r, mnp_FrameType_TYPE_CONFIG_GET, NULL, NULL), mnp_ConfigState_fields, &state);
    return state;
}

void rig_set(struct rig *r, enum setting s, uint32_t value)
{
    mnp_ConfigSet set = {.has_config = true};
    struct settings all = r->v.pen.settings;
    mnp_ConfigState state = mnp_ConfigState_init_zero;

    all.value[s] = value;
    settings_to_pb(&all, &set.config);
    rig_decode(rig_call(r, mnp_FrameType_TYPE_CONFIG_SET, mnp_ConfigSet_fields, &set), mnp_ConfigState_fields, &state);
}

mnp_Arm rig_arming(const struct rig *r, uint32_t zone, uint64_t treatment)
{
    return (mnp_Arm){.has_config_generation = true,
                     .config_generation = r->v.pen.settings.generation,
                     .has_zone = true,
                     .zone = zone,
                     .has_treatment = true,
                     .treatment = treatment,
                     .has_cartridge_uid = true,
                     .cartridge_uid = r->v.pen.cartridge.tag.uid};
}

void rig_arm(struct rig *r)
{
    mnp_Arm arm = rig_arming(r, 8, 1);
    mnp_ArmReply reply = mnp_ArmReply_init_zero;

    rig_decode(rig_call(r, mnp_FrameType_TYPE_ARM, mnp_Arm_fields, &arm), mnp_ArmReply_fields, &reply);
    assert_int_equal(r->v.pen.state, mnp_State_STATE_ARMED);
}

void rig_say(struct rig *r, const char *line)
{
    char answer[512];

    vpen_command(&r->v, line, answer, sizeof(answer));
    if (strncmp(answer, "ok", 2) != 0)
        fail_msg("%s: %s", line, answer);
}

bool rig_has_fault(const struct rig *r, unsigned code)
{
    return (r->v.pen.faults.word & fault_mask_of_code(code)) != 0;
}

uint32_t rig_until_state(struct rig *r, mnp_State state, uint32_t limit_ms)
{
    for (uint32_t ms = 0; ms <= limit_ms; ms++) {
        if (r->v.pen.state == state)
            return ms;
        rig_run(r, 1);
    }
    fail_msg("state %d not reached within %u ms; it is %d", state, limit_ms, r->v.pen.state);
    return 0;
}

uint32_t rig_until_fault(struct rig *r, unsigned code, uint32_t limit_ms)
{
    for (uint32_t ms = 0; ms <= limit_ms; ms++) {
        if (rig_has_fault(r, code))
            return ms;
        rig_run(r, 1);
    }
    fail_msg("fault %u not raised within %u ms; fault word %08x, state %d", code, limit_ms, r->v.pen.faults.word, r->v.pen.state);
    return 0;
}

struct rig the_rig;

int rig_setup(void **state)
{
    (void)state;
    rig_start(&the_rig);
    return 0;
}

int rig_teardown(void **state)
{
    (void)state;
    rig_stop(&the_rig);
    return 0;
}

void rig_start_needles(struct rig *r)
{
    rig_arm(r);
    rig_say(r, "trigger press");
    rig_until_state(r, mnp_State_STATE_RUNNING, 20);
}

void rig_stop_needles(struct rig *r)
{
    rig_say(r, "trigger release");
    rig_until_state(r, mnp_State_STATE_SAFE, 500);
}

void rig_step(struct rig *r, void (*lie)(struct pen_sensors *s))
{
    model_step(&r->v.model, &r->v.actuators, &r->v.sensors);
    if (lie != NULL)
        lie(&r->v.sensors);
    if (r->v.pen.now_ms % MN_HEARTBEAT_PERIOD_MS == 0)
        rig_send(r, mnp_FrameType_TYPE_HEARTBEAT, 0, NULL, 0);
    pen_tick(&r->v.pen, &r->v.sensors, &r->v.actuators);
}
