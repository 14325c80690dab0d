#include "mock.h"

#include <assert.h>
#include <errno.h>
#include <linux/usbdevice_fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <umockdev.h>
#include <unistd.h>

#include "heap.h"
#include "mock_device.h"
#include "vpen.h"

enum { URBS_MAX = 64, PIECES_MAX = 64, PIECE_BYTES = 20000 };

/* On its way to the host. */
struct piece {
    uint16_t length;
    int status;
    uint8_t bytes[PIECE_BYTES];
};

struct pipe {
    uint8_t endpoint;
    bool halted;
    struct piece pieces[PIECES_MAX];
    unsigned head, fill;
};

struct urbs {
    struct usbdevfs_urb *urb[URBS_MAX];
    unsigned count;
};

struct mock_pen {
    struct vpen vpen;
    uint64_t began_ms, advanced_ms;
    struct mock_lens lens;
    unsigned count, halts_cleared;
    struct pipe in[2]; /* bulk, interrupt */
    bool out_halted;
    struct urbs waiting, done;
    bool present, plugged; /* known to the kernel; the cable is in */
    char node[64], path[64];
    UMockdevIoctlBase *handler;
};

static struct {
    UMockdevTestbed *testbed;
    pthread_mutex_t lock;
    unsigned last_address;
} mock = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void lock(void)
{
    pthread_mutex_lock(&mock.lock);
}

static void unlock(void)
{
    pthread_mutex_unlock(&mock.lock);
}

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- transfers ---- */

static void urb_put(struct urbs *u, struct usbdevfs_urb *urb)
{
    assert(u->count < URBS_MAX);
    u->urb[u->count++] = urb;
}

static struct usbdevfs_urb *urb_take(struct urbs *u, unsigned i)
{
    struct usbdevfs_urb *urb = u->urb[i];

    memmove(u->urb + i, u->urb + i + 1, (--u->count - i) * sizeof(urb));
    return urb;
}

static void complete(struct mock_pen *p, unsigned i, int status)
{
    struct usbdevfs_urb *urb = urb_take(&p->waiting, i);

    urb->status = status;
    urb_put(&p->done, urb);
}

/* The first transfer that waits at an endpoint; -1. */
static int waiting_at(const struct mock_pen *p, uint8_t endpoint)
{
    for (unsigned i = 0; i < p->waiting.count; i++) {
        if (p->waiting.urb[i]->endpoint == endpoint && p->waiting.urb[i]->type != USBDEVFS_URB_TYPE_CONTROL)
            return (int)i;
    }
    return -1;
}

static struct pipe *pipe_of(struct mock_pen *p, uint8_t endpoint)
{
    return &p->in[endpoint == MOCK_INTERRUPT_IN];
}

static void flush(struct mock_pen *p, struct pipe *pipe)
{
    int i;

    while (pipe->halted && (i = waiting_at(p, pipe->endpoint)) >= 0)
        complete(p, (unsigned)i, -EPIPE);
    while (pipe->fill > 0 && (i = waiting_at(p, pipe->endpoint)) >= 0) {
        const struct piece *piece = &pipe->pieces[pipe->head];
        struct usbdevfs_urb *urb = p->waiting.urb[i];
        size_t room = (size_t)(urb->buffer_length - urb->actual_length), n = piece->length < room ? piece->length : room;
        bool last = piece->length == 0 || piece->length % MOCK_PACKET != 0 || n == room || piece->status != 0;

        memcpy((uint8_t *)urb->buffer + urb->actual_length, piece->bytes, n);
        urb->actual_length += (int)n;
        if (last)
            complete(p, (unsigned)i, piece->length > room ? -EOVERFLOW : piece->status);
        pipe->head = (pipe->head + 1) % PIECES_MAX;
        pipe->fill--;
    }
}

