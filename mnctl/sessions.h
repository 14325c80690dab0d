/*
 * mnctl session: what its files share. plan.c has the plan as a person gives it, aftercare.c what a session leaves behind, session.c the rest.
 */
#pragma once

#include "mnctl.h"

struct plan_words { /* a plan, with the strings that it points to */
    struct mn_plan plan;
    bool given;     /* zones came by option or file: no more are asked for */
    char subject[MN_KEY_MAX + 1], waiver[MN_REASON_MAX + 1];
    char confirmed[MN_QUESTIONS_MAX][MN_KEY_MAX + 1];
    char overrides[MN_STEPS_MAX][MN_REASON_MAX + 1];
};

/* --subject, --indication, --zone, --numbed, --waive-numbing, --product, --answers with a value (NULL: there is none); -1: none of these. */
int plan_option(struct plan_words *w, const char *option, const char *value);
int plan_read(struct plan_words *w, const char *path);
void plan_write(FILE *out, const struct plan_words *w);
/* Asks in the terminal for all that is missing. */
int plan_ask(struct plan_words *w);
/* Asks who has confirmed what needs it; EXIT_REFUSED: nobody. */
int plan_confirm(struct plan_words *w, const struct mn_findings *found);
bool ask_yes(const char *prompt);

/* NULL after a sentence. */
const struct mn_zone *parse_zone(const char *word);

/* The card for whoever was treated: as text, JSON (--json) or a page to print (path). */
int aftercare(struct app *a, const struct mn_session *s, const char *path);
/* "2026-11-21 19:30" */
void format_minute(uint64_t us, char *out, size_t cap);
