/* policy, guide: the treatment policy as tables, as a page, and for one indication. Both need no daemon. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "document.h"
#include "file.h"
#include "mnctl.h"

/* 168 h is 7 d; 72 h is 3 d; 4 h is 4 h. */
static void format_hours(uint32_t hours, char *out, size_t cap)
{
    if (hours >= 24 && hours % 24 == 0)
        snprintf(out, cap, "%" PRIu32 " d", hours / 24);
    else
        snprintf(out, cap, "%" PRIu32 " h", hours);
}

static void format_decision(const struct mn_question *q, char *out, size_t cap)
{
    char time[2][16];

    for (int i = 0; i < 2; i++)
        format_hours(q->hours[i], time[i], sizeof(time[i]));
    if (q->hours[0] == 0)
        snprintf(out, cap, "yes: %s%s", mn_decision_name(q->decision[0]), q->in_zone ? " there" : "");
    else if (q->hours[1] == 0)
        snprintf(out, cap, "within %s: %s", time[0], mn_decision_name(q->decision[0]));
    else
        snprintf(out, cap, "within %s: %s; within %s: %s", time[0], mn_decision_name(q->decision[0]), time[1], mn_decision_name(q->decision[1]));
}

static void format_sessions(const struct mn_indication *n, char *out, size_t cap)
{
    if (n->sessions_max == 0)
        snprintf(out, cap, "the practitioner says");
    else if (n->sessions_min == n->sessions_max)
        snprintf(out, cap, "%" PRIu32, n->sessions_min);
    else
        snprintf(out, cap, "%" PRIu32 " to %" PRIu32, n->sessions_min, n->sessions_max);
}

static void format_cap(const struct mn_zone *z, char *out, size_t cap)
{
    if (z->cap_um == 0)
        snprintf(out, cap, "never");
    else
        snprintf(out, cap, "%.2f mm", z->cap_um / 1000.0);
}

/* ---- tables ---- */

static bool markdown;

static void heading(const char *text, const char *const *columns)
{
    printf(markdown ? "\n## %s\n\n" : "\n%s\n", text);
    for (size_t i = 0; markdown && columns[i] != NULL; i++)
        printf("| %s ", columns[i]);
    for (size_t i = 0; markdown && columns[i] != NULL; i++)
        printf("%s---", i == 0 ? "|\n|" : "|");
    if (markdown)
        printf("|\n");
}

static struct mn_policy site; /* the site's policy; count 0: the defaults apply */

static void row(const char *name, const char *value, const char *text, const char *source)
{
    char tail[400];

    for (size_t i = 0; i < site.count; i++) {
        if (strcmp(site.row[i].name, name) == 0) {
            printf("  %-26s %s%-34s%s ", name, colour(COLOUR_WARN), site.row[i].value, colour(COLOUR_NONE));
            snprintf(tail, sizeof(tail), "%s  site; the default is %s (%s)", text, site.row[i].default_value, source);
            print_tail(64, tail);
            return;
        }
    }
    if (markdown)
        printf("| %s | %s | %s | %s |\n", name, value, text, source);
    else {
        int at = isatty(STDOUT_FILENO) && terminal_size().columns < 90 ? printf("  %-26s ", name) : printf("  %-26s %-34s ", name, value);

        if (at < 40) /* narrow terminal: the value begins the text */
            snprintf(tail, sizeof(tail), "%s  %s  %s", value, text, source);
        else
            snprintf(tail, sizeof(tail), "%s%s%s", text, text[0] != '\0' ? "  " : "", source);
        print_tail(at > 0 ? (size_t)at : 0, tail);
    }
}

/* Prints a row without a name. */
static void sentence(const char *text, const char *source)
{
    char line[400];

    if (markdown) {
        printf("| %s |  |  | %s |\n", text, source);
        return;
    }
    snprintf(line, sizeof(line), "%s  %s", text, source);
    printf("  ");
    print_tail(2, line);
}

