/* What test_explore explores. True: nothing was found; else what was found is printed, with the way there. */
#pragma once

#include <stdbool.h>

/* Shorter without injected faults, which multiply all other states. */
bool every_firmware_state(bool without_faults);
bool every_lease_and_session_state(void);
