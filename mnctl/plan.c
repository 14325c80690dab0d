/* The plan of a treatment session, as a person gives it: in a file, by options, and by answering questions. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sessions.h"
#include "yaml.h"

enum { RATE_DEFAULT_DHZ = 1000 };

/* ---- words ---- */

static void upper(char *out, size_t cap, const char *word)
{
    size_t i = 0;

    for (; word[i] != '\0' && i + 1 < cap; i++)
        out[i] = word[i] == '-' || word[i] == ' ' ? '_' : (char)toupper((unsigned char)word[i]);
    out[i] = '\0';
}

const char *zone_name(unsigned number)
{
    for (size_t i = 0; i < mn_zone_count(); i++) {
        if (mn_zone_at(i)->number == number)
            return mn_zone_at(i)->name;
    }
    return "?";
}

const struct mn_zone *parse_zone(const char *word)
{
    const char *names[32];
    char name[40];
    size_t n = 0;

    upper(name, sizeof(name), word);
    for (size_t i = 0; i < mn_zone_count() && n < 32; i++) {
        if (strcmp(mn_zone_at(i)->name, name) == 0)
            return mn_zone_at(i);
        names[n++] = mn_zone_at(i)->name;
    }
    if (nearest(name, names, n) != NULL)
        usage_error("there is no zone %s; did you mean %s?", name, nearest(name, names, n));
    else
        usage_error("there is no zone %s; `mnctl policy show` lists them", name);
    return NULL;
}

static int set_key(char out[MN_KEY_MAX + 1], const char *what, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; i < n; i++) {
        if (word[i] <= ' ' || word[i] > '~')
            n = SIZE_MAX;
        if (n == SIZE_MAX)
            break;
    }
    if (n == 0 || n > MN_KEY_MAX)
        return usage_error("%s is a key of 1 to %d printable characters without blanks, not \"%s\"", what, MN_KEY_MAX, word);
    strcpy(out, word);
    return EXIT_OK;
}

static int set_reason(char out[MN_REASON_MAX + 1], const char *what, const char *word)
{
    if (word[0] == '\0' || strlen(word) > MN_REASON_MAX)
        return usage_error("%s needs a reason of 1 to %d characters", what, MN_REASON_MAX);
    strcpy(out, word);
    return EXIT_OK;
}

static int set_indication(struct plan_words *w, const char *word)
{
    const char *names[16];
    char name[28];
    size_t n = 0;

    upper(name, sizeof(name), word);
    for (size_t i = 0; i < mn_indication_count() && n < 16; i++) {
        names[n++] = mn_indication_at(i)->name;
        if (strcmp(mn_indication_at(i)->name, name) != 0)
            continue;
        w->plan.indication = mn_indication_at(i)->name;
        return EXIT_OK;
    }
    return nearest(name, names, n) != NULL ? usage_error("there is no indication %s; did you mean %s?", word, nearest(name, names, n))
                                           : usage_error("there is no indication %s; `mnctl guide` lists them", word);
}

static int set_product(struct plan_words *w, const char *word)
{
    char name[28];

    upper(name, sizeof(name), word);
    for (size_t i = 0; i < mn_product_count(); i++) {
        if (strcmp(mn_product_at(i)->name, name) == 0) {
            w->plan.products |= UINT32_C(1) << mn_product_at(i)->bit;
            return EXIT_OK;
        }
    }
    return usage_error("a product is PRP, GROWTH_FACTOR or SERUM, not %s", word);
}

