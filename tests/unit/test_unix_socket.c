/* Sockets at paths: what is there already is respected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "unix_socket.h"

static char folder[] = "/tmp/mn-socket-XXXXXX", path[80], why[400];

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* each test leaves it empty */
}

static const char *at(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void assert_refused(const char *name, int type, int error, const char *sentence)
{
    int r = unix_listen(name, type, 1, why, sizeof(why));

    if (r != -error || strstr(why, sentence) == NULL)
        fail_msg("%s: %d, \"%s\"", name, r, why);
}

static void an_old_socket_is_replaced_and_one_in_use_is_not(void **state)
{
    struct stat s;
    int a, b;

    (void)state;
    a = unix_listen(at("s"), SOCK_STREAM, 1, why, sizeof(why));
    assert_true(a >= 0);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 07777, 0600);
    assert_refused(path, SOCK_STREAM, EADDRINUSE, "is in use: another program listens there");
    assert_refused(path, SOCK_SEQPACKET, EADDRINUSE, "is in use: it is a socket of another kind");
    close(a);
    b = unix_listen(path, SOCK_STREAM, 1, why, sizeof(why));
    assert_true(b >= 0);
    close(b);
    unlink(path);
}

/* A daemon that stands still, with as many waiting before it as its backlog takes: who asks it is not kept waiting. */
static void one_that_does_not_answer_is_not_waited_for(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, waiting[8];

    (void)state;
    fd = unix_listen(at("s"), SOCK_STREAM, 0, why, sizeof(why));
    assert_true(fd >= 0);
    memcpy(address.sun_path, path, strlen(path) + 1);
    for (size_t i = 0; i < 8; i++) {
        waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(waiting[i], (struct sockaddr *)&address, sizeof(address)) < 0)
            assert_int_equal(errno, EAGAIN);
    }
    alarm(20);
    assert_refused(path, SOCK_STREAM, EADDRINUSE, "is in use: another program has it, and does not answer");
    alarm(0);
    for (size_t i = 0; i < 8; i++)
        close(waiting[i]);
    close(fd);
    unlink(path);
}

static void what_is_no_socket_is_left_as_it_is(void **state)
{
    static const char letter[] = "Dear board,";
    char read_back[20] = "", target[80];
    struct stat s;
    int fd;

    (void)state;
    fd = open(at("letter"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, letter, sizeof(letter)), sizeof(letter));
    assert_refused(path, SOCK_STREAM, EEXIST, "is a file, and no socket: it is left as it is");
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(pread(fd, read_back, sizeof(read_back), 0), sizeof(letter));
    assert_string_equal(read_back, letter);
    snprintf(target, sizeof(target), "%s", path);
    assert_int_equal(symlink(target, at("link")), 0);
    assert_refused(path, SOCK_STREAM, EEXIST, "is a symbolic link, and no socket");
    assert_int_equal(lstat(path, &s), 0);
    assert_true(S_ISLNK(s.st_mode));
    unlink(path);
    unlink(target);
    close(fd);
    assert_refused(folder, SOCK_STREAM, EEXIST, "is a folder, and no socket");
    assert_refused("", SOCK_STREAM, ENAMETOOLONG, "is no path for a socket: it has 1 to 107 bytes, and this has 0");
    assert_refused("/nowhere/s", SOCK_STREAM, ENOENT, "cannot be listened at: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_old_socket_is_replaced_and_one_in_use_is_not),
        cmocka_unit_test(one_that_does_not_answer_is_not_waited_for),
        cmocka_unit_test(what_is_no_socket_is_left_as_it_is),
    };

    return cmocka_run_group_tests_name("unix_socket", tests, make_folder, remove_folder);
}
