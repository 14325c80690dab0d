#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control.h"
#include "history.h"
#include "log.h"
#include "past.h"
#include "pen.pb-c.h"
#include "plan.h"

enum {
    TICK_US = 250000,
    ARM_LATE_US = 500000,      /* from its answer to the status that says ARMED */
    END_LATE_US = 3000000,      /* for the pen's last records */
    RESTORE_LATE_US = 30000000, /* for a pen that was there when the daemon died */
    PEN_TIMEOUT_MS = 1000,
    OPEN_MAX = 256,
    OPENINGS_PER_CLIENT = 4,
    TREATMENT_MINOR = 4, /* of the pens' protocol: they stop for all that can change while the needles move, and record a run before it begins */
};

/* A program that is to be answered; client NULL: it has gone. */
struct asker {
    struct client *client;
    uint32_t id;
};

struct session { /* that is open */
    struct session *next;
    struct sessions *all;
    struct treatment t;
    struct findings *found; /* at its beginning; NULL: it was restored */
    struct asker asker;     /* of what is under way */
    uint64_t deadline_us;   /* ARMING: for its status; ENDING: for the pen's records */
    bool on_disk;           /* its beginning */
    bool ending_on_disk;    /* its end is on its way there */
    bool motor_noticed;
};

enum question { QUESTION_CHECK, QUESTION_BEGIN, QUESTION_ARM };

struct opening { /* a plan that is looked at, at its beginning and before each ARM: first what the pen has in it, then what the journal knows */
    struct journal_work work;
    struct opening *next;
    struct sessions *all; /* NULL: the daemon ends */
    struct asker asker;
    enum question question;
    struct treatment t;   /* ARM: as it was when it was asked for */
    uint32_t asked_generation;
    bool is_stopped;      /* ARM: somebody has asked for STOP meanwhile */
    struct { /* the cartridge */
        Mnp__CartridgeState state;
        uint64_t uid;
        uint32_t lot, needle_count, max_depth_um;
    } cartridge;
    struct past_question asks;
    struct past past;
    bool working;
    int result;
};

struct restore {
    struct journal_work work;
    struct sessions *all;
    uint64_t journal;
    struct treatment open[OPEN_MAX];
    size_t count;
    uint32_t next_number;
    int result;
};

struct sessions {
    struct client_env *env;
    const struct site *site;
    struct session *open;
    struct opening *openings;
    struct restore *restoring;
    uint64_t restored_journal; /* whose sessions are here; 0: none yet */
    uint32_t next_number;
    sd_event_source *timer;
};

static uint64_t now_us(const struct sessions *all)
{
    uint64_t now = 0;

    sd_event_now(all->env->event, CLOCK_BOOTTIME, &now);
    return now;
}

static uint64_t unix_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void tick_soon(struct sessions *all)
{
    int enabled = 0;

    if (sd_event_source_get_enabled(all->timer, &enabled) >= 0 && enabled == SD_EVENT_OFF) {
        sd_event_source_set_time_relative(all->timer, TICK_US);
        sd_event_source_set_enabled(all->timer, SD_EVENT_ONESHOT);
    }
}

/* ---- answers ---- */

static void refuse(struct asker *a, const struct refusal *r, const char *serial)
{
    static const Mnc__ErrorCode codes[] = {
        [REFUSED_LEASE] = MNC__ERROR_CODE__ERROR_LEASE,   [REFUSED_STATE] = MNC__ERROR_CODE__ERROR_STATE,
        [REFUSED_JOURNAL] = MNC__ERROR_CODE__ERROR_JOURNAL, [REFUSED_POLICY] = MNC__ERROR_CODE__ERROR_POLICY,
        [REFUSED_CONFLICT] = MNC__ERROR_CODE__ERROR_CONFLICT, [REFUSED_PEN] = MNC__ERROR_CODE__ERROR_PEN_NOT_READY,
    };

    if (a->client != NULL)
        client_refuse(a->client, a->id, codes[r->kind], "pen %s: %s", serial, r->text);
    a->client = NULL;
}

static void refuse_with(struct asker *a, Mnc__ErrorCode code, const char *serial, const char *sentence)
{
    if (a->client != NULL)
        client_refuse(a->client, a->id, code, "pen %s: %s", serial, sentence);
    a->client = NULL;
}

static void say_session(struct session *s)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__SessionReply reply = MNC__SESSION_REPLY__INIT;
    struct session_message packed;

    if (s->asker.client == NULL)
        return;
    history_message(&packed, &s->t, s->found, s->found != NULL ? s->all->site : NULL);
    reply.session = &packed.m;
    reply.n_finding = packed.m.n_finding;
    reply.finding = packed.m.finding;
    m.body_case = MNC__SERVER_MESSAGE__BODY_SESSION;
    m.session = &reply;
    client_say(s->asker.client, &m, s->asker.id);
    s->asker.client = NULL;
}

/* For all who watch. */
static void show(struct session *s)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    struct session_message packed;

    history_message(&packed, &s->t, NULL, NULL);
    m.body_case = MNC__SERVER_MESSAGE__BODY_SESSION_CHANGED;
    m.session_changed = &packed.m;
    fanout_tell_watchers(hub_fanout(s->all->env->hub), &m);
}

/* ---- the world ---- */

static struct session *session_of(const struct sessions *all, const char *serial)
{
    struct session *s = all->open;

