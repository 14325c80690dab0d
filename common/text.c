#include "text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

enum { COLUMNS_DEFAULT = 80, ROWS_DEFAULT = 24, SIZE_MOST = 2000, PAGE_WIDEST = 100, PAGE_NARROWEST = 20, ROW_TEXT_LEAST = 30 };

static int size_from(const char *name, int otherwise)
{
    const char *text = getenv(name);
    long n = text != NULL ? strtol(text, NULL, 10) : 0;

    return n >= 1 && n <= SIZE_MOST ? (int)n : otherwise;
}

struct terminal_size terminal_size(void)
{
    struct winsize w = {0};

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_row > 0)
        return (struct terminal_size){w.ws_col, w.ws_row};
    return (struct terminal_size){size_from("COLUMNS", COLUMNS_DEFAULT), size_from("LINES", ROWS_DEFAULT)};
}

size_t text_page_columns(void)
{
    int columns = terminal_size().columns;

    return (size_t)(columns > PAGE_WIDEST ? PAGE_WIDEST : columns < PAGE_NARROWEST ? PAGE_NARROWEST : columns);
}

/* The number of bytes of the next character (at least 1 unless at the end) and of columns. */
static size_t next_character(const char *text, size_t *columns)
{
    mbstate_t state = {0};
    wchar_t wide;
    size_t n;
    int width;

    *columns = 0;
    if (text[0] == '\0')
        return 0;
    if (text[0] == '\033' && text[1] == '[') {
        n = 2 + strcspn(text + 2, "m");
        return text[n] == 'm' ? n + 1 : n;
    }
    n = mbrtowc(&wide, text, strlen(text), &state);
    *columns = 1;
    if (n == (size_t)-1 || n == (size_t)-2)
        return 1;
    width = wcwidth(wide);
    *columns = width >= 0 ? (size_t)width : 1;
    return n;
}

size_t text_columns(const char *text)
{
    size_t all = 0, columns, n;

    while ((n = next_character(text, &columns)) > 0) {
        all += columns;
        text += n;
    }
    return all;
}

void text_cut(char *out, size_t cap, const char *text, size_t columns)
{
    bool whole = text_columns(text) <= columns;
    size_t room = whole || columns < 3 ? columns : columns - 2, used = 0, at = 0, n, wide;

    while ((n = next_character(text, &wide)) > 0 && used + wide <= room && at + n < cap) {
        memcpy(out + at, text, n);
        at += n;
        used += wide;
        text += n;
    }
    if (!whole && columns >= 3 && at + 2 < cap) {
        memcpy(out + at, "..", 2);
        at += 2;
    }
    out[at] = '\0';
}

static size_t word_length(const char *text)
{
    return strcspn(text, " \n");
}

static size_t word_columns(const char *text, size_t n)
{
    char word[400];

    snprintf(word, sizeof(word), "%.*s", (int)(n < sizeof(word) ? n : sizeof(word) - 1), text);
    return text_columns(word);
}

void text_wrap(FILE *out, const char *text, size_t at, size_t indent, size_t columns)
{
    bool first = true;

    while (*text != '\0') {
        size_t blanks = strspn(text, " "), n = word_length(text + blanks), wide = word_columns(text + blanks, n);

        if (text[blanks] == '\n') {
            fprintf(out, "\n%*s", (int)(text[blanks + 1] != '\0' && text[blanks + 1] != '\n' ? indent : 0), "");
            text += blanks + 1;
            at = indent;
            first = true;
            continue;
        }
        if (n == 0)
            break;
        if (!first && at + blanks + wide > columns && at > indent) {
            fprintf(out, "\n%*s", (int)indent, "");
            at = indent;
            blanks = 0;
        }
        fprintf(out, "%*s%.*s", (int)blanks, "", (int)n, text + strspn(text, " "));
        at += blanks + wide;
        text += strspn(text, " ") + n;
        first = false;
    }
    fputc('\n', out);
}

void text_row(FILE *out, const char *word, const char *text, size_t at)
{
    size_t columns = text_page_columns(), n = text_columns(word);
    bool below = n + 4 > at || columns < at + ROW_TEXT_LEAST;

    fprintf(out, "  %s", word);
    if (below)
        fprintf(out, "\n      ");
    else
        fprintf(out, "%*s", (int)(at - 2 - n), "");
    text_wrap(out, text, below ? 6 : at, below ? 6 : at, columns);
}

void text_help(FILE *out, const char *text)
{
    size_t columns = text_page_columns();

    while (*text != '\0') {
        size_t n = strcspn(text, "\n"), lead = strspn(text, " "), hang = lead;
        char line[300];

        snprintf(line, sizeof(line), "%.*s", (int)(n < sizeof(line) ? n : sizeof(line) - 1), text);
        while (line[hang] != '\0' && !(line[hang] == ' ' && line[hang + 1] == ' '))
            hang++;
        hang += strspn(line + hang, " ");
        if (line[hang] == '\0' || hang + ROW_TEXT_LEAST > columns)
            hang = lead + 4;
        text_wrap(out, line, 0, hang, columns);
        text += n + (text[n] == '\n');
    }
}
