#include "inside.h"

#include <stdio.h>
#include <time.h>

#include "clock.h"
#include "fault.h"
#include "frame.h"
#include "pen.pb-c.h"

enum {
    ARM_LATE_US = 500000,  /* from ARM's reply to the status that says ARMED */
    END_LATE_US = 3000000, /* how long to wait for the pen's last records */
};

/* ---- the end of a session ---- */

void session_try_to_finish(struct session *s)
{
    struct pen *p = hub_pen(s->all->hub, s->t.serial);
    enum treatment_pen pen = session_pen_now(p);
    bool all_in = pen == PEN_IS_AT_REST && pen_records_are_on_disk(p), late = session_now_us(s->all) >= s->deadline_us;
    uint8_t bytes[JOURNAL_NOTE_MAX];
    struct journal_record r;
    struct treatment ended;

    if (s->t.state != TREATMENT_ENDING || s->ending_on_disk || !s->on_disk || (!all_in && !late))
        return;
    ended = s->t;
    treatment_ended(&ended, clock_us(CLOCK_REALTIME), !all_in);
    if (!history_ended(&r, &ended, bytes) || !session_append(s->all, &r))
        return; /* the queue is full: try again at the next tick */
    s->t.ended_us = ended.ended_us;
    s->t.incomplete = ended.incomplete;
    s->ending_on_disk = true;
}

/* ---- zones ---- */

static void on_configured(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct session *s = ctx;
    Mnp__ConfigState *state = result == PEN_RESULT_REPLY && (type & MN_TYPE_ERROR) == MN_TYPE_REPLY ? mnp__config_state__unpack(NULL, n, payload) : NULL;
    Mnp__Error *e = result == PEN_RESULT_REPLY && state == NULL ? mnp__error__unpack(NULL, n, payload) : NULL;

    if (state != NULL && state->has_generation && s->t.zone_now == id) {
        treatment_selected(&s->t, state->generation);
        session_publish(s);
        reply_session(s);
    } else {
        reply_error(&s->requester, MNC__ERROR_CODE__ERROR_STATE, s->t.serial,
                    e != NULL && e->text != NULL ? e->text : "it did not take the zone's depth and rate; choose the zone again");
    }
    mnp__error__free_unpacked(e, NULL);
    mnp__config_state__free_unpacked(state, NULL);
}

void session_configure(struct session *s, size_t zone)
{
    struct pen *p = hub_pen(s->all->hub, s->t.serial);
    Mnp__ConfigSet set = MNP__CONFIG_SET__INIT;
    Mnp__Config config = MNP__CONFIG__INIT;
    uint8_t payload[64];

    treatment_selecting(&s->t, zone);
    config.has_depth_um = config.has_stroke_rate_dhz = true;
    config.depth_um = s->t.zones[zone].depth_um;
    config.stroke_rate_dhz = s->t.zones[zone].stroke_rate_dhz;
    set.config = &config;
    if (p == NULL || pen_call(p, MNP__FRAME_TYPE__TYPE_CONFIG_SET, payload, mnp__config_set__pack(&set, payload), SESSION_PEN_TIMEOUT_MS, on_configured, s,
                              (uint32_t)zone) < 0)
        reply_error(&s->requester, MNC__ERROR_CODE__ERROR_BUSY, s->t.serial, "it takes no request now; choose the zone again");
}

/* The pen's open session, if it can take a request; NULL after rejecting it. */
static struct session *session_for(struct sessions *all, struct client *c, uint32_t id, const char *serial)
{
    struct session *s = serial != NULL ? session_of(all, serial) : NULL;

    if (s == NULL)
        client_reject(c, id, MNC__ERROR_CODE__ERROR_NO_SESSION, "no session of pen %.40s is open", serial != NULL ? serial : "");
    else if (s->requester.client != NULL || !s->on_disk)
        client_reject(c, id, MNC__ERROR_CODE__ERROR_BUSY, "something else is being done with session %u", s->t.number);
    else
        return s;
    return NULL;
}

void session_select(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionSelect *m)
{
    struct session *s = session_for(all, c, id, m->serial);
    struct treatment_context w;
    struct rejection rejection;
    size_t zone;

    if (s == NULL)
        return;
    w = session_context(all, m->serial, c);
    s->requester = (struct requester){c, id};
    zone = treatment_find_zone(&s->t, m->zone);
    if (!treatment_may_select(&s->t, &w, &rejection))
        reply_rejection(&s->requester, &rejection, m->serial);
    else if (zone == s->t.zone_count)
        reply_error(&s->requester, MNC__ERROR_CODE__ERROR_NO_SESSION, m->serial, "this zone is not in the session's plan");
    else
        session_configure(s, zone);
}

