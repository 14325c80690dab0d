#include "quantity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

enum { HOUR_S = 3600, DAY_S = 86400 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Removes blanks around the text. False if it is too long to be a quantity. */
static bool trim(const char *text, char *out, size_t cap, char why[QUANTITY_WHY_MAX])
{
    size_t n;

    text += strspn(text, " \t");
    n = strlen(text);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL)
        n--;
    if (n < cap) {
        memcpy(out, text, n);
        out[n] = '\0';
        return true;
    }
    snprintf(why, QUANTITY_WHY_MAX, "it is too long");
    return false;
}

/* The length of the number that the text begins with: digits with an optional sign and fraction. 0: none. */
static size_t number_length(const char *text)
{
    size_t sign = text[0] == '+' || text[0] == '-', whole = strspn(text + sign, "0123456789"), n = sign + whole;

    if (text[n] == '.' && is_digit(text[n + 1]))
        n += 1 + strspn(text + n + 1, "0123456789");
    return whole > 0 ? n : 0;
}

/* Converts decimal digits with a point, independent of the locale (strtod() is not). */
static double number_of(const char *text, size_t n)
{
    double value = 0, place = 0;

    for (size_t i = text[0] == '+' || text[0] == '-'; i < n; i++) {
        if (text[i] == '.') {
            place = 1;
            continue;
        }
        value = value * 10 + (text[i] - '0');
        place *= 10;
    }
    return (text[0] == '-' ? -value : value) / (place > 0 ? place : 1);
}

bool parse_whole(const char *text, uint64_t low, uint64_t high, uint64_t *out, char why[QUANTITY_WHY_MAX])
{
    char word[64] = "";
    uint64_t value = 0;
    size_t i = 0;

    if (!trim(text, word, sizeof(word), why))
        return false;
    for (i = word[0] == '+'; is_digit(word[i]) && value <= UINT64_MAX / 10 - 1; i++)
        value = value * 10 + (uint64_t)(word[i] - '0');
    if (word[i] != '\0' || !is_digit(word[i > 0 ? i - 1 : 0]) || value < low || value > high) {
        snprintf(why, QUANTITY_WHY_MAX, "it is a whole number, %llu to %llu, not \"%s\"", (unsigned long long)low, (unsigned long long)high, word);
        return false;
    }
    *out = value;
    return true;
}

/* "um, mm" */
static void list_units(const struct unit *units, size_t count, char *out, size_t cap)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count && used < cap; i++)
        used += (size_t)snprintf(out + used, cap - used, "%s%s", i > 0 ? ", " : "", units[i].name);
}

bool parse_quantity(const char *text, const struct unit *units, size_t count, size_t otherwise, size_t guess, double *out, char why[QUANTITY_WHY_MAX])
{
    char word[64] = "", known[80];
    const char *unit;
    size_t n, i;

    if (!trim(text, word, sizeof(word), why))
        return false;
    n = number_length(word);
    unit = word + n + strspn(word + n, " ");
    if (n == 0) {
        snprintf(why, QUANTITY_WHY_MAX, "\"%s\" is not a number", word);
        return false;
    }
    if (word[n] == ',' && is_digit(word[n + 1])) {
        word[n] = '.';
        snprintf(why, QUANTITY_WHY_MAX, "write %s: a point, not a comma", word);
        return false;
    }
    for (i = 0; i < count && !same_word(units[i].name, unit); i++)
        ;
    if (unit[0] == '\0' && otherwise < count)
        i = otherwise;
    if (i < count) {
        *out = number_of(word, n) * units[i].factor;
        return true;
    }
    list_units(units, count, known, sizeof(known));
    if (unit[0] == '\0')
        snprintf(why, QUANTITY_WHY_MAX, "write %s%s: it needs its unit (%s)", word, units[guess].name, known);
    else if (known[0] == '\0')
        snprintf(why, QUANTITY_WHY_MAX, "it has no unit");
    else
        snprintf(why, QUANTITY_WHY_MAX, "\"%s\" is none of its units (%s)", unit, known);
    return false;
}

/* ---- time ---- */

static const struct {
    const char *name;
    int64_t seconds;
} lengths[] = {
    {"s", 1}, {"sec", 1}, {"second", 1}, {"seconds", 1}, {"min", 60}, {"minute", 60}, {"minutes", 60}, {"h", HOUR_S}, {"hour", HOUR_S}, {"hours", HOUR_S},
    {"d", DAY_S}, {"day", DAY_S}, {"days", DAY_S}, {"w", 7 * DAY_S}, {"week", 7 * DAY_S}, {"weeks", 7 * DAY_S}, {"month", 30 * DAY_S}, {"months", 30 * DAY_S},
    {"y", 365 * DAY_S}, {"year", 365 * DAY_S}, {"years", 365 * DAY_S},
};

