/* A journal's file in which anything was changed: edits of a good one, each with its place. It is opened and read, or refused in words, or set aside; a good row is never
 * made of a bad one without journal_verify() seeing it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"
#include "claim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];
static uint8_t *good;
static size_t good_n;

static void drop_all(void)
{
    static const char *const tails[] = {"", "-wal", "-shm", ".lock", ".damaged-1", ".damaged-1-wal", ".damaged-1-shm"};
    char name[100];

    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", path, tails[i]);
        unlink(name);
    }
}

static void make_good(void)
{
    struct store *s;
    char why[400];
    struct stat st;
    int fd;

    snprintf(path, sizeof(path), "/dev/shm/mn-fuzz-journal-%d", (int)getpid());
    drop_all();
    if (store_open(&s, path, NULL, why, sizeof(why)) < 0 || store_begin(s) < 0)
        abort();
    for (uint32_t i = 1; i <= 20; i++) {
        struct journal_record r = {.serial = "FUZZ", .volume = 1, .number = i, .boot_id = 7, .t_us = i, .host_us = i, .kind = 1, .bytes = (const uint8_t *)"abc", .length = 3};

        if (store_insert(s, &r) < 0)
            abort();
    }
    if (store_commit(s) < 0)
        abort();
    store_close(s);
    fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) < 0 || (good = malloc((size_t)st.st_size)) == NULL || read(fd, good, (size_t)st.st_size) != st.st_size)
        abort();
    good_n = (size_t)st.st_size;
    close(fd);
    drop_all();
    atexit(drop_all);
}

static bool count(void *ctx, const struct journal_record *r)
{
    *(size_t *)ctx += r->length;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t position = 0, missed, rows;
    size_t bytes = 0;
    struct store *s;
    char why[400];
    bool end;
    int fd;

    if (good == NULL)
        make_good();
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, good, good_n) != (ssize_t)good_n)
        abort();
    while (size >= 4) { /* where, how long, what */
        size_t at = (data[0] | (size_t)data[1] << 8 | (size_t)(data[2] & 1) << 16) % good_n, n = data[3];

        data += 4;
        size -= 4;
        n = n > size ? size : n;
        if (pwrite(fd, data, n, (off_t)at) != (ssize_t)n)
            abort();
        data += n;
        size -= n;
    }
    close(fd);
    journal_verify(path, &rows, why, sizeof(why));
    if (store_open(&s, path, NULL, why, sizeof(why)) == 0) {
        store_read(s, &position, &(struct journal_filter){0}, count, &bytes, &end, &missed);
        store_close(s);
    } else if (why[0] == '\0') {
        abort();
    }
    drop_all();
    return 0;
}
