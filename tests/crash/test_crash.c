/* The daemon killed at every point of its writing, pens without power, clocks that jump, and many pens at once. */
#include "crash_words.h"

/* Whether it was. */
static bool killed_at(uint64_t at)
{
    bool killed;
    int status;

    begin();
    fx.shim->kill_at = at;
    start_mnd();
    start_pens("1", NULL);
    say("inject 1401"); /* records come while it begins, and later */
    live(40);
    say("inject 1501");
    live(40);
    say("inject 1403");
    for (int i = 0; i < 400 && !all_is_told(4) && waitpid(fx.mnd, &status, WNOHANG) == 0; i++)
        live(5);
    fx.shim->kill_at = 0;
    killed = fx.shim->points >= at;
    if (killed) {
        end_process(&fx.mnd, SIGKILL);
        start_mnd();
    }
    until(all_is_told(4));
    nothing_is_lost_or_doubled();
    end();
    return killed;
}

static void killed_at_every_point_nothing_is_lost_or_doubled(void **state)
{
    const char *step = getenv("MN_CRASH_STEP"); /* only every so manyth, for those who wait */
    uint64_t every = step != NULL ? strtoul(step, NULL, 10) : 1;
    unsigned tried = 0, beyond = 0;

    (void)state;
    for (uint64_t at = 1; beyond < 3; at += every) {
        if (killed_at(at)) {
            tried++;
            beyond = 0;
        } else {
            beyond++; /* how much is written at once varies a little */
        }
    }
    printf("# %u points tried: lost %u, doubled %u\n", tried, lost, doubled);
    assert_true(tried * every > 60);
}

static void the_pens_power_goes_in_every_write_to_its_memory(void **state)
{
    static const unsigned arrive[] = {0, 7, 40, 4096}; /* bytes of the write */
    unsigned tried = 0, beyond = 0;

    (void)state;
    for (unsigned write = 1; beyond < 2; write++) {
        for (size_t i = 0; i < sizeof(arrive) / sizeof(arrive[0]); i++) {
            struct mn_info info;
            char line[64];

            begin();
            start_mnd();
            start_pens("1", NULL);
            until(all_is_told(1));
            snprintf(line, sizeof(line), "power-cut %u %u", write, arrive[i]);
            say(line);
            say("inject 1401");
            live(30);
            say("inject 1501");
            until(all_is_told(3));
            live(20);
            until(all_is_told(3) && mn_pen_info(fx.c, "CRASH", &info, 500) == MN_OK);
            nothing_is_lost_or_doubled();
            beyond = info.boot_count > 1 ? 0 : beyond + 1;
            tried += info.boot_count > 1;
            end();
            if (beyond > 0)
                break;
        }
    }
    printf("# the power went %u times: lost %u, doubled %u\n", tried, lost, doubled);
    assert_true(tried >= 8);
}

static void the_clock_is_set_by_a_day_and_back(void **state)
{
    static const int32_t days[] = {0, 1, 0, -1, 0};
    uint64_t before = 0;

    (void)state;
    well();
    for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
        uint32_t newest = fx.last[0];

        fx.shim->realtime_offset_s = days[i] * 86400;
        say("inject 1401");
        until(all_is_told(newest + 1));
        if (i > 0)
            assert_in_range(fx.host_us, before + (uint64_t)((days[i] - days[i - 1]) * 86400000000LL),
                            before + (uint64_t)((days[i] - days[i - 1]) * 86400000000LL + 20000000));
        before = fx.host_us;
        say("clear 1401");
        until(all_is_told(newest + 2));
    }
    nothing_is_lost_or_doubled();
    end();
}

static unsigned answers;

static void on_set(mn_client *c, const struct mn_result *r, void *user)
{
    (void)c;
    (void)user;
    if (r->error != MN_OK)
        fail_msg("%s", r->message);
    answers++;
}

