#include "plan.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <nettle/sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "steps.h"
#include "words.h"
#include "yaml.h"

enum { STEPS_MAX = 200, LIMITS_MAX = 2000, TIME_LIMIT_DEFAULT_S = 30, TIME_LIMIT_MAX_S = 7200 };

/* ---- the files' schemas: everything is text, so that absent and 0 differ, and a wrong word is named ---- */

struct file_step {
    char step[64], name[64], program[256], parameters[200], retries[12], time_limit_s[12], at_once[12];
};

struct file_phase {
    char name[64];
    struct file_step *steps;
    uint32_t steps_count;
};

struct file_plan {
    char name[64], limits[256], fixture[256], key_file[256];
    struct file_phase *phases;
    uint32_t phases_count;
    struct file_step *teardown;
    uint32_t teardown_count;
};

struct file_limit {
    char step[64], name[64], unit[16], min[32], max[32], marginal_min[32], marginal_max[32], equals[80];
};

struct file_limits {
    char name[64];
    struct file_limit *limits;
    uint32_t limits_count;
};

#define TEXT(key, type) CYAML_FIELD_STRING(#key, CYAML_FLAG_OPTIONAL, struct type, key, 0)

static const cyaml_schema_field_t step_fields[] = {TEXT(step, file_step),       TEXT(name, file_step),         TEXT(program, file_step), TEXT(parameters, file_step),
                                                   TEXT(retries, file_step),    TEXT(time_limit_s, file_step), TEXT(at_once, file_step), CYAML_FIELD_END};
static const cyaml_schema_value_t step_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_step, step_fields)};
static const cyaml_schema_field_t phase_fields[] = {
    TEXT(name, file_phase), CYAML_FIELD_SEQUENCE("steps", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file_phase, steps, &step_schema, 0, STEPS_MAX), CYAML_FIELD_END};
static const cyaml_schema_value_t phase_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_phase, phase_fields)};
static const cyaml_schema_field_t plan_fields[] = {
    TEXT(name, file_plan),
    TEXT(limits, file_plan),
    TEXT(fixture, file_plan),
    TEXT(key_file, file_plan),
    CYAML_FIELD_SEQUENCE("phases", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file_plan, phases, &phase_schema, 0, STEPS_MAX),
    CYAML_FIELD_SEQUENCE("teardown", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file_plan, teardown, &step_schema, 0, STEPS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t plan_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file_plan, plan_fields)};
static const cyaml_schema_field_t limit_fields[] = {TEXT(step, file_limit), TEXT(name, file_limit),         TEXT(unit, file_limit),         TEXT(min, file_limit),
                                                    TEXT(max, file_limit),  TEXT(marginal_min, file_limit), TEXT(marginal_max, file_limit), TEXT(equals, file_limit),
                                                    CYAML_FIELD_END};
static const cyaml_schema_value_t limit_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_limit, limit_fields)};
static const cyaml_schema_field_t limits_fields[] = {
    TEXT(name, file_limits), CYAML_FIELD_SEQUENCE("limits", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file_limits, limits, &limit_schema, 0, LIMITS_MAX), CYAML_FIELD_END};
static const cyaml_schema_value_t limits_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file_limits, limits_fields)};

