/*
 * One connection of a program: its messages in, its queue out. Replies and events of pens wait in one queue, which is
 * bounded in bytes. A client that does not read its replies is not asked for more requests: it waits for its full socket. One that lets events of pens
 * pile up all the same is disconnected, with a reason in the log. Telemetry waits on tapes that all
 * share; of those a client has its place only. What is urgent goes first, and one system call takes as much of both as there is.
 *
 * A client that asks faster than it is served waits in a line with its like, of which some requests are taken in each turn of the loop; while others
 * ask modestly, one every millisecond. So all floods together keep neither the pens nor anybody with a single request for long, and cost little
 * where that matters: who floods waits for its full socket.
 */
#pragma once

#include <systemd/sd-event.h>

#include "hub.h"
#include "role.h"
#include "user.h"

struct client;
struct readings;
struct control;
struct sessions;
struct inquiries;

struct client_env {
    sd_event *event;
    struct hub *hub;
    struct readings *readings; /* of the journal */
    struct control *control;
    struct sessions *sessions;
    struct inquiries *inquiries;
    struct role_map roles;
    struct sim_bus *sim; /* NULL: no simulated pens */
    bool usb;            /* looks for real ones */
    const char *journal_path;
    uint32_t queue_bytes, user_queue_bytes;
    struct user *users;
    struct client *line, *line_end; /* clients whose requests wait */
    uint64_t modest_us;    /* when one has asked who is not in the line */
    sd_event_source *turn; /* a timer that calls client_turn() on the env while there is a line */
    uint64_t began_us;
    unsigned clients;           /* connected now */
    uint64_t telemetry_dropped; /* batches that slow clients did not get */
    /* Answers a message of a program, at once or later: request(). */
    void (*dispatch)(struct client *c, struct client_env *env, const Mnc__ClientMessage *m);
    /* The client has hung up or was thrown out: free it, but not from within this call. */
    void (*ended)(void *ctx, struct client *c);
    void *ctx;
};

/* Owns fd from now on, also when it fails. */
int client_new(struct client **out, struct client_env *env, int fd);
void client_free(struct client *c);

/* Says goodbye to a connection that becomes no client, as far as its socket takes it. */
void client_turn_away(int fd, const char *reason);

/* The handler of env->turn. */
int client_turn(sd_event_source *s, uint64_t usec, void *env);

/* Whose program it is; good as long as the client is. */
const struct user *client_user(const struct client *c);

/* Says goodbye as far as the socket takes it, and ends. */
void client_end(struct client *c, const char *reason);

/* ---- for those who answer its requests (request.h) ---- */

struct subscriber *client_subscriber(struct client *c);
bool client_is_greeted(const struct client *c);
enum role client_role(const struct client *c);
/* "clinic 2.1 (pid 42)" */
const char *client_name(const struct client *c);
pid_t client_pid(const struct client *c);
/* A descriptor of the process that has connected, whoever holds its socket now, which becomes readable when that process ends. -ESRCH: it has; another
 * negative errno: it cannot be watched from here. */
int client_pidfd(const struct client *c);
/* An event. */
void client_tell(struct client *c, Mnc__ServerMessage *m);
/* It has said HELLO, and its name. */
void client_greet(struct client *c, const char *name);
/* The reply to the request of this id. */
void client_say(struct client *c, Mnc__ServerMessage *m, uint32_t id);
void client_say_done(struct client *c, uint32_t id);
void client_refuse(struct client *c, uint32_t id, Mnc__ErrorCode code, const char *format, ...) __attribute__((format(printf, 4, 5)));
