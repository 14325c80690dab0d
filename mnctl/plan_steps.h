/*
 * The steps of the dialogue that plan_ask.c leads; each is asked until it has an answer. Private to the three.
 */
#pragma once

#include "sessions.h"

enum step { STEP_SUBJECT, STEP_CONTINUATION, STEP_INDICATION, STEP_ZONES, STEP_NUMBING, STEP_QUESTIONS };

struct asking {
    struct app *app;
    struct plan_words *w;
    struct past past;
    struct figures figures;
    struct mn_findings found;
};

enum answer ask_subject(struct asking *k);
/* Whether a session of the subject was broken off just now; then, whether this is the rest of it, and why. */
bool has_something_to_continue(const struct asking *k);
enum answer ask_continuation(struct asking *k);
enum answer ask_indication(struct asking *k);
enum answer ask_zones(struct asking *k);
enum answer ask_numbing(struct asking *k);
enum answer ask_question(struct asking *k, size_t i);
/* Of all CONSULT that the answers have led to. */
enum answer ask_confirmations(struct asking *k);

/* What was done to the subject before, and the zones that are planned. */
void print_past(struct asking *k);
void print_planned(struct asking *k);
