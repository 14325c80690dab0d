#include "command_inside.h"

#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

void command_reply(struct link_reply *r, uint16_t type, const pb_msgdesc_t *fields, const void *message)
{
    pb_ostream_t stream = pb_ostream_from_buffer(r->payload, sizeof(r->payload));

    /* Cannot fail: every reply's size is bounded by pen.options, far below a payload. */
    pb_encode(&stream, fields, message);
    r->type = type;
    r->length = (uint16_t)stream.bytes_written;
    r->state = REPLY_READY;
}

void command_reject_with(struct link_reply *r, uint16_t type, mnp_Error *e, mnp_ErrorCode code, const char *text)
{
    e->has_code = e->has_text = true;
    e->code = code;
    strncpy(e->text, text, sizeof(e->text) - 1);
    command_reply(r, (uint16_t)(type | MN_TYPE_ERROR), mnp_Error_fields, e);
}

void command_reject(struct link_reply *r, uint16_t type, mnp_ErrorCode code, const char *text)
{
    command_reject_with(r, type, &(mnp_Error)mnp_Error_init_zero, code, text);
}

bool command_decode(const struct mn_frame *f, const pb_msgdesc_t *fields, void *message)
{
    pb_istream_t stream = pb_istream_from_buffer(f->payload, f->length);

    return pb_decode(&stream, fields, message);
}

void command_reply_status(struct pen *p, struct link_reply *r, uint16_t type)
{
    mnp_Status status;

    pen_status(p, &status);
    command_reply(r, (uint16_t)(type | MN_TYPE_REPLY), mnp_Status_fields, &status);
}

static void do_info(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    const struct pen_tag *tag = &p->cartridge.tag;
    bool readable = p->cartridge.state != mnp_CartridgeState_CARTRIDGE_ABSENT &&
                    p->cartridge.state != mnp_CartridgeState_CARTRIDGE_UNREADABLE;
    mnp_Info info = {
        .has_model = true,
        .model = PEN_MODEL,
        .has_serial = true,
        .has_firmware_version = true,
        .firmware_version = PEN_FIRMWARE_VERSION,
        .has_hardware_revision = true,
        .has_minor = true,
        .minor = MN_PROTOCOL_MINOR,
        .has_reset_cause = true,
        .reset_cause = p->reset_cause,
        .has_boot_count = true,
        .boot_count = p->counters.boot_count,
        .has_cartridge = true,
        .cartridge = {.has_state = true,
                      .state = p->cartridge.state,
                      .has_uid = readable,
                      .uid = tag->uid,
                      .has_lot = readable,
                      .lot = tag->lot,
                      .has_needle_count = readable,
                      .needle_count = tag->needle_count,
                      .has_max_depth_um = readable,
                      .max_depth_um = tag->max_depth_um,
                      .has_expiry_s = readable,
                      .expiry_s = tag->expiry_s},
        .has_depth_max_um = true,
        .depth_max_um = setting_ranges[SETTING_depth_um].max,
        .has_rate_min_dhz = true,
        .rate_min_dhz = setting_ranges[SETTING_stroke_rate_dhz].min,
        .has_rate_max_dhz = true,
        .rate_max_dhz = setting_ranges[SETTING_stroke_rate_dhz].max,
    };

    strncpy(info.hardware_revision, p->port->hardware_revision, sizeof(info.hardware_revision) - 1);
    strcpy(info.serial, p->factory.serial);
    command_reply(r, f->type | MN_TYPE_REPLY, mnp_Info_fields, &info);
}

static void do_status(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    command_reply_status(p, r, f->type);
}

static void answer_config(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    mnp_ConfigState state = {.has_config = true, .has_generation = true, .generation = p->settings.generation};

    settings_to_pb(&p->settings, &state.config);
    command_reply(r, f->type | MN_TYPE_REPLY, mnp_ConfigState_fields, &state);
}

static void do_config_get(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    answer_config(p, f, r);
}

