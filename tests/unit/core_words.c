#include "core_words.h"

struct rig rig;

int setup(void **state)
{
    (void)state;
    rig_start(&rig);
    return 0;
}

int teardown(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}
