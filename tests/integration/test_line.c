/* Pens off the factory's line at the daemon: called by their ports, opened by those who may only, and as safe there as anywhere. */
#include "harness.h"

#include <nettle/hmac.h>
#include <stdio.h>
#include <string.h>

#define P "@sim-1"

static struct harness h;

static int setup(void **state)
{
    (void)state;
    memset(&h, 0, sizeof(h));
    harness_start(&h, 0, "--sim=2,fresh");
    harness_wait_ready(&h, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

static int enter(mn_client *c, const char *serial)
{
    static const char key[] = "mn simulated pens only";
    uint8_t challenge[16], response[32];
    struct hmac_sha256_ctx hmac;
    int r = mn_factory_challenge(c, serial, challenge, T);

    hmac_sha256_set_key(&hmac, strlen(key), (const uint8_t *)key);
    hmac_sha256_update(&hmac, sizeof(challenge), challenge);
    hmac_sha256_digest(&hmac, sizeof(response), response);
    return r == MN_OK ? mn_factory_enter(c, serial, response, T) : r;
}

static void arm(mn_client *c)
{
    struct mn_config config;

    assert_int_equal(mn_lease_take(c, P, T), MN_OK);
    assert_int_equal(enter(c, P), MN_OK);
    assert_int_equal(mn_config_get(c, P, &config, T), MN_OK);
    assert_int_equal(mn_factory_arm(c, P, config.generation, T), MN_OK);
}

static enum mn_state state_of(const char *serial)
{
    return harness_pen(&h, serial)->state;
}

static void run(mn_client *c)
{
    arm(c);
    harness_say(&h, P, "trigger press");
    harness_until(&h, state_of(P) == MN_STATE_RUNNING, T);
    harness_run(&h, 500);
    assert_int_equal(state_of(P), MN_STATE_RUNNING); /* without a treatment, and the daemon lets it */
}

/* The needles' last motion, after something at since_ms, both by the model's own clock. */
static double figure(const char *name)
{
    char said[512], *at;
    double value;

    harness_ok(&h, mn_simulate(h.c, P, "gauges", said, sizeof(said), T));
    at = strstr(said, name);
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(name), "=%lf", &value), 1);
    return value;
}

static void a_pen_without_a_serial_number_is_called_by_its_port(void **state)
{
    struct mn_info info;
    struct mn_factory f;

    (void)state;
    assert_string_equal(harness_pen(&h, P)->port, "sim 1");
    assert_true(harness_pen(&h, "@sim-2")->simulated);
    harness_ok(&h, mn_pen_info(h.c, P, &info, T));
    assert_string_equal(info.serial, "");
    harness_ok(&h, mn_factory_get(h.c, P, &f, T));
    assert_true(!f.calibrated && !f.left && f.hashed && f.serial[0] == '\0');
    assert_int_equal(mn_pen_info(h.c, "@sim-3", &info, T), MN_ERR_NO_PEN);
}

static void a_pen_without_a_serial_number_treats_nobody(void **state)
{
    struct mn_plan p = harness_plan();
    struct mn_session session;
    struct mn_findings found;

    (void)state;
    harness_ok(&h, mn_lease_take(h.c, P, T));
    assert_int_equal(mn_session_check(h.c, P, &p, &found, T), MN_ERR_NO_PEN);
    assert_int_equal(mn_session_begin(h.c, P, &p, &session, T), MN_ERR_NO_PEN);
    assert_non_null(strstr(mn_message(h.c), "only where one is plugged in"));
}

static void a_pen_keeps_its_place_s_name_when_it_gets_its_serial_number(void **state)
{
    const struct mn_calibration calibration = {.depth_gain_ppm = 1000000, .rate_gain_ppm = 1000000};
    struct mn_status status;
    struct mn_factory f;

    (void)state;
    harness_ok(&h, mn_lease_take(h.c, P, T));
    harness_ok(&h, enter(h.c, P));
    harness_ok(&h, mn_factory_write(h.c, P, "MN26-1", "(01)1(21)MN26-1", &calibration, &f, T));
    assert_true(f.stored && f.calibration_crc != 0);
    assert_int_equal(mn_factory_write(h.c, P, "MN26-2", NULL, NULL, &f, T), MN_ERR_WRITTEN);
    harness_say(&h, P, "power-cycle");
    harness_until(&h, mn_factory_get(h.c, "MN26-1", &f, T) == MN_OK, T);
    harness_ok(&h, mn_factory_get(h.c, P, &f, T)); /* both names are the same pen's */
    assert_string_equal(f.serial, "MN26-1");
    harness_ok(&h, mn_lease_take(h.c, P, T));
    harness_until(&h, harness_pen(&h, "MN26-1")->lease_name[0] != '\0', T); /* and it has one lease */
    harness_until(&h, state_of("MN26-1") == MN_STATE_SAFE, T);
    harness_ok(&h, enter(h.c, P));
    harness_ok(&h, mn_factory_leave(h.c, P, true, &status, T));
    assert_int_equal(status.state, MN_STATE_SAFE);
    assert_int_equal(enter(h.c, "MN26-1"), MN_ERR_FORBIDDEN);
    assert_non_null(strstr(mn_message(h.c), "has left the factory for good"));
}

