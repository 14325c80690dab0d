/*
 * Clients: the programs that are connected to the daemon's socket. Here are their connections, what they are allowed to do, how much the daemon keeps for
 * them, and in which order they are served. What their requests mean is the handler's to know.
 *
 * Replies and events of pens are queued for each client, bounded in bytes and in messages. A client that does not read its replies is not asked for more
 * requests until it does; one whose queue fills with events all the same is disconnected, with a reason in the log. Telemetry is in rings that all share
 * (telemetry.h). What is urgent is sent first, and one system call takes as much of both as there is.
 *
 * Clients that send more requests than they are served are put into a backlog, which is served round-robin: some requests in each iteration of the loop,
 * and one in each millisecond while other clients send modestly. So all floods together delay neither the pens nor a single request, and a client that
 * floods waits for its full socket.
 *
 * Loop thread only.
 */
#pragma once

#include <systemd/sd-event.h>

#include "telemetry.h"

struct client;
struct clients;

/* Each role may do all that those before it may. */
enum role {
    ROLE_OBSERVER, /* see: pens, telemetry, records; and STOP, which everyone may */
    ROLE_OPERATOR, /* configure, arm, clear faults */
    ROLE_SERVICE,  /* clear service faults, take over a lease, monitor the traffic of others */
    ROLE_FACTORY,  /* write serial number and calibration */
    ROLES
};

const char *role_name(enum role r); /* "operator" */

struct clients_options {
    const char *socket;        /* where to listen, unless the service manager has passed a socket; NULL: nowhere */
    bool socket_is_named;      /* by somebody: warned about if the service manager listens elsewhere */
    const char *groups[ROLES]; /* the group that gives each role, an observer's being that of the socket; "": none does */
    unsigned max_clients, max_clients_per_user;
    uint32_t queue_bytes, user_queue_bytes; /* for one client; for all clients of a user */
};

struct clients_handler {
    void *ctx;
    /* A request, to be answered with one reply, now or later. m is valid during the call. */
    void (*request)(void *ctx, struct client *c, const Mnc__ClientMessage *m);
    /* The client has hung up or was disconnected, and is freed when this returns. */
    void (*gone)(void *ctx, struct client *c);
};

/* Listens. options is copied, but for its strings; fanout must stay. 0, or a negative errno with a sentence in the log. */
int clients_new(struct clients **out, sd_event *event, struct fanout *fanout, const struct clients_options *options, const struct clients_handler *handler);
/* Disconnects all, with this reason; handler->gone() is called for each. Takes NULL. */
void clients_disconnect_all(struct clients *all, const char *reason);
/* All must be disconnected. Takes NULL. */
void clients_free(struct clients *all);

/* Takes a connection as if it had been accepted; owns fd from now on, also when it fails. 0 or a negative errno. */
int clients_add(struct clients *all, int fd, struct client **out);
unsigned clients_count(const struct clients *all);
/* Messages of telemetry and traffic that slow clients have missed since the start. */
uint64_t clients_missed(const struct clients *all);
/* The name of the group that gives a role; "": none does. */
const char *clients_group(const struct clients *all, enum role r);

/* ---- one client ---- */

struct subscriber *client_subscriber(struct client *c);
enum role client_role(const struct client *c);
/* "clinic 2.1 (pid 42)"; valid as long as the client. */
const char *client_name(const struct client *c);
pid_t client_pid(const struct client *c);
/* A descriptor of the process that has connected, even if another holds its socket now, which becomes readable when that process ends; to be closed by the caller.
 * -ESRCH: it has ended; another negative errno: it cannot be watched from here. */
int client_pidfd(const struct client *c);

/* Whether it has sent HELLO; name is what it calls itself, of which 31 printable bytes are kept. */
bool client_is_greeted(const struct client *c);
void client_greet(struct client *c, const char *name);

/* Queues an event. */
void client_notify(struct client *c, Mnc__ServerMessage *m);
/* Queues the reply to the request of this id. */
void client_reply(struct client *c, Mnc__ServerMessage *m, uint32_t id);
/* ... which has nothing to say but that it is done. */
void client_reply_done(struct client *c, uint32_t id);
/* ... which is that it was rejected. */
void client_reject(struct client *c, uint32_t id, Mnc__ErrorCode code, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Says goodbye with this reason, as far as the socket takes it, and disconnects. The client is freed later. */
void client_disconnect(struct client *c, const char *reason);
