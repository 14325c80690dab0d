/* run: finds the slots, starts a thread for each, shows their progress and writes the reports. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "factory.h"
#include "file.h"
#include "history.h"
#include "slot.h"
#include "stats.h"
#include "terminal.h"
#include "verdict.h"
#include "view.h"

enum { PENS_WAIT_MS = 10000, VIEW_MS = 200, STACK_BYTES = 512 * 1024 };

static volatile sig_atomic_t interrupted;
static struct station station;
static struct slot slots[STATION_SLOTS_MAX];

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
    atomic_store(&station.aborting, true); /* set here, because the main thread may be blocked by its terminal */
}

static int read_key(struct station *st)
{
    char why[400], *key;

    if (st->plan->key_file[0] == '\0') { /* the key of simulated pens; real pens reject it */
        st->key_length = (size_t)snprintf((char *)st->key, sizeof(st->key), "mn simulated pens only");
        return 0;
    }
    key = file_read(st->plan->key_file, sizeof(st->key), &st->key_length, why, sizeof(why));
    if (key == NULL) {
        fprintf(stderr, "mn-factory: the key file %s\n", why);
        return -1;
    }
    memcpy(st->key, key, st->key_length);
    free(key);
    if (st->key_length == 0)
        fprintf(stderr, "mn-factory: the key file %s is empty\n", st->plan->key_file);
    return st->key_length > 0 ? 0 : -1;
}

