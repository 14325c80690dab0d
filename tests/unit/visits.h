/*
 * A journal of its own for each test, with treatment sessions in it that took place whenever a test says so.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "history.h"
#include "store.h"

static const uint64_t NOW_US = UINT64_C(1800000000000000), DAY_US = UINT64_C(86400000000);

extern struct visits {
    char dir[32], path[64];
    struct store *s;
    struct site site;
} visits;

/* A test's setup and teardown. */
int visits_open(void **state);
int visits_close(void **state);

/* A row, of volume 1. */
void visits_insert(struct journal_record *r);
/* A session of one zone, CHEEK; and its rows. */
struct treatment visits_plan(uint32_t number, const char *subject, uint32_t depth_um, uint64_t begun_us);
void visits_write_beginning(const struct treatment *t);
void visits_write_end(struct treatment *t, enum treatment_end how, uint32_t strokes, uint64_t ended_us, bool incomplete);
/* One that ended so long ago, both rows. */
void visits_session(uint32_t number, const char *subject, uint32_t depth_um, uint64_t days_ago, uint32_t strokes, bool incomplete);
