#include "station.h"

#include <nettle/hmac.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "history.h"

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

static void add(char *text, size_t cap, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void add(char *text, size_t cap, const char *format, ...)
{
    size_t used = strlen(text);
    va_list ap;

    va_start(ap, format);
    vsnprintf(text + used, cap - used, format, ap);
    va_end(ap);
}

static void add_bad_measurements(const json_t *attempt, char *text, size_t cap)
{
    const json_t *m;
    size_t i;

    json_array_foreach(json_object_get(attempt, "measurements"), i, m) {
        char *value;

        if (strcmp(text_of(m, "verdict"), "FAIL") != 0 && strcmp(text_of(m, "verdict"), "UNSET") != 0)
            continue;
        value = json_dumps(json_object_get(m, "value"), JSON_ENCODE_ANY | JSON_REAL_PRECISION(5));
        add(text, cap, "%s %s ", text_of(m, "name"), value != NULL ? value : "unset");
        free(value);
    }
}

/* Why it did not pass, on a line: of the first step that did not, else of the run. */
static void reason_of(const json_t *run, char *text, size_t cap)
{
    const json_t *step, *attempts, *attempt;
    size_t i;

    snprintf(text, cap, "%s", text_of(json_object_get(run, "error"), "text"));
    json_array_foreach(json_object_get(run, "steps"), i, step) {
        const char *verdict = text_of(step, "verdict");

        if (strcmp(verdict, "FAIL") != 0 && strcmp(verdict, "ERROR") != 0)
            continue;
        attempts = json_object_get(step, "attempts");
        attempt = json_array_get(attempts, json_array_size(attempts) - 1);
        snprintf(text, cap, "%s: %s", text_of(step, "name"), text_of(json_object_get(attempt, "error"), "text"));
        if (json_object_get(attempt, "error") == NULL)
            add_bad_measurements(attempt, text, cap);
        return;
    }
}

static int verdict_of(const json_t *run)
{
    static const char *const names[] = {"PASS", "FAIL", "ERROR"};
    int v = 0;

    while (v < VERDICT_ABORTED && strcmp(text_of(run, "verdict"), names[v]) != 0)
        v++;
    return v;
}

void station_done(struct station *st, unsigned slot, const json_t *run)
{
    char text[sizeof(st->rows[0].text)], why[300];

    reason_of(run, text, sizeof(text));
    pthread_mutex_lock(&st->lock);
    st->verdicts[verdict_of(run)]++;
    if (st->history != NULL && history_add(st->history, run, why, sizeof(why)) < 0)
        snprintf(text, sizeof(text), "%s", why);
    pthread_mutex_unlock(&st->lock);
    STATION_ROW(st, slot, {
        snprintf(row->verdict, sizeof(row->verdict), "%s", text_of(run, "verdict"));
        if (row->text[0] == '\0')
            snprintf(row->text, sizeof(row->text), "%s", text);
        row->done = row->total;
        row->ended_ms = station_now_ms();
    });
}
