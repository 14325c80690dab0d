/* Parses the parts of a treatment's plan, whether they come from options, a file or the dialogue. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sessions.h"

enum { RATE_DEFAULT_DHZ = 1000, NUMBED_MAX_MIN = 1440, HOUR_S = 3600 };

static bool refuse(char why[WHY_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool refuse(char why[WHY_MAX], const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(why, WHY_MAX, format, ap);
    va_end(ap);
    return false;
}

/* ---- zones ---- */

const char *zone_name(unsigned number)
{
    for (size_t i = 0; i < mn_zone_count(); i++) {
        if (mn_zone_at(i)->number == number)
            return mn_zone_at(i)->name;
    }
    return "?";
}

const struct mn_zone *find_zone(const char *word, char why[WHY_MAX])
{
    const char *names[32];
    uint64_t number;
    size_t n = 0, i;
    char ignored[QUANTITY_WHY_MAX];

    for (; n < mn_zone_count() && n < 32; n++)
        names[n] = mn_zone_at(n)->name;
    if (parse_whole(word, 1, 99, &number, ignored)) {
        for (i = 0; i < n; i++) {
            if (mn_zone_at(i)->number == number)
                return mn_zone_at(i);
        }
        refuse(why, "there is no zone %s: `mnctl policy show` lists them", word);
        return NULL;
    }
    i = find_word(word, names, n, true);
    if (i < n)
        return mn_zone_at(i);
    if (nearest(word, names, n) != NULL)
        refuse(why, "there is no zone %s; did you mean %s?", word, nearest(word, names, n));
    else
        refuse(why, "there is no zone \"%s\": `mnctl policy show` lists them", word);
    return NULL;
}

uint32_t plan_deepest_um(const struct mn_plan *p)
{
    uint32_t most_um = 0;

    for (size_t i = 0; i < p->step_count; i++)
        most_um = p->step[i].depth_um > most_um ? p->step[i].depth_um : most_um;
    return most_um;
}

/* ---- keys and reasons ---- */

static bool set_key(char out[MN_KEY_MAX + 1], const char *what, const char *word, char why[WHY_MAX])
{
    size_t n = strlen(word);

    for (size_t i = 0; word[i] != '\0'; i++) {
        if (word[i] <= ' ' || word[i] > '~')
            return refuse(why, "%s is a key of 1 to %d printable characters without blanks, not \"%s\"", what, MN_KEY_MAX, word);
    }
    if (n == 0 || n > MN_KEY_MAX)
        return refuse(why, "%s is a key of 1 to %d printable characters without blanks, not \"%s\"", what, MN_KEY_MAX, word);
    memcpy(out, word, n + 1);
    return true;
}

static bool set_reason(char out[MN_REASON_MAX + 1], const char *what, const char *word, char why[WHY_MAX])
{
    size_t n = strlen(word);

    if (word[strspn(word, " \t")] == '\0')
        return refuse(why, "%s needs a reason", what);
    if (n > MN_REASON_MAX)
        return refuse(why, "%s has %zu characters, and a reason has at most %d", what, n, MN_REASON_MAX);
    memcpy(out, word, n + 1);
    return true;
}

bool plan_set_subject(struct plan_words *w, const char *word, char why[WHY_MAX])
{
    if (!set_key(w->subject, "the subject", word, why))
        return false;
    w->plan.subject = w->subject;
    return true;
}

bool plan_set_waiver(struct plan_words *w, const char *reason, char why[WHY_MAX])
{
    if (!set_reason(w->waiver, "a waiver of the numbing", reason, why))
        return false;
    w->plan.numbing_waiver = w->waiver;
    return true;
}

bool plan_set_continues(struct plan_words *w, const char *word, char why[WHY_MAX])
{
    char ignored[QUANTITY_WHY_MAX];
    uint64_t number;

    if (!parse_whole(word, 1, UINT32_MAX, &number, ignored))
        return refuse(why, "a session has a number, not \"%s\": `mnctl session list` shows it", word);
    w->plan.continues = (uint32_t)number;
    return true;
}

bool plan_set_continues_why(struct plan_words *w, const char *reason, char why[WHY_MAX])
{
    if (!set_reason(w->continues_why, "a continuation", reason, why))
        return false;
    w->plan.continues_why = w->continues_why;
    return true;
}

bool plan_set_override(struct plan_words *w, size_t step, const char *reason, char why[WHY_MAX])
{
    if (!set_reason(w->overrides[step], "an override of the interval", reason, why))
        return false;
    w->plan.step[step].interval_override = w->overrides[step];
    return true;
}

