/*
 * A bad cable: transfers that pass may be dropped, doubled, corrupted, cut, or delayed, by probability and seed. Order is
 * kept, as USB keeps it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMPAIR_QUEUE 64
#define IMPAIR_BYTES 1100

struct impair_config {
    double drop, duplicate, corrupt, cut, delay, stall; /* probabilities, 0..1 */
    uint32_t delay_ms;
};

typedef bool impair_deliver_fn(void *ctx, uint8_t tag, const uint8_t *bytes, size_t n);

struct impair_held {
    uint64_t due_ms;
    uint16_t length;
    uint8_t tag;
    uint8_t bytes[IMPAIR_BYTES];
};

struct impair {
    const struct impair_config *config;
    uint32_t random;
    struct impair_held queue[IMPAIR_QUEUE];
    uint16_t head, fill;
    impair_deliver_fn *deliver;
    void *ctx;
};

/* Reads "drop=0.01 corrupt=0.02 delay=0.1:20" (delay with its ms) into *c; NULL, or what is wrong. */
const char *impair_parse(struct impair_config *c, const char *text);

void impair_init(struct impair *i, const struct impair_config *config, uint32_t seed, impair_deliver_fn *deliver, void *ctx);

/* Passes one transfer on, or does to it what the configuration says. False: the far side is busy, try again. */
bool impair_pass(struct impair *i, uint64_t now_ms, uint8_t tag, const uint8_t *bytes, size_t n);

/* Delivers what is due; the ms until the next is, or -1. */
int impair_flush(struct impair *i, uint64_t now_ms);

/* True with the configured probability of a stall. */
bool impair_stalls(struct impair *i);

/* Forgets what is held: the cable is out. */
void impair_reset(struct impair *i);