/* Validates the whole configuration, then applies it. */
static void configure(struct pen *p, const struct mn_frame *f, struct link_reply *r, const struct settings *wanted,
                      bool has_expected, uint32_t expected)
{
    mnp_Error e = mnp_Error_init_zero;
    enum setting bad = settings_check(wanted);
    uint32_t depth_um = wanted->value[SETTING_depth_um];

    if (p->state != mnp_State_STATE_SAFE && p->state != mnp_State_STATE_FACTORY && p->state != mnp_State_STATE_FAULT) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_STATE, "settings change in SAFE, FACTORY or FAULT only: stop the pen, or let its self-test end, first");
    } else if (has_expected && expected != p->settings.generation) {
        e.has_generation = true;
        e.generation = p->settings.generation;
        command_reject_with(r, f->type, &e, mnp_ErrorCode_ERROR_CONFLICT, "somebody else has changed the configuration: read it again");
    } else if (bad != SETTING_COUNT) {
        const struct setting_range *range = &setting_ranges[bad];

        e.has_field = e.has_value = e.has_min = e.has_max = e.has_step = true;
        strncpy(e.field, range->name, sizeof(e.field) - 1);
        e.value = wanted->value[bad];
        e.min = range->min;
        e.max = range->max;
        e.step = range->step;
        command_reject_with(r, f->type, &e, mnp_ErrorCode_ERROR_OUT_OF_RANGE, "a setting is out of its range or step");
    } else if (cartridge_fit(&p->cartridge) && depth_um > p->cartridge.tag.max_depth_um &&
               depth_um != p->settings.value[SETTING_depth_um]) {
        e.has_fault_code = e.has_max = true;
        e.fault_code = fault_rows[FAULT_CARTRIDGE_DEPTH_MISMATCH].code;
        e.max = p->cartridge.tag.max_depth_um;
        command_reject_with(r, f->type, &e, mnp_ErrorCode_ERROR_FAULT, "deeper than the cartridge allows");
    } else if (!pen_configure(p, wanted)) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_STORAGE, "the pen's memory could not be written; nothing has changed");
    } else {
        answer_config(p, f, r);
    }
}

static void do_config_set(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    mnp_ConfigSet set = mnp_ConfigSet_init_zero;
    struct settings wanted = p->settings;

    if (!command_decode(f, mnp_ConfigSet_fields, &set) || !set.has_config) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, "CONFIG_SET needs config");
        return;
    }
    settings_merge(&wanted, &set.config);
    configure(p, f, r, &wanted, set.has_expected_generation, set.expected_generation);
}

static void do_config_reset(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    mnp_ConfigReset reset = mnp_ConfigReset_init_zero;
    struct settings wanted = p->settings;

    if (!command_decode(f, mnp_ConfigReset_fields, &reset)) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, "CONFIG_RESET does not decode");
        return;
    }
    settings_default(&wanted);
    configure(p, f, r, &wanted, reset.has_expected_generation, reset.expected_generation);
}

