#include "wire.h"

#include <stdlib.h>
#include <string.h>

#include "escape.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* Called for each string. Returns false to end the walk. */
typedef bool string_fn(void *ctx, const char *field, uint8_t *bytes, size_t n);

static bool varint(const uint8_t *bytes, size_t n, size_t *at, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; *at < n && shift < 64; shift += 7) {
        uint8_t b = bytes[(*at)++];

        *out |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return true;
    }
    return false;
}

uint32_t wire_id(const uint8_t *bytes, size_t n)
{
    uint64_t tag, value = 0;
    size_t at = 0;

    return varint(bytes, n, &at, &tag) && tag == (1 << 3 | WIRE_VARINT) && varint(bytes, n, &at, &value) ? (uint32_t)value : 0;
}

/* Walks over the fields, and into messages in them: as deep as the types are nested, and none is nested in itself. False: enough was seen, or it is no
 * message. */
static bool walk(const ProtobufCMessageDescriptor *type, uint8_t *bytes, size_t n, string_fn *each, void *ctx)
{
    for (size_t at = 0; at < n;) {
        const ProtobufCFieldDescriptor *f;
        uint64_t tag, length;

        if (!varint(bytes, n, &at, &tag) || (tag >> 3) > UINT32_MAX)
            return false;
        switch (tag & 7) {
        case WIRE_VARINT:
            if (!varint(bytes, n, &at, &length))
                return false;
            continue;
        case WIRE_64:
        case WIRE_32:
            at += (tag & 7) == WIRE_64 ? 8 : 4;
            continue;
        case WIRE_BYTES:
            break;
        default:
            return false;
        }
        if (!varint(bytes, n, &at, &length) || length > n - at)
            return false;
        f = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
        if (f != NULL && f->type == PROTOBUF_C_TYPE_STRING && !each(ctx, f->name, bytes + at, (size_t)length))
            return false;
        if (f != NULL && f->type == PROTOBUF_C_TYPE_MESSAGE && !walk(f->descriptor, bytes + at, (size_t)length, each, ctx))
            return false;
        at += (size_t)length;
    }
    return true;
}

static bool find_wrong(void *ctx, const char *field, uint8_t *bytes, size_t n)
{
    const char **wrong = ctx;

    for (size_t i = 0, length; i < n; i += length) {
        uint32_t code;

        length = escape_next((const char *)bytes + i, n - i, &code);
        if (code != ESCAPE_NO_UTF8 && code != 0)
            continue;
        *wrong = field;
        return false;
    }
    return true;
}

const char *wire_wrong_string(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t n)
{
    const char *wrong = NULL;

    walk(type, (uint8_t *)(uintptr_t)bytes, n, find_wrong, &wrong); /* find_wrong() does not write */
    return wrong;
}

static bool mend(void *ctx, const char *field, uint8_t *bytes, size_t n)
{
    (void)ctx;
    (void)field;
    for (size_t i = 0, length; i < n; i += length) {
        uint32_t code;

        length = escape_next((const char *)bytes + i, n - i, &code);
        if (code == ESCAPE_NO_UTF8)
            bytes[i] = '?';
    }
    return true;
}

static void *noting_alloc(void *out_of_memory, size_t n)
{
    void *bytes = malloc(n);

    *(bool *)out_of_memory |= bytes == NULL;
    return bytes;
}

static void noting_free(void *out_of_memory, void *bytes)
{
    (void)out_of_memory;
    free(bytes);
}

ProtobufCAllocator wire_allocator(bool *out_of_memory)
{
    *out_of_memory = false;
    return (ProtobufCAllocator){.alloc = noting_alloc, .free = noting_free, .allocator_data = out_of_memory};
}

void wire_mend_strings(const ProtobufCMessageDescriptor *type, uint8_t *bytes, size_t n)
{
    walk(type, bytes, n, mend, NULL);
}
