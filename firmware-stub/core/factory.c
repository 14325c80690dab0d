#include "factory.h"

#include <assert.h>
#include <string.h>

#include "frame.h"
#include "nvm.h"

enum { CALIBRATION_VERSION = 2, PPM = 1000000 };

static_assert(sizeof(struct calibration) <= NVM_BLOB_MAX && FACTORY_UDI_MAX + 1 <= NVM_BLOB_MAX, "each fits its slot");
static_assert(sizeof(((struct factory *)0)->serial) == sizeof(((mnp_Factory *)0)->serial) && sizeof(((struct factory *)0)->udi) == sizeof(((mnp_Factory *)0)->udi),
              "texts are copied whole");

static const struct calibration none = {.version = CALIBRATION_VERSION, .depth_gain_ppm = PPM, .rate_gain_ppm = PPM};

static bool is_sane(const struct calibration *c)
{
    return c->version == CALIBRATION_VERSION && c->depth_gain_ppm >= PPM / 2 && c->depth_gain_ppm <= 2 * PPM && c->rate_gain_ppm >= PPM / 2 &&
           c->rate_gain_ppm <= 2 * PPM && c->depth_offset_um >= -500 && c->depth_offset_um <= 500 && c->rate_offset_dhz >= -100 &&
           c->rate_offset_dhz <= 100 && c->current_offset_ma >= -500 && c->current_offset_ma <= 500;
}

static bool is_text(const char *text, size_t max)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++) {
        if (text[i] < '!' || text[i] > '~')
            return false;
    }
    return n >= 1 && n <= max;
}

void factory_check(const struct pen_port *port, struct factory *f)
{
    struct calibration stored;
    bool good = nvm_blob_read(port, NVM_CALIBRATION, &stored, sizeof(stored)) == NVM_OK && is_sane(&stored);

    f->stored = good;
    if (f->trial)
        return;
    f->calibrated = good;
    f->calibration = good ? stored : none;
}

void factory_load(const struct pen_port *port, struct factory *f)
{
    uint32_t left;

    memset(f, 0, sizeof(*f));
    if (nvm_blob_read(port, NVM_SERIAL, f->serial, sizeof(f->serial)) != NVM_OK)
        strncpy(f->serial, port->serial, FACTORY_SERIAL_MAX);
    if (nvm_blob_read(port, NVM_UDI, f->udi, sizeof(f->udi)) != NVM_OK)
        f->udi[0] = '\0';
    f->left = nvm_blob_read(port, NVM_LEFT, &left, sizeof(left)) != NVM_EMPTY; /* damaged counts as left, so that a fault cannot open the factory for ever */
    factory_check(port, f);
}

bool factory_challenge(const struct pen_port *port, struct factory *f)
{
    if (f->left || f->wrong >= FACTORY_WRONG_MAX || port->prove == NULL)
        return false;
    for (unsigned i = 0; i < sizeof(f->challenge); i += 4)
        mn_put_u32(f->challenge + i, port->random(port->ctx));
    f->challenged = true;
    return true;
}

bool factory_response_is_right(const struct pen_port *port, struct factory *f, const uint8_t response[32])
{
    uint8_t right[32], difference = 0;

    if (!f->challenged)
        return false;
    f->challenged = false;
    if (!port->prove(port->ctx, f->challenge, right))
        return false;
    for (size_t i = 0; i < sizeof(right); i++)
        difference |= right[i] ^ response[i]; /* constant time, wherever they differ */
    f->wrong = (uint8_t)(f->wrong + (difference != 0));
    return difference == 0;
}

static bool calibration_from_pb(const mnp_Calibration *m, struct calibration *out)
{
    *out = (struct calibration){.version = CALIBRATION_VERSION,
                                .depth_gain_ppm = m->depth_gain_ppm,
                                .depth_offset_um = m->depth_offset_um,
                                .rate_gain_ppm = m->rate_gain_ppm,
                                .rate_offset_dhz = m->rate_offset_dhz,
                                .current_offset_ma = m->current_offset_ma};
    return m->has_depth_gain_ppm && m->has_depth_offset_um && m->has_rate_gain_ppm && m->has_rate_offset_dhz && m->has_current_offset_ma && is_sane(out);
}

static bool is_blank(const struct pen_port *port, uint32_t offset, size_t n)
{
    uint8_t blob[NVM_BLOB_MAX];

    return nvm_blob_read(port, offset, blob, n) != NVM_OK;
}

enum factory_result factory_write(const struct pen_port *port, struct factory *f, const mnp_Factory *wanted)
{
    char serial[sizeof(f->serial)] = "", udi[sizeof(f->udi)] = "";
    struct calibration c;