    while (s != NULL && strcmp(s->t.serial, serial) != 0)
        s = s->next;
    return s;
}

static enum treatment_pen pen_now(const struct pen *p)
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

static struct treatment_world world(const struct sessions *all, const char *serial, const struct client *c)
{
    const struct lease *l = control_owner(all->env->control, serial);
    const struct pen *p = hub_pen(all->env->hub, serial);

    return (struct treatment_world){
        .has_lease = l != NULL && c != NULL && l->owner == c,
        .is_free = l == NULL,
        .owner = l != NULL ? l->name : NULL,
        .journal_error = hub_journal_error(all->env->hub),
        .pen = pen_now(p),
        .pen_is_safe = p != NULL && pen_state(p) == MNP__STATE__STATE_SAFE,
        .pen_is_old = p != NULL && pen_is_ready(p) && pen_minor(p) < TREATMENT_MINOR,
        .generation = p != NULL ? pen_config_generation(p) : 0,
        .now_us = now_us(all),
    };
}

/* ---- the end of a session ---- */

static void session_free(struct session *s)
{
    hub_forget(s->all->env->hub, s);
    free(s->found);
    free(s);
}

static bool append(struct sessions *all, const struct journal_record *r)
{
    struct journal *j = hub_journal(all->env->hub);

    return j != NULL && journal_append(j, r);
}

/* Its end goes to the disk once the pen stands still and its records are there, or time is up. */
static void try_to_finish(struct session *s)
{
    struct pen *p = hub_pen(s->all->env->hub, s->t.serial);
    enum treatment_pen pen = pen_now(p);
    bool all_in = pen == PEN_IS_AT_REST && pen_records_are_in(p), late = now_us(s->all) >= s->deadline_us;
    uint8_t bytes[STORE_NOTE_MAX];
    struct journal_record r;
    struct treatment ended;

    if (s->t.state != TREATMENT_ENDING || s->ending_on_disk || !s->on_disk || (!all_in && !late))
        return;
    ended = s->t;
    treatment_ended(&ended, unix_us(), !all_in);
    if (!history_ended(&r, &ended, bytes) || !append(s->all, &r))
        return; /* there is no room now: at the next tick */
    s->t.ended_us = ended.ended_us;
    s->t.incomplete = ended.incomplete;
    s->ending_on_disk = true;
}

static void end_is_on_disk(struct session *s)
{
    struct session **at = &s->all->open;

    treatment_ended(&s->t, s->t.ended_us, s->t.incomplete);
    log_info("session %u with pen %s has ended", s->t.number, s->t.serial);
    show(s);
    say_session(s);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    session_free(s);
}

/* ---- zones ---- */

static void on_configured(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct session *s = ctx;
    Mnp__ConfigState *state = result == PEN_RESULT_REPLY && (type & MN_TYPE_ERROR) == MN_TYPE_REPLY ? mnp__config_state__unpack(NULL, n, payload) : NULL;
    Mnp__Error *e = result == PEN_RESULT_REPLY && state == NULL ? mnp__error__unpack(NULL, n, payload) : NULL;

    if (state != NULL && state->has_generation && s->t.zone_now == id) {
        treatment_selected(&s->t, state->generation);
        show(s);
        say_session(s);
    } else {
        refuse_with(&s->asker, MNC__ERROR_CODE__ERROR_STATE, s->t.serial,
                    e != NULL && e->text != NULL ? e->text : "it did not take the zone's depth and rate; choose the zone again");
    }
    mnp__error__free_unpacked(e, NULL);
    mnp__config_state__free_unpacked(state, NULL);
}

/* The zone's depth and rate go to the pen; the answer, to who has asked. */
static void configure(struct session *s, size_t zone)
{
    struct pen *p = hub_pen(s->all->env->hub, s->t.serial);
    Mnp__ConfigSet set = MNP__CONFIG_SET__INIT;
    Mnp__Config config = MNP__CONFIG__INIT;
    uint8_t payload[64];

    treatment_selecting(&s->t, zone);
    config.has_depth_um = config.has_stroke_rate_dhz = true;
    config.depth_um = s->t.zones[zone].depth_um;
    config.stroke_rate_dhz = s->t.zones[zone].stroke_rate_dhz;
    set.config = &config;
    if (p == NULL || pen_call(p, MNP__FRAME_TYPE__TYPE_CONFIG_SET, payload, mnp__config_set__pack(&set, payload), PEN_TIMEOUT_MS, on_configured, s,
                              (uint32_t)zone) < 0)
        refuse_with(&s->asker, MNC__ERROR_CODE__ERROR_BUSY, s->t.serial, "it takes no request now; choose the zone again");
}

/* ---- what pens and the journal say ---- */

/* The firmware's own limit is what counts; a session whose pen does something that was not asked for is one that is stopped. */
static void look(struct sessions *all, struct pen *p)
{
    struct session *s = session_of(all, pen_serial(p));
    enum treatment_pen pen = pen_now(p);
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
        show(s);
    try_to_finish(s);
}

static void on_pen(void *ctx, struct pen *p)
{
    look(ctx, p);
}

