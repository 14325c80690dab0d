/* Programs that are no libmn, and floods of them. Everything fails the test if it cannot do what it is asked. */
#pragma once

#include "harness.h"

#include <stdbool.h>

/* Messages for the client socket, length first; each fits 128 bytes. How long it is. */
size_t rude_list(uint8_t *out, uint32_t id);
size_t rude_daemon_info(uint8_t *out, uint32_t id);
size_t rude_subscribe(uint8_t *out); /* to all telemetry */
size_t rude_watch(uint8_t *out);
size_t rude_call(uint8_t *out, uint32_t id, const char *serial, uint32_t pen_type);
size_t rude_hello(uint8_t *out);

/* A connection without a word, and one that has said HELLO. */
int rude_connect(const char *socket_path);
int rude_greet(const char *socket_path);

/* Writes LIST until the daemon takes no more for the moment, and counts them; false: it has hung up. */
bool rude_fill(int fd, uint32_t *asked);

/* Leaves a daemon no descriptor, and some connections waiting for one. */
void rude_descriptors(const struct harness *h, int *fds, size_t n);

/* A pen that sends as fast as it can, and so many clients that ask as fast as they can. */
struct flood {
    struct harness *h;
    mn_client *stopper;
    pid_t clients;
    unsigned count;
};

void flood_begin(struct flood *f, struct harness *h, unsigned clients);
/* Time until the pen's answer to one more client's STOP is there, us. */
uint64_t flood_stop_us(struct flood *f);
/* Fails unless there was a flood. */
void flood_end(struct flood *f);
