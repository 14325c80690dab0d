/* report and station: past runs, as files and in the terminal. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "factory.h"
#include "file.h"
#include "history.h"
#include "report.h"
#include "stats.h"
#include "terminal.h"
#include "words.h"

int write_report(const char *path, const json_t *runs, const json_t *summary, char kind, bool force)
{
    char why[400];
    FILE *out = file_create(path, force, why, sizeof(why));
    bool good;

    if (out == NULL) {
        fprintf(stderr, "mn-factory: cannot write %s\n", why);
        return EXIT_ERROR;
    }
    if (kind == 'h')
        report_html(out, runs, summary);
    else if (kind == 'j')
        report_junit(out, runs);
    else
        report_csv(out, runs);
    good = !ferror(out);
    if (fclose(out) != 0)
        good = false;
    if (!good)
        fprintf(stderr, "mn-factory: cannot write %s: %s\n", path, strerror(errno));
    return good ? EXIT_PASSED : EXIT_ERROR;
}

static double number_of(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static void print_plans(const json_t *s)
{
    const json_t *p, *plans = json_object_get(s, "plans");
    size_t i;

    json_array_foreach(plans, i, p)
        printf("%s %-28.28s %3.0f runs, %3.0f pens, %3.0f passed, yield %.1f %%  (plan %.8s, limits %.8s)%s\n", json_equal(p, json_object_get(s, "plan")) ? "*" : " ",
               json_string_value(json_object_get(p, "name")), number_of(p, "runs"), number_of(p, "pens"), number_of(p, "passed"), number_of(p, "yield") * 100,
               json_string_value(json_object_get(p, "sha256")), json_string_value(json_object_get(p, "limits_sha256")), json_is_true(json_object_get(p, "release")) ? "" : "  does not release");
    if (json_array_size(plans) > 1)
        printf("* the figures above are of this plan: a pen passes by its last run of the plan that releases it\n");
}

static void print_summary(const json_t *s)
{
    const json_t *f, *r, *list = json_object_get(s, "latest");
    size_t i;

    printf("%.0f runs; of %.0f pens %s%.0f passed%s; yield %.1f %%, first-pass yield %.1f %%\n", number_of(s, "runs"), number_of(s, "pens"), colour(COLOUR_BOLD), number_of(s, "passed"),
           colour(COLOUR_NONE), number_of(s, "yield") * 100, number_of(s, "first_pass_yield") * 100);
    print_plans(s);
    json_array_foreach(json_object_get(s, "failures"), i, f)
        printf("  %4.0f did not pass %s\n", number_of(f, "count"), json_string_value(json_object_get(f, "step")));
    printf("latest:\n");
    for (i = 0; i < json_array_size(list) && i < 10; i++) {
        const char *v;

        r = json_array_get(list, i);
        v = json_string_value(json_object_get(r, "verdict"));
        printf("  %s  %-8s %-14s %s%-11s%s %6.1f s  %s, %s\n", json_string_value(json_object_get(r, "began")), json_string_value(json_object_get(r, "slot")),
               json_string_value(json_object_get(r, "serial")), colour(strcmp(v, "PASS") == 0 ? COLOUR_GOOD : strcmp(v, "DRY_RUN") == 0 ? COLOUR_WARN : COLOUR_BAD), v, colour(COLOUR_NONE),
               number_of(r, "seconds"), json_string_value(json_object_get(r, "plan")), json_string_value(json_object_get(r, "run")));
    }
}

int cmd_report(const struct words *w)
{
    json_t *runs, *summary;
    int r = EXIT_PASSED;

    if (w->rest_count == 0)
        return usage_error("report needs records, or folders of them");
    runs = stats_load(w->rest, w->rest_count);
    if (json_array_size(runs) == 0) {
        json_decref(runs);
        return print_error("there is no record in them");
    }
    summary = stats_summary(runs);
    if (w->html != NULL)
        r |= write_report(w->html, runs, summary, 'h', w->force);
    if (w->junit != NULL)
        r |= write_report(w->junit, runs, summary, 'j', w->force);
    if (w->csv != NULL)
        r |= write_report(w->csv, runs, summary, 'c', w->force);
    if (w->o.json)
        print_json(summary);
    else if (w->html == NULL && w->junit == NULL && w->csv == NULL)
        print_summary(summary);
    json_decref(summary);
    json_decref(runs);
    return flush_output(r);
}

int cmd_station(const struct words *w)
{
    char why[300];
    struct history *h = access(database_of(w), R_OK) == 0 ? history_open(database_of(w), why, sizeof(why)) : NULL;
    json_t *summary;
    int r;

    if (w->rest_count > 1)
        return usage_error("station takes one serial number");
    if (h == NULL) {
        fprintf(stderr, "mn-factory: there is no history %s: a run makes it, --database names another\n", database_of(w));
        return EXIT_ERROR;
    }
    summary = history_summary(h, w->rest_count == 1 ? w->rest[0] : NULL, why, sizeof(why));
    history_close(h);
    if (summary == NULL)
        return print_error(why);
    if (json_integer_value(json_object_get(summary, "runs")) == 0 && w->rest_count == 1) {
        fprintf(stderr, "mn-factory: this station has never seen pen %s\n", w->rest[0]);
        r = EXIT_ERROR;
    } else if (w->o.json) {
        r = print_json(summary);
    } else {
        print_summary(summary);
        r = flush_output(EXIT_PASSED);
    }
    json_decref(summary);
    return r;
}
