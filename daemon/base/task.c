#include "task.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "stall.h"

struct task {
    void (*run)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
    pthread_t thread;
    int fd;
    sd_event_source *source;
};

static void *thread(void *arg)
{
    struct task *t = arg;
    uint64_t one = 1;

    t->run(t->ctx);
    return write(t->fd, &one, sizeof(one)) == sizeof(one) ? t : NULL;
}

static int on_end(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
    struct task *t = userdata;
    void (*done)(void *ctx) = t->done;
    void *ctx = t->ctx;

    stall_doing("the end of a long task");
    (void)s;
    (void)fd;
    (void)revents;
    sd_event_source_set_enabled(t->source, SD_EVENT_OFF);
    done(ctx); /* it may free t */
    return 0;
}

int task_start(struct task **out, sd_event *event, void (*run)(void *ctx), void (*done)(void *ctx), void *ctx)
{
    struct task *t = calloc(1, sizeof(*t));
    sigset_t all, before;
    int r;

    if (t == NULL)
        return -ENOMEM;
    *t = (struct task){.run = run, .done = done, .ctx = ctx, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    r = t->fd < 0 ? -errno : sd_event_add_io(event, &t->source, t->fd, EPOLLIN, on_end, t);
    if (r >= 0) {
        sigfillset(&all); /* signals are handled by the loop */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&t->thread, NULL, thread, t);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (r < 0) {
        sd_event_source_disable_unref(t->source);
        if (t->fd >= 0)
            close(t->fd);
        free(t);
        return r;
    }
    *out = t;
    return 0;
}

void task_free(struct task *t)
{
    if (t == NULL)
        return;
    pthread_join(t->thread, NULL);
    sd_event_source_disable_unref(t->source);
    close(t->fd);
    free(t);
}
