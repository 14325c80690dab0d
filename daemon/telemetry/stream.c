#include "stream.h"

#include <errno.h>
#include <stdlib.h>

#include "frame.h"

enum {
    TAPE_BYTES = 1024 * 1024, /* more than 2 s of 32 pens at 1 kHz */
    TAPE_MESSAGES = 8192,
    DECIMATIONS = 10,
};

static const uint32_t decimations[DECIMATIONS] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000};

struct streams {
    struct stream {
        struct ring ring;
        unsigned readers;
    } of[DECIMATIONS];
};

int streams_new(struct streams **out)
{
    *out = calloc(1, sizeof(**out));
    return *out != NULL ? 0 : -ENOMEM;
}

void streams_free(struct streams *s)
{
    for (int i = 0; s != NULL && i < DECIMATIONS; i++)
        ring_deinit(&s->of[i].ring);
    free(s);
}

static int index_of(uint32_t decimation)
{
    int i = 0;

    while (i < DECIMATIONS && decimations[i] != decimation)
        i++;
    return i;
}

bool stream_is_decimation(uint32_t decimation)
{
    return index_of(decimation) < DECIMATIONS;
}

const char *stream_decimations(void)
{
    return "1, 2, 5, 10, 20, 50, 100, 200, 500 or 1000";
}

const struct ring *streams_ref(struct streams *s, uint32_t decimation)
{
    struct stream *stream = &s->of[index_of(decimation)];

    if (stream->readers == 0 && ring_init(&stream->ring, TAPE_BYTES, TAPE_MESSAGES) < 0)
        return NULL;
    stream->readers++;
    return &stream->ring;
}

void streams_unref(struct streams *s, const struct ring *t)
{
    struct stream *stream = s->of;

    if (t == NULL)
        return;
    while (&stream->ring != t)
        stream++;
    if (--stream->readers == 0)
        ring_deinit(&stream->ring);
}

size_t stream_put(struct ring *t, const Mnc__ServerMessage *m, uint32_t tag, uint64_t now_us)
{
    size_t n = mnc__server_message__get_packed_size(m);
    uint8_t *room = ring_reserve(t, 4 + n);

    if (room == NULL)
        return 0;
    mn_put_u32(room, (uint32_t)n);
    mnc__server_message__pack(m, room + 4);
    ring_commit(t, 4 + n, tag, now_us);
    return 4 + n;
}

bool streams_write(struct streams *s, uint32_t pen_id, const char *serial, const uint8_t *batch, size_t n, uint64_t now_us)
{
    Mnc__Telemetry t = MNC__TELEMETRY__INIT;
    Mnc__ServerMessage m = MNC__SERVER_MESSAGE__INIT;
    uint8_t fewer[BATCH_DECIMATED_MAX];
    bool read = false;

    t.has_pen_id = t.has_batch = true;
    t.pen_id = pen_id;
    t.serial = (char *)(uintptr_t)serial;
    m.body_case = MNC__SERVER_MESSAGE__BODY_TELEMETRY;
    m.telemetry = &t;
    for (int i = 0; i < DECIMATIONS; i++) {
        if (s->of[i].readers == 0)
            continue;
        read = true;
        t.has_decimation = i > 0;
        t.decimation = decimations[i];
        t.batch = (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)batch};
        if (i > 0)
            t.batch = (ProtobufCBinaryData){.len = batch_decimate(batch, n, decimations[i], fewer, sizeof(fewer)), .data = fewer};
        if (t.batch.len > 0)
            stream_put(&s->of[i].ring, &m, pen_id, now_us);
    }
    return read;
}
