/*
 * Words that a person types. Capitals and small letters are the same, and so are '-', '_' and a blank: "Upper-lip skin" is UPPER_LIP_SKIN. By ASCII,
 * whatever the locale: in Turkish 'i' is not the small letter of 'I'.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

bool same_word(const char *a, const char *b);
/* The first n characters of word are a beginning of the name, or all of it. */
bool begins_word(const char *name, const char *word, size_t n);
/* In capitals, with '_' for '-' and blanks. */
void upper_word(char *out, size_t cap, const char *word);

/* The first n characters of it. What does not fit ends in "...": so it is taken for nothing shorter. cap is 4 at the least. */
void cut_word(char *out, size_t cap, const char *word, size_t n);
/* The next of several words, between which any of these characters stand; *at is behind it then. False: there is none. */
bool next_word(const char **at, const char *between, char *out, size_t cap);

/* The index of the name that the word is, or that it alone begins (where may_shorten); n: there is none. */
size_t find_word(const char *word, const char *const *names, size_t n, bool may_shorten);

/* The nearest of the names, if it is near; NULL. */
const char *nearest(const char *word, const char *const *names, size_t n);
