#include "yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct log_lines {
    char first[300]; /* the reason */
    char where[64];  /* line and column */
};

static void on_log(cyaml_log_t level, void *ctx, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

/* libcyaml says what is wrong first, then a backtrace whose innermost line has the place. */
static void on_log(cyaml_log_t level, void *ctx, const char *format, va_list args)
{
    struct log_lines *lines = ctx;
    char text[300], *place;

    if (level < CYAML_LOG_ERROR)
        return;
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = '\0';
    place = strstr(text, "line: ");
    if (place != NULL) {
        if (lines->where[0] == '\0')
            sscanf(place, "line: %60[0-9]", lines->where);
    } else if (lines->first[0] == '\0' && strstr(text, "Backtrace") == NULL) {
        snprintf(lines->first, sizeof(lines->first), "%s", strncmp(text, "Load: ", 6) == 0 ? text + 6 : text);
    }
}

/* A key in this line, before its comment: at its beginning, behind the dash of a list, or within { }. */
static bool has_key(const char *line, const char *key, size_t n)
{
    size_t end = strcspn(line, "\n#");

    for (size_t i = 0; i + n < end; i++) {
        bool begins = i == 0 || strchr(" -{,", line[i - 1]) != NULL;

        if (begins && strncmp(line + i, key, n) == 0 && line[i + n + strspn(line + i + n, " ")] == ':')
            return true;
    }
    return false;
}

unsigned yaml_line_of(const char *text, const char *key, size_t n)
{
    unsigned number = 1;

    for (const char *line = text; line != NULL; number++) {
        if (has_key(line, key, n))
            return number;
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return 0;
}

/* The key that stands on a line, from 1. */
static void key_at(const char *text, unsigned number, char *out, size_t cap)
{
    const char *line = text;

    while (line != NULL && --number > 0) {
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    if (line != NULL)
        line += strspn(line, " -");
    snprintf(out, cap, "%.*s", line != NULL ? (int)strcspn(line, ": \n") : 0, line != NULL ? line : "");
}

static void explain_unknown(const char *text, const char *key, const char *path, char *why, size_t cap)
{
    unsigned line = yaml_line_of(text, key, strlen(key));

    if (line != 0)
        snprintf(why, cap, "%s, line %u: there is no option %s", path, line, key);
    else
        snprintf(why, cap, "%s: there is no option %s", path, key);
}

/* What libcyaml says, as the person who wrote the file would want to hear it. */
static void explain(const char *text, const struct log_lines *said, const char *otherwise, const char *path, char *why, size_t cap)
{
    unsigned line = (unsigned)strtoul(said->where, NULL, 10);
    const char *tab = text[0] == '\t' ? text : strstr(text, "\n\t");
    char key[64], unknown[64], value[64];

    key_at(text, line, key, sizeof(key));
    if (sscanf(said->first, "Unexpected key: %63s", unknown) == 1) /* its backtrace has the line of the key before */
        explain_unknown(text, unknown, path, why, cap);
    else if (sscanf(said->first, "Invalid uint64_t value: '%63[^']", value) == 1)
        snprintf(why, cap, "%s, line %u: %s is a whole number, not %s", path, line, key, value);
    else if (sscanf(said->first, "Invalid ENUM value: %63s", value) == 1)
        snprintf(why, cap, "%s, line %u: %s is true or false, not %s", path, line, key, value);
    else if (tab != NULL && strstr(said->first, "tab") != NULL) {
        line = 1;
        for (const char *c = text; c <= tab; c++)
            line += *c == '\n';
        snprintf(why, cap, "%s, line %u: it begins with a tab; YAML is indented with spaces", path, line);
    } else {
        snprintf(why, cap, "%s%s%s: %s", path, line != 0 ? ", line " : "", said->where, said->first[0] != '\0' ? said->first : otherwise);
    }
}

char *yaml_read_file(const char *path, size_t *n)
{
    enum { FILE_MAX = 64 * 1024 };
    FILE *f = fopen(path, "re");
    char *text = f != NULL ? calloc(1, FILE_MAX + 1) : NULL;

    if (text != NULL) {
        *n = fread(text, 1, FILE_MAX, f);
        if (ferror(f)) {
            int e = errno;

            free(text);
            text = NULL;
            errno = e;
        }
    }
    if (f != NULL)
        fclose(f);
    return text;
}

bool yaml_is_empty(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

int yaml_load(void **out, const cyaml_schema_value_t *schema, const char *text, size_t n, const char *path, char *why, size_t cap)
{
    struct log_lines lines = {0};
    cyaml_config_t cyaml = {.log_fn = on_log, .log_ctx = &lines, .log_level = CYAML_LOG_ERROR, .mem_fn = cyaml_mem};
    cyaml_err_t e = cyaml_load_data((const uint8_t *)text, n, &cyaml, schema, out, NULL);

    if (e == CYAML_OK)
        return 0;
    explain(text, &lines, cyaml_strerror(e), path, why, cap);
    return e == CYAML_ERR_OOM ? -ENOMEM : -EINVAL;
}

void yaml_free(const cyaml_schema_value_t *schema, void *loaded)
{
    cyaml_config_t cyaml = {.mem_fn = cyaml_mem};

    cyaml_free(&cyaml, schema, loaded, 0);
}
