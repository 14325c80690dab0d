#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "escape.h"

enum { LINE_MAX_BYTES = 1 << 20, TURN_MS = 20, END_MS = 500, QUOTED_MAX = 100 };

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int child_start(struct child *c, const char *program, const char *argument)
{
    int in[2], out[2];

    *c = (struct child){.pid = -1, .in = -1, .out = -1};
    if (pipe2(in, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(out, O_CLOEXEC) < 0) {
        int e = errno;

        close(in[0]);
        close(in[1]);
        return -e;
    }
    c->pid = fork();
    if (c->pid == 0) {
        setsid(); /* a process group of its own, without a terminal: a program that asks the operator something fails at once */
        signal(SIGPIPE, SIG_DFL);
        if (dup2(in[0], STDIN_FILENO) >= 0 && dup2(out[1], STDOUT_FILENO) >= 0)
            execl(program, program, argument, (char *)NULL);
        _exit(127);
    }
    c->in = in[1];
    c->out = out[0];
    close(in[0]);
    close(out[1]);
    if (c->pid < 0) {
        int e = errno;

        child_end(c);
        return -e;
    }
    fcntl(c->in, F_SETFL, O_NONBLOCK);
    fcntl(c->out, F_SETFL, O_NONBLOCK);
    return 0;
}

/* Reads its output. 1: a whole line is buffered; 0: not yet; -1: it has ended, or the line is too long. */
static int take(struct child *c)
{
    for (;;) {
        ssize_t n;

        if (c->fill > 0 && memchr(c->line, '\n', c->fill) != NULL)
            return 1;
        if (c->fill + 1 >= c->cap) {
            size_t cap = c->cap == 0 ? 4096 : c->cap * 2;
            char *more = cap <= LINE_MAX_BYTES ? realloc(c->line, cap) : NULL;

            if (more == NULL)
                return -1;
            c->line = more;
            c->cap = cap;
        }
        n = read(c->out, c->line + c->fill, c->cap - c->fill - 1);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        if (n == 0)
            return -1;
        c->fill += (size_t)n;
        c->line[c->fill] = '\0';
    }
}

static void drop_line(struct child *c)
{
    size_t n = (size_t)((char *)memchr(c->line, '\n', c->fill) - c->line) + 1;

    c->fill -= n;
    memmove(c->line, c->line + n, c->fill);
    c->line[c->fill] = '\0';
}

/* As take(), but lines that answer earlier questions are dropped. */
static int take_answer(struct child *c)
{
    int r = take(c);

    for (; r == 1 && c->late > 0; c->late--, r = take(c))
        drop_line(c);
    return r;
}

/* Writes as much as the pipe takes. False if the program has closed it. */
static bool give(struct child *c, const char **text)
{
    size_t n = strlen(*text);
    ssize_t done = n > 0 ? write(c->in, *text, n) : 0;

    if (done < 0)
        return errno == EAGAIN || errno == EINTR;
    *text += done;
    return true;
}

static json_t *parse(struct child *c, char *why, size_t cap)
{
    json_error_t e;
    size_t n = (size_t)((char *)memchr(c->line, '\n', c->fill) - c->line);
    json_t *answer = json_loadb(c->line, n, JSON_REJECT_DUPLICATES, &e);
    char shown[QUOTED_MAX];

    if (!json_is_object(answer)) {
        snprintf(why, cap, "its answer is no JSON object: %s", escape_terminal(shown, sizeof(shown), c->line, n));
        json_decref(answer);
        answer = NULL;
    }
    drop_line(c);
    return answer;
}

/* Checks that nothing is left of an earlier request that could be taken for the reply to the next one. */
static bool is_in_step(struct child *c, char *why, size_t cap)
{
    if (c->half_asked)
        snprintf(why, cap, "it did not take an earlier question");
    else if (take_answer(c) == 1)
        snprintf(why, cap, "it says more than it is asked");
    else
        return true;
    while (c->fill > 0 && memchr(c->line, '\n', c->fill) != NULL)
        drop_line(c); /* reported once only: the next request is sent, since a fixture must be told to be safe */
    return false;
}

json_t *child_ask(struct child *c, const json_t *question, unsigned limit_ms, child_idle_fn *idle, void *ctx, char *why, size_t cap)
{
    char *line = json_dumps(question, JSON_COMPACT), *text = NULL;
    const char *rest;
    uint64_t end_ms = now_ms() + limit_ms;
    int r = 0;

    if (!is_in_step(c, why, cap)) {
        free(line);
        return NULL;
    }
    if (line == NULL || asprintf(&text, "%s\n", line) < 0) {
        free(line);
        snprintf(why, cap, "out of memory");
        return NULL;
    }
    free(line);
    rest = text;
    while (r == 0) {
        struct pollfd fds[2] = {{.fd = c->out, .events = POLLIN}, {.fd = *rest != '\0' ? c->in : -1, .events = POLLOUT}};

        if (now_ms() >= end_ms) {
            snprintf(why, cap, "it did not answer within %.1f s", limit_ms / 1000.0);
            break;
        }
        if (!idle(ctx)) {
            snprintf(why, cap, "it was not waited for any longer");
            break;
        }
        poll(fds, 2, TURN_MS);
        if (!give(c, &rest))
            r = -1;
        if (r == 0 && fds[0].revents != 0)
            r = take_answer(c);
        if (r < 0)
            snprintf(why, cap, "it ended, or said too much, without an answer");
    }
    c->late += r == 0;
    c->half_asked = r == 0 && *rest != '\0';
    free(text);
    return r == 1 ? parse(c, why, cap) : NULL;
}

int child_end(struct child *c)
{
    uint64_t end_ms = now_ms() + END_MS;
    int status = -1;
    pid_t done = 0;

    if (c->in >= 0)
        close(c->in);
    while (c->pid > 0 && (done = waitpid(c->pid, &status, WNOHANG)) == 0 && now_ms() < end_ms)
        poll(NULL, 0, 5);
    if (c->pid > 0) {
        kill(-c->pid, SIGKILL); /* the whole process group */
        if (done == 0)
            waitpid(c->pid, &status, 0);
    }
    if (c->out >= 0)
        close(c->out);
    free(c->line);
    *c = (struct child){.pid = -1, .in = -1, .out = -1};
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
