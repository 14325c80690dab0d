#include "inside.h"
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "frame.h"
#include "pen.pb-c.h"

enum { ADMISSIONS_PER_CLIENT = 4 };

/* ---- life ---- */

void admission_free(struct admission *a)
{
    struct admission **at = a->all != NULL ? &a->all->admissions : NULL;

    while (at != NULL && *at != a)
        at = &(*at)->next;
    if (at != NULL)
        *at = a->next;
    free(a);
}

struct admission *admission_new(struct sessions *all, struct requester *requester, enum admission_kind kind, const char *serial)
{
    struct admission *a;
    unsigned waiting = 0;

    for (a = all->admissions; a != NULL; a = a->next)
        waiting += a->requester.client == requester->client;
    a = waiting < ADMISSIONS_PER_CLIENT ? calloc(1, sizeof(*a)) : NULL;
    if (a == NULL) {
        reply_error(requester, MNC__ERROR_CODE__ERROR_BUSY, serial, "too many plans of this program are being looked at, or there is no memory");
        return NULL;
    }
    a->all = all;
    a->requester = *requester;
    a->kind = kind;
    a->next = all->admissions;
    all->admissions = a;
    return a;
}

/* ---- decisions ---- */

/* All facts about a session to be armed have arrived: decides. */
static void admit_arm(struct admission *a, struct session *s, const struct findings *found)
{
    struct treatment_context w = session_context(a->all, s->t.serial, s->requester.client);
    struct rejection rejection;

    w.asked_generation = a->asked_generation;
    if (a->is_stopped)
        reply_error(&s->requester, MNC__ERROR_CODE__ERROR_STATE, s->t.serial, "it was stopped before it could be armed");
    else if (!treatment_may_arm(&s->t, found, &w, &rejection))
        reply_rejection(&s->requester, &rejection, s->t.serial);
    else if (a->t.cartridge_count == TREATMENT_CARTRIDGES_MAX)
        reply_error(&s->requester, MNC__ERROR_CODE__ERROR_STATE, s->t.serial, "too many cartridges were used in this session: end it");
    else {
        s->t.cartridge_uid = a->cartridge.uid;
        s->t.cartridge_lot = a->cartridge.lot;
        s->t.needle_count = a->cartridge.needle_count;
        session_send_arm(s);
    }
}

/* All facts about a session to begin have arrived: decides. True: it begins, and takes ownership of found. */
static bool admit_beginning(struct admission *a, struct findings *found)
{
    struct sessions *all = a->all;
    struct treatment_context w = session_context(all, a->t.serial, a->requester.client);
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct journal_record r;
    struct rejection rejection;
    struct session *s;

    if (!treatment_may_begin(&w, found, &rejection)) {
        if (rejection.kind == REJECTED_POLICY)
            reply_findings(&a->requester, found);
        else
            reply_rejection(&a->requester, &rejection, a->t.serial);
        return false;
    }
    if (session_of(all, a->t.serial) != NULL) {
        reply_error(&a->requester, MNC__ERROR_CODE__ERROR_STATE, a->t.serial, "another session of it has begun: end that first");
        return false;
    }
    a->t.state = TREATMENT_PREPARED;
    a->t.number = all->next_number;
    a->t.id = all->restored_journal + a->t.number;
    a->t.cartridge_uid = a->cartridge.uid;
    a->t.cartridge_lot = a->cartridge.lot;
    a->t.needle_count = a->cartridge.needle_count;
    a->t.begun_us = clock_us(CLOCK_REALTIME);
    if (!history_begun(&r, &a->t, found, all->site, bytes)) {
        reply_error(&a->requester, MNC__ERROR_CODE__ERROR_MALFORMED, a->t.serial, "the plan is too large to be recorded");
    } else if (!session_append(all, &r) || (s = session_new(all, &a->t)) == NULL) {
        reply_error(&a->requester, MNC__ERROR_CODE__ERROR_BUSY, a->t.serial, "too much waits for the disk, or there is no memory");
    } else {
        all->next_number++;
        s->found = found;
        s->requester = a->requester;
        return true;
    }
    return false;
}

static void decide(struct admission *a)
{
    struct sessions *all = a->all;
    struct session *s = a->kind == ADMIT_ARM ? session_numbered(all, a->t.number) : NULL;
    struct findings *found = calloc(1, sizeof(*found));

    if (found == NULL) {
        reply_error(s != NULL ? &s->requester : &a->requester, MNC__ERROR_CODE__ERROR_BUSY, a->t.serial, "the daemon is out of memory");
        return;
    }
    admission_check(a, found);
    if (s != NULL) {
        if (s->requester.client != NULL)
            admit_arm(a, s, found);
    } else if (a->kind == ADMIT_CHECK) {
        reply_findings(&a->requester, found);
    } else if (a->kind == ADMIT_ARM) {
        reply_error(&a->requester, MNC__ERROR_CODE__ERROR_NO_SESSION, a->t.serial, "its session has ended meanwhile");
    } else if (admit_beginning(a, found)) {
        return;
    }
    free(found);
}

/* ---- what the journal knows ---- */

static void admission_reject(struct admission *a, Mnc__ErrorCode code, const char *sentence)
{
    struct session *s = a->kind == ADMIT_ARM ? session_numbered(a->all, a->t.number) : NULL;

    reply_error(s != NULL ? &s->requester : &a->requester, code, a->t.serial, sentence);
}

