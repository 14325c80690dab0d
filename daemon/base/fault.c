#include "fault.h"

const char *fault_name(uint32_t code)
{
    switch (code) {
#define FAULT(bit, code, name, priority, kind, effect, text, cure)                                                     \
    case code:                                                                                                         \
        return #name;
#include "faults.def"
#undef FAULT
    default:
        return "(of a later firmware)";
    }
}

char fault_priority(uint32_t code)
{
    switch (code) {
#define FAULT(bit, code, name, priority, kind, effect, text, cure)                                                     \
    case code:                                                                                                         \
        return #priority[0];
#include "faults.def"
#undef FAULT
    default:
        return 'H';
    }
}
