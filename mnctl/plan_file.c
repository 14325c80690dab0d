/* A treatment's plan as a file that people write (YAML), and the draft that a dialogue leaves behind. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "document.h"
#include "file.h"
#include "sessions.h"

enum { DRAFT_MAX_MIN = 12 * 60 };

struct file_zone {
    const struct node *at;
    char zone[40], depth[20], rate[20], interval_override[120];
};

struct file_answer {
    const struct node *at;
    char item[40], answer[20], zones[200], confirmed_by[40];
};

struct file {
    char subject[40], indication[40], numbing_min[12], numbing_waiver[120], continues[12], continues_why[120];
    struct file_zone *zones;
    struct file_answer *answers;
    const struct node *products;
    uint32_t zones_count, answers_count;
};

static const struct field zone_fields[] = {FIELD_TEXT(struct file_zone, zone), FIELD_TEXT(struct file_zone, depth), FIELD_TEXT(struct file_zone, rate),
                                           FIELD_TEXT(struct file_zone, interval_override), FIELD_END};
static const struct field answer_fields[] = {FIELD_TEXT(struct file_answer, item), FIELD_TEXT(struct file_answer, answer), FIELD_TEXT(struct file_answer, zones),
                                             FIELD_TEXT(struct file_answer, confirmed_by), FIELD_END};
static const struct field file_fields[] = {
    FIELD_TEXT(struct file, subject),
    FIELD_TEXT(struct file, indication),
    FIELD_TEXT(struct file, numbing_min),
    FIELD_TEXT(struct file, numbing_waiver),
    FIELD_TEXT(struct file, continues),
    FIELD_TEXT(struct file, continues_why),
    FIELD_ROWS(struct file, zones, struct file_zone, zone_fields, MN_STEPS_MAX, "zone"),
    FIELD_ROWS(struct file, answers, struct file_answer, answer_fields, MN_QUESTIONS_MAX, "item"),
    FIELD_VALUES(struct file, products, 8),
    FIELD_END,
};

static bool take_answer(struct plan_words *w, const struct file_answer *f, char why[WHY_MAX])
{
    size_t i = question_by_name(f->item);
    char reason[WHY_MAX];

    if (i == mn_question_count()) {
        snprintf(why, WHY_MAX, "there is no item %s: `mnctl policy show` lists them", f->item);
        return false;
    }
    if (f->answer[0] == '\0')
        return true; /* left open: the dialogue asks for it, or the check reports it as missing */
    if (plan_set_answer(w, i, f->answer, reason) && (f->zones[0] == '\0' || plan_set_answer_zones(w, i, f->zones, reason)) &&
        (f->confirmed_by[0] == '\0' || plan_set_confirmed(w, i, f->confirmed_by, reason)))
        return true;
    snprintf(why, WHY_MAX, "%s: %.250s", mn_question_at(i)->name, reason);
    return false;
}

/* Takes everything from the file. Returns NULL, or the node that is wrong, with the reason in why. */
static const struct node *take_file(struct plan_words *w, const struct file *f, const struct node *root, char why[WHY_MAX])
{
    const struct {
        const char *key, *text;
        bool (*set)(struct plan_words *w, const char *word, char why[WHY_MAX]);
    } texts[] = {
        {"subject", f->subject, plan_set_subject},
        {"indication", f->indication, plan_set_indication},
        {"numbing_min", f->numbing_min, plan_set_numbed},
        {"numbing_waiver", f->numbing_waiver, plan_set_waiver},
        {"continues", f->continues, plan_set_continues},
        {"continues_why", f->continues_why, plan_set_continues_why},
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].text[0] != '\0' && !texts[i].set(w, texts[i].text, why))
            return document_find(root, texts[i].key);
    }
    for (uint32_t i = 0; i < f->zones_count; i++) {
        if (!plan_set_step(w, f->zones[i].zone, f->zones[i].depth, f->zones[i].rate, f->zones[i].interval_override, why))
            return f->zones[i].at;
    }
    for (const struct node *n = f->products; n != NULL; n = n->next) {
        if (!plan_set_product(w, n->text, why))
            return n;
    }
    for (uint32_t i = 0; i < f->answers_count; i++) {
        if (!take_answer(w, &f->answers[i], why))
            return f->answers[i].at;
    }
    return NULL;
}

