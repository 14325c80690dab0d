/*
 * The pen as a real USB device: Linux's FunctionFS. The directory is a mounted functionfs whose gadget has one function of
 * this kind; scripts/vm shows how it is made. Descriptors are written here; then a thread for each endpoint moves
 * transfers between its file, which only knows blocking calls, and a socket pair that speaks the simulated link's packets.
 */
#pragma once

struct ffs {
    int ep0, bulk_out, bulk_in, interrupt_in;
    int to_pen[2];    /* [0] for the port: packets from the host */
    int bulk[2];      /* [0] for the port: bulk IN */
    int interrupt[2]; /* [0] for the port: interrupt IN */
};

/* Opens the endpoints and starts the threads; they live as long as the program. 0 or a negative errno; *step then says at
 * what. The gadget can be bound to its UDC as soon as this has returned. */
int ffs_open(struct ffs *f, const char *directory, const char **step);