    if ((wanted->has_calibration && !calibration_from_pb(&wanted->calibration, &c)) || (wanted->trial && !wanted->has_calibration) ||
        (wanted->has_serial && (!is_text(wanted->serial, FACTORY_SERIAL_MAX) || wanted->serial[0] == '@')) ||
        (wanted->has_udi && !is_text(wanted->udi, FACTORY_UDI_MAX)))
        return FACTORY_MALFORMED;
    if (wanted->trial) {
        f->calibration = c;
        f->trial = f->calibrated = true;
        return FACTORY_OK;
    }
    if ((wanted->has_serial && !is_blank(port, NVM_SERIAL, sizeof(serial))) || (wanted->has_udi && !is_blank(port, NVM_UDI, sizeof(udi))) ||
        (wanted->has_calibration && f->stored))
        return FACTORY_WRITTEN;
    strcpy(serial, wanted->serial); /* fits: nanopb terminates and bounds it */
    strcpy(udi, wanted->udi);
    if ((wanted->has_calibration && !nvm_blob_write(port, NVM_CALIBRATION, &c, sizeof(c))) ||
        (wanted->has_udi && !nvm_blob_write(port, NVM_UDI, udi, sizeof(udi))) ||
        (wanted->has_serial && !nvm_blob_write(port, NVM_SERIAL, serial, sizeof(serial))))
        return FACTORY_STORAGE;
    if (wanted->has_udi)
        strcpy(f->udi, udi);
    if (wanted->has_calibration)
        f->trial = false;
    factory_check(port, f);
    return FACTORY_OK;
}

enum factory_result factory_leave(const struct pen_port *port, struct factory *f)
{
    uint32_t left = 1;

    if (!f->stored || f->udi[0] == '\0' || (is_blank(port, NVM_SERIAL, sizeof(f->serial)) && port->serial[0] == '\0'))
        return FACTORY_MALFORMED;
    if (!nvm_blob_write(port, NVM_LEFT, &left, sizeof(left)))
        return FACTORY_STORAGE;
    f->left = true;
    return FACTORY_OK;
}

void factory_to_pb(const struct pen_port *port, const struct factory *f, mnp_Factory *out)
{
    const struct calibration *c = &f->calibration;

    *out = (mnp_Factory){.has_serial = true, .has_udi = true, .has_calibration = f->calibrated, .has_trial = true, .trial = f->trial,
                         .has_left = true, .left = f->left, .has_image_sha256 = port->image_sha256 != NULL};
    strcpy(out->serial, f->serial);
    strcpy(out->udi, f->udi);
    out->calibration = (mnp_Calibration){.has_depth_gain_ppm = true,
                                         .depth_gain_ppm = c->depth_gain_ppm,
                                         .has_depth_offset_um = true,
                                         .depth_offset_um = c->depth_offset_um,
                                         .has_rate_gain_ppm = true,
                                         .rate_gain_ppm = c->rate_gain_ppm,
                                         .has_rate_offset_dhz = true,
                                         .rate_offset_dhz = c->rate_offset_dhz,
                                         .has_current_offset_ma = true,
                                         .current_offset_ma = c->current_offset_ma,
                                         .has_crc = f->stored && !f->trial,
                                         .crc = mn_crc32c(c, sizeof(*c))};
    if (port->image_sha256 != NULL)
        memcpy(out->image_sha256, port->image_sha256, sizeof(out->image_sha256));
}

bool factory_make_default(const struct pen_port *port)
{
    uint32_t left = 1;

    return nvm_blob_write(port, NVM_CALIBRATION, &none, sizeof(none)) && nvm_blob_write(port, NVM_LEFT, &left, sizeof(left));
}

/* Rounds to the nearest; 0 stays 0, since a motor at rest has rate 0 whatever the offset. */
static int32_t scale(int32_t raw, uint32_t gain_ppm, int32_t offset)
{
    int64_t scaled = (int64_t)raw * gain_ppm;

    return raw == 0 ? 0 : (int32_t)((scaled + (scaled < 0 ? -PPM / 2 : PPM / 2)) / PPM) + offset;
}

static int32_t at_least_0(int32_t v)
{
    return v < 0 ? 0 : v;
}

void calibration_apply(const struct calibration *c, struct pen_sensors *s)
{
    s->depth_um = at_least_0(scale(s->depth_um, c->depth_gain_ppm, c->depth_offset_um));
    s->stroke_peak_um = at_least_0(scale(s->stroke_peak_um, c->depth_gain_ppm, c->depth_offset_um));
    s->rate_dhz = at_least_0(scale(s->rate_dhz, c->rate_gain_ppm, c->rate_offset_dhz));
    s->motor_current_ma += c->current_offset_ma;
}

int32_t calibration_raw_depth_um(const struct calibration *c, int32_t depth_um)
{
    return depth_um == 0 ? 0 : at_least_0((int32_t)(((int64_t)(depth_um - c->depth_offset_um) * PPM + c->depth_gain_ppm / 2) / c->depth_gain_ppm));
}
