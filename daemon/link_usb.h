/*
 * The USB bus: libusb inside the daemon's loop. Pens are found by hotplug events, which are only hints, and by looking at
 * the device list, which decides. Several IN transfers are in flight per pen; a completed one is handled and resubmitted
 * from the loop, never in libusb's callback, so that a pen that streams without end cannot keep the loop to itself.
 *
 * When there is something to do is usb_watch.h's affair: it calls usb_bus_dispatch().
 */
#pragma once

#include <libusb.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "link.h"

struct usb_bus;

/* 0, or a negative errno with a sentence in the log. */
int usb_bus_new(struct usb_bus **out, sd_event *event, uint16_t vid, uint16_t pid, link_arrived_fn *arrived, void *ctx);

/* Takes what libusb has ready, never waits, and handles it: at most as much as there are transfers. */
void usb_bus_dispatch(struct usb_bus *b);

/* NULL while libusb does not start. */
libusb_context *usb_bus_context(const struct usb_bus *b);

/*
 * Where udev's messages do not arrive, libusb is begun anew as soon as no pen is in use (link_usb.c); then its context is another one. Called with each new one, but not with the first.
 */
typedef void usb_renewed_fn(void *ctx);
void usb_bus_on_renewed(struct usb_bus *b, usb_renewed_fn *renewed, void *ctx);

/* All links must be closed, and nobody watch the context any more. Takes NULL. */
void usb_bus_free(struct usb_bus *b);
