#include "line.h"

#include <inttypes.h>
#include <nettle/hmac.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "used.h"

static const char *const defect_names[] = {
#define DEFECT(name, step, text) #name,
#include "defects.def"
#undef DEFECT
};

static bool has(const struct vpen *v, enum defect d)
{
    return (v->defects >> d & 1) != 0;
}

/* -1..1 */
static double spread(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / 8388608.0 - 1;
}

static void make_image(struct vpen *v)
{
    struct sha256_ctx sha;

    sha256_init(&sha);
    sha256_update(&sha, strlen(PEN_MODEL), (const uint8_t *)PEN_MODEL);
    sha256_update(&sha, strlen(PEN_FIRMWARE_VERSION), (const uint8_t *)PEN_FIRMWARE_VERSION);
    sha256_digest(&sha, sizeof(v->image), v->image);
}

void line_init(struct vpen *v, uint32_t seed)
{
    struct model *m = &v->model;
    uint32_t random = seed * 2654435761u;

    strcpy(v->revision, "A");
    make_image(v);
    v->label = seed;
    if (v->serial[0] != '\0')
        return;
    for (int i = 0; i < 4; i++)
        spread(&random);
    m->depth_gain = 1 + 0.05 * spread(&random);
    m->depth_offset_um = 35 * spread(&random);
    m->rate_gain = 1 + 0.03 * spread(&random);
    m->current_offset_ma = (int32_t)(25 * spread(&random));
}

/* Sets the defects that are in the model from the beginning; the others are checked where they matter. */
static void apply(struct model *m, enum defect d)
{
    switch (d) {
    case DEFECT_rail_motor:
        m->motor_rail_mv = 3515;
        break;
    case DEFECT_rail_logic:
        m->logic_rail_mv = 3135;
        break;
    case DEFECT_rail_vbus:
        m->vbus_mv = 4700;
        break;
    case DEFECT_home_spread:
        m->home_spread_um = 60;
        break;
    case DEFECT_depth_gain:
        m->depth_gain = 1.10;
        break;
    case DEFECT_depth_offset:
        m->depth_offset_um = 100;
        break;
    case DEFECT_rate_gain:
        m->rate_gain = 0.92;
        break;
    case DEFECT_current_offset:
        m->current_offset_ma = 120;
        break;
    case DEFECT_depth_bent:
        m->bend_um = 180;
        break;
    case DEFECT_rate_bent:
        m->edges_lost = 1.0 / 15;
        break;
    case DEFECT_weak_motor:
        m->torque = 0.8;
        break;
    case DEFECT_friction:
        m->friction_ma = 120;
        break;
    case DEFECT_slow_stall:
        m->slip_ms = 100;
        break;
    case DEFECT_battery_sag:
        m->sag_late_mv = 300;
        break;
    case DEFECT_battery_flat:
        model_set_charge_pct(m, 30);
        break;
    case DEFECT_motor_hot:
        m->motor_k_per_s = 4;
        break;
    case DEFECT_grip_hot:
        m->grip_k_per_s = 2;
        break;
    default:
        break;
    }
}

const char *line_defect(struct vpen *v, const char *name)
{
    static char wrong[1200];
    size_t used;

    if (strcmp(name, "none") == 0)
        return NULL;
    if (strncmp(name, "deaf ", 5) == 0 && fault_mask_of_code((uint32_t)strtoul(name + 5, NULL, 10)) != 0) {
        v->deaf |= fault_mask_of_code((uint32_t)strtoul(name + 5, NULL, 10));
        return NULL;
    }
    for (int d = 0; d < DEFECT_COUNT; d++) {
        if (strcmp(defect_names[d], name) != 0)
            continue;
        v->defects |= UINT64_C(1) << d;
        apply(&v->model, (enum defect)d);
        if (d == DEFECT_descriptor)
            strcpy(v->revision, "?");
        if (d == DEFECT_image)
            v->image[0] ^= 1;
        return NULL;
    }
    used = (size_t)snprintf(wrong, sizeof(wrong), "no defect %.40s; there are none, deaf CODE", name);
    for (int d = 0; d < DEFECT_COUNT; d++)
        used += (size_t)snprintf(wrong + used, sizeof(wrong) - used, ", %s", defect_names[d]);
    return wrong;
}

/* ---- between the model and the firmware ---- */

