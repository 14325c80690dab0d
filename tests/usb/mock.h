/*
 * Pens behind a mocked usbfs: libusb and the daemon's own code above it are the real ones, the kernel is umockdev, and the pen
 * is the firmware core on its model. What the pen's firmware sends, and what comes to it, passes through a lens that a
 * test may set: so it lies, stalls, floods or dies at a chosen byte.
 *
 * The kernel's side of a transfer is kept to: one that ends on a multiple of the packet size goes on until a shorter packet
 * comes, more bytes than a transfer holds are an overflow, an unplugged pen answers ENODEV and gives its transfers back.
 *
 * Threads: umockdev answers ioctls in a thread of its own. Every function here takes the mock's lock, except those that only a
 * lens may call; a lens runs with the lock held.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOCK_BULK_OUT 0x02
#define MOCK_BULK_IN 0x81
#define MOCK_INTERRUPT_IN 0x85
#define MOCK_PACKET 512

struct mock_pen;

enum mock_shape {
    MOCK_SHAPE_PEN,
    MOCK_SHAPE_NO_VENDOR_INTERFACE,
    MOCK_SHAPE_NO_INTERRUPT_IN,
    MOCK_SHAPE_NO_BULK_OUT,
    MOCK_SHAPE_SHORT_STATUS,      /* interrupt packets of 16 bytes */
    MOCK_SHAPE_SECOND_INTERFACE,  /* the pen's is the second of two */
    MOCK_SHAPE_CUT_DESCRIPTOR,
    MOCK_SHAPE_OTHER_DEVICE,      /* not our VID:PID */
    MOCK_SHAPE_UNCONFIGURED,      /* the kernel has chosen no configuration */
};

struct mock_lens {
    /* Bytes that the firmware sends: pass them on with mock_in(), or do not. NULL: as they are. */
    void (*in)(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n);
    /* Bytes for the firmware, to be passed on with mock_out(). Returns the transfer's status: 0, -EPIPE, ...; MOCK_HELD keeps the
     * transfer; *taken (at first n) is its actual length. */
    int (*out)(struct mock_pen *p, const uint8_t *bytes, size_t n, size_t *taken);
    /* A vendor request. 0: to the firmware; -EPIPE: refused; MOCK_HELD: never answered. */
    int (*control)(struct mock_pen *p, uint8_t request);
    /* Interfaces are claimed: an errno, or 0. */
    int (*claim)(struct mock_pen *p);
};

#define MOCK_HELD 1

/* Before all else. */
void mock_start(void);
void mock_stop(void);

/* Now and then, from the thread that opens: umockdev remembers each open() that failed until its "descriptor" -1 is closed, and
 * has places for 50. */
void mock_tidy(void);

/* A pen with its battery in and its cable out. */
struct mock_pen *mock_pen_new(const char *serial);
void mock_pen_free(struct mock_pen *p);

/* Cable in, at usb 1-PORT; the kernel says so. mode: of the device's node. */
void mock_plug(struct mock_pen *p, unsigned port, enum mock_shape shape, unsigned mode);
void mock_chmod(struct mock_pen *p, unsigned mode);
/* Cable out. Says so, unless quietly. What the kernel still holds goes once the last handle is closed. */
void mock_unplug(struct mock_pen *p, bool quietly);
/* Whether udev's messages arrive at all; they do. */
void mock_set_deaf(bool deaf);
/* The kernel says once more that the pen was plugged in. */
void mock_say_again(struct mock_pen *p);

void mock_set_lens(struct mock_pen *p, const struct mock_lens *lens);
/* A line of the simulation's language, to the firmware. */
void mock_say(struct mock_pen *p, const char *line);
/* Stalls a pipe until it is cleared. */
void mock_halt(struct mock_pen *p, uint8_t endpoint);
unsigned mock_halts_cleared(struct mock_pen *p);
/* Transfers that the host has given to the kernel, now. */
unsigned mock_in_flight(struct mock_pen *p);

/* ---- for lenses ---- */

/* One transfer's worth to the host, after what is still to come; status 0, or a negative errno as the kernel gives it. */
void mock_in(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n, int status);
void mock_out(struct mock_pen *p, const uint8_t *bytes, size_t n);
/* Free for the lens's own use; zero at mock_set_lens(). */
unsigned *mock_count(struct mock_pen *p);
