#include "usb.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "stall.h"

static bool is_pen(const struct usb_bus *b, libusb_device *d)
{
    struct libusb_device_descriptor descriptor;

    return libusb_get_device_descriptor(d, &descriptor) == 0 && descriptor.idVendor == b->vid && descriptor.idProduct == b->pid;
}

/* The device list decides which pens exist; hotplug events only trigger a scan. */
static void scan(struct usb_bus *b)
{
    libusb_device **list;
    ssize_t n;

    if (b->libusb == NULL || b->renewing)
        return;
    n = libusb_get_device_list(b->libusb, &list);
    if (n < 0) {
        log_warning("cannot list USB devices: %s", libusb_strerror((int)n));
        return;
    }
    for (struct usb_link *l = b->links; l != NULL; l = l->next)
        l->listed = false;
    for (ssize_t i = 0; i < n; i++) {
        struct usb_link *l = b->links;

        while (l != NULL && l->device != list[i])
            l = l->next;
        if (l == NULL && is_pen(b, list[i]))
            l = usb_link_new(b, list[i]);
        if (l == NULL)
            continue;
        l->listed = true;
        if (l->state == USB_FOUND)
            b->arrived(b->ctx, &l->link);
    }
    for (struct usb_link **at = &b->links, *l; (l = *at) != NULL;) {
        if (!l->listed && l->state == USB_FOUND) {
            usb_link_free(at);
            continue;
        }
        if (!l->listed)
            usb_link_gone(l);
        at = &l->next;
    }
    libusb_free_device_list(list, 1);
}

static int LIBUSB_CALL on_hotplug(libusb_context *libusb, libusb_device *d, libusb_hotplug_event e, void *userdata)
{
    struct usb_bus *b = userdata;

    (void)libusb;
    (void)d;
    (void)e;
    sd_event_source_set_enabled(b->rescan, SD_EVENT_ONESHOT); /* only schedule: libusb forbids nearly all calls in this callback */
    return 0;
}

static int on_rescan(sd_event_source *s, void *userdata)
{
    stall_doing("a scan for pens on USB");
    (void)s;
    scan(userdata);
    return 0;
}

static const struct usb_link *link_at(const struct usb_bus *b, const char *port)
{
    const struct usb_link *l = b->links;

    while (l != NULL && strcmp(l->link.port, port) != 0)
        l = l->next;
    return l;
}

static bool is_any_open(const struct usb_bus *b)
{
    const struct usb_link *l = b->links;

    while (l != NULL && l->state != USB_OPEN)
        l = l->next;
    return l != NULL;
}

/* libusb does not hear of devices any more: begun anew it finds what is there. That needs all of its links closed; one that is in use is not taken from anybody. */
static void begin_renewing(struct usb_bus *b)
{
    if (is_any_open(b))
        return;
    b->renewing = true;
    for (struct usb_link **at = &b->links; *at != NULL;) {
        if ((*at)->state == USB_FOUND) {
            usb_link_free(at);
            continue;
        }
        usb_link_gone(*at); /* its owner closes it from the loop; usb_link_drained() continues */
        at = &(*at)->next;
    }
    if (b->links == NULL)
        usb_bus_renew(b);
}

/* Whether the kernel has a pen that libusb does not list. */
static void look_for_unheard(struct usb_bus *b)
{
    struct usb_counted pens[USB_CENSUS_MAX], before = b->unheard;
    unsigned n = usb_census(b->vid, b->pid, pens), i = 0;

    while (i < n && link_at(b, pens[i].port) != NULL)
        i++;
    b->unheard = i < n ? pens[i] : (struct usb_counted){0};
    if (i == n || strcmp(before.port, pens[i].port) != 0 || strcmp(before.address, pens[i].address) != 0)
        return;
    if (!b->deaf_logged)
        log_warning("the kernel has a pen at %s, but udev says nothing of it (no udevd, or a container or network namespace of its own): it is looked for every 5 s while no other pen is in use",
                    pens[i].port);
    b->deaf_logged = true;
    begin_renewing(b);
}

