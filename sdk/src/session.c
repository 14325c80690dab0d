/*
 * The calls about treatment sessions and the policy in force.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "decode.h"

enum { POLICY_TEXT_MAX = 64 * 1024 /* the daemon takes messages of 66 KiB */, CHECK_ALONE_MINOR = 6, RECALL_MINOR = 7 };

/* ---- what comes ---- */

/* Keeps the findings of a reply until the next one. False without memory. */
static bool keep_findings(mn_client *c, const Mnc__SessionReply *m)
{
    struct mn_findings *f = c->findings != NULL ? c->findings : malloc(sizeof(*f));

    if (f == NULL)
        return false;
    c->findings = f;
    f->worst = MN_DECISION_OK;
    decode_findings(f->finding, &f->count, MN_FINDINGS_MAX, m->n_finding, m->finding);
    for (size_t i = 0; i < f->count; i++)
        f->worst = f->finding[i].decision > f->worst ? f->finding[i].decision : f->worst;
    return true;
}

static bool on_checked(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    (void)call;
    if (m->body_case != MNC__SERVER_MESSAGE__BODY_SESSION || !keep_findings(c, m->session))
        return false;
    r->findings = c->findings;
    return true;
}

/* Puts the message of the first finding that forbids the plan into the result. */
static void refuse(mn_client *c, struct mn_result *r)
{
    const struct mn_findings *f = c->findings;
    size_t i = 0;

    while (i < f->count && f->finding[i].decision != f->worst)
        i++;
    r->error = MN_ERR_POLICY;
    r->findings = f;
    if (i == f->count) {
        snprintf(c->refusal, sizeof(c->refusal), "the treatment policy forbids it");
    } else {
        const char *name = f->finding[i].name;

        for (size_t k = 0; k < mn_refusal_count(); k++)
            name = mn_refusal_at(k)->code == f->finding[i].code ? mn_refusal_at(k)->name : name;
        snprintf(c->refusal, sizeof(c->refusal), "%u %s: %s", f->finding[i].code, name, f->finding[i].text);
    }
    r->message = c->refusal;
}

static bool on_session(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    struct mn_session *out;

    (void)call;
    if (m->body_case != MNC__SERVER_MESSAGE__BODY_SESSION)
        return false;
    if (m->session->session == NULL) {
        if (!keep_findings(c, m->session))
            return false;
        refuse(c, r);
        return true;
    }
    out = malloc(sizeof(*out));
    c->owned = out;
    if (out == NULL || !decode_session(out, m->session->session))
        return false;
    r->session = out;
    return true;
}

static bool on_sessions(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    struct mn_sessions *out = &r->sessions;

    (void)call;
    if (m->body_case != MNC__SERVER_MESSAGE__BODY_SESSIONS)
        return false;
    out->before = m->sessions->before;
    out->session = calloc(m->sessions->n_session + 1, sizeof(*out->session));
    c->owned = out->session;
    for (size_t i = 0; out->session != NULL && i < m->sessions->n_session; i++)
        out->count += decode_session(&out->session[out->count], m->sessions->session[i]);
    return out->session != NULL;
}

/* ---- what goes ---- */

struct packed_plan {
    Mnc__Plan m;
    Mnc__PlanStep steps[MN_STEPS_MAX], *step_pointers[MN_STEPS_MAX];
    Mnc__Answer answers[MN_QUESTIONS_MAX], *answer_pointers[MN_QUESTIONS_MAX];
};

static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void pack_answers(struct packed_plan *p, const struct mn_plan *plan)
{
    for (size_t i = 0; i < mn_question_count() && i < MN_QUESTIONS_MAX; i++) {
        const struct mn_answer *a = &plan->answer[i];
        Mnc__Answer *m = &p->answers[p->m.n_answer];

        if (!a->answered)
            continue;
        mnc__answer__init(m);
        m->item = text(mn_question_at(i)->name);
        m->has_yes = true;
        m->yes = a->yes;
        m->has_hours_ago = a->ever;
        m->hours_ago = a->hours_ago;
        m->has_zones = a->zones != 0;
        m->zones = a->zones;
        m->confirmed_by = text(a->confirmed_by);
        p->answer_pointers[p->m.n_answer++] = m;
    }
    p->m.answer = p->answer_pointers;
}

