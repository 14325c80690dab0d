/* mnd's command line, and the configuration file that it names. */
#pragma once

#include "config.h"

struct options {
    int argc;
    char **argv;
    const char *config_path; /* --config; NULL */
    struct config asked;     /* by file and options: what a restart would take */
    struct config config;    /* the same, with the journal's path that follows from it */
};

/* Reads argv, and the file. -1: go on; else the exit code, after a sentence or what was asked for. */
int options_parse(struct options *o);
/* The options of the command line, over a file's. -1, or an exit code. */
int options_apply(const struct options *o, struct config *c);
