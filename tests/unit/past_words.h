/* What the tests of the past share: sessions, runs and cartridges in a journal, whenever a test says so. */
#pragma once

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pen.pb-c.h"
#include "visits.h"

struct past ask(const char *subject, enum policy_zone zone, uint32_t continued);

uint32_t days(const char *subject, int depth, uint64_t now_us);

#define TEST(name) cmocka_unit_test_setup_teardown(name, visits_open, visits_close)
