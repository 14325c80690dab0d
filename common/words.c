#include "words.h"

#include <stdint.h>
#include <string.h>

static char folded(char c)
{
    if (c >= 'a' && c <= 'z')
        return (char)(c - 'a' + 'A');
    return c == '-' || c == ' ' ? '_' : c;
}

bool begins_word(const char *name, const char *word, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (name[i] == '\0' || folded(name[i]) != folded(word[i]))
            return false;
    }
    return true;
}

bool same_word(const char *a, const char *b)
{
    return strlen(a) == strlen(b) && begins_word(a, b, strlen(b));
}

void upper_word(char *out, size_t cap, const char *word)
{
    size_t i = 0;

    for (; word[i] != '\0' && i + 1 < cap; i++)
        out[i] = folded(word[i]);
    out[i] = '\0';
}

void cut_word(char *out, size_t cap, const char *word, size_t n)
{
    bool fits = n < cap;

    n = fits ? n : cap - 4;
    memcpy(out, word, n);
    memcpy(out + n, fits ? "" : "...", fits ? 1 : 4);
}

bool next_word(const char **at, const char *between, char *out, size_t cap)
{
    size_t n;

    *at += strspn(*at, between);
    n = strcspn(*at, between);
    cut_word(out, cap, *at, n);
    *at += n;
    return n > 0;
}

size_t find_word(const char *word, const char *const *names, size_t n, bool may_shorten)
{
    size_t begun = 0, found = n;

    for (size_t i = 0; i < n; i++) {
        if (same_word(names[i], word))
            return i;
        if (may_shorten && word[0] != '\0' && begins_word(names[i], word, strlen(word))) {
            found = i;
            begun++;
        }
    }
    return begun == 1 ? found : n;
}

/* Edit distance, one row at a time; SIZE_MAX for a name that is too long for it. */
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
            size_t best = diagonal + (folded(a[i - 1]) != folded(b[j - 1]));

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
