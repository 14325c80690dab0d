/*
 * The daemon's log: one sentence a line on stderr; under systemd each line bears its level for the journal. What is no printable text in it is written
 * as \x1b or \u202e.
 *
 * No call waits, and none fails. Where the log cannot be written at once (nobody reads it), lines are lost, counted, and told as soon as it can be:
 * needles are more urgent than sentences. And nobody can flood it: of one kind of sentence (one place in the code) at most LOG_BURST lines, of those below
 * a warning LOG_BURST_INFO, are written in LOG_WINDOW_S seconds; what there was more is counted and told when these are over.
 *
 * Any thread. What is to be told later is told by the loop of log_attach(), or before the next line.
 */
#pragma once

#include <systemd/sd-event.h>

enum { LOG_BURST = 20, LOG_BURST_INFO = 256, LOG_WINDOW_S = 10 };

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
/* Tells later, in this loop, what could not be told at once. 0 or a negative errno. */
int log_attach(sd_event *event);
/* Before the loop is freed: what is left is told, as far as it is taken. */
void log_detach(void);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
