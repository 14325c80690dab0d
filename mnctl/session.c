/* session: a treatment from its plan to its summary. */
#include <ctype.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sessions.h"

/* ---- what a session looks like ---- */

static enum colour colour_of(enum mn_decision d)
{
    return d == MN_DECISION_BLOCK ? COLOUR_BAD : d == MN_DECISION_OK ? COLOUR_GOOD : COLOUR_WARN;
}

static void print_findings(const struct mn_finding *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char code[12] = "";

        if (f[i].code != 0)
            snprintf(code, sizeof(code), " %u", f[i].code);
        printf("  %s%-7s%s%s %s (%s)\n", colour(colour_of(f[i].decision)), mn_decision_name(f[i].decision), colour(COLOUR_NONE), code,
               f[i].text[0] != '\0' ? f[i].text : f[i].name, f[i].source);
    }
}

static json_t *findings_json(const struct mn_finding *f, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:I, s:I, s:s, s:s, s:s}", "decision", mn_decision_name(f[i].decision), "code", (int)f[i].code,
                                              "name", f[i].name, "value", (json_int_t)f[i].value, "limit", (json_int_t)f[i].limit, "unit", f[i].unit, "source",
                                              f[i].source, "text", f[i].text));
    return list;
}

static json_t *session_json(const struct mn_session *s)
{
    json_t *j = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:b}", "number", (json_int_t)s->number, "serial", s->serial, "subject", s->subject, "state",
                          mn_session_state_name(s->state), "end", mn_session_end_name(s->end), "by", s->by, "text", s->text, "begun_us",
                          (json_int_t)s->begun_us, "incomplete", s->incomplete);
    json_t *list;
    char hash[65] = "";

    json_object_set_new(j, "ended_us", s->ended_us != 0 ? json_integer((json_int_t)s->ended_us) : json_null());
    json_object_set_new(j, "indication", s->indication[0] != '\0' ? json_string(s->indication) : json_null());
    json_object_set_new(j, "cartridge", json_pack("{s:o, s:I, s:I}", "uid", json_sprintf("%016" PRIx64, s->cartridge_uid), "lot",
                                                  (json_int_t)s->cartridge_lot, "needles", (json_int_t)s->needle_count));
    json_object_set_new(j, "config_generation", json_integer(s->config_generation));
    json_object_set_new(j, "zone_now", json_string(zone_name(s->zone_now)));
    for (size_t i = 0; s->policy_name[0] != '\0' && i < sizeof(s->policy_sha256); i++)
        snprintf(hash + 2 * i, 3, "%02x", s->policy_sha256[i]);
    json_object_set_new(j, "policy", s->policy_name[0] != '\0' ? json_pack("{s:s, s:s}", "name", s->policy_name, "sha256", hash) : json_null());
    json_object_set_new(j, "zones", list = json_array());
    for (size_t i = 0; i < s->zone_count; i++) {
        const struct mn_session_zone *z = &s->zone[i];

        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "zone", zone_name(z->zone), "depth_um", (json_int_t)z->depth_um,
                                              "stroke_rate_dhz", (json_int_t)z->stroke_rate_dhz, "runs", (json_int_t)z->runs, "strokes", (json_int_t)z->strokes,
                                              "punctures", (json_int_t)z->punctures, "motor_ms", (json_int_t)z->motor_ms, "depth_peak_um",
                                              (json_int_t)z->depth_peak_um));
    }
    json_object_set_new(j, "faults", list = json_array());
    for (size_t i = 0; i < s->fault_count; i++)
        json_array_append_new(list, json_integer(s->fault[i]));
    json_object_set_new(j, "overrides", list = json_array());
    for (size_t i = 0; i < s->override_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", s->override[i].name, "reason", s->override[i].reason));
    json_object_set_new(j, "products", list = json_array());
    for (size_t i = 0; i < mn_product_count(); i++) {
        if (s->products >> mn_product_at(i)->bit & 1)
            json_array_append_new(list, json_string(mn_product_at(i)->name));
    }
    json_object_set_new(j, "adverse", list = json_array());
    for (size_t i = 0; i < s->adverse_count; i++)
        json_array_append_new(list, json_integer(s->adverse[i]));
    json_object_set_new(j, "findings", findings_json(s->finding, s->finding_count));
    return j;
}

