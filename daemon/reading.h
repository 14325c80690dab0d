/*
 * What programs ask of the journal. A reading asks the worker for the records behind a place, and answers with them; one that
 * finds none and wants to wait is answered by the next commit that has what it wants, from memory. Its reply has the place to
 * ask with again, so that a program that reads on, and waits at the end, gets all of it in order, without a seam.
 *
 * Long work on the whole file, a check of its chain and a copy of it, runs in a thread of its own, one at a time.
 */
#pragma once

#include "client.h"

#define READINGS_PER_CLIENT 4

int readings_new(struct readings **out, struct client_env *env);
void readings_free(struct readings *r);

/* The program has gone: nothing is answered any more. */
void readings_forget(struct readings *r, const struct client *c);

void reading_records(struct readings *r, struct client *c, uint32_t id, const Mnc__RecordsRead *m);
void reading_exported(struct readings *r, struct client *c, uint32_t id, const Mnc__RecordsExported *m);
void reading_flight(struct readings *r, struct client *c, uint32_t id, const Mnc__FlightGet *m);
void reading_verify(struct readings *r, struct client *c, uint32_t id);
void reading_backup(struct readings *r, struct client *c, uint32_t id, const Mnc__JournalBackup *m);
