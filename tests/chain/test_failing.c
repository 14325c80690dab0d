/*
 * A treatment, over and over: in each, one more allocation of the daemon's goes well before one fails; the same with system calls. What must hold each time: nothing crashes, in the end all of the
 * pen's records are in the journal, and once the programs are gone no needle moves. Then every reader and writer of a file in the same way: it does its work, or says in words why not.
 * MN_FAILING_STEP=n tries every n-th only.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "chain.h"
#include "config.h"
#include "failing.h"
#include "file.h"
#include "pen.pb-c.h"
#include "program.h"
#include "policy.h"
#include "unix_socket.h"

enum { OPERATOR, LOOKER, STOPPED_MS = 3000, ALL_IN_MS = 30000, TURN_MS = 500 };

static void call_pen(struct chain *c, uint32_t type)
{
    ASK(c, LOOKER, CALL, call, MNC__CALL__INIT, body.serial = program_pen, body.has_pen_type = true, body.pen_type = type);
}

static void look_on(struct chain *c)
{
    ASK(c, LOOKER, WATCH, watch, MNC__WATCH__INIT, body.has_on = true, body.on = true);
    ASK(c, LOOKER, SUBSCRIBE, subscribe, MNC__SUBSCRIBE__INIT, body.has_telemetry = body.has_decimation = true, body.telemetry = true, body.decimation = 10);
    ASK(c, LOOKER, MONITOR, monitor, MNC__MONITOR__INIT, body.has_on = true, body.on = true);
    ASK(c, LOOKER, LIST, list, MNC__LIST__INIT, (void)body);
    ASK(c, LOOKER, RECORDS_READ, records_read, MNC__RECORDS_READ__INIT, body.has_wait = true, body.wait = true);
    ASK(c, LOOKER, POLICY_GET, policy_get, MNC__POLICY_GET__INIT, (void)body);
}

static void look_back(struct chain *c)
{
    Mnc__Cursor place = MNC__CURSOR__INIT;

    place.has_journal = place.has_position = true;
    place.journal = CHAIN_JOURNAL;
    ASK(c, LOOKER, RECORDS_READ, records_read, MNC__RECORDS_READ__INIT, body.after = &place);
    place.position = 1;
    ASK(c, LOOKER, RECORDS_EXPORTED, records_exported, MNC__RECORDS_EXPORTED__INIT, body.through = &place);
    ASK(c, LOOKER, SESSION_LIST, session_list, MNC__SESSION_LIST__INIT, body.subject = (char[]){"K-1"});
    ASK(c, LOOKER, JOURNAL_VERIFY, journal_verify, MNC__JOURNAL_VERIFY__INIT, (void)body);
    ASK(c, LOOKER, JOURNAL_BACKUP, journal_backup, MNC__JOURNAL_BACKUP__INIT, (void)body);
    for (place.position = 4; place.position < 9; place.position++)
        ASK(c, LOOKER, FLIGHT_GET, flight_get, MNC__FLIGHT_GET__INIT, body.record = &place);
}

/* The pen writes some while there is no journal: they come in one page then. */
static void gather_records(struct chain *c)
{
    chain_set_journal(c, false);
    for (int i = 0; i < 3; i++) {
        program_say(c, "inject 1301");
        chain_wait(c, 200);
        program_say(c, "clear 1301");
        chain_wait(c, 200);
    }
    chain_set_journal(c, true);
    chain_wait(c, 2000); /* the pen says what it has with its next status */
}

/* Everything that a daemon does on a good day, and a fault, and a plug that is pulled. */
static void treat(struct chain *c)
{
    look_on(c);
    program_lease(c, OPERATOR, MNC__LEASE_ACTION__LEASE_TAKE);
    program_begin(c, OPERATOR, 60);
    chain_wait(c, 200);
    program_arm(c, OPERATOR);
    chain_wait(c, 100);
    program_say(c, "trigger press");
    chain_wait(c, 300);
    call_pen(c, MNP__FRAME_TYPE__TYPE_STATUS);
    program_say(c, "inject 1401");
    chain_wait(c, 300);
    program_say(c, "trigger release");
    chain_wait(c, 1200);
    program_end(c, OPERATOR);
    chain_wait(c, 300);
    program_say(c, "unplug 0.1");
    chain_wait(c, 1000);
    gather_records(c);
    look_back(c);
    program_lease(c, OPERATOR, MNC__LEASE_ACTION__LEASE_RELEASE);
}