/* PREPARED ...; of an ended one, how it ended. */
static const char *state_word(const struct mn_session *s)
{
    return s->end == MN_END_NONE ? mn_session_state_name(s->state) : mn_session_end_name(s->end);
}

static void print_zones(const struct mn_session *s)
{
    printf("  zone                     planned            runs  strokes  punctures   motor   reached\n");
    for (size_t i = 0; i < s->zone_count; i++) {
        const struct mn_session_zone *z = &s->zone[i];

        printf("  %-24s %4" PRIu32 " um %5.1f Hz  %5" PRIu32 " %8" PRIu32 " %10" PRIu64 " %5.1f s %6" PRIu32 " um\n", zone_name(z->zone), z->depth_um,
               z->stroke_rate_dhz / 10.0, z->runs, z->strokes, z->punctures, (double)z->motor_ms / 1000, z->depth_peak_um);
    }
}

static void print_session(const struct mn_session *s)
{
    char when[40];

    format_minute(s->begun_us, when, sizeof(when));
    printf("%ssession %" PRIu32 "%s  subject %s, pen %s, %s%s%s, begun %s by %s\n", colour(COLOUR_BOLD), s->number, colour(COLOUR_NONE), s->subject, s->serial,
           s->indication, s->indication[0] != '\0' ? ", " : "", state_word(s), when, s->by);
    printf("  cartridge %016" PRIx64 ", lot %" PRIu32 ", %" PRIu32 " needles; policy: %s\n", s->cartridge_uid, s->cartridge_lot, s->needle_count,
           s->policy_name[0] != '\0' ? s->policy_name : "the defaults");
    print_zones(s);
    print_findings(s->finding, s->finding_count);
    for (size_t i = 0; i < s->override_count; i++)
        printf("  override  %s: %s\n", s->override[i].name, s->override[i].reason);
    for (size_t i = 0; i < mn_product_count(); i++) {
        if (s->products >> mn_product_at(i)->bit & 1)
            printf("  product   %s\n", mn_product_at(i)->name);
    }
    for (size_t i = 0; i < s->fault_count; i++) {
        const struct mn_fault *f = mn_fault_by_code(s->fault[i]);

        printf("  fault     %" PRIu32 " %s\n", s->fault[i], f != NULL ? f->name : "");
    }
    for (size_t i = 0; i < s->adverse_count; i++) {
        for (size_t k = 0; k < mn_adverse_count(); k++) {
            if (mn_adverse_at(k)->number == s->adverse[i])
                printf("  afterwards %s: %s\n", mn_adverse_at(k)->name, mn_adverse_at(k)->text);
        }
    }
    if (s->state == MN_SESSION_ENDED) {
        format_minute(s->ended_us, when, sizeof(when));
        printf("  ended %s%s\n", when, s->incomplete ? ", without the pen's last records" : "");
    } else if (s->text[0] != '\0') {
        printf("  %s\n", s->text);
    }
}

static int refused(struct app *a, int error)
{
    const struct mn_result *r = mn_last_result(a->client);

    if (error == MN_ERR_POLICY && r->findings != NULL && !a->json)
        print_findings(r->findings->finding, r->findings->count);
    fflush(stdout);
    return app_failed(a, error);
}

/* ---- a live session ---- */

