#include "station.h"

#include <nettle/hmac.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "history.h"

enum { HUB_LOSS_MS = 1000, HUB_LOOK_MS = 600 };

void station_prove(const struct station *st, const uint8_t challenge[16], uint8_t response[32])
{
    struct hmac_sha256_ctx hmac;

    hmac_sha256_set_key(&hmac, st->key_length, st->key);
    hmac_sha256_update(&hmac, 16, challenge);
    hmac_sha256_digest(&hmac, 32, response);
}

bool station_enter_step(struct station *st, size_t step)
{
    unsigned limit = st->plan->steps[step].at_once;
    bool room;

    pthread_mutex_lock(&st->lock);
    room = limit == 0 || st->busy[step] < limit;
    st->busy[step] += room;
    pthread_mutex_unlock(&st->lock);
    return room;
}

void station_leave_step(struct station *st, size_t step)
{
    pthread_mutex_lock(&st->lock);
    st->busy[step]--;
    pthread_mutex_unlock(&st->lock);
}

/* "usb 1-4.2.1" hangs on "usb 1-4.2", "usb 1-4" on the root hub "usb 1"; simulated pens on "sim". */
static void hub_of(const char *port, char out[40])
{
    size_t n = strlen(port), dot = n;

    while (dot > 0 && port[dot - 1] != '.')
        dot--;
    if (dot == 0) {
        dot = strcspn(port, "-");
        if (dot == n)
            dot = strcspn(port, " ") + 1;
        dot++;
    }
    snprintf(out, 40, "%.*s", (int)(dot - 1), port);
}

const char *station_lost_hub(struct station *st, const struct slot *s, char out[40])
{
    char other[40];
    unsigned lost = 0, on_it = 0;

    hub_of(s->port, out);
    poll(NULL, 0, HUB_LOOK_MS); /* the others' threads hear of theirs a moment later */
    pthread_mutex_lock(&st->lock);
    for (unsigned i = 0; i < st->slot_count; i++) {
        uint64_t at = st->lost_ms[i], mine = s->gone_ms;

        hub_of(st->slots[i].port, other);
        if (strcmp(other, out) != 0)
            continue;
        on_it++;
        lost += at != 0 && (at > mine ? at - mine : mine - at) < HUB_LOSS_MS;
    }
    pthread_mutex_unlock(&st->lock);
    return lost >= 2 && lost == on_it ? out : NULL;
}

void station_done(struct station *st, const struct slot *s)
{
    const char *verdict = json_string_value(json_object_get(s->record.json, "verdict"));
    const json_t *error = json_object_get(json_object_get(s->record.json, "error"), "text"), *step, *attempt;
    int v = strcmp(verdict, "PASS") == 0 ? VERDICT_PASS : strcmp(verdict, "FAIL") == 0 ? VERDICT_FAIL : strcmp(verdict, "ERROR") == 0 ? VERDICT_ERROR : VERDICT_ABORTED;
    char text[400] = "", why[300];
    size_t i;

    json_array_foreach(json_object_get(s->record.json, "steps"), i, step) {
        const char *name = json_string_value(json_object_get(step, "name")), *said = json_string_value(json_object_get(step, "verdict"));
        const json_t *attempts = json_object_get(step, "attempts");

        if (text[0] != '\0' || (strcmp(said, "FAIL") != 0 && strcmp(said, "ERROR") != 0))
            continue;
        attempt = json_array_get(attempts, json_array_size(attempts) - 1);
        error = json_object_get(json_object_get(attempt, "error"), "text");
        snprintf(text, sizeof(text), "%.60s: ", name);
        if (error != NULL) {
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.300s", json_string_value(error));
        } else {
            const json_t *m;
            size_t k;

            json_array_foreach(json_object_get(attempt, "measurements"), k, m) {
                const char *judged = json_string_value(json_object_get(m, "verdict"));
                char *value;

                if (strcmp(judged, "FAIL") != 0 && strcmp(judged, "UNSET") != 0)
                    continue;
                value = json_dumps(json_object_get(m, "value"), JSON_ENCODE_ANY | JSON_REAL_PRECISION(5));
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.40s %.60s ", json_string_value(json_object_get(m, "name")), value != NULL ? value : "unset");
                free(value);
            }
        }
    }
    if (text[0] == '\0' && error != NULL)
        snprintf(text, sizeof(text), "%.380s", json_string_value(error));
    pthread_mutex_lock(&st->lock);
    st->verdicts[v]++;
    if (st->history != NULL && history_add(st->history, s->record.json, why, sizeof(why)) < 0)
        snprintf(text, sizeof(text), "%.300s", why);
    pthread_mutex_unlock(&st->lock);
    STATION_ROW(st, s->index, {
        snprintf(row->verdict, sizeof(row->verdict), "%s", verdict);
        if (row->text[0] == '\0')
            snprintf(row->text, sizeof(row->text), "%s", text);
        row->done = row->total;
        row->ended_ms = slot_now_ms();
    });
}
