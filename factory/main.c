/*
 * mn-factory: a line of pens, tested, calibrated, serialised and documented by a plan.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "history.h"
#include "report.h"
#include "stats.h"
#include "view.h"
#include "words.h"

/* Documented in `mn-factory --help`. */
enum { EXIT_PASSED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_ERROR = 3, EXIT_ABORTED = 4 };

enum { PENS_WAIT_MS = 10000, VIEW_MS = 200, STACK_BYTES = 512 * 1024 };

static const char *const commands[] = {"run", "check", "list", "report", "station", "help", "completion", "version"};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
}

static int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int usage_error(const char *format, ...)
{
    va_list ap;

    fputs("mn-factory: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputs("\nTry mn-factory --help.\n", stderr);
    return EXIT_USAGE;
}

static int say_error(const char *sentence)
{
    fprintf(stderr, "mn-factory: %s\n", sentence);
    return EXIT_ERROR;
}

static void print_help(void)
{
    puts("mn-factory - tests, calibrates and serialises pens off the line, by a plan\n"
         "\n"
         "usage: mn-factory run [PLAN] [options]         carries the plan out with every pen that is plugged in, all at once\n"
         "       mn-factory check PLAN                   is this plan, and its limits, one that can be carried out?\n"
         "       mn-factory list [STEP]                  steps with what they measure; plans that are there\n"
         "       mn-factory report RECORD|FOLDER... [--html FILE] [--junit FILE] [--csv FILE] [--json]\n"
         "       mn-factory station [SERIAL]             what this station has done, or one pen's past; --json\n"
         "       mn-factory completion bash | version\n"
         "\n"
         "PLAN is a file, or the name of one that ships: mn-1 (the default).\n"
         "\n"
         "  --slots N          waits for so many pens\n"
         "  --slot PORT        this port only, as mnctl list shows it (\"usb 1-4\"); repeatable. A pen that is not there leaves a record, too\n"
         "  --commit           writes serial number, UDI and calibration for good, and lets the pen leave the factory. Cannot be undone\n"
         "  --keep-going       all steps, whatever an earlier one found (nothing is written for good then)\n"
         "  --repeat           with each pen that is put into a slot, until Ctrl-C\n"
         "  --out FOLDER       for records and reports [mn-factory-runs/TIME]\n"
         "  --database FILE    the station's history [mn-factory-runs/station.db]; none: without\n"
         "  --plain            lines, even on a terminal\n"
         "  --json             the summary, as JSON\n"
         "  --socket PATH      of mnd [$MN_SOCKET, else /run/mnd/mnd.sock]; it wants the role factory\n"
         "\n"
         "exit codes: 0 all passed; 1 a pen failed; 2 wrong words, or a plan that cannot be carried out; 3 an error: pen, fixture, station or program;\n"
         "            4 aborted by Ctrl-C. Of several, the greatest.\n"
         "\n"
         "Example, without any hardware:\n"
         "  mnd --no-usb --sim=8,fresh --socket /tmp/mnd.sock &\n"
         "  mn-factory run --socket /tmp/mnd.sock --slots 8 --commit");
}

/* ---- words ---- */

struct words {
    struct options o;
    bool plain;
    unsigned slots;
    const char *ports[STATION_SLOTS_MAX];
    unsigned port_count;
    const char *html, *junit, *csv;
    const char *rest[256];
    unsigned rest_count;
};

/* -1: go on. */
static int parse(struct words *w, int argc, char **argv)
{
    enum { SLOTS = 256, SLOT, COMMIT, KEEP_GOING, REPEAT, OUT, DATABASE, PLAIN, JSON, SOCKET, HTML, JUNIT, CSV };
    static const struct option longs[] = {
        {"slots", required_argument, NULL, SLOTS},   {"slot", required_argument, NULL, SLOT},       {"commit", no_argument, NULL, COMMIT},
        {"keep-going", no_argument, NULL, KEEP_GOING}, {"repeat", no_argument, NULL, REPEAT},       {"out", required_argument, NULL, OUT},
        {"database", required_argument, NULL, DATABASE}, {"plain", no_argument, NULL, PLAIN},       {"json", no_argument, NULL, JSON},
        {"socket", required_argument, NULL, SOCKET}, {"html", required_argument, NULL, HTML},       {"junit", required_argument, NULL, JUNIT},
        {"csv", required_argument, NULL, CSV},       {"help", no_argument, NULL, 'h'},              {0},
    };
    char *end;
    long n;
    int c;

    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        switch (c) {
        case SLOTS:
            n = strtol(optarg, &end, 10);
            if (*end != '\0' || n < 1 || n > STATION_SLOTS_MAX)
                return usage_error("--slots takes 1 to %d, not %s", STATION_SLOTS_MAX, optarg);
            w->slots = (unsigned)n;
            break;
        case SLOT:
            if (w->port_count == STATION_SLOTS_MAX)
                return usage_error("a station has at most %d slots", STATION_SLOTS_MAX);
            w->ports[w->port_count++] = optarg;
            break;
        case COMMIT:
            w->o.commit = true;
            break;
        case KEEP_GOING:
            w->o.keep_going = true;
            break;
        case REPEAT:
            w->o.repeat = true;
            break;
        case OUT:
            w->o.out = optarg;
            break;
        case DATABASE:
            w->o.database = optarg;
            break;
        case PLAIN:
            w->plain = true;
            break;
        case JSON:
            w->o.json = true;
            break;
        case SOCKET:
            w->o.socket = optarg;
            break;
        case HTML:
            w->html = optarg;
            break;
        case JUNIT:
            w->junit = optarg;
            break;
        case CSV:
            w->csv = optarg;
            break;
        case 'h':
            print_help();
            return EXIT_PASSED;
        default:
            return usage_error("see the line above");
        }
    }
    for (; optind < argc; optind++) {
        if (w->rest_count == sizeof(w->rest) / sizeof(w->rest[0]))
            return usage_error("too many words");
        w->rest[w->rest_count++] = argv[optind];
    }
    return -1;
}

