/*
 * What a person at the station sees while it works: a screen with a row for each slot, or, when stdout is no terminal, a line for each thing that
 * happens. Called by the main thread now and then.
 */
#pragma once

#include "station.h"

void view_begin(struct station *st, bool plain);
/* Redraws the screen, or prints what is new. Called by the main thread. */
void view_update(struct station *st);
void view_end(struct station *st);
