#include "usb.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "clock.h"
#include "frame.h"
#include "log.h"

enum { OPEN_RETRY_US = 50000, OPEN_PATIENCE_US = 2000000 };

void usb_link_free(struct usb_link **at)
{
    struct usb_link *l = *at;

    *at = l->next;
    sd_event_source_disable_unref(l->retry);
    if (l->handle != NULL) {
        libusb_release_interface(l->handle, l->interface);
        libusb_close(l->handle);
    }
    usb_transfers_free(l);
    libusb_unref_device(l->device);
    free(l);
}

void usb_link_gone(struct usb_link *l)
{
    l->gone = true;
    if (l->gone_reported || l->state == USB_FOUND || l->state == USB_DRAINING)
        return;
    l->gone_reported = true;
    l->link.handler->on_gone(l->link.ctx);
}

void usb_link_drained(struct usb_link *l)
{
    const struct link_handler *handler = l->link.handler;
    struct usb_bus *b = l->bus;
    struct usb_link **at = &b->links;
    void *ctx = l->link.ctx;

    while (*at != l)
        at = &(*at)->next;
    usb_link_free(at);
    handler->on_closed(ctx);
    if (b->renewing && b->links == NULL)
        usb_bus_renew(b);
}

/* ---- opening ---- */

/* 0 or a code of libusb's. NOT_FOUND: the device has no configuration now. Endpoints by type and direction: addresses differ from controller to controller. */
static int find_endpoints(struct usb_link *l)
{
    struct libusb_config_descriptor *config;
    bool found = false;
    int r = libusb_get_active_config_descriptor(l->device, &config);

    if (r != 0)
        return r == LIBUSB_ERROR_NOT_FOUND ? r : LIBUSB_ERROR_NOT_SUPPORTED;
    for (int i = 0; i < config->bNumInterfaces && !found; i++) {
        const struct libusb_interface_descriptor *d;

        if (config->interface[i].num_altsetting < 1)
            continue;
        d = &config->interface[i].altsetting[0];
        if (d->bInterfaceClass != LIBUSB_CLASS_VENDOR_SPEC)
            continue;
        l->interface = d->bInterfaceNumber;
        l->bulk_in = l->bulk_out = l->interrupt_in = 0;
        for (int e = 0; e < d->bNumEndpoints; e++) {
            uint8_t address = d->endpoint[e].bEndpointAddress, type = d->endpoint[e].bmAttributes & LIBUSB_TRANSFER_TYPE_MASK;
            bool in = (address & LIBUSB_ENDPOINT_IN) != 0;

            if (type == LIBUSB_TRANSFER_TYPE_BULK && in)
                l->bulk_in = address;
            else if (type == LIBUSB_TRANSFER_TYPE_BULK)
                l->bulk_out = address;
            else if (type == LIBUSB_TRANSFER_TYPE_INTERRUPT && in) {
                l->interrupt_in = address;
                l->interrupt_packet = d->endpoint[e].wMaxPacketSize & 0x7ff;
            }
        }
        found = l->bulk_in != 0 && l->bulk_out != 0 && l->interrupt_in != 0 && l->interrupt_packet >= MN_PEN_STATUS_SIZE;
    }
    libusb_free_config_descriptor(config);
    return found ? 0 : LIBUSB_ERROR_NOT_SUPPORTED;
}

static void trouble(struct usb_link *l, const char *what, bool given_up)
{
    char sentence[200];

    snprintf(sentence, sizeof(sentence), "pen at %s: %s", l->link.port, what);
    l->link.handler->on_trouble(l->link.ctx, sentence, given_up);
}