/* A pen's record of what was done, or of what went wrong meanwhile. */
static void take_record(struct session *s, const struct journal_record *r)
{
    history_add_record(&s->t, r);
    if (!s->motor_noticed && treatment_motor_ms(&s->t) >= (uint64_t)s->all->site->policy.limits[POLICY_motor_notice] * 60000) {
        s->motor_noticed = true;
        snprintf(s->t.text, sizeof(s->t.text), "notice: the motor has run for %u min in this session", s->all->site->policy.limits[POLICY_motor_notice]);
    }
    if (r->kind == MNC__JOURNAL_KIND__JOURNAL_RUN)
        show(s);
}

static void beginning_is_on_disk(struct session *s)
{
    s->on_disk = true;
    log_info("session %u with pen %s has begun", s->t.number, s->t.serial);
    show(s);
    if (s->t.state == TREATMENT_PREPARED)
        configure(s, 0);
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
        else if (s != NULL && (r[i]->kind < MNC__JOURNAL_KIND__JOURNAL_BEGUN || r[i]->kind == MNC__JOURNAL_KIND__JOURNAL_LOST || r[i]->kind == MNC__JOURNAL_KIND__JOURNAL_RENEWED))
            take_record(s, r[i]);
    }
    for (struct session *s = all->open; s != NULL; s = s->next)
        try_to_finish(s); /* not before: a pen's records are all in when the last of these is, and each of them counts */
}

/* ---- after a restart ---- */

static struct session *session_new(struct sessions *all, const struct treatment *t)
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

static void run_restore(struct journal_work *w, struct store *store)
{
    struct restore *v = (struct restore *)w;

    v->journal = store_id(store);
    v->result = history_restore(store, v->journal, v->open, OPEN_MAX, &v->count, &v->next_number);
}

static void done_restore(struct journal_work *w, bool ran)
{
    struct restore *v = (struct restore *)w;
    struct sessions *all = v->all;

    if (all != NULL) {
        all->restoring = NULL;
        for (size_t i = 0; ran && v->result == 0 && i < v->count; i++) {
            struct session *s = session_new(all, &v->open[i]);

            if (s == NULL)
                continue; /* it stays open in the journal until the next start */
            s->on_disk = true;
            s->deadline_us = now_us(all) + RESTORE_LATE_US;
            log_warning("session %u with pen %s was interrupted when the daemon died", s->t.number, s->t.serial);
            show(s);
        }
        if (ran && v->result == 0) {
            all->restored_journal = v->journal;
            all->next_number = v->next_number;
        }
    }
    free(v);
}

