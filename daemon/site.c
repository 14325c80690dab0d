#include "site.h"

#include <errno.h>
#include <nettle/sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "yaml.h"

static const char limits_table[] = "limits", zones_table[] = "zones", items_table[] = "screening";

enum stricter { LOWER, HIGHER, FIXED };

static const struct {
    const char *name, *unit;
    uint32_t value;
    enum stricter stricter;
} limits[] = {
#define LIMIT(name, value, unit, stricter, source, text) {#name, #unit, value, stricter},
#include "policy/limits.def"
};

static const char *const items[] = {
#define SCREEN(name, hours, decision, hours_2, decision_2, in_zone, source, question) #name,
#include "policy/screening.def"
};

static const struct {
    const char *table, *name;
    uint32_t value;
    const char *source;
} relaxed[] = {
#define RELAX(table, name, value, source) {#table, #name, value, source},
#include "policy/relax.def"
};

#define TEXT(field) char field[33]

struct file_row { /* of all three tables: what is not a table's is 0 */
    TEXT(name);
    TEXT(decision);
    TEXT(source);
    uint32_t value;
};

struct file {
    char name[65];
    struct file_row *limits, *zones, *screening;
    uint32_t limits_count, zones_count, screening_count;
};

static const cyaml_schema_field_t limit_fields[] = {
    CYAML_FIELD_STRING("name", CYAML_FLAG_DEFAULT, struct file_row, name, 1),
    CYAML_FIELD_UINT("value", CYAML_FLAG_DEFAULT, struct file_row, value),
    CYAML_FIELD_STRING("source", CYAML_FLAG_OPTIONAL, struct file_row, source, 1),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t zone_fields[] = {
    CYAML_FIELD_STRING("zone", CYAML_FLAG_DEFAULT, struct file_row, name, 1),
    CYAML_FIELD_UINT("cap_um", CYAML_FLAG_DEFAULT, struct file_row, value),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t item_fields[] = {
    CYAML_FIELD_STRING("item", CYAML_FLAG_DEFAULT, struct file_row, name, 1),
    CYAML_FIELD_UINT("hours", CYAML_FLAG_OPTIONAL, struct file_row, value),
    CYAML_FIELD_STRING("decision", CYAML_FLAG_OPTIONAL, struct file_row, decision, 1),
    CYAML_FIELD_STRING("source", CYAML_FLAG_OPTIONAL, struct file_row, source, 1),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t limit_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_row, limit_fields)};
static const cyaml_schema_value_t zone_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_row, zone_fields)};
static const cyaml_schema_value_t item_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_row, item_fields)};
static const cyaml_schema_field_t file_fields[] = {
    CYAML_FIELD_STRING("name", CYAML_FLAG_DEFAULT, struct file, name, 1),
    CYAML_FIELD_SEQUENCE("limits", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, limits, &limit_schema, 0, SITE_ROWS_MAX),
    CYAML_FIELD_SEQUENCE("zones", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, zones, &zone_schema, 0, SITE_ROWS_MAX),
    CYAML_FIELD_SEQUENCE("screening", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, screening, &item_schema, 0, SITE_ROWS_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t file_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file, file_fields)};

struct reason {
    char *text;
    size_t cap;
};

