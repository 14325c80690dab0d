/*
 * Traffic, for people and programs that monitor: any message of the protocol as JSON, by protobuf-c's own description
 * of it, so that nothing here has to be changed when a message is.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "frame.h"

enum content { CONTENT_EMPTY, CONTENT_BYTES, CONTENT_NEVER, CONTENT_MESSAGE };

struct carried {
    enum content content;
    const ProtobufCMessageDescriptor *message;
};

static const struct frame_kind {
    uint16_t type;
    const char *name;
    struct carried request, reply;
} frame_kinds[] = {
#define MESSAGE(name) {CONTENT_MESSAGE, &mnp__##name##__descriptor}
#define EMPTY {CONTENT_EMPTY, NULL}
#define BYTES {CONTENT_BYTES, NULL}
#define NEVER {CONTENT_NEVER, NULL}
#define FRAME(number, name, request, reply) {number, #name, request, reply},
#include "types.def"
#undef FRAME
#undef NEVER
#undef BYTES
#undef EMPTY
#undef MESSAGE
};

#define FRAME(number, name, request, reply) _Static_assert(MNP__FRAME_TYPE__TYPE_##name == (number), "types.def and pen.proto differ");
#include "types.def"
#undef FRAME

static const struct mn_request requests[] = {
#define GREETING_NEEDED true
#define GREETING_NONE false
#define REQUEST(NAME, name, role, greeting, journal, text) {#name, MN_ROLE_##role, GREETING_##greeting, text},
#include "requests.def"
#undef REQUEST
};

size_t mn_request_count(void)
{
    return sizeof(requests) / sizeof(requests[0]);
}

const struct mn_request *mn_request_at(size_t i)
{
    return i < mn_request_count() ? &requests[i] : NULL;
}

static const char *const kind_names[] = {"UNKNOWN", "CONTROL", "BULK_OUT", "BULK_IN", "INTERRUPT_IN", "TO_DAEMON", "TO_PROGRAM"};

const char *mn_traffic_kind_name(enum mn_traffic_kind kind)
{
    return (size_t)kind < sizeof(kind_names) / sizeof(kind_names[0]) ? kind_names[kind] : kind_names[0];
}

/* ---- values ---- */

/* Everything but printable ASCII is escaped, byte for byte: what a pen or a program says need not be UTF-8. */
static void put_text(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < ' ' || *c > '~')
            fprintf(out, "\\u%04x", *c);
        else
            putc(*c, out);
    }
    putc('"', out);
}

static void put_bytes(FILE *out, const uint8_t *bytes, size_t n)
{
    putc('"', out);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%02x", bytes[i]);
    putc('"', out);
}

static void put_message(FILE *out, const ProtobufCMessage *m);

static void put_enum(FILE *out, const ProtobufCEnumDescriptor *d, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);

    if (v != NULL)
        put_text(out, v->name);
    else
        fprintf(out, "%d", value);
}

/* Writes one value of the field's type; returns its size in an array. */
static size_t put_value(FILE *out, const ProtobufCFieldDescriptor *f, const void *value)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        fprintf(out, "%" PRId32, *(const int32_t *)value);
        return sizeof(int32_t);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        fprintf(out, "%" PRIu32, *(const uint32_t *)value);
        return sizeof(uint32_t);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        fprintf(out, "%" PRId64, *(const int64_t *)value);
        return sizeof(int64_t);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        fprintf(out, "%" PRIu64, *(const uint64_t *)value);
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_FLOAT:
        fprintf(out, "%.9g", (double)*(const float *)value);
        return sizeof(float);
    case PROTOBUF_C_TYPE_DOUBLE:
        fprintf(out, "%.17g", *(const double *)value);
        return sizeof(double);
    case PROTOBUF_C_TYPE_BOOL:
        fputs(*(const protobuf_c_boolean *)value ? "true" : "false", out);
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM:
        put_enum(out, f->descriptor, *(const int *)value);
        return sizeof(int);
    case PROTOBUF_C_TYPE_STRING:
        put_text(out, *(char *const *)value);
        return sizeof(char *);
    case PROTOBUF_C_TYPE_BYTES:
        put_bytes(out, ((const ProtobufCBinaryData *)value)->data, ((const ProtobufCBinaryData *)value)->len);
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE:
    default:
        put_message(out, *(ProtobufCMessage *const *)value);
        return sizeof(ProtobufCMessage *);
    }
}

