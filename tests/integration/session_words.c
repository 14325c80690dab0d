#include "session_words.h"

struct harness h;

int one_pen(void **state)
{
    (void)state;
    harness_start(&h, 1, NULL);
    harness_ok(&h, mn_lease_take(h.c, P, T));
    harness_ok(&h, mn_records_follow(h.c, &(struct mn_cursor){0}, NULL, T));
    return 0;
}

int stop(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

size_t question(const char *name)
{
    size_t i = 0;

    while (i < mn_question_count() && strcmp(mn_question_at(i)->name, name) != 0)
        i++;
    assert_true(i < mn_question_count());
    return i;
}

void run_for(unsigned ms)
{
    harness_until(&h, harness_pen(&h, P)->state == MN_STATE_ARMED, T);
    harness_say(&h, P, "trigger press");
    harness_until(&h, h.session.state == MN_SESSION_RUNNING, T);
    harness_run(&h, ms);
    harness_say(&h, P, "trigger release");
    harness_until(&h, h.session.state == MN_SESSION_PAUSED && h.session.text[0] != '\0', T);
    assert_string_equal(h.session.text, "the trigger was released");
}

void begin(const struct mn_plan *plan, struct mn_session *s)
{
    int r;

    while ((r = mn_session_begin(h.c, P, plan, s, T)) == MN_ERR_BUSY)
        harness_run(&h, 20);
    harness_ok(&h, r);
}

void refused(const struct mn_plan *plan, const char *sentence)
{
    assert_int_equal(mn_session_begin(h.c, P, plan, NULL, T), MN_ERR_POLICY);
    assert_string_equal(mn_message(h.c), sentence);
    assert_true(mn_last_result(h.c)->findings->worst >= MN_DECISION_CONSULT);
}

void end_session(bool completed)
{
    struct mn_session s;

    harness_ok(&h, mn_session_end(h.c, P, completed, &s, T));
}

unsigned answered;
