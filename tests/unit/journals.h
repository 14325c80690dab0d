/* A journal of its own for each test, with records of pens in it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store.h"
#include "log.h"

extern struct journals_fx {
    char dir[64], path[96];
    sd_event *event;
    struct journal *j;
    uint32_t committed[8]; /* the last number of each pen; pens are called P0 ... P7 */
    unsigned count, notes;
    uint64_t position;
    struct journal_limits limits;
    uint64_t host_us; /* of what is appended; 0: 5 */
    bool writable;
    char sentence[300];
} fx;

void on_committed(void *ctx, const struct journal_record *const *r, size_t n);

void on_state(void *ctx, bool writable, const char *sentence);

static const struct journal_observer observer = {.committed = on_committed, .state = on_state};

int open_it(char *why, size_t cap);

void reopen(void);

int start(void **state);

int stop(void **state);

bool append(unsigned pen, uint32_t number);

void run_until(unsigned count);

void sql(const char *text);

struct journal_record seen(unsigned pen, uint32_t number, uint32_t boot_id);

uint64_t rows_are_right(void);
