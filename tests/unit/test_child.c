/* What programs of the plan's, and the simulation, say to mn-factory: whose answer is whose, and what is none. The program is the other end of a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "fixture.h"

enum { AT_ONCE_MS = 60, SOON_MS = 5000 };

static struct child child;
static int program;
static const char *reply; /* to the next question; NULL: it keeps silent */
static const char *simulated;
static char why[300];

int __wrap_mn_simulate(mn_client *c, const char *serial, const char *line, char *answer, size_t cap, int timeout_ms);

int __wrap_mn_simulate(mn_client *c, const char *serial, const char *line, char *answer, size_t cap, int timeout_ms)
{
    (void)c;
    (void)serial;
    (void)line;
    (void)timeout_ms;
    snprintf(answer, cap, "%s", simulated);
    return MN_OK;
}

static int start(void **state)
{
    int fds[2];

    (void)state;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return -1;
    child = (struct child){.pid = -1, .in = fds[0], .out = dup(fds[0])};
    program = fds[1];
    reply = NULL;
    return child.out < 0;
}

static int end(void **state)
{
    (void)state;
    child_end(&child);
    return close(program);
}

static void say(const char *text)
{
    assert_int_equal(write(program, text, strlen(text)), strlen(text));
}

/* The program's turn: it answers what it was asked. */
static bool take_turn(void *ctx)
{
    char question[200];

    (void)ctx;
    if (recv(program, question, sizeof(question), 0) > 0 && reply != NULL) {
        say(reply);
        reply = NULL;
    }
    return true;
}

static json_t *ask(unsigned limit_ms)
{
    json_t *question = json_pack("{s:i}", "n", 1), *answer;

    why[0] = '\0';
    answer = child_ask(&child, question, limit_ms, take_turn, NULL, why, sizeof(why));
    json_decref(question);
    return answer;
}

static void assert_answered(const char *text)
{
    json_t *answer = ask(SOON_MS);

    assert_non_null(answer);
    assert_string_equal(json_string_value(json_object_get(answer, "a")), text);
    json_decref(answer);
}

static void an_answer_that_comes_late_is_not_the_next_one(void **state)
{
    (void)state;
    assert_null(ask(AT_ONCE_MS));
    assert_non_null(strstr(why, "did not answer within"));
    assert_null(ask(AT_ONCE_MS));
    say("{\"a\": \"of the first\"}\n{\"a\": \"of the sec");
    reply = "ond\"}\n{\"a\": \"of the third\"}\n";
    assert_answered("of the third");
}

static void what_it_says_unasked_is_no_answer(void **state)
{
    (void)state;
    reply = "{\"a\": \"asked\"}\n{\"a\": \"unasked\"}\n";
    assert_answered("asked");
    assert_null(ask(SOON_MS));
    assert_non_null(strstr(why, "more than it is asked"));
    reply = "{\"a\": \"asked again\"}\n";
    assert_answered("asked again");
}

static void what_is_no_object_is_said_in_words(void **state)
{
    static const char *const texts[] = {"hello\n", "[1]\n", "{\"a\": 1e999}\n", "{\"a\": 1, \"a\": 2}\n", "\xff\x1b[31m\n", "\n", "{\"a\": \"\xe9\"}\n", "{\"a\": \"b\"} {}\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        json_t *text;

        reply = texts[i];
        assert_null(ask(SOON_MS));
        assert_non_null(strstr(why, "its answer is no JSON object: "));
        assert_null(strchr(why, '\x1b'));
        text = json_string(why);
        assert_non_null(text); /* UTF-8, whatever it has said: the record has it */
        json_decref(text);
    }
    reply = "{\"a\": \"right\"}\n";
    assert_answered("right");
}

static void one_that_hangs_up_is_not_waited_for(void **state)
{
    (void)state;
    shutdown(program, SHUT_RDWR);
    assert_null(ask(SOON_MS));
    assert_non_null(strstr(why, "it ended"));
}

static void numbers_of_the_simulation_are_decimal_and_its_texts_are_text(void **state)
{
    struct fixture *f = fixture_simulated(NULL, "@sim-1", why, sizeof(why));
    json_t *answer = NULL;

    (void)state;
    assert_non_null(f);
    simulated = "ok: a=1.5 b=-3 c=0x10 d=nan e=1.2.3 f=\xff" "AB g=inf h= i";
    assert_int_equal(fixture_ask(f, "scan", NULL, &answer, why, sizeof(why)), 0);
    assert_true(json_real_value(json_object_get(answer, "a")) == 1.5);
    assert_true(json_real_value(json_object_get(answer, "b")) == -3);
    assert_string_equal(json_string_value(json_object_get(answer, "c")), "0x10");
    assert_string_equal(json_string_value(json_object_get(answer, "d")), "nan");
    assert_string_equal(json_string_value(json_object_get(answer, "e")), "1.2.3");
    assert_non_null(strstr(json_string_value(json_object_get(answer, "f")), "AB"));
    assert_string_equal(json_string_value(json_object_get(answer, "g")), "inf");
    assert_string_equal(json_string_value(json_object_get(answer, "h")), "");
    assert_int_equal(json_object_size(answer), 8);
    json_decref(answer);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_that_comes_late_is_not_the_next_one, start, end),
        cmocka_unit_test_setup_teardown(what_it_says_unasked_is_no_answer, start, end),
        cmocka_unit_test_setup_teardown(what_is_no_object_is_said_in_words, start, end),
        cmocka_unit_test_setup_teardown(one_that_hangs_up_is_not_waited_for, start, end),
        cmocka_unit_test(numbers_of_the_simulation_are_decimal_and_its_texts_are_text),
    };

    signal(SIGPIPE, SIG_IGN); /* as in mn-factory */
    return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
