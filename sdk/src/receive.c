/* Messages from the daemon: results of calls, and events. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"

/* ---- telemetry ---- */

static struct stream *stream_of(mn_client *c, const char *serial)
{
    struct stream *s = c->streams;

    for (; s != NULL; s = s->next) {
        if (strcmp(s->serial, serial) == 0)
            return s;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    snprintf(s->serial, sizeof(s->serial), "%s", serial);
    s->next = c->streams;
    c->streams = s;
    return s;
}

/* Counts missing samples; consecutive samples are `step` apart. */
static uint64_t count_missed(uint64_t *next, bool known, uint64_t first, size_t count, uint64_t step)
{
    uint64_t missed = known && count > 0 && first > *next ? (first - *next + step - 1) / step : 0;

    if (count > 0)
        *next = first + count * step;
    return missed;
}

static void on_telemetry(mn_client *c, const Mnc__Telemetry *t)
{
    struct mn_telemetry out;
    Mnp__TelemetryBatch *batch;
    struct stream *s;

    if (t->serial == NULL || (batch = decode_telemetry(&out, t->serial, &t->batch)) == NULL)
        return;
    if (t->has_decimation && t->decimation > 0)
        out.fast.decimation = t->decimation;
    s = stream_of(c, t->serial);
    if (s != NULL) {
        bool same_life = s->boot_id == out.boot_id && s->decimation == out.fast.decimation;

        s->boot_id = out.boot_id;
        s->decimation = out.fast.decimation;
        out.fast.missed = count_missed(&s->next_fast, same_life && s->next_fast != 0, out.fast.first_seq, out.fast.count, out.fast.decimation);
        out.slow.missed = count_missed(&s->next_slow, same_life && s->next_slow != 0, out.slow.first_seq, out.slow.count, 1);
    }
    client_event(c, &(struct mn_event){.kind = MN_EVENT_TELEMETRY, .telemetry = &out});
    mnp__telemetry_batch__free_unpacked(batch, NULL);
}

/* ---- other events ---- */

static void on_traffic(mn_client *c, const Mnc__Traffic *t)
{
    struct mn_traffic out = {
        .time_us = t->time_us,
        .kind = t->has_kind && t->kind <= MNC__TRAFFIC_KIND__TRAFFIC_TO_PROGRAM ? (enum mn_traffic_kind)t->kind : MN_TRAFFIC_UNKNOWN,
        .name = t->name != NULL ? t->name : "?",
        .pid = t->pid,
        .bytes = t->data.data,
        .count = t->data.len,
        .missed = c->last_traffic != 0 && t->number > c->last_traffic ? t->number - c->last_traffic - 1 : 0,
    };

    c->last_traffic = t->number;
    client_event(c, &(struct mn_event){.kind = MN_EVENT_TRAFFIC, .traffic = &out});
}

static void on_lease(mn_client *c, const Mnc__LeaseEvent *e)
{
    struct mn_lease out = {
        .serial = e->serial != NULL ? e->serial : "",
        .lost = e->what == MNC__LEASE_CHANGE__LEASE_LOST,
        .text = e->text != NULL ? e->text : "",
        .name = e->name != NULL ? e->name : "",
        .pid = e->pid,
    };

    if (e->what == MNC__LEASE_CHANGE__LEASE_LOST || e->what == MNC__LEASE_CHANGE__LEASE_REQUESTED)
        client_event(c, &(struct mn_event){.kind = MN_EVENT_LEASE, .lease = &out});
}

static void on_session(mn_client *c, const Mnc__Session *m)
{
    struct mn_session *out = calloc(1, sizeof(*out));

    if (out != NULL && decode_session(out, m))
        client_event(c, &(struct mn_event){.kind = MN_EVENT_SESSION, .session = out});
    free(out);
}

/* Only mn_process() and blocking calls get here: an answer proves that the program is running. */
static void answer_ping(mn_client *c)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Pong pong = MNC__PONG__INIT;

    m.has_id = true;
    m.id = ++c->last_id != 0 ? c->last_id : ++c->last_id;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_PONG;
    m.pong = &pong;
    if (out_append(c, &m) == MN_OK)
        out_flush(c);
}

