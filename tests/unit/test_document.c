/* What people write in YAML: what is taken, what is refused, and the sentence for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "document.h"
#include "file.h"

struct row {
    const struct node *at;
    char name[12];
    uint32_t value;
};

struct sheet {
    char text[24];
    uint32_t plain, depth;
    bool flag;
    const struct node *any, *words;
    struct row *rows;
    uint32_t rows_count;
};

static const struct unit um[] = {{"um", 1}, {"mm", 1000}};
static const struct field row_fields[] = {FIELD_TEXT(struct row, name), FIELD_WHOLE(struct row, value, 0, 9, NULL, 0), FIELD_END};
static const struct field fields[] = {
    FIELD_TEXT(struct sheet, text),
    FIELD_WHOLE(struct sheet, plain, 1, 4096, NULL, 0),
    FIELD_WHOLE(struct sheet, depth, 0, 2500, um, 2),
    FIELD_TRUTH(struct sheet, flag),
    FIELD_VALUE(struct sheet, any),
    FIELD_VALUES(struct sheet, words, 3),
    FIELD_ROWS(struct sheet, rows, struct row, row_fields, 4, "name"),
    FIELD_END,
};

/* ---- allocations that fail: tests/CMakeLists.txt wraps the library's ---- */

static long allocations_left = -1; /* -1: none fails */

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
    return allocations_left == 0 ? NULL : (allocations_left -= allocations_left > 0, __real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t size)
{
    return allocations_left == 0 ? NULL : (allocations_left -= allocations_left > 0, __real_realloc(p, size));
}

static struct document *document;
static struct sheet sheet;
static char why[400];

static int read_bytes(const char *text, size_t n)
{
    document_free(document);
    sheet = (struct sheet){.text = "before", .plain = 7, .depth = 8, .flag = true};
    why[0] = '\0';
    return document_parse(&document, fields, &sheet, text, n, "it.yaml", why, sizeof(why));
}

static int read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static void assert_taken(const char *text)
{
    if (read_text(text) != 0)
        fail_msg("%s is refused: %s", text, why);
}

static void assert_refused(const char *text, const char *sentence)
{
    int r = read_text(text);

    if (r != -EINVAL || strstr(why, sentence) == NULL)
        fail_msg("%s: wanted \"%s\", got \"%s\"", text, sentence, r == 0 ? "it is taken" : why);
}

static void what_is_absent_stays(void **state)
{
    static const char *const empty[] = {"", "\n\n", "# only this\n", "\xef\xbb\xbf", "---\n", "---\n...\n", "{}\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        assert_taken(empty[i]);
        assert_int_equal(sheet.plain, 7);
        assert_true(sheet.flag);
        assert_string_equal(sheet.text, "before");
    }
}

/* What stands there counts, however it is written. */
static void one_meaning_for_all_ways_to_write_it(void **state)
{
    static const char *const ways[] = {
        "flag: false\nplain: 3\n", "\xef\xbb\xbf\x66lag: false\nplain: 3\n", "{flag: false, plain: 3}", "\"flag\": false\n'plain': 3\n", "---\nflag: false\nplain: 3\n", "%YAML 1.1\n---\nflag: false\nplain: 3\n...\n",
        "flag: false\r\nplain: 3\r\n", "flag: false\rplain: 3", "flag:\tfalse\nplain:   3   # three\n", "? flag\n: False\n? plain\n: 3\n", "flag: FALSE\nplain: +3\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        assert_taken(ways[i]);
        if (sheet.flag || sheet.plain != 3)
            fail_msg("%s is read as %d, %u", ways[i], sheet.flag, sheet.plain);
    }
}

static void truth_is_true_or_false(void **state)
{
    static const char *const no_truth[] = {"no", "No", "NO", "n", "N", "off", "Off", "yes", "on", "y", "0", "1", "fALSE", "falsch", "\"false\"", "'true'", "false false"};
    char text[40];

    (void)state;
    for (size_t i = 0; i < sizeof(no_truth) / sizeof(no_truth[0]); i++) {
        snprintf(text, sizeof(text), "flag: %s\n", no_truth[i]);
        assert_refused(text, "it.yaml, line 1, column 7: flag is true or false, not ");
    }
    assert_refused("flag: [true]\n", "flag is one value, not a list");
}

static void numbers_are_decimal_and_whole(void **state)
{
    static const struct {
        const char *text;
        uint32_t depth;
    } good[] = {{"0", 0}, {"500", 500}, {"500um", 500}, {"500 um", 500}, {"1.2mm", 1200}, {"1.2 MM", 1200}, {"2.5mm", 2500}, {"500.0", 500}, {"+7", 7}};
    static const char *const bad[] = {"042", "0500", "00", "1_200", "100d", "1.2e3", "1e3", "0x10", "0o17", "0b1", "1.2", "1,2mm", "-1", "2501", "2.501mm", ".inf", ".nan", "~0", "12 34",
                                      "1.2mmm", "mm", "\"500\"", "'500'", "18446744073709551616", "99999999999999999999999999999999999999999999999999", "5e", "1:30", "0.0001mm"};
    char text[100];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(text, sizeof(text), "depth: %s\n", good[i].text);
        assert_taken(text);
        assert_int_equal(sheet.depth, good[i].depth);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "plain: 1\ndepth: %s\n", bad[i]);
        assert_refused(text, "it.yaml, line 2, column 8: depth is a whole number of um, 0 to 2500, not ");
        assert_int_equal(sheet.depth, 8);
    }
    assert_refused("plain: 5mm\n", "plain is a whole number, 1 to 4096, not 5mm: it has no unit");
}

