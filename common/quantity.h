/*
 * What people write for a number, a quantity, a length of time and a point of time: one reader for each, and one form of sentence for what is wrong
 * with it. All take the whole text (blanks around it are cut off), decimal digits only, and a point before the fraction, whatever the locale. On
 * false, why has words without a name in front and without a full stop: "write 1.2mm: a point, not a comma". *out is only set with true.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { QUANTITY_WHY_MAX = 200 };

/* A whole number within low..high. */
bool parse_whole(const char *text, uint64_t low, uint64_t high, uint64_t *out, char why[QUANTITY_WHY_MAX]);

struct unit {
    const char *name;  /* "mm" */
    double factor;     /* base units in one of it */
};

/*
 * "1.2mm", "1.2 mm", "+1.2MM": a number in base units. Without a unit it is of units[otherwise]; otherwise = count: a unit is needed, and the
 * sentence offers units[guess].
 */
bool parse_quantity(const char *text, const struct unit *units, size_t count, size_t otherwise, size_t guess, double *out, char why[QUANTITY_WHY_MAX]);

/* A point of time before now, with the length of what was named: a day for "yesterday", 0 for "3h". */
struct moment {
    time_t begin;
    int64_t seconds;
};

/*
 * "10min", "2h", "3d", "2 weeks", "5 days ago"; "now", "today", "yesterday", "monday" (the last one, not today); "2026-11-21",
 * "2026-11-21 08:30", "2026-11-21T08:30:15". A day that is in no calendar is refused. m: what a bare "m" is of: 'm' minutes or 'M' months (of 30 days).
 * Not in the future.
 */
bool parse_moment(const char *text, time_t now, char m, struct moment *out, char why[QUANTITY_WHY_MAX]);
