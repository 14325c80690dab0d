#include "vpen.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "line.h"
#include "used.h"

#define STANDSTILL_HZ 0.5

enum { WATCHDOG_MS = 40 }; /* host gone (250), hung just before that was noticed (40), and the motor running out (50): still within 350 */

const char vpen_help[] = "  trigger press | release        the person's finger\n"
                         "  load PERMILLE                  on the needles, 0 to 2000; about 1080 stalls the motor\n"
                         "  cartridge remove               take it out\n"
                         "  cartridge insert [uid=HEX] [needles=N] [max_depth_um=N] [expiry=UNIX_SECONDS]\n"
                         "                                 a new one, of another uid unless it is given\n"
                         "  charge PERCENT                 of the battery\n"
                         "  inject CODE                    let the cause of a fault come (1101 ...)\n"
                         "  clear CODE | all               take injected causes away (the fault itself may latch)\n"
                         "  power-cycle                    off and on; configuration and records stay\n"
                         "  power-cut WRITE [BYTES]        off in the WRITE-th write to the memory from now, of which BYTES [0] arrive; and on\n"
                         "  hang                           the firmware stops; its watchdog resets it after 40 ms\n"
                         "  truth                          what the model knows: rate, depth, temperature, battery\n"
                         "  mark, gauges, label, contact, cartridge blank | used | expired | foreign | gauge\n"
                         "                                 a fixture's: see firmware-stub/port/line.h\n"
                         "  defect NAME                    something is the matter with it from now on; a wrong name lists all\n";

static bool port_send(void *ctx, enum pen_endpoint endpoint, const uint8_t *bytes, size_t n)
{
    struct vpen *v = ctx;

    return !v->dark && line_sends(v, endpoint, bytes, n);
}

static bool port_nvm_read(void *ctx, uint32_t offset, void *bytes, size_t n)
{
    const struct vpen *v = ctx;

    if (offset > PEN_NVM_SIZE || n > PEN_NVM_SIZE - offset || !line_reads(v, offset))
        return false;
    memcpy(bytes, v->nvm + offset, n);
    return true;
}

static bool port_nvm_write(void *ctx, uint32_t offset, const void *bytes, size_t n)
{
    struct vpen *v = ctx;

    if (v->nvm_broken || v->dark || offset > PEN_NVM_SIZE || n > PEN_NVM_SIZE - offset)
        return false;
    if (v->cut_in > 0 && --v->cut_in == 0) {
        v->dark = true; /* nothing that the code still does has an effect: the next millisecond is after a reset */
        n = n < v->cut_bytes ? n : v->cut_bytes;
    }
    if (!line_writes(v, offset))
        return true;
    memcpy(v->nvm + offset, bytes, n);
    return !v->dark;
}

static uint32_t port_random(void *ctx)
{
    struct vpen *v = ctx;

    v->random ^= v->random << 13;
    v->random ^= v->random >> 17;
    v->random ^= v->random << 5;
    return v->random;
}

/* The memory is a shared mapping of the file, so it survives the program, even if that is killed. */
static int nvm_open(struct vpen *v, const char *path)
{
    struct stat st;
    int fd, r = 0;

    if (path == NULL) {
        v->nvm = calloc(1, PEN_NVM_SIZE);
        return v->nvm != NULL ? 0 : -ENOMEM;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || (st.st_size == 0 && ftruncate(fd, PEN_NVM_SIZE) < 0)) {
        r = -errno;
    } else if (st.st_size != 0 && st.st_size != PEN_NVM_SIZE) {
        r = -EINVAL;
    } else {
        v->nvm = mmap(NULL, PEN_NVM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (v->nvm == MAP_FAILED) {
            r = -errno;
            v->nvm = NULL;
        }
        v->nvm_is_file = r == 0;
    }
    close(fd);
    return r;
}

/* Initialises a blank memory as that of a pen that has left the factory. */
static bool nvm_is_blank(const struct vpen *v)
{
    for (size_t i = 0; i < NVM_RECORDS; i++) {
        if (v->nvm[i] != 0)
            return false;
    }
    return true;
}

int vpen_init(struct vpen *v, const char *serial, uint32_t seed, const char *nvm_path,
              bool (*transmit)(void *ctx, enum pen_endpoint endpoint, const uint8_t *bytes, size_t n), void *ctx)
{
    int r;

    memset(v, 0, sizeof(*v));
    r = nvm_open(v, nvm_path);
    if (r < 0)
        return r;
    snprintf(v->serial, sizeof(v->serial), "%s", serial);
    v->random = seed * 2246822519u | 1;
    v->transmit = transmit;
    v->ctx = ctx;
    v->port = (struct pen_port){.ctx = v,
                                .send = port_send,
                                .nvm_read = port_nvm_read,
                                .nvm_write = port_nvm_write,
                                .random = port_random,
                                .serial = v->serial,
                                .hardware_revision = v->revision,
                                .image_sha256 = v->image,
                                .prove = line_prove};
    model_init(&v->model, seed);
    line_init(v, seed);
    if (nvm_is_blank(v) && serial[0] != '\0')
        factory_make_default(&v->port);
    pen_init(&v->pen, &v->port, mnp_ResetCause_RESET_POWER_ON, true);
    return 0;
}

void vpen_deinit(struct vpen *v)
{
    if (v->nvm_is_file)
        munmap(v->nvm, PEN_NVM_SIZE);
    else
        free(v->nvm);
    v->nvm = NULL;
}

void vpen_power_cycle(struct vpen *v, mnp_ResetCause cause)
{
    v->hung = v->dark = false;
    line_restarts(v, cause);
    v->actuators = (struct pen_actuators){0};
    pen_init(&v->pen, &v->port, cause, true);
}

void vpen_plug(struct vpen *v, bool plugged)
{
    v->model.vbus = plugged;
    if (line_plugs(v, plugged) && !plugged && !v->hung)
        pen_control(&v->pen, MN_CONTROL_SESSION_RESET);
}

void vpen_advance(struct vpen *v, uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++) {
        model_step(&v->model, &v->actuators, &v->sensors);
        v->clock_ms++;
        line_step(v);
        if (v->model.rate_hz > STANDSTILL_HZ)
            v->moved_ms = v->clock_ms;
        if (v->dark)
            vpen_power_cycle(v, mnp_ResetCause_RESET_POWER_ON);
        if (!v->hung)
            pen_tick(&v->pen, &v->sensors, &v->actuators);
        else if (++v->hung_ms >= WATCHDOG_MS)
            vpen_power_cycle(v, mnp_ResetCause_RESET_WATCHDOG);
    }
}

