/* config show, get, set, diff, export, import, reset. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "mnctl.h"

static void print_row(size_t i, uint32_t value)
{
    const struct mn_setting *s = mn_setting_at(i);
    char text[64], low[40], high[40], step[40], may_be[200];

    format_setting(i, value, text, sizeof(text));
    format_setting(i, s->min, low, sizeof(low));
    format_setting(i, s->max, high, sizeof(high));
    if (s->step != 0)
        format_setting(i, s->step, step, sizeof(step));
    printf("  %-11s %-10s ", setting_short_name(i), text);
    if (s->step != 0)
        snprintf(may_be, sizeof(may_be), "%s%s to %s, steps of %s%s", colour(COLOUR_DIM), low, high, step, colour(COLOUR_NONE));
    else
        snprintf(may_be, sizeof(may_be), "%soff, or a divisor of 1000 Hz, to %s%s", colour(COLOUR_DIM), high, colour(COLOUR_NONE));
    print_tail(25, may_be);
}

static int print_config(const struct app *a, const struct mn_config *c)
{
    if (a->json)
        return print_json(json_pack("{s:s, s:I, s:o}", "serial", a->serial, "generation", (json_int_t)c->generation, "config", json_config(c)),
                          false);
    printf("%s, configuration %" PRIu32 "\n", a->serial, c->generation);
    for (size_t i = 0; i < mn_setting_count(); i++)
        print_row(i, mn_config_value(c, i));
    return flush_output();
}

static int show_one(struct app *a)
{
    struct mn_config c;
    int r = mn_config_get(a->client, a->serial, &c, a->timeout_ms);

    return r == MN_OK ? print_config(a, &c) : app_failed(a, r);
}

static int config_show(struct app *a, int argc, char **argv)
{
    return argc > 1 ? usage_error("config show takes no %s", argv[1]) : app_each(a, show_one);
}

static int config_get(struct app *a, int argc, char **argv)
{
    struct mn_config c = {0};
    size_t setting = 0;
    int r;

    if (argc == 1)
        return app_each(a, show_one);
    r = argc == 2 ? parse_setting(argv[1], &setting) : usage_error("config get takes the name of one setting, or nothing");
    if (r == EXIT_OK)
        r = app_choose(a);
    if (r != EXIT_OK)
        return r;
    r = mn_config_get(a->client, a->serial, &c, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    if (a->json)
        return print_json(json_pack("{s:I}", mn_setting_at(setting)->name, (json_int_t)mn_config_value(&c, setting)), false);
    printf("%" PRIu32 "\n", mn_config_value(&c, setting));
    return flush_output();
}

/* Prints one line for each setting that changes; returns their number. */
static size_t print_changes(const struct app *a, const struct mn_config *before, const struct mn_config *after, uint32_t which)
{
    char was[64], is[64];
    size_t n = 0;

    for (size_t i = 0; i < mn_setting_count(); i++) {
        if (!(which >> i & 1) || mn_config_value(before, i) == mn_config_value(after, i))
            continue;
        format_setting(i, mn_config_value(before, i), was, sizeof(was));
        format_setting(i, mn_config_value(after, i), is, sizeof(is));
        if (!a->json)
            printf("  %-11s %s -> %s\n", setting_short_name(i), was, is);
        n++;
    }
    return n;
}

/* Another client has changed the configuration meanwhile: prints who, when and what, as far as the journal has it. */
static void print_conflict(struct app *a, uint32_t expected)
{
    struct mn_filter filter = {.serial = a->serial, .kinds = 1 << MN_RECORD_CONFIG};
    struct mn_records page = {0};
    struct mn_cursor place = {0};
    struct mn_config last = {0}, before = {0};
    uint64_t when_us = 0;
    char when[40];

    while (!page.end) {
        mn_records_free(&page);
        if (mn_records_read(a->client, &place, &filter, &page, a->timeout_ms) != MN_OK)
            return;
        for (size_t i = 0; i < page.count; i++) {
            last = page.record[i].config;
            when_us = page.record[i].host_us;
            if (last.generation <= expected)
                before = last;
        }
        place = page.next;
    }
    mn_records_free(&page);
    if (when_us == 0)
        return;
    format_minute(when_us, when, sizeof(when));
    fprintf(stderr, "mnctl: the configuration is at %" PRIu32 ", not %" PRIu32 "; changed last %s\n", last.generation, expected, when);
    if (before.generation == expected) {
        print_changes(a, &before, &last, UINT32_MAX);
        fflush(stdout);
    }
    fprintf(stderr, "mnctl: `mnctl config show` has it as it is now\n");
}

