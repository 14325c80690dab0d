#include "journals.h"

struct journals_fx fx;

void on_committed(void *ctx, const struct journal_record *const *r, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        uint32_t *last = &fx.committed[r[i]->serial[0] == 'P' ? r[i]->serial[1] - '0' : 0];

        assert_true(r[i]->position > fx.position);
        fx.position = r[i]->position;
        if (r[i]->kind >= MNC__JOURNAL_KIND__JOURNAL_BEGUN) {
            fx.notes++;
            continue;
        }
        assert_int_equal(r[i]->number, *last + 1); /* in order, each once */
        assert_int_equal(r[i]->length, 5 + r[i]->number % 7);
        assert_int_equal(r[i]->bytes[0], (uint8_t)r[i]->number);
        *last = r[i]->number;
        fx.count++;
    }
}

void on_state(void *ctx, bool writable, const char *sentence)
{
    (void)ctx;
    fx.writable = writable;
    snprintf(fx.sentence, sizeof(fx.sentence), "%s", sentence);
}

int open_it(char *why, size_t cap)
{
    int r = journal_open(&fx.j, fx.path, &fx.limits, NULL, why, cap);
    char other[300];

    return r < 0 ? r : journal_start(fx.j, fx.event, &observer, other, sizeof(other));
}

void reopen(void)
{
    char why[300];

    journal_close(fx.j);
    fx.j = NULL;
    if (open_it(why, sizeof(why)) < 0)
        fail_msg("%s", why);
    assert_string_equal(why, "");
}

int start(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.writable = true;
    fx.limits = (struct journal_limits){.keep_us = UINT64_C(365) * 86400 * 1000000, .max_bytes = 1 << 30};
    strcpy(fx.dir, "/tmp/mn-journal-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    snprintf(fx.path, sizeof(fx.path), "%s/journal.db", fx.dir);
    assert_true(sd_event_new(&fx.event) >= 0);
    reopen();
    return 0;
}

int stop(void **state)
{
    char command[128];

    (void)state;
    journal_close(fx.j);
    sd_event_unref(fx.event);
    snprintf(command, sizeof(command), "rm -rf %s", fx.dir);
    return system(command);
}

bool append(unsigned pen, uint32_t number)
{
    uint8_t bytes[16] = {(uint8_t)number, 1, 2, 3};
    struct journal_record r = {.number = number, .boot_id = 7, .t_us = 1000 * number, .host_us = fx.host_us != 0 ? fx.host_us : 5, .kind = 2, .code = 1101, .bytes = bytes,
                               .length = 5 + number % 7};

    snprintf(r.serial, sizeof(r.serial), "P%u", pen);
    return journal_append(fx.j, &r);
}

void run_until(unsigned count)
{
    for (int i = 0; i < 2000 && fx.count < count; i++)
        assert_true(sd_event_run(fx.event, 10000) >= 0);
    assert_int_equal(fx.count, count);
}

void sql(const char *text)
{
    char *error = NULL;
    sqlite3 *db;

    assert_int_equal(sqlite3_open(fx.path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", text, error);
    sqlite3_close(db);
}

struct journal_record seen(unsigned pen, uint32_t number, uint32_t boot_id)
{
    struct journal_record r = {.number = number, .boot_id = boot_id, .t_us = 1000 * number};

    snprintf(r.serial, sizeof(r.serial), "P%u", pen);
    return r;
}

uint64_t rows_are_right(void)
{
    uint64_t rows;
    char why[400];

    if (journal_verify(fx.path, &rows, why, sizeof(why)) != 0)
        fail_msg("%s", why);
    return rows;
}
