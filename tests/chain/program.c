#include "program.h"

#include "pen.pb-c.h"

static const char *const questions[] = {
#define SCREEN(name, ...) #name,
#include "policy/screening.def"
};

enum { QUESTIONS = sizeof(questions) / sizeof(questions[0]) };

static const bool is_yes_or_no[] = {
#define SCREEN(name, hours, ...) (hours) == 0,
#include "policy/screening.def"
};

char program_pen[] = CHAIN_PEN;

void program_lease(struct chain *c, int who, Mnc__LeaseAction action)
{
    ASK(c, who, LEASE, lease, MNC__LEASE__INIT, body.serial = program_pen, body.has_action = true, body.action = action);
}

void program_begin(struct chain *c, int who, uint32_t numbing_min)
{
    Mnc__Answer answers[QUESTIONS], *answer_pointers[QUESTIONS];
    Mnc__PlanStep step = MNC__PLAN_STEP__INIT, *steps[] = {&step};
    Mnc__Plan plan = MNC__PLAN__INIT;

    for (size_t i = 0; i < QUESTIONS; i++) {
        mnc__answer__init(&answers[i]);
        answers[i].item = (char *)(uintptr_t)questions[i];
        answers[i].has_yes = is_yes_or_no[i];
        answer_pointers[i] = &answers[i];
    }
    step.has_zone = step.has_depth_um = step.has_stroke_rate_dhz = true;
    step.zone = 8;
    step.depth_um = 500;
    step.stroke_rate_dhz = 1000;
    plan.subject = (char[]){"K-1"};
    plan.n_step = 1;
    plan.step = steps;
    plan.n_answer = QUESTIONS;
    plan.answer = answer_pointers;
    plan.has_numbing_min = true;
    plan.numbing_min = numbing_min;
    ASK(c, who, SESSION_BEGIN, session_begin, MNC__SESSION_BEGIN__INIT, body.serial = program_pen, body.plan = &plan);
}

void program_arm(struct chain *c, int who)
{
    ASK(c, who, SESSION_ARM, session_arm, MNC__SESSION_ARM__INIT, body.serial = program_pen, body.has_config_generation = true,
        body.config_generation = pen_end_generation(chain_pen(c)));
}

void program_stop(struct chain *c, int who)
{
    ASK(c, who, CALL, call, MNC__CALL__INIT, body.serial = program_pen, body.has_pen_type = true, body.pen_type = MNP__FRAME_TYPE__TYPE_STOP);
}

void program_end(struct chain *c, int who)
{
    ASK(c, who, SESSION_END, session_end, MNC__SESSION_END_NOW__INIT, body.serial = program_pen, body.has_completed = true, body.completed = true);
}

void program_say(struct chain *c, const char *line)
{
    pen_end_say(chain_pen(c), (const uint8_t *)line, strlen(line));
}
