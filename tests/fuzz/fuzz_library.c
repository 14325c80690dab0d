/*
 * libmn against a daemon that says anything. The input is a row of turns: a call that the program makes (a byte; from CALL_COUNT on none, 255: bytes that are no message), how
 * long the daemon's answer is (12 bits, the lower ones first), and the answer: it gets the call's id. Time that the library would wait goes by at once.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t n);
int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

#define PEN "FUZZ"
#define MS 100
#define RAW 255

static uint64_t seen, waited_ms;
static mn_client *client; /* NULL: it connects for the first time */
static int daemon_fd = -1;
static unsigned connections;

static void tell(int fd, const uint8_t *data, size_t n, uint32_t id);

/* The daemon's end of each connection is this program's, and says hello before it is asked. Only a few are taken. */
int __wrap_socket(int domain, int type, int protocol)
{
    int fds[2];

    if (connections == 3 || socketpair(domain, type, protocol, fds) < 0)
        return -1;
    connections++;
    if (daemon_fd >= 0)
        close(daemon_fd);
    daemon_fd = fds[1];
    return fds[0];
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t n)
{
    static const uint8_t hello[] = {0x1a, 0x0b, 0x08, 0x01, 0x10, 0x06, 0x1a, 0x03, '0', '.', '1', 0x20, 0x03};

    (void)fd;
    (void)address;
    (void)n;
    tell(daemon_fd, hello, sizeof(hello), client != NULL ? client->last_id + 1 : 1);
    return 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    int r = __real_poll(fds, n, 0);

    if (r == 0)
        waited_ms += timeout_ms > 0 ? (uint64_t)timeout_ms : 0;
    return r;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    int r = __real_clock_gettime(id, t);

    t->tv_sec += (time_t)(waited_ms / 1000);
    return r;
}

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    (void)user;
    seen += (uint64_t)e->kind + strlen(mn_message(c));
    if (e->kind == MN_EVENT_TRAFFIC) {
        char *line = mn_traffic_json(e->traffic);

        seen += line != NULL ? strlen(line) : 0;
        free(line);
    }
}

static void on_result(mn_client *c, const struct mn_result *r, void *user)
{
    (void)c;
    (void)user;
    seen += (uint64_t)r->error + strlen(r->message);
}

static void read_pens(mn_client *c, bool watch)
{
    struct mn_pens pens;

    if ((watch ? mn_watch(c, true, &pens, MS) : mn_list(c, &pens, MS)) == MN_OK)
        mn_pens_free(&pens);
}

static void read_records(mn_client *c, const struct mn_filter *filter)
{
    struct mn_records records;

    if (mn_records_read(c, NULL, filter, &records, MS) == MN_OK)
        mn_records_free(&records);
}

static void read_flight(mn_client *c)
{
    struct mn_flight flight;

    if (mn_flight_get(c, &(struct mn_cursor){1, 1}, &flight, MS) == MN_OK)
        mn_flight_free(&flight);
}

static void read_sessions(mn_client *c)
{
    struct mn_sessions sessions;

    if (mn_session_list(c, &(struct mn_session_filter){.subject = "K"}, &sessions, MS) == MN_OK)
        mn_sessions_free(&sessions);
}

static void ping(mn_client *c)
{
    uint64_t us;

    mn_ping(c, PEN, 16, &us, MS);
}

static void simulate(mn_client *c)
{
    char answer[64];

    mn_simulate(c, PEN, "truth", answer, sizeof(answer), MS);
}

static const struct mn_filter filter = {.serial = PEN, .kinds = 12, .priorities = "HM", .since_us = 1, .until_us = UINT64_MAX};
static const struct mn_plan plan = {.subject = "K", .indication = "SCARS", .step_count = 1, .step = {{8, 500, 1000, "why"}}, .answer = {{.answered = true, .ever = true, .confirmed_by = "Dr"}, {.answered = true, .yes = true}}, .numbed = true, .numbing_waiver = "why"};
static const struct mn_calibration calibration = {.depth_gain_ppm = 1000000, .rate_gain_ppm = 1000000};
static const uint32_t generation = 1;
static const uint8_t response[32];

/* What is filled, and not looked at. */
static union {
    struct mn_info info;
    struct mn_status status;
    struct mn_config config;
    struct mn_cleared cleared;
    struct mn_policy policy;
    struct mn_findings findings;
    struct mn_session session;
    struct mn_verified verified;
    struct mn_factory factory;
    struct mn_daemon daemon;
    uint8_t challenge[16];
} out;

