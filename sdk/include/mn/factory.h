/* libmn: the factory. Included by mn/mn.h, which begins with an overview. */
#ifndef MN_FACTORY_H
#define MN_FACTORY_H

#ifndef MN_MN_H
#error "include <mn/mn.h>"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the factory ---- */

/*
 * A pen off the line has no serial number, no calibration and an empty memory. The role factory, a lease and the answer to the pen's challenge
 * open it: FACTORY is then where it rests, and mn_factory_arm() arms it without a treatment; its trigger starts the needles as ever. FACTORY ends
 * with the session, with the pen's restart, and with mn_factory_leave(). What is written is written once in a pen's life.
 */
#define MN_UDI_MAX 47

struct mn_calibration { /* true = raw * gain + offset */
    uint32_t depth_gain_ppm; /* 1000000: none */
    int32_t depth_offset_um;
    uint32_t rate_gain_ppm;
    int32_t rate_offset_dhz, current_offset_ma;
};

struct mn_factory {
    char serial[MN_SERIAL_MAX + 1]; /* "": none yet; of the next start if it was just written */
    char udi[MN_UDI_MAX + 1];       /* unique device identifier; "" */
    bool calibrated, trial, stored; /* calibration is in force; until the next start only; in the pen's memory */
    struct mn_calibration calibration;
    uint32_t calibration_crc;       /* CRC-32C of it as it is stored */
    bool left;                      /* the factory, for good */
    bool hashed;                    /* image_sha256 is there */
    uint8_t image_sha256[32];       /* of the firmware's image */
};

/* What was written into the pen in the factory. Errors: PEN. */
MN_API int mn_factory_get(mn_client *c, const char *serial, struct mn_factory *out, int timeout_ms);
MN_API int mn_factory_get_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);
/* A challenge for one response. MN_ERR_FORBIDDEN: the pen has left the factory, or was answered wrongly three times since its start. Errors: PEN;
 * MN_ERR_FORBIDDEN, MN_ERR_LEASE. */
MN_API int mn_factory_challenge(mn_client *c, const char *serial, uint8_t challenge[16], int timeout_ms);
MN_API int mn_factory_challenge_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user);
/* With HMAC-SHA-256 of the challenge under the factory's key. MN_ERR_FORBIDDEN, MN_ERR_STATE. Errors: PEN; MN_ERR_FORBIDDEN, MN_ERR_LEASE,
 * MN_ERR_STATE. */
MN_API int mn_factory_enter(mn_client *c, const char *serial, const uint8_t response[32], int timeout_ms);
MN_API int mn_factory_enter_async(mn_client *c, const char *serial, const uint8_t response[32], int timeout_ms, mn_result_fn *done, void *user);
/* The pen's trigger starts the needles then; config_generation as in mn_session_arm(). Errors: PEN; MN_ERR_FORBIDDEN, MN_ERR_LEASE, MN_ERR_STATE,
 * MN_ERR_CONFLICT, MN_ERR_FAULT. */
MN_API int mn_factory_arm(mn_client *c, const char *serial, uint32_t config_generation, int timeout_ms);
MN_API int mn_factory_arm_async(mn_client *c, const char *serial, uint32_t config_generation, int timeout_ms, mn_result_fn *done, void *user);
/* A calibration until the next start. Errors: PEN; MN_ERR_INVALID, MN_ERR_FORBIDDEN, MN_ERR_LEASE, MN_ERR_STATE. */
MN_API int mn_factory_try(mn_client *c, const char *serial, const struct mn_calibration *calibration, int timeout_ms);
MN_API int mn_factory_try_async(mn_client *c, const char *serial, const struct mn_calibration *calibration, int timeout_ms, mn_result_fn *done,
                                void *user);
/* For good, all or none; each may be NULL. MN_ERR_WRITTEN: there is one already. Errors: PEN; MN_ERR_INVALID, MN_ERR_FORBIDDEN, MN_ERR_LEASE,
 * MN_ERR_STATE, MN_ERR_WRITTEN, MN_ERR_STORAGE. */
MN_API int mn_factory_write(mn_client *c, const char *serial, const char *new_serial, const char *udi, const struct mn_calibration *calibration,
                            struct mn_factory *out, int timeout_ms);
MN_API int mn_factory_write_async(mn_client *c, const char *serial, const char *new_serial, const char *udi, const struct mn_calibration *calibration,
                                  int timeout_ms, mn_result_fn *done, void *user);
/* for_good: never again, and the pen counts from 0; MN_ERR_PROTOCOL unless all is written. Errors: PEN; MN_ERR_FORBIDDEN, MN_ERR_LEASE,
 * MN_ERR_STATE, MN_ERR_PROTOCOL. */
MN_API int mn_factory_leave(mn_client *c, const char *serial, bool for_good, struct mn_status *out, int timeout_ms);
MN_API int mn_factory_leave_async(mn_client *c, const char *serial, bool for_good, int timeout_ms, mn_result_fn *done, void *user);
/* The daemon keeps its heartbeats back for quiet_ms (at most 2000), and sends bytes (at most 1024; NULL: none) to the pen as they are. Errors: PEN;
 * MN_ERR_INVALID, MN_ERR_FORBIDDEN (needs the role factory), MN_ERR_LEASE. */
MN_API int mn_factory_provoke(mn_client *c, const char *serial, unsigned quiet_ms, const uint8_t *bytes, size_t n, int timeout_ms);
MN_API int mn_factory_provoke_async(mn_client *c, const char *serial, unsigned quiet_ms, const uint8_t *bytes, size_t n, int timeout_ms,
                                    mn_result_fn *done, void *user);

#ifdef __cplusplus
}
#endif
#endif
