/* The requests of the factory. */
#include "command_inside.h"

#include <string.h>

enum { FACTORY_TREATMENT = INT32_MAX }; /* the treatment of the factory's runs: its cartridge serves until the next start, and never a subject */

static void answer_factory(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    mnp_Factory factory;

    factory_to_pb(p->port, &p->factory, &factory);
    command_reply(r, f->type | MN_TYPE_REPLY, mnp_Factory_fields, &factory);
}

void do_factory_get(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    answer_factory(p, f, r);
}

void do_factory_enter(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    mnp_FactoryEnter enter = mnp_FactoryEnter_init_zero;
    mnp_FactoryEntered entered = {.has_entered = true};

    if (!command_decode(f, mnp_FactoryEnter_fields, &enter)) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, "FACTORY_ENTER does not decode");
    } else if (enter.has_response && !factory_response_is_right(p->port, &p->factory, enter.response)) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_FORBIDDEN, "this does not answer the challenge: it is another key");
    } else if (enter.has_response && !pen_enter_factory(p)) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_STATE, "the factory is entered from SAFE or FAULT");
    } else if (!enter.has_response && !factory_challenge(p->port, &p->factory)) {
        command_reject(r, f->type, mnp_ErrorCode_ERROR_FORBIDDEN,
               p->factory.left ? "this pen has left the factory for good" : "no more challenges until the pen starts anew");
    } else {
        entered.entered = enter.has_response;
        entered.has_challenge = !enter.has_response;
        memcpy(entered.challenge, p->factory.challenge, sizeof(entered.challenge));
        command_reply(r, f->type | MN_TYPE_REPLY, mnp_FactoryEntered_fields, &entered);
    }
}

void do_factory_arm(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    mnp_FactoryArm m = mnp_FactoryArm_init_zero;

    if (command_decode(f, mnp_FactoryArm_fields, &m) && m.has_config_generation)
        command_arm(p, f, r, &(struct pen_arming){.generation = m.config_generation, .treatment = FACTORY_TREATMENT, .factory = true});
    else
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, "FACTORY_ARM needs config_generation");
}

/* Returns false after rejecting the request. */
static bool accepted(const struct mn_frame *f, struct link_reply *r, enum factory_result result, const char *malformed)
{
    switch (result) {
    case FACTORY_OK:
        return true;
    case FACTORY_MALFORMED:
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, malformed);
        return false;
    case FACTORY_WRITTEN:
        command_reject(r, f->type, mnp_ErrorCode_ERROR_WRITTEN, "it is written once only, and has been; nothing has changed");
        return false;
    case FACTORY_STORAGE:
    default:
        command_reject(r, f->type, mnp_ErrorCode_ERROR_STORAGE, "the pen's memory could not be written");
        return false;
    }
}

static bool is_in_factory(const struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    if (p->state != mnp_State_STATE_FACTORY)
        command_reject(r, f->type, mnp_ErrorCode_ERROR_STATE, "this needs a pen in FACTORY");
    return p->state == mnp_State_STATE_FACTORY;
}

void do_factory_write(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    mnp_Factory wanted = mnp_Factory_init_zero;

    if (!command_decode(f, mnp_Factory_fields, &wanted))
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, "FACTORY_WRITE does not decode");
    else if (is_in_factory(p, f, r) &&
             accepted(f, r, factory_write(p->port, &p->factory, &wanted), "a serial number, UDI or calibration that no pen can have"))
        answer_factory(p, f, r);
}

void do_factory_leave(struct pen *p, const struct mn_frame *f, struct link_reply *r)
{
    mnp_FactoryLeave leave = mnp_FactoryLeave_init_zero;

    if (!command_decode(f, mnp_FactoryLeave_fields, &leave))
        command_reject(r, f->type, mnp_ErrorCode_ERROR_MALFORMED, "FACTORY_LEAVE does not decode");
    else if (is_in_factory(p, f, r) &&
             accepted(f, r, pen_leave_factory(p, leave.for_good), "serial number, UDI and calibration are not all written yet"))
        command_reply_status(p, r, f->type);
}
