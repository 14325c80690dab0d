/* Values with units as people write and read them: settings, days, distances in time. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "mnctl.h"

/* Short names of the settings; the long ones have the unit at their end. */
static const char *const short_names[] = {"depth", "rate", "fast-rate", "slow-rate", "soft-start", "auto-off"};

const char *setting_short_name(size_t setting)
{
    return setting < sizeof(short_names) / sizeof(short_names[0]) ? short_names[setting] : mn_setting_at(setting)->name;
}

/* Finds a setting by the first n characters of word. *long_name: it was the name that ends with the unit. */
static int find_setting(const char *word, size_t n, size_t *setting, bool *long_name)
{
    const char *names[32];
    char copy[64];
    size_t count = 0, found;

    while (n > 0 && word[n - 1] == ' ')
        n--;
    while (n > 0 && word[0] == ' ')
        word++, n--;
    cut_word(copy, sizeof(copy), word, n);
    for (size_t i = 0; i < mn_setting_count() && count + 1 < 32; i++) {
        names[count++] = setting_short_name(i);
        names[count++] = mn_setting_at(i)->name;
    }
    found = find_word(copy, names, count, false);
    if (found < count) {
        *setting = found / 2;
        *long_name = found % 2 == 1;
        return EXIT_OK;
    }
    if (nearest(copy, names, count) != NULL)
        return usage_error("there is no setting %s; did you mean %s?", copy, nearest(copy, names, count));
    return usage_error("there is no setting \"%s\": `mnctl config show` lists them", copy);
}

int parse_setting(const char *word, size_t *setting)
{
    bool long_name;

    return find_setting(word, strlen(word), setting, &long_name);
}

struct units { /* what a setting can be given in; its own unit comes first */
    const char *own;
    struct unit unit[4];
    size_t count;
    size_t people; /* index of the unit that is shown to people */
    int decimals;
};

static const struct units *units_of(const struct mn_setting *s)
{
    static const struct units all[] = {
        {"um", {{"um", 1}, {"\xc2\xb5m", 1}, {"mm", 1000}}, 3, 2, 2},
        {"dhz", {{"dhz", 1}, {"Hz", 10}, {"/s", 10}}, 3, 1, 1},
        {"hz", {{"Hz", 1}, {"/s", 1}}, 2, 0, 0},
        {"ms", {{"ms", 1}, {"s", 1000}}, 2, 0, 0},
        {"s", {{"s", 1}, {"min", 60}}, 2, 0, 0},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (strcmp(all[i].own, s->unit) == 0)
            return &all[i];
    }
    return &all[2];
}

void format_setting(size_t setting, uint32_t value, char *out, size_t cap)
{
    const struct mn_setting *s = mn_setting_at(setting);
    const struct units *u = units_of(s);

    if (value == 0 && s->step == 0)
        snprintf(out, cap, "off");
    else
        snprintf(out, cap, "%.*f %s", u->decimals, value / u->unit[u->people].factor, u->unit[u->people].name);
}

bool parse_setting_value(size_t setting, const char *text, bool own_unit, uint32_t *value, char why[WHY_MAX])
{
    const struct mn_setting *s = mn_setting_at(setting);
    const struct units *u = units_of(s);
    /* A depth of 1.2 means mm, one of 500 means um. */
    size_t guess = strcmp(u->own, "um") == 0 && strlen(text) >= 3 && strchr(text, '.') == NULL ? 0 : u->people;
    const char *name = setting_short_name(setting);
    char low[40], high[40], lower[40], upper[40];
    double number;

    if (same_word(text, "off") && s->step == 0) {
        *value = 0;
        return true;
    }
    if (!parse_quantity(text, u->unit, u->count, own_unit || strcmp(u->own, "hz") == 0 ? 0 : u->count, guess, &number, why))
        return false;
    format_setting(setting, s->min, low, sizeof(low));
    format_setting(setting, s->max, high, sizeof(high));
    if (number < s->min || number > s->max) {
        snprintf(why, WHY_MAX, "%s is %s to %s", name, low, high);
        return false;
    }
    if (s->step == 0 && (fabs(number - nearbyint(number)) > 1e-6 || (number > 0 && 1000 % (unsigned)nearbyint(number) != 0))) {
        snprintf(why, WHY_MAX, "%s is off, or divides 1000 Hz: 1, 2, 5, 10, 20, 50, 100, 200, 500 or 1000 Hz, up to %s", name, high);
        return false;
    }
    if (s->step != 0 && fabs(number / s->step - nearbyint(number / s->step)) > 1e-6) {
        uint32_t below = (uint32_t)(number / s->step) * s->step;

        format_setting(setting, s->step, low, sizeof(low));
        format_setting(setting, below, lower, sizeof(lower));
        format_setting(setting, below + s->step, upper, sizeof(upper));
        snprintf(why, WHY_MAX, "%s goes in steps of %s: %s or %s", name, low, lower, upper);
        return false;
    }
    *value = (uint32_t)nearbyint(number);
    return true;
}

