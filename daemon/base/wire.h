/*
 * Messages of protobuf as they are on the wire, for what unpacking them does not tell. Their strings: a protobuf string is UTF-8, and libraries of other languages refuse the whole message where it is not;
 * and in C it ends at its first 0, so that what stands behind that would be lost without a word.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number in field 1, which is a request's id; 0: it has none, or cannot be found. For one that does not unpack. */
uint32_t wire_id(const uint8_t *bytes, size_t n);

/* An allocator that notes that it had none: unpacking says NULL of what is damaged and of what it has no memory for, and what must not be lost is lost
 * by the first only. */
ProtobufCAllocator wire_allocator(bool *out_of_memory);

/* Of a message of this type that somebody sent: the name of the first string that is no UTF-8, or has a 0 in it; NULL: there is none. What cannot be walked
 * through is left to the one who unpacks it. */
const char *wire_wrong_string(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t n);

/* Of a message that is to leave: what is no UTF-8 in its strings, as a character that was cut in two, becomes '?', byte for byte. */
void wire_mend_strings(const ProtobufCMessageDescriptor *type, uint8_t *bytes, size_t n);
