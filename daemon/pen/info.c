#include "inside.h"

#include "pen.pb-c.h"

const char *pen_name(const struct pen *p)
{
    return p->serial[0] != '\0' ? p->serial : p->port;
}

const char *pen_port(const struct pen *p)
{
    return p->port;
}

const char *pen_address(const struct pen *p)
{
    return p->address;
}

bool pen_is_armed_by_factory(const struct pen *p)
{
    return p->requests.armed_by_factory;
}

const char *pen_serial(const struct pen *p)
{
    return p->serial;
}

bool pen_is_ready(const struct pen *p)
{
    return p->state == PEN_READY;
}

bool pen_is_simulated(const struct pen *p)
{
    return p->simulated || (p->capabilities & MNP__CAPABILITY__CAPABILITY_SIMULATED) != 0;
}

uint32_t pen_id(const struct pen *p)
{
    return p->id;
}

uint32_t pen_state(const struct pen *p)
{
    return p->state == PEN_READY ? p->status.state : MNP__STATE__STATE_UNSPECIFIED;
}

uint32_t pen_config_generation(const struct pen *p)
{
    return p->status.config_generation;
}

uint32_t pen_minor(const struct pen *p)
{
    return p->minor;
}

const char *pen_last_error(const struct pen *p)
{
    return p->last_error;
}

static Mnc__PenLink link_state(const struct pen *p)
{
    switch (p->state) {
    case PEN_READY:
        return MNC__PEN_LINK__LINK_READY;
    case PEN_FAILED:
        return MNC__PEN_LINK__LINK_FAILED;
    case PEN_DRAINING:
    case PEN_CLOSED:
        return MNC__PEN_LINK__LINK_GONE;
    case PEN_OPENING:
    case PEN_RESETTING:
    case PEN_GREETING:
    default:
        return MNC__PEN_LINK__LINK_OPENING;
    }
}

void pen_info(const struct pen *p, Mnc__PenInfo *info, Mnc__LinkCounters *counters)
{
    *info = (Mnc__PenInfo)MNC__PEN_INFO__INIT;
    info->has_pen_id = info->has_link = info->has_simulated = true;
    info->pen_id = p->id;
    info->port = (char *)(uintptr_t)p->port;
    info->link = link_state(p);
    info->simulated = pen_is_simulated(p);
    if (p->last_error[0] != '\0')
        info->last_error = (char *)(uintptr_t)p->last_error;
    info->has_retry_ms = p->state == PEN_RESETTING && p->retry_at_ms > pen_now_ms(p);
    info->retry_ms = info->has_retry_ms ? (uint32_t)(p->retry_at_ms - pen_now_ms(p)) : 0;
    if (p->serial[0] != '\0')
        info->serial = (char *)(uintptr_t)p->serial;
    if (p->boot_id != 0) { /* HELLO has been answered */
        info->has_boot_id = info->has_session = info->has_state = info->has_fault_word = info->has_trigger = true;
        info->has_cartridge = info->has_config_generation = info->has_records_newest = true;
        info->has_protocol_minor = info->has_capabilities = true;
        info->boot_id = p->boot_id;
        info->session = p->session;
        info->state = p->status.state;
        info->fault_word = p->status.fault_word;
        info->trigger = p->status.trigger;
        info->cartridge = p->status.cartridge;
        info->config_generation = p->status.config_generation;
        info->records_newest = p->records.newest;
        info->firmware_version = (char *)(uintptr_t)p->firmware_version;
        info->protocol_minor = p->minor;
        info->capabilities = p->capabilities;
    }
    *counters = p->counters;
    counters->has_frames_in = counters->has_frames_out = counters->has_bytes_in = counters->has_bad_frames = true;
    counters->has_sequence_gaps = counters->has_foreign_frames = counters->has_stale_replies = counters->has_sessions = true;
    counters->has_late_frames = true;
    info->counters = counters;
}
