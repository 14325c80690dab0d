#include "history.h"

#include <math.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "stats.h"

struct history {
    sqlite3 *db;
    pthread_mutex_t lock; /* held for a whole transaction */
};

static const char schema[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000;"
    "CREATE TABLE IF NOT EXISTS run (run TEXT PRIMARY KEY, station TEXT, slot TEXT, serial TEXT, udi TEXT, began TEXT, seconds REAL, verdict TEXT,"
    " plan TEXT, plan_sha256 TEXT, limits_sha256 TEXT, record TEXT) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS step (run TEXT REFERENCES run ON DELETE CASCADE, place INTEGER, name TEXT, verdict TEXT, attempts INTEGER, PRIMARY KEY (run, place)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS measurement (run TEXT REFERENCES run ON DELETE CASCADE, step TEXT, name TEXT, unit TEXT, number REAL, text TEXT, min REAL,"
    " max REAL, verdict TEXT, PRIMARY KEY (run, step, name)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS run_serial ON run (serial, began); CREATE INDEX IF NOT EXISTS measurement_name ON measurement (step, name);";

static int fail(struct history *h, const char *doing, char *why, size_t cap)
{
    snprintf(why, cap, "the station's history cannot be %s: %s", doing, sqlite3_errmsg(h->db));
    return -1;
}

struct history *history_open(const char *path, char *why, size_t cap)
{
    struct history *h = calloc(1, sizeof(*h));

    if (h == NULL) {
        snprintf(why, cap, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&h->lock, NULL);
    if (sqlite3_open(path, &h->db) == SQLITE_OK && sqlite3_exec(h->db, schema, NULL, NULL, NULL) == SQLITE_OK)
        return h;
    snprintf(why, cap, "the station's history %s cannot be used: %s", path, sqlite3_errmsg(h->db));
    history_close(h);
    return NULL;
}

void history_close(struct history *h)
{
    if (h == NULL)
        return;
    sqlite3_close(h->db);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* Runs one statement with its values by format: s text, f number, i whole number; NULL text and NAN are NULL. */
static int put(struct history *h, const char *sql, const char *format, ...)
{
    sqlite3_stmt *q = NULL;
    va_list ap;
    int r = sqlite3_prepare_v2(h->db, sql, -1, &q, NULL);

    va_start(ap, format);
    for (int i = 1; r == SQLITE_OK && format[i - 1] != '\0'; i++) {
        if (format[i - 1] == 's')
            r = sqlite3_bind_text(q, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
        else if (format[i - 1] == 'f')
            r = sqlite3_bind_double(q, i, va_arg(ap, double));
        else
            r = sqlite3_bind_int(q, i, va_arg(ap, int));
    }
    va_end(ap);
    if (r == SQLITE_OK && (r = sqlite3_step(q)) == SQLITE_DONE)
        r = SQLITE_OK;
    sqlite3_finalize(q);
    return r;
}

static const char *text_of(const json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}

static double number_of(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);

    return json_is_number(v) ? json_number_value(v) : NAN;
}

static int add_step(struct history *h, const char *run, size_t place, const json_t *step)
{
    const json_t *attempts = json_object_get(step, "attempts"), *m;
    int r = put(h, "INSERT INTO step VALUES (?, ?, ?, ?, ?)", "sissi", run, (int)place, text_of(step, "name"), text_of(step, "verdict"), (int)json_array_size(attempts));
    size_t i;

    json_array_foreach(json_object_get(json_array_get(attempts, json_array_size(attempts) - 1), "measurements"), i, m) {
        if (r == SQLITE_OK)
            r = put(h, "INSERT INTO measurement VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", "ssssfsffs", run, text_of(step, "name"), text_of(m, "name"), text_of(m, "unit"),
                    number_of(m, "value"), text_of(m, "value"), number_of(m, "min"), number_of(m, "max"), text_of(m, "verdict"));
    }
    return r;
}

static int add(struct history *h, const json_t *run, char *why, size_t cap)
{
    const json_t *plan = json_object_get(run, "plan"), *limits = json_object_get(run, "limits"), *step;
    const char *id = text_of(run, "run");
    char *whole = json_dumps(run, JSON_COMPACT);
    size_t i;
    int r = sqlite3_exec(h->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    if (r == SQLITE_OK)
        r = put(h, "DELETE FROM run WHERE run = ?", "s", id);
    if (r == SQLITE_OK)
        r = put(h, "INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "ssssssfsssss", id, text_of(run, "station"), text_of(run, "slot"), text_of(run, "serial"),
                text_of(run, "udi"), text_of(run, "began"), number_of(run, "seconds"), text_of(run, "verdict"), text_of(plan, "name"), text_of(plan, "sha256"),
                text_of(limits, "sha256"), whole);
    json_array_foreach(json_object_get(run, "steps"), i, step) {
        if (r == SQLITE_OK)
            r = add_step(h, id, i, step);
    }
    free(whole);
    if (r == SQLITE_OK)
        r = sqlite3_exec(h->db, "COMMIT", NULL, NULL, NULL);
    if (r == SQLITE_OK)
        return 0;
    fail(h, "written", why, cap);
    sqlite3_exec(h->db, "ROLLBACK", NULL, NULL, NULL);
    return -1;
}

int history_add(struct history *h, const json_t *run, char *why, size_t cap)
{
    int r;

    pthread_mutex_lock(&h->lock);
    r = add(h, run, why, cap);
    pthread_mutex_unlock(&h->lock);
    return r;
}

bool history_given(struct history *h, const char *serial, char *run, size_t run_cap, char *began, size_t began_cap)
{
    static const char sql[] = "SELECT run.run, run.began FROM run JOIN step ON step.run = run.run WHERE run.serial = ? AND step.name = 'identity' AND step.verdict IN ('PASS', 'MARGINAL', 'FAIL') "
                              "ORDER BY run.began DESC LIMIT 1";
    sqlite3_stmt *q = NULL;
    bool found = false;

    pthread_mutex_lock(&h->lock);
    if (sqlite3_prepare_v2(h->db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_bind_text(q, 1, serial, -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW) {
        snprintf(run, run_cap, "%s", (const char *)sqlite3_column_text(q, 0));
        snprintf(began, began_cap, "%s", (const char *)sqlite3_column_text(q, 1));
        found = true;
    }
    sqlite3_finalize(q);
    pthread_mutex_unlock(&h->lock);
    return found;
}

json_t *history_summary(struct history *h, const char *serial, char *why, size_t cap)
{
    sqlite3_stmt *q = NULL;
    json_t *runs = json_array(), *summary;
    int r;

    pthread_mutex_lock(&h->lock);
    r = sqlite3_prepare_v2(h->db, serial != NULL ? "SELECT record FROM run WHERE serial = ? ORDER BY began" : "SELECT record FROM run ORDER BY began", -1, &q, NULL);

    if (r == SQLITE_OK && serial != NULL)
        r = sqlite3_bind_text(q, 1, serial, -1, SQLITE_STATIC);
    while (r == SQLITE_OK || r == SQLITE_ROW) {
        r = sqlite3_step(q);
        if (r == SQLITE_ROW)
            json_array_append_new(runs, json_loads((const char *)sqlite3_column_text(q, 0), 0, NULL));
    }
    sqlite3_finalize(q);
    if (r != SQLITE_DONE)
        fail(h, "read", why, cap);
    pthread_mutex_unlock(&h->lock);
    if (r != SQLITE_DONE) {
        json_decref(runs);
        return NULL;
    }
    summary = stats_summary(runs);
    json_decref(runs);
    return summary;
}
