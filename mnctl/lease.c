/* lease: who controls a pen, and taking control. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mnctl.h"

struct hold {
    struct app *app;
    bool give, lost;
};

static int show(struct app *a)
{
    struct mn_pens pens;
    json_t *list = json_array();
    int r = app_connect(a, false);

    if (r == EXIT_OK && (r = mn_list(a->client, &pens, a->timeout_ms)) != MN_OK)
        r = app_failed(a, r);
    if (r != EXIT_OK) {
        json_decref(list);
        return r;
    }
    for (size_t i = 0; i < pens.count; i++) {
        const struct mn_pen *p = &pens.pen[i];

        if (a->json && p->lease_name[0] != '\0')
            json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "serial", p->serial, "name", p->lease_name, "pid", (json_int_t)p->lease_pid));
        else if (a->json)
            json_array_append_new(list, json_pack("{s:s, s:n}", "serial", p->serial, "name"));
        else
            printf("%-20s %s\n", p->serial[0] != '\0' ? p->serial : p->port, p->lease_name[0] != '\0' ? p->lease_name : "free");
    }
    mn_pens_free(&pens);
    if (a->json)
        return print_json(list, false);
    json_decref(list);
    return flush_output();
}

static void on_given(mn_client *c, const struct mn_result *r, void *user)
{
    (void)c;
    (void)user;
    if (r->error != MN_OK)
        fprintf(stderr, "mnctl: %s\n", r->message);
}

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    struct hold *h = user;

    if (e->kind != MN_EVENT_LEASE)
        return;
    if (e->lease->lost) {
        fprintf(stderr, "mnctl: %s\n", e->lease->text);
        h->lost = true;
        return;
    }
    printf("%s: %s asks for control%s\n", e->lease->serial, e->lease->name, h->give ? ": given" : "; end this to let it have it");
    fflush(stdout);
    if (h->give && mn_lease_give_async(c, e->lease->serial, e->lease->pid, h->app->timeout_ms, on_given, NULL) == MN_OK)
        h->lost = true;
}

static int hold(struct app *a, const char *verb, bool give)
{
    static struct hold h; /* static: the client, which is closed after this function has returned, may still call back */
    int r;

    h.app = a;
    h.give = give;
    a->on_event = on_event;
    a->event_user = &h;
    r = app_choose(a);
    if (r != EXIT_OK)
        return r;
    catch_interrupt();
    if (strcmp(verb, "take-over") == 0)
        r = mn_lease_take_over(a->client, a->serial, a->timeout_ms);
    else if (strcmp(verb, "request") == 0)
        r = mn_lease_request(a->client, a->serial, a->timeout_ms);
    else
        r = mn_lease_take(a->client, a->serial, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    printf("%s: you control it; Ctrl-C releases it and stops the needles\n", a->serial);
    fflush(stdout);
    while (r == MN_OK && !is_interrupted() && !h.lost)
        r = app_wait(a);
    if (r != MN_OK)
        return app_failed(a, r);
    return h.lost && !h.give ? EXIT_REFUSED : flush_output();
}

int cmd_lease(struct app *a, int argc, char **argv)
{
    static const char *const names[] = {"take", "take-over", "request", "--give"};
    bool give = argc == 3 && strcmp(argv[2], "--give") == 0;
    const char *near;

    if (argc == 1)
        return show(a);
    for (size_t i = 0; i < 3 && (argc == 2 || give); i++) {
        if (strcmp(argv[1], names[i]) == 0)
            return hold(a, argv[1], give);
    }
    near = nearest(argv[argc - 1], names, 4);
    return near != NULL ? usage_error("there is no lease %s; did you mean %s?", argv[argc - 1], near)
                        : usage_error("lease takes take, take-over or request, perhaps with --give, or nothing");
}
