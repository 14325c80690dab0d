#include "plan.h"

#include <errno.h>
#include <math.h>
#include <nettle/sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "document.h"
#include "file.h"
#include "steps.h"
#include "words.h"


enum { STEPS_MAX = 200, LIMITS_MAX = 2000, TIME_LIMIT_DEFAULT_S = 30, TIME_LIMIT_MAX_S = 7200 };

/* ---- the files ---- */

struct file_step {
    const struct node *at;
    char step[64], name[64], program[256], parameters[200];
    uint32_t retries, time_limit_s, at_once; /* time_limit_s 0: the step's own */
};

struct file_phase {
    const struct node *at;
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
    const struct node *at;
    char step[64], name[64], unit[16];
    const struct node *min, *max, *marginal_min, *marginal_max, *equals;
};

struct file_limits {
    char name[64];
    struct file_limit *limits;
    uint32_t limits_count;
};

static const struct unit seconds[] = {{"s", 1}, {"min", 60}};
static const struct field step_fields[] = {
    FIELD_TEXT(struct file_step, step),
    FIELD_TEXT(struct file_step, name),
    FIELD_TEXT(struct file_step, program),
    FIELD_TEXT(struct file_step, parameters),
    FIELD_WHOLE(struct file_step, retries, 0, PLAN_RETRIES_MAX, NULL, 0),
    FIELD_WHOLE(struct file_step, time_limit_s, 1, TIME_LIMIT_MAX_S, seconds, 2),
    FIELD_WHOLE(struct file_step, at_once, 1, 64, NULL, 0),
    FIELD_END,
};
static const struct field phase_fields[] = {FIELD_TEXT(struct file_phase, name), FIELD_ROWS(struct file_phase, steps, struct file_step, step_fields, STEPS_MAX, NULL), FIELD_END};
static const struct field plan_fields[] = {
    FIELD_TEXT(struct file_plan, name),
    FIELD_TEXT(struct file_plan, limits),
    FIELD_TEXT(struct file_plan, fixture),
    FIELD_TEXT(struct file_plan, key_file),
    FIELD_ROWS(struct file_plan, phases, struct file_phase, phase_fields, STEPS_MAX, NULL),
    FIELD_ROWS(struct file_plan, teardown, struct file_step, step_fields, STEPS_MAX, NULL),
    FIELD_END,
};
static const struct field limit_fields[] = {
    FIELD_TEXT(struct file_limit, step),        FIELD_TEXT(struct file_limit, name),          FIELD_TEXT(struct file_limit, unit),
    FIELD_VALUE(struct file_limit, min),          FIELD_VALUE(struct file_limit, max),          FIELD_VALUE(struct file_limit, marginal_min),
    FIELD_VALUE(struct file_limit, marginal_max), FIELD_VALUE(struct file_limit, equals),       FIELD_END,
};
static const struct field limits_fields[] = {
    FIELD_TEXT(struct file_limits, name), FIELD_ROWS(struct file_limits, limits, struct file_limit, limit_fields, LIMITS_MAX, NULL), FIELD_END};

#define WRONG(why, at, ...) node_wrong(why, PLAN_WHY_MAX, at, __VA_ARGS__)

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

/* Returns the document, or NULL with the reason in why. */
static struct document *load(const char *path, const struct field *fields, void *out, char sha256[65], char why[PLAN_WHY_MAX])
{
    struct document *document = NULL;
    size_t n = 0;
    char *text = file_read(path, DOCUMENT_BYTES_MAX, &n, why, PLAN_WHY_MAX);

    if (text == NULL)
        return NULL;
    plan_sha256(text, n, sha256);
    if (document_parse(&document, fields, out, text, n, path, why, PLAN_WHY_MAX) == 0 && document_root(document) == NULL) {
        wrong(why, "%s is empty", path);
        document_free(document);
        document = NULL;
    }
    free(text);
    return document;
}

/* Resolves a path in a plan, which is relative to the plan's folder. */
static bool beside(const char *plan_path, const char *path, char *out, size_t cap)
{
    const char *slash = strrchr(plan_path, '/');
    int n = path[0] == '/' || slash == NULL ? snprintf(out, cap, "%s", path)
                                            : snprintf(out, cap, "%.*s%s", (int)(slash - plan_path + 1), plan_path, path);

    return n >= 0 && (size_t)n < cap;
}

/* ---- limits ---- */

static bool take_number(const struct node *at, const char *key, const char *unit, bool *has, double *out, char why[PLAN_WHY_MAX])
{
    struct unit its = {unit, 1};

    *has = at != NULL;
    return at == NULL || node_number(at, key, &its, unit[0] != '\0', out, why, PLAN_WHY_MAX);
}

