/*
 * mn-factory: what its commands share. A command takes the words and returns an exit code.
 */
#pragma once

#include "station.h"

/* Documented in `mn-factory --help`. */
enum { EXIT_PASSED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_ERROR = 3, EXIT_ABORTED = 4, EXIT_DRY_RUN = 5 };

struct words {
    struct options o;
    bool plain, force;
    unsigned slots;
    const char *ports[STATION_SLOTS_MAX];
    unsigned port_count;
    const char *html, *junit, *csv;
    const char *rest[256];
    unsigned rest_count;
};

/* One sentence on stderr; their exit codes. */
int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
int print_error(const char *sentence);
/* r, unless stdout has not taken everything. */
int flush_output(int r);
int print_json(const json_t *j);

/* A plan by its path, or by its name: beside the program's sources while it is built, else where it is installed. NULL after a sentence. */
struct plan *load_plan(const char *name);
const char *database_of(const struct words *w);
/* kind: 'h' page, 'j' JUnit, 'c' CSV. force: over what is there already. */
int write_report(const char *path, const json_t *runs, const json_t *summary, char kind, bool force);

int cmd_run(const struct words *w);
int cmd_report(const struct words *w);
int cmd_station(const struct words *w);
