/*
 * monitor: what goes by between mnd, its pens and its programs; as lines, as JSON, or as pcapng for Wireshark. In pcapng each
 * packet has a head of our own before the bytes, of which sdk/wireshark/mn.lua knows:
 *   interface 0, LINKTYPE_USER0: a pen's transfer: kind (1 byte, enum mn_traffic_kind), length of the name (1 byte), name
 *   interface 1, LINKTYPE_USER1: a program's message: kind, length of the name, name, pid (4 bytes, little-endian)
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mnctl.h"
#include "text.h"

enum { LINKTYPE_USER0 = 147, LINKTYPE_USER1 = 148, SECTION_HEADER = 0x0a0d0d0a, INTERFACE_DESCRIPTION = 1, ENHANCED_PACKET = 6 };
enum { NAME_MAX_BYTES = 63, SHOWN_MAX = 8, TEXT_AT = 28 /* column of a request's text in the table */ };

struct monitor {
    struct app *app;
    const char *serial; /* NULL: all pens */
    long pid;           /* of one client; 0: no clients; -1: all clients */
    FILE *capture;      /* NULL: print lines */
    uint64_t shown, missed;
};

/* ---- pcapng ---- */

static void put_u32(FILE *f, uint32_t v)
{
    uint8_t bytes[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};

    fwrite(bytes, 1, sizeof(bytes), f);
}

static void put_u16(FILE *f, unsigned v)
{
    putc((int)(v & 0xff), f);
    putc((int)(v >> 8 & 0xff), f);
}

static void put_interface(FILE *f, unsigned linktype)
{
    put_u32(f, INTERFACE_DESCRIPTION);
    put_u32(f, 20); /* length of this block */
    put_u16(f, linktype);
    put_u16(f, 0);
    put_u32(f, 0); /* snap length unlimited; timestamps in us, the default */
    put_u32(f, 20);
}

static void capture_begin(FILE *f)
{
    put_u32(f, SECTION_HEADER);
    put_u32(f, 28);
    put_u32(f, 0x1a2b3c4d); /* byte order */
    put_u16(f, 1);          /* version 1.0 */
    put_u16(f, 0);
    put_u32(f, UINT32_MAX); /* section length: not given */
    put_u32(f, UINT32_MAX);
    put_u32(f, 28);
    put_interface(f, LINKTYPE_USER0);
    put_interface(f, LINKTYPE_USER1);
}

static void capture(FILE *f, const struct mn_traffic *t)
{
    bool of_pen = t->pid == 0;
    size_t name = strnlen(t->name, NAME_MAX_BYTES), n = 2 + name + (of_pen ? 0 : 4) + t->count, padded = (n + 3) / 4 * 4;
    uint32_t block = (uint32_t)(32 + padded);

    put_u32(f, ENHANCED_PACKET);
    put_u32(f, block);
    put_u32(f, of_pen ? 0 : 1);
    put_u32(f, (uint32_t)(t->time_us >> 32));
    put_u32(f, (uint32_t)t->time_us);
    put_u32(f, (uint32_t)n);
    put_u32(f, (uint32_t)n);
    putc((int)t->kind, f);
    putc((int)name, f);
    fwrite(t->name, 1, name, f);
    if (!of_pen)
        put_u32(f, t->pid);
    fwrite(t->bytes, 1, t->count, f);
    for (size_t i = n; i < padded; i++)
        putc(0, f);
    put_u32(f, block);
}

/* ---- lines ---- */

