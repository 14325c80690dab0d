#include "escape.h"

#include <stdio.h>
#include <string.h>

size_t escape_next(const char *text, size_t n, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *t = (const unsigned char *)text;
    size_t length = t[0] < 0x80 ? 1 : t[0] >= 0xf0 && t[0] < 0xf8 ? 4 : t[0] >= 0xe0 && t[0] < 0xf0 ? 3 : t[0] >= 0xc0 && t[0] < 0xe0 ? 2 : 0;
    uint32_t c = length == 1 ? t[0] : t[0] & (0x7fU >> length);

    *code = ESCAPE_NO_UTF8;
    if (length == 0 || length > n)
        return 1;
    for (size_t i = 1; i < length; i++) {
        if ((t[i] & 0xc0) != 0x80)
            return 1;
        c = c << 6 | (t[i] & 0x3f);
    }
    if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 1;
    *code = c;
    return length;
}

int escape_is_control(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } unseen[] = {
        {0x00, 0x1f}, {0x7f, 0x9f}, {0x061c, 0x061c}, {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xfdd0, 0xfdef},
    };

    for (size_t i = 0; i < sizeof(unseen) / sizeof(unseen[0]); i++) {
        if (code >= unseen[i].first && code <= unseen[i].last)
            return 1;
    }
    return code == ESCAPE_NO_UTF8 || (code & 0xfffe) == 0xfffe;
}

const char *escape_terminal(char *out, size_t cap, const char *text, size_t n)
{
    size_t used = 0;

    for (size_t i = 0, length; i < n; i += length) {
        char piece[12];
        uint32_t code;
        size_t wanted;

        length = escape_next(text + i, n - i, &code);
        if (code == '\n' || code == '\t')
            snprintf(piece, sizeof(piece), "\\%c", code == '\n' ? 'n' : 't');
        else if (code == ESCAPE_NO_UTF8 || (escape_is_control(code) && code < 0x100))
            snprintf(piece, sizeof(piece), "\\x%02x", code == ESCAPE_NO_UTF8 ? (unsigned char)text[i] : (unsigned)code);
        else if (escape_is_control(code))
            snprintf(piece, sizeof(piece), code < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)code);
        else
            snprintf(piece, sizeof(piece), "%.*s", (int)length, text + i);
        wanted = strlen(piece);
        if (used + wanted >= cap)
            break;
        memcpy(out + used, piece, wanted);
        used += wanted;
    }
    out[used] = '\0';
    return out;
}
