#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "journal.h"
#include "policy.h"
#include "program.h"
#include "text.h"
#include "version.h"

enum { EXIT_USAGE = 2 };

static void print_help(void)
{
    text_help(stdout,
           "mnd - the daemon that owns microneedling pens\n"
           "\n"
           "usage: mnd [options]       stays in the foreground; SIGTERM and Ctrl-C end it, needles first;\n"
           "                           SIGHUP reads the site's policy and log_level anew\n"
           "\n"
           "  --config FILE        configuration [" CONFIG_PATH_DEFAULT ", if it exists]\n"
           "  --check-config       say whether the configuration is right, and end\n"
           "  --check-policy FILE  say whether a site may have this treatment policy, and end\n"
           "  --verify-journal FILE  say whether every row of a journal, or of a copy, is as it was written, and end\n"
           "  --socket PATH        where clients connect [/run/mnd/mnd.sock]\n"
           "  --journal FILE       where records are kept [/var/lib/mnd/journal.db; with another socket, SOCKET.journal]\n"
           "  --policy FILE        the site's treatment policy [" POLICY_PATH_DEFAULT ", if it exists]\n"
           "  --sim[=N[,fresh]]    N simulated pens [1], started and ended with mnd; fresh off the factory's line; see penstub --help\n"
           "  --sim-socket PATH    take simulated pens that connect here (penstub --connect PATH)\n"
           "  --no-usb             leave real pens alone\n"
           "  --log-level LEVEL    error, warning, info, debug [info]\n"
           "  --version, --help\n"
           "\n"
           "Try: mnd --sim=2 --no-usb --socket /tmp/mnd.sock, then mnctl --socket /tmp/mnd.sock list\n");
}

static int usage_error(const char *sentence)
{
    fprintf(stderr, "mnd: %s\nTry mnd --help.\n", sentence);
    return EXIT_USAGE;
}

static int copy_path(char *out, size_t cap, const char *path)
{
    if (strlen(path) >= cap)
        return usage_error("a path has at most 107 characters");
    strcpy(out, path);
    return -1;
}

/* Reads the file, then the command line, which overrides it. Returns -1 to go on, else the exit code. */
static int read_config(struct config *c, const char *path, bool check_only)
{
    char why[400];
    int r;

    r = config_load(c, path != NULL ? path : CONFIG_PATH_DEFAULT, why, sizeof(why));
    if (path == NULL && r == -ENOENT) {
        if (check_only)
            printf("%s does not exist: the defaults are in use\n", CONFIG_PATH_DEFAULT);
        return check_only ? 0 : -1;
    }
    if (path == NULL)
        path = CONFIG_PATH_DEFAULT;
    if (r < 0) {
        fprintf(stderr, "mnd: %s\n", why);
        return EXIT_USAGE;
    }
    if (check_only)
        printf("%s is right\n", path);
    return check_only ? 0 : -1;
}

enum { OPT_CONFIG = 256, OPT_CHECK, OPT_SOCKET, OPT_JOURNAL, OPT_POLICY, OPT_CHECK_POLICY, OPT_VERIFY, OPT_SIM, OPT_SIM_SOCKET, OPT_NO_USB, OPT_LOG_LEVEL, OPT_VERSION };

static const struct option longs[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"check-config", no_argument, NULL, OPT_CHECK},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"journal", required_argument, NULL, OPT_JOURNAL},
    {"policy", required_argument, NULL, OPT_POLICY},
    {"check-policy", required_argument, NULL, OPT_CHECK_POLICY},
    {"verify-journal", required_argument, NULL, OPT_VERIFY},
    {"sim", optional_argument, NULL, OPT_SIM},
    {"sim-socket", required_argument, NULL, OPT_SIM_SOCKET},
    {"no-usb", no_argument, NULL, OPT_NO_USB},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int parse_sim(struct config *c, const char *text)
{
    char *end = NULL;
    unsigned long n = text != NULL ? strtoul(text, &end, 10) : 1;

    c->sim_fresh = text != NULL && strcmp(end, ",fresh") == 0;
    if ((text != NULL && (*text == '\0' || (*end != '\0' && !c->sim_fresh))) || n < 1 || n > 64)
        return usage_error("--sim=N takes 1 to 64 pens, and --sim=N,fresh as many that come off the factory's line");
    c->sim_pens = (unsigned)n;
    return -1;
}

