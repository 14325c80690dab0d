/* What the tests of clients that misbehave have in common: a daemon with one pen, its log, and others that are served. */
#pragma once

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.pb-c.h"
#include "pen.pb-c.h"
#include "process.h"
#include "rude.h"

extern struct harness h;
static const char *const P = "SIM-0001";

/* Set-up and teardown of each test. */
int start(void **state);
int stop(void **state);

/* Reads to the end, as the goodbye comes; does it say so? */
bool goodbye_says(int fd, const char *text);

/* The daemon's log has this text. */
bool log_says(const char *text);

/* Somebody well-behaved is served as if nothing were. */
void others_are_served(void);

/* Replies that come to a socket, in order: their lengths and how many. Until nothing comes for 2 s, or so many are there. */
uint32_t count_replies(int fd, uint32_t wanted);
