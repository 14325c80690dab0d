#include "policy.h"

#include <errno.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "file.h"
#include "words.h"

static const char limits_table[] = "limits", zones_table[] = "zones", items_table[] = "screening";

enum { FIGURE_MAX = 100000 }; /* above every figure of a policy, in any unit */

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

struct limit_row {
    const struct node *at;
    char name[33], source[8];
    const struct node *value;
};

struct zone_row {
    const struct node *at;
    char zone[33];
    const struct node *cap_um;
};

struct item_row {
    const struct node *at;
    char item[33], decision[33], source[8];
    const struct node *hours;
};

struct file {
    char name[65];
    struct limit_row *limits;
    struct zone_row *zones;
    struct item_row *screening;
    uint32_t limits_count, zones_count, screening_count;
};

static const struct field limit_fields[] = {
    FIELD_TEXT(struct limit_row, name), FIELD_VALUE(struct limit_row, value), FIELD_TEXT(struct limit_row, source), FIELD_END};
static const struct field zone_fields[] = {FIELD_TEXT(struct zone_row, zone), FIELD_VALUE(struct zone_row, cap_um), FIELD_END};
static const struct field item_fields[] = {
    FIELD_TEXT(struct item_row, item), FIELD_VALUE(struct item_row, hours), FIELD_TEXT(struct item_row, decision), FIELD_TEXT(struct item_row, source), FIELD_END};
static const struct field file_fields[] = {
    FIELD_TEXT(struct file, name),
    FIELD_ROWS(struct file, limits, struct limit_row, limit_fields, SITE_ROWS_MAX, "name"),
    FIELD_ROWS(struct file, zones, struct zone_row, zone_fields, SITE_ROWS_MAX, "zone"),
    FIELD_ROWS(struct file, screening, struct item_row, item_fields, SITE_ROWS_MAX, "item"),
    FIELD_END,
};

struct reason {
    char *text;
    size_t cap;
};

#define WRONG(why, at, ...) node_wrong((why)->text, (why)->cap, at, __VA_ARGS__)

/* Whether a less strict figure is documented by another source, which the row names. */
static bool is_relaxed(const char *table, const char *name, const char *source, uint32_t value)
{
    for (size_t i = 0; i < sizeof(relaxed) / sizeof(relaxed[0]); i++) {
        if (strcmp(relaxed[i].table, table) == 0 && strcmp(relaxed[i].name, name) == 0 && relaxed[i].value == value && same_word(relaxed[i].source, source))
            return true;
    }
    return false;
}

/* Parses a figure in its own unit, or in another that people use. */
static bool read_figure(const struct node *value, const struct node *row, const char *what, const char *unit, uint32_t *out, struct reason *why)
{
    static const struct unit um[] = {{"um", 1}, {"mm", 1000}}, min[] = {{"min", 1}, {"h", 60}}, h[] = {{"h", 1}, {"d", 24}}, d[] = {{"d", 1}, {"days", 1}};
    static const struct {
        const char *name;
        const struct unit *units;
    } all[] = {{"um", um}, {"min", min}, {"h", h}, {"d", d}};
    uint64_t number = 0;
    size_t i = 0;

    while (i < 3 && strcmp(all[i].name, unit) != 0)
        i++;
    if (value == NULL)
        return WRONG(why, row, "%s has no figure", what);
    if (!node_whole(value, what, all[i].units, 2, 0, FIGURE_MAX, &number, why->text, why->cap))
        return false;
    *out = (uint32_t)number;
    return true;
}

/* Lists the less strict figures of other sources, for a message. */
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

static struct site_row *row_add(struct site *s, const char *table, const char *name, const char *source)
{
    struct site_row *r = &s->rows[s->row_count++];

    *r = (struct site_row){.table = table, .name = name};
    snprintf(r->source, sizeof(r->source), "%s", source);
    return r;
}

static bool take_limit(struct site *s, const struct limit_row *row, struct reason *why)
{
    char offer[160];
    struct site_row *r;
    uint32_t value = 0;
    size_t i = 0;

    while (i < POLICY_LIMITS && !same_word(limits[i].name, row->name))
        i++;
    if (i == POLICY_LIMITS)
        return WRONG(why, row->at, "limits: there is no figure %s", row->name);
    if (limits[i].stricter == FIXED)
        return WRONG(why, row->at, "limits: %s is not a site's to set", limits[i].name);
    if (!read_figure(row->value, row->at, limits[i].name, limits[i].unit, &value, why))
        return false;
    if ((limits[i].stricter == LOWER ? value > limits[i].value : value < limits[i].value) && !is_relaxed(limits_table, limits[i].name, row->source, value))
        return WRONG(why, row->value, "limits: %s is %u %s, and %u is less strict: %s", limits[i].name, limits[i].value, limits[i].unit, value,
                     offers(limits_table, limits[i].name, offer, sizeof(offer)));
    if (limits[i].stricter == HIGHER && value > 36500)
        return WRONG(why, row->value, "limits: %s is at most 36500", limits[i].name);
    if (value == limits[i].value)
        return true;
    s->policy.limits[i] = value;
    r = row_add(s, limits_table, limits[i].name, row->source);
    snprintf(r->value, sizeof(r->value), "%u %s", value, limits[i].unit);
    snprintf(r->default_value, sizeof(r->default_value), "%u %s", limits[i].value, limits[i].unit);
    return true;
}

