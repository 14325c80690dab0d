/* Pens that are found and opened, and everything that a kernel, another program and a device can do against that. */
#include "bench.h"

static Mnc__PenLink link_state(void)
{
    Mnc__PenInfo info;
    Mnc__LinkCounters c;

    assert_non_null(first_pen());
    pen_info(first_pen(), &info, &c);
    return info.link;
}

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
    };

    heap_count();
    if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0)) /* root has every permission: some tests are about having none */
        return 1;
    log_set_level(getenv("MN_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("usb_opening", tests, NULL, NULL);
}