static void run_past(struct journal_work *w, struct store *store)
{
    struct admission *a = (struct admission *)w;

    a->result = past_query(store, &a->question, &a->past);
}

static void done_past(struct journal_work *w, bool ran)
{
    struct admission *a = (struct admission *)w;

    a->working = false;
    if (a->all != NULL && (!ran || a->result < 0))
        admission_reject(a, MNC__ERROR_CODE__ERROR_JOURNAL, "the journal cannot be read for earlier sessions");
    else if (a->all != NULL && a->requester.client != NULL)
        decide(a);
    admission_free(a);
}

static void query_past(struct admission *a)
{
    struct past_question *q = &a->question;

    snprintf(q->subject, sizeof(q->subject), "%s", a->t.subject);
    for (q->zone_count = 0; q->zone_count < a->t.input.step_count; q->zone_count++)
        q->zones[q->zone_count] = a->t.input.steps[q->zone_count].zone;
    q->medium_um = a->all->site->policy.limits[POLICY_depth_medium];
    q->continued = a->t.continues;
    q->cartridge_uid = a->cartridge.uid;
    q->treatment = a->t.id;
    a->working = true;
    a->work.run = run_past;
    a->work.done = done_past;
    journal_work(hub_journal(a->all->hub), &a->work);
}

/* ---- the pen's cartridge ---- */

static void on_info(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct admission *a = ctx;
    Mnp__Info *info = result == PEN_RESULT_REPLY && (type & MN_TYPE_ERROR) == MN_TYPE_REPLY ? mnp__info__unpack(NULL, n, payload) : NULL;

    (void)id;
    if (info != NULL && info->cartridge != NULL) {
        a->cartridge.state = info->cartridge->state;
        a->cartridge.uid = info->cartridge->uid;
        a->cartridge.lot = info->cartridge->lot;
        a->cartridge.needle_count = info->cartridge->needle_count;
        a->cartridge.max_depth_um = info->cartridge->max_depth_um;
    }
    if (info != NULL && hub_journal(a->all->hub) != NULL) {
        query_past(a);
    } else {
        admission_reject(a, MNC__ERROR_CODE__ERROR_TIMEOUT, "it did not say what cartridge it has");
        admission_free(a);
    }
    mnp__info__free_unpacked(info, NULL);
}

/* Asks the pen for its cartridge first; without a pen, asks the journal only. */
void admission_start(struct admission *a)
{
    struct pen *p = hub_pen(a->all->hub, a->t.serial);

    if (a->t.serial[0] == '\0') {
        query_past(a);
    } else if (p == NULL || !pen_is_ready(p) || pen_call(p, MNP__FRAME_TYPE__TYPE_INFO, NULL, 0, SESSION_PEN_TIMEOUT_MS, on_info, a, 0) < 0) {
        admission_reject(a, MNC__ERROR_CODE__ERROR_PEN_NOT_READY, "it is not ready");
        admission_free(a);
    }
}

/* ---- requests ---- */

static void begin(struct sessions *all, struct client *c, uint32_t id, const char *serial, const Mnc__Plan *plan, bool check_only)
{
    struct treatment_context w;
    struct admission *a;
    struct requester requester = {c, id};
    struct rejection rejection;
    char why[200];

    if (serial != NULL && serial[0] == '@') {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_NO_PEN, "a treatment is recorded with a pen's serial number, and %.40s is only where one is plugged in", serial);
        return;
    }
    if (serial == NULL && check_only)
        serial = "";
    else if (serial == NULL || hub_pen(all->hub, serial) == NULL) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_NO_PEN, "no pen with serial number %.40s is plugged in", serial != NULL ? serial : "");
        return;
    }
    w = session_context(all, serial, c);
    /* What would be rejected anyway is rejected before pen and journal are asked; the policy follows when everything is known. */
    if (check_only)
        w.has_lease = w.pen_is_safe = true;
    if (serial[0] == '\0')
        w.pen = PEN_IS_AT_REST;
    if (!treatment_may_begin(&w, &(struct findings){.worst = DECISION_OK}, &rejection)) {
        reply_rejection(&requester, &rejection, serial);
        return;
    }
    if (!check_only && session_of(all, serial) != NULL) {
        snprintf(why, sizeof(why), "session %u of it is open: end that first", session_of(all, serial)->t.number);
        reply_error(&requester, MNC__ERROR_CODE__ERROR_STATE, serial, why);
        return;
    }
    sessions_restore(all);
    if (all->restored_journal == 0 || all->restored_journal != journal_id(hub_journal(all->hub))) {
        reply_error(&requester, MNC__ERROR_CODE__ERROR_BUSY, serial, "earlier sessions are being read from the journal: try again");
        return;
    }
    a = admission_new(all, &requester, check_only ? ADMIT_CHECK : ADMIT_BEGIN, serial);
    if (a == NULL)
        return;
    snprintf(a->t.serial, sizeof(a->t.serial), "%s", serial);
    snprintf(a->t.by, sizeof(a->t.by), "%s", client_name(c));
    if (!plan_read(&a->t, plan, session_now_us(all), why, sizeof(why))) {
        reply_error(&requester, MNC__ERROR_CODE__ERROR_MALFORMED, serial, why);
        admission_free(a);
        return;
    }
    admission_start(a);
}

void session_check(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionCheck *m)
{
    begin(all, c, id, m->serial, m->plan, true);
}

void session_begin(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionBegin *m)
{
    begin(all, c, id, m->serial, m->plan, false);
}