/* Parses "5d", "2 weeks", "5 days ago". False if it is no length of time. */
static bool parse_length(const char *word, char m, int64_t *seconds)
{
    size_t n = number_length(word), used;
    char unit[16];
    double value;

    if (n == 0 || word[0] == '-' || word[0] == '+')
        return false;
    value = number_of(word, n);
    word += n + strspn(word + n, " ");
    used = strcspn(word, " ");
    if (used == 0 || used >= sizeof(unit) || value > 1e6)
        return false;
    memcpy(unit, word, used);
    unit[used] = '\0';
    word += used + strspn(word + used, " ");
    if (word[0] != '\0' && !same_word(word, "ago"))
        return false;
    if (same_word(unit, "m")) {
        *seconds = (int64_t)(value * (m == 'M' ? 30 * DAY_S : 60));
        return true;
    }
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        if (!same_word(lengths[i].name, unit))
            continue;
        *seconds = (int64_t)(value * (double)lengths[i].seconds);
        return true;
    }
    return false;
}

/* The day this many days before today. */
static bool day_before(time_t now, int days, struct moment *out)
{
    struct tm tm;

    if (localtime_r(&now, &tm) == NULL)
        return false;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    tm.tm_mday -= days;
    tm.tm_isdst = -1;
    *out = (struct moment){mktime(&tm), DAY_S};
    return out->begin != (time_t)-1;
}

static bool parse_day_name(const char *word, time_t now, struct moment *out)
{
    static const char *const days[] = {"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"};
    struct tm tm;
    size_t day;

    if (same_word(word, "today"))
        return day_before(now, 0, out);
    if (same_word(word, "yesterday"))
        return day_before(now, 1, out);
    if (begins_word("last ", word, 5))
        word += 5;
    day = strlen(word) >= 3 ? find_word(word, days, 7, true) : 7;
    if (day == 7 || localtime_r(&now, &tm) == NULL)
        return false;
    return day_before(now, (tm.tm_wday - (int)day + 6) % 7 + 1, out);
}

enum date { DATE_NOT, DATE_GOOD, DATE_IN_NO_CALENDAR };

static enum date parse_date(const char *word, struct moment *out)
{
    static const struct {
        const char *format;
        int64_t seconds;
    } forms[] = {{"%Y-%m-%d %H:%M:%S", 0}, {"%Y-%m-%dT%H:%M:%S", 0}, {"%Y-%m-%d %H:%M", 60}, {"%Y-%m-%dT%H:%M", 60}, {"%Y-%m-%d", DAY_S}};

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm tm = {.tm_isdst = -1}, is;
        const char *rest = strptime(word, forms[i].format, &tm);
        time_t t;

        if (rest == NULL || *rest != '\0')
            continue;
        is = tm;
        t = mktime(&is);
        if (t == (time_t)-1 || is.tm_mday != tm.tm_mday || is.tm_mon != tm.tm_mon)
            return DATE_IN_NO_CALENDAR;
        *out = (struct moment){t, forms[i].seconds};
        return DATE_GOOD;
    }
    return DATE_NOT;
}

bool parse_moment(const char *text, time_t now, char m, struct moment *out, char why[QUANTITY_WHY_MAX])
{
    struct moment found;
    int64_t seconds = 0;
    enum date date;
    char word[64] = "";

    if (!trim(text, word, sizeof(word), why))
        return false;
    date = parse_date(word, &found);
    if (date == DATE_IN_NO_CALENDAR) {
        snprintf(why, QUANTITY_WHY_MAX, "%s is in no calendar", word);
        return false;
    }
    if (date == DATE_NOT && same_word(word, "now"))
        found = (struct moment){now, 0};
    else if (date == DATE_NOT && parse_length(word, m, &seconds))
        found = (struct moment){now - seconds, 0};
    else if (date == DATE_NOT && !parse_day_name(word, now, &found)) {
        snprintf(why, QUANTITY_WHY_MAX, "\"%s\" is no time: write 3h, 5d, 2w, yesterday, monday or 2026-11-21", word);
        return false;
    }
    if (found.begin > now) {
        snprintf(why, QUANTITY_WHY_MAX, "%s has not come yet", word);
        return false;
    }
    *out = found;
    return true;
}
