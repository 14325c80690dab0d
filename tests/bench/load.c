#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rude.h"

enum { BYTES = 256 * 1024, FDS_MAX = 512, PENS_MAX = 300 };

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

const char *placement(void)
{
    const char *text = getenv("MN_PLACEMENT");

    return text != NULL ? text : "free";
}

void place(pid_t pid, enum place where)
{
    bool one = strcmp(placement(), "one") == 0, split = strcmp(placement(), "split") == 0;
    cpu_set_t set;

    if (!one && !split)
        return;
    CPU_ZERO(&set);
    CPU_SET(split && where == PLACE_LOAD ? 1 : 0, &set);
    need(sched_setaffinity(pid, sizeof(set), &set) == 0, "placement on processors 0 and 1");
}

/* ---- reading ---- */

static uint32_t get_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

size_t cut_by_length(struct reading *r, const uint8_t *bytes, size_t n)
{
    size_t at = 0;

    while (n - at >= 4 && n - at - 4 >= get_u32(bytes + at)) {
        at += 4 + (size_t)get_u32(bytes + at);
        r->messages++;
    }
    return at;
}

struct field {
    uint64_t number, value;      /* of a varint */
    const uint8_t *bytes, *end;  /* of bytes */
};

static uint64_t varint(const uint8_t **p)
{
    uint64_t v = 0;

    for (unsigned shift = 0;; shift += 7) {
        v |= (uint64_t)(**p & 0x7f) << shift;
        if (*(*p)++ < 0x80)
            return v;
    }
}

/* The daemon's messages are trusted here. */
static bool next_field(const uint8_t **p, const uint8_t *end, struct field *f)
{
    uint64_t key;

    if (*p >= end)
        return false;
    key = varint(p);
    *f = (struct field){.number = key >> 3};
    f->value = varint(p);
    if ((key & 7) == 2) {
        f->bytes = *p;
        f->end = *p += f->value;
    }
    return true;
}

static void follow(struct reading *r, uint64_t pen, const uint8_t *p, const uint8_t *end)
{
    struct field f;

    while (next_field(&p, end, &f)) {
        uint64_t first = 0, count = 0;
        struct field in;

        if (f.number != 6) /* TelemetryBatch.fast */
            continue;
        for (const uint8_t *q = f.bytes; next_field(&q, f.end, &in) && in.number <= 4;) {
            first = in.number == 1 ? in.value : first;
            count = in.number == 4 ? in.value : count;
        }
        r->samples += count;
        if (r->next[pen % PENS_MAX] != 0 && first > r->next[pen % PENS_MAX])
            r->holes += first - r->next[pen % PENS_MAX];
        r->next[pen % PENS_MAX] = first + count;
    }
}

size_t cut_telemetry(struct reading *r, const uint8_t *bytes, size_t n)
{
    size_t at = 0;

    for (; n - at >= 4 && n - at - 4 >= get_u32(bytes + at); at += 4 + (size_t)get_u32(bytes + at)) {
        const uint8_t *p = bytes + at + 4, *end = p + get_u32(bytes + at);
        struct field message, f;
        uint64_t pen = 0;

        while (next_field(&p, end, &message)) {
            if (message.number != 17) /* ServerMessage.telemetry */
                continue;
            r->messages++;
            for (const uint8_t *q = message.bytes; next_field(&q, message.end, &f);) {
                if (f.number == 1)
                    pen = f.value;
                else if (f.number == 3)
                    follow(r, pen, f.bytes, f.end);
            }
        }
    }
    return at;
}

static void read_on(int fd, struct reading *r, uint8_t *buffer, size_t *fill, struct counts *counts, cut_fn *cut)
{
    struct reading before = {.messages = r->messages, .samples = r->samples, .holes = r->holes};
    ssize_t n = recv(fd, buffer + *fill, BYTES - *fill, MSG_DONTWAIT);
    size_t used;

    if (n <= 0)
        return;
    *fill += (size_t)n;
    used = cut(r, buffer, *fill);
    memmove(buffer, buffer + used, *fill - used);
    *fill -= used;
    counts->messages += r->messages - before.messages;
    counts->samples += r->samples - before.samples;
    counts->holes += r->holes - before.holes;
    counts->bytes += (uint64_t)n;
}

static void read_all(const int *fds, unsigned n, struct counts *counts, cut_fn *cut)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct reading *of = calloc(n, sizeof(*of));
    uint8_t **rest = calloc(n, sizeof(*rest)), *buffer = malloc(BYTES);
    size_t *fill = calloc(n, sizeof(*fill));
    struct epoll_event events[64];

    need(epoll >= 0 && of != NULL && rest != NULL && buffer != NULL && fill != NULL, "readers");
    for (unsigned i = 0; i < n; i++) {
        rest[i] = malloc(8192);
        need(rest[i] != NULL && epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &(struct epoll_event){.events = EPOLLIN, .data.u32 = i}) == 0, "readers");
    }
    for (;;) {
        int ready = epoll_wait(epoll, events, 64, -1);

        counts->wakeups++;
        for (int k = 0; k < ready; k++) {
            uint32_t i = events[k].data.u32;

            if (events[k].events & EPOLLHUP && !(events[k].events & EPOLLIN))
                epoll_ctl(epoll, EPOLL_CTL_DEL, fds[i], NULL);
            memcpy(buffer, rest[i], fill[i]); /* one large buffer for all, what is left of a message in a small one */
            read_on(fds[i], &of[i], buffer, &fill[i], counts, cut);
            need(fill[i] <= 8192, "a message of more than 8 KiB");
            memcpy(rest[i], buffer, fill[i]);
        }
    }
}

