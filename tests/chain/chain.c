#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "failing.h"
#include "log.h"
#include "task.h"

enum { STEPS_MAX = 200, WAIT_MAX_MS = 8000, TURN_MS = 10, PONG_MS = 500, ANSWERS = 65536 };

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *t);

/* ---- time ---- */

static _Thread_local bool in_script; /* the journal's worker and the fuzzer itself have the real one */
static uint64_t script_us = UINT64_C(86400000000); /* ahead of the real one: no timer of the kernel's ever fires by itself */
static uint64_t slept_us;

/* libsystemd's calls come here as well. */
int clock_gettime(clockid_t id, struct timespec *t)
{
    int r = (int)syscall(SYS_clock_gettime, id, t);

    if (r == 0 && in_script && (id == CLOCK_MONOTONIC || id == CLOCK_BOOTTIME || id == CLOCK_REALTIME)) {
        static struct timespec began[CLOCK_BOOTTIME + 1];
        uint64_t us;

        if (began[id].tv_sec == 0)
            began[id] = *t;
        us = (uint64_t)began[id].tv_nsec / 1000 + script_us + (id == CLOCK_MONOTONIC ? 0 : slept_us);
        *t = (struct timespec){.tv_sec = began[id].tv_sec + (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000)};
    }
    return r;
}

/* ---- what would be different each time ---- */

ssize_t __wrap_getrandom(void *bytes, size_t n, unsigned flags);
int __real_task_start(struct task **out, sd_event *event, void (*run)(void *ctx), void (*done)(void *ctx), void *ctx);
int __wrap_task_start(struct task **out, sd_event *event, void (*run)(void *ctx), void (*done)(void *ctx), void *ctx);

/* A script can know the journal's number. */
ssize_t __wrap_getrandom(void *bytes, size_t n, unsigned flags)
{
    (void)flags;
    memset(bytes, 1, n);
    return (ssize_t)n;
}

static unsigned tasks; /* one at a time */
static unsigned damaged_notes;
static void (*task_done)(void *ctx);

static void on_task_done(void *ctx)
{
    tasks--;
    task_done(ctx);
}

int __wrap_task_start(struct task **out, sd_event *event, void (*run)(void *ctx), void (*done)(void *ctx), void *ctx)
{
    int r = __real_task_start(out, event, run, on_task_done, ctx);

    task_done = done;
    tasks += r >= 0;
    return r;
}

/* ---- the journal ---- */

void __real_journal_work(struct journal *j, struct journal_work *w);
void __wrap_journal_work(struct journal *j, struct journal_work *w);
bool __real_journal_append(struct journal *j, const struct journal_record *r);
bool __wrap_journal_append(struct journal *j, const struct journal_record *r);

static bool journal_was_asked; /* its worker is a thread, and no time may go on until it has answered: else each run would be another one */

void __wrap_journal_work(struct journal *j, struct journal_work *w)
{
    journal_was_asked = true;
    __real_journal_work(j, w);
}

bool __wrap_journal_append(struct journal *j, const struct journal_record *r)
{
    journal_was_asked = true;
    return __real_journal_append(j, r);
}

/* ---- the programs ---- */

static int connect_to(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        abort();
    return fd;
}

static void hang_up(struct chain *c, int i)
{
    if (c->programs[i] >= 0)
        close(c->programs[i]);
    c->programs[i] = -1;
}