static void print_tables(void)
{
    char text[120];

    heading("Single figures", (const char *const[]){"figure", "value", "", "source", NULL});
    for (size_t i = 0; i < mn_limit_count(); i++) {
        if (strcmp(mn_limit_at(i)->unit, "um") == 0)
            snprintf(text, sizeof(text), "%.2f mm", mn_limit_at(i)->value / 1000.0);
        else
            snprintf(text, sizeof(text), "%" PRIu32 " %s", mn_limit_at(i)->value, mn_limit_at(i)->unit);
        row(mn_limit_at(i)->name, text, mn_limit_at(i)->text, mn_limit_at(i)->source);
    }
    heading("Zones", (const char *const[]){"zone", "deepest", "", "source", NULL});
    for (size_t i = 0; i < mn_zone_count(); i++) {
        format_cap(mn_zone_at(i), text, sizeof(text));
        row(mn_zone_at(i)->name, text, mn_zone_at(i)->bony ? "bony" : "", mn_zone_at(i)->source);
    }
    heading("Sessions by indication", (const char *const[]){"indication", "sessions", "", "source", NULL});
    for (size_t i = 0; i < mn_indication_count(); i++) {
        format_sessions(mn_indication_at(i), text, sizeof(text));
        row(mn_indication_at(i)->name, text, mn_indication_at(i)->text, mn_indication_at(i)->source);
    }
    heading("Questions before a session", (const char *const[]){"item", "decision", "question", "source", NULL});
    for (size_t i = 0; i < mn_question_count(); i++) {
        format_decision(mn_question_at(i), text, sizeof(text));
        row(mn_question_at(i)->name, text, mn_question_at(i)->text, mn_question_at(i)->source);
    }
    heading("Afterwards, from the end of the session on", (const char *const[]){"what", "", "", "source", NULL});
    for (size_t i = 0; i < mn_care_count(); i++)
        row(mn_care_at(i)->name, "", mn_care_at(i)->text, mn_care_at(i)->source);
    heading("Afterwards, not before", (const char *const[]){"what", "from the end of the session", "", "source", NULL});
    for (size_t i = 0; i < mn_aftercare_count(); i++) {
        format_hours(mn_aftercare_at(i)->hours, text, sizeof(text));
        row(mn_aftercare_at(i)->name, text, mn_aftercare_at(i)->text, mn_aftercare_at(i)->source);
    }
    heading("To be expected", (const char *const[]){"what", "", "", "source", NULL});
    for (size_t i = 0; i < mn_expected_count(); i++)
        sentence(mn_expected_at(i)->text, mn_expected_at(i)->source);
    heading("Adverse events, and whom to call", (const char *const[]){"event", "whom", "what", "source", NULL});
    for (size_t i = 0; i < mn_adverse_count(); i++)
        row(mn_adverse_at(i)->name, mn_adverse_at(i)->who, mn_adverse_at(i)->text, mn_adverse_at(i)->source);
    heading("Recorded with a session, never claimed", (const char *const[]){"product", "", "", "source", NULL});
    for (size_t i = 0; i < mn_product_count(); i++)
        row(mn_product_at(i)->name, "", mn_product_at(i)->text, mn_product_at(i)->source);
    heading("What mnd refuses", (const char *const[]){"code", "name", "because", "source", NULL});
    for (size_t i = 0; i < mn_refusal_count(); i++) {
        snprintf(text, sizeof(text), "%u", mn_refusal_at(i)->code);
        row(text, mn_refusal_at(i)->name, mn_refusal_at(i)->text, "P");
    }
}

