/*
 * The pen's firmware, and what the daemon decides about leases and sessions: all states that any order of events leads to, on the real code,
 * with what must always hold checked in each. A host that says anything plays against the firmware; a pen that does anything, and two programs
 * that want the same pen, play against the daemon.
 *
 * What must hold (docs/architecture.md, invariants):
 *   1. The needles move in RUNNING only. RUNNING is entered by the trigger being pressed in ARMED, for longer than it bounces, and by nothing else;
 *      ARMED by an ARM that names the configuration that the pen has, a zone that may be treated so deep, and the cartridge that is in the pen and has
 *      served no other treatment, without a fault that forbids it. While it is ARMED or RUNNING, depth, calibration and cartridge are those of the ARM. The daemon sends ARM for the program that holds the lease, with a journal that takes records and a policy that was passed.
 *      Nothing resumes by itself.
 *   2. The needles stand still 350 ms after host, cable or firmware have gone, or a STOP, or a fault that stops.
 *   8. At most one program has the lease.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "explored.h"

static void every_state_of_the_firmware(void **state)
{
    const char *how = getenv("MN_EXPLORE");

    (void)state;
    assert_true(every_firmware_state(how != NULL && strcmp(how, "quick") == 0));
}

static void every_state_of_leases_and_sessions(void **state)
{
    (void)state;
    assert_true(every_lease_and_session_state());
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_of_leases_and_sessions),
        cmocka_unit_test(every_state_of_the_firmware),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("explore", tests, NULL, NULL);
}
