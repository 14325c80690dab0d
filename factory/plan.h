/*
 * What is to be done with each pen, as a test engineer writes it down: a plan of phases and steps, and a file of limits. Both are YAML; their
 * SHA-256 stand in every record. plan_load() accepts only what can be carried out: every step, parameter and measurement exists, and every step has
 * a measurement with a limit, for a verdict comes from measurements only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_WHY_MAX 400
#define PLAN_NAME_MAX 63
#define PLAN_RETRIES_MAX 5

struct limit {
    char step[PLAN_NAME_MAX + 1], name[PLAN_NAME_MAX + 1], unit[16];
    bool has_min, has_max, has_marginal_min, has_marginal_max, has_equals;
    double min, max, marginal_min, marginal_max;
    char equals[80];
};

struct plan_step {
    char name[PLAN_NAME_MAX + 1];    /* "depth"; of a program's step, as the plan calls it */
    char phase[PLAN_NAME_MAX + 1];
    const struct step *builtin;      /* NULL: a program */
    char program[256];               /* its path; one without a slash is looked for beside the plan */
    char parameters[200];            /* "seconds=3 count=10" */
    unsigned retries;                /* 0..PLAN_RETRIES_MAX, after FAIL or ERROR */
    unsigned time_limit_s;           /* of one attempt */
    unsigned at_once;                /* slots of this station that may be in it together; 0: all */
    bool teardown;                   /* always done, whatever was before */
    size_t limit_count;
    struct limit *limits;            /* of this step, in the file's order */
};

struct plan {
    char name[PLAN_NAME_MAX + 1], path[256], sha256[65];
    char limits_name[PLAN_NAME_MAX + 1], limits_path[256], limits_sha256[65];
    bool simulated;                  /* the fixture is that of simulated pens */
    char fixture[256];               /* else this program */
    char key_file[256];              /* of the challenge; "": that of simulated pens */
    size_t step_count;
    struct plan_step *steps;         /* teardown's at the end */
};

/* NULL after a sentence in why: file, line where there is one, and what is wrong. Free with plan_free(). */
struct plan *plan_load(const char *path, char why[PLAN_WHY_MAX]);
void plan_free(struct plan *p);

/* What it does to the pen cannot be undone; and a plan with such a step. */
bool plan_step_is_for_good(const struct plan_step *s);
bool plan_is_for_good(const struct plan *p);
/* A step's parameter, or its default. */
double plan_parameter(const struct plan_step *s, const char *name);

/* Hex of the SHA-256 of a text. */
void plan_sha256(const char *text, size_t n, char out[65]);
