/*
 * mnd: owns every pen plugged into this machine and offers it on a Unix socket. Here the parts are put together, and taken
 * apart in order: needles first, then clients, then pens.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "config.h"
#include "log.h"
#include "program.h"
#include "server.h"
#include "text.h"
#include "version.h"

enum { EXIT_USAGE = 2, CLOSE_LIMIT_US = 2000000, CLOSE_CHECK_US = 10000, STOP_US = 50000 };

static const struct { /* signals that mean something; the rest means nothing */
    int number;
    const char *name;
} endings[] = {{SIGTERM, "SIGTERM"}, {SIGINT, "Ctrl-C"}, {SIGQUIT, "SIGQUIT"}};

enum { ENDINGS = sizeof(endings) / sizeof(endings[0]) };

struct daemon {
    int argc;
    char **argv;
    const char *config_path; /* --config; NULL */
    struct config asked;     /* as file and options say */
    struct config config;
    struct site site;
    sd_event *event;
    sd_event_source *ending[ENDINGS], *reload, *closing;
    struct hub *hub;
    struct usb_bus *usb;
    struct usb_watch *usb_watch;
    struct sim_bus *sim;
    struct server *server;
    uint64_t close_by_us;
};

static void print_help(void)
{
    text_help(stdout,
           "mnd - the daemon that owns microneedling pens\n"
           "\n"
           "usage: mnd [options]       stays in the foreground; SIGTERM and Ctrl-C end it, needles first;\n"
           "                           SIGHUP reads the site's policy and log_level anew\n"
           "\n"
           "  --config FILE        configuration [" CONFIG_PATH_DEFAULT ", if it exists]\n"
           "  --check-config       say whether the configuration is right, and end\n"
           "  --check-policy FILE  say whether a site may have this treatment policy, and end\n"
           "  --verify-journal FILE  say whether every row of a journal, or of a copy, is as it was written, and end\n"
           "  --socket PATH        where clients connect [/run/mnd/mnd.sock]\n"
           "  --journal FILE       where records are kept [/var/lib/mnd/journal.db; with another socket, SOCKET.journal]\n"
           "  --policy FILE        the site's treatment policy [" POLICY_PATH_DEFAULT ", if it exists]\n"
           "  --sim[=N[,fresh]]    N simulated pens [1], started and ended with mnd; fresh off the factory's line; see penstub --help\n"
           "  --sim-socket PATH    take simulated pens that connect here (penstub --connect PATH)\n"
           "  --no-usb             leave real pens alone\n"
           "  --log-level LEVEL    error, warning, info, debug [info]\n"
           "  --version, --help\n"
           "\n"
           "Try: mnd --sim=2 --no-usb --socket /tmp/mnd.sock, then mnctl --socket /tmp/mnd.sock list\n");
}

static int usage_error(const char *sentence)
{
    fprintf(stderr, "mnd: %s\nTry mnd --help.\n", sentence);
    return EXIT_USAGE;
}

static int copy_path(char *out, size_t cap, const char *path)
{
    if (strlen(path) >= cap)
        return usage_error("a path has at most 107 characters");
    strcpy(out, path);
    return -1;
}

/* The file first, then the command line over it. -1: go on; else the exit code. */
static int read_config(struct config *c, const char *path, bool check_only)
{
    char why[400];
    int r;

    r = config_load(c, path != NULL ? path : CONFIG_PATH_DEFAULT, why, sizeof(why));
    if (path == NULL && r == -ENOENT) {
        if (check_only)
            printf("%s does not exist: the defaults are in use\n", CONFIG_PATH_DEFAULT);
        return check_only ? 0 : -1;
    }
    if (path == NULL)
        path = CONFIG_PATH_DEFAULT;
    if (r < 0) {
        fprintf(stderr, "mnd: %s\n", why);
        return EXIT_USAGE;
    }
    if (check_only)
        printf("%s is right\n", path);
    return check_only ? 0 : -1;
}

enum { OPT_CONFIG = 256, OPT_CHECK, OPT_SOCKET, OPT_JOURNAL, OPT_POLICY, OPT_CHECK_POLICY, OPT_VERIFY, OPT_SIM, OPT_SIM_SOCKET, OPT_NO_USB, OPT_LOG_LEVEL, OPT_VERSION };

