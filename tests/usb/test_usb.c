/*
 * The daemon's own USB code, from libusb's calls to what clients would be told, against a mocked usbfs: everything that a
 * cable, a kernel, another program and a pen can do wrong. Each test asserts first that its pens were there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"
#include "hub.h"
#include "link.h"
#include "log.h"
#include "mock.h"
#include "pen.pb-c.h"

enum { PENS = 16, PATIENCE_MS = 8000 };

static struct {
    sd_event *event;
    struct usb_bus *bus;
    struct hub *hub;
    struct subscriber subscriber;
    struct mock_pen *pens[PENS];
    unsigned pen_count;
    /* what a client would have been told */
    uint64_t samples, missed, wrong_values, events;
    uint32_t boot_id; /* of the last batch */
    uint64_t records;
    bool record_order_broken;
    struct {
        uint32_t boot_id, last_record;
        uint64_t next_seq;
    } of[PENS];
    char dir[64], journal[96];
    /* the last call */
    bool answered;
    enum pen_result result;
    uint16_t type;
    unsigned answers;
} fx;

/* ---- the test's words ---- */

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Serial numbers are MOCK-1, MOCK-2 ... */
static size_t index_of(const char *serial)
{
    size_t i = strtoul(serial + 5, NULL, 10) - 1;

    assert_true(i < PENS);
    return i;
}

static void take_telemetry(const Mnc__Telemetry *t)
{
    Mnp__TelemetryBatch *b = mnp__telemetry_batch__unpack(NULL, t->batch.len, t->batch.data);

    assert_non_null(b);
    if (b->fast != NULL) {
        const Mnp__FastGroup *g = b->fast;
        size_t i = index_of(t->serial);

        if (fx.of[i].boot_id == b->boot_id) {
            fx.wrong_values += g->first_seq < fx.of[i].next_seq || g->n_depth_um != g->count || g->count == 0;
            fx.missed += g->first_seq - fx.of[i].next_seq;
        }
        fx.boot_id = fx.of[i].boot_id = b->boot_id;
        fx.of[i].next_seq = g->first_seq + g->count;
        fx.samples += g->count;
    }
    mnp__telemetry_batch__free_unpacked(b, NULL);
}

/* What a program that follows the records would be told: of each pen one after the other. */
static void on_committed(void *ctx, const struct journal_record *const *r, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        uint32_t *last;

        if (r[i]->kind >= MNC__JOURNAL_KIND__JOURNAL_BEGUN)
            continue;
        last = &fx.of[index_of(r[i]->serial)].last_record;
        fx.record_order_broken |= r[i]->number != *last + 1;
        *last = r[i]->number;
        fx.records++;
    }
}

static void take_message(const uint8_t *bytes, size_t n)
{
    Mnc__ServerMessage *m = mnc__server_message__unpack(NULL, n - 4, bytes + 4);

    assert_non_null(m);
    fx.events++;
    if (m->body_case == MNC__SERVER_MESSAGE__BODY_TELEMETRY)
        take_telemetry(m->telemetry);
    mnc__server_message__free_unpacked(m, NULL);
}

static void push(struct subscriber *s, struct buf *b)
{
    (void)s;
    take_message(b->bytes, b->length);
}

static void flush(struct subscriber *s)
{
    struct cursor *r = &s->telemetry;

    for (; r->next < r->ring->end; r->next++)
        take_message(ring_bytes(r->ring, r->next), ring_message(r->ring, r->next)->length);
}

/* One turn of the daemon's loop: libusb's descriptors cannot be waited for here, so it is looked at each time. */
static void turn(uint64_t wait_us)
{
    assert_true(sd_event_run(fx.event, wait_us) >= 0);
    usb_bus_dispatch(fx.bus);
    mock_tidy();
}

