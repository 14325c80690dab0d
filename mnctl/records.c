/* records: the journal as a list, live, as a file, checked and copied. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "escape.h"
#include "mnctl.h"

enum { LIST_DEFAULT = 40, VERIFY_TIMEOUT_MS = 600000, SEEN_MAX = 64 };

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_CSV };

struct records {
    struct app *app;
    struct mn_filter filter;
    uint32_t kinds;   /* kinds of pens' records to show; 0: all */
    bool sessions;    /* sessions only: the daemon cannot filter those, so all rows are read and filtered here */
    char serial[MN_SERIAL_MAX + 1], priorities[4];
    enum format format;
    bool follow, export, force, overrides;
    const char *path; /* file to export to; NULL: stdout */
    FILE *out;
    long last;        /* number of newest rows to show; 0: all */
    struct mn_cursor place;
    bool has_place;
    uint64_t count;
    struct seen_config {
        char serial[MN_SERIAL_MAX + 1];
        struct mn_config config;
    } seen[SEEN_MAX]; /* the last configuration of each pen, to show what has changed */
};

static enum colour colour_of(const struct mn_record *r)
{
    if (r->kind == MN_RECORD_FAULT)
        return r->fault.raised ? COLOUR_BAD : COLOUR_GOOD;
    return r->kind == MN_RECORD_LOST || r->kind == MN_RECORD_RENEWED || r->kind == MN_RECORD_DROPPED || r->kind == MN_RECORD_CONTROL ? COLOUR_WARN : COLOUR_NONE;
}

/* Formats what a configuration record changes, compared with the previous one of the same pen, if that has been read. */
static void format_change(struct records *x, const struct mn_record *r, char *out, size_t cap)
{
    struct seen_config *seen = NULL;
    size_t used;

    for (size_t i = 0; i < SEEN_MAX && seen == NULL; i++) {
        if (x->seen[i].serial[0] == '\0' || strcmp(x->seen[i].serial, r->serial) == 0)
            seen = &x->seen[i];
    }
    if (seen != NULL && seen->serial[0] != '\0') {
        used = (size_t)snprintf(out, cap, "configuration %" PRIu32 ":", r->config.generation);
        for (size_t i = 0, n = 0; i < mn_setting_count() && used < cap; i++) {
            char was[40], is[40];

            if (mn_config_value(&seen->config, i) == mn_config_value(&r->config, i))
                continue;
            format_setting(i, mn_config_value(&seen->config, i), was, sizeof(was));
            format_setting(i, mn_config_value(&r->config, i), is, sizeof(is));
            used += (size_t)snprintf(out + used, cap - used, "%s %s %s -> %s", n++ > 0 ? "," : "", setting_short_name(i), was, is);
        }
    }
    if (seen != NULL) {
        snprintf(seen->serial, sizeof(seen->serial), "%s", r->serial);
        seen->config = r->config;
    }
}

/* Prints a row of the table. Text that does not fit is wrapped within its own column. */
static void print_row(const struct records *x, const struct mn_record *r, const char *when, const char *text)
{
    struct terminal_size size = terminal_size();
    bool wide = !isatty(fileno(x->out)) || size.columns >= 110;
    char bound[24];
    int at;

    format_bound(r, bound, sizeof(bound));
    if (wide)
        at = fprintf(x->out, "%6" PRIu64 "  %s %-10s %-10s %4" PRIu32 "  %-13s ", r->cursor.position, when, bound, r->serial, r->number, mn_record_kind_name(r->kind));
    else
        at = fprintf(x->out, "%5" PRIu64 "  %.14s %-9s ", r->cursor.position, when + 5, r->serial);
    fputs(colour(colour_of(r)), x->out);
    if (isatty(fileno(x->out)))
        text_wrap(x->out, text, (size_t)at, (size_t)at, (size_t)(size.columns > at + 20 ? size.columns : at + 20));
    else
        fprintf(x->out, "%s\n", text);
    fputs(colour(COLOUR_NONE), x->out);
}

static bool is_wanted(const struct records *x, const struct mn_record *r)
{
    if (!x->sessions)
        return true;
    return r->kind < MN_RECORD_BEGUN ? (x->kinds >> r->kind & 1) != 0 : r->kind == MN_RECORD_SESSION_BEGUN || r->kind == MN_RECORD_SESSION_ENDED || r->kind == MN_RECORD_ADVERSE;
}

