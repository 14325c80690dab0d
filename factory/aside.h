/*
 * Work that waits for a disk, in a thread of its own, while the caller goes on with what must not wait: a slot that holds a pen answers the daemon within its
 * liveness, or loses the pen and its needles stop (hazard T2).
 */
#pragma once

#include <stdbool.h>

typedef void aside_work(void *arg);
/* One turn of what the caller does meanwhile: at most until done_fd is readable. False: there is nothing to be done any more; the work is waited for without it. */
typedef bool aside_serve(void *ctx, int done_fd);

/* Calls work(arg), which must not touch what serve() does; returns when it has returned. Without a thread to be had (EAGAIN, ENFILE) it is called here and now. Any thread. */
void aside_run(aside_work *work, void *arg, aside_serve *serve, void *ctx);
