#include "dialogue.h"

#include <string.h>

static bool asked_already; /* the question is on the screen already: only its prompt is repeated */

void dialogue_print(const char *text)
{
    text_wrap(stdout, text, 0, 0, text_page_columns());
}

void dialogue_wrong(const char *why)
{
    printf("  %s", colour(COLOUR_WARN));
    text_wrap(stdout, why, 2, 2, text_page_columns());
    printf("%s", colour(COLOUR_NONE));
    asked_already = true;
}

static void print_question(const struct question *q)
{
    printf("%s", colour(COLOUR_BOLD));
    text_wrap(stdout, q->text, 0, 2, text_page_columns());
    printf("%s", colour(COLOUR_NONE));
    if (q->hint == NULL)
        return;
    printf("  %s", colour(COLOUR_DIM));
    text_wrap(stdout, q->hint, 2, 2, text_page_columns());
    printf("%s", colour(COLOUR_NONE));
}

static void print_help(const struct question *q)
{
    const char *text = q->help != NULL ? q->help : q->hint != NULL ? q->hint : "Answer in your own words.";

    printf("  ");
    text_wrap(stdout, text, 2, 2, text_page_columns());
    printf("  ");
    text_wrap(stdout, "\"back\" returns to the question before; \"quit\" ends here, and what was answered is kept.", 2, 2, text_page_columns());
}

static void take_line(char line[PERSON_LINE_MAX + 1])
{
    const char *typed = person_line();
    size_t n;

    typed += strspn(typed, " \t");
    n = strlen(typed);
    while (n > 0 && strchr(" \t\r", typed[n - 1]) != NULL)
        n--;
    memcpy(line, typed, n);
    line[n] = '\0';
}

enum answer dialogue_ask(struct app *a, const struct question *q, char line[PERSON_LINE_MAX + 1])
{
    if (!asked_already)
        print_question(q);
    asked_already = false;
    for (;;) {
        printf("> ");
        for (;;) {
            enum person_event e = person_wait(a, -1);

            if (e == PERSON_LINE)
                break;
            if (e == PERSON_SUSPEND) {
                printf("\n");
                person_suspend();
                print_question(q);
                printf("> ");
            } else if (e == PERSON_END || e == PERSON_INTERRUPT || e == PERSON_MNCTL_ERROR) {
                printf("\n");
                return ANSWER_QUIT;
            }
        }
        take_line(line);
        if (same_word(line, "quit") || same_word(line, "exit"))
            return ANSWER_QUIT;
        if (same_word(line, "back"))
            return ANSWER_BACK;
        if (!same_word(line, "help") && strcmp(line, "?") != 0)
            return ANSWER_GIVEN;
        print_help(q);
    }
}

enum answer dialogue_yes(struct app *a, const struct question *q, bool *yes)
{
    char line[PERSON_LINE_MAX + 1];

    for (;;) {
        enum answer r = dialogue_ask(a, q, line);

        if (r != ANSWER_GIVEN)
            return r;
        if (same_word(line, "yes") || same_word(line, "y") || same_word(line, "no") || same_word(line, "n")) {
            *yes = line[0] == 'y' || line[0] == 'Y';
            return ANSWER_GIVEN;
        }
        dialogue_wrong(line[0] == '\0' ? "Write yes or no." : "That is neither yes nor no: write one of them.");
    }
}
