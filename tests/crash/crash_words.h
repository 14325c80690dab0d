/* What the crash tests share: a daemon with a shim before the C library, pens, and programs that follow the records. */
#pragma once

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim.h"
#include "journal.h"

enum { PATIENCE_MS = 20000, PENS_MAX = 32 };

extern struct crash_words_fx {
    char dir[64], socket[96], sim[100], control[100], journal[128], shim_path[96], log[96], config[96];
    struct shim *shim;
    pid_t mnd, pens;
    /* the program */
    mn_client *c;
    struct mn_cursor place;
    uint32_t last[PENS_MAX]; /* number, by pen */
    unsigned lost, doubled, notes, kinds[64];
    uint64_t records, samples, host_us;
} fx;

pid_t run(const char *const *arguments);

void start_mnd(void);

void start_pens(const char *count, const char *nvm);

void on_event(mn_client *c, const struct mn_event *e, void *user);

void begin(void);

void show_log(void);

void show_state(void);

void end_process(pid_t *pid, int signal);

void end(void);

/* A moment of the program's life: it connects if it can, and takes what comes. */
void live(unsigned ms);

#define until(condition)                                                                                               \
    do {                                                                                                               \
        uint64_t end_ms_ = harness_now_ms() + PATIENCE_MS;                                                             \
        while (!(condition)) {                                                                                         \
            if (harness_now_ms() > end_ms_) {                                                                          \
                show_log();                                                                                            \
                show_state();                                                                                          \
                fail_msg("%s:%d: not within %d ms: %s", __FILE__, __LINE__, PATIENCE_MS, #condition);                  \
            }                                                                                                          \
            live(5);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* To the simulation, whether or not there is a daemon. */
void say(const char *line);

/* The pen has nothing that the program has not seen, and knows it. */
bool all_is_told(uint32_t at_least);

extern unsigned lost, doubled; /* in all runs of a test */

void nothing_is_lost_or_doubled(void);

void well(void);
