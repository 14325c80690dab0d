/* Records through the whole chain: nothing is lost and nothing comes twice, over bad cables, restarts and a journal that is not there. */
#include "chain_words.h"

static void records_are_read_by_pages(void **state)
{
    struct mn_filter filter = {.serial = P, .kinds = 1 << MN_RECORD_CONFIG};
    struct mn_cursor place = {0};
    struct mn_records page;
    uint32_t last = 0;
    size_t total = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        struct mn_config change = {.present = MN_SET_DEPTH_UM, .depth_um = 500 + 50 * (i % 2)};

        harness_ok(&h, mn_config_set(h.c, P, &change, NULL, NULL, T));
    }
    for (bool end = false; !end || total < 101;) {
        harness_ok(&h, mn_records_read(h.c, &place, &filter, &page, T));
        for (size_t i = 0; i < page.count; i++) {
            if (page.record[i].kind == MN_RECORD_BEGUN)
                continue;
            assert_int_equal(page.record[i].kind, MN_RECORD_CONFIG);
            assert_true(page.record[i].number > last);
            assert_true(page.record[i].host_bound_us < 1000000);
            last = page.record[i].number;
        }
        total += page.count;
        end = page.end;
        place = page.next;
        assert_int_equal(page.missed, 0);
        mn_records_free(&page);
    }
    assert_int_equal(total, 101); /* with the note that the journal was begun */
    filter.newest_first = true;
    place = (struct mn_cursor){0};
    total = 0;
    for (bool end = false; !end;) {
        harness_ok(&h, mn_records_read(h.c, &place, &filter, &page, T));
        for (size_t i = 0; i < page.count; i++) {
            assert_true(place.position == 0 || page.record[i].cursor.position < place.position);
            assert_true(i == 0 || page.record[i].cursor.position < page.record[i - 1].cursor.position);
        }
        total += page.count;
        end = page.end;
        place = page.next;
        mn_records_free(&page);
    }
    assert_int_equal(total, 101);
    assert_int_equal(mn_records_follow(h.c, NULL, &filter, T), MN_ERR_INVALID);
}

static void a_bad_cable_loses_nothing_that_must_not_be_lost(void **state)
{
    static const char *const stub[] = {"--serial", "BAD-1", "--link", "drop=0.02 duplicate=0.02 corrupt=0.02 cut=0.02 delay=0.05:10", NULL};
    unsigned applied = 0, unknown = 0;
    uint32_t first = 0;
    struct mn_config config;

    (void)state;
    harness_start(&h, 0, NULL);
    harness_ok(&h, mn_subscribe(h.c, NULL, true, T));
    harness_ok(&h, mn_records_follow(h.c, NULL, NULL, T));
    harness_stub(&h, stub);
    harness_wait_ready(&h, 1);
    while (applied + unknown < 100) {
        struct mn_config change = {.present = MN_SET_DEPTH_UM, .depth_um = applied % 2 ? 500 : 550};
        int r = mn_config_set(h.c, "BAD-1", &change, NULL, &config, T);

        applied += r == MN_OK;
        unknown += r != MN_OK && r != MN_ERR_NOT_READY; /* not ready: three bad frames in a second end a session */
        harness_run(&h, r == MN_ERR_NOT_READY ? 100 : 10);
    }
    harness_say(&h, "BAD-1", "link good");
    harness_until(&h, mn_config_get(h.c, "BAD-1", &config, T) == MN_OK, 10000);
    printf("# %u changes applied, %u of unknown end, generation %u; %lu samples, %lu missed\n", applied, unknown, config.generation,
           (unsigned long)h.samples, (unsigned long)h.missed);
    assert_in_range(config.generation, applied, applied + unknown); /* none was applied twice */
    assert_true(applied > 50);
    harness_until(&h, h.record_count > 0 && h.records[h.record_count - 1].number >= config.generation + 1, RECORD_MS);
    for (size_t i = 0; i < h.record_count; i++) { /* each record once, in order */
        if (first == 0)
            first = h.records[i].number;
        assert_int_equal(h.records[i].number, first + i);
    }
    harness_stop(&h);
}