#define until(condition)                                                                                               \
    do {                                                                                                               \
        uint64_t end_ms_ = now_ms() + PATIENCE_MS;                                                                     \
        while (!(condition)) {                                                                                         \
            if (now_ms() > end_ms_)                                                                                    \
                fail_msg("%s:%d: not within %d ms: %s (%s)", __FILE__, __LINE__, PATIENCE_MS, #condition, last_error());  \
            turn(200);                                                                                                 \
        }                                                                                                              \
    } while (0)

static void run(unsigned ms)
{
    uint64_t end_ms = now_ms() + ms;

    while (now_ms() < end_ms)
        turn(200);
}

static struct pen *first_pen(void)
{
    return hub_next(fx.hub, NULL);
}

static const char *last_error(void)
{
    return first_pen() != NULL ? pen_last_error(first_pen()) : "no pen";
}

static bool says(const char *words)
{
    return strstr(last_error(), words) != NULL;
}

static unsigned ready(void)
{
    unsigned n = 0;

    for (struct pen *p = NULL; (p = hub_next(fx.hub, p)) != NULL;)
        n += pen_is_ready(p);
    return n;
}

static Mnc__LinkCounters counters(void)
{
    Mnc__PenInfo info;
    Mnc__LinkCounters c = MNC__LINK_COUNTERS__INIT;

    if (first_pen() != NULL)
        pen_info(first_pen(), &info, &c);
    return c;
}

static Mnc__PenLink link_state(void)
{
    Mnc__PenInfo info;
    Mnc__LinkCounters c;

    assert_non_null(first_pen());
    pen_info(first_pen(), &info, &c);
    return info.link;
}

static struct mock_pen *new_pen(void)
{
    char serial[16];

    snprintf(serial, sizeof(serial), "MOCK-%u", fx.pen_count + 1);
    return fx.pens[fx.pen_count++] = mock_pen_new(serial);
}

/* A pen is plugged in and gets ready. */
static struct mock_pen *good_pen(void)
{
    struct mock_pen *p = new_pen();

    mock_plug(p, fx.pen_count, MOCK_SHAPE_PEN, 0600);
    until(ready() == fx.pen_count);
    return p;
}

static void on_done(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
{
    (void)ctx;
    (void)id;
    (void)payload;
    (void)n;
    if (result == PEN_RESULT_PROGRESS)
        return;
    fx.answers++;
    fx.answered = true;
    fx.result = result;
    fx.type = type;
}

static void ask(uint16_t type, const void *payload, size_t n)
{
    fx.answered = false;
    assert_int_equal(pen_call(first_pen(), type, payload, n, 4000, on_done, &fx, 1), 0);
}

static void echo_comes_back(size_t n)
{
    uint8_t bytes[1003];

    memset(bytes, 0x5a, sizeof(bytes));
    ask(MNP__FRAME_TYPE__TYPE_ECHO, bytes, n);
    until(fx.answered);
    assert_int_equal(fx.result, PEN_RESULT_REPLY);
    assert_int_equal(fx.type, MNP__FRAME_TYPE__TYPE_ECHO | MN_TYPE_REPLY);
}

/* The pen works: it answers, and telemetry flows without a lie. */
static void all_is_well(void)
{
    uint64_t before;

    until(ready() == fx.pen_count);
    echo_comes_back(100);
    before = fx.samples;
    until(fx.samples > before + 50);
    assert_int_equal(fx.wrong_values, 0);
    until(fx.records >= fx.pen_count); /* each has written its boot */
    assert_false(fx.record_order_broken);
}

static unsigned descriptors_open(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");

    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static int start(void **state)
{
    const struct journal_limits limits = {.keep_us = UINT64_MAX, .max_bytes = UINT64_MAX};

    (void)state;
    memset(&fx, 0, sizeof(fx));
    strcpy(fx.dir, "/tmp/mn-usb-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    snprintf(fx.journal, sizeof(fx.journal), "%s/journal.db", fx.dir);
    mock_start();
    assert_true(sd_event_new(&fx.event) >= 0);
    assert_int_equal(hub_new(&fx.hub, fx.event), 0);
    assert_int_equal(usb_bus_new(&fx.bus, fx.event, 0x1209, 0x0001, hub_pen_arrived, fx.hub), 0);
    fx.subscriber.push = push;
    fx.subscriber.flush = flush;
    fanout_add(hub_fanout(fx.hub), &fx.subscriber);
    fx.subscriber.watching = true;
    assert_null(hub_subscribe(fx.hub, &fx.subscriber, NULL, true));
    hub_open_journal(fx.hub, fx.journal, &limits);
    assert_string_equal(hub_journal_error(fx.hub), "");
    hub_add_observer(fx.hub, &(struct hub_observer){.ctx = &fx, .committed = on_committed});
    run(20);
    return 0;
}

static int stop(void **state)
{
    char command[96];

    (void)state;
    mock_set_deaf(false);
    until(hub_close_pens(fx.hub));
    run(5);
    usb_bus_free(fx.bus);
    hub_close_journal(fx.hub);
    fanout_remove(hub_fanout(fx.hub), &fx.subscriber);
    hub_free(fx.hub);
    sd_event_unref(fx.event);
    for (unsigned i = 0; i < fx.pen_count; i++) {
        assert_int_equal(mock_in_flight(fx.pens[i]), 0); /* libusb has every transfer back */
        mock_pen_free(fx.pens[i]);
    }
    mock_stop();
    buf_pool_free();
    snprintf(command, sizeof(command), "rm -r %s", fx.dir);
    return system(command);
}

/* ---- opening ---- */

static void a_pen_is_found_opened_and_streams(void **state)
{
    (void)state;
    good_pen();
    all_is_well();
    assert_string_equal(pen_serial(first_pen()), "MOCK-1");
    assert_int_equal(fx.missed, 0);
}

static void refused_for_its_shape(enum mock_shape shape)
{
    mock_plug(new_pen(), 1, shape, 0600);
    until(first_pen() != NULL && link_state() == MNC__PEN_LINK__LINK_FAILED);
    assert_string_equal(last_error(), "pen at usb 1-1: it has a pen's id, but not its interface and endpoints");
}

static void a_device_without_a_vendor_interface_is_refused(void **state)
{
    (void)state;
    refused_for_its_shape(MOCK_SHAPE_NO_VENDOR_INTERFACE);
}

static void a_device_without_an_interrupt_endpoint_is_refused(void **state)
{
    (void)state;
    refused_for_its_shape(MOCK_SHAPE_NO_INTERRUPT_IN);
}

static void a_device_without_a_bulk_out_endpoint_is_refused(void **state)
{
    (void)state;
    refused_for_its_shape(MOCK_SHAPE_NO_BULK_OUT);
}

static void a_device_whose_status_packets_are_too_short_is_refused(void **state)
{
    (void)state;
    refused_for_its_shape(MOCK_SHAPE_SHORT_STATUS);
}

static void a_device_with_a_cut_descriptor_is_refused(void **state)
{
    (void)state;
    mock_plug(new_pen(), 1, MOCK_SHAPE_CUT_DESCRIPTOR, 0600);
    run(300); /* libusb may not even list it */
    assert_int_equal(ready(), 0);
}

static void the_pens_interface_may_be_the_second_of_two(void **state)
{
    (void)state;
    mock_plug(new_pen(), 1, MOCK_SHAPE_SECOND_INTERFACE, 0600);
    all_is_well();
}

static void another_device_at_the_same_port_is_left_alone(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    mock_unplug(p, false);
    until(first_pen() == NULL);
    mock_plug(p, 1, MOCK_SHAPE_OTHER_DEVICE, 0600);
    run(300);
    assert_null(first_pen());
    mock_unplug(p, false);
    run(50);
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0600);
    all_is_well();
}

static int busy_three_times(struct mock_pen *p)
{
    return ++*mock_count(p) <= 3 ? EBUSY : 0;
}

static int busy_for_good(struct mock_pen *p)
{
    (void)p;
    return EBUSY;
}

static int io_error_three_times(struct mock_pen *p)
{
    return ++*mock_count(p) <= 3 ? EIO : 0;
}

static void a_pen_that_another_program_lets_go_of_is_opened(void **state)
{
    struct mock_pen *p = new_pen();

    (void)state;
    mock_set_lens(p, &(struct mock_lens){.claim = busy_three_times});
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0600);
    until(says("another program holds it"));
    all_is_well();
    assert_string_equal(last_error(), "");
}

static void a_pen_that_another_program_holds_is_named_and_tried_again(void **state)
{
    struct mock_pen *p = new_pen();

    (void)state;
    mock_set_lens(p, &(struct mock_lens){.claim = busy_for_good});
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0600);
    until(first_pen() != NULL && link_state() == MNC__PEN_LINK__LINK_FAILED);
    assert_string_equal(last_error(), "pen at usb 1-1: another program holds it: end that program");
    mock_set_lens(p, NULL);
    all_is_well(); /* within 5 s, without a replug */
}

static void permission_that_comes_late_is_waited_for(void **state)
{
    struct mock_pen *p = new_pen();

    (void)state;
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0);
    until(says("no permission"));
    assert_int_equal(link_state(), MNC__PEN_LINK__LINK_OPENING); /* not given up */
    run(500);
    mock_chmod(p, 0600);
    all_is_well();
}

