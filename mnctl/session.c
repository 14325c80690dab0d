/* session: a treatment from its plan to its summary. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sessions.h"

/* ---- plan, check ---- */

int session_words(struct plan_words *w, int argc, char **argv, const struct session_flags *f)
{
    for (int i = 1; i < argc; i++) {
        int r;

        if (f->yes != NULL && strcmp(argv[i], "--yes") == 0) {
            *f->yes = true;
        } else if (f->force != NULL && strcmp(argv[i], "--force") == 0) {
            *f->force = true;
        } else if (f->output != NULL && strcmp(argv[i], "--output") == 0) {
            if (++i == argc)
                return usage_error("--output needs a file");
            *f->output = argv[i];
        } else {
            r = argv[i][0] == '-' ? plan_option(w, argv[i], i + 1 < argc ? argv[i + 1] : NULL) : plan_read(w, argv[i]);
            if (r == -1)
                return usage_error("session %s takes no %s", argv[0], argv[i]);
            if (r != EXIT_OK)
                return r;
            i += argv[i][0] == '-';
        }
    }
    return EXIT_OK;
}

static int write_plan(const struct plan_words *w, const char *path, bool force)
{
    FILE *out;

    if (!may_write(path, force))
        return EXIT_ERROR;
    out = output_open(path, force);
    if (out == NULL)
        return EXIT_ERROR;
    plan_write(out, w);
    return output_close(out, path);
}

static int make_plan(struct app *a, int argc, char **argv)
{
    static struct plan_words w;
    const char *path = NULL;
    bool force = false;
    int r = session_words(&w, argc, argv, &(struct session_flags){.output = &path, .force = &force});

    if (r != EXIT_OK || path == NULL || !terminal_is_dialogue())
        return r == EXIT_OK ? write_plan(&w, path != NULL ? path : "-", force) : r;
    if (!may_write(path, force))
        return EXIT_ERROR; /* check before all those questions are answered */
    app_connect_quietly(a);
    r = person_begin();
    if (r == EXIT_OK)
        r = plan_ask(a, &w, NULL, NULL);
    person_end();
    if (r == EXIT_OK)
        r = write_plan(&w, path, force);
    if (r == EXIT_OK)
        draft_drop();
    return r;
}

/* Chooses the pen that --pen names, or the only one there is; else none. */
static int choose_if_any(struct app *a)
{
    struct mn_pens pens = {0};
    size_t n;
    int r = app_connect(a, false);

    if (r != EXIT_OK)
        return r;
    r = mn_list(a->client, &pens, a->timeout_ms);
    n = pens.count;
    mn_pens_free(&pens);
    if (r != MN_OK)
        return app_failed(a, r);
    return a->pen != NULL || n == 1 ? app_find(a, a->pen) : EXIT_OK;
}

static int check(struct app *a, int argc, char **argv)
{
    static struct plan_words w;
    static struct mn_findings found;
    static struct past past;
    int r = session_words(&w, argc, argv, &(struct session_flags){0});

    if (r == EXIT_OK)
        r = choose_if_any(a);
    if (r != EXIT_OK)
        return r;
    r = mn_session_check(a->client, a->serial[0] != '\0' ? a->serial : NULL, plan_now(&w), &found, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    if (a->json) {
        r = print_json(json_pack("{s:s, s:o}", "worst", mn_decision_name(found.worst), "findings", findings_json(found.finding, found.count)), false);
        return r != EXIT_OK ? r : found.worst >= MN_DECISION_CONSULT ? EXIT_REFUSED : EXIT_OK;
    }
    past_read(a, w.plan.subject, &past);
    print_findings(found.finding, found.count, &past);
    if (a->serial[0] == '\0')
        printf("  no pen was chosen: its cartridge is not looked at\n");
    printf("%s%s%s\n", colour(colour_of_decision(found.worst)), found.worst >= MN_DECISION_CONSULT ? "it would be refused" : "it may begin", colour(COLOUR_NONE));
    return found.worst >= MN_DECISION_CONSULT ? EXIT_REFUSED : flush_output();
}

/* ---- pause, end, status, list, show, aftercare, event ---- */

static int pause_session(struct app *a, int argc, char **argv)
{
    int r = argc > 1 ? usage_error("session pause takes no %s", argv[1]) : app_choose(a);

    if (r != EXIT_OK)
        return r;
    r = mn_stop(a->client, a->serial, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    printf("%s: stopped; `mnctl session resume` goes on\n", a->serial);
    return flush_output();
}

static int end(struct app *a, int argc, char **argv)
{
    struct live *l = live_new(a);
    bool aborted = argc == 2 && strcmp(argv[1], "--aborted") == 0;
    int r;

    if (argc > 2 || (argc == 2 && !aborted))
        return usage_error("session end takes --aborted or nothing");
    r = app_choose(a);
    return r == EXIT_OK ? live_finish(l, !aborted) : r;
}

/* Formats as many zone names as fit, and how many more there are. */
static void format_zones(const struct mn_session *s, char *out, size_t cap, size_t columns)
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < s->zone_count; i++) {
        const char *name = zone_name(s->zone[i].zone);

        if (i > 0 && used + strlen(name) + 2 + (i + 1 < s->zone_count ? 9 : 0) > columns) {
            snprintf(out + used, cap - used, ", +%zu more", s->zone_count - i);
            return;
        }
        used += (size_t)snprintf(out + used, cap - used, "%s%s", i > 0 ? ", " : "", name);
    }
}

