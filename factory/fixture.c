#include "fixture.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "escape.h"
#include "quantity.h"

enum { SIMULATION_MS = 3000, PROGRAM_MS = 10000, SAID_MAX = 512 };

struct fixture {
    int (*ask)(struct fixture *f, const char *operation, const json_t *args, json_t **answer, char *why, size_t cap);
    char address[40];
    mn_client *client;   /* simulated */
    struct child child;  /* program */
    fixture_idle_fn *idle;
    void *ctx;
};

/* ---- of a simulated pen ---- */

static int request(struct fixture *f, char *answer, size_t answer_cap, char *why, size_t cap, const char *format, ...) __attribute__((format(printf, 6, 7)));

static int request(struct fixture *f, char *answer, size_t answer_cap, char *why, size_t cap, const char *format, ...)
{
    char line[200];
    va_list ap;
    int r;

    va_start(ap, format);
    vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    r = mn_simulate(f->client, f->address, line, answer, answer_cap, SIMULATION_MS);
    if (r == MN_OK)
        return 0;
    snprintf(why, cap, "the simulated fixture does not do \"%s\": %s", line, mn_message(f->client));
    return -1;
}

/* Parses a plain decimal number (no "inf" or hex, which strtod() would accept); anything else stays text. */
static json_t *parse_value(const char *text)
{
    static const struct unit one = {"", 1};
    char why[QUANTITY_WHY_MAX];
    double number;

    return parse_quantity(text, &one, 1, 0, 0, &number, why) ? json_real(number) : json_string(text);
}

/* "ok: name=value name=value" */
static json_t *parse_words(const char *said)
{
    json_t *j = json_object();
    char text[SAID_MAX], *save = NULL;

    escape_utf8(text, sizeof(text), said);
    for (char *w = strtok_r(text, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        char *value = strchr(w, '=');

        if (value == NULL)
            continue;
        *value++ = '\0';
        json_object_set_new(j, w, parse_value(value));
    }
    return j;
}

static double number_of(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

/* The time between two events in the model's own clock, which the load of this machine does not stretch. */
static void put_interval(json_t *j, const char *name, const char *from, const char *to)
{
    double ms = number_of(j, to) - number_of(j, from);

    json_object_set_new(j, name, json_real(ms > 0 ? ms : 0));
}

static int ask_gauges(struct fixture *f, json_t **answer, char *why, size_t cap)
{
    char said[SAID_MAX];
    json_t *j;

    if (request(f, said, sizeof(said), why, cap, "gauges") < 0)
        return -1;
    j = parse_words(said);
    put_interval(j, "heartbeat_to_rest_ms", "heartbeat_ms", "moved_ms");
    put_interval(j, "cable_to_rest_ms", "unplugged_ms", "moved_ms");
    put_interval(j, "brake_to_cut_ms", "loaded_ms", "cut_ms");
    put_interval(j, "cut_to_rest_ms", "cut_ms", "moved_ms");
    *answer = j;
    return 0;
}

static int ask_simulated(struct fixture *f, const char *operation, const json_t *args, json_t **answer, char *why, size_t cap)
{
    char said[SAID_MAX] = "";
    bool yes = json_is_true(json_object_get(args, "on"));
    int code = (int)json_integer_value(json_object_get(args, "code"));
    int r;

    if (strcmp(operation, "read") == 0)
        return ask_gauges(f, answer, why, cap);
    if (strcmp(operation, "hold") == 0)
        r = request(f, said, sizeof(said), why, cap, "contact 0");
    else if (strcmp(operation, "safe") == 0)
        r = request(f, said, sizeof(said), why, cap, "trigger release") | request(f, said, sizeof(said), why, cap, "load 0") |
            request(f, said, sizeof(said), why, cap, "clear all") | request(f, said, sizeof(said), why, cap, "replug");
    else if (strcmp(operation, "trigger") == 0)
        r = request(f, said, sizeof(said), why, cap, "trigger %s", yes ? "press" : "release");
    else if (strcmp(operation, "brake") == 0)
        r = request(f, said, sizeof(said), why, cap, "load %d", (int)json_integer_value(json_object_get(args, "permille")));
    else if (strcmp(operation, "cable") == 0)
        r = request(f, said, sizeof(said), why, cap, yes ? "replug" : "unplug");
    else if (strcmp(operation, "cartridge") == 0)
        r = request(f, said, sizeof(said), why, cap, "cartridge %s", json_string_value(json_object_get(args, "kind")));
    else if (strcmp(operation, "power_cycle") == 0)
        r = request(f, said, sizeof(said), why, cap, "power-cycle");
    else if (strcmp(operation, "watchdog") == 0)
        r = request(f, said, sizeof(said), why, cap, "hang");
    else if (strcmp(operation, "inject") == 0)
        r = request(f, said, sizeof(said), why, cap, "inject %d", code);
    else if (strcmp(operation, "clear") == 0)
        r = request(f, said, sizeof(said), why, cap, "clear %d", code);
    else if (strcmp(operation, "mark") == 0)
        r = request(f, said, sizeof(said), why, cap, "mark");
    else if (strcmp(operation, "scan") == 0)
        r = request(f, said, sizeof(said), why, cap, "label");
    else {
        snprintf(why, cap, "the simulated fixture does not know the operation %s", operation);
        return -1;
    }
    *answer = parse_words(said);
    return r == 0 ? 0 : -1;
}

struct fixture *fixture_simulated(mn_client *client, const char *address, char *why, size_t cap)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        snprintf(why, cap, "out of memory");
        return NULL;
    }
    f->ask = ask_simulated;
    f->client = client;
    f->child.in = f->child.out = -1;
    snprintf(f->address, sizeof(f->address), "%s", address);
    return f;
}

/* ---- a program ---- */

static int ask_program(struct fixture *f, const char *operation, const json_t *args, json_t **answer, char *why, size_t cap)
{
    json_t *question = json_object(), *error;
    char said[300] = "";

    json_object_update(question, (json_t *)(uintptr_t)args);
    json_object_set_new(question, "operation", json_string(operation));
    *answer = child_ask(&f->child, question, PROGRAM_MS, f->idle, f->ctx, said, sizeof(said));
    json_decref(question);
    error = json_object_get(*answer, "error");
    if (*answer != NULL && error == NULL)
        return 0;
    snprintf(why, cap, "the fixture's %s: %s", operation, *answer == NULL ? said : json_is_string(error) ? json_string_value(error) : "an error without words");
    json_decref(*answer);
    *answer = NULL;
    return -1;
}

struct fixture *fixture_program(const char *program, const char *address, fixture_idle_fn *idle, void *ctx, char *why, size_t cap)
{
    struct fixture *f = fixture_simulated(NULL, address, why, cap);
    int r = f != NULL ? child_start(&f->child, program, address) : -ENOMEM;

    if (r < 0) {
        snprintf(why, cap, "the fixture's program %s does not start: %s", program, strerror(-r));
        free(f);
        return NULL;
    }
    f->ask = ask_program;
    f->idle = idle;
    f->ctx = ctx;
    return f;
}

void fixture_free(struct fixture *f)
{
    if (f == NULL)
        return;
    if (f->child.pid > 0)
        child_end(&f->child);
    free(f);
}

int fixture_ask(struct fixture *f, const char *operation, json_t *args, json_t **answer, char *why, size_t cap)
{
    json_t *said = NULL;
    int r = f->ask(f, operation, args, &said, why, cap);

    json_decref(args);
    if (r == 0 && answer != NULL)
        *answer = said;
    else
        json_decref(said);
    return r;
}
