/* The examples of proto/PROTOCOL.md, replayed: each decodes, and encoding what was decoded gives the same bytes. They were made by
 * the Python implementation in tests/interop, not by ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.pb-c.h"
#include "frame.h"
#include "pen.pb-c.h"

static void check_frame(const uint8_t *bytes, size_t n)
{
    uint8_t again[MN_FRAME_MAX];
    const uint8_t *p = bytes;
    size_t left = n;
    struct mn_frame_reader r = {0};
    struct mn_frame f;

    assert_int_equal(mn_frame_next(&r, &p, &left, &f), MN_FRAME_OK);
    assert_int_equal(left, 0);
    assert_int_equal(mn_frame_write(again, sizeof(again), &f), n);
    assert_memory_equal(again, bytes, n);
    if (f.type == MNP__FRAME_TYPE__TYPE_CONFIG_SET) {
        Mnp__ConfigSet *set = mnp__config_set__unpack(NULL, f.length, f.payload);

        assert_non_null(set);
        assert_int_equal(set->config->depth_um, 1200);
        assert_int_equal(set->expected_generation, 3);
        mnp__config_set__free_unpacked(set, NULL);
    } else if (f.type == (MNP__FRAME_TYPE__TYPE_HELLO | MN_TYPE_REPLY)) {
        Mnp__HelloReply *h = mnp__hello_reply__unpack(NULL, f.length, f.payload);

        assert_non_null(h);
        assert_int_equal(h->session, f.session);
        assert_string_equal(h->serial, "MN-0001");
        mnp__hello_reply__free_unpacked(h, NULL);
    } else if (f.type == (MNP__FRAME_TYPE__TYPE_CONFIG_SET | MN_TYPE_ERROR)) {
        Mnp__Error *e = mnp__error__unpack(NULL, f.length, f.payload);

        assert_non_null(e);
        assert_int_equal(e->code, MNP__ERROR_CODE__ERROR_CONFLICT);
        mnp__error__free_unpacked(e, NULL);
    }
}

static void check_status(const uint8_t *bytes, size_t n)
{
    uint8_t again[MN_PEN_STATUS_SIZE];
    struct mn_pen_status s;

    assert_true(mn_pen_status_read(bytes, n, &s));
    assert_int_equal(s.state, MNP__STATE__STATE_FAULT);
    assert_int_equal(s.fault_word, 1);
    assert_true(s.trigger);
    assert_int_equal(s.records_newest, 10);
    mn_pen_status_write(again, &s);
    assert_memory_equal(again, bytes, n);
}

static void check_message(const char *kind, const uint8_t *bytes, size_t n)
{
    const ProtobufCMessageDescriptor *d = strcmp(kind, "client") == 0 ? &mnc__client_message__descriptor : &mnc__server_message__descriptor;
    ProtobufCMessage *m;
    uint8_t again[256];

    assert_int_equal(mn_get_u32(bytes), n - 4);
    m = protobuf_c_message_unpack(d, NULL, n - 4, bytes + 4);
    assert_non_null(m);
    assert_int_equal(protobuf_c_message_pack(m, again), n - 4);
    assert_memory_equal(again, bytes + 4, n - 4);
    protobuf_c_message_free_unpacked(m, NULL);
}

static void every_example_of_the_document_is_true(void **state)
{
    FILE *f = fopen(MN_SOURCE_DIR "/proto/PROTOCOL.md", "r");
    char line[512], kind[16] = "";
    uint8_t bytes[MN_FRAME_MAX];
    size_t n = 0, examples = 0;

    (void)state;
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "```", 3) == 0 && kind[0] == '\0') {
            assert_int_equal(sscanf(line, "```%15s", kind), 1);
            n = 0;
        } else if (strncmp(line, "```", 3) == 0) {
            if (strcmp(kind, "frame") == 0)
                check_frame(bytes, n);
            else if (strcmp(kind, "status") == 0)
                check_status(bytes, n);
            else
                check_message(kind, bytes, n);
            examples++;
            kind[0] = '\0';
        } else if (kind[0] != '\0') {
            for (char *p = line, *end; isxdigit((unsigned char)*p) && n < sizeof(bytes); p = end + (*end == ' '))
                bytes[n++] = (uint8_t)strtoul(p, &end, 16);
        }
    }
    fclose(f);
    assert_int_equal(examples, 9);
}

static const struct {
    const char *name, *role, *text;
} requests[] = {
#define REQUEST(NAME, name, role, greeting, journal, text) {#name, #role, text},
#include "requests.def"
#undef REQUEST
};

/* Every field of ClientMessage but its id is a request of the table, in the same order. */
static void the_table_has_every_request(void **state)
{
    const ProtobufCMessageDescriptor *d = &mnc__client_message__descriptor;

    (void)state;
    assert_int_equal(sizeof(requests) / sizeof(requests[0]), d->n_fields - 1);
    for (unsigned i = 1; i < d->n_fields; i++)
        assert_string_equal(requests[i - 1].name, d->fields[i].name);
}

/* The document's table is that one. */
static void the_document_has_the_table(void **state)
{
    FILE *f = fopen(MN_SOURCE_DIR "/proto/PROTOCOL.md", "r");
    char line[512], wanted[512];
    size_t found = 0;

    (void)state;
    assert_non_null(f);
    while (found < sizeof(requests) / sizeof(requests[0]) && fgets(line, sizeof(line), f) != NULL) {
        int n = snprintf(wanted, sizeof(wanted), "| %s | ", requests[found].name);

        for (const char *c = requests[found].role; *c != '\0'; c++)
            wanted[n++] = (char)tolower((unsigned char)*c);
        snprintf(wanted + n, sizeof(wanted) - (size_t)n, " | %s |\n", requests[found].text);
        found += strcmp(line, wanted) == 0;
    }
    fclose(f);
    if (found < sizeof(requests) / sizeof(requests[0]))
        fail_msg("PROTOCOL.md does not have, in its order: %s", wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_example_of_the_document_is_true), cmocka_unit_test(the_table_has_every_request),
                                       cmocka_unit_test(the_document_has_the_table)};

    return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
