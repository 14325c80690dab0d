/* list, info, ping, stop, selftest, version. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mnctl.h"

static json_t *json_pen(const struct mn_pen *p)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:b, s:s, s:o, s:I, s:b, s:s, s:I, s:I, s:I, s:s, s:s, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}}", "serial",
                     p->serial, "port", p->port, "link", mn_link_name(p->link), "last_error", p->last_error, "retry_ms", (json_int_t)p->retry_ms, "simulated", p->simulated,
                     "state", mn_state_name(p->state), "faults", json_fault_word(p->fault_word), "fault_word", (json_int_t)p->fault_word,
                     "trigger", p->trigger, "cartridge", mn_cartridge_name(p->cartridge), "config_generation",
                     (json_int_t)p->config_generation, "boot_id", (json_int_t)p->boot_id, "records_newest", (json_int_t)p->records_newest,
                     "firmware", p->firmware_version, "lease_name", p->lease_name, "lease_pid", (json_int_t)p->lease_pid, "counters", "frames_in", (json_int_t)p->frames_in, "frames_out",
                     (json_int_t)p->frames_out, "bad_frames", (json_int_t)p->bad_frames, "sequence_gaps", (json_int_t)p->sequence_gaps,
                     "foreign_frames", (json_int_t)p->foreign_frames, "stale_replies", (json_int_t)p->stale_replies,
                     "late_frames", (json_int_t)p->late_frames, "sessions", (json_int_t)p->sessions);
}

static void print_pen(const struct mn_pen *p)
{
    char faults[256], rest[600], again[40] = "";
    enum colour c = p->link != MN_LINK_READY ? COLOUR_WARN : p->fault_word != 0 ? COLOUR_BAD : COLOUR_GOOD;

    format_faults(p->fault_word, faults, sizeof(faults));
    printf("%-20s %-10s %s%-8s %-9s%s %-9s ", p->serial[0] != '\0' ? p->serial : "?", p->port, colour(c), mn_link_name(p->link),
           p->link == MN_LINK_READY ? mn_state_name(p->state) : "-", colour(COLOUR_NONE), p->link == MN_LINK_READY ? mn_cartridge_name(p->cartridge) : "-");
    if (p->retry_ms > 0)
        snprintf(again, sizeof(again), "; tried again in %u s", (p->retry_ms + 999) / 1000);
    snprintf(rest, sizeof(rest), "%s%s%s%s", p->link == MN_LINK_READY ? faults : p->last_error, again, p->lease_name[0] != '\0' ? "  controlled by " : "", p->lease_name);
    print_tail(61, rest);
}

static void print_head(void)
{
    printf("%s%-20s %-10s %-8s %-9s %-9s %s%s\n", colour(COLOUR_BOLD), "SERIAL", "PORT", "LINK", "STATE", "CARTRIDGE", "FAULTS",
           colour(COLOUR_NONE));
}

static void on_pen_event(mn_client *c, const struct mn_event *e, void *user)
{
    const struct app *a = user;

    (void)c;
    if (e->kind == MN_EVENT_PEN && a->json)
        print_json(json_pen(e->pen), true);
    else if (e->kind == MN_EVENT_PEN)
        print_pen(e->pen);
    else if (e->kind == MN_EVENT_DISCONNECTED)
        fprintf(stderr, "mnctl: %s; waiting for it\n", e->text);
    fflush(stdout);
}

int cmd_list(struct app *a, int argc, char **argv)
{
    bool watch = argc > 1 && strcmp(argv[1], "--watch") == 0;
    bool serials = argc > 1 && strcmp(argv[1], "--serials") == 0; /* for completion */
    struct mn_pens pens;
    json_t *list;
    int r;

    if (argc > 2 || (argc == 2 && !watch && !serials))
        return usage_error("list takes --watch or nothing");
    a->on_event = watch ? on_pen_event : NULL;
    a->event_user = a;
    r = app_connect(a, watch);
    if (r != EXIT_OK)
        return r;
    r = watch ? mn_watch(a->client, true, &pens, a->timeout_ms) : mn_list(a->client, &pens, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    list = json_array();
    if (!a->json && !serials && pens.count > 0)
        print_head();
    for (size_t i = 0; i < pens.count; i++) {
        if (serials)
            printf("%s\n", pens.pen[i].serial);
        else if (!a->json)
            print_pen(&pens.pen[i]);
        else if (watch)
            print_json(json_pen(&pens.pen[i]), true);
        else
            json_array_append_new(list, json_pen(&pens.pen[i]));
    }
    if (pens.count == 0 && !a->json && !serials)
        printf("no pen is plugged in\n");
    if (a->json && !watch)
        print_json(json_incref(list), false);
    json_decref(list);
    mn_pens_free(&pens);
    fflush(stdout);
    return watch ? app_follow(a, NULL, 0) : flush_output();
}

