#include "link_usb.h"

#include <assert.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <time.h>

#include "log.h"
#include "usb_census.h"

/*
 *  a link:   FOUND --open()--> OPENING --opened--> OPEN --close(), gone--> DRAINING --last transfer back--> freed
 *                              |     ^               (transfers in flight)
 *                              +50 ms+ until 2 s have passed (udev sets permissions late), then every 5 s
 */
enum usb_state { USB_FOUND, USB_OPENING, USB_OPEN, USB_DRAINING };

enum {
    BULK_IN_COUNT = 8, /* in flight: half of this much is half of the throughput, docs/performance.md */
    BULK_IN_BYTES = 16384, /* a multiple of every packet size, more than the largest frame */
    INTERRUPT_IN_COUNT = 2,
    OUT_COUNT = 8,
    CONTROL_COUNT = 2, /* SESSION_RESET, STOP */
    CLEAR_COUNT = 3,   /* one for each pipe that may stall */
    OPEN_RETRY_US = 50000,
    OPEN_PATIENCE_US = 2000000,
    RECONCILE_US = 5000000,
    OUT_TIMEOUT_MS = 1000,
    ERRORS_MAX = 8,
    TRANSFER_COUNT = BULK_IN_COUNT + INTERRUPT_IN_COUNT + OUT_COUNT + CONTROL_COUNT + CLEAR_COUNT,
};

enum slot_kind { SLOT_BULK_IN, SLOT_INTERRUPT_IN, SLOT_OUT, SLOT_CONTROL, SLOT_CLEAR };

/* One transfer and whom it serves. */
struct slot {
    struct usb_link *link;
    enum slot_kind kind;
    struct libusb_transfer *transfer;
    uint8_t *bytes;
    bool in_flight;
    bool same_stall; /* it was out when its pipe's stall was met: its own stall is no other one */
    struct slot *next_done;
};

struct usb_link {
    struct link link;
    struct usb_bus *bus;
    struct usb_link *next;
    libusb_device *device;
    libusb_device_handle *handle;
    enum usb_state state;
    bool gone, said_gone, listed;
    uint8_t interface, bulk_in, bulk_out, interrupt_in;
    uint16_t interrupt_packet; /* one packet is one status: a longer transfer would wait for more */
    uint64_t first_try_us;
    sd_event_source *retry;
    struct slot slots[TRANSFER_COUNT];
    unsigned in_flight;
    bool out_refused;
    unsigned errors; /* IN transfers that failed in a row: a pipe that only fails is not asked for ever */
};

struct usb_bus {
    sd_event *event;
    libusb_context *libusb;
    libusb_hotplug_callback_handle hotplug;
    uint16_t vid, pid;
    link_arrived_fn *arrived;
    void *ctx;
    struct usb_link *links;
    struct slot *done_first, **done_last;  /* completed, in order; interrupt transfers stand apart: faults first */
    struct slot *urgent_first, **urgent_last;
    sd_event_source *rescan, *reconcile;
    struct usb_counted unheard; /* a pen that the kernel had at the last look, and libusb not: its message may have been on its way; port "": none */
    bool is_deaf;      /* that was said */
    bool renewing;     /* libusb is begun anew when the last link is closed: no pen is announced meanwhile */
    usb_renewed_fn *renewed;
    void *renewed_ctx;
};

static int error_of(int libusb_error)
{
    switch (libusb_error) {
    case LIBUSB_ERROR_ACCESS:
        return -EACCES;
    case LIBUSB_ERROR_NO_DEVICE:
        return -ENODEV;
    case LIBUSB_ERROR_BUSY:
        return -EBUSY;
    case LIBUSB_ERROR_NO_MEM:
        return -ENOMEM;
    case LIBUSB_ERROR_PIPE:
        return -EPIPE;
    case LIBUSB_ERROR_TIMEOUT:
        return -ETIMEDOUT;
    default:
        return libusb_error == 0 ? 0 : -EIO;
    }
}

static uint64_t now_us(const struct usb_bus *b)
{
    uint64_t now = 0;

    sd_event_now(b->event, CLOCK_MONOTONIC, &now);
    return now;
}

