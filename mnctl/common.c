#include "mnctl.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "program.h"

/* ---- words ---- */

static const char *helpful = ""; /* the command whose --help usage_error() names */

void usage_is_of(const char *command)
{
    helpful = command;
}

int usage_error(const char *format, ...)
{
    char sentence[800];
    va_list ap;

    va_start(ap, format);
    vsnprintf(sentence, sizeof(sentence), format, ap);
    va_end(ap);
    fflush(stdout);
    fprintf(stderr, "mnctl: %s\n", sentence);
    if (strstr(sentence, "`mnctl") == NULL)
        fprintf(stderr, "See `mnctl help%s%s`.\n", helpful[0] != '\0' ? " " : "", helpful);
    return EXIT_USAGE;
}

/* ---- output ---- */

int flush_output(void)
{
    return program_end("mnctl", EXIT_OK, EXIT_ERROR);
}

void print_tail(size_t at, const char *text)
{
    size_t columns = (size_t)terminal_size().columns;

    if (isatty(STDOUT_FILENO))
        text_wrap(stdout, text, at, at + 24 <= columns ? at : 4, columns < 24 ? 24 : columns);
    else
        printf("%s\n", text);
}

bool may_write(const char *path, bool force)
{
    char why[400];

    if (strcmp(path, "-") == 0 || file_may_create(path, force, why, sizeof(why)))
        return true;
    fprintf(stderr, "mnctl: cannot write %s\n", why);
    return false;
}

FILE *output_open(const char *path, bool force)
{
    char why[400];
    FILE *out = strcmp(path, "-") == 0 ? stdout : file_create(path, force, why, sizeof(why));

    if (out == NULL)
        fprintf(stderr, "mnctl: cannot write %s\n", why);
    return out;
}

int output_close(FILE *out, const char *path)
{
    bool good;

    if (out == stdout)
        return flush_output();
    good = !ferror(out);
    if (fclose(out) != 0 || !good) {
        fprintf(stderr, "mnctl: cannot write %s: %s\n", path, strerror(errno));
        return EXIT_ERROR;
    }
    printf("%s\n", path);
    return flush_output();
}

int print_json(json_t *j, bool one_line)
{
    int r = j == NULL || json_dumpf(j, stdout, one_line ? JSON_COMPACT : JSON_INDENT(2)) != 0 ? EXIT_ERROR : EXIT_OK;

    json_decref(j);
    putchar('\n');
    return r == EXIT_OK ? flush_output() : r;
}

/* ---- the daemon and its pens ---- */

static int exit_code(int error)
{
    switch (error) {
    case MN_OK:
        return EXIT_OK;
    case MN_ERR_NO_DAEMON:
    case MN_ERR_PERMISSION:
    case MN_ERR_VERSION:
        return EXIT_NO_DAEMON;
    case MN_ERR_NO_PEN:
    case MN_ERR_NOT_READY:
        return EXIT_NO_PEN;
    case MN_ERR_RANGE:
    case MN_ERR_CONFLICT:
    case MN_ERR_STATE:
    case MN_ERR_FAULT:
    case MN_ERR_FORBIDDEN:
    case MN_ERR_INVALID:
    case MN_ERR_BUSY:
    case MN_ERR_UNSUPPORTED:
    case MN_ERR_STORAGE:
    case MN_ERR_NO_RECORD:
    case MN_ERR_LEASE:
    case MN_ERR_POLICY:
    case MN_ERR_NO_SESSION:
    case MN_ERR_WRITTEN:
        return EXIT_REFUSED;
    case MN_ERR_TIMEOUT:
    case MN_ERR_PEN_GONE:
    case MN_ERR_DISCONNECTED:
        return EXIT_NO_ANSWER;
    default:
        return EXIT_ERROR;
    }
}

int app_failed(struct app *a, int error)
{
    fflush(stdout);
    fprintf(stderr, "mnctl: %s\n", mn_message(a->client)[0] != '\0' ? mn_message(a->client) : mn_strerror(error));
    return exit_code(error);
}

