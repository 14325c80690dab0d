#include "store.h"

#include <ctype.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "pen.pb-c.h"
#include "wire.h"

const char past_schema[] =
    "CREATE TABLE treated(subject TEXT NOT NULL, zone INTEGER NOT NULL, ended_us INTEGER NOT NULL, session INTEGER NOT NULL, origin INTEGER NOT NULL,"
    " depth_um INTEGER NOT NULL, end INTEGER NOT NULL, PRIMARY KEY(subject, zone, ended_us, session)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX treated_in ON treated(session);"
    "CREATE TABLE uses(uid INTEGER NOT NULL, treatment INTEGER NOT NULL, lot INTEGER NOT NULL, first_us INTEGER NOT NULL, serial TEXT NOT NULL,"
    " PRIMARY KEY(uid, treatment)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX lots ON uses(lot);"
    "CREATE INDEX used_by ON uses(treatment);"
    "CREATE TABLE subjects(folded TEXT NOT NULL, subject TEXT NOT NULL, first_us INTEGER NOT NULL, PRIMARY KEY(folded, subject)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE known(one INTEGER PRIMARY KEY CHECK(one = 1), since_us INTEGER NOT NULL, latest_us INTEGER NOT NULL) STRICT;";

/* 2026-01-01: no valid time is earlier. A machine without a clock battery begins at 1970. */
static const uint64_t CLOCK_FLOOR_US = UINT64_C(1767225600000000), CLOCK_TOLERANCE_US = UINT64_C(300000000);

/* Parameters of a statement: numbers and texts in order. */
struct value {
    const char *text; /* NULL: the number is used */
    uint64_t number;
};

static int bind(sqlite3_stmt *q, const struct value *v, int n)
{
    int r = SQLITE_OK;

    for (int i = 0; r == SQLITE_OK && i < n; i++)
        r = v[i].text != NULL ? sqlite3_bind_text(q, i + 1, v[i].text, -1, SQLITE_STATIC) : sqlite3_bind_int64(q, i + 1, (sqlite3_int64)v[i].number);
    return r;
}

/* Runs a statement to its first row (SQLITE_ROW; *q has it) or to its end (SQLITE_DONE). */
static int first(sqlite3 *db, const char *sql, const struct value *v, int n, sqlite3_stmt **q)
{
    int r = sqlite3_prepare_v2(db, sql, -1, q, NULL);

    if (r == SQLITE_OK)
        r = bind(*q, v, n);
    return r == SQLITE_OK ? sqlite3_step(*q) : r;
}

static int run(sqlite3 *db, const char *sql, const struct value *v, int n)
{
    sqlite3_stmt *q = NULL;
    int r = first(db, sql, v, n, &q);

    sqlite3_finalize(q);
    return r == SQLITE_DONE ? SQLITE_OK : r;
}

/* Normalises a key: lower-case letters, and digits without leading zeros; everything else is removed. */
static void fold(const char *subject, char out[PAST_SUBJECT_MAX + 1])
{
    bool in_number = false;
    size_t n = 0;

    for (; *subject != '\0' && n < PAST_SUBJECT_MAX; subject++) {
        unsigned char c = (unsigned char)*subject;

        if (!isalnum(c) || (c == '0' && !in_number && isdigit((unsigned char)subject[1])))
            continue;
        in_number = isdigit(c);
        out[n++] = (char)tolower(c);
    }
    out[n] = '\0';
}

static int note_use(sqlite3 *db, uint64_t uid, uint64_t treatment, uint32_t lot, const struct journal_record *r)
{
    const struct value v[] = {{NULL, uid}, {NULL, treatment}, {NULL, lot}, {NULL, r->host_us}, {r->serial, 0}};

    return uid == 0 ? SQLITE_OK : run(db, "INSERT OR IGNORE INTO uses(uid, treatment, lot, first_us, serial) VALUES(?, ?, ?, ?, ?)", v, 5);
}

static int note_record(sqlite3 *db, const struct journal_record *r)
{
    bool out_of_memory;
    ProtobufCAllocator noting = wire_allocator(&out_of_memory);
    Mnp__Record *m = mnp__record__unpack(&noting, r->length, r->bytes);
    int result = out_of_memory ? SQLITE_NOMEM : SQLITE_OK;

    if (m != NULL && m->body_case == MNP__RECORD__BODY_RUN)
        result = note_use(db, m->run->cartridge_uid, m->run->treatment, m->run->cartridge_lot, r);
    else if (m != NULL && m->body_case == MNP__RECORD__BODY_RUN_BEGUN)
        result = note_use(db, m->run_begun->cartridge_uid, m->run_begun->treatment, m->run_begun->cartridge_lot, r);
    mnp__record__free_unpacked(m, &noting);
    return result;
}