void command_arm(struct pen *p, const struct mn_frame *f, struct link_reply *r, const struct pen_arming *wanted)
{
    mnp_Error e = mnp_Error_init_zero;
    mnp_ArmReply reply = {.has_armed_for_s = true, .armed_for_s = p->settings.value[SETTING_auto_off_s]};
    uint16_t fault_code;

    switch (pen_arm(p, wanted, &fault_code)) {
    case PEN_ARM_OK:
        command_reply(r, f->type | MN_TYPE_REPLY, mnp_ArmReply_fields, &reply);
        break;
    case PEN_ARM_STATE:
        command_reject(r, f->type, mnp_ErrorCode_ERROR_STATE, "ARM needs a pen in SAFE (FACTORY_ARM: in FACTORY), its trigger released and a cartridge in it");
        break;
    case PEN_ARM_CONFLICT:
        e.has_generation = true;
        e.generation = p->settings.generation;
        command_reject_with(r, f->type, &e, mnp_ErrorCode_ERROR_CONFLICT, "ARM names another configuration than the pen has");
        break;
    case PEN_ARM_FAULT:
        e.has_fault_code = true;
        e.fault_code = fault_code;
        command_reject_with(r, f->type, &e, mnp_ErrorCode_ERROR_FAULT, "a fault forbids ARM");
        break;
    case PEN_ARM_ZONE:
        command_reject(r, f->type, mnp_ErrorCode_ERROR_ZONE, "this zone is never treated, or this pen does not know it");
        break;
    case PEN_ARM_DEPTH:
        e = (mnp_Error){.has_field = true, .field = "depth_um", .has_value = true, .value = p->settings.value[SETTING_depth_um], .has_min = true, .has_max = true,
                        .max = pen_zone_cap_um(wanted->zone), .has_step = true, .step = setting_ranges[SETTING_depth_um].step};
        command_reject_with(r, f->type, &e, mnp_ErrorCode_ERROR_OUT_OF_RANGE, "deeper than this zone may be treated");
        break;
    case PEN_ARM_CARTRIDGE:
        command_reject(r, f->type, mnp_ErrorCode_ERROR_CONFLICT, "ARM names another cartridge than is in the pen");
        break;
    }
}

static void do_arm(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    mnp_Arm m = mnp_Arm_init_zero;

    if (command_decode(f, mnp_Arm_fields, &m) && m.has_config_generation && m.has_zone && m.treatment != 0 && m.has_cartridge_uid)
        command_arm(p, f, r, &(struct pen_arming){.generation = m.config_generation, .zone = m.zone, .treatment = m.treatment, .cartridge_uid = m.cartridge_uid});
    else
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, "ARM needs config_generation, zone, treatment, and since protocol 1.4 cartridge_uid");
}

static void do_stop(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    pen_end_run(p, mnp_EndReason_END_STOP);
    command_reply_status(p, r, f->type);
}

static void do_fault_clear(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    mnp_FaultClear clear = mnp_FaultClear_init_zero;
    mnp_FaultClearReply reply = {.has_fault_word = true, .has_cleared = true};
    uint32_t mask = UINT32_MAX;

    if (!command_decode(f, mnp_FaultClear_fields, &clear)) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, "FAULT_CLEAR does not decode");
        return;
    }
    if (clear.has_code)
        mask = fault_mask_of_code(clear.code);
    if (mask == 0) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, "no fault has this code");
        return;
    }
    reply.cleared = pen_clear_faults(p, mask, clear.has_service && clear.service);
    reply.fault_word = p->faults.word;
    command_reply(r, f->type | MN_TYPE_REPLY, mnp_FaultClearReply_fields, &reply);
}

static void do_echo(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    (void)p;
    memcpy(r->payload, f->payload, f->length);
    r->length = f->length;
    r->type = f->type | MN_TYPE_REPLY;
    r->state = REPLY_READY;
}

static void do_records_get(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    mnp_RecordsGet get = mnp_RecordsGet_init_zero;

    if (!command_decode(f, mnp_RecordsGet_fields, &get) || !get.has_from) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, "RECORDS_GET needs from");
        return;
    }
    r->length = (uint16_t)records_page(p->port, &p->records, get.from, r->payload, sizeof(r->payload));
    r->type = f->type | MN_TYPE_REPLY;
    r->state = REPLY_READY;
}

static void do_records_ack(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    mnp_RecordsAck ack = mnp_RecordsAck_init_zero;
    mnp_RecordsAckReply reply = {.has_acked = true};

    if (!command_decode(f, mnp_RecordsAck_fields, &ack) || !ack.has_through) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, "RECORDS_ACK needs through");
        return;
    }
    if (!pen_ack_records(p, ack.through)) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_STORAGE, "the pen's memory could not be written");
        return;
    }
    reply.acked = p->records.acked;
    command_reply(r, f->type | MN_TYPE_REPLY, mnp_RecordsAckReply_fields, &reply);
}

