/* The factory's calls: a pen's own requests, passed through the daemon, and what a test provokes. */
#include <string.h>

#include "client.h"
#include "decode.h"

enum { PROVOKE_MINOR = 5 };

static bool on_factory(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    const ProtobufCBinaryData *bytes = client_payload_of(m);

    (void)c;
    (void)call;
    return bytes != NULL && decode_factory(&r->factory, bytes);
}

static bool on_challenge(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    const ProtobufCBinaryData *bytes = client_payload_of(m);
    Mnp__FactoryEntered *e = bytes != NULL ? mnp__factory_entered__unpack(NULL, bytes->len, bytes->data) : NULL;
    bool good = e != NULL && e->challenge.len == sizeof(r->challenge);

    (void)c;
    (void)call;
    if (good)
        memcpy(r->challenge, e->challenge.data, sizeof(r->challenge));
    mnp__factory_entered__free_unpacked(e, NULL);
    return good;
}

static bool on_status(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    const ProtobufCBinaryData *bytes = client_payload_of(m);

    (void)c;
    (void)call;
    return bytes != NULL && decode_status(&r->status, bytes);
}

/* Ignores the reply's content. */
static bool on_reply(mn_client *c, struct mn_result *r, const struct call *call, const Mnc__ServerMessage *m)
{
    (void)c;
    (void)r;
    (void)call;
    return client_payload_of(m) != NULL;
}

int mn_factory_get_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user)
{
    return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_FACTORY_GET, NULL, timeout_ms, on_factory, done, user);
}

int mn_factory_get(mn_client *c, const char *serial, struct mn_factory *out, int timeout_ms)
{
    WAIT(c, out, mn_factory_get_async(c, serial, timeout_ms, client_wake, &w));
}

int mn_factory_challenge_async(mn_client *c, const char *serial, int timeout_ms, mn_result_fn *done, void *user)
{
    return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_FACTORY_ENTER, NULL, timeout_ms, on_challenge, done, user);
}

int mn_factory_challenge(mn_client *c, const char *serial, uint8_t challenge[16], int timeout_ms)
{
    struct waiter w = {.out = challenge, .size = 16};

    return client_finish(c, &w, mn_factory_challenge_async(c, serial, timeout_ms, client_wake, &w));
}

int mn_factory_enter_async(mn_client *c, const char *serial, const uint8_t response[32], int timeout_ms, mn_result_fn *done, void *user)
{
    Mnp__FactoryEnter m = MNP__FACTORY_ENTER__INIT;

    m.has_response = true;
    m.response = (ProtobufCBinaryData){.len = 32, .data = (uint8_t *)(uintptr_t)response};
    return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_FACTORY_ENTER, &m.base, timeout_ms, on_reply, done, user);
}

int mn_factory_enter(mn_client *c, const char *serial, const uint8_t response[32], int timeout_ms)
{
    struct waiter w = {0};

    return client_finish(c, &w, mn_factory_enter_async(c, serial, response, timeout_ms, client_wake, &w));
}

int mn_factory_arm_async(mn_client *c, const char *serial, uint32_t config_generation, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnp__FactoryArm m = MNP__FACTORY_ARM__INIT;

    m.has_config_generation = true;
    m.config_generation = config_generation;
    return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_FACTORY_ARM, &m.base, timeout_ms, on_reply, done, user);
}

int mn_factory_arm(mn_client *c, const char *serial, uint32_t config_generation, int timeout_ms)
{
    struct waiter w = {0};

    return client_finish(c, &w, mn_factory_arm_async(c, serial, config_generation, timeout_ms, client_wake, &w));
}

static int write_async(mn_client *c, const char *serial, Mnp__Factory m, const struct mn_calibration *calibration, int timeout_ms,
                       mn_result_fn *done, void *user)
{
    Mnp__Calibration k = MNP__CALIBRATION__INIT;

    if (calibration != NULL) {
        k.has_depth_gain_ppm = k.has_depth_offset_um = k.has_rate_gain_ppm = k.has_rate_offset_dhz = k.has_current_offset_ma = true;
        k.depth_gain_ppm = calibration->depth_gain_ppm;
        k.depth_offset_um = calibration->depth_offset_um;
        k.rate_gain_ppm = calibration->rate_gain_ppm;
        k.rate_offset_dhz = calibration->rate_offset_dhz;
        k.current_offset_ma = calibration->current_offset_ma;
        m.calibration = &k;
    }
    return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_FACTORY_WRITE, &m.base, timeout_ms, on_factory, done, user);
}

