/* faults, and sim. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mnctl.h"

static enum colour priority_colour(char priority)
{
    return priority == 'H' ? COLOUR_BAD : priority == 'M' ? COLOUR_WARN : COLOUR_NONE;
}

static const char *kind_name(enum mn_fault_kind kind)
{
    return kind == MN_FAULT_LATCHING ? "latching" : kind == MN_FAULT_SELF ? "self" : "service";
}

static void print_fault(const struct mn_fault *f)
{
    printf("%d  %-26s %s%c%s  %-8s  ", f->code, f->name, colour(priority_colour(f->priority)), f->priority, colour(COLOUR_NONE), kind_name(f->kind));
    print_tail(46, f->text);
}

static int faults_table(const struct app *a)
{
    uint32_t all = 0;

    for (size_t i = 0; i < mn_fault_count(); i++) {
        all |= UINT32_C(1) << i;
        if (!a->json)
            print_fault(mn_fault_at(i));
    }
    return a->json ? print_json(json_fault_word(all), false) : flush_output();
}

static int faults_now(struct app *a)
{
    struct mn_status s;
    int r = mn_pen_status(a->client, a->serial, &s, a->timeout_ms);

    if (r != MN_OK)
        return app_failed(a, r);
    if (a->json)
        return print_json(json_pack("{s:s, s:s, s:o}", "serial", a->serial, "state", mn_state_name(s.state), "faults",
                                    json_fault_word(s.fault_word)),
                          false);
    printf("%s: %s%s\n", a->serial, s.fault_word == 0 ? "no faults, " : "", mn_state_name(s.state));
    for (size_t i = 0; i < mn_fault_count(); i++) {
        if (!(s.fault_word >> i & 1))
            continue;
        print_fault(mn_fault_at(i));
        printf("      -> ");
        print_tail(9, mn_fault_at(i)->cure);
    }
    return flush_output();
}

/* "1101", or "motor-stall". */
static const struct mn_fault *fault_of(const char *word)
{
    for (size_t i = 0; i < mn_fault_count(); i++) {
        char code[12];

        snprintf(code, sizeof(code), "%u", mn_fault_at(i)->code);
        if (strcmp(code, word) == 0 || same_word(mn_fault_at(i)->name, word))
            return mn_fault_at(i);
    }
    return NULL;
}

