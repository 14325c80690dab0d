/* The pen's records: boots, faults, changes of the configuration, runs. */
#include "pen_inside.h"

#include "nvm.h"

static bool record_append(struct pen *p, mnp_Record *r)
{
    r->has_boot_id = r->has_t_us = r->has_kind = true;
    r->boot_id = p->boot_id;
    r->t_us = p->now_ms * 1000;
    return records_append(p->port, &p->records, r);
}

void pen_record_boot(struct pen *p)
{
    mnp_Record r = {.kind = mnp_RecordKind_RECORD_BOOT, .which_body = mnp_Record_boot_tag};

    r.body.boot = (mnp_BootRecord){
        .has_reset_cause = true,
        .reset_cause = p->reset_cause,
        .has_boot_count = true,
        .boot_count = p->counters.boot_count,
        .has_firmware_version = true,
        .firmware_version = PEN_FIRMWARE_VERSION,
    };
    record_append(p, &r);
}

void pen_record_faults(struct pen *p, uint32_t bits, bool raised)
{
    for (int i = 0; i < FAULT_COUNT; i++) {
        mnp_Record r = {.kind = mnp_RecordKind_RECORD_FAULT, .which_body = mnp_Record_fault_tag};

        if ((bits & UINT32_C(1) << i) == 0)
            continue;
        r.body.fault = (mnp_FaultRecord){
            .has_code = true,
            .code = fault_rows[i].code,
            .has_raised = true,
            .raised = raised,
            .has_state = true,
            .state = p->state,
            .has_fault_word = true,
            .fault_word = p->faults.word,
        };
        record_append(p, &r);
    }
}

void pen_record_config(struct pen *p)
{
    mnp_Record r = {.kind = mnp_RecordKind_RECORD_CONFIG, .which_body = mnp_Record_config_tag};

    r.body.config.has_generation = r.body.config.has_config = true;
    r.body.config.generation = p->settings.generation;
    settings_to_pb(&p->settings, &r.body.config.config);
    record_append(p, &r);
}

bool pen_record_run_begun(struct pen *p)
{
    mnp_Record r = {.kind = mnp_RecordKind_RECORD_RUN_BEGUN, .which_body = mnp_Record_run_begun_tag};

    r.body.run_begun = (mnp_RunBegunRecord){
        .has_treatment = true,
        .treatment = p->armed.treatment,
        .has_zone = true,
        .zone = p->armed.zone,
        .has_cartridge_uid = true,
        .cartridge_uid = p->cartridge.tag.uid,
        .has_cartridge_lot = true,
        .cartridge_lot = p->cartridge.tag.lot,
        .has_depth_um = true,
        .depth_um = p->frozen.settings.value[SETTING_depth_um],
        .has_stroke_rate_dhz = true,
        .stroke_rate_dhz = p->frozen.settings.value[SETTING_stroke_rate_dhz],
    };
    return record_append(p, &r);
}

/* At boot: records the end of a run that the loss of power has interrupted, without the values that are not known. */
void pen_record_broken_run(struct pen *p)
{
    mnp_Record r = mnp_Record_init_zero;
    mnp_RunBegunRecord begun;

    if (!records_newest_run(p->port, &p->records, &r) || r.kind != mnp_RecordKind_RECORD_RUN_BEGUN)
        return;
    begun = r.body.run_begun;
    r = (mnp_Record){.kind = mnp_RecordKind_RECORD_RUN, .which_body = mnp_Record_run_tag};
    r.body.run = (mnp_RunRecord){
        .has_end = true,
        .end = mnp_EndReason_END_POWER,
        .has_cartridge_uid = begun.has_cartridge_uid,
        .cartridge_uid = begun.cartridge_uid,
        .has_zone = begun.has_zone,
        .zone = begun.zone,
        .has_treatment = begun.has_treatment,
        .treatment = begun.treatment,
        .has_cartridge_lot = begun.has_cartridge_lot,
        .cartridge_lot = begun.cartridge_lot,
    };
    record_append(p, &r);
}

void pen_record_run(struct pen *p)
{
    mnp_Record r = {.kind = mnp_RecordKind_RECORD_RUN, .which_body = mnp_Record_run_tag};

    r.body.run = (mnp_RunRecord){
        .has_duration_ms = true,
        .duration_ms = (uint32_t)p->run.moving_ms,
        .has_strokes = true,
        .strokes = p->run.strokes,
        .has_depth_peak_um = true,
        .depth_peak_um = (uint32_t)p->run.depth_peak_um,
        .has_end = true,
        .end = p->run.end,
        .has_fault_code = p->run.fault_code != 0,
        .fault_code = p->run.fault_code,
        .has_cartridge_uid = true,
        .cartridge_uid = p->frozen.cartridge_uid,
        .has_zone = true,
        .zone = p->armed.zone,
        .has_treatment = true,
        .treatment = p->armed.treatment,
        .has_cartridge_lot = true,
        .cartridge_lot = p->frozen.cartridge_lot,
    };
    record_append(p, &r);
}
