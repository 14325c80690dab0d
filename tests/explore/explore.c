#include "explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    uint8_t key[EXPLORE_KEY];
    uint32_t parent; /* index + 1; 0: the first */
    int event;
    size_t depth;
    void *state;     /* until it was expanded */
};

struct search {
    struct explore *x;
    struct node *nodes;
    size_t count, cap;
    uint32_t *table; /* index + 1; 0: empty */
    size_t buckets;
};

static void *must(void *p)
{
    if (p == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return p;
}

static size_t hash(const uint8_t key[EXPLORE_KEY])
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < EXPLORE_KEY; i++)
        h = (h ^ key[i]) * UINT64_C(1099511628211);
    return (size_t)(h ^ h >> 29);
}

static uint32_t *slot(struct search *s, const uint8_t key[EXPLORE_KEY])
{
    size_t i = hash(key) & (s->buckets - 1);

    while (s->table[i] != 0 && memcmp(s->nodes[s->table[i] - 1].key, key, EXPLORE_KEY) != 0)
        i = (i + 1) & (s->buckets - 1);
    return &s->table[i];
}

static void grow(struct search *s)
{
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? 1024 : 2 * s->cap;
        s->nodes = must(realloc(s->nodes, s->cap * sizeof(*s->nodes)));
    }
    if (2 * (s->count + 1) < s->buckets)
        return;
    s->buckets *= 2;
    s->table = must(realloc(s->table, s->buckets * sizeof(*s->table)));
    memset(s->table, 0, s->buckets * sizeof(*s->table));
    for (size_t i = 0; i < s->count; i++)
        *slot(s, s->nodes[i].key) = (uint32_t)i + 1; // NOLINT(clang-analyzer-unix.Malloc): what it thinks is leaked is s->nodes
}

/* Takes over state if it is new. */
static bool add(struct search *s, void *state, uint32_t parent, int event)
{
    uint8_t key[EXPLORE_KEY] = {0};
    uint32_t *at;

    grow(s);
    s->x->key(state, key);
    at = slot(s, key);
    if (*at != 0)
        return false;
    s->nodes[s->count] = (struct node){.parent = parent, .event = event, .depth = parent != 0 ? s->nodes[parent - 1].depth + 1 : 0, .state = state};
    memcpy(s->nodes[s->count].key, key, EXPLORE_KEY);
    *at = (uint32_t)++s->count;
    return true;
}

static void print_way(const struct search *s, uint32_t node)
{
    char name[80];

    if (s->nodes[node - 1].parent != 0) {
        print_way(s, s->nodes[node - 1].parent);
        s->x->event_name(s->nodes[node - 1].event, name, sizeof(name));
        printf("#     %s\n", name);
    }
}

static bool expand(struct search *s, uint32_t node, void *scratch)
{
    struct explore *x = s->x;
    char name[80];

    for (int event = 0; event < x->event_count; event++) {
        const char *wrong;

        memcpy(scratch, s->nodes[node - 1].state, x->state_size);
        wrong = x->apply(scratch, event);
        x->transitions++;
        if (wrong != NULL) {
            x->event_name(event, name, sizeof(name));
            printf("# %s: %s, after\n", x->name, wrong);
            print_way(s, node);
            printf("#     %s\n", name);
            return false;
        }
        if (add(s, scratch, node, event))
            scratch = must(malloc(x->state_size));
    }
    free(scratch);
    return true;
}

bool explore(struct explore *x, const void *first)
{
    struct search s = {.x = x, .buckets = 4096, .table = must(calloc(4096, sizeof(*s.table)))};
    bool good = true;
    void *state = must(malloc(x->state_size));

    memcpy(state, first, x->state_size);
    add(&s, state, 0, 0);
    for (size_t i = 0; good && i < s.count; i++) {
        good = expand(&s, (uint32_t)i + 1, must(malloc(x->state_size)));
        free(s.nodes[i].state);
        s.nodes[i].state = NULL;
        if (s.nodes[i].depth != x->depth && getenv("MN_EXPLORE_PROGRESS") != NULL)
            fprintf(stderr, "# %s: depth %zu, %zu states\n", x->name, s.nodes[i].depth, s.count);
        x->depth = s.nodes[i].depth;
    }
    x->states = s.count;
    for (size_t i = 0; i < s.count; i++)
        free(s.nodes[i].state);
    free(s.nodes);
    free(s.table);
    printf("# %s: %zu states, %zu transitions, %zu deep%s\n", x->name, x->states, x->transitions, x->depth, good ? ": closed" : "");
    return good;
}