/* ---- transfers ---- */

static void LIBUSB_CALL on_transfer(struct libusb_transfer *t)
{
    struct slot *s = t->user_data;
    struct usb_bus *b = s->link->bus;
    struct slot ***last = s->kind == SLOT_BULK_IN || s->kind == SLOT_OUT ? &b->done_last : &b->urgent_last;

    s->next_done = NULL;
    **last = s;
    *last = &s->next_done;
}

static int submit(struct slot *s)
{
    int r = libusb_submit_transfer(s->transfer);

    if (r != 0)
        return error_of(r);
    s->in_flight = true;
    s->same_stall = false;
    s->link->in_flight++;
    return 0;
}

static void transfers_free(struct usb_link *l)
{
    for (size_t i = 0; i < TRANSFER_COUNT; i++) {
        libusb_free_transfer(l->slots[i].transfer);
        free(l->slots[i].bytes);
        l->slots[i] = (struct slot){0};
    }
}

static int slot_init(struct slot *s, struct usb_link *l, enum slot_kind kind, size_t size)
{
    *s = (struct slot){.link = l, .kind = kind, .transfer = libusb_alloc_transfer(0), .bytes = malloc(size)};
    if (s->transfer == NULL || s->bytes == NULL)
        return -ENOMEM;
    switch (kind) {
    case SLOT_BULK_IN:
        libusb_fill_bulk_transfer(s->transfer, l->handle, l->bulk_in, s->bytes, (int)size, on_transfer, s, 0);
        break;
    case SLOT_INTERRUPT_IN:
        libusb_fill_interrupt_transfer(s->transfer, l->handle, l->interrupt_in, s->bytes, (int)size, on_transfer, s, 0);
        break;
    case SLOT_OUT:
        libusb_fill_bulk_transfer(s->transfer, l->handle, l->bulk_out, s->bytes, 0, on_transfer, s, OUT_TIMEOUT_MS);
        break;
    case SLOT_CONTROL:
    case SLOT_CLEAR:
        libusb_fill_control_transfer(s->transfer, l->handle, s->bytes, on_transfer, s, OUT_TIMEOUT_MS);
        break;
    }
    return 0;
}

static int transfers_start(struct usb_link *l)
{
    size_t n = 0;
    int r = 0;

    for (size_t i = 0; i < INTERRUPT_IN_COUNT && r == 0; i++)
        r = slot_init(&l->slots[n++], l, SLOT_INTERRUPT_IN, l->interrupt_packet);
    for (size_t i = 0; i < BULK_IN_COUNT && r == 0; i++)
        r = slot_init(&l->slots[n++], l, SLOT_BULK_IN, BULK_IN_BYTES);
    for (size_t i = 0; i < OUT_COUNT && r == 0; i++)
        r = slot_init(&l->slots[n++], l, SLOT_OUT, MN_FRAME_MAX);
    for (size_t i = 0; i < CONTROL_COUNT && r == 0; i++)
        r = slot_init(&l->slots[n++], l, SLOT_CONTROL, LIBUSB_CONTROL_SETUP_SIZE);
    for (size_t i = 0; i < CLEAR_COUNT && r == 0; i++)
        r = slot_init(&l->slots[n++], l, SLOT_CLEAR, LIBUSB_CONTROL_SETUP_SIZE);
    for (size_t i = 0; i < INTERRUPT_IN_COUNT + BULK_IN_COUNT && r == 0; i++)
        r = submit(&l->slots[i]);
    return r;
}

/* Takes the link that *at points to out of its list and frees it. */
static void link_free(struct usb_link **at)
{
    struct usb_link *l = *at;

    *at = l->next;
    sd_event_source_disable_unref(l->retry);
    if (l->handle != NULL) {
        libusb_release_interface(l->handle, l->interface);
        libusb_close(l->handle);
    }
    transfers_free(l);
    libusb_unref_device(l->device);
    free(l);
}

