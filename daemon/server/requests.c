#include "inside.h"

#include "stall.h"
#include "version.h"

static const struct request {
    Mnc__ClientMessage__BodyCase body;
    const char *what; /* for the stall meter */
    enum role role;
    bool needs_greeting;
    enum { JOURNAL_NONE, JOURNAL_WAITS, JOURNAL_NOW } journal; /* requests.def */
    void (*handle)(struct server *s, struct client *c, const Mnc__ClientMessage *m);
} requests[] = {
#define GREETING_NEEDED true
#define GREETING_NONE false
#define REQUEST(NAME, name, role, greeting, journal, text) {MNC__CLIENT_MESSAGE__BODY_##NAME, "a client's request " #name, ROLE_##role, GREETING_##greeting, JOURNAL_##journal, request_##name},
#include "requests.def"
#undef REQUEST
};

static const struct request *find(Mnc__ClientMessage__BodyCase body)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        if (requests[i].body == body)
            return &requests[i];
    }
    return NULL;
}

void request_reject_role(const struct server *s, struct client *c, uint32_t id, enum role needed)
{
    client_reject(c, id, MNC__ERROR_CODE__ERROR_FORBIDDEN, "this is for the role %s, and your user has the role %s: group %s gives it", role_name(needed),
                  role_name(client_role(c)), clients_group(s->clients, needed)[0] != '\0' ? clients_group(s->clients, needed) : "(none is configured)");
}

void request_dispatch(void *ctx, struct client *c, const Mnc__ClientMessage *m)
{
    const struct request *r = find(m->body_case);
    struct server *s = ctx;

    if (r != NULL)
        stall_doing(r->what);
    if (!m->has_id || m->id == 0)
        client_reject(c, 0, MNC__ERROR_CODE__ERROR_MALFORMED, "a request needs an id that is not 0");
    else if (!client_is_greeted(c) && (r == NULL || r->needs_greeting))
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_MALFORMED, "HELLO comes first");
    else if (r == NULL)
        client_reject(c, m->id, MNC__ERROR_CODE__ERROR_UNSUPPORTED, "mnd %s does not know this request: is it older than the client?", MN_VERSION);
    else if (client_role(c) < r->role)
        request_reject_role(s, c, m->id, r->role);
    else if (r->journal == JOURNAL_NONE || journal_is_ready(s))
        r->handle(s, c, m);
    else if (r->journal == JOURNAL_WAITS)
        waiting_add(s->waiting, c, m);
    else
        waiting_reject(s, c, m->id);
}

/* ---- requests that are another room's ---- */

void request_lease(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    control_lease(s->control, c, m->id, m->lease);
}

void request_pong(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    (void)m;
    control_pong(s->control, c);
}

void request_session_check(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    session_check(s->sessions, c, m->id, m->session_check);
}

void request_session_begin(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    session_begin(s->sessions, c, m->id, m->session_begin);
}

void request_session_select(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    session_select(s->sessions, c, m->id, m->session_select);
}

void request_session_arm(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    session_arm(s->sessions, c, m->id, m->session_arm);
}

void request_session_end(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    session_end(s->sessions, c, m->id, m->session_end);
}

void request_session_list(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    session_list(s->sessions, c, m->id, m->session_list);
}

void request_adverse_event(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    session_adverse_event(s->sessions, c, m->id, m->adverse_event);
}

void request_policy_get(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    session_policy(s->sessions, c, m->id, m->policy_get);
}

void request_clock_confirm(struct server *s, struct client *c, const Mnc__ClientMessage *m)
{
    session_confirm_clock(s->sessions, c, m->id);
}