static int on_reconcile(sd_event_source *s, uint64_t usec, void *userdata)
{
    struct usb_bus *b = userdata;

    stall_doing("a scan for pens on USB");
    if (b->libusb == NULL)
        usb_bus_renew(b);
    scan(b);
    if (!b->renewing)
        look_for_unheard(b);
    return sd_event_source_set_time(s, usec + USB_RESCAN_US);
}

void usb_bus_dispatch(struct usb_bus *b)
{
    struct timeval none = {0};
    int r = b->libusb != NULL ? libusb_handle_events_timeout_completed(b->libusb, &none, NULL) : 0;

    if (r != 0)
        log_debug("libusb: %s", libusb_strerror(r));
    usb_transfers_handle_completed(b);
}

static int libusb_begin(struct usb_bus *b)
{
    int r = libusb_init(&b->libusb), probe;

    if (r != 0) {
        b->libusb = NULL;
        probe = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
        /* The most frequent cause, which libusb reports as "other error". */
        log_error("libusb does not start: %s%s%s", libusb_strerror(r), probe < 0 ? "; netlink, by which it hears of devices: " : "", probe < 0 ? strerror(errno) : "");
        if (probe >= 0)
            close(probe);
        return usb_error(r);
    }
    if (libusb_has_capability(LIBUSB_CAP_HAS_HOTPLUG))
        r = libusb_hotplug_register_callback(b->libusb,
                                             LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED | LIBUSB_HOTPLUG_EVENT_DEVICE_LEFT, 0, b->vid,
                                             b->pid, LIBUSB_HOTPLUG_MATCH_ANY, on_hotplug, b, &b->hotplug);
    if (r != 0)
        log_warning("no hotplug events (%s): pens are looked for every 5 s", libusb_strerror(r));
    return 0;
}

void usb_bus_renew(struct usb_bus *b)
{
    if (b->libusb != NULL)
        libusb_exit(b->libusb);
    b->renewing = false;
    if (libusb_begin(b) < 0)
        return;
    if (b->renewed != NULL)
        b->renewed(b->renewed_ctx);
    sd_event_source_set_enabled(b->rescan, SD_EVENT_ONESHOT);
}

void usb_bus_on_renewed(struct usb_bus *b, usb_renewed_fn *renewed, void *ctx)
{
    b->renewed = renewed;
    b->renewed_ctx = ctx;
}

static int start(struct usb_bus *b)
{
    int r = libusb_begin(b);

    if (r < 0 || (r = sd_event_add_defer(b->event, &b->rescan, on_rescan, b)) < 0 ||
        (r = sd_event_add_time_relative(b->event, &b->reconcile, CLOCK_MONOTONIC, USB_RESCAN_US, USB_RESCAN_US / 2, on_reconcile,
                                        b)) < 0 ||
        (r = sd_event_source_set_enabled(b->reconcile, SD_EVENT_ON)) < 0)
        return r;
    return 0;
}

int usb_bus_new(struct usb_bus **out, sd_event *event, uint16_t vid, uint16_t pid, link_arrived_fn *arrived, void *ctx)
{
    struct usb_bus *b = calloc(1, sizeof(*b));
    int r;

    if (b == NULL)
        return -ENOMEM;
    b->event = event;
    b->vid = vid;
    b->pid = pid;
    b->arrived = arrived;
    b->ctx = ctx;
    b->bulk.last = &b->bulk.first;
    b->urgent.last = &b->urgent.first;
    r = start(b);
    if (r < 0) {
        usb_bus_free(b);
        return r;
    }
    *out = b;
    return 0;
}

void usb_bus_free(struct usb_bus *b)
{
    if (b == NULL)
        return;
    while (b->links != NULL && b->links->state == USB_FOUND)
        usb_link_free(&b->links);
    if (b->libusb != NULL)
        libusb_exit(b->libusb);
    sd_event_source_disable_unref(b->rescan);
    sd_event_source_disable_unref(b->reconcile);
    free(b);
}
