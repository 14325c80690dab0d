#include "inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LISTS_PER_CLIENT = 4 };

struct list_request { /* a query of the journal, for a list or before an adverse event */
    struct journal_work work;
    struct list_request *next;
    struct sessions *all; /* NULL: the daemon is ending */
    struct client *client; /* NULL: it has disconnected */
    uint32_t id;
    struct history_list list;
    uint32_t adverse; /* number of the session of an adverse event; 0: a list */
    bool working;
    int result;
};

static void list_request_free(struct list_request *q)
{
    struct list_request **at = q->all != NULL ? &q->all->lists : NULL;

    while (at != NULL && *at != q)
        at = &(*at)->next;
    if (at != NULL)
        *at = q->next;
    history_list_free(&q->list);
    free(q);
}

/* ---- lists ---- */

/* Open sessions are listed with their current state, not as they began. */
static void reply_list(struct list_request *q)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__SessionListReply reply = MNC__SESSION_LIST_REPLY__INIT;
    Mnc__Session *pointers[HISTORY_LIST_MAX];
    struct session_message *now = calloc(q->list.count + 1, sizeof(*now));

    if (now == NULL) {
        client_reject(q->client, q->id, MNC__ERROR_CODE__ERROR_BUSY, "the daemon is out of memory");
        return;
    }
    for (size_t i = 0; i < q->list.count; i++) {
        const struct session *open = session_numbered(q->all, q->list.sessions[i]->number);

        pointers[i] = q->list.sessions[i];
        if (open == NULL)
            continue;
        history_message(&now[i], &open->t, NULL, NULL);
        now[i].m.finding = pointers[i]->finding;
        now[i].m.n_finding = pointers[i]->n_finding;
        now[i].m.override = pointers[i]->override;
        now[i].m.n_override = pointers[i]->n_override;
        now[i].m.policy_name = pointers[i]->policy_name;
        now[i].m.has_policy_sha256 = pointers[i]->has_policy_sha256;
        now[i].m.policy_sha256 = pointers[i]->policy_sha256;
        pointers[i] = &now[i].m;
    }
    reply.n_session = q->list.count;
    reply.session = pointers;
    reply.has_before = true;
    reply.before = q->list.next_before;
    m.body_case = MNC__SERVER_MESSAGE__BODY_SESSIONS;
    m.sessions = &reply;
    client_reply(q->client, &m, q->id);
    free(now);
}

static void run_list(struct journal_work *w, struct store *store)
{
    struct list_request *q = (struct list_request *)w;

    q->result = history_list(store, &q->list);
}

/* Returns true if it waits for the disk. */
static bool append_adverse(struct list_request *q)
{
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct journal_record r;

    if (q->list.count == 0)
        client_reject(q->client, q->id, MNC__ERROR_CODE__ERROR_NO_SESSION, "there is no session %u", q->list.number);
    else if (!history_adverse(&r, q->list.sessions[0]->serial, q->list.number, q->adverse, bytes))
        client_reject(q->client, q->id, MNC__ERROR_CODE__ERROR_MALFORMED, "there is no adverse event %u", q->adverse);
    else if (hub_journal(q->all->hub) == NULL || !journal_append(hub_journal(q->all->hub), &r))
        client_reject(q->client, q->id, MNC__ERROR_CODE__ERROR_JOURNAL, "2008 JOURNAL_UNWRITABLE: too much waits for the disk");
    else
        return true;
    return false;
}

static void done_list(struct journal_work *w, bool ran)
{
    struct list_request *q = (struct list_request *)w;

    q->working = false;
    if (q->all != NULL && q->client != NULL) {
        if (!ran || q->result < 0)
            client_reject(q->client, q->id, MNC__ERROR_CODE__ERROR_JOURNAL, "the journal cannot be read: %s", strerror(-q->result));
        else if (q->adverse == 0)
            reply_list(q);
        else if (append_adverse(q))
            return;
    }
    list_request_free(q);
}

