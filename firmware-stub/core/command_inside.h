/* What the files of the commands share: command.c has the session and most requests, command_factory.c those of the factory. */
#pragma once

#include "command.h"

typedef void request_fn(struct pen *p, const struct mn_frame *f, struct link_reply *r);
request_fn do_factory_get, do_factory_enter, do_factory_arm, do_factory_write, do_factory_leave;

bool command_decode(const struct mn_frame *f, const pb_msgdesc_t *fields, void *message);
void command_reply(struct link_reply *r, uint16_t type, const pb_msgdesc_t *fields, const void *message);
void command_reply_status(struct pen *p, struct link_reply *r, uint16_t type);
void command_reject(struct link_reply *r, uint16_t type, mnp_ErrorCode code, const char *text);
/* With what e has already. */
void command_reject_with(struct link_reply *r, uint16_t type, mnp_Error *e, mnp_ErrorCode code, const char *text);
/* Arms the pen, and replies. */
void command_arm(struct pen *p, const struct mn_frame *f, struct link_reply *r, const struct pen_arming *wanted);