#define CALLS(X)                                                                                                       \
    X(read_pens(c, false))                                                                                             \
    X(read_pens(c, true))                                                                                              \
    X(mn_pen_info(c, PEN, &out.info, MS))                                                                              \
    X(mn_pen_status(c, PEN, &out.status, MS))                                                                          \
    X(mn_config_get(c, PEN, &out.config, MS))                                                                          \
    X(mn_config_set(c, PEN, &(struct mn_config){.present = 63, .depth_um = 500}, &generation, &out.config, MS))        \
    X(mn_config_reset(c, PEN, &generation, &out.config, MS))                                                           \
    X(mn_lease_take(c, PEN, MS))                                                                                       \
    X(mn_lease_release(c, PEN, MS))                                                                                    \
    X(mn_lease_take_over(c, PEN, MS))                                                                                  \
    X(mn_lease_request(c, PEN, MS))                                                                                    \
    X(mn_lease_give(c, PEN, 1, MS))                                                                                    \
    X(mn_stop(c, PEN, MS))                                                                                             \
    X(mn_self_test(c, PEN, &out.status, MS))                                                                           \
    X(ping(c))                                                                                                         \
    X(mn_faults_clear(c, PEN, 1401, true, &out.cleared, MS))                                                           \
    X(mn_policy_get(c, "name: X", &out.policy, MS))                                                                    \
    X(mn_session_check(c, PEN, &plan, &out.findings, MS))                                                              \
    X(mn_session_begin(c, PEN, &plan, &out.session, MS))                                                               \
    X(mn_session_select(c, PEN, 8, &out.session, MS))                                                                  \
    X(mn_session_arm(c, PEN, 1, &out.session, MS))                                                                     \
    X(mn_session_end(c, PEN, true, &out.session, MS))                                                                  \
    X(read_sessions(c))                                                                                                \
    X(mn_session_get(c, 1, &out.session, MS))                                                                          \
    X(mn_session_adverse(c, 1, 1, MS))                                                                                 \
    X(mn_clock_confirm(c, MS))                                                                                         \
    X(mn_subscribe(c, PEN, true, MS))                                                                                  \
    X(mn_pace(c, 10, 100, MS))                                                                                         \
    X(read_records(c, &filter))                                                                                        \
    X(mn_records_follow(c, NULL, &filter, MS))                                                                         \
    X(mn_records_unfollow(c))                                                                                          \
    X(mn_records_exported(c, &(struct mn_cursor){1, 1}, MS))                                                           \
    X(read_flight(c))                                                                                                  \
    X(mn_journal_verify(c, &out.verified, MS))                                                                         \
    X(mn_journal_backup(c, backup_fd, MS))                                                                               \
    X(mn_factory_get(c, PEN, &out.factory, MS))                                                                        \
    X(mn_factory_challenge(c, PEN, out.challenge, MS))                                                                 \
    X(mn_factory_enter(c, PEN, response, MS))                                                                          \
    X(mn_factory_arm(c, PEN, 1, MS))                                                                                   \
    X(mn_factory_try(c, PEN, &calibration, MS))                                                                        \
    X(mn_factory_write(c, PEN, "NEW", "UDI", &calibration, &out.factory, MS))                                          \
    X(mn_factory_leave(c, PEN, true, &out.status, MS))                                                                 \
    X(mn_factory_provoke(c, PEN, 100, response, 3, MS))                                                                \
    X(mn_monitor(c, true, MS))                                                                                         \
    X(mn_daemon_info(c, &out.daemon, MS))                                                                              \
    X(simulate(c))                                                                                                     \
    X(mn_records_read_async(c, NULL, &filter, MS, on_result, NULL))                                                    \
    X(mn_session_begin_async(c, PEN, &plan, MS, on_result, NULL))                                                      \
    X(mn_list_async(c, MS, on_result, NULL))

#define ONE(call) +1
enum { CALL_COUNT = 0 CALLS(ONE) };

static void make_call(mn_client *c, unsigned number, int backup_fd)
{
    unsigned at = 0;

#define IF_IT(call)                                                                                                    \
    if (at++ == number)                                                                                                \
        call;
    CALLS(IF_IT)
}

/* The daemon's message; with the id of the call that comes next, or without. */
static void tell(int fd, const uint8_t *data, size_t n, uint32_t id)
{
    uint8_t bytes[4 + 6 + 4096];
    size_t at = 4;

    if (id != 0) {
        bytes[at++] = 0x08;
        for (; id >= 0x80; id >>= 7)
            bytes[at++] = (uint8_t)(id | 0x80);
        bytes[at++] = (uint8_t)id;
    }
    memcpy(bytes + at, data, n);
    at += n;
    bytes[0] = (uint8_t)(at - 4);
    bytes[1] = (uint8_t)((at - 4) >> 8);
    bytes[2] = bytes[3] = 0;
    send(fd, bytes, at, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void play(mn_client *c, int backup_fd, const uint8_t *data, size_t size)
{
    uint8_t sent[4096];

    while (size >= 3 && daemon_fd >= 0) {
        size_t n = data[1] | (size_t)(data[2] & 15) << 8;
        unsigned number = data[0];

        data += 3;
        size -= 3;
        n = n > size ? size : n;
        if (number == RAW)
            send(daemon_fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        else
            tell(daemon_fd, data, n, number < CALL_COUNT ? c->last_id + 1 : 0);
        if (number < CALL_COUNT)
            make_call(c, number, backup_fd);
        else
            mn_process(c);
        while (recv(daemon_fd, sent, sizeof(sent), MSG_DONTWAIT) > 0)
            ;
        data += n;
        size -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int backup_fd = -1;
    const struct mn_options options = {.socket = "/nowhere", .name = "fuzz", .reconnect = size > 0 && data[0] & 1, .on_event = on_event};
    char why[200];

    if (backup_fd < 0)
        backup_fd = memfd_create("backup", MFD_CLOEXEC);
    if (backup_fd < 0 || ftruncate(backup_fd, 0) < 0)
        abort();
    connections = 0;
    client = NULL;
    if (mn_connect(&client, &options, why, sizeof(why)) != MN_OK)
        abort();
    play(client, backup_fd, data + (size > 0), size > 0 ? size - 1 : 0);
    for (int i = 0; i < 3; i++) {
        if (i == 0)
            shutdown(daemon_fd, SHUT_RDWR);
        mn_process(client);
        waited_ms += 3000;
    }
    mn_close(client);
    close(daemon_fd);
    daemon_fd = -1;
    return 0;
}
