/* What mn-factory's commands say, and where they look for things. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "factory.h"

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

int say_error(const char *sentence)
{
    fprintf(stderr, "mn-factory: %s\n", sentence);
    return EXIT_ERROR;
}

const char *find_plan(const char *name, char *out, size_t cap)
{
    static const char *const folders[] = {MN_PLANS_BUILD, MN_PLANS_INSTALLED};

    if (strchr(name, '/') != NULL || access(name, R_OK) == 0)
        return name;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(out, cap, "%s/%s.yaml", folders[i], name);
        if (access(out, R_OK) == 0)
            return out;
    }
    return name;
}

const char *database_of(const struct words *w)
{
    return w->o.database != NULL ? w->o.database : "mn-factory-runs/station.db";
}

int flush_output(int r)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return r;
    return errno == EPIPE ? r : say_error("the output cannot be written");
}

int print_json(const json_t *j)
{
    json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    putchar('\n');
    return flush_output(EXIT_PASSED);
}
