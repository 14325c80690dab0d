/* records: the journal as a list, live, as a file, checked and copied. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mnctl.h"

enum { LIST_DEFAULT = 40, VERIFY_TIMEOUT_MS = 600000 };

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_CSV };

struct records {
    struct app *app;
    struct mn_filter filter;
    char serial[MN_SERIAL_MAX + 1], priorities[4];
    enum format format;
    bool follow, export;
    const char *path; /* of the export; NULL: stdout */
    FILE *out;
    long last;        /* only so many; 0: all */
    struct mn_cursor place;
    bool has_place;
    uint64_t count;
};

/* ---- one record ---- */

void format_time(uint64_t us, char *out, size_t cap)
{
    time_t s = (time_t)(us / 1000000);
    struct tm tm;
    size_t n = localtime_r(&s, &tm) != NULL ? strftime(out, cap, "%Y-%m-%d %H:%M:%S", &tm) : 0;

    snprintf(out + n, cap - n, ".%03u", (unsigned)(us % 1000000 / 1000));
}

static void format_bound(const struct mn_record *r, char *out, size_t cap)
{
    if (r->kind >= MN_RECORD_BEGUN)
        out[0] = '\0';
    else if (r->host_bound_us == MN_BOUND_UNKNOWN)
        snprintf(out, cap, "at latest");
    else if (r->host_bound_us < 10000)
        snprintf(out, cap, "+-%.1f ms", r->host_bound_us / 1000.0);
    else
        snprintf(out, cap, "+-%" PRIu32 " ms", r->host_bound_us / 1000);
}

void format_record(const struct mn_record *r, char *out, size_t cap)
{
    static const char *const ends[] = {"?", "trigger released", "STOP", "fault", "link lost"}, *const causes[] = {"?", "power on", "watchdog", "software"};
    const struct mn_fault *f;
    size_t used = 0;

    out[0] = '\0';
    switch (r->kind) {
    case MN_RECORD_BOOT:
        snprintf(out, cap, "boot %" PRIu32 ", %s", r->boot.boot_count, causes[r->boot.reset_cause < 4 ? r->boot.reset_cause : 0]);
        break;
    case MN_RECORD_FAULT:
        f = mn_fault_by_code(r->fault.code);
        snprintf(out, cap, "%s %" PRIu32 " %s (%c) in %s: %s", r->fault.raised ? "raised" : "cleared", r->fault.code, f != NULL ? f->name : "UNKNOWN",
                 f != NULL ? f->priority : '?', mn_state_name(r->fault.state), f != NULL ? f->text : "a later libmn knows it");
        break;
    case MN_RECORD_CONFIG:
        used = (size_t)snprintf(out, cap, "generation %" PRIu32 ":", r->config.generation);
        for (size_t i = 0; i < mn_setting_count() && used < cap; i++)
            used += (size_t)snprintf(out + used, cap - used, " %s=%" PRIu32, mn_setting_at(i)->name, mn_config_value(&r->config, i));
        break;
    case MN_RECORD_RUN:
        snprintf(out, cap, "%.1f s, %" PRIu32 " strokes, to %" PRIu32 " um, %s, ended by %s", r->run.duration_ms / 1000.0, r->run.strokes, r->run.depth_peak_um,
                 zone_name(r->run.zone), ends[r->run.end < 5 ? r->run.end : 0]);
        break;
    case MN_RECORD_BEGUN:
        snprintf(out, cap, "%s", r->note.text[0] != '\0' ? r->note.text : "the journal begins");
        break;
    case MN_RECORD_LOST:
    case MN_RECORD_RENEWED:
    case MN_RECORD_DROPPED:
    case MN_RECORD_CONTROL:
    case MN_RECORD_SESSION_BEGUN:
    case MN_RECORD_SESSION_ENDED:
    case MN_RECORD_ADVERSE:
        snprintf(out, cap, "%s", r->note.text);
        break;
    case MN_RECORD_UNKNOWN:
        snprintf(out, cap, "of a kind that this mnctl does not know");
        break;
    }
}

