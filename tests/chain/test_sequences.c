/*
 * Control and sessions in the daemon itself (control.c, session.c, client.c, request.c and all below them), with the pen's firmware behind it: every sequence of events of a length, from a session that was
 * begun, armed, and runs. Two programs take, give, lose and drop control, arm, stop and end; the trigger is pressed and let go, the cable pulled, the journal taken away, a fault comes, nobody answers, a status is lost, the pen arms itself.
 *
 * What must hold after each event is said by a model of a few lines that knows nothing of how it is done: needles may move only by an ARM of the lease holder, since when nothing has come that
 * ends it; they are driven only with the trigger pressed; and 350 ms after the programs are gone no trigger moves them.
 *
 * MN_SEQUENCES=n: how long [2]. One that fails is printed; MN_SEQUENCE="TAKE_A BEGIN_A ARM_A ..." plays that one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "program.h"

#define EVENTS(X)                                                                                                      \
    X(TAKE_A) X(TAKE_B) X(OVER_B) X(REQUEST_B) X(GIVE_A) X(RELEASE_A) X(HANG_UP_A) X(BEGIN_A) X(ARM_A) X(ARM_B) X(ARM_UNHEARD) X(ARM_ITSELF) X(STOP_B) X(END_A) X(END_B) X(PRESS) X(LET) X(UNPLUG) X(FAULT) X(SILENT) X(NO_JOURNAL)

enum event {
#define ID(name) name,
    EVENTS(ID) EVENTS_END
};

static const char *const names[] = {
#define NAME(name) #name,
    EVENTS(NAME)
};

enum { A, B, NOBODY, LENGTH_MAX = 6, STOPPED_MS = 350 };

static const struct {
    enum event events[4];
    size_t count;
} beginnings[] = {{{TAKE_A, BEGIN_A}, 2}, {{TAKE_A, BEGIN_A, ARM_A}, 3}, {{TAKE_A, BEGIN_A, ARM_A, PRESS}, 4}};

enum { BEGINNINGS = sizeof(beginnings) / sizeof(beginnings[0]) };

/* What is true, whatever the daemon thinks. */
static struct {
    int owner;
    bool b_waits, may_move, trigger, journal;
} is;

static struct {
    unsigned sequences, armed, driven;
} seen;

static void control_goes_to(int program)
{
    is.may_move &= is.owner == program;
    is.owner = program;
}

static void control_is_free(void)
{
    control_goes_to(is.b_waits ? B : NOBODY);
    is.b_waits = false;
}

static void play(struct chain *c, const uint8_t *script, size_t n)
{
    chain_play(c, script, n);
}

#define PLAY(c, ...) play(c, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* How long it may take until what it ends has ended. */
static uint32_t happen(struct chain *c, enum event e)
{
    bool driven = pen_end_is_driven(chain_pen(c)), armed = pen_end_may_move(chain_pen(c));

    switch (e) {
    case TAKE_A:
    case TAKE_B:
        program_lease(c, e == TAKE_B, MNC__LEASE_ACTION__LEASE_TAKE);
        if (is.owner == NOBODY)
            control_goes_to(e == TAKE_B);
        break;
    case OVER_B:
        program_lease(c, B, MNC__LEASE_ACTION__LEASE_TAKE_OVER);
        control_goes_to(B);
        break;
    case REQUEST_B:
        program_lease(c, B, MNC__LEASE_ACTION__LEASE_REQUEST);
        is.b_waits |= is.owner == A;
        if (is.owner == NOBODY)
            control_goes_to(B);
        break;
    case GIVE_A:
        program_lease(c, A, MNC__LEASE_ACTION__LEASE_GIVE);
        if (is.owner == A && is.b_waits)
            control_is_free();
        break;
    case RELEASE_A:
        program_lease(c, A, MNC__LEASE_ACTION__LEASE_RELEASE);
        if (is.owner == A)
            control_is_free();
        break;
    case HANG_UP_A:
        PLAY(c, STEP_HANG_UP_A, 0, 0);
        if (is.owner == A)
            control_is_free();
        break;
    case BEGIN_A:
        program_begin(c, A, 60);
        return 200; /* until the pen has its configuration */
    case ARM_A:
    case ARM_B:
        program_arm(c, e == ARM_B);
        is.may_move |= is.owner == (e == ARM_B) && is.journal;
        break;
    case ARM_UNHEARD: /* by A; the status that says ARMED is lost */
        chain_wait(c, 100); /* until no other status is on its way, which would be lost instead */
        pen_end_lose_status(chain_pen(c));
        program_arm(c, A);
        is.may_move &= armed;
        return 500 + STOPPED_MS;
    case ARM_ITSELF:
        pen_end_arm(chain_pen(c));
        return STOPPED_MS;
    case STOP_B:
        program_stop(c, B);
        is.may_move = false;
        break;
    case END_A:
    case END_B:
        program_end(c, e == END_B);
        is.may_move &= is.owner != (e == END_B) && is.owner != NOBODY;
        break;
    case PRESS:
    case LET:
        program_say(c, e == PRESS ? "trigger press" : "trigger release");
        is.trigger = e == PRESS;
        is.may_move &= !driven || is.trigger; /* a run that has ended needs another ARM */
        break;
    case UNPLUG:
        program_say(c, "unplug 0.1");
        is.may_move = false;
        return STOPPED_MS;
    case FAULT:
        program_say(c, "inject 1402");
        is.may_move = false;
        return STOPPED_MS;
    case SILENT:
        PLAY(c, STEP_SILENT, 1, 0, 1, STEP_WAIT, 2, 0, 2200 & 255, 2200 >> 8);
        if (is.owner != NOBODY)
            control_is_free();
        break;
    case NO_JOURNAL:
        PLAY(c, STEP_JOURNAL, 1, 0, 0);
        is.journal = false;
        break;
    case EVENTS_END:
        break;
    }
    return 20;
}

