/* What was done to a subject before, and what is due: from the daemon's journal and the policy in force. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sessions.h"

void past_add(struct past *p, const struct mn_session *s)
{
    uint32_t strokes = 0;

    if (s->state != MN_SESSION_ENDED)
        return;
    for (size_t i = 0; i < s->zone_count; i++) {
        const struct mn_session_zone *z = &s->zone[i];

        strokes += z->strokes;
        if (z->zone >= 32 || (z->strokes == 0 && !s->incomplete) || s->ended_us <= p->zone[z->zone].ended_us)
            continue;
        p->zone[z->zone] = (struct past_zone){s->number, s->ended_us, z->depth_um, z->stroke_rate_dhz, z->strokes};
    }
    if (strokes == 0 && !s->incomplete)
        return;
    if (p->sessions == 0 && (s->end == MN_END_ABORTED || s->end == MN_END_PARTIAL || s->end == MN_END_INTERRUPTED)) { /* sessions arrive newest first */
        p->broken_off.number = s->number;
        p->broken_off.ended_us = s->ended_us;
        p->broken_off.zone_count = s->zone_count;
        memcpy(p->broken_off.zone, s->zone, s->zone_count * sizeof(s->zone[0]));
    }
    p->sessions++;
    for (size_t i = 0; p->indication == NULL && i < mn_indication_count(); i++) {
        if (strcmp(mn_indication_at(i)->name, s->indication) == 0)
            p->indication = mn_indication_at(i)->name;
    }
}

int past_read(struct app *a, const char *subject, struct past *out)
{
    struct mn_sessions page = {0};
    uint32_t before = 0;

    *out = (struct past){0};
    do {
        int r = mn_session_list(a->client, &(struct mn_session_filter){.subject = subject, .before = before}, &page, a->timeout_ms);

        if (r != MN_OK)
            return app_failed(a, r);
        for (size_t i = 0; i < page.count; i++)
            past_add(out, &page.session[i]);
        before = page.before;
        mn_sessions_free(&page);
    } while (before != 0);
    return EXIT_OK;
}

void figures_read(struct app *a, struct figures *f)
{
    f->site.count = 0;
    if (a->client != NULL && mn_policy_get(a->client, NULL, &f->site, a->timeout_ms) != MN_OK)
        f->site.count = 0;
}

/* The number at the beginning of a row of the site's policy. False if the site does not set it. */
static bool site_figure(const struct figures *f, const char *name, uint32_t *out)
{
    for (size_t i = 0; i < f->site.count; i++) {
        if (strcmp(f->site.row[i].name, name) == 0) {
            *out = (uint32_t)strtoul(f->site.row[i].value, NULL, 10);
            return true;
        }
    }
    return false;
}

uint32_t figure(const struct figures *f, const char *limit)
{
    uint32_t value = 0;

    if (site_figure(f, limit, &value))
        return value;
    for (size_t i = 0; i < mn_limit_count(); i++) {
        if (strcmp(mn_limit_at(i)->name, limit) == 0)
            return mn_limit_at(i)->value;
    }
    return 0;
}

uint32_t figure_cap_um(const struct figures *f, const struct mn_zone *z)
{
    uint32_t cap_um = z->cap_um, limit_um = figure(f, "depth_limit"), most_um = figure(f, "depth_policy_limit");

    site_figure(f, z->name, &cap_um);
    if (limit_um > most_um)
        limit_um = most_um;
    return cap_um < limit_um ? cap_um : limit_um;
}

uint64_t past_next_us(const struct past_zone *z, const struct figures *f)
{
    uint32_t days = figure(f, z->depth_um < figure(f, "depth_medium") ? "interval_surface" : "interval_deeper");

    return z->number != 0 ? z->ended_us + (uint64_t)days * 86400 * 1000000 : 0;
}

void past_count(const struct past *p, const char *indication, char *out, size_t cap)
{
    out[0] = '\0';
    for (size_t i = 0; indication != NULL && i < mn_indication_count(); i++) {
        const struct mn_indication *n = mn_indication_at(i);

        if (strcmp(n->name, indication) != 0)
            continue;
        if (n->sessions_max == 0)
            snprintf(out, cap, "%s: %u done; how many, the practitioner says (%s)", n->name, p->sessions, n->source);
        else if (n->sessions_min == n->sessions_max)
            snprintf(out, cap, "%s: %u of %" PRIu32 " done (%s)", n->name, p->sessions, n->sessions_max, n->source);
        else
            snprintf(out, cap, "%s: %u of %" PRIu32 " to %" PRIu32 " done (%s)%s", n->name, p->sessions, n->sessions_min, n->sessions_max, n->source,
                     p->sessions >= n->sessions_max ? "; then maintenance, monthly (S0) or yearly (S4)" : "");
    }
}

void past_print(const struct past *p, const struct figures *f)
{
    char count[200], last[40], next[40], distance[40], line[200];

    past_count(p, p->indication, count, sizeof(count));
    if (count[0] != '\0')
        printf("\n%s\n", count);
    for (unsigned z = 0; z < 32; z++) {
        const struct past_zone *was = &p->zone[z];

        if (was->number == 0)
            continue;
        format_day(was->ended_us, last, sizeof(last));
        format_day(past_next_us(was, f), next, sizeof(next));
        format_distance(past_next_us(was, f), distance, sizeof(distance));
        snprintf(line, sizeof(line), "last %s (session %" PRIu32 ", %.2f mm), next from %s, %s", last, was->number, was->depth_um / 1000.0, next, distance);
        printf("  %-24s ", zone_name(z));
        print_tail(27, line);
    }
}
