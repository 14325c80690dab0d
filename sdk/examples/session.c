/* A treatment session, as short as it can be: one zone, every question answered with no, armed once; ends when the trigger has been pressed and
 * released. An app asks its user instead: mn_question_at() has the questions, mn_zone_at() the zones. */
#include <mn/mn.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static enum mn_session_state state;

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    (void)c;
    (void)user;
    if (e->kind != MN_EVENT_SESSION || e->session->state == state)
        return;
    state = e->session->state;
    printf("%s %s\n", mn_session_state_name(state), e->session->text);
    fflush(stdout);
}

static int fail(const mn_client *c)
{
    fprintf(stderr, "%s\n", mn_message(c));
    return 1;
}

int main(int argc, char **argv)
{
    struct mn_plan plan = {.step_count = 1, .step[0] = {.zone = 8, .depth_um = 500, .stroke_rate_dhz = 1000}, .numbed = true, .numbing_min = 30};
    struct mn_options o = {.name = "session", .on_event = on_event};
    static struct mn_session s;
    struct mn_pens pens;
    char why[200];
    mn_client *c;

    if (argc != 3) {
        fprintf(stderr, "usage: %s PEN SUBJECT\n", argv[0]);
        return 2;
    }
    plan.subject = argv[2]; /* a key, and nobody's name */
    for (size_t i = 0; i < mn_question_count(); i++)
        plan.answer[i].answered = true;
    if (mn_connect(&c, &o, why, sizeof(why)) != MN_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    if (mn_watch(c, true, &pens, 2000) != MN_OK)
        return fail(c);
    mn_pens_free(&pens);
    if (mn_lease_take(c, argv[1], 2000) != MN_OK || mn_session_begin(c, argv[1], &plan, &s, 5000) != MN_OK ||
        mn_session_arm(c, argv[1], s.config_generation, NULL, 2000) != MN_OK)
        return fail(c);
    while (state != MN_SESSION_PAUSED) {
        struct pollfd fd = {.fd = mn_fd(c), .events = mn_events(c)};

        poll(&fd, 1, mn_timeout_ms(c));
        if (mn_process(c) != MN_OK)
            return fail(c);
    }
    if (mn_session_end(c, argv[1], true, &s, 5000) != MN_OK)
        return fail(c);
    printf("%u strokes, %llu punctures\n", s.zone[0].strokes, (unsigned long long)s.zone[0].punctures);
    mn_close(c);
    return 0;
}
