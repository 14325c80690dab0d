/* What people type: words, numbers, quantities and times, a line a case; the same in every locale. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quantity.h"
#include "terminal.h"
#include "words.h"

static const struct unit depths[] = {{"um", 1}, {"mm", 1000}};

static const struct {
    const char *text;
    double value;    /* NAN is not needed: why is "" for good ones */
    const char *why; /* "": it is good */
} quantities[] = {
    {"1.2mm", 1200, ""},
    {" 1.2 mm ", 1200, ""},
    {"1.2MM", 1200, ""},
    {"+1200um", 1200, ""},
    {"-1mm", -1000, ""},
    {"0.05mm", 50, ""},
    {"007um", 7, ""},
    {"1,2mm", 0, "write 1.2mm: a point, not a comma"},
    {"1,2", 0, "write 1.2: a point, not a comma"},
    {"1.2", 0, "write 1.2mm: it needs its unit (um, mm)"},
    {"3Hz", 0, "\"Hz\" is none of its units (um, mm)"},
    {"1e3um", 0, "\"e3um\" is none of its units (um, mm)"},
    {"0x10um", 0, "\"x10um\" is none of its units (um, mm)"},
    {"1.2.3mm", 0, "\".3mm\" is none of its units (um, mm)"},
    {"1.mm", 0, "\".mm\" is none of its units (um, mm)"},
    {".5mm", 0, "\".5mm\" is not a number"},
    {"deep", 0, "\"deep\" is not a number"},
    {"nan", 0, "\"nan\" is not a number"},
    {"inf mm", 0, "\"inf mm\" is not a number"},
    {"", 0, "\"\" is not a number"},
    {"mm", 0, "\"mm\" is not a number"},
};

static void a_quantity_is_a_number_and_its_unit(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(quantities) / sizeof(quantities[0]); i++) {
        char why[QUANTITY_WHY_MAX] = "";
        double value = -99;
        bool good = parse_quantity(quantities[i].text, depths, 2, 2, 1, &value, why);

        assert_string_equal(good ? "" : why, quantities[i].why);
        assert_true(good ? value > quantities[i].value - 1e-9 && value < quantities[i].value + 1e-9 : value == -99);
    }
}

static void a_whole_number_is_whole_decimal_and_in_range(void **state)
{
    static const char *const bad[] = {"", " ", "+", "-1", "1.0", "1e2", "0x1", "11", "10 0", "ten", "99999999999999999999999"};
    char why[QUANTITY_WHY_MAX];
    uint64_t n = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(parse_whole(bad[i], 0, 10, &n, why));
    assert_true(parse_whole(" 10 ", 0, 10, &n, why));
    assert_int_equal(n, 10);
    assert_true(parse_whole("010", 0, 10, &n, why)); /* decimal, always */
    assert_int_equal(n, 10);
    assert_true(parse_whole("18446744073709551609", 0, UINT64_MAX, &n, why) || strstr(why, "whole number") != NULL);
}

/* Wednesday, 25 November 2026, 15:30:00 in UTC. */
enum { NOW = 1795620600 };

static const struct {
    const char *text;
    int64_t ago_s, length_s;
    const char *why;
} moments[] = {
    {"now", 0, 0, ""},
    {"3h", 3 * 3600, 0, ""},
    {"10min", 600, 0, ""},
    {"10m", 600, 0, ""},
    {"5d", 5 * 86400, 0, ""},
    {"5 days ago", 5 * 86400, 0, ""},
    {"2 Weeks", 14 * 86400, 0, ""},
    {"1y", 365 * 86400, 0, ""},
    {"1.5h", 5400, 0, ""},
    {"today", 15 * 3600 + 1800, 86400, ""},
    {"Yesterday", 15 * 3600 + 1800 + 86400, 86400, ""},
    {"monday", 15 * 3600 + 1800 + 2 * 86400, 86400, ""},
    {"mon", 15 * 3600 + 1800 + 2 * 86400, 86400, ""},
    {"last monday", 15 * 3600 + 1800 + 2 * 86400, 86400, ""},
    {"wednesday", 15 * 3600 + 1800 + 7 * 86400, 86400, ""}, /* today is "today" */
    {"2026-11-24", 15 * 3600 + 1800 + 86400, 86400, ""},
    {"2026-11-25 15:00", 1800, 60, ""},
    {"2026-11-25T15:29:30", 30, 0, ""},
    {"2026-02-30", 0, 0, "2026-02-30 is in no calendar"},
    {"2025-02-29", 0, 0, "2025-02-29 is in no calendar"},
    {"2026-11-26", 0, 0, "2026-11-26 has not come yet"},
    {"-3h", 0, 0, "\"-3h\" is no time: write 3h, 5d, 2w, yesterday, monday or 2026-11-21"},
    {"3", 0, 0, "\"3\" is no time: write 3h, 5d, 2w, yesterday, monday or 2026-11-21"},
    {"3 moons", 0, 0, "\"3 moons\" is no time: write 3h, 5d, 2w, yesterday, monday or 2026-11-21"},
    {"2026-13-01", 0, 0, "\"2026-13-01\" is no time: write 3h, 5d, 2w, yesterday, monday or 2026-11-21"},
    {"t", 0, 0, "\"t\" is no time: write 3h, 5d, 2w, yesterday, monday or 2026-11-21"},
    {"", 0, 0, "\"\" is no time: write 3h, 5d, 2w, yesterday, monday or 2026-11-21"},
};

