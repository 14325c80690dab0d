/*
 * Which faults are there: the latch. A detector says each tick whether a fault's cause is present; this file turns causes
 * into the fault word by each fault's kind, and tells what has just changed. It decides nothing about the motor.
 *
 *     cause comes            -> raised
 *     SELF, cause gone       -> cleared by itself (unless it was escalated to latching)
 *     LATCHING, cause gone   -> cleared by CLEAR
 *     SERVICE, cause gone    -> cleared by CLEAR with service
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum fault_bit {
#define FAULT(bit, code, name, priority, kind, effect, text, cure) FAULT_##name = bit,
#include "faults.def"
#undef FAULT
    FAULT_COUNT
};

enum fault_kind { KIND_LATCHING, KIND_SELF, KIND_SERVICE };
enum fault_effect { EFFECT_STOP, EFFECT_NO_ARM, EFFECT_FLAG, EFFECT_DFU };

struct fault_row {
    uint16_t code;
    enum fault_kind kind;
    enum fault_effect effect;
};

extern const struct fault_row fault_rows[FAULT_COUNT];

struct faults {
    uint32_t word;      /* raised, what everyone is told */
    uint32_t causes;    /* present now */
    uint32_t escalated; /* SELF faults that have become latching */
};

#define FAULT_MASK(name) (UINT32_C(1) << FAULT_##name)

/* All faults of one effect. */
uint32_t faults_of_effect(enum fault_effect effect);

/* The code of the lowest bit of word; 0 if none. */
uint16_t fault_first_code(uint32_t word);

/* Takes the causes of this tick; *raised and *cleared are the bits that changed. */
void faults_update(struct faults *f, uint32_t causes, uint32_t *raised, uint32_t *cleared);

/* Clears what may be cleared of wanted and returns those bits. */
uint32_t faults_clear(struct faults *f, uint32_t wanted, bool service);

/* The bit mask of a code; 0 if there is no such fault. */
uint32_t fault_mask_of_code(uint32_t code);