static void on_event_message(mn_client *c, const Mnc__ServerMessage *m)
{
    struct mn_pen pen;

    switch (m->body_case) {
    case MNC__SERVER_MESSAGE__BODY_PEN:
        decode_pen(&pen, m->pen);
        client_event(c, &(struct mn_event){.kind = MN_EVENT_PEN, .pen = &pen});
        break;
    case MNC__SERVER_MESSAGE__BODY_TELEMETRY:
        on_telemetry(c, m->telemetry);
        break;
    case MNC__SERVER_MESSAGE__BODY_TRAFFIC:
        on_traffic(c, m->traffic);
        break;
    case MNC__SERVER_MESSAGE__BODY_LEASE:
        on_lease(c, m->lease);
        break;
    case MNC__SERVER_MESSAGE__BODY_SESSION_CHANGED:
        on_session(c, m->session_changed);
        break;
    case MNC__SERVER_MESSAGE__BODY_PING:
        answer_ping(c);
        break;
    case MNC__SERVER_MESSAGE__BODY_GOODBYE:
        snprintf(c->goodbye, sizeof(c->goodbye), "the daemon has disconnected this program: %s",
                 m->goodbye->reason != NULL ? m->goodbye->reason : "no reason given");
        break;
    default:
        break; /* of a later minor */
    }
}

/* ---- results ---- */

static int error_of_daemon(Mnc__ErrorCode code)
{
    switch (code) {
    case MNC__ERROR_CODE__ERROR_VERSION:
        return MN_ERR_VERSION;
    case MNC__ERROR_CODE__ERROR_UNSUPPORTED:
        return MN_ERR_UNSUPPORTED;
    case MNC__ERROR_CODE__ERROR_NO_PEN:
        return MN_ERR_NO_PEN;
    case MNC__ERROR_CODE__ERROR_PEN_NOT_READY:
        return MN_ERR_NOT_READY;
    case MNC__ERROR_CODE__ERROR_PEN_GONE:
        return MN_ERR_PEN_GONE;
    case MNC__ERROR_CODE__ERROR_TIMEOUT:
        return MN_ERR_TIMEOUT;
    case MNC__ERROR_CODE__ERROR_BUSY:
        return MN_ERR_BUSY;
    case MNC__ERROR_CODE__ERROR_FORBIDDEN:
        return MN_ERR_FORBIDDEN;
    case MNC__ERROR_CODE__ERROR_JOURNAL:
        return MN_ERR_JOURNAL;
    case MNC__ERROR_CODE__ERROR_LEASE:
        return MN_ERR_LEASE;
    case MNC__ERROR_CODE__ERROR_NO_RECORD:
        return MN_ERR_NO_RECORD;
    case MNC__ERROR_CODE__ERROR_POLICY:
        return MN_ERR_POLICY;
    case MNC__ERROR_CODE__ERROR_STATE:
        return MN_ERR_STATE;
    case MNC__ERROR_CODE__ERROR_CONFLICT:
        return MN_ERR_CONFLICT;
    case MNC__ERROR_CODE__ERROR_NO_SESSION:
        return MN_ERR_NO_SESSION;
    case MNC__ERROR_CODE__ERROR_MALFORMED:
        return MN_ERR_INVALID;
    default:
        return MN_ERR_PROTOCOL;
    }
}

static void on_answer(mn_client *c, const Mnc__ServerMessage *m)
{
    struct call *call = call_find(c, m->id);
    struct mn_result r = {0};
    char text[256];

    if (call == NULL)
        return; /* the call has timed out already */
    if (m->body_case == MNC__SERVER_MESSAGE__BODY_PROGRESS) {
        r.in_progress = true;
        r.progress_permille = m->progress->permille;
        if (call->has_progress)
            call_deliver(c, call, &r);
        return;
    }
    if (m->body_case == MNC__SERVER_MESSAGE__BODY_ERROR) {
        r.error = error_of_daemon(m->error->code);
        r.message = m->error->text;
        if ((r.error == MN_ERR_TIMEOUT || r.error == MN_ERR_PEN_GONE) && r.message != NULL) {
            put_unanswered(call, r.message, text, sizeof(text));
            r.message = text;
        }
    } else if (m->body_case == MNC__SERVER_MESSAGE__BODY_CALL && (m->call->pen_type & 0xc000) == 0xc000) {
        decode_pen_error(&r, text, sizeof(text), call->serial, &m->call->payload);
        r.message = text;
    } else if (!call->decode(c, &r, call, m)) {
        r = (struct mn_result){.error = MN_ERR_PROTOCOL, .message = "the answer does not decode: do daemon and library fit?"};
    }
    call_end(c, call, &r);
    free(c->owned); /* arrays of the result, unless a blocking call took them */
    c->owned = NULL;
}

int client_on_message(mn_client *c, const uint8_t *bytes, size_t n)
{
    Mnc__ServerMessage *m = mnc__server_message__unpack(NULL, n, bytes);

    if (m == NULL)
        return MN_ERR_PROTOCOL;
    if (m->has_id && m->id != 0)
        on_answer(c, m);
    else
        on_event_message(c, m);
    mnc__server_message__free_unpacked(m, NULL);
    return MN_OK;
}