static const struct option longs[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"check-config", no_argument, NULL, OPT_CHECK},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"journal", required_argument, NULL, OPT_JOURNAL},
    {"policy", required_argument, NULL, OPT_POLICY},
    {"check-policy", required_argument, NULL, OPT_CHECK_POLICY},
    {"verify-journal", required_argument, NULL, OPT_VERIFY},
    {"sim", optional_argument, NULL, OPT_SIM},
    {"sim-socket", required_argument, NULL, OPT_SIM_SOCKET},
    {"no-usb", no_argument, NULL, OPT_NO_USB},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int parse_sim(struct config *c, const char *text)
{
    char *end = NULL;
    unsigned long n = text != NULL ? strtoul(text, &end, 10) : 1;

    c->sim_fresh = text != NULL && strcmp(end, ",fresh") == 0;
    if ((text != NULL && (*text == '\0' || (*end != '\0' && !c->sim_fresh))) || n < 1 || n > 64)
        return usage_error("--sim=N takes 1 to 64 pens, and --sim=N,fresh as many that come off the factory's line");
    c->sim_pens = (unsigned)n;
    return -1;
}

static int verify(const char *path)
{
    char why[400];
    uint64_t rows;
    int r = journal_verify(path, &rows, why, sizeof(why));

    fprintf(r == 0 ? stdout : stderr, "%s%s\n", r == 0 ? "" : "mnd: ", why);
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int check_policy(const char *path)
{
    static struct site site;
    char why[300];

    if (site_load(&site, path, why, sizeof(why)) < 0) {
        fprintf(stderr, "mnd: %s\n", why);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < site.row_count; i++)
        printf("%s %s: %s -> %s%s%s\n", site.rows[i].table, site.rows[i].name, site.rows[i].default_value, site.rows[i].value,
               site.rows[i].source[0] != '\0' ? " by " : "", site.rows[i].source);
    printf("%s is a good policy of %s, SHA-256 ", path, site.name);
    for (size_t i = 0; i < sizeof(site.sha256); i++)
        printf("%02x", site.sha256[i]);
    printf("\n");
    return EXIT_SUCCESS;
}

static int parse_option(struct config *c, int option)
{
    switch (option) {
    case OPT_SOCKET:
        return copy_path(c->socket, sizeof(c->socket), optarg);
    case OPT_JOURNAL:
        return copy_path(c->journal, sizeof(c->journal), optarg);
    case OPT_POLICY:
        return copy_path(c->policy, sizeof(c->policy), optarg);
    case OPT_CHECK_POLICY:
        return check_policy(optarg);
    case OPT_VERIFY:
        return verify(optarg);
    case OPT_SIM:
        return parse_sim(c, optarg);
    case OPT_SIM_SOCKET:
        return copy_path(c->sim_socket, sizeof(c->sim_socket), optarg);
    case OPT_NO_USB:
        c->usb = false;
        return -1;
    case OPT_LOG_LEVEL:
        if (config_log_level(optarg) < 0)
            return usage_error("--log-level is error, warning, info or debug");
        snprintf(c->log_level, sizeof(c->log_level), "%s", optarg);
        return -1;
    case OPT_VERSION:
        printf("mnd %s, pen protocol %d.%d\n", MN_VERSION, MN_PROTOCOL_MAJOR, MN_PROTOCOL_MINOR);
        return 0;
    case 'h':
        print_help();
        return 0;
    default:
        return EXIT_USAGE;
    }
}

/* What is said on the command line, over what the file says. */
static int take_options(const struct daemon *d, struct config *c)
{
    int option, r = -1;

    optind = 0; /* begins anew */
    while (r < 0 && (option = getopt_long(d->argc, d->argv, "h", longs, NULL)) != -1) {
        if (option != OPT_CONFIG && option != OPT_CHECK)
            r = parse_option(c, option);
    }
    return r;
}

/* Two passes: --config wherever it stands, then the rest over it. */
static int parse_options(struct daemon *d)
{
    struct config *c = &d->config;
    const char *path = NULL;
    bool check_only = false;
    int option, r, argc = d->argc;
    char **argv = d->argv;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (option == OPT_CONFIG)
            path = optarg;
        else if (option == OPT_CHECK)
            check_only = true;
        else if (option == '?') {
            program_wrong_option("mnd", argv, longs);
            return EXIT_USAGE;
        }
        else if (option == OPT_VERSION || option == OPT_VERIFY || option == OPT_CHECK_POLICY || option == 'h')
            return parse_option(c, option);
    }
    if (optind < argc)
        return usage_error("takes options only");
    d->config_path = path;
    r = read_config(c, path, check_only);
    if (r < 0)
        r = take_options(d, c);
    if (r < 0)
        d->asked = *c;
    if (r < 0 && c->journal[0] == '\0' && strcmp(c->socket, SOCKET_PATH_DEFAULT) == 0)
        strcpy(c->journal, JOURNAL_PATH_DEFAULT);
    else if (r < 0 && c->journal[0] == '\0')
        snprintf(c->journal, sizeof(c->journal), "%s.journal", c->socket);
    return r;
}