/* Inserts a cartridge that the pen has noted as used. */
static void insert_used_cartridge(struct vpen *v)
{
    used_add(&v->port, ++v->model.tag.uid);
}

static void damage(struct vpen *v, uint32_t offset)
{
    memset(v->nvm + offset, 0xa5, 2 * NVM_SLOT_SIZE);
}

static const char *cut(struct vpen *v, const char *rest)
{
    char *end;
    unsigned long write = strtoul(rest, &end, 10);

    v->cut_bytes = (uint32_t)strtoul(end, NULL, 10);
    v->cut_in = (uint32_t)write;
    return write > 0 ? "ok: the power will go" : "error: in which write to the memory, from 1?";
}

static const char *inject(struct vpen *v, uint32_t code)
{
    uint32_t mask = fault_mask_of_code(code);

    if ((v->deaf & mask) != 0)
        return "ok: the cause is there, and nothing notices";
    switch (code) {
    case 1303:
        insert_used_cartridge(v);
        return "ok: a used cartridge is in";
    case 1601:
        v->pen.link_broken = true;
        return "ok: the pen takes the host for gone";
    case 1602:
        for (int i = 0; i < 3; i++)
            link_note_bad(&v->pen.link, v->pen.now_ms);
        return "ok: three frames taken for bad";
    case 1701:
        damage(v, NVM_CALIBRATION);
        return "ok: calibration damaged, the pen finds it within a second";
    case 1702:
        damage(v, NVM_CONFIG);
        return "ok: stored configuration damaged, the pen finds it within a second";
    case 1802:
        vpen_power_cycle(v, mnp_ResetCause_RESET_WATCHDOG);
        return "ok: reset by the watchdog";
    default:
        break;
    }
    if (mask == 0)
        return "error: no fault has this code; `mnctl faults --table` lists them";
    v->model.causes |= mask;
    switch (code) {
    case 1203:
    case 1704:
    case 1705:
        return "ok: the cause is there, found at the next self-test or power-cycle";
    case 1801:
        return "ok: trigger stuck, found at the next power-cycle or after 120 s";
    default:
        return "ok: the cause is there; some faults show only while the needles run";
    }
}

static const char *clear(struct vpen *v, const char *word)
{
    uint32_t code = (uint32_t)strtoul(word, NULL, 10), mask;
    bool all = strcmp(word, "all") == 0;

    mask = all ? UINT32_MAX : fault_mask_of_code(code);
    if (mask == 0)
        return "error: no fault has this code";
    v->model.causes &= ~mask;
    if (mask & FAULT_MASK(CALIBRATION_INVALID) && v->serial[0] != '\0')
        factory_make_default(&v->port);
    if (mask & FAULT_MASK(CARTRIDGE_USED) && v->pen.cartridge.state == mnp_CartridgeState_CARTRIDGE_USED)
        v->model.tag.uid++;
    return "ok: the cause is gone; a latched fault needs `mnctl faults clear`";
}

