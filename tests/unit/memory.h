/*
 * A pen's memory, that a test can look into, let fail and tear. It has its own size to the byte: who reads or writes behind it is caught.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hal.h"
#include "nvm.h"

struct memory {
    uint8_t *bytes;     /* PEN_NVM_SIZE */
    bool refuses_reads, refuses_writes;
    size_t torn;        /* a write ends after so many bytes, as if the power went; 0: it does not */
    struct pen_port port;
};

extern struct memory memory;

/* A test's setup and teardown: blank. */
int memory_begin(void **state);
int memory_end(void **state);
