/* Identification of the pen, and its link: echoes, latency, malformed frames. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slot.h"
#include "step_list.h"

/* ---- enumerate ---- */

static void read_word(const char *port, const char *file, char *out, size_t cap)
{
    char path[200], text[32] = "";
    FILE *f;

    snprintf(path, sizeof(path), "/sys/bus/usb/devices/%s%s", port, file);
    f = fopen(path, "re");
    if (f != NULL) {
        if (fgets(text, sizeof(text), f) == NULL)
            text[0] = '\0';
        fclose(f);
    }
    text[strcspn(text, "\n")] = '\0';
    snprintf(out, cap, "%s", text);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Formats the descriptors that the kernel has read: "1209:0001 class ff, Bulk in, Bulk out, Interrupt in". */
static void usb_descriptors(const char *port, char *out, size_t cap)
{
    char vid[32], pid[32], class[32], path[200], endpoints[8][80];
    struct dirent *e;
    size_t n = 0, used;
    DIR *d;

    read_word(port, "/idVendor", vid, sizeof(vid));
    read_word(port, "/idProduct", pid, sizeof(pid));
    snprintf(path, sizeof(path), "%s:1.0/bInterfaceClass", port);
    read_word(path, "", class, sizeof(class));
    snprintf(path, sizeof(path), "/sys/bus/usb/devices/%s:1.0", port);
    d = opendir(path);
    while (d != NULL && (e = readdir(d)) != NULL && n < 8) {
        char file[300], type[32], direction[32];

        if (strncmp(e->d_name, "ep_", 3) != 0)
            continue;
        snprintf(file, sizeof(file), ":1.0/%.80s/type", e->d_name);
        read_word(port, file, type, sizeof(type));
        snprintf(file, sizeof(file), ":1.0/%.80s/direction", e->d_name);
        read_word(port, file, direction, sizeof(direction));
        snprintf(endpoints[n++], sizeof(endpoints[0]), "%s %s", type, direction);
    }
    if (d != NULL)
        closedir(d);
    qsort(endpoints, n, sizeof(endpoints[0]), by_text);
    used = (size_t)snprintf(out, cap, "%.8s:%.8s class %.8s", vid, pid, class);
    for (size_t i = 0; i < n && used < cap; i++)
        used += (size_t)snprintf(out + used, cap - used, ", %s", endpoints[i]);
}

enum outcome step_enumerate(struct slot *s)
{
    uint64_t began_ms = station_now_ms();
    char descriptors[300] = "simulated";
    struct mn_info info;

    TRY(slot_restart(s, "power_cycle"));
    slot_measure(s, "ready_ms", "ms", (double)(station_now_ms() - began_ms));
    TRY(slot_ok(s, mn_pen_info(s->client, s->address, &info, SLOT_CALL_MS), "ask what it is"));
    slot_measure_text(s, "model", info.model);
    slot_measure_text(s, "hardware_revision", info.hardware_revision);
    slot_measure(s, "protocol_minor", "", s->pen.protocol_minor);
    if (strncmp(s->port, "usb ", 4) == 0)
        usb_descriptors(s->port + 4, descriptors, sizeof(descriptors));
    slot_measure_text(s, "usb_descriptors", descriptors);
    return DONE;
}

/* ---- boot ---- */

static enum outcome measure_motion(struct slot *s, const char *name)
{
    json_t *readings;
    double ms;
    enum outcome r;

    TRY(slot_wait(s, (unsigned)(slot_parameter(s, "seconds") * 1000)));
    TRY(slot_read(s, &readings));
    r = slot_number(s, readings, "moving_ms", &ms);
    json_decref(readings);
    if (r == DONE)
        slot_measure(s, name, "ms", ms);
    return r;
}

enum outcome step_boot(struct slot *s)
{
    TRY(slot_ask(s, "mark", NULL, NULL));
    TRY(slot_restart(s, "power_cycle"));
    TRY(measure_motion(s, "motion_power_ms"));
    slot_progress(s, 0.33);
    TRY(slot_ask(s, "mark", NULL, NULL));
    s->expected_gone = true;
    TRY(slot_ask(s, "cable", json_pack("{s:b}", "on", 0), NULL));
    TRY(slot_await(s, slot_is_gone, 0, 3000, "the pen's removal"));
    TRY(slot_ask(s, "cable", json_pack("{s:b}", "on", 1), NULL));
    TRY(slot_await(s, slot_is_ready, 0, 10000, "the pen"));
    s->expected_gone = false;
    TRY(measure_motion(s, "motion_usb_ms"));
    slot_progress(s, 0.67);
    TRY(slot_ask(s, "mark", NULL, NULL));
    TRY(slot_restart(s, "watchdog"));
    return measure_motion(s, "motion_watchdog_ms");
}

/* ---- integrity ---- */

enum outcome step_integrity(struct slot *s)
{
    struct mn_factory factory;
    struct mn_status status;
    char text[300] = "";
    size_t used = 0;

    TRY(slot_enter(s));
    slot_measure_text(s, "firmware", s->pen.firmware_version);
    TRY(slot_ok(s, mn_factory_get(s->client, s->address, &factory, SLOT_CALL_MS), "ask for its image's hash"));
    for (int i = 0; factory.hashed && i < 32; i++)
        snprintf(text + 2 * i, sizeof(text) - 2 * (size_t)i, "%02x", factory.image_sha256[i]);
    slot_measure_text(s, "image_sha256", text);
    TRY(slot_ok(s, mn_self_test(s->client, s->address, &status, SLOT_CALL_MS), "run its self-test"));
    TRY(slot_wait(s, 50));
    for (unsigned bit = 0; bit < 32; bit++) {
        const struct mn_fault *f = mn_fault_at(bit);

        if (slot_has_fault(s, bit) && f != NULL && (f->code == 1203 || f->code == 1704 || f->code == 1705))
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s ", f->name);
    }
    slot_measure_text(s, "self_test", used == 0 ? "passed" : text);
    return slot_await(s, slot_is_in, MN_STATE_FACTORY, 1000, "FACTORY");
}

/* ---- link ---- */

enum { LATE_US = 5000, STATION_MS = 100 /* if the host's share of the median round trip is longer, the station is too busy to measure */ };

struct link_counters { /* since the pen's start */
    uint64_t lost;          /* frames lost or damaged, in both directions */
    uint32_t replies, late; /* the pen's replies, and those late by its own clock; 0: its firmware does not count them */
};

static enum outcome count_link(struct slot *s, struct link_counters *out)
{
    struct mn_status status;
    struct mn_pens pens;

    TRY(slot_ok(s, mn_pen_status(s->client, s->address, &status, SLOT_CALL_MS), "ask for its counters"));
    TRY(slot_ok(s, mn_list(s->client, &pens, SLOT_CALL_MS), "ask for the link's counters"));
    *out = (struct link_counters){.lost = status.bad_frames + status.sequence_gaps, .replies = status.replies, .late = status.replies_late};
    for (size_t i = 0; i < pens.count; i++) {
        if (strcmp(pens.pen[i].port, s->port) == 0)
            out->lost += pens.pen[i].bad_frames + pens.pen[i].sequence_gaps;
    }
    mn_pens_free(&pens);
    return DONE;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static enum outcome echo_all(struct slot *s, uint32_t *us, size_t n, unsigned *lost)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 511, 512, 513, MN_ECHO_MAX};

    for (size_t i = 0; i < n; i++) {
        uint64_t taken_us = 0;
        int r = mn_ping(s->client, s->address, sizes[i % (sizeof(sizes) / sizeof(sizes[0]))], &taken_us, 2000);

        if (r != MN_OK && r != MN_ERR_TIMEOUT && r != MN_ERR_PROTOCOL)
            return slot_ok(s, r, "echo");
        *lost += r != MN_OK;
        us[i] = r == MN_OK && taken_us < UINT32_MAX ? (uint32_t)taken_us : UINT32_MAX;
        if (*lost > 3) { /* enough to fail the pen */
            *lost += (unsigned)(n - i - 1);
            return DONE;
        }
        if (i % 256 == 0) {
            slot_progress(s, (double)i / (double)n);
            TRY(slot_wait(s, 0)); /* checks the time limit and Ctrl-C */
        }
    }
    return DONE;
}

