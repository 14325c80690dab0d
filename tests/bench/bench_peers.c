/*
 * The same messages through mnd and through what people would take instead: bench_peers BROKER SUBSCRIBERS RATE [SECONDS]. 32 sources send messages
 * of 256 bytes RATE times a second each (0: as fast as the broker takes them), and every subscriber gets all of them. What is counted is the
 * broker's processor time for each message that a subscriber has read. Each subscriber is a raw connection in its broker's own protocol, all are
 * read by the one process, and all sources are written by another one. bench_peers round-trip: a method call by sd-bus through a bus.
 *
 *     mnd           pens that send a checked batch of telemetry, sim link; client socket
 *     mosquitto     MQTT 3.1.1, QoS 0, its Unix socket listener
 *     nats-server   its text protocol, loopback
 *     dbus-broker, dbus-daemon    signals
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "brokers.h"
#include "frame.h"
#include "harness.h"
#include "measure.h"
#include "pen.pb-c.h"
#include "process.h"
#include "simlink.h"

enum { CHUNK = 12 };

/* ---- pens ---- */

static void pen_send(int fd, uint8_t tag, const void *bytes, size_t n)
{
    struct iovec iov[2] = {{&tag, 1}, {(void *)(uintptr_t)bytes, n}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

    need(sendmsg(fd, &m, MSG_NOSIGNAL) >= 0, "mnd hangs up");
}

static uint16_t pen_sequence[SOURCES];

static size_t pen_frame(uint8_t *out, unsigned source, uint16_t type, uint16_t correlation, const uint8_t *payload, size_t n)
{
    struct mn_frame f = {.major = MN_PROTOCOL_MAJOR, .length = (uint16_t)n, .sequence = pen_sequence[source]++, .correlation = correlation, .type = type,
                         .session = 1, .payload = payload};

    return mn_frame_write(out, MN_FRAME_MAX, &f);
}

static void pen_hello(int fd, unsigned source, const struct mn_frame *f)
{
    Mnp__Hello *hello = mnp__hello__unpack(NULL, f->length, f->payload);
    Mnp__HelloReply h = MNP__HELLO_REPLY__INIT;
    uint8_t payload[256], bytes[MN_FRAME_MAX];
    char serial[16];

    if (hello == NULL) {
        need(false, "no HELLO");
        return;
    }
    snprintf(serial, sizeof(serial), "BENCH-%02u", source);
    h.has_nonce = h.has_session = h.has_boot_id = h.has_minor = h.has_window = h.has_frame_max = true;
    h.nonce = hello->nonce;
    h.session = h.boot_id = 1;
    h.serial = serial;
    h.window = 4;
    h.frame_max = MN_FRAME_MAX;
    pen_send(fd, SIMLINK_BULK_IN, bytes, pen_frame(bytes, source, f->type | MN_TYPE_REPLY, f->correlation, payload, mnp__hello_reply__pack(&h, payload)));
    mnp__hello__free_unpacked(hello, NULL);
}

/* A pen that only says HELLO, and then telemetry. */
static int pen_connect(const char *sim_socket, unsigned source)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    uint8_t bytes[SIMLINK_PACKET_MAX + 1], attach[] = {1, 'B', (uint8_t)('A' + source)};
    const uint8_t done = 0;

    strcpy(address.sun_path, sim_socket);
    need(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, sim_socket);
    pen_send(fd, SIMLINK_ATTACH, attach, sizeof(attach));
    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
        struct mn_frame_reader reader = {0};
        const uint8_t *p = bytes + 1;
        size_t left = n > 0 ? (size_t)n - 1 : 0;
        struct mn_frame f;

        need(n > 0, "mnd hangs up");
        if (bytes[0] == SIMLINK_CONTROL)
            pen_send(fd, SIMLINK_CONTROL, &done, 1);
        if (bytes[0] != SIMLINK_BULK_OUT || mn_frame_next(&reader, &p, &left, &f) != MN_FRAME_OK || f.type != MNP__FRAME_TYPE__TYPE_HELLO)
            continue;
        pen_hello(fd, source, &f);
        return fd;
    }
}