/* A plan by its path, or by its name: beside the program's sources while it is built, else where it is installed. */
static const char *find_plan(const char *name, char *out, size_t cap)
{
    static const char *const folders[] = {MN_PLANS_BUILD, MN_PLANS_INSTALLED};

    if (strchr(name, '/') != NULL || access(name, R_OK) == 0)
        return name;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(out, cap, "%s/%s.yaml", folders[i], name);
        if (access(out, R_OK) == 0)
            return out;
    }
    return name;
}

/* ---- reports ---- */

static int write_report(const char *path, const json_t *runs, const json_t *summary, char kind)
{
    FILE *out = fopen(path, "we");
    bool good;

    if (out != NULL && kind == 'h')
        report_html(out, runs, summary);
    else if (out != NULL && kind == 'j')
        report_junit(out, runs);
    else if (out != NULL)
        report_csv(out, runs);
    good = out != NULL && !ferror(out);
    if (out != NULL && fclose(out) != 0)
        good = false;
    if (!good)
        fprintf(stderr, "mn-factory: cannot write %s: %s\n", path, strerror(errno));
    return good ? EXIT_PASSED : EXIT_ERROR;
}

static void print_summary(const json_t *s)
{
    const json_t *f, *r, *list = json_object_get(s, "latest");
    size_t i;

    printf("%.0f runs of %.0f pens; %s%.0f passed%s; yield %.1f %%, first-pass yield %.1f %%\n", json_number_value(json_object_get(s, "runs")),
           json_number_value(json_object_get(s, "pens")), colour(COLOUR_BOLD), json_number_value(json_object_get(s, "passed")), colour(COLOUR_NONE),
           json_number_value(json_object_get(s, "yield")) * 100, json_number_value(json_object_get(s, "first_pass_yield")) * 100);
    json_array_foreach(json_object_get(s, "failures"), i, f)
        printf("  %4.0f did not pass %s\n", json_number_value(json_object_get(f, "count")), json_string_value(json_object_get(f, "step")));
    printf("latest:\n");
    for (i = 0; i < json_array_size(list) && i < 10; i++) {
        const char *v;

        r = json_array_get(list, i);
        v = json_string_value(json_object_get(r, "verdict"));
        printf("  %s  %-11s %-10s %s%-11s%s %6.1f s  %s\n", json_string_value(json_object_get(r, "began")), json_string_value(json_object_get(r, "slot")),
               json_string_value(json_object_get(r, "serial")), colour(strcmp(v, "PASS") == 0 ? COLOUR_GOOD : COLOUR_BAD), v, colour(COLOUR_NONE),
               json_number_value(json_object_get(r, "seconds")), json_string_value(json_object_get(r, "run")));
    }
}