static const char *insert(struct vpen *v, char *words)
{
    struct pen_tag tag = v->model.tag;
    char *save = NULL;

    tag.present = tag.readable = true;
    tag.uid++;
    for (char *w = strtok_r(words, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        char *value = strchr(w, '='), *end = NULL;
        unsigned long long n;

        if (value == NULL)
            return "error: cartridge insert takes NAME=VALUE";
        *value++ = '\0';
        n = strtoull(value, &end, strcmp(w, "uid") == 0 ? 16 : 10);
        if (*value == '\0' || *end != '\0')
            return "error: not a number";
        if (strcmp(w, "uid") == 0)
            tag.uid = n;
        else if (strcmp(w, "needles") == 0)
            tag.needle_count = (uint32_t)n;
        else if (strcmp(w, "max_depth_um") == 0)
            tag.max_depth_um = (uint32_t)n;
        else if (strcmp(w, "expiry") == 0)
            tag.expiry_s = n;
        else
            return "error: a cartridge has uid, needles, max_depth_um, expiry";
    }
    v->model.tag = tag;
    v->model.causes &= ~(FAULT_MASK(CARTRIDGE_ABSENT) | FAULT_MASK(CARTRIDGE_REMOVED_RUNNING));
    return "ok: cartridge in";
}

static const char *number(const char *word, double low, double high, double *out)
{
    char *end = NULL;

    *out = strtod(word, &end);
    return *word == '\0' || *end != '\0' || !(*out >= low && *out <= high) ? "error: not a number in range" : NULL;
}

static void truth(const struct vpen *v, char *answer, size_t cap)
{
    const struct model *m = &v->model;

    snprintf(answer, cap,
             "ok state=%d rate_hz=%.1f depth_um=%" PRId32 " current_ma=%.0f motor_c=%.1f grip_c=%.1f battery_mv=%.0f "
             "charge_pct=%.1f load=%" PRId32 " trigger=%d time_ms=%" PRIu64 " fault_word=0x%08" PRIx32 " records=%" PRIu32 " clock_ms=%" PRIu64 " moved_ms=%" PRIu64,
             (int)v->pen.state, m->rate_hz, v->sensors.depth_um, m->current_ma, m->motor_c, m->grip_c, m->battery_mv,
             100 * m->charge_mah / MODEL_CAPACITY_MAH, m->load_permille, m->trigger, v->pen.now_ms, v->pen.faults.word,
             v->pen.records.newest, v->clock_ms, v->moved_ms);
}

void vpen_command(struct vpen *v, const char *line, char *answer, size_t cap)
{
    char copy[256], nothing[1] = "", *save = NULL, *verb, *rest;
    const char *said = NULL;
    double n;

    snprintf(copy, sizeof(copy), "%s", line);
    copy[strcspn(copy, "\r\n")] = '\0';
    verb = strtok_r(copy, " ", &save);
    rest = strtok_r(NULL, "", &save);
    if (rest == NULL)
        rest = nothing;
    if (verb == NULL) {
        said = "error: empty command";
    } else if (strcmp(verb, "trigger") == 0 && (strcmp(rest, "press") == 0 || strcmp(rest, "release") == 0)) {
        v->model.trigger = rest[0] == 'p';
        said = v->model.trigger ? "ok: trigger pressed" : "ok: trigger released";
    } else if (strcmp(verb, "load") == 0) {
        said = number(rest, 0, 2000, &n);
        if (said == NULL) {
            v->model.load_permille = (int32_t)n;
            v->loaded_at_ms = v->clock_ms;
            said = "ok: load set";
        }
    } else if (strcmp(verb, "charge") == 0) {
        said = number(rest, 0, 100, &n);
        if (said == NULL) {
            model_set_charge_pct(&v->model, n);
            said = "ok: charge set";
        }
    } else if (line_command(v, verb, rest, answer, cap)) {
        return;
    } else if (strcmp(verb, "cartridge") == 0 && strcmp(rest, "remove") == 0) {
        v->model.tag.present = false;
        said = "ok: cartridge out";
    } else if (strcmp(verb, "cartridge") == 0 && strncmp(rest, "insert", 6) == 0) {
        said = insert(v, rest + 6);
    } else if (strcmp(verb, "inject") == 0) {
        said = inject(v, (uint32_t)strtoul(rest, NULL, 10));
    } else if (strcmp(verb, "clear") == 0) {
        said = clear(v, rest);
    } else if (strcmp(verb, "power-cycle") == 0) {
        vpen_power_cycle(v, mnp_ResetCause_RESET_POWER_ON);
        said = "ok: power-cycled";
    } else if (strcmp(verb, "power-cut") == 0) {
        said = cut(v, rest);
    } else if (strcmp(verb, "hang") == 0) {
        v->hung = true;
        v->hung_ms = 0;
        said = "ok: the firmware hangs";
    } else if (strcmp(verb, "truth") == 0) {
        truth(v, answer, cap);
        return;
    } else {
        said = "error: unknown command; trigger, load, cartridge, charge, inject, clear, power-cycle, power-cut, hang, truth, unplug, "
               "replug, link";
    }
    snprintf(answer, cap, "%s", said);
}