static int apply(struct app *a, const struct mn_config *change, const uint32_t *expected)
{
    struct mn_config before, now;
    int r = mn_config_get(a->client, a->serial, &before, a->timeout_ms);

    if (r == MN_OK)
        r = mn_config_set(a->client, a->serial, change, expected, &now, a->timeout_ms);
    if (r == MN_ERR_CONFLICT && !a->json) {
        print_conflict(a, expected != NULL ? *expected : 0);
        return EXIT_REFUSED;
    }
    if (r != MN_OK)
        return app_failed(a, r);
    if (a->json)
        return print_config(a, &now);
    printf("%s, configuration %" PRIu32 "\n", a->serial, now.generation);
    if (print_changes(a, &before, &now, UINT32_MAX) == 0)
        printf("  nothing has changed: it was so already\n");
    return flush_output();
}

static int config_set(struct app *a, int argc, char **argv)
{
    struct mn_config change = {0};
    uint32_t expected = 0;
    bool has_expected = false;
    int r = EXIT_OK;

    for (int i = 1; i < argc && r == EXIT_OK; i++) {
        size_t setting = 0;
        uint32_t value = 0;

        if (strcmp(argv[i], "--if-generation") == 0) {
            uint64_t n = 0;

            r = parse_number(argv[i], argv[i + 1], 0, UINT32_MAX, &n);
            expected = (uint32_t)n;
            has_expected = true;
            i++;
            continue;
        }
        r = parse_assignment(argv[i], &setting, &value);
        if (r == EXIT_OK)
            mn_config_put(&change, setting, value);
    }
    if (r == EXIT_OK && change.present == 0)
        r = usage_error("config set takes NAME=VALUE, for instance depth=1.2mm");
    if (r == EXIT_OK)
        r = app_choose(a);
    return r == EXIT_OK ? apply(a, &change, has_expected ? &expected : NULL) : r;
}

/* Reads a file that `config export` wrote: {"config": {"depth_um": 500, ...}}. */
static int read_file(const char *path, const char *serial, struct mn_config *out)
{
    enum { FILE_MAX = 64 * 1024 };
    json_error_t e;
    char why[400], *text;
    json_t *root, *config, *value;
    const char *key;
    int r = EXIT_OK;
    size_t n = 0;

    memset(out, 0, sizeof(*out));
    text = file_read(path, FILE_MAX, &n, why, sizeof(why));
    if (text == NULL)
        return usage_error("%s", why);
    root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
    free(text);
    if (root == NULL)
        return usage_error("%s, line %d: %s", path, e.line, e.text);
    config = json_object_get(root, "config");
    if (json_is_string(json_object_get(root, "serial")) && strcmp(json_string_value(json_object_get(root, "serial")), serial) != 0)
        fprintf(stderr, "mnctl: note: %s is of pen %s, and this is %s\n", path, json_string_value(json_object_get(root, "serial")), serial);
    if (!json_is_object(config))
        r = usage_error("%s: there is no object \"config\" in it: `mnctl config export` writes such files", path);
    json_object_foreach(config, key, value)
    {
        size_t setting = 0;

        if (r != EXIT_OK || (r = parse_setting(key, &setting)) != EXIT_OK)
            break;
        if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX)
            r = usage_error("%s: %s is not a whole number", path, key);
        else
            mn_config_put(out, setting, (uint32_t)json_integer_value(value));
    }
    json_decref(root);
    return r;
}

