/*
 * A state of the pen's firmware, as the exploration holds it: put into one vpen, advanced there with everything checked that must hold, and taken out
 * again. Private to the exploration of the firmware.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "explore.h"
#include "vpen.h"

enum { NVM_KEPT = NVM_RECORDS, USED_KEPT = 16 };
enum { SHALLOW_ZONE = 5, SHALLOW_UM = 500 }; /* the nose */

struct firmware { /* a state */
    struct pen pen;
    struct model model;
    struct pen_sensors sensors;
    struct pen_actuators actuators;
    uint8_t nvm[NVM_KEPT]; /* records are written and not read here */
    uint8_t used[USED_KEPT][NVM_USED_BLOCK]; /* the blocks of the cartridges that there are here */
    uint32_t random, hung_ms;
    uint64_t clock_ms;     /* that does not stop with the firmware */
    bool hung;
    bool host;             /* sends heartbeats */
    uint16_t sequence, correlation;
    uint32_t unwanted_ms;  /* for so long nothing has wanted the needles to move */
    uint32_t heartbeat_ms; /* since the last */
    uint8_t pressed_ms, released_ms; /* the trigger; more than it bounces is as good as for ever */
    uint8_t other_tag_ms;  /* for so long another cartridge than the one that was armed is in, or none */
    int32_t armed_depth_um; /* of the last ARM that was taken ... */
    uint64_t armed_uid;    /* ... and its cartridge */
    bool by_hand;          /* what moves was not moved by the motor: 1105 was injected, and it has not stood since */
};

extern struct vpen vpen; /* the one that states are put into */

/* Into vpen, and out of it. */
void state_put(const struct firmware *s);
void state_get(struct firmware *s);
/* What makes two states the same. */
void state_key(const void *state, uint8_t key[EXPLORE_KEY]);

/* Switches vpen on and greets it: first is the state that all others come from. False: it is not what it should be. vpen_deinit() ends it. */
bool state_first(struct firmware *first);

/* The firmware runs, and the cable is in. */
bool hears(void);
/* A frame to the firmware, which answers at once if it hears. */
void send_frame(struct firmware *s, uint16_t type, const pb_msgdesc_t *fields, const void *message);
/* The last frame was answered; and not with an error. */
bool was_answered(void);
bool was_taken(void);
/* So many milliseconds, each with everything that must hold in it: NULL, or what does not. */
const char *pass(struct firmware *s, uint32_t ms);
