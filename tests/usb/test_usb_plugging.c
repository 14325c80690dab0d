/* Cables that are pulled and put back, at any moment. */
#include "bench.h"

static unsigned descriptors_open(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");

    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

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
    return cmocka_run_group_tests_name("usb_plugging", tests, NULL, NULL);
}
