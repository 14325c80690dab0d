/* From a pen's bytes to programs' sockets, all of the daemon's own code in between: what it costs, what overtakes what, and what a slow program gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "frame.h"
#include "heap.h"
#include "hub.h"
#include "log.h"

enum { SAMPLES = 50, PROGRAMS_MAX = 16, BYTES = 1 << 20 };

static sd_event *event;
static struct hub *hub;
static struct clients *clients;
static struct link pen;
static uint16_t sequence;
static uint64_t next_sample;
static struct program {
    struct client *c;
    int fd;               /* its own end */
    uint8_t *bytes;       /* what it has read: whole messages from 0, then a part of one */
    size_t fill;
    uint64_t batches, first, last; /* sample numbers of the first and the last batch */
    bool done;            /* it has a reply */
    uint64_t before_done; /* batches when it came */
} programs[PROGRAMS_MAX];
static unsigned program_count;

/* ---- the pen ---- */

static uint32_t nonce, paced_ms; /* paced_ms: by its host; 0: never */

static int open_link(struct link *l)
{
    (void)l;
    return 0;
}

static int take(struct link *l, const uint8_t *bytes, size_t n)
{
    struct mn_frame_reader r = {0};
    struct mn_frame f;
    Mnp__Hello *h;

    (void)l;
    if (mn_frame_next(&r, &bytes, &n, &f) != MN_FRAME_OK)
        return 0;
    if (f.type == MNP__FRAME_TYPE__TYPE_PACE) {
        Mnp__Pace *pace = mnp__pace__unpack(NULL, f.length, f.payload);

        assert_non_null(pace);
        paced_ms = pace->batch_ms;
        mnp__pace__free_unpacked(pace, NULL);
    }
    if (f.type != MNP__FRAME_TYPE__TYPE_HELLO)
        return 0;
    h = mnp__hello__unpack(NULL, f.length, f.payload);
    assert_non_null(h);
    nonce = h->nonce;
    mnp__hello__free_unpacked(h, NULL);
    return 0;
}

static int control(struct link *l, enum mn_control request)
{
    (void)l;
    (void)request;
    return 0;
}

static void close_link(struct link *l)
{
    l->handler->on_closed(l->ctx);
}

static const struct link_ops ops = {.open = open_link, .send = take, .control = control, .close = close_link};

static void from_pen(uint16_t type, const uint8_t *payload, size_t n)
{
    uint8_t bytes[MN_FRAME_MAX];
    struct mn_frame f = {.major = 1, .type = type, .session = 7, .sequence = sequence++, .length = (uint16_t)n, .payload = payload};

    pen.handler->on_bytes(pen.ctx, LINK_BULK_IN, bytes, mn_frame_write(bytes, sizeof(bytes), &f));
}

static void plug(uint32_t minor)
{
    Mnp__HelloReply h = MNP__HELLO_REPLY__INIT;
    uint8_t payload[256];

    pen = (struct link){.ops = &ops, .port = "test", .simulated = true};
    assert_true(hub_pen_arrived(hub, &pen));
    pen.handler->on_open(pen.ctx);
    pen.handler->on_control(pen.ctx, MN_CONTROL_SESSION_RESET, 0);
    h.has_nonce = h.has_session = h.has_boot_id = h.has_minor = h.has_window = h.has_frame_max = true;
    h.nonce = nonce;
    h.session = 7;
    h.boot_id = 9;
    h.serial = (char[]){"TEST"};
    h.minor = minor;
    h.window = 4;
    h.frame_max = MN_FRAME_MAX;
    sequence = 0;
    from_pen(MNP__FRAME_TYPE__TYPE_HELLO | MN_TYPE_REPLY, payload, mnp__hello_reply__pack(&h, payload));
    assert_true(pen_is_ready(hub_pen(hub, "TEST")));
}