static int flush_output(int r)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return r;
    return errno == EPIPE ? r : say_error("the output cannot be written");
}

static int print_json(const json_t *j)
{
    json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    putchar('\n');
    return flush_output(EXIT_PASSED);
}

static int cmd_report(const struct words *w)
{
    json_t *runs, *summary;
    int r = EXIT_PASSED;

    if (w->rest_count == 0)
        return usage_error("report needs records, or folders of them");
    runs = stats_load(w->rest, w->rest_count);
    if (json_array_size(runs) == 0) {
        json_decref(runs);
        return say_error("there is no record in them");
    }
    summary = stats_summary(runs);
    if (w->html != NULL)
        r |= write_report(w->html, runs, summary, 'h');
    if (w->junit != NULL)
        r |= write_report(w->junit, runs, summary, 'j');
    if (w->csv != NULL)
        r |= write_report(w->csv, runs, summary, 'c');
    if (w->o.json)
        print_json(summary);
    else if (w->html == NULL && w->junit == NULL && w->csv == NULL)
        print_summary(summary);
    json_decref(summary);
    json_decref(runs);
    return flush_output(r);
}

static const char *database_of(const struct words *w)
{
    return w->o.database != NULL ? w->o.database : "mn-factory-runs/station.db";
}

static int cmd_station(const struct words *w)
{
    char why[300];
    struct history *h = access(database_of(w), R_OK) == 0 ? history_open(database_of(w), why, sizeof(why)) : NULL;
    json_t *summary;
    int r;

    if (w->rest_count > 1)
        return usage_error("station takes one serial number");
    if (h == NULL) {
        fprintf(stderr, "mn-factory: there is no history %s: a run makes it, --database names another\n", database_of(w));
        return EXIT_ERROR;
    }
    summary = history_summary(h, w->rest_count == 1 ? w->rest[0] : NULL, why, sizeof(why));
    history_close(h);
    if (summary == NULL)
        return say_error(why);
    if (json_integer_value(json_object_get(summary, "runs")) == 0 && w->rest_count == 1) {
        fprintf(stderr, "mn-factory: this station has never seen pen %s\n", w->rest[0]);
        r = EXIT_ERROR;
    } else if (w->o.json) {
        r = print_json(summary);
    } else {
        print_summary(summary);
        r = flush_output(EXIT_PASSED);
    }
    json_decref(summary);
    return r;
}

/* ---- check, list ---- */

static int cmd_check(const struct words *w)
{
    char why[PLAN_WHY_MAX], path[512];
    struct plan *p;
    size_t limits = 0;

    if (w->rest_count != 1)
        return usage_error("check takes one plan");
    p = plan_load(find_plan(w->rest[0], path, sizeof(path)), why);
    if (p == NULL) {
        fprintf(stderr, "mn-factory: %s\n", why);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < p->step_count; i++)
        limits += p->steps[i].limit_count;
    printf("%s: %zu steps, %zu limits (%s); fixture: %s\nplan   sha256 %s  %s\nlimits sha256 %s  %s\n", p->name, p->step_count, limits, p->limits_name,
           p->simulated ? "simulated" : p->fixture, p->sha256, p->path, p->limits_sha256, p->limits_path);
    plan_free(p);
    return flush_output(EXIT_PASSED);
}

static int print_measurement(void *ctx, const char *name, const char *unit)
{
    (void)ctx;
    printf("    %s%s%s\n", name, unit[0] != '\0' ? ", " : "", unit);
    return 0;
}

