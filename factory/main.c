/*
 * mn-factory: a line of pens, tested, calibrated, serialised and documented by a plan.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "factory.h"
#include "program.h"
#include "quantity.h"
#include "steps.h"
#include "terminal.h"
#include "words.h"

static const char *const commands[] = {"run", "check", "list", "report", "station", "help", "completion", "version"};

struct help {
    const char *word, *text;
};

static const struct help command_help[] = {
    {"run [PLAN] [options]", "carries the plan out with every pen that is plugged in, all at once"},
    {"check PLAN", "is this plan, and its limits, one that can be carried out?"},
    {"list [STEP]", "steps with what they measure; plans that are there"},
    {"report RECORD|FOLDER...", "a summary; --html FILE, --junit FILE, --csv FILE, --force, --json"},
    {"station [SERIAL]", "what this station has done, or one pen's past; --json"},
    {"completion bash", "<TAB> for your shell"},
    {"version", ""},
};
static const struct help option_help[] = {
    {"--slots N", "waits for so many pens"},
    {"--slot PORT", "this port only, as mnctl list shows it (\"usb 1-4\"); repeatable. A pen that is not there leaves a record, too"},
    {"--commit", "writes serial number, UDI and calibration for good, and lets the pen leave the factory. Cannot be undone. Without it a plan that writes is a dry run, and no pen passes"},
    {"--relabel", "a serial number that was given before may be given once more; that stands in the record"},
    {"--keep-going", "all steps, whatever an earlier one found (nothing is written for good then)"},
    {"--repeat", "with each pen that is put into a slot, until Ctrl-C"},
    {"--out FOLDER", "for records and reports [mn-factory-runs/TIME]"},
    {"--database FILE", "the station's history [mn-factory-runs/station.db]; none: without"},
    {"--plain", "lines, even on a terminal"},
    {"--json", "the summary, as JSON"},
    {"--socket PATH", "of mnd [$MN_SOCKET, else /run/mnd/mnd.sock]; it wants the role factory"},
};
static const struct help exit_help[] = {
    {"0", "all passed"},
    {"1", "a pen failed, or none was tested: all had left the factory already"},
    {"2", "wrong words, or a plan that cannot be carried out"},
    {"3", "an error: pen, label, fixture, station or program"},
    {"4", "aborted by Ctrl-C"},
    {"5", "a dry run in which nothing failed. Of several: 4, 3, 1, 5"},
};

static void print_rows(const char *title, const struct help *rows, size_t n, size_t indent)
{
    printf("\n%s%s%s\n", colour(COLOUR_BOLD), title, colour(COLOUR_NONE));
    for (size_t i = 0; i < n; i++)
        text_row(stdout, rows[i].word, rows[i].text, indent);
}

#define ROWS(rows) rows, sizeof(rows) / sizeof((rows)[0])

static void print_help(void)
{
    puts("mn-factory - tests, calibrates and serialises\n  pens off the line, by a plan\n\nusage: mn-factory COMMAND ...");
    print_rows("Commands", ROWS(command_help), 26);
    print_rows("Options of run (PLAN: a file, or mn-1)", ROWS(option_help), 20);
    print_rows("Exit codes", ROWS(exit_help), 6);
    puts("\nExample, without any hardware\n  mnd --no-usb --sim=8,fresh --socket /tmp/m &\n  mn-factory run --socket /tmp/m --slots 8");
}

/* ---- words ---- */

enum { SLOTS = 256, SLOT, COMMIT, KEEP_GOING, REPEAT, OUT, DATABASE, PLAIN, JSON, SOCKET, HTML, JUNIT, CSV, RELABEL, FORCE };

static const struct option long_options[] = {
    {"slots", required_argument, NULL, SLOTS},       {"slot", required_argument, NULL, SLOT},
    {"commit", no_argument, NULL, COMMIT},           {"keep-going", no_argument, NULL, KEEP_GOING},
    {"repeat", no_argument, NULL, REPEAT},           {"relabel", no_argument, NULL, RELABEL},
    {"out", required_argument, NULL, OUT},           {"database", required_argument, NULL, DATABASE},
    {"plain", no_argument, NULL, PLAIN},             {"json", no_argument, NULL, JSON},
    {"socket", required_argument, NULL, SOCKET},     {"html", required_argument, NULL, HTML},
    {"junit", required_argument, NULL, JUNIT},       {"csv", required_argument, NULL, CSV},
    {"force", no_argument, NULL, FORCE},             {"help", no_argument, NULL, 'h'},
    {0},
};

/* Where the value of an option goes that takes any text; NULL: it is another option. */
static const char **text_option(struct words *w, int option)
{
    switch (option) {
    case OUT:
        return &w->o.out;
    case DATABASE:
        return &w->o.database;
    case SOCKET:
        return &w->o.socket;
    case HTML:
        return &w->html;
    case JUNIT:
        return &w->junit;
    case CSV:
        return &w->csv;
    default:
        return NULL;
    }
}

/* What an option without a value sets; NULL: it is another option. */
static bool *flag_option(struct words *w, int option)
{
    switch (option) {
    case COMMIT:
        return &w->o.commit;
    case KEEP_GOING:
        return &w->o.keep_going;
    case REPEAT:
        return &w->o.repeat;
    case RELABEL:
        return &w->o.relabel;
    case PLAIN:
        return &w->plain;
    case JSON:
        return &w->o.json;
    case FORCE:
        return &w->force;
    default:
        return NULL;
    }
}

