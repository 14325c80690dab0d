/*
 * The journal's file as a file: whether it is one, whose it is, and that nobody else writes it. Before SQLite sees it, for SQLite would make a database of
 * anything, and follow any link.
 */
#pragma once

#include <stddef.h>

enum { STORE_APPLICATION_ID = 0x4d4e4a31 /* "MNJ1" */, STORE_PATH_MAX = 4200 };

/*
 * A file that is not there, is empty, or bears the application id of mnd's journals is claimed, as long as *lock is open: by FILE.lock, which stays, so that
 * nobody can lock one that another is about to take away. Anything else is left as it is. 0, or a negative errno and one sentence in why: -EEXIST it is no
 * journal, -EBUSY another mnd has it, -EACCES it belongs to somebody else.
 */
int store_file_claim(const char *path, int *lock, char *why, size_t cap);

/* A damaged journal, with what SQLite keeps beside it, out of the way and whole: as FILE.damaged-N, which is aside. 0 or a negative errno. */
int store_file_set_aside(const char *path, char *aside, size_t cap);
