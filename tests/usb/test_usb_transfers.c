/* Transfers that stall, overflow, end early or fail. */
#include "bench.h"

static void stall_of(uint8_t endpoint)
{
    struct mock_pen *p = good_pen();
    int64_t sessions = (int64_t)counters().sessions;

    mock_halt(p, endpoint);
    if (endpoint == MOCK_BULK_OUT)
        ask(MNP__FRAME_TYPE__TYPE_ECHO, "x", 1);
    until(mock_halts_cleared(p) == 1);
    all_is_well();
    assert_int_equal(counters().sessions, sessions + 1);
    assert_int_equal(mock_halts_cleared(p), 1); /* once is enough */
}

static void a_stalled_bulk_in_is_cleared_and_the_session_begun_anew(void **state)
{
    (void)state;
    stall_of(MOCK_BULK_IN);
}

static void a_stalled_bulk_out_is_cleared_and_the_session_begun_anew(void **state)
{
    (void)state;
    stall_of(MOCK_BULK_OUT);
}

static void a_stalled_interrupt_in_is_cleared_and_the_session_begun_anew(void **state)
{
    (void)state;
    stall_of(MOCK_INTERRUPT_IN);
}

/* Each frame in pieces of odd sizes, one of them a whole number of packets. */
static void split(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    size_t at = 0, piece;

    if (endpoint != MOCK_BULK_IN) {
        mock_in(p, endpoint, bytes, n, 0);
        return;
    }
    for (unsigned i = ++*mock_count(p); at < n; at += piece) {
        piece = 1 + (i++ * 37) % 200;
        if (piece > n - at)
            piece = n - at;
        mock_in(p, endpoint, bytes + at, piece, 0);
    }
}

/* Two frames at a time. A single one waits for its neighbour, so small things are not held back for ever: telemetry flows. */
static void join(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    static uint8_t both[2100];
    static size_t held;

    if (endpoint != MOCK_BULK_IN) {
        mock_in(p, endpoint, bytes, n, 0);
        return;
    }
    if ((*mock_count(p))++ == 0)
        held = 0;
    memcpy(both + held, bytes, n);
    held += n;
    if (held > n) {
        if (held % MOCK_PACKET != 0)
            mock_in(p, endpoint, both, held, 0);
        else {
            mock_in(p, endpoint, both, held - 1, 0);
            mock_in(p, endpoint, both + held - 1, 1, 0);
        }
        held = 0;
    }
}

static void with_empty_transfers(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    mock_in(p, endpoint, NULL, 0, 0);
    mock_in(p, endpoint, bytes, n, 0);
    mock_in(p, endpoint, NULL, 0, 0);
}

static void streams_whole_through(void (*lens)(struct mock_pen *, uint8_t, const uint8_t *, size_t))
{
    struct mock_pen *p = good_pen();
    uint64_t bad;

    all_is_well();
    bad = counters().bad_frames;
    mock_set_lens(p, &(struct mock_lens){.in = lens});
    for (int i = 0; i < 5; i++)
        all_is_well();
    assert_int_equal(fx.missed, 0);
    assert_int_equal(counters().bad_frames - bad, 0);
    assert_int_equal(counters().sessions, 1);
    mock_set_lens(p, NULL);
}

static void frames_split_over_transfers_are_put_together(void **state)
{
    (void)state;
    streams_whole_through(split);
}

static void frames_joined_in_a_transfer_are_taken_apart(void **state)
{
    (void)state;
    streams_whole_through(join);
}

static void empty_transfers_mean_nothing(void **state)
{
    (void)state;
    streams_whole_through(with_empty_transfers);
}

/* 16 + n + 4 bytes on the wire, and one more where that would be a multiple of 64. */
static void sizes_around_packet_multiples_come_back(void **state)
{
    (void)state;
    good_pen();
    for (size_t packet = 64; packet <= 1024; packet += 64) {
        for (size_t wire = packet - 1; wire <= packet + 1; wire++) {
            if (wire >= 20 && wire - 20 <= 1003)
                echo_comes_back(wire - 20);
        }
    }
    assert_int_equal(counters().bad_frames, 0);
    assert_int_equal(counters().sessions, 1);
}