static json_t *json_tables(void)
{
    json_t *j = json_object(), *list;

    json_object_set_new(j, "limits", list = json_array());
    for (size_t i = 0; i < mn_limit_count(); i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:s, s:s, s:s}", "name", mn_limit_at(i)->name, "value", (json_int_t)mn_limit_at(i)->value, "unit",
                                              mn_limit_at(i)->unit, "source", mn_limit_at(i)->source, "text", mn_limit_at(i)->text));
    json_object_set_new(j, "zones", list = json_array());
    for (size_t i = 0; i < mn_zone_count(); i++)
        json_array_append_new(list, json_pack("{s:i, s:s, s:I, s:b, s:s}", "number", (int)mn_zone_at(i)->number, "name", mn_zone_at(i)->name, "cap_um",
                                              (json_int_t)mn_zone_at(i)->cap_um, "bony", mn_zone_at(i)->bony, "source", mn_zone_at(i)->source));
    json_object_set_new(j, "indications", list = json_array());
    for (size_t i = 0; i < mn_indication_count(); i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:s, s:s}", "name", mn_indication_at(i)->name, "sessions_min",
                                              (json_int_t)mn_indication_at(i)->sessions_min, "sessions_max", (json_int_t)mn_indication_at(i)->sessions_max,
                                              "source", mn_indication_at(i)->source, "text", mn_indication_at(i)->text));
    json_object_set_new(j, "questions", list = json_array());
    for (size_t i = 0; i < mn_question_count(); i++) {
        const struct mn_question *q = mn_question_at(i);

        json_array_append_new(list, json_pack("{s:s, s:[I, I], s:[s, s], s:b, s:s, s:s}", "name", q->name, "hours", (json_int_t)q->hours[0],
                                              (json_int_t)q->hours[1], "decisions", mn_decision_name(q->decision[0]), mn_decision_name(q->decision[1]),
                                              "in_zone", q->in_zone, "source", q->source, "text", q->text));
    }
    json_object_set_new(j, "care", list = json_array());
    for (size_t i = 0; i < mn_care_count(); i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", mn_care_at(i)->name, "source", mn_care_at(i)->source, "text", mn_care_at(i)->text));
    json_object_set_new(j, "aftercare", list = json_array());
    for (size_t i = 0; i < mn_aftercare_count(); i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:s, s:s}", "name", mn_aftercare_at(i)->name, "hours", (json_int_t)mn_aftercare_at(i)->hours, "source",
                                              mn_aftercare_at(i)->source, "text", mn_aftercare_at(i)->text));
    json_object_set_new(j, "adverse", list = json_array());
    for (size_t i = 0; i < mn_adverse_count(); i++)
        json_array_append_new(list, json_pack("{s:i, s:s, s:s, s:s, s:s}", "number", (int)mn_adverse_at(i)->number, "name", mn_adverse_at(i)->name, "who",
                                              mn_adverse_at(i)->who, "source", mn_adverse_at(i)->source, "text", mn_adverse_at(i)->text));
    json_object_set_new(j, "refusals", list = json_array());
    for (size_t i = 0; i < mn_refusal_count(); i++)
        json_array_append_new(list, json_pack("{s:i, s:s, s:s}", "code", (int)mn_refusal_at(i)->code, "name", mn_refusal_at(i)->name, "text",
                                              mn_refusal_at(i)->text));
    return j;
}

/* ---- a site's file ---- */

static json_t *site_json(void)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < site.count; i++)
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s, s:s}", "table", site.row[i].table, "name", site.row[i].name, "value", site.row[i].value,
                                              "default", site.row[i].default_value, "source", site.row[i].source));
    return json_pack("{s:b, s:s, s:s, s:o}", "good", site.good, "text", site.text, "name", site.name, "rows", rows);
}

