#include "server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "groups.h"
#include "inquiry.h"
#include "listener.h"
#include "log.h"
#include "reading.h"
#include "request.h"
#include "session.h"
#include "unix_socket.h"

enum { BACKLOG = 128 };

struct node {
    struct node *next;
    struct client *client;
    bool ended;
};

struct server {
    struct client_env env;
    unsigned max_clients, max_clients_per_user;
    struct listener *listener;
    char *path; /* NULL: the socket is the service manager's */
    sd_event_source *reap;
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

static void on_accepted(void *ctx, int fd)
{
    struct server *s = ctx;
    struct node *n = calloc(1, sizeof(*n));
    int r;

    if (n == NULL) {
        close(fd);
        listener_rest(s->listener, ENOMEM);
        return;
    }
    r = client_new(&n->client, &s->env, fd);
    if (r < 0) {
        free(n);
        listener_rest(s->listener, -r);
        return;
    }
    n->next = s->clients;
    s->clients = n;
    s->env.clients++;
    fanout_add(hub_fanout(s->env.hub), client_subscriber(n->client));
    check_limits(s, n->client);
}

static void on_refused(void *ctx, int fd)
{
    (void)ctx;
    client_turn_away(fd, "mnd has no descriptor left for another program: see LimitNOFILE");
}

static int own(const char *path, const char *group, gid_t gid)
{
    if (group[0] != '\0' && gid == GROUP_UNKNOWN)
        log_info("there is no group %s: only this daemon's user and group reach %s", group, path);
    else if (group[0] != '\0' && chown(path, (uid_t)-1, gid) < 0)
        log_warning("cannot give %s to group %s: %s", path, group, strerror(errno));
    return chmod(path, 0660) < 0 ? -errno : 0;
}

/* At the configured path, or where the service manager has it. The descriptor, or a negative errno after a sentence. */
static int open_socket(struct server *s, const struct config *config)
{
    char passed[sizeof(config->socket)], why[500];
    int fd = listener_passed(passed, sizeof(passed)), r;

    if (fd > 0 && strcmp(config->socket, passed) != 0 && strcmp(config->socket, SOCKET_PATH_DEFAULT) != 0)
        log_warning("programs connect at %s, where the service manager listens, and not at %s", passed, config->socket);
    if (fd != 0)
        return fd;
    fd = unix_listen(config->socket, SOCK_STREAM, BACKLOG, why, sizeof(why));
    if (fd < 0) {
        log_error("%s", why);
        return fd;
    }
    s->path = strdup(config->socket);
    r = s->path == NULL ? -ENOMEM : own(config->socket, config->group, s->env.roles.gids[ROLE_OBSERVER]);
    if (r == 0)
        return fd;
    log_error("cannot listen at %s: %s", config->socket, strerror(-r));
    unlink(config->socket);
    close(fd);
    return r;
}

int server_new(struct server **out, sd_event *event, const struct config *config, const struct site *site, struct hub *hub, struct sim_bus *sim)
{
    struct server *s = calloc(1, sizeof(*s));
    int fd, r;

    if (s == NULL)
        return -ENOMEM;
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
    fd = open_socket(s, config);
    if (fd < 0) {
        free(s->path);
        free(s);
        return fd;
    }
    if ((r = listener_new(&s->listener, event, fd, "new programs", on_accepted, on_refused, s)) < 0 || (r = readings_new(&s->env.readings, &s->env)) < 0 || (r = control_new(&s->env.control, &s->env)) < 0 ||
        (r = sessions_new(&s->env.sessions, &s->env, site)) < 0 || (r = inquiries_new(&s->env.inquiries, &s->env, site)) < 0 ||
        (r = sd_event_add_defer(event, &s->reap, on_reap, s)) < 0 ||
        (r = sd_event_source_set_enabled(s->reap, SD_EVENT_OFF)) < 0 ||
        (r = sd_event_add_time_relative(event, &s->env.turn, CLOCK_MONOTONIC, 0, 50, client_turn, &s->env)) < 0 ||
        (r = sd_event_source_set_enabled(s->env.turn, SD_EVENT_OFF)) < 0) {
        log_error("cannot serve programs: %s", strerror(-r));
        server_free(s);
        return r;
    }
    *out = s;
    return 0;
}

bool server_has_sessions(const struct server *s)
{
    return sessions_any(s->env.sessions);
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
    sd_event_source_disable_unref(s->reap);
    sd_event_source_disable_unref(s->env.turn);
    listener_free(s->listener);
    if (s->path != NULL)
        unlink(s->path);
    free(s->path);
    free(s);
}
