/*
 * What mnctl's commands are called, and what is said of them: one table, from which come `mnctl help`, a command's own --help, and the words that
 * <TAB> offers. Everything that is printed here fits the terminal.
 */
#pragma once

#include "mnctl.h"

struct help_option {
    const char *word; /* "--since TIME": as it stands in help; completion offers its first word */
    const char *text;
};

enum command_group { GROUP_LOOK, GROUP_SET_UP, GROUP_TREAT, GROUP_FIND_OUT, GROUP_DEVELOP, GROUP_COUNT };

struct command {
    const char *name;
    enum command_group group;
    const char *line;                  /* in the list of commands */
    const char *usage;                 /* behind "mnctl "; several forms are separated by a line feed */
    const char *about;                 /* NULL: the line says it all */
    const struct help_option *options; /* ends with a NULL word; NULL: none */
    const char *example;
    int (*run)(struct app *a, int argc, char **argv); /* argv[0] is the command's name */
};

/* NULL: there is none of this name. */
const struct command *command_by_name(const char *name);
/* The nearest to a misspelt one; NULL. */
const char *command_nearest(const char *name);

void help_overview(void);
/* Of a command, or of "exit"; the exit code. */
int help_of(const char *name);

/* The script for a shell that asks `mnctl complete`; the exit code. */
int print_completion(const char *shell);
/* What may stand for the last of the words (argv[0] is "complete"), a line each; ":file" is any file. Silent whatever is wrong. */
int complete(struct app *a, int argc, char **argv);
