/* What a pen gets in the factory, figure by figure: which calibrations and texts are taken, when it may leave, and what a calibration makes of each sensor. */
#include "factory.h"
#include "frame.h"
#include "memory.h"

enum { PPM = 1000000 };

static struct factory factory;

static int begin(void **state)
{
    if (memory_begin(state) != 0)
        return -1;
    memset(&factory, 0xa5, sizeof(factory)); /* what was there before does not matter */
    factory_load(&memory.port, &factory);
    return 0;
}

static mnp_Factory with_calibration(void)
{
    mnp_Factory m = mnp_Factory_init_zero;

    m.has_calibration = true;
    m.calibration = (mnp_Calibration){.has_depth_gain_ppm = true, .depth_gain_ppm = PPM, .has_depth_offset_um = true, .has_rate_gain_ppm = true, .rate_gain_ppm = PPM,
                                      .has_rate_offset_dhz = true, .has_current_offset_ma = true};
    return m;
}

static mnp_Factory with_texts(const char *serial, const char *udi)
{
    mnp_Factory m = mnp_Factory_init_zero;

    m.has_serial = serial != NULL;
    m.has_udi = udi != NULL;
    strcpy(m.serial, serial != NULL ? serial : "");
    strcpy(m.udi, udi != NULL ? udi : "");
    return m;
}

static enum factory_result try_it(const mnp_Factory *m)
{
    struct factory f;
    enum factory_result r;

    memset(memory.bytes, 0, PEN_NVM_SIZE);
    factory_load(&memory.port, &f);
    r = factory_write(&memory.port, &f, m);
    return r;
}

#define EDGES(field, low, high)                                                                                        \
    {                                                                                                                  \
        mnp_Factory m = with_calibration();                                                                            \
                                                                                                                       \
        m.calibration.field = (low);                                                                                   \
        assert_int_equal(try_it(&m), FACTORY_OK);                                                                      \
        m.calibration.field = (high);                                                                                  \
        assert_int_equal(try_it(&m), FACTORY_OK);                                                                      \
        m.calibration.field = (low) - 1;                                                                               \
        assert_int_equal(try_it(&m), FACTORY_MALFORMED);                                                               \
        m.calibration.field = (high) + 1;                                                                              \
        assert_int_equal(try_it(&m), FACTORY_MALFORMED);                                                               \
        m.calibration.has_##field = false;                                                                             \
        m.calibration.field = (high);                                                                                  \
        assert_int_equal(try_it(&m), FACTORY_MALFORMED);                                                               \
    }

static void a_calibration_is_taken_within_its_limits(void **state)
{
    (void)state;
    EDGES(depth_gain_ppm, 500000, 2000000)
    EDGES(rate_gain_ppm, 500000, 2000000)
    EDGES(depth_offset_um, -500, 500)
    EDGES(rate_offset_dhz, -100, 100)
    EDGES(current_offset_ma, -500, 500)
}

static void a_calibration_that_cannot_be_is_not_taken_from_the_memory(void **state)
{
    struct calibration c = {.version = 2, .depth_gain_ppm = PPM, .rate_gain_ppm = PPM, .depth_offset_um = 500};

    (void)state;
    assert_false(factory.calibrated);
    assert_true(nvm_blob_write(&memory.port, NVM_CALIBRATION, &c, sizeof(c)));
    factory_load(&memory.port, &factory);
    assert_true(factory.calibrated && factory.stored);
    assert_int_equal(factory.calibration.depth_offset_um, 500);
    c.depth_offset_um = 501; /* with a good CRC */
    assert_true(nvm_blob_write(&memory.port, NVM_CALIBRATION, &c, sizeof(c)));
    factory_load(&memory.port, &factory);
    assert_false(factory.calibrated || factory.stored);
    assert_int_equal(factory.calibration.depth_offset_um, 0);
    c.depth_offset_um = 0;
    c.version = 1; /* of an older firmware */
    assert_true(nvm_blob_write(&memory.port, NVM_CALIBRATION, &c, sizeof(c)));
    factory_load(&memory.port, &factory);
    assert_false(factory.calibrated);
}

static void texts_are_printable_and_fit(void **state)
{
    static const struct {
        const char *serial;
        enum factory_result wanted;
    } cases[] = {
        {"", FACTORY_MALFORMED}, {"A", FACTORY_OK}, {"!~", FACTORY_OK}, {"a b", FACTORY_MALFORMED}, {"a\x7f", FACTORY_MALFORMED}, {"a\xc3\xa4", FACTORY_MALFORMED},
        {"@A", FACTORY_MALFORMED}, {"A@", FACTORY_OK}, {"ABCDEFGHIJABCDEFGHIJABCDEFGHIJAB", FACTORY_OK},
    };
    char udi[FACTORY_UDI_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mnp_Factory m = with_texts(cases[i].serial, NULL);

        assert_int_equal(try_it(&m), cases[i].wanted);
    }
    memset(udi, 'U', sizeof(udi));
    udi[FACTORY_UDI_MAX] = '\0';
    assert_int_equal(try_it(&(mnp_Factory){0}), FACTORY_OK);
    {
        mnp_Factory m = with_texts(NULL, udi);

        assert_int_equal(try_it(&m), FACTORY_OK);
        assert_string_equal((char *)memory.bytes + NVM_UDI + 8, udi);
    }
}

