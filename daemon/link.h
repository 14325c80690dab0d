/*
 * What a link is: the way to one plugged-in pen. link_usb.c and link_sim.c make them; pen.c uses them and knows no more
 * than this. All calls are made from the loop, none blocks, and a handler may be called from within none of the ops.
 *
 * Life: the bus finds a pen and announces a link (link_arrived_fn). The pen's owner takes it, sets handler and ctx, then open().
 * on_open or on_trouble answers; on_gone may come at any time, once, after which nothing but close() is of use. After
 * close() comes on_closed, once, when the last transfer is back, and then the link must not be touched any more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

struct link;

enum link_in { LINK_BULK_IN, LINK_INTERRUPT_IN };

struct link_handler {
    void (*on_open)(void *ctx);
    /* Bytes of one transfer, good during the call. */
    void (*on_bytes)(void *ctx, enum link_in from, const uint8_t *bytes, size_t n);
    /* A send that was refused with -EAGAIN may be tried again. */
    void (*on_sendable)(void *ctx);
    /* A control request came through (0) or not (negative errno). */
    void (*on_control)(void *ctx, enum mn_control request, int result);
    /* The link cannot be opened now, or has met a stall, a timeout or an I/O error: the sentence says what, and the link
     * itself tries again (opening) or goes on (open). An open session must be begun anew. */
    void (*on_trouble)(void *ctx, const char *sentence, bool given_up);
    void (*on_gone)(void *ctx);
    void (*on_closed)(void *ctx);
};

struct link_ops {
    int (*open)(struct link *l);
    /* One transfer; 0, -EAGAIN (wait for on_sendable), or another negative errno. */
    int (*send)(struct link *l, const uint8_t *bytes, size_t n);
    /* At most one of each request is under way; another one of the same kind is folded into it. */
    int (*control)(struct link *l, enum mn_control request);
    void (*close)(struct link *l);
};

struct link {
    const struct link_ops *ops;
    const struct link_handler *handler;
    void *ctx;
    char port[32]; /* "usb 1-4", "sim 2": for people */
    bool simulated;
};

/* A pen without a serial number is called by where it is: "@usb-1-4" for the port "usb 1-4". As long as a serial number may be. */
#define LINK_ADDRESS_SIZE 33
void link_address(const char *port, char out[LINK_ADDRESS_SIZE]);

/* A pen is there. ctx is the hub's. False: it is not taken now; it is announced again after a while. */
typedef bool link_arrived_fn(void *ctx, struct link *l);