bool plan_parse(struct plan_words *w, const char *text, size_t n, const char *path, char *why, size_t cap)
{
    struct plan_words before = *w;
    struct document *document = NULL;
    const struct node *wrong = NULL;
    struct file f = {0};
    char reason[WHY_MAX];
    bool good = false;

    if (document_parse(&document, file_fields, &f, text, n, path, why, cap) < 0)
        return false;
    if (document_root(document) == NULL) {
        snprintf(why, cap, "%s is empty", path);
    } else {
        wrong = take_file(w, &f, document_root(document), reason);
        good = wrong == NULL;
        if (!good)
            node_wrong(why, cap, wrong, "%s", reason);
    }
    if (!good)
        *w = before; /* its pointers point into itself, which is unchanged */
    document_free(document);
    return good;
}

static bool load(struct plan_words *w, const char *path, char *why, size_t cap)
{
    size_t n = 0;
    char *text = file_read(path, DOCUMENT_BYTES_MAX, &n, why, cap);
    bool good = text != NULL && plan_parse(w, text, n, path, why, cap);

    free(text);
    return good;
}

int plan_read(struct plan_words *w, const char *path)
{
    char why[800];

    if (!load(w, path, why, sizeof(why)))
        return usage_error("%s", why);
    w->from_file = true;
    return EXIT_OK;
}

/* ---- writing ---- */

/* Writes a text as a double-quoted YAML scalar. */
static void write_quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            fputc('\\', out);
        if ((unsigned char)*c < ' ')
            fprintf(out, "\\x%02x", (unsigned char)*c);
        else
            fputc(*c, out);
    }
    fputc('"', out);
}

static void write_answer(FILE *out, const struct mn_question *q, const struct mn_answer *a)
{
    char answer[20] = "";

    if (a->answered && q->hours[0] == 0)
        strcpy(answer, a->yes ? "yes" : "no");
    else if (a->answered && !a->ever)
        strcpy(answer, "never");
    else if (a->answered)
        snprintf(answer, sizeof(answer), "%" PRIu32 "h", a->hours_ago);
    fprintf(out, "  - {item: %s, answer: \"%s\"", q->name, answer);
    for (size_t i = 0, n = 0; a->answered && a->zones != 0 && i < mn_zone_count(); i++) {
        if (a->zones >> mn_zone_at(i)->number & 1)
            fprintf(out, "%s%s", n++ == 0 ? ", zones: \"" : " ", mn_zone_at(i)->name);
    }
    fprintf(out, "%s", a->answered && a->zones != 0 ? "\"" : "");
    if (a->confirmed_by != NULL) {
        fprintf(out, ", confirmed_by: ");
        write_quoted(out, a->confirmed_by);
    }
    fprintf(out, "}  # %s\n", q->text);
}

static void write_steps(FILE *out, const struct mn_plan *p)
{
    fprintf(out, "zones:\n");
    for (size_t i = 0; i < p->step_count; i++) {
        fprintf(out, "  - {zone: %s, depth: %.2fmm, rate: %.1fHz", zone_name(p->step[i].zone), p->step[i].depth_um / 1000.0, p->step[i].stroke_rate_dhz / 10.0);
        if (p->step[i].interval_override != NULL) {
            fprintf(out, ", interval_override: ");
            write_quoted(out, p->step[i].interval_override);
        }
        fprintf(out, "}\n");
    }
    if (p->step_count == 0)
        fprintf(out, "  - {zone: CHEEK, depth: 0.5mm, rate: 100Hz}\n");
    fprintf(out, "#   {zone: CHIN, depth: 1mm, rate: 100Hz, interval_override: \"why not to wait any longer\"}\n");
}

