/* config show, get, set, diff, export, import, reset. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mnctl.h"

static void print_row(size_t i, uint32_t value)
{
    const struct mn_setting *s = mn_setting_at(i);
    char text[64];

    format_setting(i, value, text, sizeof(text));
    if (s->step != 0)
        printf("  %-16s %-22s %s%" PRIu32 " to %" PRIu32 " %s, steps of %" PRIu32 "%s\n", s->name, text, colour(COLOUR_DIM), s->min, s->max,
               s->unit, s->step, colour(COLOUR_NONE));
    else
        printf("  %-16s %-22s %s0 (off) or a divisor of 1000, to %" PRIu32 " %s%s\n", s->name, text, colour(COLOUR_DIM), s->max, s->unit,
               colour(COLOUR_NONE));
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

static int config_show(struct app *a, int argc, char **argv)
{
    struct mn_config c;
    int r = argc > 1 ? usage_error("config show takes no %s", argv[1]) : app_choose(a);

    if (r != EXIT_OK)
        return r;
    r = mn_config_get(a->client, a->serial, &c, a->timeout_ms);
    return r == MN_OK ? print_config(a, &c) : app_failed(a, r);
}

static int config_get(struct app *a, int argc, char **argv)
{
    struct mn_config c = {0};
    size_t setting = 0;
    int r = argc == 2 ? parse_setting(argv[1], &setting) : usage_error("config get takes the name of one setting");

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

static int apply(struct app *a, const struct mn_config *change, const uint32_t *expected)
{
    struct mn_config now;
    int r = mn_config_set(a->client, a->serial, change, expected, &now, a->timeout_ms);

    return r == MN_OK ? print_config(a, &now) : app_failed(a, r);
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

        if (strcmp(argv[i], "--if-generation") == 0 && i + 1 < argc) {
            expected = (uint32_t)strtoul(argv[++i], NULL, 10);
            has_expected = true;
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

/* A file as `config export` writes it: {"config": {"depth_um": 500, ...}}. */
static int read_file(const char *path, struct mn_config *out)
{
    json_error_t e;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &e), *config, *value;
    const char *key;
    int r = EXIT_OK;

    memset(out, 0, sizeof(*out));
    if (root == NULL) {
        fprintf(stderr, "mnctl: %s, line %d: %s\n", path, e.line, e.text);
        return EXIT_USAGE;
    }
    config = json_object_get(root, "config");
    if (!json_is_object(config))
        r = usage_error("%s: there is no object \"config\" in it; `mnctl config export` writes such files", path);
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
    int r = argc == 2 ? read_file(argv[1], &file) : usage_error("config diff takes a FILE");

    if (r == EXIT_OK)
        r = app_choose(a);
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
            printf("%-16s %s -> %s\n", mn_setting_at(i)->name, was, becomes);
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
    json_t *j;
    int r = argc > 2 ? usage_error("config export takes one FILE or none") : app_choose(a);

    if (r != EXIT_OK)
        return r;
    r = mn_config_get(a->client, a->serial, &c, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    j = json_pack("{s:s, s:I, s:o}", "serial", a->serial, "generation", (json_int_t)c.generation, "config", json_config(&c));
    if (argc < 2)
        return print_json(j, false);
    r = json_dump_file(j, argv[1], JSON_INDENT(2));
    json_decref(j);
    if (r != 0) {
        fprintf(stderr, "mnctl: cannot write %s\n", argv[1]);
        return EXIT_ERROR;
    }
    return EXIT_OK;
}

static int config_import(struct app *a, int argc, char **argv)
{
    struct mn_config file = {0};
    int r = argc == 2 ? read_file(argv[1], &file) : usage_error("config import takes a FILE");

    if (r == EXIT_OK)
        r = app_choose(a);
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
        if (strcmp(verbs[i].name, argv[1]) == 0)
            return verbs[i].run(a, argc - 1, argv + 1);
    }
    near = nearest(argv[1], names, sizeof(names) / sizeof(names[0]));
    return near != NULL ? usage_error("there is no config %s; did you mean %s?", argv[1], near)
                        : usage_error("there is no config %s (show, get, set, diff, export, import, reset)", argv[1]);
}
