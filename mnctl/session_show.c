/* A session as text and as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sessions.h"

json_t *session_json(const struct mn_session *s)
{
    json_t *j = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:b}", "number", (json_int_t)s->number, "serial", s->serial, "subject", s->subject, "state",
                          mn_session_state_name(s->state), "end", mn_session_end_name(s->end), "by", s->by, "text", s->text, "begun_us",
                          (json_int_t)s->begun_us, "incomplete", s->incomplete);
    json_t *list;
    char hash[65] = "";

    json_object_set_new(j, "ended_us", s->ended_us != 0 ? json_integer((json_int_t)s->ended_us) : json_null());
    json_object_set_new(j, "indication", s->indication[0] != '\0' ? json_string(s->indication) : json_null());
    json_object_set_new(j, "cartridge", json_pack("{s:o, s:I, s:I}", "uid", json_sprintf("%016" PRIx64, s->cartridge_uid), "lot",
                                                  (json_int_t)s->cartridge_lot, "needles", (json_int_t)s->needle_count));
    json_object_set_new(j, "cartridges", list = json_array());
    for (size_t i = 0; i < s->cartridge_count; i++)
        json_array_append_new(list, json_pack("{s:o, s:I, s:I, s:I, s:I}", "uid", json_sprintf("%016" PRIx64, s->cartridge[i].uid), "lot", (json_int_t)s->cartridge[i].lot,
                                              "needles", (json_int_t)s->cartridge[i].needle_count, "runs", (json_int_t)s->cartridge[i].runs, "strokes",
                                              (json_int_t)s->cartridge[i].strokes));
    json_object_set_new(j, "continues", s->continues != 0 ? json_integer(s->continues) : json_null());
    json_object_set_new(j, "config_generation", json_integer(s->config_generation));
    json_object_set_new(j, "zone_now", json_string(zone_name(s->zone_now)));
    for (size_t i = 0; s->policy_name[0] != '\0' && i < sizeof(s->policy_sha256); i++)
        snprintf(hash + 2 * i, 3, "%02x", s->policy_sha256[i]);
    json_object_set_new(j, "policy", s->policy_name[0] != '\0' ? json_pack("{s:s, s:s}", "name", s->policy_name, "sha256", hash) : json_null());
    json_object_set_new(j, "zones", list = json_array());
    for (size_t i = 0; i < s->zone_count; i++) {
        const struct mn_session_zone *z = &s->zone[i];

        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "zone", zone_name(z->zone), "depth_um", (json_int_t)z->depth_um,
                                              "stroke_rate_dhz", (json_int_t)z->stroke_rate_dhz, "runs", (json_int_t)z->runs, "strokes", (json_int_t)z->strokes,
                                              "punctures", (json_int_t)z->punctures, "motor_ms", (json_int_t)z->motor_ms, "depth_peak_um",
                                              (json_int_t)z->depth_peak_um, "broken_off", z->broken_off));
    }
    json_object_set_new(j, "faults", list = json_array());
    for (size_t i = 0; i < s->fault_count; i++)
        json_array_append_new(list, json_integer(s->fault[i]));
    json_object_set_new(j, "overrides", list = json_array());
    for (size_t i = 0; i < s->override_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", s->override[i].name, "reason", s->override[i].reason));
    json_object_set_new(j, "products", list = json_array());
    for (size_t i = 0; i < mn_product_count(); i++) {
        if (s->products >> mn_product_at(i)->bit & 1)
            json_array_append_new(list, json_string(mn_product_at(i)->name));
    }
    json_object_set_new(j, "adverse", list = json_array());
    for (size_t i = 0; i < s->adverse_count; i++)
        json_array_append_new(list, json_integer(s->adverse[i]));
    json_object_set_new(j, "findings", findings_json(s->finding, s->finding_count));
    return j;
}

const char *session_word(const struct mn_session *s)
{
    return s->end == MN_END_NONE ? mn_session_state_name(s->state) : mn_session_end_name(s->end);
}

static void print_zones(const struct mn_session *s)
{
    bool narrow = terminal_size().columns < 90;

    printf(narrow ? "  zone                     planned           strokes  motor  reached\n"
                  : "  zone                     planned           runs  strokes  punctures   motor  reached\n");
    for (size_t i = 0; i < s->zone_count; i++) {
        const struct mn_session_zone *z = &s->zone[i];

        printf("  %-24s %4.2f mm %5.1f Hz", zone_name(z->zone), z->depth_um / 1000.0, z->stroke_rate_dhz / 10.0);
        if (!narrow)
            printf(" %5" PRIu32, z->runs);
        printf(" %8" PRIu32, z->strokes);
        if (!narrow)
            printf(" %10" PRIu64, z->punctures);
        printf(narrow ? " %4.1f s" : " %5.1f s", (double)z->motor_ms / 1000);
        if (z->strokes > 0)
            printf("  %4.2f mm%s%s%s", z->depth_peak_um / 1000.0, colour(COLOUR_WARN), z->broken_off ? "  broken off" : "", colour(COLOUR_NONE));
        else
            printf("  %snot treated%s", colour(COLOUR_WARN), colour(COLOUR_NONE));
        printf("\n");
    }
}

/* Prints a finding of the session's beginning; its days are relative to then, not to now. */
static void print_finding(const struct mn_finding *f)
{
    char when[60] = "";

    if (strcmp(f->unit, "h") == 0)
        snprintf(when, sizeof(when), f->value < 24 ? ", the same day" : f->value < 48 ? ", a day before" : ", %" PRIu32 " days before", f->value / 24);
    else if (strcmp(f->unit, "d") == 0)
        snprintf(when, sizeof(when), ", treated %" PRIu32 " days before", f->value);
    else if (strcmp(f->unit, "min") == 0)
        snprintf(when, sizeof(when), ", %" PRIu32 " of %" PRIu32 " min", f->value, f->limit);
    printf("  %s%-9s%s %s%s (%s)\n", colour(colour_of_decision(f->decision)), mn_decision_name(f->decision), colour(COLOUR_NONE), f->name, when, f->source);
}