/* A batch of 256 bytes: boot_id, and a fast group of 38 samples of 6 columns, one byte each. */
static size_t pen_batch(uint8_t *out)
{
    enum { SAMPLES = 38 };
    uint8_t *p = out + 5;

    *p++ = 4 << 3; /* count */
    *p++ = SAMPLES;
    for (uint8_t column = 5; column < 11; column++) {
        *p++ = (uint8_t)(column << 3 | 2);
        *p++ = SAMPLES;
        memset(p, 2, SAMPLES);
        p += SAMPLES;
    }
    memcpy(out, (const uint8_t[]){1 << 3, 1, 6 << 3 | 2}, 3);
    out[3] = (uint8_t)((p - out - 5) | 0x80);
    out[4] = (uint8_t)((p - out - 5) >> 7);
    p[0] = 15 << 3 | 2; /* filled up with a field of a later minor */
    p[1] = (uint8_t)(out + PAYLOAD - p - 2);
    memset(p + 2, 0, p[1]);
    p += 2 + p[1];
    return (size_t)(p - out);
}

/* ---- sources ---- */

static void tick_start(int *timer, unsigned rate)
{
    struct itimerspec every = {.it_interval.tv_nsec = rate > 0 ? (long)(1000000000 / rate) : 0};

    every.it_value = every.it_interval;
    *timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    need(*timer >= 0 && timerfd_settime(*timer, 0, &every, NULL) == 0, "timer");
}

/* How many messages of each source are due; a source that falls far behind is not made up for at length. */
static uint64_t due(int timer, unsigned rate)
{
    uint64_t times = CHUNK; /* as fast as it can: so many in one write */

    if (rate > 0)
        need(read(timer, &times, sizeof(times)) == sizeof(times), "timer");
    return times < CHUNK ? times : CHUNK;
}

/* Several messages of one source go in one write, as a program in a hurry would do it. */
static void send_streams(const struct peer *peer, const int *fds, unsigned rate)
{
    static uint8_t chunks[SOURCES][CHUNK * (PAYLOAD + 64)];
    size_t length = 0;
    int timer;

    for (unsigned i = 0; i < SOURCES; i++) {
        length = peer->message(chunks[i], i);
        for (unsigned k = 1; k < CHUNK; k++)
            memcpy(chunks[i] + k * length, chunks[i], length);
    }
    tick_start(&timer, rate);
    for (;;) {
        uint64_t times = due(timer, rate);

        for (unsigned i = 0; i < SOURCES; i++)
            say(fds[i], chunks[i], times * length);
    }
}

static void send_signals(unsigned rate)
{
    sd_bus *buses[SOURCES];
    int timer;

    for (unsigned i = 0; i < SOURCES; i++)
        buses[i] = dbus_connect();
    tick_start(&timer, rate);
    for (;;) {
        for (uint64_t times = due(timer, rate); times > 0; times--) {
            for (unsigned i = 0; i < SOURCES; i++)
                dbus_send(buses[i]);
        }
        for (unsigned i = 0; i < SOURCES; i++)
            sd_bus_flush(buses[i]);
    }
}

static void send_batches(const char *sim_socket, unsigned rate)
{
    uint8_t batch[PAYLOAD + 64], transfer[CHUNK * (PAYLOAD + 32)];
    size_t n = pen_batch(batch);
    int fds[SOURCES], timer;

    need(n == PAYLOAD, "a batch of 256 bytes");
    for (unsigned i = 0; i < SOURCES; i++)
        fds[i] = pen_connect(sim_socket, i);
    tick_start(&timer, rate);
    for (;;) {
        uint64_t times = due(timer, rate);

        for (unsigned i = 0; i < SOURCES; i++) {
            size_t fill = 0;

            for (uint64_t k = 0; k < times; k++)
                fill += pen_frame(transfer + fill, i, MNP__FRAME_TYPE__TYPE_TELEMETRY, 0, batch, n);
            pen_send(fds[i], SIMLINK_BULK_IN, transfer, fill);
        }
    }
}

