#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "log.h"
#include "stall.h"

void process_unwatch(struct control *k, const struct client *c)
{
    for (struct watch **at = &k->watches; *at != NULL; at = &(*at)->next) {
        struct watch *w = *at;

        if (w->client != c)
            continue;
        *at = w->next;
        sd_event_source_disable_unref(w->source); /* also closes its descriptor */
        free(w);
        return;
    }
}

/* The lease holder has died. Its connection may survive in a child, which does not control the pen. */
static int on_process(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    struct watch *w = userdata;
    struct control *k = w->control;
    struct client *c = w->client;
    const struct lease *l;

    stall_doing("a lease holder that died");
    (void)source;
    (void)fd;
    (void)events;
    while ((l = lease_held_by(&k->leases, c)) != NULL) {
        char text[200];

        snprintf(text, sizeof(text), "%s has ended and has lost control of pen %s; the needles were stopped", l->name, l->serial);
        log_warning("%s", text);
        hub_note(k->hub, MNC__JOURNAL_KIND__JOURNAL_CONTROL, l->serial, text);
        control_release(k, l->serial, c);
    }
    process_unwatch(k, c);
    return 0;
}

int process_watch(struct control *k, struct client *c)
{
    struct watch *w = k->watches;
    int fd, r;

    while (w != NULL && w->client != c)
        w = w->next;
    if (w != NULL)
        return 0;
    fd = client_pidfd(c);
    if (fd < 0)
        return fd == -ESRCH ? fd : 0;
    w = calloc(1, sizeof(*w));
    if (w == NULL) {
        close(fd);
        return -ENOMEM;
    }
    *w = (struct watch){.next = k->watches, .control = k, .client = c};
    r = sd_event_add_io(k->event, &w->source, fd, EPOLLIN, on_process, w);
    if (r >= 0)
        r = sd_event_source_set_io_fd_own(w->source, true);
    if (r < 0) {
        sd_event_source_disable_unref(w->source);
        close(fd);
        free(w);
        return r;
    }
    k->watches = w;
    return 0;
}