static int set_step(struct plan_words *w, const char *zone, const char *depth, const char *rate, const char *override)
{
    const struct mn_zone *z = parse_zone(zone);
    size_t setting, i = w->plan.step_count;
    char assignment[80];
    int r;

    if (z == NULL)
        return EXIT_USAGE;
    if (i == MN_STEPS_MAX)
        return usage_error("a plan has at most %d zones", MN_STEPS_MAX);
    w->plan.step[i].zone = z->number;
    w->plan.step[i].stroke_rate_dhz = RATE_DEFAULT_DHZ;
    snprintf(assignment, sizeof(assignment), "depth=%.60s", depth);
    r = parse_assignment(assignment, &setting, &w->plan.step[i].depth_um);
    snprintf(assignment, sizeof(assignment), "rate=%.60s", rate);
    if (r == EXIT_OK && rate[0] != '\0')
        r = parse_assignment(assignment, &setting, &w->plan.step[i].stroke_rate_dhz);
    if (r == EXIT_OK && override[0] != '\0') {
        r = set_reason(w->overrides[i], "interval_override", override);
        w->plan.step[i].interval_override = w->overrides[i];
    }
    w->plan.step_count += r == EXIT_OK;
    return r;
}

/* "CHEEK:1.2mm:120Hz" */
static int set_step_words(struct plan_words *w, const char *words)
{
    char zone[40] = "", depth[20] = "", rate[20] = "";

    if (sscanf(words, "%39[^:]:%19[^:]:%19s", zone, depth, rate) < 2)
        return usage_error("--zone takes ZONE:DEPTH or ZONE:DEPTH:RATE, as in CHEEK:1.2mm:120Hz, not %s", words);
    return set_step(w, zone, depth, rate, "");
}

static int set_minutes(struct plan_words *w, const char *word)
{
    char *end = NULL;
    unsigned long minutes = strtoul(word, &end, 10);

    if (!isdigit((unsigned char)word[0]) || *end != '\0' || minutes > 1440)
        return usage_error("minutes of numbing are 0 to 1440, not %s", word);
    w->plan.numbed = true;
    w->plan.numbing_min = (uint32_t)minutes;
    return EXIT_OK;
}

int plan_option(struct plan_words *w, const char *option, const char *value)
{
    static const char *const names[] = {"--subject", "--indication", "--zone", "--numbed", "--waive-numbing", "--product", "--answers"};
    size_t i = 0;

    while (i < sizeof(names) / sizeof(names[0]) && strcmp(names[i], option) != 0)
        i++;
    if (i == sizeof(names) / sizeof(names[0]))
        return -1;
    if (value == NULL)
        return usage_error("%s needs a value", option);
    switch (i) {
    case 0:
        w->plan.subject = w->subject;
        return set_key(w->subject, "the subject", value);
    case 1:
        return set_indication(w, value);
    case 2:
        return set_step_words(w, value);
    case 3:
        return set_minutes(w, value);
    case 4:
        w->plan.numbing_waiver = w->waiver;
        return set_reason(w->waiver, "--waive-numbing", value);
    case 5:
        return set_product(w, value);
    default:
        return plan_read(w, value);
    }
}

/* ---- answers ---- */

/* "never", "today", "5h", "3d", "2w", "6m", "1y"; or yes and no. NULL, or what it should be. */
static const char *parse_answer(const struct mn_question *q, const char *word, struct mn_answer *a)
{
    static const char units[] = "hdwmy";
    static const uint32_t hours[] = {1, 24, 168, 720, 8760};
    bool timed = q->hours[0] != 0, no = strcasecmp(word, "no") == 0 || strcasecmp(word, "n") == 0;
    const char *unit;
    unsigned long n;
    char *end;

    if (!timed && !no && strcasecmp(word, "yes") != 0 && strcasecmp(word, "y") != 0)
        return "yes or no";
    a->answered = true;
    a->yes = !timed && !no;
    a->ever = false;
    if (!timed || no || strcasecmp(word, "never") == 0)
        return NULL;
    a->ever = true;
    a->hours_ago = 0;
    if (strcasecmp(word, "today") == 0)
        return NULL;
    n = strtoul(word, &end, 10);
    unit = *end != '\0' ? strchr(units, tolower((unsigned char)*end)) : NULL;
    if (!isdigit((unsigned char)word[0]) || unit == NULL || end[1] != '\0' || n > 100000) {
        a->answered = false;
        return "how long ago: never, today, 5h, 3d, 2w, 6m or 1y";
    }
    a->hours_ago = (uint32_t)n * hours[unit - units];
    return NULL;
}

