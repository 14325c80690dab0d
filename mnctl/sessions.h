/*
 * mnctl session: what its files share. plan.c has the plan as words, plan_file.c as a file and a draft, plan_ask.c as a dialogue of the steps in plan_steps.c; past.c what was
 * done to a subject before; findings.c what the policy finds, in people's words; live.c a session under way; session_show.c a session as text and JSON;
 * aftercare.c what it leaves behind; session_start.c what is asked before; session.c the other commands.
 */
#pragma once

#include "dialogue.h"

struct plan_words { /* a plan, with the strings that it points to */
    struct mn_plan plan;
    bool from_file;       /* it is whole but for what is needed: no indication is asked for */
    time_t numbed_at;     /* when the numbing was applied; 0: it was not said */
    char subject[MN_KEY_MAX + 1], waiver[MN_REASON_MAX + 1], continues_why[MN_REASON_MAX + 1];
    char confirmed[MN_QUESTIONS_MAX][MN_KEY_MAX + 1];
    char overrides[MN_STEPS_MAX][MN_REASON_MAX + 1];
};

/* ---- plan.c: each takes one word of a person; false: why says what it should be ---- */

bool plan_set_subject(struct plan_words *w, const char *word, char why[WHY_MAX]);
bool plan_set_indication(struct plan_words *w, const char *word, char why[WHY_MAX]);
bool plan_set_product(struct plan_words *w, const char *word, char why[WHY_MAX]);
/* "CHEEK:1.2mm:120Hz"; blanks do for the colons. A zone that is there already gets the new depth and rate. */
bool plan_set_zone(struct plan_words *w, const char *words, char why[WHY_MAX]);
bool plan_set_step(struct plan_words *w, const char *zone, const char *depth, const char *rate, const char *override, char why[WHY_MAX]);
bool plan_set_override(struct plan_words *w, size_t step, const char *reason, char why[WHY_MAX]);
/* "40", "40min", "1h", "13:40": how long ago, or when. */
bool plan_set_numbed(struct plan_words *w, const char *word, char why[WHY_MAX]);
bool plan_set_waiver(struct plan_words *w, const char *reason, char why[WHY_MAX]);
/* The number of the session of which it is the rest, and why. */
bool plan_set_continues(struct plan_words *w, const char *word, char why[WHY_MAX]);
bool plan_set_continues_why(struct plan_words *w, const char *reason, char why[WHY_MAX]);
/* yes, no; never, today, 5h, 3d ... */
bool plan_set_answer(struct plan_words *w, size_t question, const char *word, char why[WHY_MAX]);
/* Where it is, of an answer that counts only there: zones, or "" for everywhere. */
bool plan_set_answer_zones(struct plan_words *w, size_t question, const char *words, char why[WHY_MAX]);
bool plan_set_confirmed(struct plan_words *w, size_t question, const char *key, char why[WHY_MAX]);

/* --subject, --indication, --zone, --numbed, --waive-numbing, --product, --continue, --because, --answers with a value (NULL: there is none); -1: none of these. */
int plan_option(struct plan_words *w, const char *option, const char *value);
/* The plan as it is now: numbing counts on while a person thinks. */
const struct mn_plan *plan_now(struct plan_words *w);
uint32_t plan_deepest_um(const struct mn_plan *p);
/* The question's index by its name; mn_question_count(): there is none. */
size_t question_by_name(const char *name);
/* By number, name or its beginning. NULL after a sentence in why. */
const struct mn_zone *find_zone(const char *word, char why[WHY_MAX]);

/* ---- plan_file.c ---- */

/* EXIT_OK, or an exit code after a sentence. */
int plan_read(struct plan_words *w, const char *path);
/* Of a text; path is for the sentence. False: why says what is wrong, with file and line, and w is as it was. */
bool plan_parse(struct plan_words *w, const char *text, size_t n, const char *path, char *why, size_t cap);
void plan_write(FILE *out, const struct plan_words *w);

/* What was answered and not used yet, in the user's own folder, for at most 12 hours; nothing is told of what cannot be kept. */
void draft_save(const struct plan_words *w);
void draft_drop(void);
/* The draft, with all times as they are now; false: there is none. minutes: how old it is. */
bool draft_load(struct plan_words *w, long *minutes);

