#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static json_t *measurement(json_t *attempt, const char *name)
{
    json_t *list = json_object_get(attempt, "measurements"), *m;
    size_t i;

    json_array_foreach(list, i, m) {
        if (strcmp(json_string_value(json_object_get(m, "name")), name) == 0)
            return m;
    }
    m = json_pack("{s:s, s:s}", "name", name, "verdict", "INFO");
    json_array_append_new(list, m);
    return m;
}

static const struct limit *limit_of(const struct plan_step *s, const char *name)
{
    for (size_t i = 0; i < s->limit_count; i++) {
        if (strcmp(s->limits[i].name, name) == 0)
            return &s->limits[i];
    }
    return NULL;
}

static void put_bound(json_t *m, const char *key, bool has, double value)
{
    if (has)
        json_object_set_new(m, key, json_real(value));
}

json_t *record_attempt(const struct plan_step *s)
{
    char now[32];
    json_t *attempt;

    record_now(now);
    attempt = json_pack("{s:s, s:s, s:[]}", "verdict", "INTERRUPTED", "began", now, "measurements");
    for (size_t i = 0; i < s->limit_count; i++) {
        const struct limit *l = &s->limits[i];
        json_t *m = measurement(attempt, l->name);

        json_object_set_new(m, "unit", json_string(l->unit));
        json_object_set_new(m, "verdict", json_string("UNSET"));
        put_bound(m, "min", l->has_min, l->min);
        put_bound(m, "max", l->has_max, l->max);
        put_bound(m, "marginal_min", l->has_marginal_min, l->marginal_min);
        put_bound(m, "marginal_max", l->has_marginal_max, l->marginal_max);
        if (l->has_equals)
            json_object_set_new(m, "equals", json_string(l->equals));
    }
    return attempt;
}

static const char *judge_number(const struct limit *l, double v)
{
    if (l->has_equals || !(!l->has_min || v >= l->min) || !(!l->has_max || v <= l->max)) /* written so that NaN fails */
        return "FAIL";
    return (l->has_marginal_min && v < l->marginal_min) || (l->has_marginal_max && v > l->marginal_max) ? "MARGINAL" : "PASS";
}

void record_number(json_t *attempt, const struct plan_step *s, const char *name, const char *unit, double value)
{
    const struct limit *l = limit_of(s, name);
    json_t *m = measurement(attempt, name);

    json_object_set_new(m, "value", json_real(value)); /* json_real() returns NULL for NaN and infinity: no value, and the verdict stays UNSET */
    json_object_set_new(m, "unit", json_string(unit));
    if (l != NULL && json_object_get(m, "value") != NULL)
        json_object_set_new(m, "verdict", json_string(judge_number(l, value)));
}

void record_text(json_t *attempt, const struct plan_step *s, const char *name, const char *value)
{
    const struct limit *l = limit_of(s, name);
    json_t *m = measurement(attempt, name);

    json_object_set_new(m, "value", json_string(value));
    json_object_set_new(m, "unit", json_string(""));
    if (l != NULL)
        json_object_set_new(m, "verdict", json_string(l->has_equals && strcmp(l->equals, value) == 0 ? "PASS" : "FAIL"));
}

void record_point(json_t *attempt, const char *curve, double x, double y)
{
    json_t *curves = json_object_get(attempt, "curves"), *points;

    if (curves == NULL)
        json_object_set_new(attempt, "curves", curves = json_object());
    points = json_object_get(curves, curve);
    if (points == NULL)
        json_object_set_new(curves, curve, points = json_array());
    json_array_append_new(points, json_pack("[f, f]", x, y));
}

void record_now(char out[32])
{
    struct timespec now;
    struct tm tm;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03ldZ", now.tv_nsec / 1000000);
}

static int write_all(int fd, const char *text)
{
    size_t n = strlen(text);

    while (n > 0) {
        ssize_t done = write(fd, text, n);

        if (done < 0 && errno != EINTR)
            return -errno;
        text += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

void record_drop(const struct record *r)
{
    unlink(r->path);
}

int record_write(const struct record *r)
{
    char beside[sizeof(r->path) + 8];
    char *text = json_dumps(r->json, JSON_INDENT(1) | JSON_REAL_PRECISION(10));
    int fd, e;

    if (text == NULL)
        return -ENOMEM;
    snprintf(beside, sizeof(beside), "%s.part", r->path);
    fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    e = fd < 0 ? -errno : write_all(fd, text);
    free(text);
    if (fd >= 0 && close(fd) < 0 && e == 0)
        e = -errno;
    if (e == 0 && rename(beside, r->path) < 0)
        e = -errno;
    if (e < 0 && fd >= 0)
        unlink(beside);
    return e;
}