static void say_gone(struct usb_link *l)
{
    l->gone = true;
    if (l->said_gone || l->state == USB_FOUND || l->state == USB_DRAINING)
        return;
    l->said_gone = true;
    l->link.handler->on_gone(l->link.ctx);
}

static void cancel_all(struct usb_link *l)
{
    for (size_t i = 0; i < TRANSFER_COUNT; i++) {
        if (l->slots[i].in_flight)
            libusb_cancel_transfer(l->slots[i].transfer); /* NOT_FOUND: it is on its way back already */
    }
}

static void renew(struct usb_bus *b);

static void drained(struct usb_link *l)
{
    const struct link_handler *handler = l->link.handler;
    struct usb_bus *b = l->bus;
    struct usb_link **at = &b->links;
    void *ctx = l->link.ctx;

    while (*at != l)
        at = &(*at)->next;
    link_free(at);
    handler->on_closed(ctx);
    if (b->renewing && b->links == NULL)
        renew(b);
}

/*
 * A stalled pipe. libusb_clear_halt() waits for the pen, up to 5 s, and the loop must not: so the pen is first asked by an
 * ordinary transfer, and only a pen that has just answered is asked again by the call that also resets the host's side.
 */
static bool is_clearing(const struct usb_link *l, uint8_t endpoint)
{
    for (size_t i = 0; i < TRANSFER_COUNT; i++) {
        const struct slot *s = &l->slots[i];

        if (s->kind == SLOT_CLEAR && s->in_flight && libusb_control_transfer_get_setup(s->transfer)->wIndex == endpoint)
            return true;
    }
    return false;
}

static void clear_begin(struct usb_link *l, uint8_t endpoint)
{
    for (size_t i = 0; i < TRANSFER_COUNT; i++) {
        if (l->slots[i].in_flight && l->slots[i].transfer->endpoint == endpoint)
            l->slots[i].same_stall = true;
    }
    for (size_t i = 0; i < TRANSFER_COUNT; i++) {
        struct slot *s = &l->slots[i];

        if (s->kind != SLOT_CLEAR || s->transfer == NULL || s->in_flight)
            continue;
        libusb_fill_control_setup(s->bytes, LIBUSB_REQUEST_TYPE_STANDARD | LIBUSB_RECIPIENT_ENDPOINT, LIBUSB_REQUEST_CLEAR_FEATURE,
                                  0 /* ENDPOINT_HALT */, endpoint, 0);
        s->transfer->length = LIBUSB_CONTROL_SETUP_SIZE;
        if (submit(s) < 0)
            say_gone(l);
        return;
    }
}

static void done_clear(struct usb_link *l, struct slot *s)
{
    uint8_t endpoint = (uint8_t)libusb_control_transfer_get_setup(s->transfer)->wIndex;

    if (s->transfer->status != LIBUSB_TRANSFER_COMPLETED || libusb_clear_halt(l->handle, endpoint) != 0) {
        say_gone(l); /* it does not even clear a pipe: closed, and looked for anew */
        return;
    }
    for (size_t i = 0; i < TRANSFER_COUNT; i++) { /* IN transfers that the stall brought back */
        struct slot *in = &l->slots[i];

        if ((in->kind == SLOT_BULK_IN || in->kind == SLOT_INTERRUPT_IN) && in->transfer != NULL && !in->in_flight &&
            in->transfer->endpoint == endpoint && submit(in) < 0) {
            say_gone(l);
            return;
        }
    }
    l->link.handler->on_trouble(l->link.ctx, "the pen stalled a pipe; the session begins anew", false);
}