int app_connect(struct app *a, bool reconnect)
{
    struct mn_options o = {
        .socket = a->socket,
        .name = "mnctl",
        .reconnect = reconnect,
        .on_event = a->on_event,
        .user = a->event_user,
        .timeout_ms = a->timeout_ms,
    };
    char message[400];
    int r = mn_connect(&a->client, &o, message, sizeof(message));

    if (r != MN_OK)
        fprintf(stderr, "mnctl: %s\n", message[0] != '\0' ? message : mn_strerror(r));
    return exit_code(r);
}

bool app_connect_quietly(struct app *a)
{
    struct mn_options o = {.socket = a->socket, .name = "mnctl", .timeout_ms = a->timeout_ms};

    return a->client != NULL || mn_connect(&a->client, &o, NULL, 0) == MN_OK;
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

void catch_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool is_interrupted(void)
{
    return interrupted != 0;
}

static double clock_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int app_wait(struct app *a)
{
    struct pollfd fd = {.fd = mn_fd(a->client), .events = mn_events(a->client)};

    poll(&fd, 1, mn_timeout_ms(a->client));
    return mn_process(a->client);
}

int app_follow(struct app *a, FILE *out, double seconds)
{
    double end_s = clock_s() + seconds;
    int r = MN_OK;

    catch_interrupt();
    while (r == MN_OK && !is_interrupted() && !ferror(out != NULL ? out : stdout)) {
        struct pollfd fd = {.fd = mn_fd(a->client), .events = mn_events(a->client)};
        int left_ms = seconds > 0 ? (int)((end_s - clock_s()) * 1000) + 1 : -1, wait_ms = mn_timeout_ms(a->client);

        if (seconds > 0 && clock_s() >= end_s)
            break;
        poll(&fd, 1, left_ms >= 0 && (wait_ms < 0 || left_ms < wait_ms) ? left_ms : wait_ms);
        r = mn_process(a->client);
    }
    return r == MN_OK ? flush_output() : app_failed(a, r);
}

static bool selected(const struct mn_pen *p, const char *prefix)
{
    return p->link != MN_LINK_GONE && (prefix == NULL || strncasecmp(p->serial, prefix, strlen(prefix)) == 0);
}

static int choose_from(struct app *a, const struct mn_pens *pens, const char *prefix)
{
    const struct mn_pen *found = NULL;
    size_t n = 0;

    for (size_t i = 0; i < pens->count; i++) {
        const struct mn_pen *p = &pens->pen[i];

        if (!selected(p, prefix))
            continue;
        if (prefix != NULL && strcasecmp(p->serial, prefix) == 0) { /* an exact match wins over prefixes */
            found = p;
            n = 1;
            break;
        }
        found = p;
        n++;
    }
    if (n == 0 && prefix != NULL)
        fprintf(stderr, "mnctl: no pen's serial number begins with %s; `mnctl list` shows the %zu that are there\n", prefix, pens->count);
    else if (n == 0)
        fprintf(stderr, "mnctl: no pen is plugged in\n");
    if (n == 0)
        return EXIT_NO_PEN;
    if (n > 1) {
        fprintf(stderr, "mnctl: there are %zu pens; choose one with --pen:", n);
        for (size_t i = 0; i < pens->count; i++) {
            if (selected(&pens->pen[i], prefix))
                fprintf(stderr, " %s", pens->pen[i].serial[0] != '\0' ? pens->pen[i].serial : pens->pen[i].port);
        }
        fprintf(stderr, "\n");
        return EXIT_NO_PEN;
    }
    if (found->link != MN_LINK_READY || found->serial[0] == '\0') {
        fprintf(stderr, "mnctl: the pen %s at %s is not ready: %s\n", found->serial, found->port,
                found->last_error[0] != '\0' ? found->last_error : "it is being opened");
        return EXIT_NO_PEN;
    }
    snprintf(a->serial, sizeof(a->serial), "%s", found->serial);
    return EXIT_OK;
}

int app_find(struct app *a, const char *prefix)
{
    struct mn_pens pens;
    int r = mn_list(a->client, &pens, a->timeout_ms);

    if (r != MN_OK)
        return app_failed(a, r);
    r = choose_from(a, &pens, prefix);
    mn_pens_free(&pens);
    return r;
}

int app_each(struct app *a, int (*one)(struct app *a))
{
    struct mn_pens pens;
    int worst = EXIT_OK, r = app_connect(a, false);
    bool first = true;

    if (r != EXIT_OK)
        return r;
    r = mn_list(a->client, &pens, a->timeout_ms);
    if (r != MN_OK)
        return app_failed(a, r);
    if (a->pen != NULL || pens.count < 2) { /* a named pen must exist */
        r = choose_from(a, &pens, a->pen);
        mn_pens_free(&pens);
        return r == EXIT_OK ? one(a) : r;
    }
    for (size_t i = 0; i < pens.count; i++) {
        if (pens.pen[i].link != MN_LINK_READY || pens.pen[i].serial[0] == '\0')
            continue;
        if (!first && !a->json)
            printf("\n");
        first = false;
        snprintf(a->serial, sizeof(a->serial), "%s", pens.pen[i].serial);
        r = one(a);
        worst = r > worst ? r : worst;
    }
    mn_pens_free(&pens);
    if (first) {
        fprintf(stderr, "mnctl: no pen is ready: `mnctl list` shows why\n");
        return EXIT_NO_PEN;
    }
    return worst;
}

int app_choose(struct app *a)
{
    int r = app_connect(a, false);

    return r != EXIT_OK ? r : app_find(a, a->pen);
}

/* ---- faults and settings ---- */

json_t *json_fault_word(uint32_t word)
{
    json_t *list = json_array();

    for (unsigned bit = 0; bit < 32; bit++) {
        const struct mn_fault *f = mn_fault_at(bit);

        if (!(word >> bit & 1))
            continue;
        if (f != NULL)
            json_array_append_new(list, json_pack("{s:i, s:s, s:s#, s:s}", "code", f->code, "name", f->name, "priority", &f->priority, 1,
                                                  "text", f->text));
        else
            json_array_append_new(list, json_pack("{s:i}", "unknown_bit", (int)bit));
    }
    return list;
}

json_t *json_config(const struct mn_config *config)
{
    json_t *j = json_object();

    for (size_t i = 0; i < mn_setting_count(); i++)
        json_object_set_new(j, mn_setting_at(i)->name, json_integer(mn_config_value(config, i)));
    return j;
}

void format_faults(uint32_t word, char *out, size_t cap)
{
    size_t used = 0;

    snprintf(out, cap, "none");
    for (unsigned bit = 0; bit < 32 && used < cap; bit++) {
        const struct mn_fault *f = mn_fault_at(bit);

        if (word >> bit & 1)
            used += (size_t)snprintf(out + used, cap - used, "%s%d %s", used != 0 ? ", " : "", f != NULL ? f->code : 0,
                                     f != NULL ? f->name : "UNKNOWN");
    }
}

void print_faults(uint32_t word, size_t indent)
{
    size_t columns = text_page_columns();
    char sentence[400];

    for (size_t bit = 0; bit < mn_fault_count(); bit++) {
        const struct mn_fault *f = mn_fault_at(bit);

        if (!(word >> bit & 1))
            continue;
        printf("%*s%s%u %s%s: ", (int)indent, "", colour(COLOUR_BAD), f->code, f->name, colour(COLOUR_NONE));
        text_wrap(stdout, f->text, indent + strlen(f->name) + 7, indent + 2, columns);
        snprintf(sentence, sizeof(sentence), "-> %s", f->cure);
        printf("%*s", (int)indent + 2, "");
        text_wrap(stdout, sentence, indent + 2, indent + 5, columns);
    }
}
