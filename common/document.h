/*
 * What people write in YAML: the daemon's configuration, a site's policy, a treatment's plan with its answers, the factory's plan and its limits. One
 * reader for all of them, over libyaml's events, and one form of sentence: "mnd.yaml, line 3, column 6: usb is true or false, not no".
 *
 * What counts is what stands there, or nothing at all: a file that is not wholly understood is refused whole.
 *   - UTF-8, with or without a byte order mark, at most 1 MiB; anything else is refused by its name.
 *   - One document, whose root is a mapping. A key stands once, and is known. An empty file, or nothing but comments, has no keys.
 *   - Refused: anchors, aliases and tags, which make a value mean something else than what one reads; a key without a value, ~ and null, of which nobody
 *     knows what they mean ("" is the empty text); control and bidirectional characters in a text.
 *   - Numbers are decimal, whole or with a point, and may have their unit: 30, 1.2mm. Never octal (042), with an exponent, or with underscores.
 *   - Truth is true or false (True, TRUE, False, FALSE): YAML 1.2's core schema. no, off, y and 0 are texts and numbers.
 *   - In quotes it is a text, and no number and no truth.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quantity.h"

enum { DOCUMENT_BYTES_MAX = 1024 * 1024, DOCUMENT_DEPTH_MAX = 16, DOCUMENT_NODES_MAX = 100000 };

struct document; /* a document; owns its nodes and all rows that were read from it */

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAPPING };

struct node {
    const struct document *document;
    enum node_kind kind;
    unsigned line, column;        /* from 1 */
    bool plain;                   /* a scalar without quotes */
    const char *text;             /* of a scalar, ended by a 0; without any other */
    struct node *next;       /* in its list or mapping */
    struct node *first;      /* of a list: its values; of a mapping: its keys, which are scalars */
    struct node *value;      /* of a key */
};

enum field_type { FIELD_IS_TEXT, FIELD_IS_WHOLE, FIELD_IS_TRUTH, FIELD_IS_VALUE, FIELD_IS_VALUES, FIELD_IS_ROWS };

/* One key of a mapping, and where its value goes in a struct. An absent key leaves the struct as it is. */
struct field {
    const char *key;              /* NULL ends the table */
    enum field_type type;
    size_t offset, size;
    uint64_t low, high;           /* of a whole number; the most rows or values */
    const struct unit *units;     /* of a whole number, its own first; NULL: it has none */
    size_t unit_count;
    size_t count_offset;          /* of the uint32_t with the number of rows */
    const struct field *row;
    const char *once;             /* the row's text that stands in one row only; NULL */
};

#define FIELD_SIZE(of, member) sizeof(((of *)0)->member)
/* A char array; a text that does not fit is refused. */
#define FIELD_TEXT(of, member) {.key = #member, .type = FIELD_IS_TEXT, .offset = offsetof(of, member), .size = FIELD_SIZE(of, member)}
/* A uint32_t or unsigned. */
#define FIELD_WHOLE(of, member, least, most, its_units, count)                                                                                        \
    {.key = #member, .type = FIELD_IS_WHOLE, .offset = offsetof(of, member), .low = (least), .high = (most), .units = (its_units), .unit_count = (count)}
/* A bool. */
#define FIELD_TRUTH(of, member) {.key = #member, .type = FIELD_IS_TRUTH, .offset = offsetof(of, member)}
/* A const struct node *, of a scalar: for what its neighbours decide on. */
#define FIELD_VALUE(of, member) {.key = #member, .type = FIELD_IS_VALUE, .offset = offsetof(of, member)}
/* A const struct node *, the first of a list of scalars. */
#define FIELD_VALUES(of, member, most) {.key = #member, .type = FIELD_IS_VALUES, .offset = offsetof(of, member), .high = (most)}
/* A pointer to structs, each from a mapping, zeroed before, with member_count beside it; each begins with a const struct node *, which is the mapping.
 * its_once: the key of a FIELD_TEXT that must differ in all rows, or NULL. */
#define FIELD_ROWS(of, member, row_type, its_fields, most, its_once)                                                                                                \
    {.key = #member, .type = FIELD_IS_ROWS, .offset = offsetof(of, member), .size = sizeof(row_type), .high = (most),                              \
     .count_offset = offsetof(of, member##_count), .row = (its_fields), .once = (its_once)}
#define FIELD_END {.key = NULL}

/*
 * Reads n bytes into what the fields say. name is for the sentences only, and is copied. 0, and *document is the owner of all that out points to, until
 * document_free(); or a negative errno, one sentence in why, *document NULL, and out half filled.
 */
int document_parse(struct document **document, const struct field *fields, void *out, const char *text, size_t n, const char *name, char *why, size_t cap);
void document_free(struct document *document);

/* The root mapping; NULL: the document is empty. */
const struct node *document_root(const struct document *document);
/* A mapping's value of a key; NULL. */
const struct node *document_find(const struct node *mapping, const char *key);

/* "NAME, line 3, column 6: ...". Returns false. */
bool node_wrong(char *why, size_t cap, const struct node *at, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* A plain scalar's number; units as in parse_quantity(), the first is its own and what a bare number is of. what is its name in the sentence. */
bool node_number(const struct node *at, const char *what, const struct unit *units, size_t count, double *out, char *why, size_t cap);
/* The same, whole in its own unit, and within low..high. */
bool node_whole(const struct node *at, const char *what, const struct unit *units, size_t count, uint64_t low, uint64_t high, uint64_t *out, char *why, size_t cap);

/* Whether a value that came another way is one that the field takes; else the sentence, without a place. */
bool field_takes(const struct field *field, uint32_t value, char *why, size_t cap);
