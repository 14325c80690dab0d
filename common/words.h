/* What a person types, and reads in a terminal. */
#pragma once

#include <stddef.h>

/* The nearest of the names, if it is near; NULL. */
const char *nearest(const char *word, const char *const *names, size_t n);

/* "" unless stdout is a terminal. */
enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD, COLOUR_DIM, COLOUR_BOLD };
const char *colour(enum colour c);
