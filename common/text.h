/*
 * Text for people, fitted to the terminal that it goes to. Columns are counted by the locale's character widths.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct terminal_size {
    int columns, rows; /* at least 1 */
};
/* Of stdout's terminal now; otherwise of $COLUMNS and $LINES; otherwise 80 x 24. */
struct terminal_size terminal_size(void);

/* How wide a page of text is there: not wider than can be read with comfort (100), and not narrower than 20. */
size_t text_page_columns(void);

/* Columns that a text takes; escape sequences of colour() take none, and what cannot be shown one. */
size_t text_columns(const char *text);
/* Copies as many whole characters as fit into so many columns, and into cap bytes with the 0; the last column says ".." where something is cut. */
void text_cut(char *out, size_t cap, const char *text, size_t columns);

/*
 * Prints a text in lines of at most so many columns, broken at blanks; a word that is longer than a line stands whole on a line of its own. The
 * first line begins at column `at`, where the cursor is; others are indented by `indent`. Line feeds of the text are kept. Ends with a line feed.
 */
void text_wrap(FILE *out, const char *text, size_t at, size_t indent, size_t columns);

/* A word in a table of options and, behind it from column `at` on, what it means; below it where the word is long or the terminal narrow. */
void text_row(FILE *out, const char *word, const char *text, size_t at);

/*
 * A help text that was written by hand: each of its lines is printed as it is if it fits, else wrapped, with its further lines below the text behind
 * the first two blanks of the line ("  --socket PATH    where clients connect").
 */
void text_help(FILE *out, const char *text);
