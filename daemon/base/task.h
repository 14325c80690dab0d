/*
 * A long task in a thread of its own, whose completion is an event in the loop.
 */
#pragma once

#include <systemd/sd-event.h>

struct task;

/* Calls run() in the thread, then done() from the loop, which may start another task. 0 or a negative errno. */
int task_start(struct task **out, sd_event *event, void (*run)(void *ctx), void (*done)(void *ctx), void *ctx);
/* Waits for the thread to end; done() is not called any more. Takes NULL. */
void task_free(struct task *t);