/* False if the plan has too many steps. */
static bool pack_plan(struct packed_plan *p, const struct mn_plan *plan)
{
    mnc__plan__init(&p->m);
    if (plan->step_count > MN_STEPS_MAX)
        return false;
    p->m.subject = text(plan->subject);
    p->m.indication = text(plan->indication);
    p->m.has_numbing_min = plan->numbed;
    p->m.numbing_min = plan->numbing_min;
    p->m.numbing_waiver = text(plan->numbing_waiver);
    p->m.has_products = true;
    p->m.products = plan->products;
    p->m.has_continues = plan->continues != 0;
    p->m.continues = plan->continues;
    p->m.continues_why = text(plan->continues_why);
    for (size_t i = 0; i < plan->step_count; i++) {
        Mnc__PlanStep *m = &p->steps[i];

        mnc__plan_step__init(m);
        m->has_zone = m->has_depth_um = m->has_stroke_rate_dhz = true;
        m->zone = plan->step[i].zone;
        m->depth_um = plan->step[i].depth_um;
        m->stroke_rate_dhz = plan->step[i].stroke_rate_dhz;
        m->interval_override = text(plan->step[i].interval_override);
        p->step_pointers[i] = m;
    }
    p->m.n_step = plan->step_count;
    p->m.step = p->step_pointers;
    pack_answers(p, plan);
    return true;
}

static bool is_named(mn_client *c, const char *serial)
{
    if (serial != NULL && serial[0] != '\0')
        return true;
    client_fail(c, MN_ERR_INVALID, "which pen? a serial number is needed");
    return false;
}

/* Waits for a result that the union points to. */
#define WAIT_POINTED(c, out_pointer, async_call)                                                                       \
    struct waiter w = {.out = (out_pointer), .size = sizeof(*(out_pointer)), .points = (out_pointer) != NULL};          \
    return client_finish((c), &w, (async_call))

int mn_session_check_async(mn_client *c, const char *serial, const struct mn_plan *plan, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__SessionCheck check = MNC__SESSION_CHECK__INIT;
    struct packed_plan packed;

    if (serial == NULL && c->state == CLIENT_CONNECTED && c->daemon_minor < CHECK_ALONE_MINOR)
        return client_fail(c, MN_ERR_UNSUPPORTED, "mnd %s (client protocol 1.%u) checks a plan only with a pen, since 1.%d without: name a pen, or update the daemon", c->daemon_version,
                           c->daemon_minor, CHECK_ALONE_MINOR);
    if (!pack_plan(&packed, plan))
        return client_fail(c, MN_ERR_INVALID, "a plan has 1 to %d zones", MN_STEPS_MAX);
    check.serial = text(serial);
    check.plan = &packed.m;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_SESSION_CHECK;
    m.session_check = &check;
    return call_start(c, &m, serial, timeout_ms, on_checked, done, user);
}

int mn_session_check(mn_client *c, const char *serial, const struct mn_plan *plan, struct mn_findings *out, int timeout_ms)
{
    WAIT_POINTED(c, out, mn_session_check_async(c, serial, plan, timeout_ms, client_wake, &w));
}

int mn_session_begin_async(mn_client *c, const char *serial, const struct mn_plan *plan, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__SessionBegin begin = MNC__SESSION_BEGIN__INIT;
    struct packed_plan packed;

    if (!is_named(c, serial))
        return MN_ERR_INVALID;
    if (!pack_plan(&packed, plan))
        return client_fail(c, MN_ERR_INVALID, "a plan has 1 to %d zones", MN_STEPS_MAX);
    begin.serial = text(serial);
    begin.plan = &packed.m;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_SESSION_BEGIN;
    m.session_begin = &begin;
    return call_start(c, &m, serial, timeout_ms, on_session, done, user);
}