void mock_in(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n, int status)
{
    struct pipe *pipe = pipe_of(p, endpoint);
    struct piece *piece = &pipe->pieces[(pipe->head + pipe->fill) % PIECES_MAX];

    if (pipe->fill == PIECES_MAX)
        return; /* a real pen's endpoint would be busy: it is lost, as a lens may lose what it likes */
    assert(n <= PIECE_BYTES);
    piece->length = (uint16_t)n;
    piece->status = status;
    if (n > 0)
        memcpy(piece->bytes, bytes, n);
    pipe->fill++;
    flush(p, pipe);
}

void mock_out(struct mock_pen *p, const uint8_t *bytes, size_t n)
{
    pen_receive(&p->vpen.pen, bytes, n);
}

unsigned *mock_count(struct mock_pen *p)
{
    return &p->count;
}

/* The firmware sends: not while the last piece has not gone, as a busy endpoint. */
static bool transmit(void *ctx, enum pen_endpoint from, const uint8_t *bytes, size_t n)
{
    struct mock_pen *p = ctx;
    uint8_t endpoint = from == PEN_BULK_IN ? MOCK_BULK_IN : MOCK_INTERRUPT_IN;
    struct pipe *pipe = pipe_of(p, endpoint);

    if (!p->plugged || pipe->halted || pipe->fill > 0 || (p->lens.in == NULL && waiting_at(p, endpoint) < 0))
        return false;
    if (p->lens.in != NULL)
        p->lens.in(p, endpoint, bytes, n);
    else
        mock_in(p, endpoint, bytes, n, 0);
    return true;
}

static void advance(struct mock_pen *p)
{
    uint64_t to_ms = now_ms() - p->began_ms;

    if (to_ms > p->advanced_ms)
        vpen_advance(&p->vpen, (uint32_t)(to_ms - p->advanced_ms));
    p->advanced_ms = to_ms;
    if (!p->vpen.hung)
        pen_send(&p->vpen.pen);
}

static void submit_out(struct mock_pen *p, struct usbdevfs_urb *urb)
{
    size_t n = (size_t)urb->buffer_length, taken = n;
    int status = 0;

    if (p->out_halted)
        status = -EPIPE;
    else if (p->lens.out != NULL)
        status = p->lens.out(p, urb->buffer, n, &taken);
    else
        mock_out(p, urb->buffer, n);
    urb->actual_length = (int)taken;
    if (status != MOCK_HELD)
        complete(p, p->waiting.count - 1, status);
}

static void clear_halt(struct mock_pen *p, uint8_t endpoint)
{
    p->halts_cleared++;
    if (endpoint == MOCK_BULK_OUT)
        p->out_halted = false;
    else
        pipe_of(p, endpoint)->halted = false;
}

static void submit_control(struct mock_pen *p, struct usbdevfs_urb *urb)
{
    const uint8_t *setup = urb->buffer;
    int status = 0;

    if (setup[0] == 0x02 && setup[1] == 0x01) { /* CLEAR_FEATURE of an endpoint; the host's side follows by ioctl */
        complete(p, p->waiting.count - 1, 0);
        return;
    }
    if (p->lens.control != NULL)
        status = p->lens.control(p, setup[1]);
    if (status == 0)
        pen_control(&p->vpen.pen, (enum mn_control)setup[1]);
    if (status != MOCK_HELD)
        complete(p, p->waiting.count - 1, status);
}

static int submit(struct mock_pen *p, struct usbdevfs_urb *urb)
{
    urb->actual_length = 0;
    urb_put(&p->waiting, urb);
    if (urb->type == USBDEVFS_URB_TYPE_CONTROL)
        submit_control(p, urb);
    else if (urb->endpoint == MOCK_BULK_OUT)
        submit_out(p, urb);
    else
        flush(p, pipe_of(p, urb->endpoint));
    return 0;
}