/* Prints how mnd would judge this file. */
static int judge(struct app *a, const char *path, bool diff)
{
    char why[400];
    size_t n = 0;
    char *text = file_read(path, DOCUMENT_BYTES_MAX, &n, why, sizeof(why));
    int r = text == NULL ? usage_error("%s", why) : strlen(text) < n ? usage_error("%s: it has the character U+0000", path) : app_connect(a, false);

    if (r == EXIT_OK && (r = mn_policy_get(a->client, text, &site, a->timeout_ms)) != MN_OK)
        r = app_failed(a, r);
    free(text);
    if (r != EXIT_OK)
        return r;
    if (a->json) {
        r = print_json(site_json(), false);
        return r != EXIT_OK ? r : !site.good ? EXIT_REFUSED : diff && site.count > 0 ? EXIT_ERROR : EXIT_OK;
    }
    if (!site.good) {
        fprintf(stderr, "mnctl: %s: %s\n", path, site.text);
        return EXIT_REFUSED;
    }
    for (size_t i = 0; diff && i < site.count; i++)
        printf("%-10s %-26s %s -> %s%s%s\n", site.row[i].table, site.row[i].name, site.row[i].default_value, site.row[i].value,
               site.row[i].source[0] != '\0' ? "  by " : "", site.row[i].source);
    if (!diff)
        printf("%s: a good policy of %s; %zu figures are not the defaults\n", path, site.name, site.count);
    r = flush_output();
    return r != EXIT_OK ? r : diff && site.count > 0 ? EXIT_ERROR : EXIT_OK;
}

int cmd_policy(struct app *a, int argc, char **argv)
{
    static const char *const names[] = {"show", "check", "diff"};
    const char *near = argc > 1 ? nearest(argv[1], names, 3) : NULL;

    markdown = argc == 3 && strcmp(argv[2], "--markdown") == 0;
    if (argc == 3 && (strcmp(argv[1], "check") == 0 || strcmp(argv[1], "diff") == 0))
        return judge(a, argv[2], strcmp(argv[1], "diff") == 0);
    if (argc < 2 || strcmp(argv[1], "show") != 0 || argc > 3 || (argc == 3 && !markdown))
        return near != NULL && strcmp(near, argv[1]) != 0 ? usage_error("there is no policy %s; did you mean %s?", argv[1], near)
                                                          : usage_error("policy takes show [--markdown], check FILE or diff FILE");
    if (!markdown && mn_connect(&a->client, &(struct mn_options){.socket = a->socket, .name = "mnctl"}, NULL, 0) == MN_OK &&
        mn_policy_get(a->client, NULL, &site, a->timeout_ms) != MN_OK)
        site.count = 0; /* without mnd, or with an older one, the defaults are shown */
    if (a->json) {
        json_t *j = json_tables();

        json_object_set_new(j, "site", site_json());
        return print_json(j, false);
    }
    if (markdown)
        printf("# The treatment policy\n\n"
               "`mnctl policy show --markdown` writes this page, from proto/policy/. The software asks, refuses and records; it diagnoses nothing,\n"
               "and tells nobody to stop a prescribed drug. S0 to S4 are five published guides, R is regulation or a device's record, P a choice of this\n"
               "project; where they disagree the strictest figure stands. Every question is answered: unanswered is not \"no\". CONSULT wants a\n"
               "clinician's confirmation, which is recorded. The pen cannot sense where it is: the zone is what the operator declares.\n\n"
               "Numbing lasts, in minutes, clamp(15 + 20 x (depth in mm - 0.5), 15, 45). Of ice the sources contradict each other: nothing is said.\n\n"
               "mnd enforces it: nothing is armed but within a session that has passed it. A site may have a file of its own, docs/sessions.md shows\n"
               "how; its figures may be stricter, or another source's.\n");
    print_tables();
    if (site.name[0] != '\0')
        printf("\nThe policy of %s: %zu figures are not the defaults\n", site.name, site.count);
    return flush_output();
}

/* ---- guide ---- */

static uint32_t limit(const char *name)
{
    for (size_t i = 0; i < mn_limit_count(); i++) {
        if (strcmp(mn_limit_at(i)->name, name) == 0)
            return mn_limit_at(i)->value;
    }
    return 0;
}