static void write_to(struct chain *c, int i, const uint8_t *bytes, size_t n)
{
    if (c->programs[i] >= 0 && send(c->programs[i], bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        hang_up(c, i);
}

static void ask(struct chain *c, int i, const uint8_t *body, size_t n)
{
    uint8_t *message = malloc(n + 6);

    if (message == NULL)
        abort();
    message[0] = (uint8_t)(n + 2);
    message[1] = (uint8_t)((n + 2) >> 8);
    message[2] = message[3] = 0;
    message[4] = 0x08; /* id */
    message[5] = c->ids[i] = (uint8_t)(c->ids[i] % 127 + 1);
    memcpy(message + 6, body, n);
    write_to(c, i, message, n + 6);
    free(message);
}

static void call(struct chain *c, int i)
{
    static const uint8_t greeting[] = {0x12, 0x04, 0x08, 0x01, 0x10, 0x06}; /* HELLO of 1.6 */

    hang_up(c, i);
    c->programs[i] = connect_to(c->socket);
    ask(c, i, greeting, sizeof(greeting));
}

/* ---- rest ---- */

/* One turn of the daemon's loop, in which calls may fail; waited for in real time, as threads need it. */
static int turn(struct chain *c, uint64_t wait_us)
{
    int r;

    failing_on();
    r = sd_event_run(c->event, wait_us);
    failing_off();
    return r;
}

struct pause {
    struct journal_work work;
    bool over;
};

static void note_ran(struct journal_work *w, bool ran)
{
    (void)ran;
    ((struct pause *)w)->over = true;
}

static void run_nothing(struct journal_work *w, struct store *s)
{
    (void)w;
    (void)s;
}

/* Until the journal's worker has done all that it was given, and what runs beside it is through. */
static void wait_for_journal(struct chain *c)
{
    for (int i = 0; i < 100 && tasks > 0; i++)
        turn(c, 100000);
    if (hub_journal(c->hub) != NULL) {
        struct pause p = {.work = {.run = run_nothing, .done = note_ran}};

        __real_journal_work(hub_journal(c->hub), &p.work);
        while (!p.over)
            turn(c, 100000);
    }
}

/* What a program is told; with MN_CHAIN_LOG in the environment it is shown. */
static bool read_answers(int fd)
{
    static uint8_t bytes[ANSWERS];
    ssize_t n = fd >= 0 ? recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) : 0;

    if (n > 0 && getenv("MN_CHAIN_LOG") != NULL)
        fwrite(bytes, 1, (size_t)n, stdout);
    if (n > 0 && memmem(bytes, (size_t)n, "this note is damaged", 20) != NULL)
        damaged_notes++;
    return n > 0;
}

/* Until nobody has anything to say at this moment. */
static void settle(struct chain *c)
{
    bool any = true;

    for (int turns = 0; any && turns < 60; turns++) {
        any = false;
        for (int i = 0; i < 60 && turn(c, 0) > 0; i++)
            any = true;
        for (int i = 0; i < CHAIN_PROGRAMS && !c->deaf; i++)
            any |= read_answers(c->programs[i]);
        any |= pen_end_pass_on(c->pen);
    }
}

/* Until the journal, too, has nothing to say: what it answers may be asked on. */
static void rest(struct chain *c)
{
    settle(c);
    for (int i = 0; i < 20 && (journal_was_asked || tasks > 0); i++) {
        journal_was_asked = false;
        wait_for_journal(c);
        settle(c);
    }
}

static void pong(struct chain *c)
{
    static const uint8_t body[] = {0x82, 0x01, 0x00}; /* unasked, which does no harm */

    ask(c, 0, body, sizeof(body));
    ask(c, 1, body, sizeof(body));
}

unsigned chain_damaged_notes(void)
{
    return damaged_notes;
}

void chain_wait(struct chain *c, uint32_t ms)
{
    for (; ms > 0; ms -= ms < TURN_MS ? ms : TURN_MS) {
        uint32_t some = ms < TURN_MS ? ms : TURN_MS;

        script_us += some * 1000;
        pen_end_advance(c->pen, some);
        if (!c->silent && script_us / 1000 % PONG_MS < some)
            pong(c);
        rest(c);
    }
}

/* ---- the daemon ---- */

static const struct journal_limits limits = {.keep_us = UINT64_MAX, .max_bytes = UINT64_MAX};

static void drop_files(const struct chain *c)
{
    static const char *const tails[] = {"", "-wal", "-shm", ".lock", ".damaged-1", ".damaged-1-wal", ".damaged-1-shm"};
    char name[200];

    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", c->journal, tails[i]);
        unlink(name);
    }
    rmdir(c->dir);
}

static void begin_daemon(struct chain *c)
{
    const struct server_options options = {
        .clients = {.socket = c->socket,
                    .socket_is_named = true,
                    .groups = {"", "", "", ""},
                    .max_clients = c->config.max_clients,
                    .max_clients_per_user = c->config.max_clients_per_user,
                    .queue_bytes = c->config.client_queue_kib * 1024,
                    .user_queue_bytes = c->config.user_queue_kib * 1024},
        .journal_path = c->journal,
    };

    if (sd_event_new(&c->event) < 0)
        abort();
    sd_event_run(c->event, 0); /* sets the loop's clock */
    if (hub_new(&c->hub, c->event) < 0 || sim_bus_new(&c->sim, c->event, c->sim_path, hub_pen_arrived, c->hub) < 0 ||
        server_new(&c->server, c->event, &options, &c->site, c->hub, c->sim) < 0)
        abort();
    tasks = 0; /* whatever an earlier daemon left */
    hub_open_journal(c->hub, c->journal, &limits);
    call(c, 0);
    call(c, 1);
    pen_end_drop(c->pen);
    chain_wait(c, 700); /* the pen's own tests, and its records */
}

static void end_daemon(struct chain *c)
{
    uint64_t until_us = script_us + 2000000;

    failing_set(FAILING_ALLOCATION, 0, 0);
    failing_set(FAILING_SYSTEM_CALL, 0, 0);
    hub_stop_all(c->hub);
    server_free(c->server);
    while (!hub_close_pens(c->hub) && script_us < until_us)
        chain_wait(c, TURN_MS);
    hub_close_journal(c->hub);
    sim_bus_free(c->sim);
    hub_free(c->hub);
    sd_event_unref(c->event);
}

void chain_set_journal(struct chain *c, bool there)
{
    hub_close_journal(c->hub);
    tasks = 0;
    if (there)
        hub_open_journal(c->hub, c->journal, &limits);
}

/* ---- scripts ---- */

