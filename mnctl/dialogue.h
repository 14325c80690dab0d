/*
 * Questions to a person, one at a time. At each of them "help" (or ?) explains, "back" returns to the one before, "quit" (or Ctrl-D, Ctrl-C) ends
 * the dialogue; what is wrong with an answer is said, and the question stays. Waits in person_wait(), so the connection lives on however long a
 * person thinks. person_begin() comes first.
 */
#pragma once

#include "person.h"

enum answer { ANSWER_GIVEN, ANSWER_BACK, ANSWER_QUIT };

struct question {
    const char *text;
    const char *hint; /* what may be answered; NULL */
    const char *help; /* what "help" says; NULL: the hint */
};

/* The answer without blanks around it, at most PERSON_LINE_MAX bytes; "" for Enter alone. */
enum answer dialogue_ask(struct app *a, const struct question *q, char line[PERSON_LINE_MAX + 1]);
/* Says why the last answer was not taken; the question is not printed again by the next dialogue_ask(). */
void dialogue_wrong(const char *why);
/* Asks until it is yes or no. */
enum answer dialogue_yes(struct app *a, const struct question *q, bool *yes);
/* Prints a paragraph, wrapped. */
void dialogue_print(const char *text);