static void permission_that_never_comes_is_said_with_the_remedy(void **state)
{
    struct mock_pen *p = new_pen();

    (void)state;
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0);
    until(first_pen() != NULL && link_state() == MNC__PEN_LINK__LINK_FAILED);
    assert_string_equal(last_error(), "pen at usb 1-1: no permission: install udev/70-mn.rules and replug it");
    mock_chmod(p, 0600); /* `udevadm trigger` instead of a replug */
    all_is_well();
}

static void a_pen_that_the_kernel_left_unconfigured_is_said_to_be_so(void **state)
{
    struct mock_pen *p = new_pen();

    (void)state;
    mock_plug(p, 1, MOCK_SHAPE_UNCONFIGURED, 0600);
    until(says("left it unconfigured"));
    assert_int_equal(link_state(), MNC__PEN_LINK__LINK_OPENING);
    mock_unplug(p, false);
    until(first_pen() == NULL);
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0600);
    all_is_well();
}

/* Twice is waited until the pen is looked for, 5 s each. */
static void run_until_ready(unsigned pens)
{
    uint64_t end_ms = now_ms() + 3 * PATIENCE_MS;

    while (ready() != pens && now_ms() < end_ms)
        turn(200);
    assert_int_equal(ready(), pens);
}

static void a_pen_of_which_udev_says_nothing_is_found(void **state)
{
    struct mock_pen *p = new_pen();
    struct usb_watch *watch;

    (void)state;
    assert_int_equal(usb_watch_new(&watch, fx.event, fx.bus), 0); /* it goes over to the new context, too; a pen's own descriptor is a file here, which cannot be watched */
    mock_set_deaf(true);
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0600);
    run_until_ready(1);
    mock_unplug(p, false); /* the transfers say so */
    until(ready() == 0);
    mock_plug(p, 2, MOCK_SHAPE_PEN, 0600);
    run_until_ready(1);
    mock_set_deaf(false);
    all_is_well();
    usb_watch_free(watch);
}