static int verify(const char *path)
{
    char why[400];
    uint64_t rows;
    int r = journal_verify(path, &rows, why, sizeof(why));

    fprintf(r == 0 ? stdout : stderr, "%s%s\n", r == 0 ? "" : "mnd: ", why);
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int check_policy(const char *path)
{
    static struct site site;
    char why[300];

    if (site_load(&site, path, why, sizeof(why)) < 0) {
        fprintf(stderr, "mnd: %s\n", why);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < site.row_count; i++)
        printf("%s %s: %s -> %s%s%s\n", site.rows[i].table, site.rows[i].name, site.rows[i].default_value, site.rows[i].value,
               site.rows[i].source[0] != '\0' ? " by " : "", site.rows[i].source);
    printf("%s is a good policy of %s, SHA-256 ", path, site.name);
    for (size_t i = 0; i < sizeof(site.sha256); i++)
        printf("%02x", site.sha256[i]);
    printf("\n");
    return EXIT_SUCCESS;
}

static int parse_option(struct config *c, int option)
{
    switch (option) {
    case OPT_SOCKET:
        return copy_path(c->socket, sizeof(c->socket), optarg);
    case OPT_JOURNAL:
        return copy_path(c->journal, sizeof(c->journal), optarg);
    case OPT_POLICY:
        return copy_path(c->policy, sizeof(c->policy), optarg);
    case OPT_CHECK_POLICY:
        return check_policy(optarg);
    case OPT_VERIFY:
        return verify(optarg);
    case OPT_SIM:
        return parse_sim(c, optarg);
    case OPT_SIM_SOCKET:
        return copy_path(c->sim_socket, sizeof(c->sim_socket), optarg);
    case OPT_NO_USB:
        c->usb = false;
        return -1;
    case OPT_LOG_LEVEL:
        if (config_log_level(optarg) < 0)
            return usage_error("--log-level is error, warning, info or debug");
        snprintf(c->log_level, sizeof(c->log_level), "%s", optarg);
        return -1;
    case OPT_VERSION:
        printf("mnd %s, pen protocol %d.%d\n", MN_VERSION, MN_PROTOCOL_MAJOR, MN_PROTOCOL_MINOR);
        return 0;
    case 'h':
        print_help();
        return 0;
    default:
        return EXIT_USAGE;
    }
}

int options_apply(const struct options *o, struct config *c)
{
    int option, r = -1;

    optind = 0; /* restarts getopt */
    while (r < 0 && (option = getopt_long(o->argc, o->argv, "h", longs, NULL)) != -1) {
        if (option != OPT_CONFIG && option != OPT_CHECK)
            r = parse_option(c, option);
    }
    return r;
}

/* Two passes: the first for --config, wherever it stands; the second for the options that override the file. */
int options_parse(struct options *o)
{
    struct config *c = &o->config;
    const char *path = NULL;
    bool check_only = false;
    int option, r, argc = o->argc;
    char **argv = o->argv;

    config_default(c);
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (option == OPT_CONFIG)
            path = optarg;
        else if (option == OPT_CHECK)
            check_only = true;
        else if (option == '?') {
            program_wrong_option("mnd", argv, longs);
            return EXIT_USAGE;
        }
        else if (option == OPT_VERSION || option == OPT_VERIFY || option == OPT_CHECK_POLICY || option == 'h')
            return parse_option(c, option);
    }
    if (optind < argc)
        return usage_error("takes options only");
    o->config_path = path;
    r = read_config(c, path, check_only);
    if (r < 0)
        r = options_apply(o, c);
    if (r < 0)
        o->asked = *c;
    if (r < 0 && c->journal[0] == '\0' && strcmp(c->socket, SOCKET_PATH_DEFAULT) == 0)
        strcpy(c->journal, JOURNAL_PATH_DEFAULT);
    else if (r < 0 && c->journal[0] == '\0')
        snprintf(c->journal, sizeof(c->journal), "%s.journal", c->socket);
    return r;
}