static pid_t fork_load(void)
{
    pid_t pid = fork();

    need(pid >= 0, "fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        place(0, PLACE_LOAD);
    }
    return pid;
}

void readers_start(struct readers *r, const int *fds, unsigned n, cut_fn *cut)
{
    r->counts = mmap(NULL, 2 * sizeof(*r->counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    need(r->counts != MAP_FAILED, "shared memory");
    r->pid = fork_load();
    if (r->pid == 0)
        read_all(fds, n, r->counts, cut);
    for (unsigned i = 0; i < n; i++)
        close(fds[i]);
}

struct counts readers_take(struct readers *r)
{
    struct counts now = *r->counts, *before = &r->counts[1], out;

    out = (struct counts){now.messages - before->messages, now.samples - before->samples, now.holes - before->holes, now.bytes - before->bytes,
                          now.wakeups - before->wakeups};
    *before = now;
    return out;
}

void readers_stop(struct readers *r)
{
    stop_process(r->pid);
    munmap(r->counts, 2 * sizeof(*r->counts));
}

const char *many_programs(void)
{
    static const char text[] = "max_clients: 1024\nmax_clients_per_user: 1024\n";
    static char option[64];
    int fd;

    strcpy(option, "--config=/tmp/mn-bench.XXXXXX");
    fd = mkstemp(option + strlen("--config="));
    need(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0, "a configuration for mnd");
    return option;
}

int program_connect(const char *socket_path, bool telemetry)
{
    uint8_t message[128];
    int fd = rude_greet(socket_path);
    size_t n = rude_subscribe(message);

    if (telemetry)
        need(send(fd, message, n, MSG_NOSIGNAL) == (ssize_t)n, "subscribe");
    return fd;
}

/* ---- the floor ---- */

static void relay_all(const int *ins, unsigned in_count, const int *outs, unsigned out_count)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[64];
    uint8_t bytes[8192];

    for (unsigned i = 0; i < in_count; i++)
        need(epoll_ctl(epoll, EPOLL_CTL_ADD, ins[i], &(struct epoll_event){.events = EPOLLIN, .data.fd = ins[i]}) == 0, "relay");
    for (;;) {
        int ready = epoll_wait(epoll, events, 64, -1);

        for (int k = 0; k < ready; k++) {
            ssize_t n = recv(events[k].data.fd, bytes + 4, sizeof(bytes) - 4, 0);

            if (n <= 0)
                _exit(0);
            memcpy(bytes, &(uint32_t){(uint32_t)n}, 4);
            for (unsigned i = 0; i < out_count; i++) {
                if (send(outs[i], bytes, (size_t)n + 4, MSG_DONTWAIT | MSG_NOSIGNAL) != n + 4 && errno != EAGAIN)
                    _exit(1);
            }
        }
    }
}

static void send_all(const int *fds, unsigned n, unsigned length, uint64_t period_us)
{
    struct itimerspec every = {.it_interval = {.tv_sec = (time_t)(period_us / 1000000), .tv_nsec = (long)(period_us % 1000000) * 1000}};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    uint8_t bytes[8192] = {0};
    uint64_t times = 1;

    every.it_value = every.it_interval;
    need(timer >= 0 && timerfd_settime(timer, 0, &every, NULL) == 0, "timer");
    for (;;) {
        if (period_us != 0 && read(timer, &times, sizeof(times)) != sizeof(times))
            _exit(1);
        for (uint64_t k = 0; k < times; k++) {
            for (unsigned i = 0; i < n; i++) {
                if (send(fds[i], bytes, length, MSG_NOSIGNAL) < 0)
                    _exit(0);
            }
        }
    }
}

void relay_start(struct relay *r, unsigned sources, unsigned bytes, uint64_t period_us, const int *outs, unsigned out_count)
{
    int ins[PENS_MAX], pens[PENS_MAX];

    for (unsigned i = 0; i < sources; i++) {
        int pair[2];

        need(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0, "socketpair");
        ins[i] = pair[0];
        pens[i] = pair[1];
    }
    r->pid = fork();
    need(r->pid >= 0, "fork");
    if (r->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        place(0, PLACE_MEASURED);
        relay_all(ins, sources, outs, out_count);
    }
    r->source = fork_load();
    if (r->source == 0)
        send_all(pens, sources, bytes, period_us);
    for (unsigned i = 0; i < sources; i++) {
        close(ins[i]);
        close(pens[i]);
    }
    for (unsigned i = 0; i < out_count; i++)
        close(outs[i]);
}

pid_t start_program(const char *const *arguments)
{
    pid_t pid = fork();

    need(pid >= 0, "fork");
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    return pid;
}

void stop_process(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

void relay_stop(struct relay *r)
{
    stop_process(r->source);
    stop_process(r->pid);
}
