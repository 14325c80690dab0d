#include "usb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

enum { OUT_TIMEOUT_MS = 1000, ERRORS_MAX = 8 };

int usb_error(int libusb_error)
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

/* ---- completion ---- */

static void LIBUSB_CALL on_transfer(struct libusb_transfer *t)
{
    struct usb_transfer *s = t->user_data;
    struct usb_bus *b = s->link->bus;
    struct usb_completed *list = s->kind == USB_BULK_IN || s->kind == USB_OUT ? &b->bulk : &b->urgent;

    s->next_completed = NULL;
    *list->last = s;
    list->last = &s->next_completed;
}

static int submit(struct usb_transfer *s)
{
    int r = libusb_submit_transfer(s->transfer);

    if (r != 0)
        return usb_error(r);
    s->in_flight = true;
    s->same_stall = false;
    s->link->in_flight++;
    return 0;
}

/* ---- allocation ---- */

void usb_transfers_free(struct usb_link *l)
{
    for (size_t i = 0; i < USB_TRANSFER_COUNT; i++) {
        libusb_free_transfer(l->transfers[i].transfer);
        free(l->transfers[i].bytes);
        l->transfers[i] = (struct usb_transfer){0};
    }
}

static int transfer_init(struct usb_transfer *s, struct usb_link *l, enum usb_transfer_kind kind, size_t size)
{
    *s = (struct usb_transfer){.link = l, .kind = kind, .transfer = libusb_alloc_transfer(0), .bytes = malloc(size)};
    if (s->transfer == NULL || s->bytes == NULL)
        return -ENOMEM;
    switch (kind) {
    case USB_BULK_IN:
        libusb_fill_bulk_transfer(s->transfer, l->handle, l->bulk_in, s->bytes, (int)size, on_transfer, s, 0);
        break;
    case USB_INTERRUPT_IN:
        libusb_fill_interrupt_transfer(s->transfer, l->handle, l->interrupt_in, s->bytes, (int)size, on_transfer, s, 0);
        break;
    case USB_OUT:
        libusb_fill_bulk_transfer(s->transfer, l->handle, l->bulk_out, s->bytes, 0, on_transfer, s, OUT_TIMEOUT_MS);
        break;
    case USB_CONTROL:
    case USB_CLEAR:
        libusb_fill_control_transfer(s->transfer, l->handle, s->bytes, on_transfer, s, OUT_TIMEOUT_MS);
        break;
    }
    return 0;
}

int usb_transfers_start(struct usb_link *l)
{
    size_t n = 0;
    int r = 0;

    for (size_t i = 0; i < USB_INTERRUPT_IN_COUNT && r == 0; i++)
        r = transfer_init(&l->transfers[n++], l, USB_INTERRUPT_IN, l->interrupt_packet);
    for (size_t i = 0; i < USB_BULK_IN_COUNT && r == 0; i++)
        r = transfer_init(&l->transfers[n++], l, USB_BULK_IN, USB_BULK_IN_BYTES);
    for (size_t i = 0; i < USB_OUT_COUNT && r == 0; i++)
        r = transfer_init(&l->transfers[n++], l, USB_OUT, MN_FRAME_MAX);
    for (size_t i = 0; i < USB_CONTROL_COUNT && r == 0; i++)
        r = transfer_init(&l->transfers[n++], l, USB_CONTROL, LIBUSB_CONTROL_SETUP_SIZE);
    for (size_t i = 0; i < USB_CLEAR_COUNT && r == 0; i++)
        r = transfer_init(&l->transfers[n++], l, USB_CLEAR, LIBUSB_CONTROL_SETUP_SIZE);
    for (size_t i = 0; i < USB_INTERRUPT_IN_COUNT + USB_BULK_IN_COUNT && r == 0; i++)
        r = submit(&l->transfers[i]);
    return r;
}

