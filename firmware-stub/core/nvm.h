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
#define NVM_USED_TAGS 512u
#define NVM_USED_TAG_COUNT 256u
#define NVM_USED_TAG_SIZE 16u
#define NVM_SERIAL 4608u
#define NVM_UDI 4736u
#define NVM_LEFT 4864u
#define NVM_RECORDS 8192u
#define NVM_RECORD_SIZE 96u
#define NVM_RECORD_COUNT 1000u
#define PEN_NVM_SIZE (NVM_RECORDS + NVM_RECORD_COUNT * NVM_RECORD_SIZE)

enum nvm_state { NVM_OK, NVM_EMPTY, NVM_DAMAGED };

/* Reads the newer whole slot of the pair at offset; n must be its length. EMPTY: never written. */
enum nvm_state nvm_blob_read(const struct pen_port *port, uint32_t offset, void *blob, size_t n);

/* Writes the other slot; false: the memory refused, and the old content stands. */
bool nvm_blob_write(const struct pen_port *port, uint32_t offset, const void *blob, size_t n);