/* Percentage of late replies: by the pen's own clock, since this machine may be busy; by the round trips, if the firmware does not count them. */
static double late_pct(const struct link_counters *before, const struct link_counters *after, const uint32_t *us, size_t n)
{
    size_t late = 0;

    if (after->replies != before->replies)
        return 100.0 * (after->late - before->late) / (after->replies - before->replies);
    for (size_t i = 0; i < n; i++)
        late += us[i] > LATE_US;
    return 100.0 * (double)late / (double)n;
}

enum outcome step_link(struct slot *s)
{
    size_t n = (size_t)slot_parameter(s, "echoes");
    struct link_counters before, after;
    unsigned lost = 0;
    uint32_t *us = n > 0 ? calloc(n, sizeof(*us)) : NULL;
    enum outcome r;

    if (us == NULL)
        return slot_error(s, "no memory, or no echoes");
    r = count_link(s, &before);
    if (r == DONE)
        r = echo_all(s, us, n, &lost);
    if (r == DONE)
        r = count_link(s, &after);
    if (r == DONE) {
        size_t half = n / 2, most = n * 99 / 100;

        double late = late_pct(&before, &after, us, n);

        qsort(us, n, sizeof(*us), by_value);
        slot_measure(s, "echoes_lost", "", lost);
        slot_measure(s, "frames_lost", "", (double)(after.lost - before.lost));
        slot_measure(s, "late_pct", "%", late);
        slot_measure(s, "p50_ms", "ms", us[half] / 1000.0);
        slot_measure(s, "p99_ms", "ms", us[most] / 1000.0);
        if (us[half] / 1000 >= STATION_MS && late <= 1)
            r = slot_error(s, "this station is too busy to measure a link: half of the round trips took more than %u ms, of which the pen needed less than 5", us[half] / 1000);
    }
    free(us);
    return r;
}

