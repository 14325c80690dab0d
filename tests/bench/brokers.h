/* What bench_peers compares mnd with: each broker is started, connected to as a source, and subscribed to, in its own protocol. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "load.h"

enum { SOURCES = 32, PAYLOAD = 256, SUBSCRIBERS_MAX = 512 };

extern char dir[64], path[96]; /* of this run; of the broker's socket */
extern pid_t broker;

/* Ends all, with errno's text, unless it is good. */
void need(bool good, const char *what);
void say(int fd, const void *bytes, size_t n);

sd_bus *dbus_connect(void);
void dbus_send(sd_bus *bus);

struct peer {
    const char *name;
    void (*start)(void);
    int (*connect)(unsigned number);     /* a source */
    int (*subscribe)(unsigned number);
    cut_fn *cut;
    size_t (*message)(uint8_t *out, unsigned source);
};

/* By name; NULL: there is none. mnd is one, without start, connect and subscribe. */
const struct peer *peer_by_name(const char *name);
