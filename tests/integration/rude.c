#include "rude.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client.pb-c.h"
#include "pen.pb-c.h"
#include "process.h"

enum { FLOODERS_MAX = 64 };

static const char *const FLOODING_PEN = "FLOOD-1";

static size_t message(uint8_t *out, Mnc__ClientMessage *m, uint32_t id, Mnc__ClientMessage__BodyCase body)
{
    size_t n;

    m->has_id = true;
    m->id = id;
    m->body_case = body;
    n = mnc__client_message__pack(m, out + 4);
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(n >> 8 * i);
    return 4 + n;
}

size_t rude_hello(uint8_t *out)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Hello body = MNC__HELLO__INIT;

    body.has_major = body.has_minor = true;
    body.major = 1;
    body.client_name = (char *)(uintptr_t) "rude";
    m.hello = &body;
    return message(out, &m, 1, MNC__CLIENT_MESSAGE__BODY_HELLO);
}

size_t rude_list(uint8_t *out, uint32_t id)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__List body = MNC__LIST__INIT;

    m.list = &body;
    return message(out, &m, id, MNC__CLIENT_MESSAGE__BODY_LIST);
}

size_t rude_daemon_info(uint8_t *out, uint32_t id)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__DaemonInfo body = MNC__DAEMON_INFO__INIT;

    m.daemon_info = &body;
    return message(out, &m, id, MNC__CLIENT_MESSAGE__BODY_DAEMON_INFO);
}

size_t rude_subscribe(uint8_t *out)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Subscribe body = MNC__SUBSCRIBE__INIT;

    body.has_telemetry = body.telemetry = true;
    m.subscribe = &body;
    return message(out, &m, 2, MNC__CLIENT_MESSAGE__BODY_SUBSCRIBE);
}

size_t rude_watch(uint8_t *out)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Watch body = MNC__WATCH__INIT;

    m.watch = &body;
    return message(out, &m, 3, MNC__CLIENT_MESSAGE__BODY_WATCH);
}

size_t rude_call(uint8_t *out, uint32_t id, const char *serial, uint32_t pen_type)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Call body = MNC__CALL__INIT;

    body.serial = (char *)(uintptr_t)serial;
    body.has_pen_type = true;
    body.pen_type = pen_type;
    m.call = &body;
    return message(out, &m, id, MNC__CLIENT_MESSAGE__BODY_CALL);
}

static int try_connect(const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, socket_path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

int rude_connect(const char *socket_path)
{
    int fd = try_connect(socket_path);

    if (fd < 0)
        fail_msg("cannot connect: %s", strerror(errno));
    return fd;
}

int rude_greet(const char *socket_path)
{
    uint8_t bytes[128];
    size_t n = rude_hello(bytes);
    int fd = rude_connect(socket_path);

    assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
    return fd;
}

bool rude_fill(int fd, uint32_t *asked)
{
    uint8_t bytes[128];

    for (;;) {
        size_t n = rude_list(bytes, 10 + *asked);

        if (send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
            return errno == EAGAIN;
        ++*asked;
    }
}

void rude_descriptors(const struct harness *h, int *fds, size_t n)
{
    rlim_t some = (rlim_t)process_descriptors(h->daemon) + n / 2;
    struct rlimit limit = {some, some};

    assert_int_equal(prlimit(h->daemon, RLIMIT_NOFILE, &limit, NULL), 0);
    for (size_t i = 0; i < n; i++)
        fds[i] = rude_connect(h->socket); /* the kernel takes them; the daemon cannot */
}

/* ---- floods ---- */

/* Asks as fast as the daemon takes it, and reads what comes. False: thrown out. */
static bool flood_once(int fd, uint32_t *id)
{
    static uint8_t sink[65536];
    uint8_t bytes[4096];
    size_t n = 0;

    while (n + 256 < sizeof(bytes)) {
        n += rude_list(bytes + n, ++*id);
        n += rude_call(bytes + n, ++*id, FLOODING_PEN, MNP__FRAME_TYPE__TYPE_STATUS);
    }
    /* what does not fit is cut anywhere: the daemon may well hang up for it */
    return (send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || errno == EAGAIN) && recv(fd, sink, sizeof(sink), MSG_DONTWAIT) != 0;
}

/* In a process of its own, where no test can fail: a client that is disconnected connects again. */
static void flood_with_clients(const char *socket_path, unsigned n)
{
    uint8_t hello[128];
    size_t hello_length = rude_hello(hello);
    int fds[FLOODERS_MAX];
    uint32_t id = 10;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; i < n; i++)
        fds[i] = -1;
    for (;;) {
        for (unsigned i = 0; i < n; i++) {
            if (fds[i] >= 0 && flood_once(fds[i], &id))
                continue;
            close(fds[i]);
            fds[i] = try_connect(socket_path);
            if (fds[i] >= 0 && send(fds[i], hello, hello_length, MSG_NOSIGNAL) < 0)
                poll(NULL, 0, 1);
        }
    }
}

void flood_begin(struct flood *f, struct harness *h, unsigned clients)
{
    const char *const pen[] = {"--speed", "2000", "--serial", FLOODING_PEN, NULL};

    assert_in_range(clients, 0, FLOODERS_MAX);
    harness_stub(h, pen);
    harness_wait_ready(h, 1);
    f->h = h;
    f->count = clients;
    f->stopper = harness_client(h);
    f->clients = fork();
    if (f->clients == 0)
        flood_with_clients(h->socket, clients);
    harness_run(h, 500);
}

uint64_t flood_stop_us(struct flood *f)
{
    struct timespec began, ended;

    clock_gettime(CLOCK_MONOTONIC, &began);
    if (mn_stop(f->stopper, FLOODING_PEN, T) != MN_OK)
        fail_msg("%s", mn_message(f->stopper));
    clock_gettime(CLOCK_MONOTONIC, &ended);
    harness_run(f->h, 1);
    return (uint64_t)((ended.tv_sec - began.tv_sec) * 1000000 + (ended.tv_nsec - began.tv_nsec) / 1000);
}

void flood_end(struct flood *f)
{
    struct mn_daemon before, after;

    harness_ok(f->h, mn_daemon_info(f->h->c, &before, T));
    harness_run(f->h, 1000);
    harness_ok(f->h, mn_daemon_info(f->h->c, &after, T));
    assert_true(after.clients >= f->count / 2);
    print_message("# the pen sent %lu batches a second, not 20\n", (unsigned long)(after.telemetry_batches - before.telemetry_batches));
    assert_true(after.telemetry_batches - before.telemetry_batches > 100); /* under sanitizers; else thousands */
    mn_close(f->stopper);
    kill(f->clients, SIGKILL);
    waitpid(f->clients, NULL, 0);
}