bool plan_set_confirmed(struct plan_words *w, size_t question, const char *key, char why[WHY_MAX])
{
    if (!set_key(w->confirmed[question], "a clinician", key, why))
        return false;
    w->plan.answer[question].confirmed_by = w->confirmed[question];
    return true;
}

/* ---- indication, product, zones ---- */

bool plan_set_indication(struct plan_words *w, const char *word, char why[WHY_MAX])
{
    const char *names[16];
    char ignored[QUANTITY_WHY_MAX];
    uint64_t number;
    size_t n = 0, i;

    for (; n < mn_indication_count() && n < 16; n++)
        names[n] = mn_indication_at(n)->name;
    i = parse_whole(word, 1, n, &number, ignored) ? (size_t)number - 1 : find_word(word, names, n, true);
    if (i < n) {
        w->plan.indication = names[i];
        return true;
    }
    return nearest(word, names, n) != NULL ? refuse(why, "there is no indication %s; did you mean %s?", word, nearest(word, names, n))
                                           : refuse(why, "there is no indication \"%s\": `mnctl guide` lists them", word);
}

bool plan_set_product(struct plan_words *w, const char *word, char why[WHY_MAX])
{
    for (size_t i = 0; i < mn_product_count(); i++) {
        if (same_word(mn_product_at(i)->name, word)) {
            w->plan.products |= UINT32_C(1) << mn_product_at(i)->bit;
            return true;
        }
    }
    return refuse(why, "a product is PRP, GROWTH_FACTOR or SERUM, not %s", word);
}

bool plan_set_step(struct plan_words *w, const char *zone, const char *depth, const char *rate, const char *override, char why[WHY_MAX])
{
    const struct mn_zone *z = find_zone(zone, why);
    uint32_t depth_um, rate_dhz = RATE_DEFAULT_DHZ;
    size_t i = 0;

    if (z == NULL)
        return false;
    if (depth[0] == '\0')
        return refuse(why, "%s needs a depth: %s:1.2mm", z->name, z->name);
    if (!parse_setting_value(0, depth, false, &depth_um, why) || (rate[0] != '\0' && !parse_setting_value(1, rate, false, &rate_dhz, why)))
        return false;
    while (i < w->plan.step_count && w->plan.step[i].zone != z->number)
        i++;
    if (i == MN_STEPS_MAX)
        return refuse(why, "a plan has at most %d zones", MN_STEPS_MAX);
    w->plan.step[i].zone = z->number;
    w->plan.step[i].depth_um = depth_um;
    w->plan.step[i].stroke_rate_dhz = rate_dhz;
    w->plan.step[i].interval_override = NULL;
    if (override[0] != '\0' && !plan_set_override(w, i, override, why))
        return false;
    w->plan.step_count += i == w->plan.step_count;
    return true;
}

/* Copies the next part of "CHEEK:1.2mm:120Hz" or "cheek 1.2 mm 120 Hz": up to a colon, or to a blank that is followed by the beginning of another part. */
static const char *next_part(const char *at, char *out, size_t cap)
{
    size_t n = 0;

    at += strspn(at, " ");
    while (at[n] != '\0' && at[n] != ':' && !(at[n] == ' ' && at[n + strspn(at + n, " ")] >= '0' && at[n + strspn(at + n, " ")] <= '9'))
        n++;
    cut_word(out, cap, at, n);
    while (out[0] != '\0' && out[strlen(out) - 1] == ' ')
        out[strlen(out) - 1] = '\0';
    return at + n + (at[n] == ':');
}

bool plan_set_zone(struct plan_words *w, const char *words, char why[WHY_MAX])
{
    char zone[40], depth[24], rate[24], more[8];
    const char *at = next_part(words, zone, sizeof(zone));

    at = next_part(at, depth, sizeof(depth));
    at = next_part(at, rate, sizeof(rate));
    next_part(at, more, sizeof(more));
    if (zone[0] == '\0' || more[0] != '\0')
        return refuse(why, "write ZONE:DEPTH or ZONE:DEPTH:RATE, as in CHEEK:1.2mm:120Hz, not %s", words);
    return plan_set_step(w, zone, depth, rate, "", why);
}

/* ---- numbing ---- */

