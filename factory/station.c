#include "station.h"

#include <nettle/hmac.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "history.h"
#include "verdict.h"

enum { HUB_LOSS_MS = 1000, HUB_LOOK_MS = 600 };

uint64_t station_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

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

const char *station_lost_hub(struct station *st, unsigned slot, uint64_t gone_ms, char out[40])
{
    char other[40];
    unsigned lost = 0, on_it = 0;

    hub_of(st->ports[slot], out);
    poll(NULL, 0, HUB_LOOK_MS);
    pthread_mutex_lock(&st->lock);
    for (unsigned i = 0; i < st->slot_count; i++) {
        uint64_t at = st->lost_ms[i];

        hub_of(st->ports[i], other);
        if (strcmp(other, out) != 0)
            continue;
        on_it++;
        lost += at != 0 && (at > gone_ms ? at - gone_ms : gone_ms - at) < HUB_LOSS_MS;
    }
    pthread_mutex_unlock(&st->lock);
    return lost >= 2 && lost == on_it ? out : NULL;
}

static const char *text_of(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));

    return text != NULL ? text : "";
}

static int verdict_of(const json_t *run)
{
    static const char *const names[] = {"PASS", "FAIL", "ERROR", "DRY_RUN"};
    int v = 0;

    while (v < VERDICT_ABORTED && strcmp(text_of(run, "verdict"), names[v]) != 0)
        v++;
    return v;
}

void station_done(struct station *st, unsigned slot, const json_t *run)
{
    char text[sizeof(st->rows[0].text)], why[300];
    int verdict = verdict_of(run);

    verdict_reason(run, text, sizeof(text));
    if (st->history != NULL && history_add(st->history, run, why, sizeof(why)) < 0)
        snprintf(text, sizeof(text), "%s", why);
    pthread_mutex_lock(&st->lock);
    st->verdicts[verdict]++;
    pthread_mutex_unlock(&st->lock);
    STATION_ROW(st, slot, {
        snprintf(row->verdict, sizeof(row->verdict), "%s", text_of(run, "verdict"));
        if (row->text[0] == '\0')
            snprintf(row->text, sizeof(row->text), "%s", text);
        if (verdict == VERDICT_PASS || verdict == VERDICT_DRY_RUN)
            row->done = row->total; /* for other verdicts the bar stays where the run ended */
        row->ended_ms = station_now_ms();
        row->ended[verdict]++;
    });
}

void station_found_done(struct station *st, unsigned slot, const char *serial)
{
    pthread_mutex_lock(&st->lock);
    st->found_done++;
    pthread_mutex_unlock(&st->lock);
    STATION_ROW(st, slot, {
        snprintf(row->verdict, sizeof(row->verdict), "DONE");
        snprintf(row->serial, sizeof(row->serial), "%s", serial);
        snprintf(row->text, sizeof(row->text), "done already: it has left the factory; take it out");
        row->done = row->total;
        row->ended_ms = station_now_ms();
    });
}

/* ---- labels ---- */

bool station_claim(struct station *st, unsigned slot, const char *serial, char *why, size_t cap)
{
    char run[80] = "", began[40] = "";
    bool free = true;

    pthread_mutex_lock(&st->lock);
    for (unsigned i = 0; free && i < st->slot_count; i++) {
        if (i != slot && strcmp(st->claimed[i], serial) == 0) {
            snprintf(why, cap, "%s is the label of the pen at %s, too", serial, st->ports[i]);
            free = false;
        }
    }
    if (free)
        snprintf(st->claimed[slot], sizeof(st->claimed[slot]), "%s", serial);
    pthread_mutex_unlock(&st->lock);
    if (!free || st->options.relabel || st->history == NULL || !history_given(st->history, serial, run, sizeof(run), began, sizeof(began)))
        return free;
    snprintf(why, cap, "%s was given to another pen on %.10s, run %s: print another label, or run with --relabel", serial, began, run);
    station_release(st, slot);
    return false;
}

void station_release(struct station *st, unsigned slot)
{
    pthread_mutex_lock(&st->lock);
    st->claimed[slot][0] = '\0';
    pthread_mutex_unlock(&st->lock);
}