static void a_record_is_acknowledged_once_it_is_on_disk_and_told_once_over_restarts(void **state)
{
    static const char *const stub[] = {NULL};
    uint32_t newest = 0;

    (void)state;
    harness_start(&h, 0, NULL);
    harness_stub(&h, stub);
    harness_wait_ready(&h, 1);
    harness_until(&h, acked(P, &newest) == newest, T);
    harness_ok(&h, mn_records_follow(h.c, NULL, NULL, T));
    for (int round = 0; round < 5; round++) {
        harness_say(&h, P, "inject 1401");
        harness_until(&h, h.record_count == (size_t)(2 * round + 1), T);
        harness_say(&h, P, "clear 1401");
        harness_until(&h, h.record_count == (size_t)(2 * round + 2) && acked(P, &newest) == newest, T);
        harness_kill_daemon(&h, SIGKILL);
        harness_restart_daemon(&h);
        harness_until(&h, h.reconnects == (unsigned)round + 1, T);
        harness_until(&h, mn_ping(h.c, P, 1, NULL, 500) == MN_OK, T);
    }
    harness_run(&h, 1500); /* a status has come meanwhile: nothing is told again */
    assert_int_equal(acked(P, &newest), newest);
    for (size_t i = 1; i < h.record_count; i++)
        assert_int_equal(h.records[i].number, h.records[i - 1].number + 1);
    assert_int_equal(h.records[h.record_count - 1].number, newest);
    harness_stop(&h);
}

