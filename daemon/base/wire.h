/*
 * What unpacking a protobuf message does not check: its strings. A protobuf string is UTF-8, and libraries of other languages reject a message in which one is
 * not; and in C it ends at its first 0, so that what follows would be lost silently.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number in field 1, a request's id, of a message that does not unpack; 0: it has none, or cannot be found. */
uint32_t wire_id(const uint8_t *bytes, size_t n);

/* An allocator that sets *out_of_memory when it fails: unpacking returns NULL for a damaged message and without memory alike, and only the first may be
 * dropped. */
ProtobufCAllocator wire_allocator(bool *out_of_memory);

/* The name of the first string of a received message that is not UTF-8, or has a 0 in it; NULL: there is none. What cannot be parsed is left to unpacking. */
const char *wire_wrong_string(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t n);

/* Replaces what is not UTF-8 in the strings of a message that is about to be sent, such as a character that was cut in two, by '?', byte for byte. */
void wire_mend_strings(const ProtobufCMessageDescriptor *type, uint8_t *bytes, size_t n);
