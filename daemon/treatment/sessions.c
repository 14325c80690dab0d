#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "log.h"
#include "pen.pb-c.h"
#include "stall.h"

enum {
    TICK_US = 250000,
    TREATMENT_MINOR = 4, /* first minor whose pens stop for everything that can change while the needles move, and record a run before it begins */
};

uint64_t session_now_us(const struct sessions *all)
{
    return loop_us(all->event, CLOCK_BOOTTIME);
}

static void tick_soon(struct sessions *all)
{
    int enabled = 0;

    if (sd_event_source_get_enabled(all->timer, &enabled) >= 0 && enabled == SD_EVENT_OFF) {
        sd_event_source_set_time_relative(all->timer, TICK_US);
        sd_event_source_set_enabled(all->timer, SD_EVENT_ONESHOT);
    }
}

struct session *session_of(const struct sessions *all, const char *serial)
{
    struct session *s = all->open;

    while (s != NULL && strcmp(s->t.serial, serial) != 0)
        s = s->next;
    return s;
}

struct session *session_numbered(const struct sessions *all, uint32_t number)
{
    struct session *s = all->open;

    while (s != NULL && s->t.number != number)
        s = s->next;
    return s;
}

enum treatment_pen session_pen_now(const struct pen *p)
{
    switch (p != NULL ? pen_state(p) : MNP__STATE__STATE_UNSPECIFIED) {
    case MNP__STATE__STATE_UNSPECIFIED:
        return PEN_IS_GONE;
    case MNP__STATE__STATE_ARMED:
        return PEN_IS_ARMED;
    case MNP__STATE__STATE_RUNNING:
    case MNP__STATE__STATE_STOPPING:
        return PEN_IS_RUNNING;
    default:
        return PEN_IS_AT_REST;
    }
}

struct treatment_context session_context(const struct sessions *all, const char *serial, const struct client *c)
{
    const struct client *holder = control_holder(all->control, serial);
    const struct pen *p = hub_pen(all->hub, serial);

    return (struct treatment_context){
        .has_lease = c != NULL && holder == c,
        .is_free = holder == NULL,
        .holder = holder != NULL ? client_name(holder) : NULL,
        .journal_error = hub_journal_error(all->hub),
        .pen = session_pen_now(p),
        .pen_is_safe = p != NULL && pen_state(p) == MNP__STATE__STATE_SAFE,
        .pen_is_old = p != NULL && pen_is_ready(p) && pen_minor(p) < TREATMENT_MINOR,
        .generation = p != NULL ? pen_config_generation(p) : 0,
        .now_us = session_now_us(all),
    };
}

bool session_append(struct sessions *all, const struct journal_record *r)
{
    struct journal *j = hub_journal(all->hub);

    return j != NULL && journal_append(j, r);
}

/* ---- life of one ---- */

struct session *session_new(struct sessions *all, const struct treatment *t)
{
    struct session *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->all = all;
    s->t = *t;
    s->next = all->open;
    all->open = s;
    tick_soon(all);
    return s;
}

static void session_free(struct session *s)
{
    hub_detach(s->all->hub, s);
    free(s->found);
    free(s);
}

static void end_is_on_disk(struct session *s)
{
    struct session **at = &s->all->open;

    treatment_ended(&s->t, s->t.ended_us, s->t.incomplete);
    log_info("session %u with pen %s has ended", s->t.number, s->t.serial);
    session_publish(s);
    reply_session(s);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    session_free(s);
}

/* ---- what pens and the journal do ---- */