/* Reads the open sessions of a journal that is new here. */
static void restore(struct sessions *all)
{
    struct journal *j = hub_journal(all->env->hub);

    if (j == NULL || all->restoring != NULL || all->restored_journal == journal_id(j))
        return;
    all->restoring = calloc(1, sizeof(*all->restoring));
    if (all->restoring == NULL)
        return;
    all->restoring->all = all;
    all->restoring->work = (struct journal_work){.run = run_restore, .done = done_restore};
    journal_work(j, &all->restoring->work);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct sessions *all = userdata;

    restore(all);
    for (struct session *s = all->open; s != NULL; s = s->next) {
        struct pen *p = hub_pen(all->env->hub, s->t.serial);

        if (s->t.state == TREATMENT_ARMING && s->t.arm_answered && now_us(all) >= s->deadline_us) {
            treatment_arm_late(&s->t);
            if (p != NULL)
                pen_stop(p);
            show(s);
        }
        if (p != NULL)
            look(all, p);
        else if (treatment_is_live(&s->t) && !treatment_pen_is(&s->t, PEN_IS_GONE, "the pen is gone"))
            show(s);
        try_to_finish(s);
    }
    if (all->open == NULL && all->restored_journal != 0)
        return 0;
    sd_event_source_set_time(source, usec + TICK_US);
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* ---- beginning ---- */

static void opening_free(struct opening *o)
{
    struct opening **at = o->all != NULL ? &o->all->openings : NULL;

    while (at != NULL && *at != o)
        at = &(*at)->next;
    if (at != NULL)
        *at = o->next;
    free(o);
}

static struct finding cartridge_finding(unsigned code, const char *name)
{
    return (struct finding){.decision = DECISION_BLOCK, .code = code, .name = name, .unit = "", .source = "S2, S3, S4"};
}

/* Another open session that has armed this cartridge; NULL: none. */
static const struct session *session_with(const struct sessions *all, uint64_t uid, uint32_t number)
{
    for (const struct session *s = all->open; s != NULL; s = s->next) {
        for (size_t i = 0; s->t.number != number && i < s->t.cartridge_count; i++) {
            if (s->t.cartridges[i].uid == uid)
                return s;
        }
    }
    return NULL;
}

/* Was it used for anybody else? The pen knows its own past, the journal that of all pens, and what is open is in neither yet. */
static void check_cartridge_use(const struct opening *o, struct findings *found)
{
    const struct session *other = session_with(o->all, o->cartridge.uid, o->t.number);
    struct finding f = cartridge_finding(1303, "CARTRIDGE_USED");
    uint64_t journal = o->all->restored_journal, in = o->past.used_in;

    if (other != NULL)
        policy_find(found, f, "the cartridge was armed in session %u with pen %s, which is open: put a new one in", other->t.number, other->t.serial);
    else if (in > journal && in - journal <= UINT32_MAX)
        policy_find(found, f, "the cartridge was used in session %u with pen %s: put a new one in", (unsigned)(in - journal), o->past.used_with);
    else if (in != 0)
        policy_find(found, f, "the cartridge was used before, with pen %s: put a new one in", o->past.used_with);
}

/* What the cartridge in the pen says to a new session, or to the zone that is to be armed. */
static void check_cartridge(const struct opening *o, struct findings *found)
{
    bool begins = o->question != QUESTION_ARM, fit = o->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_NEW || (!begins && o->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_IN_USE);

    if (fit)
        check_cartridge_use(o, found);
    else if (o->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_IN_USE || o->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_USED)
        policy_find(found, cartridge_finding(1303, "CARTRIDGE_USED"), "the cartridge was used in another session: put a new one in");
    else if (o->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_EXPIRED)
        policy_find(found, cartridge_finding(1304, "CARTRIDGE_EXPIRED"), "the cartridge has expired: put a new one in");
    else if (o->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_UNREADABLE || o->cartridge.state == MNP__CARTRIDGE_STATE__CARTRIDGE_REJECTED)
        policy_find(found, cartridge_finding(1302, "CARTRIDGE_UNREADABLE"), "the cartridge cannot be read: put another one in");
    else
        policy_find(found, cartridge_finding(1301, "CARTRIDGE_ABSENT"), "there is no cartridge in the pen");
    for (size_t i = 0; fit && i < o->t.zone_count; i++) {
        const struct treatment_zone *z = &o->t.zones[i];
        struct finding f = cartridge_finding(1306, "CARTRIDGE_DEPTH_MISMATCH");

        if (z->depth_um <= o->cartridge.max_depth_um || (!begins && i != o->t.zone_now))
            continue;
        f.value = z->depth_um;
        f.limit = o->cartridge.max_depth_um;
        f.unit = "um";
        policy_find(found, f, "%u um in %s is deeper than the cartridge goes: %u um", z->depth_um, policy_zone_name(z->zone), o->cartridge.max_depth_um);
    }
}

/* ---- what time it is, and what was before ---- */

static void check_clock(const struct past *past, uint64_t clock_us, struct findings *found)
{
    char why[160];

    if (!past_clock_is_right(past, clock_us, why, sizeof(why)))
        policy_find(found, (struct finding){.decision = DECISION_BLOCK, .code = 2009, .name = "clock", .unit = "", .source = "P"}, "%s", why);
}

/* Is there a session to continue, and was it broken off, and just now? */
static void check_continuation(const struct opening *o, const struct policy *p, uint64_t now, struct findings *found)
{
    struct finding f = {.decision = DECISION_BLOCK, .code = 2010, .name = "continuation", .limit = p->limits[POLICY_continuation], .unit = "h", .source = "P"};
    uint64_t hours = now > o->past.continued.ended_us ? (now - o->past.continued.ended_us) / 3600000000u : 0;

    if (o->t.continues == 0)
        return;
    if (!o->past.continued.found)
        policy_find(found, f, "there is no ended session %u in which this subject was treated", o->t.continues);
    else if (!treatment_was_broken_off((enum treatment_end)o->past.continued.end))
        policy_find(found, f, "session %u was not broken off: it is not continued", o->t.continues);
    else if (hours >= f.limit) {
        f.value = hours < UINT32_MAX ? (uint32_t)hours : UINT32_MAX;
        policy_find(found, f, "session %u ended %u h ago: it is continued within %u h", o->t.continues, f.value, f.limit);
    }
}

static void check_past(const struct opening *o, const struct policy *p, struct findings *found)
{
    uint64_t clock = unix_us(), now = past_now_us(&o->past, clock);
    bool begins = o->question != QUESTION_ARM, unknown = false;
    struct finding f = {.decision = DECISION_WARN, .unit = "", .source = "P"};
    char since[PAST_DATE];

    check_clock(&o->past, clock, found);
    if (!begins)
        return;
    check_continuation(o, p, now, found);
    for (size_t i = 0; i < o->t.input.step_count; i++)
        unknown |= o->t.input.steps[i].days_since_surface == POLICY_NEVER && o->t.input.steps[i].days_since_deeper == POLICY_NEVER;
    if (unknown && now < o->past.since_us + policy_longest_d(p) * UINT64_C(86400000000)) {
        past_date(o->past.since_us, since);
        f.name = "history";
        policy_find(found, f, "this journal goes back to %s only: ask when %s was treated before", since, o->t.subject);
    }
    f.name = "subject";
    if (o->past.doubles[0] != '\0')
        policy_find(found, f, "%s is written almost as %s: is it the same person?", o->t.subject, o->past.doubles);
    f.decision = DECISION_OK;
    if (o->past.subject_is_new)
        policy_find(found, f, "the first session of %s here", o->t.subject);
}

/* Only what was found: nothing begins. */
static void say_findings(struct asker *a, const struct findings *found)
{
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    Mnc__SessionReply reply = MNC__SESSION_REPLY__INIT;
    Mnc__Finding findings[POLICY_FINDINGS_MAX], *pointers[POLICY_FINDINGS_MAX];

    if (a->client == NULL)
        return;
    history_findings(findings, pointers, found);
    reply.n_finding = found->count;
    reply.finding = pointers;
    m.body_case = MNC__SERVER_MESSAGE__BODY_SESSION;
    m.session = &reply;
    client_say(a->client, &m, a->id);
    a->client = NULL;
}

static void take_past(struct opening *o)
{
    uint64_t now = past_now_us(&o->past, unix_us());

    for (size_t i = 0; i < o->t.input.step_count; i++) {
        o->t.input.steps[i].days_since_surface = past_days(&o->past.zones[i][PAST_SURFACE], now);
        o->t.input.steps[i].days_since_deeper = past_days(&o->past.zones[i][PAST_DEEPER], now);
    }
}

/* What the journal does not have yet: what is being done to this subject with other pens, or was when the daemon died. */
static void add_open(const struct sessions *all, struct treatment *t)
{
    for (const struct session *s = all->open; s != NULL; s = s->next) {
        if (strcmp(s->t.subject, t->subject) != 0 || s->t.number == t->number)
            continue;
        for (size_t i = 0; i < s->t.zone_count; i++) {
            const struct treatment_zone *z = &s->t.zones[i];
            size_t k = treatment_find_zone(t, z->zone);
            bool surface = z->depth_um < all->site->policy.limits[POLICY_depth_medium];

            if (k == t->zone_count || (z->runs == 0 && s->t.end != END_INTERRUPTED && !(treatment_owes_runs(&s->t) && i == s->t.zone_now) && !(treatment_is_live(&s->t) && i == s->t.zone_now)))
                continue;
            *(surface ? &t->input.steps[k].days_since_surface : &t->input.steps[k].days_since_deeper) = 0;
        }
    }
}

static void arm(struct session *s);

/* All is known of a session that is to be armed. */
static void decide_arm(struct opening *o, struct session *s, const struct findings *found)
{
    struct treatment_world w = world(o->all, s->t.serial, s->asker.client);
    struct refusal refusal;

    w.asked_generation = o->asked_generation;
    if (o->is_stopped)
        refuse_with(&s->asker, MNC__ERROR_CODE__ERROR_STATE, s->t.serial, "it was stopped before it could be armed");
    else if (!treatment_may_arm(&s->t, found, &w, &refusal))
        refuse(&s->asker, &refusal, s->t.serial);
    else if (o->t.cartridge_count == TREATMENT_CARTRIDGES_MAX)
        refuse_with(&s->asker, MNC__ERROR_CODE__ERROR_STATE, s->t.serial, "too many cartridges were used in this session: end it");
    else {
        s->t.cartridge_uid = o->cartridge.uid;
        s->t.cartridge_lot = o->cartridge.lot;
        s->t.needle_count = o->cartridge.needle_count;
        arm(s);
    }
}

/* All is known of one that is to begin. True: it does, and found is its. */
static bool decide_beginning(struct opening *o, struct findings *found)
{
    struct sessions *all = o->all;
    struct treatment_world w = world(all, o->t.serial, o->asker.client);
    uint8_t bytes[STORE_NOTE_MAX];
    struct journal_record r;
    struct refusal refusal;
    struct session *s;

    if (!treatment_may_begin(&w, found, &refusal)) {
        if (refusal.kind == REFUSED_POLICY)
            say_findings(&o->asker, found);
        else
            refuse(&o->asker, &refusal, o->t.serial);
        return false;
    }
    if (session_of(all, o->t.serial) != NULL) {
        refuse_with(&o->asker, MNC__ERROR_CODE__ERROR_STATE, o->t.serial, "another session of it has begun: end that first");
        return false;
    }
    o->t.state = TREATMENT_PREPARED;
    o->t.number = all->next_number;
    o->t.id = all->restored_journal + o->t.number;
    o->t.cartridge_uid = o->cartridge.uid;
    o->t.cartridge_lot = o->cartridge.lot;
    o->t.needle_count = o->cartridge.needle_count;
    o->t.begun_us = unix_us();
    if (!history_begun(&r, &o->t, found, all->site, bytes)) {
        refuse_with(&o->asker, MNC__ERROR_CODE__ERROR_MALFORMED, o->t.serial, "the plan is too large to be recorded");
    } else if (!append(all, &r) || (s = session_new(all, &o->t)) == NULL) {
        refuse_with(&o->asker, MNC__ERROR_CODE__ERROR_BUSY, o->t.serial, "too much waits for the disk, or there is no memory");
    } else {
        all->next_number++;
        s->found = found;
        s->asker = o->asker;
        return true;
    }
    return false;
}

static struct session *session_numbered(const struct sessions *all, uint32_t number)
{
    struct session *s = all->open;

    while (s != NULL && s->t.number != number)
        s = s->next;
    return s;
}

static void decide(struct opening *o)
{
    struct sessions *all = o->all;
    struct session *s = o->question == QUESTION_ARM ? session_numbered(all, o->t.number) : NULL;
    struct findings *found = calloc(1, sizeof(*found));

    if (found == NULL) {
        refuse_with(s != NULL ? &s->asker : &o->asker, MNC__ERROR_CODE__ERROR_BUSY, o->t.serial, "the daemon is out of memory");
        return;
    }
    take_past(o);
    add_open(all, &o->t);
    treatment_evaluate(&o->t, &all->site->policy, now_us(all), found);
    check_past(o, &all->site->policy, found);
    if (o->t.serial[0] != '\0')
        check_cartridge(o, found);
    if (s != NULL) {
        if (s->asker.client != NULL)
            decide_arm(o, s, found);
    } else if (o->question == QUESTION_CHECK) {
        say_findings(&o->asker, found);
    } else if (o->question == QUESTION_ARM) {
        refuse_with(&o->asker, MNC__ERROR_CODE__ERROR_NO_SESSION, o->t.serial, "its session has ended meanwhile");
    } else if (decide_beginning(o, found)) {
        return;
    }
    free(found);
}

static void refuse_opening(struct opening *o, Mnc__ErrorCode code, const char *sentence)
{
    struct session *s = o->question == QUESTION_ARM ? session_numbered(o->all, o->t.number) : NULL;

    refuse_with(s != NULL ? &s->asker : &o->asker, code, o->t.serial, sentence);
}

static void run_past(struct journal_work *w, struct store *store)
{
    struct opening *o = (struct opening *)w;

    o->result = past_ask(store, &o->asks, &o->past);
}

static void done_past(struct journal_work *w, bool ran)
{
    struct opening *o = (struct opening *)w;

    o->working = false;
    if (o->all != NULL && (!ran || o->result < 0))
        refuse_opening(o, MNC__ERROR_CODE__ERROR_JOURNAL, "the journal cannot be read for earlier sessions");
    else if (o->all != NULL && o->asker.client != NULL)
        decide(o);
    opening_free(o);
}

static void ask_past(struct opening *o)
{
    struct past_question *q = &o->asks;

    snprintf(q->subject, sizeof(q->subject), "%s", o->t.subject);
    for (q->zone_count = 0; q->zone_count < o->t.input.step_count; q->zone_count++)
        q->zones[q->zone_count] = o->t.input.steps[q->zone_count].zone;
    q->medium_um = o->all->site->policy.limits[POLICY_depth_medium];
    q->continued = o->t.continues;
    q->cartridge_uid = o->cartridge.uid;
    q->treatment = o->t.id;
    o->working = true;
    o->work.run = run_past;
    o->work.done = done_past;
    journal_work(hub_journal(o->all->env->hub), &o->work);
}

static void on_info(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct opening *o = ctx;
    Mnp__Info *info = result == PEN_RESULT_REPLY && (type & MN_TYPE_ERROR) == MN_TYPE_REPLY ? mnp__info__unpack(NULL, n, payload) : NULL;

    (void)id;
    if (info != NULL && info->cartridge != NULL) {
        o->cartridge.state = info->cartridge->state;
        o->cartridge.uid = info->cartridge->uid;
        o->cartridge.lot = info->cartridge->lot;
        o->cartridge.needle_count = info->cartridge->needle_count;
        o->cartridge.max_depth_um = info->cartridge->max_depth_um;
    }
    if (info != NULL && hub_journal(o->all->env->hub) != NULL) {
        ask_past(o);
    } else {
        refuse_opening(o, MNC__ERROR_CODE__ERROR_TIMEOUT, "it did not say what cartridge it has");
        opening_free(o);
    }
    mnp__info__free_unpacked(info, NULL);
}

/* A question is on its way; NULL after a refusal. */
static struct opening *opening_new(struct sessions *all, struct asker *asker, enum question question, const char *serial)
{
    struct opening *o;
    unsigned waiting = 0;

    for (o = all->openings; o != NULL; o = o->next)
        waiting += o->asker.client == asker->client;
    o = waiting < OPENINGS_PER_CLIENT ? calloc(1, sizeof(*o)) : NULL;
    if (o == NULL) {
        refuse_with(asker, MNC__ERROR_CODE__ERROR_BUSY, serial, "too many plans of this program are being looked at, or there is no memory");
        return NULL;
    }
    o->all = all;
    o->asker = *asker;
    o->question = question;
    o->next = all->openings;
    all->openings = o;
    return o;
}

/* What the pen has in it comes first; without a pen, what the journal knows. */
static void look_into(struct opening *o)
{
    struct pen *p = hub_pen(o->all->env->hub, o->t.serial);

    if (o->t.serial[0] == '\0') {
        ask_past(o);
    } else if (p == NULL || !pen_is_ready(p) || pen_call(p, MNP__FRAME_TYPE__TYPE_INFO, NULL, 0, PEN_TIMEOUT_MS, on_info, o, 0) < 0) {
        refuse_opening(o, MNC__ERROR_CODE__ERROR_PEN_NOT_READY, "it is not ready");
        opening_free(o);
    }
}

static void begin(struct sessions *all, struct client *c, uint32_t id, const char *serial, const Mnc__Plan *plan, bool check_only)
{
    struct treatment_world w;
    struct opening *o;
    struct asker asker = {c, id};
    struct refusal refusal;
    char why[200];

    if (serial != NULL && serial[0] == '@') {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_NO_PEN, "a treatment is recorded with a pen's serial number, and %.40s is only where one is plugged in", serial);
        return;
    }
    if (serial == NULL && check_only)
        serial = "";
    else if (serial == NULL || hub_pen(all->env->hub, serial) == NULL) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_NO_PEN, "no pen with serial number %.40s is plugged in", serial != NULL ? serial : "");
        return;
    }
    w = world(all, serial, c);
    /* What would be refused anyway is refused before anybody is asked; the policy follows when all is known. */
    if (check_only)
        w.has_lease = w.pen_is_safe = true;
    if (serial[0] == '\0')
        w.pen = PEN_IS_AT_REST;
    if (!treatment_may_begin(&w, &(struct findings){.worst = DECISION_OK}, &refusal)) {
        refuse(&asker, &refusal, serial);
        return;
    }
    if (!check_only && session_of(all, serial) != NULL) {
        snprintf(why, sizeof(why), "session %u of it is open: end that first", session_of(all, serial)->t.number);
        refuse_with(&asker, MNC__ERROR_CODE__ERROR_STATE, serial, why);
        return;
    }
    restore(all);
    if (all->restored_journal == 0 || all->restored_journal != journal_id(hub_journal(all->env->hub))) {
        refuse_with(&asker, MNC__ERROR_CODE__ERROR_BUSY, serial, "earlier sessions are being read from the journal: try again");
        return;
    }
    o = opening_new(all, &asker, check_only ? QUESTION_CHECK : QUESTION_BEGIN, serial);
    if (o == NULL)
        return;
    snprintf(o->t.serial, sizeof(o->t.serial), "%s", serial);
    snprintf(o->t.by, sizeof(o->t.by), "%s", client_name(c));
    if (!plan_read(&o->t, plan, now_us(all), why, sizeof(why))) {
        refuse_with(&asker, MNC__ERROR_CODE__ERROR_MALFORMED, serial, why);
        opening_free(o);
        return;
    }
    look_into(o);
}