struct live {
    struct app *app;
    struct mn_session s;
    uint32_t strokes_at, strokes_now; /* of the pen's own counter: when this run began, and now */
    int32_t battery_pct;
    bool told, lost, terminal;
    uint64_t last_ms, run_began_ms;
};

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void print_live(struct live *l)
{
    const struct mn_session *s = &l->s;
    uint32_t strokes = 0, running = s->state == MN_SESSION_RUNNING ? l->strokes_now - l->strokes_at : 0;
    uint64_t ms = s->state == MN_SESSION_RUNNING ? now_ms() - l->run_began_ms : 0;
    double depth_mm = 0, rate_hz = 0;
    char line[200], battery[16] = "-";

    if (l->battery_pct > 0)
        snprintf(battery, sizeof(battery), "%d %%", l->battery_pct);
    for (size_t i = 0; i < s->zone_count; i++) {
        strokes += s->zone[i].strokes;
        ms += s->zone[i].motor_ms;
        if (s->zone[i].zone == s->zone_now) {
            depth_mm = s->zone[i].depth_um / 1000.0;
            rate_hz = s->zone[i].stroke_rate_dhz / 10.0;
        }
    }
    snprintf(line, sizeof(line), "%-8s %s  %.2f mm  %.1f Hz  %" PRIu32 " strokes  %" PRIu64 ":%02" PRIu64 " motor  battery %s", mn_session_state_name(s->state),
             zone_name(s->zone_now), depth_mm, rate_hz, strokes + running, ms / 60000, ms / 1000 % 60, battery);
    if (l->terminal)
        printf("\r\033[K%s%s%s", colour(s->state == MN_SESSION_RUNNING ? COLOUR_WARN : COLOUR_BOLD), line, colour(COLOUR_NONE));
    else if (!l->told)
        printf("%s%s%s\n", line, s->text[0] != '\0' ? "  " : "", s->text);
    l->told = true;
    fflush(stdout);
}

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    struct live *l = user;

    (void)c;
    if (e->kind == MN_EVENT_SESSION && strcmp(e->session->serial, l->app->serial) == 0 && e->session->number == l->s.number) {
        bool said = strcmp(e->session->text, l->s.text) != 0;
        bool news = e->session->state != l->s.state || said || e->session->zone_now != l->s.zone_now;

        if (e->session->state == MN_SESSION_RUNNING && l->s.state != MN_SESSION_RUNNING)
            l->strokes_at = l->strokes_now, l->run_began_ms = now_ms();
        l->s = *e->session;
        if (l->app->json && news) {
            print_json(session_json(&l->s), true);
        } else if (news) {
            if (l->terminal && said && l->s.text[0] != '\0')
                printf("\r\033[K%s\n", l->s.text);
            l->told = false;
            print_live(l);
        }
    } else if (e->kind == MN_EVENT_TELEMETRY && strcmp(e->telemetry->serial, l->app->serial) == 0) {
        l->strokes_now = e->telemetry->strokes_session;
        if (e->telemetry->slow.count > 0)
            l->battery_pct = e->telemetry->slow.battery_soc_pct[e->telemetry->slow.count - 1];
        if (l->terminal && now_ms() >= l->last_ms + 200) {
            l->last_ms = now_ms();
            print_live(l);
        }
    } else if (e->kind == MN_EVENT_LEASE && e->lease->lost) {
        fprintf(stderr, "%smnctl: %s\n", l->terminal ? "\r\033[K" : "", e->lease->text);
        l->lost = true;
    }
}

static void on_done(mn_client *c, const struct mn_result *r, void *user)
{
    (void)c;
    (void)user;
    if (r->error != MN_OK)
        fprintf(stderr, "\nmnctl: %s\n", r->message);
}

static void next_zone(struct live *l)
{
    size_t i = 0;

    while (i < l->s.zone_count && l->s.zone[i].zone != l->s.zone_now)
        i++;
    if (l->s.zone_count > 0)
        mn_session_select_async(l->app->client, l->app->serial, l->s.zone[(i + 1) % l->s.zone_count].zone, l->app->timeout_ms, on_done, NULL);
}

/* What a person types while the session is under way. True: it is to be ended. */
static bool take_key(struct live *l, const char *line)
{
    switch (line[0]) {
    case '\0':
        mn_session_arm_async(l->app->client, l->app->serial, l->s.config_generation, l->app->timeout_ms, on_done, NULL);
        return false;
    case 'n':
        next_zone(l);
        return false;
    case 'p':
        mn_stop_async(l->app->client, l->app->serial, l->app->timeout_ms, on_done, NULL);
        return false;
    case 'c':
        mn_faults_clear_async(l->app->client, l->app->serial, 0, false, l->app->timeout_ms, on_done, NULL);
        return false;
    case 'e':
        return true;
    default:
        printf("\nEnter arms again, n is the next zone, p pauses, c clears faults, e ends the session\n");
        return false;
    }
}

static int finish(struct live *l, bool completed)
{
    struct mn_session *s = &l->s;
    int r = mn_session_end(l->app->client, l->app->serial, completed, s, l->app->timeout_ms + 4000);
    struct mn_session whole;

    if (r != MN_OK)
        return app_failed(l->app, r);
    if (mn_session_get(l->app->client, s->number, &whole, l->app->timeout_ms) == MN_OK)
        *s = whole;
    if (l->app->json)
        return print_json(session_json(s), false);
    printf("%s", l->terminal ? "\r\033[K" : "");
    print_session(s);
    printf("\nmnctl session aftercare %" PRIu32 " prints the card.\n", s->number);
    return flush_output();
}

