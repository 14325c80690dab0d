/*
 * Treatment sessions: what programs ask of them, with their pens and the journal. What may be done is treatment.h's to say; here it is done.
 *
 *     SESSION_BEGIN   who controls the pen? -> the cartridge from the pen -> the past of subject, cartridge and clock from the journal -> the policy
 *                     -> SESSION_BEGUN on disk -> the first zone's configuration in the pen -> reply
 *     SESSION_SELECT  another zone's configuration
 *     SESSION_ARM     all of that once more, with what has happened since -> ARM
 *     SESSION_END     STOP -> the pen's last records on disk -> SESSION_ENDED on disk -> reply
 *
 * One session of a pen is open at a time, until it is ended: its program may go, and another one may end it. What was open when the daemon died
 * is recorded as interrupted, with all that the pen has recorded, as soon as that is there.
 */
#pragma once

#include "client.h"
#include "site.h"
#include "treatment.h"

struct sessions;

int sessions_new(struct sessions **out, struct client_env *env, const struct site *site);
void sessions_free(struct sessions *all);

/* The program has gone: it is not answered any more. */
void sessions_forget(struct sessions *all, const struct client *c);

void session_check(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionCheck *m);
void session_begin(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionBegin *m);
void session_select(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionSelect *m);
void session_arm(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionArm *m);
void session_end(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionEndNow *m);

/* The clock is right, whatever the journal has seen. */
void session_confirm_clock(struct sessions *all, struct client *c, uint32_t id);

/* A program has asked for STOP of a pen (NULL: of all): its session says by whom it was stopped. */
void sessions_stopped_by(struct sessions *all, const char *serial, const char *name);

/* Any is open, or about to be. */
bool sessions_any(const struct sessions *all);

/* The open session of this number; NULL: none. */
const struct treatment *sessions_open(const struct sessions *all, uint32_t number);
