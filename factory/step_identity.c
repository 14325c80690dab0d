/* Irreversible steps: only with --commit, and only for a pen that has passed all steps before. */
#include <string.h>

#include "slot.h"
#include "step_list.h"

static bool same_calibration(const struct mn_calibration *a, const struct mn_calibration *b)
{
    return a->depth_gain_ppm == b->depth_gain_ppm && a->depth_offset_um == b->depth_offset_um && a->rate_gain_ppm == b->rate_gain_ppm &&
           a->rate_offset_dhz == b->rate_offset_dhz && a->current_offset_ma == b->current_offset_ma;
}

enum outcome step_identity(struct slot *s)
{
    struct mn_factory read;
    int r;

    if (!s->calibrated)
        return slot_error(s, "there is no calibration to write: the plan has no step calibrate before this one");
    TRY(slot_enter(s));
    TRY(slot_ok(s, mn_factory_write(s->client, s->address, s->serial, s->udi, &s->calibration, &read, SLOT_CALL_MS), "write serial number, UDI and calibration"));
    TRY(slot_restart(s, "power_cycle"));
    TRY(slot_ok(s, mn_factory_get(s->client, s->address, &read, SLOT_CALL_MS), "read it back"));
    slot_measure_text(s, "serial", strcmp(read.serial, s->serial) == 0 && strcmp(s->pen.serial, s->serial) == 0 ? "as written" : read.serial);
    slot_measure_text(s, "udi", strcmp(read.udi, s->udi) == 0 ? "as written" : read.udi);
    slot_measure_text(s, "calibration", read.stored && same_calibration(&read.calibration, &s->calibration) ? "as written" : "another");
    slot_measure(s, "calibration_crc", "", read.calibration_crc);
    s->calibrated = false; /* it is stored in the pen now, no longer on trial */
    TRY(slot_enter(s));
    r = mn_factory_write(s->client, s->address, "SECOND", NULL, NULL, &read, SLOT_CALL_MS);
    if (r != MN_OK && r != MN_ERR_WRITTEN)
        return slot_ok(s, r, "try a second serial number");
    slot_measure_text(s, "second_write", r == MN_ERR_WRITTEN ? "refused" : "accepted");
    return DONE;
}

static bool is_default(const struct mn_config *c)
{
    for (size_t i = 0; i < mn_setting_count(); i++) {
        if (mn_config_value(c, i) != mn_setting_at(i)->default_value)
            return false;
    }
    return true;
}

enum outcome step_leave(struct slot *s)
{
    uint8_t challenge[16];
    struct mn_status status;
    struct mn_config config;
    int r;

    TRY(slot_enter(s));
    TRY(slot_ok(s, mn_config_reset(s->client, s->address, NULL, &config, SLOT_CALL_MS), "set all settings to their defaults"));
    TRY(slot_ok(s, mn_factory_leave(s->client, s->address, true, &status, SLOT_CALL_MS), "leave the factory"));
    TRY(slot_restart(s, "power_cycle"));
    TRY(slot_ok(s, mn_lease_take(s->client, s->address, SLOT_CALL_MS), "take control of the pen"));
    TRY(slot_ok(s, mn_pen_status(s->client, s->address, &status, SLOT_CALL_MS), "ask for its counters"));
    TRY(slot_ok(s, mn_config_get(s->client, s->address, &config, SLOT_CALL_MS), "read its settings"));
    slot_measure_text(s, "state", mn_state_name(status.state));
    slot_measure_text(s, "configuration", is_default(&config) ? "defaults" : "another");
    slot_measure(s, "strokes", "", status.strokes_total);
    slot_measure(s, "motor_on_s", "s", status.motor_on_s);
    r = mn_factory_challenge(s->client, s->address, challenge, SLOT_CALL_MS);
    if (r != MN_OK && r != MN_ERR_FORBIDDEN)
        return slot_ok(s, r, "try to enter the factory again");
    slot_measure_text(s, "reentry", r == MN_ERR_FORBIDDEN ? "refused" : "accepted");
    return DONE;
}
