/*
 * What a fixture says, program or simulation: the first byte chooses. A program's lines come in pieces, each with its length before it (a byte), one for each time that it is waited for; and it is
 * asked several times. Whatever comes is an answer that can be written as JSON, or a sentence that can.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_mn_simulate(mn_client *c, const char *serial, const char *line, char *answer, size_t cap, int timeout_ms);

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout_ms);

static const uint8_t *rest;
static size_t rest_n;
static int program;

int __wrap_mn_simulate(mn_client *c, const char *serial, const char *line, char *answer, size_t cap, int timeout_ms)
{
    size_t n = rest_n < cap - 1 ? rest_n : cap - 1;

    (void)c;
    (void)serial;
    (void)line;
    (void)timeout_ms;
    if (n > 0)
        memcpy(answer, rest, n);
    answer[n] = '\0';
    return MN_OK;
}

/* What there is, is there at once. */
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    (void)timeout_ms;
    return __real_poll(fds, n, 0);
}

static bool take_turn(void *ctx)
{
    size_t n = rest_n > 0 ? rest[0] : 0;
    char asked[500];

    (void)ctx;
    while (recv(program, asked, sizeof(asked), MSG_DONTWAIT) > 0)
        ;
    if (rest_n == 0)
        return false;
    n = n < rest_n - 1 ? n : rest_n - 1;
    send(program, rest + 1, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    rest += 1 + n;
    rest_n -= 1 + n;
    return true;
}

static void must_be_written(json_t *answer, const char *why)
{
    char *text = answer != NULL ? json_dumps(answer, 0) : NULL;
    json_t *sentence = json_string(why);

    if (sentence == NULL || (answer != NULL && text == NULL) || (answer == NULL && why[0] == '\0'))
        abort();
    json_decref(sentence);
    json_decref(answer);
    free(text);
}

static void ask_program(void)
{
    json_t *question = json_object();
    struct child c;
    int fds[2];

    if (question == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
        abort();
    c = (struct child){.pid = -1, .in = fds[0], .out = dup(fds[0])};
    program = fds[1];
    for (int i = 0; i < 4; i++) {
        char why[300] = "";
        json_t *answer = child_ask(&c, question, 1000, take_turn, NULL, why, sizeof(why));

        must_be_written(answer, why);
    }
    json_decref(question);
    child_end(&c);
    close(program);
}

static void ask_simulation(void)
{
    static const char *const operations[] = {"read", "scan", "hold"};
    char why[300] = "";
    struct fixture *f = fixture_simulated(NULL, "@sim-1", why, sizeof(why));

    for (size_t i = 0; f != NULL && i < sizeof(operations) / sizeof(operations[0]); i++) {
        json_t *answer = NULL;

        if (fixture_ask(f, operations[i], NULL, &answer, why, sizeof(why)) != 0 || answer == NULL)
            abort();
        must_be_written(answer, why);
    }
    fixture_free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    rest = data + 1;
    rest_n = size - 1;
    if (data[0] & 1)
        ask_simulation();
    else
        ask_program();
    return 0;
}
