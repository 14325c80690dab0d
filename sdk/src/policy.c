/* The treatment policy's defaults, as rows that a program can show: taken from proto/policy/, where they stand once. */
#include "mn/mn.h"
#include "policy/numbing.h"

enum {
#define LIMIT(name, value, unit, stricter, source, text) LIMIT_##name,
#include "policy/limits.def"
};

static const struct mn_limit limits[] = {
#define LIMIT(name, value, unit, stricter, source, text) {#name, value, #unit, source, text},
#include "policy/limits.def"
};

static const struct mn_zone zones[] = {
#define ZONE(number, name, cap_um, bony, source) {number, #name, cap_um, bony, source},
#include "policy/zones.def"
};

static const struct mn_indication indications[] = {
#define INDICATION(name, sessions_min, sessions_max, source, text) {#name, sessions_min, sessions_max, source, text},
#include "policy/indications.def"
};

static const struct mn_question questions[] = {
#define SCREEN(name, hours, decision, hours_2, decision_2, in_zone, source, question)                                  \
    {#name, {hours, hours_2}, {MN_DECISION_##decision, MN_DECISION_##decision_2}, in_zone, source, question},
#include "policy/screening.def"
};

static const struct mn_aftercare aftercare[] = {
#define AFTERCARE(name, hours, source, text) {#name, hours, source, text},
#include "policy/aftercare.def"
};

static const struct mn_adverse adverse[] = {
#define ADVERSE(number, name, who, source, text) {number, #name, who, source, text},
#include "policy/adverse.def"
};

static const struct mn_care care[] = {
#define CARE(name, source, text) {#name, source, text},
#include "policy/care.def"
};

static const struct mn_expected expected[] = {
#define EXPECTED(text, source) {text, source},
#include "policy/expected.def"
};

static const struct mn_product products[] = {
#define PRODUCT(bit, name, source, text) {bit, #name, source, text},
#include "policy/products.def"
};

static const struct mn_refusal refusals[] = {
#define REFUSAL(code, name, text) {code, #name, text},
#include "policy/refusals.def"
};

#define ROWS(type, table)                                                                                              \
    size_t mn_##type##_count(void)                                                                                     \
    {                                                                                                                  \
        return sizeof(table) / sizeof((table)[0]);                                                                     \
    }                                                                                                                  \
                                                                                                                       \
    const struct mn_##type *mn_##type##_at(size_t i)                                                                   \
    {                                                                                                                  \
        return i < sizeof(table) / sizeof((table)[0]) ? &(table)[i] : NULL;                                            \
    }

ROWS(limit, limits)
ROWS(zone, zones)
ROWS(indication, indications)
ROWS(question, questions)
ROWS(aftercare, aftercare)
ROWS(care, care)
ROWS(adverse, adverse)
ROWS(expected, expected)
ROWS(product, products)
ROWS(refusal, refusals)

const char *mn_decision_name(enum mn_decision decision)
{
    static const char *const names[] = {"OK", "WARN", "CONSULT", "BLOCK"};

    return (size_t)decision < sizeof(names) / sizeof(names[0]) ? names[decision] : "UNKNOWN";
}

uint32_t mn_numbing_min(uint32_t depth_um)
{
    return numbing_min(depth_um, limits[LIMIT_numbing_at_least].value, limits[LIMIT_numbing_per_mm].value, limits[LIMIT_numbing_at_most].value,
                       limits[LIMIT_numbing_floor].value);
}