/* The memory is shared, for usbfs is mocked in this very process: pointers of the host's are good here. */
static int answer(struct mock_pen *p, unsigned long request, void *argument)
{
    if (request == USBDEVFS_REAPURBNDELAY) {
        if (p->plugged)
            advance(p);
        if (p->done.count == 0)
            return p->plugged ? -EAGAIN : -ENODEV;
        *(struct usbdevfs_urb **)argument = urb_take(&p->done, 0);
        return 0;
    }
    if (!p->plugged)
        return -ENODEV;
    switch (request) {
    case USBDEVFS_GET_CAPABILITIES:
        *(uint32_t *)argument = USBDEVFS_CAP_REAP_AFTER_DISCONNECT | USBDEVFS_CAP_NO_PACKET_SIZE_LIM;
        return 0;
    case USBDEVFS_CLAIMINTERFACE:
        return p->lens.claim != NULL ? -p->lens.claim(p) : 0;
    case USBDEVFS_RELEASEINTERFACE:
    case USBDEVFS_RESET:
        return 0;
    case USBDEVFS_CLEAR_HALT:
        clear_halt(p, (uint8_t) * (unsigned *)argument);
        return 0;
    case USBDEVFS_SUBMITURB:
        return submit(p, argument);
    case USBDEVFS_DISCARDURB:
        for (unsigned i = 0; i < p->waiting.count; i++) {
            if (p->waiting.urb[i] == argument) {
                complete(p, i, -ENOENT);
                return 0;
            }
        }
        return -EINVAL;
    default:
        return -ENOTTY;
    }
}

static gboolean on_ioctl(UMockdevIoctlBase *handler, UMockdevIoctlClient *client, struct mock_pen *p)
{
    static _Thread_local bool known;
    UMockdevIoctlData *data = umockdev_ioctl_client_get_arg(client);
    void *argument;
    int r;

    (void)handler;
    if (!known)
        heap_is_mocks(true); /* for good: this thread is umockdev's */
    known = true;
    memcpy(&argument, data->data, sizeof(argument));
    lock();
    r = answer(p, umockdev_ioctl_client_get_request(client), argument);
    unlock();
    umockdev_ioctl_client_complete(client, r < 0 ? -1 : r, r < 0 ? -r : 0);
    return TRUE;
}

/* ---- the kernel's device tree ---- */

static void add(const char *path, const char *node, unsigned address, const char *descriptors, enum mock_shape shape)
{
    char text[1200];
    GError *error = NULL;

    mock_describe(text, sizeof(text), path, node, address, descriptors, shape);
    if (!umockdev_testbed_add_from_string(mock.testbed, text, &error))
        fprintf(stderr, "umockdev: %s\n", error->message);
    g_clear_error(&error);
}

void mock_start(void)
{
    heap_is_mocks(true);
    mock.testbed = umockdev_testbed_new();
    mock.last_address = 1;
    add("/devices/usb1", "bus/usb/001/001", 1, "12010002090000406b1d020000010302010109021900010100e0000904000001090000000705810304000c", MOCK_SHAPE_OTHER_DEVICE);
    heap_is_mocks(false);
}

void mock_tidy(void)
{
    close(-1);
}

void mock_stop(void)
{
    heap_is_mocks(true);
    g_clear_object(&mock.testbed);
    heap_is_mocks(false);
}

struct mock_pen *mock_pen_new(const char *serial)
{
    struct mock_pen *p = calloc(1, sizeof(*p));

    assert(p != NULL);
    p->in[0].endpoint = MOCK_BULK_IN;
    p->in[1].endpoint = MOCK_INTERRUPT_IN;
    p->handler = umockdev_ioctl_base_new();
    g_object_connect(p->handler, "signal-after::handle-ioctl", on_ioctl, p, NULL);
    if (vpen_init(&p->vpen, serial, (uint32_t)now_ms(), NULL, transmit, p) != 0)
        abort();
    vpen_advance(&p->vpen, 1000);
    p->began_ms = now_ms();
    return p;
}

