/* The tables of settings and faults, and the names of the enums: taken from proto/, where they stand once. */
#include "mn/mn.h"

#include <stddef.h>
#include <string.h>

#include "client.pb-c.h"
#include "pen.pb-c.h"
#include "version.h"

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

/* The protocol's name of a value, without the prefix of its enum. */
static const char *name_of(const ProtobufCEnumDescriptor *d, int value, size_t prefix)
{
    const ProtobufCEnumValue *v = value != 0 ? protobuf_c_enum_descriptor_get_value(d, value) : NULL;

    return v != NULL ? v->name + prefix : "UNKNOWN";
}

const char *mn_link_name(enum mn_link link)
{
    return name_of(&mnc__pen_link__descriptor, (int)link, strlen("LINK_"));
}

const char *mn_state_name(enum mn_state state)
{
    return name_of(&mnp__state__descriptor, (int)state, strlen("STATE_"));
}

const char *mn_cartridge_name(enum mn_cartridge cartridge)
{
    return name_of(&mnp__cartridge_state__descriptor, (int)cartridge, strlen("CARTRIDGE_"));
}

const char *mn_record_kind_name(enum mn_record_kind kind)
{
    return name_of(&mnc__journal_kind__descriptor, (int)kind, strlen("JOURNAL_"));
}

const char *mn_session_state_name(enum mn_session_state state)
{
    return name_of(&mnc__session_state__descriptor, (int)state, strlen("SESSION_"));
}

const char *mn_session_end_name(enum mn_session_end end)
{
    return end != MN_END_NONE ? name_of(&mnc__session_end__descriptor, (int)end, strlen("END_")) : "NONE";
}

const char *mn_role_name(enum mn_role role)
{
    static const char *const names[] = {"observer", "operator", "service", "factory"};

    return (size_t)role < sizeof(names) / sizeof(names[0]) ? names[role] : "UNKNOWN";
}

const char *mn_version(void)
{
    return MN_VERSION;
}
