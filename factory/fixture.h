/*
 * The instruments around one pen, behind one call: ask for an operation by name, get an answer. docs/factory.md has every operation with its
 * arguments and answers; a program that speaks them is a fixture. Two kinds:
 *   simulated: the model behind a simulated pen, its truth and not what its firmware believes;
 *   program: a program of the plan's, started for each slot, a JSON object on a line in and one out.
 * One thread: that of its slot. What an answer lacks, or says in another type, is an error of the fixture.
 */
#pragma once

#include <jansson.h>
#include <mn/mn.h>
#include <stddef.h>

struct fixture;

/* While a fixture waits for its program, the slot lives on: called every few ms; false: give up. */
typedef bool fixture_idle_fn(void *ctx);

/* Of a simulated pen: asks its simulation through the daemon. */
struct fixture *fixture_simulated(mn_client *client, const char *address, char *why, size_t cap);
/* Starts the program with the slot's address as its argument. NULL after a sentence in why. */
struct fixture *fixture_program(const char *program, const char *address, fixture_idle_fn *idle, void *ctx, char *why, size_t cap);
void fixture_free(struct fixture *f);

/* args (stolen, may be NULL) are the operation's. 0 and *answer (may be NULL; decref it), or -1 after a sentence in why. */
int fixture_ask(struct fixture *f, const char *operation, json_t *args, json_t **answer, char *why, size_t cap);