/* The kernel has forgotten the pen: what libusb has open of it is closed. */
static void forget(struct mock_pen *p)
{
    GError *error = NULL;

    if (!p->present)
        return;
    umockdev_testbed_detach_ioctl(mock.testbed, p->node, &error);
    g_clear_error(&error);
    umockdev_testbed_remove_device(mock.testbed, p->path);
    p->present = false;
}

void mock_pen_free(struct mock_pen *p)
{
    forget(p);
    g_object_unref(p->handler);
    vpen_deinit(&p->vpen);
    free(p);
}

void mock_chmod(struct mock_pen *p, unsigned mode)
{
    char path[256];
    gchar *root = umockdev_testbed_get_root_dir(mock.testbed);

    heap_is_mocks(true);
    snprintf(path, sizeof(path), "%s%s", root, p->node);
    if (chmod(path, mode) < 0)
        fprintf(stderr, "chmod %s: %s\n", path, strerror(errno));
    g_free(root);
    heap_is_mocks(false);
}

void mock_plug(struct mock_pen *p, unsigned port, enum mock_shape shape, unsigned mode)
{
    GError *error = NULL;

    heap_is_mocks(true);
    forget(p);
    lock();
    mock.last_address = mock.last_address % 126 + 1; /* as the kernel counts; 1 is the hub */
    if (mock.last_address == 1)
        mock.last_address = 2;
    snprintf(p->path, sizeof(p->path), "/sys/devices/usb1/1-%u", port);
    snprintf(p->node, sizeof(p->node), "/dev/bus/usb/001/%03u", mock.last_address);
    p->waiting.count = p->done.count = 0;
    p->in[0].fill = p->in[1].fill = 0;
    p->in[0].halted = p->in[1].halted = p->out_halted = false;
    vpen_plug(&p->vpen, true);
    p->plugged = p->present = true;
    unlock();
    if (!umockdev_testbed_attach_ioctl(mock.testbed, p->node, p->handler, &error))
        fprintf(stderr, "umockdev: %s\n", error->message);
    g_clear_error(&error);
    add(p->path + 4, p->node + 5, mock.last_address, NULL, shape); /* says so, too */
    mock_chmod(p, mode);
    heap_is_mocks(false);
}

void mock_say_again(struct mock_pen *p)
{
    heap_is_mocks(true);
    umockdev_testbed_uevent(mock.testbed, p->path, "add");
    heap_is_mocks(false);
}

void mock_unplug(struct mock_pen *p, bool quietly)
{
    heap_is_mocks(true);
    lock();
    p->plugged = false;
    vpen_plug(&p->vpen, false);
    while (p->waiting.count > 0)
        complete(p, 0, -ESHUTDOWN);
    unlock();
    if (!quietly)
        umockdev_testbed_uevent(mock.testbed, p->path, "remove");
    heap_is_mocks(false);
}

void mock_set_lens(struct mock_pen *p, const struct mock_lens *lens)
{
    lock();
    p->lens = lens != NULL ? *lens : (struct mock_lens){0};
    p->count = 0;
    unlock();
}

void mock_say(struct mock_pen *p, const char *line)
{
    char said[512];

    lock();
    vpen_command(&p->vpen, line, said, sizeof(said));
    unlock();
    if (strncmp(said, "ok", 2) != 0)
        fprintf(stderr, "%s: %s\n", line, said);
}

void mock_halt(struct mock_pen *p, uint8_t endpoint)
{
    lock();
    if (endpoint == MOCK_BULK_OUT) {
        p->out_halted = true;
    } else {
        pipe_of(p, endpoint)->halted = true;
        flush(p, pipe_of(p, endpoint));
    }
    unlock();
}

unsigned mock_halts_cleared(struct mock_pen *p)
{
    unsigned n;

    lock();
    n = p->halts_cleared;
    unlock();
    return n;
}

unsigned mock_in_flight(struct mock_pen *p)
{
    unsigned n;

    lock();
    n = p->waiting.count + p->done.count;
    unlock();
    return n;
}
