/*
 * Every fault: its cause is made by the fixture, the pen must notice, stop the needles where it should, and be cleared as the fault's kind says. A
 * verdict for each, in words: "right", or what was wrong.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "slot.h"
#include "step_list.h"

enum when { AT_REST, RUNNING, AT_BOOT, AFTER_STOP };

/* How each fault is provoked, and what it must do besides being reported. */
static const struct way {
    uint16_t code;
    enum when when;
    bool stops; /* state FAULT, needles at rest */
} ways[] = {
    {1101, RUNNING, true},     {1102, RUNNING, true},  {1103, RUNNING, false}, {1104, RUNNING, true},  {1105, AT_REST, true},  {1106, AFTER_STOP, true},
    {1107, RUNNING, true},     {1201, RUNNING, true},  {1202, RUNNING, false}, {1203, AT_BOOT, false}, {1301, AT_REST, false}, {1302, AT_REST, false},
    {1303, AT_REST, false},    {1304, AT_REST, false}, {1305, RUNNING, true},  {1306, AT_REST, false}, {1401, AT_REST, false}, {1402, RUNNING, true},
    {1403, AT_REST, true},     {1501, RUNNING, true},  {1601, AT_REST, true},  {1602, AT_REST, false}, {1701, AT_BOOT, false}, {1702, AT_REST, false},
    {1704, AT_BOOT, false},    {1705, AT_BOOT, false}, {1801, AT_BOOT, true},  {1802, AT_BOOT, false},
};

struct test {
    const struct way *way;
    const struct mn_fault *fault;
    char wrong[100]; /* "": nothing */
    double stop_ms;
};

static json_t *of_code(const struct test *t)
{
    return json_pack("{s:i}", "code", (int)t->way->code);
}

static void is_wrong(struct test *t, const char *what)
{
    if (t->wrong[0] == '\0')
        snprintf(t->wrong, sizeof(t->wrong), "%s", what);
}

static enum outcome make_cause(struct slot *s, struct test *t)
{
    switch (t->way->when) {
    case RUNNING:
    case AFTER_STOP:
        TRY(slot_start_needles(s, 1000, 1000, true));
        break;
    case AT_REST:
    case AT_BOOT:
        TRY(slot_enter(s));
        break;
    }
    s->expected_gone = t->way->when == AT_BOOT;
    if (t->way->code == 1701) { /* the restart has dropped the calibration on trial, so the pen has none */
        TRY(slot_restart(s, "power_cycle"));
        return DONE;
    }
    if (t->way->code == 1802)
        return slot_restart(s, "watchdog");
    TRY(slot_ask(s, "inject", of_code(t), NULL));
    if (t->way->when == AFTER_STOP)
        return slot_ask(s, "trigger", json_pack("{s:b}", "on", 0), NULL);
    return t->way->when == AT_BOOT ? slot_restart(s, "power_cycle") : DONE;
}

static enum outcome take_cause_away(struct slot *s, const struct test *t)
{
    if (t->way->code == 1701) { /* put the calibration on trial again; the fault is of kind SERVICE, and stays */
        TRY(slot_enter(s));
        return slot_wait(s, 100);
    }
    TRY(slot_ask(s, "clear", of_code(t), NULL));
    if (t->way->when == RUNNING || t->way->when == AFTER_STOP)
        TRY(slot_ask(s, "trigger", json_pack("{s:b}", "on", 0), NULL));
    if (t->way->when == AT_BOOT && t->way->code < 1800) /* detected at the next start, cleared by the one after */
        return slot_restart(s, "power_cycle");
    return slot_wait(s, 300);
}

static enum outcome clear(struct slot *s, const struct test *t, bool service, bool *gone)
{
    int r = mn_faults_clear(s->client, s->address, t->fault->code, service, &s->cleared, SLOT_CALL_MS);

    if (r != MN_OK)
        return slot_ok(s, r, "clear the fault");
    *gone = (s->cleared.fault_word >> t->fault->bit & 1) == 0;
    return DONE;
}

/* With the cause removed: checks that the fault clears as its kind says. */
static enum outcome its_kind(struct slot *s, struct test *t)
{
    bool there = slot_has_fault(s, t->fault->bit), gone = false;

    if (t->way->when == AT_BOOT && t->way->code < 1800 && t->way->code != 1701) {
        if (there)
            is_wrong(t, "stayed over a restart without its cause");
        return DONE;
    }
    switch (t->fault->kind) {
    case MN_FAULT_SELF:
        TRY(slot_wait_for(s, slot_lacks_fault, t->fault->bit, 2500, &gone));
        if (!gone)
            is_wrong(t, "did not clear itself");
        break;
    case MN_FAULT_LATCHING:
        if (!there)
            is_wrong(t, "did not latch");
        TRY(clear(s, t, false, &gone));
        if (!gone)
            is_wrong(t, "could not be cleared");
        break;
    case MN_FAULT_SERVICE:
        if (!there)
            is_wrong(t, "did not latch");
        TRY(clear(s, t, false, &gone));
        if (gone)
            is_wrong(t, "was cleared without service");
        TRY(clear(s, t, true, &gone));
        if (!gone)
            is_wrong(t, "could not be cleared by service");
        break;
    }
    return DONE;
}

static enum outcome look(struct slot *s, struct test *t)
{
    json_t *readings;
    bool held;
    double ms = 0;
    enum outcome r;

    TRY(slot_wait_for(s, slot_has_fault, t->fault->bit, 2500, &held));
    if (!held)
        is_wrong(t, "was not noticed");
    if (held && t->way->stops) {
        TRY(slot_wait_for(s, slot_is_in, MN_STATE_FAULT, 2000, &held));
        if (!held)
            is_wrong(t, "did not stop the pen");
    }
    if (t->way->when != RUNNING || !t->way->stops || t->wrong[0] != '\0')
        return DONE;
    TRY(slot_wait(s, 150));
    TRY(slot_read(s, &readings));
    r = slot_number(s, readings, "cut_to_rest_ms", &ms);
    json_decref(readings);
    t->stop_ms = ms;
    return r;
}

static enum outcome try_fault(struct slot *s, struct test *t)
{
    s->expected_host_loss = t->way->code == 1601;
    TRY(make_cause(s, t));
    TRY(look(s, t));
    TRY(take_cause_away(s, t));
    s->expected_gone = t->way->code == 1602; /* the link's session is re-established */
    TRY(slot_await(s, slot_is_ready, 0, 5000, "the pen"));
    TRY(its_kind(s, t));
    s->expected_gone = false;
    return slot_rest(s);
}

static const struct way *way_of(unsigned code)
{
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (ways[i].code == code)
            return &ways[i];
    }
    return NULL;
}

enum outcome step_faults(struct slot *s)
{
    double stop_max_ms = 0;
    char name[32];

    for (size_t i = 0; i < mn_fault_count(); i++) {
        struct test t = {.fault = mn_fault_at(i), .way = way_of(mn_fault_at(i)->code)};

        if (t.way == NULL)
            return slot_error(s, "fault %u is new: this mn-factory cannot provoke it", t.fault->code);
        TRY(try_fault(s, &t));
        snprintf(name, sizeof(name), "fault_%u", t.fault->code);
        slot_measure_text(s, name, t.wrong[0] == '\0' ? "right" : t.wrong);
        stop_max_ms = fmax(stop_max_ms, t.stop_ms);
        slot_progress(s, (double)(i + 1) / (double)mn_fault_count());
    }
    slot_measure(s, "stop_max_ms", "ms", stop_max_ms);
    return DONE;
}
