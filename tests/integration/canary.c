#include "canary.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSORS_MAX = 64, SLEEP_US = 2000 };

static _Atomic uint64_t *worst; /* of each processor, shared with the canaries */

static uint64_t clock_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void sing(size_t processor)
{
    cpu_set_t set;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    sched_setaffinity(0, sizeof(set), &set);
    for (;;) {
        uint64_t began_us = clock_us(), late_us;

        nanosleep(&(struct timespec){.tv_nsec = SLEEP_US * 1000}, NULL);
        late_us = clock_us() - began_us - SLEEP_US;
        if (late_us > atomic_load(&worst[processor]))
            atomic_store(&worst[processor], late_us);
    }
}

void canary_start(void)
{
    cpu_set_t mine;
    void *shared = mmap(NULL, PROCESSORS_MAX * sizeof(*worst), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED || sched_getaffinity(0, sizeof(mine), &mine) < 0)
        abort();
    worst = shared;
    for (size_t i = 0; i < PROCESSORS_MAX; i++) {
        if (CPU_ISSET(i, &mine) && fork() == 0)
            sing(i);
    }
}

void canary_reset(void)
{
    for (size_t i = 0; worst != NULL && i < PROCESSORS_MAX; i++)
        atomic_store(&worst[i], 0);
}

uint64_t canary_worst_us(void)
{
    uint64_t most = 0;

    for (size_t i = 0; worst != NULL && i < PROCESSORS_MAX; i++)
        most = worst[i] > most ? worst[i] : most;
    return most;
}