static bool is_present(const ProtobufCFieldDescriptor *f, const char *base)
{
    const void *quantifier = base + f->quantifier_offset, *member = base + f->offset;

    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)quantifier > 0;
    if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)quantifier == f->id;
    if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE)
        return *(const void *const *)member != NULL && *(const void *const *)member != f->default_value;
    return f->label == PROTOBUF_C_LABEL_REQUIRED || *(const protobuf_c_boolean *)quantifier;
}

static void put_message(FILE *out, const ProtobufCMessage *m)
{
    const char *base = (const char *)m, *comma = "";

    putc('{', out);
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];

        if (!is_present(f, base))
            continue;
        fprintf(out, "%s\"%s\":", comma, f->name);
        comma = ",";
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t n = *(const size_t *)(const void *)(base + f->quantifier_offset);
            const char *value = *(const char *const *)(const void *)(base + f->offset);

            putc('[', out);
            for (size_t j = 0; j < n; j++) {
                fputs(j > 0 ? "," : "", out);
                value += put_value(out, f, value);
            }
            putc(']', out);
        } else {
            put_value(out, f, base + f->offset);
        }
    }
    if (m->n_unknown_fields > 0)
        fprintf(out, "%s\"unknown_fields\":%u", comma, m->n_unknown_fields);
    putc('}', out);
}

static void put_decoded(FILE *out, const ProtobufCMessageDescriptor *d, const uint8_t *bytes, size_t n)
{
    ProtobufCMessage *m = protobuf_c_message_unpack(d, NULL, n, bytes);

    if (m != NULL) {
        fputs("\"message\":", out);
        put_message(out, m);
        protobuf_c_message_free_unpacked(m, NULL);
    } else {
        fprintf(out, "\"wrong\":\"it is no %s\",\"bytes\":", d->name);
        put_bytes(out, bytes, n);
    }
}

/* ---- transfers ---- */

static void put_frame(FILE *out, const struct mn_frame *f)
{
    struct carried carried = {CONTENT_BYTES, NULL};
    const char *name = NULL;

    for (size_t i = 0; i < sizeof(frame_kinds) / sizeof(frame_kinds[0]); i++) {
        if (frame_kinds[i].type == (f->type & MN_TYPE_MASK)) {
            name = frame_kinds[i].name;
            carried = f->type & MN_TYPE_REPLY ? frame_kinds[i].reply : frame_kinds[i].request;
        }
    }
    if ((f->type & MN_TYPE_ERROR) == MN_TYPE_ERROR)
        carried = (struct carried){CONTENT_MESSAGE, &mnp__error__descriptor};
    fprintf(out, "{\"type\":");
    if (name != NULL)
        put_text(out, name);
    else
        fprintf(out, "%u", f->type & MN_TYPE_MASK);
    fprintf(out, ",\"is\":\"%s\",\"major\":%u,\"sequence\":%u,\"correlation\":%u,\"session\":%" PRIu32 ",",
            (f->type & MN_TYPE_ERROR) == MN_TYPE_ERROR ? "error" : f->type & MN_TYPE_REPLY ? "reply" : "request", f->major, f->sequence,
            f->correlation, f->session);
    if (carried.content == CONTENT_MESSAGE) {
        put_decoded(out, carried.message, f->payload, f->length);
    } else {
        fprintf(out, "\"bytes\":");
        put_bytes(out, f->payload, f->length);
    }
    putc('}', out);
}

