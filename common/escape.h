/*
 * Any bytes, written into a format that others read, so that a reader of that format finds the same text again: nothing in it becomes markup, a
 * command to the terminal or a formula. What comes from a pen, a client, a file or a person goes through here, and only here, on its way out.
 *
 * A text is UTF-8. Bytes that are none are written as U+FFFD, one for each.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

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
