/*
 * The terminal that a program writes to: whether it can be drawn on, and its colours; text.h fits text to it. Terminfo answers for the terminal's
 * kind (TERM); what it does not know, or what is "dumb", gets plain lines. Columns are counted by the locale's character widths; without a
 * locale that has UTF-8, text is measured and drawn as ASCII.
 *
 * Main thread only: terminfo has state of its own.
 */
#pragma once

#include <stdbool.h>

#include "text.h"

/* Both stdin and stdout are a terminal: there is a person to be asked. */
bool terminal_is_dialogue(void);
/* stdout is a terminal on which lines can be written over and cleared. */
bool terminal_can_draw(void);
/* stdout shows colours: a terminal that has them, and neither NO_COLOR nor TERM=dumb. */
bool terminal_has_colour(void);
bool terminal_has_utf8(void);

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD, COLOUR_DIM, COLOUR_BOLD };
/* The escape sequence, or "" unless terminal_has_colour(). */
const char *colour(enum colour c);
