/* All states of leases and sessions in the daemon that a pen that does anything and two programs lead to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "explore.h"
#include "explored.h"
#include "lease.h"
#include "treatment.h"

enum { PROGRAMS = 2 };

struct daemon { /* a state */
    struct treatment t;
    struct lease lease; /* of the one pen; holder NULL: none */
    uint64_t now_us;
    enum treatment_pen pen;
    bool safe, journal, numbing; /* the pen is exactly SAFE; the disk takes records; the numbing has lasted */
    uint32_t generation;
    /* what must be the case, reckoned apart from the code */
    int armed_by; /* whose ARM it was, and nothing has ended it since: 0, 1; -1 */
};

static const char programs[PROGRAMS];
static struct policy policy;

enum daemon_event {
    TAKE, /* + program, each */
    TAKE_OVER = TAKE + PROGRAMS,
    RELEASE = TAKE_OVER + PROGRAMS, /* or hang up, or die */
    PONG = RELEASE + PROGRAMS,
    BEGIN = PONG + PROGRAMS,
    SELECT = BEGIN + PROGRAMS,
    ARM = SELECT + PROGRAMS,
    ARM_WRONG = ARM + PROGRAMS,
    END = ARM_WRONG + PROGRAMS,
    TIME = END + PROGRAMS, /* 1 s, with the check for silence */
    PEN_GONE, PEN_RESTS, PEN_SAFE, PEN_ARMED, PEN_RUNS,
    OTHER_CONFIGURES, ANSWER_TAKEN, ANSWER_REFUSED, ANSWER_LATE, DISK_FAILS, DISK_WORKS, ALL_IS_IN, DAEMON_DIES,
    DAEMON_EVENTS
};

static void daemon_event_name(int event, char *out, size_t cap)
{
    static const char *const of_program[] = {"takes the lease", "takes it over", "goes", "answers a ping", "begins a session", "selects the zone", "arms",
                                             "arms another configuration", "ends the session"};
    static const char *const others[] = {"a second passes", "the pen is gone", "the pen rests", "the pen is SAFE", "the pen is ARMED", "the pen runs",
                                         "somebody else configures the pen", "the pen takes ARM", "the pen refuses ARM", "the pen's ARMED is late",
                                         "the disk fails", "the disk works", "all records are in", "the daemon dies, and is back"};

    if (event < TIME)
        snprintf(out, cap, "program %c %s", 'A' + event % PROGRAMS, of_program[event / PROGRAMS]);
    else
        snprintf(out, cap, "%s", others[event - TIME]);
}

static int owner_of(const struct daemon *s)
{
    return s->lease.holder == NULL ? -1 : s->lease.holder == &programs[0] ? 0 : 1;
}

/* The real lease table holds the state's one lease while an event is done. */
static void leases_put(struct leases *l, const struct daemon *s)
{
    *l = (struct leases){0};
    if (s->lease.holder != NULL)
        assert_int_equal(lease_take(l, "P", s->lease.holder, "program", 1, LEASE_LIVENESS_US, s->lease.heard_us, false), 0);
}

static void leases_get(struct daemon *s, struct leases *l)
{
    const struct lease *lease = lease_find(l, "P");

    s->lease = lease != NULL ? *lease : (struct lease){0};
    leases_free(l);
}

static struct treatment_context world(const struct daemon *s, int program)
{
    return (struct treatment_context){
        .has_lease = s->lease.holder == &programs[program],
        .is_free = s->lease.holder == NULL,
        .holder = s->lease.holder != NULL ? "program" : NULL,
        .journal_error = s->journal ? "" : "the disk fails",
        .pen = s->pen,
        .pen_is_safe = s->pen == PEN_IS_AT_REST && s->safe,
        .generation = s->generation,
        .now_us = s->now_us,
        .asked_generation = s->t.generation,
    };
}

/* What session.c does when control.c says that a lease was lost. */
static void lost(struct daemon *s, int before)
{
    if (before >= 0 && owner_of(s) != before) {
        treatment_lease_lost(&s->t, "");
        if (s->armed_by == before)
            s->armed_by = -1;
    }
}

static const char *lease_event(struct daemon *s, int event, int program)
{
    int before = owner_of(s), r = 0;
    struct leases l;

    leases_put(&l, s);
    if (event == TAKE)
        r = lease_take(&l, "P", &programs[program], "program", 1, LEASE_LIVENESS_US, s->now_us, false);
    else if (event == TAKE_OVER)
        r = lease_take(&l, "P", &programs[program], "program", 1, LEASE_LIVENESS_US, s->now_us, true);
    else if (event == PONG)
        lease_renew(&l, &programs[program], s->now_us);
    else if (lease_release(&l, "P", &programs[program]) && before != program)
        r = -1;
    if (l.count > 1) {
        leases_free(&l);
        return "two programs have the lease";
    }
    leases_get(s, &l);
    if (event == TAKE && r == 0 && before >= 0 && before != program)
        return "a lease was taken that another has";
    if (event == TAKE && before >= 0 && before != program && owner_of(s) != before)
        return "a lease that was refused has changed hands";
    if (r == -1 || (event == RELEASE && before >= 0 && before != program && owner_of(s) != before))
        return "a program has released another's lease";
    if (event == PONG && owner_of(s) != before)
        return "a pong has changed the holder";
    lost(s, before);
    return NULL;
}