/* A pen whose board has a serial number needs none of its own. */
static void it_leaves_with_calibration_udi_and_a_serial_number(void **state)
{
    (void)state;
    for (unsigned has = 0; has < 16; has++) {
        mnp_Factory texts = with_texts((has & 2) != 0 ? "S1" : NULL, (has & 4) != 0 ? "U1" : NULL), calibration = with_calibration();
        bool whole = (has & 1) != 0 && (has & 4) != 0 && (has & (2 | 8)) != 0;

        memset(memory.bytes, 0, PEN_NVM_SIZE);
        memory.port.serial = (has & 8) != 0 ? "BOARD" : "";
        factory_load(&memory.port, &factory);
        assert_int_equal(factory_write(&memory.port, &factory, &texts), FACTORY_OK);
        if ((has & 1) != 0)
            assert_int_equal(factory_write(&memory.port, &factory, &calibration), FACTORY_OK);
        assert_int_equal(factory_leave(&memory.port, &factory), whole ? FACTORY_OK : FACTORY_MALFORMED);
        assert_int_equal(factory.left, whole);
        factory_load(&memory.port, &factory);
        assert_int_equal(factory.left, whole);
    }
}

static bool prove_nothing(void *ctx, const uint8_t challenge[16], uint8_t mac[32])
{
    (void)ctx;
    (void)challenge;
    memset(mac, 0, 32);
    return false;
}

static uint32_t any_number(void *ctx)
{
    (void)ctx;
    return 4;
}

static void a_board_that_cannot_prove_proves_nothing(void **state)
{
    uint8_t response[32] = {0};

    (void)state;
    assert_false(factory_challenge(&memory.port, &factory));
    assert_false(factory_response_is_right(&memory.port, &factory, response));
    memory.port.prove = prove_nothing;
    memory.port.random = any_number;
    assert_true(factory_challenge(&memory.port, &factory));
    assert_false(factory_response_is_right(&memory.port, &factory, response));
}

static void what_it_says_of_itself(void **state)
{
    static const uint8_t image[32] = {1, 2, 3, [31] = 4};
    mnp_Factory m = with_calibration(), said;

    (void)state;
    factory_to_pb(&memory.port, &factory, &said);
    assert_false(said.has_calibration || said.calibration.has_crc || said.has_image_sha256);
    m.has_trial = m.trial = true;
    assert_int_equal(factory_write(&memory.port, &factory, &m), FACTORY_OK);
    factory_to_pb(&memory.port, &factory, &said);
    assert_true(said.has_calibration && said.trial && !said.calibration.has_crc); /* of what is not stored there is no CRC */
    m.has_trial = m.trial = false;
    assert_int_equal(factory_write(&memory.port, &factory, &m), FACTORY_OK);
    memory.port.image_sha256 = image;
    factory_to_pb(&memory.port, &factory, &said);
    assert_true(said.has_calibration && !said.trial && said.calibration.has_crc && said.has_image_sha256);
    assert_int_equal(said.calibration.crc, mn_crc32c(&factory.calibration, sizeof(factory.calibration)));
    assert_memory_equal(said.image_sha256, image, sizeof(image));
    m.has_trial = m.trial = true; /* one on trial over one that is stored */
    assert_int_equal(factory_write(&memory.port, &factory, &m), FACTORY_OK);
    factory_to_pb(&memory.port, &factory, &said);
    assert_true(said.trial && !said.calibration.has_crc);
}

static void each_sensor_is_made_true(void **state)
{
    const struct calibration c = {.version = 2, .depth_gain_ppm = 1100000, .depth_offset_um = 20, .rate_gain_ppm = 900000, .rate_offset_dhz = -5, .current_offset_ma = 30};
    struct pen_sensors s = {.depth_um = 500, .stroke_peak_um = 1005, .rate_dhz = 1000, .motor_current_ma = 200};

    (void)state;
    calibration_apply(&c, &s);
    assert_int_equal(s.depth_um, 570);
    assert_int_equal(s.stroke_peak_um, 1126); /* 1105.5 is rounded up */
    assert_int_equal(s.rate_dhz, 895);
    assert_int_equal(s.motor_current_ma, 230);
    s = (struct pen_sensors){.depth_um = -5, .rate_dhz = 3};
    calibration_apply(&c, &s);
    assert_int_equal(s.depth_um, 14); /* -5.5, away from 0 */
    assert_int_equal(s.stroke_peak_um, 0); /* what is nothing stays nothing */
    assert_int_equal(s.rate_dhz, 0);
    assert_int_equal(s.motor_current_ma, 30);
    assert_int_equal(calibration_raw_depth_um(&c, 570), 500);
    assert_int_equal(calibration_raw_depth_um(&c, 0), 0);
    assert_int_equal(calibration_raw_depth_um(&c, 10), 0);
    for (int32_t depth_um = 200; depth_um <= 2500; depth_um += 50) {
        s = (struct pen_sensors){.depth_um = calibration_raw_depth_um(&c, depth_um)};
        calibration_apply(&c, &s);
        assert_in_range(s.depth_um, depth_um - 1, depth_um + 1);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, memory_end)
    const struct CMUnitTest tests[] = {
        T(a_calibration_is_taken_within_its_limits),
        T(a_calibration_that_cannot_be_is_not_taken_from_the_memory),
        T(texts_are_printable_and_fit),
        T(it_leaves_with_calibration_udi_and_a_serial_number),
        T(a_board_that_cannot_prove_proves_nothing),
        T(what_it_says_of_itself),
        T(each_sensor_is_made_true),
    };

    return cmocka_run_group_tests_name("calibration", tests, NULL, NULL);
}