static void do_self_test(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    if (!pen_self_test(p, r)) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_STATE, "a self-test needs a pen in SAFE");
        return;
    }
    p->link.progress_correlation = f->correlation;
    p->link.progress_permille = 0;
}

static void do_pace(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    mnp_Pace pace = mnp_Pace_init_zero;

    if (!command_decode(f, mnp_Pace_fields, &pace) || !pace.has_batch_ms) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, "PACE needs batch_ms");
        return;
    }
    if (pace.batch_ms < MN_BATCH_MIN_MS || pace.batch_ms > MN_BATCH_MS) {
        mnp_Error e = {.has_field = true, .field = "batch_ms", .has_value = true, .value = pace.batch_ms, .has_min = true, .min = MN_BATCH_MIN_MS,
                       .has_max = true, .max = MN_BATCH_MS, .has_step = true, .step = 1};

        command_reject_with(r, f->type, &e, mnp_ErrorCode_ERROR_OUT_OF_RANGE, "a batch spans 5 to 50 ms");
        return;
    }
    p->telemetry.batch_ms = pace.batch_ms;
    command_reply(r, f->type | MN_TYPE_REPLY, mnp_Pace_fields, &pace);
}

static const struct {
    request_fn *run;
    bool any_major; /* works with a host of another protocol major */
} requests[] = {
    [mnp_FrameType_TYPE_INFO] = {do_info, true},
    [mnp_FrameType_TYPE_STATUS] = {do_status, false},
    [mnp_FrameType_TYPE_CONFIG_GET] = {do_config_get, false},
    [mnp_FrameType_TYPE_CONFIG_SET] = {do_config_set, false},
    [mnp_FrameType_TYPE_CONFIG_RESET] = {do_config_reset, false},
    [mnp_FrameType_TYPE_ARM] = {do_arm, false},
    [mnp_FrameType_TYPE_STOP] = {do_stop, true},
    [mnp_FrameType_TYPE_FAULT_CLEAR] = {do_fault_clear, false},
    [mnp_FrameType_TYPE_ECHO] = {do_echo, false},
    [mnp_FrameType_TYPE_RECORDS_GET] = {do_records_get, false},
    [mnp_FrameType_TYPE_RECORDS_ACK] = {do_records_ack, false},
    [mnp_FrameType_TYPE_SELF_TEST] = {do_self_test, false},
    [mnp_FrameType_TYPE_PACE] = {do_pace, false},
    [mnp_FrameType_TYPE_FACTORY_GET] = {do_factory_get, false},
    [mnp_FrameType_TYPE_FACTORY_ENTER] = {do_factory_enter, false},
    [mnp_FrameType_TYPE_FACTORY_ARM] = {do_factory_arm, false},
    [mnp_FrameType_TYPE_FACTORY_WRITE] = {do_factory_write, false},
    [mnp_FrameType_TYPE_FACTORY_LEAVE] = {do_factory_leave, false},
};

static void session_end(struct pen *p)
{
    pen_host_gone(p);
    p->selftest_reply = NULL;
    link_reset(&p->link);
}

