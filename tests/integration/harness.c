#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { READY_MS = 20000 };

uint64_t harness_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void remember_pen(struct harness *h, const struct mn_pen *pen)
{
    size_t i = 0;

    while (i < h->pen_count && strcmp(h->pens[i].serial, pen->serial) != 0)
        i++;
    if (i == h->pen_count && h->pen_count < sizeof(h->pens) / sizeof(h->pens[0]))
        h->pen_count++;
    if (i < h->pen_count)
        h->pens[i] = *pen;
}

static void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    struct harness *h = user;

    (void)c;
    switch (e->kind) {
    case MN_EVENT_PEN:
        remember_pen(h, e->pen);
        break;
    case MN_EVENT_TELEMETRY:
        h->batches++;
        h->samples += e->telemetry->fast.count;
        h->missed += e->telemetry->fast.missed;
        h->last = *e->telemetry;
        if (e->telemetry->fast.count > 0) {
            h->last_rate_dhz = e->telemetry->fast.stroke_rate_dhz[e->telemetry->fast.count - 1];
            h->last_depth_um = e->telemetry->fast.depth_um[e->telemetry->fast.count - 1];
        }
        break;
    case MN_EVENT_RECORD:
        if (h->record_count < sizeof(h->records) / sizeof(h->records[0]))
            h->records[h->record_count++] = *e->record;
        break;
    case MN_EVENT_LEASE:
        h->lease_lost += e->lease->lost;
        h->lease_requested += !e->lease->lost;
        h->lease_pid = e->lease->pid;
        snprintf(h->lease_text, sizeof(h->lease_text), "%s", e->lease->text);
        break;
    case MN_EVENT_SESSION:
        h->session = *e->session;
        break;
    case MN_EVENT_TRAFFIC: /* nobody here asks for it */
        break;
    case MN_EVENT_DISCONNECTED:
        h->disconnects++;
        break;
    case MN_EVENT_RECONNECTED:
        h->reconnects++;
        break;
    }
}