static int note_subject(sqlite3 *db, const char *subject, uint64_t host_us)
{
    char folded[PAST_SUBJECT_MAX + 1];
    const struct value v[] = {{folded, 0}, {subject, 0}, {NULL, host_us}};

    fold(subject, folded);
    return run(db, "INSERT OR IGNORE INTO subjects(folded, subject, first_us) VALUES(?, ?, ?)", v, 3);
}

/* A zone counts as treated if a run of it has begun, or may have begun. */
static int note_session(sqlite3 *db, uint64_t id, const Mnc__Session *m, const struct journal_record *r)
{
    static const char sql[] = "INSERT OR IGNORE INTO treated(subject, zone, ended_us, session, depth_um, end, origin)"
                              " VALUES(?1, ?2, ?3, ?4, ?5, ?6, COALESCE((SELECT origin FROM treated WHERE session = ?7 LIMIT 1), ?7))";
    int result = note_subject(db, m->subject, r->host_us);

    for (size_t i = 0; result == SQLITE_OK && i < m->n_zone; i++) {
        const Mnc__SessionZone *z = m->zone[i];
        const struct value v[] = {{m->subject, 0}, {NULL, z->zone}, {NULL, m->ended_us}, {NULL, m->number}, {NULL, z->depth_um}, {NULL, (uint64_t)m->end},
                                  {NULL, m->continues != 0 ? m->continues : m->number}};

        if (z->strokes > 0 || z->runs > 0 || m->incomplete)
            result = run(db, sql, v, 7);
    }
    for (size_t i = 0; result == SQLITE_OK && m->incomplete && i < m->n_cartridge; i++) /* of an incomplete session: they may have been used */
        result = note_use(db, m->cartridge[i]->uid, id + m->number, m->cartridge[i]->lot, r);
    return result;
}

static int note_note(sqlite3 *db, uint64_t id, const struct journal_record *r)
{
    bool out_of_memory;
    ProtobufCAllocator noting = wire_allocator(&out_of_memory);
    Mnc__Note *note = mnc__note__unpack(&noting, r->length, r->bytes);
    int result = out_of_memory ? SQLITE_NOMEM : SQLITE_OK;

    if (note != NULL && note->session != NULL && note->session->subject != NULL)
        result = r->kind == MNC__JOURNAL_KIND__JOURNAL_SESSION_ENDED ? note_session(db, id, note->session, r) : note_subject(db, note->session->subject, r->host_us);
    mnc__note__free_unpacked(note, &noting);
    return result;
}

static int note_clock(sqlite3 *db, uint64_t now_us)
{
    const struct value v[] = {{NULL, now_us}};
    int r = run(db, "UPDATE OR REPLACE treated SET ended_us = ?1 WHERE ended_us > ?1", v, 1);

    return r == SQLITE_OK ? run(db, "UPDATE known SET latest_us = ?1", v, 1) : r;
}

int past_note(sqlite3 *db, uint64_t id, const struct journal_record *r)
{
    const struct value at[] = {{NULL, r->host_us}};
    int result = SQLITE_OK;

    switch (r->kind) {
    case MNC__JOURNAL_KIND__JOURNAL_BEGUN:
        return run(db, "INSERT OR REPLACE INTO known(one, since_us, latest_us) VALUES(1, ?, 0)", at, 1);
    case MNC__JOURNAL_KIND__JOURNAL_RUN:
    case MNC__JOURNAL_KIND__JOURNAL_RUN_BEGUN:
        result = note_record(db, r);
        break;
    case MNC__JOURNAL_KIND__JOURNAL_SESSION_BEGUN:
    case MNC__JOURNAL_KIND__JOURNAL_SESSION_ENDED:
        result = note_note(db, id, r);
        break;
    case MNC__JOURNAL_KIND__JOURNAL_CLOCK:
        return note_clock(db, r->host_us);
    default:
        return SQLITE_OK;
    }
    return result == SQLITE_OK ? run(db, "UPDATE known SET latest_us = MAX(latest_us, ?)", at, 1) : result;
}

int past_begin(sqlite3 *db)
{
    return run(db, "INSERT INTO known(one, since_us, latest_us) SELECT 1, host_us, 0 FROM records ORDER BY position LIMIT 1", NULL, 0);
}

