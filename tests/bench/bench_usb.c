/*
 * How much comes through bulk IN from a pen that sends as fast as it can, in the virtual machine with a real kernel's USB (tests/vm/bench.sh):
 *
 *     bench_usb gadget DIRECTORY       that pen, by FunctionFS: it answers HELLO, then sends transfers of nearly 16 KiB of whole frames
 *     bench_usb bare SECONDS           a reader with libusb alone, 8 transfers of 16 KiB in flight, which looks at nothing
 *     bench_usb mnd SOCKET SECONDS     mnd, by its counters, while nobody reads; then a program that reads the pen's telemetry from it
 *
 * Each reader prints one JSON object.
 */
#include <errno.h>
#include <libusb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ffs.h"
#include "frame.h"
#include "load.h"
#include "measure.h"
#include "pen.pb-c.h"
#include "rude.h"
#include "simlink.h"

enum { TRANSFERS = 8, TRANSFER_BYTES = 16384, VALUES = 154 };

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_usb: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- the pen ---- */

static struct ffs usb;
static uint16_t sequence;

static size_t frame(uint8_t *out, uint16_t type, uint16_t correlation, const uint8_t *payload, size_t n)
{
    struct mn_frame f = {.major = MN_PROTOCOL_MAJOR, .length = (uint16_t)n, .sequence = sequence++, .correlation = correlation, .type = type, .session = 1,
                         .payload = payload};

    return mn_frame_write(out, MN_FRAME_MAX, &f);
}

static void say_hello(const struct mn_frame *f)
{
    Mnp__Hello *hello = mnp__hello__unpack(NULL, f->length, f->payload);
    Mnp__HelloReply h = MNP__HELLO_REPLY__INIT;
    uint8_t payload[256], bytes[MN_FRAME_MAX];
    size_t n;

    need(hello != NULL, "no HELLO");
    sequence = 0;
    h.has_nonce = h.has_session = h.has_boot_id = h.has_minor = h.has_window = h.has_frame_max = true;
    h.nonce = hello->nonce;
    h.session = h.boot_id = 1;
    h.serial = (char[]){"FLOOD"};
    h.window = 4;
    h.frame_max = MN_FRAME_MAX;
    n = frame(bytes, f->type | MN_TYPE_REPLY, f->correlation, payload, mnp__hello_reply__pack(&h, payload));
    need(write(usb.bulk_in, bytes, n) == (ssize_t)n, "HELLO's reply");
    mnp__hello__free_unpacked(hello, NULL);
}

/* boot_id, and a fast group of 154 samples of six columns of a byte each. */
static size_t batch(uint8_t *out)
{
    uint8_t *p = out + 5;

    *p++ = 4 << 3;
    *p++ = (VALUES & 0x7f) | 0x80;
    *p++ = VALUES >> 7;
    for (uint8_t column = 5; column < 11; column++) {
        *p++ = (uint8_t)(column << 3 | 2);
        *p++ = (VALUES & 0x7f) | 0x80;
        *p++ = VALUES >> 7;
        memset(p, 2, VALUES);
        p += VALUES;
    }
    memcpy(out, (const uint8_t[]){1 << 3, 1, 6 << 3 | 2}, 3);
    out[3] = (uint8_t)((p - out - 5) | 0x80);
    out[4] = (uint8_t)((p - out - 5) >> 7);
    return (size_t)(p - out);
}

static volatile bool streaming;

static void *stream(void *arg)
{
    static uint8_t payload[MN_FRAME_PAYLOAD_MAX], bytes[TRANSFER_BYTES];
    size_t n = batch(payload);

    for (;;) {
        size_t fill = 0;

        if (!streaming) {
            usleep(10000);
            continue;
        }
        while (fill + MN_FRAME_MAX <= TRANSFER_BYTES)
            fill += frame(bytes + fill, MNP__FRAME_TYPE__TYPE_TELEMETRY, 0, payload, n);
        bytes[fill] = 0; /* a transfer never ends on a multiple of the packet */
        if (write(usb.bulk_in, bytes, fill + (fill % 512 == 0)) < 0 && errno != EINTR)
            streaming = false;
    }
    return arg;
}

static void gadget(const char *directory)
{
    uint8_t bytes[SIMLINK_PACKET_MAX + 1];
    struct mn_frame_reader reader = {0};
    const char *step = "";
    pthread_t thread;

    errno = -ffs_open(&usb, directory, &step);
    need(errno == 0, step);
    need(pthread_create(&thread, NULL, stream, NULL) == 0, "thread");
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        ssize_t n = recv(usb.to_pen[0], bytes, sizeof(bytes), 0);
        const uint8_t *p = bytes + 1;
        size_t left = n > 0 ? (size_t)n - 1 : 0;
        struct mn_frame f;

        need(n > 0, "the bus");
        if (bytes[0] == SIMLINK_CONTROL && bytes[1] == MN_CONTROL_SESSION_RESET)
            streaming = false;
        if (bytes[0] != SIMLINK_BULK_OUT)
            continue;
        while (mn_frame_next(&reader, &p, &left, &f) == MN_FRAME_OK) {
            if (f.type == MNP__FRAME_TYPE__TYPE_HELLO) {
                say_hello(&f);
                streaming = true;
            }
        }
    }
}