/* penstub stands beside mnd. */
static int start_simulation(struct daemon *d)
{
    char path[PATH_MAX + 16], self[PATH_MAX] = "";
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    int r;

    if (d->config.sim_socket[0] == '\0' &&
        snprintf(d->config.sim_socket, sizeof(d->config.sim_socket), "%s.sim", d->config.socket) >= (int)sizeof(d->config.sim_socket)) {
        log_error("the socket's path is too long for a simulated bus beside it");
        return -ENAMETOOLONG;
    }
    r = sim_bus_new(&d->sim, d->event, d->config.sim_socket, hub_pen_arrived, d->hub);
    if (r < 0)
        return r;
    if (d->config.sim_pens == 0)
        return 0;
    snprintf(path, sizeof(path), "%s/penstub", n > 0 ? dirname(self) : ".");
    r = sim_bus_spawn(d->sim, path, d->config.sim_pens, d->config.sim_fresh);
    if (r < 0)
        log_error("cannot start %s: %s", path, strerror(-r));
    return r;
}

/* Pens close by themselves once their transfers are back; a pen that does not let go is not waited for for ever. */
static int on_closing(sd_event_source *s, uint64_t usec, void *userdata)
{
    struct daemon *d = userdata;

    if (hub_close_pens(d->hub))
        return sd_event_exit(d->event, 0);
    if (usec >= d->close_by_us) {
        log_error("a pen did not let go of its transfers within 2 s; ending all the same");
        return sd_event_exit(d->event, 1);
    }
    sd_event_source_set_time(s, usec + CLOSE_CHECK_US);
    return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *info, void *userdata)
{
    struct daemon *d = userdata;
    uint64_t now_us = 0;

    (void)s;
    if (d->closing != NULL)
        return 0;
    for (size_t i = 0; i < ENDINGS; i++) {
        if ((uint32_t)endings[i].number == info->ssi_signo)
            log_info("%s: stopping all needles, then ending", endings[i].name);
    }
    sd_notify(0, "STOPPING=1");
    hub_stop_all(d->hub);
    server_free(d->server);
    d->server = NULL;
    sd_event_now(d->event, CLOCK_MONOTONIC, &now_us);
    d->close_by_us = now_us + CLOSE_LIMIT_US;
    /* Some patience: the STOP requests arrive before the pens are let go. */
    return sd_event_add_time(d->event, &d->closing, CLOCK_MONOTONIC, now_us + STOP_US, 1000, on_closing, d);
}

/* A site's policy that was named, or is where it belongs, must be a good one. */
static int load_policy(struct site *site, const struct config *c)
{
    const char *path = c->policy[0] != '\0' ? c->policy : POLICY_PATH_DEFAULT;
    char why[500];
    int r = site_load(site, path, why, sizeof(why));

    if (r == -ENOENT && c->policy[0] == '\0')
        return 0;
    if (r < 0)
        log_error("the treatment policy is not taken: %s", why);
    else
        log_info("treatment policy of %s: %zu figures are not the defaults", site->name, site->row_count);
    return r;
}

/* ---- reading anew ---- */

/* Sessions that are open were begun by the policy that is in force, and end by it. */
static void reload_policy(struct daemon *d, const struct config *next)
{
    static struct site site;

    if (load_policy(&site, next) < 0) {
        log_error("the policy that was in force stays in force");
    } else if (memcmp(site.sha256, d->site.sha256, sizeof(site.sha256)) != 0 && server_has_sessions(d->server)) {
        log_error("the policy that was in force stays in force while treatment sessions are open: reload again when they have ended");
    } else {
        if (site.name[0] == '\0' && d->site.name[0] != '\0')
            log_warning("there is no policy of a site any more: the defaults are in force");
        d->site = site;
    }
}

static void reload(struct daemon *d)
{
    struct config next;
    const char *key;
    char why[500];
    size_t at = 0;
    int r;

    config_default(&next);
    r = config_load(&next, d->config_path != NULL ? d->config_path : CONFIG_PATH_DEFAULT, why, sizeof(why));
    if (r < 0 && (r != -ENOENT || d->config_path != NULL)) {
        log_error("nothing is changed: %s", why);
        return;
    }
    take_options(d, &next);
    while ((key = config_difference(&d->asked, &next, &at)) != NULL) {
        if (strcmp(key, "log_level") != 0 && strcmp(key, "policy") != 0)
            log_warning("%s is another one now, and is not changed while mnd runs: restart it", key);
    }
    log_set_level((enum log_level)config_log_level(next.log_level));
    log_info("log_level is %s", next.log_level);
    reload_policy(d, &next);
}

static int on_reload(sd_event_source *s, const struct signalfd_siginfo *info, void *userdata)
{
    struct daemon *d = userdata;
    uint64_t now_us = 0;

    (void)s;
    (void)info;
    if (d->closing != NULL)
        return 0;
    sd_event_now(d->event, CLOCK_MONOTONIC, &now_us);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_us);
    log_info("SIGHUP: reading the site's policy and log_level anew");
    reload(d);
    sd_notify(0, "READY=1");
    return 0;
}

