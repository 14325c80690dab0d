/* Pending calls. Each ends once: with the daemon's reply, at its deadline, or when the connection ends. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pen.pb-c.h"

struct call *call_find(mn_client *c, uint32_t id)
{
    struct call *call = c->calls;

    while (call != NULL && call->id != id)
        call = call->next;
    return call;
}

static void call_unlink(mn_client *c, const struct call *call)
{
    struct call **at = &c->calls;

    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
}

void call_deliver(mn_client *c, const struct call *call, struct mn_result *r)
{
    if (r->message == NULL)
        r->message = r->error == MN_OK ? "" : mn_strerror(r->error);
    if (call->done != NULL)
        call->done(c, r, call->user);
}

void call_end(mn_client *c, struct call *call, struct mn_result *r)
{
    call_unlink(c, call);
    call_deliver(c, call, r);
    free(call);
}

/* The message for a call without a reply. For requests that change something, and only those, it says that their effect is not known. */
void put_unanswered(const struct call *call, const char *why, char *out, size_t cap)
{
    snprintf(out, cap, "%s%s", why, call->changes ? "; whether it was applied is not known" : "");
}

void calls_fail(mn_client *c, int error, const char *why)
{
    char text[400];

    while (c->calls != NULL) {
        put_unanswered(c->calls, why, text, sizeof(text));
        call_end(c, c->calls, &(struct mn_result){.error = error, .message = text});
    }
}

void calls_time_out(mn_client *c)
{
    uint64_t now = client_now_ms();
    struct call *next;

    for (struct call *call = c->calls; call != NULL; call = next) {
        char text[200], why[80];

        next = call->next;
        if (now < call->deadline_ms)
            continue;
        snprintf(why, sizeof(why), "no answer in time%s%s", call->serial[0] ? " from pen " : " from the daemon", call->serial);
        put_unanswered(call, why, text, sizeof(text));
        call_end(c, call, &(struct mn_result){.error = MN_ERR_TIMEOUT, .message = text});
        next = c->calls; /* the callback may have started other calls */
    }
}

/* ---- beginning one ---- */

/* Whether the request changes anything if it arrives. */
static bool is_change(const Mnc__ClientMessage *m)
{
    switch (m->body_case) {
    case MNC__CLIENT_MESSAGE__BODY_CALL:
        return m->call->pen_type != MNP__FRAME_TYPE__TYPE_INFO && m->call->pen_type != MNP__FRAME_TYPE__TYPE_STATUS &&
               m->call->pen_type != MNP__FRAME_TYPE__TYPE_CONFIG_GET && m->call->pen_type != MNP__FRAME_TYPE__TYPE_ECHO &&
               m->call->pen_type != MNP__FRAME_TYPE__TYPE_FACTORY_GET;
    case MNC__CLIENT_MESSAGE__BODY_SIMULATE:
    case MNC__CLIENT_MESSAGE__BODY_RECORDS_EXPORTED:
    case MNC__CLIENT_MESSAGE__BODY_LEASE:
    case MNC__CLIENT_MESSAGE__BODY_SESSION_BEGIN:
    case MNC__CLIENT_MESSAGE__BODY_SESSION_SELECT:
    case MNC__CLIENT_MESSAGE__BODY_SESSION_ARM:
    case MNC__CLIENT_MESSAGE__BODY_SESSION_END:
    case MNC__CLIENT_MESSAGE__BODY_ADVERSE_EVENT:
    case MNC__CLIENT_MESSAGE__BODY_FACTORY_PROVOKE:
        return true;
    default:
        return false;
    }
}

/* Whether the request's callback expects progress before its result. */
static bool is_long(const Mnc__ClientMessage *m)
{
    return m->body_case == MNC__CLIENT_MESSAGE__BODY_CALL && m->call->pen_type == MNP__FRAME_TYPE__TYPE_SELF_TEST;
}

int call_start(mn_client *c, Mnc__ClientMessage *m, const char *serial, int timeout_ms, decode_fn *decode, mn_result_fn *done,
               void *user)
{
    struct call *call;
    int r;

    if (c->state != CLIENT_CONNECTED && m->body_case != MNC__CLIENT_MESSAGE__BODY_HELLO)
        return client_fail(c, MN_ERR_DISCONNECTED, "not connected to the daemon at %s", c->path);
    if (serial != NULL && strlen(serial) > MN_SERIAL_MAX)
        return client_fail(c, MN_ERR_INVALID, "a serial number has at most %d characters", MN_SERIAL_MAX);
    call = calloc(1, sizeof(*call));
    if (call == NULL)
        return client_fail(c, MN_ERR_MEMORY, "out of memory");
    if (++c->last_id == 0)
        c->last_id = 1;
    *call = (struct call){.id = c->last_id,
                          .decode = decode,
                          .done = done,
                          .user = user,
                          .changes = is_change(m),
                          .has_progress = is_long(m),
                          .began_us = client_now_us(),
                          .deadline_ms = timeout_ms == CALL_FOREVER ? UINT64_MAX : client_now_ms() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0)};
    snprintf(call->serial, sizeof(call->serial), "%s", serial != NULL ? serial : "");
    m->has_id = true;
    m->id = call->id;
    r = out_append(c, m);
    if (r != MN_OK) {
        free(call);
        return r;
    }
    call->next = c->calls;
    c->calls = call;
    out_flush(c); /* errors are reported by mn_process() */
    return MN_OK;
}