static void print_listed(const struct mn_session *s)
{
    int columns = terminal_size().columns;
    bool narrow = columns < 100 && isatty(STDOUT_FILENO);
    char when[40], zones[200], done[16];
    uint32_t strokes = 0;

    for (size_t z = 0; z < s->zone_count; z++)
        strokes += s->zone[z].strokes;
    snprintf(done, sizeof(done), "%" PRIu32, strokes);
    if (s->incomplete && strokes == 0) /* their number is not known */
        strcpy(done, "?");
    format_minute(s->begun_us, when, sizeof(when));
    format_zones(s, zones, sizeof(zones), narrow ? 12 : columns > 100 ? (size_t)columns - 84 : 40);
    if (narrow)
        printf("%4" PRIu32 "  %s  %-9s %-9s %-11s %5s  %s\n", s->number, when + 4, s->subject, s->serial, session_word(s), done, zones);
    else
        printf("%5" PRIu32 "  %s  %-12s %-10s %-11s %6s strokes  %s\n", s->number, when, s->subject, s->serial, session_word(s), done, zones);
}

/* Parses the arguments of `session list`. EXIT_OK, or EXIT_USAGE after a message. */
static int list_words(int argc, char **argv, bool open_only, struct mn_session_filter *f)
{
    uint64_t lot;
    int used = 0;

    if (argc == 1)
        return EXIT_OK;
    if (argc != 3 || open_only)
        return usage_error("session %s takes %s, not %s", argv[0], open_only ? "nothing" : "--subject KEY, --cartridge UID or --lot LOT", argv[1]);
    if (strcmp(argv[1], "--subject") == 0) {
        f->subject = argv[2];
    } else if (strcmp(argv[1], "--cartridge") == 0) {
        if (sscanf(argv[2], "%16" SCNx64 "%n", &f->cartridge_uid, &used) != 1 || argv[2][used] != '\0' || f->cartridge_uid == 0 || !isxdigit((unsigned char)argv[2][0]))
            return usage_error("--cartridge takes a uid of up to 16 hexadecimal digits, as `mnctl info` shows it, not %s", argv[2]);
    } else if (strcmp(argv[1], "--lot") == 0) {
        if (parse_number("--lot", argv[2], 0, UINT32_MAX, &lot) != EXIT_OK)
            return EXIT_USAGE;
        f->by_lot = true;
        f->cartridge_lot = (uint32_t)lot;
    } else {
        return usage_error("session list takes --subject KEY, --cartridge UID or --lot LOT, not %s", argv[1]);
    }
    return EXIT_OK;
}

static int list(struct app *a, int argc, char **argv, bool open_only)
{
    struct mn_session_filter filter = {0};
    static struct figures figures;
    struct mn_sessions page = {0};
    struct past past = {0};
    json_t *all;
    size_t shown = 0;
    int r = list_words(argc, argv, open_only, &filter);

    if (r == EXIT_OK)
        r = app_connect(a, false);
    if (r != EXIT_OK)
        return r;
    all = json_array();
    do {
        r = mn_session_list(a->client, &filter, &page, a->timeout_ms);
        if (r != MN_OK) {
            json_decref(all);
            return app_failed(a, r);
        }
        for (size_t i = 0; i < page.count; i++) {
            const struct mn_session *s = &page.session[i];

            if (open_only && s->state == MN_SESSION_ENDED)
                continue;
            past_add(&past, s);
            shown++;
            if (a->json)
                json_array_append_new(all, session_json(s));
            else if (open_only)
                print_session(s);
            else
                print_listed(s);
        }
        filter.before = page.before;
        mn_sessions_free(&page);
    } while (filter.before != 0);
    if (a->json)
        return print_json(all, false);
    json_decref(all);
    if (shown == 0)
        printf("%s\n", open_only ? "no session is open" : "no sessions");
    if (filter.subject != NULL) {
        figures_read(a, &figures);
        past_print(&past, &figures);
    }
    return flush_output();
}