/* ---- begin and end ---- */

/* Only what is listed in endings[], SIGHUP and SIGCHLD has a meaning here; no other signal ends the daemon but those that cannot be refused, or are a
 * mistake of its own. */
static int take_signals(struct daemon *d)
{
    static const int meaningless[] = {SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT, SIGXFSZ};
    sigset_t signals;
    int r = 0;

    for (size_t i = 0; i < sizeof(meaningless) / sizeof(meaningless[0]); i++)
        signal(meaningless[i], SIG_IGN);
    for (int i = SIGRTMIN; i <= SIGRTMAX; i++)
        signal(i, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    for (size_t i = 0; i < ENDINGS; i++)
        sigaddset(&signals, endings[i].number);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    for (size_t i = 0; r >= 0 && i < ENDINGS; i++)
        r = sd_event_add_signal(d->event, &d->ending[i], endings[i].number, on_signal, d);
    return r < 0 ? r : sd_event_add_signal(d->event, &d->reload, SIGHUP, on_reload, d);
}

/* As many descriptors as may be had: 1024, which is the limit otherwise, is for programs that use select(). */
static void raise_descriptor_limit(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

static int start_server(struct daemon *d)
{
    const struct config *c = &d->config;
    const struct server_options options = {
        .clients = {.socket = c->socket,
                    .socket_is_named = strcmp(c->socket, SOCKET_PATH_DEFAULT) != 0,
                    .groups = {c->group, c->operator_group, c->service_group, c->factory_group},
                    .max_clients = c->max_clients,
                    .max_clients_per_user = c->max_clients_per_user,
                    .queue_bytes = c->client_queue_kib * 1024,
                    .user_queue_bytes = c->user_queue_kib * 1024},
        .journal_path = c->journal,
        .usb = c->usb,
    };

    return server_new(&d->server, d->event, &options, &d->site, d->hub, d->sim);
}

static int start(struct daemon *d)
{
    const struct journal_limits limits = {
        .keep_us = (uint64_t)d->config.records_keep_days * 86400 * 1000000,
        .max_bytes = (uint64_t)d->config.records_max_mib << 20,
        .free_bytes = (uint64_t)d->config.records_free_mib << 20,
    };
    int r;

    raise_descriptor_limit();
    if ((r = sd_event_default(&d->event)) < 0 || (r = log_attach(d->event)) < 0 || (r = take_signals(d)) < 0 || (r = hub_new(&d->hub, d->event)) < 0) {
        log_error("cannot start: %s", strerror(-r));
        return r;
    }
    if ((d->config.sim_pens > 0 || d->config.sim_socket[0] != '\0') && (r = start_simulation(d)) < 0)
        return r;
    if (d->config.usb && ((r = usb_bus_new(&d->usb, d->event, MN_USB_VID, MN_USB_PID, hub_pen_arrived, d->hub)) < 0 ||
                          (r = usb_watch_new(&d->usb_watch, d->event, d->usb)) < 0))
        return r;
    if ((r = load_policy(&d->site, &d->config)) < 0 || (r = start_server(d)) < 0)
        return r;
    hub_open_journal(d->hub, d->config.journal, &limits); /* after the socket: another mnd may have it */
    sd_event_set_watchdog(d->event, true);
    sd_notify(0, "READY=1");
    log_info("mnd %s ready at %s%s", MN_VERSION, d->config.socket, d->config.usb ? "" : ", without USB");
    return 0;
}

int main(int argc, char **argv)
{
    static struct daemon d;
    int r;

    program_begin();
    config_default(&d.config);
    d.argc = argc;
    d.argv = argv;
    r = parse_options(&d);
    if (r >= 0)
        return program_end("mnd", r, EXIT_FAILURE);
    log_set_level((enum log_level)config_log_level(d.config.log_level));
    if (strcmp(d.config.socket, SOCKET_PATH_DEFAULT) == 0 && mkdir("/run/mnd", 0755) < 0 && errno != EEXIST)
        log_debug("/run/mnd: %s", strerror(errno));
    r = start(&d);
    if (r < 0)
        log_error("mnd does not start: %s", strerror(-r));
    else if ((r = sd_event_loop(d.event)) < 0)
        log_error("the event loop ended: %s", strerror(-r));
    server_free(d.server);
    usb_watch_free(d.usb_watch);
    usb_bus_free(d.usb);
    sim_bus_free(d.sim);
    hub_close_journal(d.hub);
    hub_free(d.hub);
    buf_pool_free();
    sd_event_source_unref(d.closing);
    for (size_t i = 0; i < ENDINGS; i++)
        sd_event_source_unref(d.ending[i]);
    sd_event_source_unref(d.reload);
    log_detach();
    sd_event_unref(d.event);
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
