/*
 * Something long, in a thread of its own, whose end comes back to the loop as an event.
 */
#pragma once

#include <systemd/sd-event.h>

struct task;

/* run() in the thread, then done() from the loop, which may start another. 0 or a negative errno. */
int task_start(struct task **out, sd_event *event, void (*run)(void *ctx), void (*done)(void *ctx), void *ctx);
/* Waits for the thread's end; done() is not called any more. Takes NULL. */
void task_free(struct task *t);
