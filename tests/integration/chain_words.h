/* What the tests of the whole chain share: libmn through mnd to simulated pens, over the simulated link. */
#pragma once

#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a record is waited for: it comes by way of the disk, whose pace nobody promises. */
enum { RECORD_MS = 10000 };

extern struct harness h;
static const char *const P = "SIM-0001", *const Q = "SIM-0002";

uint32_t acked(const char *serial, uint32_t *newest);

/* Their first records, of the boot, are in the journal: what a test is told then is its own doing. */
int two_pens(void **state);

int stop(void **state);

void arm(void);

void run(void);