static bool take_limit(const struct file_limit *f, struct limit *l, char why[PLAN_WHY_MAX])
{
    snprintf(l->step, sizeof(l->step), "%s", f->step);
    snprintf(l->name, sizeof(l->name), "%s", f->name);
    snprintf(l->unit, sizeof(l->unit), "%s", f->unit);
    l->has_equals = f->equals != NULL;
    if (f->step[0] == '\0' || f->name[0] == '\0')
        return WRONG(why, f->at, "a limit needs step and name");
    if (l->has_equals && strlen(f->equals->text) >= sizeof(l->equals))
        return WRONG(why, f->equals, "equals is at most %zu bytes", sizeof(l->equals) - 1);
    snprintf(l->equals, sizeof(l->equals), "%s", l->has_equals ? f->equals->text : "");
    if (!take_number(f->min, "min", f->unit, &l->has_min, &l->min, why) || !take_number(f->max, "max", f->unit, &l->has_max, &l->max, why) ||
        !take_number(f->marginal_min, "marginal_min", f->unit, &l->has_marginal_min, &l->marginal_min, why) ||
        !take_number(f->marginal_max, "marginal_max", f->unit, &l->has_marginal_max, &l->marginal_max, why))
        return false;
    if (l->has_equals == (l->has_min || l->has_max))
        return WRONG(why, f->at, "%s of step %s needs min, max or both, or else equals", l->name, l->step);
    if ((l->has_min && l->has_max && l->min > l->max) || (l->has_marginal_min && (!l->has_min || l->marginal_min < l->min)) ||
        (l->has_marginal_max && (!l->has_max || l->marginal_max > l->max)))
        return WRONG(why, f->at, "%s of step %s: min <= marginal_min <= marginal_max <= max does not hold", l->name, l->step);
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

/* Checks a limit against what its step measures. Of programs the measurements are not known beforehand. */
static bool check_limit(const struct node *at, const struct plan_step *s, struct limit *l, char why[PLAN_WHY_MAX])
{
    struct wanted w = {.name = l->name};

    if (s->builtin == NULL)
        return true;
    if (step_each_measurement(s->builtin, is_it, &w) == 0)
        return WRONG(why, at, "step %s measures no %s; mn-factory list %s says what it does", s->name, l->name, s->builtin->name);
    if (l->unit[0] != '\0' && strcmp(l->unit, w.unit) != 0)
        return WRONG(why, at, "%s of step %s is in %s, not %s", l->name, s->name, w.unit[0] != '\0' ? w.unit : "no unit", l->unit);
    snprintf(l->unit, sizeof(l->unit), "%s", w.unit);
    return true;
}

static bool give_limits(struct plan *p, const struct file_limits *f, char why[PLAN_WHY_MAX])
{
    for (uint32_t i = 0; i < f->limits_count; i++) {
        struct limit l = {0};
        bool used = false;

        if (!take_limit(&f->limits[i], &l, why))
            return false;
        for (size_t k = 0; k < p->step_count; k++) {
            struct plan_step *s = &p->steps[k];
            struct limit *more;

            if (strcmp(s->name, l.step) != 0)
                continue;
            for (size_t j = 0; j < s->limit_count; j++) {
                if (strcmp(s->limits[j].name, l.name) == 0)
                    return WRONG(why, f->limits[i].at, "%s of step %s stands there twice", l.name, l.step);
            }
            if (!check_limit(f->limits[i].at, s, &l, why))
                return false;
            more = realloc(s->limits, (s->limit_count + 1) * sizeof(*more));
            if (more == NULL)
                return wrong(why, "out of memory");
            s->limits = more;
            s->limits[s->limit_count++] = l;
            used = true;
        }
        if (!used && step_by_name(l.step) == NULL)
            return WRONG(why, f->limits[i].at, "there is no step %s", l.step);
    }
    return true;
}

static bool load_limits(struct plan *p, const char *name, char why[PLAN_WHY_MAX])
{
    struct file_limits f = {0};
    struct document *document;
    bool good;

    if (name[0] == '\0')
        return wrong(why, "%s names no file of limits", p->path);
    if (!beside(p->path, name, p->limits_path, sizeof(p->limits_path)))
        return wrong(why, "%s: the path of the limits is too long", p->path);
    document = load(p->limits_path, limits_fields, &f, p->limits_sha256, why);
    if (document == NULL)
        return false;
    snprintf(p->limits_name, sizeof(p->limits_name), "%s", f.name);
    good = give_limits(p, &f, why);
    document_free(document);
    for (size_t i = 0; good && i < p->step_count; i++) {
        if (p->steps[i].limit_count == 0 && !p->steps[i].teardown)
            good = wrong(why, "%s: step %s has no measurement with a limit, so nothing could fail it", p->limits_path, p->steps[i].name);
    }
    return good;
}

/* ---- steps ---- */

/* Finds "name=value" among words. False if it is missing, or the value is no decimal number. */
static bool find_parameter(const char *words, const char *name, size_t n, double *out)
{
    static const struct unit none = {"", 1};
    char value[32], reason[QUANTITY_WHY_MAX];

    for (const char *w = words + strspn(words, " "); *w != '\0'; w += strcspn(w, " "), w += strspn(w, " ")) {
        if (strncmp(w, name, n) != 0 || w[n] != '=')
            continue;
        snprintf(value, sizeof(value), "%.*s", (int)strcspn(w + n + 1, " "), w + n + 1);
        return parse_quantity(value, &none, 1, 0, 0, out, reason);
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

static bool check_parameters(const struct node *at, const struct plan_step *s, char why[PLAN_WHY_MAX])
{
    for (const char *w = s->parameters + strspn(s->parameters, " "); *w != '\0'; w += strcspn(w, " "), w += strspn(w, " ")) {
        size_t n = strcspn(w, "= ");
        double value;

        if (w[n] != '=' || !find_parameter(w, w, n, &value) || value < 0)
            return WRONG(why, at, "parameters of step %s are NAME=NUMBER, not %.*s", s->name, (int)strcspn(w, " "), w);
        if (s->builtin != NULL && !find_parameter(s->builtin->parameters, w, n, &value))
            return WRONG(why, at, "step %s has no parameter %.*s; its own are: %s", s->name, (int)n, w,
                         s->builtin->parameters[0] != '\0' ? s->builtin->parameters : "none");
    }
    return true;
}

static bool find_builtin(const struct node *at, const char *name, struct plan_step *s, char why[PLAN_WHY_MAX])
{
    const char *names[64], *near;

    s->builtin = step_by_name(name);
    if (s->builtin != NULL)
        return true;
    for (size_t i = 0; i < step_count && i < 64; i++)
        names[i] = steps[i].name;
    near = nearest(name, names, step_count < 64 ? step_count : 64);
    return WRONG(why, at, "there is no step %s%s%s; mn-factory list has all", name, near != NULL ? "; did you mean " : "", near != NULL ? near : "");
}

static bool take_step(struct plan *p, const char *phase, const struct file_step *f, bool teardown, char why[PLAN_WHY_MAX])
{
    struct plan_step *s = &p->steps[p->step_count];

    memset(s, 0, sizeof(*s));
    if ((f->step[0] == '\0') == (f->program[0] == '\0'))
        return WRONG(why, f->at, "each step has either step: or program:");
    if (f->step[0] != '\0' && !find_builtin(f->at, f->step, s, why))
        return false;
    if (f->step[0] == '\0' && f->name[0] == '\0')
        return WRONG(why, f->at, "the step of program %s needs a name", f->program);
    snprintf(s->name, sizeof(s->name), "%s", f->name[0] != '\0' ? f->name : f->step);
    snprintf(s->phase, sizeof(s->phase), "%s", phase);
    snprintf(s->parameters, sizeof(s->parameters), "%s", f->parameters);
    s->teardown = teardown;
    s->time_limit_s = f->time_limit_s != 0 ? f->time_limit_s : s->builtin != NULL ? s->builtin->time_limit_s : TIME_LIMIT_DEFAULT_S;
    s->retries = f->retries;
    s->at_once = f->at_once;
    if (!check_parameters(f->at, s, why))
        return false;
    if (f->program[0] != '\0' && (!beside(p->path, f->program, s->program, sizeof(s->program)) || access(s->program, X_OK) != 0))
        return WRONG(why, f->at, "step %s: cannot run %s: %s", s->name, s->program, strerror(errno));
    for (size_t i = 0; i < p->step_count; i++) {
        if (strcmp(p->steps[i].name, s->name) == 0)
            return WRONG(why, f->at, "two steps are called %s: give one another name:", s->name);
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
    struct file_plan f = {0};
    struct document *document;
    bool good;

    if (p == NULL || snprintf(p->path, sizeof(p->path), "%s", path) >= (int)sizeof(p->path)) {
        wrong(why, p == NULL ? "out of memory" : "the plan's path is too long");
        free(p);
        return NULL;
    }
    document = load(path, plan_fields, &f, p->sha256, why);
    good = document != NULL && take_plan(p, &f, why);
    document_free(document);
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