static void pad_until_packet_multiple(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    uint8_t more[2048] = {0};

    if (endpoint != MOCK_BULK_IN || (*mock_count(p))++ % 4 != 0) {
        mock_in(p, endpoint, bytes, n, 0);
        return;
    }
    memcpy(more, bytes, n);
    mock_in(p, endpoint, more, (n + MOCK_PACKET - 1) / MOCK_PACKET * MOCK_PACKET, 0); /* no empty packet follows */
}

static void a_transfer_that_ends_on_a_packet_multiple_costs_nothing_but_its_padding(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    mock_set_lens(p, &(struct mock_lens){.in = pad_until_packet_multiple});
    for (int i = 0; i < 5; i++)
        all_is_well();
    assert_int_equal(fx.missed, 0);
    assert_int_equal(counters().sessions, 1);
    mock_set_lens(p, NULL);
}

static void overflow(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    static uint8_t much[20000];

    if (endpoint == MOCK_BULK_IN && ++*mock_count(p) == 5)
        mock_in(p, endpoint, much, sizeof(much) - 1, 0);
    else
        mock_in(p, endpoint, bytes, n, 0);
}

static void an_overflow_begins_the_session_anew(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    mock_set_lens(p, &(struct mock_lens){.in = overflow});
    until(says("the pen sent more than a transfer holds") || counters().sessions == 2);
    all_is_well();
    assert_int_equal(counters().sessions, 2);
}

static int out_partly(struct mock_pen *p, const uint8_t *bytes, size_t n, size_t *taken)
{
    if (++*mock_count(p) != 1) {
        mock_out(p, bytes, n);
        return 0;
    }
    *taken = n / 2; /* the pen took half, then nothing: the host's time limit ends it */
    mock_out(p, bytes, n / 2);
    return MOCK_HELD;
}

static void a_timeout_with_half_the_bytes_taken_begins_the_session_anew(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    mock_set_lens(p, &(struct mock_lens){.out = out_partly});
    ask(MNP__FRAME_TYPE__TYPE_ECHO, "0123456789", 10);
    until(counters().sessions == 2);
    until(fx.answered); /* the new session asks again: a ping may be asked twice */
    all_is_well();
}

static void error_status(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    unsigned i = endpoint == MOCK_BULK_IN ? ++*mock_count(p) : 0;

    mock_in(p, endpoint, bytes, n, i % 3 == 1 ? -EPROTO : 0);
}

static void bytes_of_a_failed_transfer_are_used_all_the_same(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    all_is_well();
    mock_set_lens(p, &(struct mock_lens){.in = error_status});
    for (int i = 0; i < 3; i++)
        all_is_well();
    assert_int_equal(fx.missed, 0);
    mock_set_lens(p, NULL);
}

static void nothing_but_errors(struct mock_pen *p, uint8_t endpoint, const uint8_t *bytes, size_t n)
{
    (void)bytes;
    (void)n;
    for (int i = 0; i < 12; i++)
        mock_in(p, endpoint, NULL, 0, -EPROTO);
}

static void a_pipe_that_only_fails_is_not_asked_for_ever(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    mock_set_lens(p, &(struct mock_lens){.in = nothing_but_errors});
    until(first_pen() == NULL || !pen_is_ready(first_pen()));
    mock_set_lens(p, NULL);
    all_is_well(); /* closed, found again by looking at the list, opened */
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_stalled_bulk_in_is_cleared_and_the_session_begun_anew),
        TEST(a_stalled_bulk_out_is_cleared_and_the_session_begun_anew),
        TEST(a_stalled_interrupt_in_is_cleared_and_the_session_begun_anew),
        TEST(frames_split_over_transfers_are_put_together),
        TEST(frames_joined_in_a_transfer_are_taken_apart),
        TEST(empty_transfers_mean_nothing),
        TEST(sizes_around_packet_multiples_come_back),
        TEST(a_transfer_that_ends_on_a_packet_multiple_costs_nothing_but_its_padding),
        TEST(an_overflow_begins_the_session_anew),
        TEST(a_timeout_with_half_the_bytes_taken_begins_the_session_anew),
        TEST(bytes_of_a_failed_transfer_are_used_all_the_same),
        TEST(a_pipe_that_only_fails_is_not_asked_for_ever),
    };

    heap_count();
    if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0)) /* root has every permission: some tests are about having none */
        return 1;
    log_set_level(getenv("MN_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("usb_transfers", tests, NULL, NULL);
}