/* ---- malformed ---- */

/* Malformed frames, and one of another session; the bytes are explained in proto/PROTOCOL.md. */
static const struct {
    uint8_t bytes[40];
    size_t n;
} malformed[] = {
    {{0x00}, 1},
    {{0x4d, 0x4e, 0x01, 0x00}, 4}, /* a truncated header, ended by the next frame */
    {{0x4d, 0x4e, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x08, 0x00, 0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef}, 20}, /* a wrong CRC */
    {{0x4d, 0x4e, 0x01, 0x00, 0xff, 0xff, 0x00, 0x00, 0x01, 0x00, 0x08, 0x00, 0, 0, 0, 0}, 16}, /* a length above the maximum */
    {{0x4d, 0x4e, 0x01, 0xfe, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x08, 0x00, 0, 0, 0, 0, 0, 0, 0, 0}, 20}, /* undefined flags */
    {{0x4d, 0x4e, 0x01, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x20, 0x00, 0x01, 0x00, 0xfe, 0xca, 0x84, 0xf2, 0xf5, 0x1a}, 20}, /* of another session */
};

enum outcome step_malformed(struct slot *s)
{
    enum mn_state before = s->pen.state;
    uint32_t boot_id = s->pen.boot_id;
    unsigned answers = 0, restarts = 0;
    size_t n = sizeof(malformed) / sizeof(malformed[0]);

    TRY(slot_ok(s, mn_lease_take(s->client, s->address, SLOT_CALL_MS), "take control of the pen"));
    s->expected_gone = true; /* if it restarts, that is counted below */
    for (size_t i = 0; i < n; i++) {
        int r = mn_factory_provoke(s->client, s->address, 0, malformed[i].bytes, malformed[i].n, SLOT_CALL_MS);

        if (r != MN_ERR_NOT_READY && r != MN_ERR_PEN_GONE && r != MN_ERR_NO_PEN) /* the pen is restarting: counted below */
            TRY(slot_ok(s, r, "send what is no frame"));
        TRY(slot_wait(s, 350)); /* three bad frames within a second end the session, as they should */
        TRY(slot_await(s, slot_is_ready, 0, 5000, "the pen's answer"));
        answers += mn_ping(s->client, s->address, 64, NULL, 2000) == MN_OK;
        restarts += s->pen.boot_id != boot_id;
        boot_id = s->pen.boot_id;
        slot_progress(s, (double)(i + 1) / (double)n);
    }
    s->expected_gone = false;
    TRY(slot_wait(s, 1000)); /* until the pen no longer counts them */
    slot_measure(s, "answers", "", (double)answers / (double)n);
    slot_measure(s, "restarts", "", restarts);
    slot_measure_text(s, "state", s->pen.state == before || (before == MN_STATE_FACTORY && s->pen.state == MN_STATE_SAFE) ? "unchanged" : mn_state_name(s->pen.state));
    return DONE;
}