/* Stays while the session is under way: its pen is controlled by this program. */
static int stay(struct live *l)
{
    struct app *a = l->app;
    char line[80];
    int r = MN_OK;

    if (l->terminal)
        printf("\r\033[KPress the pen's trigger. Enter arms again after it was released, n is the next zone, p pauses, c clears faults, e ends; Ctrl-C stops and leaves.\n");
    while (r == MN_OK && !is_interrupted() && !l->lost && l->s.state != MN_SESSION_ENDED) {
        struct pollfd fds[2] = {{.fd = mn_fd(a->client), .events = mn_events(a->client)}, {.fd = l->terminal ? STDIN_FILENO : -1, .events = POLLIN}};
        int own = mn_timeout_ms(a->client);

        poll(fds, 2, own >= 0 && own < 500 ? own : 500);
        r = mn_process(a->client);
        if ((fds[1].revents & POLLIN) != 0) {
            if (fgets(line, sizeof(line), stdin) == NULL)
                break;
            line[strcspn(line, "\n")] = '\0';
            if (take_key(l, line))
                return finish(l, true);
        }
    }
    if (l->terminal)
        printf("\n");
    if (r != MN_OK)
        return app_failed(a, r);
    if (l->s.state == MN_SESSION_ENDED || l->lost)
        return l->lost ? EXIT_REFUSED : flush_output();
    if (mn_stop(a->client, a->serial, a->timeout_ms) != MN_OK)
        return EXIT_ERROR;
    fprintf(stderr, "mnctl: stopped; session %" PRIu32 " is open: `mnctl session resume` goes on with it, `mnctl session end` ends it\n", l->s.number);
    return flush_output();
}

/* Shows what will be applied, and asks once, unless it was said to be wanted. */
static int arm(struct live *l, bool yes)
{
    struct app *a = l->app;
    int r;

    for (size_t i = 0; i < l->s.zone_count && !a->json; i++) {
        const struct mn_session_zone *z = &l->s.zone[i];

        if (z->zone == l->s.zone_now)
            printf("%s: session %" PRIu32 ", %s%s%s: %.2f mm at %.1f Hz (configuration %" PRIu32 ")\n", a->serial, l->s.number, colour(COLOUR_BOLD),
                   zone_name(z->zone), colour(COLOUR_NONE), z->depth_um / 1000.0, z->stroke_rate_dhz / 10.0, l->s.config_generation);
    }
    if (!yes && !ask_yes("Arm it? The trigger starts the needles then. (yes, no)")) {
        fprintf(stderr, "mnctl: not armed; session %" PRIu32 " is open: `mnctl session resume` or `mnctl session end`\n", l->s.number);
        return EXIT_REFUSED;
    }
    r = mn_session_arm(a->client, a->serial, l->s.config_generation, NULL, a->timeout_ms);
    return r == MN_OK ? stay(l) : refused(a, r);
}

static int go_live(struct live *l)
{
    struct mn_pens pens = {0};
    int r = mn_watch(l->app->client, true, &pens, l->app->timeout_ms);

    mn_pens_free(&pens);
    if (r == MN_OK)
        r = mn_subscribe(l->app->client, l->app->serial, true, l->app->timeout_ms);
    return r == MN_OK ? EXIT_OK : app_failed(l->app, r);
}

static int connect_live(struct live *l, struct app *a)
{
    int r;

    l->app = a;
    l->terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !a->json;
    a->on_event = on_event;
    a->event_user = l;
    r = app_choose(a);
    if (r != EXIT_OK)
        return r;
    catch_interrupt();
    r = mn_lease_take(a->client, a->serial, a->timeout_ms);
    return r == MN_OK ? EXIT_OK : app_failed(a, r);
}

/* ---- plan, check, start, resume ---- */

/* The plan's options and, if wanted, --yes and --output. */
static int take_words(struct plan_words *w, int argc, char **argv, bool *yes, const char **output)
{
    for (int i = 1; i < argc; i++) {
        int r;

        if (yes != NULL && strcmp(argv[i], "--yes") == 0) {
            *yes = true;
            continue;
        }
        if (output != NULL && strcmp(argv[i], "--output") == 0 && i + 1 < argc) {
            *output = argv[++i];
            continue;
        }
        r = argv[i][0] == '-' ? plan_option(w, argv[i], i + 1 < argc ? argv[i + 1] : NULL) : plan_read(w, argv[i]);
        if (r == -1)
            return usage_error("session %s takes no %s; try `mnctl help session`", argv[0], argv[i]);
        if (r != EXIT_OK)
            return r;
        i += argv[i][0] == '-';
    }
    w->given = w->plan.step_count > 0;
    return EXIT_OK;
}

