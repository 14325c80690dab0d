/*
 * The person at the terminal: lines and single keys that are typed, Ctrl-C, Ctrl-D, Ctrl-Z, and a terminal that changes its size. All of it comes
 * from one wait, in which the connection to mnd lives on: who thinks for half a minute loses nothing. Lines are edited by the terminal itself
 * (canonical mode: Backspace, Ctrl-U, Ctrl-W); keys come without Enter and are not echoed.
 *
 * What is printed never waits for the terminal either: a terminal that takes nothing (Ctrl-S, a connection that hangs) would freeze this program, and a
 * frozen program loses its pen. stdout is a stream of our own meanwhile, which keeps what the terminal does not take yet.
 *
 * Owns the terminal's mode, stdout and the signals from person_begin() to person_end(), which puts them back and throws away what was typed ahead: it was
 * meant for this program, and must not run in the shell. One at a time; main thread.
 */
#pragma once

#include "mnctl.h"

enum { PERSON_LINE_MAX = 400 };

enum person_event {
    PERSON_TIMEOUT,
    PERSON_MNCTL_ERROR, /* the connection has failed for good: app_failed() says how */
    PERSON_LINE,        /* person_line() */
    PERSON_KEY,         /* person_key() */
    PERSON_END,         /* end of input: Ctrl-D, or the input is closed */
    PERSON_INTERRUPT,   /* Ctrl-C, or somebody ends this program */
    PERSON_SUSPEND,     /* Ctrl-Z: person_suspend() does it, when all is safe */
    PERSON_RESIZED,
};

enum person_mode { PERSON_LINES, PERSON_KEYS, PERSON_NOTHING /* input is only watched for its end */ };

/* 0, or an exit code after a sentence. */
int person_begin(void);
void person_end(void);

/* What is typed from now on is taken as lines or as keys. */
void person_set_mode(enum person_mode mode);
/* What was typed until now does not count: before a question whose answer must have been read first. */
void person_forget_typed(void);

/* Waits for the person, for at most timeout_ms (-1: for ever), and serves the client of a (if it is connected) meanwhile. */
enum person_event person_wait(struct app *a, int timeout_ms);

/* The line without its end, of a PERSON_LINE; good until the next wait. */
const char *person_line(void);
/* The key of a PERSON_KEY: a byte; '\n' for Enter. */
int person_key(void);

/* The terminal has not taken all that was printed: what is to be shown anew anyway can wait. */
bool person_output_waits(void);

/* Gives the terminal back and stops this program, as Ctrl-Z does; comes back when it goes on. */
void person_suspend(void);
