#include "brokers.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "frame.h"
#include "measure.h"

enum { NATS_PORT = 24222 };

char dir[64], path[96];
pid_t broker;

void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_peers: %s: %s\n", what, strerror(errno));
    if (broker > 0)
        kill(broker, SIGKILL);
    exit(1);
}

static int connect_any(const struct sockaddr *address, socklen_t size)
{
    for (int i = 0; i < 500; i++) {
        int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd >= 0 && connect(fd, address, size) == 0)
            return fd;
        close(fd);
        usleep(10000);
    }
    need(false, "the broker does not listen");
    return -1;
}

static int connect_unix(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    strcpy(address.sun_path, path);
    return connect_any((struct sockaddr *)&address, sizeof(address));
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "we");

    need(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0, name);
}

void say(int fd, const void *bytes, size_t n)
{
    need(send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n, "the broker hangs up");
}

/* ---- MQTT ---- */

static void mqtt_start(void)
{
    char config[128], text[256];
    const char *const arguments[] = {"mosquitto", "-c", config, NULL};

    snprintf(config, sizeof(config), "%s/mosquitto.conf", dir);
    snprintf(path, sizeof(path), "%s/mosquitto.sock", dir);
    snprintf(text, sizeof(text), "listener 0 %s\nallow_anonymous true\npersistence false\nlog_dest none\nuser root\n", path);
    write_file(config, text);
    broker = start_program(arguments);
    place(broker, PLACE_MEASURED);
}

static int mqtt_connect(unsigned number)
{
    uint8_t hello[] = {0x10, 17, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 5, 'b', '0', '0', '0', '0'}, answer[4];
    int fd = connect_unix();

    hello[15] = (uint8_t)('0' + number / 1000);
    hello[16] = (uint8_t)('0' + number / 100 % 10);
    hello[17] = (uint8_t)('0' + number / 10 % 10);
    hello[18] = (uint8_t)('0' + number % 10);
    say(fd, hello, sizeof(hello));
    need(recv(fd, answer, 4, MSG_WAITALL) == 4 && answer[0] == 0x20 && answer[3] == 0, "mosquitto refuses");
    return fd;
}

static int mqtt_subscribe(unsigned number)
{
    static const uint8_t subscribe[] = {0x82, 8, 0, 1, 0, 3, 't', '/', '#', 0};
    uint8_t answer[5];
    int fd = mqtt_connect(number);

    say(fd, subscribe, sizeof(subscribe));
    need(recv(fd, answer, 5, MSG_WAITALL) == 5 && answer[0] == 0x90, "mosquitto does not subscribe");
    return fd;
}

static size_t cut_mqtt(struct reading *r, const uint8_t *bytes, size_t n)
{
    size_t at = 0;

    for (;;) {
        size_t length = 0, head = 1;

        for (unsigned shift = 0; at + head < n; shift += 7) {
            length |= (size_t)(bytes[at + head] & 0x7f) << shift;
            if (bytes[at + head++] < 0x80)
                break;
        }
        if (at + head >= n || n - at - head < length)
            return at;
        r->messages += bytes[at] >> 4 == 3;
        at += head + length;
    }
}

static size_t mqtt_message(uint8_t *out, unsigned source)
{
    const uint8_t head[] = {0x30, (uint8_t)((PAYLOAD + 6) & 0x7f) | 0x80, (PAYLOAD + 6) >> 7, 0, 4, 't', '/', (uint8_t)('0' + source / 10),
                            (uint8_t)('0' + source % 10)};

    memcpy(out, head, sizeof(head));
    memset(out + sizeof(head), 'x', PAYLOAD);
    return sizeof(head) + PAYLOAD;
}

/* ---- NATS ---- */

static void nats_start(void)
{
    char port[8];
    const char *const arguments[] = {"nats-server", "-a", "127.0.0.1", "-p", port, NULL};

    snprintf(port, sizeof(port), "%d", NATS_PORT);
    broker = start_program(arguments);
    place(broker, PLACE_MEASURED);
}