/* Cuts long arrays and byte strings; --json has them in full. */
static void print_brief(json_t *j)
{
    const char *space = "";

    switch (json_typeof(j)) {
    case JSON_OBJECT:
        for (void *at = json_object_iter(j); at != NULL; at = json_object_iter_next(j, at)) {
            json_t *value = json_object_iter_value(at);

            printf("%s%s%s", space, json_object_iter_key(at), json_is_object(value) ? " {" : "=");
            print_brief(value);
            printf("%s", json_is_object(value) ? "}" : "");
            space = " ";
        }
        break;
    case JSON_ARRAY:
        printf("[");
        for (size_t i = 0; i < json_array_size(j) && i < SHOWN_MAX; i++) {
            printf("%s", i > 0 ? " " : "");
            print_brief(json_array_get(j, i));
        }
        printf(json_array_size(j) > SHOWN_MAX ? " ... %zu]" : "]", json_array_size(j));
        break;
    case JSON_STRING:
        if (json_string_length(j) > 64)
            printf("%.32s...(%zu)", json_string_value(j), json_string_length(j));
        else
            printf("%s", json_string_value(j));
        break;
    case JSON_INTEGER:
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(j));
        break;
    case JSON_REAL:
        printf("%g", json_real_value(j));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        printf("%s", json_is_true(j) ? "true" : "false");
        break;
    case JSON_NULL:
        break;
    }
}

static void print_frame(json_t *frame)
{
    json_t *type = json_object_get(frame, "type"), *message = json_object_get(frame, "message"), *bytes = json_object_get(frame, "bytes");
    const char *is = json_string_value(json_object_get(frame, "is"));
    json_int_t correlation = json_integer_value(json_object_get(frame, "correlation"));

    printf("%s", is != NULL && strcmp(is, "error") == 0 ? colour(COLOUR_BAD) : colour(COLOUR_BOLD));
    print_brief(type);
    printf("%s%s", is != NULL && strcmp(is, "request") != 0 ? " " : "", is != NULL && strcmp(is, "request") != 0 ? is : "");
    printf("%s", colour(COLOUR_NONE));
    if (correlation != 0)
        printf(" #%" JSON_INTEGER_FORMAT, correlation);
    printf(" ");
    if (message != NULL)
        print_brief(message);
    else if (bytes != NULL && json_string_length(bytes) > 0)
        print_brief(bytes);
}

static void print_line(const struct mn_traffic *t, json_t *j)
{
    static const char *const arrows[] = {"??", "=>", "->", "<-", "<=", ">>", "<<"};
    time_t s = (time_t)(t->time_us / 1000000);
    json_t *frames = json_object_get(j, "frames");
    char clock[16] = "";
    struct tm tm;

    if (localtime_r(&s, &tm) != NULL)
        strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
    if (t->missed != 0)
        printf("%s%" PRIu64 " missed here%s\n", colour(COLOUR_WARN), t->missed, colour(COLOUR_NONE));
    printf("%s%s.%06u%s %-20s %s ", colour(COLOUR_DIM), clock, (unsigned)(t->time_us % 1000000), colour(COLOUR_NONE), t->name,
           arrows[(size_t)t->kind < sizeof(arrows) / sizeof(arrows[0]) ? t->kind : 0]);
    for (size_t i = 0; i < json_array_size(frames); i++)
        print_frame(json_array_get(frames, i));
    for (const char *const *key = (const char *const[]){"request", "status", "message", "wrong", "bytes", NULL}; *key != NULL; key++) {
        json_t *value = json_object_get(j, *key);

        if (value == NULL)
            continue;
        printf("%s", strcmp(*key, "wrong") == 0 ? colour(COLOUR_BAD) : "");
        print_brief(value);
        printf("%s ", strcmp(*key, "wrong") == 0 ? colour(COLOUR_NONE) : "");
    }
    printf("\n");
}

static bool is_wanted(const struct monitor *m, const struct mn_traffic *t)
{
    if (t->pid != 0)
        return m->pid == -1 || m->pid == (long)t->pid;
    return m->pid <= 0 && (m->serial == NULL || strcmp(m->serial, t->name) == 0);
}

static void on_traffic(mn_client *c, const struct mn_event *e, void *user)
{
    struct monitor *m = user;
    json_t *j;
    char *text;

    (void)c;
    if (e->kind == MN_EVENT_DISCONNECTED)
        fprintf(stderr, "mnctl: %s; waiting for it\n", e->text);
    if (e->kind != MN_EVENT_TRAFFIC)
        return;
    m->missed += e->traffic->missed;
    if (!is_wanted(m, e->traffic))
        return;
    m->shown++;
    if (m->capture != NULL) {
        capture(m->capture, e->traffic);
        fflush(m->capture); /* so that Wireshark behind a pipe shows each packet at once */
        return;
    }
    text = mn_traffic_json(e->traffic);
    if (text == NULL) {
        m->missed++;
        return;
    }
    if (m->app->json) {
        printf("%s\n", text);
    } else {
        j = json_loads(text, 0, NULL);
        print_line(e->traffic, j);
        json_decref(j);
    }
    free(text);
    fflush(stdout);
}

