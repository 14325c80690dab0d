/* The pen of the measurements of stopping, in this process or a USB device; the harness that looks on; and time, which both go on in. */
#pragma once

#include "harness.h"
#include "port.h"

enum { EMULATED = 4 /* times as long is waited for in an emulated machine */ };

extern struct harness h;
extern struct port pen;
extern const char *control;         /* the pen's control socket; NULL: it is in this process */
extern const char *const P;         /* its serial number */

uint64_t now_us(void);

/* The daemon's last word on the pen. */
const struct mn_pen *seen(void);

/* What is really the case with the pen. */
struct truth {
    int state;
    double rate_hz;
    int trigger;
    unsigned fault_word;
    uint64_t clock_ms, moved_ms;
};

struct truth truth(void);

/* A moment of the pen and of the program that looks on. */
void turn(void);

#define UNTIL(condition, limit_ms)                                                                                     \
    do {                                                                                                               \
        uint64_t end_us_ = now_us() + (uint64_t)(limit_ms) * 1000 * (control != NULL ? EMULATED : 1);                                                    \
        while (!(condition)) {                                                                                         \
            if (now_us() > end_us_)                                                                                    \
                fail_msg("%s:%d: not within %d ms: %s; %s; session %s %s", __FILE__, __LINE__, (int)(limit_ms), #condition, \
                         mn_state_name((enum mn_state)truth().state), mn_session_state_name(h.session.state), h.session.text);                     \
            turn();                                                                                                    \
        }                                                                                                              \
    } while (0)

/* One line to the pen, which takes it. */
void say(const char *line);
void plug(void);
/* So long that the pen has seen what was just said to it: a cartridge by its reader, a trigger that has not bounced. */
void settle(void);