static bool take_zone(struct site *s, const struct zone_row *row, struct reason *why)
{
    const char *name;
    struct site_row *r;
    uint32_t cap_um = 0;
    int z = ZONE_NONE + 1;

    while (z < ZONE_END && !same_word(policy_zone_name((enum policy_zone)z), row->zone))
        z++;
    if (z == ZONE_END)
        return WRONG(why, row->at, "zones: there is no zone %s", row->zone);
    name = policy_zone_name((enum policy_zone)z);
    if (!read_figure(row->cap_um, row->at, "cap_um", "um", &cap_um, why))
        return false;
    if (cap_um > s->policy.cap_um[z])
        return WRONG(why, row->cap_um, "zones: %s is treated to %u um, and %u is less strict: no source has such a figure", name, s->policy.cap_um[z], cap_um);
    if (cap_um == s->policy.cap_um[z])
        return true;
    r = row_add(s, zones_table, name, "");
    snprintf(r->value, sizeof(r->value), "%u um", cap_um);
    snprintf(r->default_value, sizeof(r->default_value), "%u um", s->policy.cap_um[z]);
    s->policy.cap_um[z] = cap_um;
    return true;
}

static void put_item(char *out, size_t cap, enum decision d, uint32_t hours)
{
    if (hours == 0)
        snprintf(out, cap, "%s", decision_name(d));
    else
        snprintf(out, cap, "%s within %u h", decision_name(d), hours);
}

static bool take_item(struct site *s, const struct item_row *row, struct reason *why)
{
    uint32_t hours, value;
    enum decision before, now = DECISION_OK;
    char offer[160];
    struct site_row *r;
    int i = 0;

    while (i < SCREEN_ITEMS && !same_word(items[i], row->item))
        i++;
    if (i == SCREEN_ITEMS)
        return WRONG(why, row->at, "screening: there is no item %s", row->item);
    while (row->decision[0] != '\0' && now <= DECISION_BLOCK && !same_word(decision_name(now), row->decision))
        now++;
    if (now > DECISION_BLOCK)
        return WRONG(why, row->at, "screening: the decision of %s is OK, WARN, CONSULT or BLOCK, not %s", items[i], row->decision);
    before = s->policy.items[i].decision[0];
    hours = value = s->policy.items[i].hours[0];
    if (row->decision[0] == '\0')
        now = before;
    if (row->hours != NULL && hours == 0)
        return WRONG(why, row->hours, "screening: %s is a yes or no, without hours", items[i]);
    if (row->hours != NULL && !read_figure(row->hours, row->at, "hours", "h", &value, why))
        return false;
    if (value > 87600)
        return WRONG(why, row->hours, "screening: the hours of %s are at most 87600", items[i]);
    if ((value < hours && !is_relaxed(items_table, items[i], row->source, value)) || (now < before && !(hours == 0 && is_relaxed(items_table, items[i], row->source, now))))
        return WRONG(why, row->at, "screening: %s would be less strict than the default: %s", items[i], offers(items_table, items[i], offer, sizeof(offer)));
    if (value == hours && now == before)
        return true;
    r = row_add(s, items_table, items[i], row->source);
    put_item(r->default_value, sizeof(r->default_value), before, hours);
    s->policy.items[i].hours[0] = value;
    s->policy.items[i].decision[0] = now;
    put_item(r->value, sizeof(r->value), now, value);
    return true;
}

void site_default(struct site *s)
{
    *s = (struct site){0};
    policy_default(&s->policy);
}

static bool take_all(struct site *s, const struct file *f, const struct node *root, struct reason *why)
{
    bool good = true;

    if (f->name[0] == '\0')
        return WRONG(why, root, "a policy needs a name: of the site that it is for");
    if ((uint64_t)f->limits_count + f->zones_count + f->screening_count > SITE_ROWS_MAX)
        return WRONG(why, root, "at most %d rows", SITE_ROWS_MAX);
    for (uint32_t i = 0; good && i < f->limits_count; i++)
        good = take_limit(s, &f->limits[i], why);
    for (uint32_t i = 0; good && i < f->zones_count; i++)
        good = take_zone(s, &f->zones[i], why);
    for (uint32_t i = 0; good && i < f->screening_count; i++)
        good = take_item(s, &f->screening[i], why);
    if (good && s->policy.limits[POLICY_numbing_at_most] > s->policy.limits[POLICY_numbing_lasts])
        return WRONG(why, document_find(root, limits_table), "limits: numbing_at_most is more than numbing_lasts");
    if (good && s->policy.limits[POLICY_numbing_floor] > s->policy.limits[POLICY_numbing_at_most])
        return WRONG(why, document_find(root, limits_table), "limits: numbing_floor is %u min, which is more than numbing_at_most: whose source is that?",
                     s->policy.limits[POLICY_numbing_floor]);
    if (good && s->policy.limits[POLICY_numbing_at_least] > s->policy.limits[POLICY_numbing_at_most])
        return WRONG(why, document_find(root, limits_table), "limits: numbing_at_least is more than numbing_at_most");
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
    struct document *document = NULL;
    struct file f = {0};
    int r;

    site_default(s);
    r = document_parse(&document, file_fields, &f, text, n, path, why, cap);
    if (r < 0)
        return r;
    if (document_root(document) == NULL) {
        snprintf(why, cap, "%s is empty: without any policy of a site the defaults are in force", path);
        r = -EINVAL;
    } else if (take_all(s, &f, document_root(document), &(struct reason){why, cap})) {
        snprintf(s->name, sizeof(s->name), "%s", f.name);
        sha256(s->sha256, text, n);
    } else {
        site_default(s);
        r = -EINVAL;
    }
    document_free(document);
    return r;
}

int site_load(struct site *s, const char *path, char *why, size_t cap)
{
    size_t n = 0;
    char *text = file_read(path, DOCUMENT_BYTES_MAX, &n, why, cap);
    int r;

    site_default(s);
    if (text == NULL)
        return -errno;
    r = site_parse(s, text, n, path, why, cap);
    free(text);
    return r;
}
