#include "link.h"

#include "pen.pb.h"

void link_reset(struct link *l)
{
    mn_frame_reader_reset(&l->reader);
    l->session = 0;
    l->progress_correlation = 0;
    for (size_t i = 0; i < MN_REPLIES_KEPT; i++)
        l->replies[i].state = REPLY_NONE;
}

void link_open(struct link *l, uint32_t session)
{
    l->session = session;
    l->sequence_out = 0;
}

void link_note_bad(struct link *l, uint64_t now_ms)
{
    l->bad_until_ms[0] = l->bad_until_ms[1];
    l->bad_until_ms[1] = l->bad_until_ms[2];
    l->bad_until_ms[2] = now_ms + 1000;
}

uint8_t link_bad_recent(const struct link *l, uint64_t now_ms)
{
    return (uint8_t)((l->bad_until_ms[0] > now_ms) + (l->bad_until_ms[1] > now_ms) + (l->bad_until_ms[2] > now_ms));
}

struct link_reply *link_repeat(struct link *l, uint16_t correlation, uint64_t now_ms)
{
    for (size_t i = 0; i < MN_REPLIES_KEPT; i++) {
        struct link_reply *r = &l->replies[i];

        if (r->state != REPLY_NONE && r->correlation == correlation) {
            if (r->state == REPLY_SENT) {
                r->state = REPLY_READY;
                r->since_ms = now_ms;
            }
            return r;
        }
    }
    return NULL;
}

struct link_reply *link_claim(struct link *l, uint16_t correlation, uint64_t now_ms)
{
    for (size_t i = 0; i < MN_REPLIES_KEPT; i++) {
        struct link_reply *r = &l->replies[l->next_reply];

        l->next_reply = (uint8_t)((l->next_reply + 1) % MN_REPLIES_KEPT);
        if (r->state == REPLY_NONE || r->state == REPLY_SENT) {
            r->state = REPLY_WORKING;
            r->correlation = correlation;
            r->length = 0;
            r->since_ms = now_ms;
            return r;
        }
    }
    return NULL;
}

bool link_send(struct link *l, const struct pen_port *port, uint16_t type, uint16_t correlation, const uint8_t *payload,
               uint16_t length)
{
    uint8_t bytes[MN_FRAME_MAX];
    struct mn_frame f = {
        .major = MN_PROTOCOL_MAJOR,
        .length = length,
        .sequence = l->sequence_out,
        .correlation = correlation,
        .type = type,
        .session = l->session,
        .payload = payload,
    };
    size_t n = mn_frame_write(bytes, sizeof(bytes), &f);

    if (n == 0 || !port->send(port->ctx, PEN_BULK_IN, bytes, n))
        return false;
    l->sequence_out++;
    return true;
}

static void count_reply(struct link *l, uint64_t taken_ms)
{
    l->replies_sent++;
    if (taken_ms > LINK_REPLY_LATE_MS)
        l->replies_late++;
    if (taken_ms > l->reply_max_ms)
        l->reply_max_ms = (uint32_t)(taken_ms < UINT32_MAX ? taken_ms : UINT32_MAX);
}

bool link_flush(struct link *l, const struct pen_port *port, uint64_t now_ms)
{
    for (size_t i = 0; i < MN_REPLIES_KEPT; i++) {
        struct link_reply *r = &l->replies[(l->next_reply + i) % MN_REPLIES_KEPT];

        if (r->state != REPLY_READY)
            continue;
        if (!link_send(l, port, r->type, r->correlation, r->payload, r->length))
            return false;
        r->state = REPLY_SENT;
        count_reply(l, now_ms - r->since_ms);
    }
    if (l->progress_correlation != 0) {
        uint8_t payload[4] = {1 << 3, (uint8_t)((l->progress_permille & 0x7f) | 0x80), (uint8_t)(l->progress_permille >> 7)};

        if (!link_send(l, port, mnp_FrameType_TYPE_PROGRESS, l->progress_correlation, payload, 3))
            return false;
        l->progress_correlation = 0;
    }
    return true;
}
