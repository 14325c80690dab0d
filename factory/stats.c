#include "stats.h"

#include "file.h"
#include "verdict.h"

#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *text_of(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));

    return text != NULL ? text : "";
}

static void count(json_t *counts, const char *key)
{
    json_object_set_new(counts, key, json_integer(json_integer_value(json_object_get(counts, key)) + 1));
}

static bool passed_at_once(const json_t *run)
{
    const json_t *step;
    size_t i;

    json_array_foreach(json_object_get(run, "steps"), i, step) {
        if (json_array_size(json_object_get(step, "attempts")) > 1)
            return false;
    }
    return strcmp(text_of(run, "verdict"), "PASS") == 0;
}

/* Identifies a plan and its limits by their hashes: runs of different files are not compared. */
static void key_of(const json_t *run, char out[140])
{
    snprintf(out, 140, "%.64s %.64s", text_of(json_object_get(run, "plan"), "sha256"), text_of(json_object_get(run, "limits"), "sha256"));
}

/* Sums of one measurement over all runs. */
static void add_value(json_t *sums, const char *step, const json_t *m)
{
    char key[160];
    json_t *s;
    double v = json_number_value(json_object_get(m, "value")), n;

    if (!json_is_number(json_object_get(m, "value")) || (json_object_get(m, "min") == NULL && json_object_get(m, "max") == NULL))
        return;
    snprintf(key, sizeof(key), "%s/%s", step, text_of(m, "name"));
    s = json_object_get(sums, key);
    if (s == NULL) {
        s = json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:O*, s:O*}", "step", step, "name", text_of(m, "name"), "unit", text_of(m, "unit"), "count", 0, "mean", 0.0,
                      "squares", 0.0, "min", json_object_get(m, "min"), "max", json_object_get(m, "max"));
        json_object_set_new(sums, key, s);
    }
    n = (double)json_integer_value(json_object_get(s, "count")) + 1; /* Welford's */
    {
        double mean = json_number_value(json_object_get(s, "mean")), next = mean + (v - mean) / n;

        json_object_set_new(s, "squares", json_real(json_number_value(json_object_get(s, "squares")) + (v - mean) * (v - next)));
        json_object_set_new(s, "mean", json_real(next));
    }
    json_object_set_new(s, "count", json_integer((json_int_t)n));
}

static void add_steps(const json_t *run, json_t *sums, json_t *failures)
{
    const json_t *step, *attempts, *m;
    size_t i, k;

    json_array_foreach(json_object_get(run, "steps"), i, step) {
        const char *v = text_of(step, "verdict");

        if (strcmp(v, "FAIL") == 0 || strcmp(v, "ERROR") == 0)
            count(failures, text_of(step, "name"));
        attempts = json_object_get(step, "attempts");
        json_array_foreach(json_object_get(json_array_get(attempts, json_array_size(attempts) - 1), "measurements"), k, m)
            add_value(sums, text_of(step, "name"), m);
    }
}

static json_t *capability(json_t *sums)
{
    json_t *list = json_array(), *s;
    const char *key;

    json_object_foreach(sums, key, s) {
        double n = (double)json_integer_value(json_object_get(s, "count")), mean = json_number_value(json_object_get(s, "mean")), deviation, near = INFINITY;

        deviation = n > 1 ? sqrt(json_number_value(json_object_get(s, "squares")) / (n - 1)) : 0;
        if (json_object_get(s, "min") != NULL)
            near = fmin(near, mean - json_number_value(json_object_get(s, "min")));
        if (json_object_get(s, "max") != NULL)
            near = fmin(near, json_number_value(json_object_get(s, "max")) - mean);
        json_object_del(s, "squares");
        json_object_set_new(s, "deviation", json_real(deviation));
        json_object_set_new(s, "cpk", n >= STATS_CPK_MIN && deviation > 0 && text_of(s, "unit")[0] != '\0' ? json_real(near / (3 * deviation)) : json_null());
        json_array_append(list, s);
    }
    return list;
}

static json_t *as_list(const json_t *counts)
{
    json_t *list = json_array(), *n;
    const char *key;

    json_object_foreach((json_t *)(uintptr_t)counts, key, n)
        json_array_append_new(list, json_pack("{s:s, s:O}", "step", key, "count", n));
    return list;
}

/* Judges each pen by its runs of one plan: "passed" by its last final run, "first" by its first one. */
static json_t *judge_pens(const json_t *runs, const char *wanted)
{
    json_t *pens = json_object();
    const json_t *run;
    size_t i;

    json_array_foreach(runs, i, run) {
        const char *name = text_of(run, "serial")[0] != '\0' ? text_of(run, "serial") : text_of(run, "run");
        const json_t *pen = json_object_get(pens, name);
        char key[140];

        key_of(run, key);
        if (strcmp(key, wanted) == 0 && verdict_is_final(run))
            json_object_set_new(pens, name, json_pack("{s:b, s:b}", "passed", strcmp(text_of(run, "verdict"), "PASS") == 0, "first",
                                                      pen == NULL ? passed_at_once(run) : json_is_true(json_object_get(pen, "first"))));
    }
    return pens;
}

