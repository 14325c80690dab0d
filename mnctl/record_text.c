/* One record of the journal, as text and as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "mnctl.h"

void format_time(uint64_t us, char *out, size_t cap)
{
    time_t s = (time_t)(us / 1000000);
    struct tm tm;
    size_t n = localtime_r(&s, &tm) != NULL ? strftime(out, cap, "%Y-%m-%d %H:%M:%S", &tm) : 0;

    snprintf(out + n, cap - n, ".%03u", (unsigned)(us % 1000000 / 1000));
}

void format_rfc3339(uint64_t us, char *out, size_t cap)
{
    time_t s = (time_t)(us / 1000000);
    char clock[32] = "", offset[8] = "";
    struct tm tm;

    if (localtime_r(&s, &tm) == NULL || strftime(clock, sizeof(clock), "%Y-%m-%dT%H:%M:%S", &tm) == 0 || strftime(offset, sizeof(offset), "%z", &tm) != 5)
        snprintf(out, cap, "?");
    else
        snprintf(out, cap, "%s.%03u%.3s:%s", clock, (unsigned)(us % 1000000 / 1000), offset, offset + 3);
}

void format_bound(const struct mn_record *r, char *out, size_t cap)
{
    if (r->kind >= MN_RECORD_BEGUN)
        out[0] = '\0';
    else if (r->host_bound_us == MN_BOUND_UNKNOWN)
        snprintf(out, cap, "at latest");
    else if (r->host_bound_us < 10000)
        snprintf(out, cap, "+-%.1f ms", r->host_bound_us / 1000.0);
    else
        snprintf(out, cap, "+-%" PRIu32 " ms", r->host_bound_us / 1000);
}

void format_record(const struct mn_record *r, char *out, size_t cap)
{
    static const char *const ends[] = {"?", "trigger released", "STOP", "fault", "link lost", "loss of power"}, *const causes[] = {"?", "power on", "watchdog", "software"};
    const struct mn_fault *f;
    size_t used = 0;

    out[0] = '\0';
    switch (r->kind) {
    case MN_RECORD_BOOT:
        snprintf(out, cap, "boot %" PRIu32 ", %s", r->boot.boot_count, causes[r->boot.reset_cause < 4 ? r->boot.reset_cause : 0]);
        break;
    case MN_RECORD_FAULT:
        f = mn_fault_by_code(r->fault.code);
        snprintf(out, cap, "%s %" PRIu32 " %s (%c) in %s: %s", r->fault.raised ? "raised" : "cleared", r->fault.code, f != NULL ? f->name : "UNKNOWN",
                 f != NULL ? f->priority : '?', mn_state_name(r->fault.state), f != NULL ? f->text : "a later libmn knows it");
        break;
    case MN_RECORD_CONFIG:
        used = (size_t)snprintf(out, cap, "configuration %" PRIu32 ":", r->config.generation);
        for (size_t i = 0; i < mn_setting_count() && used < cap; i++) {
            char value[40];

            format_setting(i, mn_config_value(&r->config, i), value, sizeof(value));
            used += (size_t)snprintf(out + used, cap - used, "%s %s %s", i > 0 ? "," : "", setting_short_name(i), value);
        }
        break;
    case MN_RECORD_RUN:
        if (r->run.end == MN_RUN_POWER) {
            snprintf(out, cap, "for an unknown time, %s, ended by %s", r->run.zone != 0 ? zone_name(r->run.zone) : "no zone", ends[MN_RUN_POWER]);
            break;
        }
        snprintf(out, cap, "%.1f s, %" PRIu32 " strokes, to %.2f mm, %s, ended by %s", r->run.duration_ms / 1000.0, r->run.strokes, r->run.depth_peak_um / 1000.0,
                 r->run.zone != 0 ? zone_name(r->run.zone) : "no zone", ends[r->run.end <= MN_RUN_POWER ? r->run.end : MN_RUN_UNKNOWN]);
        break;
    case MN_RECORD_RUN_BEGUN:
        snprintf(out, cap, "the needles start: %.2f mm, %.1f Hz, %s, cartridge %016" PRIx64 " of lot %" PRIu32, r->run_begun.depth_um / 1000.0,
                 r->run_begun.stroke_rate_dhz / 10.0, r->run_begun.zone != 0 ? zone_name(r->run_begun.zone) : "no zone", r->run_begun.cartridge_uid,
                 r->run_begun.cartridge_lot);
        break;
    case MN_RECORD_BEGUN:
        snprintf(out, cap, "%s", r->note.text[0] != '\0' ? r->note.text : "the journal begins");
        break;
    case MN_RECORD_LOST:
    case MN_RECORD_RENEWED:
    case MN_RECORD_DROPPED:
    case MN_RECORD_CONTROL:
    case MN_RECORD_SESSION_BEGUN:
    case MN_RECORD_SESSION_ENDED:
    case MN_RECORD_ADVERSE:
    case MN_RECORD_CLOCK:
        snprintf(out, cap, "%s", r->note.text);
        break;
    case MN_RECORD_UNKNOWN:
        snprintf(out, cap, "of a kind that this mnctl does not know");
        break;
    }
}

static void add_details(json_t *j, const struct mn_record *r)
{
    const struct mn_fault *f;

    switch (r->kind) {
    case MN_RECORD_BOOT:
        json_object_set_new(j, "reset_cause", json_integer(r->boot.reset_cause));
        json_object_set_new(j, "boot_count", json_integer(r->boot.boot_count));
        break;
    case MN_RECORD_FAULT:
        f = mn_fault_by_code(r->fault.code);
        json_object_set_new(j, "code", json_integer(r->fault.code));
        json_object_set_new(j, "name", json_string(f != NULL ? f->name : "UNKNOWN"));
        json_object_set_new(j, "raised", json_boolean(r->fault.raised));
        json_object_set_new(j, "state", json_string(mn_state_name(r->fault.state)));
        json_object_set_new(j, "fault_word", json_integer(r->fault.fault_word));
        break;
    case MN_RECORD_CONFIG:
        json_object_set_new(j, "generation", json_integer(r->config.generation));
        json_object_set_new(j, "config", json_config(&r->config));
        break;
    case MN_RECORD_RUN:
        json_object_set_new(j, "duration_ms", json_integer(r->run.duration_ms));
        json_object_set_new(j, "strokes", json_integer(r->run.strokes));
        json_object_set_new(j, "depth_peak_um", json_integer(r->run.depth_peak_um));
        json_object_set_new(j, "zone", json_string(zone_name(r->run.zone)));
        json_object_set_new(j, "end", json_integer(r->run.end));
        json_object_set_new(j, "fault_code", json_integer(r->run.fault_code));
        json_object_set_new(j, "cartridge_uid", json_sprintf("%016" PRIx64, r->run.cartridge_uid));
        json_object_set_new(j, "cartridge_lot", json_integer(r->run.cartridge_lot));
        break;
    case MN_RECORD_RUN_BEGUN:
        json_object_set_new(j, "depth_um", json_integer(r->run_begun.depth_um));
        json_object_set_new(j, "stroke_rate_dhz", json_integer(r->run_begun.stroke_rate_dhz));
        json_object_set_new(j, "zone", json_string(zone_name(r->run_begun.zone)));
        json_object_set_new(j, "cartridge_uid", json_sprintf("%016" PRIx64, r->run_begun.cartridge_uid));
        json_object_set_new(j, "cartridge_lot", json_integer(r->run_begun.cartridge_lot));
        break;
    case MN_RECORD_UNKNOWN:
        break;
    case MN_RECORD_BEGUN:
    case MN_RECORD_LOST:
    case MN_RECORD_RENEWED:
    case MN_RECORD_DROPPED:
    case MN_RECORD_CONTROL:
    case MN_RECORD_SESSION_BEGUN:
    case MN_RECORD_SESSION_ENDED:
    case MN_RECORD_ADVERSE:
    case MN_RECORD_CLOCK:
        json_object_set_new(j, "first", json_integer((json_int_t)r->note.first));
        json_object_set_new(j, "through", json_integer((json_int_t)r->note.through));
        json_object_set_new(j, "text", json_string(r->note.text));
        break;
    }
}

void format_cursor(const struct mn_cursor *c, char *out, size_t cap)
{
    snprintf(out, cap, "%016" PRIx64 ":%" PRIu64, c->journal, c->position);
}

json_t *json_record(const struct mn_record *r)
{
    char cursor[48], when[40];
    json_t *j;

    format_cursor(&r->cursor, cursor, sizeof(cursor));
    format_rfc3339(r->host_us, when, sizeof(when));
    j = json_pack("{s:I, s:s, s:s, s:I, s:s, s:I, s:I, s:s}", "id", (json_int_t)r->cursor.position, "cursor", cursor, "time", when, "host_us",
                  (json_int_t)r->host_us, "serial", r->serial, "volume", (json_int_t)r->volume, "number", (json_int_t)r->number, "kind",
                  mn_record_kind_name(r->kind));
    if (r->host_bound_us != MN_BOUND_UNKNOWN)
        json_object_set_new(j, "host_bound_us", json_integer(r->host_bound_us));
    if (r->kind < MN_RECORD_BEGUN) {
        json_object_set_new(j, "boot_id", json_integer(r->boot_id));
        json_object_set_new(j, "t_us", json_integer((json_int_t)r->t_us));
    }
    add_details(j, r);
    return j;
}
