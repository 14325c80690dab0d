/* The after-care card of a session: what not to do before when, what to expect, whom to call. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "escape.h"
#include "sessions.h"

static uint64_t due_us(const struct mn_session *s, const struct mn_aftercare *row)
{
    return s->ended_us + (uint64_t)row->hours * 3600 * 1000000;
}

/* When the person may do this again: the hour if that is today or tomorrow, else the first whole day. */
static void format_due(const struct mn_session *s, const struct mn_aftercare *row, char *out, size_t cap)
{
    uint64_t due = due_us(s, row);
    time_t t = (time_t)(due / 1000000);
    struct tm tm;

    if (row->hours > 24) {
        format_day(due + (uint64_t)(24 * 3600 - 1) * 1000000, out, cap);
    } else if (localtime_r(&t, &tm) == NULL || strftime(out, cap, "%a %-d %b, %H:%M", &tm) == 0) {
        snprintf(out, cap, "?");
    }
}

static bool was_treated(const struct mn_session *s, size_t i)
{
    return s->zone[i].strokes > 0 || s->incomplete;
}

/* "cheek, upper lip skin": the zones with strokes; of an incomplete session, every planned zone. */
static void format_treated(const struct mn_session *s, char *out, size_t cap)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < s->zone_count && used < cap; i++) {
        if (was_treated(s, i))
            used += (size_t)snprintf(out + used, cap - used, "%s%s", used > 0 ? ", " : "", zone_name(s->zone[i].zone));
    }
    for (char *c = out; *c != '\0'; c++)
        *c = *c == '_' ? ' ' : *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
}

static bool is_first_of(size_t i)
{
    return i == 0 || strcmp(mn_adverse_at(i)->who, mn_adverse_at(i - 1)->who) != 0;
}

/* Whether this symptom needs a doctor at once. */
static bool is_urgent(size_t i)
{
    return strstr(mn_adverse_at(i)->who, "at once") != NULL;
}

static void print_text(const struct mn_session *s)
{
    char when[40], treated[300];

    format_minute(s->ended_us, when, sizeof(when));
    format_treated(s, treated, sizeof(treated));
    printf("%sAfter-care%s  session %" PRIu32 ", %s, %s\nTreated%s: ", colour(COLOUR_BOLD), colour(COLOUR_NONE), s->number, s->subject, when,
           s->incomplete ? ", as far as is known" : "");
    text_wrap(stdout, treated, 9, 9, text_page_columns());
    printf("\nFrom now on\n");
    for (size_t i = 0; i < mn_care_count(); i++) {
        printf("  ");
        print_tail(2, mn_care_at(i)->text);
    }
    printf("\nNot before\n");
    for (size_t i = 0; i < mn_aftercare_count(); i++) {
        format_due(s, mn_aftercare_at(i), when, sizeof(when));
        printf("  %-18s ", when);
        print_tail(21, mn_aftercare_at(i)->text);
    }
    printf("\nTo be expected\n");
    for (size_t i = 0; i < mn_expected_count(); i++) {
        printf("  ");
        print_tail(2, mn_expected_at(i)->text);
    }
    for (size_t i = 0; i < mn_adverse_count(); i++) {
        if (is_first_of(i))
            printf("\n%sCall %s%s\n", colour(is_urgent(i) ? COLOUR_BAD : COLOUR_BOLD), mn_adverse_at(i)->who, colour(COLOUR_NONE));
        if (strcmp(mn_adverse_at(i)->name, "OTHER") != 0)
            printf("  %s\n", mn_adverse_at(i)->text);
    }
}

static json_t *card_json(const struct mn_session *s)
{
    json_t *j = json_pack("{s:I, s:s, s:I}", "session", (json_int_t)s->number, "subject", s->subject, "ended_us", (json_int_t)s->ended_us), *list;

    json_object_set_new(j, "zones", list = json_array());
    for (size_t i = 0; i < s->zone_count; i++) {
        if (was_treated(s, i))
            json_array_append_new(list, json_string(zone_name(s->zone[i].zone)));
    }
    json_object_set_new(j, "care", list = json_array());
    for (size_t i = 0; i < mn_care_count(); i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", mn_care_at(i)->name, "source", mn_care_at(i)->source, "text", mn_care_at(i)->text));
    json_object_set_new(j, "not_before", list = json_array());
    for (size_t i = 0; i < mn_aftercare_count(); i++) {
        const struct mn_aftercare *row = mn_aftercare_at(i);

        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:s, s:s}", "name", row->name, "hours", (json_int_t)row->hours, "due_us",
                                              (json_int_t)due_us(s, row), "source", row->source, "text", row->text));
    }
    json_object_set_new(j, "expected", list = json_array());
    for (size_t i = 0; i < mn_expected_count(); i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "text", mn_expected_at(i)->text, "source", mn_expected_at(i)->source));
    json_object_set_new(j, "call", list = json_array());
    for (size_t i = 0; i < mn_adverse_count(); i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "name", mn_adverse_at(i)->name, "who", mn_adverse_at(i)->who, "source",
                                              mn_adverse_at(i)->source, "text", mn_adverse_at(i)->text));
    return j;
}

