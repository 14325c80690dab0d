/*
 * A daemon and its simulated pens for a test: each in a directory of its own, started and ended by the test, asked through
 * libmn like any program. MN_WRAP (environment) goes before the daemon's command: "valgrind -q --error-exitcode=99". With MN_HARNESS_USB it
 * looks for real pens, too.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>
#include <mn/mn.h>

struct harness {
    char dir[64];
    char socket[96], sim_socket[100], log[96];
    pid_t daemon, stub;
    mn_client *c;
    /* what events brought */
    struct mn_pen pens[64]; /* the last word on each, by serial */
    size_t pen_count;
    struct mn_record records[4096];
    size_t record_count;
    uint64_t batches, samples, missed, disconnects, reconnects;
    struct mn_telemetry last;
    struct mn_session session; /* the last word on one */
    unsigned lease_lost, lease_requested;
    uint32_t lease_pid;
    char lease_text[300];
    int32_t last_rate_dhz, last_depth_um;
};

enum { T = 5000 }; /* ms: the time limit of a call in a test; slow under valgrind */

/* Starts mnd with pens simulated pens and connects; extra (may be NULL) is one more argument for mnd. */
void harness_start(struct harness *h, unsigned pens, const char *extra);
/* Starts a penstub by itself, with these arguments, NULL at the end. */
void harness_stub(struct harness *h, const char *const *arguments);
/* Ends all; fails unless the daemon ended well, in the time it should. */
void harness_stop(struct harness *h);
void harness_kill_daemon(struct harness *h, int signal);
void harness_restart_daemon(struct harness *h);

/* Lets events come for so long. */
void harness_run(struct harness *h, unsigned ms);
/* Lets events come until the condition holds; fails after limit_ms. */
#define harness_until(h, condition, limit_ms)                                                                          \
    do {                                                                                                               \
        uint64_t end_ms_ = harness_now_ms() + (limit_ms);                                                              \
        while (!(condition)) {                                                                                         \
            if (harness_now_ms() > end_ms_)                                                                            \
                fail_msg("%s:%d: not within %d ms: %s", __FILE__, __LINE__, (int)(limit_ms), #condition);              \
            harness_run((h), 5);                                                                                       \
        }                                                                                                              \
    } while (0)

uint64_t harness_now_ms(void);
/* All pens READY. */
void harness_wait_ready(struct harness *h, unsigned pens);
const struct mn_pen *harness_pen(const struct harness *h, const char *serial);
void harness_say(struct harness *h, const char *serial, const char *line);
/* Fails with the client's sentence unless r is MN_OK. */
void harness_ok(struct harness *h, int r);
/* A plan that nothing speaks against: a subject of its own, the cheek, 500 um, every question answered, numbing waived. */
struct mn_plan harness_plan(void);
/* What a program does until the trigger may be pressed: the lease, a session with such a plan unless one is open, and ARM. MN_OK or the first
 * error; session may be NULL. */
int harness_arm(mn_client *c, const char *serial, struct mn_session *session);
/* Another client of the same daemon, without events. */
mn_client *harness_client(struct harness *h);
