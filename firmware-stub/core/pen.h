/*
 * The pen: its state machine, which alone may let the needles move. Portable C11, no heap, no operating system; time
 * comes as ticks of one millisecond, sensors and link as arguments, so that an hour of pen can run in a second.
 *
 *     BOOT -> SELFTEST -> SAFE --ARM--> ARMED --trigger pressed--> RUNNING --trigger released,--> STOPPING -> SAFE
 *                 |         ^             |                           |      STOP, link, fault        |
 *              DFU|         +--30 s, STOP-+                           +-------------------------------+-> FAULT
 *   (image hash)  v         +------------------- fault gone or cleared ------------------------------------+
 *
 * In the factory (factory.h) FACTORY stands in SAFE's place.
 *
 * RUNNING has one entry, the trigger in ARMED, held for longer than it bounces. ARM needs the echoed configuration generation, a zone that may be treated
 * so deep, the cartridge that the host has named, fit and of no other treatment, and no fault that forbids it. From then on until the needles stand, depth,
 * rate, calibration and cartridge are those of the ARM: if one of them changes, or cannot be vouched for any more, it is over. A fault with effect STOP leads
 * to FAULT from anywhere, and one with effect NO_ARM ends what was armed. Nothing goes on by itself.
 *
 * Calls: pen_init() once per power-up or reset; pen_tick() each millisecond; command.h when bytes came from the host. All
 * from one thread.
 */
#pragma once

#include "cartridge.h"
#include "detect.h"
#include "factory.h"
#include "faults.h"
#include "hal.h"
#include "link.h"
#include "motor.h"
#include "pen.pb.h"
#include "records.h"
#include "settings.h"
#include "telemetry.h"

#define PEN_FIRMWARE_VERSION "0.1.0"
#define PEN_MODEL "MN-1 microneedling pen"

struct pen_counters { /* kept over power cycles */
    uint32_t boot_count;
    uint32_t strokes_total;
    uint32_t motor_on_ms_low, motor_on_ms_high;
    uint32_t records_acked;
};

struct pen_run { /* from RUNNING to standstill */
    uint64_t began_ms;
    uint64_t moving_ms;
    uint32_t strokes;
    int32_t depth_peak_um;
    mnp_EndReason end;
    uint16_t fault_code;
};

struct pen_arming { /* what an ARM says */
    uint32_t generation; /* that the host believes */
    uint32_t zone;       /* where the operator says that it is: the pen cannot sense it */
    uint64_t treatment;  /* not 0 */
    uint64_t cartridge_uid; /* that the host has looked up */
    bool factory;        /* a FACTORY_ARM: without zone and treatment */
};

struct pen_frozen { /* at ARM, and in force until the needles stand again */
    struct settings settings;
    struct calibration calibration;
    uint64_t cartridge_uid;
    uint32_t cartridge_lot;
};

struct pen {
    const struct pen_port *port;
    bool simulated; /* told to the host as a capability */
    uint64_t now_ms;
    uint32_t boot_id;
    mnp_ResetCause reset_cause;
    uint64_t host_time_s, host_time_at_ms; /* of the last HELLO; 0: unknown */

    mnp_State state;
    uint64_t state_since_ms;
    uint64_t home_seen_ms;
    struct link_reply *selftest_reply;
    bool image_ok, hardware_ok, homed, trigger_at_boot, config_damaged, watchdog_reset, link_broken;
    bool in_factory; /* FACTORY is where it rests */

    struct settings settings;
    struct factory factory;
    struct faults faults;
    struct detect detect;
    struct motor motor;
    struct cartridge cartridge;
    struct records records;
    struct telemetry telemetry;
    struct link link;
    struct pen_counters counters;
    struct pen_arming armed; /* of the last ARM */
    struct pen_frozen frozen;
    struct pen_run run;
    uint32_t strokes_session;
    uint64_t heartbeat_ms; /* when the last came */
    bool trigger_held; /* pressed, or let go for less time than it bounces */

    uint32_t status_count;
    uint64_t status_sent_ms;
    struct mn_pen_status status_sent;
    struct pen_actuators out;
};

enum pen_arm_result { PEN_ARM_OK, PEN_ARM_STATE, PEN_ARM_CONFLICT, PEN_ARM_FAULT, PEN_ARM_ZONE, PEN_ARM_DEPTH, PEN_ARM_CARTRIDGE };

/* Power-up or reset. The memory behind port stays as it was; everything else starts anew. */
void pen_init(struct pen *p, const struct pen_port *port, mnp_ResetCause cause, bool simulated);

/* One millisecond: reads the sensors, decides, and says in *out what the motor may do. */
void pen_tick(struct pen *p, const struct pen_sensors *raw, struct pen_actuators *out);

/* Sends what waits: replies, then telemetry. pen_tick() does it too; a port that has just received calls it for an answer
 * without the wait for the next tick. */
void pen_send(struct pen *p);

/* On FAULT, *fault_code says which. */
enum pen_arm_result pen_arm(struct pen *p, const struct pen_arming *wanted, uint16_t *fault_code);

/* How deep a zone may be treated; 0: never, or there is none of this number. */
uint32_t pen_zone_cap_um(uint32_t zone);

/* Always works, in every state. */
void pen_end_run(struct pen *p, mnp_EndReason reason);

/* The session from which the pen may have been armed is over: the needles stop. */
void pen_host_gone(struct pen *p);

/* Applies, stores, numbers and records a whole configuration; false: the memory refused and nothing has changed. */
bool pen_configure(struct pen *p, const struct settings *wanted);

/* Clears faults and leaves FAULT if nothing keeps the pen there. Returns the bits that went. */
uint32_t pen_clear_faults(struct pen *p, uint32_t wanted, bool service);

/* At rest only; the reply is sent when the test is over. */
bool pen_self_test(struct pen *p, struct link_reply *reply);

void pen_status(const struct pen *p, mnp_Status *out);

/* False: the memory refused. */
bool pen_ack_records(struct pen *p, uint32_t through);
bool pen_store_counters(struct pen *p);

/* Into the factory, and out of it. Entering needs a pen at rest; a pen that leaves for good counts from 0. */
bool pen_enter_factory(struct pen *p);
enum factory_result pen_leave_factory(struct pen *p, bool for_good);
