/* Reading and writing of messages, each preceded by its length. */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    MESSAGE_MAX = 1 << 20, /* of the daemon; a list of 256 pens is some 100 KiB */
    IN_BYTES_FIRST = 16 * 1024,
    OUT_BYTES_MAX = 1 << 20,
};

int out_flush(mn_client *c)
{
    while (c->out_length > 0) {
        ssize_t n = send(c->fd, c->out, c->out_length, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? MN_OK : MN_ERR_DISCONNECTED;
        memmove(c->out, c->out + n, c->out_length - (size_t)n);
        c->out_length -= (size_t)n;
    }
    return MN_OK;
}

int out_append(mn_client *c, const Mnc__ClientMessage *m)
{
    size_t n = mnc__client_message__get_packed_size(m), need = c->out_length + 4 + n;

    if (need > OUT_BYTES_MAX)
        return client_fail(c, MN_ERR_BUSY, "too much waits to be sent to the daemon");
    if (c->out == NULL || need > c->out_cap) {
        uint8_t *bigger = realloc(c->out, need * 2);

        if (bigger == NULL)
            return client_fail(c, MN_ERR_MEMORY, "out of memory");
        c->out = bigger;
        c->out_cap = need * 2;
    }
    c->out[c->out_length] = (uint8_t)n;
    c->out[c->out_length + 1] = (uint8_t)(n >> 8);
    c->out[c->out_length + 2] = (uint8_t)(n >> 16);
    c->out[c->out_length + 3] = (uint8_t)(n >> 24);
    mnc__client_message__pack(m, c->out + c->out_length + 4);
    c->out_length = need;
    return MN_OK;
}

/* Makes room for a message of this length and its prefix. */
static bool in_reserve(mn_client *c, size_t length)
{
    uint8_t *bigger;

    if (length + 4 <= c->in_cap)
        return true;
    bigger = realloc(c->in, length + 4);
    if (bigger == NULL)
        return false;
    c->in = bigger;
    c->in_cap = length + 4;
    return true;
}

static int in_parse(mn_client *c)
{
    size_t at = 0;
    int r = MN_OK;

    while (r == MN_OK && c->in_fill - at >= 4) {
        const uint8_t *p = c->in + at;
        size_t length = p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;

        if (length > MESSAGE_MAX)
            return MN_ERR_PROTOCOL;
        if (c->in_fill - at - 4 < length) {
            if (!in_reserve(c, length))
                return MN_ERR_MEMORY;
            break;
        }
        r = client_on_message(c, p + 4, length);
        at += 4 + length;
    }
    memmove(c->in, c->in + at, c->in_fill - at);
    c->in_fill -= at;
    return r;
}

/* Reads once, so that a fast daemon cannot keep the caller here. */
int in_read(mn_client *c)
{
    ssize_t n;

    if (!in_reserve(c, IN_BYTES_FIRST - 4))
        return MN_ERR_MEMORY;
    n = recv(c->fd, c->in + c->in_fill, c->in_cap - c->in_fill, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? MN_OK : MN_ERR_DISCONNECTED;
    if (n == 0)
        return MN_ERR_DISCONNECTED;
    c->in_fill += (size_t)n;
    return in_parse(c);
}