static void an_io_error_while_opening_is_tried_again(void **state)
{
    struct mock_pen *p = new_pen();

    (void)state;
    mock_set_lens(p, &(struct mock_lens){.claim = io_error_three_times});
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0600);
    until(says("I/O error"));
    all_is_well();
}

static int control_stalls(struct mock_pen *p, uint8_t request)
{
    (void)p;
    (void)request;
    return -EPIPE;
}

static int control_held(struct mock_pen *p, uint8_t request)
{
    (void)p;
    (void)request;
    return MOCK_HELD;
}

static void somebody_elses_device_with_our_id_is_said_to_be_none(void **state)
{
    struct mock_pen *p = new_pen();

    (void)state;
    mock_set_lens(p, &(struct mock_lens){.control = control_stalls});
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0600);
    until(says("the pen refuses the session reset: is it a pen?"));
    mock_set_lens(p, NULL);
    all_is_well();
}

static void a_control_pipe_that_never_answers_is_given_up_and_begun_anew(void **state)
{
    struct mock_pen *p = new_pen();

    (void)state;
    mock_set_lens(p, &(struct mock_lens){.control = control_held});
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0600);
    until(says("does not answer") || says("refuses the session reset"));
    mock_set_lens(p, NULL);
    all_is_well();
}

/* ---- transfers ---- */

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

/* ---- what a pen says ---- */

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

static void a_pen_that_floods_does_not_keep_a_stop_out(void **state)
{
    struct mock_pen *p;
    uint64_t worst = 0;

    (void)state;
    p = good_pen();
    mock_set_lens(p, &(struct mock_lens){.in = flood});
    for (int i = 0; i < 100; i++) {
        uint64_t began = now_ms();

        ask(MNP__FRAME_TYPE__TYPE_STOP, NULL, 0);
        until(fx.answered);
        assert_int_equal(fx.result, PEN_RESULT_REPLY);
        if (now_ms() - began > worst)
            worst = now_ms() - began;
    }
    printf("# worst of 100 STOPs through a flood: %lu ms\n", (unsigned long)worst);
    assert_in_range(worst, 0, 500);
    mock_set_lens(p, NULL);
    until(ready() == 1);
    echo_comes_back(10);
}

/* ---- coming and going ---- */

static void unplugged_while_it_is_opened(void **state)
{
    struct mock_pen *p = new_pen();

    (void)state;
    mock_set_lens(p, &(struct mock_lens){.claim = busy_for_good});
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0600);
    until(says("another program holds it"));
    mock_unplug(p, false);
    until(first_pen() == NULL);
}