static json_t *plan_summary(const json_t *runs, const char *key, const json_t *example)
{
    json_t *pens = judge_pens(runs, key), *pen;
    size_t n = json_object_size(pens), passed = 0, first = 0, of_it = 0, i;
    const json_t *run;
    const char *name;

    json_object_foreach(pens, name, pen) {
        passed += json_is_true(json_object_get(pen, "passed"));
        first += json_is_true(json_object_get(pen, "first"));
    }
    json_array_foreach(runs, i, run) {
        char k[140];

        key_of(run, k);
        of_it += strcmp(k, key) == 0;
    }
    json_decref(pens);
    return json_pack("{s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:f, s:f}", "name", text_of(json_object_get(example, "plan"), "name"), "sha256",
                     text_of(json_object_get(example, "plan"), "sha256"), "limits_sha256", text_of(json_object_get(example, "limits"), "sha256"), "release",
                     verdict_is_release(example), "runs", (json_int_t)of_it, "pens", (json_int_t)n, "passed", (json_int_t)passed, "yield", n > 0 ? (double)passed / (double)n : 0.0,
                     "first_pass_yield", n > 0 ? (double)first / (double)n : 0.0);
}

/* Finds the newest plan that releases pens from the factory; without one, the newest plan. */
static void find_release(const json_t *runs, char out[140])
{
    const json_t *run;
    bool release = false;
    size_t i;

    out[0] = '\0';
    json_array_foreach(runs, i, run) {
        if (release && !verdict_is_release(run))
            continue;
        release = verdict_is_release(run);
        key_of(run, out);
    }
}

json_t *stats_summary(const json_t *runs)
{
    enum { LATEST = 20 };
    json_t *verdicts = json_object(), *failures = json_object(), *sums = json_object(), *plans = json_object(), *list = json_array(), *latest = json_array(), *summary, *chosen = NULL, *plan;
    size_t n = json_array_size(runs), i;
    char release[140], key[140];
    const json_t *run;
    const char *name;

    find_release(runs, release);
    json_array_foreach(runs, i, run) {
        key_of(run, key);
        count(verdicts, text_of(run, "verdict"));
        if (json_object_get(plans, key) == NULL)
            json_object_set_new(plans, key, plan_summary(runs, key, run));
        if (strcmp(key, release) == 0)
            add_steps(run, sums, failures);
        if (i + LATEST >= n)
            json_array_insert_new(latest, 0, json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:s}", "run", text_of(run, "run"), "serial", text_of(run, "serial"), "slot",
                                                       text_of(run, "slot"), "began", text_of(run, "began"), "verdict", text_of(run, "verdict"), "seconds",
                                                       json_number_value(json_object_get(run, "seconds")), "plan", text_of(json_object_get(run, "plan"), "name")));
    }
    chosen = json_object_get(plans, release);
    summary = json_pack("{s:I, s:o, s:o, s:o, s:o, s:O?, s:O?, s:O?, s:O?, s:O?}", "runs", (json_int_t)n, "by_verdict", verdicts, "failures", as_list(failures), "capability", capability(sums), "latest",
                        latest, "plan", chosen, "pens", json_object_get(chosen, "pens"), "passed", json_object_get(chosen, "passed"), "yield", json_object_get(chosen, "yield"),
                        "first_pass_yield", json_object_get(chosen, "first_pass_yield"));
    json_object_foreach(plans, name, plan)
        json_array_append(list, plan);
    json_object_set_new(summary, "plans", list);
    json_decref(plans);
    json_decref(failures);
    json_decref(sums);
    return summary;
}

/* ---- reading records ---- */

enum { RECORD_MAX = 64 * 1024 * 1024 };

static void load_file(json_t *runs, const char *path)
{
    char why[400], *text;
    json_error_t e;
    json_t *run;
    size_t n = 0;

    text = file_read(path, RECORD_MAX, &n, why, sizeof(why));
    if (text == NULL) {
        fprintf(stderr, "mn-factory: %s\n", why);
        return;
    }
    run = json_loadb(text, n, 0, &e);
    free(text);
    if (run != NULL && strcmp(text_of(run, "format"), "mn-factory record 1") == 0)
        json_array_append(runs, run);
    else
        fprintf(stderr, "mn-factory: %s is no record%s%s\n", path, run == NULL ? ": " : "", run == NULL ? e.text : "");
    json_decref(run);
}

static int is_record(const struct dirent *e)
{
    size_t n = strlen(e->d_name);

    return n > 5 && strcmp(e->d_name + n - 5, ".json") == 0;
}

/* Sorts by second, then by slot, since all slots begin at once. */
static int by_began(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int r = strncmp(text_of(x, "began"), text_of(y, "began"), sizeof("2026-11-21T20:11:03") - 1);

    return r != 0 ? r : strverscmp(text_of(x, "slot"), text_of(y, "slot"));
}

static json_t *by_time(const json_t *runs)
{
    size_t n = json_array_size(runs);
    json_t **list = calloc(n + 1, sizeof(json_t *)), *sorted = json_array();

    for (size_t i = 0; list != NULL && i < n; i++)
        list[i] = json_array_get(runs, i);
    if (list != NULL && n > 0)
        qsort(list, n, sizeof(json_t *), by_began);
    for (size_t i = 0; list != NULL && i < n; i++)
        json_array_append(sorted, list[i]);
    free(list);
    return sorted;
}

json_t *stats_load(const char *const *paths, size_t n)
{
    json_t *runs = json_array(), *sorted;

    for (size_t i = 0; i < n; i++) {
        struct dirent **entries;
        int count_of = scandir(paths[i], &entries, is_record, alphasort);
        char path[4096];

        if (count_of < 0)
            load_file(runs, paths[i]);
        for (int k = 0; k < count_of; k++) {
            snprintf(path, sizeof(path), "%s/%s", paths[i], entries[k]->d_name);
            load_file(runs, path);
            free(entries[k]);
        }
        if (count_of >= 0)
            free(entries);
    }
    sorted = by_time(runs);
    json_decref(runs);
    return sorted;
}