/* The firmware enforces its own limits; here a pen is stopped that does what its session did not ask for. */
void session_look(struct sessions *all, struct pen *p)
{
    struct session *s = session_of(all, pen_serial(p));
    enum treatment_pen pen = session_pen_now(p);
    enum treatment_state before;
    char why[TREATMENT_TEXT_MAX + 1];

    if (s == NULL) {
        if ((pen == PEN_IS_ARMED || pen == PEN_IS_RUNNING) && !pen_is_armed_by_factory(p))
            pen_stop(p);
        return;
    }
    before = s->t.state;
    snprintf(why, sizeof(why), "%s", pen == PEN_IS_GONE ? "the pen is gone" : pen_state(p) == MNP__STATE__STATE_FAULT ? "the pen has a fault" : "");
    if (treatment_pen_is(&s->t, pen, why))
        pen_stop(p);
    if (s->t.state != before)
        session_publish(s);
    session_try_to_finish(s);
}

static void on_pen(void *ctx, struct pen *p)
{
    session_look(ctx, p);
}

/* Handles a pen's record of a run, or of a fault during it. */
static void take_record(struct session *s, const struct journal_record *r)
{
    history_add_record(&s->t, r);
    if (!s->motor_noticed && treatment_motor_ms(&s->t) >= (uint64_t)s->all->site->policy.limits[POLICY_motor_notice] * 60000) {
        s->motor_noticed = true;
        snprintf(s->t.text, sizeof(s->t.text), "notice: the motor has run for %u min in this session", s->all->site->policy.limits[POLICY_motor_notice]);
    }
    if (r->kind == MNC__JOURNAL_KIND__JOURNAL_RUN)
        session_publish(s);
}

static void beginning_is_on_disk(struct session *s)
{
    s->on_disk = true;
    log_info("session %u with pen %s has begun", s->t.number, s->t.serial);
    session_publish(s);
    if (s->t.state == TREATMENT_PREPARED)
        session_configure(s, 0);
}

static void on_committed(void *ctx, const struct journal_record *const *r, size_t n)
{
    struct sessions *all = ctx;

    for (size_t i = 0; i < n; i++) {
        struct session *s = session_of(all, r[i]->serial);
        bool its_own = s != NULL && r[i]->code == s->t.number;

        if (its_own && r[i]->kind == MNC__JOURNAL_KIND__JOURNAL_SESSION_BEGUN)
            beginning_is_on_disk(s);
        else if (its_own && r[i]->kind == MNC__JOURNAL_KIND__JOURNAL_SESSION_ENDED)
            end_is_on_disk(s);
        else if (r[i]->kind == MNC__JOURNAL_KIND__JOURNAL_ADVERSE)
            lists_committed(all, r[i]);
        else if (s != NULL && (r[i]->kind < MNC__JOURNAL_KIND__JOURNAL_BEGUN || r[i]->kind == MNC__JOURNAL_KIND__JOURNAL_LOST || r[i]->kind == MNC__JOURNAL_KIND__JOURNAL_RENEWED))
            take_record(s, r[i]);
    }
    for (struct session *s = all->open; s != NULL; s = s->next)
        session_try_to_finish(s); /* only now, when the last of these records has arrived: each of them counts */
}

/* ---- time ---- */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct sessions *all = userdata;

    stall_doing("the sessions");
    sessions_restore(all);
    for (struct session *s = all->open; s != NULL; s = s->next) {
        struct pen *p = hub_pen(all->hub, s->t.serial);

        if (s->t.state == TREATMENT_ARMING && s->t.arm_answered && session_now_us(all) >= s->deadline_us) {
            treatment_arm_late(&s->t);
            if (p != NULL)
                pen_stop(p);
            session_publish(s);
        }
        if (p != NULL)
            session_look(all, p);
        else if (treatment_is_live(&s->t) && !treatment_pen_is(&s->t, PEN_IS_GONE, "the pen is gone"))
            session_publish(s);
        session_try_to_finish(s);
    }
    if (all->open == NULL && all->restored_journal != 0)
        return 0;
    sd_event_source_set_time(source, usec + TICK_US);
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void on_journal(void *ctx)
{
    sessions_restore(ctx);
}

/* ---- for the server ---- */