/* Reads the session with this number; for NULL, the last one. */
static int get(struct app *a, const char *verb, const char *word, struct mn_session *out)
{
    struct mn_sessions page = {0};
    char option[40];
    uint64_t number = 0;
    int r = EXIT_OK;

    snprintf(option, sizeof(option), "session %s", verb);
    if (word != NULL)
        r = parse_number(option, word, 1, UINT32_MAX, &number);
    if (r == EXIT_OK)
        r = app_connect(a, false);
    if (r != EXIT_OK)
        return r;
    if (word == NULL) {
        r = mn_session_list(a->client, NULL, &page, a->timeout_ms);
        number = r == MN_OK && page.count > 0 ? page.session[0].number : 0;
        mn_sessions_free(&page);
        if (r == MN_OK && number == 0) {
            fprintf(stderr, "mnctl: there is no session yet: `mnctl session start` begins one\n");
            return EXIT_REFUSED;
        }
    }
    if (r == MN_OK)
        r = mn_session_get(a->client, (uint32_t)number, out, a->timeout_ms);
    return r == MN_OK ? EXIT_OK : app_failed(a, r);
}

static int show(struct app *a, int argc, char **argv)
{
    static struct mn_session s;
    int r = argc <= 2 ? get(a, "show", argc == 2 ? argv[1] : NULL, &s) : usage_error("session show takes a session's number, or nothing: the last");

    if (r != EXIT_OK)
        return r;
    if (a->json)
        return print_json(session_json(&s), false);
    print_session(&s);
    return flush_output();
}

static int card(struct app *a, int argc, char **argv)
{
    static struct mn_session s;
    const char *number = NULL, *path = NULL;
    bool force = false;
    int r;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--html") == 0 && i + 1 < argc)
            path = argv[++i];
        else if (strcmp(argv[i], "--force") == 0)
            force = true;
        else if (number == NULL && argv[i][0] != '-')
            number = argv[i];
        else
            return usage_error("session aftercare takes a session's number (or nothing: the last), --html FILE and --force, not %s", argv[i]);
    }
    if (path != NULL && !may_write(path, force))
        return EXIT_ERROR;
    r = get(a, "aftercare", number, &s);
    return r == EXIT_OK ? aftercare(a, &s, path, force) : r;
}

static int event(struct app *a, int argc, char **argv)
{
    static struct mn_session s;
    const struct mn_adverse *what = NULL;
    const char *names[16], *word = argc == 3 ? argv[argc - 1] : "";
    size_t n = 0;
    int r;

    for (; n < mn_adverse_count() && n < 16; n++) {
        names[n] = mn_adverse_at(n)->name;
        if (same_word(names[n], word))
            what = mn_adverse_at(n);
    }
    if (argc == 2 && strcmp(argv[1], "--table") == 0) {
        for (size_t i = 0; i < n; i++)
            printf("%-18s %s: %s (%s)\n", names[i], mn_adverse_at(i)->text, mn_adverse_at(i)->who, mn_adverse_at(i)->source);
        return flush_output();
    }
    if (argc == 3 && what == NULL && nearest(word, names, n) != NULL)
        return usage_error("there is no adverse event %s; did you mean %s?", word, nearest(word, names, n));
    if (what == NULL)
        return usage_error("session event takes a session's number and what was seen; `mnctl session event --table` lists it");
    r = get(a, "event", argv[1], &s);
    if (r != EXIT_OK)
        return r;
    r = mn_session_adverse(a->client, s.number, what->number, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    printf("session %" PRIu32 ": %s is recorded; call %s\n", s.number, what->name, what->who);
    return flush_output();
}

int cmd_session(struct app *a, int argc, char **argv)
{
    static const char *const names[] = {"plan", "check", "start", "resume", "pause", "end", "status", "list", "show", "aftercare", "event"};
    static int (*const runs[])(struct app *, int, char **) = {make_plan, check, session_start, session_resume, pause_session, end, NULL, NULL, show, card, event};
    const size_t n = sizeof(names) / sizeof(names[0]);
    const char *near;
    size_t i = argc > 1 ? find_word(argv[1], names, n, false) : n;

    if (i < n)
        return runs[i] != NULL ? runs[i](a, argc - 1, argv + 1) : list(a, argc - 1, argv + 1, i == 6);
    near = argc > 1 ? nearest(argv[1], names, n) : NULL;
    return near != NULL ? usage_error("there is no session %s; did you mean %s?", argv[1], near)
                        : usage_error("session takes plan, check, start, resume, pause, end, status, list, show, aftercare or event");
}
