/* How long numbing lasts before a depth, by the figures of limits.def or a site's own. */
#pragma once

#include <stdint.h>

/* Minutes: least for 0.5 mm and less, per_mm more for each mm beyond, at most most; and never less than floor; rounded up. */
static inline uint32_t numbing_min(uint32_t depth_um, uint32_t least, uint32_t per_mm, uint32_t most, uint32_t floor)
{
    uint64_t wanted = depth_um > 500 ? least + ((uint64_t)per_mm * (depth_um - 500) + 999) / 1000 : least;

    wanted = wanted > most ? most : wanted;
    return wanted < floor ? floor : (uint32_t)wanted;
}
