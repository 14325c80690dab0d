#include "bench.h"

struct bench_fx fx;

uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

size_t index_of(const char *serial)
{
    size_t i = strtoul(serial + 5, NULL, 10) - 1;

    assert_true(i < PENS);
    return i;
}

void take_telemetry(const Mnc__Telemetry *t)
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

void on_committed(void *ctx, const struct journal_record *const *r, size_t n)
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

void take_message(const uint8_t *bytes, size_t n)
{
    Mnc__ServerMessage *m = mnc__server_message__unpack(NULL, n - 4, bytes + 4);

    assert_non_null(m);
    fx.events++;
    if (m->body_case == MNC__SERVER_MESSAGE__BODY_TELEMETRY)
        take_telemetry(m->telemetry);
    mnc__server_message__free_unpacked(m, NULL);
}

void push(struct subscriber *s, struct buf *b)
{
    (void)s;
    take_message(b->bytes, b->length);
}

void flush(struct subscriber *s)
{
    struct cursor *r = &s->telemetry;

    for (; r->next < r->ring->end; r->next++)
        take_message(ring_bytes(r->ring, r->next), ring_message(r->ring, r->next)->length);
}

void turn(uint64_t wait_us)
{
    assert_true(sd_event_run(fx.event, wait_us) >= 0);
    usb_bus_dispatch(fx.bus);
    mock_tidy();
}

void run(unsigned ms)
{
    uint64_t end_ms = now_ms() + ms;

    while (now_ms() < end_ms)
        turn(200);
}

struct pen *first_pen(void)
{
    return hub_next(fx.hub, NULL);
}

const char *last_error(void)
{
    return first_pen() != NULL ? pen_last_error(first_pen()) : "no pen";
}

bool says(const char *words)
{
    return strstr(last_error(), words) != NULL;
}

unsigned ready(void)
{
    unsigned n = 0;

    for (struct pen *p = NULL; (p = hub_next(fx.hub, p)) != NULL;)
        n += pen_is_ready(p);
    return n;
}

Mnc__LinkCounters counters(void)
{
    Mnc__PenInfo info;
    Mnc__LinkCounters c = MNC__LINK_COUNTERS__INIT;

    if (first_pen() != NULL)
        pen_info(first_pen(), &info, &c);
    return c;
}

struct mock_pen *new_pen(void)
{
    char serial[16];

    snprintf(serial, sizeof(serial), "MOCK-%u", fx.pen_count + 1);
    return fx.pens[fx.pen_count++] = mock_pen_new(serial);
}

struct mock_pen *good_pen(void)
{
    struct mock_pen *p = new_pen();

    mock_plug(p, fx.pen_count, MOCK_SHAPE_PEN, 0600);
    until(ready() == fx.pen_count);
    return p;
}

void on_done(void *ctx, uint32_t id, enum pen_result result, uint16_t type, const uint8_t *payload, size_t n)
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

void ask(uint16_t type, const void *payload, size_t n)
{
    fx.answered = false;
    assert_int_equal(pen_call(first_pen(), type, payload, n, 4000, on_done, &fx, 1), 0);
}

void echo_comes_back(size_t n)
{
    uint8_t bytes[1003];

    memset(bytes, 0x5a, sizeof(bytes));
    ask(MNP__FRAME_TYPE__TYPE_ECHO, bytes, n);
    until(fx.answered);
    assert_int_equal(fx.result, PEN_RESULT_REPLY);
    assert_int_equal(fx.type, MNP__FRAME_TYPE__TYPE_ECHO | MN_TYPE_REPLY);
}

void all_is_well(void)
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

int start(void **state)
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
    until(hub_journal(fx.hub) != NULL);
    assert_string_equal(hub_journal_error(fx.hub), "");
    hub_add_observer(fx.hub, &(struct hub_observer){.ctx = &fx, .committed = on_committed});
    run(20);
    return 0;
}

int stop(void **state)
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

int busy_for_good(struct mock_pen *p)
{
    (void)p;
    return EBUSY;
}

int control_held(struct mock_pen *p, uint8_t request)
{
    (void)p;
    (void)request;
    return MOCK_HELD;
}