/* ---- arming ---- */

static void on_armed(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    struct session *s = ctx;
    bool taken = result == PEN_RESULT_REPLY && (type & MN_TYPE_ERROR) == MN_TYPE_REPLY;
    Mnp__Error *e = result == PEN_RESULT_REPLY && !taken ? mnp__error__unpack(NULL, n, payload) : NULL;
    struct pen *p = hub_pen(s->all->hub, s->t.serial);
    char why[200];

    (void)id;
    treatment_arm_answered(&s->t, taken);
    s->deadline_us = session_now_us(s->all) + ARM_LATE_US;
    if (taken) {
        if (p != NULL)
            session_look(s->all, p);
        reply_session(s);
    } else if (e != NULL && e->has_fault_code) {
        snprintf(why, sizeof(why), "fault %u %s forbids it", e->fault_code, fault_name(e->fault_code));
        reply_error(&s->requester, MNC__ERROR_CODE__ERROR_STATE, s->t.serial, why);
    } else {
        reply_error(&s->requester, MNC__ERROR_CODE__ERROR_STATE, s->t.serial, e != NULL && e->text != NULL ? e->text : "it did not answer ARM, and is stopped");
    }
    mnp__error__free_unpacked(e, NULL);
    if (result != PEN_RESULT_REPLY && p != NULL)
        pen_stop(p);
    session_publish(s);
}

void session_send_arm(struct session *s)
{
    struct pen *p = hub_pen(s->all->hub, s->t.serial);
    Mnp__Arm m = MNP__ARM__INIT;
    uint8_t payload[48];

    m.has_config_generation = m.has_zone = m.has_treatment = m.has_cartridge_uid = true;
    m.config_generation = s->t.generation;
    m.zone = s->t.zones[s->t.zone_now].zone;
    m.treatment = s->t.id;
    m.cartridge_uid = s->t.cartridge_uid;
    treatment_arm_sent(&s->t);
    if (p == NULL || pen_call(p, MNP__FRAME_TYPE__TYPE_ARM, payload, mnp__arm__pack(&m, payload), SESSION_PEN_TIMEOUT_MS, on_armed, s, 0) < 0) {
        treatment_arm_answered(&s->t, false);
        reply_error(&s->requester, MNC__ERROR_CODE__ERROR_BUSY, s->t.serial, "it takes no request now");
    }
    session_publish(s);
}

/* What would be rejected anyway is rejected at once; then everything is checked as if it were new: what has happened since the session began counts. */
void session_arm(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionArm *m)
{
    struct session *s = session_for(all, c, id, m->serial);
    struct requester requester = {c, id};
    struct treatment_context w;
    struct rejection rejection;
    struct admission *o;

    if (s == NULL)
        return;
    w = session_context(all, m->serial, c);
    w.asked_generation = m->config_generation;
    if (!treatment_may_arm(&s->t, &(struct findings){.worst = DECISION_OK}, &w, &rejection)) {
        reply_rejection(&requester, &rejection, m->serial);
        return;
    }
    o = admission_new(all, &requester, ADMIT_ARM, m->serial);
    if (o == NULL)
        return;
    s->requester = requester;
    o->t = s->t;
    o->asked_generation = m->config_generation;
    admission_start(o);
}

void session_end(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionEndNow *m)
{
    struct session *s = session_for(all, c, id, m->serial);
    struct treatment_context w;
    struct rejection rejection;
    struct pen *p;

    if (s == NULL)
        return;
    w = session_context(all, m->serial, c);
    s->requester = (struct requester){c, id};
    if (!treatment_may_end(&s->t, &w, &rejection)) {
        reply_rejection(&s->requester, &rejection, m->serial);
        return;
    }
    p = hub_pen(all->hub, m->serial);
    if (p != NULL)
        pen_stop(p);
    if (s->t.state != TREATMENT_ENDING) {
        treatment_end(&s->t, m->completed ? END_COMPLETED : END_ABORTED);
        s->deadline_us = session_now_us(all) + END_LATE_US;
        session_publish(s);
    } else {
        s->deadline_us = session_now_us(all); /* stop waiting for its pen */
    }
    session_try_to_finish(s);
}
