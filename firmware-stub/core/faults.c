#include "faults.h"

const struct fault_row fault_rows[FAULT_COUNT] = {
#define FAULT(bit, code, name, priority, kind, effect, text, cure) [bit] = {code, KIND_##kind, EFFECT_##effect},
#include "faults.def"
#undef FAULT
};

static uint32_t faults_of_kind(enum fault_kind kind)
{
    uint32_t mask = 0;

    for (int i = 0; i < FAULT_COUNT; i++) {
        if (fault_rows[i].kind == kind)
            mask |= UINT32_C(1) << i;
    }
    return mask;
}

uint32_t faults_of_effect(enum fault_effect effect)
{
    uint32_t mask = 0;

    for (int i = 0; i < FAULT_COUNT; i++) {
        if (fault_rows[i].effect == effect)
            mask |= UINT32_C(1) << i;
    }
    return mask;
}

uint16_t fault_first_code(uint32_t word)
{
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (word & UINT32_C(1) << i)
            return fault_rows[i].code;
    }
    return 0;
}

uint32_t fault_mask_of_code(uint32_t code)
{
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (fault_rows[i].code == code)
            return UINT32_C(1) << i;
    }
    return 0;
}

void faults_update(struct faults *f, uint32_t causes, uint32_t *raised, uint32_t *cleared)
{
    *raised = causes & ~f->word;
    f->causes = causes;
    *cleared = 0;
    if ((f->word & ~causes) != 0)
        *cleared = f->word & ~causes & faults_of_kind(KIND_SELF) & ~f->escalated;
    f->word = (f->word | causes) & ~*cleared;
}

uint32_t faults_clear(struct faults *f, uint32_t wanted, bool service)
{
    uint32_t cleared = wanted & f->word & ~f->causes;

    if (!service)
        cleared &= ~faults_of_kind(KIND_SERVICE);
    f->word &= ~cleared;
    f->escalated &= ~cleared;
    return cleared;
}