static void plan(struct treatment *t, uint64_t now_us)
{
    *t = (struct treatment){.state = TREATMENT_PREPARED, .number = 1, .id = 77, .zone_count = 1, .said_us = now_us};
    t->zones[0] = (struct treatment_zone){.zone = ZONE_CHEEK, .depth_um = 500, .stroke_rate_dhz = 1000};
    t->input.steps[0] = (struct policy_step){.zone = ZONE_CHEEK, .depth_um = 500, .days_since_surface = POLICY_NEVER, .days_since_deeper = POLICY_NEVER};
    t->input.step_count = 1;
    for (int i = 0; i < SCREEN_ITEMS; i++)
        t->input.answers[i] = (struct policy_answer){.answered = true, .hours_ago = POLICY_NEVER};
}

/* Fifteen minutes before, the policy says no. */
static const char *begin(struct daemon *s, int program)
{
    struct treatment_context w = world(s, program);
    struct findings found;
    struct rejection r;

    if (treatment_is_open(&s->t))
        return NULL; /* session.c refuses it before it is asked */
    plan(&s->t, s->now_us);
    s->t.state = TREATMENT_NONE;
    s->t.input.numbing_min = 60;
    policy_evaluate(&policy, &s->t.input, &found);
    s->t.input.numbing_min = 0; /* it is looked at again before ARM */
    if (!treatment_may_begin(&w, &found, &r))
        return w.has_lease && s->journal && w.pen_is_safe ? "a session was refused for nothing" : NULL;
    if (!w.has_lease || !s->journal || !w.pen_is_safe)
        return "a session has begun without lease, journal or a pen in SAFE";
    s->t.state = TREATMENT_PREPARED;
    s->numbing = false;
    return NULL;
}

static const char *try_arm(struct daemon *s, int program, bool wrong_generation)
{
    struct treatment_context w = world(s, program);
    enum treatment_state before = s->t.state;
    struct findings found;
    struct rejection r;
    bool may, should;

    if (!treatment_is_open(&s->t))
        return NULL;
    w.asked_generation += wrong_generation;
    w.now_us = s->t.said_us + (s->numbing ? UINT64_C(3600000000) : 60000000);
    should = w.has_lease && s->journal && w.pen_is_safe && !wrong_generation && s->t.generation != 0 && s->generation <= s->t.generation && s->numbing &&
             (before == TREATMENT_PREPARED || before == TREATMENT_PAUSED);
    treatment_evaluate(&s->t, &policy, w.now_us, &found);
    may = treatment_may_arm(&s->t, &found, &w, &r);
    if (s->t.state != before)
        return "asking whether it may be armed has changed its state";
    if (may && !should)
        return "ARM goes out without lease, journal, policy, a pen in SAFE or the configuration that was seen";
    if (!may && should)
        return "ARM was refused for nothing";
    if (may) {
        treatment_arm_sent(&s->t);
        s->armed_by = program;
    }
    return NULL;
}

static const char *pen_event(struct daemon *s, enum treatment_pen pen, bool safe)
{
    bool live = treatment_is_live(&s->t), armed = live && s->t.state != TREATMENT_ARMING, stop;

    s->pen = pen;
    s->safe = safe;
    stop = treatment_pen_is(&s->t, pen, "");
    if (!live && (pen == PEN_IS_ARMED || pen == PEN_IS_RUNNING) && !stop)
        return "a pen that nobody has armed is not stopped";
    if (live && stop)
        return "a pen is stopped that was armed";
    if (!live && treatment_is_live(&s->t))
        return "the session goes on by itself";
    if (treatment_is_live(&s->t) && (pen == PEN_IS_GONE || (armed && pen == PEN_IS_AT_REST)))
        return "the session goes on although its pen is gone, or rests";
    if (!treatment_is_live(&s->t))
        s->armed_by = -1;
    return NULL;
}

