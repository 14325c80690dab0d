#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "escape.h"
#include "words.h"

enum { OPTIONS_MAX = 64, WORD_MAX = 80 };

void program_begin(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) < 0) /* takes the lowest free number, which is fd */
            abort();
    }
    setlocale(LC_CTYPE, "");
}

int program_end(const char *name, int code, int failed)
{
    bool before = ferror(stdout) != 0;

    errno = 0;
    if ((fflush(stdout) == 0 && !before) || code != 0)
        return code;
    if (errno != EPIPE)
        fprintf(stderr, "%s: cannot write the output%s%s\n", name, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
    return failed;
}

void program_wrong_option(const char *name, char *const *argv, const struct option *options)
{
    const char *names[OPTIONS_MAX], *meant, *word = argv[optind - 1];
    char shown[WORD_MAX], text[WORD_MAX];
    const struct option *known = NULL;
    size_t n = 0;

    for (; n < OPTIONS_MAX && options[n].name != NULL; n++) {
        names[n] = options[n].name;
        if (optopt != 0 && options[n].val == optopt)
            known = &options[n];
    }
    if (known != NULL) {
        fprintf(stderr, "%s: --%s %s\n", name, known->name, known->has_arg == required_argument ? "needs a value" : "takes no value");
    } else if (optopt != 0) { /* a short option, possibly among several in one word */
        fprintf(stderr, "%s: there is no option -%s\n", name, escape_terminal(shown, sizeof(shown), (char[]){(char)optopt}, 1));
    } else {
        snprintf(text, sizeof(text), "%.*s", (int)strcspn(word + strspn(word, "-"), "="), word + strspn(word, "-"));
        meant = nearest(text, names, n);
        fprintf(stderr, "%s: there is no option %s%s%s%s\n", name, escape_terminal(shown, sizeof(shown), word, strlen(word)), meant != NULL ? "; did you mean --" : "",
                meant != NULL ? meant : "", meant != NULL ? "?" : "");
    }
    fprintf(stderr, "Try %s --help.\n", name);
}
