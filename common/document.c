#include "document.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h> /* libyaml */

#include "escape.h"
#include "document_private.h"

enum { KEYS_MAX = 256 };

struct block { /* memory that is freed with the document */
    struct block *next;
    max_align_t data[];
};

struct document {
    struct node *root;
    struct block *blocks;
    size_t node_count;
    char name[];
};

struct level { /* a level of nesting while the document is built */
    struct node *container;
    struct node **end; /* where the next node goes */
    struct node *key;  /* of a mapping: the key whose value comes next */
    size_t count;
};

struct build {
    struct document *document;
    char *why;
    size_t cap;
    int error; /* 0, or a negative errno with the message in why */
    int depth;
    struct level levels[DOCUMENT_DEPTH_MAX];
};

void *document_allocate(struct document *document, size_t size)
{
    struct block *b = calloc(1, sizeof(*b) + size);

    if (b == NULL)
        return NULL;
    b->next = document->blocks;
    document->blocks = b;
    return b->data;
}

void document_free(struct document *document)
{
    if (document == NULL)
        return;
    for (struct block *b = document->blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    free(document);
}

const struct node *document_root(const struct document *document)
{
    return document->root;
}

const struct node *document_find(const struct node *mapping, const char *key)
{
    for (const struct node *k = mapping != NULL ? mapping->first : NULL; k != NULL; k = k->next) {
        if (strcmp(k->text, key) == 0)
            return k->value;
    }
    return NULL;
}

static void put_error(char *why, size_t cap, const char *name, unsigned line, unsigned column, const char *format, va_list ap) __attribute__((format(printf, 6, 0)));

static void put_error(char *why, size_t cap, const char *name, unsigned line, unsigned column, const char *format, va_list ap)
{
    char shown[200], reason[300];

    vsnprintf(reason, sizeof(reason), format, ap);
    escape_terminal(shown, sizeof(shown), name, strlen(name));
    if (line == 0)
        snprintf(why, cap, "%s %s", shown, reason);
    else
        snprintf(why, cap, "%s, line %u, column %u: %s", shown, line, column, reason);
}

bool node_wrong(char *why, size_t cap, const struct node *at, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    put_error(why, cap, at->document->name, at->line, at->column, format, ap);
    va_end(ap);
    return false;
}

static bool refuse(struct build *b, unsigned line, unsigned column, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Sets the error's message. Line 0: about the whole file; the message follows its name. */
static bool refuse(struct build *b, unsigned line, unsigned column, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    put_error(b->why, b->cap, b->document->name, line, column, format, ap);
    va_end(ap);
    b->error = -EINVAL;
    return false;
}

static bool no_memory(struct build *b)
{
    snprintf(b->why, b->cap, "out of memory");
    b->error = -ENOMEM;
    return false;
}

/* ---- the bytes ---- */

static bool check_bytes(struct build *b, const char *text, size_t n)
{
    unsigned line = 1, column = 1;
    char before = '\0';

    if (n > DOCUMENT_BYTES_MAX)
        return refuse(b, 0, 0, "is longer than %d MiB, which is the most that is read", DOCUMENT_BYTES_MAX / 1024 / 1024);
    if (n >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0 || (text[0] == '\0') != (text[1] == '\0')))
        return refuse(b, 0, 0, "is UTF-16 or UTF-32: write it as UTF-8");
    for (size_t i = 0, length; i < n; i += length, before = text[i - 1]) {
        uint32_t code;

        length = escape_next(text + i, n - i, &code);
        if (code == ESCAPE_NO_UTF8)
            return refuse(b, line, column, "the byte 0x%02x is no UTF-8: write the file as UTF-8, not in another encoding (Latin-1?)", (unsigned char)text[i]);
        if (code == '\n' && before == '\r')
            continue;
        if (code == '\n' || code == '\r') {
            line++;
            column = 1;
            continue;
        }
        if (code != '\t' && escape_is_control(code))
            return refuse(b, line, column, "the character U+%04X is not seen, and not taken", code);
        column++;
    }
    return true;
}

/* ---- the document ---- */

static bool is_null(const struct node *n)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

    for (size_t i = 0; n->kind == NODE_SCALAR && n->plain && i < sizeof(nulls) / sizeof(nulls[0]); i++) {
        if (strcmp(n->text, nulls[i]) == 0)
            return true;
    }
    return false;
}