static void add_details(json_t *j, const struct mn_record *r)
{
    const struct mn_fault *f;

    switch (r->kind) {
    case MN_RECORD_BOOT:
        json_object_set_new(j, "reset_cause", json_integer(r->boot.reset_cause));
        json_object_set_new(j, "boot_count", json_integer(r->boot.boot_count));
        break;
    case MN_RECORD_FAULT:
        f = mn_fault_by_code(r->fault.code);
        json_object_set_new(j, "code", json_integer(r->fault.code));
        json_object_set_new(j, "name", json_string(f != NULL ? f->name : "UNKNOWN"));
        json_object_set_new(j, "raised", json_boolean(r->fault.raised));
        json_object_set_new(j, "state", json_string(mn_state_name(r->fault.state)));
        json_object_set_new(j, "fault_word", json_integer(r->fault.fault_word));
        break;
    case MN_RECORD_CONFIG:
        json_object_set_new(j, "generation", json_integer(r->config.generation));
        json_object_set_new(j, "config", json_config(&r->config));
        break;
    case MN_RECORD_RUN:
        json_object_set_new(j, "duration_ms", json_integer(r->run.duration_ms));
        json_object_set_new(j, "strokes", json_integer(r->run.strokes));
        json_object_set_new(j, "depth_peak_um", json_integer(r->run.depth_peak_um));
        json_object_set_new(j, "zone", json_string(zone_name(r->run.zone)));
        json_object_set_new(j, "end", json_integer(r->run.end));
        json_object_set_new(j, "fault_code", json_integer(r->run.fault_code));
        json_object_set_new(j, "cartridge_uid", json_sprintf("%016" PRIx64, r->run.cartridge_uid));
        break;
    case MN_RECORD_UNKNOWN:
        break;
    case MN_RECORD_BEGUN:
    case MN_RECORD_LOST:
    case MN_RECORD_RENEWED:
    case MN_RECORD_DROPPED:
    case MN_RECORD_CONTROL:
    case MN_RECORD_SESSION_BEGUN:
    case MN_RECORD_SESSION_ENDED:
    case MN_RECORD_ADVERSE:
        json_object_set_new(j, "first", json_integer((json_int_t)r->note.first));
        json_object_set_new(j, "through", json_integer((json_int_t)r->note.through));
        json_object_set_new(j, "text", json_string(r->note.text));
        break;
    }
}

static void format_cursor(const struct mn_cursor *c, char *out, size_t cap)
{
    snprintf(out, cap, "%016" PRIx64 ":%" PRIu64, c->journal, c->position);
}

json_t *json_record(const struct mn_record *r)
{
    char cursor[48], when[40];
    json_t *j;

    format_cursor(&r->cursor, cursor, sizeof(cursor));
    format_time(r->host_us, when, sizeof(when));
    j = json_pack("{s:I, s:s, s:s, s:I, s:s, s:I, s:I, s:s}", "id", (json_int_t)r->cursor.position, "cursor", cursor, "time", when, "host_us",
                  (json_int_t)r->host_us, "serial", r->serial, "volume", (json_int_t)r->volume, "number", (json_int_t)r->number, "kind",
                  mn_record_kind_name(r->kind));
    if (r->host_bound_us != MN_BOUND_UNKNOWN)
        json_object_set_new(j, "host_bound_us", json_integer(r->host_bound_us));
    if (r->kind < MN_RECORD_BEGUN) {
        json_object_set_new(j, "boot_id", json_integer(r->boot_id));
        json_object_set_new(j, "t_us", json_integer((json_int_t)r->t_us));
    }
    add_details(j, r);
    return j;
}

/* ---- many ---- */

static enum colour colour_of(const struct mn_record *r)
{
    if (r->kind == MN_RECORD_FAULT)
        return r->fault.raised ? COLOUR_BAD : COLOUR_GOOD;
    return r->kind == MN_RECORD_LOST || r->kind == MN_RECORD_RENEWED || r->kind == MN_RECORD_DROPPED || r->kind == MN_RECORD_CONTROL ? COLOUR_WARN : COLOUR_NONE;
}

static void print_csv_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputs("\"\n", out);
}

static void print_record(const struct records *x, const struct mn_record *r)
{
    char text[512], when[40], bound[24];
    json_t *j;

    format_record(r, text, sizeof(text));
    format_time(r->host_us, when, sizeof(when));
    switch (x->format) {
    case FORMAT_JSON:
        j = json_record(r);
        json_dumpf(j, x->out, JSON_COMPACT);
        json_decref(j);
        fputc('\n', x->out);
        break;
    case FORMAT_CSV:
        fprintf(x->out, "%" PRIu64 ",%s,%" PRIu64 ",", r->cursor.position, when, r->host_us);
        if (r->host_bound_us != MN_BOUND_UNKNOWN)
            fprintf(x->out, "%" PRIu32, r->host_bound_us);
        fprintf(x->out, ",%s,%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRIu64 ",%s,%" PRIu32 ",", r->serial, r->volume, r->number, r->boot_id, r->t_us,
                mn_record_kind_name(r->kind), r->kind == MN_RECORD_FAULT ? r->fault.code : 0);
        print_csv_text(x->out, text);
        break;
    case FORMAT_TABLE:
        format_bound(r, bound, sizeof(bound));
        fprintf(x->out, "%6" PRIu64 "  %s %-10s %-10s %4" PRIu32 "  %-14s%s%s%s\n", r->cursor.position, when, bound, r->serial, r->number,
                mn_record_kind_name(r->kind), colour(colour_of(r)), text, colour(COLOUR_NONE));
        break;
    }
}

