/* Messages of mn-factory's commands, and where plans and the database are found. */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "factory.h"
#include "program.h"
#include "words.h"

int usage_error(const char *format, ...)
{
    va_list ap;

    fputs("mn-factory: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputs("\nTry mn-factory --help.\n", stderr);
    return EXIT_USAGE;
}

int print_error(const char *sentence)
{
    fprintf(stderr, "mn-factory: %s\n", sentence);
    return EXIT_ERROR;
}

static const char *const folders[] = {MN_PLANS_BUILD, MN_PLANS_INSTALLED};

static const char *find_plan(const char *name, char *out, size_t cap)
{
    if (strchr(name, '/') != NULL || access(name, R_OK) == 0)
        return name;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(out, cap, "%s/%s.yaml", folders[i], name);
        if (access(out, R_OK) == 0)
            return out;
    }
    return NULL;
}

/* Finds a shipped plan with a similar name. */
static bool near_plan(const char *name, char *out, size_t cap)
{
    for (size_t f = 0; f < sizeof(folders) / sizeof(folders[0]); f++) {
        struct dirent **entries;
        int n = scandir(folders[f], &entries, NULL, alphasort);
        bool found = false;

        for (int i = 0; i < n; i++) {
            char *end = strstr(entries[i]->d_name, ".yaml");
            const char *names[] = {entries[i]->d_name};

            if (end != NULL && strstr(entries[i]->d_name, ".limits.") == NULL) {
                *end = '\0';
                if (!found && nearest(name, names, 1) != NULL) {
                    snprintf(out, cap, "%s", names[0]);
                    found = true;
                }
            }
            free(entries[i]);
        }
        if (n >= 0)
            free(entries);
        if (found)
            return true;
    }
    return false;
}

struct plan *load_plan(const char *name)
{
    char path[512], why[PLAN_WHY_MAX], near[256];
    const char *found = find_plan(name, path, sizeof(path));
    struct plan *p;

    if (found == NULL && near_plan(name, near, sizeof(near))) {
        usage_error("there is no plan %s; did you mean %s?", name, near);
        return NULL;
    }
    if (found == NULL) {
        usage_error("there is no plan %s: a plan is a file, or one that ships (mn-factory list)", name);
        return NULL;
    }
    p = plan_load(found, why);
    if (p == NULL)
        fprintf(stderr, "mn-factory: %s\n", why);
    return p;
}

const char *database_of(const struct words *w)
{
    return w->o.database != NULL ? w->o.database : "mn-factory-runs/station.db";
}

int flush_output(int r)
{
    return program_end("mn-factory", r, EXIT_ERROR);
}

int print_json(const json_t *j)
{
    json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    putchar('\n');
    return flush_output(EXIT_PASSED);
}