static int faults_clear(struct app *a, int argc, char **argv)
{
    struct mn_cleared cleared;
    bool service = false;
    unsigned code = 0;
    char gone[512], left[512];
    int r;

    for (int i = 1; i < argc; i++) {
        const struct mn_fault *f;

        if (strcmp(argv[i], "--service") == 0) {
            service = true;
            continue;
        }
        f = fault_of(argv[i]);
        if (f == NULL)
            return usage_error("no fault has the code %s: `mnctl faults --table` lists them", argv[i]);
        code = f->code;
    }
    r = app_choose(a);
    if (r != EXIT_OK)
        return r;
    r = mn_faults_clear(a->client, a->serial, code, service, &cleared, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    format_faults(cleared.cleared, gone, sizeof(gone));
    format_faults(cleared.fault_word, left, sizeof(left));
    if (a->json)
        print_json(json_pack("{s:s, s:o, s:o}", "serial", a->serial, "cleared", json_fault_word(cleared.cleared), "left",
                             json_fault_word(cleared.fault_word)),
                   false);
    else
        printf("%s: cleared %s; left %s\n", a->serial, gone, left);
    if (code != 0 && (cleared.fault_word >> mn_fault_by_code(code)->bit & 1)) {
        fprintf(stderr, "mnctl: %u stays: its cause is still there%s\nmnctl: %s\n", code, mn_fault_by_code(code)->kind == MN_FAULT_SERVICE ? ", or it needs --service" : "", mn_fault_by_code(code)->cure);
        return EXIT_REFUSED;
    }
    return flush_output();
}

static void on_record(mn_client *c, const struct mn_event *e, void *user)
{
    const struct app *a = user;
    const struct mn_record *r = e->record;
    const struct mn_fault *f;

    (void)c;
    if (e->kind == MN_EVENT_DISCONNECTED)
        fprintf(stderr, "mnctl: %s; waiting for it\n", e->text);
    if (e->kind == MN_EVENT_RECONNECTED)
        fprintf(stderr, "mnctl: mnd is back after %.1f s\n", (double)e->outage_ms / 1000);
    if (e->kind != MN_EVENT_RECORD || r->kind != MN_RECORD_FAULT)
        return;
    f = mn_fault_by_code(r->fault.code);
    if (a->json) {
        print_json(json_pack("{s:s, s:I, s:I, s:s, s:b, s:s, s:I, s:I}", "serial", r->serial, "number", (json_int_t)r->number, "code",
                             (json_int_t)r->fault.code, "name", f != NULL ? f->name : "UNKNOWN", "raised", r->fault.raised, "state",
                             mn_state_name(r->fault.state), "t_us", (json_int_t)r->t_us, "boot_id", (json_int_t)r->boot_id),
                   true);
        return;
    }
    printf("%s  %10.3f s  %s%-7s%s  %" PRIu32 " %s  in %s: %s\n", r->serial, (double)r->t_us / 1e6,
           colour(r->fault.raised ? COLOUR_BAD : COLOUR_GOOD), r->fault.raised ? "raised" : "cleared", colour(COLOUR_NONE), r->fault.code,
           f != NULL ? f->name : "UNKNOWN", mn_state_name(r->fault.state), f != NULL ? f->text : "");
    if (f != NULL && r->fault.raised)
        printf("    -> %s\n", f->cure);
    fflush(stdout);
}

static int faults_follow(struct app *a)
{
    struct mn_filter filter = {.kinds = 1 << MN_RECORD_FAULT};
    int r;

    a->on_event = on_record;
    a->event_user = a;
    r = app_connect(a, true);
    if (r == EXIT_OK && a->pen != NULL)
        r = app_find(a, a->pen);
    if (r != EXIT_OK)
        return r;
    filter.serial = a->pen != NULL ? a->serial : NULL;
    r = mn_records_follow(a->client, NULL, &filter, a->timeout_ms);
    return r == MN_OK ? app_follow(a, NULL, 0) : app_failed(a, r);
}

int cmd_faults(struct app *a, int argc, char **argv)
{
    static const char *const names[] = {"--follow", "--table", "clear", "show"};
    const char *near;

    if (argc == 1)
        return app_each(a, faults_now);
    if (argc == 2 && strcmp(argv[1], "--follow") == 0)
        return faults_follow(a);
    if (argc == 2 && strcmp(argv[1], "--table") == 0)
        return faults_table(a);
    if (strcmp(argv[1], "clear") == 0)
        return faults_clear(a, argc - 1, argv + 1);
    if (strcmp(argv[1], "show") == 0)
        return faults_show(a, argc - 1, argv + 1);
    if (same_word(argv[1], "now"))
        return app_each(a, faults_now);
    near = nearest(argv[1], names, 4);
    return near != NULL ? usage_error("there is no faults %s; did you mean %s?", argv[1], near)
                        : usage_error("faults takes --follow, --table, show, clear or nothing");
}

/* An unplugged pen is not listed, so its serial number must be given in full. */
int cmd_sim(struct app *a, int argc, char **argv)
{
    char line[256] = "", answer[512];
    size_t used = 0;
    int r;

    if (argc < 2)
        return usage_error("sim needs something that happens: trigger, load, cartridge, charge, inject, clear, unplug, replug, ...");
    for (int i = 1; i < argc; i++) {
        if (used + strlen(argv[i]) + 2 > sizeof(line))
            return usage_error("sim takes at most 250 characters");
        used += (size_t)sprintf(line + used, "%s%s", i > 1 ? " " : "", argv[i]);
    }
    if ((r = app_connect(a, false)) != EXIT_OK)
        return r;
    /* the serial number of an unplugged pen, in full */
    r = a->pen != NULL ? mn_simulate(a->client, a->pen, line, answer, sizeof(answer), a->timeout_ms) : MN_ERR_NO_PEN;
    if (r == MN_ERR_NO_PEN) {
        if ((r = app_find(a, a->pen)) != EXIT_OK)
            return r;
        r = mn_simulate(a->client, a->serial, line, answer, sizeof(answer), a->timeout_ms);
    }
    if (r != MN_OK)
        return app_failed(a, r);
    if (a->json)
        return print_json(json_pack("{s:s}", "answer", answer), false);
    printf("%s\n", answer);
    return flush_output();
}