static void print_head(const struct records *x)
{
    if (x->format == FORMAT_CSV)
        fprintf(x->out, "id,time,host_us,host_bound_us,serial,volume,number,boot_id,t_us,kind,code,text\n");
    if (x->format == FORMAT_TABLE)
        fprintf(x->out, "%s%6s  %-23s %-10s %-10s %4s  %-14s%s%s\n", colour(COLOUR_DIM), "id", "time", "", "pen", "no.", "kind", "what",
                colour(COLOUR_NONE));
}

/* All that is there, page by page; of a list only the last ones are kept. */
static int read_all(struct records *x)
{
    struct mn_record *ring = x->last > 0 ? calloc((size_t)x->last, sizeof(*ring)) : NULL;
    struct mn_records page = {0};
    uint64_t shown = 0;
    int r = x->last > 0 && ring == NULL ? MN_ERR_MEMORY : MN_OK;

    while (r == MN_OK && !page.end && !ferror(x->out) && !is_interrupted()) {
        mn_records_free(&page);
        r = mn_records_read(x->app->client, x->has_place ? &x->place : NULL, &x->filter, &page, x->app->timeout_ms);
        for (size_t i = 0; r == MN_OK && i < page.count; i++) {
            if (ring != NULL)
                ring[x->count % (uint64_t)x->last] = page.record[i];
            else
                print_record(x, &page.record[i]);
            x->count++;
        }
        if (r == MN_OK) {
            x->place = page.next;
            x->has_place = true;
        }
        if (x->path != NULL && isatty(STDERR_FILENO))
            fprintf(stderr, "\rmnctl: %" PRIu64 " records", x->count);
    }
    mn_records_free(&page);
    if (x->path != NULL && isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    shown = ring != NULL && x->count > (uint64_t)x->last ? (uint64_t)x->last : x->count;
    for (uint64_t i = x->count - shown; ring != NULL && i < x->count; i++)
        print_record(x, &ring[i % (uint64_t)x->last]);
    if (r == MN_OK && x->format == FORMAT_TABLE && shown < x->count)
        fprintf(stderr, "mnctl: the last %" PRIu64 " of %" PRIu64 "; --last N or --since shows more\n", shown, x->count);
    free(ring);
    return r == MN_OK ? EXIT_OK : app_failed(x->app, r);
}

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    const struct records *x = user;

    (void)c;
    if (e->kind == MN_EVENT_DISCONNECTED)
        fprintf(stderr, "mnctl: %s; waiting for it\n", e->text);
    if (e->kind == MN_EVENT_RECONNECTED)
        fprintf(stderr, "mnctl: mnd is back after %.1f s; no record is missed\n", (double)e->outage_ms / 1000);
    if (e->kind != MN_EVENT_RECORD)
        return;
    print_record(x, e->record);
    fflush(x->out);
}

/* What is in a file, and safely, may be dropped by the daemon one day. */
static int end_export(struct records *x)
{
    if (fflush(x->out) != 0 || ferror(x->out) || fsync(fileno(x->out)) < 0 || fclose(x->out) != 0) {
        fprintf(stderr, "mnctl: cannot write %s: %s\n", x->path, strerror(errno));
        return EXIT_ERROR;
    }
    fprintf(stderr, "mnctl: %" PRIu64 " records are in %s\n", x->count, x->path);
    if (x->filter.serial == NULL && x->filter.kinds == 0 && x->filter.priorities == NULL && x->filter.since_us == 0 && x->filter.until_us == 0 && x->has_place) {
        int r = mn_records_exported(x->app->client, &x->place, x->app->timeout_ms);

        return r == MN_OK ? EXIT_OK : app_failed(x->app, r);
    }
    return EXIT_OK;
}