static int make_plan(struct app *a, int argc, char **argv)
{
    static struct plan_words w;
    const char *path = NULL;
    int r = take_words(&w, argc, argv, NULL, &path);
    FILE *out;

    (void)a;
    if (r == EXIT_OK && path != NULL && isatty(STDIN_FILENO)) {
        catch_interrupt();
        r = plan_ask(&w);
    }
    if (r != EXIT_OK)
        return r;
    out = output_open(path != NULL ? path : "-", "wex");
    if (out == NULL)
        return EXIT_ERROR;
    plan_write(out, &w);
    return output_close(out, path != NULL ? path : "-");
}

static int check(struct app *a, int argc, char **argv)
{
    static struct plan_words w;
    static struct mn_findings found;
    int r = take_words(&w, argc, argv, NULL, NULL);

    if (r == EXIT_OK)
        r = app_choose(a);
    if (r != EXIT_OK)
        return r;
    r = mn_session_check(a->client, a->serial, &w.plan, &found, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    if (a->json)
        r = print_json(json_pack("{s:s, s:o}", "worst", mn_decision_name(found.worst), "findings", findings_json(found.finding, found.count)), false);
    else
        print_findings(found.finding, found.count);
    if (!a->json)
        printf("%s%s%s\n", colour(colour_of(found.worst)), found.worst >= MN_DECISION_CONSULT ? "it would be refused" : "it may begin", colour(COLOUR_NONE));
    return r != EXIT_OK ? r : found.worst >= MN_DECISION_CONSULT ? EXIT_REFUSED : flush_output();
}

static int start(struct app *a, int argc, char **argv)
{
    static struct plan_words w;
    static struct live l;
    static struct mn_findings found;
    bool yes = false;
    int r = take_words(&w, argc, argv, &yes, NULL);

    if (r == EXIT_OK)
        r = connect_live(&l, a);
    if (r == EXIT_OK && l.terminal)
        r = plan_ask(&w);
    if (r != EXIT_OK)
        return r;
    if (!l.terminal && !yes)
        return usage_error("session start asks before it arms, and there is no terminal: --yes says that it is wanted");
    if (l.terminal && mn_session_check(a->client, a->serial, &w.plan, &found, a->timeout_ms) == MN_OK && (r = plan_confirm(&w, &found)) != EXIT_OK) {
        print_findings(found.finding, found.count);
        return r;
    }
    r = mn_session_begin(a->client, a->serial, &w.plan, &l.s, a->timeout_ms);
    if (r != MN_OK)
        return refused(a, r);
    if (!a->json)
        print_findings(l.s.finding, l.s.finding_count);
    r = go_live(&l);
    return r == EXIT_OK ? arm(&l, yes) : r;
}

/* The open session of the chosen pen; else an exit code. */
static int find_open(struct app *a, struct mn_session *out)
{
    struct mn_sessions list = {0};
    uint32_t before = 0;
    bool found = false;
    int r;

    do {
        r = mn_session_list(a->client, NULL, before, &list, a->timeout_ms);
        if (r != MN_OK)
            return app_failed(a, r);
        for (size_t i = 0; i < list.count && !found; i++) {
            found = list.session[i].state != MN_SESSION_ENDED && strcmp(list.session[i].serial, a->serial) == 0;
            if (found)
                *out = list.session[i];
        }
        before = list.before;
        mn_sessions_free(&list);
    } while (!found && before != 0);
    if (!found)
        fprintf(stderr, "mnctl: no session of pen %s is open\n", a->serial);
    return found ? EXIT_OK : EXIT_REFUSED;
}

static int resume(struct app *a, int argc, char **argv)
{
    static struct live l;
    const struct mn_zone *zone = NULL;
    bool yes = false;
    int r;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--yes") == 0)
            yes = true;
        else if (strcmp(argv[i], "--zone") != 0 || i + 1 == argc)
            return usage_error("session resume takes --zone ZONE and --yes, not %s", argv[i]);
        else if ((zone = parse_zone(argv[++i])) == NULL)
            return EXIT_USAGE;
    }
    r = connect_live(&l, a);
    if (r == EXIT_OK)
        r = find_open(a, &l.s);
    if (r == EXIT_OK && !l.terminal && !yes)
        return usage_error("session resume asks before it arms, and there is no terminal: --yes says that it is wanted");
    if (r == EXIT_OK)
        r = go_live(&l);
    if (r != EXIT_OK)
        return r;
    r = mn_session_select(a->client, a->serial, zone != NULL ? zone->number : l.s.zone_now, &l.s, a->timeout_ms);
    return r == MN_OK ? arm(&l, yes) : app_failed(a, r);
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
    printf("%s: stopped\n", a->serial);
    return flush_output();
}