static int nats_connect(unsigned number)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(NATS_PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = connect_any((struct sockaddr *)&address, sizeof(address)), one = 1;
    static const char hello[] = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n";
    char answer[4096];
    size_t n = 0;

    (void)number;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    say(fd, hello, strlen(hello));
    do {
        ssize_t got = recv(fd, answer + n, sizeof(answer) - 1 - n, 0);

        need(got > 0, "nats-server hangs up");
        n += (size_t)got;
        answer[n] = '\0';
    } while (strstr(answer, "PONG\r\n") == NULL);
    return fd;
}

static int nats_subscribe(unsigned number)
{
    static const char subscribe[] = "SUB t.* 1\r\nPING\r\n";
    char answer[6];
    int fd = nats_connect(number);

    say(fd, subscribe, strlen(subscribe));
    need(recv(fd, answer, 6, MSG_WAITALL) == 6, "nats-server does not subscribe");
    return fd;
}

static size_t cut_nats(struct reading *r, const uint8_t *bytes, size_t n)
{
    size_t at = 0;

    for (;;) {
        const uint8_t *end = memchr(bytes + at, '\n', n - at);
        size_t head = end != NULL ? (size_t)(end + 1 - bytes) - at : 0;

        if (head == 0)
            return at;
        if (bytes[at] == 'M') {
            if (n - at < head + PAYLOAD + 2)
                return at;
            head += PAYLOAD + 2;
            r->messages++;
        }
        at += head; /* a PING is not answered: the run is over before that matters */
    }
}

static size_t nats_message(uint8_t *out, unsigned source)
{
    int n = sprintf((char *)out, "PUB t.%02u %d\r\n", source, PAYLOAD);

    memset(out + n, 'x', PAYLOAD);
    out[n + PAYLOAD] = '\r';
    out[n + PAYLOAD + 1] = '\n';
    return (size_t)n + PAYLOAD + 2;
}

/* ---- D-Bus ---- */

#define BATCH "bta(btbs)a(btssssuutt)a(btssssuutt)"
#define POLICY "(a(u(" BATCH "))a(buu(" BATCH "))a(ss)bs)"

/* The broker is told its listener, and that everyone may do everything, over a connection of its own that stays open. */
static void dbus_broker_start(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int pair[2], listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), log[2];
    static sd_bus *controller;
    sd_bus_message *m = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    char fd[16], log_fd[16];
    const char *const arguments[] = {"dbus-broker", "--controller", fd, "--log", log_fd, "--machine-id", "0123456789abcdef0123456789abcdef", "--max-matches", "1000000",
                                     "--max-objects", "1000000", "--max-bytes", "1000000000", "--max-fds", "100000", NULL};
    int r;

    snprintf(path, sizeof(path), "%s/bus.sock", dir);
    strcpy(address.sun_path, path);
    need(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 512) == 0 &&
             fcntl(listener, F_SETFL, O_NONBLOCK) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, log) == 0,
         "sockets");
    fcntl(pair[0], F_SETFD, FD_CLOEXEC);
    snprintf(fd, sizeof(fd), "%d", pair[1]);
    snprintf(log_fd, sizeof(log_fd), "%d", log[1]);
    broker = start_program(arguments);
    place(broker, PLACE_MEASURED);
    close(pair[1]);
    r = sd_bus_new(&controller);
    if (r >= 0)
        r = sd_bus_set_fd(controller, pair[0], pair[0]);
    if (r >= 0)
        r = sd_bus_start(controller);
    if (r >= 0)
        r = sd_bus_message_new_method_call(controller, &m, NULL, "/org/bus1/DBus/Broker", "org.bus1.DBus.Broker", "AddListener");
    if (r >= 0)
        r = sd_bus_message_append(m, "oh", "/org/bus1/DBus/Listener/0", listener);
    if (r >= 0)
        r = sd_bus_message_append(m, "v", POLICY, 1, UINT32_MAX, true, UINT64_C(1), 1, true, UINT64_C(1), true, "", 1, true, UINT64_C(1), "", "", "", "", 0, 0,
                                  UINT64_C(0), UINT64_MAX, 1, true, UINT64_C(1), "", "", "", "", 0, 0, UINT64_C(0), UINT64_MAX, 0, 0, false, "session");
    if (r >= 0)
        r = sd_bus_call(controller, m, 0, &error, NULL);
    errno = -r;
    need(r >= 0, error.message != NULL ? error.message : "dbus-broker does not start");
    sd_bus_message_unref(m);
}