int mn_factory_try_async(mn_client *c, const char *serial, const struct mn_calibration *calibration, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnp__Factory m = MNP__FACTORY__INIT;

    m.has_trial = m.trial = true;
    return write_async(c, serial, m, calibration, timeout_ms, done, user);
}

int mn_factory_try(mn_client *c, const char *serial, const struct mn_calibration *calibration, int timeout_ms)
{
    struct waiter w = {0};

    return client_finish(c, &w, mn_factory_try_async(c, serial, calibration, timeout_ms, client_wake, &w));
}

int mn_factory_write_async(mn_client *c, const char *serial, const char *new_serial, const char *udi, const struct mn_calibration *calibration,
                           int timeout_ms, mn_result_fn *done, void *user)
{
    Mnp__Factory m = MNP__FACTORY__INIT;

    m.serial = (char *)(uintptr_t)new_serial;
    m.udi = (char *)(uintptr_t)udi;
    return write_async(c, serial, m, calibration, timeout_ms, done, user);
}

int mn_factory_write(mn_client *c, const char *serial, const char *new_serial, const char *udi, const struct mn_calibration *calibration,
                     struct mn_factory *out, int timeout_ms)
{
    struct waiter w = {.out = out, .size = sizeof(*out)};

    return client_finish(c, &w, mn_factory_write_async(c, serial, new_serial, udi, calibration, timeout_ms, client_wake, &w));
}

int mn_factory_leave_async(mn_client *c, const char *serial, bool for_good, int timeout_ms, mn_result_fn *done, void *user)
{
    Mnp__FactoryLeave m = MNP__FACTORY_LEAVE__INIT;

    m.has_for_good = true;
    m.for_good = for_good;
    return client_call_pen(c, serial, MNP__FRAME_TYPE__TYPE_FACTORY_LEAVE, &m.base, timeout_ms, on_status, done, user);
}

int mn_factory_leave(mn_client *c, const char *serial, bool for_good, struct mn_status *out, int timeout_ms)
{
    struct waiter w = {.out = out, .size = sizeof(*out)};

    return client_finish(c, &w, mn_factory_leave_async(c, serial, for_good, timeout_ms, client_wake, &w));
}

int mn_factory_provoke_async(mn_client *c, const char *serial, unsigned quiet_ms, const uint8_t *bytes, size_t n, int timeout_ms, mn_result_fn *done,
                             void *user)
{
    Mnc__ClientMessage m = MNC__CLIENT_MESSAGE__INIT;
    Mnc__FactoryProvoke p = MNC__FACTORY_PROVOKE__INIT;

    if (c->state == CLIENT_CONNECTED && c->daemon_minor < PROVOKE_MINOR)
        return client_fail(c, MN_ERR_UNSUPPORTED, "mnd %s speaks client protocol 1.%u, and knows the factory since 1.%d: update the daemon",
                           c->daemon_version, c->daemon_minor, PROVOKE_MINOR);
    p.serial = (char *)(uintptr_t)serial;
    p.has_quiet_ms = true;
    p.quiet_ms = quiet_ms;
    p.has_raw = n > 0;
    p.raw = (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)bytes};
    m.body_case = MNC__CLIENT_MESSAGE__BODY_FACTORY_PROVOKE;
    m.factory_provoke = &p;
    return call_start(c, &m, serial, timeout_ms, client_on_done, done, user);
}

int mn_factory_provoke(mn_client *c, const char *serial, unsigned quiet_ms, const uint8_t *bytes, size_t n, int timeout_ms)
{
    struct waiter w = {0};

    return client_finish(c, &w, mn_factory_provoke_async(c, serial, quiet_ms, bytes, n, timeout_ms, client_wake, &w));
}