static pid_t start_sources(const struct peer *peer, const char *sim_socket, unsigned rate)
{
    pid_t pid = fork();
    int fds[SOURCES];

    need(pid >= 0, "fork");
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    place(0, PLACE_LOAD);
    if (sim_socket != NULL)
        send_batches(sim_socket, rate);
    if (peer->message == NULL)
        send_signals(rate);
    for (unsigned i = 0; i < SOURCES; i++)
        fds[i] = peer->connect(1000 + i);
    send_streams(peer, fds, rate);
    _exit(1);
}

/* ---- measuring ---- */

static void report(const char *name, unsigned subscribers, unsigned rate, const struct counts *c, uint64_t cpu_ns, double seconds)
{
    printf("{\"bench\": \"peers\", \"of\": {\"placement\": \"%s\", \"subscribers\": %u, \"rate_hz\": %u, \"by\": \"%s\"}, \"deliveries_per_s\": %.0f, "
           "\"delivered_share\": %.3f, \"cpu_percent\": %.1f, \"cpu_ns_per_delivery\": %.1f}\n",
           placement(), subscribers, rate, name, (double)c->messages / seconds,
           rate > 0 ? (double)c->messages / seconds / ((double)rate * SOURCES * subscribers) : 0, (double)cpu_ns / 1e7 / seconds,
           c->messages > 0 ? (double)cpu_ns / (double)c->messages : 0);
    fflush(stdout);
}

static void measure(const struct peer *peer, unsigned subscribers, unsigned rate, double seconds)
{
    bool ours = strcmp(peer->name, "mnd") == 0;
    const char *config = many_programs();
    int fds[SUBSCRIBERS_MAX];
    struct readers readers;
    struct counts c;
    struct harness h;
    uint64_t cpu_ns, began_ns;
    pid_t sources;

    if (ours) {
        harness_start(&h, 0, config);
        broker = h.daemon;
        place(broker, PLACE_MEASURED);
    } else {
        peer->start();
    }
    unlink(strchr(config, '/'));
    for (unsigned i = 0; i < subscribers; i++)
        fds[i] = ours ? program_connect(h.socket, true) : peer->subscribe(i);
    readers_start(&readers, fds, subscribers, peer->cut);
    sources = start_sources(peer, ours ? h.sim_socket : NULL, rate);
    usleep(1500000);
    readers_take(&readers);
    cpu_ns = process_cpu_ns(broker);
    began_ns = now_ns();
    usleep((unsigned)(seconds * 1e6));
    c = readers_take(&readers);
    cpu_ns = process_cpu_ns(broker) - cpu_ns;
    report(peer->name, subscribers, rate, &c, cpu_ns, (double)(now_ns() - began_ns) / 1e9);
    stop_process(sources);
    readers_stop(&readers);
    if (ours)
        harness_stop(&h);
    else
        stop_process(broker);
}

/* ---- a method call ---- */

enum { CALLS = 3000, WARM_UP = 200 };

static int on_echo(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    sd_bus_message *reply = NULL;
    const void *bytes;
    size_t n;
    int r;

    (void)userdata;
    (void)error;
    if ((r = sd_bus_message_read_array(m, 'y', &bytes, &n)) < 0 || (r = sd_bus_message_new_method_return(m, &reply)) < 0)
        return r;
    r = sd_bus_message_append_array(reply, 'y', bytes, n);
    if (r >= 0)
        r = sd_bus_send(NULL, reply, NULL);
    sd_bus_message_unref(reply);
    return r;
}