static int cmd_list(const struct words *w)
{
    const struct step *s;

    if (w->rest_count == 0) {
        for (size_t i = 0; i < step_count; i++)
            printf("%-11s %s\n", steps[i].name, steps[i].text);
        printf("\nmn-factory list STEP says what it measures. Plans are in %s; a plan may have steps that are programs, too.\n",
               access(MN_PLANS_BUILD, R_OK) == 0 ? MN_PLANS_BUILD : MN_PLANS_INSTALLED);
        return flush_output(EXIT_PASSED);
    }
    for (unsigned i = 0; i < w->rest_count; i++) {
        s = step_by_name(w->rest[i]);
        if (s == NULL)
            return usage_error("there is no step %s", w->rest[i]);
        printf("%s: %s\n  parameters: %s\n  time limit: %u s\n  measures\n", s->name, s->text, s->parameters[0] != '\0' ? s->parameters : "none", s->time_limit_s);
        step_each_measurement(s, print_measurement, NULL);
    }
    return flush_output(EXIT_PASSED);
}

/* ---- run ---- */

static int read_key(struct station *st)
{
    FILE *f;

    if (st->plan->key_file[0] == '\0') { /* of simulated pens only: real ones refuse it */
        st->key_length = (size_t)snprintf((char *)st->key, sizeof(st->key), "mn simulated pens only");
        return 0;
    }
    f = fopen(st->plan->key_file, "re");
    st->key_length = f != NULL ? fread(st->key, 1, sizeof(st->key), f) : 0;
    if (f != NULL)
        fclose(f);
    if (st->key_length > 0)
        return 0;
    fprintf(stderr, "mn-factory: the key file %s is not there, or empty\n", st->plan->key_file);
    return -1;
}