void plan_write(FILE *out, const struct plan_words *w)
{
    const struct mn_plan *p = &w->plan;
    size_t products = 0;

    fprintf(out, "# The plan of a treatment session: mnctl session check FILE, then mnctl session start FILE. No names in it.\n");
    fprintf(out, "# What stands behind a # does not count; take the # away where it is wanted.\n");
    fprintf(out, "subject: ");
    write_quoted(out, p->subject != NULL ? p->subject : "");
    fprintf(out, "  # the clinic's own key, the same one at each visit\n");
    fprintf(out, "%sindication: %s  # mnctl guide lists them\n", p->indication != NULL ? "" : "# ", p->indication != NULL ? p->indication : "SCARS");
    write_steps(out, p);
    fprintf(out, "%snumbing_min: %" PRIu32 "  # minutes ago\n", p->numbed ? "" : "# ", p->numbed ? p->numbing_min : 40);
    fprintf(out, "%snumbing_waiver: ", p->numbing_waiver != NULL ? "" : "# ");
    write_quoted(out, p->numbing_waiver != NULL ? p->numbing_waiver : "why there is none");
    fprintf(out, "\n");
    fprintf(out, "%scontinues: %" PRIu32 "  # the session of today that was broken off, of which this is the rest\n", p->continues != 0 ? "" : "# ", p->continues != 0 ? p->continues : 1);
    fprintf(out, "%scontinues_why: ", p->continues_why != NULL ? "" : "# ");
    write_quoted(out, p->continues_why != NULL ? p->continues_why : "why it was broken off");
    fprintf(out, "\n");
    for (size_t i = 0; i < mn_product_count(); i++) {
        if (p->products >> mn_product_at(i)->bit & 1)
            fprintf(out, "%s  - %s\n", products++ == 0 ? "products:\n" : "", mn_product_at(i)->name);
    }
    if (products == 0)
        fprintf(out, "# products: [PRP, GROWTH_FACTOR, SERUM, VITAMINS_OR_PEPTIDES]\n");
    fprintf(out, "answers:  # yes or no; how long ago: never, today, 5h, 3d, 2w, 6m, 1y. Unanswered is not \"no\"\n");
    for (size_t i = 0; i < mn_question_count(); i++)
        write_answer(out, mn_question_at(i), &p->answer[i]);
}

/* ---- the draft ---- */

/* The draft's path: $XDG_STATE_HOME/mnctl/draft.yaml, or in ~/.local/state. Makes missing folders with mode 0700 if wanted. False if neither variable is set. */
static bool draft_path(char *out, size_t cap, bool make)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    const char *base = state != NULL && state[0] == '/' ? state : home, *rest = base == state ? "mnctl/draft.yaml" : ".local/state/mnctl/draft.yaml";

    if (base == NULL || base[0] != '/' || (size_t)snprintf(out, cap, "%s/%s", base, rest) >= cap)
        return false;
    for (char *c = out + strlen(base); make && (c = strchr(c, '/')) != NULL; c++) {
        *c = '\0';
        make = mkdir(out, 0700) == 0 || errno == EEXIST; /* if this fails, so does the write, which reports it */
        *c = '/';
    }
    return true;
}

void draft_save(const struct plan_words *w)
{
    char path[400], beside[420];
    mode_t before = umask(0077);
    FILE *out;

    if (draft_path(path, sizeof(path), true)) {
        snprintf(beside, sizeof(beside), "%s.new", path);
        out = fopen(beside, "we");
        if (out != NULL) {
            bool good;

            plan_write(out, w);
            good = !ferror(out);
            if (fclose(out) != 0 || !good || rename(beside, path) < 0)
                unlink(beside); /* keep the previous draft */
        }
    }
    umask(before);
}

void draft_drop(void)
{
    char path[400];

    if (draft_path(path, sizeof(path), false))
        unlink(path);
}

bool draft_load(struct plan_words *w, long *minutes)
{
    time_t now = time(NULL);
    char path[400], why[800];
    struct stat s;

    if (!draft_path(path, sizeof(path), false) || lstat(path, &s) < 0 || !S_ISREG(s.st_mode) || s.st_uid != geteuid())
        return false;
    *minutes = now > s.st_mtime ? (now - s.st_mtime) / 60 : 0;
    if (*minutes > DRAFT_MAX_MIN || !load(w, path, why, sizeof(why))) {
        unlink(path);
        return false;
    }
    w->numbed_at -= *minutes * 60;
    for (size_t i = 0; i < mn_question_count(); i++) {
        if (w->plan.answer[i].ever)
            w->plan.answer[i].hours_ago += (uint32_t)(*minutes / 60);
    }
    return true;
}