static int try_open(struct usb_link *l)
{
    int r = libusb_open(l->device, &l->handle);

    if (r == 0) {
        if ((r = find_endpoints(l)) == 0 && (r = libusb_claim_interface(l->handle, l->interface)) == 0) {
            r = usb_transfers_start(l);
            if (r == 0)
                return 0;
            l->state = USB_DRAINING; /* some transfers may be submitted already */
            usb_transfers_cancel(l);
            return LIBUSB_ERROR_IO;
        }
        libusb_close(l->handle);
        l->handle = NULL;
    }
    return r;
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata)
{
    struct usb_link *l = userdata;
    bool patient;
    int r;

    (void)s;
    if (l->state == USB_DRAINING) {
        if (l->in_flight == 0)
            usb_link_drained(l);
        return 0;
    }
    if (l->state != USB_OPENING || l->gone)
        return 0;
    r = try_open(l);
    if (l->state == USB_DRAINING) {
        l->gone = l->gone_reported = true;
        l->link.handler->on_gone(l->link.ctx);
        return 0;
    }
    if (r == 0) {
        l->state = USB_OPEN;
        l->link.handler->on_open(l->link.ctx);
        return 0;
    }
    patient = loop_us(l->bus->event, CLOCK_MONOTONIC) - l->first_try_us < OPEN_PATIENCE_US;
    if (r == LIBUSB_ERROR_ACCESS)
        trouble(l, "no permission: install udev/70-mn.rules and replug it", !patient);
    else if (r == LIBUSB_ERROR_BUSY)
        trouble(l, "another program holds it: end that program", !patient);
    else if (r == LIBUSB_ERROR_NO_DEVICE)
        trouble(l, "it went away while it was opened", false);
    else if (r == LIBUSB_ERROR_NOT_FOUND)
        trouble(l, "the kernel has left it unconfigured (power of the hub, or its authorisation): see dmesg", !patient);
    else if (r == LIBUSB_ERROR_NOT_SUPPORTED)
        trouble(l, "it has a pen's id, but not its interface and endpoints", true);
    else
        trouble(l, "it cannot be opened: I/O error", !patient);
    sd_event_source_set_time(l->retry, usec + (patient ? OPEN_RETRY_US : USB_RESCAN_US));
    sd_event_source_set_enabled(l->retry, SD_EVENT_ONESHOT);
    return 0;
}

static int usb_open(struct link *link)
{
    struct usb_link *l = (struct usb_link *)link;

    l->state = USB_OPENING;
    l->first_try_us = loop_us(l->bus->event, CLOCK_MONOTONIC);
    sd_event_source_set_time_relative(l->retry, 0);
    return sd_event_source_set_enabled(l->retry, SD_EVENT_ONESHOT); /* cannot fail for a timer that exists */
}

static void usb_close(struct link *link)
{
    struct usb_link *l = (struct usb_link *)link;

    l->state = USB_DRAINING;
    usb_transfers_cancel(l);
    if (l->in_flight == 0) /* no transfers are submitted: close in the next loop iteration, not inside this op */
        sd_event_source_set_time_relative(l->retry, 0), sd_event_source_set_enabled(l->retry, SD_EVENT_ONESHOT);
}

static const struct link_ops usb_ops = {.open = usb_open, .send = usb_transfers_send, .control = usb_transfers_control, .close = usb_close};

/* ---- finding ---- */

static void port_name(libusb_device *d, char *out, size_t cap)
{
    uint8_t ports[8];
    int n = libusb_get_port_numbers(d, ports, sizeof(ports)), used;

    used = snprintf(out, cap, "usb %u", libusb_get_bus_number(d));
    for (int i = 0; i < n && used > 0 && (size_t)used < cap; i++)
        used += snprintf(out + used, cap - (size_t)used, "%c%u", i == 0 ? '-' : '.', ports[i]);
}

struct usb_link *usb_link_new(struct usb_bus *b, libusb_device *d)
{
    struct usb_link *l = calloc(1, sizeof(*l));

    if (l == NULL || sd_event_add_time_relative(b->event, &l->retry, CLOCK_MONOTONIC, 0, 0, on_retry, l) < 0 ||
        sd_event_source_set_enabled(l->retry, SD_EVENT_OFF) < 0) {
        log_error("no memory for one more pen");
        free(l);
        return NULL;
    }
    l->bus = b;
    l->device = libusb_ref_device(d);
    l->link = (struct link){.ops = &usb_ops};
    l->listed = true;
    port_name(d, l->link.port, sizeof(l->link.port));
    l->next = b->links;
    b->links = l;
    return l;
}