/* An IN transfer came back: its bytes are used whatever its status says, then it goes out again. */
static void done_in(struct usb_link *l, struct slot *s)
{
    const struct libusb_transfer *t = s->transfer;
    enum link_in from = s->kind == SLOT_BULK_IN ? LINK_BULK_IN : LINK_INTERRUPT_IN;

    if (t->actual_length > 0)
        l->link.handler->on_bytes(l->link.ctx, from, s->bytes, (size_t)t->actual_length);
    if (l->state != USB_OPEN || l->gone)
        return;
    switch (t->status) {
    case LIBUSB_TRANSFER_COMPLETED:
    case LIBUSB_TRANSFER_TIMED_OUT:
        break;
    case LIBUSB_TRANSFER_STALL:
        if (is_clearing(l, t->endpoint))
            return; /* done_clear() sends it out again */
        if (s->same_stall)
            break;
        clear_begin(l, t->endpoint);
        return;
    case LIBUSB_TRANSFER_OVERFLOW:
        l->link.handler->on_trouble(l->link.ctx, "the pen sent more than a transfer holds; the session begins anew", false);
        break;
    case LIBUSB_TRANSFER_NO_DEVICE:
    case LIBUSB_TRANSFER_CANCELLED:
    case LIBUSB_TRANSFER_ERROR: /* what a pulled cable looks like; if it was not, the next submit says so */
    default:
        l->errors++;
        break;
    }
    if (t->status == LIBUSB_TRANSFER_COMPLETED)
        l->errors = 0;
    if (t->status == LIBUSB_TRANSFER_NO_DEVICE || l->errors > ERRORS_MAX || submit(s) < 0)
        say_gone(l);
}

static void done_out(struct usb_link *l, struct slot *s)
{
    const struct libusb_transfer *t = s->transfer;

    if (l->state != USB_OPEN || l->gone)
        return;
    if (t->status == LIBUSB_TRANSFER_STALL && (s->same_stall || is_clearing(l, t->endpoint)))
        return; /* the session begins anew with the clear */
    if (t->status == LIBUSB_TRANSFER_STALL)
        clear_begin(l, t->endpoint);
    else if (t->status == LIBUSB_TRANSFER_NO_DEVICE)
        say_gone(l);
    else if (t->status != LIBUSB_TRANSFER_COMPLETED || t->actual_length != t->length)
        l->link.handler->on_trouble(l->link.ctx, "the pen did not take a whole transfer; the session begins anew", false);
    else if (l->out_refused) {
        l->out_refused = false;
        l->link.handler->on_sendable(l->link.ctx);
    }
}

static void done_control(struct usb_link *l, struct slot *s)
{
    enum mn_control request = (enum mn_control)libusb_control_transfer_get_setup(s->transfer)->bRequest;

    if (l->state != USB_OPEN || l->gone)
        return;
    if (s->transfer->status == LIBUSB_TRANSFER_NO_DEVICE)
        say_gone(l);
    else
        l->link.handler->on_control(l->link.ctx, request, s->transfer->status == LIBUSB_TRANSFER_COMPLETED ? 0 : -EIO);
}

static void done(struct slot *s)
{
    struct usb_link *l = s->link;

    s->in_flight = false;
    l->in_flight--;
    if (l->state == USB_OPEN) {
        if (s->kind == SLOT_OUT)
            done_out(l, s);
        else if (s->kind == SLOT_CONTROL)
            done_control(l, s);
        else if (s->kind == SLOT_CLEAR && !l->gone)
            done_clear(l, s);
        else if (s->kind != SLOT_CLEAR)
            done_in(l, s);
    }
    if (l->state == USB_DRAINING && l->in_flight == 0)
        drained(l);
}

static struct slot *take(struct slot **first, struct slot ***last)
{
    struct slot *s = *first;

    if (s != NULL && (*first = s->next_done) == NULL)
        *last = first;
    return s;
}

/* Bounded by the number of transfers: what is resubmitted here completes in a later turn. */
static void handle_done(struct usb_bus *b)
{
    struct slot *s;

    while ((s = take(&b->urgent_first, &b->urgent_last)) != NULL || (s = take(&b->done_first, &b->done_last)) != NULL)
        done(s);
}

/* ---- the ops ---- */

static int usb_send(struct link *link, const uint8_t *bytes, size_t n)
{
    struct usb_link *l = (struct usb_link *)link;

    if (l->state != USB_OPEN || l->gone)
        return -ENODEV;
    if (n > MN_FRAME_MAX)
        return -EMSGSIZE;
    for (size_t i = 0; i < TRANSFER_COUNT; i++) {
        struct slot *s = &l->slots[i];

        if (s->kind != SLOT_OUT || s->in_flight || s->transfer == NULL)
            continue;
        if (is_clearing(l, s->transfer->endpoint))
            break; /* into a stalled pipe: the session that begins after it asks again */
        memcpy(s->bytes, bytes, n);
        s->transfer->length = (int)n;
        return submit(s);
    }
    l->out_refused = true;
    return -EAGAIN;
}