static void a_time_is_a_length_a_day_or_a_date(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
        char why[QUANTITY_WHY_MAX] = "";
        struct moment m = {0};
        bool good = parse_moment(moments[i].text, NOW, 'm', &m, why);

        if (strcmp(good ? "" : why, moments[i].why) != 0 || (good && (NOW - m.begin != moments[i].ago_s || m.seconds != moments[i].length_s)))
            fail_msg("%s: %s, %lld s ago, %lld s long", moments[i].text, why, (long long)(NOW - m.begin), (long long)m.seconds);
    }
}

static void m_is_minutes_or_months_as_the_question_wants_it(void **state)
{
    char why[QUANTITY_WHY_MAX];
    struct moment m;

    (void)state;
    assert_true(parse_moment("6m", NOW, 'M', &m, why));
    assert_int_equal(NOW - m.begin, 180 * 86400);
}

static void letters_are_the_same_in_every_locale(void **state)
{
    static const char *const zones[] = {"CHIN", "CHEEK", "CHEEKBONE", "UPPER_LIP_SKIN"};

    (void)state;
    setlocale(LC_ALL, "tr_TR.UTF-8"); /* where it is not installed, C is as good */
    assert_true(same_word("CHIN", "chin"));
    assert_true(same_word("UPPER_LIP_SKIN", "upper-lip skin"));
    assert_int_equal(find_word("cheek", zones, 4, true), 1);
    assert_int_equal(find_word("upp", zones, 4, true), 3);
    assert_int_equal(find_word("ch", zones, 4, true), 4); /* of several */
    assert_string_equal(nearest("chni", zones, 4), "CHIN");
    assert_null(nearest("elbow", zones, 4));
    setlocale(LC_ALL, "C");
}

static void check_wrap(const char *text, size_t at, size_t indent, size_t columns, const char *wanted)
{
    char out[400] = "";
    FILE *f = fmemopen(out, sizeof(out), "w");

    assert_non_null(f);
    text_wrap(f, text, at, indent, columns);
    fclose(f);
    assert_string_equal(out, wanted);
}

static void text_is_wrapped_by_words(void **state)
{
    (void)state;
    check_wrap("one two three", 0, 0, 9, "one two\nthree\n");
    check_wrap("one two three", 4, 2, 9, "one\n  two\n  three\n");
    check_wrap("one\n  two", 0, 0, 20, "one\n  two\n");
    check_wrap("incomprehensibilities and", 0, 2, 10, "incomprehensibilities\n  and\n");
    check_wrap("", 0, 0, 10, "\n");
}

static void text_is_cut_by_columns(void **state)
{
    char out[40];

    (void)state;
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    text_cut(out, sizeof(out), "needles", 7);
    assert_string_equal(out, "needles");
    text_cut(out, sizeof(out), "needles", 6);
    assert_string_equal(out, "need..");
    text_cut(out, sizeof(out), "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f", 3);
    assert_string_equal(out, "\xc3\xa4..");
    text_cut(out, sizeof(out), "needles", 0);
    assert_string_equal(out, "");
    text_cut(out, 4, "needles", 7);
    assert_true(strlen(out) < 4);
    assert_int_equal(text_columns("\033[32mok\033[0m"), 2);
    assert_int_equal(text_columns("\xe4\xb8\xad"), 2);
}

static void a_word_that_is_cut_is_taken_for_nothing_shorter(void **state)
{
    const char *list = " ,one, twoandtwenty,three ,";
    char word[8];

    (void)state;
    cut_word(word, sizeof(word), "1234567", 7);
    assert_string_equal(word, "1234567");
    cut_word(word, sizeof(word), "12345678", 8);
    assert_string_equal(word, "1234...");
    cut_word(word, sizeof(word), "12345678", 3);
    assert_string_equal(word, "123");
    assert_true(next_word(&list, ", ", word, sizeof(word)));
    assert_string_equal(word, "one");
    assert_true(next_word(&list, ", ", word, sizeof(word)));
    assert_string_equal(word, "twoa...");
    assert_true(next_word(&list, ", ", word, sizeof(word)));
    assert_string_equal(word, "three");
    assert_false(next_word(&list, ", ", word, sizeof(word)));
    assert_false(next_word(&list, ", ", word, sizeof(word)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_that_is_cut_is_taken_for_nothing_shorter),
        cmocka_unit_test(a_quantity_is_a_number_and_its_unit),
        cmocka_unit_test(a_whole_number_is_whole_decimal_and_in_range),
        cmocka_unit_test(a_time_is_a_length_a_day_or_a_date),
        cmocka_unit_test(m_is_minutes_or_months_as_the_question_wants_it),
        cmocka_unit_test(letters_are_the_same_in_every_locale),
        cmocka_unit_test(text_is_wrapped_by_words),
        cmocka_unit_test(text_is_cut_by_columns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