static void unplugged_while_the_session_is_reset(void **state)
{
    struct mock_pen *p = new_pen();

    (void)state;
    mock_set_lens(p, &(struct mock_lens){.control = control_held});
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0600);
    until(mock_in_flight(p) == 11); /* 8 + 2 IN, and the reset */
    mock_unplug(p, false);
    until(first_pen() == NULL);
}

static int out_held(struct mock_pen *p, const uint8_t *bytes, size_t n, size_t *taken)
{
    (void)p;
    (void)bytes;
    (void)n;
    *taken = 0;
    return MOCK_HELD;
}

static void unplugged_while_it_is_greeted(void **state)
{
    struct mock_pen *p = new_pen();

    (void)state;
    mock_set_lens(p, &(struct mock_lens){.out = out_held});
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0600);
    until(mock_in_flight(p) == 11); /* the HELLO */
    mock_unplug(p, false);
    until(first_pen() == NULL);
}

static void unplugged_with_requests_in_flight(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    mock_set_lens(p, &(struct mock_lens){.out = out_held});
    fx.answers = 0;
    for (int i = 0; i < 10; i++)
        ask(MNP__FRAME_TYPE__TYPE_ECHO, "x", 1);
    run(20);
    mock_unplug(p, false);
    until(first_pen() == NULL);
    assert_int_equal(fx.answers, 10); /* each once */
    assert_int_equal(fx.result, PEN_RESULT_GONE);
}

static void unplugged_while_a_stall_is_cleared(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    mock_halt(p, MOCK_BULK_IN);
    mock_unplug(p, false);
    until(first_pen() == NULL);
}

static void unplugged_without_a_word_of_the_kernel(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    mock_unplug(p, true); /* transfers come back, ENODEV from then on, no event */
    until(ready() == 0);
    run(100);
    mock_say_again(p); /* and a late event of another kind does not bring it back */
    run(100);
    assert_int_equal(ready(), 0);
}

static void an_arrival_that_is_told_twice_is_one_pen(void **state)
{
    struct mock_pen *p;

    (void)state;
    p = good_pen();
    for (int i = 0; i < 5; i++)
        mock_say_again(p);
    run(200);
    assert_int_equal(hub_pen_count(fx.hub), 1);
    all_is_well();
}

static void the_same_life_goes_on_after_a_replug(void **state)
{
    struct mock_pen *p;
    uint32_t boot_id;

    (void)state;
    p = good_pen();
    all_is_well();
    boot_id = fx.boot_id;
    mock_unplug(p, false);
    until(first_pen() == NULL);
    run(800); /* more than the pen keeps */
    mock_plug(p, 3, MOCK_SHAPE_PEN, 0600);
    all_is_well();
    assert_int_equal(fx.boot_id, boot_id); /* and fx.missed says what was not seen */
    assert_true(fx.missed > 0);
}

static void another_boot_id_after_a_replug_is_another_life(void **state)
{
    struct mock_pen *p;
    uint32_t boot_id;

    (void)state;
    p = good_pen();
    all_is_well();
    boot_id = fx.boot_id;
    mock_unplug(p, false);
    until(first_pen() == NULL);
    mock_say(p, "power-cycle");
    mock_plug(p, 1, MOCK_SHAPE_PEN, 0600);
    all_is_well();
    assert_int_not_equal(fx.boot_id, boot_id);
    assert_int_equal(fx.missed, 0);
}

static void sixteen_pens_gone_at_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PENS; i++) {
        mock_plug(new_pen(), i + 1, MOCK_SHAPE_PEN, 0600);
        run(5); /* umockdev's events need their reader */
    }
    until(ready() == PENS);
    for (unsigned i = 0; i < PENS; i++) /* transfers of all are in flight, and a request of each */
        assert_int_equal(pen_call(hub_next(fx.hub, NULL), MNP__FRAME_TYPE__TYPE_ECHO, NULL, 0, 2000, on_done, &fx, 1), 0);
    for (unsigned i = 0; i < PENS; i++)
        mock_unplug(fx.pens[i], true); /* all at once, first of all for libusb ... */
    for (unsigned i = 0; i < PENS; i++) {
        mock_unplug(fx.pens[i], false); /* ... then as the kernel tells it */
        usleep(2000);                   /* umockdev's events need their reader, libusb's own thread; the loop sees them all at once */
    }
    until(hub_pen_count(fx.hub) == 0);
    assert_int_equal(fx.answers, PENS);
    for (unsigned i = 0; i < PENS; i++) {
        mock_plug(fx.pens[i], i + 1, MOCK_SHAPE_PEN, 0600);
        run(5);
    }
    until(ready() == PENS);
}

