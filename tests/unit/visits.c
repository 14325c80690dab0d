#include "visits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct visits visits;

int visits_open(void **state)
{
    char why[300];

    (void)state;
    strcpy(visits.dir, "/tmp/mn-history-XXXXXX");
    assert_non_null(mkdtemp(visits.dir));
    snprintf(visits.path, sizeof(visits.path), "%s/j", visits.dir);
    assert_int_equal(store_open(&visits.s, visits.path, NULL, why, sizeof(why)), 0);
    site_default(&visits.site);
    return 0;
}

int visits_close(void **state)
{
    char command[64];

    (void)state;
    store_close(visits.s);
    snprintf(command, sizeof(command), "rm -r %s", visits.dir);
    assert_int_equal(system(command), 0);
    return 0;
}

void visits_insert(struct journal_record *r)
{
    r->volume = 1;
    assert_int_equal(store_begin(visits.s), 0);
    assert_int_equal(store_insert(visits.s, r), 0);
    assert_int_equal(store_commit(visits.s), 0);
    assert_true(r->position != 0);
}

struct treatment visits_plan(uint32_t number, const char *subject, uint32_t depth_um, uint64_t begun_us)
{
    struct treatment t = {.state = TREATMENT_PREPARED, .number = number, .id = store_id(visits.s) + number, .zone_count = 1, .needle_count = 12, .begun_us = begun_us};

    strcpy(t.serial, "P");
    snprintf(t.subject, sizeof(t.subject), "%s", subject);
    strcpy(t.by, "test");
    t.zones[0] = (struct treatment_zone){.zone = ZONE_CHEEK, .depth_um = depth_um, .stroke_rate_dhz = 1000};
    return t;
}

void visits_write_beginning(const struct treatment *t)
{
    static const struct findings nothing;
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct journal_record r;

    assert_true(history_begun(&r, t, &nothing, &visits.site, bytes));
    r.host_us = t->begun_us;
    visits_insert(&r);
}

void visits_write_end(struct treatment *t, enum treatment_end how, uint32_t strokes, uint64_t ended_us, bool incomplete)
{
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct journal_record r;

    t->zones[0].strokes = strokes;
    t->zones[0].punctures = 12 * strokes;
    treatment_end(t, how);
    treatment_ended(t, ended_us, incomplete);
    assert_true(history_ended(&r, t, bytes));
    r.host_us = ended_us;
    visits_insert(&r);
}

void visits_session(uint32_t number, const char *subject, uint32_t depth_um, uint64_t days_ago, uint32_t strokes, bool incomplete)
{
    struct treatment t = visits_plan(number, subject, depth_um, NOW_US - days_ago * DAY_US - 600000000);

    visits_write_beginning(&t);
    visits_write_end(&t, incomplete ? END_INTERRUPTED : END_COMPLETED, strokes, NOW_US - days_ago * DAY_US, incomplete);
}
