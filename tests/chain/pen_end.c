#include "pen_end.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "port.h"
#include "simlink.h"

struct pen_end {
    struct port port;
    int pen;  /* between the port and wire; -1: not yet */
    int wire; /* the simulated link */
    char sim_path[108];
    const uint8_t *made_up, *flips;
    size_t made_up_n, flips_n;
    bool lose_status;
    uint64_t now_ms;
};

static void flip(struct pen_end *e, uint8_t *bytes, size_t n)
{
    for (; n > 0 && e->flips_n >= 3; e->flips += 3, e->flips_n -= 3)
        bytes[(e->flips[0] | (size_t)e->flips[1] << 8) % n] ^= e->flips[2];
    e->flips_n = 0;
}

/* A packet of the pen as the script wants it; a frame stays a right one. Its new length. */
static size_t change(struct pen_end *e, uint8_t *packet, size_t n)
{
    uint8_t payload[MN_FRAME_PAYLOAD_MAX];
    struct mn_frame_reader r = {0};
    const uint8_t *at = packet + 1;
    size_t rest = n - 1;
    struct mn_frame f;

    if (e->flips_n > 0 && packet[0] == SIMLINK_INTERRUPT_IN)
        flip(e, packet + 1, n - 1);
    if ((e->flips_n == 0 && e->made_up_n < 2) || packet[0] != SIMLINK_BULK_IN || mn_frame_next(&r, &at, &rest, &f) != MN_FRAME_OK)
        return n;
    if (e->made_up_n >= 2) {
        uint16_t type = (uint16_t)(e->made_up[0] | e->made_up[1] << 8);

        f.type = type != 0 ? type : f.type;
        f.payload = e->made_up + 2;
        f.length = (uint16_t)(e->made_up_n - 2 > MN_FRAME_PAYLOAD_MAX ? MN_FRAME_PAYLOAD_MAX : e->made_up_n - 2);
        e->made_up_n = 0;
    }
    memcpy(payload, f.payload, f.length);
    flip(e, payload, f.length);
    f.payload = payload;
    return 1 + mn_frame_write(packet + 1, MN_FRAME_MAX, &f);
}

void pen_end_drop(struct pen_end *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int ends[2];

    if (e->pen >= 0) {
        port_detach(&e->port);
        close(e->pen);
        close(e->wire);
    }
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", e->sim_path);
    e->wire = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (e->wire < 0 || connect(e->wire, (struct sockaddr *)&a, sizeof(a)) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        abort();
    e->pen = ends[0];
    port_attach(&e->port, ends[1], ends[1], ends[1]);
}

bool pen_end_pass_on(struct pen_end *e)
{
    uint8_t packet[SIMLINK_PACKET_MAX + 64];
    bool any = !port_readable(&e->port);
    ssize_t n;

    if (any)
        pen_end_drop(e);
    while ((n = recv(e->pen, packet, SIMLINK_PACKET_MAX, MSG_DONTWAIT)) > 1) {
        if (packet[0] == SIMLINK_INTERRUPT_IN && e->lose_status) {
            e->lose_status = false;
            continue;
        }
        any |= send(e->wire, packet, change(e, packet, (size_t)n), MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
    }
    while ((n = recv(e->wire, packet, SIMLINK_PACKET_MAX, MSG_DONTWAIT)) > 0)
        any |= send(e->pen, packet, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
    if (n == 0)
        pen_end_drop(e);
    return any;
}

struct pen_end *pen_end_new(const char *serial, const char *sim_path)
{
    static const struct impair_config good_cable;
    struct pen_end *e = calloc(1, sizeof(*e));

    if (e == NULL || port_init(&e->port, serial, 7, NULL, &good_cable) < 0)
        abort();
    e->pen = e->wire = -1;
    snprintf(e->sim_path, sizeof(e->sim_path), "%s", sim_path);
    return e;
}

void pen_end_free(struct pen_end *e)
{
    port_deinit(&e->port);
    if (e->pen >= 0) {
        close(e->pen);
        close(e->wire);
    }
    free(e);
}

void pen_end_advance(struct pen_end *e, uint32_t ms)
{
    e->now_ms += ms;
    port_advance(&e->port, e->now_ms);
}

void pen_end_say(struct pen_end *e, const uint8_t *text, size_t n)
{
    char line[256], answer[1024];

    snprintf(line, sizeof(line), "%.*s", (int)(n < sizeof(line) ? n : sizeof(line) - 1), (const char *)text);
    port_command(&e->port, line, answer, sizeof(answer));
}

void pen_end_make_up(struct pen_end *e, const uint8_t *type_and_payload, size_t n)
{
    e->made_up = type_and_payload;
    e->made_up_n = n;
}

void pen_end_flip(struct pen_end *e, const uint8_t *places, size_t n)
{
    e->flips = places;
    e->flips_n = n;
}

void pen_end_lose_status(struct pen_end *e)
{
    e->lose_status = true;
}

void pen_end_send(struct pen_end *e, const uint8_t *packet, size_t n)
{
    if (n <= SIMLINK_PACKET_MAX)
        send(e->wire, packet, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool pen_end_may_move(const struct pen_end *e)
{
    return e->port.vpen.pen.state == mnp_State_STATE_ARMED || e->port.vpen.pen.state == mnp_State_STATE_RUNNING;
}

uint32_t pen_end_newest_record(const struct pen_end *e)
{
    return e->port.vpen.pen.records.newest;
}

uint32_t pen_end_generation(const struct pen_end *e)
{
    return e->port.vpen.pen.settings.generation;
}

bool pen_end_is_driven(const struct pen_end *e)
{
    return e->port.vpen.pen.state == mnp_State_STATE_RUNNING;
}

void pen_end_arm(struct pen_end *e)
{
    struct pen *p = &e->port.vpen.pen;
    struct pen_arming arming = {.generation = p->settings.generation, .zone = 8, .treatment = 1, .cartridge_uid = p->cartridge.tag.uid};
    uint16_t code;

    pen_arm(p, &arming, &code);
}