/* Writes the frames of a single transfer; what is no whole frame is written as bytes. */
static void put_frames(FILE *out, const uint8_t *bytes, size_t n)
{
    struct mn_frame_reader reader = {0};
    const uint8_t *all = bytes;
    size_t length = n;
    const char *comma = "";
    enum mn_frame_event e;
    struct mn_frame f;
    bool bad = false;

    fputs("\"frames\":[", out);
    while ((e = mn_frame_next(&reader, &bytes, &n, &f)) != MN_FRAME_NONE) {
        bad |= e == MN_FRAME_BAD;
        if (e != MN_FRAME_OK)
            continue;
        fputs(comma, out);
        put_frame(out, &f);
        comma = ",";
    }
    putc(']', out);
    if (bad || reader.fill > 0) {
        fprintf(out, ",\"wrong\":\"%s\",\"bytes\":", bad ? "bytes that are no frame" : "a frame that does not end here");
        put_bytes(out, all, length);
    }
}

static void put_status(FILE *out, const uint8_t *bytes, size_t n)
{
    struct mn_pen_status s;

    if (!mn_pen_status_read(bytes, n, &s)) {
        fputs("\"wrong\":\"it is no status\",\"bytes\":", out);
        put_bytes(out, bytes, n);
        return;
    }
    fputs("\"status\":{\"state\":", out);
    put_enum(out, &mnp__state__descriptor, s.state);
    fprintf(out, ",\"trigger\":%s,\"cartridge\":", s.trigger ? "true" : "false");
    put_enum(out, &mnp__cartridge_state__descriptor, s.cartridge);
    fprintf(out,
            ",\"fault_word\":%" PRIu32 ",\"boot_id\":%" PRIu32 ",\"count\":%" PRIu32 ",\"records_newest\":%" PRIu32
            ",\"config_generation\":%" PRIu32 ",\"telemetry_dropped\":%" PRIu32 "}",
            s.fault_word, s.boot_id, s.count, s.records_newest, s.config_generation, s.telemetry_dropped);
}

static void put_control(FILE *out, const uint8_t *bytes, size_t n)
{
    uint8_t request = n == 1 ? bytes[0] : 0;

    fprintf(out, "\"request\":\"%s\"", request == MN_CONTROL_SESSION_RESET ? "SESSION_RESET" : request == MN_CONTROL_STOP ? "STOP" : "UNKNOWN");
}

char *mn_traffic_json(const struct mn_traffic *t)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    bool whole;

    if (out == NULL)
        return NULL;
    fprintf(out, "{\"time_us\":%" PRIu64 ",\"kind\":\"%s\",\"name\":", t->time_us, mn_traffic_kind_name(t->kind));
    put_text(out, t->name);
    if (t->pid != 0)
        fprintf(out, ",\"pid\":%" PRIu32, t->pid);
    if (t->missed != 0)
        fprintf(out, ",\"missed\":%" PRIu64, t->missed);
    putc(',', out);
    switch (t->kind) {
    case MN_TRAFFIC_CONTROL:
        put_control(out, t->bytes, t->count);
        break;
    case MN_TRAFFIC_BULK_OUT:
    case MN_TRAFFIC_BULK_IN:
        put_frames(out, t->bytes, t->count);
        break;
    case MN_TRAFFIC_INTERRUPT_IN:
        put_status(out, t->bytes, t->count);
        break;
    case MN_TRAFFIC_TO_DAEMON:
        put_decoded(out, &mnc__client_message__descriptor, t->bytes, t->count);
        break;
    case MN_TRAFFIC_TO_PROGRAM:
        put_decoded(out, &mnc__server_message__descriptor, t->bytes, t->count);
        break;
    case MN_TRAFFIC_UNKNOWN:
    default:
        fputs("\"bytes\":", out);
        put_bytes(out, t->bytes, t->count);
        break;
    }
    putc('}', out);
    whole = !ferror(out);
    if (fclose(out) != 0 || !whole) {
        free(text);
        return NULL;
    }
    return text;
}
