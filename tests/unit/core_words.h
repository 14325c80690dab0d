/* What the tests of the whole firmware share. */
#pragma once

#include "rig.h"

#include <pb_decode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern struct rig rig;

int setup(void **state);

int teardown(void **state);
