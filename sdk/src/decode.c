#include "decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"

void decode_text(char *out, size_t cap, const char *in)
{
    escape_terminal(out, cap, in != NULL ? in : "", in != NULL ? strlen(in) : 0);
}

void decode_pen(struct mn_pen *out, const Mnc__PenInfo *in)
{
    *out = (struct mn_pen){
        .pen_id = in->pen_id,
        .link = (enum mn_link)in->link,
        .retry_ms = in->retry_ms,
        .simulated = in->simulated,
        .boot_id = in->boot_id,
        .state = (enum mn_state)in->state,
        .fault_word = in->fault_word,
        .trigger = in->trigger,
        .cartridge = (enum mn_cartridge)in->cartridge,
        .config_generation = in->config_generation,
        .records_newest = in->records_newest,
        .protocol_minor = in->protocol_minor,
        .capabilities = in->capabilities,
    };
    decode_text(out->serial, sizeof(out->serial), in->serial);
    decode_text(out->port, sizeof(out->port), in->port);
    decode_text(out->last_error, sizeof(out->last_error), in->last_error);
    decode_text(out->firmware_version, sizeof(out->firmware_version), in->firmware_version);
    decode_text(out->lease_name, sizeof(out->lease_name), in->lease_name);
    out->lease_pid = in->lease_pid;
    if (in->counters != NULL) {
        out->frames_in = in->counters->frames_in;
        out->frames_out = in->counters->frames_out;
        out->bytes_in = in->counters->bytes_in;
        out->bad_frames = in->counters->bad_frames;
        out->sequence_gaps = in->counters->sequence_gaps;
        out->foreign_frames = in->counters->foreign_frames;
        out->stale_replies = in->counters->stale_replies;
        out->late_frames = in->counters->late_frames;
        out->sessions = in->counters->sessions;
    }
}

static int by_serial(const void *a, const void *b)
{
    const struct mn_pen *x = a, *y = b;
    int order = strcmp(x->serial, y->serial);

    return order != 0 ? order : strcmp(x->port, y->port);
}

bool decode_pens(struct mn_pens *out, const Mnc__PenList *in)
{
    *out = (struct mn_pens){.pen = calloc(in->n_pen + 1, sizeof(*out->pen))};
    if (out->pen == NULL)
        return false;
    for (; out->count < in->n_pen; out->count++)
        decode_pen(&out->pen[out->count], in->pen[out->count]);
    qsort(out->pen, out->count, sizeof(*out->pen), by_serial);
    return true;
}

void mn_pens_free(struct mn_pens *pens)
{
    if (pens == NULL)
        return;
    free(pens->pen);
    *pens = (struct mn_pens){0};
}

