#include "terminal.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The only declaration needed of term.h, which defines macros like "columns" and "lines". */
extern int setupterm(const char *term, int fd, int *error);
extern int tigetnum(const char *capability);
extern char *tigetstr(const char *capability);

bool terminal_is_dialogue(void)
{
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

bool terminal_has_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* Whether terminfo knows this terminal; looked up once. */
static bool is_known(void)
{
    static enum { NOT_ASKED, NO, YES } known;
    const char *term = getenv("TERM");
    int error;

    if (known == NOT_ASKED)
        known = term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0 && setupterm(NULL, STDOUT_FILENO, &error) == 0 ? YES : NO;
    return known == YES;
}

bool terminal_can_draw(void)
{
    const char *clear;

    if (!isatty(STDOUT_FILENO) || !is_known())
        return false;
    clear = tigetstr("el");
    return clear != NULL && clear != (char *)-1;
}

bool terminal_has_colour(void)
{
    const char *no = getenv("NO_COLOR");

    return isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0') && is_known() && tigetnum("colors") >= 8;
}

const char *colour(enum colour c)
{
    static const char *const codes[] = {"\033[0m", "\033[32m", "\033[33m", "\033[31;1m", "\033[2m", "\033[1m"};

    return terminal_has_colour() ? codes[c] : "";
}
