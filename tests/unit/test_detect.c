/*
 * Each detector at its limit: with the figure that is still good nothing is raised, with the next one its fault is, and not a millisecond sooner. The
 * figures are written down here a second time, on purpose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "detect.h"

static struct pen_sensors in;
static struct cartridge cartridge;
static struct detect_context c;
static struct detect d;

/* A pen that runs, or rests, and all is well. */
static int fresh(void **state)
{
    (void)state;
    memset(&d, 0, sizeof(d));
    in = (struct pen_sensors){.rate_dhz = 1000, .encoder_edges = true, .motor_current_ma = 200, .motor_temp_dc = 300, .grip_temp_dc = 300, .battery_temp_dc = 300,
                              .battery_mv = 3900, .battery_soc_pct = 80, .hardware_ok = true, .image_ok = true,
                              .tag = {.present = true, .readable = true, .uid = 7, .max_depth_um = 1000, .needle_count = 12}};
    cartridge = (struct cartridge){.state = mnp_CartridgeState_CARTRIDGE_IN_USE, .tag = in.tag};
    c = (struct detect_context){.in = &in, .state = mnp_State_STATE_RUNNING, .settled = true, .rate_set_dhz = 1000, .depth_set_um = 500, .duty_permille = 500, .cartridge = &cartridge,
                                .armed_uid = 7};
    return 0;
}

static void rest(void)
{
    c.state = mnp_State_STATE_SAFE;
    in.rate_dhz = 0;
    in.encoder_edges = false;
}

/* The milliseconds until the fault's cause is there; 0: it is not within this time. */
static uint32_t ms_until(enum fault_bit bit, uint32_t within_ms)
{
    for (uint32_t ms = 1; ms <= within_ms; ms++) {
        if (detect_step(&d, &c) & (UINT32_C(1) << bit))
            return ms;
    }
    return 0;
}

static void never(enum fault_bit bit)
{
    assert_int_equal(ms_until(bit, 3000), 0);
}

static void nothing_is_found_where_all_is_well(void **state)
{
    (void)state;
    in.stroke_done = true;
    in.stroke_peak_um = 500;
    for (int ms = 0; ms < 3000; ms++)
        assert_int_equal(detect_step(&d, &c), 0);
    rest();
    for (int ms = 0; ms < 3000; ms++)
        assert_int_equal(detect_step(&d, &c), 0);
}

static void stall(void **state)
{
    (void)state;
    in.rate_dhz = 299;
    in.motor_current_ma = 900;
    never(FAULT_MOTOR_STALL);
    in.motor_current_ma = 901;
    assert_int_equal(ms_until(FAULT_MOTOR_STALL, 200), 100);
    fresh(NULL);
    in.rate_dhz = 300;
    in.motor_current_ma = 901;
    never(FAULT_MOTOR_STALL);
}

static void overcurrent(void **state)
{
    (void)state;
    in.motor_current_ma = 1500;
    never(FAULT_MOTOR_OVERCURRENT);
    in.motor_current_ma = 1501;
    assert_int_equal(ms_until(FAULT_MOTOR_OVERCURRENT, 100), 5);
    fresh(NULL);
    rest(); /* at rest, too */
    in.motor_current_ma = 1501;
    assert_int_equal(ms_until(FAULT_MOTOR_OVERCURRENT, 100), 5);
}

static void rate(void **state)
{
    (void)state;
    in.rate_dhz = 900;
    never(FAULT_STROKE_RATE_LOW);
    in.rate_dhz = 899;
    assert_int_equal(ms_until(FAULT_STROKE_RATE_LOW, 1000), 500);
    fresh(NULL);
    in.rate_dhz = 1100;
    never(FAULT_STROKE_RATE_HIGH);
    in.rate_dhz = 1101;
    assert_int_equal(ms_until(FAULT_STROKE_RATE_HIGH, 1000), 100);
    fresh(NULL);
    c.settled = false;
    in.rate_dhz = 1;
    never(FAULT_STROKE_RATE_LOW);
    in.rate_dhz = 1500;
    never(FAULT_STROKE_RATE_HIGH);
}