void session_confirm_clock(struct sessions *all, struct client *c, uint32_t id)
{
    static const struct past nothing;
    char now[PAST_DATE], text[200], why[160];

    past_date(clock_us(CLOCK_REALTIME), now);
    snprintf(text, sizeof(text), "%s has confirmed that it is %s", client_name(c), now);
    if (!past_clock_is_right(&nothing, clock_us(CLOCK_REALTIME), why, sizeof(why))) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_STATE, "%s", why);
    } else if (hub_journal_error(all->hub)[0] != '\0') {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_JOURNAL, "%s", hub_journal_error(all->hub));
    } else if (!hub_note(all->hub, MNC__JOURNAL_KIND__JOURNAL_CLOCK, "", text)) {
        client_reject(c, id, MNC__ERROR_CODE__ERROR_JOURNAL, "the confirmation cannot be recorded now: too much waits for the disk");
    } else {
        log_warning("%s", text);
        client_reply_done(c, id); /* checks of plans that follow run after it is on disk */
    }
}

void sessions_stopped_by(struct sessions *all, const char *serial, const char *name)
{
    for (struct session *s = all->open; s != NULL; s = s->next) {
        if (serial == NULL || strcmp(s->t.serial, serial) == 0)
            treatment_stopped_by(&s->t, name);
    }
    for (struct admission *a = all->admissions; a != NULL; a = a->next) /* a pending ARM is cancelled by this STOP */
        a->is_stopped |= a->kind == ADMIT_ARM && (serial == NULL || strcmp(a->t.serial, serial) == 0);
}

bool sessions_any(const struct sessions *all)
{
    return all->open != NULL || all->admissions != NULL || all->restoring != NULL;
}

void sessions_client_gone(struct sessions *all, const struct client *c)
{
    for (struct session *s = all->open; s != NULL; s = s->next) {
        if (s->requester.client == c)
            s->requester.client = NULL;
    }
    for (struct admission *a = all->admissions; a != NULL; a = a->next) {
        if (a->requester.client == c)
            a->requester.client = NULL;
    }
    lists_client_gone(all, c);
}

/* The lease holder of a pen has lost its lease. */
static void on_lease_lost(void *ctx, const char *serial, const char *name)
{
    struct sessions *all = ctx;
    struct session *s = session_of(all, serial);
    char why[TREATMENT_TEXT_MAX + 1];

    if (s == NULL || !treatment_is_live(&s->t))
        return;
    snprintf(why, sizeof(why), "%.60s does not control the pen any more", name);
    treatment_lease_lost(&s->t, why);
    session_publish(s);
}

/* ---- life of all ---- */

int sessions_new(struct sessions **out, sd_event *event, struct hub *hub, struct control *control, const struct site *site)
{
    struct sessions *all = calloc(1, sizeof(*all));
    int r;

    if (all == NULL)
        return -ENOMEM;
    all->event = event;
    all->hub = hub;
    all->control = control;
    all->site = site;
    r = sd_event_add_time_relative(event, &all->timer, CLOCK_MONOTONIC, 0, 10000, on_timer, all);
    if (r < 0) {
        free(all);
        return r;
    }
    hub_add_observer(hub, &(struct hub_observer){.ctx = all, .committed = on_committed, .pen = on_pen, .journal = on_journal});
    control_on_lost(control, on_lease_lost, all);
    *out = all;
    return 0;
}

/* Admissions that the worker has are freed when they return; those that wait for pens are freed here. */
void sessions_free(struct sessions *all)
{
    struct session *s;

    if (all == NULL)
        return;
    hub_remove_observer(all->hub, all);
    while ((s = all->open) != NULL) {
        all->open = s->next;
        session_free(s);
    }
    while (all->admissions != NULL) {
        struct admission *a = all->admissions;

        all->admissions = a->next;
        a->all = NULL;
        hub_detach(all->hub, a);
        if (!a->working)
            free(a);
    }
    sessions_restore_cancel(all);
    lists_free(all);
    sd_event_source_disable_unref(all->timer);
    free(all);
}
