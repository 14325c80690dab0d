#include "groups.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_S = 5 };

/* Runs in the child. Any error ends the child, so that its reply is too short. */
static void look_up(int out, const char *const *names, size_t n)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGALRM, SIG_DFL);
    alarm(PATIENCE_S);
    for (size_t i = 0; i < n; i++) {
        const struct group *g = names[i][0] != '\0' ? getgrnam(names[i]) : NULL;
        gid_t gid = g != NULL ? g->gr_gid : GROUP_UNKNOWN;

        if (write(out, &gid, sizeof(gid)) != (ssize_t)sizeof(gid))
            _exit(1);
    }
    _exit(0);
}

int groups_look_up(const char *const *names, gid_t *gids, size_t n)
{
    size_t fill = 0, all = n * sizeof(*gids);
    int fds[2], status = -1;
    bool any = false;
    pid_t pid;

    for (size_t i = 0; i < n; i++) {
        gids[i] = GROUP_UNKNOWN;
        any |= names[i][0] != '\0';
    }
    if (!any)
        return 0;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    pid = fork();
    if (pid == 0)
        look_up(fds[1], names, n);
    close(fds[1]);
    while (pid > 0 && fill < all) {
        ssize_t got = read(fds[0], (char *)gids + fill, all - fill);

        if (got > 0)
            fill += (size_t)got;
        else if (got == 0 || errno != EINTR)
            break;
    }
    close(fds[0]);
    if (pid < 0)
        return -EAGAIN;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (fill == all)
        return 0;
    for (size_t i = 0; i < n; i++)
        gids[i] = GROUP_UNKNOWN;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? -ETIMEDOUT : -EIO;
}