/* A batch of 50 samples, every column of which has a byte for each. */
static void batch(void)
{
    uint8_t payload[MN_FRAME_PAYLOAD_MAX], *p = payload + 5;

    *p++ = 1 << 3; /* first_seq, five bytes */
    for (int i = 0; i < 4; i++)
        *p++ = (uint8_t)(next_sample >> 7 * i | 0x80);
    *p++ = (uint8_t)(next_sample >> 28 & 0x7f);
    *p++ = 3 << 3; /* period_us */
    *p++ = 1;
    *p++ = 4 << 3; /* count */
    *p++ = SAMPLES;
    for (uint8_t column = 5; column < 11; column++) {
        *p++ = (uint8_t)(column << 3 | 2);
        *p++ = SAMPLES;
        memset(p, 2, SAMPLES);
        p += SAMPLES;
    }
    memcpy(payload, (const uint8_t[]){1 << 3, 9, 6 << 3 | 2}, 3);
    payload[3] = (uint8_t)((p - payload - 5) | 0x80);
    payload[4] = (uint8_t)((p - payload - 5) >> 7);
    next_sample += SAMPLES;
    from_pen(MNP__FRAME_TYPE__TYPE_TELEMETRY, payload, (size_t)(p - payload));
}

/* ---- programs ---- */

static unsigned ended;

static void on_request(void *ctx, struct client *c, const Mnc__ClientMessage *m)
{
    (void)ctx;
    (void)c;
    (void)m;
}

static void on_gone(void *ctx, struct client *c)
{
    (void)ctx;
    (void)c;
    hub_update_pace(hub);
    ended++;
}

static struct program *connect_program(int socket_type)
{
    struct program *p = &programs[program_count++];
    int fds[2];

    *p = (struct program){.bytes = malloc(BYTES)};
    assert_non_null(p->bytes);
    assert_int_equal(socketpair(AF_UNIX, socket_type | SOCK_NONBLOCK, 0, fds), 0);
    p->fd = fds[1];
    assert_int_equal(clients_add(clients, fds[0], &p->c), 0);
    return p;
}

static void subscribe(struct program *p)
{
    assert_null(hub_subscribe(hub, client_subscriber(p->c), NULL, true));
}

/* Everything that is ready is handled. */
static void settle(void)
{
    while (sd_event_run(event, 0) > 0)
        ;
}

/* A message's first sample number is where the test has put it. */
static uint64_t number_of(const uint8_t *message, size_t n)
{
    const uint8_t *batch_at = memmem(message, n, (const uint8_t[]){1 << 3, 9, 6 << 3 | 2}, 3);
    uint64_t v = 0;

    assert_non_null(batch_at);
    for (int i = 0; i < 5; i++)
        v |= (uint64_t)(batch_at[6 + i] & 0x7f) << 7 * i;
    return v;
}

/* Takes what the socket holds, and looks at what is whole of it. False: there was nothing. */
static bool read_once(struct program *p)
{
    ssize_t n = recv(p->fd, p->bytes + p->fill, BYTES - p->fill, 0);
    size_t at = 0;

    if (n <= 0)
        return false;
    p->fill += (size_t)n;
    for (; p->fill - at >= 4 && p->fill - at - 4 >= mn_get_u32(p->bytes + at); at += 4 + (size_t)mn_get_u32(p->bytes + at)) {
        uint32_t length = mn_get_u32(p->bytes + at);

        if (length < 100) { /* the reply */
            p->done = true;
            p->before_done = p->batches;
            continue;
        }
        p->last = number_of(p->bytes + at + 4, length);
        p->first = p->batches++ == 0 ? p->last : p->first;
    }
    memmove(p->bytes, p->bytes + at, p->fill - at);
    p->fill -= at;
    return true;
}

static void read_all(struct program *p)
{
    do
        settle();
    while (read_once(p));
}

