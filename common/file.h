/* Files that a person names. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* "a folder", "a symbolic link": what something is by its st_mode, for a sentence. */
const char *file_kind(mode_t mode);

/*
 * The whole of an ordinary file of at most `most` bytes, with a 0 behind it that *n does not count; free() it. It never waits for another program: a FIFO, a
 * socket, a device or a folder is refused at once. NULL: errno says why, and why says it in words, with the path in front.
 */
char *file_read(const char *path, size_t most, size_t *n, char *why, size_t cap);

/*
 * A new file to write. What is there already is not overwritten unless by force, and then only an ordinary file: never what a symbolic link points to,
 * a folder, a socket. Into a device or a FIFO (/dev/stdout) it is written as it is. NULL: why says it in words, with the path in front.
 */
FILE *file_create(const char *path, bool force, char *why, size_t cap);
/* Whether file_create() would make it, before work is done for it. It may fail all the same. */
bool file_may_create(const char *path, bool force, char *why, size_t cap);
