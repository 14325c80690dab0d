/*
 * A program of the plan's: JSON objects on lines, to its stdin and from its stdout; what it says on stderr is ours. It has a time limit for each
 * answer, and a process group of its own, which is killed when it is over: nothing of it stays.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct child {
    pid_t pid;
    int in, out; /* its stdin and stdout; -1: closed */
    char *line;  /* what it has said, up to the line's end */
    size_t fill, cap;
    unsigned late;  /* questions whose answers were not waited for: their lines are none of the next's */
    bool half_asked; /* it did not take the whole of a question: there is no more talking to it */
};

/* Called every few ms while it is waited for; false: it is not wanted any more. */
typedef bool child_idle_fn(void *ctx);

/* 0 or a negative errno. */
int child_start(struct child *c, const char *program, const char *argument);
/*
 * One object out (borrowed), and one in. NULL after a sentence in why: the time is over, it has ended, it said nonsense, or more than it was asked, or idle() said so. It may be asked again after each of these: an answer
 * that comes late is not taken for the next one.
 */
json_t *child_ask(struct child *c, const json_t *question, unsigned limit_ms, child_idle_fn *idle, void *ctx, char *why, size_t cap);
/* Closes its stdin, kills what is left of it; its exit code, or -1. */
int child_end(struct child *c);
