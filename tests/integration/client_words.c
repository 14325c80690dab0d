#include "client_words.h"

struct harness h;

int start(void **state)
{
    (void)state;
    harness_start(&h, 1, NULL);
    return 0;
}

int stop(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

bool goodbye_says(int fd, const char *text)
{
    static char bytes[1 << 20];
    size_t fill = 0;
    ssize_t n;

    while ((n = read(fd, bytes + fill, sizeof(bytes) - fill)) > 0)
        fill += (size_t)n;
    return memmem(bytes, fill, text, strlen(text)) != NULL;
}

bool log_says(const char *text)
{
    static char log[4 << 20];
    FILE *f = fopen(h.log, "re");
    size_t n;

    assert_non_null(f);
    n = fread(log, 1, sizeof(log) - 1, f);
    fclose(f);
    log[n] = '\0';
    return strstr(log, text) != NULL;
}

void others_are_served(void)
{
    uint64_t us, missed = h.missed, samples = h.samples;

    harness_ok(&h, mn_subscribe(h.c, NULL, true, T));
    harness_until(&h, h.samples > samples + 500, T);
    assert_int_equal(h.missed, missed);
    harness_ok(&h, mn_ping(h.c, P, 100, &us, T));
    assert_int_equal(h.disconnects, 0);
}

uint32_t count_replies(int fd, uint32_t wanted)
{
    static uint8_t in[1 << 16];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t fill = 0, at;
    uint32_t count = 0;
    ssize_t n;

    while (count < wanted && poll(&p, 1, 2000) == 1 && (n = read(fd, in + fill, sizeof(in) - fill)) > 0) {
        fill += (size_t)n;
        for (at = 0; fill - at >= 4 && fill - at - 4 >= (size_t)in[at] + ((size_t)in[at + 1] << 8); count++)
            at += 4 + (size_t)in[at] + ((size_t)in[at + 1] << 8);
        memmove(in, in + at, fill -= at);
    }
    return count;
}
