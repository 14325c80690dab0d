/* What every program does first and last. */
#pragma once

#include <getopt.h>

/*
 * First of all in main(). Descriptors 0 to 2 are taken, so that no file or connection that is opened later gets their numbers: a closed input is at its
 * end, and what is written to a closed output fails. Then LC_CTYPE is set from the environment.
 */
void program_begin(void);

/*
 * What main() returns: code, if it is not 0, or all that was written to stdout has gone there; otherwise `failed`, after a sentence on stderr that
 * begins with name. Where the reader of a pipe has had enough, it is worth no word.
 */
int program_end(const char *name, int code, int failed);

/*
 * getopt_long() with opterr = 0 has returned '?': one sentence on stderr that names the option and what is the matter with it, or the option that may have been meant, and where help is. options ends with a row
 * of zeros.
 */
void program_wrong_option(const char *name, char *const *argv, const struct option *options);
