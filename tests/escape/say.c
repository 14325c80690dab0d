/* Texts from stdin, each ended by a 0, in one of the formats that escape.h writes: for a parser that is not ours. usage: say xml|html|csv|terminal|utf8 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"

static void say(const char *format, const char *text, size_t n)
{
    char out[1 << 14] = "";

    if (strcmp(format, "xml") == 0 || strcmp(format, "html") == 0) {
        escape_markup(stdout, "<e a=\"%s\">%s</e>\n", text, text);
    } else if (strcmp(format, "csv") == 0) {
        fputs("before,", stdout);
        escape_csv(stdout, text);
        fputs(",behind\n", stdout);
    } else if (strcmp(format, "terminal") == 0) {
        printf("%s\n", escape_terminal(out, sizeof(out), text, n));
    } else {
        escape_utf8(out, sizeof(out), text);
        fwrite(out, 1, strlen(out) + 1, stdout);
    }
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;

    if (argc != 2)
        return 2;
    if (strcmp(argv[1], "xml") == 0)
        fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<t>", stdout);
    while ((n = getdelim(&line, &cap, 0, stdin)) > 0)
        say(argv[1], line, (size_t)n - 1);
    if (strcmp(argv[1], "xml") == 0)
        fputs("</t>\n", stdout);
    free(line);
    return fflush(stdout) == 0 && !ferror(stdin) ? EXIT_SUCCESS : EXIT_FAILURE;
}
