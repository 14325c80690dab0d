/* libmn: telemetry. Included by mn/mn.h, which begins with an overview. */
#ifndef MN_TELEMETRY_H
#define MN_TELEMETRY_H

#ifndef MN_MN_H
#error "include <mn/mn.h>"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- telemetry ---- */

/* Telemetry of this pen (NULL: of every pen, of now and later), on or off. It arrives as MN_EVENT_TELEMETRY. Errors: CALL; MN_ERR_INVALID,
 * MN_ERR_BUSY (at most 64 single pens). */
MN_API int mn_subscribe(mn_client *c, const char *serial, bool on, int timeout_ms);
MN_API int mn_subscribe_async(mn_client *c, const char *serial, bool on, int timeout_ms, mn_result_fn *done, void *user);

#define MN_LATENCY_MIN_MS 5
#define MN_LATENCY_MAX_MS 2000
#define MN_LATENCY_DEFAULT_MS 50

/*
 * What of the telemetry this client gets, of all that it is subscribed to; before, or while it flows. It takes effect with the answer.
 * decimation: every so many-th of the fast samples, those whose number is a multiple of it: 1 (at first: all of them), 2, 5, 10, 20, 50, 100,
 * 200, 500, 1000. They are samples, not means: what is between them is not seen. period_us is longer by it.
 * latency_max_ms: how old a sample may be when it comes, 5 to 2000 (at first 50). A pen makes smaller batches for one who is in a hurry; one who is
 * not is woken less often, for many at once.
 *
 * Errors: CALL; MN_ERR_INVALID (other values), MN_ERR_UNSUPPORTED (the daemon is too old).
 */
MN_API int mn_pace(mn_client *c, unsigned decimation, unsigned latency_max_ms, int timeout_ms);
MN_API int mn_pace_async(mn_client *c, unsigned decimation, unsigned latency_max_ms, int timeout_ms, mn_result_fn *done, void *user);

/* Structs of arrays: value i of each column belongs to sample first_seq + i * decimation, taken at t0_us + i * period_us of the pen's time.
 * missed: samples between the last batch of this pen that this client got, and this one. */
struct mn_fast {
    uint64_t first_seq, t0_us;
    uint32_t period_us, decimation; /* decimation: 1, or that of mn_pace() */
    size_t count;
    uint64_t missed;
    const int32_t *depth_um;            /* measured */
    const int32_t *stroke_rate_dhz;
    const int32_t *motor_current_ma;
    const int32_t *motor_duty_permille;
    const int32_t *load_permille;
    const int32_t *skin_contact;        /* an estimate: 0, 1 */
};

struct mn_slow {
    uint64_t first_seq, t0_us;
    uint32_t period_us, decimation; /* decimation: 1 */
    size_t count;
    uint64_t missed;
    const int32_t *depth_set_um, *rate_set_dhz;
    const int32_t *motor_temp_dc, *grip_temp_dc, *battery_temp_dc;
    const int32_t *battery_mv, *battery_ma, *battery_soc_pct, *battery_cycles; /* battery_ma < 0: discharging */
    const int32_t *vbus_mv, *motor_rail_mv, *logic_rail_mv;
};

struct mn_telemetry {
    const char *serial;
    uint32_t boot_id;
    enum mn_state state;
    uint32_t fault_word;
    uint32_t strokes_session;
    uint64_t dropped_by_pen; /* of the missed ones: samples that the pen itself dropped, since its boot */
    struct mn_fast fast;     /* count 0: none in this batch */
    struct mn_slow slow;
};

#ifdef __cplusplus
}
#endif
#endif