static void take_config(struct mn_config *out, const Mnp__Config *in, uint32_t generation)
{
    size_t i = 0;

    memset(out, 0, sizeof(*out));
    out->generation = generation;
#define SETTING(name, tag, unit, min, max, step, default_value, text)                                                  \
    if (in->has_##name)                                                                                                \
        mn_config_put(out, i, in->name);                                                                               \
    i++;
#include "config.def"
#undef SETTING
}

void encode_config(Mnp__Config *out, const struct mn_config *in)
{
    size_t i = 0;

#define SETTING(name, tag, unit, min, max, step, default_value, text)                                                  \
    out->has_##name = (in->present >> i & 1) != 0;                                                                     \
    out->name = in->name;                                                                                              \
    i++;
#include "config.def"
#undef SETTING
}

static bool take_body(struct mn_record *out, const Mnp__Record *r)
{
    switch (r->body_case) {
    case MNP__RECORD__BODY_BOOT:
        out->kind = MN_RECORD_BOOT;
        out->boot.reset_cause = (uint32_t)r->boot->reset_cause;
        out->boot.boot_count = r->boot->boot_count;
        return true;
    case MNP__RECORD__BODY_FAULT:
        out->kind = MN_RECORD_FAULT;
        out->fault.code = r->fault->code;
        out->fault.raised = r->fault->raised;
        out->fault.state = (enum mn_state)r->fault->state;
        out->fault.fault_word = r->fault->fault_word;
        return r->fault->has_code && r->fault->has_raised;
    case MNP__RECORD__BODY_CONFIG:
        out->kind = MN_RECORD_CONFIG;
        if (r->config->config == NULL)
            return false;
        take_config(&out->config, r->config->config, r->config->generation);
        return true;
    case MNP__RECORD__BODY_RUN:
        out->kind = MN_RECORD_RUN;
        out->run.duration_ms = r->run->duration_ms;
        out->run.strokes = r->run->strokes;
        out->run.depth_peak_um = r->run->depth_peak_um;
        out->run.end = (uint32_t)r->run->end <= MNP__END_REASON__END_POWER ? (enum mn_run_end)r->run->end : MN_RUN_UNKNOWN;
        out->run.fault_code = r->run->fault_code;
        out->run.cartridge_uid = r->run->cartridge_uid;
        out->run.cartridge_lot = r->run->cartridge_lot;
        out->run.zone = r->run->zone;
        return true;
    case MNP__RECORD__BODY_RUN_BEGUN:
        out->kind = MN_RECORD_RUN_BEGUN;
        out->run_begun.depth_um = r->run_begun->depth_um;
        out->run_begun.stroke_rate_dhz = r->run_begun->stroke_rate_dhz;
        out->run_begun.cartridge_uid = r->run_begun->cartridge_uid;
        out->run_begun.cartridge_lot = r->run_begun->cartridge_lot;
        out->run_begun.zone = r->run_begun->zone;
        return true;
    default:
        out->kind = MN_RECORD_UNKNOWN; /* of a later protocol minor */
        return true;
    }
}

static bool take_record(struct mn_record *out, const ProtobufCBinaryData *bytes)
{
    Mnp__Record *r = mnp__record__unpack(NULL, bytes->len, bytes->data);
    bool good = r != NULL && r->has_number && r->has_boot_id && r->has_t_us;

    if (good) {
        out->number = r->number;
        out->boot_id = r->boot_id;
        out->t_us = r->t_us;
        good = take_body(out, r);
    }
    mnp__record__free_unpacked(r, NULL);
    return good;
}

bool decode_record(struct mn_record *out, uint64_t journal, const Mnc__JournalRecord *in)
{
    memset(out, 0, sizeof(*out));
    if (!in->has_position || !in->has_kind)
        return false;
    decode_text(out->serial, sizeof(out->serial), in->serial);
    out->cursor = (struct mn_cursor){journal, in->position};
    out->volume = in->volume;
    out->host_us = in->host_us;
    out->host_bound_us = in->has_host_bound_us ? in->host_bound_us : MN_BOUND_UNKNOWN;
    if (in->has_record)
        return take_record(out, &in->record);
    out->kind = in->kind >= MNC__JOURNAL_KIND__JOURNAL_BEGUN && in->kind <= MNC__JOURNAL_KIND__JOURNAL_ADVERSE ? (enum mn_record_kind)in->kind
                                                                                                               : MN_RECORD_UNKNOWN;
    if (in->note != NULL) {
        out->note.first = in->note->first;
        out->note.through = in->note->through;
        decode_text(out->note.text, sizeof(out->note.text), in->note->text);
    }
    return true;
}

void mn_records_free(struct mn_records *records)
{
    if (records == NULL)
        return;
    free(records->record);
    *records = (struct mn_records){0};
}

bool decode_records(struct mn_records *out, const Mnc__RecordsReply *in)
{
    memset(out, 0, sizeof(*out));
    if (in->next == NULL || !in->next->has_journal || !in->next->has_position)
        return false;
    out->next = (struct mn_cursor){in->next->journal, in->next->position};
    out->end = in->end;
    out->missed = in->missed;
    out->record = calloc(in->n_record + 1, sizeof(*out->record));
    if (out->record == NULL)
        return false;
    for (; out->count < in->n_record; out->count++) {
        if (!decode_record(&out->record[out->count], in->next->journal, in->record[out->count]))
            out->record[out->count].kind = MN_RECORD_UNKNOWN; /* damaged in the pen: reported, not dropped */
    }
    return true;
}

bool decode_status(struct mn_status *out, const ProtobufCBinaryData *bytes)
{
    Mnp__Status *s = mnp__status__unpack(NULL, bytes->len, bytes->data);
    bool good = s != NULL && s->has_state && s->has_fault_word;

    if (good)
        *out = (struct mn_status){
            .state = (enum mn_state)s->state,
            .fault_word = s->fault_word,
            .trigger = s->trigger,
            .cartridge = (enum mn_cartridge)s->cartridge,
            .t_us = s->t_us,
            .strokes_session = s->strokes_session,
            .strokes_total = s->strokes_total,
            .motor_on_s = s->motor_on_s,
            .heartbeat_age_ms = s->heartbeat_age_ms,
            .bad_frames = s->bad_frames,
            .sequence_gaps = s->sequence_gaps,
            .foreign_frames = s->foreign_frames,
            .telemetry_dropped = s->telemetry_dropped,
            .boot_id = s->boot_id,
            .reset_cause = (uint32_t)s->reset_cause,
            .config_generation = s->config_generation,
            .records_oldest = s->records_oldest,
            .records_newest = s->records_newest,
            .records_acked = s->records_acked,
            .replies = s->replies,
            .replies_late = s->replies_late,
            .reply_max_ms = s->reply_max_ms,
        };
    if (s != NULL)
        mnp__status__free_unpacked(s, NULL);
    return good;
}

bool decode_info(struct mn_info *out, const ProtobufCBinaryData *bytes)
{
    Mnp__Info *i = mnp__info__unpack(NULL, bytes->len, bytes->data);
    bool good = i != NULL && i->serial != NULL;

    memset(out, 0, sizeof(*out));
    if (good) {
        decode_text(out->model, sizeof(out->model), i->model);
        decode_text(out->serial, sizeof(out->serial), i->serial);
        decode_text(out->firmware_version, sizeof(out->firmware_version), i->firmware_version);
        decode_text(out->hardware_revision, sizeof(out->hardware_revision), i->hardware_revision);
        out->boot_count = i->boot_count;
        out->reset_cause = (uint32_t)i->reset_cause;
        out->depth_max_um = i->depth_max_um;
        out->rate_min_dhz = i->rate_min_dhz;
        out->rate_max_dhz = i->rate_max_dhz;
        if (i->cartridge != NULL) {
            out->cartridge = (enum mn_cartridge)i->cartridge->state;
            out->cartridge_uid = i->cartridge->uid;
            out->cartridge_lot = i->cartridge->lot;
            out->needle_count = i->cartridge->needle_count;
            out->cartridge_max_depth_um = i->cartridge->max_depth_um;
            out->cartridge_expiry_s = i->cartridge->expiry_s;
        }
    }
    if (i != NULL)
        mnp__info__free_unpacked(i, NULL);
    return good;
}

bool decode_config(struct mn_config *out, const ProtobufCBinaryData *bytes)
{
    Mnp__ConfigState *s = mnp__config_state__unpack(NULL, bytes->len, bytes->data);
    bool good = s != NULL && s->config != NULL && s->has_generation;

    if (good)
        take_config(out, s->config, s->generation);
    if (s != NULL)
        mnp__config_state__free_unpacked(s, NULL);
    return good;
}

bool decode_cleared(struct mn_cleared *out, const ProtobufCBinaryData *bytes)
{
    Mnp__FaultClearReply *r = mnp__fault_clear_reply__unpack(NULL, bytes->len, bytes->data);
    bool good = r != NULL && r->has_fault_word && r->has_cleared;

    if (good)
        *out = (struct mn_cleared){.fault_word = r->fault_word, .cleared = r->cleared};
    if (r != NULL)
        mnp__fault_clear_reply__free_unpacked(r, NULL);
    return good;
}

bool decode_factory(struct mn_factory *out, const ProtobufCBinaryData *bytes)
{
    Mnp__Factory *f = mnp__factory__unpack(NULL, bytes->len, bytes->data);
    bool good = f != NULL && f->serial != NULL && f->udi != NULL && strlen(f->serial) <= MN_SERIAL_MAX && strlen(f->udi) <= MN_UDI_MAX;

    if (good) {
        *out = (struct mn_factory){.calibrated = f->calibration != NULL, .trial = f->trial, .left = f->left, .hashed = f->image_sha256.len == 32};
        strcpy(out->serial, f->serial);
        strcpy(out->udi, f->udi);
        if (out->hashed)
            memcpy(out->image_sha256, f->image_sha256.data, 32);
        if (f->calibration != NULL) {
            const Mnp__Calibration *c = f->calibration;

            out->calibration = (struct mn_calibration){c->depth_gain_ppm, c->depth_offset_um, c->rate_gain_ppm, c->rate_offset_dhz, c->current_offset_ma};
            out->stored = c->has_crc;
            out->calibration_crc = c->crc;
        }
    }
    mnp__factory__free_unpacked(f, NULL);
    return good;
}

static int error_of_pen(Mnp__ErrorCode code)
{
    switch (code) {
    case MNP__ERROR_CODE__ERROR_UNSUPPORTED:
        return MN_ERR_UNSUPPORTED;
    case MNP__ERROR_CODE__ERROR_OUT_OF_RANGE:
        return MN_ERR_RANGE;
    case MNP__ERROR_CODE__ERROR_CONFLICT:
        return MN_ERR_CONFLICT;
    case MNP__ERROR_CODE__ERROR_STATE:
        return MN_ERR_STATE;
    case MNP__ERROR_CODE__ERROR_FAULT:
        return MN_ERR_FAULT;
    case MNP__ERROR_CODE__ERROR_BUSY:
        return MN_ERR_BUSY;
    case MNP__ERROR_CODE__ERROR_STORAGE:
        return MN_ERR_STORAGE;
    case MNP__ERROR_CODE__ERROR_VERSION:
        return MN_ERR_VERSION;
    case MNP__ERROR_CODE__ERROR_FORBIDDEN:
        return MN_ERR_FORBIDDEN;
    case MNP__ERROR_CODE__ERROR_WRITTEN:
        return MN_ERR_WRITTEN;
    default:
        return MN_ERR_PROTOCOL;
    }
}

void decode_pen_error(struct mn_result *r, char *text, size_t cap, const char *serial, const ProtobufCBinaryData *bytes)
{
    Mnp__Error *e = mnp__error__unpack(NULL, bytes->len, bytes->data);
    const struct mn_fault *fault;

    if (e == NULL) {
        r->error = MN_ERR_PROTOCOL;
        snprintf(text, cap, "pen %s: its refusal does not decode", serial);
        return;
    }
    r->error = error_of_pen(e->code);
    decode_text(r->range.field, sizeof(r->range.field), e->field);
    r->range.value = e->value;
    r->range.min = e->min;
    r->range.max = e->max;
    r->range.step = e->step;
    r->generation = e->generation;
    r->fault_code = e->fault_code;
    fault = mn_fault_by_code(e->fault_code);
    if (r->error == MN_ERR_RANGE && e->step == 0)
        snprintf(text, cap, "pen %s: %s is %u; it must be 0, or divide 1000 and be at most %u", serial, r->range.field, e->value, e->max);
    else if (r->error == MN_ERR_RANGE)
        snprintf(text, cap, "pen %s: %s is %u; it must be %u to %u in steps of %u", serial, r->range.field, e->value, e->min, e->max,
                 e->step);
    else if (r->error == MN_ERR_FAULT && e->has_max)
        snprintf(text, cap, "pen %s: %s (at most %u um)", serial, e->text != NULL ? e->text : "refused", e->max);
    else if (r->error == MN_ERR_FAULT)
        snprintf(text, cap, "pen %s: fault %u %s forbids it: %s", serial, e->fault_code, fault != NULL ? fault->name : "(unknown)",
                 fault != NULL ? fault->text : "");
    else
        snprintf(text, cap, "pen %s: %s", serial, e->text != NULL ? e->text : "refused");
    mnp__error__free_unpacked(e, NULL);
}

/* Converts deltas to values, in place. */
static bool sum_up(int32_t *column, size_t n, size_t count)
{
    uint32_t value = 0; /* wraps as the pen's arithmetic does; a pen that sends nonsense gets nonsense, not overflow */

    if (n != count)
        return false;
    for (size_t i = 0; i < n; i++) {
        value += (uint32_t)column[i];
        column[i] = (int32_t)value;
    }
    return true;
}

#define COLUMN(group, name) (sum_up((group)->name, (group)->n_##name, (group)->count) && ((out->name = (group)->name), true))

static bool take_fast(struct mn_fast *out, const Mnp__FastGroup *g)
{
    *out = (struct mn_fast){.first_seq = g->first_seq, .t0_us = g->t0_us, .period_us = g->period_us, .decimation = 1, .count = g->count};
    return COLUMN(g, depth_um) && COLUMN(g, stroke_rate_dhz) && COLUMN(g, motor_current_ma) && COLUMN(g, motor_duty_permille) &&
           COLUMN(g, load_permille) && COLUMN(g, skin_contact);
}

static bool take_slow(struct mn_slow *out, const Mnp__SlowGroup *g)
{
    *out = (struct mn_slow){.first_seq = g->first_seq, .t0_us = g->t0_us, .period_us = g->period_us, .decimation = 1, .count = g->count};
    return COLUMN(g, depth_set_um) && COLUMN(g, rate_set_dhz) && COLUMN(g, motor_temp_dc) && COLUMN(g, grip_temp_dc) &&
           COLUMN(g, battery_temp_dc) && COLUMN(g, battery_mv) && COLUMN(g, battery_ma) && COLUMN(g, battery_soc_pct) &&
           COLUMN(g, battery_cycles) && COLUMN(g, vbus_mv) && COLUMN(g, motor_rail_mv) && COLUMN(g, logic_rail_mv);
}

Mnp__TelemetryBatch *decode_telemetry(struct mn_telemetry *out, const char *serial, const ProtobufCBinaryData *bytes)
{
    Mnp__TelemetryBatch *b = mnp__telemetry_batch__unpack(NULL, bytes->len, bytes->data);

    memset(out, 0, sizeof(*out));
    if (b == NULL)
        return NULL;
    out->serial = serial;
    out->boot_id = b->boot_id;
    out->state = (enum mn_state)b->state;
    out->fault_word = b->fault_word;
    out->strokes_session = b->strokes_session;
    out->dropped_by_pen = b->dropped;
    if ((b->fast != NULL && !take_fast(&out->fast, b->fast)) || (b->slow != NULL && !take_slow(&out->slow, b->slow))) {
        mnp__telemetry_batch__free_unpacked(b, NULL);
        return NULL;
    }
    return b;
}