static void a_text_is_a_text(void **state)
{
    static const struct {
        const char *written, *text;
    } good[] = {{"no", "no"}, {"12", "12"}, {"true", "true"}, {"\"\"", ""}, {"''", ""}, {"\"null\"", "null"}, {"Klinik S\xc3\xbc" "d", "Klinik S\xc3\xbc" "d"}, {"\"a\\\"b\"", "a\"b"}, {"a\n  b", "a b"}};
    char text[60];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(text, sizeof(text), "text: %s\n", good[i].written);
        assert_taken(text);
        assert_string_equal(sheet.text, good[i].text);
    }
    assert_refused("text: 12345678901234567890abcd\n", "text is too long: at most 23 bytes, and this has 24");
    assert_refused("text: {a: b}\n", "text is one value, not a mapping");
}

static void what_nobody_can_see_or_know_is_refused(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"flag: \n", "line 1, column 6: flag has no value"},
        {"flag: ~\n", "flag has no value"},
        {"text: null\n", "text has no value; \"\" is the empty text"},
        {"words: [a, ~]\n", "an entry of the list has no value"},
        {"text: &a x\n", "column 7: the anchor &a: anchors and aliases are not taken"},
        {"&a text: x\n", "line 1, column 1: the anchor &a"},
        {"any: *a\n", "the alias *a: anchors and aliases are not taken"},
        {"text: !!str x\n", "the tag tag:yaml.org,2002:str: tags are not taken"},
        {"plain: ! 3\n", "the tag !: tags are not taken"},
        {"<<: {flag: false}\n", "there is no option <<"},
        {"flag: false\n---\nflag: true\n", "line 2, column 1: a second document begins"},
        {"plain: 1\nflag: true\nplain: 2\n", "line 3, column 1: plain stands twice, first in line 1"},
        {"plain: 1\n\"plain\": 2\n", "line 2, column 1: plain stands twice"},
        {"rows: [{name: a, value: 1, name: b}]\n", "name stands twice"},
        {"rows: [{name: a}, {name: A}]\n", "column 19: rows: A stands twice"},
        {"rows: [{name: a}, {name: b}, {name: c}, {name: d}, {name: e}]\n", "rows has more than 4 entries"},
        {"rows: [a]\n", "rows is a list of mappings"},
        {"rows: {name: a}\n", "rows is a list, not a mapping"},
        {"words: [a, [b]]\n", "words is a list of words"},
        {"words: [a, b, c, d]\n", "words has more than 3 words"},
        {"[a]: b\n", "a key is a word, not a list or a mapping"},
        {"flga: true\n", "there is no option flga; did you mean flag"},
        {"\"fl\\eag\": 1\n", "the text fl\\x1bag has a character that is not seen (U+001B)"},
        {"text: \"a\\0b\"\n", "the text a\\x00b has a character that is not seen (U+0000)"},
        {"text: \"a\\u202eb\"\n", "(U+202E)"},
        {"text: |\n  a\n", "(U+000A)"},
        {"text: a\x1b[31mb\n", "line 1, column 8: the character U+001B is not seen, and not taken"},
        {"# \xe2\x80\xae hidden\nflag: true\n", "line 1, column 3: the character U+202E is not seen"},
        {"text: \xe9\n", "line 1, column 7: the byte 0xe9 is no UTF-8"},
        {"text: \xc3\xbc\xc3\n", "line 1, column 8: the byte 0xc3 is no UTF-8"},
        {"text: \xed\xa0\x80\n", "is no UTF-8"},
        {"text: \xc0\xaf\n", "is no UTF-8"},
        {"flag:false\n", "a blank belongs behind the colon: flag: false"},
        {"- a\n", "it is a list, and should be lines of KEY: VALUE"},
        {"hello\n", "it is one text"},
        {"flag: true\n\tplain: 1\n", "line 2, column 1: it begins with a tab"},
        {"text: \"never ends\n", "line 2"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[", "nested more than 16 deep"},
        {"}", "line 1, column 1"},
        {"text: @a\n", "line 1, column 7"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_refused(cases[i].text, cases[i].says);
    assert_int_equal(read_bytes("\xff\xfe" "f\0l\0", 6), -EINVAL);
    assert_non_null(strstr(why, "it.yaml is UTF-16 or UTF-32: write it as UTF-8"));
    assert_int_equal(read_bytes("f\0l\0a\0", 6), -EINVAL);
    assert_non_null(strstr(why, "UTF-16"));
    assert_int_equal(read_bytes("flag: true\n\0flag: false\n", 24), -EINVAL);
    assert_non_null(strstr(why, "line 2, column 1: the character U+0000"));
}

static void rows_and_words_are_read_with_their_places(void **state)
{
    (void)state;
    assert_taken("any: 1.5\nwords: [a, \"b\"]\nrows:\n  - {name: x, value: 3}\n  - value: 4\n");
    assert_string_equal(sheet.any->text, "1.5");
    assert_string_equal(sheet.words->text, "a");
    assert_string_equal(sheet.words->next->text, "b");
    assert_null(sheet.words->next->next);
    assert_int_equal(sheet.rows_count, 2);
    assert_string_equal(sheet.rows[0].name, "x");
    assert_int_equal(sheet.rows[1].value, 4);
    assert_int_equal(sheet.rows[1].at->line, 5);
    assert_false(node_wrong(why, sizeof(why), sheet.rows[1].at, "so"));
    assert_string_equal(why, "it.yaml, line 5, column 5: so");
}

/* 1 MiB is read to its last byte; one more is refused, and not cut. */
static void a_file_is_read_whole_or_refused(void **state)
{
    char *big = malloc(DOCUMENT_BYTES_MAX + 1), path[] = "/tmp/mn-document-XXXXXX", *text;
    int fd = mkstemp(path);
    size_t n = 0;

    (void)state;
    assert_non_null(big);
    assert_true(fd >= 0);
    memset(big, '#', DOCUMENT_BYTES_MAX + 1);
    snprintf(big + DOCUMENT_BYTES_MAX - 10, 11, "\nplain: 9\n"); /* its 0 is behind the end */
    big[DOCUMENT_BYTES_MAX - 100] = '\n';
    assert_int_equal(write(fd, big, DOCUMENT_BYTES_MAX), DOCUMENT_BYTES_MAX);
    text = file_read(path, DOCUMENT_BYTES_MAX, &n, why, sizeof(why));
    assert_non_null(text);
    assert_int_equal(n, DOCUMENT_BYTES_MAX);
    assert_int_equal(read_bytes(text, n), 0);
    assert_int_equal(sheet.plain, 9);
    free(text);
    assert_int_equal(write(fd, "\n", 1), 1);
    assert_null(file_read(path, DOCUMENT_BYTES_MAX, &n, why, sizeof(why)));
    assert_non_null(strstr(why, ": it is longer than 1 MiB, which is the most that is read"));
    assert_int_equal(read_bytes(big, DOCUMENT_BYTES_MAX + 1), -EINVAL);
    assert_non_null(strstr(why, "it.yaml is longer than 1 MiB"));
    close(fd);
    unlink(path);
    free(big);
}

static void assert_no_file(const char *path, int error, const char *sentence)
{
    size_t n;

    errno = 0;
    assert_null(file_read(path, DOCUMENT_BYTES_MAX, &n, why, sizeof(why)));
    if (errno != error || strstr(why, sentence) == NULL)
        fail_msg("%s: errno %d, \"%s\"", path, errno, why);
}

static void what_is_no_file_is_refused_at_once(void **state)
{
    char folder[] = "/tmp/mn-document-XXXXXX", path[60];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_no_file(folder, EISDIR, "it is a folder, not a file");
    assert_no_file("/dev/zero", EINVAL, "/dev/zero: it is a device, not a file");
    snprintf(path, sizeof(path), "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_no_file(path, EINVAL, "it is a FIFO, not a file");
    unlink(path);
    snprintf(path, sizeof(path), "%s/socket", folder);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_no_file(path, EINVAL, "it is a socket, not a file");
    close(fd);
    unlink(path);
    snprintf(path, sizeof(path), "%s/a\033b", folder);
    assert_no_file(path, ENOENT, "a\\x1bb: No such file or directory");
    rmdir(folder);
}

static void every_allocation_fails_once(void **state)
{
    static const char text[] = "text: a\nplain: 3\nwords: [a, b]\nrows:\n  - {name: x, value: 3}\n  - {name: y}\n";
    long n = 0;
    int r;

    (void)state;
    do {
        allocations_left = n++;
        r = read_text(text);
        allocations_left = -1;
        assert_true(r == 0 || (r == -ENOMEM && strcmp(why, "out of memory") == 0));
    } while (r != 0);
    assert_true(n > 20);
}

static int free_document(void **state)
{
    (void)state;
    document_free(document);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_absent_stays),
        cmocka_unit_test(one_meaning_for_all_ways_to_write_it),
        cmocka_unit_test(truth_is_true_or_false),
        cmocka_unit_test(numbers_are_decimal_and_whole),
        cmocka_unit_test(a_text_is_a_text),
        cmocka_unit_test(what_nobody_can_see_or_know_is_refused),
        cmocka_unit_test(rows_and_words_are_read_with_their_places),
        cmocka_unit_test(a_file_is_read_whole_or_refused),
        cmocka_unit_test(what_is_no_file_is_refused_at_once),
        cmocka_unit_test(every_allocation_fails_once),
    };

    return cmocka_run_group_tests_name("document", tests, NULL, free_document);
}
