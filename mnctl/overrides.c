/*
 * records --overrides: who has overridden what, over time: waivers, confirmations, shorter intervals, continuations, take-overs, the clock. From the
 * sessions, which have the reasons, and from the daemon's notes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sessions.h"

struct row {
    uint64_t time_us;
    const char *code; /* what was overridden */
    uint32_t session; /* 0: not of a session */
    char subject[MN_KEY_MAX + 1], serial[MN_SERIAL_MAX + 1], by[64], name[28], reason[300];
};

struct rows {
    struct row *row;
    size_t count, cap;
    uint64_t since_us;
    bool failed; /* out of memory: some are missing */
};

/* Returns NULL if the time is before the requested one, or without memory. */
static struct row *add(struct rows *all, uint64_t time_us, const char *code)
{
    if (time_us < all->since_us)
        return NULL;
    if (all->count == all->cap) {
        size_t cap = all->cap == 0 ? 64 : 2 * all->cap;
        struct row *bigger = realloc(all->row, cap * sizeof(*bigger));

        all->failed = all->failed || bigger == NULL;
        if (bigger == NULL)
            return NULL;
        all->row = bigger;
        all->cap = cap;
    }
    all->row[all->count] = (struct row){.time_us = time_us, .code = code};
    return &all->row[all->count++];
}

static const char *code_of(const char *name)
{
    if (strcmp(name, "numbing") == 0)
        return "NUMBING_WAIVED";
    if (strcmp(name, "continuation") == 0)
        return "CONTINUED";
    return question_by_name(name) < mn_question_count() ? "CONFIRMED" : "INTERVAL_SHORTENED";
}

static void add_session(struct rows *all, const struct mn_session *s)
{
    for (size_t i = 0; i < s->override_count; i++) {
        struct row *r = add(all, s->begun_us, code_of(s->override[i].name));

        if (r == NULL)
            continue;
        r->session = s->number;
        snprintf(r->subject, sizeof(r->subject), "%s", s->subject);
        snprintf(r->serial, sizeof(r->serial), "%s", s->serial);
        snprintf(r->by, sizeof(r->by), "%s", s->by);
        snprintf(r->name, sizeof(r->name), "%s", s->override[i].name);
        snprintf(r->reason, sizeof(r->reason), "%s", s->override[i].reason);
    }
}

static int read_sessions(struct app *a, struct rows *all)
{
    struct mn_session_filter filter = {0};
    struct mn_sessions page = {0};

    do {
        int r = mn_session_list(a->client, &filter, &page, a->timeout_ms);

        if (r != MN_OK)
            return r;
        for (size_t i = 0; i < page.count; i++)
            add_session(all, &page.session[i]);
        filter.before = page.before;
        mn_sessions_free(&page);
    } while (filter.before != 0);
    return MN_OK;
}

/* Reads the daemon's notes, which begin with the name of who did it. */
static int read_notes(struct app *a, struct rows *all)
{
    static const char taken[] = " has taken control of pen ", confirmed[] = " has confirmed ";
    const struct mn_filter filter = {.kinds = 1 << MN_RECORD_BOOT, .since_us = all->since_us}; /* notes are not filtered by kind, and of all kinds this one has the fewest records of pens */
    struct mn_cursor place = {0};
    struct mn_records page = {0};
    bool end = false;

    while (!end) {
        int r = mn_records_read(a->client, &place, &filter, &page, a->timeout_ms);

        if (r != MN_OK)
            return r;
        for (size_t i = 0; i < page.count; i++) {
            const struct mn_record *n = &page.record[i];
            const char *at = n->kind == MN_RECORD_CONTROL ? strstr(n->note.text, taken) : n->kind == MN_RECORD_CLOCK ? strstr(n->note.text, confirmed) : NULL;
            struct row *row = at != NULL ? add(all, n->host_us, n->kind == MN_RECORD_CLOCK ? "CLOCK_CONFIRMED" : "TAKEN_OVER") : NULL;

            if (row == NULL)
                continue;
            snprintf(row->serial, sizeof(row->serial), "%s", n->serial);
            snprintf(row->by, sizeof(row->by), "%.*s", (int)(at - n->note.text < 63 ? at - n->note.text : 63), n->note.text);
            snprintf(row->reason, sizeof(row->reason), "%s", n->note.text);
        }
        place = page.next;
        end = page.end;
        mn_records_free(&page);
    }
    return MN_OK;
}

static int by_time(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    return (x->time_us > y->time_us) - (x->time_us < y->time_us);
}

static json_t *row_json(const struct row *r)
{
    char when[40];

    format_rfc3339(r->time_us, when, sizeof(when));
    return json_pack("{s:s, s:I, s:s, s:o, s:s, s:s, s:s, s:s, s:s}", "time", when, "time_us", (json_int_t)r->time_us, "code", r->code, "session",
                     r->session != 0 ? json_integer(r->session) : json_null(), "subject", r->subject, "serial", r->serial, "by", r->by, "name", r->name, "reason", r->reason);
}

static void print_override(const struct row *r)
{
    char when[40], line[600];

    format_minute(r->time_us, when, sizeof(when));
    if (r->session != 0)
        snprintf(line, sizeof(line), "session %" PRIu32 " of %s, pen %s: %s: %s (%s)", r->session, r->subject, r->serial, r->name, r->reason, r->by);
    else
        snprintf(line, sizeof(line), "%s", r->reason);
    printf("%s  %s%-18s%s ", when, colour(COLOUR_WARN), r->code, colour(COLOUR_NONE));
    print_tail(strlen(when) + 21, line);
}

int records_overrides(struct app *a, uint64_t since_us)
{
    struct rows all = {.since_us = since_us};
    json_t *list;
    int r = app_connect(a, false);

    if (r != EXIT_OK)
        return r;
    r = read_sessions(a, &all);
    if (r == MN_OK)
        r = read_notes(a, &all);
    if (r != MN_OK || all.failed) {
        free(all.row);
        return app_failed(a, r != MN_OK ? r : MN_ERR_MEMORY);
    }
    if (all.count > 0)
        qsort(all.row, all.count, sizeof(*all.row), by_time);
    list = json_array();
    for (size_t i = 0; i < all.count; i++) {
        if (a->json)
            json_array_append_new(list, row_json(&all.row[i]));
        else
            print_override(&all.row[i]);
    }
    if (!a->json && all.count == 0)
        printf("nothing was overridden\n");
    free(all.row);
    if (a->json)
        return print_json(list, false);
    json_decref(list);
    return flush_output();
}
