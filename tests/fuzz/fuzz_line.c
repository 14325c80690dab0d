/* The line's plan and its limits: the plan's text, a 0, and the limits'. They are files in memory; the plan names the limits by the number of their descriptor. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLAN_FD = 90, LIMITS_FD = 91 };

static void put(int number, const uint8_t *data, size_t n)
{
    static int made[2] = {-1, -1};
    int *fd = &made[number - PLAN_FD];

    if (*fd < 0) {
        int new = memfd_create("fuzz", 0);

        *fd = dup2(new, number);
        close(new);
    }
    if (*fd != number || ftruncate(number, 0) < 0 || pwrite(number, data, n, 0) != (ssize_t)n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *limits = size > 0 ? memchr(data, 0, size) : NULL;
    char why[PLAN_WHY_MAX];
    struct plan *p;

    if (limits == NULL)
        return 0;
    put(PLAN_FD, data, (size_t)(limits - data));
    put(LIMITS_FD, limits + 1, (size_t)(data + size - limits - 1));
    p = plan_load("/proc/self/fd/90", why);
    if (p == NULL && why[0] == '\0')
        abort();
    for (size_t i = 0; p != NULL && i < p->step_count; i++) { /* each that is no teardown can fail */
        if (p->steps[i].limit_count == 0 && !p->steps[i].teardown)
            abort();
    }
    plan_free(p);
    return 0;
}
