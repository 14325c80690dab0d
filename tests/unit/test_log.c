/* The log: nobody who reads it slowly, or not at all, and nobody who has much to say, keeps the daemon waiting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

enum { MANY = 5000 };

static char text[1 << 20];

/* All that can be read there now. */
static void read_now(int fd)
{
    size_t fill = 0;
    ssize_t n;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (fill < sizeof(text) - 1 && (n = read(fd, text + fill, sizeof(text) - 1 - fill)) > 0)
        fill += (size_t)n;
    text[fill] = '\0';
}

static unsigned count(const char *what)
{
    unsigned n = 0;

    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

/* Each in a process of its own, for a log is its process's: what it writes into a pipe or socket that nobody reads, until it ends. */
static void in_a_process(int fds[2], void (*writes)(int reads, int more), int more)
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        alarm(20); /* it waits for ever, otherwise */
        writes(fds[0], more);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    read_now(fds[0]);
}

/* Each line from a place of its own, as far as the log can tell: their formats differ. */
static void write_different(unsigned n)
{
    static char formats[MANY][8];

    for (unsigned i = 0; i < n && i < MANY; i++) {
        snprintf(formats[i], sizeof(formats[i]), "%%s %u", i);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        log_write(LOG_LEVEL_ERROR, formats[i], "a sentence that is as long as sentences of a log are, more or less");
#pragma GCC diagnostic pop
    }
}

static void floods(int reads, int more)
{
    (void)reads;
    for (int i = 0; i < more; i++)
        log_warning("client %d is disconnected", i);
    log_detach(); /* as at the end of the window */
}

static void fills(int reads, int more)
{
    write_different((unsigned)more);
    read_now(reads); /* somebody reads at last */
    log_info("the next line");
}

static void one_kind_of_line_floods_nothing(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    in_a_process(fds, floods, 1000);
    assert_int_equal(count("\n"), LOG_BURST + 1);
    assert_int_equal(count("mnd: warning: client 19 is disconnected\n"), 1);
    assert_int_equal(count("... and 980 more like it, the last: client 999 is disconnected\n"), 1);
    close(fds[0]);
    close(fds[1]);
}

static void a_reader_that_stands_still_is_not_waited_for(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        int fds[2];

        assert_int_equal(i == 0 ? pipe(fds) : socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        in_a_process(fds, fills, MANY);
        assert_int_equal(count("the next line\n"), 1);
        assert_int_equal(count("lines of this log are lost: nobody read it\n"), 1);
        close(fds[0]);
        close(fds[1]);
    }
}

static void speaks_in_colours(int reads, int more)
{
    (void)reads;
    (void)more;
    log_info("the pen \x1b[31mred\x1b[0m says \"%s\"", "a\nb\xe2\x80\xae\xff");
}

static void what_is_no_text_is_written_as_text(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    in_a_process(fds, speaks_in_colours, 0);
    assert_string_equal(text, "mnd: the pen \\x1b[31mred\\x1b[0m says \"a\\nb\\u202e\\xff\"\n");
    close(fds[0]);
    close(fds[1]);
}

/* $JOURNAL_STREAM of an elder is not ours: then lines have no level in front. */
static void the_journal_is_known_by_its_file(void **state)
{
    char stream[60];
    struct stat s;
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(setenv("JOURNAL_STREAM", "8:12345", 1), 0);
    in_a_process(fds, speaks_in_colours, 0);
    assert_int_equal(count("mnd: the pen"), 1);
    assert_int_equal(fstat(fds[1], &s), 0);
    snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)s.st_dev, (uintmax_t)s.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
    in_a_process(fds, speaks_in_colours, 0);
    assert_int_equal(count("<6>the pen"), 1);
    unsetenv("JOURNAL_STREAM");
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_kind_of_line_floods_nothing),
        cmocka_unit_test(a_reader_that_stands_still_is_not_waited_for),
        cmocka_unit_test(what_is_no_text_is_written_as_text),
        cmocka_unit_test(the_journal_is_known_by_its_file),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