void session_check(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionCheck *m)
{
    begin(all, c, id, m->serial, m->plan, true);
}

void session_begin(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionBegin *m)
{
    begin(all, c, id, m->serial, m->plan, false);
}

/* ---- steering ---- */

/* The open session of the pen, free for a request; NULL after a refusal. */
static struct session *session_for(struct sessions *all, struct client *c, uint32_t id, const char *serial)
{
    struct session *s = serial != NULL ? session_of(all, serial) : NULL;

    if (s == NULL)
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_NO_SESSION, "no session of pen %.40s is open", serial != NULL ? serial : "");
    else if (s->asker.client != NULL || !s->on_disk)
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_BUSY, "something else is being done with session %u", s->t.number);
    else
        return s;
    return NULL;
}

void session_select(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionSelect *m)
{
    struct session *s = session_for(all, c, id, m->serial);
    struct treatment_world w;
    struct refusal refusal;
    size_t zone;

    if (s == NULL)
        return;
    w = world(all, m->serial, c);
    s->asker = (struct asker){c, id};
    zone = treatment_find_zone(&s->t, m->zone);
    if (!treatment_may_select(&s->t, &w, &refusal))
        refuse(&s->asker, &refusal, m->serial);
    else if (zone == s->t.zone_count)
        refuse_with(&s->asker, MNC__ERROR_CODE__ERROR_NO_SESSION, m->serial, "this zone is not in the session's plan");
    else
        configure(s, zone);
}

