#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "escape.h"

enum { LINE_MAX_BYTES = 1024, KINDS = 64, AGAIN_US = 1000000 };

struct kind { /* a kind of message, within its window of time */
    const char *format;
    enum log_level level;
    uint64_t began_ms;
    unsigned written;
    uint64_t more;
    char last[200];
};

static struct {
    pthread_mutex_t lock;
    enum log_level level;
    bool opened, for_journal;
    int fd;                     /* stderr, or a non-blocking description of the same file */
    mode_t kind;
    char rest[LINE_MAX_BYTES + 80]; /* a line that has been written in part */
    size_t rest_fill, rest_sent;
    uint64_t lost;
    struct kind kinds[KINDS];
    sd_event_source *later;
    pthread_t loop;
} out = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = LOG_LEVEL_INFO, .fd = STDERR_FILENO};

void log_set_level(enum log_level level)
{
    out.level = level;
}

/* $JOURNAL_STREAM names a file by device and inode. It may have been inherited and not refer to this stderr. */
static bool is_journal(const struct stat *s)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char own[48];

    snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)s->st_dev, (uintmax_t)s->st_ino);
    return stream != NULL && strcmp(stream, own) == 0;
}

/* Opens a pipe or terminal anew: O_NONBLOCK belongs to the file description, and that of stderr is shared with other processes. */
static void open_once(void)
{
    struct stat s = {0};
    int fd;

    if (out.opened)
        return;
    out.opened = true;
    if (fstat(STDERR_FILENO, &s) < 0)
        return;
    out.kind = s.st_mode & S_IFMT;
    out.for_journal = is_journal(&s);
    if (out.kind != S_IFIFO && out.kind != S_IFCHR)
        return;
    fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        out.fd = fd;
}

static ssize_t write_now(const char *bytes, size_t n)
{
    struct pollfd p = {.fd = out.fd, .events = POLLOUT};

    if (out.kind == S_IFSOCK)
        return send(out.fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    /* If it could not be reopened: a pipe that polls writable takes at least PIPE_BUF bytes, which is more than a line. */
    if (out.fd == STDERR_FILENO && out.kind != S_IFREG && (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))) {
        errno = EAGAIN;
        return -1;
    }
    return write(out.fd, bytes, n);
}

/* Writes the pending line. True: it was written, or failed for good. False: its reader does not take it now. */
static bool finish_rest(void)
{
    while (out.rest_sent < out.rest_fill) {
        ssize_t n = write_now(out.rest + out.rest_sent, out.rest_fill - out.rest_sent);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0)
            break;
        out.rest_sent += (size_t)n;
    }
    out.rest_fill = out.rest_sent = 0;
    return true;
}

static void write_later(void)
{
    if (out.later == NULL || !pthread_equal(out.loop, pthread_self()))
        return;
    sd_event_source_set_time_relative(out.later, AGAIN_US);
    sd_event_source_set_enabled(out.later, SD_EVENT_ONESHOT);
}

/* False if the line is lost. */
static bool put(enum log_level level, const char *line)
{
    static const char *const names[] = {"error: ", "warning: ", "", "debug: "};
    static const int priorities[] = {3, 4, 6, 7}; /* syslog priorities */
    int n;

    if (!finish_rest())
        return false;
    n = out.for_journal ? snprintf(out.rest, sizeof(out.rest), "<%d>%s\n", priorities[level], line) : snprintf(out.rest, sizeof(out.rest), "mnd: %s%s\n", names[level], line);
    out.rest_fill = n > 0 ? (size_t)n : 0;
    finish_rest();
    return true;
}

static bool put_lost(void)
{
    char line[100];

    if (out.lost == 0)
        return true;
    snprintf(line, sizeof(line), "%" PRIu64 " lines of this log are lost: nobody read it", out.lost);
    if (!put(LOG_LEVEL_WARNING, line))
        return false;
    out.lost = 0;
    return true;
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Logs how many messages of a kind were suppressed. False if it could not be written now. */
static bool close_window(struct kind *k)
{
    char line[LINE_MAX_BYTES];

    if (k->more > 0) {
        snprintf(line, sizeof(line), "... and %" PRIu64 " more like it, the last: %s", k->more, k->last);
        if (!put(k->level, line))
            return false;
    }
    *k = (struct kind){0};
    return true;
}

/* Whether lines are waiting to be written. */
static bool close_windows(uint64_t ms)
{
    bool left = false;

    for (size_t i = 0; i < KINDS; i++) {
        struct kind *k = &out.kinds[i];

        if (k->format != NULL && (ms < k->began_ms + LOG_WINDOW_S * 1000 || !close_window(k)))
            left |= k->more > 0;
    }
    return left;
}

/* Returns the kind's entry, else a free one, else the oldest. */
static struct kind *kind_of(const char *format)
{
    struct kind *oldest = &out.kinds[0], *vacant = NULL;

    for (size_t i = 0; i < KINDS; i++) {
        struct kind *k = &out.kinds[i];

        if (k->format == format)
            return k;
        if (k->format == NULL && vacant == NULL)
            vacant = k;
        if (k->began_ms < oldest->began_ms)
            oldest = k;
    }
    if (vacant == NULL && !close_window(oldest))
        *oldest = (struct kind){0};
    return vacant != NULL ? vacant : oldest;
}

static bool is_too_much(enum log_level level, const char *format, const char *line, uint64_t ms)
{
    struct kind *k = kind_of(format);

    if (k->format == NULL)
        *k = (struct kind){.format = format, .level = level, .began_ms = ms};
    if (k->written < (level <= LOG_LEVEL_WARNING ? LOG_BURST : LOG_BURST_INFO)) {
        k->written++;
        return false;
    }
    k->more++;
    snprintf(k->last, sizeof(k->last), "%.*s", (int)sizeof(k->last) - 1, line);
    return true;
}

void log_write(enum log_level level, const char *format, ...)
{
    char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES];
    uint64_t ms = now_ms();
    bool left;
    va_list ap;

    if (level > out.level)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    escape_terminal(line, sizeof(line), text, strlen(text));
    pthread_mutex_lock(&out.lock);
    open_once();
    left = close_windows(ms);
    if (level < LOG_LEVEL_DEBUG && is_too_much(level, format, line, ms)) {
        left = true;
    } else if (!put_lost() || !put(level, line)) {
        out.lost++;
        left = true;
    }
    if (left || out.rest_fill > 0)
        write_later();
    pthread_mutex_unlock(&out.lock);
}

static int on_later(sd_event_source *source, uint64_t usec, void *userdata)
{
    bool left;

    (void)source;
    (void)usec;
    (void)userdata;
    pthread_mutex_lock(&out.lock);
    left = close_windows(now_ms());
    if (!put_lost() || !finish_rest() || left)
        write_later();
    pthread_mutex_unlock(&out.lock);
    return 0;
}

int log_attach(sd_event *event)
{
    int r = sd_event_add_time_relative(event, &out.later, CLOCK_MONOTONIC, 0, AGAIN_US / 10, on_later, NULL);

    if (r < 0)
        return r;
    out.loop = pthread_self();
    return sd_event_source_set_enabled(out.later, SD_EVENT_OFF);
}

void log_detach(void)
{
    pthread_mutex_lock(&out.lock);
    close_windows(UINT64_MAX);
    put_lost();
    out.later = sd_event_source_disable_unref(out.later);
    pthread_mutex_unlock(&out.lock);
}