/* MN_PLUG_CYCLES: fewer, for those who wait. */
static void plug_cycles_grow_nothing(void **state)
{
    const char *wanted = getenv("MN_PLUG_CYCLES");
    unsigned cycles = wanted != NULL ? (unsigned)atoi(wanted) : 10000, warm = cycles / 10, fds = 0;
    struct mock_pen *p = new_pen();
    uint64_t began = now_ms();
    size_t heap = 0;

    (void)state;
    log_set_level(LOG_LEVEL_WARNING);
    for (unsigned i = 0; i < cycles; i++) {
        mock_plug(p, 1 + i % 4, MOCK_SHAPE_PEN, 0600);
        until(ready() == 1);
        if (i % 2)
            ask(MNP__FRAME_TYPE__TYPE_ECHO, "x", 1);
        mock_unplug(p, false);
        until(hub_pen_count(fx.hub) == 0);
        if (i == warm) {
            run(20);
            fds = descriptors_open();
            heap = heap_bytes();
        }
    }
    run(20);
    log_set_level(LOG_LEVEL_ERROR);
    printf("# %u cycles in %lu ms: descriptors %u -> %u, heap %zu -> %zu bytes\n", cycles, (unsigned long)(now_ms() - began), fds,
           descriptors_open(), heap, heap_bytes());
    assert_in_range(descriptors_open(), 0, fds);
    assert_in_range(heap_bytes(), 0, heap + 4096);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_pen_is_found_opened_and_streams),
        TEST(a_device_without_a_vendor_interface_is_refused),
        TEST(a_device_without_an_interrupt_endpoint_is_refused),
        TEST(a_device_without_a_bulk_out_endpoint_is_refused),
        TEST(a_device_whose_status_packets_are_too_short_is_refused),
        TEST(a_device_with_a_cut_descriptor_is_refused),
        TEST(the_pens_interface_may_be_the_second_of_two),
        TEST(another_device_at_the_same_port_is_left_alone),
        TEST(a_pen_that_another_program_lets_go_of_is_opened),
        TEST(a_pen_that_another_program_holds_is_named_and_tried_again),
        TEST(permission_that_comes_late_is_waited_for),
        TEST(permission_that_never_comes_is_said_with_the_remedy),
        TEST(a_pen_that_the_kernel_left_unconfigured_is_said_to_be_so),
        TEST(a_pen_of_which_udev_says_nothing_is_found),
        TEST(an_io_error_while_opening_is_tried_again),
        TEST(somebody_elses_device_with_our_id_is_said_to_be_none),
        TEST(a_control_pipe_that_never_answers_is_given_up_and_begun_anew),
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
        TEST(a_wrong_crc_is_dropped_counted_and_asked_again),
        TEST(frames_of_another_session_are_dropped_and_counted),
        TEST(replies_out_of_order_late_and_twice_find_their_requests_once),
        TEST(a_reply_that_never_comes_ends_in_a_timeout_and_a_new_session),
        TEST(a_pen_that_never_answers_is_said_and_tried_again),
        TEST(a_pen_that_falls_silent_is_said_and_begun_anew),
        TEST(a_pen_that_answers_garbage_is_never_ready_and_harms_nobody),
        TEST(a_pen_that_floods_does_not_keep_a_stop_out),
        TEST(unplugged_while_it_is_opened),
        TEST(unplugged_while_the_session_is_reset),
        TEST(unplugged_while_it_is_greeted),
        TEST(unplugged_with_requests_in_flight),
        TEST(unplugged_while_a_stall_is_cleared),
        TEST(unplugged_without_a_word_of_the_kernel),
        TEST(an_arrival_that_is_told_twice_is_one_pen),
        TEST(the_same_life_goes_on_after_a_replug),
        TEST(another_boot_id_after_a_replug_is_another_life),
        TEST(sixteen_pens_gone_at_once),
        TEST(plug_cycles_grow_nothing),
    };

    heap_count();
    if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0)) /* root has every permission: some tests are about having none */
        return 1;
    log_set_level(getenv("MN_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("usb", tests, NULL, NULL);
}
