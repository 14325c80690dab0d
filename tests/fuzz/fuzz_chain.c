/*
 * The whole chain (tests/chain/chain.h), by a script. What must hold whatever anybody has said and whatever has failed: 2 s after both programs have hung up, the needles stand still and no trigger moves them.
 */
#include <stdlib.h>

#include "chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chain *c = chain_new();

    chain_play(c, data, size);
    pen_end_say(chain_pen(c), (const uint8_t *)"trigger press", 13);
    chain_hang_up(c);
    chain_wait(c, 2000);
    if (pen_end_may_move(chain_pen(c)))
        abort();
    chain_free(c);
    return 0;
}
