/*
 * A slot: one place of the station, with at most one pen in it, addressed by its USB port path whatever the pen is called. Each has a thread, a
 * connection and a fixture of its own, so a slow or dead pen keeps nobody waiting but itself. slot_run() carries the plan out with the pen that is there
 * and leaves a record; what stands below it is what steps are made of. Everything that waits lets the connection live, ends at the step's time limit
 * and when the run is aborted.
 *
 * The end of every run, whatever it was: needles stopped, fixture safe, plan's teardown, FACTORY left.
 */
#pragma once

#include <mn/mn.h>
#include <stdbool.h>
#include <stdint.h>

#include "aside.h"
#include "fixture.h"
#include "record.h"
#include "station.h"
#include "steps.h"

#define SLOT_CALL_MS 3000      /* timeout of calls to libmn */
#define SLOT_READY_MS 10000    /* for a pen to be READY */
#define SLOT_TEARDOWN_MS 15000 /* for making pen and fixture safe */

struct telemetry { /* of the pen, since slot_listen_anew() */
    bool on;
    uint64_t samples, missed;
    double rate_sum_dhz, current_sum_ma;
    int32_t rate_min_dhz, rate_max_dhz;
    uint64_t low_us;       /* when the rate was last out of its tolerance, in the pen's time */
    int32_t low_dhz, high_dhz; /* the rate's tolerance */
    uint64_t first_us, last_us;
    bool has_slow;
    int32_t motor_dc_max, grip_dc_max, battery_mv, battery_mv_min, vbus_mv, motor_rail_mv, logic_rail_mv;
};

struct slot {
    struct station *station;
    unsigned index;
    pthread_t thread;
    bool started;            /* thread must be joined */
    char port[32], address[MN_SERIAL_MAX + 1]; /* "usb 1-4", "@usb-1-4" */
    mn_client *client;
    struct fixture *fixture;
    struct mn_pen pen;       /* the pen as the daemon reported it last */
    unsigned removals;       /* number of cartridge removals, including those between two looks at pen */
    bool present;
    uint64_t gone_ms;        /* when it disappeared unexpectedly; 0: it did not */
    bool expected_gone;      /* the step itself pulls it out, or restarts it */
    bool host_lost;          /* in this attempt, and not by the step: no heartbeat came for 250 ms (1601), because this station is too busy */
    bool expected_host_loss; /* the step itself keeps heartbeats back */
    struct telemetry telemetry;
    struct mn_cleared cleared;

    struct record record;
    const struct plan_step *step;
    json_t *attempt;
    uint64_t deadline_ms;
    bool in_teardown, aborted;
    bool found_done;         /* the pen has left the factory already: no run */
    uint64_t waited_ms;      /* time spent in this run waiting for other slots */
    char error[400];         /* of the current attempt */
    const char *error_kind;  /* "step", "fixture", "pen", "label" */

    struct mn_calibration calibration;
    bool calibrated;         /* calibration holds the result of this run */
    char serial[MN_SERIAL_MAX + 1], udi[MN_UDI_MAX + 1]; /* scanned */
};

/* run.c: carries out one run; its record is on disk afterwards. False if no record could be written. */
bool slot_run(struct slot *s);
/* Connects, unless it is connected. Returns MN_OK, or libmn's error with the message set by slot_error(). */
int slot_connect(struct slot *s);

/* ---- what steps are made of ---- */

#define TRY(x)                                                                                                         \
    do {                                                                                                               \
        enum outcome outcome_ = (x);                                                                                   \
        if (outcome_ != DONE)                                                                                          \
            return outcome_;                                                                                           \
    } while (0)

enum outcome slot_error(struct slot *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* DONE for MN_OK; else ERROR with the message "cannot <doing>: " and libmn's. */
enum outcome slot_ok(struct slot *s, int r, const char *doing);
enum outcome slot_wait(struct slot *s, unsigned ms);
/* Waits until the condition holds (*held) or limit_ms is over. ERROR only at the step's own time limit. */
typedef bool slot_condition(const struct slot *s, uint64_t arg);
enum outcome slot_wait_for(struct slot *s, slot_condition *condition, uint64_t arg, unsigned limit_ms, bool *held);
/* The same, but a timeout is an error: "<what> did not come within ..." */
enum outcome slot_await(struct slot *s, slot_condition *condition, uint64_t arg, unsigned limit_ms, const char *what);

/* For work that waits for a disk: runs work(arg) in another thread and serves the connection until it returns, whatever the step's time limit. work() must not touch what events change. */
void slot_aside(struct slot *s, aside_work *work, void *arg);

double slot_parameter(const struct slot *s, const char *name);
void slot_measure(struct slot *s, const char *name, const char *unit, double value);
void slot_measure_text(struct slot *s, const char *name, const char *value);
void slot_point(struct slot *s, const char *curve, double x, double y);
void slot_progress(struct slot *s, double fraction);

/* Asks the fixture; args as in fixture_ask(). */
enum outcome slot_ask(struct slot *s, const char *operation, json_t *args, json_t **answer);
/* A number of its "read". */
enum outcome slot_read(struct slot *s, json_t **readings);
enum outcome slot_number(struct slot *s, const json_t *readings, const char *name, double *out);

/* Conditions. */
bool slot_is_ready(const struct slot *s, uint64_t unused);
bool slot_is_gone(const struct slot *s, uint64_t unused);
bool slot_is_in(const struct slot *s, uint64_t state);          /* enum mn_state */
bool slot_is_another(const struct slot *s, uint64_t boot_id);   /* READY, with another boot_id */
bool slot_has_cartridge(const struct slot *s, uint64_t state);  /* enum mn_cartridge */
bool slot_was_emptied(const struct slot *s, uint64_t removals);  /* removed since the counter had this value, or absent */
bool slot_has_fault(const struct slot *s, uint64_t bit);
bool slot_lacks_fault(const struct slot *s, uint64_t bit);
bool slot_has_trigger(const struct slot *s, uint64_t pressed);

/* Takes the lease, clears faults and enters FACTORY; the pen is at rest. */
enum outcome slot_enter(struct slot *s);
/* Power-cycles the pen by the fixture's operation and waits until it is READY. */
enum outcome slot_restart(struct slot *s, const char *operation);
/* Enters FACTORY, inserts a gauge cartridge, configures, arms and presses the trigger; with settle, waits until the rate is steady. */
enum outcome slot_start_needles(struct slot *s, uint32_t depth_um, uint32_t rate_dhz, bool settle);
enum outcome slot_stop_needles(struct slot *s);
/* Makes the fixture safe and waits until the pen is at rest. */
enum outcome slot_rest(struct slot *s);

/* Subscribes to telemetry, which resets the statistics, or unsubscribes. */
enum outcome slot_listen(struct slot *s, bool on);
void slot_listen_anew(struct slot *s);