/* Takes an option with its value, optarg. -1: go on; else the exit code. */
static int take_option(struct words *w, int option, char **argv)
{
    const char **text = text_option(w, option);
    bool *flag = flag_option(w, option);
    char why[QUANTITY_WHY_MAX];
    uint64_t n;

    if (text != NULL) {
        *text = optarg;
        return -1;
    }
    if (flag != NULL) {
        *flag = true;
        return -1;
    }
    switch (option) {
    case SLOTS:
        if (!parse_whole(optarg, 1, STATION_SLOTS_MAX, &n, why))
            return usage_error("--slots: %s", why);
        w->slots = (unsigned)n;
        return -1;
    case SLOT:
        if (w->port_count == STATION_SLOTS_MAX)
            return usage_error("a station has at most %d slots", STATION_SLOTS_MAX);
        w->ports[w->port_count++] = optarg;
        return -1;
    case 'h':
        print_help();
        return EXIT_PASSED;
    default:
        program_wrong_option("mn-factory", argv, long_options);
        return EXIT_USAGE;
    }
}

/* -1: go on; else the exit code. */
static int parse(struct words *w, int argc, char **argv)
{
    int c, r = -1;

    opterr = 0;
    while (r < 0 && (c = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
        r = take_option(w, c, argv);
    if (r >= 0)
        return r;
    for (; optind < argc; optind++) {
        if (w->rest_count == sizeof(w->rest) / sizeof(w->rest[0]))
            return usage_error("too many words");
        w->rest[w->rest_count++] = argv[optind];
    }
    return -1;
}

/* ---- check, list ---- */

static int cmd_check(const struct words *w)
{
    struct plan *p;
    size_t limits = 0;

    if (w->rest_count != 1)
        return usage_error("check takes one plan");
    p = load_plan(w->rest[0]);
    if (p == NULL)
        return EXIT_USAGE;
    for (size_t i = 0; i < p->step_count; i++)
        limits += p->steps[i].limit_count;
    printf("%s: %zu steps, %zu limits (%s); fixture: %s\nplan   sha256 %s  %s\nlimits sha256 %s  %s\n", p->name, p->step_count, limits, p->limits_name,
           p->simulated ? "simulated" : p->fixture, p->sha256, p->path, p->limits_sha256, p->limits_path);
    plan_free(p);
    return flush_output(EXIT_PASSED);
}

static int print_measurement(void *ctx, const char *name, const char *unit)
{
    (void)ctx;
    printf("    %s%s%s\n", name, unit[0] != '\0' ? ", " : "", unit);
    return 0;
}

static int cmd_list(const struct words *w)
{
    const struct step *s;

    if (w->rest_count == 0) {
        for (size_t i = 0; i < step_count; i++)
            printf("%-11s %s\n", steps[i].name, steps[i].text);
        printf("\nmn-factory list STEP says what it measures. Plans are in %s; a plan may have steps that are programs, too.\n",
               access(MN_PLANS_BUILD, R_OK) == 0 ? MN_PLANS_BUILD : MN_PLANS_INSTALLED);
        return flush_output(EXIT_PASSED);
    }
    for (unsigned i = 0; i < w->rest_count; i++) {
        s = step_by_name(w->rest[i]);
        if (s == NULL)
            return usage_error("there is no step %s", w->rest[i]);
        printf("%s: %s\n  parameters: %s\n  time limit: %u s\n  measures\n", s->name, s->text, s->parameters[0] != '\0' ? s->parameters : "none", s->time_limit_s);
        step_each_measurement(s, print_measurement, NULL);
    }
    return flush_output(EXIT_PASSED);
}

static int print_completion(void)
{
    puts("_mn_factory()\n"
         "{\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]}\n"
         "  if [ $COMP_CWORD = 1 ]; then COMPREPLY=($(compgen -W 'run check list report station completion version help' -- \"$cur\")); return; fi\n"
         "  case ${COMP_WORDS[1]} in\n"
         "    run) COMPREPLY=($(compgen -f -W '--slots --slot --commit --relabel --keep-going --repeat --out --database --plain --json --socket mn-1' -- \"$cur\"));;\n"
         "    check) COMPREPLY=($(compgen -f -W 'mn-1' -- \"$cur\"));;\n"
         "    list) COMPREPLY=($(compgen -W \"$(mn-factory list | sed -n 's/^\\([a-z]*\\) .*/\\1/p' | head -n -1)\" -- \"$cur\"));;\n"
         "    report) COMPREPLY=($(compgen -f -W '--html --junit --csv --force --json' -- \"$cur\"));;\n"
         "    station) COMPREPLY=($(compgen -W '--database --json' -- \"$cur\"));;\n"
         "  esac\n"
         "}\n"
         "complete -F _mn_factory mn-factory");
    return flush_output(EXIT_PASSED);
}

int main(int argc, char **argv)
{
    struct words w = {0};
    const char *command = argc > 1 ? argv[1] : "", *near;
    int r;

    program_begin();
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2 || strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0) {
        print_help();
        return argc < 2 ? EXIT_USAGE : flush_output(EXIT_PASSED);
    }
    argv[1] = argv[0]; /* getopt names it */
    r = parse(&w, argc - 1, argv + 1);
    if (r >= 0)
        return flush_output(r);
    if (strcmp(command, "run") == 0)
        return cmd_run(&w);
    if (strcmp(command, "check") == 0)
        return cmd_check(&w);
    if (strcmp(command, "list") == 0)
        return cmd_list(&w);
    if (strcmp(command, "report") == 0)
        return cmd_report(&w);
    if (strcmp(command, "station") == 0)
        return cmd_station(&w);
    if (strcmp(command, "completion") == 0)
        return print_completion();
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        printf("mn-factory %s\n", mn_version());
        return flush_output(EXIT_PASSED);
    }
    near = nearest(command, commands, sizeof(commands) / sizeof(commands[0]));
    return near != NULL ? usage_error("there is no command %s; did you mean %s?", command, near) : usage_error("there is no command %s", command);
}
