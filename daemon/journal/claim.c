#include "claim.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

enum { HEADER_ID_AT = 68, HEADER_BYTES = 100 }; /* offsets in an SQLite database: https://www.sqlite.org/fileformat2.html */

struct claim {
    const char *path;
    char *why;
    size_t cap;
};

static int reject(const struct claim *c, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int reject(const struct claim *c, int error, const char *format, ...)
{
    char reason[300];
    va_list ap;

    va_start(ap, format);
    vsnprintf(reason, sizeof(reason), format, ap);
    va_end(ap);
    snprintf(c->why, c->cap, "the journal %s %s", c->path, reason);
    return -error;
}

/* Reads the id through SQLite, since it may be in the WAL only. Read-only. */
static bool has_id_in_its_log(const char *path)
{
    sqlite3_stmt *q = NULL;
    sqlite3 *db = NULL;
    bool has = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
               sqlite3_prepare_v2(db, "PRAGMA application_id", -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW &&
               sqlite3_column_int64(q, 0) == JOURNAL_APPLICATION_ID;

    sqlite3_finalize(q);
    sqlite3_close(db);
    return has;
}

/* Read before SQLite opens the file: closing any descriptor of a file releases the locks that SQLite holds on it. */
static int read_id(const struct claim *c, uint32_t *id)
{
    uint8_t header[HEADER_BYTES] = {0};
    int fd = open(c->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : pread(fd, header, sizeof(header), 0);
    int e = errno;

    if (fd >= 0)
        close(fd);
    if (n < 0)
        return reject(c, e, "cannot be read: %s", strerror(e));
    *id = (uint32_t)header[HEADER_ID_AT] << 24 | (uint32_t)header[HEADER_ID_AT + 1] << 16 | (uint32_t)header[HEADER_ID_AT + 2] << 8 | header[HEADER_ID_AT + 3];
    return 0;
}

static int belongs(const struct claim *c, uid_t owner)
{
    return reject(c, EACCES, "belongs to user %u, and mnd runs as user %u: sudo chown %u %s, and its -wal, -shm and .lock beside it", (unsigned)owner, (unsigned)geteuid(),
                  (unsigned)geteuid(), c->path);
}

static int check_kind(const struct claim *c)
{
    uint32_t id = 0;
    struct stat s;
    int r;

    if (lstat(c->path, &s) < 0)
        return errno == ENOENT ? 0 : reject(c, errno, "cannot be opened: %s", strerror(errno));
    if (!S_ISREG(s.st_mode))
        return reject(c, EEXIST, "is %s: a journal is a file, and this is left as it is", file_kind(s.st_mode));
    if (access(c->path, R_OK | W_OK) < 0)
        return errno == EACCES ? belongs(c, s.st_uid) : reject(c, errno, "cannot be written: %s", strerror(errno));
    if (s.st_size == 0)
        return 0;
    r = read_id(c, &id);
    if (r < 0)
        return r;
    if (id == JOURNAL_APPLICATION_ID || (id == 0 && has_id_in_its_log(c->path)))
        return 0;
    return reject(c, EEXIST, "is a file that is no journal of mnd, and is left as it is: name another one, or move it away");
}

/* Reads the holder's pid from the lock file. */
static int in_use(const struct claim *c, int fd)
{
    char pid[24] = "";
    ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

    pid[n > 0 ? (size_t)n : 0] = '\0';
    return reject(c, EBUSY, "is in use by another mnd (pid %lu): one journal is one daemon's", strtoul(pid, NULL, 10));
}

/* Writes the holder's pid into the lock file. A longer file of that name is somebody else's and is not overwritten; if the disk is full, the lock holds all the same. */
static void sign(int fd)
{
    char pid[24];
    struct stat s;
    ssize_t written = 0;

    snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_size < (off_t)sizeof(pid) && ftruncate(fd, 0) == 0)
        written = pwrite(fd, pid, strlen(pid), 0);
    (void)written;
}

int claim_private(const char *path, char *why, size_t cap)
{
    const struct claim c = {path, why, cap};
    static const char *const tails[] = {"", "-wal", "-shm"};
    char name[CLAIM_PATH_MAX];
    struct stat s;

    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        int fd, e = 0;

        if (snprintf(name, sizeof(name), "%s%s", path, tails[i]) >= (int)sizeof(name))
            return reject(&c, ENAMETOOLONG, "has too long a path");
        fd = open(name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (i == 0 ? O_CREAT : 0), 0600);
        if (fd < 0 && i > 0 && errno == ENOENT)
            continue;
        if (fd < 0 || fstat(fd, &s) < 0 || ((s.st_mode & 077) != 0 && fchmod(fd, 0600) < 0))
            e = errno;
        if (fd >= 0)
            close(fd);
        if (e != 0)
            return reject(&c, e, "cannot be kept from other users: %s: %s", name, strerror(e));
    }
    return 0;
}

int claim_file(const char *path, int *lock, char *why, size_t cap)
{
    const struct claim c = {path, why, cap};
    char name[CLAIM_PATH_MAX];
    struct stat s;
    int fd, r;

    *lock = -1;
    if (snprintf(name, sizeof(name), "%s.lock", path) >= (int)sizeof(name))
        return reject(&c, ENAMETOOLONG, "has too long a path");
    r = check_kind(&c);
    if (r < 0)
        return r;
    fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0 && errno == EACCES && lstat(name, &s) == 0)
        return belongs(&c, s.st_uid);
    if (fd < 0)
        return reject(&c, errno, "cannot be opened: %s", errno == ENOENT ? "its folder is not there" : strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        r = errno == EWOULDBLOCK ? in_use(&c, fd) : reject(&c, errno, "cannot be locked: %s", strerror(errno));
        close(fd);
        return r;
    }
    *lock = fd;
    sign(fd);
    return claim_private(path, why, cap);
}

int claim_set_aside(const char *path, char *aside, size_t cap)
{
    static const char *const tails[] = {"-wal", "-shm", ""}; /* the database itself last: until then the journal is found again */
    char from[CLAIM_PATH_MAX], to[CLAIM_PATH_MAX];
    unsigned n = 1;

    do
        snprintf(aside, cap, "%s.damaged-%u", path, n);
    while (access(aside, F_OK) == 0 && ++n < 10000);
    for (size_t i = 0; i < 3; i++) {
        snprintf(from, sizeof(from), "%s%s", path, tails[i]);
        snprintf(to, sizeof(to), "%s%s", aside, tails[i]);
        if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0 && errno != ENOENT)
            return -errno;
    }
    return 0;
}
