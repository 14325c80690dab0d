/* Frames that are wrong, late, foreign or missing, and pens that answer nothing, garbage or without end. */
#include "bench.h"

static void corrupt_some(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    uint8_t wrong[2048];
    unsigned x = *mock_count(p) = *mock_count(p) * 1664525u + 1013904223u; /* no period that a resend might share */

    memcpy(wrong, bytes, n);
    if (x >> 29 == 0)
        wrong[(x >> 8) % n] ^= (uint8_t)(1u << (x >> 5) % 8);
    mock_in(p, endpoint, wrong, n, 0);
}

static void a_wrong_crc_is_dropped_counted_and_asked_again(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    all_is_well();
    mock_set_lens(p, &(struct mock_lens){.in = corrupt_some});
    for (int i = 0; i < 40; i++)
        echo_comes_back(200);
    mock_set_lens(p, NULL);
    all_is_well();
    assert_true(counters().bad_frames > 0);
    assert_true(fx.missed > 0);
}

static void of_another_session(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    uint8_t wrong[2048];
    struct mn_frame f;
    struct mn_frame_reader reader = {0};
    const uint8_t *at = bytes;
    size_t left = n;

    mock_in(p, endpoint, bytes, n, 0);
    if (endpoint != MOCK_BULK_IN || mn_frame_next(&reader, &at, &left, &f) != MN_FRAME_OK)
        return;
    f.session ^= 0x1000;
    mock_in(p, endpoint, wrong, mn_frame_write(wrong, sizeof(wrong), &f), 0);
}

static void frames_of_another_session_are_dropped_and_counted(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    all_is_well();
    mock_set_lens(p, &(struct mock_lens){.in = of_another_session});
    all_is_well();
    assert_true(counters().foreign_frames > 0);
    assert_int_equal(fx.missed, 0);
    assert_int_equal(counters().sessions, 1);
    mock_set_lens(p, NULL);
}

static bool is_reply(const uint8_t *bytes)
{
    return (mn_get_u16(bytes + 10) & MN_TYPE_REPLY) != 0;
}

/* Replies come two by two, the later first, each twice, and all of them once more much later. */
static void replies_shuffled(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    static uint8_t held[1100], old[1100];
    static size_t held_n, old_n;

    if (*mock_count(p) == 0)
        held_n = old_n = 0;
    if (endpoint != MOCK_BULK_IN || !is_reply(bytes)) {
        mock_in(p, endpoint, bytes, n, 0);
        return;
    }
    if (++*mock_count(p) % 2 == 1) {
        memcpy(held, bytes, held_n = n);
        return;
    }
    mock_in(p, endpoint, bytes, n, 0);
    mock_in(p, endpoint, held, held_n, 0);
    mock_in(p, endpoint, bytes, n, 0);
    if (old_n > 0)
        mock_in(p, endpoint, old, old_n, 0);
    memcpy(old, held, old_n = held_n);
}

static void replies_out_of_order_late_and_twice_find_their_requests_once(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    all_is_well();
    fx.answers = 0;
    mock_set_lens(p, &(struct mock_lens){.in = replies_shuffled});
    for (unsigned i = 0; i < 20; i += 2) {
        ask(MNP__FRAME_TYPE__TYPE_ECHO, "one", 3);
        ask(MNP__FRAME_TYPE__TYPE_INFO, NULL, 0);
        until(fx.answers == i + 2);
    }
    mock_set_lens(p, NULL);
    run(50);
    assert_int_equal(fx.answers, 20);
    assert_true(counters().stale_replies > 0);
    all_is_well();
}

static void wrong_numbers_of_correlation(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    uint8_t wrong[2048];
    struct mn_frame f;
    struct mn_frame_reader reader = {0};

    if (endpoint == MOCK_BULK_IN && is_reply(bytes) && mn_frame_next(&reader, &bytes, &n, &f) == MN_FRAME_OK) {
        f.correlation = (uint16_t)(f.correlation + 7);
        n = mn_frame_write(wrong, sizeof(wrong), &f);
        bytes = wrong;
    }
    mock_in(p, endpoint, bytes, n, 0);
}

