/*
 * The daemon's log: one sentence per line on stderr; under systemd each line bears its level for the journal. What is not printable is written as \x1b or
 * \u202e.
 *
 * No call waits, and none fails. If stderr is not writable (nobody reads it), lines are dropped and counted, and the count is logged when it is again: needles
 * are more urgent than sentences. Nobody can flood it: of one call site at most LOG_BURST lines (below a warning: LOG_BURST_INFO) are written in LOG_WINDOW_S
 * seconds; what was dropped is counted, and the count is logged at their end.
 *
 * Any thread. Counts are logged from the loop of log_attach(), or before the next line.
 */
#pragma once

#include <systemd/sd-event.h>

enum { LOG_BURST = 20, LOG_BURST_INFO = 256, LOG_WINDOW_S = 10 };

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
/* Logs in this loop, later, what could not be written at once. 0 or a negative errno. */
int log_attach(sd_event *event);
/* Before the loop is freed: writes what is left, as far as stderr takes it. */
void log_detach(void);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
