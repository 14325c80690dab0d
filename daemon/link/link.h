/*
 * A link is the way to one plugged-in pen. Two buses make links: the USB bus, and the simulated bus, a socket to which simulated pens connect. The owner
 * of a pen (pen.h) uses a link through its operations and knows neither bus. All calls are made from the loop's thread, none blocks, and no handler is
 * called from within an operation.
 *
 * Life of a link: the bus finds a pen and announces a link (link_arrived_fn). The owner sets handler and ctx, then calls open(). on_open or on_trouble
 * follows. on_gone may follow at any time, once; after it only close() is of use. After close() comes on_closed, once, when the last transfer has come
 * back; then the link must not be used any more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "frame.h"

struct link;

enum link_in { LINK_BULK_IN, LINK_INTERRUPT_IN };

struct link_handler {
    void (*on_open)(void *ctx);
    /* The bytes of one transfer, valid during the call. */
    void (*on_bytes)(void *ctx, enum link_in from, const uint8_t *bytes, size_t n);
    /* A send that was rejected with -EAGAIN may be retried. */
    void (*on_sendable)(void *ctx);
    /* A control request has completed: 0, or a negative errno. */
    void (*on_control)(void *ctx, enum mn_control request, int result);
    /* The link cannot be opened, or has met a stall, a timeout or an I/O error; sentence says which. The link itself retries (while opening) or goes on
     * (when open), but a session that was open must be begun anew. given_up: it will not succeed until somebody does something about it. */
    void (*on_trouble)(void *ctx, const char *sentence, bool given_up);
    /* The pen was unplugged. */
    void (*on_gone)(void *ctx);
    void (*on_closed)(void *ctx);
};

struct link_ops {
    /* Begins to open it. 0, or a negative errno. */
    int (*open)(struct link *l);
    /* Sends one transfer. 0, -EAGAIN (wait for on_sendable), or another negative errno. The bytes are copied. */
    int (*send)(struct link *l, const uint8_t *bytes, size_t n);
    /* At most one request of each kind is in flight: another one of the same kind is merged with it. 0 or a negative errno. */
    int (*control)(struct link *l, enum mn_control request);
    void (*close)(struct link *l);
};

struct link {
    const struct link_ops *ops;
    const struct link_handler *handler;
    void *ctx;
    char port[32]; /* "usb 1-4", "sim 2" */
    bool simulated;
};

/* A pen that has no serial number yet is addressed by its port: "@usb-1-4" for "usb 1-4". The size is that of the longest serial number. */
#define LINK_ADDRESS_SIZE 33
void link_address(const char *port, char out[LINK_ADDRESS_SIZE]);

/* Called by a bus for each pen that it finds. False: not accepted now; the bus announces it again later. */
typedef bool link_arrived_fn(void *ctx, struct link *l);

/* ---- the USB bus ---- */

/*
 * libusb inside the daemon's loop. Pens are found by hotplug events, which are only hints, and by scanning the device list, which decides. Several IN
 * transfers are in flight for each pen; a completed one is handled and resubmitted from the loop, never in libusb's callback, so that a pen that
 * streams without end cannot keep the loop to itself.
 */
struct usb_bus;

/* 0, or a negative errno with a sentence in the log. */
int usb_bus_new(struct usb_bus **out, sd_event *event, uint16_t vid, uint16_t pid, link_arrived_fn *arrived, void *ctx);

/* Handles what libusb has ready, without waiting: at most as many completions as there are transfers. */
void usb_bus_dispatch(struct usb_bus *b);

/* All links must be closed, and the watch freed. Takes NULL. */
void usb_bus_free(struct usb_bus *b);

/* Watches libusb's descriptors in the loop and calls usb_bus_dispatch() whenever one of them is ready. 0 or a negative errno. */
struct usb_watch;
int usb_watch_new(struct usb_watch **out, sd_event *event, struct usb_bus *bus);
/* Before the bus is freed. Takes NULL. */
void usb_watch_free(struct usb_watch *w);

/* ---- the simulated bus ---- */

/*
 * A listening SOCK_SEQPACKET socket to which simulated pens connect (proto/simlink.h). Each connection is a port of the bus, into which a pen is
 * plugged or not; it stays open while its pen is unplugged.
 */
struct sim_bus;

/* The reply to sim_command(): text, or NULL with a reason. */
typedef void sim_reply_fn(void *ctx, uint32_t id, const char *reply, const char *error);

/* Listens at path. 0 or a negative errno. */
int sim_bus_new(struct sim_bus **out, sd_event *event, const char *path, link_arrived_fn *arrived, void *ctx);
/* Takes NULL. */
void sim_bus_free(struct sim_bus *b);

/* Starts penstub as a child with n pens, which connect here, and ends it with the bus. fresh: pens as they come off the factory's line. 0 or a
 * negative errno. */
int sim_bus_spawn(struct sim_bus *b, const char *penstub, unsigned n, bool fresh);

/* Sends a line to the simulation of the pen of this serial number, plugged in or not. reply() is called later, or at once with an error. False: no
 * simulated pen has this serial number, and reply() is not called. */
bool sim_command(struct sim_bus *b, const char *serial, const char *line, sim_reply_fn *reply, void *ctx, uint32_t id);

/* ctx is about to be freed: reply() is not called for it any more. */
void sim_detach(struct sim_bus *b, const void *ctx);
