/* JUnit and CSV; the page is in page.c. */
#include "report.h"

#include <stdbool.h>
#include <string.h>

#include "escape.h"

static const char *text_of(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));

    return text != NULL ? text : "";
}

static double number_of(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static void put_value(FILE *out, const json_t *m)
{
    const json_t *v = json_object_get(m, "value");

    if (json_is_string(v))
        escape_markup(out, "%s", json_string_value(v));
    else if (json_is_number(v))
        escape_markup(out, "%.6g", json_number_value(v));
}

static bool is(const json_t *j, const char *verdict)
{
    return strcmp(text_of(j, "verdict"), verdict) == 0;
}

/* ---- JUnit: a suite for each run, a case for each step; values stand in system-out and in the failure's text, where every reader shows them ---- */

static void put_measurements(FILE *out, const json_t *attempt, bool bad_only)
{
    const json_t *m;
    size_t i;

    json_array_foreach(json_object_get(attempt, "measurements"), i, m) {
        if (bad_only && !is(m, "FAIL") && !is(m, "UNSET"))
            continue;
        escape_markup(out, "%s", text_of(m, "name"));
        fputs(" = ", out);
        put_value(out, m);
        escape_markup(out, " ");
        escape_markup(out, "%s", text_of(m, "unit"));
        if (json_object_get(m, "min") != NULL)
            escape_markup(out, ", at least %.6g", number_of(m, "min"));
        if (json_object_get(m, "max") != NULL)
            escape_markup(out, ", at most %.6g", number_of(m, "max"));
        if (json_object_get(m, "equals") != NULL) {
            fputs(", wanted ", out);
            escape_markup(out, "%s", text_of(m, "equals"));
        }
        escape_markup(out, ": %s\n", text_of(m, "verdict"));
    }
}

static void put_element(FILE *out, const char *element, const char *type, const char *message, const json_t *attempt)
{
    escape_markup(out, "      <%s type=\"%s\" message=\"", element, type);
    escape_markup(out, "%s", message);
    fputs("\">", out);
    put_measurements(out, attempt, true);
    escape_markup(out, "</%s>\n", element);
}

static void put_case(FILE *out, const json_t *run, const json_t *step)
{
    const json_t *attempts = json_object_get(step, "attempts"), *last = json_array_get(attempts, json_array_size(attempts) - 1), *attempt;
    double seconds = 0;
    size_t i;

    json_array_foreach(attempts, i, attempt)
        seconds += number_of(attempt, "seconds");
    escape_markup(out, "    <testcase classname=\"");
    escape_markup(out, "%s", text_of(json_object_get(run, "plan"), "name"));
    escape_markup(out, ".");
    escape_markup(out, "%s", text_of(step, "phase"));
    escape_markup(out, "\" name=\"");
    escape_markup(out, "%s", text_of(step, "name"));
    escape_markup(out, "\" time=\"%.3f\">\n", seconds);
    if (is(step, "SKIPPED")) {
        fputs("      <skipped message=\"", out);
        escape_markup(out, "%s", text_of(step, "reason"));
        fputs("\"/>\n", out);
    } else if (is(step, "FAIL")) {
        put_element(out, "failure", "FAIL", "a measurement is outside of its limits, or was not made", last);
    } else if (!is(step, "PASS") && !is(step, "MARGINAL")) {
        const char *text = text_of(json_object_get(last, "error"), "text");

        put_element(out, "error", text_of(step, "verdict"), text[0] != '\0' ? text : text_of(step, "verdict"), last);
    }
    fputs("      <system-out>", out);
    json_array_foreach(attempts, i, attempt) {
        if (json_array_size(attempts) > 1)
            escape_markup(out, "attempt %zu: %s\n", i + 1, text_of(attempt, "verdict"));
        put_measurements(out, attempt, false);
    }
    fputs("</system-out>\n    </testcase>\n", out);
}

static void put_suite(FILE *out, const json_t *run, size_t id)
{
    unsigned tests = 0, failures = 0, errors = 0, skipped = 0;
    bool broken = json_object_get(run, "error") != NULL || is(run, "INTERRUPTED");
    const json_t *step;
    size_t i;

    json_array_foreach(json_object_get(run, "steps"), i, step) {
        tests++;
        failures += is(step, "FAIL");
        skipped += is(step, "SKIPPED");
        errors += !is(step, "PASS") && !is(step, "MARGINAL") && !is(step, "FAIL") && !is(step, "SKIPPED");
    }
    escape_markup(out, "  <testsuite id=\"%zu\" name=\"", id);
    escape_markup(out, "%s", text_of(run, "run"));
    escape_markup(out, "\" package=\"");
    escape_markup(out, "%s", text_of(run, "serial"));
    escape_markup(out, "\" hostname=\"");
    escape_markup(out, "%s", text_of(run, "station"));
    escape_markup(out, "\" timestamp=\"%.19s\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\" time=\"%.3f\">\n", text_of(run, "began"), tests + broken, failures,
            errors + broken, skipped, number_of(run, "seconds"));
    json_array_foreach(json_object_get(run, "steps"), i, step)
        put_case(out, run, step);
    if (broken) {
        const char *text = text_of(json_object_get(run, "error"), "text");

        fputs("    <testcase classname=\"run\" name=\"run\" time=\"0\">\n      <error type=\"", out);
        escape_markup(out, "%s", text_of(run, "verdict"));
        fputs("\" message=\"", out);
        escape_markup(out, "%s", text[0] != '\0' ? text : "the run was interrupted");
        fputs("\"/>\n    </testcase>\n", out);
    }
    fputs("  </testsuite>\n", out);
}

void report_junit(FILE *out, const json_t *runs)
{
    const json_t *run;
    size_t i;

    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"mn-factory\">\n", out);
    json_array_foreach(runs, i, run)
        put_suite(out, run, i);
    fputs("</testsuites>\n", out);
}

/* ---- CSV ---- */

static void put_field(FILE *out, const char *text, char end)
{
    escape_csv(out, text);
    fputc(end, out);
}

static void put_number(FILE *out, const json_t *m, const char *key, char end)
{
    if (json_is_number(json_object_get(m, key)))
        fprintf(out, "%.10g", number_of(m, key));
    fputc(end, out);
}

void report_csv(FILE *out, const json_t *runs)
{
    const json_t *run, *step, *attempt, *m;
    size_t i, j, k, l;

    fputs("run,began,station,slot,serial,step,attempt,name,value,unit,min,max,equals,verdict\n", out);
    json_array_foreach(runs, i, run) {
        json_array_foreach(json_object_get(run, "steps"), j, step) {
            json_array_foreach(json_object_get(step, "attempts"), k, attempt) {
                json_array_foreach(json_object_get(attempt, "measurements"), l, m) {
                    put_field(out, text_of(run, "run"), ',');
                    put_field(out, text_of(run, "began"), ',');
                    put_field(out, text_of(run, "station"), ',');
                    put_field(out, text_of(run, "slot"), ',');
                    put_field(out, text_of(run, "serial"), ',');
                    put_field(out, text_of(step, "name"), ',');
                    fprintf(out, "%zu,", k + 1);
                    put_field(out, text_of(m, "name"), ',');
                    if (json_is_string(json_object_get(m, "value")))
                        put_field(out, text_of(m, "value"), ',');
                    else
                        put_number(out, m, "value", ',');
                    put_field(out, text_of(m, "unit"), ',');
                    put_number(out, m, "min", ',');
                    put_number(out, m, "max", ',');
                    put_field(out, text_of(m, "equals"), ',');
                    put_field(out, text_of(m, "verdict"), '\n');
                }
            }
        }
    }
}