void print_session(const struct mn_session *s)
{
    char when[40], head[400];

    format_minute(s->begun_us, when, sizeof(when));
    snprintf(head, sizeof(head), "%ssession %" PRIu32 "%s  subject %s, pen %s, %s%s%s%s%s, begun %s by %s", colour(COLOUR_BOLD), s->number, colour(COLOUR_NONE), s->subject, s->serial,
             s->indication, s->indication[0] != '\0' ? ", " : "", colour(s->end == MN_END_COMPLETED ? COLOUR_GOOD : s->end == MN_END_NONE ? COLOUR_NONE : COLOUR_WARN), session_word(s), colour(COLOUR_NONE), when, s->by);
    text_wrap(stdout, head, 0, 2, text_page_columns());
    if (s->continues != 0)
        printf("  the rest of session %" PRIu32 "\n", s->continues);
    for (size_t i = 0; i < s->cartridge_count; i++) {
        const struct mn_session_cartridge *c = &s->cartridge[i];

        snprintf(head, sizeof(head), "cartridge %016" PRIx64 ", lot %" PRIu32 ", %" PRIu32 " needles: %" PRIu32 " run%s, %" PRIu32 " strokes%s", c->uid, c->lot, c->needle_count, c->runs,
                 c->runs == 1 ? "" : "s", c->strokes, c->runs == 0 ? "; armed only" : "");
        printf("  ");
        text_wrap(stdout, head, 2, 4, text_page_columns());
    }
    snprintf(head, sizeof(head), "%spolicy: %s", s->cartridge_count == 0 ? "no cartridge was armed; " : "", s->policy_name[0] != '\0' ? s->policy_name : "the defaults");
    printf("  ");
    text_wrap(stdout, head, 2, 4, text_page_columns());
    print_zones(s);
    for (size_t i = 0; i < s->finding_count; i++)
        print_finding(&s->finding[i]);
    for (size_t i = 0; i < s->override_count; i++)
        printf("  override  %s: %s\n", s->override[i].name, s->override[i].reason);
    for (size_t i = 0; i < mn_product_count(); i++) {
        if (s->products >> mn_product_at(i)->bit & 1)
            printf("  product   %s\n", mn_product_at(i)->name);
    }
    for (size_t i = 0; i < s->fault_count; i++) {
        const struct mn_fault *f = mn_fault_by_code(s->fault[i]);

        printf("  fault     %" PRIu32 " %s\n", s->fault[i], f != NULL ? f->name : "");
    }
    for (size_t i = 0; i < s->adverse_count; i++) {
        for (size_t k = 0; k < mn_adverse_count(); k++) {
            if (mn_adverse_at(k)->number == s->adverse[i])
                printf("  afterwards %s: %s\n", mn_adverse_at(k)->name, mn_adverse_at(k)->text);
        }
    }
    if (s->state == MN_SESSION_ENDED) {
        format_minute(s->ended_us, when, sizeof(when));
        printf("  ended %s%s\n", when, s->incomplete ? ", without the pen's last records" : "");
    } else if (s->text[0] != '\0') {
        printf("  %s\n", s->text);
    }
}
