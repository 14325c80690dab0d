/*
 * What the files of the USB bus share: usb_bus.c finds pens, usb_link.c opens and closes them, usb_transfers.c moves their bytes.
 */
#pragma once

#include <libusb.h>

#include "link.h"
#include "usb_census.h"

/*
 *  a link:   FOUND --open()--> OPENING --opened--> OPEN --close(), gone--> DRAINING --last transfer back--> freed
 *                              |     ^               (transfers in flight)
 *                              +50 ms+ until 2 s have passed (udev sets permissions late), then every 5 s
 */
enum usb_state { USB_FOUND, USB_OPENING, USB_OPEN, USB_DRAINING };

enum {
    USB_BULK_IN_COUNT = 8, /* in flight: half of this much is half of the throughput, docs/performance.md */
    USB_BULK_IN_BYTES = 16384, /* a multiple of every packet size, more than the largest frame */
    USB_INTERRUPT_IN_COUNT = 2,
    USB_OUT_COUNT = 8,
    USB_CONTROL_COUNT = 2, /* SESSION_RESET, STOP */
    USB_CLEAR_COUNT = 3,   /* one for each pipe that may stall */
    USB_TRANSFER_COUNT = USB_BULK_IN_COUNT + USB_INTERRUPT_IN_COUNT + USB_OUT_COUNT + USB_CONTROL_COUNT + USB_CLEAR_COUNT,
    USB_RESCAN_US = 5000000,
};

enum usb_transfer_kind { USB_BULK_IN, USB_INTERRUPT_IN, USB_OUT, USB_CONTROL, USB_CLEAR };

struct usb_transfer {
    struct usb_link *link;
    enum usb_transfer_kind kind;
    struct libusb_transfer *transfer;
    uint8_t *bytes;
    bool in_flight;
    bool same_stall; /* it was in flight when its pipe's stall was met: its own stall is no other one */
    struct usb_transfer *next_completed;
};

struct usb_link {
    struct link link;
    struct usb_bus *bus;
    struct usb_link *next;
    libusb_device *device;
    libusb_device_handle *handle;
    enum usb_state state;
    bool gone, gone_reported, listed;
    uint8_t interface, bulk_in, bulk_out, interrupt_in;
    uint16_t interrupt_packet; /* one packet is one status: a longer transfer would wait for more */
    uint64_t first_try_us;
    sd_event_source *retry;
    struct usb_transfer transfers[USB_TRANSFER_COUNT];
    unsigned in_flight;
    bool out_rejected;
    unsigned errors; /* consecutive failed IN transfers: a pipe that only fails is not retried for ever */
};

struct usb_completed { /* transfers, in order of completion */
    struct usb_transfer *first, **last;
};

/* Called with each libusb context but the first: where udev's messages do not arrive, libusb is initialised anew as soon as no pen is in use. */
typedef void usb_renewed_fn(void *ctx);

struct usb_bus {
    sd_event *event;
    libusb_context *libusb; /* NULL while libusb does not start */
    libusb_hotplug_callback_handle hotplug;
    uint16_t vid, pid;
    link_arrived_fn *arrived;
    void *ctx;
    struct usb_link *links;
    struct usb_completed bulk, urgent; /* interrupt and control transfers are handled first: faults, STOP */
    sd_event_source *rescan, *reconcile;
    struct usb_counted unheard; /* a pen that the kernel had at the last look, and libusb not: its message may have been on its way; port "": none */
    bool deaf_logged;
    bool renewing;     /* libusb is initialised anew when the last link is closed: no pen is announced meanwhile */
    usb_renewed_fn *renewed;
    void *renewed_ctx;
};

/* usb_transfers.c */

/* The negative errno of a libusb error. */
int usb_error(int libusb_error);
/* Allocates the link's transfers and submits its IN transfers. 0 or a negative errno; then some may be in flight. */
int usb_transfers_start(struct usb_link *l);
/* Asks for all that are in flight to come back. */
void usb_transfers_cancel(struct usb_link *l);
/* None may be in flight. */
void usb_transfers_free(struct usb_link *l);
/* Handles what has completed: bounded by the number of transfers, since what is resubmitted completes in a later iteration. */
void usb_transfers_handle_completed(struct usb_bus *b);
/* Operations of a link. */
int usb_transfers_send(struct link *link, const uint8_t *bytes, size_t n);
int usb_transfers_control(struct link *link, enum mn_control request);

/* usb_link.c */

/* A link to a device that was found, in the bus's list; not announced yet. NULL without memory. */
struct usb_link *usb_link_new(struct usb_bus *b, libusb_device *d);
/* Removes the link that *at points to from its list and frees it. None of its transfers may be in flight. */
void usb_link_free(struct usb_link **at);
/* Reports once that the pen was unplugged, or is treated as if it were. */
void usb_link_gone(struct usb_link *l);
/* Its last transfer has come back: frees it. */
void usb_link_drained(struct usb_link *l);

/* usb_bus.c */

/* All links are closed: initialises libusb anew. Retried every 5 s if it fails. */
void usb_bus_renew(struct usb_bus *b);
/* One observer, the watch. */
void usb_bus_on_renewed(struct usb_bus *b, usb_renewed_fn *renewed, void *ctx);