static pid_t run(const char *log, const char *const *arguments)
{
    pid_t pid = fork();
    int fd;

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static void start_daemon(struct harness *h, unsigned pens, const char *extra)
{
    static char wrap[256], sim[32];
    const char *arguments[32], *env = getenv("MN_WRAP");
    size_t n = 0;

    snprintf(wrap, sizeof(wrap), "%s", env != NULL ? env : "");
    for (char *word = strtok(wrap, " "); word != NULL && n < 16; word = strtok(NULL, " "))
        arguments[n++] = word;
    arguments[n++] = MN_BIN_DIR "/mnd";
    if (getenv("MN_HARNESS_USB") == NULL)
        arguments[n++] = "--no-usb";
    arguments[n++] = "--socket";
    arguments[n++] = h->socket;
    arguments[n++] = "--sim-socket";
    arguments[n++] = h->sim_socket;
    if (pens > 0) {
        snprintf(sim, sizeof(sim), "--sim=%u", pens);
        arguments[n++] = sim;
    }
    if (extra != NULL)
        arguments[n++] = extra;
    arguments[n] = NULL;
    h->daemon = run(h->log, arguments);
}

static void connect_client(struct harness *h)
{
    struct mn_options o = {.socket = h->socket, .name = "test", .reconnect = true, .on_event = on_event, .user = h};
    char message[400];
    uint64_t end_ms = harness_now_ms() + 20000;
    int r;

    while ((r = mn_connect(&h->c, &o, message, sizeof(message))) == MN_ERR_NO_DAEMON && harness_now_ms() < end_ms)
        poll(NULL, 0, 20);
    if (r != MN_OK)
        fail_msg("%s", message);
}

void harness_start(struct harness *h, unsigned pens, const char *extra)
{
    struct mn_pens list;

    memset(h, 0, sizeof(*h));
    strcpy(h->dir, "/tmp/mn-test-XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    snprintf(h->socket, sizeof(h->socket), "%s/mnd.sock", h->dir);
    snprintf(h->sim_socket, sizeof(h->sim_socket), "%s/sim.sock", h->dir);
    snprintf(h->log, sizeof(h->log), "%s/log", h->dir);
    start_daemon(h, pens, extra);
    connect_client(h);
    harness_ok(h, mn_watch(h->c, true, &list, T));
    for (size_t i = 0; i < list.count; i++)
        remember_pen(h, &list.pen[i]);
    mn_pens_free(&list);
    if (pens > 0)
        harness_wait_ready(h, pens);
}

void harness_stub(struct harness *h, const char *const *arguments)
{
    const char *all[32] = {MN_BIN_DIR "/penstub", "--connect", h->sim_socket};
    size_t n = 3;

    for (size_t i = 0; arguments[i] != NULL && n < 31; i++)
        all[n++] = arguments[i];
    h->stub = run(h->log, all);
}

static void show_log(const struct harness *h)
{
    char line[512];
    FILE *f = fopen(h->log, "r");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        fprintf(stderr, "# %s", line);
    if (f != NULL)
        fclose(f);
}

void harness_kill_daemon(struct harness *h, int signal)
{
    int status = 0;

    kill(h->daemon, signal);
    assert_int_equal(waitpid(h->daemon, &status, 0), h->daemon);
    h->daemon = 0;
    if (signal == SIGTERM && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        show_log(h);
        fail_msg("mnd ended with %s %d", WIFEXITED(status) ? "code" : "signal",
                 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
}

void harness_restart_daemon(struct harness *h)
{
    start_daemon(h, 0, NULL);
}

void harness_stop(struct harness *h)
{
    char command[128];
    uint64_t began_ms = harness_now_ms();

    mn_close(h->c);
    if (h->daemon > 0)
        harness_kill_daemon(h, SIGTERM);
    assert_in_range(harness_now_ms() - began_ms, 0, 2 * T); /* it does not hang */
    if (h->stub > 0) {
        kill(h->stub, SIGTERM);
        waitpid(h->stub, NULL, 0);
    }
    snprintf(command, sizeof(command), "rm -rf %s", h->dir);
    assert_int_equal(system(command), 0);
}

void harness_run(struct harness *h, unsigned ms)
{
    uint64_t end_ms = harness_now_ms() + ms, now;

    while ((now = harness_now_ms()) < end_ms) {
        struct pollfd fd = {.fd = mn_fd(h->c), .events = mn_events(h->c)};
        int own = mn_timeout_ms(h->c), left = (int)(end_ms - now);

        poll(&fd, 1, own >= 0 && own < left ? own : left);
        mn_process(h->c);
    }
}

void harness_ok(struct harness *h, int r)
{
    if (r == MN_OK)
        return;
    show_log(h);
    fail_msg("%s: %s", mn_strerror(r), mn_message(h->c));
}

static size_t ready_pens(const struct harness *h)
{
    size_t n = 0;

    for (size_t i = 0; i < h->pen_count; i++)
        n += h->pens[i].link == MN_LINK_READY && h->pens[i].serial[0] != '\0' && h->pens[i].state >= MN_STATE_SAFE;
    return n;
}

void harness_wait_ready(struct harness *h, unsigned pens)
{
    uint64_t end_ms = harness_now_ms() + READY_MS;

    while (ready_pens(h) < pens && harness_now_ms() < end_ms)
        harness_run(h, 5);
    if (ready_pens(h) >= pens)
        return;
    show_log(h);
    for (size_t i = 0; i < h->pen_count; i++)
        print_message("# pen %s at %s: %s, %s; %s\n", h->pens[i].serial, h->pens[i].port, mn_link_name(h->pens[i].link), mn_state_name(h->pens[i].state), h->pens[i].last_error);
    fail_msg("%u pens are not ready within %d ms", pens, READY_MS);
}

const struct mn_pen *harness_pen(const struct harness *h, const char *serial)
{
    for (size_t i = 0; i < h->pen_count; i++) {
        if (strcmp(h->pens[i].serial, serial) == 0)
            return &h->pens[i];
    }
    fail_msg("no pen %s was seen", serial);
    return NULL;
}

void harness_say(struct harness *h, const char *serial, const char *line)
{
    char answer[512];

    harness_ok(h, mn_simulate(h->c, serial, line, answer, sizeof(answer), T));
}

struct mn_plan harness_plan(void)
{
    static char subject[MN_KEY_MAX + 1];
    static unsigned subjects;
    struct mn_plan plan = {.subject = subject, .step_count = 1, .numbing_waiver = "a test"};

    snprintf(subject, sizeof(subject), "S-%d-%u", (int)getpid(), ++subjects);
    plan.step[0].zone = 8;
    plan.step[0].depth_um = 500;
    plan.step[0].stroke_rate_dhz = 1000;
    for (size_t i = 0; i < mn_question_count(); i++)
        plan.answer[i].answered = true;
    return plan;
}

int harness_arm(mn_client *c, const char *serial, struct mn_session *session)
{
    struct mn_plan plan = harness_plan();
    struct mn_session s;
    uint64_t end_ms = harness_now_ms() + T;
    int r = mn_lease_take(c, serial, T);

    while (r == MN_OK && (r = mn_session_begin(c, serial, &plan, &s, T)) == MN_ERR_BUSY && harness_now_ms() < end_ms) {
        poll(NULL, 0, 20); /* earlier sessions are still being read */
        r = MN_OK;
    }
    if (r == MN_ERR_STATE)
        r = mn_session_select(c, serial, plan.step[0].zone, &s, T);
    if (r == MN_OK)
        r = mn_session_arm(c, serial, s.config_generation, &s, T);
    if (r == MN_OK && session != NULL)
        *session = s;
    return r;
}

mn_client *harness_client(struct harness *h)
{
    struct mn_options o = {.socket = h->socket, .name = "second"};
    mn_client *c;

    assert_int_equal(mn_connect(&c, &o, NULL, 0), MN_OK);
    return c;
}
