#include "impair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool chance(struct impair *i, double p)
{
    if (p <= 0)
        return false;
    i->random ^= i->random << 13;
    i->random ^= i->random >> 17;
    i->random ^= i->random << 5;
    return i->random < p * 4294967296.0;
}

const char *impair_parse(struct impair_config *c, const char *text)
{
    struct impair_config next = *c;
    char copy[256], *save = NULL;

    if (strlen(text) >= sizeof(copy))
        return "too long";
    strcpy(copy, text);
    for (char *w = strtok_r(copy, " ,", &save); w != NULL; w = strtok_r(NULL, " ,", &save)) {
        char *value = strchr(w, '='), *end = NULL;
        double p;

        if (strcmp(w, "good") == 0) {
            next = (struct impair_config){0};
            continue;
        }
        if (value == NULL)
            return "takes good, or NAME=PROBABILITY";
        *value++ = '\0';
        p = strtod(value, &end);
        if (end == value || !(p >= 0 && p <= 1))
            return "a probability is a number from 0 to 1";
        if (strcmp(w, "delay") == 0) {
            next.delay = p;
            next.delay_ms = *end == ':' ? (uint32_t)strtoul(end + 1, &end, 10) : 20;
        } else if (strcmp(w, "drop") == 0) {
            next.drop = p;
        } else if (strcmp(w, "duplicate") == 0) {
            next.duplicate = p;
        } else if (strcmp(w, "corrupt") == 0) {
            next.corrupt = p;
        } else if (strcmp(w, "cut") == 0) {
            next.cut = p;
        } else if (strcmp(w, "stall") == 0) {
            next.stall = p;
        } else {
            return "knows drop, duplicate, corrupt, cut, delay, stall";
        }
        if (*end != '\0')
            return "a probability is a number from 0 to 1";
    }
    *c = next;
    return NULL;
}

void impair_init(struct impair *i, const struct impair_config *config, uint32_t seed, impair_deliver_fn *deliver, void *ctx)
{
    memset(i, 0, sizeof(*i));
    i->config = config;
    i->random = seed * 2654435761u | 1;
    i->deliver = deliver;
    i->ctx = ctx;
}

static bool hold(struct impair *i, uint64_t due_ms, uint8_t tag, const uint8_t *bytes, size_t n)
{
    struct impair_held *h = &i->queue[(i->head + i->fill) % IMPAIR_QUEUE];

    if (i->fill == IMPAIR_QUEUE)
        return false;
    *h = (struct impair_held){.due_ms = due_ms, .length = (uint16_t)n, .tag = tag};
    memcpy(h->bytes, bytes, n);
    i->fill++;
    return true;
}

bool impair_pass(struct impair *i, uint64_t now_ms, uint8_t tag, const uint8_t *bytes, size_t n)
{
    const struct impair_config *c = i->config;
    uint8_t changed[IMPAIR_BYTES];
    bool twice;

    if (n > sizeof(changed))
        return i->deliver(i->ctx, tag, bytes, n);
    if (chance(i, c->drop))
        return true;
    if (n != 0 && chance(i, c->corrupt)) {
        memcpy(changed, bytes, n);
        changed[i->random % n] ^= (uint8_t)(1u << (i->random >> 8) % 8);
        bytes = changed;
    }
    if (n != 0 && chance(i, c->cut))
        n = i->random % n;
    twice = chance(i, c->duplicate);
    if (i->fill != 0 || chance(i, c->delay)) {
        uint64_t due_ms = i->fill != 0 ? now_ms : now_ms + c->delay_ms;

        return hold(i, due_ms, tag, bytes, n) && (!twice || hold(i, due_ms, tag, bytes, n) || true);
    }
    if (!i->deliver(i->ctx, tag, bytes, n))
        return false;
    if (twice)
        i->deliver(i->ctx, tag, bytes, n);
    return true;
}

int impair_flush(struct impair *i, uint64_t now_ms)
{
    while (i->fill != 0) {
        const struct impair_held *h = &i->queue[i->head];

        if (h->due_ms > now_ms)
            return (int)(h->due_ms - now_ms);
        if (!i->deliver(i->ctx, h->tag, h->bytes, h->length))
            return 1;
        i->head = (uint16_t)((i->head + 1) % IMPAIR_QUEUE);
        i->fill--;
    }
    return -1;
}

bool impair_stalls(struct impair *i)
{
    return chance(i, i->config->stall);
}

void impair_reset(struct impair *i)
{
    i->head = i->fill = 0;
}