/* Row by row, from one end and then from the other: what stands behind a damaged page is found from behind. SQLITE_OK also when some cannot be read. */
static int salvage_table(sqlite3 *from, sqlite3 *to, const char *select, const char *order, const char *insert, unsigned *count)
{
    sqlite3_stmt *in = NULL;
    int r = sqlite3_prepare_v2(to, insert, -1, &in, NULL);

    for (int backward = 0; r == SQLITE_OK && backward < 2; backward++) {
        char sql[240];
        sqlite3_stmt *out = NULL;

        snprintf(sql, sizeof(sql), "%s ORDER BY %s%s", select, order, backward ? " DESC" : "");
        if (sqlite3_prepare_v2(from, sql, -1, &out, NULL) != SQLITE_OK)
            break; /* no such table, or no journal */
        while (r == SQLITE_OK && sqlite3_step(out) == SQLITE_ROW) {
            for (int i = 0; r == SQLITE_OK && i < sqlite3_column_count(out); i++)
                r = sqlite3_bind_value(in, i + 1, sqlite3_column_value(out, i));
            if (r == SQLITE_OK && sqlite3_step(in) == SQLITE_DONE)
                *count += (unsigned)sqlite3_changes(to); /* 0 for a row that is not ours: a value has the wrong type */
            r = r == SQLITE_OK && sqlite3_reset(in) == SQLITE_FULL ? SQLITE_FULL : r;
        }
        sqlite3_finalize(out);
    }
    sqlite3_finalize(in);
    return r;
}

int past_salvage(sqlite3 *db, const char *damaged, unsigned *treated, unsigned *uses)
{
    unsigned ignored = 0;
    sqlite3 *old = NULL;
    int r = SQLITE_OK;

    *treated = *uses = 0;
    if (sqlite3_open_v2(damaged, &old, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK) {
        r = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL); /* one transaction, since each single commit would wait for the disk */
        if (r == SQLITE_OK)
            r = salvage_table(old, db, "SELECT subject, zone, ended_us, depth_um, end FROM treated", "subject",
                              "INSERT OR IGNORE INTO treated(subject, zone, ended_us, session, origin, depth_um, end) VALUES(?1, ?2, ?3, 0, -1, ?4, ?5)", treated);
        if (r == SQLITE_OK)
            r = salvage_table(old, db, "SELECT uid, treatment, lot, first_us, serial FROM uses", "uid",
                              "INSERT OR IGNORE INTO uses(uid, treatment, lot, first_us, serial) VALUES(?, ?, ?, ?, ?)", uses);
        if (r == SQLITE_OK)
            r = salvage_table(old, db, "SELECT folded, subject, first_us FROM subjects", "folded", "INSERT OR IGNORE INTO subjects(folded, subject, first_us) VALUES(?, ?, ?)", &ignored);
        if (r == SQLITE_OK)
            r = salvage_table(old, db, "SELECT latest_us FROM known", "one", "UPDATE known SET latest_us = MAX(latest_us, ?)", &ignored);
        if (r == SQLITE_OK)
            r = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    }
    sqlite3_close(old);
    return r;
}

static int query_times(sqlite3 *db, struct past *out)
{
    sqlite3_stmt *q = NULL;
    int r = first(db, "SELECT since_us, latest_us, (SELECT host_us FROM records ORDER BY position DESC LIMIT 1) FROM known", NULL, 0, &q);

    if (r == SQLITE_ROW) {
        uint64_t newest_us = (uint64_t)sqlite3_column_int64(q, 2);

        out->since_us = (uint64_t)sqlite3_column_int64(q, 0);
        out->latest_us = (uint64_t)sqlite3_column_int64(q, 1);
        out->latest_us = newest_us > out->latest_us ? newest_us : out->latest_us;
    }
    sqlite3_finalize(q);
    return r == SQLITE_ROW ? SQLITE_OK : r == SQLITE_DONE ? SQLITE_CORRUPT : r;
}

