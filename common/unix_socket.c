#include "unix_socket.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "escape.h"
#include "file.h"

struct reason {
    const char *path;
    char *text;
    size_t cap;
};

static int refuse(const struct reason *why, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int refuse(const struct reason *why, int error, const char *format, ...)
{
    char shown[200], sentence[200];
    va_list ap;

    va_start(ap, format);
    vsnprintf(sentence, sizeof(sentence), format, ap);
    va_end(ap);
    snprintf(why->text, why->cap, "%s %s", escape_terminal(shown, sizeof(shown), why->path, strlen(why->path)), sentence);
    return -error;
}

/* Finds out whether somebody listens at the path. 0: nobody. */
static int ask(const struct sockaddr_un *address, int type, const struct reason *why)
{
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), e;

    if (fd < 0)
        return refuse(why, errno, "cannot be asked who listens there: %s", strerror(errno));
    e = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;
    close(fd);
    switch (e) {
    case ECONNREFUSED:
    case ENOENT:
        return 0;
    case 0:
        return refuse(why, EADDRINUSE, "is in use: another program listens there");
    case EAGAIN:
        return refuse(why, EADDRINUSE, "is in use: another program has it, and does not answer");
    case EPROTOTYPE:
        return refuse(why, EADDRINUSE, "is in use: it is a socket of another kind");
    default:
        return refuse(why, e, "cannot be asked who listens there: %s", strerror(e));
    }
}

/* Removes an old socket at the path; nothing else is removed. */
static int clear(const struct sockaddr_un *address, int type, const struct reason *why)
{
    struct stat s;
    int r;

    if (lstat(why->path, &s) < 0)
        return errno == ENOENT ? 0 : refuse(why, errno, "cannot be a socket: %s", strerror(errno));
    if (!S_ISSOCK(s.st_mode))
        return refuse(why, EEXIST, "is %s, and no socket: it is left as it is", file_kind(s.st_mode));
    r = ask(address, type, why);
    if (r < 0)
        return r;
    return unlink(why->path) < 0 && errno != ENOENT ? refuse(why, errno, "is an old socket that cannot be taken away: %s", strerror(errno)) : 0;
}

int unix_listen(const char *path, int type, int backlog, char *text, size_t cap)
{
    const struct reason why = {path, text, cap};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    mode_t mask;
    int fd, r;

    if (n == 0 || n >= sizeof(address.sun_path))
        return refuse(&why, ENAMETOOLONG, "is no path for a socket: it has 1 to %zu bytes, and this has %zu", sizeof(address.sun_path) - 1, n);
    memcpy(address.sun_path, path, n + 1);
    r = clear(&address, type, &why);
    if (r < 0)
        return r;
    fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return refuse(&why, errno, "cannot be listened at: %s", strerror(errno));
    mask = umask(0177);
    r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, backlog) < 0 ? -errno : 0;
    umask(mask);
    if (r == 0)
        return fd;
    close(fd);
    return refuse(&why, -r, "cannot be listened at: %s", strerror(-r));
}