static void dbus_daemon_start(void)
{
    char config[128], option[160], text[1024];
    const char *const arguments[] = {"dbus-daemon", option, "--nofork", NULL};

    snprintf(path, sizeof(path), "%s/bus.sock", dir);
    snprintf(config, sizeof(config), "%s/bus.conf", dir);
    snprintf(option, sizeof(option), "--config-file=%s", config);
    snprintf(text, sizeof(text),
             "<busconfig><listen>unix:path=%s</listen><auth>EXTERNAL</auth><policy context=\"default\"><allow user=\"*\"/><allow send_destination=\"*\"/>"
             "<allow receive_sender=\"*\"/><allow own=\"*\"/></policy><limit name=\"max_connections_per_user\">1000</limit></busconfig>\n",
             path);
    write_file(config, text);
    broker = start_program(arguments);
    place(broker, PLACE_MEASURED);
    usleep(300000);
}

sd_bus *dbus_connect(void)
{
    char address[128];
    sd_bus *bus = NULL;
    int r = sd_bus_new(&bus);

    snprintf(address, sizeof(address), "unix:path=%s", path);
    if (r >= 0)
        r = sd_bus_set_address(bus, address);
    if (r >= 0)
        r = sd_bus_set_bus_client(bus, true);
    if (r >= 0)
        r = sd_bus_start(bus);
    for (const char *name = NULL; r >= 0 && name == NULL;)
        r = sd_bus_get_unique_name(bus, &name);
    errno = -r;
    need(r >= 0, "no connection to the bus");
    return bus;
}

static int dbus_subscribe(unsigned number)
{
    sd_bus *bus = dbus_connect();
    int r = sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", NULL, NULL, "s",
                               "type='signal',interface='bench.Pen'");

    (void)number;
    errno = -r;
    need(r >= 0, "the bus does not subscribe");
    return fcntl(sd_bus_get_fd(bus), F_DUPFD_CLOEXEC, 0);
}

static size_t cut_dbus(struct reading *r, const uint8_t *bytes, size_t n)
{
    size_t at = 0;

    while (n - at >= 16) {
        uint32_t body = mn_get_u32(bytes + at + 4), fields = mn_get_u32(bytes + at + 12);
        size_t length = 16 + (((size_t)fields + 7) & ~(size_t)7) + body;

        if (n - at < length)
            break;
        r->messages += bytes[at + 1] == 4 && body >= PAYLOAD;
        at += length;
    }
    return at;
}

void dbus_send(sd_bus *bus)
{
    static const uint8_t payload[PAYLOAD];
    sd_bus_message *m = NULL;

    need(sd_bus_message_new_signal(bus, &m, "/bench", "bench.Pen", "Telemetry") >= 0 && sd_bus_message_append_array(m, 'y', payload, PAYLOAD) >= 0 &&
             sd_bus_send(bus, m, NULL) >= 0,
         "signal");
    sd_bus_message_unref(m);
}

static const struct peer peers[] = {
    {"mosquitto", mqtt_start, mqtt_connect, mqtt_subscribe, cut_mqtt, mqtt_message},
    {"nats-server", nats_start, nats_connect, nats_subscribe, cut_nats, nats_message},
    {"dbus-broker", dbus_broker_start, NULL, dbus_subscribe, cut_dbus, NULL},
    {"dbus-daemon", dbus_daemon_start, NULL, dbus_subscribe, cut_dbus, NULL},
    {"mnd", NULL, NULL, NULL, cut_by_length, NULL},
};

const struct peer *peer_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        if (strcmp(peers[i].name, name) == 0)
            return &peers[i];
    }
    return NULL;
}
