/*
 * The terminal that a program writes to: how large it is, whether it can be drawn on, and text fitted to it. Terminfo answers for the terminal's
 * kind (TERM); what it does not know, or what is "dumb", gets plain lines. Columns are counted by the locale's character widths.
 *
 * Main thread only: terminfo has state of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * First of all in main(). Descriptors 0 to 2 are taken, so that no file or connection that is opened later gets their numbers: a closed input is at its
 * end, and what is written to a closed output fails. Then LC_CTYPE is set from the environment; without a locale that has UTF-8, text is measured and
 * drawn as ASCII.
 */
void terminal_begin(void);

/* Both stdin and stdout are a terminal: there is a person to be asked. */
bool terminal_is_dialogue(void);
/* stdout is a terminal on which lines can be written over and cleared. */
bool terminal_can_draw(void);
/* stdout shows colours: a terminal that has them, and neither NO_COLOR nor TERM=dumb. */
bool terminal_has_colour(void);
bool terminal_has_utf8(void);

struct terminal_size {
    int columns, rows; /* at least 1 */
};
/* Of stdout's terminal now; otherwise of $COLUMNS and $LINES; otherwise 80 x 24. */
struct terminal_size terminal_size(void);

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD, COLOUR_DIM, COLOUR_BOLD };
/* The escape sequence, or "" unless terminal_has_colour(). */
const char *colour(enum colour c);

/* Columns that a text takes; escape sequences of colour() take none, and what cannot be shown one. */
size_t text_columns(const char *text);
/* Copies as many whole characters as fit into so many columns, and into cap bytes with the 0; the last column says ".." where something is cut. */
void text_cut(char *out, size_t cap, const char *text, size_t columns);

/*
 * Prints a text in lines of at most so many columns, broken at blanks; a word that is longer than a line stands whole on a line of its own. The
 * first line begins at column `at`, where the cursor is; others are indented by `indent`. Line feeds of the text are kept. Ends with a line feed.
 */
void text_wrap(FILE *out, const char *text, size_t at, size_t indent, size_t columns);
