/*
 * The policy of one site: the defaults of proto/policy/, and what its own file says otherwise. A site may be stricter in anything. It may be less
 * strict where another source is: then with exactly that source's figure, and the source's name beside it. Never beyond what the firmware allows.
 *
 *     name: Clinic Nord
 *     limits:
 *       - {name: depth_limit, value: 1200}
 *       - {name: numbing_at_most, value: 30, source: S2}
 *     zones:
 *       - {zone: FOREHEAD, cap_um: 500}
 *     screening:
 *       - {item: ALCOHOL, hours: 48, decision: BLOCK}
 */
#pragma once

#include "policy.h"

#define SITE_ROWS_MAX 64
#define SITE_SHA256 32

struct site_row { /* what differs from the defaults */
    const char *table, *name;
    char value[40], default_value[40];
    char source[8];
};

struct site {
    struct policy policy;
    char name[65];               /* "": the defaults */
    uint8_t sha256[SITE_SHA256]; /* of the file; zeros: the defaults */
    struct site_row rows[SITE_ROWS_MAX];
    size_t row_count;
};

void site_default(struct site *s);

/* Over the defaults. 0, or a negative errno and one sentence in why, which names the row; *s is the defaults then. path is for the sentence. */
int site_parse(struct site *s, const char *text, size_t n, const char *path, char *why, size_t cap);
int site_load(struct site *s, const char *path, char *why, size_t cap);
