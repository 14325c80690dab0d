#include "history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pen.pb-c.h"
#include "wire.h"

enum { LIST_BYTES_MAX = 96 * 1024 };

static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

/* ---- packing ---- */

void history_findings(Mnc__Finding *out, Mnc__Finding **pointers, const struct findings *found)
{
    for (size_t i = 0; i < found->count; i++) {
        const struct finding *f = &found->found[i];

        mnc__finding__init(&out[i]);
        out[i].has_decision = true;
        out[i].decision = (Mnc__Decision)f->decision;
        out[i].has_code = f->code != 0;
        out[i].code = f->code;
        out[i].name = text(f->name);
        out[i].has_value = out[i].has_limit = f->unit[0] != '\0';
        out[i].value = f->value;
        out[i].limit = f->limit;
        out[i].unit = f->unit[0] != '\0' ? text(f->unit) : NULL;
        out[i].source = text(f->source);
        out[i].text = text(f->text);
        pointers[i] = &out[i];
    }
}

static void fill_zones(struct session_message *s, const struct treatment *t)
{
    for (size_t i = 0; i < t->zone_count; i++) {
        const struct treatment_zone *z = &t->zones[i];
        Mnc__SessionZone *m = &s->zones[i];

        mnc__session_zone__init(m);
        m->has_zone = m->has_depth_um = m->has_stroke_rate_dhz = m->has_runs = m->has_strokes = m->has_punctures = true;
        m->has_motor_ms = m->has_depth_peak_um = true;
        m->zone = z->zone;
        m->depth_um = z->depth_um;
        m->stroke_rate_dhz = z->stroke_rate_dhz;
        m->runs = z->runs;
        m->strokes = z->strokes;
        m->punctures = z->punctures;
        m->motor_ms = z->motor_ms;
        m->depth_peak_um = z->depth_peak_um;
        m->has_broken_off = z->broken_off;
        m->broken_off = z->broken_off;
        s->zone_pointers[i] = m;
    }
    s->m.n_zone = t->zone_count;
    s->m.zone = s->zone_pointers;
}

static void fill_overrides(struct session_message *s, const struct treatment *t)
{
    for (size_t i = 0; i < t->override_count; i++) {
        mnc__override__init(&s->overrides[i]);
        s->overrides[i].name = text(t->overrides[i].name);
        s->overrides[i].reason = text(t->overrides[i].reason);
        s->override_pointers[i] = &s->overrides[i];
    }
    s->m.n_override = t->override_count;
    s->m.override = s->override_pointers;
}

static void fill_cartridges(struct session_message *s, const struct treatment *t)
{
    for (size_t i = 0; i < t->cartridge_count; i++) {
        const struct treatment_cartridge *c = &t->cartridges[i];
        Mnc__SessionCartridge *m = &s->cartridges[i];

        mnc__session_cartridge__init(m);
        m->has_uid = m->has_lot = m->has_needle_count = m->has_runs = m->has_strokes = true;
        m->uid = c->uid;
        m->lot = c->lot;
        m->needle_count = c->needle_count;
        m->runs = c->runs;
        m->strokes = c->strokes;
        s->cartridge_pointers[i] = m;
    }
    s->m.n_cartridge = t->cartridge_count;
    s->m.cartridge = s->cartridge_pointers;
}

