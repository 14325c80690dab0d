#include "aside.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct aside {
    aside_work *work;
    void *arg;
    int done_fd;
    atomic_bool done;
};

static void *work_thread(void *arg)
{
    struct aside *a = arg;
    uint64_t one = 1;

    a->work(a->arg);
    atomic_store(&a->done, true);
    if (write(a->done_fd, &one, sizeof(one)) < 0) /* cannot fail on an eventfd at 0; if it did, serve()'s own timeout ends the wait */
        return NULL;
    return NULL;
}

void aside_run(aside_work *work, void *arg, aside_serve *serve, void *ctx)
{
    struct aside a = {.work = work, .arg = arg, .done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    pthread_t thread;

    if (a.done_fd < 0 || pthread_create(&thread, NULL, work_thread, &a) != 0) {
        work(arg);
    } else {
        while (!atomic_load(&a.done) && serve(ctx, a.done_fd))
            ;
        pthread_join(thread, NULL);
    }
    if (a.done_fd >= 0)
        close(a.done_fd);
}