bool plan_set_numbed(struct plan_words *w, const char *word, char why[WHY_MAX])
{
    time_t now = time(NULL);
    char reason[QUANTITY_WHY_MAX], today[40];
    struct moment m;
    struct tm tm;
    uint64_t minutes;

    if (strchr(word, ':') != NULL && strlen(word) <= 5 && localtime_r(&now, &tm) != NULL) {
        snprintf(today, sizeof(today), "%04d-%02d-%02d %s", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, word);
        if (!parse_moment(today, now, 'm', &m, reason))
            return refuse(why, "%s is no time of today that has been", word);
    } else if (parse_whole(word, 0, NUMBED_MAX_MIN, &minutes, reason)) {
        m.begin = now - (time_t)minutes * 60;
    } else if (!parse_moment(word, now, 'm', &m, why) || m.seconds != 0) {
        return refuse(why, "write the minutes since then (40), or when it was (%s), not \"%s\"", "13:40", word);
    }
    if (now - m.begin > NUMBED_MAX_MIN * 60)
        return refuse(why, "numbing counts for at most a day, and %s is longer", word);
    w->plan.numbed = true;
    w->numbed_at = m.begin;
    plan_now(w);
    return true;
}

const struct mn_plan *plan_now(struct plan_words *w)
{
    time_t now = time(NULL);
    int64_t minutes = now > w->numbed_at ? (now - w->numbed_at) / 60 : 0;

    if (w->plan.numbed)
        w->plan.numbing_min = minutes < NUMBED_MAX_MIN ? (uint32_t)minutes : NUMBED_MAX_MIN;
    return &w->plan;
}

/* ---- answers ---- */

size_t question_by_name(const char *name)
{
    size_t i = 0;

    while (i < mn_question_count() && !same_word(mn_question_at(i)->name, name))
        i++;
    return i;
}

/* The least number of hours since then: a day counts from its end. */
static uint32_t hours_since(const struct moment *m, time_t now)
{
    int64_t seconds = now - m->begin - m->seconds;

    return seconds > 0 ? (uint32_t)(seconds / HOUR_S) : 0;
}

bool plan_set_answer(struct plan_words *w, size_t question, const char *word, char why[WHY_MAX])
{
    const struct mn_question *q = mn_question_at(question);
    struct mn_answer a = w->plan.answer[question];
    bool no = same_word(word, "no") || same_word(word, "n");
    char reason[QUANTITY_WHY_MAX];
    time_t now = time(NULL);
    struct moment m;

    a.answered = true;
    a.yes = a.ever = false;
    a.hours_ago = 0;
    a.zones = 0;
    if (q->hours[0] == 0) {
        if (!no && !same_word(word, "yes") && !same_word(word, "y"))
            return word[0] == '\0' ? refuse(why, "an empty answer is none: write yes or no") : refuse(why, "\"%s\" is neither yes nor no", word);
        a.yes = !no;
    } else if (!no && !same_word(word, "never")) {
        if (word[0] == '\0')
            return refuse(why, "an empty answer is none: write never, today, or how long ago it was, as 3d");
        if (same_word(word, "yes") || same_word(word, "y"))
            return refuse(why, "when was it? Write today, or how long ago it was, as 5h, 3d, 2w or 6m");
        if (!parse_moment(word, now, 'M', &m, reason))
            return refuse(why, "%s; or never", reason);
        a.ever = true;
        a.hours_ago = hours_since(&m, now);
    }
    w->plan.answer[question] = a;
    return true;
}

bool plan_set_answer_zones(struct plan_words *w, size_t question, const char *words, char why[WHY_MAX])
{
    uint32_t zones = 0;
    char word[40];

    if (!mn_question_at(question)->in_zone)
        return refuse(why, "it counts wherever it is, and takes no zones");
    while (next_word(&words, ", ", word, sizeof(word))) {
        const struct mn_zone *z = find_zone(word, why);

        if (z == NULL)
            return false;
        zones |= UINT32_C(1) << z->number;
    }
    w->plan.answer[question].zones = zones;
    return true;
}

/* ---- options ---- */

int plan_option(struct plan_words *w, const char *option, const char *value)
{
    static const struct {
        const char *name;
        bool (*set)(struct plan_words *w, const char *word, char why[WHY_MAX]);
    } options[] = {{"--subject", plan_set_subject},   {"--indication", plan_set_indication},  {"--zone", plan_set_zone},
                   {"--numbed", plan_set_numbed},     {"--waive-numbing", plan_set_waiver},   {"--product", plan_set_product},
                   {"--continue", plan_set_continues}, {"--because", plan_set_continues_why}, {"--answers", NULL}};
    char why[WHY_MAX];
    size_t i = 0;

    while (i < sizeof(options) / sizeof(options[0]) && strcmp(options[i].name, option) != 0)
        i++;
    if (i == sizeof(options) / sizeof(options[0]))
        return -1;
    if (value == NULL)
        return usage_error("%s needs a value", option);
    if (options[i].set == NULL)
        return plan_read(w, value);
    return options[i].set(w, value, why) ? EXIT_OK : usage_error("%s: %s", option, why);
}