static const char style[] = "@page{margin:12mm}*{box-sizing:border-box}body{font:15px/1.4 sans-serif;max-width:36em;margin:1em auto;padding:0 1em;color:#111;background:#fff}"
                            "h1{font-size:1.5em;margin:.2em 0}h2{font-size:1.05em;margin:.8em 0 .2em}p{margin:.2em 0}table{border-collapse:collapse}td{padding:.15em .8em .15em 0;vertical-align:top}"
                            "td:first-child{white-space:nowrap;font-weight:bold}section{border:1px solid #777;border-left-width:6px;padding:.1em .9em .4em;margin:.7em 0;break-inside:avoid}"
                            "section h2{margin:.3em 0}ul{margin:0;padding-left:1.2em}.urgent{border:3px solid #b00020;border-left-width:12px;background:#fdecee}.urgent h2{color:#b00020}"
                            "@media print{body{font-size:9.5pt;line-height:1.3;margin:0;max-width:none;padding:0}.urgent{background:none}}"
                            "@media screen and (prefers-color-scheme:dark){body{background:#14171a;color:#e8e8e8}section{border-color:#888}.urgent{background:#3a1a1e;border-color:#ff8a94}.urgent h2{color:#ff8a94}}";

/* One page, for paper of any size from A5 on, and for a screen. */
static void write_page(FILE *out, const struct mn_session *s)
{
    char when[40], treated[300];

    format_minute(s->ended_us, when, sizeof(when));
    format_treated(s, treated, sizeof(treated));
    fprintf(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
                 "<title>After-care, session %" PRIu32 "</title>\n<style>", s->number);
    fputs(style, out);
    fputs("</style></head><body>\n", out);
    escape_markup(out, "<h1>After-care</h1>\n<p>Session %" PRIu32 ", ", s->number);
    escape_markup(out, "%s", s->subject);
    escape_markup(out, ", %s</p>\n<p>Treated%s: %s</p>\n<h2>From now on</h2>\n<ul>", when, s->incomplete ? ", as far as is known" : "", treated);
    for (size_t i = 0; i < mn_care_count(); i++)
        escape_markup(out, "<li>%s</li>", mn_care_at(i)->text);
    fputs("</ul>\n<h2>Not before</h2>\n<table>\n", out);
    for (size_t i = 0; i < mn_aftercare_count(); i++) {
        format_due(s, mn_aftercare_at(i), when, sizeof(when));
        escape_markup(out, "<tr><td>%s</td><td>%s</td></tr>\n", when, mn_aftercare_at(i)->text);
    }
    fputs("</table>\n<h2>To be expected</h2>\n<ul>", out);
    for (size_t i = 0; i < mn_expected_count(); i++)
        escape_markup(out, "<li>%s</li>", mn_expected_at(i)->text);
    fputs("</ul>\n", out);
    for (size_t i = 0; i < mn_adverse_count(); i++) {
        if (is_first_of(i))
            fprintf(out, "%s<section%s><h2>Call %s</h2><ul>", i > 0 ? "</ul></section>\n" : "", is_urgent(i) ? " class=\"urgent\"" : "", mn_adverse_at(i)->who);
        if (strcmp(mn_adverse_at(i)->name, "OTHER") != 0)
            escape_markup(out, "<li>%s</li>", mn_adverse_at(i)->text);
    }
    escape_markup(out, "</ul></section>\n</body></html>\n");
}

int aftercare(struct app *a, const struct mn_session *s, const char *path, bool force)
{
    bool treated = false;
    FILE *out;

    if (s->state != MN_SESSION_ENDED) {
        fprintf(stderr, "mnctl: session %" PRIu32 " has not ended: the card's times count from its end\n", s->number);
        return EXIT_REFUSED;
    }
    for (size_t i = 0; i < s->zone_count; i++)
        treated = treated || was_treated(s, i);
    if (!treated) {
        fprintf(stderr, "mnctl: in session %" PRIu32 " no needle has moved: there is nothing to care for\n", s->number);
        return EXIT_REFUSED;
    }
    if (path == NULL && a->json)
        return print_json(card_json(s), false);
    if (path == NULL) {
        print_text(s);
        return flush_output();
    }
    out = output_open(path, force);
    if (out == NULL)
        return EXIT_ERROR;
    write_page(out, s);
    return output_close(out, path);
}