void line_step(struct vpen *v)
{
    struct model *m = &v->model;
    struct pen_sensors *s = &v->sensors;

    if (m->rate_hz >= 2) {
        v->gauges.moving_ms++;
        v->gauges.rate_sum_hz += m->rate_hz;
    }
    if (s->stroke_done) {
        v->gauges.strokes++;
        v->gauges.peak_sum_um += m->peak_um;
        if (m->peak_um > v->gauges.peak_max_um)
            v->gauges.peak_max_um = m->peak_um;
    }
    if (v->actuators.enable)
        v->cut_at_ms = v->clock_ms;
    if (v->tag_due_ms != 0 && v->clock_ms >= v->tag_due_ms) {
        v->tag_due_ms = 0;
        m->tag = v->tag_due;
    }
    if (m->trigger)
        v->released_at_ms = v->clock_ms;
    else if (has(v, DEFECT_sticky_trigger) && v->released_at_ms != 0 && v->clock_ms < v->released_at_ms + 400)
        s->trigger = true;
    if (has(v, DEFECT_deaf_heartbeat) || (has(v, DEFECT_deaf_cable) && !m->vbus && v->clock_ms < v->unplugged_at_ms + 600))
        v->pen.heartbeat_ms = v->pen.now_ms;
    if (v->deaf & FAULT_MASK(WATCHDOG_RESET)) /* two causes that nobody injects */
        v->pen.watchdog_reset = false;
    if (v->deaf & FAULT_MASK(CALIBRATION_INVALID))
        v->pen.factory.trial = v->pen.factory.calibrated = true;
    if (has(v, DEFECT_malformed_reset) && v->pen.link.bad_frames > 0 && !v->hung)
        vpen_power_cycle(v, mnp_ResetCause_RESET_SOFTWARE);
}

void line_restarts(struct vpen *v, mnp_ResetCause cause)
{
    if (has(v, cause == mnp_ResetCause_RESET_WATCHDOG ? DEFECT_twitch_watchdog : DEFECT_twitch_power) && cause != mnp_ResetCause_RESET_SOFTWARE)
        v->model.twitch_ms = 60;
    if (has(v, DEFECT_slow_boot))
        v->quiet_until_ms = v->clock_ms + 2000;
}

bool line_plugs(struct vpen *v, bool plugged)
{
    if (!plugged)
        v->unplugged_at_ms = v->clock_ms;
    if (plugged && has(v, DEFECT_twitch_usb))
        v->model.twitch_ms = 60;
    return !has(v, DEFECT_deaf_cable);
}

/* Delays every 20th reply. */
static bool holds_back(struct vpen *v, const uint8_t *bytes, size_t n)
{
    bool is_reply = n > 11 && (bytes[11] & 0x80) != 0; /* the high byte of a frame's type */

    if (!is_reply)
        return false;
    if (v->held_since_ms == 0 && ++v->replies % 20 != 0)
        return false;
    if (v->held_since_ms == 0)
        v->held_since_ms = v->clock_ms;
    if (v->clock_ms < v->held_since_ms + 12)
        return true;
    v->held_since_ms = 0;
    return false;
}

bool line_sends(struct vpen *v, enum pen_endpoint endpoint, const uint8_t *bytes, size_t n)
{
    uint8_t bad[MN_FRAME_MAX];

    if (v->clock_ms < v->quiet_until_ms || (has(v, DEFECT_slow_replies) && endpoint == PEN_BULK_IN && holds_back(v, bytes, n)))
        return false;
    if (endpoint != PEN_BULK_IN || n <= 900 || n > sizeof(bad) || ++v->long_frames % 20 != 0)
        return v->transmit(v->ctx, endpoint, bytes, n);
    if (has(v, DEFECT_lost_frames))
        return true;
    memcpy(bad, bytes, n);
    bad[n / 2] ^= has(v, DEFECT_bad_frames);
    return v->transmit(v->ctx, endpoint, bad, n);
}

bool line_writes(struct vpen *v, uint32_t offset)
{
    if (has(v, DEFECT_forgets) && offset / 128 == NVM_CALIBRATION / 128)
        return false;
    if (has(v, DEFECT_counters) && v->pen.factory.left && offset / 128 == NVM_COUNTERS / 128)
        return false;
    return !has(v, DEFECT_reentry) || offset / 128 != NVM_LEFT / 128;
}

bool line_reads(const struct vpen *v, uint32_t offset)
{
    return !has(v, DEFECT_rewrite) || offset / 128 != NVM_SERIAL / 128 || v->pen.now_ms == 0;
}

