/*
 * What the programs of a chain ask for a treatment, and what is done to its pen. Answers are not looked at.
 */
#pragma once

#include <string.h>

#include "chain.h"

/* ASK(c, who, SESSION_END, session_end, MNC__SESSION_END_NOW__INIT, body.serial = pen): the request of that body, in which these statements are done. */
#define ASK(c, who, CASE, member, init, ...)                                                                           \
    do {                                                                                                               \
        Mnc__ClientMessage message = MNC__CLIENT_MESSAGE__INIT;                                                        \
        __typeof__(*message.member) body = init;                                                                       \
                                                                                                                       \
        __VA_ARGS__;                                                                                                   \
        message.body_case = MNC__CLIENT_MESSAGE__BODY_##CASE;                                                          \
        message.member = &body;                                                                                        \
        chain_ask(c, who, &message);                                                                                   \
    } while (0)

extern char program_pen[]; /* its serial number */

void program_lease(struct chain *c, int who, Mnc__LeaseAction action);
/* A session of one zone that nothing speaks against, if the numbing was applied so long ago: 30 min. */
void program_begin(struct chain *c, int who, uint32_t numbing_min);
/* With the configuration that the pen has. */
void program_arm(struct chain *c, int who);
void program_stop(struct chain *c, int who);
/* As completed. */
void program_end(struct chain *c, int who);
/* A line of the simulation's language. */
void program_say(struct chain *c, const char *line);
