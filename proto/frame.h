/*
 * The frame: how one protobuf message travels between a pen and its host, and the 32-byte status of the interrupt
 * endpoint. Both ends use this file, and it knows nobody: no operating system, no heap, no protobuf. PROTOCOL.md has the
 * same byte by byte, for those who write their own.
 *
 *      0      2       3       4        6          8             10     12        16           16+length
 *      +------+-------+-------+--------+----------+-------------+------+---------+-- ... ----+---------+- - -+
 *      | "MN" | major | flags | length | sequence | correlation | type | session |  payload  | CRC-32C | pad |
 *      +------+-------+-------+--------+----------+-------------+------+---------+-- ... ----+---------+- - -+
 *
 * Little-endian. The CRC covers header and payload. A frame whose length would be a multiple of 64 (and so perhaps of the
 * endpoint's packet size) has the flag PADDED and one byte more: then no transfer ever depends on a zero-length packet.
 *
 * The reader takes bytes as they come: several frames in one transfer, or one over several. After damage it looks for
 * the next frame from the second byte of the bad one, so that one broken frame never costs its neighbour.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MN_PROTOCOL_MAJOR 1
#define MN_PROTOCOL_MINOR 4

#define MN_FRAME_MAGIC 0x4e4du /* 'M' 'N' on the wire */
#define MN_FRAME_HEADER 16u
#define MN_FRAME_CRC 4u
#define MN_FRAME_MAX 1024u
#define MN_FRAME_PAD_MODULUS 64u
#define MN_FRAME_PAYLOAD_MAX (MN_FRAME_MAX - MN_FRAME_HEADER - MN_FRAME_CRC - 1u)
#define MN_FRAME_FLAG_PADDED 0x01u

#define MN_TYPE_REPLY 0x8000u
#define MN_TYPE_ERROR 0xc000u
#define MN_TYPE_MASK 0x3fffu

/* Requests of one host that a pen keeps in flight, and replies that it remembers for repeated requests. */
#define MN_WINDOW 4
#define MN_REPLIES_KEPT 8

/* The pen on the bus: pid.codes' VID:PID for private testing; a product has its own (CMake: MN_USB_VID, MN_USB_PID). */
#ifndef MN_USB_VID
#define MN_USB_VID 0x1209
#define MN_USB_PID 0x0001
#endif

/* EP0 vendor requests (bmRequestType 0x40, no data): they work whatever the bulk pipes do. */
enum mn_control { MN_CONTROL_SESSION_RESET = 1, MN_CONTROL_STOP = 2 };

/* Time limits that both ends must agree on; sources in PROTOCOL.md, section 2. */
#define MN_HEARTBEAT_PERIOD_MS 50
#define MN_HEARTBEAT_LIMIT_MS 250
#define MN_STATUS_PERIOD_MS 1000

/* What a batch of telemetry spans at the most, unless PACE asks for less. */
#define MN_BATCH_MS 50
#define MN_BATCH_MIN_MS 5

struct mn_frame {
    uint8_t major;
    uint8_t flags;
    uint16_t length; /* of the payload, bytes */
    uint16_t sequence;
    uint16_t correlation;
    uint16_t type;
    uint32_t session;
    const uint8_t *payload;
};

enum mn_frame_event {
    MN_FRAME_NONE, /* all bytes taken; no whole frame yet */
    MN_FRAME_OK,
    MN_FRAME_BAD, /* something that is no frame was passed over: count it and call again */
};

struct mn_frame_reader {
    uint8_t buf[MN_FRAME_MAX];
    uint16_t fill;
    uint16_t taken;
    uint32_t skipped; /* bytes that belonged to no frame */
};

/* The interrupt endpoint's message: the whole state of the pen, at each change and once a second. */
#define MN_PEN_STATUS_SIZE 32u
#define MN_PEN_STATUS_LAYOUT 1

struct mn_pen_status {
    uint8_t state;     /* State of pen.proto */
    bool trigger;      /* pressed */
    uint8_t cartridge; /* CartridgeState of pen.proto */
    uint32_t fault_word;
    uint32_t boot_id;
    uint32_t count; /* of status messages since boot: a hole shows */
    uint32_t records_newest;
    uint32_t config_generation;
    uint32_t telemetry_dropped; /* samples since boot */
};

uint32_t mn_crc32c(const void *bytes, size_t n);

void mn_put_u16(uint8_t *p, uint16_t v);
void mn_put_u32(uint8_t *p, uint32_t v);
uint16_t mn_get_u16(const uint8_t *p);
uint32_t mn_get_u32(const uint8_t *p);

/* Writes the frame to out and returns its bytes on the wire, at most MN_FRAME_MAX; 0 if payload or cap do not fit. The
 * payload may stand in its place in out already. PADDED is the function's own affair, whatever f->flags says. */
size_t mn_frame_write(uint8_t *out, size_t cap, const struct mn_frame *f);

/* A zeroed reader is ready; reset forgets a half-read frame, not the count of skipped bytes. */
void mn_frame_reader_reset(struct mn_frame_reader *r);

/*
 * Takes bytes from *bytes, *n and says what came of them; call it until it says NONE. On OK, f->payload points into the
 * caller's bytes or into the reader and is good until the next call. Never reads beyond *n, never holds more than one frame.
 */
enum mn_frame_event mn_frame_next(struct mn_frame_reader *r, const uint8_t **bytes, size_t *n, struct mn_frame *f);

void mn_pen_status_write(uint8_t out[MN_PEN_STATUS_SIZE], const struct mn_pen_status *s);

/* False, and *s untouched, unless the bytes are a whole status with a right CRC. */
bool mn_pen_status_read(const uint8_t *in, size_t n, struct mn_pen_status *s);