static int config_diff(struct app *a, int argc, char **argv)
{
    struct mn_config file = {0}, now;
    json_t *changes;
    bool differs = false;
    int r = argc == 2 ? app_choose(a) : usage_error("config diff takes a FILE");

    if (r == EXIT_OK)
        r = read_file(argv[1], a->serial, &file);
    if (r != EXIT_OK)
        return r;
    r = mn_config_get(a->client, a->serial, &now, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    changes = json_object();
    for (size_t i = 0; i < mn_setting_count(); i++) {
        uint32_t old = mn_config_value(&now, i), new = mn_config_value(&file, i);
        char was[64], becomes[64];

        if (!(file.present >> i & 1) || old == new)
            continue;
        differs = true;
        json_object_set_new(changes, mn_setting_at(i)->name, json_pack("{s:I, s:I}", "pen", (json_int_t)old, "file", (json_int_t) new));
        format_setting(i, old, was, sizeof(was));
        format_setting(i, new, becomes, sizeof(becomes));
        if (!a->json)
            printf("  %-11s %s -> %s\n", setting_short_name(i), was, becomes);
    }
    if (a->json)
        print_json(json_incref(changes), false);
    else if (!differs)
        printf("%s has what %s says\n", a->serial, argv[1]);
    json_decref(changes);
    return differs ? EXIT_ERROR : flush_output();
}

static int config_export(struct app *a, int argc, char **argv)
{
    struct mn_config c;
    const char *path = NULL;
    bool force = false;
    json_t *j;
    FILE *out;
    int r;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--force") == 0)
            force = true;
        else if (path == NULL && argv[i][0] != '-')
            path = argv[i];
        else
            return usage_error("config export takes one FILE or none, and --force, not %s", argv[i]);
    }
    if (path != NULL && !may_write(path, force))
        return EXIT_ERROR;
    r = app_choose(a);
    if (r != EXIT_OK)
        return r;
    r = mn_config_get(a->client, a->serial, &c, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    j = json_pack("{s:s, s:I, s:o}", "serial", a->serial, "generation", (json_int_t)c.generation, "config", json_config(&c));
    if (path == NULL)
        return print_json(j, false);
    out = output_open(path, force);
    if (out == NULL) {
        json_decref(j);
        return EXIT_ERROR;
    }
    r = json_dumpf(j, out, JSON_INDENT(2)) != 0 || fputc('\n', out) == EOF;
    if (fclose(out) != 0)
        r = 1;
    json_decref(j);
    if (r != 0) {
        fprintf(stderr, "mnctl: cannot write %s: %s\n", path, strerror(errno));
        return EXIT_ERROR;
    }
    printf("%s: %zu settings are in %s\n", a->serial, mn_setting_count(), path);
    return flush_output();
}

static int config_import(struct app *a, int argc, char **argv)
{
    struct mn_config file = {0};
    int r = argc == 2 ? app_choose(a) : usage_error("config import takes a FILE");

    if (r == EXIT_OK)
        r = read_file(argv[1], a->serial, &file);
    return r == EXIT_OK ? apply(a, &file, NULL) : r;
}

static int config_reset(struct app *a, int argc, char **argv)
{
    struct mn_config now;
    int r = argc > 1 ? usage_error("config reset takes no %s", argv[1]) : app_choose(a);

    if (r != EXIT_OK)
        return r;
    r = mn_config_reset(a->client, a->serial, NULL, &now, a->timeout_ms);
    return r == MN_OK ? print_config(a, &now) : app_failed(a, r);
}

int cmd_config(struct app *a, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(struct app *a, int argc, char **argv);
    } verbs[] = {{"show", config_show}, {"get", config_get},       {"set", config_set},    {"diff", config_diff},
                 {"export", config_export}, {"import", config_import}, {"reset", config_reset}};
    const char *names[sizeof(verbs) / sizeof(verbs[0])], *near;

    if (argc < 2)
        return config_show(a, 1, argv);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        names[i] = verbs[i].name;
        if (same_word(verbs[i].name, argv[1]))
            return verbs[i].run(a, argc - 1, argv + 1);
    }
    near = nearest(argv[1], names, sizeof(names) / sizeof(names[0]));
    return near != NULL ? usage_error("there is no config %s; did you mean %s?", argv[1], near)
                        : usage_error("there is no config %s (show, get, set, diff, export, import, reset)", argv[1]);
}