static void encoder(void **state)
{
    (void)state;
    in.encoder_edges = false;
    c.duty_permille = 200;
    never(FAULT_ENCODER_LOSS);
    c.duty_permille = 201;
    assert_int_equal(ms_until(FAULT_ENCODER_LOSS, 1000), 50);
    fresh(NULL);
    in.rate_dhz = 0;
    assert_int_equal(ms_until(FAULT_ENCODER_LOSS, 1000), 50);
    fresh(NULL);
    in.encoder_edges = false;
    in.motor_current_ma = 901; /* a stalled rotor: that is another fault */
    never(FAULT_ENCODER_LOSS);
}

static void depth(void **state)
{
    (void)state;
    in.stroke_done = true;
    in.stroke_peak_um = 600;
    never(FAULT_DEPTH_OVERSHOOT);
    in.stroke_peak_um = 601;
    assert_int_equal(ms_until(FAULT_DEPTH_OVERSHOOT, 10), 2); /* strokes, here one a tick */
    fresh(NULL);
    in.stroke_done = true;
    for (int i = 0; i < 10; i++) { /* never two behind each other */
        in.stroke_peak_um = i % 2 == 0 ? 601 : 600;
        assert_int_equal(detect_step(&d, &c) & FAULT_MASK(DEPTH_OVERSHOOT), 0);
    }
    in.stroke_peak_um = 601;
    detect_step(&d, &c);
    for (int i = 0; i < 1000; i++) /* however many there are */
        assert_true((detect_step(&d, &c) & FAULT_MASK(DEPTH_OVERSHOOT)) != 0);
    fresh(NULL);
    in.stroke_done = true;
    in.stroke_peak_um = 350;
    never(FAULT_DEPTH_UNDERSHOOT);
    fresh(NULL);
    in.stroke_done = true;
    in.stroke_peak_um = 349;
    assert_int_equal(ms_until(FAULT_DEPTH_UNDERSHOOT, 2000), 1000);
    fresh(NULL);
    c.settled = false;
    never(FAULT_DEPTH_UNDERSHOOT);
}

static void motion_at_rest(void **state)
{
    static const mnp_State moves_freely[] = {mnp_State_STATE_BOOT, mnp_State_STATE_SELFTEST};

    (void)state;
    rest();
    in.encoder_edges = true;
    assert_int_equal(ms_until(FAULT_UNCOMMANDED_MOTION, 100), 3);
    for (size_t i = 0; i < 2; i++) { /* homing */
        fresh(NULL);
        c.state = moves_freely[i];
        never(FAULT_UNCOMMANDED_MOTION);
    }
    fresh(NULL);
    c.state = mnp_State_STATE_STOPPING;
    c.state_ms = 100;
    never(FAULT_STOP_TIMEOUT);
    c.state_ms = 101;
    assert_int_equal(ms_until(FAULT_STOP_TIMEOUT, 10), 1);
    in.encoder_edges = false;
    never(FAULT_STOP_TIMEOUT);
}

static void what_was_counted_while_it_ran_does_not_count_in_the_next_run(void **state)
{
    (void)state;
    in.rate_dhz = 299;
    in.motor_current_ma = 901;
    assert_int_equal(ms_until(FAULT_MOTOR_STALL, 99), 0);
    rest();
    detect_step(&d, &c);
    c.state = mnp_State_STATE_RUNNING;
    in.rate_dhz = 299;
    in.motor_current_ma = 901;
    assert_int_equal(ms_until(FAULT_MOTOR_STALL, 200), 100);
}