bool line_prove(void *ctx, const uint8_t challenge[16], uint8_t mac[32])
{
    struct hmac_sha256_ctx hmac;

    (void)ctx;
    hmac_sha256_set_key(&hmac, strlen(LINE_KEY), (const uint8_t *)LINE_KEY);
    hmac_sha256_update(&hmac, 16, challenge);
    hmac_sha256_digest(&hmac, 32, mac);
    return true;
}

/* ---- the fixture's lines ---- */

/* Presents a tag to the reader after its delay. */
static void present(struct vpen *v, const struct pen_tag *tag)
{
    v->model.tag.present = false;
    v->tag_due = *tag;
    v->tag_due_ms = v->clock_ms + (has(v, DEFECT_tag_slow) ? 500 : 40);
}

static bool insert_kind(struct vpen *v, const char *kind)
{
    struct pen_tag tag = v->model.tag;

    if (v->tag_due_ms != 0)
        tag = v->tag_due;
    tag = (struct pen_tag){.present = true, .readable = true, .uid = tag.uid + 1, .lot = tag.lot, .needle_count = 12, .max_depth_um = 2000,
                           .expiry_s = 1924992000};
    if (strcmp(kind, "gauge") == 0)
        tag.max_depth_um = 2500;
    else if (strcmp(kind, "blank") == 0)
        tag.readable = false;
    else if (strcmp(kind, "foreign") == 0)
        tag.needle_count = has(v, DEFECT_tag_foreign) ? 12 : 0;
    else if (strcmp(kind, "expired") == 0)
        tag.expiry_s = has(v, DEFECT_tag_expired) ? tag.expiry_s : 1577836800; /* 2020-01-01 */
    else if (strcmp(kind, "used") == 0) {
        if (!has(v, DEFECT_tag_used))
            used_add(&v->port, tag.uid);
    } else if (strcmp(kind, "good") != 0)
        return false;
    present(v, &tag);
    return true;
}

static void gauges(const struct vpen *v, char *answer, size_t cap)
{
    uint64_t ms = v->gauges.moving_ms, strokes = v->gauges.strokes;

    snprintf(answer, cap,
             "ok moving_ms=%" PRIu64 " strokes=%" PRIu64 " rate_hz=%.2f peak_um=%.1f peak_max_um=%" PRId32 " home_um=%" PRId32 " bounce_ms=%d"
             " clock_ms=%" PRIu64 " moved_ms=%" PRIu64 " cut_ms=%" PRIu64 " loaded_ms=%" PRIu64 " unplugged_ms=%" PRIu64 " heartbeat_ms=%" PRIu64,
             ms, strokes, ms > 0 ? v->gauges.rate_sum_hz / (double)ms : 0, strokes > 0 ? v->gauges.peak_sum_um / (double)strokes : 0,
             v->gauges.peak_max_um, v->model.home_um, has(v, DEFECT_trigger_bounce) ? 25 : 3, v->clock_ms, v->moved_ms, v->cut_at_ms, v->loaded_at_ms,
             v->unplugged_at_ms, v->clock_ms - (v->pen.now_ms - v->pen.heartbeat_ms));
}

bool line_command(struct vpen *v, const char *verb, const char *rest, char *answer, size_t cap)
{
    const char *wrong;

    if (strcmp(verb, "mark") == 0) {
        memset(&v->gauges, 0, sizeof(v->gauges));
        snprintf(answer, cap, "ok: gauges begin anew");
    } else if (strcmp(verb, "gauges") == 0) {
        gauges(v, answer, cap);
    } else if (strcmp(verb, "label") == 0) {
        snprintf(answer, cap, "ok serial=MN26-%06" PRIu64 " udi=(01)09500000000013(11)261121(21)MN26-%06" PRIu64, v->label, v->label);
    } else if (strcmp(verb, "contact") == 0) {
        v->model.contact_permille = (int32_t)strtol(rest, NULL, 10);
        snprintf(answer, cap, "ok: contact set");
    } else if (strcmp(verb, "defect") == 0) {
        wrong = line_defect(v, rest);
        snprintf(answer, cap, "%s%s", wrong != NULL ? "error: " : "ok: it has it now", wrong != NULL ? wrong : "");
    } else if (strcmp(verb, "cartridge") == 0 && insert_kind(v, rest)) {
        snprintf(answer, cap, "ok: cartridge in");
    } else {
        return false;
    }
    return true;
}