int parse_assignment(const char *word, size_t *setting, uint32_t *value)
{
    const char *equals = strchr(word, '=');
    char why[WHY_MAX];
    bool long_name = false;
    int r;

    if (equals == NULL)
        return usage_error("%s: write NAME=VALUE, for instance depth=1.2mm", word);
    r = find_setting(word, (size_t)(equals - word), setting, &long_name);
    if (r != EXIT_OK)
        return r;
    return parse_setting_value(*setting, equals + 1, long_name, value, why) ? EXIT_OK : usage_error("%s: %s", word, why);
}

int parse_number(const char *option, const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    char why[QUANTITY_WHY_MAX];

    if (text == NULL)
        return usage_error("%s needs a number, %" PRIu64 " to %" PRIu64, option, low, high);
    return parse_whole(text, low, high, out, why) ? EXIT_OK : usage_error("%s: %s", option, why);
}

int parse_seconds(const char *option, const char *text, double *out)
{
    static const struct unit units[] = {{"s", 1}, {"min", 60}, {"h", 3600}};
    char why[QUANTITY_WHY_MAX];
    double s = 0;

    if (text == NULL)
        return usage_error("%s needs a time: 10, 10s or 5min", option);
    if (!parse_quantity(text, units, 3, 0, 0, &s, why))
        return usage_error("%s: %s", option, why);
    if (s <= 0 || s > 1e6)
        return usage_error("%s: it is more than 0 and at most 1000000 s", option);
    *out = s;
    return EXIT_OK;
}

/* ---- time ---- */

void format_minute(uint64_t us, char *out, size_t cap)
{
    time_t s = (time_t)(us / 1000000);
    struct tm t;

    if (localtime_r(&s, &t) == NULL || strftime(out, cap, "%a %Y-%m-%d %H:%M", &t) == 0)
        snprintf(out, cap, "?");
}

void format_day(uint64_t us, char *out, size_t cap)
{
    time_t s = (time_t)(us / 1000000), now = time(NULL);
    struct tm t, today;

    if (localtime_r(&s, &t) == NULL || localtime_r(&now, &today) == NULL || strftime(out, cap, t.tm_year == today.tm_year ? "%a %-d %b" : "%a %-d %b %Y", &t) == 0)
        snprintf(out, cap, "?");
}

/* Days between two days of the calendar. */
static int days_between(time_t from, time_t to)
{
    struct tm a, b;

    if (localtime_r(&from, &a) == NULL || localtime_r(&to, &b) == NULL)
        return 0;
    a.tm_hour = b.tm_hour = 12;
    a.tm_min = b.tm_min = a.tm_sec = b.tm_sec = 0;
    a.tm_isdst = b.tm_isdst = -1;
    return (int)lround(difftime(mktime(&b), mktime(&a)) / 86400);
}

void format_distance(uint64_t us, char *out, size_t cap)
{
    int days = days_between(time(NULL), (time_t)(us / 1000000));

    if (days == 0)
        snprintf(out, cap, "today");
    else if (days == 1 || days == -1)
        snprintf(out, cap, "%s", days > 0 ? "tomorrow" : "yesterday");
    else if (days > 0)
        snprintf(out, cap, "in %d days", days);
    else
        snprintf(out, cap, "%d days ago", -days);
}
