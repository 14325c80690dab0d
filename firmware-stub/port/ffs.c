#include "ffs.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/usb/ch9.h>
#include <linux/usb/functionfs.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"
#include "simlink.h"

enum { SOCKET_BYTES = 8192 }; /* small, so that a host that does not read is noticed early and the core drops the oldest telemetry */

struct endpoints {
    struct usb_interface_descriptor interface;
    struct usb_endpoint_descriptor_no_audio bulk_out, bulk_in, interrupt_in;
} __attribute__((packed));

struct descriptors {
    struct usb_functionfs_descs_head_v2 head;
    __le32 full_count, high_count;
    struct endpoints full, high;
} __attribute__((packed));

struct strings {
    struct usb_functionfs_strings_head head;
    __le16 language;
    char interface[sizeof("microneedling pen")];
} __attribute__((packed));

static struct usb_endpoint_descriptor_no_audio endpoint(uint8_t address, uint8_t type, uint16_t packet, uint8_t interval)
{
    return (struct usb_endpoint_descriptor_no_audio){
        .bLength = sizeof(struct usb_endpoint_descriptor_no_audio),
        .bDescriptorType = USB_DT_ENDPOINT,
        .bEndpointAddress = address,
        .bmAttributes = type,
        .wMaxPacketSize = htole16(packet),
        .bInterval = interval,
    };
}

static struct endpoints endpoints(uint16_t bulk_packet, uint8_t interval)
{
    return (struct endpoints){
        .interface = {.bLength = sizeof(struct usb_interface_descriptor),
                      .bDescriptorType = USB_DT_INTERFACE,
                      .bNumEndpoints = 3,
                      .bInterfaceClass = USB_CLASS_VENDOR_SPEC,
                      .iInterface = 1},
        .bulk_out = endpoint(1, USB_ENDPOINT_XFER_BULK, bulk_packet, 0),
        .bulk_in = endpoint(2 | USB_DIR_IN, USB_ENDPOINT_XFER_BULK, bulk_packet, 0),
        .interrupt_in = endpoint(3 | USB_DIR_IN, USB_ENDPOINT_XFER_INT, 2 * MN_PEN_STATUS_SIZE, interval),
    };
}

static int write_all(int fd, const void *bytes, size_t n)
{
    ssize_t r = write(fd, bytes, n);

    return r == (ssize_t)n ? 0 : r < 0 ? -errno : -EIO;
}

static int write_descriptors(int ep0)
{
    struct descriptors d = {
        .head = {.magic = htole32(FUNCTIONFS_DESCRIPTORS_MAGIC_V2),
                 .length = htole32(sizeof(d)),
                 .flags = htole32(FUNCTIONFS_HAS_FS_DESC | FUNCTIONFS_HAS_HS_DESC | FUNCTIONFS_ALL_CTRL_RECIP)},
        .full_count = htole32(4),
        .high_count = htole32(4),
        .full = endpoints(64, 8),   /* 8 ms */
        .high = endpoints(512, 6),  /* 2^5 microframes: 4 ms */
    };
    struct strings s = {
        .head = {.magic = htole32(FUNCTIONFS_STRINGS_MAGIC),
                 .length = htole32(sizeof(s)),
                 .str_count = htole32(1),
                 .lang_count = htole32(1)},
        .language = htole16(0x0409),
        .interface = "microneedling pen",
    };
    int r = write_all(ep0, &d, sizeof(d));

    return r < 0 ? r : write_all(ep0, &s, sizeof(s));
}

static void packet_out(int fd, uint8_t tag, const uint8_t *bytes, size_t n)
{
    uint8_t packet[SIMLINK_PACKET_MAX + 1] = {tag};

    memcpy(packet + 1, bytes, n);
    /* Blocks while the pen is busy, as an endpoint that NAKs. An error means that the program is ending. */
    if (send(fd, packet, n + 1, MSG_NOSIGNAL) < 0 && errno != EPIPE)
        perror("penstub: packet to the pen");
}

static void setup(struct ffs *f, const struct usb_ctrlrequest *s)
{
    bool known = (s->bRequestType & (USB_TYPE_MASK | USB_DIR_IN)) == USB_TYPE_VENDOR && s->wLength == 0 &&
                 (s->bRequest == MN_CONTROL_SESSION_RESET || s->bRequest == MN_CONTROL_STOP);
    ssize_t r;

    if (known) {
        packet_out(f->to_pen[1], SIMLINK_CONTROL, &s->bRequest, 1);
        r = read(f->ep0, NULL, 0); /* the status stage */
    } else if (s->bRequestType & USB_DIR_IN) {
        r = read(f->ep0, NULL, 0); /* the wrong direction: stalls */
    } else {
        r = write(f->ep0, NULL, 0);
    }
    (void)r; /* a stall makes the call fail; a host that went away is reported as an event */
}