static bool are_safe(size_t count)
{
    struct mn_pens pens;
    size_t safe = 0;

    if (mn_list(fx.c, &pens, T) != MN_OK)
        return false;
    for (size_t i = 0; i < pens.count; i++)
        safe += pens.pen[i].state == MN_STATE_SAFE;
    mn_pens_free(&pens);
    return safe == count;
}

/* A pen holds 1000 records: what it had to overwrite while the disk was away is said, not passed over. */
static void what_a_pen_has_overwritten_is_said(void **state)
{
    struct mn_filter filter = {.serial = "CRASH"};
    struct mn_cursor place = {0};
    struct mn_records page = {0};
    uint64_t said = 0;

    (void)state;
    well();
    until(are_safe(1));
    fx.shim->write_error = ENOSPC;
    answers = 0;
    for (unsigned i = 1; i <= 2500; i++) {
        struct mn_config change = {.present = MN_SET_DEPTH_UM, .depth_um = 50 * (1 + i % 2)};

        assert_int_equal(mn_config_set_async(fx.c, "CRASH", &change, NULL, T, on_set, NULL), MN_OK);
        while (answers + 3 < i)
            live(1);
    }
    until(answers == 2500);
    fx.shim->write_error = 0;
    until(all_is_told(2501));
    do {
        mn_records_free(&page);
        assert_int_equal(mn_records_read(fx.c, &place, &filter, &page, T), MN_OK);
        for (size_t i = 0; i < page.count; i++) {
            if (page.record[i].kind == MN_RECORD_LOST)
                said += page.record[i].note.through - page.record[i].note.first + 1;
        }
        place = page.next;
    } while (!page.end);
    mn_records_free(&page);
    printf("# %u of 2501 records were overwritten, and said\n", fx.lost);
    assert_int_equal(fx.lost, said);
    assert_true(fx.lost > 400);
    assert_int_equal(fx.doubled, 0);
    fx.lost = 0;
    nothing_is_lost_or_doubled(); /* of what the pen still had */
    end();
}

static void thirty_two_pens_bring_a_thousand_records_each(void **state)
{
    struct mn_status s;
    uint64_t began_ms;
    unsigned sent = 0;

    (void)state;
    begin();
    answers = 0;
    start_mnd();
    start_pens("32", NULL);
    until(fx.records >= PENS_MAX && are_safe(PENS_MAX));
    fx.shim->write_error = ENOSPC; /* from here on all wait for the disk */
    for (unsigned round = 1; round < 1000; round++) {
        for (unsigned pen = 1; pen <= PENS_MAX; pen++) {
            struct mn_config change = {.present = MN_SET_DEPTH_UM, .depth_um = 50 * (1 + round % 2)};
            char serial[16];

            snprintf(serial, sizeof(serial), "CRASH-%04u", pen);
            assert_int_equal(mn_config_set_async(fx.c, serial, &change, NULL, T, on_set, NULL), MN_OK);
            sent++;
        }
        while (answers + 3 * PENS_MAX < sent)
            live(1);
    }
    until(answers == sent);
    assert_int_equal(fx.records, PENS_MAX);
    began_ms = harness_now_ms();
    fx.shim->write_error = 0;
    until(fx.records == PENS_MAX * 1000);
    printf("# 32 pens x 1000 records within %lu ms, of which up to 1000 until the disk is tried again\n", (unsigned long)(harness_now_ms() - began_ms));
    for (unsigned pen = 0; pen < PENS_MAX; pen++)
        assert_int_equal(fx.last[pen], 1000);
    until(mn_pen_status(fx.c, "CRASH-0032", &s, T) == MN_OK && s.records_acked == 1000);
    nothing_is_lost_or_doubled();
    end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_every_point_nothing_is_lost_or_doubled),
        cmocka_unit_test(the_pens_power_goes_in_every_write_to_its_memory),
        cmocka_unit_test(the_clock_is_set_by_a_day_and_back),
        cmocka_unit_test(thirty_two_pens_bring_a_thousand_records_each),
        cmocka_unit_test(what_a_pen_has_overwritten_is_said),
    };

    signal(SIGPIPE, SIG_IGN);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