static void without_a_journal_records_stay_in_the_pen_and_nothing_is_armed(void **state)
{
    struct mn_config config = {.present = MN_SET_DEPTH_UM, .depth_um = 800};
    char dir[] = "/tmp/mn-journal-XXXXXX", option[64], why[200], command[64];
    struct mn_daemon daemon;
    uint32_t newest = 0;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(option, sizeof(option), "--journal=%s/later/journal.db", dir);
    snprintf(why, sizeof(why), "the journal %s/later/journal.db cannot be opened: its folder is not there", dir);
    harness_start(&h, 1, option);
    harness_ok(&h, mn_subscribe(h.c, NULL, true, T));
    assert_int_equal(mn_records_follow(h.c, NULL, NULL, T), MN_ERR_JOURNAL);
    assert_string_equal(mn_message(h.c), why);
    harness_wait_ready(&h, 1);
    harness_ok(&h, mn_config_set(h.c, P, &config, NULL, &config, T));
    harness_until(&h, h.samples > 2000, T); /* telemetry and configuration go on */
    assert_int_equal(acked(P, &newest), 0);
    assert_true(newest >= 2);
    assert_int_equal(harness_arm(h.c, P, NULL), MN_ERR_JOURNAL);
    assert_non_null(strstr(mn_message(h.c), "pen SIM-0001: 2008 JOURNAL_UNWRITABLE: the journal "));
    snprintf(command, sizeof(command), "mkdir %s/later", dir); /* the disk is there now */
    assert_int_equal(system(command), 0);
    harness_until(&h, acked(P, &newest) == newest, T);
    harness_ok(&h, mn_records_follow(h.c, &(struct mn_cursor){0}, NULL, T));
    harness_until(&h, h.record_count == newest + 1, T); /* and the note that the journal was begun */
    harness_ok(&h, mn_daemon_info(h.c, &daemon, T));
    assert_string_equal(daemon.journal_error, "");
    harness_ok(&h, harness_arm(h.c, P, NULL));
    harness_stop(&h);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

/* What a program does that stores its place with what it has done: it dies, is started anew, and nothing comes twice or never. */
static void a_program_with_a_cursor_sees_each_record_once_over_its_own_deaths(void **state)
{
    static const char *const stub[] = {NULL};
    struct mn_cursor place = {0};
    uint32_t newest = 0, seen = 0;

    (void)state;
    harness_start(&h, 0, NULL);
    harness_stub(&h, stub);
    harness_wait_ready(&h, 1);
    for (unsigned round = 0; round < 20; round++) {
        mn_client *app = harness_client(&h);
        struct mn_config change = {.present = MN_SET_DEPTH_UM};
        struct mn_records page;

        for (unsigned i = 0; i < 5; i++) {
            change.depth_um = 500 + 50 * (round + i);
            harness_ok(&h, mn_config_set(h.c, P, &change, NULL, NULL, T));
        }
        if (round == 10) {
            harness_kill_daemon(&h, SIGKILL);
            harness_restart_daemon(&h);
            harness_until(&h, mn_ping(h.c, P, 1, NULL, 500) == MN_OK, T);
            mn_close(app);
            continue;
        }
        harness_ok(&h, mn_records_read(app, &place, NULL, &page, T));
        for (size_t i = 0; i < page.count && i < round; i++) { /* it dies in the middle of a page, mostly */
            if (page.record[i].kind != MN_RECORD_BEGUN)
                assert_int_equal(page.record[i].number, ++seen);
            place = page.record[i].cursor;
        }
        mn_records_free(&page);
        mn_close(app);
    }
    harness_until(&h, mn_ping(h.c, P, 1, NULL, 500) == MN_OK && acked(P, &newest) == newest, T);
    h.record_count = 0;
    harness_ok(&h, mn_records_follow(h.c, &place, NULL, T));
    harness_until(&h, h.record_count == newest - seen, T);
    for (size_t i = 0; i < h.record_count; i++)
        assert_int_equal(h.records[i].number, ++seen);
    harness_stop(&h);
}

static void the_telemetry_around_a_fault_is_kept(void **state)
{
    struct mn_filter filter = {.kinds = 1 << MN_RECORD_FAULT, .priorities = "HM"};
    struct mn_flight flight;
    uint64_t samples = 0;

    (void)state;
    harness_start(&h, 1, NULL);
    harness_wait_ready(&h, 1);
    harness_run(&h, 2500);
    harness_ok(&h, mn_records_follow(h.c, NULL, &filter, T));
    harness_say(&h, P, "inject 1403");
    harness_until(&h, h.record_count >= 1, T);
    assert_true(h.records[0].fault.raised);
    assert_int_equal(mn_flight_get(h.c, &h.records[0].cursor, &flight, T), MN_ERR_NO_RECORD); /* not yet */
    harness_run(&h, 1500);
    harness_ok(&h, mn_flight_get(h.c, &h.records[0].cursor, &flight, T));
    for (size_t i = 0; i < flight.count; i++) {
        const struct mn_fast *f = &flight.batch[i].fast;

        samples += f->count;
        assert_int_equal(f->missed, 0);
        if (f->count > 0)
            assert_true(f->t0_us + 5000000 >= h.records[0].t_us && f->t0_us <= h.records[0].t_us + 1000000);
    }
    print_message("# %lu samples around the fault\n", (unsigned long)samples);
    assert_true(samples > 2500 && samples <= 6100);
    mn_flight_free(&flight);
    harness_stop(&h);
}

static void the_journal_is_checked_and_copied_while_it_is_written(void **state)
{
    char path[128], command[600];
    struct mn_verified v;
    uint32_t newest = 0;
    int fd;

    (void)state;
    harness_start(&h, 2, NULL);
    harness_wait_ready(&h, 2);
    for (unsigned i = 0; i < 300; i++)
        harness_ok(&h, mn_config_set(h.c, P, &(struct mn_config){.present = MN_SET_DEPTH_UM, .depth_um = 500 + 50 * (i % 9)}, NULL, NULL, T));
    harness_until(&h, acked(P, &newest) == newest, T);
    harness_ok(&h, mn_journal_verify(h.c, &v, T));
    assert_true(v.good);
    assert_true(v.rows >= 302);
    snprintf(path, sizeof(path), "%s/copy.db", h.dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    harness_ok(&h, mn_journal_backup(h.c, fd, T));
    close(fd);
    snprintf(command, sizeof(command), MN_BIN_DIR "/mnd --verify-journal %s | grep -q 'rows are as they were written' && test -z \"$(ls %s.journal.copy* 2>&-)\"",
             path, h.socket);
    assert_int_equal(system(command), 0);
    fd = open(path, O_RDONLY | O_CLOEXEC); /* cannot be written: said, and the next one works */
    assert_int_equal(mn_journal_backup(h.c, fd, T), MN_ERR_INVALID);
    assert_non_null(strstr(mn_message(h.c), "the copy cannot be written: "));
    close(fd);
    fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    harness_ok(&h, mn_journal_backup(h.c, fd, T));
    close(fd);
    harness_stop(&h);
}

int main(int argc, char **argv)
{
#define TWO(name) cmocka_unit_test_setup_teardown(name, two_pens, stop)
    const struct CMUnitTest tests[] = {
        TWO(records_are_read_by_pages),
        cmocka_unit_test(a_bad_cable_loses_nothing_that_must_not_be_lost),
        cmocka_unit_test(a_record_is_acknowledged_once_it_is_on_disk_and_told_once_over_restarts),
        cmocka_unit_test(without_a_journal_records_stay_in_the_pen_and_nothing_is_armed),
        cmocka_unit_test(a_program_with_a_cursor_sees_each_record_once_over_its_own_deaths),
        cmocka_unit_test(the_telemetry_around_a_fault_is_kept),
        cmocka_unit_test(the_journal_is_checked_and_copied_while_it_is_written),
    };

    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("chain_records", tests, NULL, NULL);
}
