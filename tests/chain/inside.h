/* The chain as its own files see it. */
#pragma once

#include "chain.h"
#include "config.h"
#include "server.h"

struct chain {
    sd_event *event;
    struct hub *hub;
    struct sim_bus *sim;
    struct server *server;
    struct pen_end *pen;
    struct config config;
    struct site site; /* the server has a pointer to it */
    int programs[CHAIN_PROGRAMS];
    uint8_t ids[CHAIN_PROGRAMS];
    char dir[64], socket[100], sim_path[100], journal[100];
    uint32_t waited_ms;
    bool silent, deaf;
};
