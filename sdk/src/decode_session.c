/* Treatment sessions and the policy, from the daemon's messages. */
#include "decode.h"

#include <string.h>

void decode_findings(struct mn_finding *out, size_t *count, size_t cap, size_t n, Mnc__Finding *const *in)
{
    for (*count = 0; *count < n && *count < cap; ++*count) {
        const Mnc__Finding *f = in[*count];
        struct mn_finding *o = &out[*count];

        *o = (struct mn_finding){.decision = f->has_decision ? (enum mn_decision)f->decision : MN_DECISION_BLOCK, .code = f->code, .value = f->value, .limit = f->limit};
        decode_text(o->name, sizeof(o->name), f->name);
        decode_text(o->unit, sizeof(o->unit), f->unit);
        decode_text(o->source, sizeof(o->source), f->source);
        decode_text(o->text, sizeof(o->text), f->text);
    }
}

static void take_zones(struct mn_session *out, const Mnc__Session *in)
{
    for (out->zone_count = 0; out->zone_count < in->n_zone && out->zone_count < MN_STEPS_MAX; out->zone_count++) {
        const Mnc__SessionZone *z = in->zone[out->zone_count];

        out->zone[out->zone_count] = (struct mn_session_zone){
            .zone = z->zone,
            .depth_um = z->depth_um,
            .stroke_rate_dhz = z->stroke_rate_dhz,
            .runs = z->runs,
            .strokes = z->strokes,
            .punctures = z->punctures,
            .motor_ms = z->motor_ms,
            .depth_peak_um = z->depth_peak_um,
            .broken_off = z->broken_off,
        };
    }
}

bool decode_session(struct mn_session *out, const Mnc__Session *in)
{
    memset(out, 0, sizeof(*out));
    if (!in->has_number || in->serial == NULL || in->subject == NULL)
        return false;
    out->number = in->number;
    decode_text(out->serial, sizeof(out->serial), in->serial);
    decode_text(out->subject, sizeof(out->subject), in->subject);
    decode_text(out->indication, sizeof(out->indication), in->indication);
    decode_text(out->by, sizeof(out->by), in->by);
    decode_text(out->text, sizeof(out->text), in->text);
    decode_text(out->policy_name, sizeof(out->policy_name), in->policy_name);
    out->state = in->has_state ? (enum mn_session_state)in->state : MN_SESSION_UNKNOWN;
    out->end = in->has_end ? (enum mn_session_end)in->end : MN_END_NONE;
    out->begun_us = in->begun_us;
    out->ended_us = in->ended_us;
    out->incomplete = in->incomplete;
    out->cartridge_uid = in->cartridge_uid;
    out->cartridge_lot = in->cartridge_lot;
    out->needle_count = in->needle_count;
    out->products = in->products;
    out->continues = in->continues;
    for (; out->cartridge_count < in->n_cartridge && out->cartridge_count < MN_SESSION_CARTRIDGES_MAX; out->cartridge_count++) {
        const Mnc__SessionCartridge *from = in->cartridge[out->cartridge_count];

        out->cartridge[out->cartridge_count] = (struct mn_session_cartridge){.uid = from->uid, .lot = from->lot, .needle_count = from->needle_count, .runs = from->runs,
                                                                             .strokes = from->strokes};
    }
    out->zone_now = in->zone_now;
    out->config_generation = in->config_generation;
    if (in->policy_sha256.len == sizeof(out->policy_sha256))
        memcpy(out->policy_sha256, in->policy_sha256.data, sizeof(out->policy_sha256));
    take_zones(out, in);
    decode_findings(out->finding, &out->finding_count, MN_SESSION_FINDINGS_MAX, in->n_finding, in->finding);
    for (; out->fault_count < in->n_fault_code && out->fault_count < 16; out->fault_count++)
        out->fault[out->fault_count] = in->fault_code[out->fault_count];
    for (; out->adverse_count < in->n_adverse && out->adverse_count < 16; out->adverse_count++)
        out->adverse[out->adverse_count] = in->adverse[out->adverse_count];
    for (; out->override_count < in->n_override && out->override_count < 16; out->override_count++) {
        decode_text(out->override[out->override_count].name, sizeof(out->override[0].name), in->override[out->override_count]->name);
        decode_text(out->override[out->override_count].reason, sizeof(out->override[0].reason), in->override[out->override_count]->reason);
    }
    return true;
}

void decode_policy(struct mn_policy *out, const Mnc__PolicyReply *p)
{
    memset(out, 0, sizeof(*out));
    out->good = p->good;
    decode_text(out->text, sizeof(out->text), p->text);
    decode_text(out->name, sizeof(out->name), p->name);
    if (p->sha256.len == sizeof(out->sha256))
        memcpy(out->sha256, p->sha256.data, sizeof(out->sha256));
    for (; out->count < p->n_row && out->count < sizeof(out->row) / sizeof(out->row[0]); out->count++) {
        struct mn_policy_row *row = &out->row[out->count];

        decode_text(row->table, sizeof(row->table), p->row[out->count]->table);
        decode_text(row->name, sizeof(row->name), p->row[out->count]->name);
        decode_text(row->value, sizeof(row->value), p->row[out->count]->value);
        decode_text(row->default_value, sizeof(row->default_value), p->row[out->count]->default_value);
        decode_text(row->source, sizeof(row->source), p->row[out->count]->source);
    }
}