static void print_date(uint64_t unix_s, char *out, size_t cap)
{
    time_t t = (time_t)unix_s;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(out, cap, "%Y-%m-%d", &tm) == 0)
        snprintf(out, cap, "?");
}

static int info_of(struct app *a)
{
    struct mn_info i;
    struct mn_status s;
    char faults[512], expiry[32];
    int r;

    if ((r = mn_pen_info(a->client, a->serial, &i, a->timeout_ms)) != MN_OK ||
        (r = mn_pen_status(a->client, a->serial, &s, a->timeout_ms)) != MN_OK)
        return app_failed(a, r);
    print_date(i.cartridge_expiry_s, expiry, sizeof(expiry));
    if (a->json)
        return print_json(
            json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:o, s:{s:s, s:I, s:I, s:I, s:I, s:s}, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                      "serial", i.serial, "model", i.model, "firmware", i.firmware_version, "hardware", i.hardware_revision, "boot_count",
                      (json_int_t)i.boot_count, "state", mn_state_name(s.state), "faults", json_fault_word(s.fault_word), "cartridge",
                      "state", mn_cartridge_name(i.cartridge), "uid", (json_int_t)i.cartridge_uid, "lot", (json_int_t)i.cartridge_lot,
                      "needle_count", (json_int_t)i.needle_count, "max_depth_um", (json_int_t)i.cartridge_max_depth_um, "expiry", expiry,
                      "strokes_session", (json_int_t)s.strokes_session, "strokes_total", (json_int_t)s.strokes_total, "motor_on_s",
                      (json_int_t)s.motor_on_s, "config_generation", (json_int_t)s.config_generation, "records_oldest",
                      (json_int_t)s.records_oldest, "records_newest", (json_int_t)s.records_newest, "records_acked",
                      (json_int_t)s.records_acked, "bad_frames", (json_int_t)s.bad_frames, "sequence_gaps", (json_int_t)s.sequence_gaps,
                      "telemetry_dropped", (json_int_t)s.telemetry_dropped, "replies", (json_int_t)s.replies, "replies_late", (json_int_t)s.replies_late, "reply_max_ms",
                      (json_int_t)s.reply_max_ms, "boot_id", (json_int_t)s.boot_id),
            false);
    format_faults(s.fault_word, faults, sizeof(faults));
    printf("%s%s%s  %s, firmware %s, hardware %s\n", colour(COLOUR_BOLD), i.serial, colour(COLOUR_NONE), i.model, i.firmware_version,
           i.hardware_revision);
    printf("  state       %s, trigger %s\n  faults      %s%s%s\n", mn_state_name(s.state), s.trigger ? "pressed" : "released",
           colour(s.fault_word != 0 ? COLOUR_BAD : COLOUR_GOOD), faults, colour(COLOUR_NONE));
    print_faults(s.fault_word, 14);
    if (i.needle_count != 0)
        printf("  cartridge   %s, %" PRIu32 " needles, to %.2f mm, expires %s, uid %016" PRIx64 "\n", mn_cartridge_name(i.cartridge),
               i.needle_count, i.cartridge_max_depth_um / 1000.0, expiry, i.cartridge_uid);
    else
        printf("  cartridge   %s\n", mn_cartridge_name(i.cartridge));
    printf("  strokes     %" PRIu32 " this session, %" PRIu32 " in all, motor on for %" PRIu32 " s\n", s.strokes_session, s.strokes_total,
           s.motor_on_s);
    printf("  limits      depth to %.2f mm, rate %.1f to %.1f Hz\n", i.depth_max_um / 1000.0, i.rate_min_dhz / 10.0, i.rate_max_dhz / 10.0);
    printf("  records     %" PRIu32 " to %" PRIu32 ", acknowledged to %" PRIu32 "\n", s.records_oldest, s.records_newest, s.records_acked);
    printf("  life        boot %" PRIu32 ", id %08" PRIx32 ", up %.1f s, configuration %" PRIu32 "\n", i.boot_count, s.boot_id,
           (double)s.t_us / 1e6, s.config_generation);
    printf("  link        %" PRIu32 " bad frames, %" PRIu32 " gaps, %" PRIu32 " foreign; %" PRIu32 " samples dropped by the pen\n", s.bad_frames,
           s.sequence_gaps, s.foreign_frames, s.telemetry_dropped);
    if (s.replies > 0)
        printf("  replies     %" PRIu32 ", of which %" PRIu32 " later than 5 ms by the pen's clock; the slowest took %" PRIu32 " ms\n", s.replies, s.replies_late, s.reply_max_ms);
    return flush_output();
}

