/* The after-care card of a session: what not to do before when, what to expect, whom to call. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sessions.h"

void format_minute(uint64_t us, char *out, size_t cap)
{
    time_t s = (time_t)(us / 1000000);
    struct tm t;

    if (localtime_r(&s, &t) == NULL || strftime(out, cap, "%a %Y-%m-%d %H:%M", &t) == 0)
        snprintf(out, cap, "?");
}

static uint64_t due_us(const struct mn_session *s, const struct mn_aftercare *row)
{
    return s->ended_us + (uint64_t)row->hours * 3600 * 1000000;
}

static void print_text(const struct mn_session *s)
{
    char when[40];

    format_minute(s->ended_us, when, sizeof(when));
    printf("%sAfter-care%s: session %" PRIu32 ", %s, %s", colour(COLOUR_BOLD), colour(COLOUR_NONE), s->number, s->subject, when);
    for (size_t i = 0; i < s->zone_count; i++)
        printf("%s %s", i == 0 ? ";" : ",", zone_name(s->zone[i].zone));
    printf("\n\nNot before\n");
    for (size_t i = 0; i < mn_aftercare_count(); i++) {
        format_minute(due_us(s, mn_aftercare_at(i)), when, sizeof(when));
        printf("  %s  %s\n", when, mn_aftercare_at(i)->text);
    }
    printf("\nTo be expected\n");
    for (size_t i = 0; i < mn_expected_count(); i++)
        printf("  %s\n", mn_expected_at(i)->text);
    for (size_t i = 0; i < mn_adverse_count(); i++) {
        if (i == 0 || strcmp(mn_adverse_at(i)->who, mn_adverse_at(i - 1)->who) != 0)
            printf("\n%sCall %s%s\n", colour(COLOUR_BAD), mn_adverse_at(i)->who, colour(COLOUR_NONE));
        if (strcmp(mn_adverse_at(i)->name, "OTHER") != 0)
            printf("  %s\n", mn_adverse_at(i)->text);
    }
}

static json_t *card_json(const struct mn_session *s)
{
    json_t *j = json_pack("{s:I, s:s, s:I}", "session", (json_int_t)s->number, "subject", s->subject, "ended_us", (json_int_t)s->ended_us), *list;

    json_object_set_new(j, "zones", list = json_array());
    for (size_t i = 0; i < s->zone_count; i++)
        json_array_append_new(list, json_string(zone_name(s->zone[i].zone)));
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

/* One page of A5, for a printer; the subject's key is printable ASCII, and may hold what HTML means something by. */
static void write_page(FILE *out, const struct mn_session *s)
{
    char when[40];

    format_minute(s->ended_us, when, sizeof(when));
    fprintf(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
                 "<title>After-care, session %" PRIu32 "</title>\n<style>@page{size:A5;margin:12mm}"
                 "body{font:16px/1.4 sans-serif;max-width:34em;margin:1em auto;padding:0 1em;color:#111}"
                 "td{padding:.2em .8em .2em 0;vertical-align:top}td:first-child{white-space:nowrap;font-weight:bold}"
                 ".call{border:2px solid #b00;padding:.2em 1em;margin:.8em 0;break-inside:avoid}</style></head><body>\n",
            s->number);
    fprintf(out, "<h1>After-care</h1>\n<p>Session %" PRIu32 ", ", s->number);
    for (const char *c = s->subject; *c != '\0'; c++)
        fprintf(out, "&#%d;", *c);
    fprintf(out, ", %s</p>\n<p>", when);
    for (size_t i = 0; i < s->zone_count; i++)
        fprintf(out, "%s%s", i == 0 ? "" : ", ", zone_name(s->zone[i].zone));
    fprintf(out, "</p>\n<h2>Not before</h2>\n<table>\n");
    for (size_t i = 0; i < mn_aftercare_count(); i++) {
        format_minute(due_us(s, mn_aftercare_at(i)), when, sizeof(when));
        fprintf(out, "<tr><td>%s</td><td>%s</td></tr>\n", when, mn_aftercare_at(i)->text);
    }
    fprintf(out, "</table>\n<h2>To be expected</h2>\n<p>");
    for (size_t i = 0; i < mn_expected_count(); i++)
        fprintf(out, "%s%s", i == 0 ? "" : ", ", mn_expected_at(i)->text);
    fprintf(out, "</p>\n");
    for (size_t i = 0; i < mn_adverse_count(); i++) {
        bool first = i == 0 || strcmp(mn_adverse_at(i)->who, mn_adverse_at(i - 1)->who) != 0;
        bool last = i + 1 == mn_adverse_count() || strcmp(mn_adverse_at(i)->who, mn_adverse_at(i + 1)->who) != 0;

        if (first)
            fprintf(out, "<div class=\"call\"><h2>Call %s</h2><ul>", mn_adverse_at(i)->who);
        if (strcmp(mn_adverse_at(i)->name, "OTHER") != 0)
            fprintf(out, "<li>%s</li>", mn_adverse_at(i)->text);
        if (last)
            fprintf(out, "</ul></div>\n");
    }
    fprintf(out, "</body></html>\n");
}

int aftercare(struct app *a, const struct mn_session *s, const char *path)
{
    FILE *out;

    if (s->state != MN_SESSION_ENDED) {
        fprintf(stderr, "mnctl: session %" PRIu32 " has not ended: the card's times count from its end\n", s->number);
        return EXIT_REFUSED;
    }
    if (path == NULL && a->json)
        return print_json(card_json(s), false);
    if (path == NULL) {
        print_text(s);
        return flush_output();
    }
    out = output_open(path, "we");
    if (out == NULL)
        return EXIT_ERROR;
    write_page(out, s);
    return output_close(out, path);
}
