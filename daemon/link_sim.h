/*
 * The simulated bus: a listening SOCK_SEQPACKET socket to which simulated pens connect (proto/simlink.h). Each connection
 * is a socket of that bus, into which its pen is plugged or not; it stays when the pen is pulled.
 */
#pragma once

#include <systemd/sd-event.h>

#include "link.h"

struct sim_bus;

/* An answer to sim_command: text, or NULL with a reason. */
typedef void sim_answer_fn(void *ctx, uint32_t id, const char *answer, const char *error);

/* Listens at path; 0 or a negative errno. */
int sim_bus_new(struct sim_bus **out, sd_event *event, const char *path, link_arrived_fn *arrived, void *ctx);
void sim_bus_free(struct sim_bus *b);

/* Starts penstub as a child with n pens (fresh: off the factory's line) that connect here, and stops it with the bus. 0 or a negative errno. */
int sim_bus_spawn(struct sim_bus *b, const char *penstub, unsigned n, bool fresh);

/* Says a line to the simulation of the pen with this serial, plugged in or not. Answers later, or at once with an error.
 * Returns false, and calls nothing, if no simulated pen has this serial. */
bool sim_command(struct sim_bus *b, const char *serial, const char *line, sim_answer_fn *answer, void *ctx,
                 uint32_t id);

/* ctx is going away: its answers are dropped. */
void sim_forget(struct sim_bus *b, const void *ctx);