static bool wrong(char why[PLAN_WHY_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool wrong(char why[PLAN_WHY_MAX], const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(why, PLAN_WHY_MAX, format, ap);
    va_end(ap);
    return false;
}

void plan_sha256(const char *text, size_t n, char out[65])
{
    struct sha256_ctx sha;
    uint8_t digest[32];

    sha256_init(&sha);
    sha256_update(&sha, n, (const uint8_t *)text);
    sha256_digest(&sha, sizeof(digest), digest);
    for (int i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* NULL after a sentence. */
static void *load(const char *path, const cyaml_schema_value_t *schema, char sha256[65], char why[PLAN_WHY_MAX])
{
    void *loaded = NULL;
    size_t n = 0;
    char *text = yaml_read_file(path, &n);

    if (text == NULL) {
        wrong(why, "%s: %s", path, strerror(errno));
        return NULL;
    }
    plan_sha256(text, n, sha256);
    if (yaml_is_empty(text))
        wrong(why, "%s is empty", path);
    else if (yaml_load(&loaded, schema, text, n, path, why, PLAN_WHY_MAX) < 0)
        loaded = NULL;
    free(text);
    return loaded;
}

/* A path in a plan is meant from where the plan is. */
static bool beside(const char *plan_path, const char *path, char *out, size_t cap)
{
    const char *slash = strrchr(plan_path, '/');
    int n = path[0] == '/' || slash == NULL ? snprintf(out, cap, "%s", path)
                                            : snprintf(out, cap, "%.*s%s", (int)(slash - plan_path + 1), plan_path, path);

    return n >= 0 && (size_t)n < cap;
}

/* ---- limits ---- */

static bool take_number(const char *path, const struct file_limit *f, const char *key, const char *text, bool *has, double *out, char why[PLAN_WHY_MAX])
{
    char *end = NULL;

    *has = text[0] != '\0';
    *out = strtod(text, &end);
    if (*has && (*end != '\0' || !isfinite(*out)))
        return wrong(why, "%s: %s of %s of step %s is a number, not %s", path, key, f->name, f->step, text);
    return true;
}

static bool take_limit(const char *path, const struct file_limit *f, struct limit *l, char why[PLAN_WHY_MAX])
{
    snprintf(l->step, sizeof(l->step), "%s", f->step);
    snprintf(l->name, sizeof(l->name), "%s", f->name);
    snprintf(l->unit, sizeof(l->unit), "%s", f->unit);
    snprintf(l->equals, sizeof(l->equals), "%s", f->equals);
    l->has_equals = f->equals[0] != '\0';
    if (f->step[0] == '\0' || f->name[0] == '\0')
        return wrong(why, "%s: a limit needs step and name", path);
    if (!take_number(path, f, "min", f->min, &l->has_min, &l->min, why) || !take_number(path, f, "max", f->max, &l->has_max, &l->max, why) ||
        !take_number(path, f, "marginal_min", f->marginal_min, &l->has_marginal_min, &l->marginal_min, why) ||
        !take_number(path, f, "marginal_max", f->marginal_max, &l->has_marginal_max, &l->marginal_max, why))
        return false;
    if (l->has_equals == (l->has_min || l->has_max))
        return wrong(why, "%s: %s of step %s needs min, max or both, or else equals", path, l->name, l->step);
    if ((l->has_min && l->has_max && l->min > l->max) || (l->has_marginal_min && (!l->has_min || l->marginal_min < l->min)) ||
        (l->has_marginal_max && (!l->has_max || l->marginal_max > l->max)))
        return wrong(why, "%s: %s of step %s: min <= marginal_min <= marginal_max <= max does not hold", path, l->name, l->step);
    return true;
}

struct wanted {
    const char *name;
    char unit[16];
};

static int is_it(void *ctx, const char *name, const char *unit)
{
    struct wanted *w = ctx;

    if (strcmp(w->name, name) != 0)
        return 0;
    snprintf(w->unit, sizeof(w->unit), "%s", unit);
    return 1;
}

/* A built-in step knows what it measures; a program may measure what it likes. */
static bool check_limit(const char *path, const struct plan_step *s, struct limit *l, char why[PLAN_WHY_MAX])
{
    struct wanted w = {.name = l->name};

    if (s->builtin == NULL)
        return true;
    if (step_each_measurement(s->builtin, is_it, &w) == 0)
        return wrong(why, "%s: step %s measures no %s; mn-factory list %s says what it does", path, s->name, l->name, s->builtin->name);
    if (l->unit[0] != '\0' && strcmp(l->unit, w.unit) != 0)
        return wrong(why, "%s: %s of step %s is in %s, not %s", path, l->name, s->name, w.unit[0] != '\0' ? w.unit : "no unit", l->unit);
    snprintf(l->unit, sizeof(l->unit), "%s", w.unit);
    return true;
}

static bool give_limits(struct plan *p, const struct file_limits *f, char why[PLAN_WHY_MAX])
{
    for (uint32_t i = 0; i < f->limits_count; i++) {
        struct limit l = {0};
        bool used = false;

        if (!take_limit(p->limits_path, &f->limits[i], &l, why))
            return false;
        for (size_t k = 0; k < p->step_count; k++) {
            struct plan_step *s = &p->steps[k];
            struct limit *more;

            if (strcmp(s->name, l.step) != 0)
                continue;
            for (size_t j = 0; j < s->limit_count; j++) {
                if (strcmp(s->limits[j].name, l.name) == 0)
                    return wrong(why, "%s: %s of step %s stands there twice", p->limits_path, l.name, l.step);
            }
            if (!check_limit(p->limits_path, s, &l, why))
                return false;
            more = realloc(s->limits, (s->limit_count + 1) * sizeof(*more));
            if (more == NULL)
                return wrong(why, "out of memory");
            s->limits = more;
            s->limits[s->limit_count++] = l;
            used = true;
        }
        if (!used && step_by_name(l.step) == NULL)
            return wrong(why, "%s: there is no step %s", p->limits_path, l.step);
    }
    return true;
}

static bool load_limits(struct plan *p, const char *name, char why[PLAN_WHY_MAX])
{
    struct file_limits *f;
    bool good;

    if (name[0] == '\0')
        return wrong(why, "%s names no file of limits", p->path);
    if (!beside(p->path, name, p->limits_path, sizeof(p->limits_path)))
        return wrong(why, "%s: the path of the limits is too long", p->path);
    f = load(p->limits_path, &limits_schema, p->limits_sha256, why);
    if (f == NULL)
        return false;
    snprintf(p->limits_name, sizeof(p->limits_name), "%s", f->name);
    good = give_limits(p, f, why);
    yaml_free(&limits_schema, f);
    for (size_t i = 0; good && i < p->step_count; i++) {
        if (p->steps[i].limit_count == 0 && !p->steps[i].teardown)
            good = wrong(why, "%s: step %s has no measurement with a limit, so nothing could fail it", p->limits_path, p->steps[i].name);
    }
    return good;
}

/* ---- steps ---- */

static bool take_count(const char *path, const char *step, const char *key, const char *text, unsigned low, unsigned high, unsigned *out, char why[PLAN_WHY_MAX])
{
    char *end = NULL;
    unsigned long n = strtoul(text, &end, 10);

    if (text[0] == '\0')
        return true;
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || n < low || n > high)
        return wrong(why, "%s: %s of step %s is %u to %u, not %s", path, key, step, low, high, text);
    *out = (unsigned)n;
    return true;
}

/* Finds "name=value" among words; false: it is not there. */
static bool find_parameter(const char *words, const char *name, size_t n, double *out)
{
    for (const char *w = words + strspn(words, " "); *w != '\0'; w += strcspn(w, " "), w += strspn(w, " ")) {
        char *end;

        if (strncmp(w, name, n) != 0 || w[n] != '=')
            continue;
        *out = strtod(w + n + 1, &end);
        return end != w + n + 1 && (*end == ' ' || *end == '\0') && isfinite(*out);
    }
    return false;
}

bool plan_step_is_for_good(const struct plan_step *s)
{
    return s->builtin != NULL && (strcmp(s->builtin->name, "identity") == 0 || strcmp(s->builtin->name, "leave") == 0);
}

bool plan_is_for_good(const struct plan *p)
{
    for (size_t i = 0; i < p->step_count; i++) {
        if (plan_step_is_for_good(&p->steps[i]))
            return true;
    }
    return false;
}

double plan_parameter(const struct plan_step *s, const char *name)
{
    double value = 0;

    if (!find_parameter(s->parameters, name, strlen(name), &value) && s->builtin != NULL)
        find_parameter(s->builtin->parameters, name, strlen(name), &value);
    return value;
}

static bool check_parameters(const char *path, const struct plan_step *s, char why[PLAN_WHY_MAX])
{
    for (const char *w = s->parameters + strspn(s->parameters, " "); *w != '\0'; w += strcspn(w, " "), w += strspn(w, " ")) {
        size_t n = strcspn(w, "= ");
        double value;

        if (w[n] != '=' || !find_parameter(w, w, n, &value) || value < 0)
            return wrong(why, "%s: parameters of step %s are NAME=NUMBER, not %.*s", path, s->name, (int)strcspn(w, " "), w);
        if (s->builtin != NULL && !find_parameter(s->builtin->parameters, w, n, &value))
            return wrong(why, "%s: step %s has no parameter %.*s; its own are: %s", path, s->name, (int)n, w,
                         s->builtin->parameters[0] != '\0' ? s->builtin->parameters : "none");
    }
    return true;
}

static bool find_builtin(const char *path, const char *name, struct plan_step *s, char why[PLAN_WHY_MAX])
{
    const char *names[64], *near;

    s->builtin = step_by_name(name);
    if (s->builtin != NULL)
        return true;
    for (size_t i = 0; i < step_count && i < 64; i++)
        names[i] = steps[i].name;
    near = nearest(name, names, step_count < 64 ? step_count : 64);
    return wrong(why, "%s: there is no step %s%s%s; mn-factory list has all", path, name, near != NULL ? "; did you mean " : "", near != NULL ? near : "");
}

static bool take_step(struct plan *p, const char *phase, const struct file_step *f, bool teardown, char why[PLAN_WHY_MAX])
{
    struct plan_step *s = &p->steps[p->step_count];

    memset(s, 0, sizeof(*s));
    if ((f->step[0] == '\0') == (f->program[0] == '\0'))
        return wrong(why, "%s: each step has either step: or program:", p->path);
    if (f->step[0] != '\0' && !find_builtin(p->path, f->step, s, why))
        return false;
    if (f->step[0] == '\0' && f->name[0] == '\0')
        return wrong(why, "%s: the step of program %s needs a name", p->path, f->program);
    snprintf(s->name, sizeof(s->name), "%s", f->name[0] != '\0' ? f->name : f->step);
    snprintf(s->phase, sizeof(s->phase), "%s", phase);
    snprintf(s->parameters, sizeof(s->parameters), "%s", f->parameters);
    s->teardown = teardown;
    s->time_limit_s = s->builtin != NULL ? s->builtin->time_limit_s : TIME_LIMIT_DEFAULT_S;
    if (!take_count(p->path, s->name, "retries", f->retries, 0, PLAN_RETRIES_MAX, &s->retries, why) ||
        !take_count(p->path, s->name, "time_limit_s", f->time_limit_s, 1, TIME_LIMIT_MAX_S, &s->time_limit_s, why) ||
        !take_count(p->path, s->name, "at_once", f->at_once, 1, 64, &s->at_once, why) || !check_parameters(p->path, s, why))
        return false;
    if (f->program[0] != '\0' && (!beside(p->path, f->program, s->program, sizeof(s->program)) || access(s->program, X_OK) != 0))
        return wrong(why, "%s: step %s: cannot run %s: %s", p->path, s->name, s->program, strerror(errno));
    for (size_t i = 0; i < p->step_count; i++) {
        if (strcmp(p->steps[i].name, s->name) == 0)
            return wrong(why, "%s: two steps are called %s: give one another name:", p->path, s->name);
    }
    p->step_count++;
    return true;
}

static bool take_plan(struct plan *p, const struct file_plan *f, char why[PLAN_WHY_MAX])
{
    size_t n = f->teardown_count;

    for (uint32_t i = 0; i < f->phases_count; i++)
        n += f->phases[i].steps_count;
    if (f->name[0] == '\0' || n == f->teardown_count)
        return wrong(why, "%s: a plan needs a name, and phases with steps", p->path);
    snprintf(p->name, sizeof(p->name), "%s", f->name);
    p->simulated = strcmp(f->fixture, "simulated") == 0;
    if (f->fixture[0] == '\0')
        return wrong(why, "%s: fixture: is simulated, or a program", p->path);
    if (!p->simulated && (!beside(p->path, f->fixture, p->fixture, sizeof(p->fixture)) || access(p->fixture, X_OK) != 0))
        return wrong(why, "%s: cannot run the fixture's program %s: %s", p->path, p->fixture, strerror(errno));
    if (f->key_file[0] != '\0' && !beside(p->path, f->key_file, p->key_file, sizeof(p->key_file)))
        return wrong(why, "%s: key_file: is too long", p->path);
    p->steps = calloc(n, sizeof(*p->steps));
    if (p->steps == NULL)
        return wrong(why, "out of memory");
    for (uint32_t i = 0; i < f->phases_count; i++) {
        for (uint32_t k = 0; k < f->phases[i].steps_count; k++) {
            if (!take_step(p, f->phases[i].name, &f->phases[i].steps[k], false, why))
                return false;
        }
    }
    for (uint32_t i = 0; i < f->teardown_count; i++) {
        if (!take_step(p, "teardown", &f->teardown[i], true, why))
            return false;
    }
    return load_limits(p, f->limits, why);
}

struct plan *plan_load(const char *path, char why[PLAN_WHY_MAX])
{
    struct plan *p = calloc(1, sizeof(*p));
    struct file_plan *f;
    bool good;

    if (p == NULL || snprintf(p->path, sizeof(p->path), "%s", path) >= (int)sizeof(p->path)) {
        wrong(why, p == NULL ? "out of memory" : "the plan's path is too long");
        free(p);
        return NULL;
    }
    f = load(path, &plan_schema, p->sha256, why);
    good = f != NULL && take_plan(p, f, why);
    if (f != NULL)
        yaml_free(&plan_schema, f);
    if (good)
        return p;
    plan_free(p);
    return NULL;
}

void plan_free(struct plan *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; p->steps != NULL && i < p->step_count; i++)
        free(p->steps[i].limits);
    free(p->steps);
    free(p);
}