static const char *fault_name(uint32_t code)
{
    switch (code) {
#define FAULT(bit, code, name, priority, kind, effect, text, cure)                                                     \
    case code:                                                                                                         \
        return #name;
#include "faults.def"
#undef FAULT
    default:
        return "(of a later firmware)";
    }
}

static void on_armed(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct session *s = ctx;
    bool taken = result == PEN_RESULT_REPLY && (type & MN_TYPE_ERROR) == MN_TYPE_REPLY;
    Mnp__Error *e = result == PEN_RESULT_REPLY && !taken ? mnp__error__unpack(NULL, n, payload) : NULL;
    struct pen *p = hub_pen(s->all->env->hub, s->t.serial);
    char why[200];

    (void)id;
    treatment_arm_answered(&s->t, taken);
    s->deadline_us = now_us(s->all) + ARM_LATE_US;
    if (taken) {
        if (p != NULL)
            look(s->all, p);
        say_session(s);
    } else if (e != NULL && e->has_fault_code) {
        snprintf(why, sizeof(why), "fault %u %s forbids it", e->fault_code, fault_name(e->fault_code));
        refuse_with(&s->asker, MNC__ERROR_CODE__ERROR_STATE, s->t.serial, why);
    } else {
        refuse_with(&s->asker, MNC__ERROR_CODE__ERROR_STATE, s->t.serial, e != NULL && e->text != NULL ? e->text : "it did not answer ARM, and is stopped");
    }
    mnp__error__free_unpacked(e, NULL);
    if (result != PEN_RESULT_REPLY && p != NULL)
        pen_stop(p);
    show(s);
}