int cmd_info(struct app *a, int argc, char **argv)
{
    return argc > 1 ? usage_error("info takes no %s: choose a pen with --pen", argv[1]) : app_each(a, info_of);
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

int cmd_ping(struct app *a, int argc, char **argv)
{
    uint64_t wanted = 10, size = 64;
    long count, bytes, lost = 0, n = 0;
    bool daemon_only = false;
    uint64_t *us, sum = 0;
    int r;

    for (int i = 1; i < argc; i++) {
        bool is_count = strcmp(argv[i], "--count") == 0;

        if (strcmp(argv[i], "--daemon") == 0) {
            daemon_only = true;
        } else if (is_count || strcmp(argv[i], "--bytes") == 0) {
            r = parse_number(argv[i], argv[i + 1], is_count ? 1 : 0, is_count ? 1000000 : MN_ECHO_MAX, is_count ? &wanted : &size);
            if (r != EXIT_OK)
                return r;
            i++;
        } else {
            return usage_error("ping takes --count, --bytes and --daemon, not %s", argv[i]);
        }
    }
    count = (long)wanted;
    bytes = (long)size;
    r = daemon_only ? app_connect(a, false) : app_choose(a);
    if (r != EXIT_OK)
        return r;
    us = calloc((size_t)count, sizeof(*us));
    if (us == NULL)
        return EXIT_ERROR;
    for (long i = 0; i < count; i++) {
        r = mn_ping(a->client, daemon_only ? NULL : a->serial, (size_t)bytes, &us[n], a->timeout_ms);
        if (r == MN_OK)
            sum += us[n++];
        else if (r == MN_ERR_TIMEOUT)
            lost++;
        else
            break;
    }
    if (r != MN_OK && r != MN_ERR_TIMEOUT) {
        free(us);
        return app_failed(a, r);
    }
    qsort(us, (size_t)n, sizeof(*us), compare_u64);
    if (n > 0 && a->json)
        print_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "target", daemon_only ? "mnd" : a->serial, "bytes",
                             (json_int_t)bytes, "sent", (json_int_t)count, "lost", (json_int_t)lost, "min_us", (json_int_t)us[0], "p50_us",
                             (json_int_t)us[n / 2], "p99_us", (json_int_t)us[n * 99 / 100], "max_us", (json_int_t)us[n - 1], "mean_us",
                             (json_int_t)(sum / (uint64_t)n)),
                   false);
    else if (n > 0)
        printf("%s: %ld of %ld answered, %ld bytes; min %" PRIu64 " us, median %" PRIu64 " us, p99 %" PRIu64 " us, max %" PRIu64 " us\n",
               daemon_only ? "mnd" : a->serial, n, count, bytes, us[0], us[n / 2], us[n * 99 / 100], us[n - 1]);
    free(us);
    if (lost > 0)
        fprintf(stderr, "mnctl: %ld of %ld were not answered within %d ms\n", lost, count, a->timeout_ms);
    return lost > 0 ? EXIT_NO_ANSWER : flush_output();
}

