/*
 * Treatment sessions as rows of the journal: packing them, and reading them back. Functions that take a struct store run on the journal's worker.
 */
#pragma once

#include "journal.h"
#include "policy.h"
#include "treatment.h"

#define HISTORY_LIST_MAX 32

/* A session as a message, with everything that its pointers need. */
struct session_message {
    Mnc__Session m;
    Mnc__SessionZone zones[POLICY_STEPS_MAX], *zone_pointers[POLICY_STEPS_MAX];
    Mnc__SessionCartridge cartridges[TREATMENT_CARTRIDGES_MAX], *cartridge_pointers[TREATMENT_CARTRIDGES_MAX];
    Mnc__Override overrides[TREATMENT_OVERRIDES_MAX], *override_pointers[TREATMENT_OVERRIDES_MAX];
    Mnc__Finding findings[POLICY_FINDINGS_MAX], *finding_pointers[POLICY_FINDINGS_MAX];
};

/* found and site may be NULL. Pointers lead into all three and t. */
void history_message(struct session_message *s, const struct treatment *t, const struct findings *found, const struct site *site);
/* The same of findings alone: fills at most POLICY_FINDINGS_MAX. */
void history_findings(Mnc__Finding *out, Mnc__Finding **pointers, const struct findings *found);

/* A row for the journal, whose content is bytes. False: it is too large. */
bool history_begun(struct journal_record *r, const struct treatment *t, const struct findings *found, const struct site *site, uint8_t bytes[JOURNAL_NOTE_MAX]);
bool history_ended(struct journal_record *r, const struct treatment *t, uint8_t bytes[JOURNAL_NOTE_MAX]);
bool history_adverse(struct journal_record *r, const char *serial, uint32_t session, uint32_t what, uint8_t bytes[JOURNAL_NOTE_MAX]);

/* The next session number, and the sessions that have begun and not ended, at most cap, with what their pens have recorded. */
int history_restore(struct store *s, uint64_t journal_id, struct treatment *open, size_t cap, size_t *count, uint32_t *next_number);

struct history_list {
    uint32_t number, before; /* 0: all */
    char subject[33];        /* "": all */
    uint64_t cartridge_uid;  /* 0: whatever it was */
    bool by_lot;
    uint32_t cartridge_lot;
    Mnc__Session *sessions[HISTORY_LIST_MAX]; /* free with history_list_free() */
    size_t count;
    uint32_t next_before;    /* 0: that was all */
};
/* The newest first. */
int history_list(struct store *s, struct history_list *l);
void history_list_free(struct history_list *l);

/* Adds a pen's record to the session that it belongs to: a run and how it ended, or a fault. */
void history_add_record(struct treatment *t, const struct journal_record *r);