static int show(struct records *x)
{
    int r;

    x->app->on_event = on_event;
    x->app->event_user = x;
    r = app_connect(x->app, x->follow);
    if (r != EXIT_OK)
        return r;
    x->out = stdout;
    if (x->path != NULL && (x->out = fopen(x->path, "we")) == NULL) {
        fprintf(stderr, "mnctl: cannot write %s: %s\n", x->path, strerror(errno));
        return EXIT_ERROR;
    }
    print_head(x);
    if (!x->follow) {
        r = read_all(x);
        return r != EXIT_OK ? r : x->path != NULL ? end_export(x) : flush_output();
    }
    if (x->filter.since_us != 0 && !x->has_place) {
        x->has_place = true; /* from the first that is wanted, then live */
        x->place = (struct mn_cursor){0};
    }
    r = mn_records_follow(x->app->client, x->has_place ? &x->place : NULL, &x->filter, x->app->timeout_ms);
    return r == MN_OK ? app_follow(x->app, x->out, 0) : app_failed(x->app, r);
}

static int verify(struct app *a)
{
    struct mn_verified v;
    int r = app_connect(a, false);

    if (r != EXIT_OK)
        return r;
    r = mn_journal_verify(a->client, &v, VERIFY_TIMEOUT_MS);
    if (r != MN_OK)
        return app_failed(a, r);
    if (a->json)
        print_json(json_pack("{s:b, s:I, s:s}", "good", v.good, "rows", (json_int_t)v.rows, "text", v.text), false);
    else
        printf("%s%s%s\n", colour(v.good ? COLOUR_GOOD : COLOUR_BAD), v.text, colour(COLOUR_NONE));
    return v.good ? flush_output() : EXIT_ERROR;
}

static void on_backup(mn_client *c, const struct mn_result *r, void *user)
{
    int *result = user;

    (void)c;
    if (r->in_progress && isatty(STDERR_FILENO))
        fprintf(stderr, "\rmnctl: %3" PRIu32 " %%", r->progress_permille / 10);
    if (r->in_progress)
        return;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    *result = r->error;
    if (r->error != MN_OK)
        fprintf(stderr, "mnctl: %s\n", r->message);
}

static int backup(struct app *a, const char *path)
{
    int r = app_connect(a, false), result = -1, fd;

    if (r != EXIT_OK)
        return r;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        fprintf(stderr, "mnctl: cannot write %s: %s\n", path, strerror(errno));
        return EXIT_ERROR;
    }
    catch_interrupt();
    r = mn_journal_backup_async(a->client, fd, VERIFY_TIMEOUT_MS, on_backup, &result);
    if (r != MN_OK)
        app_failed(a, r);
    while (r == MN_OK && result == -1 && !is_interrupted())
        r = app_wait(a);
    if (result != MN_OK || fsync(fd) < 0) {
        if (result == MN_OK)
            fprintf(stderr, "mnctl: cannot write %s: %s\n", path, strerror(errno));
        unlink(path); /* half a copy is none */
        close(fd);
        return EXIT_ERROR;
    }
    close(fd);
    printf("%s is a copy of the journal; `mnd --verify-journal %s` checks it\n", path, path);
    return flush_output();
}

/* ---- words ---- */

