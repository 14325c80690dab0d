/*
 * The whole chain in one process: two programs, the daemon with its server, its simulated bus and its journal, and a pen that is the firmware on its model. Time is the test's: it stands still
 * until the test lets it go on. So a treatment of minutes takes milliseconds, and what was found once comes again.
 *
 * Only the journal's worker and the daemon's tasks are threads of their own, in real time; each step waits until they have nothing to do. What would be different each time (nonces, the journal's number)
 * is made of ones.
 *
 * One chain at a time. What fails in here aborts: it is not what is tried.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.pb-c.h"
#include "pen_end.h"

#define CHAIN_PEN "FUZZ"
#define CHAIN_PROGRAMS 2
#define CHAIN_JOURNAL UINT64_C(0x0101010101010101) /* its number */

struct chain;

/* All is up, the pen is SAFE and known, and both programs have said HELLO. */
struct chain *chain_new(void);
/* The daemon is ended as it ends itself, and all files go. */
void chain_free(struct chain *c);

struct pen_end *chain_pen(struct chain *c);

/* Time goes on, and programs answer pings meanwhile. */
void chain_wait(struct chain *c, uint32_t ms);
/* The journal is taken away from the daemon, or given back. */
void chain_set_journal(struct chain *c, bool there);
/* The machine sleeps, and the pen does not: CLOCK_MONOTONIC stands still. */
void chain_sleep(struct chain *c, uint32_t ms);
/* The newest record of a kind that is in the journal: when it happened, by the daemon's reckoning, give or take, in the time of chain_unix_us(). False: there is none. */
bool chain_record_time(struct chain *c, uint32_t kind, uint64_t *host_us, uint64_t *bound_us);
/* How many notes programs were given as damaged, in all chains so far. */
unsigned chain_damaged_notes(void);
/* What CLOCK_REALTIME is now. */
uint64_t chain_unix_us(void);
/* A request of a program (0, 1); its id is put in. The answer is not looked at. */
void chain_ask(struct chain *c, int program, Mnc__ClientMessage *m);
/* Both programs hang up. */
void chain_hang_up(struct chain *c);
/* Every record that the pen has is in the journal. */
bool chain_has_all_records(const struct chain *c);

/*
 * A script: steps, each one byte that says what, two with the length of what follows (the lower ones first), and that.
 * tests/fuzz/seeds.py writes some.
 */
enum chain_step {
    STEP_ASK_A,     /* a request's body: the field of ClientMessage; an id is put before it */
    STEP_ASK_B,
    STEP_WRITE_A,   /* bytes on the connection, as they are */
    STEP_WAIT,      /* a byte: times 10 ms; two bytes: so many ms */
    STEP_PEN,       /* a line of the simulation's language */
    STEP_PAYLOAD,   /* pen_end_make_up() */
    STEP_FLIP,      /* pen_end_flip() */
    STEP_PACKET,    /* a packet on the simulated link, as it is; empty: the link is dropped, and comes again */
    STEP_HANG_UP_A, /* and calls again */
    STEP_HANG_UP_B,
    STEP_JOURNAL,   /* a byte: 0 takes the journal away, else it is opened */
    STEP_SILENT,    /* a byte: 1: programs do not answer pings; 2: nor read; 0: they do */
    STEP_RESTART,   /* the daemon ends and begins anew, with the same journal */
    STEP_FAIL,      /* what (1 byte: enum failing_what), the how manyth from now on (2 bytes), which error (1 byte) */
    STEP_KINDS
};

void chain_play(struct chain *c, const uint8_t *script, size_t size);
