/* What the pen sends unrequested: status on the interrupt endpoint, and telemetry. */
#include "pen_inside.h"

struct telemetry_facts pen_telemetry_facts(const struct pen *p, const struct pen_sensors *in)
{
    int32_t load = p->state == mnp_State_STATE_RUNNING ? motor_load_permille(in->motor_current_ma, in->rate_dhz) : 0;

    return (struct telemetry_facts){
        .boot_id = p->boot_id,
        .state = p->state,
        .fault_word = p->faults.word,
        .strokes_session = p->strokes_session,
        .duty_permille = p->out.duty_permille,
        .load_permille = load,
        .skin_contact = load > 50,
        .depth_set_um = (int32_t)pen_in_force(p)->value[SETTING_depth_um],
        .rate_set_dhz = (int32_t)pen_in_force(p)->value[SETTING_stroke_rate_dhz],
    };
}

void pen_status(const struct pen *p, mnp_Status *out)
{
    uint64_t motor_ms = p->counters.motor_on_ms_low | (uint64_t)p->counters.motor_on_ms_high << 32;
    uint64_t age = p->now_ms - p->heartbeat_ms;

    *out = (mnp_Status){
        .has_state = true,
        .state = p->state,
        .has_fault_word = true,
        .fault_word = p->faults.word,
        .has_trigger = true,
        .trigger = p->trigger_held,
        .has_cartridge = true,
        .cartridge = p->cartridge.state,
        .has_t_us = true,
        .t_us = p->now_ms * 1000,
        .has_strokes_session = true,
        .strokes_session = p->strokes_session,
        .has_strokes_total = true,
        .strokes_total = p->counters.strokes_total,
        .has_motor_on_s = true,
        .motor_on_s = (uint32_t)(motor_ms / 1000),
        .has_heartbeat_age_ms = true,
        .heartbeat_age_ms = age < UINT32_MAX ? (uint32_t)age : UINT32_MAX,
        .has_bad_frames = true,
        .bad_frames = p->link.bad_frames,
        .has_sequence_gaps = true,
        .sequence_gaps = p->link.sequence_gaps,
        .has_replies = true,
        .replies = p->link.replies_sent,
        .has_replies_late = true,
        .replies_late = p->link.replies_late,
        .has_reply_max_ms = true,
        .reply_max_ms = p->link.reply_max_ms,
        .has_foreign_frames = true,
        .foreign_frames = p->link.foreign_frames,
        .has_telemetry_dropped = true,
        .telemetry_dropped = p->telemetry.dropped,
        .has_boot_id = true,
        .boot_id = p->boot_id,
        .has_reset_cause = true,
        .reset_cause = p->reset_cause,
        .has_config_generation = true,
        .config_generation = p->settings.generation,
        .has_records_oldest = true,
        .records_oldest = p->records.oldest,
        .has_records_newest = true,
        .records_newest = p->records.newest,
        .has_records_acked = true,
        .records_acked = p->records.acked,
    };
}

static bool status_differs(const struct mn_pen_status *a, const struct mn_pen_status *b)
{
    return a->state != b->state || a->trigger != b->trigger || a->cartridge != b->cartridge ||
           a->fault_word != b->fault_word || a->records_newest != b->records_newest ||
           a->config_generation != b->config_generation;
}

/* Sends the status at each change and once a second. If the endpoint is busy, it is tried again at the next tick. */
void pen_status_tick(struct pen *p)
{
    struct mn_pen_status s = {
        .state = (uint8_t)p->state,
        .trigger = p->trigger_held,
        .cartridge = (uint8_t)p->cartridge.state,
        .fault_word = p->faults.word,
        .boot_id = p->boot_id,
        .count = p->status_count + 1,
        .records_newest = p->records.newest,
        .config_generation = p->settings.generation,
        .telemetry_dropped = p->telemetry.dropped,
    };
    uint8_t bytes[MN_PEN_STATUS_SIZE];

    if (p->status_count != 0 && !status_differs(&s, &p->status_sent) && p->now_ms - p->status_sent_ms < MN_STATUS_PERIOD_MS)
        return;
    mn_pen_status_write(bytes, &s);
    if (!p->port->send(p->port->ctx, PEN_INTERRUPT_IN, bytes, sizeof(bytes)))
        return;
    p->status_count++;
    p->status_sent = s;
    p->status_sent_ms = p->now_ms;
}

void pen_send(struct pen *p)
{
    const struct telemetry_payload *payload;

    if (p->link.session == 0 || !link_flush(&p->link, p->port, p->now_ms))
        return;
    while ((payload = telemetry_peek(&p->telemetry)) != NULL) {
        if (!link_send(&p->link, p->port, mnp_FrameType_TYPE_TELEMETRY, 0, payload->bytes, payload->length))
            return;
        telemetry_pop(&p->telemetry);
    }
}