static int by_port(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

static void add_slot(struct station *st, const char *port)
{
    struct slot *s = &slots[st->slot_count];

    s->station = st;
    s->index = st->slot_count++;
    snprintf(s->port, sizeof(s->port), "%s", port);
    snprintf(st->ports[s->index], sizeof(st->ports[0]), "%s", port);
    snprintf(s->address, sizeof(s->address), "@%.31s", port);
    for (char *c = s->address; *c != '\0'; c++)
        *c = *c == ' ' ? '-' : *c;
}

/* Finds the ports with pens. With --slots, waits until there are that many. */
static int find_slots(struct station *st, const struct words *w)
{
    struct mn_options o = {.socket = st->options.socket, .name = "mn-factory"};
    uint64_t end_ms = station_now_ms() + PENS_WAIT_MS;
    struct mn_pens pens = {0};
    char message[300], *ports[512];
    mn_client *c;
    size_t n = 0;
    int r = mn_connect(&c, &o, message, sizeof(message));

    if (r != MN_OK)
        return print_error(message);
    snprintf(st->daemon_version, sizeof(st->daemon_version), "%s", mn_daemon_version(c));
    if (mn_role(c) < MN_ROLE_FACTORY) {
        fprintf(stderr, "mn-factory: your user has the role %s, and this is for factory: mnctl doctor says how it is given\n", mn_role_name(mn_role(c)));
        mn_close(c);
        return EXIT_ERROR;
    }
    for (unsigned i = 0; i < w->port_count; i++)
        add_slot(st, w->ports[i]);
    while (w->port_count == 0 && (r = mn_list(c, &pens, SLOT_CALL_MS)) == MN_OK && pens.count < (w->slots > 0 ? w->slots : 1) && !interrupted && station_now_ms() < end_ms) {
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
        print_error(mn_message(c));
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
        while (held && s->present && slot_wait(s, 50) == DONE) /* until the pen is taken out ... */
            ;
        while (held && !slot_is_ready(s, 0) && slot_wait(s, 50) == DONE) /* ... and the next one is put in */
            ;
        held = held && !atomic_load(&st->aborting);
    }
    fixture_free(s->fixture);
    mn_close(s->client);
    atomic_fetch_sub(&st->running, 1);
    return NULL;
}

/* Whether path is a folder that can be written to, checked before an hour of work is stored there. If not, errno says why. */
static bool is_folder(const char *path)
{
    struct stat s;

    if (stat(path, &s) < 0)
        return false;
    if (S_ISDIR(s.st_mode))
        return access(path, W_OK | X_OK) == 0;
    errno = ENOTDIR;
    return false;
}

static int cannot_write(const char *folder)
{
    fprintf(stderr, "mn-factory: cannot write into the folder %s: %s\n", folder, strerror(errno));
    return EXIT_ERROR;
}

/* Makes the folder and its parents. */
static int make_folder(const char *path)
{
    char part[512];

    snprintf(part, sizeof(part), "%s", path);
    for (char *c = part + 1; *c != '\0'; c++) {
        if (*c != '/')
            continue;
        *c = '\0';
        if (mkdir(part, 0777) < 0 && errno != EEXIST)
            return -1;
        *c = '/';
    }
    return mkdir(part, 0777) < 0 && errno != EEXIST ? -1 : is_folder(part) ? 0 : -1;
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
    if (make_folder(st->options.out) < 0)
        return cannot_write(st->options.out);
    if (strcmp(database_of(w), "none") == 0)
        return EXIT_PASSED;
    if (w->o.database == NULL)
        make_folder("mn-factory-runs");
    st->history = history_open(database_of(w), why, sizeof(why));
    return st->history != NULL ? EXIT_PASSED : print_error(why);
}

/* The exit code of the worst verdict; see docs/factory.md. */
static int exit_code(const struct station *st)
{
    if (st->verdicts[VERDICT_ABORTED] > 0)
        return EXIT_ABORTED;
    if (st->verdicts[VERDICT_ERROR] > 0)
        return EXIT_ERROR;
    if (st->verdicts[VERDICT_FAIL] > 0)
        return EXIT_FAILED;
    if (st->verdicts[VERDICT_DRY_RUN] > 0)
        return EXIT_DRY_RUN;
    return st->verdicts[VERDICT_PASS] > 0 ? EXIT_PASSED : EXIT_FAILED; /* no run at all (all pens had left the factory) is not a success */
}

/* The number of runs that wrote something irreversible. */
static unsigned count_written(const json_t *runs)
{
    const json_t *run, *step;
    unsigned n = 0;
    size_t i, k;

    json_array_foreach(runs, i, run) {
        json_array_foreach(json_object_get(run, "steps"), k, step) {
            if (strcmp(json_string_value(json_object_get(step, "name")), "identity") == 0 && json_array_size(json_object_get(step, "attempts")) > 0) {
                n++;
                break;
            }
        }
    }
    return n;
}

/* Prints the summary: which pens did not pass, why, and the totals. */
static void print_end(const struct station *st, const json_t *runs, const char *page)
{
    const json_t *run;
    unsigned written = count_written(runs);
    char dry[40] = "";
    bool any = false;
    size_t i;

    json_array_foreach(runs, i, run) {
        const char *serial = json_string_value(json_object_get(run, "serial")), *verdict = json_string_value(json_object_get(run, "verdict"));
        char reason[400];

        if (strcmp(verdict, "PASS") == 0 || strcmp(verdict, "DRY_RUN") == 0)
            continue;
        verdict_reason(run, reason, sizeof(reason));
        printf("%s%s%-8s%s %-10s %-14s %s\n", any ? "" : "\nDid not pass:\n", colour(strcmp(verdict, "ABORTED") == 0 ? COLOUR_WARN : COLOUR_BAD), verdict, colour(COLOUR_NONE),
               json_string_value(json_object_get(run, "slot")), serial[0] != '\0' ? serial : "-", reason);
        any = true;
    }
    if (st->verdicts[VERDICT_ABORTED] > 0)
        printf("Aborted. The needles stand still, and the pens are SAFE; %u were written for good. The same command begins again, from the first step.\n", written);
    if (st->verdicts[VERDICT_DRY_RUN] > 0)
        printf("%sDRY RUN%s: nothing was written for good, and no pen has passed; --commit writes\n", colour(COLOUR_WARN), colour(COLOUR_NONE));
    if (st->found_done > 0)
        printf("%u had left the factory already: take them out\n", st->found_done);
    if (st->verdicts[VERDICT_DRY_RUN] > 0)
        snprintf(dry, sizeof(dry), ", dry runs %u", st->verdicts[VERDICT_DRY_RUN]);
    printf("passed %u, failed %u, errors %u, aborted %u%s; %s\n", st->verdicts[VERDICT_PASS], st->verdicts[VERDICT_FAIL], st->verdicts[VERDICT_ERROR], st->verdicts[VERDICT_ABORTED],
           dry, page);
}

static int finish(struct station *st)
{
    char path[600];
    json_t *runs = stats_load(&st->options.out, 1), *summary = stats_summary(runs);
    int r = EXIT_PASSED;

    snprintf(path, sizeof(path), "%s/measurements.csv", st->options.out);
    r |= write_report(path, runs, summary, 'c', true);
    snprintf(path, sizeof(path), "%s/junit.xml", st->options.out);
    r |= write_report(path, runs, summary, 'j', true);
    snprintf(path, sizeof(path), "%s/report.html", st->options.out);
    r |= write_report(path, runs, summary, 'h', true);
    if (st->options.json)
        print_json(summary);
    else
        print_end(st, runs, path);
    json_decref(summary);
    json_decref(runs);
    return r != EXIT_PASSED && st->verdicts[VERDICT_ABORTED] == 0 ? EXIT_ERROR : exit_code(st);
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
        slots[i].started = pthread_create(&slots[i].thread, &attributes, slot_thread, &slots[i]) == 0;
        if (!slots[i].started) {
            atomic_fetch_sub(&st->running, 1);
            st->verdicts[VERDICT_ERROR]++;
        }
    }
    pthread_attr_destroy(&attributes);
    while (atomic_load(&st->running) > 0) {
        view_update(st);
        poll(NULL, 0, VIEW_MS);
    }
    for (unsigned i = 0; i < st->slot_count; i++) {
        if (slots[i].started)
            pthread_join(slots[i].thread, NULL);
    }
    view_end(st);
    r = finish(st);
    return flush_output(r);
}

int cmd_run(const struct words *w)
{
    struct station *st = &station;
    int r;

    if (w->rest_count > 1)
        return usage_error("run takes one plan");
    st->options = w->o;
    if (w->o.out != NULL && !is_folder(w->o.out) && errno != ENOENT)
        return cannot_write(w->o.out);
    st->plan = load_plan(w->rest_count == 1 ? w->rest[0] : "mn-1");
    if (st->plan == NULL)
        return EXIT_USAGE;
    if (gethostname(st->name, sizeof(st->name) - 1) < 0)
        strcpy(st->name, "?");
    pthread_mutex_init(&st->lock, NULL);
    st->busy = calloc(st->plan->step_count, sizeof(*st->busy));
    json_object_seed(0); /* before threads are started, as jansson requires */
    r = st->busy == NULL ? print_error("out of memory") : read_key(st) < 0 ? EXIT_ERROR : find_slots(st, w);
    if (r == EXIT_PASSED)
        r = prepare_output(st, w);
    if (r == EXIT_PASSED)
        r = work(st, w->plain || w->o.json);
    history_close(st->history);
    free(st->busy);
    plan_free(st->plan);
    return r;
}