void history_message(struct session_message *s, const struct treatment *t, const struct findings *found, const struct site *site)
{
    Mnc__Session *m = &s->m;

    mnc__session__init(m);
    m->has_number = m->has_state = m->has_begun_us = m->has_cartridge_uid = m->has_cartridge_lot = m->has_needle_count = m->has_products = true;
    m->has_zone_now = m->has_config_generation = m->has_incomplete = true;
    m->number = t->number;
    m->serial = text(t->serial);
    m->subject = text(t->subject);
    m->indication = t->indication[0] != '\0' ? text(t->indication) : NULL;
    m->state = (Mnc__SessionState)t->state;
    m->begun_us = t->begun_us;
    m->has_ended_us = m->has_end = t->end != END_NONE;
    m->ended_us = t->ended_us;
    m->end = (Mnc__SessionEnd)t->end;
    m->cartridge_uid = t->cartridge_uid;
    m->cartridge_lot = t->cartridge_lot;
    m->needle_count = t->needle_count;
    m->products = t->products;
    m->zone_now = t->zone_now < t->zone_count ? t->zones[t->zone_now].zone : ZONE_NONE;
    m->config_generation = t->generation;
    m->by = text(t->by);
    m->text = text(t->text);
    m->incomplete = t->incomplete;
    m->n_fault_code = t->fault_count;
    m->fault_code = (uint32_t *)(uintptr_t)t->faults;
    m->has_continues = t->continues != 0;
    m->continues = t->continues;
    fill_zones(s, t);
    fill_cartridges(s, t);
    fill_overrides(s, t);
    if (found != NULL) {
        history_findings(s->findings, s->finding_pointers, found);
        m->n_finding = found->count;
        m->finding = s->finding_pointers;
    }
    if (site != NULL && site->name[0] != '\0') {
        m->policy_name = text(site->name);
        m->has_policy_sha256 = true;
        m->policy_sha256 = (ProtobufCBinaryData){.len = SITE_SHA256, .data = (uint8_t *)(uintptr_t)site->sha256};
    }
}

static bool pack(struct journal_record *r, uint32_t kind, const char *serial, uint32_t number, const Mnc__Note *note, uint8_t bytes[JOURNAL_NOTE_MAX])
{
    *r = (struct journal_record){.code = number};
    snprintf(r->serial, sizeof(r->serial), "%s", serial);
    journal_note(r, kind, note, bytes);
    return r->length > 0;
}

bool history_begun(struct journal_record *r, const struct treatment *t, const struct findings *found, const struct site *site, uint8_t bytes[JOURNAL_NOTE_MAX])
{
    Mnc__Note note = MNC__NOTE__INIT;
    struct session_message s;
    char sentence[240];

    history_message(&s, t, found, site);
    for (size_t i = 0; i < found->count; i++)
        s.findings[i].text = NULL;
    snprintf(sentence, sizeof(sentence), "session %u of subject %s began with pen %s, by %s", t->number, t->subject, t->serial, t->by);
    note.text = sentence;
    note.session = &s.m;
    return pack(r, MNC__JOURNAL_KIND__JOURNAL_SESSION_BEGUN, t->serial, t->number, &note, bytes);
}

bool history_ended(struct journal_record *r, const struct treatment *t, uint8_t bytes[JOURNAL_NOTE_MAX])
{
    static const char *const ends[] = {"ended", "completed", "aborted", "interrupted: the daemon died meanwhile", "partly done", "nothing was treated"};
    Mnc__Note note = MNC__NOTE__INIT;
    struct session_message s;
    char sentence[160];
    uint32_t strokes = 0;

    history_message(&s, t, NULL, NULL);
    s.m.n_override = 0;
    for (size_t i = 0; i < t->zone_count; i++)
        strokes += t->zones[i].strokes;
    snprintf(sentence, sizeof(sentence), "session %u of subject %s: %s, %u strokes in %llu s%s", t->number, t->subject, ends[t->end], strokes,
             (unsigned long long)(treatment_motor_ms(t) / 1000), t->incomplete ? ", as far as is known" : "");
    note.text = sentence;
    note.session = &s.m;
    return pack(r, MNC__JOURNAL_KIND__JOURNAL_SESSION_ENDED, t->serial, t->number, &note, bytes);
}

bool history_adverse(struct journal_record *r, const char *serial, uint32_t session, uint32_t what, uint8_t bytes[JOURNAL_NOTE_MAX])
{
    static const char *const names[] = {
#define ADVERSE(number, name, who, source, text) [number] = #name,
#include "policy/adverse.def"
    };
    Mnc__Note note = MNC__NOTE__INIT;
    char sentence[80];

    if (what >= sizeof(names) / sizeof(names[0]) || names[what] == NULL)
        return false;
    snprintf(sentence, sizeof(sentence), "after session %u: %s", session, names[what]);
    note.text = sentence;
    note.has_adverse = true;
    note.adverse = what;
    return pack(r, MNC__JOURNAL_KIND__JOURNAL_ADVERSE, serial, session, &note, bytes);
}

/* ---- after a restart ---- */

struct restoring {
    struct treatment *open;
    size_t cap, count;
    uint64_t positions[256]; /* positions of their first rows */
    uint32_t newest;
    bool out_of_memory;
};

