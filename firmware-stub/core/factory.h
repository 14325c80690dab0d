/*
 * What the pen gets in the factory, and how it is let in there: its serial number, UDI and calibration, each written once in its life; a
 * challenge that only the factory's key answers; and the leaving for good, after which nothing of this is possible any more.
 *
 * FACTORY is a mode of one session: it ends with the session, with FACTORY_LEAVE and with each start. A factory run is armed and run as any
 * other (pen.h): by an ARM of its own, the trigger, heartbeats, faults; only zone, treatment and calibration are not asked for.
 *
 * true = raw * gain + offset, for all that the pen measures; the depth that it sets goes the other way.
 */
#pragma once

#include "hal.h"
#include "pen.pb.h"

#define FACTORY_SERIAL_MAX 32u
#define FACTORY_UDI_MAX 47u
#define FACTORY_WRONG_MAX 3u /* responses, until the next start */

struct calibration {
    uint32_t version;
    uint32_t depth_gain_ppm; /* 500000 to 2000000, as the other */
    int32_t depth_offset_um; /* -500 to 500 */
    uint32_t rate_gain_ppm;
    int32_t rate_offset_dhz; /* -100 to 100 */
    int32_t current_offset_ma; /* -500 to 500 */
};

struct factory {
    struct calibration calibration; /* in force */
    bool calibrated;                /* it is from the memory, or on trial */
    bool stored, trial;
    char serial[FACTORY_SERIAL_MAX + 1]; /* of this life */
    char udi[FACTORY_UDI_MAX + 1];
    bool left;
    bool challenged; /* there is one, not answered yet */
    uint8_t challenge[16];
    uint8_t wrong;
};

/* At boot. */
void factory_load(const struct pen_port *port, struct factory *f);
/* Is the stored calibration still what it was? A trial goes on. */
void factory_check(const struct pen_port *port, struct factory *f);

/* Makes a challenge; false: this pen has none to make (it has left, has no key, or was answered wrongly too often). */
bool factory_challenge(const struct pen_port *port, struct factory *f);
/* The right response to the last challenge, which is used up. */
bool factory_response_is_right(const struct pen_port *port, struct factory *f, const uint8_t response[32]);

enum factory_result { FACTORY_OK, FACTORY_MALFORMED, FACTORY_WRITTEN, FACTORY_STORAGE };

/* Takes what is present, all or none. */
enum factory_result factory_write(const struct pen_port *port, struct factory *f, const mnp_Factory *wanted);
/* The memory says from now on that the pen has left. MALFORMED: something is not written yet. */
enum factory_result factory_leave(const struct pen_port *port, struct factory *f);
void factory_to_pb(const struct pen_port *port, const struct factory *f, mnp_Factory *out);

/* Writes what a pen has that came from the factory (a calibration of 1), so that a blank memory becomes one's. */
bool factory_make_default(const struct pen_port *port);

/* Makes what the sensors read true. */
void calibration_apply(const struct calibration *c, struct pen_sensors *s);
/* What the drive is told, so that the needles go so deep. */
int32_t calibration_raw_depth_um(const struct calibration *c, int32_t depth_um);
