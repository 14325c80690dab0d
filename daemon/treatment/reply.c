#include "inside.h"

void reply_rejection(struct requester *to, const struct rejection *r, const char *serial)
{
    static const Mnc__ErrorCode codes[] = {
        [REJECTED_LEASE] = MNC__ERROR_CODE__ERROR_LEASE,   [REJECTED_STATE] = MNC__ERROR_CODE__ERROR_STATE,
        [REJECTED_JOURNAL] = MNC__ERROR_CODE__ERROR_JOURNAL, [REJECTED_POLICY] = MNC__ERROR_CODE__ERROR_POLICY,
        [REJECTED_CONFLICT] = MNC__ERROR_CODE__ERROR_CONFLICT, [REJECTED_PEN] = MNC__ERROR_CODE__ERROR_PEN_NOT_READY,
    };

    if (to->client != NULL)
        client_reject(to->client, to->id, codes[r->kind], "pen %s: %s", serial, r->text);
    to->client = NULL;
}

void reply_error(struct requester *to, Mnc__ErrorCode code, const char *serial, const char *sentence)
{
    if (to->client != NULL)
        client_reject(to->client, to->id, code, "pen %s: %s", serial, sentence);
    to->client = NULL;
}

void reply_session(struct session *s)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__SessionReply reply = MNC__SESSION_REPLY__INIT;
    struct session_message packed;

    if (s->requester.client == NULL)
        return;
    history_message(&packed, &s->t, s->found, s->found != NULL ? s->all->site : NULL);
    reply.session = &packed.m;
    reply.n_finding = packed.m.n_finding;
    reply.finding = packed.m.finding;
    m.body_case = MNC__SERVER_MESSAGE__BODY_SESSION;
    m.session = &reply;
    client_reply(s->requester.client, &m, s->requester.id);
    s->requester.client = NULL;
}

void reply_findings(struct requester *to, const struct findings *found)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__SessionReply reply = MNC__SESSION_REPLY__INIT;
    Mnc__Finding findings[POLICY_FINDINGS_MAX], *pointers[POLICY_FINDINGS_MAX];

    if (to->client == NULL)
        return;
    history_findings(findings, pointers, found);
    reply.n_finding = found->count;
    reply.finding = pointers;
    m.body_case = MNC__SERVER_MESSAGE__BODY_SESSION;
    m.session = &reply;
    client_reply(to->client, &m, to->id);
    to->client = NULL;
}

void session_publish(struct session *s)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    struct session_message packed;

    history_message(&packed, &s->t, NULL, NULL);
    m.body_case = MNC__SERVER_MESSAGE__BODY_SESSION_CHANGED;
    m.session_changed = &packed.m;
    fanout_notify_watchers(hub_fanout(s->all->hub), &m);
}