static void restore(struct treatment *t, const Mnc__Session *m)
{
    *t = (struct treatment){.state = TREATMENT_ENDING, .end = END_INTERRUPTED, .number = m->number, .cartridge_uid = m->cartridge_uid,
                            .cartridge_lot = m->cartridge_lot, .needle_count = m->needle_count, .products = m->products, .begun_us = m->begun_us, .continues = m->continues};
    snprintf(t->serial, sizeof(t->serial), "%s", m->serial != NULL ? m->serial : "");
    snprintf(t->subject, sizeof(t->subject), "%s", m->subject != NULL ? m->subject : "");
    snprintf(t->indication, sizeof(t->indication), "%s", m->indication != NULL ? m->indication : "");
    snprintf(t->by, sizeof(t->by), "%s", m->by != NULL ? m->by : "");
    snprintf(t->text, sizeof(t->text), "interrupted: the daemon died");
    for (size_t i = 0; i < m->n_zone && i < POLICY_STEPS_MAX; i++)
        t->zones[t->zone_count++] = (struct treatment_zone){.zone = (enum policy_zone)m->zone[i]->zone, .depth_um = m->zone[i]->depth_um,
                                                            .stroke_rate_dhz = m->zone[i]->stroke_rate_dhz};
    t->cartridges[t->cartridge_count++] = (struct treatment_cartridge){.uid = m->cartridge_uid, .lot = m->cartridge_lot, .needle_count = m->needle_count};
}

static bool on_restore(void *ctx, const struct journal_record *r)
{
    struct restoring *v = ctx;
    ProtobufCAllocator noting = wire_allocator(&v->out_of_memory);
    bool same = v->count > 0 && v->open[v->count - 1].number == r->code;
    Mnc__Note *note;

    v->newest = r->code > v->newest ? r->code : v->newest;
    if (same && r->kind == MNC__JOURNAL_KIND__JOURNAL_SESSION_ENDED)
        v->count--;
    if (r->kind != MNC__JOURNAL_KIND__JOURNAL_SESSION_BEGUN || v->count == v->cap || v->count == sizeof(v->positions) / sizeof(v->positions[0]))
        return true;
    note = mnc__note__unpack(&noting, r->length, r->bytes);
    if (note != NULL && note->session != NULL) {
        v->positions[v->count] = r->position;
        restore(&v->open[v->count++], note->session);
    }
    mnc__note__free_unpacked(note, &noting);
    return !v->out_of_memory;
}

static void add_run(struct treatment *t, const struct journal_record *r)
{
    Mnp__Record *m = mnp__record__unpack(NULL, r->length, r->bytes);
    const Mnp__RunRecord *run = m != NULL && m->body_case == MNP__RECORD__BODY_RUN ? m->run : NULL;

    if (m == NULL)
        t->records_lost = true; /* out of memory: the summary is marked incomplete */
    else if (run != NULL && run->treatment == t->id)
        treatment_add_run(t, &(struct treatment_run){.zone = run->zone, .strokes = run->strokes, .motor_ms = run->duration_ms, .depth_peak_um = run->depth_peak_um,
                                                     .cartridge_uid = run->cartridge_uid, .cartridge_lot = run->cartridge_lot,
                                                     .end = (enum treatment_run_end)run->end});
    else if (m->body_case == MNP__RECORD__BODY_RUN_BEGUN && m->run_begun->treatment == t->id)
        treatment_run_began(t, m->run_begun->zone);
    mnp__record__free_unpacked(m, NULL);
}

void history_add_record(struct treatment *t, const struct journal_record *r)
{
    if (strcmp(r->serial, t->serial) != 0)
        return;
    if (r->kind == MNC__JOURNAL_KIND__JOURNAL_RUN || r->kind == MNC__JOURNAL_KIND__JOURNAL_RUN_BEGUN)
        add_run(t, r);
    else if (r->kind == MNC__JOURNAL_KIND__JOURNAL_FAULT && r->code != 0 && r->host_us >= t->begun_us)
        treatment_add_fault(t, r->code);
    else if ((r->kind == MNC__JOURNAL_KIND__JOURNAL_RENEWED || r->kind == MNC__JOURNAL_KIND__JOURNAL_LOST) && t->cartridge_count > 0)
        t->records_lost = true; /* a run may have been among the lost records */
}

