/*
 * What benchmarks put on both sides of a daemon, or of the bare relay that is its floor: programs that only read, as fast as they can, in
 * one process; sources of packets; and where all of these run.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* MN_PLACEMENT: "free" (as the kernel likes), "one" (all on processor 0), "split" (what is measured on 0, all else on 1) [free]. */
const char *placement(void);
enum place { PLACE_MEASURED, PLACE_LOAD };
/* pid 0: this process. */
void place(pid_t pid, enum place where);

/* How a stream of messages is cut: what a reader has to know of it. Takes whole messages from bytes, returns how many bytes they were. */
struct reading {
    uint64_t messages, samples, holes; /* holes: samples between two batches of a pen that did not come */
    uint64_t next[300];                /* by pen: the number of its next sample */
};
typedef size_t cut_fn(struct reading *r, const uint8_t *bytes, size_t n);
/* Messages behind a u32 length, not looked into. */
size_t cut_by_length(struct reading *r, const uint8_t *bytes, size_t n);
/* The same, and telemetry's sample numbers are followed. */
size_t cut_telemetry(struct reading *r, const uint8_t *bytes, size_t n);

/* A process that reads from all these descriptors with epoll; it has them from before the fork, the caller closes its own. */
struct readers {
    pid_t pid;
    struct counts {
        uint64_t messages, samples, holes, bytes, wakeups;
    } *counts; /* shared memory: so far, of all */
};
void readers_start(struct readers *r, const int *fds, unsigned n, cut_fn *cut);
/* What came since the last call. */
struct counts readers_take(struct readers *r);
void readers_stop(struct readers *r);

/* A configuration of mnd for a test that is one user with more than 128 programs: "--config=FILE", for harness_start(). */
const char *many_programs(void);

/* A connection to mnd that has said HELLO and, if telemetry, subscribed to that of all pens. */
int program_connect(const char *socket, bool telemetry);

/*
 * The floor: a relay that reads a packet and writes the same bytes, behind a length, to each of S stream sockets, one write each. A source
 * sends a packet of n bytes on each of P packet sockets, every period_us; 0: as fast as it can.
 */
struct relay {
    pid_t pid, source;
};
void relay_start(struct relay *r, unsigned sources, unsigned bytes, uint64_t period_us, const int *outs, unsigned out_count);
void relay_stop(struct relay *r);

/* A program without input and output, which ends with this one. */
pid_t start_program(const char *const *arguments);
void stop_process(pid_t pid);
