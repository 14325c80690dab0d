#include "server.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "inquiry.h"
#include "log.h"
#include "reading.h"
#include "request.h"
#include "session.h"

enum { ACCEPT_PAUSE_US = 100000 };

struct node {
    struct node *next;
    struct client *client;
    bool ended;
};

struct server {
    struct client_env env;
    unsigned max_clients, max_clients_per_user;
    int fd;
    char *path; /* NULL: the socket is systemd's */
    sd_event_source *accept, *resume, *reap;
    struct node *clients;
};

static void on_ended(void *ctx, struct client *c)
{
    struct server *s = ctx;

    for (struct node *n = s->clients; n != NULL; n = n->next)
        n->ended |= n->client == c;
    sd_event_source_set_enabled(s->reap, SD_EVENT_ONESHOT);
}

static void drop(struct server *s, struct node **at)
{
    struct node *n = *at;

    *at = n->next;
    hub_remove(s->env.hub, client_subscriber(n->client), n->client);
    control_forget(s->env.control, n->client);
    sessions_forget(s->env.sessions, n->client);
    inquiries_forget(s->env.inquiries, n->client);
    readings_forget(s->env.readings, n->client);
    if (s->env.sim != NULL)
        sim_forget(s->env.sim, n->client);
    client_free(n->client);
    free(n);
    s->env.clients--;
}

static int on_reap(sd_event_source *source, void *userdata)
{
    struct server *s = userdata;

    (void)source;
    for (struct node **at = &s->clients; *at != NULL;) {
        if ((*at)->ended)
            drop(s, at);
        else
            at = &(*at)->next;
    }
    return 0;
}

static int on_resume(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct server *s = userdata;

    (void)source;
    (void)usec;
    return sd_event_source_set_enabled(s->accept, SD_EVENT_ON);
}

/* Out of descriptors or memory: accepting rests for a moment instead of spinning. */
static void pause_accept(struct server *s, int error)
{
    log_warning("no new clients for a moment: %s", strerror(error));
    sd_event_source_set_enabled(s->accept, SD_EVENT_OFF);
    sd_event_source_set_time_relative(s->resume, ACCEPT_PAUSE_US);
    sd_event_source_set_enabled(s->resume, SD_EVENT_ONESHOT);
}

/* Too many are connected: the one too many goes, with the reason. */
static void check_limits(struct server *s, struct client *c)
{
    const struct user *u = client_user(c);
    char reason[120];

    if (s->env.clients > s->max_clients)
        snprintf(reason, sizeof(reason), "%u programs are connected, the limit is %u", s->env.clients - 1, s->max_clients);
    else if (u->clients > s->max_clients_per_user)
        snprintf(reason, sizeof(reason), "%u programs of user %u are connected, the limit is %u", u->clients - 1, (unsigned)u->uid,
                 s->max_clients_per_user);
    else
        return;
    client_end(c, reason);
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    struct server *s = userdata;
    struct node *n;
    int conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), r;

    (void)source;
    (void)revents;
    if (conn < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            pause_accept(s, errno);
        return 0;
    }
    n = calloc(1, sizeof(*n));
    if (n == NULL) {
        close(conn);
        return 0;
    }
    r = client_new(&n->client, &s->env, conn);
    if (r < 0) {
        free(n);
        pause_accept(s, -r);
        return 0;
    }
    n->next = s->clients;
    s->clients = n;
    s->env.clients++;
    fanout_add(hub_fanout(s->env.hub), client_subscriber(n->client));
    check_limits(s, n->client);
    return 0;
}

static int own(const char *path, const struct config *config)
{
    const struct group *g = config->group[0] != '\0' ? getgrnam(config->group) : NULL;

    if (config->group[0] != '\0' && g == NULL) {
        log_info("there is no group %s: only this daemon's user and group reach %s", config->group, path);
        return chmod(path, 0660) < 0 ? -errno : 0;
    }
    if (g != NULL && chown(path, (uid_t)-1, g->gr_gid) < 0)
        log_warning("cannot give %s to group %s: %s", path, config->group, strerror(errno));
    return chmod(path, 0660) < 0 ? -errno : 0;
}

