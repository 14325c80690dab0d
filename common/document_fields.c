/* Values of a YAML document, by tables of fields. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "escape.h"
#include "words.h"
#include "document_private.h"

enum { SHOWN_MAX = 60, FIELDS_MAX = 64 };

static const char *show(const struct node *at, char out[SHOWN_MAX])
{
    escape_terminal(out, SHOWN_MAX, at->text, strlen(at->text));
    return out[0] != '\0' ? out : "\"\"";
}

/* ---- numbers ---- */

/* "a whole number of MiB, 16 to 1048576" */
static void put_whole(char *out, size_t cap, const struct unit *units, size_t count, uint64_t low, uint64_t high)
{
    snprintf(out, cap, "a whole number%s%s, %llu to %llu", count > 0 ? " of " : "", count > 0 ? units[0].name : "", (unsigned long long)low, (unsigned long long)high);
}

/* Parses a number. False, with the reason in why, if it is none. */
static bool read_number(const struct node *at, const struct unit *units, size_t count, double *out, char why[QUANTITY_WHY_MAX])
{
    static const struct unit none = {"", 1};
    const char *digits = at->text + (at->text[0] == '+' || at->text[0] == '-');

    if (at->kind != NODE_SCALAR || !at->plain) {
        snprintf(why, QUANTITY_WHY_MAX, "%s", at->kind != NODE_SCALAR ? "it is a list or a mapping" : "in quotes it is a text");
        return false;
    }
    if (digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9') {
        snprintf(why, QUANTITY_WHY_MAX, "a number does not begin with 0: others read it as octal");
        return false;
    }
    return parse_quantity(at->text, count > 0 ? units : &none, count > 0 ? count : 1, 0, 0, out, why);
}

bool node_number(const struct node *at, const char *what, const struct unit *units, size_t count, double *out, char *why, size_t cap)
{
    char shown[SHOWN_MAX], reason[QUANTITY_WHY_MAX];

    if (read_number(at, units, count, out, reason))
        return true;
    return node_wrong(why, cap, at, "%s is a number%s%s, not %s: %s", what, count > 0 ? " of " : "", count > 0 ? units[0].name : "", show(at, shown), reason);
}

bool node_whole(const struct node *at, const char *what, const struct unit *units, size_t count, uint64_t low, uint64_t high, uint64_t *out, char *why, size_t cap)
{
    char shown[SHOWN_MAX], reason[QUANTITY_WHY_MAX], range[100];
    double number = 0;
    bool read = read_number(at, units, count, &number, reason);

    if (read && number >= (double)low && number <= (double)high && number == floor(number)) {
        *out = (uint64_t)number;
        return true;
    }
    put_whole(range, sizeof(range), units, count, low, high);
    return node_wrong(why, cap, at, "%s is %s, not %s%s%s", what, range, show(at, shown), read ? "" : ": ", read ? "" : reason);
}

bool field_takes(const struct field *field, uint32_t value, char *why, size_t cap)
{
    char range[100];

    if (field->type != FIELD_IS_WHOLE || (value >= field->low && value <= field->high))
        return true;
    put_whole(range, sizeof(range), field->units, field->unit_count, field->low, field->high);
    snprintf(why, cap, "%s is %s, not %u", field->key, range, value);
    return false;
}

/* ---- fields ---- */

static bool take_truth(const struct node *at, const char *what, bool *out, char *why, size_t cap)
{
    static const char *const words[] = {"true", "True", "TRUE", "false", "False", "FALSE"};
    char shown[SHOWN_MAX];

    for (size_t i = 0; at->plain && i < 6; i++) {
        if (strcmp(at->text, words[i]) == 0) {
            *out = i < 3;
            return true;
        }
    }
    return node_wrong(why, cap, at, "%s is true or false, not %s%s", what, show(at, shown), at->plain ? "" : ": in quotes it is a text");
}

static bool take_text(const struct node *at, const struct field *f, char *out, char *why, size_t cap)
{
    size_t n = strlen(at->text);

    if (n >= f->size)
        return node_wrong(why, cap, at, "%s is too long: at most %zu bytes, and this has %zu", f->key, f->size - 1, n);
    memcpy(out, at->text, n + 1);
    return true;
}

static bool check_values(const struct node *list, const struct field *f, char *why, size_t cap)
{
    uint64_t count = 0;

    for (const struct node *n = list->first; n != NULL; n = n->next) {
        if (n->kind != NODE_SCALAR)
            return node_wrong(why, cap, n, "%s is a list of words", f->key);
        if (++count > f->high)
            return node_wrong(why, cap, n, "%s has more than %llu words", f->key, (unsigned long long)f->high);
    }
    return true;
}

