#include "settings.h"

#include <string.h>

#include "nvm.h"

const struct setting_range setting_ranges[SETTING_COUNT] = {
#define SETTING(name, tag, unit, min, max, step, default_value, text) {#name, #unit, min, max, step, default_value},
#include "config.def"
#undef SETTING
};

enum setting settings_check(const struct settings *s)
{
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_range *r = &setting_ranges[i];
        uint32_t v = s->value[i];
        bool on_step = r->step != 0 ? (v - r->min) % r->step == 0 : v == 0 || 1000 % v == 0;

        if (v < r->min || v > r->max || !on_step)
            return (enum setting)i;
    }
    return SETTING_COUNT;
}

void settings_default(struct settings *s)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        s->value[i] = setting_ranges[i].default_value;
}

void settings_merge(struct settings *s, const mnp_Config *change)
{
#define SETTING(name, tag, unit, min, max, step, default_value, text)                                                  \
    if (change->has_##name)                                                                                            \
        s->value[SETTING_##name] = change->name;
#include "config.def"
#undef SETTING
}

void settings_to_pb(const struct settings *s, mnp_Config *out)
{
#define SETTING(name, tag, unit, min, max, step, default_value, text)                                                  \
    out->has_##name = true;                                                                                            \
    out->name = s->value[SETTING_##name];
#include "config.def"
#undef SETTING
}

bool settings_load(const struct pen_port *port, struct settings *s)
{
    enum nvm_state state = nvm_blob_read(port, NVM_CONFIG, s, sizeof(*s));

    if (state == NVM_OK && settings_check(s) == SETTING_COUNT)
        return true;
    memset(s, 0, sizeof(*s));
    settings_default(s);
    return state == NVM_EMPTY;
}

bool settings_store(const struct pen_port *port, const struct settings *s)
{
    return nvm_blob_write(port, NVM_CONFIG, s, sizeof(*s));
}