void usb_transfers_cancel(struct usb_link *l)
{
    for (size_t i = 0; i < USB_TRANSFER_COUNT; i++) {
        if (l->transfers[i].in_flight)
            libusb_cancel_transfer(l->transfers[i].transfer); /* NOT_FOUND: it has completed already */
    }
}

/* ---- stalls ---- */

/*
 * A stalled pipe. libusb_clear_halt() waits for the pen, up to 5 s, and the loop must not. So CLEAR_FEATURE is first sent as an ordinary transfer, and the call,
 * which also resets the host's side, is made only on a pen that has just completed it.
 */
static bool is_clearing(const struct usb_link *l, uint8_t endpoint)
{
    for (size_t i = 0; i < USB_TRANSFER_COUNT; i++) {
        const struct usb_transfer *s = &l->transfers[i];

        if (s->kind == USB_CLEAR && s->in_flight && libusb_control_transfer_get_setup(s->transfer)->wIndex == endpoint)
            return true;
    }
    return false;
}

static void clear_begin(struct usb_link *l, uint8_t endpoint)
{
    for (size_t i = 0; i < USB_TRANSFER_COUNT; i++) {
        if (l->transfers[i].in_flight && l->transfers[i].transfer->endpoint == endpoint)
            l->transfers[i].same_stall = true;
    }
    for (size_t i = 0; i < USB_TRANSFER_COUNT; i++) {
        struct usb_transfer *s = &l->transfers[i];

        if (s->kind != USB_CLEAR || s->transfer == NULL || s->in_flight)
            continue;
        libusb_fill_control_setup(s->bytes, LIBUSB_REQUEST_TYPE_STANDARD | LIBUSB_RECIPIENT_ENDPOINT, LIBUSB_REQUEST_CLEAR_FEATURE,
                                  0 /* ENDPOINT_HALT */, endpoint, 0);
        s->transfer->length = LIBUSB_CONTROL_SETUP_SIZE;
        if (submit(s) < 0)
            usb_link_gone(l);
        return;
    }
}

static void completed_clear(struct usb_link *l, struct usb_transfer *s)
{
    uint8_t endpoint = (uint8_t)libusb_control_transfer_get_setup(s->transfer)->wIndex;

    if (s->transfer->status != LIBUSB_TRANSFER_COMPLETED || libusb_clear_halt(l->handle, endpoint) != 0) {
        usb_link_gone(l); /* the pen does not even clear a halt: close it and scan again */
        return;
    }
    for (size_t i = 0; i < USB_TRANSFER_COUNT; i++) { /* the IN transfers that the stall completed */
        struct usb_transfer *in = &l->transfers[i];

        if ((in->kind == USB_BULK_IN || in->kind == USB_INTERRUPT_IN) && in->transfer != NULL && !in->in_flight &&
            in->transfer->endpoint == endpoint && submit(in) < 0) {
            usb_link_gone(l);
            return;
        }
    }
    l->link.handler->on_trouble(l->link.ctx, "the pen stalled a pipe; the session begins anew", false);
}

/* ---- what came back ---- */

/* An IN transfer has completed: its bytes are used whatever its status, and it is submitted again. */
static void completed_in(struct usb_link *l, struct usb_transfer *s)
{
    const struct libusb_transfer *t = s->transfer;
    enum link_in from = s->kind == USB_BULK_IN ? LINK_BULK_IN : LINK_INTERRUPT_IN;

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
            return; /* completed_clear() submits it again */
        if (s->same_stall)
            break;
        clear_begin(l, t->endpoint);
        return;
    case LIBUSB_TRANSFER_OVERFLOW:
        l->link.handler->on_trouble(l->link.ctx, "the pen sent more than a transfer holds; the session begins anew", false);
        break;
    case LIBUSB_TRANSFER_NO_DEVICE:
    case LIBUSB_TRANSFER_CANCELLED:
    case LIBUSB_TRANSFER_ERROR: /* usually a pulled cable; if not, the next submit succeeds */
    default:
        l->errors++;
        break;
    }
    if (t->status == LIBUSB_TRANSFER_COMPLETED)
        l->errors = 0;
    if (t->status == LIBUSB_TRANSFER_NO_DEVICE || l->errors > ERRORS_MAX || submit(s) < 0)
        usb_link_gone(l);
}

