/*
 * mnd: owns every pen plugged into this machine and offers it on a Unix socket. Here the parts are put together, and taken
 * apart in order: needles first, then clients, then pens.
 */
#include "options.h"

#include <errno.h>
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
#include "stall.h"
#include "version.h"

enum { CLOSE_LIMIT_US = 2000000, CLOSE_CHECK_US = 10000, STOP_US = 50000 };

static const struct { /* handled signals; all others are ignored */
    int number;
    const char *name;
} endings[] = {{SIGTERM, "SIGTERM"}, {SIGINT, "Ctrl-C"}, {SIGQUIT, "SIGQUIT"}};

enum { ENDINGS = sizeof(endings) / sizeof(endings[0]) };

struct daemon {
    struct options options;
    struct config config; /* in force */
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

/* The path of penstub, which is installed next to mnd. */
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

/* Pens close once their transfers have returned. A pen whose transfers do not return is waited for only for a limited time. */
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
    stall_doing("its end");
    sd_notify(0, "STOPPING=1");
    hub_stop_all(d->hub);
    server_free(d->server);
    d->server = NULL;
    sd_event_now(d->event, CLOCK_MONOTONIC, &now_us);
    d->close_by_us = now_us + CLOSE_LIMIT_US;
    /* Give the STOP requests time to arrive before the pens are closed. */
    return sd_event_add_time(d->event, &d->closing, CLOCK_MONOTONIC, now_us + STOP_US, 1000, on_closing, d);
}

/* Loads the site's policy, if one is configured or at its default path. It must be valid. */
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

/* Reloads the policy. Open sessions began under the policy in force, so it is not replaced while there are any. */
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
    r = config_load(&next, d->options.config_path != NULL ? d->options.config_path : CONFIG_PATH_DEFAULT, why, sizeof(why));
    if (r < 0 && (r != -ENOENT || d->options.config_path != NULL)) {
        log_error("nothing is changed: %s", why);
        return;
    }
    options_apply(&d->options, &next);
    while ((key = config_difference(&d->options.asked, &next, &at)) != NULL) {
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
    stall_doing("SIGHUP");
    sd_event_now(d->event, CLOCK_MONOTONIC, &now_us);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_us);
    log_info("SIGHUP: reading the site's policy and log_level anew");
    reload(d);
    sd_notify(0, "READY=1");
    return 0;
}

/* Only what is listed in endings[], SIGHUP and SIGCHLD has a meaning here; no other signal ends the daemon but those that cannot be ignored, or
 * are a fault of its own. */
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

/* Raises the limit of descriptors to its maximum. The default of 1024 exists for programs that use select(). */
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
    hub_open_journal(d->hub, d->config.journal, &limits); /* after the socket, which shows whether another mnd is running */
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
    d.options = (struct options){.argc = argc, .argv = argv};
    r = options_parse(&d.options);
    if (r >= 0)
        return program_end("mnd", r, EXIT_FAILURE);
    d.config = d.options.config;
    log_set_level((enum log_level)config_log_level(d.config.log_level));
    if (strcmp(d.config.socket, SOCKET_PATH_DEFAULT) == 0 && mkdir("/run/mnd", 0755) < 0 && errno != EEXIST)
        log_debug("/run/mnd: %s", strerror(errno));
    r = start(&d);
    if (r < 0)
        log_error("mnd does not start: %s", strerror(-r));
    else if ((r = stall_loop(d.event)) < 0)
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
