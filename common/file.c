#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "escape.h"

enum { PIECE = 64 * 1024 };

static char *refuse(int error, const char *path, char *why, size_t cap, const char *format, ...) __attribute__((format(printf, 5, 6)));

static char *refuse(int error, const char *path, char *why, size_t cap, const char *format, ...)
{
    char shown[256], reason[120];
    va_list ap;

    va_start(ap, format);
    vsnprintf(reason, sizeof(reason), format, ap);
    va_end(ap);
    snprintf(why, cap, "%s: %s", escape_terminal(shown, sizeof(shown), path, strlen(path)), reason);
    errno = error;
    return NULL;
}

const char *file_kind(mode_t mode)
{
    return S_ISREG(mode) ? "a file" : S_ISDIR(mode) ? "a folder" : S_ISLNK(mode) ? "a symbolic link" : S_ISFIFO(mode) ? "a FIFO" : S_ISSOCK(mode) ? "a socket" : "a device";
}

/* Reads up to most + 1 bytes: the one above the limit shows that the file is too long. */
static char *read_all(int fd, size_t most, size_t *n)
{
    char *text = NULL;
    size_t cap = 0;

    for (*n = 0; *n <= most;) {
        ssize_t got;

        if (*n + PIECE + 1 > cap) {
            char *more = realloc(text, cap = (cap == 0 ? PIECE : cap) * 2);

            if (more == NULL) {
                free(text);
                errno = ENOMEM;
                return NULL;
            }
            text = more;
        }
        got = read(fd, text + *n, PIECE);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            int e = errno;

            text[*n] = '\0';
            if (got == 0)
                return text;
            free(text);
            errno = e;
            return NULL;
        }
        *n += got > 0 ? (size_t)got : 0;
    }
    text[*n] = '\0';
    return text;
}

char *file_read(const char *path, size_t most, size_t *n, char *why, size_t cap)
{
    struct stat s;
    char *text;
    int fd, e;

    /* stat() before open(), since opening a device or a FIFO may block or have an effect. */
    if (stat(path, &s) < 0)
        return refuse(errno, path, why, cap, "%s", strerror(errno));
    if (!S_ISREG(s.st_mode))
        return refuse(S_ISDIR(s.st_mode) ? EISDIR : EINVAL, path, why, cap, "it is %s, not a file", file_kind(s.st_mode));
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return refuse(errno, path, why, cap, "%s", strerror(errno));
    if (fstat(fd, &s) < 0 || !S_ISREG(s.st_mode)) { /* replaced by another file meanwhile */
        close(fd);
        return refuse(EINVAL, path, why, cap, "it is no file any more");
    }
    text = read_all(fd, most, n);
    e = errno;
    close(fd);
    if (text == NULL)
        return refuse(e, path, why, cap, "%s", strerror(e));
    if (*n <= most)
        return text;
    free(text);
    if (most >= 1024 * 1024)
        return refuse(EFBIG, path, why, cap, "it is longer than %zu MiB, which is the most that is read", most / 1024 / 1024);
    return refuse(EFBIG, path, why, cap, "it is longer than %zu bytes, which is the most that is read", most);
}

static const char *folder_of(const char *path, char *out, size_t cap)
{
    const char *slash = strrchr(path, '/');

    snprintf(out, cap, "%.*s", slash != NULL ? (int)(slash - path) : 1, slash != NULL ? path : ".");
    return out[0] != '\0' ? out : "/";
}

/* Whether the path is a stream, to which output is written directly instead of replacing a file. */
static bool is_stream(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && (S_ISCHR(s.st_mode) || S_ISFIFO(s.st_mode));
}

bool file_may_create(const char *path, bool force, char *why, size_t cap)
{
    char folder[4096];
    struct stat s;

    if (is_stream(path))
        return true;
    if (lstat(path, &s) == 0 && S_ISLNK(s.st_mode))
        return refuse(ELOOP, path, why, cap, "it is a symbolic link: name the file itself") != NULL;
    if (lstat(path, &s) == 0 && !S_ISREG(s.st_mode))
        return refuse(EEXIST, path, why, cap, "it is %s, not a file", file_kind(s.st_mode)) != NULL;
    if (lstat(path, &s) == 0 && !force)
        return refuse(EEXIST, path, why, cap, "it is there already: name another file, or add --force") != NULL;
    if (lstat(path, &s) < 0 && access(folder_of(path, folder, sizeof(folder)), W_OK | X_OK) < 0)
        return refuse(errno, path, why, cap, "%s", strerror(errno)) != NULL;
    return true;
}

FILE *file_create(const char *path, bool force, char *why, size_t cap)
{
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | (is_stream(path) ? 0 : O_NOFOLLOW | (force ? O_TRUNC : O_EXCL)), fd;
    FILE *out;

    if (!file_may_create(path, force, why, cap))
        return NULL;
    fd = open(path, flags, 0666);
    out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (out != NULL)
        return out;
    refuse(errno, path, why, cap, "%s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return NULL;
}