static int by_port(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

static void add_slot(struct station *st, const char *port)
{
    struct slot *s = &st->slots[st->slot_count];

    s->station = st;
    s->index = st->slot_count++;
    snprintf(s->port, sizeof(s->port), "%s", port);
    snprintf(s->address, sizeof(s->address), "@%.31s", port);
    for (char *c = s->address; *c != '\0'; c++)
        *c = *c == ' ' ? '-' : *c;
}

/* The ports that have pens: those that are there, or as many as are wanted. */
static int find_slots(struct station *st, const struct words *w)
{
    struct mn_options o = {.socket = st->options.socket, .name = "mn-factory"};
    uint64_t end_ms = slot_now_ms() + PENS_WAIT_MS;
    struct mn_pens pens = {0};
    char message[300], *ports[512];
    mn_client *c;
    size_t n = 0;
    int r = mn_connect(&c, &o, message, sizeof(message));

    if (r != MN_OK)
        return say_error(message);
    snprintf(st->daemon_version, sizeof(st->daemon_version), "%s", mn_daemon_version(c));
    if (mn_role(c) < MN_ROLE_FACTORY) {
        fprintf(stderr, "mn-factory: your user has the role %s, and this is for factory: mnctl doctor says how it is given\n", mn_role_name(mn_role(c)));
        mn_close(c);
        return EXIT_ERROR;
    }
    for (unsigned i = 0; i < w->port_count; i++)
        add_slot(st, w->ports[i]);
    while (w->port_count == 0 && (r = mn_list(c, &pens, SLOT_CALL_MS)) == MN_OK && pens.count < (w->slots > 0 ? w->slots : 1) && !interrupted && slot_now_ms() < end_ms) {
        mn_pens_free(&pens);
        poll(NULL, 0, 100);
    }
    for (size_t i = 0; r == MN_OK && i < pens.count && n < 512; i++)
        ports[n++] = pens.pen[i].port;
    qsort(ports, n, sizeof(ports[0]), by_port);
    for (size_t i = 0; i < n && st->slot_count < (w->slots > 0 ? w->slots : STATION_SLOTS_MAX); i++)
        add_slot(st, ports[i]);
    mn_pens_free(&pens);
    if (r != MN_OK)
        say_error(mn_message(c));
    mn_close(c);
    if (r == MN_OK && st->slot_count == 0)
        fprintf(stderr, "mn-factory: no pen is plugged in: `mnctl doctor` says why\n");
    if (r == MN_OK && w->slots > st->slot_count)
        fprintf(stderr, "mn-factory: %u pens are plugged in, not %u\n", st->slot_count, w->slots);
    return r != MN_OK || st->slot_count == 0 || w->slots > st->slot_count ? EXIT_ERROR : EXIT_PASSED;
}

static void *slot_thread(void *arg)
{
    struct slot *s = arg;
    struct station *st = s->station;
    bool held = true;

    while (held) {
        held = slot_run(s);
        if (!held) {
            STATION_ROW(st, s->index, snprintf(row->text, sizeof(row->text), "no record can be written: nothing was done"));
            pthread_mutex_lock(&st->lock);
            st->verdicts[VERDICT_ERROR]++;
            pthread_mutex_unlock(&st->lock);
        }
        held = held && st->options.repeat && s->client != NULL && !atomic_load(&st->aborting);
        s->deadline_ms = UINT64_MAX;
        s->expected_gone = true;
        s->in_teardown = false;
        while (held && s->present && slot_wait(s, 50) == DONE) /* until somebody takes it out ... */
            ;
        while (held && !slot_is_ready(s, 0) && slot_wait(s, 50) == DONE) /* ... and puts the next one in */
            ;
        held = held && !atomic_load(&st->aborting);
    }
    fixture_free(s->fixture);
    mn_close(s->client);
    atomic_fetch_sub(&st->running, 1);
    return NULL;
}

static int make_folder(const char *path)
{
    char part[512];

    snprintf(part, sizeof(part), "%s", path);
    for (char *c = part + 1; *c != '\0'; c++) {
        if (*c != '/')
            continue;
        *c = '\0';
        mkdir(part, 0777);
        *c = '/';
    }
    return mkdir(part, 0777) == 0 || errno == EEXIST ? 0 : -1;
}

static int prepare_output(struct station *st, const struct words *w)
{
    static char folder[64];
    char why[300];
    time_t now = time(NULL);
    struct tm tm;

    if (st->options.out == NULL) {
        localtime_r(&now, &tm);
        strftime(folder, sizeof(folder), "mn-factory-runs/%Y-%m-%dT%H-%M-%S", &tm);
        st->options.out = folder;
    }
    if (make_folder(st->options.out) < 0) {
        fprintf(stderr, "mn-factory: cannot make the folder %s: %s\n", st->options.out, strerror(errno));
        return EXIT_ERROR;
    }
    if (strcmp(database_of(w), "none") == 0)
        return EXIT_PASSED;
    if (w->o.database == NULL)
        make_folder("mn-factory-runs");
    st->history = history_open(database_of(w), why, sizeof(why));
    return st->history != NULL ? EXIT_PASSED : say_error(why);
}

static int finish(struct station *st)
{
    char path[600];
    json_t *runs = stats_load(&st->options.out, 1), *summary = stats_summary(runs);
    int r = EXIT_PASSED;

    snprintf(path, sizeof(path), "%s/measurements.csv", st->options.out);
    r |= write_report(path, runs, summary, 'c');
    snprintf(path, sizeof(path), "%s/junit.xml", st->options.out);
    r |= write_report(path, runs, summary, 'j');
    snprintf(path, sizeof(path), "%s/report.html", st->options.out);
    r |= write_report(path, runs, summary, 'h');
    if (st->options.json)
        print_json(summary);
    else
        printf("passed %u, failed %u, errors %u, aborted %u; %s\n", st->verdicts[VERDICT_PASS], st->verdicts[VERDICT_FAIL], st->verdicts[VERDICT_ERROR],
               st->verdicts[VERDICT_ABORTED], path);
    json_decref(summary);
    json_decref(runs);
    if (st->verdicts[VERDICT_ABORTED] > 0)
        return EXIT_ABORTED;
    if (st->verdicts[VERDICT_ERROR] > 0 || r != EXIT_PASSED)
        return EXIT_ERROR;
    return st->verdicts[VERDICT_FAIL] > 0 || st->verdicts[VERDICT_PASS] == 0 ? EXIT_FAILED : EXIT_PASSED;
}

static int work(struct station *st, bool plain)
{
    struct sigaction action = {.sa_handler = on_signal};
    pthread_attr_t attributes;
    int r;

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    view_begin(st, plain);
    for (unsigned i = 0; i < st->slot_count; i++) {
        atomic_fetch_add(&st->running, 1);
        st->started[i] = pthread_create(&st->threads[i], &attributes, slot_thread, &st->slots[i]) == 0;
        if (!st->started[i]) {
            atomic_fetch_sub(&st->running, 1);
            st->verdicts[VERDICT_ERROR]++;
        }
    }
    pthread_attr_destroy(&attributes);
    while (atomic_load(&st->running) > 0) {
        if (interrupted)
            atomic_store(&st->aborting, true);
        view_update(st);
        poll(NULL, 0, VIEW_MS);
    }
    for (unsigned i = 0; i < st->slot_count; i++) {
        if (st->started[i])
            pthread_join(st->threads[i], NULL);
    }
    view_end(st);
    r = finish(st);
    return flush_output(r);
}

static int cmd_run(const struct words *w)
{
    static struct station st;
    char why[PLAN_WHY_MAX], path[512];
    int r;

    if (w->rest_count > 1)
        return usage_error("run takes one plan");
    st.options = w->o;
    st.plan = plan_load(find_plan(w->rest_count == 1 ? w->rest[0] : "mn-1", path, sizeof(path)), why);
    if (st.plan == NULL) {
        fprintf(stderr, "mn-factory: %s\n", why);
        return EXIT_USAGE;
    }
    if (gethostname(st.name, sizeof(st.name) - 1) < 0)
        strcpy(st.name, "?");
    pthread_mutex_init(&st.lock, NULL);
    st.busy = calloc(st.plan->step_count, sizeof(*st.busy));
    json_object_seed(0); /* before there are threads */
    r = st.busy == NULL ? say_error("out of memory") : read_key(&st) < 0 ? EXIT_ERROR : find_slots(&st, w);
    if (r == EXIT_PASSED)
        r = prepare_output(&st, w);
    if (r == EXIT_PASSED)
        r = work(&st, w->plain || w->o.json);
    history_close(st.history);
    free(st.busy);
    plan_free(st.plan);
    return r;
}

static int print_completion(void)
{
    puts("_mn_factory()\n"
         "{\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]}\n"
         "  if [ $COMP_CWORD = 1 ]; then COMPREPLY=($(compgen -W 'run check list report station completion version help' -- \"$cur\")); return; fi\n"
         "  case ${COMP_WORDS[1]} in\n"
         "    run) COMPREPLY=($(compgen -f -W '--slots --slot --commit --keep-going --repeat --out --database --plain --json --socket mn-1' -- \"$cur\"));;\n"
         "    check) COMPREPLY=($(compgen -f -W 'mn-1' -- \"$cur\"));;\n"
         "    list) COMPREPLY=($(compgen -W \"$(mn-factory list | sed -n 's/^\\([a-z]*\\) .*/\\1/p' | head -n -1)\" -- \"$cur\"));;\n"
         "    report) COMPREPLY=($(compgen -f -W '--html --junit --csv --json' -- \"$cur\"));;\n"
         "    station) COMPREPLY=($(compgen -W '--database --json' -- \"$cur\"));;\n"
         "  esac\n"
         "}\n"
         "complete -F _mn_factory mn-factory");
    return flush_output(EXIT_PASSED);
}

int main(int argc, char **argv)
{
    struct words w = {0};
    const char *command = argc > 1 ? argv[1] : "", *near;
    int r;

    signal(SIGPIPE, SIG_IGN);
    if (argc < 2 || strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0) {
        print_help();
        return argc < 2 ? EXIT_USAGE : flush_output(EXIT_PASSED);
    }
    r = parse(&w, argc - 1, argv + 1);
    if (r >= 0)
        return r;
    if (strcmp(command, "run") == 0)
        return cmd_run(&w);
    if (strcmp(command, "check") == 0)
        return cmd_check(&w);
    if (strcmp(command, "list") == 0)
        return cmd_list(&w);
    if (strcmp(command, "report") == 0)
        return cmd_report(&w);
    if (strcmp(command, "station") == 0)
        return cmd_station(&w);
    if (strcmp(command, "completion") == 0)
        return print_completion();
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        printf("mn-factory %s\n", mn_version());
        return flush_output(EXIT_PASSED);
    }
    near = nearest(command, commands, sizeof(commands) / sizeof(commands[0]));
    return near != NULL ? usage_error("there is no command %s; did you mean %s?", command, near) : usage_error("there is no command %s", command);
}