static int end(struct app *a, int argc, char **argv)
{
    static struct live l;
    bool aborted = argc == 2 && strcmp(argv[1], "--aborted") == 0;
    int r;

    if (argc > 2 || (argc == 2 && !aborted))
        return usage_error("session end takes --aborted or nothing");
    l.app = a;
    r = app_choose(a);
    return r == EXIT_OK ? finish(&l, !aborted) : r;
}

/* The policy's figure: the site's own, or the default. */
static uint32_t figure(const struct mn_policy *site, const char *name)
{
    for (size_t i = 0; i < site->count; i++) {
        if (strcmp(site->row[i].name, name) == 0)
            return (uint32_t)strtoul(site->row[i].value, NULL, 10);
    }
    for (size_t i = 0; i < mn_limit_count(); i++) {
        if (strcmp(mn_limit_at(i)->name, name) == 0)
            return mn_limit_at(i)->value;
    }
    return 0;
}

struct due { /* what is next for a subject */
    unsigned done;
    const char *indication;
    struct {
        uint64_t ended_us;
        uint32_t depth_um;
    } zone[32];
};

static void count_due(struct due *d, const struct mn_session *s)
{
    uint32_t strokes = 0;

    for (size_t i = 0; i < s->zone_count; i++) {
        strokes += s->zone[i].strokes;
        if (s->zone[i].zone < 32 && s->zone[i].strokes > 0 && s->ended_us > d->zone[s->zone[i].zone].ended_us) {
            d->zone[s->zone[i].zone].ended_us = s->ended_us;
            d->zone[s->zone[i].zone].depth_um = s->zone[i].depth_um;
        }
    }
    if (s->state == MN_SESSION_ENDED && strokes > 0) {
        d->done++;
        if (d->indication == NULL) /* the newest comes first */
            for (size_t i = 0; i < mn_indication_count(); i++)
                d->indication = strcmp(mn_indication_at(i)->name, s->indication) == 0 ? mn_indication_at(i)->name : d->indication;
    }
}

/* Planned against done, and from when on each zone may be treated again. */
static void print_due(struct app *a, const struct due *d)
{
    static struct mn_policy site;
    char when[40];

    if (mn_policy_get(a->client, NULL, &site, a->timeout_ms) != MN_OK)
        site.count = 0;
    for (size_t i = 0; i < mn_indication_count(); i++) {
        const struct mn_indication *n = mn_indication_at(i);

        if (d->indication != n->name)
            continue;
        if (n->sessions_max == 0)
            printf("\n%s: %u done; how many, the practitioner says (%s)\n", n->name, d->done, n->source);
        else
            printf("\n%s: %u of %" PRIu32 " to %" PRIu32 " done (%s)%s\n", n->name, d->done, n->sessions_min, n->sessions_max, n->source,
                   d->done >= n->sessions_max ? "; then maintenance, monthly (S0) or yearly (S4)" : "");
    }
    for (unsigned z = 0; z < 32; z++) {
        uint32_t days = figure(&site, d->zone[z].depth_um < figure(&site, "depth_medium") ? "interval_surface" : "interval_deeper");

        if (d->zone[z].ended_us == 0)
            continue;
        format_minute(d->zone[z].ended_us + (uint64_t)days * 86400 * 1000000, when, sizeof(when));
        printf("%-24s next from %s (%" PRIu32 " d)\n", zone_name(z), when, days);
    }
}

