#include "crash_words.h"

struct crash_words_fx fx;

pid_t run(const char *const *arguments)
{
    pid_t pid = fork();
    int fd;

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    fd = open(fx.log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    execv(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

void start_mnd(void)
{
    static const char mnd[] = MN_BIN_DIR "/mnd_shim";
    const char *const arguments[] = {mnd,          "--no-usb", "--socket", fx.socket, "--sim-socket", fx.sim, "--journal",
                                     fx.journal, "--config", fx.config,  NULL};

    fx.mnd = run(arguments);
}

void start_pens(const char *count, const char *nvm)
{
    static const char penstub[] = MN_BIN_DIR "/penstub";
    const char *const arguments[] = {penstub, "--connect", fx.sim,     "--serial",                   "CRASH", "--pens",
                                     count,   "--control", fx.control, nvm != NULL ? "--nvm" : NULL, nvm,     NULL};

    for (int i = 0; i < 100 && access(fx.sim, F_OK) < 0; i++) /* or it would wait before it tries again */
        poll(NULL, 0, 2);
    fx.pens = run(arguments);
}

void on_event(mn_client *c, const struct mn_event *e, void *user)
{
    const struct mn_record *r = e->record;
    unsigned pen = 0;

    (void)c;
    (void)user;
    if (e->kind == MN_EVENT_TELEMETRY)
        fx.samples += e->telemetry->fast.count;
    if (e->kind != MN_EVENT_RECORD)
        return;
    fx.place = r->cursor;
    fx.kinds[r->kind]++;
    if (r->kind >= MN_RECORD_BEGUN) {
        fx.notes++;
        return;
    }
    if (sscanf(r->serial, "CRASH-%u", &pen) == 1)
        pen--;
    assert_in_range(pen, 0, PENS_MAX - 1);
    if (r->number <= fx.last[pen])
        fx.doubled++;
    if (r->number > fx.last[pen] + 1)
        fx.lost += r->number - fx.last[pen] - 1;
    fx.last[pen] = r->number;
    fx.records++;
    fx.host_us = r->host_us;
}

void begin(void)
{
    int fd;

    memset(&fx, 0, sizeof(fx));
    strcpy(fx.dir, "/tmp/mn-test-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    snprintf(fx.socket, sizeof(fx.socket), "%s/mnd.sock", fx.dir);
    snprintf(fx.sim, sizeof(fx.sim), "%s/sim", fx.dir);
    snprintf(fx.control, sizeof(fx.control), "%s/control", fx.dir);
    snprintf(fx.journal, sizeof(fx.journal), "%s/journal.db", fx.dir);
    snprintf(fx.shim_path, sizeof(fx.shim_path), "%s/shim", fx.dir);
    snprintf(fx.log, sizeof(fx.log), "%s/log", fx.dir);
    fd = open(fx.shim_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof(*fx.shim)), 0);
    fx.shim = mmap(NULL, sizeof(*fx.shim), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(fx.shim != MAP_FAILED);
    close(fd);
    setenv("MN_SHIM", fx.shim_path, 1);
    snprintf(fx.config, sizeof(fx.config), "%s/mnd.yaml", fx.dir);
    fd = open(fx.config, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "group: ''\n", 10), 10); /* glibc asserts when its look for a group has no memory */
    close(fd);
}

void show_log(void)
{
    char line[512];
    FILE *f = fopen(fx.log, "r");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        fprintf(stderr, "# %s", line);
    if (f != NULL)
        fclose(f);
}

void show_state(void)
{
    struct mn_status s = {0};
    int r = fx.c != NULL ? mn_pen_status(fx.c, "CRASH", &s, 300) : -1;

    fprintf(stderr, "# program: %s, last %u, records %lu, lost %u, doubled %u; pen: result %d, newest %u, acked %u; allocation %lu of %lu\n", fx.c != NULL ? "connected" : "not connected",
            fx.last[0], (unsigned long)fx.records, fx.lost, fx.doubled, r, s.records_newest, s.records_acked,
            (unsigned long)fx.shim->fail_at, (unsigned long)fx.shim->allocations);
}

void end_process(pid_t *pid, int signal)
{
    if (*pid > 0) {
        kill(*pid, signal);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

void end(void)
{
    char command[96];

    mn_close(fx.c);
    end_process(&fx.mnd, SIGTERM);
    end_process(&fx.pens, SIGTERM);
    munmap(fx.shim, sizeof(*fx.shim));
    snprintf(command, sizeof(command), "rm -rf %s", fx.dir);
    assert_int_equal(system(command), 0);
}

void live(unsigned ms)
{
    struct mn_options o = {.socket = fx.socket, .name = "the program", .reconnect = true, .on_event = on_event, .timeout_ms = 1000};

    if (fx.c == NULL && mn_connect(&fx.c, &o, NULL, 0) == MN_OK && mn_records_follow(fx.c, &fx.place, NULL, 1000) != MN_OK) {
        mn_close(fx.c);
        fx.c = NULL;
    }
    if (fx.c == NULL) {
        poll(NULL, 0, 5);
        return;
    }
    for (uint64_t end_ms = harness_now_ms() + ms; harness_now_ms() < end_ms;) {
        struct pollfd fd = {.fd = mn_fd(fx.c), .events = mn_events(fx.c)};
        int own = mn_timeout_ms(fx.c);

        poll(&fd, 1, own >= 0 && own < (int)ms ? own : (int)ms);
        mn_process(fx.c);
    }
}

void say(const char *line)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char answer[512] = "";
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, fx.control);
    for (int i = 0; i < 400 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0; i++)
        poll(NULL, 0, 5);
    assert_true(send(fd, line, strlen(line), MSG_NOSIGNAL) > 0);
    assert_true(recv(fd, answer, sizeof(answer) - 1, 0) > 0);
    assert_memory_equal(answer, "ok", 2);
    close(fd);
}

bool all_is_told(uint32_t at_least)
{
    struct mn_status s;

    return fx.c != NULL && mn_pen_status(fx.c, "CRASH", &s, 300) == MN_OK && s.records_newest >= at_least && s.records_acked == s.records_newest &&
           fx.last[0] == s.records_newest;
}

unsigned lost, doubled; /* in all runs of a test */

void nothing_is_lost_or_doubled(void)
{
    uint64_t rows;
    char why[400];

    lost += fx.lost;
    doubled += fx.doubled;
    if (fx.lost != 0 || fx.doubled != 0)
        show_log();
    assert_int_equal(fx.lost, 0);
    assert_int_equal(fx.doubled, 0);
    if (journal_verify(fx.journal, &rows, why, sizeof(why)) != 0)
        fail_msg("%s", why);
}

void well(void)
{
    begin();
    start_mnd();
    start_pens("1", NULL);
    until(all_is_told(1));
    assert_int_equal(mn_subscribe(fx.c, NULL, true, T), MN_OK);
}
