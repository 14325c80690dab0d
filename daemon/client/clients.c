#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "groups.h"
#include "listener.h"
#include "log.h"
#include "unix_socket.h"

enum { LISTEN_BACKLOG = 128, SOCKET_PATH_MAX = 108 };

/* ---- clients that come and go ---- */

static void drop(struct clients *all, struct client **at)
{
    struct client *c = *at;

    *at = c->next;
    all->count--;
    fanout_remove(all->fanout, &c->subscriber);
    all->handler.gone(all->handler.ctx, c);
    client_free(c);
}

static int on_reap(sd_event_source *source, void *userdata)
{
    struct clients *all = userdata;

    (void)source;
    for (struct client **at = &all->first; *at != NULL;) {
        if ((*at)->ended)
            drop(all, at);
        else
            at = &(*at)->next;
    }
    return 0;
}

void clients_reap_soon(struct clients *all)
{
    sd_event_source_set_enabled(all->reap, SD_EVENT_ONESHOT);
}

/* Disconnects the newest client, with the reason, if there are too many now. */
static void check_limits(const struct clients *all, struct client *c)
{
    const struct clients_options *o = &all->options;
    char reason[120];

    if (all->count > o->max_clients)
        snprintf(reason, sizeof(reason), "%u programs are connected, the limit is %u", all->count - 1, o->max_clients);
    else if (c->user->clients > o->max_clients_per_user)
        snprintf(reason, sizeof(reason), "%u programs of user %u are connected, the limit is %u", c->user->clients - 1, (unsigned)c->user->uid,
                 o->max_clients_per_user);
    else
        return;
    client_disconnect(c, reason);
}

int clients_add(struct clients *all, int fd, struct client **out)
{
    struct client *c;
    int r = client_new(&c, all, fd);

    if (r < 0)
        return r;
    c->next = all->first;
    all->first = c;
    all->count++;
    fanout_add(all->fanout, &c->subscriber);
    check_limits(all, c);
    *out = c;
    return 0;
}

static void on_accepted(void *ctx, int fd)
{
    struct clients *all = ctx;
    struct client *c;
    int r = clients_add(all, fd, &c);

    if (r < 0)
        listener_pause(all->listener, -r);
}

static void on_rejected(void *ctx, int fd)
{
    (void)ctx;
    output_reject_connection(fd, "mnd has no descriptor left for another program: see LimitNOFILE");
}

/* ---- the socket ---- */

static int set_owner(const char *path, const char *group, gid_t gid)
{
    if (group[0] != '\0' && gid == GROUP_UNKNOWN)
        log_info("there is no group %s: only this daemon's user and group reach %s", group, path);
    else if (group[0] != '\0' && chown(path, (uid_t)-1, gid) < 0)
        log_warning("cannot give %s to group %s: %s", path, group, strerror(errno));
    return chmod(path, 0660) < 0 ? -errno : 0;
}

/* Listens at the configured path, or takes the service manager's socket. Returns the descriptor, or a negative errno after a log message. */
static int open_socket(struct clients *all)
{
    const struct clients_options *o = &all->options;
    char passed[SOCKET_PATH_MAX], why[500];
    int fd = listener_passed(passed, sizeof(passed)), r;

    if (fd > 0 && o->socket_is_named && strcmp(o->socket, passed) != 0)
        log_warning("programs connect at %s, where the service manager listens, and not at %s", passed, o->socket);
    if (fd != 0)
        return fd;
    fd = unix_listen(o->socket, SOCK_STREAM, LISTEN_BACKLOG, why, sizeof(why));
    if (fd < 0) {
        log_error("%s", why);
        return fd;
    }
    all->path = strdup(o->socket);
    r = all->path == NULL ? -ENOMEM : set_owner(o->socket, all->roles.groups[ROLE_OBSERVER], all->roles.gids[ROLE_OBSERVER]);
    if (r == 0)
        return fd;
    log_error("cannot listen at %s: %s", o->socket, strerror(-r));
    unlink(o->socket);
    close(fd);
    return r;
}

/* ---- all of them ---- */

unsigned clients_count(const struct clients *all)
{
    return all->count;
}

uint64_t clients_missed(const struct clients *all)
{
    return all->missed;
}

const char *clients_group(const struct clients *all, enum role r)
{
    return all->roles.groups[r];
}

int clients_new(struct clients **out, sd_event *event, struct fanout *fanout, const struct clients_options *options, const struct clients_handler *handler)
{
    struct clients *all = calloc(1, sizeof(*all));
    int r;

    if (all == NULL)
        return -ENOMEM;
    all->event = event;
    all->fanout = fanout;
    all->options = *options;
    all->handler = *handler;
    role_map_load(&all->roles, options->groups);
    if (options->socket != NULL) {
        r = open_socket(all);
        if (r < 0) {
            clients_free(all);
            return r;
        }
        r = listener_new(&all->listener, event, r, "new programs", on_accepted, on_rejected, all);
    } else {
        r = 0;
    }
    if (r < 0 || (r = sd_event_add_defer(event, &all->reap, on_reap, all)) < 0 || (r = sd_event_source_set_enabled(all->reap, SD_EVENT_OFF)) < 0 ||
        (r = backlog_init(all)) < 0) {
        log_error("cannot serve programs: %s", strerror(-r));
        clients_free(all);
        return r;
    }
    *out = all;
    return 0;
}

void clients_disconnect_all(struct clients *all, const char *reason)
{
    while (all != NULL && all->first != NULL) {
        client_disconnect(all->first, reason);
        drop(all, &all->first);
    }
}

void clients_free(struct clients *all)
{
    if (all == NULL)
        return;
    sd_event_source_disable_unref(all->reap);
    sd_event_source_disable_unref(all->turn);
    listener_free(all->listener);
    if (all->path != NULL)
        unlink(all->path);
    free(all->path);
    free(all);
}