/* "10m", "2h", "3d", "today", "2026-11-21", "2026-11-21 08:30": Unix time in us. */
static bool parse_time(const char *word, uint64_t *us)
{
    static const char *const formats[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"};
    time_t now = time(NULL), then = -1;
    struct tm tm = {.tm_isdst = -1};
    char *end;
    double n = strtod(word, &end);

    if (end != word && n >= 0 && n < 1e7 && strlen(end) == 1 && strchr("smhd", *end) != NULL) {
        static const double factors[] = {1, 60, 3600, 86400};

        *us = (uint64_t)(((double)now - n * factors[strchr("smhd", *end) - "smhd"]) * 1e6);
        return true;
    }
    if (strcmp(word, "today") == 0 && localtime_r(&now, &tm) != NULL) {
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        then = mktime(&tm);
    }
    for (size_t i = 0; then == -1 && i < sizeof(formats) / sizeof(formats[0]); i++) {
        const char *rest;

        tm = (struct tm){.tm_isdst = -1};
        rest = strptime(word, formats[i], &tm);
        if (rest != NULL && *rest == '\0')
            then = mktime(&tm);
    }
    *us = (uint64_t)then * 1000000;
    return then > 0;
}

static int parse_kinds(const char *word, uint32_t *kinds)
{
    static const char *const names[] = {"boot", "fault", "config", "run"};
    char copy[64];

    snprintf(copy, sizeof(copy), "%s", word);
    for (char *save = NULL, *name = strtok_r(copy, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save)) {
        size_t i = 0;

        while (i < 4 && strcasecmp(names[i], name) != 0)
            i++;
        if (i == 4)
            return usage_error("there is no kind %s: boot, fault, config, run", name);
        *kinds |= 1u << (i + 1);
    }
    return EXIT_OK;
}

static int parse_place(struct records *x, const char *word)
{
    char *end;

    x->place.journal = strtoull(word, &end, 16);
    if (*end == ':')
        x->place.position = strtoull(end + 1, &end, 10);
    x->has_place = true;
    return *end == '\0' && strchr(word, ':') != NULL ? EXIT_OK : usage_error("--after takes a record's cursor, as --json shows it, not %s", word);
}

static int parse_value(struct records *x, const char *option, const char *value)
{
    char *end;

    if (strcmp(option, "--since") == 0 || strcmp(option, "--until") == 0)
        return parse_time(value, option[2] == 's' ? &x->filter.since_us : &x->filter.until_us)
                   ? EXIT_OK
                   : usage_error("%s takes 10m, 2h, 3d, today, 2026-11-21 or \"2026-11-21 08:30\", not %s", option, value);
    if (strcmp(option, "--kind") == 0)
        return parse_kinds(value, &x->filter.kinds);
    if (strcmp(option, "--after") == 0)
        return parse_place(x, value);
    if (strcmp(option, "--priority") == 0) {
        if (value[strspn(value, "HML")] != '\0' || strlen(value) > 3 || value[0] == '\0')
            return usage_error("--priority takes some of H, M and L, not %s", value);
        snprintf(x->priorities, sizeof(x->priorities), "%s", value);
        x->filter.priorities = x->priorities;
        return EXIT_OK;
    }
    if (strcmp(option, "--last") == 0) {
        x->last = strtol(value, &end, 10);
        return *end == '\0' && x->last > 0 && x->last <= 1000000 ? EXIT_OK : usage_error("--last takes 1 to 1000000, not %s", value);
    }
    if (strcmp(option, "--export") == 0) {
        x->export = true;
        x->format = strcmp(value, "csv") == 0 ? FORMAT_CSV : FORMAT_JSON;
        return x->format == FORMAT_CSV || strcmp(value, "jsonl") == 0 ? EXIT_OK : usage_error("--export takes jsonl or csv, not %s", value);
    }
    x->path = value;
    return EXIT_OK;
}

int cmd_records(struct app *a, int argc, char **argv)
{
    static const char *const names[] = {"--since", "--until", "--kind", "--priority", "--last", "--after", "--export", "--output", "--follow", "verify", "backup"};
    static struct records x; /* the client may call back until it is closed, behind us */

    if (argc == 2 && strcmp(argv[1], "verify") == 0)
        return verify(a);
    if (argc >= 2 && strcmp(argv[1], "backup") == 0)
        return argc == 3 ? backup(a, argv[2]) : usage_error("records backup takes the name of a new file");
    x.app = a;
    x.last = -1;
    x.format = a->json ? FORMAT_JSON : FORMAT_TABLE;
    for (int i = 1; i < argc; i++) {
        size_t known = 0;

        while (known < 8 && strcmp(argv[i], names[known]) != 0)
            known++;
        if (strcmp(argv[i], "--follow") == 0) {
            x.follow = true;
        } else if (known < 8 && i + 1 < argc) {
            int r = parse_value(&x, argv[i], argv[i + 1]);

            if (r != EXIT_OK)
                return r;
            i++;
        } else if (known < 8) {
            return usage_error("%s needs a value", argv[i]);
        } else {
            const char *near = nearest(argv[i], names, sizeof(names) / sizeof(names[0]));

            return near != NULL ? usage_error("there is no records %s; did you mean %s?", argv[i], near)
                                : usage_error("records does not take %s; `mnctl help records` shows what it takes", argv[i]);
        }
    }
    if (x.path != NULL && (!x.export || x.follow))
        return usage_error("--output goes with --export");
    if (x.last < 0)
        x.last = x.format == FORMAT_TABLE && !x.follow && x.filter.since_us == 0 && !x.has_place ? LIST_DEFAULT : 0;
    if (a->pen != NULL) {
        snprintf(x.serial, sizeof(x.serial), "%s", a->pen); /* it may be unplugged: its whole serial number */
        x.filter.serial = x.serial;
    }
    return show(&x);
}
