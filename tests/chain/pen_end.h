/*
 * The pen's end of the chain: a pen that is the firmware on its model, on a simulated link whose packets can be changed on their way, or made up. In a file of
 * its own, since the firmware's link and the daemon's are both called so. Whatever fails here aborts: it is not what is tried.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pen_end;

/* For the simulated bus that listens there: pen_end_drop() connects it for the first time. */
struct pen_end *pen_end_new(const char *serial, const char *sim_path);
void pen_end_free(struct pen_end *e);

/* Its time goes on. */
void pen_end_advance(struct pen_end *e, uint32_t ms);
/* What lies between pen and daemon, in both directions. True if there was any. A link that was dropped is connected again, as simulations do. */
bool pen_end_pass_on(struct pen_end *e);

/* A line of the simulation's language. */
void pen_end_say(struct pen_end *e, const uint8_t *text, size_t n);
/* The next frame of the pen has this type (2 bytes; 0: its own) and this payload, and is a right frame. The bytes must stay. */
void pen_end_make_up(struct pen_end *e, const uint8_t *type_and_payload, size_t n);
/* In the pen's next status, or else in the payload of its next frame, are XORed: place (2 bytes), with what, and again. The bytes must stay. */
void pen_end_flip(struct pen_end *e, const uint8_t *places, size_t n);
/* The next status of the pen is lost. */
void pen_end_lose_status(struct pen_end *e);
/* A packet to the daemon, as it is. */
void pen_end_send(struct pen_end *e, const uint8_t *packet, size_t n);

/* The link is dropped, and the pen plugged in at the bus anew. */
void pen_end_drop(struct pen_end *e);

/* The number of its newest record. */
uint32_t pen_end_newest_record(const struct pen_end *e);
/* It is armed by nobody's request, as only a fault of its own could. */
void pen_end_arm(struct pen_end *e);
/* Of its configuration. */
uint32_t pen_end_generation(const struct pen_end *e);
/* The needles are driven. */
bool pen_end_is_driven(const struct pen_end *e);
/* The needles move, or a trigger would move them. */
bool pen_end_may_move(const struct pen_end *e);