static bool check_scalar(struct build *b, const struct node *n, size_t length)
{
    char shown[60];

    for (size_t i = 0, step; i < length; i += step) {
        uint32_t code;

        step = escape_next(n->text + i, length - i, &code);
        if (escape_is_control(code))
            return refuse(b, n->line, n->column, "the text %s has a character that is not seen (U+%04X)", escape_terminal(shown, sizeof(shown), n->text, length),
                          code);
    }
    return true;
}

static bool add_key(struct build *b, struct level *l, struct node *n)
{
    if (n->kind != NODE_SCALAR)
        return refuse(b, n->line, n->column, "a key is a word, not a list or a mapping");
    if (++l->count > KEYS_MAX)
        return refuse(b, n->line, n->column, "a mapping has at most %d keys", KEYS_MAX);
    for (const struct node *other = l->container->first; other != NULL; other = other->next) {
        if (strcmp(other->text, n->text) == 0)
            return refuse(b, n->line, n->column, "%.60s stands twice, first in line %u", n->text, other->line);
    }
    *l->end = n;
    l->end = &n->next;
    l->key = n;
    return true;
}

static bool add(struct build *b, struct node *n)
{
    struct level *l = b->depth > 0 ? &b->levels[b->depth - 1] : NULL;

    if (l == NULL) {
        b->document->root = n;
    } else if (l->container->kind == NODE_MAPPING && l->key == NULL) {
        return add_key(b, l, n);
    } else if (is_null(n)) {
        return refuse(b, n->line, n->column, "%.60s has no value%s", l->key != NULL ? l->key->text : "an entry of the list", n->text[0] != '\0' ? "; \"\" is the empty text" : "");
    } else if (l->key != NULL) {
        l->key->value = n;
        l->key = NULL;
    } else {
        *l->end = n;
        l->end = &n->next;
    }
    if (n->kind == NODE_SCALAR)
        return true;
    if (b->depth == DOCUMENT_DEPTH_MAX)
        return refuse(b, n->line, n->column, "it is nested more than %d deep", DOCUMENT_DEPTH_MAX);
    b->levels[b->depth++] = (struct level){.container = n, .end = &n->first};
    return true;
}

static bool add_node(struct build *b, const yaml_event_t *e, enum node_kind kind, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    unsigned line = (unsigned)e->start_mark.line + 1, column = (unsigned)e->start_mark.column + 1;
    struct node *n;
    char shown[60];

    if (anchor != NULL)
        return refuse(b, line, column, "the anchor &%.40s: anchors and aliases are not taken; write the value where it is meant", (const char *)anchor);
    if (tag != NULL)
        return refuse(b, line, column, "the tag %s: tags are not taken", escape_terminal(shown, sizeof(shown), (const char *)tag, strlen((const char *)tag)));
    if (++b->document->node_count > DOCUMENT_NODES_MAX)
        return refuse(b, line, column, "more than %d values", DOCUMENT_NODES_MAX);
    n = document_allocate(b->document, sizeof(*n));
    if (n == NULL)
        return no_memory(b);
    *n = (struct node){.document = b->document, .kind = kind, .line = line, .column = column, .text = ""};
    if (kind == NODE_SCALAR) {
        char *text = document_allocate(b->document, e->data.scalar.length + 1);

        if (text == NULL)
            return no_memory(b);
        memcpy(text, e->data.scalar.value, e->data.scalar.length);
        n->text = text;
        n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        if (!check_scalar(b, n, e->data.scalar.length))
            return false;
    }
    return add(b, n);
}