/* ---- past.c ---- */

struct past { /* what was done to a subject, as far as this journal knows */
    unsigned sessions;      /* with strokes */
    const char *indication; /* of the last; NULL */
    struct past_zone {
        uint32_t number;    /* of the session in which it was last treated; 0: never */
        uint64_t ended_us;
        uint32_t depth_um, stroke_rate_dhz, strokes;
    } zone[32];             /* by mn_zone.number */
    struct { /* the last session, if it was broken off */
        uint32_t number;    /* 0: it was not */
        uint64_t ended_us;
        size_t zone_count;
        struct mn_session_zone zone[MN_STEPS_MAX];
    } broken_off;
};

/* EXIT_OK, or an exit code after a sentence. */
int past_read(struct app *a, const char *subject, struct past *out);
void past_add(struct past *p, const struct mn_session *s);

/* The figures of the policy in force: the site's own, or the defaults. */
struct figures {
    struct mn_policy site;
};
void figures_read(struct app *a, struct figures *f);
uint32_t figure(const struct figures *f, const char *limit);
/* The deepest that may be set in a zone. */
uint32_t figure_cap_um(const struct figures *f, const struct mn_zone *z);
/* From when on a zone may be treated again without an override. */
uint64_t past_next_us(const struct past_zone *z, const struct figures *f);
/* Planned against done, and what is due when. */
void past_print(const struct past *p, const struct figures *f);
/* "SCARS: 2 of 5 to 6 done"; "" for none. */
void past_count(const struct past *p, const char *indication, char *out, size_t cap);

/* ---- findings.c ---- */

/* In people's words; p (may be NULL) knows when a zone was last treated. */
void format_finding(const struct mn_finding *f, const struct past *p, char *out, size_t cap);
void print_findings(const struct mn_finding *f, size_t n, const struct past *p);
json_t *findings_json(const struct mn_finding *f, size_t n);
enum colour colour_of_decision(enum mn_decision d);

/* ---- plan_ask.c ---- */

/*
 * Asks for all that is missing in a plan, says at once what forbids it, and has CONSULT confirmed; what was answered is kept as a draft. Then
 * last(ctx), which is a question, too: ANSWER_BACK from it returns to the one before it. Without a connection (a->client NULL) nothing is known of
 * the past or the site. EXIT_OK; EXIT_REFUSED after a sentence: the person has ended it, or the connection has ended.
 */
int plan_ask(struct app *a, struct plan_words *w, enum answer (*last)(void *ctx), void *ctx);
/* What the daemon finds in the plan as it is now; NULL: it cannot be asked, or does not answer. Good until the next. */
const struct mn_findings *plan_check(struct app *a, struct plan_words *w);
/* What was done to the subject, as the dialogue has read it. */
const struct past *plan_past(void);

/* ---- session_show.c ---- */

json_t *session_json(const struct mn_session *s);
void print_session(const struct mn_session *s);
/* PREPARED ...; of an ended one, how it ended. */
const char *session_word(const struct mn_session *s);

/* ---- live.c ---- */

struct live;
/* Before the connection is made: its events go to it. */
struct live *live_new(struct app *a);
/* All that a session needs of the connection: lease, events, telemetry. EXIT_OK, or an exit code after a sentence. */
int live_take(struct live *l);
void live_let_go(struct live *l);
struct mn_session *live_session(struct live *l);
/* Arms the session as it is shown, and stays until it is ended or left. */
int live_run(struct live *l);
/* Ends the chosen pen's session, prints its summary. */
int live_finish(struct live *l, bool completed);

/* ---- session.c, session_start.c ---- */

struct session_flags { /* of plan, check and start, beside the plan's own options; NULL: not for this one */
    bool *yes, *force;
    const char **output;
};
int session_words(struct plan_words *w, int argc, char **argv, const struct session_flags *f);
int session_start(struct app *a, int argc, char **argv);
int session_resume(struct app *a, int argc, char **argv);

/* ---- aftercare.c ---- */

/* The card for the person treated: as text, JSON (--json) or a page to print (path). */
int aftercare(struct app *a, const struct mn_session *s, const char *path, bool force);