static int usb_control(struct link *link, enum mn_control request)
{
    struct usb_link *l = (struct usb_link *)link;

    if (l->state != USB_OPEN || l->gone)
        return -ENODEV;
    for (size_t i = 0; i < TRANSFER_COUNT; i++) {
        struct slot *s = &l->slots[i];

        if (s->kind != SLOT_CONTROL || s->transfer == NULL)
            continue;
        if (s->in_flight && libusb_control_transfer_get_setup(s->transfer)->bRequest == request)
            return 0;
        if (s->in_flight)
            continue;
        libusb_fill_control_setup(s->bytes, LIBUSB_REQUEST_TYPE_VENDOR | LIBUSB_RECIPIENT_DEVICE, (uint8_t)request, 0, 0, 0);
        s->transfer->length = LIBUSB_CONTROL_SETUP_SIZE;
        return submit(s);
    }
    return -EAGAIN;
}

static void usb_close(struct link *link)
{
    struct usb_link *l = (struct usb_link *)link;

    l->state = USB_DRAINING;
    cancel_all(l);
    if (l->in_flight == 0) /* nothing is out: close in the next turn, not inside this op */
        sd_event_source_set_time_relative(l->retry, 0), sd_event_source_set_enabled(l->retry, SD_EVENT_ONESHOT);
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
            r = transfers_start(l);
            if (r == 0)
                return 0;
            l->state = USB_DRAINING; /* some may be out already */
            cancel_all(l);
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
            drained(l);
        return 0;
    }
    if (l->state != USB_OPENING || l->gone)
        return 0;
    r = try_open(l);
    if (l->state == USB_DRAINING) {
        l->gone = l->said_gone = true;
        l->link.handler->on_gone(l->link.ctx);
        return 0;
    }
    if (r == 0) {
        l->state = USB_OPEN;
        l->link.handler->on_open(l->link.ctx);
        return 0;
    }
    patient = now_us(l->bus) - l->first_try_us < OPEN_PATIENCE_US;
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
    sd_event_source_set_time(l->retry, usec + (patient ? OPEN_RETRY_US : RECONCILE_US));
    sd_event_source_set_enabled(l->retry, SD_EVENT_ONESHOT);
    return 0;
}

static int usb_open(struct link *link)
{
    struct usb_link *l = (struct usb_link *)link;

    l->state = USB_OPENING;
    l->first_try_us = now_us(l->bus);
    sd_event_source_set_time_relative(l->retry, 0);
    return sd_event_source_set_enabled(l->retry, SD_EVENT_ONESHOT); /* of an armed timer: it cannot fail */
}

static const struct link_ops usb_ops = {.open = usb_open, .send = usb_send, .control = usb_control, .close = usb_close};

/* ---- finding ---- */

static void port_name(libusb_device *d, char *out, size_t cap)
{
    uint8_t ports[8];
    int n = libusb_get_port_numbers(d, ports, sizeof(ports)), used;

    used = snprintf(out, cap, "usb %u", libusb_get_bus_number(d));
    for (int i = 0; i < n && used > 0 && (size_t)used < cap; i++)
        used += snprintf(out + used, cap - (size_t)used, "%c%u", i == 0 ? '-' : '.', ports[i]);
}

static void arrive(struct usb_bus *b, libusb_device *d)
{
    struct usb_link *l = calloc(1, sizeof(*l));

    if (l == NULL || sd_event_add_time_relative(b->event, &l->retry, CLOCK_MONOTONIC, 0, 0, on_retry, l) < 0 ||
        sd_event_source_set_enabled(l->retry, SD_EVENT_OFF) < 0) {
        log_error("no memory for one more pen");
        free(l);
        return;
    }
    l->bus = b;
    l->device = libusb_ref_device(d);
    l->link = (struct link){.ops = &usb_ops};
    l->listed = true;
    port_name(d, l->link.port, sizeof(l->link.port));
    l->next = b->links;
    b->links = l;
    b->arrived(b->ctx, &l->link); /* if not, the next scan announces it again */
}