static void cartridges(void **state)
{
    static const struct {
        mnp_CartridgeState state;
        enum fault_bit bit;
    } rows[] = {
        {mnp_CartridgeState_CARTRIDGE_ABSENT, FAULT_CARTRIDGE_ABSENT},   {mnp_CartridgeState_CARTRIDGE_UNREADABLE, FAULT_CARTRIDGE_UNREADABLE},
        {mnp_CartridgeState_CARTRIDGE_REJECTED, FAULT_CARTRIDGE_UNREADABLE}, {mnp_CartridgeState_CARTRIDGE_USED, FAULT_CARTRIDGE_USED},
        {mnp_CartridgeState_CARTRIDGE_EXPIRED, FAULT_CARTRIDGE_EXPIRED},
    };

    (void)state;
    rest();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cartridge.state = rows[i].state;
        assert_int_equal(detect_step(&d, &c), UINT32_C(1) << rows[i].bit);
    }
    cartridge.state = mnp_CartridgeState_CARTRIDGE_NEW;
    c.depth_set_um = 1000;
    assert_int_equal(detect_step(&d, &c), 0);
    c.depth_set_um = 1001;
    assert_int_equal(detect_step(&d, &c), FAULT_MASK(CARTRIDGE_DEPTH_MISMATCH));
    fresh(NULL);
    in.tag.uid = 8;
    assert_int_equal(detect_step(&d, &c), FAULT_MASK(CARTRIDGE_REMOVED_RUNNING));
    in.tag.readable = false; /* it says nothing: three times, and it is unreadable */
    assert_int_equal(detect_step(&d, &c), 0);
    in.tag.present = false;
    assert_int_equal(detect_step(&d, &c), FAULT_MASK(CARTRIDGE_REMOVED_RUNNING));
    c.state = mnp_State_STATE_ARMED;
    assert_int_equal(detect_step(&d, &c) & FAULT_MASK(CARTRIDGE_REMOVED_RUNNING), 0);
}

static void battery(void **state)
{
    (void)state;
    rest();
    in.battery_soc_pct = 20;
    never(FAULT_BATTERY_LOW);
    in.battery_soc_pct = 19;
    assert_int_equal(ms_until(FAULT_BATTERY_LOW, 10), 1);
    c.fault_word = FAULT_MASK(BATTERY_LOW);
    in.battery_soc_pct = 24;
    assert_int_equal(ms_until(FAULT_BATTERY_LOW, 10), 1);
    in.battery_soc_pct = 25;
    never(FAULT_BATTERY_LOW);
    c.fault_word = 0;
    in.battery_soc_pct = 8;
    in.battery_mv = 3300;
    never(FAULT_BATTERY_CRITICAL);
    in.battery_soc_pct = 7;
    assert_int_equal(ms_until(FAULT_BATTERY_CRITICAL, 200), 100);
    fresh(NULL);
    in.battery_mv = 3299;
    assert_int_equal(ms_until(FAULT_BATTERY_CRITICAL, 200), 100);
    in.battery_mv = 2500;
    never(FAULT_BATTERY_FAULT);
    in.battery_mv = 2499;
    assert_int_equal(ms_until(FAULT_BATTERY_FAULT, 10), 1);
    in.battery_mv = 4300;
    never(FAULT_BATTERY_FAULT);
    in.battery_mv = 4301;
    assert_int_equal(ms_until(FAULT_BATTERY_FAULT, 10), 1);
    in.battery_mv = 3900;
    in.battery_temp_dc = 600;
    never(FAULT_BATTERY_FAULT);
    in.battery_temp_dc = 601;
    assert_int_equal(ms_until(FAULT_BATTERY_FAULT, 10), 1);
    in.battery_temp_dc = -200;
    never(FAULT_BATTERY_FAULT);
    in.battery_temp_dc = -201;
    assert_int_equal(ms_until(FAULT_BATTERY_FAULT, 10), 1);
}

