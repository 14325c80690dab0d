#include "words.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Edit distance, one row at a time. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);

    if (n >= sizeof(row) / sizeof(row[0]))
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

const char *nearest(const char *word, const char *const *names, size_t n)
{
    const char *found = NULL;
    size_t best = strlen(word) < 5 ? 2 : 3;

    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, names[i]);

        if (d <= best && d < strlen(names[i])) {
            best = d == 0 ? 0 : d - 1;
            found = names[i];
        }
    }
    return found;
}

const char *colour(enum colour c)
{
    static const char *const codes[] = {"\033[0m", "\033[32m", "\033[33m", "\033[31;1m", "\033[2m", "\033[1m"};

    return isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL ? codes[c] : "";
}