static void completed_out(struct usb_link *l, struct usb_transfer *s)
{
    const struct libusb_transfer *t = s->transfer;

    if (l->state != USB_OPEN || l->gone)
        return;
    if (t->status == LIBUSB_TRANSFER_STALL && (s->same_stall || is_clearing(l, t->endpoint)))
        return; /* the session is re-established after the clear */
    if (t->status == LIBUSB_TRANSFER_STALL)
        clear_begin(l, t->endpoint);
    else if (t->status == LIBUSB_TRANSFER_NO_DEVICE)
        usb_link_gone(l);
    else if (t->status != LIBUSB_TRANSFER_COMPLETED || t->actual_length != t->length)
        l->link.handler->on_trouble(l->link.ctx, "the pen did not take a whole transfer; the session begins anew", false);
    else if (l->out_rejected) {
        l->out_rejected = false;
        l->link.handler->on_sendable(l->link.ctx);
    }
}

static void completed_control(struct usb_link *l, struct usb_transfer *s)
{
    enum mn_control request = (enum mn_control)libusb_control_transfer_get_setup(s->transfer)->bRequest;

    if (l->state != USB_OPEN || l->gone)
        return;
    if (s->transfer->status == LIBUSB_TRANSFER_NO_DEVICE)
        usb_link_gone(l);
    else
        l->link.handler->on_control(l->link.ctx, request, s->transfer->status == LIBUSB_TRANSFER_COMPLETED ? 0 : -EIO);
}

static void completed(struct usb_transfer *s)
{
    struct usb_link *l = s->link;

    s->in_flight = false;
    l->in_flight--;
    if (l->state == USB_OPEN) {
        if (s->kind == USB_OUT)
            completed_out(l, s);
        else if (s->kind == USB_CONTROL)
            completed_control(l, s);
        else if (s->kind == USB_CLEAR && !l->gone)
            completed_clear(l, s);
        else if (s->kind != USB_CLEAR)
            completed_in(l, s);
    }
    if (l->state == USB_DRAINING && l->in_flight == 0)
        usb_link_drained(l);
}

static struct usb_transfer *take(struct usb_completed *list)
{
    struct usb_transfer *s = list->first;

    if (s != NULL && (list->first = s->next_completed) == NULL)
        list->last = &list->first;
    return s;
}

void usb_transfers_handle_completed(struct usb_bus *b)
{
    struct usb_transfer *s;

    while ((s = take(&b->urgent)) != NULL || (s = take(&b->bulk)) != NULL)
        completed(s);
}

/* ---- operations ---- */

int usb_transfers_send(struct link *link, const uint8_t *bytes, size_t n)
{
    struct usb_link *l = (struct usb_link *)link;

    if (l->state != USB_OPEN || l->gone)
        return -ENODEV;
    if (n > MN_FRAME_MAX)
        return -EMSGSIZE;
    for (size_t i = 0; i < USB_TRANSFER_COUNT; i++) {
        struct usb_transfer *s = &l->transfers[i];

        if (s->kind != USB_OUT || s->in_flight || s->transfer == NULL)
            continue;
        if (is_clearing(l, s->transfer->endpoint))
            break; /* the pipe is stalled: the session is re-established afterwards */
        memcpy(s->bytes, bytes, n);
        s->transfer->length = (int)n;
        return submit(s);
    }
    l->out_rejected = true;
    return -EAGAIN;
}

int usb_transfers_control(struct link *link, enum mn_control request)
{
    struct usb_link *l = (struct usb_link *)link;

    if (l->state != USB_OPEN || l->gone)
        return -ENODEV;
    for (size_t i = 0; i < USB_TRANSFER_COUNT; i++) {
        struct usb_transfer *s = &l->transfers[i];

        if (s->kind != USB_CONTROL || s->transfer == NULL)
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