static bool is_pen(const struct usb_bus *b, libusb_device *d)
{
    struct libusb_device_descriptor descriptor;

    return libusb_get_device_descriptor(d, &descriptor) == 0 && descriptor.idVendor == b->vid && descriptor.idProduct == b->pid;
}

/* The device list decides which pens are there; hotplug events only say when to look. */
static void scan(struct usb_bus *b)
{
    libusb_device **list;
    ssize_t n;

    if (b->libusb == NULL || b->renewing)
        return;
    n = libusb_get_device_list(b->libusb, &list);
    if (n < 0) {
        log_warning("cannot list USB devices: %s", libusb_strerror((int)n));
        return;
    }
    for (struct usb_link *l = b->links; l != NULL; l = l->next)
        l->listed = false;
    for (ssize_t i = 0; i < n; i++) {
        struct usb_link *l = b->links;

        while (l != NULL && l->device != list[i])
            l = l->next;
        if (l == NULL && is_pen(b, list[i]))
            arrive(b, list[i]);
        if (l == NULL)
            continue;
        l->listed = true;
        if (l->state == USB_FOUND)
            b->arrived(b->ctx, &l->link);
    }
    for (struct usb_link **at = &b->links, *l; (l = *at) != NULL;) {
        if (!l->listed && l->state == USB_FOUND) {
            link_free(at);
            continue;
        }
        if (!l->listed)
            say_gone(l);
        at = &l->next;
    }
    libusb_free_device_list(list, 1);
}

static int LIBUSB_CALL on_hotplug(libusb_context *libusb, libusb_device *d, libusb_hotplug_event e, void *userdata)
{
    struct usb_bus *b = userdata;

    (void)libusb;
    (void)d;
    (void)e;
    sd_event_source_set_enabled(b->rescan, SD_EVENT_ONESHOT); /* nothing is done in here: libusb forbids nearly all of it */
    return 0;
}

static int on_rescan(sd_event_source *s, void *userdata)
{
    (void)s;
    scan(userdata);
    return 0;
}

static const struct usb_link *link_at(const struct usb_bus *b, const char *port)
{
    const struct usb_link *l = b->links;

    while (l != NULL && strcmp(l->link.port, port) != 0)
        l = l->next;
    return l;
}

static bool is_any_open(const struct usb_bus *b)
{
    const struct usb_link *l = b->links;

    while (l != NULL && l->state != USB_OPEN)
        l = l->next;
    return l != NULL;
}

/* libusb does not hear of devices any more: begun anew it finds what is there. That needs all of its links closed; one that is in use is not taken from anybody. */
static void begin_renewing(struct usb_bus *b)
{
    if (is_any_open(b))
        return;
    b->renewing = true;
    for (struct usb_link **at = &b->links; *at != NULL;) {
        if ((*at)->state == USB_FOUND) {
            link_free(at);
            continue;
        }
        say_gone(*at); /* closed by its owner, from the loop; drained() goes on */
        at = &(*at)->next;
    }
    if (b->links == NULL)
        renew(b);
}

/* A pen that the kernel has, and libusb never heard of. */
static void look_for_unheard(struct usb_bus *b)
{
    struct usb_counted pens[USB_CENSUS_MAX], before = b->unheard;
    unsigned n = usb_census(b->vid, b->pid, pens), i = 0;

    while (i < n && link_at(b, pens[i].port) != NULL)
        i++;
    b->unheard = i < n ? pens[i] : (struct usb_counted){0};
    if (i == n || strcmp(before.port, pens[i].port) != 0 || strcmp(before.address, pens[i].address) != 0)
        return;
    if (!b->is_deaf)
        log_warning("the kernel has a pen at %s, but udev says nothing of it (no udevd, or a container or network namespace of its own): it is looked for every 5 s while no other pen is in use",
                    pens[i].port);
    b->is_deaf = true;
    begin_renewing(b);
}