int cmd_stop(struct app *a, int argc, char **argv)
{
    bool all = argc > 1 && strcmp(argv[1], "--all") == 0;
    int r;

    if (argc > 2 || (argc == 2 && !all))
        return usage_error("stop takes --all or nothing");
    r = all ? app_connect(a, false) : app_choose(a);
    if (r != EXIT_OK)
        return r;
    r = mn_stop(a->client, all ? NULL : a->serial, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    if (a->json)
        return print_json(json_pack("{s:s}", "stopped", all ? "all" : a->serial), false);
    printf("%s: stopped\n", all ? "all pens" : a->serial);
    return flush_output();
}

struct selftest {
    bool done;
    bool show;
    int error;
    struct mn_status status;
};

static void on_selftest(mn_client *c, const struct mn_result *r, void *user)
{
    struct selftest *t = user;

    (void)c;
    if (r->in_progress) {
        if (t->show)
            fprintf(stderr, "\rself-test %3" PRIu32 " %%", r->progress_permille / 10);
        return;
    }
    if (t->show)
        fprintf(stderr, "\r               \r");
    t->done = true;
    t->error = r->error;
    if (r->error == MN_OK)
        t->status = r->status;
    else
        fprintf(stderr, "mnctl: %s\n", r->message);
}

int cmd_selftest(struct app *a, int argc, char **argv)
{
    enum { TESTED = 1 << 9 | 1 << 25 }; /* HOMING_FAILED, SELFTEST_FAILED */
    struct selftest t = {.show = isatty(STDERR_FILENO) && !a->json};
    char faults[256];
    int r = argc > 1 ? usage_error("selftest takes no %s", argv[1]) : app_choose(a);

    if (r != EXIT_OK)
        return r;
    r = mn_self_test_async(a->client, a->serial, a->timeout_ms, on_selftest, &t);
    while (r == MN_OK && !t.done) {
        struct pollfd fd = {.fd = mn_fd(a->client), .events = mn_events(a->client)};

        poll(&fd, 1, mn_timeout_ms(a->client));
        r = mn_process(a->client);
    }
    if (r != MN_OK)
        return app_failed(a, r);
    if (t.error != MN_OK)
        return EXIT_REFUSED;
    format_faults(t.status.fault_word & TESTED, faults, sizeof(faults));
    if (a->json)
        print_json(json_pack("{s:s, s:b, s:o}", "serial", a->serial, "passed", !(t.status.fault_word & TESTED), "faults",
                             json_fault_word(t.status.fault_word)),
                   false);
    else
        printf("%s: self-test %s\n", a->serial, t.status.fault_word & TESTED ? faults : "passed");
    return t.status.fault_word & TESTED ? EXIT_ERROR : flush_output();
}

/* The longest turns of the daemon's loop; NULL: an older daemon does not say. */
static json_t *json_turns(const struct mn_daemon *d)
{
    if (d->turn_longest_what[0] == '\0')
        return NULL;
    return json_pack("{s:I, s:s, s:I, s:s}", "longest_us", (json_int_t)d->turn_longest_us, "longest", d->turn_longest_what, "last_minute_us", (json_int_t)d->turn_recent_us, "last_minute",
                     d->turn_recent_what);
}

int cmd_version(struct app *a, int argc, char **argv)
{
    struct mn_daemon d = {.version = "not running"};
    struct mn_options o = {.socket = a->socket, .name = "mnctl"};
    int r;

    if (argc > 1)
        return usage_error("version takes no %s", argv[1]);
    r = mn_connect(&a->client, &o, NULL, 0);
    if (r == MN_OK)
        r = mn_daemon_info(a->client, &d, a->timeout_ms);
    if (a->json)
        return print_json(json_pack("{s:s, s:s, s:s?, s:s?, s:o?}", "mnctl", mn_version(), "libmn", mn_version(), "mnd", r == MN_OK ? d.version : NULL, "role",
                                    r == MN_OK ? mn_role_name(mn_role(a->client)) : NULL, "turns", r == MN_OK ? json_turns(&d) : NULL),
                          false);
    printf("mnctl %s, libmn %s, mnd %s\n", mn_version(), mn_version(), d.version);
    if (r == MN_OK)
        printf("mnd: pid %" PRIu32 ", up %.1f s, %" PRIu32 " pens, %" PRIu32 " clients, %" PRIu64 " telemetry batches, %" PRIu64
               " dropped for slow clients\n",
               d.pid, (double)d.uptime_ms / 1000, d.pens, d.clients, d.telemetry_batches, d.telemetry_dropped);
    if (r == MN_OK && d.turn_longest_what[0] != '\0')
        printf("mnd: its longest turn took %.1f ms (%s), that of the last minute %.1f ms (%s)\n", (double)d.turn_longest_us / 1000, d.turn_longest_what, (double)d.turn_recent_us / 1000,
               d.turn_recent_what);
    if (r == MN_OK)
        printf("you: %s\n", mn_role_name(mn_role(a->client)));
    if (r == MN_OK && d.journal_error[0] != '\0')
        printf("mnd: %s%s%s\n", colour(COLOUR_BAD), d.journal_error, colour(COLOUR_NONE));
    return flush_output();
}
