/*
 * The pens that the kernel knows, from sysfs. libusb learns of devices from udev's messages alone; where these do not arrive (a container, a network namespace of
 * its own, no udevd), a pen that is here and not there shows it. Reading sysfs waits for no device and no disk.
 */
#pragma once

#include <stdint.h>

enum { USB_CENSUS_MAX = 64, USB_CENSUS_PORT = 32 };

struct usb_counted {
    char port[USB_CENSUS_PORT]; /* as links name it: "usb 1-4.2" */
    char address[8];            /* on its bus: another one each time that it is plugged in */
};

/* How many, at most USB_CENSUS_MAX; 0, too, without a sysfs. */
unsigned usb_census(uint16_t vid, uint16_t pid, struct usb_counted out[USB_CENSUS_MAX]);