static const struct mn_question *question_by_name(const char *name, size_t *index)
{
    for (*index = 0; *index < mn_question_count(); ++*index) {
        if (strcmp(mn_question_at(*index)->name, name) == 0)
            return mn_question_at(*index);
    }
    return NULL;
}

static int set_zones(struct mn_answer *a, const char *words)
{
    char copy[200], *save = NULL;

    snprintf(copy, sizeof(copy), "%s", words);
    for (char *word = strtok_r(copy, ", ", &save); word != NULL; word = strtok_r(NULL, ", ", &save)) {
        const struct mn_zone *z = parse_zone(word);

        if (z == NULL)
            return EXIT_USAGE;
        a->zones |= UINT32_C(1) << z->number;
    }
    return EXIT_OK;
}

/* ---- a file ---- */

struct file_zone {
    char zone[40], depth[20], rate[20], interval_override[120];
};

struct file_answer {
    char item[40], answer[20], zones[200], confirmed_by[40];
};

struct file {
    char subject[40], indication[40], numbing_min[12], numbing_waiver[120];
    struct file_zone *zones;
    struct file_answer *answers;
    char (*products)[20];
    uint32_t zones_count, answers_count, products_count;
};

#define TEXT(key, type) CYAML_FIELD_STRING(#key, CYAML_FLAG_OPTIONAL, struct type, key, 0)

static const cyaml_schema_field_t zone_fields[] = {TEXT(zone, file_zone), TEXT(depth, file_zone), TEXT(rate, file_zone), TEXT(interval_override, file_zone),
                                                   CYAML_FIELD_END};
static const cyaml_schema_field_t answer_fields[] = {TEXT(item, file_answer), TEXT(answer, file_answer), TEXT(zones, file_answer), TEXT(confirmed_by, file_answer),
                                                     CYAML_FIELD_END};
static const cyaml_schema_value_t zone_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_zone, zone_fields)};
static const cyaml_schema_value_t answer_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct file_answer, answer_fields)};
static const cyaml_schema_value_t product_schema = {CYAML_VALUE_STRING(CYAML_FLAG_DEFAULT, char, 0, 19)};
static const cyaml_schema_field_t file_fields[] = {
    TEXT(subject, file),
    TEXT(indication, file),
    TEXT(numbing_min, file),
    TEXT(numbing_waiver, file),
    CYAML_FIELD_SEQUENCE("zones", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, zones, &zone_schema, 0, MN_STEPS_MAX),
    CYAML_FIELD_SEQUENCE("answers", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, answers, &answer_schema, 0, MN_QUESTIONS_MAX),
    CYAML_FIELD_SEQUENCE("products", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file, products, &product_schema, 0, 8),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t file_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file, file_fields)};

static int take_answer(struct plan_words *w, const struct file_answer *f)
{
    size_t i;
    const struct mn_question *q = question_by_name(f->item, &i);
    const char *wanted;
    int r = EXIT_OK;

    if (q == NULL)
        return usage_error("answers: there is no item %s; `mnctl policy show` lists them", f->item);
    if (f->answer[0] == '\0')
        return EXIT_OK; /* left open: it is asked, or found missing */
    wanted = parse_answer(q, f->answer, &w->plan.answer[i]);
    if (wanted != NULL)
        return usage_error("answers: %s is answered with %s, not %s", f->item, wanted, f->answer);
    if (f->zones[0] != '\0')
        r = set_zones(&w->plan.answer[i], f->zones);
    if (r == EXIT_OK && f->confirmed_by[0] != '\0') {
        r = set_key(w->confirmed[i], "confirmed_by", f->confirmed_by);
        w->plan.answer[i].confirmed_by = w->confirmed[i];
    }
    return r;
}

