#include "steps.h"

#include <mn/mn.h>
#include <stdio.h>
#include <string.h>

#include "step_list.h"

const struct step steps[] = {
    {"enumerate", "switched on, it is found and says what it is", "ready_ms:ms model: hardware_revision: protocol_minor: usb_descriptors:", "", 30, step_enumerate},
    {"boot", "needles stand still while it is switched on, plugged in, and reset by its watchdog", "motion_power_ms:ms motion_usb_ms:ms motion_watchdog_ms:ms",
     "seconds=3", 60, step_boot},
    {"integrity", "firmware version, hash of its image, self-test", "firmware: image_sha256: self_test:", "", 30, step_integrity},
    {"link", "echoes of every awkward size, there and back", "echoes_lost: frames_lost: late_pct:% p50_ms:ms p99_ms:ms", "echoes=10000", 300, step_link},
    {"malformed", "bytes that are no frames: it answers afterwards, and is as it was", "answers: restarts: state:", "", 60, step_malformed},
    {"rails", "its supplies, while the motor runs", "vbus_error_pct:% motor_rail_error_pct:% logic_rail_error_pct:%", "", 30, step_rails},
    {"homing", "where the needles stand, homed again and again", "home_spread_um:um", "count=10", 60, step_homing},
    {"calibrate", "depth, rate and current against the fixture: gains and offsets, on trial until they are written",
     "depth_gain_pct:% depth_offset_um:um rate_gain_pct:% rate_offset_dhz:dhz current_offset_ma:mA", "", 60, step_calibrate},
    {"depth", "how deep the needles go, by the gauge",
     "depth_error_0_um:um depth_error_250_um:um depth_error_500_um:um depth_error_1000_um:um depth_error_1500_um:um depth_error_2000_um:um "
     "depth_error_2500_um:um depth_max_um:um", "", 60, step_depth},
    {"rate", "how fast, by the tachometer", "rate_error_60_pct:% rate_error_100_pct:% rate_error_150_pct:%", "", 60, step_rate},
    {"brake", "how well it holds its rate against a brake", "drop_pct:% recovery_ms:ms", "permille=500", 60, step_brake},
    {"current", "motor current, running free", "current_ma:mA", "", 30, step_current},
    {"stall", "a blocked motor is cut off", "cut_ms:ms fault:", "", 30, step_stall},
    {"heartbeat", "the host falls silent: the needles stop", "rest_ms:ms fault:", "", 30, step_heartbeat},
    {"cable", "the cable is pulled: the needles stop", "rest_ms:ms", "", 30, step_cable},
    {"trigger", "pressed, released, and how long it bounces", "press: release: bounce_ms:ms", "", 30, step_trigger},
    {"cartridge", "the reader tells good, blank, used, expired and foreign cartridges apart",
     "good: blank: used: expired: foreign: good_ms:ms blank_ms:ms used_ms:ms expired_ms:ms foreign_ms:ms", "", 30, step_cartridge},
    {"battery", "its voltage at rest, and how far it sags", "open_circuit_mv:mV sag_mv:mV", "rest_s=3", 30, step_battery},
    {"soak", "it runs for long, and stays cool", "motor_max_c:C grip_max_c:C strokes:", "seconds=900", 1200, step_soak},
    {"faults", "the cause of every fault, one after the other: it is noticed, stops the needles, and is cleared as its kind says", "faults", "", 300, step_faults},
    {"identity", "serial number, UDI and calibration, written for good", "serial: udi: calibration: calibration_crc: second_write:", "", 60, step_identity},
    {"leave", "it leaves the factory for good", "state: configuration: strokes: motor_on_s:s reentry:", "", 60, step_leave},
};
const size_t step_count = sizeof(steps) / sizeof(steps[0]);

const struct step *step_by_name(const char *name)
{
    for (size_t i = 0; i < step_count; i++) {
        if (strcmp(steps[i].name, name) == 0)
            return &steps[i];
    }
    return NULL;
}

static int each_fault(int (*each)(void *ctx, const char *name, const char *unit), void *ctx)
{
    char name[32];
    int r = each(ctx, "stop_max_ms", "ms");

    for (size_t i = 0; r == 0 && i < mn_fault_count(); i++) {
        snprintf(name, sizeof(name), "fault_%u", mn_fault_at(i)->code);
        r = each(ctx, name, "");
    }
    return r;
}

int step_each_measurement(const struct step *s, int (*each)(void *ctx, const char *name, const char *unit), void *ctx)
{
    char words[400], *save = NULL;
    int r = 0;

    if (strcmp(s->measurements, "faults") == 0)
        return each_fault(each, ctx);
    snprintf(words, sizeof(words), "%s", s->measurements);
    for (char *w = strtok_r(words, " ", &save); w != NULL && r == 0; w = strtok_r(NULL, " ", &save)) {
        char *unit = strchr(w, ':');

        *unit++ = '\0';
        r = each(ctx, w, unit);
    }
    return r;
}
