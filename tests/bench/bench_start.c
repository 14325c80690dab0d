/*
 * From exec to the first program's connection: mnd, and mosquitto, which people would take instead (skipped where it is not installed); 20 times each, in
 * turns. And what mnd holds in memory: idle, for each pen, for each idle program. One JSON object a line.
 */
#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "load.h"
#include "measure.h"
#include "process.h"

enum { STARTS = 20, PENS = 32, PROGRAMS = 100, SETTLE_MS = 2000 };

static const char mnd_path[] = MN_BIN_DIR "/mnd";
static char dir[] = "/tmp/mn-start.XXXXXX";

/* Until somebody listens there; it is asked every 50 us, which both are charged alike. 0: it has ended by itself. */
static uint64_t start_ns(const char *const *arguments, const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint64_t began = now_ns(), ns = 0;
    pid_t pid = start_program(arguments);

    strcpy(address.sun_path, socket_path);
    while (ns == 0 && now_ns() < began + 3000000000) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
            ns = now_ns() - began;
        else
            usleep(50);
        close(fd);
    }
    stop_process(pid);
    unlink(socket_path);
    return ns;
}

static void report(const char *what, uint64_t *ns)
{
    qsort(ns, STARTS, sizeof(ns[0]), compare);
    if (ns[0] == 0)
        return;
    printf("{\"bench\": \"startup\", \"of\": {\"what\": \"%s\"}, \"p50_ms\": %.2f, \"max_ms\": %.2f}\n", what, percentile_us(ns, STARTS, 50) / 1000, percentile_us(ns, STARTS, 100) / 1000);
    fflush(stdout);
}

static void bench_startup(void **state)
{
    static uint64_t mnd_ns[STARTS], first_ns[STARTS], mosquitto_ns[STARTS];
    char ours[64], theirs[64], config[64], journal[64], text[256];
    const char *const mnd[] = {mnd_path, "--no-usb", "--socket", ours, "--journal", journal, NULL};
    const char *const mosquitto[] = {"mosquitto", "-c", config, NULL};
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(ours, sizeof(ours), "%s/mnd.sock", dir);
    snprintf(theirs, sizeof(theirs), "%s/mosquitto.sock", dir);
    snprintf(config, sizeof(config), "%s/mosquitto.conf", dir);
    snprintf(text, sizeof(text), "listener 0 %s\nallow_anonymous true\npersistence false\nlog_dest none\nuser root\n", theirs);
    f = fopen(config, "we");
    assert_true(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    for (int i = 0; i < STARTS; i++) {
        snprintf(journal, sizeof(journal), "%s/journal.%d", dir, i);
        first_ns[i] = start_ns(mnd, ours);
        mnd_ns[i] = start_ns(mnd, ours);
        mosquitto_ns[i] = start_ns(mosquitto, theirs);
    }
    report("mnd, and a new journal", first_ns);
    report("mnd", mnd_ns);
    report("mosquitto", mosquitto_ns);
    snprintf(text, sizeof(text), "rm -rf '%s'", dir);
    assert_int_equal(system(text), 0);
}

static void report_memory(const char *what, double kib)
{
    printf("{\"bench\": \"memory\", \"of\": {\"what\": \"%s\"}, \"kib\": %.1f}\n", what, kib);
    fflush(stdout);
}

static void bench_memory(void **state)
{
    const char *const stub[] = {"--pens", "32", NULL};
    int fds[PROGRAMS];
    struct harness h;
    long idle_kib, anonymous_kib;

    (void)state;
    harness_start(&h, 0, NULL);
    harness_run(&h, SETTLE_MS);
    idle_kib = process_kib(h.daemon, "VmRSS");
    anonymous_kib = process_kib(h.daemon, "RssAnon");
    report_memory("resident, idle", (double)idle_kib);
    report_memory("of that its own (anonymous)", (double)anonymous_kib);
    for (int i = 0; i < PROGRAMS; i++)
        fds[i] = program_connect(h.socket, false);
    harness_run(&h, SETTLE_MS);
    report_memory("for each idle program", (double)(process_kib(h.daemon, "RssAnon") - anonymous_kib) / PROGRAMS);
    for (int i = 0; i < PROGRAMS; i++)
        close(fds[i]);
    harness_run(&h, SETTLE_MS);
    anonymous_kib = process_kib(h.daemon, "RssAnon");
    harness_stub(&h, stub);
    harness_wait_ready(&h, PENS);
    harness_run(&h, SETTLE_MS);
    report_memory("for each pen that has streamed 2 s", (double)(process_kib(h.daemon, "RssAnon") - anonymous_kib) / PENS);
    harness_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench_startup), cmocka_unit_test(bench_memory)};

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("start", tests, NULL, NULL);
}
