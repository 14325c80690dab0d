#include "lease.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void leases_free(struct leases *l)
{
    free(l->list);
    *l = (struct leases){0};
}

static struct lease *find(const struct leases *l, const char *serial)
{
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->list[i].serial, serial) == 0)
            return &l->list[i];
    }
    return NULL;
}

const struct lease *lease_find(const struct leases *l, const char *serial)
{
    return find(l, serial);
}

int lease_take(struct leases *l, const char *serial, const void *holder, const char *name, pid_t pid, uint64_t liveness_us, uint64_t now_us, bool by_force)
{
    struct lease *lease = find(l, serial);

    if (lease != NULL && lease->holder != holder && !by_force)
        return -EBUSY;
    if (lease == NULL && l->count == l->cap) {
        size_t cap = l->cap == 0 ? 8 : 2 * l->cap;
        struct lease *bigger = realloc(l->list, cap * sizeof(*bigger));

        if (bigger == NULL)
            return -ENOMEM;
        l->list = bigger;
        l->cap = cap;
    }
    if (lease == NULL)
        lease = &l->list[l->count++];
    *lease = (struct lease){.holder = holder, .pid = pid, .heard_us = now_us, .liveness_us = liveness_us};
    snprintf(lease->serial, sizeof(lease->serial), "%s", serial);
    snprintf(lease->name, sizeof(lease->name), "%s", name);
    return 0;
}

bool lease_release(struct leases *l, const char *serial, const void *holder)
{
    struct lease *lease = find(l, serial);

    if (lease == NULL || lease->holder != holder)
        return false;
    *lease = l->list[--l->count];
    return true;
}

void lease_renew(struct leases *l, const void *holder, uint64_t now_us)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->list[i].holder == holder)
            l->list[i].heard_us = now_us;
    }
}

const struct lease *lease_expired(const struct leases *l, uint64_t now_us)
{
    for (size_t i = 0; i < l->count; i++) {
        if (now_us >= l->list[i].heard_us + l->list[i].liveness_us)
            return &l->list[i];
    }
    return NULL;
}

uint64_t lease_deadline_us(const struct leases *l)
{
    uint64_t first_us = UINT64_MAX;

    for (size_t i = 0; i < l->count; i++) {
        uint64_t us = l->list[i].heard_us + l->list[i].liveness_us;

        first_us = us < first_us ? us : first_us;
    }
    return first_us;
}

uint64_t lease_ping_us(const struct leases *l)
{
    uint64_t least_us = LEASE_LIVENESS_US;

    for (size_t i = 0; i < l->count; i++)
        least_us = l->list[i].liveness_us < least_us ? l->list[i].liveness_us : least_us;
    return least_us / 4;
}

const struct lease *lease_held_by(const struct leases *l, const void *holder)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->list[i].holder == holder)
            return &l->list[i];
    }
    return NULL;
}