static void print_record(struct records *x, const struct mn_record *r)
{
    char text[512], when[40];
    json_t *j;

    format_record(r, text, sizeof(text));
    if (r->kind == MN_RECORD_CONFIG && x->format == FORMAT_TABLE)
        format_change(x, r, text, sizeof(text));
    if (x->format == FORMAT_CSV)
        format_rfc3339(r->host_us, when, sizeof(when));
    else
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
        fputc(',', x->out);
        escape_csv(x->out, r->serial);
        fprintf(x->out, ",%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRIu64 ",%s,%" PRIu32 ",", r->volume, r->number, r->boot_id, r->t_us,
                mn_record_kind_name(r->kind), r->kind == MN_RECORD_FAULT ? r->fault.code : 0);
        escape_csv(x->out, text);
        fputc('\n', x->out);
        break;
    case FORMAT_TABLE:
        print_row(x, r, when, text);
        break;
    }
}

static void print_head(const struct records *x)
{
    if (x->format == FORMAT_CSV)
        fprintf(x->out, "id,time,host_us,host_bound_us,serial,volume,number,boot_id,t_us,kind,code,text\n");
    if (x->format == FORMAT_TABLE)
        fprintf(x->out, isatty(fileno(x->out)) && terminal_size().columns < 110 ? "%s%5s  %-14s%.0s %-9s%.0s%.0s what%.0s%s\n" : "%s%6s  %-23s %-10s %-10s %4s  %-13s %s%s\n", colour(COLOUR_DIM), "id",
                "time", "", "pen", "no.", "kind", "what", colour(COLOUR_NONE));
}

static int read_page(struct records *x, const struct mn_cursor *place, struct mn_records *page)
{
    mn_records_free(page);
    return mn_records_read(x->app->client, place, &x->filter, page, x->app->timeout_ms);
}

/* The last of all matching rows, in ascending order. The daemon reads from the newest down, so that this costs the same however long the journal is. */
static int read_last(struct records *x)
{
    struct mn_record *kept = calloc((size_t)x->last, sizeof(*kept));
    struct mn_records page = {0};
    struct mn_cursor place = {0};
    uint64_t n = 0;
    bool more = false;
    int r = kept == NULL ? MN_ERR_MEMORY : MN_OK;

    x->filter.newest_first = true;
    while (r == MN_OK && !page.end && !more && !is_interrupted()) {
        r = read_page(x, &place, &page);
        for (size_t i = 0; r == MN_OK && i < page.count && !more; i++) {
            if (x->has_place && page.record[i].cursor.journal == x->place.journal && page.record[i].cursor.position <= x->place.position) {
                page.end = true;
                break;
            }
            if (!is_wanted(x, &page.record[i]))
                continue;
            more = n == (uint64_t)x->last;
            if (!more)
                kept[n++] = page.record[i];
        }
        place = page.next;
    }
    mn_records_free(&page);
    for (uint64_t i = n; i > 0; i--)
        print_record(x, &kept[i - 1]);
    x->count = n;
    if (r == MN_OK && x->format == FORMAT_TABLE && more)
        fprintf(stderr, "mnctl: the last %" PRIu64 "; --last N or --since shows more\n", n);
    free(kept);
    return r == MN_OK ? EXIT_OK : app_failed(x->app, r);
}

