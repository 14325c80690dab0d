#include "person.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static struct {
    bool begun, is_terminal, ended;
    struct termios before; /* the terminal's mode at person_begin() */
    sigset_t mask_before;
    int signal_fd;
    enum person_mode mode;
    char line[PERSON_LINE_MAX + 1];
    size_t length;
    bool line_is_done;
    int key;
} person = {.signal_fd = -1};

/* ---- output that does not wait ---- */

enum { OUTPUT_MOST = 1 << 20, OUTPUT_LAST_MS = 500 };

static struct {
    int fd;        /* the terminal opened anew: non-blocking, on a file description of our own; -1: stdout is unchanged */
    FILE *before;  /* the original stdout */
    char *bytes;   /* not written to the terminal yet */
    size_t n, cap;
} output = {.fd = -1};

static void output_flush(void)
{
    size_t done = 0;

    while (done < output.n) {
        ssize_t w = write(output.fd, output.bytes + done, output.n - done);

        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0 && errno != EAGAIN)
            done = output.n; /* the terminal is gone; SIGHUP is about to end this program */
        if (w < 0)
            break;
        done += (size_t)w;
    }
    memmove(output.bytes, output.bytes + done, output.n - done);
    output.n -= done;
}

static ssize_t output_take(void *cookie, const char *bytes, size_t n)
{
    (void)cookie;
    if (output.n + n > output.cap) {
        size_t cap = (output.n + n) * 2;
        char *more = cap <= OUTPUT_MOST ? realloc(output.bytes, cap) : NULL;

        if (more == NULL)
            return (ssize_t)n; /* drop it: nobody will read that much */
        output.bytes = more;
        output.cap = cap;
    }
    memcpy(output.bytes + output.n, bytes, n);
    output.n += n;
    output_flush();
    return (ssize_t)n;
}

static void output_begin(void)
{
    const char *name = isatty(STDOUT_FILENO) ? ttyname(STDOUT_FILENO) : NULL;
    FILE *stream;

    fflush(stdout);
    output.fd = name != NULL ? open(name, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC) : -1;
    if (output.fd < 0)
        return;
    stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = output_take});
    if (stream == NULL) {
        close(output.fd);
        output.fd = -1;
        return;
    }
    output.before = stdout;
    stdout = stream;
}

/* Writes what is buffered, for as long as the terminal takes something. */
static void output_drain(void)
{
    struct pollfd room = {.fd = output.fd, .events = POLLOUT};

    fflush(stdout);
    while (output.fd >= 0 && output.n > 0 && poll(&room, 1, OUTPUT_LAST_MS) > 0)
        output_flush();
}

static void output_end(void)
{
    output_drain();
    if (output.fd < 0)
        return;
    fclose(stdout);
    stdout = output.before;
    close(output.fd);
    free(output.bytes);
    output.fd = -1;
    output.bytes = NULL;
    output.n = output.cap = 0;
}

bool person_output_waits(void)
{
    return output.n > 0;
}

/* ---- input ---- */

static void apply_mode(void)
{
    struct termios t = person.before;

    if (!person.is_terminal)
        return;
    if (person.mode != PERSON_LINES) {
        t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        t.c_cc[VMIN] = 1;
        t.c_cc[VTIME] = 0;
    }
    tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

int person_begin(void)
{
    sigset_t wanted;

    if (person.begun)
        return EXIT_OK;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGHUP);
    sigaddset(&wanted, SIGTSTP);
    sigaddset(&wanted, SIGWINCH);
    person.signal_fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (person.signal_fd < 0 || sigprocmask(SIG_BLOCK, &wanted, &person.mask_before) < 0) {
        fprintf(stderr, "mnctl: cannot wait for signals: %s\n", strerror(errno));
        return EXIT_ERROR;
    }
    person.is_terminal = tcgetattr(STDIN_FILENO, &person.before) == 0;
    person.begun = true;
    output_begin();
    person.ended = person.is_terminal && tcgetpgrp(STDIN_FILENO) != getpgrp(); /* a background job must not read the terminal */
    person.is_terminal = person.is_terminal && !person.ended;
    person.mode = PERSON_LINES;
    return EXIT_OK;
}

void person_end(void)
{
    if (!person.begun)
        return;
    output_end();
    if (person.is_terminal) {
        tcsetattr(STDIN_FILENO, TCSANOW, &person.before);
        tcflush(STDIN_FILENO, TCIFLUSH);
    }
    close(person.signal_fd);
    person.signal_fd = -1;
    sigprocmask(SIG_SETMASK, &person.mask_before, NULL);
    person.begun = false;
}

void person_set_mode(enum person_mode mode)
{
    if (mode == person.mode)
        return;
    person.mode = mode;
    apply_mode();
}