static void serve_echo(int ready)
{
    static const sd_bus_vtable table[] = {SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Echo", "ay", "ay", on_echo, SD_BUS_VTABLE_UNPRIVILEGED), SD_BUS_VTABLE_END};
    sd_bus *bus = dbus_connect();

    need(sd_bus_add_object_vtable(bus, NULL, "/bench", "bench.Pen", table, NULL) >= 0 && sd_bus_request_name(bus, "bench.Pen", 0) >= 0 &&
             write(ready, "", 1) == 1,
         "echo");
    for (;;) {
        int r = sd_bus_process(bus, NULL);

        if (r == 0)
            r = sd_bus_wait(bus, UINT64_MAX);
        if (r < 0)
            _exit(0);
    }
}

static void round_trips(const struct peer *peer)
{
    static uint64_t ns[CALLS];
    static const uint8_t payload[64];
    int ready[2];
    uint64_t cpu_ns = 0;
    char byte;
    pid_t echo;
    sd_bus *bus;

    peer->start();
    need(pipe(ready) == 0, "pipe");
    echo = fork();
    if (echo == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        place(0, PLACE_LOAD);
        serve_echo(ready[1]);
    }
    need(read(ready[0], &byte, 1) == 1, "echo");
    place(0, PLACE_LOAD);
    bus = dbus_connect();
    for (int i = 0; i < CALLS + WARM_UP; i++) {
        sd_bus_message *m = NULL, *reply = NULL;
        uint64_t began = now_ns();

        if (i == WARM_UP)
            cpu_ns = process_cpu_ns(broker);
        need(sd_bus_message_new_method_call(bus, &m, "bench.Pen", "/bench", "bench.Pen", "Echo") >= 0 &&
                 sd_bus_message_append_array(m, 'y', payload, sizeof(payload)) >= 0 && sd_bus_call(bus, m, 0, NULL, &reply) >= 0,
             "call");
        if (i >= WARM_UP)
            ns[i - WARM_UP] = now_ns() - began;
        sd_bus_message_unref(m);
        sd_bus_message_unref(reply);
    }
    cpu_ns = process_cpu_ns(broker) - cpu_ns;
    qsort(ns, CALLS, sizeof(ns[0]), compare);
    printf("{\"bench\": \"rtt\", \"of\": {\"placement\": \"%s\", \"by\": \"sd-bus through %s\"}, \"p50_us\": %.1f, \"p99_us\": %.1f, \"middle_cpu_us\": %.1f}\n",
           placement(), peer->name, percentile_us(ns, CALLS, 50), percentile_us(ns, CALLS, 99), (double)cpu_ns / 1000 / CALLS);
    stop_process(echo);
    stop_process(broker);
}

static const struct peer *chosen;
static unsigned subscribers, rate_hz;
static double seconds = 3;

static void bench_peers(void **state)
{
    (void)state;
    if (subscribers == 0)
        round_trips(chosen);
    else
        measure(chosen, subscribers, rate_hz, seconds);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench_peers)};
    bool calls = argc == 3 && strcmp(argv[2], "round-trip") == 0;
    int r;

    chosen = argc > 1 ? peer_by_name(argv[1]) : NULL;
    subscribers = !calls && argc > 3 ? (unsigned)atoi(argv[2]) : 0;
    rate_hz = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
    seconds = argc > 4 ? atof(argv[4]) : seconds;
    if (chosen == NULL || subscribers > SUBSCRIBERS_MAX || rate_hz > 10000 || (subscribers == 0 && (!calls || strncmp(chosen->name, "dbus", 4) != 0))) {
        fprintf(stderr, "usage: bench_peers mnd|mosquitto|nats-server|dbus-broker|dbus-daemon SUBSCRIBERS RATE [SECONDS]\n"
                        "       bench_peers dbus-broker|dbus-daemon round-trip\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    strcpy(dir, "/tmp/mn-peers.XXXXXX");
    need(mkdtemp(dir) != NULL, dir);
    r = cmocka_run_group_tests_name("peers", tests, NULL, NULL);
    snprintf(path, sizeof(path), "rm -rf '%s'", dir);
    return system(path) == 0 ? r : 1;
}
