/*
 * libusb's descriptors in the daemon's loop: whenever one is ready, the bus is dispatched. libusb opens and closes them as
 * pens come and go, and says so.
 */
#pragma once

#include "link_usb.h"

struct usb_watch;

int usb_watch_new(struct usb_watch **out, sd_event *event, struct usb_bus *bus);
/* Before the bus is freed. Takes NULL. */
void usb_watch_free(struct usb_watch *w);
