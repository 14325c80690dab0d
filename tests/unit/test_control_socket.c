/* The control socket of a penstub, without a penstub. */
#include "control_socket.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct control control;
static char folder[] = "/tmp/mn-control-XXXXXX", path[64];
static unsigned carried_out;

static void carry_out(void *ctx, const char *line, char *answer, size_t cap)
{
    assert_ptr_equal(ctx, &control);
    carried_out++;
    snprintf(answer, cap, "ok: %s", line);
}

/* One turn of the loop; nothing here waits. */
static void turn(void)
{
    struct pollfd fds[CONTROL_FDS];

    control_poll(&control, fds);
    poll(fds, CONTROL_FDS, 0);
    control_serve(&control, fds, carry_out, &control);
}

static int client(void)
{
    int fd = control_connect(path);

    assert_true(fd >= 0);
    turn();
    return fd;
}

static void say(int fd, const char *line)
{
    assert_int_equal(send(fd, line, strlen(line), MSG_NOSIGNAL), strlen(line));
    turn();
}

static void is_answered(int fd, const char *line)
{
    char answer[CONTROL_ANSWER_MAX + 1], wanted[CONTROL_ANSWER_MAX + 1];
    ssize_t n = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);

    assert_true(n > 0);
    answer[n] = '\0';
    snprintf(wanted, sizeof(wanted), "ok: %s", line);
    assert_string_equal(answer, wanted);
}

static bool is_hung_up(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void each_line_of_a_connection_is_answered(void **state)
{
    int fd = client();

    (void)state;
    for (int i = 0; i < 3; i++) {
        say(fd, "truth");
        is_answered(fd, "truth");
    }
    assert_false(is_hung_up(fd)); /* it stays until its client closes it */
    close(fd);
    turn();
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
        assert_int_equal(control.fds[i], -1);
}

static void a_client_that_says_nothing_keeps_nobody_waiting(void **state)
{
    int silent = client(), fd = client();

    (void)state;
    say(fd, "truth");
    is_answered(fd, "truth");
    close(silent);
    close(fd);
    turn();
}

static void a_client_that_does_not_listen_loses_its_connection_only(void **state)
{
    int deaf = client(), fd = client();
    unsigned before = carried_out;

    (void)state;
    for (int i = 0; i < 10000 && control.fds[0] >= 0; i++) {
        send(deaf, "truth", 5, MSG_NOSIGNAL | MSG_DONTWAIT);
        turn();
    }
    assert_true(carried_out > before + 1);
    assert_int_equal(control.fds[0], -1);
    say(fd, "truth");
    is_answered(fd, "truth");
    close(deaf);
    close(fd);
    turn();
}

static void one_connection_too_many_replaces_the_oldest(void **state)
{
    int fds[CONTROL_CONNECTIONS + 1];

    (void)state;
    for (size_t i = 0; i < CONTROL_CONNECTIONS + 1; i++)
        fds[i] = client();
    assert_true(is_hung_up(fds[0]));
    for (size_t i = 1; i < CONTROL_CONNECTIONS + 1; i++) {
        say(fds[i], "truth");
        is_answered(fds[i], "truth");
    }
    for (size_t i = 0; i < CONTROL_CONNECTIONS + 1; i++)
        close(fds[i]);
    turn();
}

static void lines_are_cut_and_paths_are_not(void **state)
{
    char line[2 * CONTROL_LINE_MAX], why[200];
    struct control other;
    int fd = client();

    (void)state;
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    say(fd, line);
    line[CONTROL_LINE_MAX] = '\0';
    is_answered(fd, line);
    close(fd);
    turn();
    memset(line, 'x', sizeof(line) - 1);
    assert_int_equal(control_connect(line), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    assert_int_equal(control_open(&other, path, why, sizeof(why)), -EADDRINUSE);
    control_close(&other, path); /* which is not its own */
    assert_int_equal(access(path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_of_a_connection_is_answered),
        cmocka_unit_test(a_client_that_says_nothing_keeps_nobody_waiting),
        cmocka_unit_test(a_client_that_does_not_listen_loses_its_connection_only),
        cmocka_unit_test(one_connection_too_many_replaces_the_oldest),
        cmocka_unit_test(lines_are_cut_and_paths_are_not),
    };
    char why[200];
    int r;

    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/control", folder);
    if (control_open(&control, path, why, sizeof(why)) < 0)
        return 1;
    r = cmocka_run_group_tests_name("control_socket", tests, NULL, NULL);
    control_close(&control, path);
    rmdir(folder);
    return r;
}
