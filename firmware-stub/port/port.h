/*
 * Where a simulated pen is plugged in: its bus. A port turns packets of the simulated link (proto/simlink.h) into calls of
 * the firmware and back, lets the cable be bad (impair.h), and can be pulled and put back.
 *
 * Two kinds: a connection to the daemon's sim socket, and FunctionFS (ffs.h), whose threads speak the same packets.
 */
#pragma once

#include "impair.h"
#include "vpen.h"

struct port {
    struct vpen vpen;
    int fd;            /* what the host sends; -1: no host */
    int bulk_fd;       /* to the host; the same as fd on the sim link */
    int interrupt_fd;
    bool is_ffs;
    bool plugged;      /* the cable, as a person left it */
    uint64_t replug_at_ms; /* 0: not by itself */
    bool halted_out, halted_in;
    uint32_t boot_id;  /* of the life that the host has seen */
    struct impair_config bad_cable;
    struct impair to_host, to_pen;
    uint64_t now_ms;   /* of the pen's time */
};

/* Plugs the pen into a connected socket (three of the same for the sim link). The port owns them. */
void port_attach(struct port *p, int fd, int bulk_fd, int interrupt_fd);
void port_detach(struct port *p);

int port_init(struct port *p, const char *serial, uint32_t seed, const char *nvm_path, const struct impair_config *cable);
void port_deinit(struct port *p);

/* Reads what has come from the host; false: it has hung up. */
bool port_readable(struct port *p);

/* Lets the pen's time go on to now_ms. */
void port_advance(struct port *p, uint64_t now_ms);

/* One line of the simulation's language: port_help or vpen_help. */
void port_command(struct port *p, const char *line, char *answer, size_t cap);

extern const char port_help[];
