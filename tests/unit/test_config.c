/* The daemon's configuration file: what is right, and the sentence for each way to be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

static int load(struct config *c, const char *text, char *why, size_t cap)
{
    char path[] = "/tmp/mn-config-XXXXXX";
    int fd = mkstemp(path), r;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    config_default(c);
    why[0] = '\0';
    r = config_load(c, path, why, cap);
    unlink(path);
    return r;
}

static void what_is_absent_keeps_its_default(void **state)
{
    struct config c, defaults;
    char why[400];

    (void)state;
    config_default(&defaults);
    assert_int_equal(load(&c, "", why, sizeof(why)), 0);
    assert_memory_equal(&c, &defaults, sizeof(c));
    assert_int_equal(load(&c, "# nothing\nusb: false\ngroup: \"\"\n", why, sizeof(why)), 0);
    assert_false(c.usb);
    assert_string_equal(c.group, "");
    assert_string_equal(c.socket, defaults.socket);
    assert_int_equal(c.max_clients, defaults.max_clients);
}

static void all_options_are_read(void **state)
{
    struct config c;
    char why[400];

    (void)state;
    assert_int_equal(load(&c,
                          "socket: /tmp/s\ngroup: staff\nlog_level: debug\nmax_clients: 7\nclient_queue_kib: 64\n"
                          "usb: false\nsim_socket: /tmp/sim\nsim_pens: 3\n",
                          why, sizeof(why)),
                     0);
    assert_string_equal(c.socket, "/tmp/s");
    assert_string_equal(c.group, "staff");
    assert_string_equal(c.log_level, "debug");
    assert_int_equal(c.max_clients, 7);
    assert_int_equal(c.client_queue_kib, 64);
    assert_string_equal(c.sim_socket, "/tmp/sim");
    assert_int_equal(c.sim_pens, 3);
    assert_int_equal(load(&c, "records_keep_days: 10 years\nrecords_max_mib: 2GiB\n", why, sizeof(why)), 0);
    assert_int_equal(c.records_keep_days, 3650);
    assert_int_equal(c.records_max_mib, 2048);
}

static void each_wrong_file_is_refused_whole_with_line_and_reason(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"usb: false\nsokket: /tmp\n", "line 2, column 1: there is no option sokket; did you mean socket"},
        {"usb: maybe\n", "line 1, column 6: usb is true or false, not maybe"},
        {"\nmax_clients: many\n", "line 2, column 14: max_clients is a whole number, 1 to 4096, not many"},
        {"usb: true\n\tsim_pens: 1\n", "line 2, column 1: it begins with a tab"},
        {"user_queue_kib: 8\n", "line 1, column 17: user_queue_kib is a whole number of KiB, 16 to 1048576, not 8"},
        {"max_clients_per_user: 5000\n", "max_clients_per_user is a whole number, 1 to 4096, not 5000"},
        {"max_clients: 0\n", "max_clients is a whole number, 1 to 4096, not 0"},
        {"usb: true\nclient_queue_kib: 1\n", "line 2, column 19: client_queue_kib is a whole number of KiB, 16 to 16384, not 1"},
        {"sim_pens: 65\n", "sim_pens is a whole number, 0 to 64, not 65"},
        {"log_level: loud\n", "line 1, column 12: log_level is error, warning, info or debug, not loud"},
        {"socket: m.sock\n", "line 1, column 9: socket is a path with a /, not m.sock"},
        {"- usb\n", "it is a list, and should be lines of KEY: VALUE"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config c, defaults;
        char why[400];

        config_default(&defaults);
        assert_true(load(&c, cases[i].text, why, sizeof(why)) < 0);
        if (strstr(why, cases[i].says) == NULL)
            fail_msg("\"%s\" is not in \"%s\"", cases[i].says, why);
        assert_memory_equal(&c, &defaults, sizeof(c));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_absent_keeps_its_default),
        cmocka_unit_test(all_options_are_read),
        cmocka_unit_test(each_wrong_file_is_refused_whole_with_line_and_reason),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