static void arm(struct session *s)
{
    struct pen *p = hub_pen(s->all->env->hub, s->t.serial);
    Mnp__Arm m = MNP__ARM__INIT;
    uint8_t payload[48];

    m.has_config_generation = m.has_zone = m.has_treatment = m.has_cartridge_uid = true;
    m.config_generation = s->t.generation;
    m.zone = s->t.zones[s->t.zone_now].zone;
    m.treatment = s->t.id;
    m.cartridge_uid = s->t.cartridge_uid;
    treatment_arm_sent(&s->t);
    if (p == NULL || pen_call(p, MNP__FRAME_TYPE__TYPE_ARM, payload, mnp__arm__pack(&m, payload), PEN_TIMEOUT_MS, on_armed, s, 0) < 0) {
        treatment_arm_answered(&s->t, false);
        refuse_with(&s->asker, MNC__ERROR_CODE__ERROR_BUSY, s->t.serial, "it takes no request now");
    }
    show(s);
}

/* What would be refused anyway is refused at once; then all is looked at as if it were new: what happened since the session began counts. */
void session_arm(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionArm *m)
{
    struct session *s = session_for(all, c, id, m->serial);
    struct asker asker = {c, id};
    struct treatment_world w;
    struct refusal refusal;
    struct opening *o;

    if (s == NULL)
        return;
    w = world(all, m->serial, c);
    w.asked_generation = m->config_generation;
    if (!treatment_may_arm(&s->t, &(struct findings){.worst = DECISION_OK}, &w, &refusal)) {
        refuse(&asker, &refusal, m->serial);
        return;
    }
    o = opening_new(all, &asker, QUESTION_ARM, m->serial);
    if (o == NULL)
        return;
    s->asker = asker;
    o->t = s->t;
    o->asked_generation = m->config_generation;
    look_into(o);
}