static void report(const char *by, uint64_t bytes, double seconds)
{
    printf("{\"bench\": \"usb\", \"of\": {\"by\": \"%s\"}, \"mb_per_s\": %.2f}\n", by, (double)bytes / 1e6 / seconds);
}

/* ---- libusb alone ---- */

static uint64_t got;

static void LIBUSB_CALL on_in(struct libusb_transfer *t)
{
    got += (uint64_t)t->actual_length;
    if (t->status == LIBUSB_TRANSFER_COMPLETED || t->status == LIBUSB_TRANSFER_TIMED_OUT)
        libusb_submit_transfer(t);
}

static uint8_t endpoint(libusb_device_handle *h, uint8_t direction)
{
    struct libusb_config_descriptor *c;
    uint8_t address = 0;

    need(libusb_get_active_config_descriptor(libusb_get_device(h), &c) == 0, "descriptor");
    for (int i = 0; i < c->interface[0].altsetting[0].bNumEndpoints; i++) {
        const struct libusb_endpoint_descriptor *e = &c->interface[0].altsetting[0].endpoint[i];

        if ((e->bEndpointAddress & 0x80) == direction && (e->bmAttributes & 3) == LIBUSB_TRANSFER_TYPE_BULK)
            address = e->bEndpointAddress;
    }
    libusb_free_config_descriptor(c);
    return address;
}

static void handle_for(double seconds)
{
    for (uint64_t end = now_ns() + (uint64_t)(seconds * 1e9); now_ns() < end;)
        libusb_handle_events_timeout(NULL, &(struct timeval){.tv_usec = 100000});
}

static void bare(double seconds)
{
    static uint8_t buffers[TRANSFERS][TRANSFER_BYTES];
    uint8_t payload[64], bytes[MN_FRAME_MAX];
    Mnp__Hello hello = MNP__HELLO__INIT;
    libusb_device_handle *h;
    struct mn_frame f = {.major = MN_PROTOCOL_MAJOR, .correlation = 1, .type = MNP__FRAME_TYPE__TYPE_HELLO, .payload = payload};
    int sent;

    need(libusb_init(NULL) == 0 && (h = libusb_open_device_with_vid_pid(NULL, MN_USB_VID, MN_USB_PID)) != NULL, "no pen");
    need(libusb_claim_interface(h, 0) == 0, "claim");
    need(libusb_control_transfer(h, 0x40, MN_CONTROL_SESSION_RESET, 0, 0, NULL, 0, 1000) == 0, "reset");
    hello.has_nonce = hello.has_minor = true;
    f.length = (uint16_t)mnp__hello__pack(&hello, payload);
    need(libusb_bulk_transfer(h, endpoint(h, 0), bytes, (int)mn_frame_write(bytes, sizeof(bytes), &f), &sent, 1000) == 0, "HELLO");
    for (int i = 0; i < TRANSFERS; i++) {
        struct libusb_transfer *t = libusb_alloc_transfer(0);

        need(t != NULL, "transfer");
        libusb_fill_bulk_transfer(t, h, endpoint(h, 0x80), buffers[i], TRANSFER_BYTES, on_in, NULL, 0);
        need(libusb_submit_transfer(t) == 0, "submit");
    }
    handle_for(1);
    got = 0;
    handle_for(seconds);
    report("libusb alone", got, seconds);
    libusb_control_transfer(h, 0x40, MN_CONTROL_SESSION_RESET, 0, 0, NULL, 0, 1000);
    _exit(fflush(stdout));
}

/* ---- mnd ---- */

static uint64_t bytes_in(mn_client *c)
{
    struct mn_pens pens;
    uint64_t n;

    need(mn_list(c, &pens, 5000) == MN_OK && pens.count == 1, "mnd has no pen");
    n = pens.pen[0].bytes_in;
    mn_pens_free(&pens);
    return n;
}

static void into_mnd(const char *socket_path, double seconds)
{
    struct mn_options o = {.socket = socket_path};
    uint64_t began, bytes;
    char why[200];
    mn_client *c;

    need(mn_connect(&c, &o, why, sizeof(why)) == MN_OK, why);
    sleep(1);
    bytes = bytes_in(c);
    began = now_ns();
    usleep((unsigned)(seconds * 1e6));
    report("mnd, nobody reads", bytes_in(c) - bytes, (double)(now_ns() - began) / 1e9);
    mn_close(c);
}

static void through_mnd(const char *socket_path, double seconds)
{
    int fd = program_connect(socket_path, true);
    struct readers readers;
    struct counts c;
    uint64_t began;

    readers_start(&readers, &fd, 1, cut_by_length);
    sleep(2);
    readers_take(&readers);
    began = now_ns();
    usleep((unsigned)(seconds * 1e6));
    c = readers_take(&readers);
    report("mnd, to a program", c.bytes, (double)(now_ns() - began) / 1e9);
    readers_stop(&readers);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && strcmp(argv[1], "gadget") == 0)
        gadget(argv[2]);
    else if (argc == 3 && strcmp(argv[1], "bare") == 0)
        bare(atof(argv[2]));
    else if (argc == 4 && strcmp(argv[1], "mnd") == 0) {
        into_mnd(argv[2], atof(argv[3]));
        through_mnd(argv[2], atof(argv[3]));
    } else {
        fprintf(stderr, "usage: bench_usb gadget DIRECTORY | bare SECONDS | mnd SOCKET SECONDS\n");
        return 2;
    }
    return 0;
}
