/*
 * The journal's file as a file: is it a journal, whose is it, and does nobody else write it? Asked before SQLite opens it, since SQLite would make a
 * database of anything, and follow any link.
 */
#pragma once

#include <stddef.h>

enum { JOURNAL_APPLICATION_ID = 0x4d4e4a31 /* "MNJ1" */, CLAIM_PATH_MAX = 4200 };

/*
 * Claims a file that does not exist, is empty, or bears the application id of mnd's journals, for as long as *lock is open. The lock is on FILE.lock,
 * which stays, so that nobody can lock one that another is about to remove. Anything else is left as it is. 0, or a negative errno and one sentence in
 * why: -EEXIST it is no journal, -EBUSY another mnd has it, -EACCES it belongs to somebody else.
 */
int claim_file(const char *path, int *lock, char *why, size_t cap);

/* Makes the file, if there is none, and gives it and what SQLite keeps beside it mode 0600: it names subjects, whom other users must not read past all roles.
 * Only before SQLite opens it. What SQLite makes later gets the file's mode. 0, or a negative errno and one sentence in why. */
int claim_private(const char *path, char *why, size_t cap);

/* Renames a damaged journal, with what SQLite keeps beside it, to FILE.damaged-N, which is aside. 0 or a negative errno. */
int claim_set_aside(const char *path, char *aside, size_t cap);
