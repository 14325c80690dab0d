#include "stopping_pen.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct harness h;
struct port pen;
const char *control;
const char *const P = "STOPPER";

uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

const struct mn_pen *seen(void)
{
    static const struct mn_pen never;

    for (size_t i = 0; i < h.pen_count; i++) {
        if (strcmp(h.pens[i].serial, P) == 0)
            return &h.pens[i];
    }
    return &never;
}

/* One line to the pen that is a USB device. */
static void tell(const char *line, char *answer, size_t cap)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ssize_t n;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", control);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_true(send(fd, line, strlen(line), MSG_NOSIGNAL) > 0);
    n = recv(fd, answer, cap - 1, 0);
    if (n <= 0)
        fail_msg("the pen has no answer to \"%s\": %s", line, n < 0 ? strerror(errno) : "it has hung up");
    answer[n] = '\0';
    close(fd);
}

struct truth truth(void)
{
    struct truth t = {.state = (int)pen.vpen.pen.state, .rate_hz = pen.vpen.model.rate_hz, .trigger = pen.vpen.pen.trigger_held, .fault_word = pen.vpen.pen.faults.word};
    unsigned long long clock_ms, moved_ms;
    char answer[512], *at;

    if (control == NULL)
        return t;
    tell("truth", answer, sizeof(answer));
    assert_int_equal(sscanf(answer, "ok state=%d rate_hz=%lf", &t.state, &t.rate_hz), 2);
    at = strstr(answer, "trigger=");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "trigger=%d time_ms=%*u fault_word=%x", &t.trigger, &t.fault_word), 2);
    at = strstr(answer, "clock_ms=");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "clock_ms=%llu moved_ms=%llu", &clock_ms, &moved_ms), 2);
    t.clock_ms = clock_ms;
    t.moved_ms = moved_ms;
    return t;
}

void turn(void)
{
    struct pollfd fds[2] = {{.fd = mn_fd(h.c), .events = mn_events(h.c)}, {.fd = pen.fd, .events = POLLIN}};

    if (control == NULL)
        port_advance(&pen, now_us() / 1000);
    poll(fds, pen.fd >= 0 ? 2 : 1, control == NULL ? 1 : 10);
    if (pen.fd >= 0 && fds[1].revents != 0 && !port_readable(&pen))
        port_detach(&pen);
    mn_process(h.c);
}

void say(const char *line)
{
    char answer[512];

    if (control != NULL)
        tell(line, answer, sizeof(answer));
    else
        port_command(&pen, line, answer, sizeof(answer));
    assert_memory_equal(answer, "ok", 2);
}

void plug(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    uint64_t end_us = now_us() + 20000000;

    if (control != NULL) {
        close(fd);
        return;
    }
    strcpy(address.sun_path, h.sim_socket);
    while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        assert_true(now_us() < end_us);
        turn();
    }
    port_attach(&pen, fd, fd, fd);
}

void settle(void)
{
    uint64_t end_us = now_us() + 50000;

    while (now_us() < end_us)
        turn();
}
