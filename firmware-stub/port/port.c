#include "port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "simlink.h"

const char port_help[] =
    "  unplug [SECONDS]               pull the cable, and put it back after a while\n"
    "  replug                         put the cable back\n"
    "  link good | NAME=PROBABILITY.. bad cable: drop, duplicate, corrupt, cut, stall, delay=P:MS\n"
    "  halt                           stall the bulk IN pipe, once\n";

static bool packet_send(int fd, uint8_t tag, const void *bytes, size_t n)
{
    struct iovec iov[2] = {{&tag, 1}, {(void *)(uintptr_t)bytes, n}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

    return fd >= 0 && sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static bool deliver_to_host(void *ctx, uint8_t tag, const uint8_t *bytes, size_t n)
{
    struct port *p = ctx;

    return packet_send(tag == SIMLINK_INTERRUPT_IN ? p->interrupt_fd : p->bulk_fd, tag, bytes, n);
}

static bool deliver_to_pen(void *ctx, uint8_t tag, const uint8_t *bytes, size_t n)
{
    struct port *p = ctx;

    (void)tag;
    if (!p->vpen.hung)
        pen_receive(&p->vpen.pen, bytes, n);
    return true;
}

static bool usable(const struct port *p)
{
    return p->fd >= 0 && p->plugged;
}

/* The host must clear the halt. Over USB the kernel's gadget keeps it; here it is a flag. */
static void halt_in(struct port *p)
{
    uint8_t tag = SIMLINK_BULK_IN;
    bool said = packet_send(p->is_ffs ? p->bulk_fd : p->fd, SIMLINK_STALL, &tag, 1);

    p->halted_in = said && !p->is_ffs;
}

static bool pen_transmits(void *ctx, enum pen_endpoint endpoint, const uint8_t *bytes, size_t n)
{
    struct port *p = ctx;
    uint8_t tag = endpoint == PEN_BULK_IN ? SIMLINK_BULK_IN : SIMLINK_INTERRUPT_IN;

    /* A pen that was reset is off the bus until it has been found anew: nothing of its new life comes before that. */
    if (!usable(p) || (p->halted_in && endpoint == PEN_BULK_IN) || p->vpen.pen.boot_id != p->boot_id)
        return false;
    if (endpoint == PEN_BULK_IN && impair_stalls(&p->to_host)) {
        halt_in(p);
        return false;
    }
    return impair_pass(&p->to_host, p->now_ms, tag, bytes, n);
}

static void send_attached(struct port *p, bool attached)
{
    uint8_t message[1 + VPEN_SERIAL_MAX] = {attached};
    const char *serial = p->vpen.pen.factory.serial;
    size_t n = attached ? strlen(serial) : 0;

    if (p->is_ffs)
        return;
    for (size_t i = 0; i < n; i++)
        message[1 + i] = (uint8_t)serial[i];
    packet_send(p->fd, SIMLINK_ATTACH, message, 1 + n);
}

static void set_plugged(struct port *p, bool plugged)
{
    if (p->plugged == plugged)
        return;
    p->plugged = plugged;
    p->halted_in = p->halted_out = false;
    impair_reset(&p->to_host);
    impair_reset(&p->to_pen);
    vpen_plug(&p->vpen, plugged);
    send_attached(p, plugged);
}

int port_init(struct port *p, const char *serial, uint32_t seed, const char *nvm_path, const struct impair_config *cable)
{
    int r;

    memset(p, 0, sizeof(*p));
    p->fd = p->bulk_fd = p->interrupt_fd = -1;
    p->plugged = true;
    p->bad_cable = *cable;
    impair_init(&p->to_host, &p->bad_cable, seed, deliver_to_host, p);
    impair_init(&p->to_pen, &p->bad_cable, seed + 1000003, deliver_to_pen, p);
    r = vpen_init(&p->vpen, serial, seed, nvm_path, pen_transmits, p);
    if (r == 0)
        p->boot_id = p->vpen.pen.boot_id;
    return r;
}

void port_attach(struct port *p, int fd, int bulk_fd, int interrupt_fd)
{
    p->fd = fd;
    p->bulk_fd = bulk_fd;
    p->interrupt_fd = interrupt_fd;
    p->is_ffs = fd != bulk_fd;
    if (p->plugged) {
        vpen_plug(&p->vpen, true);
        send_attached(p, true);
    }
}

void port_detach(struct port *p)
{
    if (p->fd < 0)
        return;
    if (p->is_ffs) {
        close(p->bulk_fd);
        close(p->interrupt_fd);
    }
    close(p->fd);
    p->fd = p->bulk_fd = p->interrupt_fd = -1;
    impair_reset(&p->to_host);
    impair_reset(&p->to_pen);
    vpen_plug(&p->vpen, false);
}

void port_deinit(struct port *p)
{
    port_detach(p);
    vpen_deinit(&p->vpen);
}

static void bulk_out(struct port *p, const uint8_t *bytes, size_t n)
{
    uint8_t tag = SIMLINK_BULK_OUT;

    if (!usable(p) || p->halted_out)
        return;
    if (!p->is_ffs && impair_stalls(&p->to_pen)) {
        p->halted_out = packet_send(p->fd, SIMLINK_STALL, &tag, 1);
        return;
    }
    impair_pass(&p->to_pen, p->now_ms, tag, bytes, n);
}

static void control(struct port *p, uint8_t request)
{
    uint8_t status = request != MN_CONTROL_SESSION_RESET && request != MN_CONTROL_STOP;

    if (!usable(p) || p->vpen.hung)
        return;
    if (status == 0)
        pen_control(&p->vpen.pen, (enum mn_control)request);
    if (!p->is_ffs)
        packet_send(p->fd, SIMLINK_CONTROL, &status, 1);
}

/* Handles one packet. Malformed packets are ignored. */
static void packet(struct port *p, const uint8_t *bytes, size_t n)
{
    char line[256], answer[512];

    switch (bytes[0]) {
    case SIMLINK_BULK_OUT:
        bulk_out(p, bytes + 1, n - 1);
        break;
    case SIMLINK_CONTROL:
        if (n == 2)
            control(p, bytes[1]);
        break;
    case SIMLINK_CLEAR_HALT:
        if (n == 2 && bytes[1] == SIMLINK_BULK_OUT)
            p->halted_out = false;
        else if (n == 2)
            p->halted_in = false;
        break;
    case SIMLINK_ATTACH: /* FunctionFS: the bus says whether the pen is configured */
        if (n >= 2 && p->is_ffs)
            set_plugged(p, bytes[1] != 0);
        break;
    case SIMLINK_PORT:
        snprintf(line, sizeof(line), "%.*s", (int)(n - 1), (const char *)bytes + 1);
        port_command(p, line, answer, sizeof(answer));
        packet_send(p->fd, SIMLINK_PORT, answer, strlen(answer));
        break;
    default:
        break;
    }
}

bool port_readable(struct port *p)
{
    uint8_t bytes[SIMLINK_PACKET_MAX + 1];

    for (int i = 0; i < 16; i++) { /* bounded, so that other pens are served */
        ssize_t n = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (n == 0)
            return false;
        packet(p, bytes, (size_t)n);
    }
    return true;
}

void port_advance(struct port *p, uint64_t now_ms)
{
    uint64_t ms = now_ms > p->now_ms ? now_ms - p->now_ms : 0;

    p->now_ms = now_ms;
    impair_flush(&p->to_pen, now_ms);
    impair_flush(&p->to_host, now_ms);
    vpen_advance(&p->vpen, (uint32_t)ms);
    if (!p->vpen.hung)
        pen_send(&p->vpen.pen);
    if (p->vpen.pen.boot_id != p->boot_id) { /* a reset pen enumerates anew */
        p->boot_id = p->vpen.pen.boot_id;
        if (p->plugged && !p->is_ffs) {
            send_attached(p, false);
            send_attached(p, true);
        }
    }
    if (p->replug_at_ms != 0 && now_ms >= p->replug_at_ms) {
        p->replug_at_ms = 0;
        set_plugged(p, true);
    }
}

void port_command(struct port *p, const char *line, char *answer, size_t cap)
{
    if (strncmp(line, "unplug", 6) == 0 && !p->is_ffs) {
        double seconds = strtod(line + 6, NULL);

        p->replug_at_ms = seconds > 0 ? p->now_ms + (uint64_t)(seconds * 1000) : 0;
        set_plugged(p, false);
        snprintf(answer, cap, "ok: unplugged");
    } else if (strncmp(line, "replug", 6) == 0 && !p->is_ffs) {
        p->replug_at_ms = 0;
        set_plugged(p, true);
        snprintf(answer, cap, "ok: plugged in");
    } else if (strncmp(line, "halt", 4) == 0) {
        halt_in(p);
        snprintf(answer, cap, "ok: bulk IN is halted");
    } else if (strncmp(line, "link ", 5) == 0) {
        const char *wrong = impair_parse(&p->bad_cable, line + 5);

        snprintf(answer, cap, "%s%s", wrong ? "error: link " : "ok: the cable is as asked", wrong ? wrong : "");
    } else {
        vpen_command(&p->vpen, line, answer, cap);
    }
}
