#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void program_begin(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) < 0) /* the lowest number that is free: this one */
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