static int take_file(struct plan_words *w, const struct file *f)
{
    int r = EXIT_OK;

    if (f->subject[0] != '\0')
        r = plan_option(w, "--subject", f->subject);
    if (r == EXIT_OK && f->indication[0] != '\0')
        r = set_indication(w, f->indication);
    if (r == EXIT_OK && f->numbing_min[0] != '\0')
        r = set_minutes(w, f->numbing_min);
    if (r == EXIT_OK && f->numbing_waiver[0] != '\0')
        r = plan_option(w, "--waive-numbing", f->numbing_waiver);
    for (uint32_t i = 0; r == EXIT_OK && i < f->zones_count; i++)
        r = set_step(w, f->zones[i].zone, f->zones[i].depth, f->zones[i].rate, f->zones[i].interval_override);
    for (uint32_t i = 0; r == EXIT_OK && i < f->products_count; i++)
        r = set_product(w, f->products[i]);
    for (uint32_t i = 0; r == EXIT_OK && i < f->answers_count; i++)
        r = take_answer(w, &f->answers[i]);
    return r;
}

int plan_read(struct plan_words *w, const char *path)
{
    struct file *f = NULL;
    char why[400];
    size_t n;
    char *text = yaml_read_file(path, &n);
    int r;

    if (text == NULL) {
        fprintf(stderr, "mnctl: %s: %s\n", path, strerror(errno));
        return EXIT_USAGE;
    }
    if (yaml_is_empty(text)) {
        r = usage_error("%s is empty", path);
    } else if (yaml_load((void **)&f, &file_schema, text, n, path, why, sizeof(why)) < 0) {
        fprintf(stderr, "mnctl: %s\n", why);
        r = EXIT_USAGE;
    } else {
        r = take_file(w, f);
        yaml_free(&file_schema, f);
    }
    free(text);
    return r;
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
    if (a->confirmed_by != NULL)
        fprintf(out, ", confirmed_by: %s", a->confirmed_by);
    fprintf(out, "}  # %s\n", q->text);
}

void plan_write(FILE *out, const struct plan_words *w)
{
    const struct mn_plan *p = &w->plan;

    fprintf(out, "# The plan of a treatment session: mnctl session check FILE, then mnctl session start --answers FILE. No names in it.\n");
    fprintf(out, "subject: \"%s\"  # the clinic's own key, the same one at each visit\n", p->subject != NULL ? p->subject : "");
    if (p->indication != NULL)
        fprintf(out, "indication: %s\n", p->indication);
    fprintf(out, "zones:\n");
    for (size_t i = 0; i < p->step_count; i++) {
        fprintf(out, "  - {zone: %s, depth: %" PRIu32 "um, rate: %.1fHz", zone_name(p->step[i].zone), p->step[i].depth_um, p->step[i].stroke_rate_dhz / 10.0);
        if (p->step[i].interval_override != NULL)
            fprintf(out, ", interval_override: \"%s\"", p->step[i].interval_override);
        fprintf(out, "}\n");
    }
    if (p->step_count == 0)
        fprintf(out, "  - {zone: CHEEK, depth: 0.5mm, rate: 100Hz}\n");
    if (p->numbed)
        fprintf(out, "numbing_min: %" PRIu32 "  # minutes ago\n", p->numbing_min);
    if (p->numbing_waiver != NULL)
        fprintf(out, "numbing_waiver: \"%s\"\n", p->numbing_waiver);
    for (size_t i = 0, n = 0; i < mn_product_count(); i++) {
        if (p->products >> mn_product_at(i)->bit & 1)
            fprintf(out, "%s  - %s\n", n++ == 0 ? "products:\n" : "", mn_product_at(i)->name);
    }
    fprintf(out, "answers:  # yes or no; how long ago: never, today, 5h, 3d, 2w, 6m, 1y. Unanswered is not \"no\"\n");
    for (size_t i = 0; i < mn_question_count(); i++)
        write_answer(out, mn_question_at(i), &p->answer[i]);
}

/* ---- asking ---- */