int mn_session_begin(mn_client *c, const char *serial, const struct mn_plan *plan, struct mn_session *out, int timeout_ms)
{
    WAIT_POINTED(c, out, mn_session_begin_async(c, serial, plan, timeout_ms, client_wake, &w));
}

int mn_session_select_async(mn_client *c, const char *serial, unsigned zone, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__SessionSelect select = MNC__SESSION_SELECT__INIT;

    if (!is_named(c, serial))
        return MN_ERR_INVALID;
    select.serial = text(serial);
    select.has_zone = true;
    select.zone = zone;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_SESSION_SELECT;
    m.session_select = &select;
    return call_start(c, &m, serial, timeout_ms, on_session, done, user);
}

int mn_session_select(mn_client *c, const char *serial, unsigned zone, struct mn_session *out, int timeout_ms)
{
    WAIT_POINTED(c, out, mn_session_select_async(c, serial, zone, timeout_ms, client_wake, &w));
}

int mn_session_arm_async(mn_client *c, const char *serial, uint32_t config_generation, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__SessionArm arm = MNC__SESSION_ARM__INIT;

    if (!is_named(c, serial))
        return MN_ERR_INVALID;
    arm.serial = text(serial);
    arm.has_config_generation = true;
    arm.config_generation = config_generation;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_SESSION_ARM;
    m.session_arm = &arm;
    return call_start(c, &m, serial, timeout_ms, on_session, done, user);
}

int mn_session_arm(mn_client *c, const char *serial, uint32_t config_generation, struct mn_session *out, int timeout_ms)
{
    WAIT_POINTED(c, out, mn_session_arm_async(c, serial, config_generation, timeout_ms, client_wake, &w));
}

int mn_session_end_async(mn_client *c, const char *serial, bool completed, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__SessionEndNow end = MNC__SESSION_END_NOW__INIT;

    if (!is_named(c, serial))
        return MN_ERR_INVALID;
    end.serial = text(serial);
    end.has_completed = true;
    end.completed = completed;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_SESSION_END;
    m.session_end = &end;
    return call_start(c, &m, serial, timeout_ms, on_session, done, user);
}

int mn_session_end(mn_client *c, const char *serial, bool completed, struct mn_session *out, int timeout_ms)
{
    WAIT_POINTED(c, out, mn_session_end_async(c, serial, completed, timeout_ms, client_wake, &w));
}

/* ---- lists ---- */

static int list(mn_client *c, const struct mn_session_filter *f, uint32_t number, int timeout_ms, mn_result_fn *done, void *user)
{
    static const struct mn_session_filter all;
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__SessionList l = MNC__SESSION_LIST__INIT;

    f = f != NULL ? f : &all;
    if ((f->subject != NULL) + (f->cartridge_uid != 0) + f->by_lot > 1)
        return client_fail(c, MN_ERR_INVALID, "sessions are listed by subject, by cartridge or by lot");
    if ((f->cartridge_uid != 0 || f->by_lot) && c->state == CLIENT_CONNECTED && c->daemon_minor < RECALL_MINOR)
        return client_fail(c, MN_ERR_UNSUPPORTED, "mnd %s (client protocol 1.%u) does not list sessions by cartridge, which it does since 1.%d: update the daemon", c->daemon_version,
                           c->daemon_minor, RECALL_MINOR);
    l.subject = text(f->subject);
    l.has_number = number != 0;
    l.number = number;
    l.has_before = f->before != 0;
    l.before = f->before;
    l.has_cartridge_uid = f->cartridge_uid != 0;
    l.cartridge_uid = f->cartridge_uid;
    l.has_cartridge_lot = f->by_lot;
    l.cartridge_lot = f->cartridge_lot;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_SESSION_LIST;
    m.session_list = &l;
    return call_start(c, &m, NULL, timeout_ms, on_sessions, done, user);
}

