/* Findings of the policy as sentences with people's units (calendar days, mm) and advice. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sessions.h"

enum colour colour_of_decision(enum mn_decision d)
{
    return d == MN_DECISION_BLOCK ? COLOUR_BAD : d == MN_DECISION_OK ? COLOUR_GOOD : COLOUR_WARN;
}

enum { NUMBING_NOT_ELAPSED = 2001, INTERVAL_TOO_SHORT = 2002, ZONE_FORBIDDEN = 2003, CHECKLIST_INCOMPLETE = 2005, DEPTH_OVER_POLICY = 2006 }; /* proto/policy/refusals.def */

static uint64_t in_us(int64_t seconds)
{
    return (uint64_t)(time(NULL) + seconds) * 1000000;
}

static void format_interval(const struct mn_finding *f, const struct past *p, char *out, size_t cap)
{
    const struct past_zone *was = NULL;
    char last[60], next[40], since[80];

    for (size_t i = 0; p != NULL && i < mn_zone_count(); i++) {
        if (strcmp(mn_zone_at(i)->name, f->name) == 0 && p->zone[mn_zone_at(i)->number].number != 0)
            was = &p->zone[mn_zone_at(i)->number];
    }
    if (was != NULL) {
        format_day(was->ended_us, since, sizeof(since));
        snprintf(last, sizeof(last), "last %.30s, in session %" PRIu32, since, was->number);
        format_day(was->ended_us + (uint64_t)f->limit * 86400 * 1000000, next, sizeof(next));
    } else {
        snprintf(last, sizeof(last), "last %" PRIu32 " d ago", f->value);
        format_day(in_us(((int64_t)f->limit - f->value) * 86400), next, sizeof(next));
    }
    snprintf(out, cap, "%s may be treated again from %s: %s%s", f->name, next, last, f->decision == MN_DECISION_WARN ? "; overridden" : "");
}

/* "today", "3 days ago" */
static void format_ago(uint32_t hours, char *out, size_t cap)
{
    if (hours < 24)
        snprintf(out, cap, hours == 0 ? "today" : "%" PRIu32 " h ago", hours);
    else
        snprintf(out, cap, hours < 48 ? "%" PRIu32 " day ago" : "%" PRIu32 " days ago", hours / 24);
}

static void format_answer(const struct mn_finding *f, char *out, size_t cap)
{
    char ago[40], until[40];
    bool confirmed = strstr(f->text, "confirmed by a clinician") != NULL;
    const char *what = f->decision == MN_DECISION_BLOCK ? "not before" : f->decision == MN_DECISION_CONSULT ? "a clinician has to confirm it until" : "a warning until";

    if (strcmp(f->unit, "h") == 0) {
        format_ago(f->value, ago, sizeof(ago));
        format_day(in_us(((int64_t)f->limit - f->value) * 3600), until, sizeof(until));
        snprintf(out, cap, "%s %s: %s %s", f->name, ago, confirmed ? "confirmed by a clinician; else" : what, until);
        if (confirmed)
            snprintf(out, cap, "%s %s: confirmed by a clinician", f->name, ago);
    } else {
        snprintf(out, cap, "%s: %s", f->name,
                 f->decision == MN_DECISION_BLOCK     ? "not to be treated"
                 : f->decision == MN_DECISION_CONSULT ? "a clinician has to confirm it (confirmed_by, with the clinician's key)"
                 : confirmed                          ? "confirmed by a clinician"
                                                      : "be careful");
    }
}

static void format_numbing(const struct mn_finding *f, char *out, size_t cap)
{
    char when[40];
    time_t t = time(NULL) + (f->limit > f->value ? (time_t)(f->limit - f->value) * 60 : 0);
    struct tm tm;

    if (localtime_r(&t, &tm) == NULL || strftime(when, sizeof(when), "%H:%M", &tm) == 0)
        snprintf(when, sizeof(when), "later");
    if (f->decision == MN_DECISION_WARN)
        snprintf(out, cap, "numbing waived: it wants %" PRIu32 " min", f->limit);
    else if (f->value > f->limit)
        snprintf(out, cap, "numbed %" PRIu32 " min ago: that has worn off after %" PRIu32 " min; numb again, or a waiver with a reason", f->value, f->limit);
    else if (f->value == 0)
        snprintf(out, cap, "no numbing: it wants %" PRIu32 " min, or a waiver with a reason", f->limit);
    else
        snprintf(out, cap, "numbed %" PRIu32 " min ago of %" PRIu32 ": from %s on, or a waiver with a reason", f->value, f->limit, when);
}

void format_finding(const struct mn_finding *f, const struct past *p, char *out, size_t cap)
{
    switch (f->code) {
    case INTERVAL_TOO_SHORT:
        format_interval(f, p, out, cap);
        return;
    case NUMBING_NOT_ELAPSED:
        format_numbing(f, out, cap);
        return;
    case DEPTH_OVER_POLICY:
        snprintf(out, cap, "%.2f mm is too deep %s%s: at most %.2f mm", f->value / 1000.0, strcmp(f->name, "depth_limit") == 0 ? "for this site's policy" : "for ",
                 strcmp(f->name, "depth_limit") == 0 ? "" : f->name, f->limit / 1000.0);
        return;
    case ZONE_FORBIDDEN:
        snprintf(out, cap, "%s is never treated", f->name);
        return;
    case 1306:
        snprintf(out, cap, "%.2f mm is deeper than the cartridge goes: %.2f mm", f->value / 1000.0, f->limit / 1000.0);
        return;
    default:
        break;
    }
    for (size_t i = 0; f->code != CHECKLIST_INCOMPLETE && i < mn_question_count(); i++) {
        if (strcmp(mn_question_at(i)->name, f->name) == 0) {
            format_answer(f, out, cap);
            return;
        }
    }
    snprintf(out, cap, "%s", f->text[0] != '\0' ? f->text : f->name);
}

void print_findings(const struct mn_finding *f, size_t n, const struct past *p)
{
    for (size_t i = 0; i < n; i++) {
        char text[240], line[340], code[12] = "";

        format_finding(&f[i], p, text, sizeof(text));
        if (f[i].code != 0)
            snprintf(code, sizeof(code), "%u ", f[i].code);
        snprintf(line, sizeof(line), "%s%s (%s)", code, text, f[i].source);
        printf("  %s%-7s%s ", colour(colour_of_decision(f[i].decision)), mn_decision_name(f[i].decision), colour(COLOUR_NONE));
        print_tail(10, line);
    }
}

json_t *findings_json(const struct mn_finding *f, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:I, s:I, s:s, s:s, s:s}", "decision", mn_decision_name(f[i].decision), "code", (int)f[i].code,
                                              "name", f[i].name, "value", (json_int_t)f[i].value, "limit", (json_int_t)f[i].limit, "unit", f[i].unit, "source",
                                              f[i].source, "text", f[i].text));
    return list;
}
