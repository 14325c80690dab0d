/*
 * Telemetry on its way to programs. A batch is put into its message once, the pen's bytes as they came, and that message is written once, to
 * a tape which all programs read. Those that asked for every n-th sample only share another tape, of smaller batches, made once for all of them.
 */
#pragma once

#include "client.pb-c.h"
#include "tape.h"

struct streams;

int streams_new(struct streams **out);
void streams_free(struct streams *s);

/* Every how many-th sample a program may ask for; 1 is all of them. */
bool stream_is_decimation(uint32_t decimation);
/* "1, 2, 5, ..." */
const char *stream_decimations(void);

/* The tape of a decimation, for one more reader; it is written while there is any. NULL without memory. */
const struct tape *streams_take(struct streams *s, uint32_t decimation);
/* Takes NULL. */
void streams_give(struct streams *s, const struct tape *t);

/* A message for programs, length and content. Its bytes; 0: it is longer than the tape. */
size_t stream_put(struct tape *t, const Mnc__ServerMessage *m, uint32_t tag, uint64_t now_us);

/* A checked batch of a pen, to every tape that is read; now_us: monotonic. False: nobody reads. The messages' tag is the pen's id. */
bool streams_write(struct streams *s, uint32_t pen_id, const char *serial, const uint8_t *batch, size_t n, uint64_t now_us);