static const char *daemon_act(struct daemon *s, int event)
{
    int program = event < TIME ? event % PROGRAMS : 0, before = owner_of(s);
    struct treatment_context w = world(s, program);
    struct rejection r;
    struct leases l;
    const struct lease *silent;

    switch (event < TIME ? event - program : event) {
    case TAKE:
    case TAKE_OVER:
    case RELEASE:
    case PONG:
        return lease_event(s, event - program, program);
    case BEGIN:
        return begin(s, program);
    case SELECT:
        if (!treatment_is_open(&s->t) || !treatment_may_select(&s->t, &w, &r))
            return NULL;
        if (!w.has_lease || treatment_is_live(&s->t))
            return "a zone was chosen by a program without the lease, or while the pen is armed";
        treatment_selecting(&s->t, 0);
        treatment_selected(&s->t, ++s->generation);
        return NULL;
    case ARM:
    case ARM_WRONG:
        return try_arm(s, program, event - program == ARM_WRONG);
    case END:
        if (!treatment_may_end(&s->t, &w, &r))
            return NULL;
        if (before >= 0 && before != program)
            return "a session was ended by a program while another controls its pen";
        treatment_end(&s->t, END_COMPLETED);
        s->armed_by = -1;
        return NULL;
    case TIME:
        s->now_us += 1000000;
        leases_put(&l, s);
        silent = lease_expired(&l, s->now_us);
        if (silent != NULL)
            lease_release(&l, "P", silent->holder);
        else if (before >= 0 && s->now_us - s->lease.heard_us >= LEASE_LIVENESS_US) {
            leases_free(&l);
            return "a silent program keeps its lease";
        }
        leases_get(s, &l);
        lost(s, before);
        s->numbing = treatment_is_open(&s->t);
        return NULL;
    case PEN_GONE:
        return pen_event(s, PEN_IS_GONE, false);
    case PEN_RESTS:
        return pen_event(s, PEN_IS_AT_REST, false);
    case PEN_SAFE:
        return pen_event(s, PEN_IS_AT_REST, true);
    case PEN_ARMED:
        return pen_event(s, PEN_IS_ARMED, false);
    case PEN_RUNS:
        return pen_event(s, PEN_IS_RUNNING, false);
    case OTHER_CONFIGURES:
        s->generation++;
        return NULL;
    case ANSWER_TAKEN:
    case ANSWER_REFUSED:
        treatment_arm_answered(&s->t, event == ANSWER_TAKEN);
        break;
    case ANSWER_LATE:
        treatment_arm_late(&s->t);
        break;
    case DISK_FAILS:
    case DISK_WORKS:
        s->journal = event == DISK_WORKS;
        return NULL;
    case ALL_IS_IN:
        if (s->t.state == TREATMENT_ENDING)
            treatment_ended(&s->t, 1, false);
        return NULL;
    case DAEMON_DIES: /* what history_restore() makes of it */
        s->lease = (struct lease){0};
        if (treatment_is_open(&s->t))
            treatment_end(&s->t, END_INTERRUPTED);
        s->armed_by = -1;
        return NULL;
    default:
        break;
    }
    if (!treatment_is_live(&s->t))
        s->armed_by = -1;
    return NULL;
}

static const char *daemon_apply(void *state, int event)
{
    struct daemon *s = state;
    enum treatment_state before = s->t.state;
    const char *wrong = daemon_act(s, event);

    if (wrong != NULL)
        return wrong;
    if (treatment_is_live(&s->t) && s->armed_by < 0)
        return "the session is armed, and by nobody";
    if (treatment_is_live(&s->t) && owner_of(s) != s->armed_by)
        return "the session is armed by a program that does not control the pen";
    if (before == TREATMENT_ENDED && s->t.state != TREATMENT_ENDED && event / PROGRAMS != BEGIN / PROGRAMS)
        return "an ended session is open again";
    if (before == TREATMENT_ENDING && treatment_is_live(&s->t))
        return "a session that is being ended goes on";
    return NULL;
}

static void daemon_key(const void *state, uint8_t key[EXPLORE_KEY])
{
    const struct daemon *s = state;
    uint64_t silent_us = s->now_us - s->lease.heard_us;

    key[0] = (uint8_t)s->t.state;
    key[1] = (uint8_t)(owner_of(s) + 1);
    key[2] = (uint8_t)(s->lease.holder != NULL ? silent_us / 500000 : 0);
    key[3] = (uint8_t)s->pen;
    key[4] = (uint8_t)(s->safe | s->journal << 1 | s->numbing << 2 | s->t.arm_answered << 3);
    key[5] = (uint8_t)(s->t.generation == 0 ? 0 : s->generation > s->t.generation ? 1 : 2);
    key[6] = (uint8_t)(s->armed_by + 1);
    key[7] = (uint8_t)s->t.end;
}

bool every_lease_and_session_state(void)
{
    struct daemon first = {.now_us = 3600000000u, .journal = true, .safe = true, .pen = PEN_IS_AT_REST, .armed_by = -1};
    struct explore x = {.name = "leases and sessions", .state_size = sizeof(first), .event_count = DAEMON_EVENTS, .apply = daemon_apply, .key = daemon_key,
                        .event_name = daemon_event_name};

    policy_default(&policy);
    return explore(&x, &first);
}
