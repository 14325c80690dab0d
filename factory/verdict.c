#include "verdict.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));

    return text != NULL ? text : "";
}

static bool is(const json_t *j, const char *verdict)
{
    return strcmp(text_of(j, "verdict"), verdict) == 0;
}

const char *verdict_of_attempt(const json_t *attempt)
{
    bool failed = false, marginal = false, passed = false;
    const json_t *m;
    size_t i;

    json_array_foreach(json_object_get(attempt, "measurements"), i, m) {
        failed = failed || is(m, "FAIL") || is(m, "UNSET");
        marginal = marginal || is(m, "MARGINAL");
        passed = passed || is(m, "PASS");
    }
    return failed || !(passed || marginal) ? "FAIL" : marginal ? "MARGINAL" : "PASS";
}

const char *verdict_of_run(const json_t *run)
{
    static const char *const worst[] = {"ABORTED", "ERROR", "FAIL", "DRY_RUN"};
    const json_t *step;
    size_t i, rank = json_object_get(run, "error") != NULL ? 1 : 4, steps = json_array_size(json_object_get(run, "steps"));

    json_array_foreach(json_object_get(run, "steps"), i, step) {
        for (size_t k = 0; k < rank; k++) {
            if (is(step, worst[k]))
                rank = k;
        }
        /* What was never begun: by choice it is a dry run; else nothing may pass by not having been looked at. */
        if (is(step, "SKIPPED") && rank > 2)
            rank = json_is_true(json_object_get(step, "by_choice")) ? 3 : 2;
    }
    return rank < 4 ? worst[rank] : steps > 0 ? "PASS" : "ERROR";
}

bool verdict_is_release(const json_t *run)
{
    const json_t *step;
    size_t i;

    json_array_foreach(json_object_get(run, "steps"), i, step) {
        if (strcmp(text_of(step, "kind"), "builtin") == 0 && (strcmp(text_of(step, "name"), "leave") == 0 || strcmp(text_of(step, "name"), "identity") == 0))
            return true;
    }
    return false;
}

bool verdict_is_final(const json_t *run)
{
    return is(run, "PASS") || is(run, "FAIL") || (is(run, "ERROR") && strcmp(text_of(json_object_get(run, "error"), "kind"), "label") != 0);
}

/* ---- why ---- */

static void add_number(const json_t *m, const char *key, const char *words, char *out, size_t cap)
{
    size_t used = strlen(out);

    if (json_is_number(json_object_get(m, key)))
        snprintf(out + used, cap - used, ", %s %.6g", words, json_number_value(json_object_get(m, key)));
}

void verdict_explain(const json_t *m, char *out, size_t cap)
{
    const json_t *value = json_object_get(m, "value");
    const char *unit = text_of(m, "unit"), *equals = text_of(m, "equals");

    if (json_is_number(value))
        snprintf(out, cap, "%s is %.5g%s%s", text_of(m, "name"), json_number_value(value), unit[0] != '\0' ? " " : "", unit);
    else if (json_is_string(value))
        snprintf(out, cap, "%s is \"%s\"", text_of(m, "name"), json_string_value(value));
    else
        snprintf(out, cap, "%s was not measured", text_of(m, "name"));
    if (equals[0] != '\0')
        snprintf(out + strlen(out), cap - strlen(out), ", not \"%s\"", equals);
    add_number(m, "min", "at least", out, cap);
    add_number(m, "max", "at most", out, cap);
}

static void explain_step(const json_t *step, char *out, size_t cap)
{
    const json_t *attempts = json_object_get(step, "attempts"), *attempt = json_array_get(attempts, json_array_size(attempts) - 1), *m;
    size_t used = (size_t)snprintf(out, cap, "%s: %s", text_of(step, "name"), text_of(json_object_get(attempt, "error"), "text")), n = 0, i;

    if (json_object_get(attempt, "error") != NULL)
        return;
    json_array_foreach(json_object_get(attempt, "measurements"), i, m) {
        char sentence[200];

        if (!is(m, "FAIL") && !is(m, "UNSET"))
            continue;
        verdict_explain(m, sentence, sizeof(sentence));
        if (used < cap)
            used += (size_t)snprintf(out + used, cap - used, "%s%s", n++ > 0 ? "; " : "", sentence);
    }
}

void verdict_reason(const json_t *run, char *out, size_t cap)
{
    const json_t *step;
    const char *aborted = NULL;
    size_t i, n = 0, used = 0;

    snprintf(out, cap, "%s", text_of(json_object_get(run, "error"), "text"));
    json_array_foreach(json_object_get(run, "steps"), i, step) {
        if (is(step, "FAIL") || is(step, "ERROR")) {
            explain_step(step, out, cap);
            return;
        }
        if (is(step, "ABORTED") && aborted == NULL)
            aborted = text_of(step, "name");
    }
    if (is(run, "ABORTED"))
        snprintf(out, cap, "aborted%s%s", aborted != NULL ? " in " : " before its first step", aborted != NULL ? aborted : "");
    if (!is(run, "DRY_RUN"))
        return;
    used = (size_t)snprintf(out, cap, "nothing was written:");
    json_array_foreach(json_object_get(run, "steps"), i, step) {
        if (is(step, "SKIPPED") && used < cap)
            used += (size_t)snprintf(out + used, cap - used, "%s %s", n++ > 0 ? "," : "", text_of(step, "name"));
    }
    if (used < cap)
        snprintf(out + used, cap - used, " skipped without --commit");
}