static int list_indications(void)
{
    char sessions[40];

    for (size_t i = 0; i < mn_indication_count(); i++) {
        format_sessions(mn_indication_at(i), sessions, sizeof(sessions));
        row(mn_indication_at(i)->name, sessions, mn_indication_at(i)->text, mn_indication_at(i)->source);
    }
    return flush_output();
}

static void print_guide(const struct mn_indication *n)
{
    char text[60];

    format_sessions(n, text, sizeof(text));
    printf("%s%s%s: %s (%s)\n\nsessions   %s\n", colour(COLOUR_BOLD), n->name, colour(COLOUR_NONE), n->text, n->source, text);
    printf("interval   %" PRIu32 " d after less than %.1f mm, else %" PRIu32 " d; never below %" PRIu32 " d\n\n", limit("interval_surface"),
           limit("depth_medium") / 1000.0, limit("interval_deeper"), limit("interval_floor"));
    printf("zone                       deepest       numbing then\n");
    for (size_t i = 0; i < mn_zone_count(); i++) {
        const struct mn_zone *z = mn_zone_at(i);
        uint32_t deepest = z->cap_um < limit("depth_limit") ? z->cap_um : limit("depth_limit");

        if (deepest == 0)
            printf("%-26s %snever%s\n", z->name, colour(COLOUR_BAD), colour(COLOUR_NONE));
        else
            printf("%-26s %.2f mm      %2" PRIu32 " min%s\n", z->name, deepest / 1000.0, mn_numbing_min(deepest), z->bony ? "   bony" : "");
    }
    printf("\nask before (every one is answered)\n");
    for (size_t i = 0; i < mn_question_count(); i++) {
        char decision[120], line[400];

        format_decision(mn_question_at(i), decision, sizeof(decision));
        snprintf(line, sizeof(line), "%s  %s[%s]%s", mn_question_at(i)->text, colour(COLOUR_DIM), decision, colour(COLOUR_NONE));
        printf("  ");
        print_tail(2, line);
    }
    printf("\nafterwards, from now on\n");
    for (size_t i = 0; i < mn_care_count(); i++) {
        printf("  ");
        print_tail(2, mn_care_at(i)->text);
    }
    printf("\nafterwards, not before\n");
    for (size_t i = 0; i < mn_aftercare_count(); i++) {
        format_hours(mn_aftercare_at(i)->hours, text, sizeof(text));
        printf("  %-6s ", text);
        print_tail(9, mn_aftercare_at(i)->text);
    }
    printf("\nto be expected\n");
    for (size_t i = 0; i < mn_expected_count(); i++) {
        printf("  ");
        print_tail(2, mn_expected_at(i)->text);
    }
    printf("\n");
    for (size_t i = 0; i < mn_adverse_count(); i++) {
        if (strcmp(mn_adverse_at(i)->name, "OTHER") != 0)
            printf("call %s: %s\n", mn_adverse_at(i)->who, mn_adverse_at(i)->text);
    }
    printf("\nmay be used with it, and is recorded\n");
    for (size_t i = 0; i < mn_product_count(); i++) {
        printf("  %-22s ", mn_product_at(i)->name);
        print_tail(25, mn_product_at(i)->text);
    }
}

int cmd_guide(struct app *a, int argc, char **argv)
{
    const char *names[16];
    size_t n = 0;

    if (argc == 1)
        return a->json ? print_json(json_tables(), false) : list_indications();
    if (argc > 2)
        return usage_error("guide takes one indication");
    for (size_t i = 0; i < mn_indication_count() && n < 16; i++) {
        const struct mn_indication *one = mn_indication_at(i);

        names[n++] = one->name;
        if (!same_word(one->name, argv[1]))
            continue;
        if (a->json)
            return print_json(json_tables(), false);
        print_guide(one);
        return flush_output();
    }
    return nearest(argv[1], names, n) != NULL ? usage_error("there is no indication %s; did you mean %s?", argv[1], nearest(argv[1], names, n))
                                              : usage_error("there is no indication %s; `mnctl guide` lists them", argv[1]);
}