static bool wrong(struct reason *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool wrong(struct reason *why, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(why->text, why->cap, format, ap);
    va_end(ap);
    return false;
}

/* Is this less strict figure another source's, by its name? */
static bool is_relaxed(const char *table, const struct file_row *row, uint32_t value)
{
    for (size_t i = 0; i < sizeof(relaxed) / sizeof(relaxed[0]); i++) {
        if (strcmp(relaxed[i].table, table) == 0 && strcmp(relaxed[i].name, row->name) == 0 && relaxed[i].value == value &&
            strcmp(relaxed[i].source, row->source) == 0)
            return true;
    }
    return false;
}

/* The less strict figures that there are, as a person would be told. */
static const char *offers(const char *table, const char *name, char *out, size_t cap)
{
    size_t used = (size_t)snprintf(out, cap, "no source has a less strict figure");

    for (size_t i = 0; i < sizeof(relaxed) / sizeof(relaxed[0]); i++) {
        bool first = used == strlen("no source has a less strict figure");

        if (strcmp(relaxed[i].table, table) != 0 || strcmp(relaxed[i].name, name) != 0 || used >= cap)
            continue;
        used = first ? 0 : used;
        if (relaxed[i].value <= DECISION_BLOCK)
            used += (size_t)snprintf(out + used, cap - used, "%s%s with source: %s", first ? "less strict is only " : ", or ",
                                     decision_name((enum decision)relaxed[i].value), relaxed[i].source);
        else
            used += (size_t)snprintf(out + used, cap - used, "%s%u with source: %s", first ? "less strict is only " : ", or ", relaxed[i].value,
                                     relaxed[i].source);
    }
    return out;
}

static bool is_new(const struct site *s, const char *table, const char *name, struct reason *why)
{
    for (size_t i = 0; i < s->row_count; i++) {
        if (s->rows[i].table == table && strcmp(s->rows[i].name, name) == 0)
            return wrong(why, "%s: %s stands twice", table, name);
    }
    return true;
}

static struct site_row *row_add(struct site *s, const char *table, const char *name, const struct file_row *from)
{
    struct site_row *r = &s->rows[s->row_count++];

    *r = (struct site_row){.table = table, .name = name};
    snprintf(r->source, sizeof(r->source), "%.7s", from->source);
    return r;
}

static bool take_limit(struct site *s, const struct file_row *row, struct reason *why)
{
    char offer[160];
    struct site_row *r;
    size_t i = 0;

    while (i < POLICY_LIMITS && strcmp(limits[i].name, row->name) != 0)
        i++;
    if (i == POLICY_LIMITS)
        return wrong(why, "limits: there is no figure %s", row->name);
    if (limits[i].stricter == FIXED)
        return wrong(why, "limits: %s is not a site's to set", row->name);
    if ((limits[i].stricter == LOWER ? row->value > limits[i].value : row->value < limits[i].value) && !is_relaxed(limits_table, row, row->value))
        return wrong(why, "limits: %s is %u %s, and %u is less strict: %s", row->name, limits[i].value, limits[i].unit, row->value,
                     offers(limits_table, row->name, offer, sizeof(offer)));
    if (limits[i].stricter == HIGHER && row->value > 36500)
        return wrong(why, "limits: %s is at most 36500", row->name);
    if (row->value == limits[i].value || !is_new(s, limits_table, row->name, why))
        return row->value == limits[i].value;
    s->policy.limits[i] = row->value;
    r = row_add(s, limits_table, limits[i].name, row);
    snprintf(r->value, sizeof(r->value), "%u %s", row->value, limits[i].unit);
    snprintf(r->default_value, sizeof(r->default_value), "%u %s", limits[i].value, limits[i].unit);
    return true;
}

static bool take_zone(struct site *s, const struct file_row *row, struct reason *why)
{
    struct site_row *r;
    int z = ZONE_NONE + 1;

    while (z < ZONE_END && strcmp(policy_zone_name((enum policy_zone)z), row->name) != 0)
        z++;
    if (z == ZONE_END)
        return wrong(why, "zones: there is no zone %s", row->name);
    if (row->value > s->policy.cap_um[z])
        return wrong(why, "zones: %s is treated to %u um, and %u is less strict: no source has such a figure", row->name, s->policy.cap_um[z], row->value);
    if (row->value == s->policy.cap_um[z] || !is_new(s, zones_table, row->name, why))
        return row->value == s->policy.cap_um[z];
    r = row_add(s, zones_table, policy_zone_name((enum policy_zone)z), row);
    snprintf(r->value, sizeof(r->value), "%u um", row->value);
    snprintf(r->default_value, sizeof(r->default_value), "%u um", s->policy.cap_um[z]);
    s->policy.cap_um[z] = row->value;
    return true;
}

static void say_item(char *out, size_t cap, enum decision d, uint32_t hours)
{
    if (hours == 0)
        snprintf(out, cap, "%s", decision_name(d));
    else
        snprintf(out, cap, "%s within %u h", decision_name(d), hours);
}

static bool take_item(struct site *s, const struct file_row *row, struct reason *why)
{
    uint32_t hours, value;
    char offer[160];
    struct site_row *r;
    int i = 0, d = 0;

    while (i < SCREEN_ITEMS && strcmp(items[i], row->name) != 0)
        i++;
    if (i == SCREEN_ITEMS)
        return wrong(why, "screening: there is no item %s", row->name);
    while (row->decision[0] != '\0' && d <= DECISION_BLOCK && strcmp(decision_name((enum decision)d), row->decision) != 0)
        d++;
    if (d > DECISION_BLOCK)
        return wrong(why, "screening: the decision of %s is OK, WARN, CONSULT or BLOCK, not %s", row->name, row->decision);
    d = row->decision[0] != '\0' ? d : (int)s->policy.items[i].decision[0];
    hours = s->policy.items[i].hours[0];
    value = row->value != 0 ? row->value : hours;
    if (hours == 0 && value != 0)
        return wrong(why, "screening: %s is a yes or no, without hours", row->name);
    if (value > 87600)
        return wrong(why, "screening: the hours of %s are at most 87600", row->name);
    if ((value < hours && !is_relaxed(items_table, row, value)) ||
        (d < (int)s->policy.items[i].decision[0] && !(hours == 0 && is_relaxed(items_table, row, (uint32_t)d))))
        return wrong(why, "screening: %s would be less strict than the default: %s", row->name, offers(items_table, row->name, offer, sizeof(offer)));
    if ((value == hours && d == (int)s->policy.items[i].decision[0]) || !is_new(s, items_table, row->name, why))
        return value == hours && d == (int)s->policy.items[i].decision[0];
    r = row_add(s, items_table, items[i], row);
    say_item(r->default_value, sizeof(r->default_value), s->policy.items[i].decision[0], hours);
    s->policy.items[i].hours[0] = value;
    s->policy.items[i].decision[0] = (enum decision)d;
    say_item(r->value, sizeof(r->value), (enum decision)d, value);
    return true;
}

void site_default(struct site *s)
{
    *s = (struct site){0};
    policy_default(&s->policy);
}

static bool take_all(struct site *s, const struct file *f, struct reason *why)
{
    bool good = true;

    if ((uint64_t)f->limits_count + f->zones_count + f->screening_count > SITE_ROWS_MAX)
        return wrong(why, "at most %d rows", SITE_ROWS_MAX);
    for (uint32_t i = 0; good && i < f->limits_count; i++)
        good = take_limit(s, &f->limits[i], why);
    for (uint32_t i = 0; good && i < f->zones_count; i++)
        good = take_zone(s, &f->zones[i], why);
    for (uint32_t i = 0; good && i < f->screening_count; i++)
        good = take_item(s, &f->screening[i], why);
    if (good && s->policy.limits[POLICY_numbing_at_least] > s->policy.limits[POLICY_numbing_at_most])
        return wrong(why, "limits: numbing_at_least is more than numbing_at_most");
    return good;
}

static void sha256(uint8_t out[SITE_SHA256], const char *text, size_t n)
{
    struct sha256_ctx c;

    sha256_init(&c);
    sha256_update(&c, n, (const uint8_t *)text);
    sha256_digest(&c, SITE_SHA256, out);
}

int site_parse(struct site *s, const char *text, size_t n, const char *path, char *why, size_t cap)
{
    char reason[300] = "";
    struct file *f = NULL;
    int r;

    site_default(s);
    r = yaml_load((void **)&f, &file_schema, text, n, path, why, cap);
    if (r < 0)
        return r;
    if (take_all(s, f, &(struct reason){reason, sizeof(reason)})) {
        snprintf(s->name, sizeof(s->name), "%s", f->name);
        sha256(s->sha256, text, n);
    } else {
        snprintf(why, cap, "%s: %s", path, reason);
        site_default(s);
        r = -EINVAL;
    }
    yaml_free(&file_schema, f);
    return r;
}

int site_load(struct site *s, const char *path, char *why, size_t cap)
{
    size_t n = 0;
    char *text = yaml_read_file(path, &n);
    int r;

    site_default(s);
    if (text == NULL) {
        r = -errno;
        snprintf(why, cap, "%s: %s", path, strerror(errno));
        return r;
    }
    r = site_parse(s, text, n, path, why, cap);
    free(text);
    return r;
}