/* HELLO begins a session in any state. Its reply already has the new session's number. */
static void do_hello(struct pen *p, const struct mn_frame *f)
{
    mnp_Hello hello = mnp_Hello_init_zero;
    struct link_reply *r;
    bool good = command_decode(f, mnp_Hello_fields, &hello) && hello.has_nonce && hello.has_minor;

    session_end(p);
    r = link_claim(&p->link, f->correlation, p->now_ms);
    if (r == NULL)
        return; /* cannot happen: link_reset() has freed them all */
    link_open(&p->link, p->port->random(p->port->ctx) | 1);
    p->link.sequence_in = (uint16_t)(f->sequence + 1);
    p->strokes_session = 0;
    p->telemetry.batch_ms = MN_BATCH_MS;
    if (!good) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, "HELLO needs nonce and minor");
        return;
    }
    if (hello.has_host_time_s) {
        p->host_time_s = hello.host_time_s;
        p->host_time_at_ms = p->now_ms;
    }
    mnp_HelloReply reply = {
        .has_nonce = true,
        .nonce = hello.nonce,
        .has_session = true,
        .session = p->link.session,
        .has_boot_id = true,
        .boot_id = p->boot_id,
        .has_serial = true,
        .has_minor = true,
        .minor = MN_PROTOCOL_MINOR,
        .has_firmware_version = true,
        .firmware_version = PEN_FIRMWARE_VERSION,
        .has_window = true,
        .window = MN_WINDOW,
        .has_capabilities = true,
        .capabilities = mnp_Capability_CAPABILITY_TELEMETRY | mnp_Capability_CAPABILITY_RECORDS |
                        mnp_Capability_CAPABILITY_SELF_TEST | (p->simulated ? mnp_Capability_CAPABILITY_SIMULATED : 0u),
        .has_frame_max = true,
        .frame_max = MN_FRAME_MAX,
        .has_state = true,
        .state = p->state,
        .has_fault_word = true,
        .fault_word = p->faults.word,
        .has_config_generation = true,
        .config_generation = p->settings.generation,
        .has_records_oldest = true,
        .records_oldest = p->records.oldest,
        .has_records_newest = true,
        .records_newest = p->records.newest,
        .has_records_acked = true,
        .records_acked = p->records.acked,
        .has_trigger = true,
        .trigger = p->trigger_held,
        .has_cartridge = true,
        .cartridge = p->cartridge.state,
    };
    strcpy(reply.serial, p->factory.serial);
    command_reply(r, f->type | MN_TYPE_REPLY, mnp_HelloReply_fields, &reply);
}

static void request(struct pen *p, const struct mn_frame *f)
{
    struct link_reply *r = link_repeat(&p->link, f->correlation, p->now_ms);
    bool known = f->type < sizeof(requests) / sizeof(requests[0]) && requests[f->type].run != NULL;

    if (r != NULL)
        return; /* a repeated request: answered again, not applied again */
    r = link_claim(&p->link, f->correlation, p->now_ms);
    if (r == NULL)
        return; /* more in flight than the window allows: dropped, so the host times out */
    if (!known)
        command_reject(r, f->type & MN_TYPE_MASK, mnp_ErrorCode_ERROR_UNSUPPORTED, "this pen does not know the request");
    else if (f->major != MN_PROTOCOL_MAJOR && !requests[f->type].any_major)
        command_reject(r, f->type, mnp_ErrorCode_ERROR_VERSION, "another protocol major: only HELLO, INFO and STOP");
    else
        requests[f->type].run(p, f, r);
}

static void frame(struct pen *p, const struct mn_frame *f)
{
    if (f->type == mnp_FrameType_TYPE_HELLO) {
        do_hello(p, f);
        return;
    }
    if (p->link.session == 0 || f->session != p->link.session) {
        p->link.foreign_frames++;
        return;
    }
    if (f->sequence != p->link.sequence_in) {
        p->link.sequence_gaps++;
        link_note_bad(&p->link, p->now_ms);
    }
    p->link.sequence_in = (uint16_t)(f->sequence + 1);
    if (f->type == mnp_FrameType_TYPE_HEARTBEAT)
        p->heartbeat_ms = p->now_ms;
    else
        request(p, f);
}

void pen_receive(struct pen *p, const uint8_t *bytes, size_t n)
{
    struct mn_frame f;

    for (;;) {
        switch (mn_frame_next(&p->link.reader, &bytes, &n, &f)) {
        case MN_FRAME_NONE:
            return;
        case MN_FRAME_OK:
            frame(p, &f);
            break;
        case MN_FRAME_BAD:
            p->link.bad_frames++;
            link_note_bad(&p->link, p->now_ms);
            break;
        }
    }
}

void pen_control(struct pen *p, enum mn_control control)
{
    switch (control) {
    case MN_CONTROL_SESSION_RESET:
        session_end(p);
        break;
    case MN_CONTROL_STOP:
        pen_end_run(p, mnp_EndReason_END_STOP);
        break;
    }
}
