/* The functions of escape.h that write to files. */
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "escape.h"

static const char unknown[] = "\xef\xbf\xbd"; /* U+FFFD */

/* ---- markup ---- */

static void put_markup(FILE *out, const char *text, size_t n)
{
    for (size_t i = 0, length; i < n; i += length) {
        uint32_t code;

        length = escape_next(text + i, n - i, &code);
        if (code < 0x80 && strchr("<>&\"\'\t\n\r", (int)code) != NULL && code != 0)
            fprintf(out, "&#%u;", (unsigned)code);
        else if (code == ESCAPE_NO_UTF8 || code < 0x20 || code == 0xfffe || code == 0xffff)
            fputs(unknown, out);
        else
            fwrite(text + i, 1, length, out);
    }
}

enum length { LENGTH_INT, LENGTH_LONG, LENGTH_LONG_LONG, LENGTH_SIZE, LENGTH_MAX };

/* One conversion of a format, with its flags, width and precision. */
struct conversion {
    char text[24];
    enum length length;
    long precision; /* -1: none */
    char kind;
};

/* Parses a conversion; returns its length in the format. */
static size_t parse(const char *format, struct conversion *c)
{
    size_t n = 1 + strspn(format + 1, "-+ #0123456789");

    *c = (struct conversion){.precision = -1};
    if (format[n] == '.') {
        c->precision = 0;
        for (n++; format[n] >= '0' && format[n] <= '9'; n++)
            c->precision = c->precision * 10 + (format[n] - '0');
    }
    for (; strchr("lzj", format[n]) != NULL && format[n] != '\0'; n++)
        c->length = format[n] == 'z' ? LENGTH_SIZE : format[n] == 'j' ? LENGTH_MAX : c->length == LENGTH_LONG ? LENGTH_LONG_LONG : LENGTH_LONG;
    c->kind = format[n];
    n += c->kind != '\0';
    snprintf(c->text, sizeof(c->text), "%.*s", (int)n, format);
    return n;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* each is a conversion of a format that the compiler has checked */

static void put_whole(FILE *out, const struct conversion *c, va_list *ap)
{
    switch (c->length) {
    case LENGTH_LONG:
        fprintf(out, c->text, va_arg(*ap, long));
        break;
    case LENGTH_LONG_LONG:
        fprintf(out, c->text, va_arg(*ap, long long));
        break;
    case LENGTH_SIZE:
        fprintf(out, c->text, va_arg(*ap, size_t));
        break;
    case LENGTH_MAX:
        fprintf(out, c->text, va_arg(*ap, intmax_t));
        break;
    case LENGTH_INT:
        fprintf(out, c->text, va_arg(*ap, int));
        break;
    }
}

static void put_conversion(FILE *out, const struct conversion *c, va_list *ap)
{
    const char *text;

    switch (c->kind) {
    case 's':
        text = va_arg(*ap, const char *);
        put_markup(out, text, c->precision < 0 ? strlen(text) : strnlen(text, (size_t)c->precision));
        break;
    case 'c':
    case 'd':
    case 'i':
    case 'u':
    case 'x':
        put_whole(out, c, ap);
        break;
    case 'e':
    case 'f':
    case 'g':
        fprintf(out, c->text, va_arg(*ap, double));
        break;
    default: /* %% */
        fputc('%', out);
        break;
    }
}

#pragma GCC diagnostic pop

void escape_markup(FILE *out, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    while (*format != '\0') {
        size_t n = strcspn(format, "%");
        struct conversion c;

        fwrite(format, 1, n, out);
        format += n;
        if (*format == '\0')
            break;
        format += parse(format, &c);
        put_conversion(out, &c, &ap);
    }
    va_end(ap);
}

/* ---- CSV ---- */

static bool is_formula(const char *text)
{
    const char *first = text + strspn(text, " ");

    return *first != '\0' && strchr("=+-@\t\r", *first) != NULL;
}

void escape_csv(FILE *out, const char *text)
{
    size_t n = strlen(text);
    bool formula = is_formula(text), quoted = formula || strpbrk(text, ",\"\r\n") != NULL || (n > 0 && (text[0] == ' ' || text[n - 1] == ' '));

    if (quoted)
        fputc('"', out);
    if (formula)
        fputc('\'', out);
    for (size_t i = 0, length; i < n; i += length) {
        uint32_t code;

        length = escape_next(text + i, n - i, &code);
        if (code == '"')
            fputc('"', out);
        if (code == ESCAPE_NO_UTF8)
            fputs(unknown, out);
        else
            fwrite(text + i, 1, length, out);
    }
    if (quoted)
        fputc('"', out);
}

/* ---- UTF-8 ---- */

const char *escape_utf8(char *out, size_t cap, const char *text)
{
    size_t n = strlen(text), used = 0;

    for (size_t i = 0, length; i < n; i += length) {
        const char *from = text + i;
        size_t bytes;
        uint32_t code;

        bytes = length = escape_next(from, n - i, &code);
        if (code == ESCAPE_NO_UTF8) {
            from = unknown;
            bytes = 3;
        }
        if (used + bytes >= cap)
            break;
        memcpy(out + used, from, bytes);
        used += bytes;
    }
    out[used] = '\0';
    return out;
}