static void start(struct sessions *all, struct list_request wanted)
{
    struct list_request *q;
    unsigned n = 0;

    if (hub_journal(all->hub) == NULL) {
        client_reject(wanted.client, wanted.id, MNC__ERROR_CODE__ERROR_JOURNAL, "%s", hub_journal_error(all->hub));
        return;
    }
    for (q = all->lists; q != NULL; q = q->next)
        n += q->client == wanted.client;
    q = n < LISTS_PER_CLIENT ? malloc(sizeof(*q)) : NULL;
    if (q == NULL) {
        client_reject(wanted.client, wanted.id, MNC__ERROR_CODE__ERROR_BUSY, "this program has asked %u times for sessions that have not come yet", n);
        return;
    }
    *q = wanted;
    q->all = all;
    q->working = true;
    q->next = all->lists;
    all->lists = q;
    q->work = (struct journal_work){.run = run_list, .done = done_list};
    journal_work(hub_journal(all->hub), &q->work);
}

void session_list(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionList *m)
{
    struct list_request q = {.client = c, .id = id, .list = {.number = m->number, .before = m->before, .cartridge_uid = m->cartridge_uid, .by_lot = m->has_cartridge_lot, .cartridge_lot = m->cartridge_lot}};

    snprintf(q.list.subject, sizeof(q.list.subject), "%s", m->subject != NULL ? m->subject : "");
    start(all, q);
}

void session_adverse_event(struct sessions *all, struct client *c, uint32_t id, const Mnc__AdverseEvent *m)
{
    if (!m->has_session || m->session == 0 || !m->has_what || m->what == 0)
        client_reject(c, id, MNC__ERROR_CODE__ERROR_MALFORMED, "ADVERSE_EVENT needs session and what");
    else
        start(all, (struct list_request){.client = c, .id = id, .list = {.number = m->session}, .adverse = m->what});
}

/* An adverse event is on disk: replies to the requester. */
void lists_committed(struct sessions *all, const struct journal_record *r)
{
    for (struct list_request **at = &all->lists; *at != NULL; at = &(*at)->next) {
        struct list_request *q = *at;

        if (q->working || q->adverse == 0 || q->list.number != r->code)
            continue;
        *at = q->next;
        if (q->client != NULL)
            client_reply_done(q->client, q->id);
        history_list_free(&q->list);
        free(q);
        return;
    }
}

void lists_client_gone(struct sessions *all, const struct client *c)
{
    for (struct list_request *q = all->lists; q != NULL; q = q->next) {
        if (q->client == c)
            q->client = NULL;
    }
}

/* Requests that the worker has are freed when they return. */
void lists_free(struct sessions *all)
{
    struct list_request *q;

    while ((q = all->lists) != NULL) {
        all->lists = q->next;
        q->all = NULL;
        if (q->working)
            continue;
        history_list_free(&q->list);
        free(q);
    }
}

/* ---- the policy ---- */

void session_policy(struct sessions *all, struct client *c, uint32_t id, const Mnc__PolicyGet *m)
{
    Mnc__ServerMessage message = MNC__SERVER_MESSAGE__INIT;
    Mnc__PolicyReply reply = MNC__POLICY_REPLY__INIT;
    Mnc__PolicyRow rows[SITE_ROWS_MAX], *pointers[SITE_ROWS_MAX];
    struct site other;
    const struct site *site = all->site;
    char why[300] = "";

    if (m->text != NULL) {
        reply.good = site_parse(&other, m->text, strlen(m->text), "the file", why, sizeof(why)) == 0;
        site = &other;
    } else {
        reply.good = true;
    }
    for (size_t i = 0; i < site->row_count; i++) {
        mnc__policy_row__init(&rows[i]);
        rows[i].table = (char *)(uintptr_t)site->rows[i].table;
        rows[i].name = (char *)(uintptr_t)site->rows[i].name;
        rows[i].value = (char *)(uintptr_t)site->rows[i].value;
        rows[i].default_value = (char *)(uintptr_t)site->rows[i].default_value;
        rows[i].source = (char *)(uintptr_t)site->rows[i].source;
        pointers[i] = &rows[i];
    }
    reply.has_good = true;
    reply.text = why;
    reply.name = (char *)(uintptr_t)site->name;
    reply.has_sha256 = site->name[0] != '\0';
    reply.sha256 = (ProtobufCBinaryData){.len = SITE_SHA256, .data = (uint8_t *)(uintptr_t)site->sha256};
    reply.n_row = site->row_count;
    reply.row = pointers;
    message.body_case = MNC__SERVER_MESSAGE__BODY_POLICY;
    message.policy = &reply;
    client_reply(c, &message, id);
}