static void heat(void **state)
{
    (void)state;
    in.motor_temp_dc = 700;
    never(FAULT_MOTOR_OVERTEMP);
    in.motor_temp_dc = 701;
    assert_int_equal(ms_until(FAULT_MOTOR_OVERTEMP, 10), 1);
    c.fault_word = FAULT_MASK(MOTOR_OVERTEMP);
    in.motor_temp_dc = 601;
    assert_int_equal(ms_until(FAULT_MOTOR_OVERTEMP, 10), 1);
    in.motor_temp_dc = 600;
    never(FAULT_MOTOR_OVERTEMP);
    in.motor_temp_dc = -200;
    never(FAULT_MOTOR_OVERTEMP);
    in.motor_temp_dc = -201;
    assert_int_equal(ms_until(FAULT_MOTOR_OVERTEMP, 10), 1);
}

static void host(void **state)
{
    static const mnp_State states[] = {mnp_State_STATE_SAFE, mnp_State_STATE_ARMED, mnp_State_STATE_RUNNING, mnp_State_STATE_STOPPING, mnp_State_STATE_FAULT};

    (void)state;
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        bool needs = states[i] == mnp_State_STATE_ARMED || states[i] == mnp_State_STATE_RUNNING;

        fresh(NULL);
        c.state = states[i];
        in.encoder_edges = needs;
        c.heartbeat_age_ms = 250;
        never(FAULT_HOST_LINK_LOST);
        c.heartbeat_age_ms = 251;
        assert_int_equal(ms_until(FAULT_HOST_LINK_LOST, 10), needs ? 1 : 0);
        c.heartbeat_age_ms = 0;
        c.link_broken = true;
        assert_int_equal(ms_until(FAULT_HOST_LINK_LOST, 10), 1);
    }
    c.bad_frames_1s = 2;
    never(FAULT_PROTOCOL_ERROR);
    c.bad_frames_1s = 3;
    assert_int_equal(ms_until(FAULT_PROTOCOL_ERROR, 10), 1);
}

static void trigger(void **state)
{
    (void)state;
    rest();
    in.trigger = true;
    assert_int_equal(ms_until(FAULT_TRIGGER_STUCK, 200000), 120001);
    in.trigger = false;
    never(FAULT_TRIGGER_STUCK);
    assert_int_equal(d.trigger_ms, 0);
    in.trigger = true;
    c.trigger_at_boot = true;
    assert_int_equal(ms_until(FAULT_TRIGGER_STUCK, 10), 1);
    in.trigger = false;
    never(FAULT_TRIGGER_STUCK);
    for (unsigned ms = 1; ms <= 5; ms++) {
        in.trigger = true;
        detect_step(&d, &c);
        assert_int_equal(d.released_ms, 0);
        in.trigger = false;
        for (unsigned i = 0; i < ms; i++)
            detect_step(&d, &c);
        assert_int_equal(d.released_ms, ms);
    }
    d.released_ms = UINT16_MAX; /* and it stays there */
    detect_step(&d, &c);
    assert_int_equal(d.released_ms, UINT16_MAX);
    in.trigger = true;
    d.trigger_ms = UINT32_MAX;
    detect_step(&d, &c);
    assert_int_equal(d.trigger_ms, UINT32_MAX);
}

static void standstill(void **state)
{
    (void)state;
    rest();
    for (uint32_t ms = 1; ms <= DETECT_STILL_MS; ms++) {
        detect_step(&d, &c);
        assert_int_equal(d.still_ms, ms);
    }
    in.encoder_edges = true;
    detect_step(&d, &c);
    assert_int_equal(d.still_ms, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_found_where_all_is_well),
        TEST(stall),
        TEST(overcurrent),
        TEST(rate),
        TEST(encoder),
        TEST(depth),
        TEST(motion_at_rest),
        TEST(what_was_counted_while_it_ran_does_not_count_in_the_next_run),
        TEST(cartridges),
        TEST(battery),
        TEST(heat),
        TEST(host),
        TEST(trigger),
        TEST(standstill),
    };

    return cmocka_run_group_tests_name("detect", tests, NULL, NULL);
}
