/*
 * mnctl: the words of the command line.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "help.h"
#include "program.h"

/* Takes the options that all commands share out of argv, wherever they stand. Returns -1 to go on, else an exit code. */
static int take_options(struct app *a, int *argc, char **argv)
{
    static char version[] = "version";
    int kept = 1;

    for (int i = 1; i < *argc; i++) {
        const char *w = argv[i];
        const char **text = strcmp(w, "--pen") == 0 ? &a->pen : strcmp(w, "--socket") == 0 ? &a->socket : NULL;
        bool timeout = strcmp(w, "--timeout") == 0;

        if ((text != NULL || timeout) && i + 1 >= *argc)
            return usage_error("%s needs a value", w);
        if (text != NULL) {
            *text = argv[++i];
        } else if (timeout) {
            uint64_t ms;

            if (parse_number("--timeout", argv[++i], 1, 60000, &ms) != EXIT_OK)
                return EXIT_USAGE;
            a->timeout_ms = (int)ms;
        } else if (strcmp(w, "--json") == 0) {
            a->json = true;
        } else if (strcmp(w, "--help") == 0 || strcmp(w, "-h") == 0) {
            if (kept > 1)
                return help_of(argv[1]);
            help_overview();
            return EXIT_OK;
        } else if (strcmp(w, "--version") == 0 && kept == 1) {
            argv[kept++] = version;
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    return -1;
}

static int run(struct app *a, int argc, char **argv)
{
    const struct command *c = argc > 1 ? command_by_name(argv[1]) : NULL;
    int r;

    if (argc < 2) {
        help_overview();
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "help") == 0) {
        if (argc > 2)
            return help_of(argv[2]);
        help_overview();
        return EXIT_OK;
    }
    if (strcmp(argv[1], "completion") == 0)
        return print_completion(argc > 2 ? argv[2] : NULL);
    if (c == NULL && command_nearest(argv[1]) != NULL)
        return usage_error("there is no command %s; did you mean %s?", argv[1], command_nearest(argv[1]));
    if (c == NULL)
        return usage_error("there is no command %s", argv[1]);
    usage_is_of(c->name);
    r = c->run(a, argc - 1, argv + 1);
    mn_close(a->client);
    return r;
}

int main(int argc, char **argv)
{
    struct app a = {.timeout_ms = 2000};
    int r;

    program_begin();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe makes write() fail, which ends the program with a message or, behind a pager, silently */
    if (argc > 1 && strcmp(argv[1], "complete") == 0) { /* its arguments are another command line, not options of this one */
        r = complete(&a, argc - 1, argv + 1);
        mn_close(a.client);
        return r;
    }
    r = take_options(&a, &argc, argv);
    if (r < 0)
        r = run(&a, argc, argv);
    return r == EXIT_OK ? flush_output() : r;
}