static int start(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    program_count = ended = 0;
    paced_ms = 0;
    next_sample = 0;
    assert_int_equal(sd_event_new(&event), 0);
    assert_int_equal(hub_new(&hub, event), 0);
    assert_int_equal(clients_new(&clients, event, hub_fanout(hub),
                                 &(struct clients_options){.groups = {"", "", "", ""}, .max_clients = PROGRAMS_MAX, .max_clients_per_user = PROGRAMS_MAX, .queue_bytes = 65536, .user_queue_bytes = 1 << 20},
                                 &(struct clients_handler){.request = on_request, .gone = on_gone}),
                     0);
    plug(2);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    clients_disconnect_all(clients, "test");
    clients_free(clients);
    for (unsigned i = 0; i < program_count; i++) {
        close(programs[i].fd);
        free(programs[i].bytes);
    }
    pen.handler->on_gone(pen.ctx);
    settle();
    hub_free(hub);
    sd_event_unref(event);
    buf_pool_free();
    return 0;
}

/* ---- tests ---- */

static void no_batch_allocates_anything(void **state)
{
    struct program *slow;
    size_t before, after;

    (void)state;
    for (int i = 0; i < 8; i++)
        subscribe(connect_program(SOCK_STREAM));
    assert_null(hub_pace(hub, client_subscriber(programs[0].c), 10, 1000));
    assert_null(hub_subscribe(hub, client_subscriber(connect_program(SOCK_STREAM)->c), "TEST", true));
    subscribe(slow = connect_program(SOCK_STREAM)); /* never reads */
    for (int i = 0; i < 3000; i++) {
        if (i == 1000 && !heap_calls(&before))
            skip(); /* allocations are counted under the address sanitizer only */
        batch();
        settle();
        for (unsigned k = 0; k < program_count; k++) {
            if (&programs[k] != slow)
                read_once(&programs[k]);
        }
    }
    heap_calls(&after);
    assert_int_equal(after, before);
    assert_true(programs[1].batches >= 2999);
    assert_true(slow->batches == 0);
}

static void one_write_takes_all_that_has_come(void **state)
{
    struct program *p = connect_program(SOCK_SEQPACKET); /* whose packets are writes */

    (void)state;
    subscribe(p);
    for (int i = 0; i < 32; i++)
        batch();
    settle();
    assert_true(read_once(p));
    assert_int_equal(p->batches, 32);
    assert_false(read_once(p));
}

static void what_is_urgent_overtakes_telemetry(void **state)
{
    struct program *p = connect_program(SOCK_STREAM);
    uint64_t in_the_socket;

    (void)state;
    subscribe(p);
    for (int i = 0; i < 2000; i++) { /* more than a socket takes */
        batch();
        settle();
    }
    client_reply_done(p->c, 5);
    batch();
    settle();
    while (read_once(p))
        ;
    in_the_socket = p->batches;
    assert_false(p->done);
    read_all(p);
    assert_true(p->done);
    assert_true(p->before_done <= in_the_socket + 1); /* but the message that was cut */
    assert_true(p->batches > in_the_socket + 100);
}

static void who_reads_too_slowly_misses_the_oldest_and_it_is_counted(void **state)
{
    struct program *p = connect_program(SOCK_STREAM);

    (void)state;
    subscribe(p);
    for (int i = 0; i < 10000; i++) { /* more than socket and ring hold */
        batch();
        settle();
    }
    read_all(p);
    assert_int_equal(p->first, 0);
    assert_int_equal(p->last, next_sample - SAMPLES); /* the newest is there */
    assert_true(clients_missed(clients) > 1000);
    assert_int_equal(p->batches + clients_missed(clients), 10000);
}

static void a_goodbye_is_the_last_message_however_far_behind_one_is(void **state)
{
    struct program *p = connect_program(SOCK_STREAM);
    uint64_t before;

    (void)state;
    subscribe(p);
    for (int i = 0; i < 10000; i++) {
        batch();
        settle();
    }
    while (read_once(p))
        ;
    before = p->batches;
    client_disconnect(p->c, "test");
    settle();
    assert_int_equal(ended, 1);
    while (read_once(p))
        ;
    assert_true(p->done); /* the goodbye is as short as a reply */
    assert_true(p->batches <= before + 1);
    assert_int_equal(p->before_done, p->batches);
    assert_int_equal(p->fill, 0);
}