/* Checks that no two rows have the same text in the column that must be unique. */
static bool check_once(const struct node *list, const struct field *f, const char *rows, uint32_t count, char *why, size_t cap)
{
    const struct field *column = f->row;

    while (f->once != NULL && strcmp(column->key, f->once) != 0)
        column++;
    for (uint32_t i = 0; f->once != NULL && i < count; i++, list = list->next) {
        const char *text = rows + i * f->size + column->offset;

        for (uint32_t k = 0; k < i; k++) {
            if (text[0] != '\0' && same_word(text, rows + k * f->size + column->offset))
                return node_wrong(why, cap, list, "%s: %s stands twice", f->key, text);
        }
    }
    return true;
}

static int take_rows(struct document *document, const struct node *list, const struct field *f, char *out, char *why, size_t cap)
{
    uint32_t count = 0;
    char *rows, *row;

    for (const struct node *n = list->first; n != NULL; n = n->next) {
        if (n->kind != NODE_MAPPING)
            return node_wrong(why, cap, n, "%s is a list of mappings: - {KEY: VALUE, ...}", f->key) ? 0 : -EINVAL;
        if (++count > f->high)
            return node_wrong(why, cap, n, "%s has more than %llu entries", f->key, (unsigned long long)f->high) ? 0 : -EINVAL;
    }
    rows = count > 0 ? document_allocate(document, count * f->size) : NULL;
    if (rows == NULL && count > 0) {
        snprintf(why, cap, "out of memory");
        return -ENOMEM;
    }
    row = rows;
    for (const struct node *n = list->first; n != NULL; n = n->next, row += f->size) {
        int r = document_take(document, n, f->row, row, why, cap);

        if (r < 0)
            return r;
        memcpy(row, &n, sizeof(n));
    }
    if (!check_once(list->first, f, rows, count, why, cap))
        return -EINVAL;
    memcpy(out + f->offset, &rows, sizeof(rows));
    memcpy(out + f->count_offset, &count, sizeof(count));
    return 0;
}

static int take_value(struct document *document, const struct node *at, const struct field *f, char *out, char *why, size_t cap)
{
    enum node_kind wanted = f->type == FIELD_IS_ROWS || f->type == FIELD_IS_VALUES ? NODE_LIST : NODE_SCALAR;
    uint64_t whole = 0;
    uint32_t value;
    bool good = true;

    if (at->kind != wanted)
        return node_wrong(why, cap, at, "%s is %s, not %s", f->key, wanted == NODE_LIST ? "a list" : "one value",
                          at->kind == NODE_SCALAR ? "one value" : at->kind == NODE_LIST ? "a list" : "a mapping") ? 0 : -EINVAL;
    switch (f->type) {
    case FIELD_IS_TEXT:
        good = take_text(at, f, out + f->offset, why, cap);
        break;
    case FIELD_IS_WHOLE:
        good = node_whole(at, f->key, f->units, f->unit_count, f->low, f->high, &whole, why, cap);
        value = (uint32_t)whole;
        if (good)
            memcpy(out + f->offset, &value, sizeof(value));
        break;
    case FIELD_IS_TRUTH:
        good = take_truth(at, f->key, (bool *)(out + f->offset), why, cap);
        break;
    case FIELD_IS_VALUE:
        memcpy(out + f->offset, &at, sizeof(at));
        break;
    case FIELD_IS_VALUES:
        good = check_values(at, f, why, cap);
        if (good)
            memcpy(out + f->offset, &at->first, sizeof(at->first));
        break;
    case FIELD_IS_ROWS:
        return take_rows(document, at, f, out, why, cap);
    }
    return good ? 0 : -EINVAL;
}

static int unknown(const struct node *key, const struct field *fields, char *why, size_t cap)
{
    const char *names[FIELDS_MAX], *near;
    char shown[SHOWN_MAX];
    size_t n = 0;

    while (n < FIELDS_MAX && fields[n].key != NULL) {
        names[n] = fields[n].key;
        n++;
    }
    near = nearest(key->text, names, n);
    node_wrong(why, cap, key, "there is no option %s%s%s", show(key, shown), near != NULL ? "; did you mean " : "", near != NULL ? near : "");
    return -EINVAL;
}

int document_take(struct document *document, const struct node *mapping, const struct field *fields, void *out, char *why, size_t cap)
{
    for (const struct node *key = mapping != NULL ? mapping->first : NULL; key != NULL; key = key->next) {
        const struct field *f = fields;
        int r;

        while (f->key != NULL && strcmp(f->key, key->text) != 0)
            f++;
        if (f->key == NULL)
            return unknown(key, fields, why, cap);
        r = take_value(document, key->value, f, out, why, cap);
        if (r < 0)
            return r;
    }
    return 0;
}