void session_end(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionEndNow *m)
{
    struct session *s = session_for(all, c, id, m->serial);
    struct treatment_world w;
    struct refusal refusal;
    struct pen *p;

    if (s == NULL)
        return;
    w = world(all, m->serial, c);
    s->asker = (struct asker){c, id};
    if (!treatment_may_end(&s->t, &w, &refusal)) {
        refuse(&s->asker, &refusal, m->serial);
        return;
    }
    p = hub_pen(all->env->hub, m->serial);
    if (p != NULL)
        pen_stop(p);
    if (s->t.state != TREATMENT_ENDING) {
        treatment_end(&s->t, m->completed ? END_COMPLETED : END_ABORTED);
        s->deadline_us = now_us(all) + END_LATE_US;
        show(s);
    } else {
        s->deadline_us = now_us(all); /* it has waited for its pen long enough */
    }
    try_to_finish(s);
}

void session_confirm_clock(struct sessions *all, struct client *c, uint32_t id)
{
    static const struct past nothing;
    char now[PAST_DATE], text[200], why[160];

    past_date(unix_us(), now);
    snprintf(text, sizeof(text), "%s has confirmed that it is %s", client_name(c), now);
    if (!past_clock_is_right(&nothing, unix_us(), why, sizeof(why))) {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_STATE, "%s", why);
    } else if (hub_journal_error(all->env->hub)[0] != '\0') {
        client_refuse(c, id, MNC__ERROR_CODE__ERROR_JOURNAL, "%s", hub_journal_error(all->env->hub));
    } else {
        log_warning("%s", text);
        hub_note(all->env->hub, MNC__JOURNAL_KIND__JOURNAL_CLOCK, "", text);
        client_say_done(c, id); /* what is asked of the journal from now on comes after it */
    }
}

void sessions_stopped_by(struct sessions *all, const char *serial, const char *name)
{
    for (struct session *s = all->open; s != NULL; s = s->next) {
        if (serial == NULL || strcmp(s->t.serial, serial) == 0)
            treatment_stopped_by(&s->t, name);
    }
    for (struct opening *o = all->openings; o != NULL; o = o->next) /* an ARM that is on its way is later than this STOP, and not armed */
        o->is_stopped |= o->question == QUESTION_ARM && (serial == NULL || strcmp(o->t.serial, serial) == 0);
}

const struct treatment *sessions_open(const struct sessions *all, uint32_t number)
{
    const struct session *s = all->open;

    while (s != NULL && s->t.number != number)
        s = s->next;
    return s != NULL ? &s->t : NULL;
}

/* ---- beginning and end ---- */

/* A program has lost its pen. */
static void on_lease_lost(void *ctx, const char *serial, const char *name)
{
    struct sessions *all = ctx;
    struct session *s = session_of(all, serial);
    char why[TREATMENT_TEXT_MAX + 1];

    if (s == NULL || !treatment_is_live(&s->t))
        return;
    snprintf(why, sizeof(why), "%.60s does not control the pen any more", name);
    treatment_lease_lost(&s->t, why);
    show(s);
}

int sessions_new(struct sessions **out, struct client_env *env, const struct site *site)
{
    struct sessions *all = calloc(1, sizeof(*all));
    int r;

    if (all == NULL)
        return -ENOMEM;
    all->env = env;
    all->site = site;
    r = sd_event_add_time_relative(env->event, &all->timer, CLOCK_MONOTONIC, 0, 10000, on_timer, all);
    if (r < 0) {
        free(all);
        return r;
    }
    hub_add_witness(env->hub, &(struct hub_witness){.ctx = all, .committed = on_committed, .pen = on_pen});
    control_on_lost(env->control, on_lease_lost, all);
    *out = all;
    return 0;
}

bool sessions_any(const struct sessions *all)
{
    return all->open != NULL || all->openings != NULL || all->restoring != NULL;
}

void sessions_forget(struct sessions *all, const struct client *c)
{
    for (struct session *s = all->open; s != NULL; s = s->next) {
        if (s->asker.client == c)
            s->asker.client = NULL;
    }
    for (struct opening *o = all->openings; o != NULL; o = o->next) {
        if (o->asker.client == c)
            o->asker.client = NULL;
    }
}

/* What the worker has is freed when it comes back; pens let go of the rest. */
void sessions_free(struct sessions *all)
{
    struct session *s;

    if (all == NULL)
        return;
    hub_remove_witness(all->env->hub, all);
    while ((s = all->open) != NULL) {
        all->open = s->next;
        session_free(s);
    }
    while (all->openings != NULL) {
        struct opening *o = all->openings;

        all->openings = o->next;
        o->all = NULL;
        hub_forget(all->env->hub, o);
        if (!o->working)
            free(o);
    }
    if (all->restoring != NULL)
        all->restoring->all = NULL;
    sd_event_source_disable_unref(all->timer);
    free(all);
}