static bool on_record(void *ctx, const struct journal_record *r)
{
    history_add_record(ctx, r);
    return true;
}

int history_restore(struct store *s, uint64_t journal_id, struct treatment *open, size_t cap, size_t *count, uint32_t *next_number)
{
    struct journal_filter own = {.kinds = UINT32_C(1) << MNC__JOURNAL_KIND__JOURNAL_RUN | UINT32_C(1) << MNC__JOURNAL_KIND__JOURNAL_RUN_BEGUN |
                                          UINT32_C(1) << MNC__JOURNAL_KIND__JOURNAL_FAULT}; /* notes are included with any kind */
    struct restoring v = {.open = open, .cap = cap};
    int r = store_sessions(s, 0, on_restore, &v);

    if (r == 0 && v.out_of_memory)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < v.count; i++) {
        uint64_t missed, position = v.positions[i];
        bool end = false;

        open[i].id = journal_id + open[i].number;
        snprintf(own.serial, sizeof(own.serial), "%s", open[i].serial);
        while (r == 0 && !end)
            r = store_read(s, &position, &own, on_record, &open[i], &end, &missed);
    }
    *count = r == 0 ? v.count : 0;
    *next_number = v.newest + 1;
    return r;
}

/* ---- lists ---- */

struct listing {
    struct history_list *l;
    size_t bytes;
    bool full, failed; /* out of memory */
};

/* Overrides the first row's fields with those of the last. */
static void merge(Mnc__Session *begun, Mnc__Session *ended)
{
    Mnc__SessionZone **zone = begun->zone;
    Mnc__SessionCartridge **cartridge;
    uint32_t *faults = begun->fault_code;
    size_t n_zone = begun->n_zone, n_faults = begun->n_fault_code;

    begun->zone = ended->zone;
    begun->n_zone = ended->n_zone;
    begun->fault_code = ended->fault_code;
    begun->n_fault_code = ended->n_fault_code;
    ended->zone = zone;
    ended->n_zone = n_zone;
    ended->fault_code = faults;
    ended->n_fault_code = n_faults;
    cartridge = begun->cartridge;
    begun->cartridge = ended->cartridge;
    ended->cartridge = cartridge;
    n_zone = begun->n_cartridge;
    begun->n_cartridge = ended->n_cartridge;
    ended->n_cartridge = n_zone;
    begun->state = ended->state;
    begun->has_end = begun->has_ended_us = begun->has_incomplete = true;
    begun->end = ended->end;
    begun->ended_us = ended->ended_us;
    begun->incomplete = ended->incomplete;
}

static bool add_adverse(Mnc__Session *m, uint32_t what)
{
    uint32_t *bigger = realloc(m->adverse, (m->n_adverse + 1) * sizeof(*bigger));

    if (bigger == NULL)
        return false;
    bigger[m->n_adverse++] = what;
    m->adverse = bigger;
    return true;
}

/* Handles the first row of a session, and takes ownership if the session is wanted. */
static void list_begun(struct listing *v, Mnc__Note *note, size_t bytes)
{
    struct history_list *l = v->l;

    if (note->session == NULL || (l->number != 0 && l->number != note->session->number) ||
        (l->subject[0] != '\0' && (note->session->subject == NULL || strcmp(l->subject, note->session->subject) != 0)))
        return;
    if (l->count == HISTORY_LIST_MAX || v->bytes + 2 * bytes > LIST_BYTES_MAX) {
        v->full = true;
        return;
    }
    v->bytes += 2 * bytes; /* room for its last row, too */
    l->sessions[l->count++] = note->session;
    note->session = NULL;
}