static int finish(struct monitor *m, int r)
{
    if (m->capture != NULL && m->capture != stdout) {
        bool whole = !ferror(m->capture);

        if (fclose(m->capture) != 0 || !whole) {
            fprintf(stderr, "mnctl: cannot write the capture: %s\n", strerror(errno));
            return EXIT_ERROR;
        }
        fprintf(stderr, "mnctl: %" PRIu64 " captured, %" PRIu64 " missed\n", m->shown, m->missed);
    }
    return r == EXIT_OK ? flush_output() : r;
}

/* Lists the requests of the protocol and the role each needs. Works without a daemon. */
static int list_requests(const struct app *a)
{
    json_t *list = json_array();

    if (!a->json)
        printf("%s%-17s %-9s %s%s\n", colour(COLOUR_BOLD), "REQUEST", "ROLE", "WHAT IT IS FOR", colour(COLOUR_NONE));
    for (size_t i = 0; i < mn_request_count(); i++) {
        const struct mn_request *q = mn_request_at(i);

        if (a->json)
            json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s}", "name", q->name, "role", mn_role_name(q->role), "needs_hello", q->needs_hello, "text", q->text));
        else
            printf("%-17s %-9s ", q->name, mn_role_name(q->role)), text_wrap(stdout, q->text, TEXT_AT, TEXT_AT, text_page_columns());
    }
    if (a->json)
        return print_json(list, false);
    json_decref(list);
    return flush_output();
}

int cmd_monitor(struct app *a, int argc, char **argv)
{
    static struct monitor m; /* static: the client, which is closed after this function has returned, may still call back */
    const char *path = NULL;
    bool force = false, requests = false;
    uint64_t pid = 0;
    double seconds = 0;
    int r = EXIT_OK;

    for (int i = 1; i < argc && r == EXIT_OK; i++) {
        if (strcmp(argv[i], "--clients") == 0)
            m.pid = -1;
        else if (strcmp(argv[i], "--client") == 0)
            r = parse_number(argv[i], argv[i + 1], 1, INT32_MAX, &pid), i++;
        else if (strcmp(argv[i], "--requests") == 0)
            requests = true;
        else if (strcmp(argv[i], "--pcapng") == 0 && i + 1 < argc)
            path = argv[++i];
        else if (strcmp(argv[i], "--force") == 0)
            force = true;
        else if (strcmp(argv[i], "--seconds") == 0)
            r = parse_seconds(argv[i], argv[i + 1], &seconds), i++;
        else
            r = usage_error("monitor takes --clients, --client PID, --requests, --pcapng FILE, --force and --seconds N, not %s", argv[i]);
    }
    if (r != EXIT_OK)
        return r;
    if (requests)
        return list_requests(a);
    if (path != NULL && !may_write(path, force))
        return EXIT_ERROR;
    m.pid = pid != 0 ? (long)pid : m.pid;
    m.app = a;
    a->on_event = on_traffic;
    a->event_user = &m;
    r = app_connect(a, true);
    if (r == EXIT_OK && a->pen != NULL && (r = app_find(a, a->pen)) == EXIT_OK)
        m.serial = a->serial;
    if (r != EXIT_OK)
        return r;
    if (path != NULL) {
        m.capture = output_open(path, force);
        if (m.capture == NULL)
            return EXIT_ERROR;
        capture_begin(m.capture);
        fflush(m.capture);
    }
    r = mn_monitor(a->client, true, a->timeout_ms);
    return finish(&m, r == MN_OK ? app_follow(a, m.capture, seconds) : app_failed(a, r));
}
