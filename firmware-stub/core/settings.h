/*
 * The configuration: one array of values, its ranges taken from config.def, stored with a CRC and numbered by generation.
 * A change is applied whole or not at all.
 */
#pragma once

#include "hal.h"
#include "pen.pb.h"

enum setting {
#define SETTING(name, tag, unit, min, max, step, default_value, text) SETTING_##name,
#include "config.def"
#undef SETTING
    SETTING_COUNT
};

struct settings {
    uint32_t value[SETTING_COUNT];
    uint32_t generation;
};

struct setting_range {
    const char *name;
    const char *unit;
    uint32_t min, max;
    uint32_t step; /* 0: zero or a divisor of 1000 */
    uint32_t default_value;
};

extern const struct setting_range setting_ranges[SETTING_COUNT];

/* Index of the first value out of its range or step, or SETTING_COUNT. */
enum setting settings_check(const struct settings *s);
void settings_default(struct settings *s);
void settings_merge(struct settings *s, const mnp_Config *change);
void settings_to_pb(const struct settings *s, mnp_Config *out);

/* False if what is stored is damaged: *s is then the defaults. An empty memory also gives the defaults. */
bool settings_load(const struct pen_port *port, struct settings *s);
bool settings_store(const struct pen_port *port, const struct settings *s);