static bool take_event(struct build *b, const yaml_event_t *e)
{
    unsigned line = (unsigned)e->start_mark.line + 1, column = (unsigned)e->start_mark.column + 1;

    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        return b->document->root == NULL || refuse(b, line, column, "a second document begins: a file is one document");
    case YAML_ALIAS_EVENT:
        return refuse(b, line, column, "the alias *%.40s: anchors and aliases are not taken; write the value where it is meant", (const char *)e->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        return add_node(b, e, NODE_SCALAR, e->data.scalar.anchor, e->data.scalar.tag);
    case YAML_SEQUENCE_START_EVENT:
        return add_node(b, e, NODE_LIST, e->data.sequence_start.anchor, e->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return add_node(b, e, NODE_MAPPING, e->data.mapping_start.anchor, e->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return true;
    default:
        return true;
    }
}

/* The first character of a line, from 1, other than blanks. */
static char begins_with(const char *text, size_t n, unsigned line)
{
    size_t i = 0;

    while (i < n && line > 1)
        line -= text[i++] == '\n';
    while (i < n && text[i] == ' ')
        i++;
    return i < n ? text[i] : '\0';
}

static bool explain(struct build *b, const yaml_parser_t *p, const char *text, size_t n)
{
    unsigned line = (unsigned)p->problem_mark.line + 1, column = (unsigned)p->problem_mark.column + 1;

    if (p->error == YAML_MEMORY_ERROR)
        return no_memory(b);
    if (begins_with(text, n, line) == '\t')
        return refuse(b, line, column, "it begins with a tab; YAML is indented with spaces");
    return refuse(b, line, column, "%s%s%s", p->context != NULL ? p->context : "", p->context != NULL ? ": " : "", p->problem != NULL ? p->problem : "it is no YAML");
}

static bool build(struct build *b, const char *text, size_t n)
{
    yaml_parser_t parser;
    bool good = true, more = true;

    if (!yaml_parser_initialize(&parser))
        return no_memory(b);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    while (good && more) {
        yaml_event_t e;

        if (!yaml_parser_parse(&parser, &e)) {
            good = explain(b, &parser, text, n);
            break;
        }
        more = e.type != YAML_STREAM_END_EVENT;
        good = take_event(b, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    return good;
}

/* The root is empty or a mapping. */
static bool check_root(struct build *b)
{
    struct node *root = b->document->root;
    const char *colon;

    if (root == NULL || root->kind == NODE_MAPPING)
        return true;
    if (is_null(root)) {
        b->document->root = NULL;
        return true;
    }
    if (root->kind == NODE_LIST)
        return refuse(b, root->line, root->column, "it is a list, and should be lines of KEY: VALUE");
    colon = strchr(root->text, ':');
    if (colon != NULL)
        return refuse(b, root->line, root->column, "a blank belongs behind the colon: %.*s: %.40s", (int)(colon - root->text < 40 ? colon - root->text : 40), root->text, colon + 1);
    return refuse(b, root->line, root->column, "it is one text, and should be lines of KEY: VALUE");
}

int document_parse(struct document **document, const struct field *fields, void *out, const char *text, size_t n, const char *name, char *why, size_t cap)
{
    size_t name_size = strlen(name) + 1, mark = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    struct build b = {.why = why, .cap = cap};

    *document = NULL;
    b.document = calloc(1, sizeof(*b.document) + name_size);
    if (b.document == NULL) {
        no_memory(&b);
        return b.error;
    }
    memcpy(b.document->name, name, name_size);
    if (check_bytes(&b, text + mark, n - mark) && build(&b, text + mark, n - mark) && check_root(&b))
        b.error = document_take(b.document, b.document->root, fields, out, why, cap);
    if (b.error < 0)
        document_free(b.document);
    else
        *document = b.document;
    return b.error;
}
