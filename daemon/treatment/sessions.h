/*
 * Treatment sessions: what clients request of them, with their pens and the journal.
 *
 *     SESSION_BEGIN   who controls the pen? -> the cartridge from the pen -> the past of subject, cartridge and clock from the journal -> the policy
 *                     -> SESSION_BEGUN on disk -> the first zone's configuration in the pen -> reply
 *     SESSION_SELECT  another zone's configuration
 *     SESSION_ARM     all of that once more, with what has happened since -> ARM
 *     SESSION_END     STOP -> the pen's last records on disk -> SESSION_ENDED on disk -> reply
 *
 * At most one session of a pen is open at a time, until it is ended: its client may go, and another one may end it. A session that was open when the
 * daemon died is recorded as interrupted, with all that the pen has recorded, as soon as that is on disk.
 *
 * Each request is answered once, at once or later, unless its client goes. Loop thread only.
 */
#pragma once

#include "control.h"
#include "policy.h"

struct sessions;

/* hub, control and site must stay; the site may change while no session is open. 0 or a negative errno. */
int sessions_new(struct sessions **out, sd_event *event, struct hub *hub, struct control *control, const struct site *site);
/* All clients must be gone. Takes NULL. */
void sessions_free(struct sessions *all);

/* The client is about to be freed: its requests are not answered any more. */
void sessions_client_gone(struct sessions *all, const struct client *c);

/* Whether any is open, or about to be. */
bool sessions_any(const struct sessions *all);
/* The sessions that the journal has open are known. */
bool sessions_are_restored(const struct sessions *all);
/* A client has requested STOP for a pen (NULL: for all): their sessions record who it was. */
void sessions_stopped_by(struct sessions *all, const char *serial, const char *name);

/* Requests: */

void session_check(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionCheck *m);
void session_begin(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionBegin *m);
void session_select(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionSelect *m);
void session_arm(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionArm *m);
void session_end(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionEndNow *m);

/* Sessions of now and before. */
void session_list(struct sessions *all, struct client *c, uint32_t id, const Mnc__SessionList *m);
/* Something was seen after a session. */
void session_adverse_event(struct sessions *all, struct client *c, uint32_t id, const Mnc__AdverseEvent *m);
/* The policy in force, or a check of one. */
void session_policy(struct sessions *all, struct client *c, uint32_t id, const Mnc__PolicyGet *m);
/* The clock is right, whatever the journal has seen. */
void session_confirm_clock(struct sessions *all, struct client *c, uint32_t id);
