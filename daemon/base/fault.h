/* The faults of a pen by their codes, from the one table of them (proto/faults.def). */
#pragma once

#include <stdint.h>

/* "MOTOR_STALL"; "(of a later firmware)" for a code that the table does not have. */
const char *fault_name(uint32_t code);

/* 'H', 'M' or 'L'; 'H' for a code that the table does not have, because a fault that is not known must not be hidden. */
char fault_priority(uint32_t code);
