/*
 * Any bytes, written into a format that others read, so that a reader of that format finds the same text again: nothing in it becomes markup, a
 * command to the terminal or a formula. What comes from a pen, a client, a file or a person goes through here, and only here, on its way out.
 *
 * A text is UTF-8. Bytes that are none are written as U+FFFD, one for each.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * The next character of a text of n bytes (n > 0): its bytes, 1 to 4, and its code point; ESCAPE_NO_UTF8 and 1 where none begins: a stray or missing byte,
 * a longer form than needed, a surrogate, beyond U+10FFFF.
 */
#define ESCAPE_NO_UTF8 UINT32_MAX
size_t escape_next(const char *text, size_t n, uint32_t *code);

/* Characters that a person cannot see and that change what he sees: controls (C0, DEL, C1), line and paragraph separators, bidirectional marks,
 * embeddings, overrides and isolates, the byte order mark, and what is no character at all. A line feed and a tab are among them. */
int escape_is_control(uint32_t code);

/* For a terminal and for the log: such characters as \n, \t, \x1b or \u202e, a byte that is no UTF-8 as \xe9. Cut at a character where cap (with the 0) ends.
 * Returns out. */
const char *escape_terminal(char *out, size_t cap, const char *text, size_t n);

/*
 * HTML and XML, as fprintf() but for %s, whose text becomes text or the value of an attribute in quotes: < > & " ' and the blanks that such a value does not keep are
 * written as references. What XML has no way to say (control characters but tab, line feed and return; U+FFFE and U+FFFF) is U+FFFD. Of other conversions
 * %c d i u x e f g and the lengths l, ll, z and j are known.
 */
void escape_markup(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * A field of CSV (RFC 4180), without the comma behind it: in quotes where it needs them. A text that a spreadsheet would take for a formula (it begins with = + - @, a
 * tab or a return, blanks before them or not) has ' before it, which says there that it is text.
 */
void escape_csv(FILE *out, const char *text);

/* The same text as UTF-8, where bytes may come that are none: for a library that wants it. Cut at a character where cap (with the 0) ends. Returns out. */
const char *escape_utf8(char *out, size_t cap, const char *text);