static void a_reply_that_never_comes_ends_in_a_timeout_and_a_new_session(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    mock_set_lens(p, &(struct mock_lens){.in = wrong_numbers_of_correlation});
    ask(MNP__FRAME_TYPE__TYPE_ECHO, "x", 1);
    until(says("the pen does not answer"));
    mock_set_lens(p, NULL);
    until(fx.answered);
    all_is_well();
}

static void nothing(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    (void)p;
    (void)endpoint;
    (void)bytes;
    (void)n;
}

static void a_pen_that_never_answers_is_said_and_tried_again(void **state)
{
    struct mock_pen *p = new_pen();

    (void)state;
    mock_set_lens(p, &(struct mock_lens){.in = nothing});
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0600);
    until(says("the pen does not answer: replug it if this stays"));
    mock_set_lens(p, NULL);
    all_is_well();
}

static void a_pen_that_falls_silent_is_said_and_begun_anew(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    mock_set_lens(p, &(struct mock_lens){.in = nothing});
    until(says("the pen has fallen silent") || says("does not answer"));
    mock_set_lens(p, NULL);
    all_is_well();
}

static void garbage(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    uint8_t wrong[2048];
    uint32_t x = 2463534242u + ++*mock_count(p);

    for (size_t i = 0; i < n; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        wrong[i] = (uint8_t)x;
    }
    if (*mock_count(p) % 2 == 0) /* sometimes it begins like a frame, and names a great length */
        memcpy(wrong, "NM\001\000\377\377", n < 6 ? n : 6);
    (void)bytes;
    mock_in(p, endpoint, wrong, n, 0);
}

static void a_pen_that_answers_garbage_is_never_ready_and_harms_nobody(void **state)
{
    struct mock_pen *good, *bad = NULL;

    (void)state;
    good = good_pen();
    bad = new_pen();
    mock_set_lens(bad, &(struct mock_lens){.in = garbage});
    mock_plug(bad, 2, MOCK_SHAPE_PEN, 0600);
    run(2500);
    assert_int_equal(ready(), 1);
    assert_int_equal(fx.wrong_values, 0);
    mock_set_lens(bad, NULL);
    all_is_well();
    (void)good;
}

/* As fast as transfers come: a valid frame, fifty times. */
static void flood(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    for (int i = 0; i < (endpoint == MOCK_BULK_IN ? 50 : 1); i++)
        mock_in(p, endpoint, bytes, n, 0);
}

static uint64_t bytes_in(void)
{
    return counters().bytes_in;
}

static void a_pen_that_floods_does_not_keep_a_stop_out(void **state)
{
    struct mock_pen *p;
    uint64_t worst = 0;

    (void)state;
    p = good_pen();
    mock_set_lens(p, &(struct mock_lens){.in = flood});
    for (int i = 0; i < 100; i++) {
        uint64_t before = bytes_in();

        ask(MNP__FRAME_TYPE__TYPE_STOP, NULL, 0);
        until(fx.answered);
        assert_int_equal(fx.result, PEN_RESULT_REPLY);
        worst = bytes_in() - before > worst ? bytes_in() - before : worst;
    }
    printf("# through a flood, worst of 100 STOPs: answered after %lu bytes\n", (unsigned long)worst);
    assert_in_range(worst, 1, 16384); /* counted, so that no busy machine changes it */
    mock_set_lens(p, NULL);
    until(ready() == 1);
    echo_comes_back(10);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_wrong_crc_is_dropped_counted_and_asked_again),
        TEST(frames_of_another_session_are_dropped_and_counted),
        TEST(replies_out_of_order_late_and_twice_find_their_requests_once),
        TEST(a_reply_that_never_comes_ends_in_a_timeout_and_a_new_session),
        TEST(a_pen_that_never_answers_is_said_and_tried_again),
        TEST(a_pen_that_falls_silent_is_said_and_begun_anew),
        TEST(a_pen_that_answers_garbage_is_never_ready_and_harms_nobody),
        TEST(a_pen_that_floods_does_not_keep_a_stop_out),
    };

    heap_count();
    if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0)) /* root has every permission: some tests are about having none */
        return 1;
    log_set_level(getenv("MN_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("usb_frames", tests, NULL, NULL);
}
