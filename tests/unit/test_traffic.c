/* What went by, decoded as JSON: every type of frame, broken bytes, unknown fields, text that would break JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <mn/mn.h>

#include "client.pb-c.h"
#include "frame.h"
#include "pen.pb-c.h"

/* The transfer as JSON, which must parse. */
static json_t *json_of(enum mn_traffic_kind kind, const char *name, const uint8_t *bytes, size_t n)
{
    struct mn_traffic t = {.kind = kind, .name = name, .bytes = bytes, .count = n, .pid = kind >= MN_TRAFFIC_TO_DAEMON ? 42 : 0};
    char *text = mn_traffic_json(&t);
    json_error_t error;
    json_t *j;

    assert_non_null(text);
    assert_null(strchr(text, '\n'));
    j = json_loads(text, 0, &error);
    if (j == NULL)
        fail_msg("%s in %s", error.text, text);
    assert_string_equal(json_string_value(json_object_get(j, "kind")), mn_traffic_kind_name(kind));
    free(text);
    return j;
}

static size_t frame(uint8_t *out, uint16_t type, const void *payload, size_t n)
{
    struct mn_frame f = {.major = 1, .length = (uint16_t)n, .sequence = 7, .correlation = 9, .type = type, .session = 5, .payload = payload};

    return mn_frame_write(out, MN_FRAME_MAX, &f);
}

static const char *text_at(json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}

static void a_frame_is_shown_with_its_message(void **state)
{
    uint8_t payload[64], bytes[MN_FRAME_MAX];
    Mnp__Config config = MNP__CONFIG__INIT;
    Mnp__ConfigSet set = MNP__CONFIG_SET__INIT;
    json_t *j, *f;

    (void)state;
    config.has_depth_um = true;
    config.depth_um = 1200;
    set.config = &config;
    j = json_of(MN_TRAFFIC_BULK_OUT, "P", bytes, frame(bytes, MNP__FRAME_TYPE__TYPE_CONFIG_SET, payload, mnp__config_set__pack(&set, payload)));
    assert_int_equal(json_array_size(json_object_get(j, "frames")), 1);
    f = json_array_get(json_object_get(j, "frames"), 0);
    assert_string_equal(text_at(f, "type"), "CONFIG_SET");
    assert_string_equal(text_at(f, "is"), "request");
    assert_int_equal(json_integer_value(json_object_get(f, "correlation")), 9);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json_object_get(f, "message"), "config"), "depth_um")), 1200);
    assert_null(json_object_get(json_object_get(json_object_get(f, "message"), "config"), "stroke_rate_dhz")); /* absent is absent */
    json_decref(j);
}

static void every_type_has_its_message_and_its_reply(void **state)
{
    static const uint16_t replies[] = {0, MN_TYPE_REPLY, MN_TYPE_ERROR};
    uint8_t bytes[MN_FRAME_MAX];

    (void)state;
    for (size_t i = 0; i < mnp__frame_type__descriptor.n_values; i++) {
        const ProtobufCEnumValue *v = &mnp__frame_type__descriptor.values[i];

        for (size_t k = 0; v->value != 0 && k < 3; k++) {
            json_t *j = json_of(MN_TRAFFIC_BULK_IN, "P", bytes, frame(bytes, (uint16_t)(v->value | replies[k]), NULL, 0));
            json_t *f = json_array_get(json_object_get(j, "frames"), 0);

            assert_string_equal(text_at(f, "type"), v->name + strlen("TYPE_"));
            assert_true(json_object_get(f, "message") != NULL || json_object_get(f, "bytes") != NULL);
            json_decref(j);
        }
    }
}

static void what_does_not_decode_is_shown_as_bytes_with_the_reason(void **state)
{
    uint8_t bytes[MN_FRAME_MAX];
    size_t n = frame(bytes, MNP__FRAME_TYPE__TYPE_HELLO, "\xff\xff", 2);
    json_t *j = json_of(MN_TRAFFIC_BULK_OUT, "P", bytes, n);

    (void)state;
    assert_string_equal(text_at(json_array_get(json_object_get(j, "frames"), 0), "wrong"), "it is no mnp.Hello");
    json_decref(j);
    j = json_of(MN_TRAFFIC_BULK_OUT, "P", bytes, n - 1);
    assert_string_equal(text_at(j, "wrong"), "a frame that does not end here");
    json_decref(j);
    bytes[n - 1] ^= 1;
    j = json_of(MN_TRAFFIC_BULK_OUT, "P", bytes, n);
    assert_string_equal(text_at(j, "wrong"), "bytes that are no frame");
    assert_int_equal(strlen(text_at(j, "bytes")), 2 * n);
    json_decref(j);
    j = json_of(MN_TRAFFIC_INTERRUPT_IN, "P", bytes, 31);
    assert_string_equal(text_at(j, "wrong"), "it is no status");
    json_decref(j);
    j = json_of(MN_TRAFFIC_CONTROL, "P", (const uint8_t *)"\x02", 1);
    assert_string_equal(text_at(j, "request"), "STOP");
    json_decref(j);
    j = json_of(MN_TRAFFIC_TO_DAEMON, "P", (const uint8_t *)"zzz", 3);
    assert_string_equal(text_at(j, "wrong"), "it is no mnc.ClientMessage");
    json_decref(j);
}

static void fields_and_values_of_a_later_minor_are_shown(void **state)
{
    uint8_t bytes[MN_FRAME_MAX];
    json_t *j, *message;

    (void)state; /* Error: code 99, and field 100 */
    j = json_of(MN_TRAFFIC_BULK_IN, "P", bytes, frame(bytes, MNP__FRAME_TYPE__TYPE_ARM | MN_TYPE_ERROR, "\x08\x63\xa0\x06\x01", 5));
    message = json_object_get(json_array_get(json_object_get(j, "frames"), 0), "message");
    assert_int_equal(json_integer_value(json_object_get(message, "unknown_fields")), 1);
    json_decref(j);
    j = json_of(MN_TRAFFIC_BULK_IN, "P", bytes, frame(bytes, 1000, "x", 1));
    assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(j, "frames"), 0), "type")), 1000);
    json_decref(j);
}

static void text_from_outside_cannot_break_the_json(void **state)
{
    uint8_t bytes[128];
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__Hello hello = MNC__HELLO__INIT;
    json_t *j;

    (void)state;
    hello.client_name = (char *)(uintptr_t) "\"},\n\\ \x01\xff";
    m.body_case = MNC__CLIENT_MESSAGE__BODY_HELLO;
    m.hello = &hello;
    j = json_of(MN_TRAFFIC_TO_DAEMON, "a\"b\\\n", bytes, mnc__client_message__pack(&m, bytes));
    assert_string_equal(text_at(j, "name"), "a\"b\\\n");
    assert_int_equal(json_integer_value(json_object_get(j, "pid")), 42);
    assert_int_equal(strncmp(text_at(json_object_get(json_object_get(j, "message"), "hello"), "client_name"), "\"},\n\\ \x01", 7), 0);
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_shown_with_its_message),
        cmocka_unit_test(every_type_has_its_message_and_its_reply),
        cmocka_unit_test(what_does_not_decode_is_shown_as_bytes_with_the_reason),
        cmocka_unit_test(fields_and_values_of_a_later_minor_are_shown),
        cmocka_unit_test(text_from_outside_cannot_break_the_json),
    };

    return cmocka_run_group_tests_name("traffic", tests, NULL, NULL);
}