/* All matching rows, page by page. */
static int read_all(struct records *x)
{
    struct mn_records page = {0};
    int r = MN_OK;

    while (r == MN_OK && !page.end && !ferror(x->out) && !is_interrupted()) {
        r = read_page(x, x->has_place ? &x->place : NULL, &page);
        for (size_t i = 0; r == MN_OK && i < page.count; i++) {
            if (!is_wanted(x, &page.record[i]))
                continue;
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
    return r == MN_OK ? EXIT_OK : app_failed(x->app, r);
}

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    struct records *x = user;

    (void)c;
    if (e->kind == MN_EVENT_DISCONNECTED)
        fprintf(stderr, "mnctl: %s; waiting for it\n", e->text);
    if (e->kind == MN_EVENT_RECONNECTED)
        fprintf(stderr, "mnctl: mnd is back after %.1f s; no record is missed\n", (double)e->outage_ms / 1000);
    if (e->kind != MN_EVENT_RECORD || !is_wanted(x, e->record))
        return;
    print_record(x, e->record);
    fflush(x->out);
}

/* Ends an export: once the file is on disk, the daemon is told that these rows are exported, which allows its retention to drop them. */
static int end_export(struct records *x)
{
    if (fflush(x->out) != 0 || ferror(x->out) || fsync(fileno(x->out)) < 0 || fclose(x->out) != 0) {
        fprintf(stderr, "mnctl: cannot write %s: %s\n", x->path, strerror(errno));
        return EXIT_ERROR;
    }
    fprintf(stderr, "mnctl: %" PRIu64 " records are in %s\n", x->count, x->path);
    if (x->filter.serial == NULL && x->kinds == 0 && !x->sessions && x->filter.priorities == NULL && x->filter.since_us == 0 && x->filter.until_us == 0 && x->has_place) {
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
    if (x->path != NULL && (x->out = output_open(x->path, x->force)) == NULL)
        return EXIT_ERROR;
    print_head(x);
    if (!x->follow) {
        r = x->last > 0 ? read_last(x) : read_all(x);
        return r != EXIT_OK ? r : x->path != NULL ? end_export(x) : flush_output();
    }
    if (x->filter.since_us != 0 && !x->has_place) {
        x->has_place = true; /* first the past rows from here on, then live */
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
        unlink(path); /* an incomplete copy is removed */
        close(fd);
        return EXIT_ERROR;
    }
    close(fd);
    printf("%s is a copy of the journal; `mnd --verify-journal %s` checks it\n", path, path);
    return flush_output();
}

/* ---- words ---- */

/* Parses a time. For --until, a day means the end of that day. */
static int parse_time(const char *option, const char *word, uint64_t *us)
{
    char why[QUANTITY_WHY_MAX];
    struct moment m;

    if (!parse_moment(word, time(NULL), 'm', &m, why))
        return usage_error("%s: %s", option, why);
    *us = (uint64_t)(m.begin + (strcmp(option, "--until") == 0 ? m.seconds : 0)) * 1000000;
    return EXIT_OK;
}

static int parse_kinds(const char *word, uint32_t *kinds, bool *sessions)
{
    static const char *const names[] = {"boot", "fault", "config", "run", "session"};
    const size_t n = sizeof(names) / sizeof(names[0]);
    char name[64];

    while (next_word(&word, ",", name, sizeof(name))) {
        size_t i = find_word(name, names, n, true);

        if (i == n && nearest(name, names, n) != NULL)
            return usage_error("there is no kind %s; did you mean %s?", name, nearest(name, names, n));
        if (i == n)
            return usage_error("there is no kind %s: boot, fault, config, run, session", name);
        *kinds |= i < 4 ? 1u << (i + 1) : 0;
        *sessions = *sessions || i == 4;
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
    uint64_t n;
    int r;

    if (strcmp(option, "--since") == 0 || strcmp(option, "--until") == 0)
        return parse_time(option, value, option[2] == 's' ? &x->filter.since_us : &x->filter.until_us);
    if (strcmp(option, "--kind") == 0)
        return parse_kinds(value, &x->kinds, &x->sessions);
    if (strcmp(option, "--after") == 0)
        return parse_place(x, value);
    if (strcmp(option, "--priority") == 0) {
        if (value[strspn(value, "HMLhml")] != '\0' || strlen(value) > 3 || value[0] == '\0')
            return usage_error("--priority takes some of H, M and L, not %s", value);
        upper_word(x->priorities, sizeof(x->priorities), value);
        x->filter.priorities = x->priorities;
        return EXIT_OK;
    }
    if (strcmp(option, "--last") == 0) {
        r = parse_number(option, value, 1, 1000000, &n);
        x->last = r == EXIT_OK ? (long)n : x->last;
        return r;
    }
    if (strcmp(option, "--export") == 0) {
        x->export = true;
        x->format = same_word(value, "csv") ? FORMAT_CSV : FORMAT_JSON;
        return x->format == FORMAT_CSV || same_word(value, "jsonl") ? EXIT_OK : usage_error("--export takes jsonl or csv, not %s", value);
    }
    x->path = value;
    return EXIT_OK;
}

int cmd_records(struct app *a, int argc, char **argv)
{
    static const char *const names[] = {"--since", "--until", "--kind", "--priority", "--last", "--after", "--export", "--output", "--follow", "--force", "--overrides", "verify", "backup"};
    static struct records x; /* static: the client, which is closed after this function has returned, may still call back */

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
        } else if (strcmp(argv[i], "--overrides") == 0) {
            x.overrides = true;
        } else if (strcmp(argv[i], "--force") == 0) {
            x.force = true;
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
                                : usage_error("records does not take %s", argv[i]);
        }
    }
    if (x.overrides) {
        bool more = x.follow || x.export || x.kinds != 0 || x.sessions || x.filter.priorities != NULL || x.filter.until_us != 0 || x.last >= 0 || x.has_place || a->pen != NULL;

        return more ? usage_error("--overrides goes with --since alone") : records_overrides(a, x.filter.since_us);
    }
    x.filter.kinds = x.sessions ? 0 : x.kinds;
    if (x.path != NULL && (!x.export || x.follow))
        return usage_error("--output goes with --export");
    if (x.path != NULL && !may_write(x.path, x.force))
        return EXIT_ERROR;
    if (x.last < 0)
        x.last = x.format == FORMAT_TABLE && !x.follow && x.filter.since_us == 0 && !x.has_place ? LIST_DEFAULT : 0;
    if (a->pen != NULL) {
        snprintf(x.serial, sizeof(x.serial), "%s", a->pen); /* it may be unplugged, so the serial number must be given in full */
        x.filter.serial = x.serial;
    }
    return show(&x);
}
