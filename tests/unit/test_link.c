/* The pen's end of the link by itself: replies that come again, a wire that is busy, frames cut in two by a reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "pen.pb.h"

static struct {
    unsigned room; /* frames that the wire takes */
    unsigned count;
    struct mn_frame sent[32];
    uint8_t payload[32][MN_FRAME_PAYLOAD_MAX];
} wire;
static struct link *l; /* of its own piece of memory: who reads behind it is caught */

static bool wire_send(void *ctx, enum pen_endpoint endpoint, const uint8_t *bytes, size_t n)
{
    struct mn_frame_reader reader = {0};

    (void)ctx;
    (void)endpoint;
    if (wire.room == 0)
        return false;
    wire.room--;
    assert_int_equal(mn_frame_next(&reader, &bytes, &n, &wire.sent[wire.count]), MN_FRAME_OK);
    memcpy(wire.payload[wire.count], wire.sent[wire.count].payload, wire.sent[wire.count].length);
    wire.count++;
    return true;
}

static const struct pen_port port = {.send = wire_send};

static int begin(void **state)
{
    (void)state;
    memset(&wire, 0, sizeof(wire));
    wire.room = 32;
    l = calloc(1, sizeof(*l));
    if (l == NULL)
        return -1;
    link_reset(l);
    link_open(l, 7);
    return 0;
}

static int end(void **state)
{
    (void)state;
    free(l);
    return 0;
}

static uint64_t now_ms = 1000;

static struct link_reply *reply(uint16_t correlation)
{
    struct link_reply *r = link_claim(l, correlation, now_ms);

    assert_non_null(r);
    r->type = mnp_FrameType_TYPE_STOP | MN_TYPE_REPLY;
    r->length = 1;
    r->payload[0] = (uint8_t)correlation;
    r->state = REPLY_READY;
    return r;
}

static void a_request_that_comes_twice_has_one_reply(void **state)
{
    (void)state;
    assert_null(link_repeat(l, 1, now_ms));
    for (uint16_t i = 1; i <= MN_REPLIES_KEPT; i++) {
        reply(i);
        assert_true(link_flush(l, &port, now_ms));
    }
    assert_null(link_repeat(l, MN_REPLIES_KEPT + 1, now_ms));
    assert_int_equal(link_repeat(l, MN_REPLIES_KEPT, now_ms)->state, REPLY_READY);
    assert_true(link_flush(l, &port, now_ms));
    assert_int_equal(wire.count, MN_REPLIES_KEPT + 1);
    assert_int_equal(wire.sent[MN_REPLIES_KEPT].correlation, MN_REPLIES_KEPT);
    reply(100); /* in the place of the oldest */
    assert_null(link_repeat(l, 1, now_ms));
    assert_non_null(link_repeat(l, 2, now_ms));
    link_reset(l);
    assert_null(link_repeat(l, 2, now_ms));
}

static void replies_that_wait_are_not_given_up_for_new_ones(void **state)
{
    (void)state;
    for (uint16_t i = 1; i <= MN_REPLIES_KEPT; i++)
        reply(i)->state = i % 2 == 0 ? REPLY_READY : REPLY_WORKING;
    assert_null(link_claim(l, 99, now_ms));
    l->replies[3].state = REPLY_SENT;
    assert_ptr_equal(link_claim(l, 99, now_ms), &l->replies[3]);
    assert_null(link_claim(l, 100, now_ms));
}

/* How long each reply took is counted by the pen's clock, from the request to the moment at which the wire takes it. */
static void late_replies_are_counted(void **state)
{
    (void)state;
    reply(1);
    now_ms += LINK_REPLY_LATE_MS;
    assert_true(link_flush(l, &port, now_ms)); /* just in time */
    assert_int_equal(l->replies_sent, 1);
    assert_int_equal(l->replies_late, 0);
    assert_int_equal(l->reply_max_ms, LINK_REPLY_LATE_MS);
    reply(2);
    wire.room = 0;
    now_ms += 2;
    assert_false(link_flush(l, &port, now_ms)); /* not sent yet */
    assert_int_equal(l->replies_sent, 1);
    wire.room = 32;
    now_ms += 4;
    assert_true(link_flush(l, &port, now_ms));
    assert_int_equal(l->replies_sent, 2);
    assert_int_equal(l->replies_late, 1);
    assert_int_equal(l->reply_max_ms, 6);
    assert_non_null(link_repeat(l, 2, now_ms)); /* asked for again: from now on */
    assert_true(link_flush(l, &port, now_ms));
    assert_int_equal(l->replies_sent, 3);
    assert_int_equal(l->replies_late, 1);
    link_reset(l);
    assert_int_equal(l->replies_sent, 3); /* since boot */
}

static void a_busy_wire_is_tried_again_in_order(void **state)
{
    (void)state;
    for (uint16_t i = 1; i <= 3; i++)
        reply(i);
    l->progress_correlation = 3;
    l->progress_permille = 333;
    wire.room = 1;
    assert_false(link_flush(l, &port, now_ms));
    assert_int_equal(wire.count, 1);
    wire.room = 2;
    assert_false(link_flush(l, &port, now_ms)); /* the progress waits still */
    assert_int_equal(l->progress_correlation, 3);
    wire.room = 32;
    assert_true(link_flush(l, &port, now_ms));
    assert_true(link_flush(l, &port, now_ms));
    assert_int_equal(wire.count, 4);
    for (uint16_t i = 0; i < 4; i++) {
        assert_int_equal(wire.sent[i].sequence, i);
        assert_int_equal(wire.sent[i].correlation, i < 3 ? i + 1 : 3);
    }
    assert_int_equal(wire.sent[3].type, mnp_FrameType_TYPE_PROGRESS);
    assert_memory_equal(wire.payload[3], ((uint8_t[]){0x08, 0xcd, 0x02}), 3);
}

static void bad_frames_count_for_a_second(void **state)
{
    (void)state;
    assert_int_equal(link_bad_recent(l, 0), 0);
    for (uint64_t i = 0; i < 4; i++)
        link_note_bad(l, 10 * i);
    assert_int_equal(link_bad_recent(l, 1009), 3);
    assert_int_equal(link_bad_recent(l, 1010), 2);
    assert_int_equal(link_bad_recent(l, 1020), 1);
    assert_int_equal(link_bad_recent(l, 1029), 1);
    assert_int_equal(link_bad_recent(l, 1030), 0);
}

static void a_reset_forgets_half_a_frame(void **state)
{
    static const uint8_t payload[20];
    uint8_t bytes[MN_FRAME_MAX];
    struct mn_frame f = {.major = MN_PROTOCOL_MAJOR, .length = sizeof(payload), .payload = payload}, read;
    size_t n = mn_frame_write(bytes, sizeof(bytes), &f), half = n / 2;
    const uint8_t *p = bytes;

    (void)state;
    assert_int_equal(mn_frame_next(&l->reader, &p, &half, &read), MN_FRAME_NONE);
    link_reset(l);
    p = bytes;
    assert_int_equal(mn_frame_next(&l->reader, &p, &n, &read), MN_FRAME_OK);
    assert_int_equal(read.length, sizeof(payload));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(a_request_that_comes_twice_has_one_reply),
        T(replies_that_wait_are_not_given_up_for_new_ones),
        T(late_replies_are_counted),
        T(a_busy_wire_is_tried_again_in_order),
        T(bad_frames_count_for_a_second),
        T(a_reset_forgets_half_a_frame),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
