/* The firmware against any bytes from the host: raw ones, and requests with a right frame around any payload. */
#include <string.h>

#include "vpen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool sink(void *ctx, enum pen_endpoint endpoint, const uint8_t *bytes, size_t n)
{
    (void)ctx;
    (void)endpoint;
    (void)bytes;
    (void)n;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vpen v;
    static bool made;
    uint8_t bytes[MN_FRAME_MAX];
    uint16_t sequence = 0;

    if (!made)
        vpen_init(&v, "FUZZ", 1, NULL, sink, NULL);
    made = true;
    vpen_advance(&v, 2);
    pen_control(&v.pen, MN_CONTROL_SESSION_RESET);
    pen_receive(&v.pen, data, size);
    link_open(&v.pen.link, 7);
    while (size >= 3) { /* type, length, payload */
        size_t n = data[1] | (size_t)(data[2] & 3) << 8;
        struct mn_frame f = {.major = 1, .type = data[0] % 40, .correlation = (uint16_t)(sequence + 1), .session = 7, .sequence = sequence};

        data += 3;
        size -= 3;
        if (n > size)
            n = size;
        if (n > MN_FRAME_PAYLOAD_MAX)
            n = MN_FRAME_PAYLOAD_MAX;
        f.length = (uint16_t)n;
        f.payload = data;
        pen_receive(&v.pen, bytes, mn_frame_write(bytes, sizeof(bytes), &f));
        vpen_advance(&v, 1);
        if (v.pen.state == mnp_State_STATE_RUNNING) /* nobody has pressed the trigger */
            __builtin_trap();
        sequence++;
        data += n;
        size -= n;
    }
    return 0;
}