static const char *name_of(enum event e)
{
    return e < EVENTS_END ? names[e] : "?";
}

static void print_sequence(const enum event *events, size_t n, const char *what)
{
    print_message("%s, after", what);
    for (size_t i = 0; i < n; i++)
        print_message(" %s", name_of(events[i]));
    print_message("\n");
}

/* The first ones are given time to come to their end. False: something did not hold. */
static bool try_it(const enum event *events, size_t n, size_t first)
{
    struct chain *c = chain_new();
    bool good = true, armed = false, driven = false;

    is = (__typeof__(is)){.owner = NOBODY, .journal = true};
    for (size_t i = 0; i < n && good; i++) {
        const char *wrong = NULL;

        chain_wait(c, happen(c, events[i]) + (i < first ? 100 : 0));
        if (getenv("MN_SEQUENCE") != NULL)
            print_message("%-10s %s\n", name_of(events[i]), pen_end_is_driven(chain_pen(c)) ? "driven" : pen_end_may_move(chain_pen(c)) ? "armed" : "");
        if (pen_end_may_move(chain_pen(c)) && !is.may_move)
            wrong = "the needles may move, and nobody may let them";
        else if (pen_end_is_driven(chain_pen(c)) && !is.trigger)
            wrong = "the needles are driven without the trigger";
        if (wrong != NULL)
            print_sequence(events, i + 1, wrong);
        good = wrong == NULL;
        armed |= pen_end_may_move(chain_pen(c));
        driven |= pen_end_is_driven(chain_pen(c));
    }
    program_say(c, "trigger press");
    chain_hang_up(c);
    chain_wait(c, STOPPED_MS);
    if (pen_end_may_move(chain_pen(c))) {
        print_sequence(events, n, "the needles may move without any program");
        good = false;
    }
    chain_free(c);
    seen.sequences++;
    seen.armed += armed;
    seen.driven += driven;
    return good;
}

static void every_sequence_keeps_the_needles_in_hand(void **state)
{
    const char *wanted = getenv("MN_SEQUENCES");
    size_t length = wanted != NULL ? strtoul(wanted, NULL, 10) : 2;
    unsigned long sequences = 1, bad = 0;

    (void)state;
    assert_in_range(length, 1, LENGTH_MAX);
    for (size_t i = 0; i < length; i++)
        sequences *= EVENTS_END;
    for (size_t from = 0; from < BEGINNINGS; from++) {
        for (unsigned long s = 0; s < sequences && bad < 10; s++) {
            enum event events[4 + LENGTH_MAX] = {0};
            size_t n = beginnings[from].count;
            unsigned long rest = s;

            memcpy(events, beginnings[from].events, sizeof(beginnings[from].events));
            for (size_t i = 0; i < length; i++, rest /= EVENTS_END)
                events[n++] = (enum event)(rest % EVENTS_END);
            bad += !try_it(events, n, beginnings[from].count);
        }
    }
    print_message("%u sequences of %zu events behind %d beginnings: armed in %u, driven in %u\n", seen.sequences, length, BEGINNINGS, seen.armed, seen.driven);
    assert_int_equal(bad, 0);
    assert_true(seen.armed > seen.sequences / 2 && seen.driven > seen.sequences / 4); /* else it is not treatments that are tried */
}

static enum event event_by_name(const char *word)
{
    size_t i = 0;

    while (i < EVENTS_END && strcmp(names[i], word) != 0)
        i++;
    if (i == EVENTS_END)
        fail_msg("there is no event %s", word);
    return (enum event)i;
}

static void the_sequence_that_was_named(void **state)
{
    const char *text = getenv("MN_SEQUENCE");
    char words[400], *save = NULL;
    enum event events[40] = {0};
    size_t n;

    (void)state;
    snprintf(words, sizeof(words), "%s", text);
    for (n = 0; n < 40; n++) {
        const char *word = strtok_r(n == 0 ? words : NULL, " ", &save);

        if (word == NULL)
            break;
        events[n] = event_by_name(word);
    }
    assert_true(try_it(events, n, 4));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest every[] = {cmocka_unit_test(every_sequence_keeps_the_needles_in_hand)}, one[] = {{"one", the_sequence_that_was_named, NULL, NULL, NULL}};

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return getenv("MN_SEQUENCE") != NULL ? cmocka_run_group_tests_name("sequences", one, NULL, NULL) : cmocka_run_group_tests_name("sequences", every, NULL, NULL);
}
