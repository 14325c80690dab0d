/*
 * Allocations and system calls that fail when a test wants it: those of the code between failing_on() and failing_off(), in the thread that called these. Programs that link this library have
 * the calls of failing.c wrapped (MN_FAILING in tests/CMakeLists.txt); calls inside shared libraries are not.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum failing_what { FAILING_ALLOCATION, FAILING_SYSTEM_CALL, FAILING_KINDS };

/* The n-th from now on fails, once; 0: none does. error: errno of a system call. Counting begins anew. */
void failing_set(enum failing_what what, uint32_t n, int error);
/* Of each kind so far, since failing_set(). */
uint32_t failing_count(enum failing_what what);
/* It has failed. */
bool failing_happened(enum failing_what what);

void failing_on(void);
void failing_off(void);