static int query_continued(sqlite3 *db, const struct past_question *q, struct past *out)
{
    const struct value v[] = {{NULL, q->continued}, {q->subject, 0}};
    sqlite3_stmt *s = NULL;
    int r;

    if (q->continued == 0)
        return SQLITE_OK;
    r = first(db, "SELECT origin, ended_us, end FROM treated WHERE session = ? AND subject = ? LIMIT 1", v, 2, &s);
    if (r == SQLITE_ROW) {
        out->continued.found = true;
        out->continued.origin = (uint32_t)sqlite3_column_int64(s, 0);
        out->continued.ended_us = (uint64_t)sqlite3_column_int64(s, 1);
        out->continued.end = (uint32_t)sqlite3_column_int64(s, 2);
    }
    sqlite3_finalize(s);
    return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

static int query_zone(sqlite3 *db, const struct past_question *q, size_t zone, int depth, struct past *out)
{
    static const char *const sql[PAST_DEPTHS] = {
        "SELECT ended_us, depth_um, session FROM treated WHERE subject = ? AND zone = ? AND depth_um < ? AND origin <> ? ORDER BY ended_us DESC LIMIT 1",
        "SELECT ended_us, depth_um, session FROM treated WHERE subject = ? AND zone = ? AND depth_um >= ? AND origin <> ? ORDER BY ended_us DESC LIMIT 1",
    };
    const struct value v[] = {{q->subject, 0}, {NULL, q->zones[zone]}, {NULL, q->medium_um}, {NULL, out->continued.origin}};
    sqlite3_stmt *s = NULL;
    int r = first(db, sql[depth], v, 4, &s);

    if (r == SQLITE_ROW)
        out->zones[zone][depth] = (struct past_time){(uint64_t)sqlite3_column_int64(s, 0), (uint32_t)sqlite3_column_int64(s, 1), (uint32_t)sqlite3_column_int64(s, 2)};
    sqlite3_finalize(s);
    return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

static int query_cartridge(sqlite3 *db, const struct past_question *q, struct past *out)
{
    const struct value v[] = {{NULL, q->cartridge_uid}, {NULL, q->treatment}};
    sqlite3_stmt *s = NULL;
    int r;

    if (q->cartridge_uid == 0)
        return SQLITE_OK;
    r = first(db, "SELECT treatment, first_us, serial FROM uses WHERE uid = ?1 AND (treatment <> ?2 OR ?2 = 0) LIMIT 1", v, 2, &s);
    if (r == SQLITE_ROW) {
        const char *serial = (const char *)sqlite3_column_text(s, 2);

        out->used_in = (uint64_t)sqlite3_column_int64(s, 0);
        out->used_in = out->used_in != 0 ? out->used_in : UINT64_MAX; /* recorded by a firmware without treatments */
        out->used_us = (uint64_t)sqlite3_column_int64(s, 1);
        snprintf(out->used_with, sizeof(out->used_with), "%s", serial != NULL ? serial : "");
    }
    sqlite3_finalize(s);
    return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

static int query_subject(sqlite3 *db, const struct past_question *q, struct past *out)
{
    char folded[PAST_SUBJECT_MAX + 1];
    const struct value v[] = {{folded, 0}};
    sqlite3_stmt *s = NULL;
    size_t used = 0;
    int r;

    fold(q->subject, folded);
    out->subject_is_new = true;
    for (r = first(db, "SELECT subject FROM subjects WHERE folded = ? ORDER BY first_us", v, 1, &s); r == SQLITE_ROW; r = sqlite3_step(s)) {
        const char *subject = (const char *)sqlite3_column_text(s, 0);

        if (subject != NULL && strcmp(subject, q->subject) == 0)
            out->subject_is_new = false;
        else if (subject != NULL && used + strlen(subject) + 3 <= sizeof(out->doubles))
            used += (size_t)snprintf(out->doubles + used, sizeof(out->doubles) - used, "%s%s", used > 0 ? ", " : "", subject);
    }
    sqlite3_finalize(s);
    return r == SQLITE_DONE ? SQLITE_OK : r;
}

int past_query(struct store *s, const struct past_question *q, struct past *out)
{
    sqlite3 *db = s->db;
    int r;

    memset(out, 0, sizeof(*out));
    r = query_times(db, out);
    if (r == SQLITE_OK)
        r = query_continued(db, q, out);
    for (size_t i = 0; r == SQLITE_OK && i < q->zone_count && i < PAST_ZONES_MAX; i++) {
        for (int depth = 0; r == SQLITE_OK && depth < PAST_DEPTHS; depth++)
            r = query_zone(db, q, i, depth, out);
    }
    if (r == SQLITE_OK)
        r = query_cartridge(db, q, out);
    if (r == SQLITE_OK)
        r = query_subject(db, q, out);
    return r == SQLITE_OK ? 0 : store_failed(s, r);
}

uint32_t past_days(const struct past_time *then, uint64_t now_us)
{
    uint64_t days = now_us > then->ended_us ? (now_us - then->ended_us) / UINT64_C(86400000000) : 0;

    if (then->ended_us == 0)
        return UINT32_MAX;
    return days < UINT32_MAX ? (uint32_t)days : UINT32_MAX - 1;
}

void past_date(uint64_t unix_us, char out[PAST_DATE])
{
    time_t s = (time_t)(unix_us / 1000000);
    struct tm tm;

    if (gmtime_r(&s, &tm) == NULL || strftime(out, PAST_DATE, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        snprintf(out, PAST_DATE, "?");
}

bool past_clock_is_right(const struct past *p, uint64_t clock_us, char *why, size_t cap)
{
    char said[PAST_DATE], known[PAST_DATE];

    past_date(clock_us, said);
    past_date(p->latest_us, known);
    if (clock_us < CLOCK_FLOOR_US)
        snprintf(why, cap, "this machine's clock says %s: set it right first", said);
    else if (clock_us + CLOCK_TOLERANCE_US < p->latest_us)
        snprintf(why, cap, "this machine's clock says %s, and the journal has seen %s: set it right, or let service confirm it", said, known);
    else
        return true;
    return false;
}

uint64_t past_now_us(const struct past *p, uint64_t clock_us)
{
    return clock_us > p->latest_us ? clock_us : p->latest_us;
}

static int query_treated(sqlite3 *db, uint32_t number, struct past_session *out)
{
    const struct value v[] = {{NULL, number}};
    sqlite3_stmt *q = NULL;
    int r;

    for (r = first(db, "SELECT subject, zone, depth_um, ended_us, end FROM treated WHERE session = ? ORDER BY zone", v, 1, &q); r == SQLITE_ROW && out->zone_count < PAST_ZONES_MAX;
         r = sqlite3_step(q)) {
        const char *subject = (const char *)sqlite3_column_text(q, 0);

        snprintf(out->subject, sizeof(out->subject), "%s", subject != NULL ? subject : "");
        out->zones[out->zone_count].zone = (uint32_t)sqlite3_column_int64(q, 1);
        out->zones[out->zone_count++].depth_um = (uint32_t)sqlite3_column_int64(q, 2);
        out->ended_us = (uint64_t)sqlite3_column_int64(q, 3);
        out->end = (uint32_t)sqlite3_column_int64(q, 4);
    }
    sqlite3_finalize(q);
    return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

int past_session(struct store *s, uint32_t number, struct past_session *out)
{
    const struct value v[] = {{NULL, store_id(s) + number}};
    sqlite3_stmt *q = NULL;
    int r;

    memset(out, 0, sizeof(*out));
    r = query_treated(s->db, number, out);
    if (r != SQLITE_OK)
        return store_failed(s, r);
    for (r = first(s->db, "SELECT uid, lot, serial, first_us FROM uses WHERE treatment = ? ORDER BY first_us DESC", v, 1, &q); r == SQLITE_ROW && out->cartridge_count < PAST_ZONES_MAX;
         r = sqlite3_step(q)) {
        const char *serial = (const char *)sqlite3_column_text(q, 2);

        snprintf(out->serial, sizeof(out->serial), "%s", serial != NULL ? serial : "");
        out->cartridges[out->cartridge_count].uid = (uint64_t)sqlite3_column_int64(q, 0);
        out->cartridges[out->cartridge_count++].lot = (uint32_t)sqlite3_column_int64(q, 1);
        out->used_us = (uint64_t)sqlite3_column_int64(q, 3);
    }
    sqlite3_finalize(q);
    return r == SQLITE_ROW || r == SQLITE_DONE ? 0 : store_failed(s, r);
}

int past_sessions_of(struct store *s, uint64_t uid, uint32_t lot, uint32_t below, uint32_t *numbers, size_t cap, size_t *count)
{
    const struct value v[] = {{NULL, uid != 0 ? uid : lot}, {NULL, store_id(s)}, {NULL, store_id(s) + (below != 0 ? below - 1 : UINT32_MAX)}};
    sqlite3_stmt *q = NULL;
    int r = first(s->db, uid != 0 ? "SELECT treatment FROM uses WHERE uid = ?1 AND treatment > ?2 AND treatment <= ?3 ORDER BY treatment DESC"
                                            : "SELECT DISTINCT treatment FROM uses WHERE lot = ?1 AND treatment > ?2 AND treatment <= ?3 ORDER BY treatment DESC",
                  v, 3, &q);

    for (*count = 0; r == SQLITE_ROW && *count < cap; r = sqlite3_step(q))
        numbers[(*count)++] = (uint32_t)((uint64_t)sqlite3_column_int64(q, 0) - store_id(s));
    sqlite3_finalize(q);
    return r == SQLITE_ROW || r == SQLITE_DONE ? 0 : store_failed(s, r);
}