static void do_step(struct chain *c, enum chain_step what, const uint8_t *data, size_t n)
{
    static const int errors[] = {EINTR, EAGAIN, EIO, ENOMEM, ENOBUFS, ECONNRESET, EPIPE, EMFILE, ENFILE, EPERM};
    uint32_t ms = n == 0 ? 0 : n == 1 ? data[0] * 10u : data[0] | (uint32_t)data[1] << 8;

    switch (what) {
    case STEP_ASK_A:
    case STEP_ASK_B:
        ask(c, what == STEP_ASK_B, data, n);
        break;
    case STEP_WRITE_A:
        write_to(c, 0, data, n);
        break;
    case STEP_WAIT:
        ms = ms < WAIT_MAX_MS - c->waited_ms ? ms : WAIT_MAX_MS - c->waited_ms;
        c->waited_ms += ms;
        chain_wait(c, ms);
        break;
    case STEP_PEN:
        pen_end_say(c->pen, data, n);
        break;
    case STEP_PAYLOAD:
        pen_end_make_up(c->pen, data, n);
        break;
    case STEP_FLIP:
        pen_end_flip(c->pen, data, n);
        break;
    case STEP_PACKET:
        if (n > 0)
            pen_end_send(c->pen, data, n);
        else
            pen_end_drop(c->pen);
        break;
    case STEP_HANG_UP_A:
    case STEP_HANG_UP_B:
        call(c, what == STEP_HANG_UP_B);
        break;
    case STEP_JOURNAL:
        chain_set_journal(c, n > 0 && data[0] != 0);
        break;
    case STEP_SILENT:
        c->silent = n > 0 && data[0] != 0;
        c->deaf = n > 0 && data[0] == 2;
        break;
    case STEP_RESTART:
        end_daemon(c);
        begin_daemon(c);
        break;
    case STEP_FAIL:
        if (n == 4)
            failing_set((enum failing_what)(data[0] % FAILING_KINDS), data[1] | (uint32_t)data[2] << 8, errors[data[3] % (sizeof(errors) / sizeof(errors[0]))]);
        break;
    case STEP_KINDS:
        break;
    }
    rest(c);
}

void chain_play(struct chain *c, const uint8_t *data, size_t size)
{
    for (int i = 0; size >= 3 && i < STEPS_MAX; i++) {
        size_t n = data[1] | (size_t)data[2] << 8;
        enum chain_step what = (enum chain_step)(data[0] % STEP_KINDS);

        data += 3;
        size -= 3;
        n = n > size ? size : n;
        do_step(c, what, data, n);
        data += n;
        size -= n;
    }
    pen_end_make_up(c->pen, NULL, 0);
    pen_end_flip(c->pen, NULL, 0);
    failing_set(FAILING_ALLOCATION, 0, 0);
    failing_set(FAILING_SYSTEM_CALL, 0, 0);
    c->silent = c->deaf = false;
}

/* ---- the chain ---- */

struct chain *chain_new(void)
{
    struct chain *c = calloc(1, sizeof(*c));

    if (c == NULL)
        abort();
    in_script = true;
    tasks = 0;
    log_set_level(getenv("MN_CHAIN_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    c->programs[0] = c->programs[1] = -1;
    snprintf(c->dir, sizeof(c->dir), "/dev/shm/mn-chain-%d", (int)getpid());
    snprintf(c->socket, sizeof(c->socket), "%s/s", c->dir);
    snprintf(c->sim_path, sizeof(c->sim_path), "%s/p", c->dir);
    snprintf(c->journal, sizeof(c->journal), "%s/j", c->dir);
    if (mkdir(c->dir, 0700) < 0 && errno != EEXIST)
        abort();
    config_default(&c->config);
    site_default(&c->site);
    c->pen = pen_end_new(CHAIN_PEN, c->sim_path);
    begin_daemon(c);
    return c;
}

void chain_free(struct chain *c)
{
    chain_hang_up(c);
    end_daemon(c);
    pen_end_free(c->pen);
    drop_files(c);
    free(c);
    in_script = false;
}

struct pen_end *chain_pen(struct chain *c)
{
    return c->pen;
}

uint64_t chain_unix_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void chain_sleep(struct chain *c, uint32_t ms)
{
    slept_us += ms * 1000;
    pen_end_advance(c->pen, ms);
}

void chain_ask(struct chain *c, int program, Mnc__ClientMessage *m)
{
    uint8_t body[2048];

    m->has_id = false;
    if (mnc__client_message__get_packed_size(m) > sizeof(body))
        abort();
    ask(c, program, body, mnc__client_message__pack(m, body));
    rest(c);
}

void chain_hang_up(struct chain *c)
{
    hang_up(c, 0);
    hang_up(c, 1);
    rest(c);
}

bool chain_has_all_records(const struct chain *c)
{
    return hub_journal(c->hub) != NULL && journal_newest(hub_journal(c->hub), CHAIN_PEN) == pen_end_newest_record(c->pen);
}
