/*
 * Files that people write: YAML by libcyaml, against a schema, with sentences that name file, line and reason.
 */
#pragma once

#include <cyaml/cyaml.h>
#include <stdbool.h>

/* The file's text with a 0 behind it, at most 64 KiB of it; free() it. NULL: errno says why. */
char *yaml_read_file(const char *path, size_t *n);
/* Nothing but blanks. */
bool yaml_is_empty(const char *text);

/* *out is what the schema says, until yaml_free(). 0, or a negative errno and one sentence in why; path is for that only. */
int yaml_load(void **out, const cyaml_schema_value_t *schema, const char *text, size_t n, const char *path, char *why, size_t cap);
void yaml_free(const cyaml_schema_value_t *schema, void *loaded);

/* The first line, from 1, on which a key stands; 0: it does not. libcyaml fills a zeroed struct of its own, in which an
 * absent key cannot be told from a zero, and it knows no ranges. */
unsigned yaml_line_of(const char *text, const char *key, size_t n);
