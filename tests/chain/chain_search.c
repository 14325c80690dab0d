#include "inside.h"

struct found_record {
    uint32_t kind;
    uint64_t host_us, bound_us;
    bool found;
};

static bool note_time(void *ctx, const struct journal_record *r)
{
    struct found_record *f = ctx;

    if (r->kind == f->kind)
        *f = (struct found_record){r->kind, r->host_us, r->host_bound_us, true};
    return true;
}

struct search {
    struct journal_work work;
    struct found_record record;
    bool done;
};

static void run_search(struct journal_work *w, struct store *s)
{
    struct search *f = (struct search *)w;
    uint64_t position = 0, missed;
    bool end = false;

    while (!end && store_read(s, &position, &(struct journal_filter){0}, note_time, &f->record, &end, &missed) == 0)
        ;
}

static void done_search(struct journal_work *w, bool ran)
{
    (void)ran;
    ((struct search *)w)->done = true;
}

bool chain_record_time(struct chain *c, uint32_t kind, uint64_t *host_us, uint64_t *bound_us)
{
    struct search f = {.work = {.run = run_search, .done = done_search}, .record = {.kind = kind}};

    if (hub_journal(c->hub) == NULL)
        return false;
    journal_work(hub_journal(c->hub), &f.work);
    while (!f.done)
        sd_event_run(c->event, 100000);
    *host_us = f.record.host_us;
    *bound_us = f.record.bound_us;
    return f.record.found;
}
