#include "usb.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "log.h"
#include "stall.h"

struct watched {
    struct watched *next;
    int fd;
    sd_event_source *source;
};

struct usb_watch {
    sd_event *event;
    struct usb_bus *bus;
    struct watched *list;
};

static int on_ready(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
    stall_doing("USB transfers");
    (void)s;
    (void)fd;
    (void)revents;
    usb_bus_dispatch(userdata);
    return 0;
}

static int add(struct usb_watch *w, int fd, short events)
{
    uint32_t wanted = (events & POLLIN ? EPOLLIN : 0u) | (events & POLLOUT ? EPOLLOUT : 0u);
    struct watched *one = calloc(1, sizeof(*one));
    int r = one == NULL ? -ENOMEM : sd_event_add_io(w->event, &one->source, fd, wanted, on_ready, w->bus);

    if (r < 0) {
        free(one);
        return r;
    }
    one->fd = fd;
    one->next = w->list;
    w->list = one;
    return 0;
}

static void LIBUSB_CALL on_added(int fd, short events, void *userdata)
{
    if (add(userdata, fd, events) < 0)
        log_error("cannot watch a descriptor of libusb: a pen will seem silent");
}

static void LIBUSB_CALL on_removed(int fd, void *userdata)
{
    struct usb_watch *w = userdata;

    for (struct watched **at = &w->list; *at != NULL; at = &(*at)->next) {
        struct watched *one = *at;

        if (one->fd != fd)
            continue;
        *at = one->next;
        sd_event_source_disable_unref(one->source);
        free(one);
        return;
    }
}

/* Adds all descriptors that the context has now, and notifiers for those to come. */
static int watch_context(struct usb_watch *w)
{
    libusb_context *context = w->bus->libusb;
    const struct libusb_pollfd **fds;
    int r = 0;

    libusb_set_pollfd_notifiers(context, on_added, on_removed, w);
    fds = libusb_get_pollfds(context);
    if (fds == NULL)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && fds[i] != NULL; i++)
        r = add(w, fds[i]->fd, fds[i]->events);
    libusb_free_pollfds(fds);
    return r;
}

static void drop_all(struct usb_watch *w)
{
    while (w->list != NULL)
        on_removed(w->list->fd, w);
}

static void on_renewed(void *ctx)
{
    struct usb_watch *w = ctx;

    drop_all(w); /* those of the previous context that libusb has not reported */
    if (watch_context(w) < 0)
        log_error("cannot watch libusb's descriptors: pens will seem silent");
}

int usb_watch_new(struct usb_watch **out, sd_event *event, struct usb_bus *bus)
{
    struct usb_watch *w = calloc(1, sizeof(*w));
    int r;

    if (w == NULL)
        return -ENOMEM;
    w->event = event;
    w->bus = bus;
    r = watch_context(w);
    if (r < 0) {
        usb_watch_free(w);
        return r;
    }
    usb_bus_on_renewed(bus, on_renewed, w);
    *out = w;
    return 0;
}

void usb_watch_free(struct usb_watch *w)
{
    if (w == NULL)
        return;
    usb_bus_on_renewed(w->bus, NULL, NULL);
    if (w->bus->libusb != NULL)
        libusb_set_pollfd_notifiers(w->bus->libusb, NULL, NULL, NULL);
    drop_all(w);
    free(w);
}
