/*
 * The steps that are built in, as a table. A step is a function that runs in its slot's thread, makes measurements, and says whether it could:
 * good or bad is not its business. What it measures, and with which parameters, stands in the table, so that plans can be checked without a pen.
 */
#pragma once

#include <stddef.h>

struct slot;

enum outcome {
    DONE,    /* the step ran to its end: its measurements decide */
    ERROR,   /* the step could not run: slot_error() has the message */
    ABORTED, /* the run is being aborted */
};

struct step {
    const char *name;
    const char *text;         /* one line for `mn-factory list` */
    const char *measurements; /* "name:unit name:unit": all that it may set; "faults": one for each fault */
    const char *parameters;   /* "seconds=3": with their defaults */
    unsigned time_limit_s;
    enum outcome (*run)(struct slot *s);
};

extern const struct step steps[];
extern const size_t step_count;

/* NULL: there is none of this name. */
const struct step *step_by_name(const char *name);
/* Calls each() for every measurement of the step, until it returns non-zero, and returns that. */
int step_each_measurement(const struct step *s, int (*each)(void *ctx, const char *name, const char *unit), void *ctx);
