/* Files that a person names. */
#pragma once

#include <stddef.h>

/*
 * The whole of an ordinary file of at most `most` bytes, with a 0 behind it that *n does not count; free() it. It never waits for another program: a FIFO, a
 * socket, a device or a folder is refused at once. NULL: errno says why, and why says it in words, with the path in front.
 */
char *file_read(const char *path, size_t most, size_t *n, char *why, size_t cap);
