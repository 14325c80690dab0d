/*
 * How much of the heap is the daemon's. Under the address sanitizer every allocation is counted by who made it: the mock (its thread, and its
 * calls from the test) or all else - the daemon, libusb, systemd, SQLite. The mock's GLib keeps a little with each open and close, which would
 * hide a small leak of the daemon's, or look like one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Before the first allocation that is to be counted. */
void heap_count(void);

/* What this thread allocates from now on is the mock's, or not. Nests. */
void heap_is_mocks(bool begins);

/* How often something was allocated since then that is not the mock's; without the sanitizer, nothing is known of it. */
bool heap_calls(size_t *calls);

/* Bytes that are not the mock's; without the sanitizer, all of the heap. */
size_t heap_bytes(void);