static void *ep0_thread(void *arg)
{
    struct ffs *f = arg;
    struct usb_functionfs_event e;
    uint8_t attached;

    for (;;) {
        if (read(f->ep0, &e, sizeof(e)) != (ssize_t)sizeof(e)) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            perror("penstub: ep0");
            return NULL;
        }
        switch (e.type) {
        case FUNCTIONFS_SETUP:
            setup(f, &e.u.setup);
            break;
        case FUNCTIONFS_ENABLE:
        case FUNCTIONFS_DISABLE:
        case FUNCTIONFS_UNBIND:
            attached = e.type == FUNCTIONFS_ENABLE;
            packet_out(f->to_pen[1], SIMLINK_ATTACH, &attached, 1);
            break;
        default:
            break;
        }
    }
}

/* A disabled endpoint's read or write waits until it is enabled; one cut short by an unplug ends with ESHUTDOWN. */
static bool worth_a_retry(void)
{
    return errno == EINTR || errno == ESHUTDOWN || errno == ECONNRESET || errno == EAGAIN;
}

static void *bulk_out_thread(void *arg)
{
    struct ffs *f = arg;
    uint8_t bytes[SIMLINK_PACKET_MAX];

    for (;;) {
        ssize_t n = read(f->bulk_out, bytes, sizeof(bytes));

        if (n >= 0) {
            packet_out(f->to_pen[1], SIMLINK_BULK_OUT, bytes, (size_t)n);
        } else if (!worth_a_retry()) {
            perror("penstub: bulk OUT");
            return NULL;
        }
    }
}

static void *in_thread(int from, int to, const char *what)
{
    uint8_t bytes[SIMLINK_PACKET_MAX + 1];

    for (;;) {
        ssize_t n = recv(from, bytes, sizeof(bytes), 0);

        if (n <= 0)
            return NULL;
        if (bytes[0] == SIMLINK_STALL) { /* a call of the wrong direction halts the endpoint, and says so with EBADMSG */
            if (read(to, bytes, sizeof(bytes)) >= 0 || errno != EBADMSG)
                perror("penstub: halt");
            continue;
        }
        if (write(to, bytes + 1, (size_t)n - 1) < 0 && !worth_a_retry()) {
            perror(what);
            return NULL;
        }
    }
}

static void *bulk_in_thread(void *arg)
{
    struct ffs *f = arg;

    return in_thread(f->bulk[1], f->bulk_in, "penstub: bulk IN");
}

static void *interrupt_in_thread(void *arg)
{
    struct ffs *f = arg;

    return in_thread(f->interrupt[1], f->interrupt_in, "penstub: interrupt IN");
}

static int open_in(const char *directory, const char *name)
{
    char path[PATH_MAX];
    int fd;

    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    fd = open(path, O_RDWR | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int pair(int fds[2])
{
    int size = SOCKET_BYTES;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    return setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0 ? -errno : 0;
}

static int start(void *(*run)(void *), struct ffs *f)
{
    pthread_t thread;
    int r = pthread_create(&thread, NULL, run, f);

    return r == 0 ? -pthread_detach(thread) : -r;
}

int ffs_open(struct ffs *f, const char *directory, const char **step)
{
    static void *(*const threads[])(void *) = {ep0_thread, bulk_out_thread, bulk_in_thread, interrupt_in_thread};
    int r = 0;

    *step = "open ep0";
    if ((f->ep0 = open_in(directory, "ep0")) < 0)
        return f->ep0;
    *step = "write descriptors";
    if ((r = write_descriptors(f->ep0)) < 0)
        return r;
    *step = "open the endpoints";
    if ((f->bulk_out = open_in(directory, "ep1")) < 0)
        return f->bulk_out;
    if ((f->bulk_in = open_in(directory, "ep2")) < 0)
        return f->bulk_in;
    if ((f->interrupt_in = open_in(directory, "ep3")) < 0)
        return f->interrupt_in;
    *step = "make socket pairs";
    if ((r = pair(f->to_pen)) < 0 || (r = pair(f->bulk)) < 0 || (r = pair(f->interrupt)) < 0)
        return r;
    *step = "start threads";
    for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]) && r == 0; i++)
        r = start(threads[i], f);
    return r;
}