static int on_reconcile(sd_event_source *s, uint64_t usec, void *userdata)
{
    struct usb_bus *b = userdata;

    if (b->libusb == NULL)
        renew(b);
    scan(b);
    if (!b->renewing)
        look_for_unheard(b);
    return sd_event_source_set_time(s, usec + RECONCILE_US);
}

void usb_bus_dispatch(struct usb_bus *b)
{
    struct timeval none = {0};
    int r = b->libusb != NULL ? libusb_handle_events_timeout_completed(b->libusb, &none, NULL) : 0;

    if (r != 0)
        log_debug("libusb: %s", libusb_strerror(r));
    handle_done(b);
}

libusb_context *usb_bus_context(const struct usb_bus *b)
{
    return b->libusb;
}

static int libusb_begin(struct usb_bus *b)
{
    int r = libusb_init(&b->libusb), probe;

    if (r != 0) {
        b->libusb = NULL;
        probe = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
        /* Its commonest cause, of which it says "other error". */
        log_error("libusb does not start: %s%s%s", libusb_strerror(r), probe < 0 ? "; netlink, by which it hears of devices: " : "", probe < 0 ? strerror(errno) : "");
        if (probe >= 0)
            close(probe);
        return error_of(r);
    }
    if (libusb_has_capability(LIBUSB_CAP_HAS_HOTPLUG))
        r = libusb_hotplug_register_callback(b->libusb,
                                             LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED | LIBUSB_HOTPLUG_EVENT_DEVICE_LEFT, 0, b->vid,
                                             b->pid, LIBUSB_HOTPLUG_MATCH_ANY, on_hotplug, b, &b->hotplug);
    if (r != 0)
        log_warning("no hotplug events (%s): pens are looked for every 5 s", libusb_strerror(r));
    return 0;
}

/* All links are closed. What fails is tried again in 5 s. */
static void renew(struct usb_bus *b)
{
    if (b->libusb != NULL)
        libusb_exit(b->libusb);
    b->renewing = false;
    if (libusb_begin(b) < 0)
        return;
    if (b->renewed != NULL)
        b->renewed(b->renewed_ctx);
    sd_event_source_set_enabled(b->rescan, SD_EVENT_ONESHOT);
}

void usb_bus_on_renewed(struct usb_bus *b, usb_renewed_fn *renewed, void *ctx)
{
    b->renewed = renewed;
    b->renewed_ctx = ctx;
}

static int start(struct usb_bus *b)
{
    int r = libusb_begin(b);

    if (r < 0 || (r = sd_event_add_defer(b->event, &b->rescan, on_rescan, b)) < 0 ||
        (r = sd_event_add_time_relative(b->event, &b->reconcile, CLOCK_MONOTONIC, RECONCILE_US, RECONCILE_US / 2, on_reconcile,
                                        b)) < 0 ||
        (r = sd_event_source_set_enabled(b->reconcile, SD_EVENT_ON)) < 0)
        return r;
    return 0;
}

int usb_bus_new(struct usb_bus **out, sd_event *event, uint16_t vid, uint16_t pid, link_arrived_fn *arrived, void *ctx)
{
    struct usb_bus *b = calloc(1, sizeof(*b));
    int r;

    if (b == NULL)
        return -ENOMEM;
    b->event = event;
    b->vid = vid;
    b->pid = pid;
    b->arrived = arrived;
    b->ctx = ctx;
    b->done_last = &b->done_first;
    b->urgent_last = &b->urgent_first;
    r = start(b);
    if (r < 0) {
        usb_bus_free(b);
        return r;
    }
    *out = b;
    return 0;
}

void usb_bus_free(struct usb_bus *b)
{
    if (b == NULL)
        return;
    while (b->links != NULL && b->links->state == USB_FOUND)
        link_free(&b->links);
    if (b->libusb != NULL)
        libusb_exit(b->libusb);
    sd_event_source_disable_unref(b->rescan);
    sd_event_source_disable_unref(b->reconcile);
    free(b);
}
