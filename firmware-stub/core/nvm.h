/*
 * The map of the non-volatile memory, and a pair of slots that survives a power cut: a small blob is written to the older
 * of two slots, with a counter and a CRC, so that either the old or the new content is there, whole.
 */
#pragma once

#include "hal.h"

#define NVM_BLOB_MAX 48u
#define NVM_SLOT_SIZE 64u /* counter, length, content, CRC */

#define NVM_CONFIG 0u
#define NVM_CALIBRATION 128u
#define NVM_COUNTERS 256u
#define NVM_SERIAL 512u
#define NVM_UDI 640u
#define NVM_LEFT 768u
#define NVM_RECORDS 1024u
#define NVM_RECORD_SIZE 96u
#define NVM_RECORD_COUNT 1000u
#define NVM_USED 131072u /* used.h */
#define NVM_USED_BLOCK 64u
#define NVM_USED_BLOCKS 4096u
#define PEN_NVM_SIZE (NVM_USED + NVM_USED_BLOCKS * NVM_USED_BLOCK)

enum nvm_state { NVM_OK, NVM_EMPTY, NVM_DAMAGED };

/* Reads the newer whole slot of the pair at offset; n must be its length. EMPTY: never written. */
enum nvm_state nvm_blob_read(const struct pen_port *port, uint32_t offset, void *blob, size_t n);

/* Writes the other slot; false: the memory refused, and the old content stands. */
bool nvm_blob_write(const struct pen_port *port, uint32_t offset, const void *blob, size_t n);