static int list(struct app *a, int argc, char **argv, bool open_only)
{
    const char *subject = argc == 3 && strcmp(argv[1], "--subject") == 0 && !open_only ? argv[2] : NULL;
    struct mn_sessions page = {0};
    struct due due = {0};
    json_t *all = json_array();
    uint32_t before = 0;
    size_t shown = 0;
    int r = argc > 1 && subject == NULL ? usage_error("session %s takes %s, not %s", argv[0], open_only ? "nothing" : "--subject KEY", argv[1]) : app_connect(a, false);

    while (r == EXIT_OK) {
        r = mn_session_list(a->client, subject, before, &page, a->timeout_ms);
        if (r != MN_OK) {
            r = app_failed(a, r);
            break;
        }
        for (size_t i = 0; i < page.count; i++) {
            const struct mn_session *s = &page.session[i];
            uint32_t strokes = 0;
            char when[40];

            if (open_only && s->state == MN_SESSION_ENDED)
                continue;
            count_due(&due, s);
            for (size_t z = 0; z < s->zone_count; z++)
                strokes += s->zone[z].strokes;
            format_minute(s->begun_us, when, sizeof(when));
            if (a->json)
                json_array_append_new(all, session_json(s));
            else if (open_only)
                print_session(s);
            else
                printf("%6" PRIu32 "  %s  %-16s %-12s %-12s %8" PRIu32 " strokes  %s%s\n", s->number, when, s->subject, s->serial, state_word(s), strokes,
                       zone_name(s->zone_count > 0 ? s->zone[0].zone : 0), s->zone_count > 1 ? ", ..." : "");
            shown++;
        }
        before = page.before;
        mn_sessions_free(&page);
        if (before == 0)
            break;
    }
    if (r == EXIT_OK && a->json)
        return print_json(all, false);
    json_decref(all);
    if (r == EXIT_OK && shown == 0)
        printf("%s\n", open_only ? "no session is open" : "no sessions");
    if (r == EXIT_OK && subject != NULL)
        print_due(a, &due);
    return r == EXIT_OK ? flush_output() : r;
}

/* The session whose number is in the words. */
static int get(struct app *a, const char *verb, const char *word, struct mn_session *out)
{
    char *rest = NULL;
    unsigned long number = word != NULL ? strtoul(word, &rest, 10) : 0;
    int r;

    if (number == 0 || number > UINT32_MAX || *rest != '\0')
        return usage_error("session %s takes a session's number; `mnctl session list` has them", verb);
    r = app_connect(a, false);
    if (r != EXIT_OK)
        return r;
    r = mn_session_get(a->client, (uint32_t)number, out, a->timeout_ms);
    return r == MN_OK ? EXIT_OK : app_failed(a, r);
}

static int show(struct app *a, int argc, char **argv)
{
    static struct mn_session s;
    int r = argc == 2 ? get(a, "show", argv[1], &s) : usage_error("session show takes a session's number");

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
    bool page = argc == 4 && strcmp(argv[2], "--html") == 0;
    int r = argc == 2 || page ? get(a, "aftercare", argv[1], &s) : usage_error("session aftercare takes a session's number, and perhaps --html FILE");

    return r == EXIT_OK ? aftercare(a, &s, page ? argv[3] : NULL) : r;
}

static int event(struct app *a, int argc, char **argv)
{
    static struct mn_session s;
    const struct mn_adverse *what = NULL;
    const char *names[16], *word = argc == 3 ? argv[argc - 1] : "";
    size_t n = 0;
    int r;

    for (char *c = argv[argc - 1]; argc == 3 && *c != '\0'; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    for (; n < mn_adverse_count() && n < 16; n++) {
        names[n] = mn_adverse_at(n)->name;
        if (strcmp(names[n], word) == 0)
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
    static int (*const runs[])(struct app *, int, char **) = {make_plan, check, start, resume, pause_session, end, NULL, NULL, show, card, event};
    const char *near;

    for (size_t i = 0; argc > 1 && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(argv[1], names[i]) == 0)
            return runs[i] != NULL ? runs[i](a, argc - 1, argv + 1) : list(a, argc - 1, argv + 1, i == 6);
    }
    near = argc > 1 ? nearest(argv[1], names, sizeof(names) / sizeof(names[0])) : NULL;
    return near != NULL ? usage_error("there is no session %s; did you mean %s?", argv[1], near)
                        : usage_error("session takes plan, check, start, resume, pause, end, status, list, show, aftercare or event");
}
