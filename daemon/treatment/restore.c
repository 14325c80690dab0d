#include "inside.h"

#include <stdlib.h>

#include "log.h"

enum {
    RESTORE_LATE_US = 30000000, /* how long to wait for the records of a pen that was plugged in when the daemon died */
    OPEN_MAX = 256,
};

struct restore {
    struct journal_work work;
    struct sessions *all;
    uint64_t journal;
    struct treatment open[OPEN_MAX];
    size_t count;
    uint32_t next_number;
    int result;
};

static void run_restore(struct journal_work *w, struct store *store)
{
    struct restore *v = (struct restore *)w;

    v->journal = store_id(store);
    v->result = history_restore(store, v->journal, v->open, OPEN_MAX, &v->count, &v->next_number);
}

static void done_restore(struct journal_work *w, bool ran)
{
    struct restore *v = (struct restore *)w;
    struct sessions *all = v->all;

    if (all != NULL) {
        all->restoring = NULL;
        for (size_t i = 0; ran && v->result == 0 && i < v->count; i++) {
            struct session *s = session_new(all, &v->open[i]);

            if (s == NULL)
                continue; /* it stays open in the journal until the next start */
            s->on_disk = true;
            s->deadline_us = session_now_us(all) + RESTORE_LATE_US;
            log_warning("session %u with pen %s was interrupted when the daemon died", s->t.number, s->t.serial);
            session_publish(s);
        }
        if (ran && v->result == 0) {
            all->restored_journal = v->journal;
            all->next_number = v->next_number;
        }
    }
    free(v);
    if (all != NULL)
        hub_notify_journal(all->hub);
}

bool sessions_are_restored(const struct sessions *all)
{
    const struct journal *j = hub_journal(all->hub);

    return j != NULL && all->restored_journal == journal_id(j);
}

void sessions_restore(struct sessions *all)
{
    struct journal *j = hub_journal(all->hub);

    if (j == NULL || all->restoring != NULL || all->restored_journal == journal_id(j))
        return;
    all->restoring = calloc(1, sizeof(*all->restoring));
    if (all->restoring == NULL)
        return;
    all->restoring->all = all;
    all->restoring->work = (struct journal_work){.run = run_restore, .done = done_restore};
    journal_work(j, &all->restoring->work);
}

void sessions_restore_cancel(struct sessions *all)
{
    if (all->restoring != NULL)
        all->restoring->all = NULL;
}