/* A line without its end; false at the end of input or after Ctrl-C. */
static bool ask(const char *prompt, char *line, size_t cap)
{
    printf("%s ", prompt);
    fflush(stdout);
    if (is_interrupted() || fgets(line, (int)cap, stdin) == NULL || is_interrupted()) {
        printf("\n");
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    return true;
}

static bool ask_question(struct plan_words *w, size_t i)
{
    const struct mn_question *q = mn_question_at(i);
    const char *wanted = NULL;
    char prompt[200], line[200];

    do {
        if (wanted != NULL)
            printf("   %s\n", wanted);
        snprintf(prompt, sizeof(prompt), "%2zu/%zu %s %s", i + 1, mn_question_count(), q->text, q->hours[0] != 0 ? "(never, today, 5h, 3d, 2w)" : "(yes, no)");
        if (!ask(prompt, line, sizeof(line)))
            return false;
        wanted = parse_answer(q, line, &w->plan.answer[i]);
    } while (wanted != NULL);
    while (q->in_zone && w->plan.answer[i].yes) {
        if (!ask("      where? (zones, or Enter: everywhere)", line, sizeof(line)))
            return false;
        w->plan.answer[i].zones = 0;
        if (set_zones(&w->plan.answer[i], line) == EXIT_OK)
            break;
    }
    return true;
}

int plan_ask(struct plan_words *w)
{
    char line[200] = "";

    while (w->plan.subject == NULL) {
        if (!ask("Subject (the clinic's own key, no name):", line, sizeof(line)))
            return EXIT_USAGE;
        if (plan_option(w, "--subject", line) != EXIT_OK)
            w->plan.subject = NULL;
    }
    while (!w->given && (w->plan.step_count == 0 || line[0] != '\0')) {
        if (!ask(w->plan.step_count == 0 ? "Zone, depth and rate (CHEEK:1.2mm:120Hz):" : "Another zone (Enter: no):", line, sizeof(line)))
            return EXIT_USAGE;
        if (line[0] != '\0')
            set_step_words(w, line);
    }
    while (!w->plan.numbed && w->plan.numbing_waiver == NULL) {
        uint32_t most_um = 0;

        for (size_t i = 0; i < w->plan.step_count; i++)
            most_um = w->plan.step[i].depth_um > most_um ? w->plan.step[i].depth_um : most_um;
        printf("Numbing lasts %" PRIu32 " min for %" PRIu32 " um.\n", mn_numbing_min(most_um), most_um);
        if (!ask("How many minutes ago was it applied? (Enter: it was not)", line, sizeof(line)))
            return EXIT_USAGE;
        if (line[0] != '\0' && set_minutes(w, line) == EXIT_OK)
            break;
        if (line[0] == '\0' && (!ask("Why is it waived?", line, sizeof(line)) || plan_option(w, "--waive-numbing", line) != EXIT_OK))
            return EXIT_USAGE;
    }
    for (size_t i = 0; i < mn_question_count() && i < MN_QUESTIONS_MAX; i++) {
        if (!w->plan.answer[i].answered && !ask_question(w, i))
            return EXIT_USAGE;
    }
    return EXIT_OK;
}

int plan_confirm(struct plan_words *w, const struct mn_findings *found)
{
    char line[200], prompt[120];

    for (size_t k = 0; k < found->count; k++) {
        const struct mn_finding *f = &found->finding[k];
        size_t i;

        if (f->decision != MN_DECISION_CONSULT || question_by_name(f->name, &i) == NULL)
            continue;
        snprintf(prompt, sizeof(prompt), "%s: the key of the clinician who has confirmed it (Enter: nobody):", f->name);
        if (!ask(prompt, line, sizeof(line)) || line[0] == '\0')
            return EXIT_REFUSED;
        if (set_key(w->confirmed[i], "a clinician", line) != EXIT_OK)
            return EXIT_REFUSED;
        w->plan.answer[i].confirmed_by = w->confirmed[i];
    }
    return EXIT_OK;
}

bool ask_yes(const char *prompt)
{
    char line[40];

    return ask(prompt, line, sizeof(line)) && (strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0);
}
