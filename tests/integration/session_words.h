/* What the tests of treatment sessions share: plans, and a pen that carries them out. */
#pragma once

#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern struct harness h;
static const char *const P = "SIM-0001";

enum { FOREHEAD = 3, LIP_VERMILION = 2, CHEEK = 8, CHIN = 9, DAY_S = 86400 };

int one_pen(void **state);

int stop(void **state);

size_t question(const char *name);

/* Presses the trigger for a while. */
void run_for(unsigned ms);

void begin(const struct mn_plan *plan, struct mn_session *s);

void refused(const struct mn_plan *plan, const char *sentence);

void end_session(bool completed);

extern unsigned answered;

#define ONE(name) cmocka_unit_test_setup_teardown(name, one_pen, stop)