void person_forget_typed(void)
{
    if (person.is_terminal)
        tcflush(STDIN_FILENO, TCIFLUSH);
    person.length = 0;
}

const char *person_line(void)
{
    return person.line;
}

int person_key(void)
{
    return person.key;
}

void person_suspend(void)
{
    output_drain();
    if (person.is_terminal)
        tcsetattr(STDIN_FILENO, TCSANOW, &person.before);
    kill(getpid(), SIGSTOP);
    /* Execution continues here after SIGCONT. The shell may have changed the terminal's mode meanwhile. */
    apply_mode();
}

/* Returns the event of at most one pending signal. */
static enum person_event take_signal(void)
{
    struct signalfd_siginfo s;

    if (read(person.signal_fd, &s, sizeof(s)) != sizeof(s))
        return PERSON_TIMEOUT;
    switch (s.ssi_signo) {
    case SIGTSTP:
        return PERSON_SUSPEND;
    case SIGWINCH:
        return PERSON_RESIZED;
    default:
        return PERSON_INTERRUPT;
    }
}

/* Adds a byte to the line. The rest of a line that is too long is dropped, so that the line is rejected as too long and no part of it is taken as another line. */
static enum person_event take_line_byte(char c)
{
    if (c == '\n') {
        person.line[person.length < PERSON_LINE_MAX ? person.length : PERSON_LINE_MAX] = '\0';
        person.length = 0;
        return PERSON_LINE;
    }
    if (person.length < PERSON_LINE_MAX)
        person.line[person.length++] = c;
    return PERSON_TIMEOUT;
}

/* Arrow and function keys are ESC and more bytes. The whole sequence is skipped, so that none of its bytes is taken for a key. */
static void skip_sequence(void)
{
    enum { NEXT_BYTE_MS = 20 };
    struct pollfd more = {.fd = STDIN_FILENO, .events = POLLIN};
    bool first = true;
    char c;

    while (poll(&more, 1, NEXT_BYTE_MS) > 0 && read(STDIN_FILENO, &c, 1) == 1) {
        if (c >= '@' && c <= '~' && !(first && (c == '[' || c == 'O')))
            return;
        first = false;
    }
}

static enum person_event take_input(void)
{
    char c;

    /* One byte at a time: what is typed after the line stays in the terminal's queue, from which person_forget_typed() can drop it. */
    for (;;) {
        ssize_t n = read(STDIN_FILENO, &c, 1);
        enum person_event e;
        struct pollfd more = {.fd = STDIN_FILENO, .events = POLLIN};

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            return PERSON_TIMEOUT;
        if (n <= 0) {
            person.ended = true;
            return PERSON_END;
        }
        if (person.mode == PERSON_KEYS) {
            if (c == 4) /* Ctrl-D */
                return PERSON_END;
            if (c == '\033')
                skip_sequence();
            person.key = c == '\r' ? '\n' : c;
            return PERSON_KEY;
        }
        e = person.mode == PERSON_LINES ? take_line_byte(c) : PERSON_TIMEOUT;
        if (e != PERSON_TIMEOUT || poll(&more, 1, 0) <= 0)
            return e;
    }
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int earlier(int a_ms, int b_ms)
{
    return a_ms < 0 || (b_ms >= 0 && b_ms < a_ms) ? b_ms : a_ms;
}

enum person_event person_wait(struct app *a, int timeout_ms)
{
    int64_t end_ms = now_ms() + timeout_ms;
    enum person_event e = PERSON_TIMEOUT;

    fflush(stdout);
    while (e == PERSON_TIMEOUT) {
        int left_ms = timeout_ms < 0 ? -1 : (int)(end_ms > now_ms() ? end_ms - now_ms() : 0);
        struct pollfd fds[4] = {{.fd = person.signal_fd, .events = POLLIN},
                                {.fd = person.ended ? -1 : STDIN_FILENO, .events = POLLIN},
                                {.fd = a->client != NULL ? mn_fd(a->client) : -1, .events = a->client != NULL ? mn_events(a->client) : 0},
                                {.fd = output.n > 0 ? output.fd : -1, .events = POLLOUT}};

        if (poll(fds, 4, a->client != NULL ? earlier(left_ms, mn_timeout_ms(a->client)) : left_ms) < 0 && errno != EINTR)
            return PERSON_INTERRUPT;
        if (a->client != NULL && mn_process(a->client) != MN_OK)
            return PERSON_MNCTL_ERROR;
        if (fds[3].revents != 0)
            output_flush();
        if (fds[0].revents != 0)
            e = take_signal();
        else if (fds[1].revents != 0)
            e = take_input();
        if (timeout_ms >= 0 && now_ms() >= end_ms)
            break;
        if (e == PERSON_TIMEOUT && a->noticed) { /* an event has changed what has to be shown */
            a->noticed = false;
            break;
        }
    }
    return e;
}