static void check_after(struct chain *c)
{
    uint64_t host_us, bound_us;
    uint32_t ms = 0;

    program_say(c, "trigger press");
    chain_hang_up(c);
    chain_wait(c, STOPPED_MS);
    assert_false(pen_end_may_move(chain_pen(c)));
    for (; ms < ALL_IN_MS && !chain_has_all_records(c); ms += TURN_MS)
        chain_wait(c, TURN_MS);
    assert_in_range(ms, 0, ALL_IN_MS - 1);
    assert_false(chain_record_time(c, MNC__JOURNAL_KIND__JOURNAL_LOST, &host_us, &bound_us));
    assert_int_equal(chain_damaged_notes(), 0); /* what there is no memory for is refused, not told as something else */
}

/* Whether there were so many. */
static bool treat_with_failing(enum failing_what what, uint32_t n, int error)
{
    struct chain *c = chain_new();
    bool happened;

    failing_set(what, n, error);
    treat(c);
    happened = failing_happened(what);
    failing_set(what, 0, 0);
    check_after(c);
    chain_free(c);
    return happened;
}

static void fail_one_after_the_other(enum failing_what what, int error, const char *name)
{
    const char *step = getenv("MN_FAILING_STEP");
    uint32_t every = step != NULL ? (uint32_t)strtoul(step, NULL, 10) : 1, n = 1;

    while (treat_with_failing(what, n, error))
        n += every > 0 ? every : 1;
    printf("# %u %s of a treatment, each of which has failed once\n", n - 1, name);
    assert_true(n > 40); /* else it is not what fails that is tried */
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    fail_one_after_the_other(FAILING_ALLOCATION, ENOMEM, "allocations");
}

static void every_system_call_fails_once(void **state)
{
    (void)state;
    fail_one_after_the_other(FAILING_SYSTEM_CALL, EIO, "system calls");
}

static void every_system_call_is_interrupted_once(void **state)
{
    (void)state;
    fail_one_after_the_other(FAILING_SYSTEM_CALL, EINTR, "system calls");
}

/* ---- files ---- */

static char folder[] = "/tmp/mn-failing-XXXXXX", written[80], made[80];

static int make_folder(void **state)
{
    FILE *f;

    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(written, sizeof(written), "%s/written", folder);
    snprintf(made, sizeof(made), "%s/made", folder);
    f = fopen(written, "w");
    return f == NULL || fputs("name: Clinic\nlimits:\n  - {name: depth_limit, value: 1200}\n", f) < 0 || fclose(f) != 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(made);
    return unlink(written) != 0 || rmdir(folder) != 0;
}

/* Each: whether it was done. */

static bool read_text(char *why, size_t cap)
{
    size_t n;
    char *text = file_read(written, 1000, &n, why, cap);

    free(text);
    return text != NULL;
}

static bool create_file(char *why, size_t cap)
{
    FILE *f = file_create(made, false, why, cap);

    return f != NULL && fclose(f) == 0;
}

static bool look_at_place(char *why, size_t cap)
{
    return file_may_create(made, false, why, cap);
}

static bool read_config(char *why, size_t cap)
{
    struct config config;

    config_default(&config);
    return config_load(&config, "/dev/null", why, cap) == 0; /* no file, and so refused in any case */
}

static bool read_site(char *why, size_t cap)
{
    struct site site;

    return site_load(&site, written, why, cap) == 0;
}

static bool listen_at(char *why, size_t cap)
{
    int fd = unix_listen(made, SOCK_STREAM, 1, why, cap);

    return fd >= 0 && close(fd) == 0;
}

static void each_file_is_read_and_made_or_it_is_said_why_not(void **state)
{
    static bool (*const doings[])(char *why, size_t cap) = {read_text, create_file, look_at_place, read_config, read_site, listen_at};
    unsigned refused = 0, tried = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(doings) / sizeof(doings[0]); i++) {
        for (int what = 0; what < FAILING_KINDS; what++) {
            bool happened = true;

            for (uint32_t n = 1; happened; n++, tried++) {
                char why[400] = "";
                bool done;

                failing_set((enum failing_what)what, n, EIO);
                failing_on();
                done = doings[i](why, sizeof(why));
                failing_off();
                happened = failing_happened((enum failing_what)what);
                if (!done)
                    assert_int_not_equal(strlen(why), 0);
                refused += !done;
                unlink(made);
            }
            failing_set((enum failing_what)what, 0, 0);
        }
    }
    printf("# %u tries, %u refused, each in words\n", tried, refused);
    assert_in_range(refused, 10, tried);
}

static void nothing_fails(void **state)
{
    (void)state;
    assert_false(treat_with_failing(FAILING_ALLOCATION, UINT32_MAX, 0));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_fails),
        cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(every_system_call_fails_once),
        cmocka_unit_test(every_system_call_is_interrupted_once),
        cmocka_unit_test_setup_teardown(each_file_is_read_and_made_or_it_is_said_why_not, make_folder, remove_folder),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("failing", tests, NULL, NULL);
}