int mn_session_list_async(mn_client *c, const struct mn_session_filter *filter, int timeout_ms, mn_result_fn *done, void *user)
{
    return list(c, filter, 0, timeout_ms, done, user);
}

int mn_session_list(mn_client *c, const struct mn_session_filter *filter, struct mn_sessions *out, int timeout_ms)
{
    *out = (struct mn_sessions){0};
    WAIT(c, out, mn_session_list_async(c, filter, timeout_ms, client_wake, &w));
}

int mn_session_get(mn_client *c, uint32_t number, struct mn_session *out, int timeout_ms)
{
    struct mn_sessions found = {0};
    struct waiter w = {.out = &found, .size = sizeof(found)};
    int r = number != 0 ? client_finish(c, &w, list(c, NULL, number, timeout_ms, client_wake, &w)) : MN_OK;

    if (r == MN_OK && found.count > 0 && found.session != NULL)
        *out = found.session[0];
    else if (r == MN_OK)
        r = client_fail(c, MN_ERR_NO_SESSION, "there is no session %u", number);
    mn_sessions_free(&found);
    return r;
}

void mn_sessions_free(struct mn_sessions *sessions)
{
    if (sessions == NULL)
        return;
    free(sessions->session);
    *sessions = (struct mn_sessions){0};
}

int mn_clock_confirm_async(mn_client *c, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__ClockConfirm confirm = MNC__CLOCK_CONFIRM__INIT;

    m.body_case = MNC__CLIENT_MESSAGE__BODY_CLOCK_CONFIRM;
    m.clock_confirm = &confirm;
    return call_start(c, &m, NULL, timeout_ms, client_on_done, done, user);
}

int mn_clock_confirm(mn_client *c, int timeout_ms)
{
    struct waiter w = {0};

    return client_finish(c, &w, mn_clock_confirm_async(c, timeout_ms, client_wake, &w));
}

int mn_session_adverse_async(mn_client *c, uint32_t session, unsigned what, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__AdverseEvent e = MNC__ADVERSE_EVENT__INIT;

    e.has_session = e.has_what = true;
    e.session = session;
    e.what = what;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_ADVERSE_EVENT;
    m.adverse_event = &e;
    return call_start(c, &m, NULL, timeout_ms, client_on_done, done, user);
}

int mn_session_adverse(mn_client *c, uint32_t session, unsigned what, int timeout_ms)
{
    struct waiter w = {0};

    return client_finish(c, &w, mn_session_adverse_async(c, session, what, timeout_ms, client_wake, &w));
}

/* ---- the policy in force ---- */

static bool on_policy(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    const Mnc__PolicyReply *p = m->policy;
    struct mn_policy *out = m->body_case == MNC__SERVER_MESSAGE__BODY_POLICY ? calloc(1, sizeof(*out)) : NULL;

    (void)call;
    if (out == NULL)
        return false;
    c->owned = out;
    decode_policy(out, p);
    r->policy = out;
    return true;
}

int mn_policy_get_async(mn_client *c, const char *file_text, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__PolicyGet get = MNC__POLICY_GET__INIT;

    if (file_text != NULL && strlen(file_text) > POLICY_TEXT_MAX)
        return client_fail(c, MN_ERR_INVALID, "the policy is longer than %d KiB: `mnd --check-policy FILE` reads it", POLICY_TEXT_MAX / 1024);
    get.text = (char *)(uintptr_t)file_text;
    m.body_case = MNC__CLIENT_MESSAGE__BODY_POLICY_GET;
    m.policy_get = &get;
    return call_start(c, &m, NULL, timeout_ms, on_policy, done, user);
}

int mn_policy_get(mn_client *c, const char *file_text, struct mn_policy *out, int timeout_ms)
{
    WAIT_POINTED(c, out, mn_policy_get_async(c, file_text, timeout_ms, client_wake, &w));
}
