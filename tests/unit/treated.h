/* A pen in a treatment: armed, and running by its trigger. */
#pragma once

#include "rig.h"

#include <pb_decode.h>
#include <stdio.h>
#include <string.h>

#include "factory.h"
#include "nvm.h"

extern struct rig rig;
extern uint32_t boot_id; /* of the life in which the run began */

/* In the zone of the run's end, and what it was set to. */
void start(uint32_t depth_um);

/* The record of the last run. */
mnp_RunRecord last_run(void);