/* Is another daemon behind the socket? Then it is not taken away from it. */
static bool is_served(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool served = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;

    if (fd >= 0)
        close(fd);
    return served;
}

static int listen_at(struct server *s, const struct config *config)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    mode_t mask;
    int r;

    if (strlen(config->socket) >= sizeof(address.sun_path)) {
        log_error("the socket's path is longer than %zu characters: %s", sizeof(address.sun_path) - 1, config->socket);
        return -ENAMETOOLONG;
    }
    strcpy(address.sun_path, config->socket);
    if (is_served(&address)) {
        log_error("another mnd is running at %s", config->socket);
        return -EADDRINUSE;
    }
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    unlink(config->socket);
    mask = umask(0177); /* nobody gets in before own() */
    r = s->fd < 0 || bind(s->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    umask(mask);
    if (r == 0)
        s->path = strdup(config->socket);
    if (r == 0 && (r = own(config->socket, config)) == 0 && listen(s->fd, 128) < 0)
        r = -errno;
    if (r < 0)
        log_error("cannot listen at %s: %s", config->socket, strerror(-r));
    return r;
}

int server_new(struct server **out, sd_event *event, const struct config *config, const struct site *site, struct hub *hub, struct sim_bus *sim)
{
    struct server *s = calloc(1, sizeof(*s));
    int r, passed = sd_listen_fds(1);

    if (s == NULL)
        return -ENOMEM;
    s->fd = -1;
    s->max_clients = config->max_clients;
    s->max_clients_per_user = config->max_clients_per_user;
    s->env = (struct client_env){.event = event,
                                 .hub = hub,
                                 .sim = sim,
                                 .usb = config->usb,
                                 .journal_path = config->journal,
                                 .queue_bytes = config->client_queue_kib * 1024,
                                 .user_queue_bytes = config->user_queue_kib * 1024,
                                 .dispatch = request,
                                 .ended = on_ended,
                                 .ctx = s};
    sd_event_now(event, CLOCK_MONOTONIC, &s->env.began_us);
    role_map_load(&s->env.roles, config);
    if (passed > 0)
        s->fd = SD_LISTEN_FDS_START;
    r = passed > 0 ? 0 : listen_at(s, config);
    if (r < 0 || (r = readings_new(&s->env.readings, &s->env)) < 0 || (r = control_new(&s->env.control, &s->env)) < 0 ||
        (r = sessions_new(&s->env.sessions, &s->env, site)) < 0 || (r = inquiries_new(&s->env.inquiries, &s->env, site)) < 0 ||
        (r = sd_event_add_io(event, &s->accept, s->fd, EPOLLIN, on_accept, s)) < 0 ||
        (r = sd_event_add_time_relative(event, &s->resume, CLOCK_MONOTONIC, 0, 0, on_resume, s)) < 0 ||
        (r = sd_event_source_set_enabled(s->resume, SD_EVENT_OFF)) < 0 ||
        (r = sd_event_add_defer(event, &s->reap, on_reap, s)) < 0 ||
        (r = sd_event_source_set_enabled(s->reap, SD_EVENT_OFF)) < 0 ||
        (r = sd_event_add_time_relative(event, &s->env.turn, CLOCK_MONOTONIC, 0, 50, client_turn, &s->env)) < 0 ||
        (r = sd_event_source_set_enabled(s->env.turn, SD_EVENT_OFF)) < 0) {
        server_free(s);
        return r;
    }
    *out = s;
    return 0;
}

void server_free(struct server *s)
{
    if (s == NULL)
        return;
    while (s->clients != NULL) {
        client_end(s->clients->client, "the daemon is ending");
        drop(s, &s->clients);
    }
    inquiries_free(s->env.inquiries);
    sessions_free(s->env.sessions);
    readings_free(s->env.readings);
    control_free(s->env.control);
    sd_event_source_disable_unref(s->accept);
    sd_event_source_disable_unref(s->resume);
    sd_event_source_disable_unref(s->reap);
    sd_event_source_disable_unref(s->env.turn);
    if (s->fd >= 0)
        close(s->fd);
    if (s->path != NULL)
        unlink(s->path);
    free(s->path);
    free(s);
}