/* What is told is traffic, which is on a ring, too: telling somebody makes more to tell, but not to the same one in the middle of it. */
static void being_looked_at_changes_nothing(void **state)
{
    struct program *p = connect_program(SOCK_STREAM), *monitor = connect_program(SOCK_STREAM);
    size_t told, seen = 0;
    char bytes[65536];
    ssize_t n;

    (void)state;
    subscribe(p);
    assert_true(fanout_monitor(hub_fanout(hub), client_subscriber(monitor->c), true));
    for (int i = 0; i < 3000; i++) {
        batch();
        if (i % 100 != 99)
            continue;
        client_reply_done(p->c, 5);
        fanout_flush_urgent(hub_fanout(hub));
        for (int k = 0; k < 3; k++) {
            read_once(p);
            while ((n = recv(monitor->fd, bytes, sizeof(bytes), 0)) > 0)
                seen += (size_t)n;
            settle();
        }
    }
    read_all(p);
    assert_int_equal(p->fill, 0);
    assert_int_equal(p->batches, 3000);
    told = 3000 * (size_t)SAMPLES * 6;
    assert_true(seen > 2 * told); /* what the pen sent, and what the program was told */
    assert_int_equal(p->last, next_sample - SAMPLES);
}

/* Of two programs by the one in the greater hurry; and by nobody any more when that one has gone. */
static void a_pen_is_paced_by_who_is_in_the_greatest_hurry(void **state)
{
    struct program *patient = connect_program(SOCK_STREAM), *hasty = connect_program(SOCK_STREAM);

    (void)state;
    assert_null(hub_pace(hub, client_subscriber(patient->c), 0, 2000));
    assert_null(hub_pace(hub, client_subscriber(hasty->c), 0, 5));
    subscribe(patient);
    assert_int_equal(paced_ms, 0);
    subscribe(hasty);
    assert_int_equal(paced_ms, 5);
    assert_null(hub_subscribe(hub, client_subscriber(hasty->c), NULL, false));
    assert_int_equal(paced_ms, 50);
}

static void a_pen_that_cannot_be_paced_is_not_asked(void **state)
{
    struct program *hasty = connect_program(SOCK_STREAM);

    (void)state;
    pen.handler->on_gone(pen.ctx);
    settle();
    plug(1);
    assert_null(hub_pace(hub, client_subscriber(hasty->c), 0, 5));
    subscribe(hasty);
    assert_int_equal(paced_ms, 0);
}

static void who_leaves_in_the_middle_of_a_message_harms_nobody(void **state)
{
    struct program *slow = connect_program(SOCK_STREAM), *good = connect_program(SOCK_STREAM);

    (void)state;
    subscribe(slow);
    subscribe(good);
    for (int i = 0; i < 2000; i++) {
        batch();
        settle();
        read_once(good);
    }
    hub_subscribe(hub, client_subscriber(slow->c), NULL, false);
    for (int i = 0; i < 10; i++)
        batch();
    read_all(good);
    assert_int_equal(good->batches, 2010);
    read_all(slow);
    assert_int_equal(slow->fill, 0); /* the last message is whole */
    subscribe(slow);
    batch();
    read_all(slow);
    assert_int_equal(slow->last, next_sample - SAMPLES);
}

int main(void)
{
#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        EACH(no_batch_allocates_anything),
        EACH(one_write_takes_all_that_has_come),
        EACH(what_is_urgent_overtakes_telemetry),
        EACH(who_reads_too_slowly_misses_the_oldest_and_it_is_counted),
        EACH(a_goodbye_is_the_last_message_however_far_behind_one_is),
        EACH(being_looked_at_changes_nothing),
        EACH(a_pen_is_paced_by_who_is_in_the_greatest_hurry),
        EACH(a_pen_that_cannot_be_paced_is_not_asked),
        EACH(who_leaves_in_the_middle_of_a_message_harms_nobody),
    };

    heap_count();
    return cmocka_run_group_tests_name("fanout", tests, NULL, NULL);
}
