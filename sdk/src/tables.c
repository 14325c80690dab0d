/* The tables of settings and faults, and the names of the enums: taken from proto/, where they stand once. */
#include "mn/mn.h"
#include "version.h"

#include <stddef.h>

static const struct mn_setting settings[] = {
#define SETTING(name, tag, unit, min, max, step, default_value, text) {#name, #unit, min, max, step, default_value, text},
#include "config.def"
#undef SETTING
};

enum { SETTING_COUNT = sizeof(settings) / sizeof(settings[0]) };

static const size_t setting_offsets[SETTING_COUNT] = {
#define SETTING(name, tag, unit, min, max, step, default_value, text) offsetof(struct mn_config, name),
#include "config.def"
#undef SETTING
};

size_t mn_setting_count(void)
{
    return SETTING_COUNT;
}

const struct mn_setting *mn_setting_at(size_t i)
{
    return i < SETTING_COUNT ? &settings[i] : NULL;
}

uint32_t mn_config_value(const struct mn_config *config, size_t i)
{
    return i < SETTING_COUNT ? *(const uint32_t *)((const char *)config + setting_offsets[i]) : 0;
}

void mn_config_put(struct mn_config *config, size_t i, uint32_t value)
{
    if (i >= SETTING_COUNT)
        return;
    *(uint32_t *)((char *)config + setting_offsets[i]) = value;
    config->present |= UINT32_C(1) << i;
}

static const struct mn_fault faults[] = {
#define KIND_LATCHING MN_FAULT_LATCHING
#define KIND_SELF MN_FAULT_SELF
#define KIND_SERVICE MN_FAULT_SERVICE
#define FAULT(bit, code, name, priority, kind, effect, text, cure) [bit] = {bit, code, #name, #priority[0], KIND_##kind, text, cure},
#include "faults.def"
#undef FAULT
};

enum { FAULT_COUNT = sizeof(faults) / sizeof(faults[0]) };

size_t mn_fault_count(void)
{
    return FAULT_COUNT;
}

const struct mn_fault *mn_fault_at(size_t bit)
{
    return bit < FAULT_COUNT ? &faults[bit] : NULL;
}

const struct mn_fault *mn_fault_by_code(unsigned code)
{
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        if (faults[i].code == code)
            return &faults[i];
    }
    return NULL;
}

#define NAME_OF(table, i) ((size_t)(i) < sizeof(table) / sizeof((table)[0]) ? (table)[i] : "UNKNOWN")

const char *mn_strerror(int error)
{
    static const char *const names[MN_ERR_COUNT] = {
        "ok",
        "invalid argument",
        "out of memory",
        "the daemon is not running",
        "no permission",
        "disconnected from the daemon",
        "protocol error",
        "versions do not match",
        "timeout",
        "no such pen",
        "the pen is not ready",
        "the pen was unplugged",
        "busy",
        "forbidden",
        "not supported",
        "out of range",
        "the configuration has changed",
        "wrong state",
        "a fault forbids it",
        "the pen's memory failed",
        "the journal failed",
        "another program controls it",
        "no such record",
        "the treatment policy forbids it",
        "no such session",
        "written once already",
    };

    return error >= 0 && error < MN_ERR_COUNT ? names[error] : "unknown error";
}

const char *mn_link_name(enum mn_link link)
{
    static const char *const names[] = {"UNKNOWN", "OPENING", "READY", "FAILED", "GONE"};

    return NAME_OF(names, link);
}

const char *mn_state_name(enum mn_state state)
{
    static const char *const names[] = {"UNKNOWN", "BOOT",     "SELFTEST", "SAFE",    "ARMED",
                                        "RUNNING", "STOPPING", "FAULT",    "FACTORY", "DFU"};

    return NAME_OF(names, state);
}

const char *mn_cartridge_name(enum mn_cartridge cartridge)
{
    static const char *const names[] = {"UNKNOWN", "ABSENT", "NEW", "IN_USE", "USED", "EXPIRED", "UNREADABLE", "REJECTED"};

    return NAME_OF(names, cartridge);
}

const char *mn_record_kind_name(enum mn_record_kind kind)
{
    static const char *const names[] = {"UNKNOWN", "BOOT", "FAULT", "CONFIG", "RUN"};
    static const char *const notes[] = {"BEGUN", "LOST", "RENEWED", "DROPPED", "CONTROL", "SESSION_BEGUN", "SESSION_ENDED", "ADVERSE", "CLOCK"};

    return kind >= MN_RECORD_BEGUN && kind <= MN_RECORD_CLOCK ? notes[kind - MN_RECORD_BEGUN] : NAME_OF(names, kind);
}

const char *mn_session_state_name(enum mn_session_state state)
{
    static const char *const names[] = {"UNKNOWN", "PREPARED", "ARMING", "ARMED", "RUNNING", "PAUSED", "ENDING", "ENDED"};

    return NAME_OF(names, state);
}

const char *mn_session_end_name(enum mn_session_end end)
{
    static const char *const names[] = {"NONE", "COMPLETED", "ABORTED", "INTERRUPTED", "PARTIAL", "UNTREATED"};

    return NAME_OF(names, end);
}

const char *mn_role_name(enum mn_role role)
{
    static const char *const names[] = {"observer", "operator", "service", "factory"};

    return NAME_OF(names, role);
}

const char *mn_version(void)
{
    return MN_VERSION;
}