static void nobody_without_the_lease_does_anything_of_the_factory(void **state)
{
    const struct mn_calibration calibration = {.depth_gain_ppm = 1000000, .rate_gain_ppm = 1000000};
    mn_client *other = harness_client(&h);
    struct mn_status status;
    struct mn_factory f;

    (void)state;
    assert_int_equal(enter(h.c, P), MN_ERR_LEASE); /* nobody's is not everybody's */
    assert_non_null(strstr(mn_message(h.c), "take its lease first"));
    harness_ok(&h, mn_lease_take(h.c, P, T));
    harness_ok(&h, enter(h.c, P));
    assert_int_equal(enter(other, P), MN_ERR_LEASE);
    assert_int_equal(mn_factory_arm(other, P, 0, T), MN_ERR_LEASE);
    assert_int_equal(mn_factory_try(other, P, &calibration, T), MN_ERR_LEASE);
    assert_int_equal(mn_factory_write(other, P, "X", NULL, NULL, &f, T), MN_ERR_LEASE);
    assert_int_equal(mn_factory_leave(other, P, true, &status, T), MN_ERR_LEASE);
    assert_int_equal(mn_factory_provoke(other, P, 100, NULL, 0, T), MN_ERR_LEASE);
    harness_ok(&h, mn_factory_get(other, P, &f, T)); /* looking is for all */
    mn_close(other);
}

static void what_a_test_may_provoke_is_bounded(void **state)
{
    uint8_t bytes[1025] = {0};

    (void)state;
    harness_ok(&h, mn_lease_take(h.c, P, T));
    assert_int_equal(mn_factory_provoke(h.c, P, 2001, NULL, 0, T), MN_ERR_INVALID);
    assert_int_equal(mn_factory_provoke(h.c, P, 0, bytes, sizeof(bytes), T), MN_ERR_INVALID);
    assert_int_equal(mn_factory_provoke(h.c, "@sim-9", 0, bytes, 1, T), MN_ERR_NO_PEN);
    harness_ok(&h, mn_factory_provoke(h.c, P, 0, bytes, 1024, T));
    harness_ok(&h, mn_ping(h.c, P, 64, NULL, T)); /* it answers all the same */
}

static void in_the_factory_too_a_program_that_goes_stops_the_needles(void **state)
{
    mn_client *c = harness_client(&h);
    double began_ms;

    (void)state;
    run(c);
    began_ms = figure("clock_ms");
    mn_close(c);
    harness_until(&h, state_of(P) != MN_STATE_RUNNING && state_of(P) != MN_STATE_STOPPING, T);
    harness_run(&h, 200);
    assert_true(figure("moved_ms") - began_ms <= 350);
    harness_say(&h, P, "trigger release");
}

static void without_heartbeats_the_needles_stop_and_a_stop_stops_them_at_once(void **state)
{
    struct mn_status status;
    struct mn_cleared cleared;

    (void)state;
    run(h.c);
    harness_ok(&h, mn_stop(h.c, P, T));
    harness_until(&h, state_of(P) == MN_STATE_FACTORY, T);
    harness_say(&h, P, "trigger release");
    harness_until(&h, !harness_pen(&h, P)->trigger, T);
    run(h.c);
    harness_ok(&h, mn_factory_provoke(h.c, P, 1000, NULL, 0, T));
    harness_until(&h, state_of(P) == MN_STATE_FAULT, T);
    harness_run(&h, 100);
    assert_true(figure("moved_ms") - figure("heartbeat_ms") <= 350);
    assert_true(figure("moved_ms") - figure("heartbeat_ms") >= 200);
    harness_say(&h, P, "trigger release");
    harness_ok(&h, mn_factory_provoke(h.c, P, 0, NULL, 0, T));
    harness_ok(&h, mn_faults_clear(h.c, P, 1601, false, &cleared, T));
    harness_ok(&h, mn_factory_leave(h.c, P, false, &status, T));
}

static void a_pen_that_moves_without_the_factory_s_arm_is_stopped(void **state)
{
    (void)state;
    harness_ok(&h, mn_lease_take(h.c, P, T));
    harness_ok(&h, enter(h.c, P));
    harness_say(&h, P, "trigger press");
    harness_run(&h, 500);
    assert_int_equal(state_of(P), MN_STATE_FACTORY);
    assert_true(figure("moving_ms") < 0.5);
    harness_say(&h, P, "trigger release");
}

int main(void)
{
#define T_(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T_(a_pen_without_a_serial_number_is_called_by_its_port),
        T_(a_pen_without_a_serial_number_treats_nobody),
        T_(a_pen_keeps_its_place_s_name_when_it_gets_its_serial_number),
        T_(nobody_without_the_lease_does_anything_of_the_factory),
        T_(what_a_test_may_provoke_is_bounded),
        T_(in_the_factory_too_a_program_that_goes_stops_the_needles),
        T_(without_heartbeats_the_needles_stop_and_a_stop_stops_them_at_once),
        T_(a_pen_that_moves_without_the_factory_s_arm_is_stopped),
    };

    return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
