#include "control_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unix_socket.h"

enum { LISTENER = CONTROL_CONNECTIONS };

int control_open(struct control *c, const char *path, char *why, size_t cap)
{
    *c = (struct control){0};
    for (size_t i = 0; i < CONTROL_FDS; i++)
        c->fds[i] = -1;
    if (path == NULL)
        return 0;
    c->fds[LISTENER] = unix_listen(path, SOCK_SEQPACKET, CONTROL_CONNECTIONS, why, cap);
    return c->fds[LISTENER] < 0 ? c->fds[LISTENER] : 0;
}

static void hang_up(struct control *c, size_t i)
{
    if (c->fds[i] >= 0)
        close(c->fds[i]);
    c->fds[i] = -1;
}

void control_close(struct control *c, const char *path)
{
    if (path != NULL && c->fds[LISTENER] >= 0)
        unlink(path);
    for (size_t i = 0; i < CONTROL_FDS; i++)
        hang_up(c, i);
}

void control_poll(const struct control *c, struct pollfd fds[CONTROL_FDS])
{
    for (size_t i = 0; i < CONTROL_FDS; i++)
        fds[i] = (struct pollfd){.fd = c->fds[i], .events = POLLIN};
}

static void take_connection(struct control *c)
{
    int fd = accept4(c->fds[LISTENER], NULL, NULL, SOCK_CLOEXEC);
    size_t i = 0;

    if (fd < 0)
        return;
    while (i < CONTROL_CONNECTIONS && c->fds[i] >= 0)
        i++;
    if (i == CONTROL_CONNECTIONS) {
        i = c->oldest;
        c->oldest = (c->oldest + 1) % CONTROL_CONNECTIONS;
        hang_up(c, i);
    }
    c->fds[i] = fd;
}

/* False: the client has closed the connection, or does not take its answer. */
static bool answer_line(int fd, control_fn *carry_out, void *ctx)
{
    char line[CONTROL_LINE_MAX + 1], answer[CONTROL_ANSWER_MAX + 1] = "";
    ssize_t n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    line[n] = '\0';
    carry_out(ctx, line, answer, sizeof(answer));
    if (send(fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        return true;
    perror("penstub: control socket");
    return false;
}

void control_serve(struct control *c, const struct pollfd fds[CONTROL_FDS], control_fn *carry_out, void *ctx)
{
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
        if (fds[i].revents != 0 && c->fds[i] == fds[i].fd && !answer_line(fds[i].fd, carry_out, ctx))
            hang_up(c, i);
    }
    if (fds[LISTENER].revents != 0)
        take_connection(c);
}

/* -1 with errno: ENAMETOOLONG, or that of socket(). */
static int make_socket(const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address->sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address->sun_path, path);
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

int control_connect(const char *path)
{
    struct sockaddr_un address;
    int fd = make_socket(path, &address), e;

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    e = errno;
    close(fd);
    errno = e;
    return -1;
}