static bool on_list(void *ctx, const struct journal_record *r)
{
    struct listing *v = ctx;
    struct history_list *l = v->l;
    ProtobufCAllocator noting = wire_allocator(&v->failed);
    Mnc__Session *last = l->count > 0 && l->sessions[l->count - 1]->number == r->code ? l->sessions[l->count - 1] : NULL;
    Mnc__Note *note;

    if (l->number != 0 && r->code < l->number)
        return false;
    if (r->kind != MNC__JOURNAL_KIND__JOURNAL_SESSION_BEGUN && last == NULL)
        return true; /* the last row of a session that is not wanted */
    note = mnc__note__unpack(&noting, r->length, r->bytes);
    if (note == NULL)
        return !v->failed; /* a damaged row is skipped here; `records verify` reports it */
    if (r->kind == MNC__JOURNAL_KIND__JOURNAL_SESSION_BEGUN)
        list_begun(v, note, r->length);
    else if (r->kind == MNC__JOURNAL_KIND__JOURNAL_SESSION_ENDED && note->session != NULL)
        merge(last, note->session);
    else if (r->kind == MNC__JOURNAL_KIND__JOURNAL_ADVERSE)
        v->failed = !add_adverse(last, note->adverse);
    mnc__note__free_unpacked(note, &noting);
    return !v->full && !v->failed;
}

/* Makes up a session whose rows were dropped from the tables of the past. */
static int list_dropped(struct store *s, struct listing *v, uint32_t number)
{
    struct treatment t = {.state = TREATMENT_ENDED, .number = number, .incomplete = true};
    ProtobufCAllocator noting = wire_allocator(&v->failed);
    struct session_message m;
    struct past_session p;
    uint8_t bytes[JOURNAL_NOTE_MAX];
    int r = past_session(s, number, &p);

    if (r < 0 || p.cartridge_count == 0)
        return r;
    snprintf(t.serial, sizeof(t.serial), "%s", p.serial);
    snprintf(t.subject, sizeof(t.subject), "%s", p.subject);
    snprintf(t.text, sizeof(t.text), "its rows were dropped from the journal: no more is known of it");
    t.begun_us = p.used_us;
    t.ended_us = p.ended_us;
    t.end = p.end <= END_UNTREATED ? (enum treatment_end)p.end : END_NONE;
    for (; t.zone_count < p.zone_count && t.zone_count < POLICY_STEPS_MAX; t.zone_count++)
        t.zones[t.zone_count] = (struct treatment_zone){.zone = (enum policy_zone)p.zones[t.zone_count].zone, .depth_um = p.zones[t.zone_count].depth_um};
    for (; t.cartridge_count < p.cartridge_count && t.cartridge_count < TREATMENT_CARTRIDGES_MAX; t.cartridge_count++)
        t.cartridges[t.cartridge_count] = (struct treatment_cartridge){.uid = p.cartridges[t.cartridge_count].uid, .lot = p.cartridges[t.cartridge_count].lot};
    history_message(&m, &t, NULL, NULL);
    v->l->sessions[v->l->count] = mnc__session__unpack(&noting, mnc__session__pack(&m.m, bytes), bytes);
    v->l->count += v->l->sessions[v->l->count] != NULL;
    return 0;
}

/* Lists the sessions in which a cartridge was used, one by one. */
static int list_by_cartridge(struct store *s, struct listing *v)
{
    struct history_list *l = v->l;
    uint32_t numbers[HISTORY_LIST_MAX + 1];
    size_t n = 0;
    int r = past_sessions_of(s, l->cartridge_uid, l->cartridge_lot, l->before, numbers, HISTORY_LIST_MAX + 1, &n);

    for (size_t i = 0; r == 0 && i < n && !v->full && !v->failed; i++) {
        size_t before = l->count;

        l->number = numbers[i];
        r = store_sessions(s, l->number + 1, on_list, v);
        if (r == 0 && !v->full && l->count == before && l->count < HISTORY_LIST_MAX)
            r = list_dropped(s, v, l->number);
        v->full |= l->count == HISTORY_LIST_MAX && i + 1 < n;
    }
    l->number = 0;
    return r;
}

int history_list(struct store *s, struct history_list *l)
{
    struct listing v = {.l = l};
    int r = l->cartridge_uid != 0 || l->by_lot ? list_by_cartridge(s, &v) : store_sessions(s, l->number != 0 ? l->number + 1 : l->before, on_list, &v);

    l->next_before = v.full ? l->sessions[l->count - 1]->number : 0;
    return r < 0 ? r : v.failed ? -ENOMEM : 0;
}

void history_list_free(struct history_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        mnc__session__free_unpacked(l->sessions[i], NULL);
    l->count = 0;
}
